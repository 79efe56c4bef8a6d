//! Where a message came from and goes back to. Not a socket: `net` owns those and keeps
//! the table that turns a [`Flow`] into one. Next: `endpoint.rs`, which answers on the
//! flow a request came in on.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the bytes travel. SCTP is not spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Transport {
    /// All of them.
    pub const ALL: [Transport; 5] = [
        Transport::Udp,
        Transport::Tcp,
        Transport::Tls,
        Transport::Ws,
        Transport::Wss,
    ];

    /// Lower case, as the configuration and the API write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Ws => "ws",
            Transport::Wss => "wss",
        }
    }

    /// What a URI says that is to be reached this way; empty for UDP, which is meant when nothing is said. RFC 7118
    /// §5.3: `ws` stands for both WebSocket transports.
    pub fn uri_param(self) -> &'static str {
        match self {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls => ";transport=tls",
            Transport::Ws | Transport::Wss => ";transport=ws",
        }
    }

    /// Upper case, as in a Via's sent-protocol (RFC 3261 §20.42, RFC 7118 §5.2).
    pub fn via_name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// True when only the peer can make the connection: a flow whose connection is gone leads nowhere until the peer
    /// comes back (RFC 7118 §5: a browser listens nowhere).
    pub fn is_websocket(self) -> bool {
        matches!(self, Transport::Ws | Transport::Wss)
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
#[error("the transport must be udp, tcp, tls, ws or wss")]
pub struct UnknownTransport;

impl FromStr for Transport {
    type Err = UnknownTransport;

    fn from_str(text: &str) -> Result<Transport, UnknownTransport> {
        Transport::ALL
            .into_iter()
            .find(|t| t.as_str().eq_ignore_ascii_case(text))
            .ok_or(UnknownTransport)
    }
}

/// Where bytes came from and go back to. `id` is 0 for UDP, the connection's number for a
/// stream; 0 on a stream flow means "any live connection to `remote`, else connect" (a WebSocket is never connected to),
/// and so do numbers from [`Flow::WISH`] on, each as a certain peer wants it (with its own certificate, say).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flow {
    pub transport: Transport,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub id: u64,
}

impl Flow {
    /// See [`Flow`].
    pub const WISH: u64 = 1 << 63;

    /// Whether the connection is still to be found or made.
    pub fn is_wish(&self) -> bool {
        self.id == 0 || self.id & Flow::WISH != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_have_two_spellings_and_read_either() {
        for t in Transport::ALL {
            assert_eq!(t.as_str().parse(), Ok(t));
            assert_eq!(t.via_name().parse(), Ok(t));
        }
        assert_eq!("sctp".parse::<Transport>(), Err(UnknownTransport));
        assert!(!Transport::Udp.reliable() && Transport::Wss.reliable());
        assert_eq!(Transport::Wss.uri_param(), ";transport=ws");
    }
}
