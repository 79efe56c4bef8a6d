//! A registration: where an extension's phone can be reached, kept over restarts.

use serde::{Deserialize, Serialize};

/// One binding of an extension to one way to one phone (RFC 3261 §10, RFC 5626 §6). Addresses are text so that this
/// crate knows nothing of SIP; `switch` parses them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The extension's number.
    pub extension: String,
    /// What identifies the binding: the contact URI as the phone wrote it, or its `+sip.instance`, with `;reg-id=N`
    /// when it has several flows.
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
    /// When the last REGISTER for it came, Unix milliseconds.
    #[serde(default)]
    pub registered_at_ms: i64,
    /// `+sip.instance` without its quotes: what is the same for all flows of one phone. Empty: it gave none.
    #[serde(default)]
    pub instance: String,
    /// Which of the phone's flows this is (RFC 5626 §4.2); 0: it has but one.
    #[serde(default)]
    pub reg_id: u32,
    /// The proxies on the way to the phone, the first of them first (RFC 3327).
    #[serde(default)]
    pub path: Vec<String>,
    /// What temporary GRUUs of the phone are made from (RFC 5627 §3.1.2); empty: it wants no GRUU.
    #[serde(default)]
    pub gruu_key: String,
    /// What the phone calls us: the host of its REGISTER's Request-URI, without brackets and in small letters.
    #[serde(default)]
    pub host: String,
}

impl Registration {
    /// What tells the phone from the extension's others: several flows of one phone have it in common.
    pub fn device(&self) -> &str {
        if self.instance.is_empty() {
            &self.binding
        } else {
            &self.instance
        }
    }
}
