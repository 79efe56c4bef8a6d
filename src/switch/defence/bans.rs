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
    /// Those that hold, as far as was told.
    active: BTreeSet<String>,
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
            self.active.insert(ban.id.clone());
        }
        self.by_id.insert(ban.id.clone(), ban);
        gone
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Ban> {
        let ban = self.by_id.remove(id)?;
        self.active.remove(id);
        self.networks.retain(|(_, other)| other != id);
        let source = Network::parse(&ban.network)
            .and_then(|n| n.customer())
            .map(Source::of);
        if let Some(source) = source {
            self.sources.remove(&(source, ban.extension.clone()));
        }
        Some(ban)
    }

    /// The ids of those that are over since the last time.
    pub(crate) fn over(&mut self, now_ms: i64) -> Vec<String> {
        let holds = |id: &String| self.by_id.get(id).is_some_and(|ban| ban.holds(now_ms));
        let over: Vec<String> = self
            .active
            .iter()
            .filter(|id| !holds(id))
            .cloned()
            .collect();
        for id in &over {
            self.active.remove(id);
        }
        over
    }

    /// Takes out those not worth remembering.
    pub(crate) fn forgotten(&mut self, now_ms: i64) -> Vec<Ban> {
        let old = self.by_id.values().filter(|ban| !ban.is_remembered(now_ms));
        let old: Vec<String> = old.map(|ban| ban.id.clone()).collect();
        old.iter().filter_map(|id| self.remove(id)).collect()
    }

    /// When the next one is over, Unix milliseconds.
    pub(crate) fn next_ms(&self) -> Option<i64> {
        let ends = self
            .active
            .iter()
            .filter_map(|id| self.by_id.get(id)?.until_ms);
        ends.min()
    }

    /// The automatic one that ends first.
    fn weakest(&self) -> Option<String> {
        let automatic = self.by_id.values().filter(|ban| !ban.by_hand);
        let first = automatic.min_by_key(|ban| ban.until_ms.unwrap_or(i64::MAX));
        first
            .or_else(|| self.by_id.values().next())
            .map(|ban| ban.id.clone())
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
        assert_eq!(bans.forgotten(i64::MAX / 2).len(), 2);
        assert!(bans.sources.is_empty() && bans.networks.is_empty() && bans.by_id.is_empty());
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
