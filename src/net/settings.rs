//! What the sockets are to be like, beside where they listen.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use rustls::ServerConfig;
use socket2::SockRef;

use crate::peers::Peers;
use crate::stream::StreamLimits;

/// How the program talks SIP. The default suits a program without TLS.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What `tls://` and `wss://` listeners show.
    pub tls: Option<Arc<ServerConfig>>,
    /// Bounds of connections.
    pub limits: StreamLimits,
    /// The providers that TLS is spoken with.
    pub peers: Arc<Peers>,
    /// How signalling is marked for routers.
    pub dscp: Dscp,
    /// Whom to ask for names instead of those in `/etc/resolv.conf`.
    pub name_servers: Vec<SocketAddr>,
    /// The pages that may open a WebSocket, as `https://phones.example`; empty: all.
    pub origins: Arc<[String]>,
}

/// A DSCP (RFC 2474): the upper six bits of the traffic class. Written as a number, or `CS3`, `AF31`, `EF`, `VA`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dscp(u8);

/// The text is no DSCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a DSCP: write CS0 to CS7, AF11 to AF43, EF, VA, or a number from 0 to 63")]
pub struct UnknownDscp;

/// CS3: signalling, as most offices' switches have it (RFC 4594 §2.3 has CS5, and CS3 for broadcast video).
impl Default for Dscp {
    fn default() -> Dscp {
        Dscp(24)
    }
}

impl FromStr for Dscp {
    type Err = UnknownDscp;

    fn from_str(text: &str) -> Result<Dscp, UnknownDscp> {
        if let Ok(number) = text.parse() {
            return if number < 64 {
                Ok(Dscp(number))
            } else {
                Err(UnknownDscp)
            };
        }
        let digit = |byte: &u8, most: u8| {
            let digit = byte.wrapping_sub(b'0');
            (digit <= most).then_some(digit).ok_or(UnknownDscp)
        };
        match text.to_ascii_uppercase().as_bytes() {
            // RFC 3246, RFC 5865.
            b"EF" => Ok(Dscp(46)),
            b"VA" => Ok(Dscp(44)),
            // RFC 2474 §4.2.2.2.
            [b'C', b'S', class] => Ok(Dscp(digit(class, 7)? << 3)),
            // RFC 2597 §6.
            [b'A', b'F', class, drop] => match (digit(class, 4)?, digit(drop, 3)?) {
                (0, _) | (_, 0) => Err(UnknownDscp),
                (class, drop) => Ok(Dscp(class << 3 | drop << 1)),
            },
            _ => Err(UnknownDscp),
        }
    }
}

impl Dscp {
    /// Marks what the socket sends. A wish: a container may forbid it, and calls work without.
    pub(crate) fn mark(self, socket: &SockRef<'_>, ipv6: bool) {
        let class = u32::from(self.0) << 2;
        if class == 0 {
            return;
        }
        let _ = if ipv6 {
            socket.set_tclass_v6(class)
        } else {
            socket.set_tos_v4(class)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dscp_has_a_name_or_a_number() {
        for (text, number) in [
            ("CS3", 24),
            ("cs0", 0),
            ("EF", 46),
            ("AF31", 26),
            ("AF43", 38),
            ("0", 0),
            ("63", 63),
        ] {
            assert_eq!(text.parse(), Ok(Dscp(number)), "{text}");
        }
        for text in ["", "64", "CS8", "AF30", "AF01", "AF51", "CS", "-1", "CS/"] {
            assert_eq!(text.parse::<Dscp>(), Err(UnknownDscp), "{text}");
        }
    }
}
