//! A SIP message of a call, as it came or went: for finding out afterwards who said what.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::SocketAddr;

/// One message, or the note that no more of the call's were kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// The call's number (`switch::CallId`).
    pub call: u64,
    /// Which of the call's legs, from 0, when that is known.
    pub leg: Option<u8>,
    /// Unix time, microseconds.
    pub at_us: i64,
    /// It came; else we sent it.
    pub inward: bool,
    /// `udp`, `tcp`, `tls`, `ws` or `wss`.
    pub transport: Cow<'static, str>,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// The message; empty: from here on there were too many.
    #[serde(skip)]
    pub bytes: Bytes,
}
