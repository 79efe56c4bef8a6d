//! How often each source sent a wrong key: who guesses too fast is told to wait.

use axum::extract::ConnectInfo;
use axum::http::Extensions;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One more guess is granted this often.
const REFILL: Duration = Duration::from_secs(1);
/// Most sources remembered; the one that was wrong longest ago is forgotten for another.
const SOURCES: usize = 4096;

/// Whom a request comes from: an address, of IPv6 its /64, which one customer has for himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source(IpAddr);

impl Source {
    /// The peer of the connection. What the request itself says of its way (`X-Forwarded-For`) anybody can write.
    pub(crate) fn of(extensions: &Extensions) -> Source {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |c| c.0.ip());
        Source(match peer.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & (u128::MAX << 64);
                IpAddr::V6(Ipv6Addr::from(network))
            }
            IpAddr::V4(address) => IpAddr::V4(address),
        })
    }
}

/// The wrong keys of late.
pub(crate) struct Guesses {
    /// How many a source may send in a row.
    most: u32,
    sources: Mutex<HashMap<Source, Wrong>>,
}

/// So many guesses are used up as of a time; they are given back as time goes by.
#[derive(Clone, Copy)]
struct Wrong {
    used: u32,
    at: Instant,
}

impl Wrong {
    fn used(self, now: Instant) -> u32 {
        let since = now.saturating_duration_since(self.at);
        let back = u32::try_from(since.as_secs() / REFILL.as_secs()).unwrap_or(u32::MAX);
        self.used.saturating_sub(back)
    }
}

impl Guesses {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            sources: Mutex::default(),
        }
    }

    /// Whether the source has no guess left.
    pub(crate) fn are_used_up(&self, source: Source, now: Instant) -> bool {
        let wrong = self.sources().get(&source).copied();
        wrong.is_some_and(|wrong| wrong.used(now) >= self.most)
    }

    /// Notes a wrong key.
    pub(crate) fn add(&self, source: Source, now: Instant) {
        let mut sources = self.sources();
        let used = sources.get(&source).map_or(0, |wrong| wrong.used(now));
        if sources.len() >= SOURCES && !sources.contains_key(&source) {
            let oldest = sources.iter().min_by_key(|(_, wrong)| wrong.at);
            if let Some(oldest) = oldest.map(|(source, _)| *source) {
                sources.remove(&oldest);
            }
        }
        let used = used.saturating_add(1).min(self.most);
        sources.insert(source, Wrong { used, at: now });
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<Source, Wrong>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(peer: &str) -> Source {
        let mut extensions = Extensions::new();
        let peer: SocketAddr = peer.parse().expect("an address");
        extensions.insert(ConnectInfo(peer));
        Source::of(&extensions)
    }

    #[test]
    fn guesses_run_out_and_come_back() {
        let guesses = Guesses::new(3);
        let (alice, bob) = (source("192.0.2.1:1"), source("192.0.2.2:1"));
        let start = Instant::now();
        for _ in 0..3 {
            assert!(!guesses.are_used_up(alice, start));
            guesses.add(alice, start);
        }
        assert!(guesses.are_used_up(alice, start));
        assert!(!guesses.are_used_up(bob, start));
        let later = start + Duration::from_millis(1_500);
        assert!(!guesses.are_used_up(alice, later));
        guesses.add(alice, later);
        assert!(guesses.are_used_up(alice, later));
        assert!(!guesses.are_used_up(alice, later + Duration::from_secs(60)));
    }

    #[test]
    fn many_sources_take_no_more_room() {
        let guesses = Guesses::new(1);
        let start = Instant::now();
        for n in 0..=u32::try_from(SOURCES).expect("few") {
            let source = Source(IpAddr::V4(Ipv4Addr::from(n)));
            guesses.add(source, start + Duration::from_micros(n.into()));
        }
        assert_eq!(guesses.sources().len(), SOURCES);
        let first = Source(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        assert!(
            !guesses.are_used_up(first, start),
            "the oldest is forgotten"
        );
    }

    #[test]
    fn a_source_is_an_address_or_a_customers_network() {
        let alice = source("192.0.2.1:1");
        assert_eq!(source("192.0.2.1:2"), alice);
        assert_eq!(source("[::ffff:192.0.2.1]:1"), alice);
        assert_ne!(source("192.0.2.2:1"), alice);
        assert_eq!(source("[2001:db8::1]:1"), source("[2001:db8::2]:1"));
    }
}
