//! Whether a written host or socket could work: what `config` asks before it is tried. Nothing is looked up or bound here.

use std::net::{IpAddr, SocketAddr};

/// Whether other machines could find us by it: an address, or a host name as in RFC 3261 §25.1.
pub(crate) fn is_host(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(text).parse::<IpAddr>() {
        return is_reachable(ip) && (bare.is_none() || ip.is_ipv6());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let top = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.split('.').all(label)
        && top.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Whether others could send to it.
pub(crate) fn is_reachable(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast()
}

/// Whether two sockets of one kind (UDP or TCP) cannot be bound side by side.
pub(crate) fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() != 0
        && a.port() == b.port()
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}
