//! How a registered phone is reached: its flows, the newest first (RFC 5626 §5.3), then the address it gave itself.

use super::{Binding, Link};
use crate::keepalive::is_private;
use crate::notice::Reach;
use crate::office::Office;
use crate::push;
use sip::{Flow, NameAddr, Uri};
use std::net::SocketAddr;

/// One way to a party: where to send, and what the request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) flow: Flow,
    /// The Request-URI; empty: it depends on the flow.
    pub(crate) uri: String,
    /// RFC 3327 §5.3: the proxies on the way, as Route.
    pub(crate) route: Vec<String>,
}

/// One phone of an extension, and how to ring it.
#[derive(Debug)]
pub(crate) struct Ringable {
    /// The extension and the phone (see `Registration::device`).
    pub(crate) device: push::Device,
    /// Never empty.
    pub(crate) ways: Vec<Way>,
    /// It may not be there: it is tried, but not for long.
    pub(crate) doubtful: bool,
    /// It has to be woken first.
    pub(crate) asleep: bool,
}

impl Binding {
    /// The ways this binding knows, the likeliest first.
    pub(crate) fn ways(&self) -> Vec<Way> {
        let there = (self.link == Link::Open).then_some(self.flow);
        let flows = there.into_iter().chain(self.fallback());
        flows.map(|flow| self.way(flow)).collect()
    }

    fn way(&self, flow: Flow) -> Way {
        Way {
            flow,
            uri: self.kept.contact.clone(),
            route: self.kept.path.clone(),
        }
    }

    /// The address the phone itself gave, for when its connection is gone (a restart of ours, say). None where we cannot
    /// connect: over UDP there is nothing to lose, a browser listens nowhere (RFC 7118 §5), a phone that keeps flows
    /// waits for us on those only (RFC 5626 §5.3), and a private address of another network is somebody else's here.
    fn fallback(&self) -> Option<Flow> {
        let transport = self.flow.transport;
        if !transport.reliable() || transport.is_websocket() || self.kept.reg_id > 0 {
            return None;
        }
        let first = self.kept.path.first();
        let uri = match first {
            Some(route) => NameAddr::parse(route).ok()?.uri,
            None => Uri::parse(&self.kept.contact).ok()?,
        };
        let ip = uri.host.parse().ok()?;
        if is_private(ip) && !is_private(self.flow.remote.ip()) {
            return None;
        }
        let default = if transport == sip::Transport::Tls {
            5061
        } else {
            5060
        };
        Some(Flow {
            remote: SocketAddr::new(ip, uri.port.unwrap_or(default)),
            id: 0,
            ..self.flow
        })
    }
}

/// The phones of `extension`, the longest unheard of first; one branch each, however many flows it has.
pub(crate) fn phones(office: &Office, extension: &str) -> Vec<Ringable> {
    let mut phones: Vec<Ringable> = Vec::new();
    for device in super::devices_of(office, extension) {
        let own = |b: &&Binding| b.kept.device() == device;
        let mut bindings: Vec<&Binding> =
            office.registrar.bindings(extension).filter(own).collect();
        // The newest flow first; one that is known to be dead last.
        bindings.reverse();
        bindings.sort_by_key(|b| matches!(b.reach, Reach::Unreachable { .. }));
        let mut ways: Vec<Way> = bindings.iter().flat_map(|b| b.ways()).collect();
        if ways.is_empty() {
            // It is tried all the same; that costs nothing and fails at once.
            ways.extend(bindings.first().map(|b| b.way(b.flow)));
        }
        let there =
            |b: &&Binding| b.link == Link::Open && !matches!(b.reach, Reach::Unreachable { .. });
        phones.push(Ringable {
            doubtful: !bindings.iter().any(there),
            asleep: bindings.iter().all(|b| push::is_asleep(office, b)),
            device: (extension.to_owned(), device),
            ways,
        });
    }
    phones
}

#[cfg(test)]
mod tests {
    use super::*;
    use directory::Registration;

    fn binding(transport: sip::Transport, contact: &str) -> Binding {
        let kept = Registration {
            contact: contact.to_owned(),
            ..Registration::default()
        };
        let flow = Flow {
            transport,
            local: ([192, 0, 2, 1], 5060).into(),
            remote: ([198, 51, 100, 9], 40_000).into(),
            id: 7,
        };
        Binding {
            kept,
            flow,
            link: Link::Gone,
            reach: Reach::Unknown,
            heard: None,
            expires: std::time::Instant::now(),
        }
    }

    #[test]
    fn only_a_phone_that_listens_is_connected_to() {
        let contact = "sip:101@192.0.2.9:5070";
        let tcp = binding(sip::Transport::Tcp, contact).ways();
        let flow = tcp.first().expect("an address").flow;
        assert_eq!((flow.remote, flow.id), (([192, 0, 2, 9], 5070).into(), 0));
        // RFC 7118 §5: whatever a browser writes into its Contact.
        for transport in [sip::Transport::Udp, sip::Transport::Ws, sip::Transport::Wss] {
            assert_eq!(binding(transport, contact).ways(), []);
        }
        let private = binding(sip::Transport::Tls, "sip:101@192.168.1.7:5061");
        assert_eq!(private.ways(), [], "another network's 192.168.1.7");
        let mut flows = binding(sip::Transport::Tcp, contact);
        flows.kept.reg_id = 1;
        assert_eq!(flows.ways(), []);
    }

    #[test]
    fn behind_proxies_the_first_of_them_is_connected_to() {
        let mut proxied = binding(sip::Transport::Tls, "sip:101@10.0.0.9");
        proxied.kept.path = vec!["<sip:192.0.2.77;lr>".to_owned(), "<sip:edge;lr>".to_owned()];
        let ways = proxied.ways();
        let way = ways.first().expect("an address");
        assert_eq!(way.flow.remote, ([192, 0, 2, 77], 5061).into());
        assert_eq!(way.route, proxied.kept.path);
    }
}
