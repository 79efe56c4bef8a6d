//! Where to listen, as written in the configuration (`udp://0.0.0.0:5060`), and why listening failed.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use sip::Transport;

/// One address to listen on. Written `udp://0.0.0.0:5060`, `tcp://[::]:5060`, `tls://192.0.2.7`; without a port
/// 5060 is meant, for TLS 5061 (RFC 3261 §19.1.2), for `ws` 8088 and for `wss` 8089.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Listen {
    pub transport: Transport,
    pub address: SocketAddr,
}

impl Listen {
    /// Whether it needs a certificate.
    pub fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls | Transport::Wss)
    }
}

/// A listen address that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    #[error("{0:?} does not start with udp://, tcp://, tls://, ws:// or wss://")]
    Scheme(String),
    #[error(
        "{0:?} is not an IP address with an optional port; write 0.0.0.0:5060, or [::]:5060 for IPv6"
    )]
    Address(String),
}

/// Why an address could not be listened on; one sentence with a hint for the administrator.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "{0} is taken by another program; stop it (`ss -lntup` shows which) or choose another port"
    )]
    Taken(Listen),
    #[error(
        "{0} needs more rights than this program has; give it CAP_NET_BIND_SERVICE or choose a port above 1023"
    )]
    Forbidden(Listen),
    #[error("{0} is no address of this machine; use one that `ip address` shows, or 0.0.0.0")]
    NotOurs(Listen),
    #[error("{0} cannot be used: this machine has no IPv6; leave this address out")]
    NoFamily(Listen),
    #[error("{0} needs a certificate; configure one or leave this address out")]
    NoCertificate(Listen),
    #[error("{0} cannot be listened on: {1}")]
    Other(Listen, io::Error),
}

impl BindError {
    pub(crate) fn new(listen: Listen, error: io::Error) -> BindError {
        match error.raw_os_error() {
            Some(libc::EADDRINUSE) => BindError::Taken(listen),
            Some(libc::EACCES | libc::EPERM) => BindError::Forbidden(listen),
            Some(libc::EADDRNOTAVAIL) => BindError::NotOurs(listen),
            Some(libc::EAFNOSUPPORT) => BindError::NoFamily(listen),
            _ => BindError::Other(listen, error),
        }
    }
}

/// The port a transport uses when none is given (RFC 3261 §19.1.2).
pub(crate) fn default_port(transport: Transport) -> u16 {
    match transport {
        Transport::Udp | Transport::Tcp => 5060,
        Transport::Tls => 5061,
        // RFC 7118 §5 leaves it to HTTP: 80 and 443, which belong to web servers; these are what others chose.
        Transport::Ws => 8088,
        Transport::Wss => 8089,
    }
}

/// "udp 0.0.0.0:5060", as an administrator reads it in an error.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport.as_str(), self.address)
    }
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Listen, ListenError> {
        let text = text.trim();
        let scheme = || ListenError::Scheme(text.to_owned());
        let (transport, address) = text.split_once("://").ok_or_else(scheme)?;
        let transport = match transport.to_ascii_lowercase().as_str() {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            "tls" => Transport::Tls,
            "ws" => Transport::Ws,
            "wss" => Transport::Wss,
            _ => return Err(scheme()),
        };
        let bare = address
            .strip_prefix('[')
            .and_then(|a| a.strip_suffix(']'))
            .unwrap_or(address);
        let address = address
            .parse()
            .or_else(|_| {
                bare.parse::<IpAddr>()
                    .map(|ip| SocketAddr::new(ip, default_port(transport)))
            })
            .map_err(|_| ListenError::Address(address.to_owned()))?;
        Ok(Listen { transport, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_a_port() {
        let cases = [
            ("udp://0.0.0.0:5060", "udp 0.0.0.0:5060"),
            ("TCP://[::]:5070", "tcp [::]:5070"),
            ("tls://[::1]", "tls [::1]:5061"),
            ("tls://::1", "tls [::1]:5061"),
            (" udp://192.0.2.7 ", "udp 192.0.2.7:5060"),
            ("wss://[::]", "wss [::]:8089"),
        ];
        for (text, shown) in cases {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        assert!(matches!(
            "0.0.0.0:5060".parse::<Listen>(),
            Err(ListenError::Scheme(_))
        ));
        assert!(matches!(
            "http://0.0.0.0:5060".parse::<Listen>(),
            Err(ListenError::Scheme(_))
        ));
        assert!(matches!(
            "udp://pbx.example".parse::<Listen>(),
            Err(ListenError::Address(_))
        ));
        assert!(matches!(
            "udp://0.0.0.0:99999".parse::<Listen>(),
            Err(ListenError::Address(_))
        ));
    }
}
