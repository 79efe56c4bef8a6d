//! A registration: where an extension's phone can be reached, kept over restarts.

use serde::{Deserialize, Serialize};

/// One binding of an extension to one phone (RFC 3261 §10). Addresses are text so that this crate knows
/// nothing of SIP; `switch` parses them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The extension's number.
    pub extension: String,
    /// What identifies the binding: the contact URI as the phone wrote it, or its `+sip.instance`.
    pub binding: String,
    /// The contact URI as the phone wrote it.
    pub contact: String,
    /// `address:port` the REGISTER came from: where calls are sent (the cure for NAT).
    pub source: String,
    /// Our own `address:port` the REGISTER arrived on.
    pub local: String,
    /// `udp`, `tcp`, `tls`, `ws` or `wss`.
    pub transport: String,
    pub user_agent: String,
    /// The REGISTER's Call-ID and CSeq: an older CSeq of the same Call-ID is refused (RFC 3261 §10.3 step 7).
    pub call_id: String,
    pub cseq: u32,
    /// Unix time, milliseconds.
    pub expires_at_ms: i64,
}
