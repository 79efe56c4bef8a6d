//! Browser phones at the HTTP port: who takes them, and where they are when a proxy brings them. Whom a proxy names
//! is believed of `[http] trusted_proxies` alone: anybody can write that header.

use crate::config::Http;
use directory::number::Network;
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpStream;

/// As the API sees who takes them.
pub(crate) struct Browsers {
    sockets: net::WebSockets,
    proxies: Vec<Network>,
}

impl Browsers {
    pub(crate) fn new(sockets: net::WebSockets, http: &Http) -> Browsers {
        let proxies = http
            .trusted_proxies
            .iter()
            .filter_map(|text| Network::parse(text));
        Browsers {
            sockets,
            proxies: proxies.collect(),
        }
    }
}

impl api::SipSocket for Browsers {
    fn answer(&self, request: &axum::extract::Request) -> axum::http::Response<String> {
        self.sockets.answer(request)
    }

    fn take(&self, stream: TcpStream, read: bytes::Bytes, proxy: api::Proxy) {
        let Ok(peer) = stream.peer_addr() else {
            return;
        };
        let remote = behind(peer, &proxy.forwarded_for, &self.proxies);
        let sockets = self.sockets.clone();
        tokio::spawn(sockets.adopt(stream, read, remote, proxy.secure));
    }
}

/// Who is behind `peer`: the last address in `forwarded_for` that is no proxy of ours, for what stands before it its
/// sender wrote; with the port of the connection, which tells several of one address apart.
fn behind(peer: SocketAddr, forwarded_for: &str, proxies: &[Network]) -> SocketAddr {
    let trusted = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
    if !trusted(peer.ip()) {
        return peer;
    }
    let named = forwarded_for.rsplit(',').map_while(address);
    let client = named.into_iter().find(|address| !trusted(*address));
    client.map_or(peer, |client| SocketAddr::new(client, peer.port()))
}

/// With or without a port, as proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let whole = || text.parse::<SocketAddr>().ok().map(|whole| whole.ip());
    bare.parse().ok().or_else(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_behind_a_proxy_is_what_our_own_proxies_say() {
        let proxies =
            ["127.0.0.1", "10.0.0.0/8"].map(|text| Network::parse(text).expect("a network"));
        let of = |peer: &str, said: &str| {
            let peer = peer.parse().expect("an address");
            behind(peer, said, &proxies).to_string()
        };
        assert_eq!(of("127.0.0.1:9", "192.0.2.1"), "192.0.2.1:9");
        assert_eq!(
            of("127.0.0.1:9", "6.6.6.6, 192.0.2.1, 10.1.2.3"),
            "192.0.2.1:9"
        );
        assert_eq!(of("127.0.0.1:9", "192.0.2.1:555"), "192.0.2.1:9");
        assert_eq!(of("127.0.0.1:9", "[2001:db8::1]:555"), "[2001:db8::1]:9");
        assert_eq!(of("127.0.0.1:9", "2001:db8::1"), "[2001:db8::1]:9");
        // Nobody else's word counts, nor what stands before a word of no use.
        assert_eq!(of("192.0.2.9:9", "192.0.2.1"), "192.0.2.9:9");
        assert_eq!(of("127.0.0.1:9", "192.0.2.1, unknown"), "127.0.0.1:9");
        assert_eq!(of("127.0.0.1:9", ""), "127.0.0.1:9");
    }
}
