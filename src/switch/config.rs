//! What the Switch is told at its start.

use std::net::IpAddr;
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
    /// A phone behind NAT is asked something at least this often; zero: never.
    pub nat_keepalive: Duration,
    pub rtp_port_min: u16,
    pub rtp_port_max: u16,
    pub rtp_timeout: Duration,
    pub rtp_hold_timeout: Duration,
    /// `[dialplan] outbound_prefix`.
    pub outbound_prefix: String,
    /// `[emergency] numbers`.
    pub emergency: Vec<String>,
    /// The most calls at once; over it 503, but for an emergency.
    pub max_calls: usize,
}
