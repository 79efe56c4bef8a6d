//! What is kept of watching: subscriptions over restarts, and how many messages wait for an extension.

use serde::{Deserialize, Serialize};

/// How many messages wait, as a phone shows them (RFC 3842). Urgent ones are counted in both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSummary {
    pub new: u32,
    pub old: u32,
    pub urgent_new: u32,
    pub urgent_old: u32,
}

/// One subscription of a phone (RFC 6665). Addresses are text so that this crate knows nothing of SIP; `switch` parses
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Our tag in its dialog; no two have the same.
    pub id: String,
    /// The extension that subscribed.
    pub subscriber: String,
    /// The extension that is watched, or whose list is.
    pub watched: String,
    pub is_list: bool,
    /// The host in the URIs that the subscriber is told.
    pub host: String,
    /// The Event value.
    pub event: String,
    pub call_id: String,
    /// From and To of our NOTIFYs, tags included.
    pub notifier: String,
    pub remote: String,
    /// The subscriber's Contact, a URI.
    pub target: String,
    /// Route values, topmost first.
    pub routes: Vec<String>,
    pub contact_user: String,
    /// No NOTIFY has had a higher CSeq.
    pub cseq: u32,
    /// Of the last SUBSCRIBE.
    pub remote_cseq: u32,
    /// `address:port` the last SUBSCRIBE came from, and our own it arrived on.
    pub source: String,
    pub local: String,
    /// `udp`, `tcp`, `tls` …
    pub transport: String,
    /// Unix time, milliseconds.
    pub expires_at_ms: i64,
}
