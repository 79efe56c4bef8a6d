//! Where a message came from and goes back to. Not a socket: `net` owns those and keeps
//! the table that turns a [`Flow`] into one. Next: `endpoint.rs`, which answers on the
//! flow a request came in on.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the bytes travel. SCTP and WebSocket are not spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    /// Lower case, as in a URI's `;transport=` parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }

    /// Upper case, as in a Via's sent-protocol (RFC 3261 §20.42).
    pub fn via_name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }

    /// True when the transport repeats lost bytes itself, so that SIP must not (RFC 3261 §17).
    pub fn reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text named no transport we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the transport must be udp, tcp or tls")]
pub struct UnknownTransport;

impl FromStr for Transport {
    type Err = UnknownTransport;

    fn from_str(text: &str) -> Result<Transport, UnknownTransport> {
        [Transport::Udp, Transport::Tcp, Transport::Tls]
            .into_iter()
            .find(|t| t.as_str().eq_ignore_ascii_case(text))
            .ok_or(UnknownTransport)
    }
}

/// Where bytes came from and go back to. `id` is 0 for UDP, the connection's number for a
/// stream; 0 on a stream flow means "any live connection to `remote`, else connect".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flow {
    pub transport: Transport,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub id: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_have_two_spellings_and_read_either() {
        for t in [Transport::Udp, Transport::Tcp, Transport::Tls] {
            assert_eq!(t.as_str().parse(), Ok(t));
            assert_eq!(t.via_name().parse(), Ok(t));
        }
        assert_eq!("sctp".parse::<Transport>(), Err(UnknownTransport));
        assert!(!Transport::Udp.reliable() && Transport::Tls.reliable());
    }
}
