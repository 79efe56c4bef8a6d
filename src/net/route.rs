//! Which of our addresses the kernel would use towards somebody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Our address towards `remote`, by connecting a UDP socket, which sends nothing. None when there is no route.
pub(crate) fn local_ip(remote: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_reached_from_loopback() {
        let local = local_ip("127.0.0.1:5060".parse().unwrap()).unwrap();
        assert_eq!(local, Ipv4Addr::LOCALHOST);
    }
}
