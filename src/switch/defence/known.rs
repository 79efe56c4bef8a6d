//! Who has proven a password of late, from where: those are not treated as strangers, whatever else comes from there.

use super::source::Source;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// An address from where somebody logged in is trusted with more for so long.
const SOURCE: Duration = Duration::from_secs(24 * 3_600);
/// The very flow of a phone; longer when its registration is granted for longer.
const FLOW: Duration = Duration::from_secs(2 * 3_600);
/// Most of either; only who knows a password gets in here.
const MOST: usize = 20_000;

/// Flows and sources.
#[derive(Default)]
pub(crate) struct Known {
    sources: HashMap<Source, Instant>,
    /// With the extension that logged in there last.
    flows: HashMap<SocketAddr, (Instant, String)>,
}

impl Known {
    pub(crate) fn has_source(&self, now: Instant, source: Source) -> bool {
        self.sources.get(&source).is_some_and(|until| now < *until)
    }

    pub(crate) fn has_flow(&self, now: Instant, remote: SocketAddr) -> bool {
        self.flows
            .get(&remote)
            .is_some_and(|(until, _)| now < *until)
    }

    /// Whether it was `extension` that logged in there.
    pub(crate) fn is_of(&self, now: Instant, remote: SocketAddr, extension: &str) -> bool {
        let known = self.flows.get(&remote);
        known.is_some_and(|(until, who)| now < *until && who == extension)
    }

    /// `extension` logged in from there.
    pub(crate) fn add(&mut self, now: Instant, remote: SocketAddr, extension: &str) {
        if self.sources.len() >= MOST {
            self.sources.retain(|_, until| now < *until);
        }
        if self.flows.len() >= MOST {
            self.flows.retain(|_, (until, _)| now < *until);
        }
        let source = Source::of(remote.ip());
        if self.sources.len() < MOST || self.sources.contains_key(&source) {
            self.sources.insert(source, now + SOURCE);
        }
        let room = self.flows.len() < MOST;
        if let Some((until, who)) = self.flows.get_mut(&remote) {
            *until = (*until).max(now + FLOW);
            if who != extension {
                extension.clone_into(who);
            }
        } else if room {
            self.flows
                .insert(remote, (now + FLOW, extension.to_owned()));
        }
    }
}

impl super::Defence {
    /// Who logged in from `remote` has a registration for so long from now.
    pub(crate) fn granted(&mut self, now: Instant, remote: SocketAddr, left: Duration) {
        if let Some((until, _)) = self.known.flows.get_mut(&remote) {
            *until = (*until).max(now + left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_logged_in_is_known_for_a_while() {
        let (mut known, start) = (Known::default(), Instant::now());
        let at = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
        known.add(start, at(5060), "101");
        let source = Source::of(at(1).ip());
        assert!(known.has_source(start, source) && known.has_flow(start, at(5060)));
        assert!(known.is_of(start, at(5060), "101") && !known.is_of(start, at(5060), "102"));
        assert!(!known.has_flow(start, at(5061)));
        let later = start + FLOW;
        assert!(known.has_source(later, source) && !known.has_flow(later, at(5060)));
        assert!(!known.has_source(start + SOURCE, source));
    }

    #[test]
    fn a_phone_is_known_as_long_as_it_is_registered() {
        let start = Instant::now();
        let settings = super::super::DefenceConfig::default();
        let mut defence = super::super::Defence::new(&settings, &[0; 32], start);
        let at = SocketAddr::from(([192, 0, 2, 1], 5060));
        let week = Duration::from_secs(604_800);
        defence.granted(start, at, week);
        assert!(!defence.known.has_flow(start, at), "it never logged in");
        for granted in [week, Duration::from_secs(60)] {
            defence.known.add(start, at, "101");
            defence.granted(start, at, granted);
        }
        let last = start + week - Duration::from_secs(1);
        assert!(defence.known.is_of(last, at, "101") && !defence.known.has_flow(start + week, at));
    }

    #[test]
    fn there_is_an_end_to_it() {
        let (mut known, start) = (Known::default(), Instant::now());
        for n in 0..MOST as u32 + 10 {
            let remote = SocketAddr::from((std::net::Ipv4Addr::from(n), 5060));
            known.add(start, remote, "101");
        }
        assert_eq!((known.sources.len(), known.flows.len()), (MOST, MOST));
        let new = SocketAddr::from(([192, 0, 2, 1], 5060));
        known.add(start + SOURCE, new, "101");
        assert_eq!((known.sources.len(), known.flows.len()), (1, 1));
    }
}
