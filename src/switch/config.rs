//! What the Switch is told at its start.

use crate::defence::DefenceConfig;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// The Switch's settings, from `offhook.toml`.
#[derive(Debug, Clone)]
pub struct Config {
    /// Digest realm.
    pub realm: String,
    /// Secret randomness: nonces, tags, branches and Call-IDs derive from it.
    pub seed: [u8; 32],
    /// The monotonic origin of `now`, and the wall clock at that moment in Unix milliseconds.
    pub origin: Instant,
    pub origin_unix_ms: i64,
    /// Put in Via and Contact instead of the local address.
    pub external_host: Option<String>,
    /// Put in SDP instead of the local address.
    pub external_media: Option<IpAddr>,
    /// Whoever is in one of these networks is told our local address all the same.
    pub local_networks: Vec<RangeInclusive<IpAddr>>,
    pub phones: Phones,
    /// A phone behind NAT is asked something at least this often; zero: never.
    pub nat_keepalive: Duration,
    /// How long a call stands without a refresh, where the party knows session timers (RFC 4028), and the shortest such
    /// time we agree to. Zero: timers only as others ask for them.
    pub session_expires: Duration,
    pub min_se: Duration,
    pub rtp_port_min: u16,
    pub rtp_port_max: u16,
    pub rtp_timeout: Duration,
    pub rtp_hold_timeout: Duration,
    /// What a held party hears: a prompt's name, or a folder of them. Empty: nothing.
    pub music_on_hold: String,
    /// `[dialplan] outbound_prefix`.
    pub outbound_prefix: String,
    /// `[emergency] numbers`.
    pub emergency: Vec<String>,
    /// `[trace] enabled`.
    pub trace: bool,
    pub calls: Calls,
    /// `[defence]`.
    pub defence: DefenceConfig,
    /// The most calls at once; over it 503, but for an emergency.
    pub max_calls: usize,
}

/// What may become of a call that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// A party that was sent on goes back to its transferrer when nobody takes it for this long; zero: never.
    pub transfer_return: Duration,
    /// Extensions may start calls by a REFER outside any.
    pub refer_outside: bool,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            transfer_return: Duration::from_secs(45),
            refer_outside: false,
        }
    }
}

/// How registered phones are looked after. The default does none of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phones {
    /// Every phone is asked whether it is there at least this often; zero: never.
    pub ping: Duration,
    /// The longest registration of a UDP phone behind NAT; zero: as long as any.
    pub nat_expires: Duration,
    /// Service-Route values for every phone (RFC 3608).
    pub service_route: Vec<String>,
    /// Sleeping phones are woken by push notifications (RFC 8599).
    pub push: Option<Push>,
}

/// Push notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// A phone that was sent one has this long to register.
    pub wait: Duration,
    /// The longest registration of a phone that can be woken.
    pub expires: Duration,
}
