//! The door for SIP: listen, send, and where a host is.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use rustls::ClientConfig;
use sip::{Flow, Transport};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::dns::Resolver;
use crate::listen::{BindError, Listen};
use crate::peers::Peers;
use crate::settings::{Dscp, Settings};
use crate::size::{self, Advice, Attempts, Moved};
use crate::stream::{self, Connector, Desk, Origin, Pushed, Streams};
use crate::udp::UdpListener;
use crate::websocket::{Greeting, WebSockets};
use crate::{Incoming, NetEvent, route};

/// Events of streams that may wait; a connection with more to say waits for room.
const QUEUE: usize = 16_384;
/// TLS remotes whose looked-up name is remembered.
const NAMES: usize = 4096;

/// All SIP sockets. A cheap handle; listening goes on until the [`Incoming`] is dropped.
#[derive(Clone)]
pub struct Transports {
    shared: Arc<Shared>,
}

struct Shared {
    udp: Vec<Arc<UdpListener>>,
    listens: Vec<Listen>,
    connector: Arc<Connector>,
    greeting: Greeting,
    attempts: Attempts,
    moved: Moved,
    /// By which name a TLS remote was looked up, for its certificate.
    names: Mutex<HashMap<SocketAddr, String>>,
    resolver: Resolver,
    dropped: Arc<AtomicU64>,
    runtime: Handle,
}

/// Sockets that are bound but not served yet.
#[derive(Default)]
struct Bound {
    udp: Vec<Arc<UdpListener>>,
    tcp: Vec<(TcpListener, Listen)>,
    listens: Vec<Listen>,
}

impl Bound {
    fn add(
        &mut self,
        wanted: Listen,
        settings: &Settings,
        dropped: &Arc<AtomicU64>,
    ) -> Result<(), BindError> {
        if wanted.is_tls() && settings.tls.is_none() {
            return Err(BindError::NoCertificate(wanted));
        }
        let address = self
            .open(wanted, settings.dscp, dropped)
            .map_err(|error| BindError::new(wanted, error))?;
        self.listens.push(Listen { address, ..wanted });
        Ok(())
    }

    /// Returns the address with the port the system chose when 0 was asked.
    fn open(
        &mut self,
        wanted: Listen,
        dscp: Dscp,
        dropped: &Arc<AtomicU64>,
    ) -> io::Result<SocketAddr> {
        match wanted.transport {
            Transport::Udp => {
                let listener = UdpListener::bind(wanted.address, dscp, dropped.clone())?;
                let address = listener.address;
                self.udp.push(Arc::new(listener));
                Ok(address)
            }
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                let listener = stream::bind(wanted.address)?;
                let address = listener.local_addr()?;
                self.tcp.push((listener, wanted));
                Ok(address)
            }
        }
    }
}

impl Transports {
    /// Listens on all of `listen`, or on none. Must be called inside a tokio runtime, which then runs the streams;
    /// datagrams are received by whoever asks the [`Incoming`].
    ///
    /// # Errors
    /// The first address that cannot be had, with the reason and a hint.
    pub async fn bind(
        listen: &[Listen],
        settings: Settings,
    ) -> Result<(Transports, Incoming), BindError> {
        let (events, queue) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let mut bound = Bound::default();
        for &listen in listen {
            bound.add(listen, &settings, &dropped)?;
        }
        let streams = Arc::new(Streams::new(settings.limits));
        let incoming = Incoming::new(bound.udp.clone(), queue);
        let greeting = Greeting {
            origins: settings.origins,
        };
        for (listener, listen) in bound.tcp {
            let tls = settings.tls.clone().filter(|_| listen.is_tls());
            let desk = Desk {
                transport: listen.transport,
                tls: tls.map(TlsAcceptor::from),
                greeting: greeting.clone(),
                dscp: settings.dscp,
                peers: settings.peers.clone(),
                streams: streams.clone(),
                events: events.clone(),
            };
            tokio::spawn(stream::serve(listener, desk));
        }
        let connector = Connector {
            streams,
            events,
            trust: OnceLock::new(),
            dscp: settings.dscp,
            peers: settings.peers,
        };
        let transports = Transports {
            shared: Arc::new(Shared {
                udp: bound.udp,
                listens: bound.listens,
                connector: Arc::new(connector),
                greeting,
                attempts: Attempts::default(),
                moved: Moved::default(),
                names: Mutex::default(),
                resolver: Resolver::new(settings.name_servers),
                dropped,
                runtime: Handle::current(),
            }),
        };
        Ok((transports, incoming))
    }

    /// Whom outgoing TLS connections trust. To be called before the first of them; later calls are ignored.
    /// Without it, the system's authorities (see [`crate::tls::client_config`]).
    pub fn trust(&self, config: Arc<ClientConfig>) {
        let _ = self.shared.connector.trust.set(config);
    }

    /// The providers that TLS is spoken with.
    pub fn peers(&self) -> &Peers {
        &self.shared.connector.peers
    }

    /// For WebSockets that come to the HTTP port.
    pub fn websockets(&self) -> WebSockets {
        let connector = &self.shared.connector;
        WebSockets {
            greeting: self.shared.greeting.clone(),
            streams: connector.streams.clone(),
            events: connector.events.clone(),
            dscp: connector.dscp,
        }
    }

    /// Sends one message; never waits, from any thread. What cannot be sent comes back as
    /// [`NetEvent::FlowClosed`] of `flow` as given here.
    ///
    /// A stream flow with id 0 uses a live connection to `flow.remote`, else makes one; one with another id only that
    /// very connection. UDP leaves from `flow.local`; a request over 1,300 octets tries TCP first,
    /// and what belongs to it goes the same way.
    pub fn send(&self, flow: Flow, bytes: Bytes) {
        match flow.transport {
            Transport::Udp if size::is_large_request(&bytes) && self.listens_tcp(flow.remote) => {
                self.send_large(flow, bytes);
            }
            Transport::Udp if self.shared.moved.concerns(flow.remote, &bytes) => {
                self.follow(flow, bytes);
            }
            Transport::Udp => self.send_datagram(flow, &bytes),
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                self.send_stream(flow, bytes);
            }
        }
    }

    /// Ends the very connection of `flow`, once what waits there is written; for UDP, and one that is gone, nothing
    /// happens. [`NetEvent::FlowClosed`] follows.
    pub fn close(&self, flow: Flow) {
        if flow.transport.reliable() && !flow.is_wish() {
            self.shared.connector.streams.condemn(flow.id);
        }
    }

    /// Where Offhook listens, with the ports the system chose where 0 was asked.
    pub fn local_addresses(&self) -> Vec<Listen> {
        self.shared.listens.clone()
    }

    /// Our address towards `remote` over `transport`, with the port of the listener of that transport and family:
    /// what Via and Contact should show. None without a route or any listener of the family.
    pub fn local_for(&self, transport: Transport, remote: SocketAddr) -> Option<SocketAddr> {
        let local = route::local_ip(remote)?;
        Some(SocketAddr::new(
            local,
            self.listener_port(transport, local)?,
        ))
    }

    /// Datagrams lost so far, coming or going, because a socket's buffer was full.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Flows to try for `host`, best first (RFC 3263 §4): an IP address as it is; with `port`, the addresses of the
    /// host; else its SRV records and then their addresses. Without a `transport` the host's NAPTR records choose it. Empty when nothing is known or reachable. IPv6 addresses
    /// may be in brackets. At most some ten seconds.
    pub async fn resolve(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> Vec<Flow> {
        let found = self.shared.resolver.find(host, port, transport).await;
        let mut flows: Vec<Flow> = Vec::new();
        for (transport, remote) in found {
            let Some(local) = self.local_for(transport, remote) else {
                continue;
            };
            let flow = Flow {
                transport,
                local,
                remote,
                id: 0,
            };
            if !flows.contains(&flow) {
                flows.push(flow);
            }
        }
        self.remember_name(host, &flows);
        flows
    }

    /// As [`resolve`](Transports::resolve), for a trunk: where that is TLS, it is spoken as [`Peers`](crate::Peers) say.
    pub async fn resolve_trunk(
        &self,
        trunk: &str,
        host: &str,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> Vec<Flow> {
        let mut flows = self.resolve(host, port, transport).await;
        let wish = self.shared.connector.peers.wish_of(trunk);
        for flow in flows.iter_mut().filter(|f| f.transport == Transport::Tls) {
            flow.id = wish;
        }
        flows
    }

    fn send_datagram(&self, flow: Flow, bytes: &[u8]) {
        let listener = self
            .shared
            .udp
            .iter()
            .find(|listener| listener.serves(flow.local));
        let sent = listener.map(|listener| listener.send(flow.local.ip(), flow.remote, bytes));
        match sent {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::debug!(remote = %flow.remote, %error, "a datagram could not be sent");
                self.report(NetEvent::FlowClosed(flow));
            }
            None => {
                tracing::debug!(local = %flow.local, "no UDP socket has this address");
                self.report(NetEvent::FlowClosed(flow));
            }
        }
    }

    fn send_stream(&self, flow: Flow, bytes: Bytes) {
        let connector = &self.shared.connector;
        let asked = flow.is_wish().then_some(flow);
        match connector.streams.push(flow, bytes.clone(), asked) {
            Pushed::Queued => {}
            // RFC 7118 §5: a browser connects to us, never we to it.
            Pushed::Absent if flow.is_wish() && !flow.transport.is_websocket() => {
                let Some(seat) = connector.streams.seat(flow, Origin::Ours(Some(flow))) else {
                    tracing::warn!(remote = %flow.remote, "too many connections: none was made");
                    return self.report(NetEvent::FlowClosed(flow));
                };
                connector.streams.push(seat.flow, bytes, None);
                let host = self.name_of(flow.remote);
                let open = stream::open(connector.clone(), seat, flow, host);
                self.shared.runtime.spawn(open);
            }
            Pushed::Absent | Pushed::Stuck => self.report(NetEvent::FlowClosed(flow)),
        }
    }

    fn send_large(&self, flow: Flow, bytes: Bytes) {
        let Some(changed) = size::by_tcp(&bytes) else {
            return self.send_datagram(flow, &bytes);
        };
        let tcp = on_tcp(flow);
        let streams = &self.shared.connector.streams;
        if streams.is_connected(Transport::Tcp, flow.remote)
            && streams.push(tcp, changed.clone(), None) == Pushed::Queued
        {
            return self.shared.moved.note(flow.remote, &bytes);
        }
        match self.shared.attempts.advise(Instant::now(), flow.remote) {
            Advice::Drop => {}
            Advice::UseUdp => self.send_datagram(flow, &bytes),
            Advice::Try => {
                let attempt = self.clone().try_tcp(flow, tcp, bytes, changed);
                self.shared.runtime.spawn(attempt);
            }
        }
    }

    /// Sends `changed` by TCP when a connection can be had at once, else `bytes` by UDP.
    async fn try_tcp(self, flow: Flow, tcp: Flow, bytes: Bytes, changed: Bytes) {
        let connector = self.shared.connector.clone();
        let made = stream::reach(tcp, size::PATIENCE).await;
        let seated = made
            .ok()
            .and_then(|made| Some((made, connector.streams.seat(tcp, Origin::Ours(None))?)));
        let connected = seated.is_some();
        self.shared
            .attempts
            .done(Instant::now(), flow.remote, connected);
        let Some((made, seat)) = seated else {
            return self.send_datagram(flow, &bytes);
        };
        self.shared.moved.note(flow.remote, &bytes);
        connector.streams.push(seat.flow, changed, None);
        stream::adopt(connector, made, seat, None, None).await;
    }

    /// Sends what belongs to a request that went by TCP: on that connection, or on another when it is gone.
    fn follow(&self, flow: Flow, bytes: Bytes) {
        match size::by_tcp(&bytes) {
            Some(changed) => self.send_stream(on_tcp(flow), changed),
            None => self.send_datagram(flow, &bytes),
        }
    }

    /// Tells the switch without waiting for it and without losing it.
    fn report(&self, event: NetEvent) {
        let events = &self.shared.connector.events;
        if let Err(mpsc::error::TrySendError::Full(event)) = events.try_send(event) {
            let events = events.clone();
            self.shared.runtime.spawn(async move {
                let _ = events.send(event).await;
            });
        }
    }

    fn listens_tcp(&self, remote: SocketAddr) -> bool {
        self.shared.listens.iter().any(|listen| {
            listen.transport == Transport::Tcp && listen.address.is_ipv4() == remote.is_ipv4()
        })
    }

    /// The port of the listener that fits best: same transport and address, same transport, any of the family.
    fn listener_port(&self, transport: Transport, local: IpAddr) -> Option<u16> {
        let fit = |listen: &&Listen| {
            let address = listen.address.ip();
            let same = address == local || address.is_unspecified();
            (listen.transport == transport, same)
        };
        self.shared
            .listens
            .iter()
            .filter(|listen| listen.address.is_ipv4() == local.is_ipv4())
            // UDP can only leave through a socket of its own.
            .filter(|listen| transport != Transport::Udp || fit(listen) == (true, true))
            .rev()
            .max_by_key(fit)
            .map(|listen| listen.address.port())
    }

    fn remember_name(&self, host: &str, flows: &[Flow]) {
        let mut names = self.names();
        if names.len() + flows.len() > NAMES {
            names.clear();
        }
        for flow in flows.iter().filter(|flow| flow.transport == Transport::Tls) {
            names.insert(flow.remote, host.to_owned());
        }
    }

    fn name_of(&self, remote: SocketAddr) -> Option<String> {
        self.names().get(&remote).cloned()
    }

    fn names(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, String>> {
        self.shared
            .names
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Any TCP connection to the same remote.
fn on_tcp(flow: Flow) -> Flow {
    Flow {
        transport: Transport::Tcp,
        ..flow
    }
}
