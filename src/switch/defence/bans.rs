//! Who is banned, by source, by network, and by source and extension. It never holds more than [`MOST`].

use super::source::Source;
use directory::Ban;
use directory::number::Network;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// Most bans, those remembered included.
const MOST: usize = 10_000;

#[derive(Default)]
pub(crate) struct Bans {
    by_id: BTreeMap<String, Ban>,
    sources: HashMap<(Source, Option<String>), String>,
    /// Those of larger networks, which an administrator wrote: few.
    networks: Vec<(Network, String)>,
    /// Those that hold, as far as was told, by their end.
    active: BTreeSet<(i64, String)>,
    /// Those that nobody wrote, by their end.
    automatic: BTreeSet<(i64, String)>,
}

/// Where a ban stands among others by its end.
fn end_of(ban: &Ban) -> (i64, String) {
    (ban.until_ms.unwrap_or(i64::MAX), ban.id.clone())
}

impl Bans {
    pub(crate) fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// The ban of all that comes from there.
    pub(crate) fn of(&self, source: Source, address: IpAddr, now_ms: i64) -> Option<&Ban> {
        let holds = |ban: &&Ban| ban.holds(now_ms);
        let of_source = self.last(source, None).filter(holds);
        of_source.or_else(|| {
            let mut networks = self.networks.iter();
            let (_, id) = networks.find(|(network, id)| {
                network.contains(address) && self.by_id.get(id).is_some_and(|b| b.holds(now_ms))
            })?;
            self.by_id.get(id)
        })
    }

    /// The last ban of a source, or of what it says in an extension's name; it may be over.
    pub(crate) fn last(&self, source: Source, extension: Option<&str>) -> Option<&Ban> {
        let id = self.sources.get(&(source, extension.map(str::to_owned)))?;
        self.by_id.get(id)
    }

    /// Adds a ban and says which one had to go for it. One of the same whom replaces the last one.
    pub(crate) fn add(&mut self, ban: Ban, now_ms: i64) -> Vec<Ban> {
        let mut gone = Vec::new();
        let Some(network) = Network::parse(&ban.network) else {
            return vec![ban];
        };
        let key = network
            .customer()
            .map(|address| (Source::of(address), ban.extension.clone()));
        let same = match &key {
            Some(key) => self.sources.get(key).cloned(),
            None => self
                .networks
                .iter()
                .find(|(n, _)| *n == network)
                .map(|(_, id)| id.clone()),
        };
        let crowded = (same.is_none() && self.by_id.len() >= MOST)
            .then(|| self.weakest())
            .flatten();
        for id in same.into_iter().chain(crowded) {
            gone.extend(self.remove(&id));
        }
        match key {
            Some(key) => {
                self.sources.insert(key, ban.id.clone());
            }
            None => self.networks.push((network, ban.id.clone())),
        }
        if ban.holds(now_ms) {
            self.active.insert(end_of(&ban));
        }
        if !ban.by_hand {
            self.automatic.insert(end_of(&ban));
        }
        self.by_id.insert(ban.id.clone(), ban);
        gone
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Ban> {
        let ban = self.by_id.remove(id)?;
        let end = end_of(&ban);
        self.active.remove(&end);
        self.automatic.remove(&end);
        let source = Network::parse(&ban.network)
            .and_then(|n| n.customer())
            .map(Source::of);
        match source {
            Some(source) => {
                self.sources.remove(&(source, ban.extension.clone()));
            }
            None => self.networks.retain(|(_, other)| other != id),
        }
        Some(ban)
    }

    /// The ids of those that are over since the last time.
    pub(crate) fn over(&mut self, now_ms: i64) -> Vec<String> {
        let mut over = Vec::new();
        while self.next_ms().is_some_and(|until| until <= now_ms) {
            over.extend(self.active.pop_first().map(|(_, id)| id));
        }
        over
    }

    /// Takes out those not worth remembering: of `over`, and the older ones.
    pub(crate) fn forgotten(&mut self, over: &[String], now_ms: i64) -> Vec<Ban> {
        let worthless = |ban: &Ban| !ban.is_remembered(now_ms);
        let (mut old, is_old) = (Vec::new(), |bans: &Bans, id: &String| {
            bans.by_id.get(id).is_some_and(worthless)
        });
        for id in over {
            if is_old(self, id) {
                old.extend(self.remove(id));
            }
        }
        while let Some((_, id)) = self.automatic.first().filter(|(_, id)| is_old(self, id)) {
            let id = id.clone();
            old.extend(self.remove(&id));
        }
        old
    }

    /// When the next one is over, Unix milliseconds.
    pub(crate) fn next_ms(&self) -> Option<i64> {
        let (until, _) = self.active.first()?;
        (*until < i64::MAX).then_some(*until)
    }

    /// The automatic one that ends first.
    fn weakest(&self) -> Option<String> {
        let automatic = self.automatic.first().map(|(_, id)| id);
        automatic.or_else(|| self.by_id.keys().next()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(n: u32, network: &str, until_ms: i64) -> Ban {
        Ban {
            id: Ban::id_of(i64::from(n), n),
            network: network.to_owned(),
            extension: None,
            reason: String::new(),
            by_hand: false,
            times: 1,
            since_ms: 0,
            until_ms: Some(until_ms),
        }
    }

    fn is_banned(bans: &Bans, address: &str, now_ms: i64) -> bool {
        let address: IpAddr = address.parse().expect("an address");
        bans.of(Source::of(address), address, now_ms).is_some()
    }

    #[test]
    fn addresses_and_networks_are_banned_until_their_end() {
        let mut bans = Bans::default();
        assert!(bans.add(ban(1, "192.0.2.1", 10), 0).is_empty());
        assert!(bans.add(ban(2, "198.51.100.0/24", 20), 0).is_empty());
        assert!(bans.add(ban(3, "2001:db8::5", 30), 0).is_empty());
        for (address, until) in [("192.0.2.1", 10), ("198.51.100.9", 20), ("2001:db8::9", 30)] {
            assert!(is_banned(&bans, address, until - 1), "{address}");
            assert!(!is_banned(&bans, address, until), "{address}");
        }
        assert!(!is_banned(&bans, "192.0.2.2", 0));
        assert_eq!(bans.next_ms(), Some(10));
        assert_eq!(bans.over(20), [ban(1, "", 0).id, ban(2, "", 0).id]);
        assert!(bans.over(20).is_empty());
        assert_eq!(bans.next_ms(), Some(30));
        let again = bans.add(ban(4, "192.0.2.1", 99), 50);
        assert_eq!(again[0].id, ban(1, "", 0).id, "the last one is replaced");
        assert!(bans.remove(&ban(4, "", 0).id).is_some());
        assert!(!is_banned(&bans, "192.0.2.1", 50));
        assert_eq!(bans.forgotten(&[], i64::MAX / 2).len(), 2);
        assert!(bans.sources.is_empty() && bans.networks.is_empty() && bans.by_id.is_empty());
        assert!(bans.active.is_empty() && bans.automatic.is_empty());
    }

    #[test]
    fn there_are_never_too_many() {
        let mut bans = Bans::default();
        let address = |n: u32| std::net::Ipv4Addr::from(n).to_string();
        for n in 0..MOST as u32 {
            assert!(
                bans.add(ban(n, &address(n), 1_000 + i64::from(n)), 0)
                    .is_empty()
            );
        }
        let by_hand = Ban {
            by_hand: true,
            ..ban(77_777, "192.0.2.1", 5)
        };
        assert_eq!(
            bans.add(by_hand, 0)[0].network,
            "0.0.0.0",
            "it would have ended first"
        );
        let gone = bans.add(ban(88_888, "192.0.2.2", 9_999), 0);
        assert_eq!(gone[0].network, "0.0.0.1", "one that was written stays");
        assert_eq!((bans.by_id.len(), bans.sources.len()), (MOST, MOST));
    }
}
