//! Letting connections in.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sip::{Flow, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::{Origin, Seat, Streams, connection};
use crate::NetEvent;
use crate::peers::Peers;
use crate::settings::Dscp;
use crate::websocket::{self, Greeting};

const BACKLOG: i32 = 1024;
/// How long accepting rests when the program has no file descriptors left.
const REST: Duration = Duration::from_millis(100);

/// Binds and listens; must run inside a tokio runtime.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    // Without it a restart has to wait until the old connections have left TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// What a listener does with those who come.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) transport: Transport,
    /// For [`Transport::Tls`] and [`Transport::Wss`].
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) greeting: Greeting,
    pub(crate) dscp: Dscp,
    pub(crate) peers: Arc<Peers>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) events: mpsc::Sender<NetEvent>,
}

/// Accepts until the switch is gone. Each connection shakes hands in its own task.
pub(crate) async fn serve(listener: TcpListener, desk: Desk) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = desk.events.closed() => return,
        };
        match accepted {
            Ok((stream, remote)) => admit(stream, remote, &desk),
            // The peer was gone before we took it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // EMFILE, ENFILE, ENOBUFS, ENOMEM: accept would fail again at once, so let connections end first.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

fn admit(stream: TcpStream, remote: SocketAddr, desk: &Desk) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let flow = Flow {
        transport: desk.transport,
        local,
        remote,
        id: 0,
    };
    let Some(seat) = desk.streams.seat(flow, Origin::Accepted) else {
        tracing::debug!(%remote, "too many connections: one more was closed");
        return;
    };
    connection::prepare(&stream, desk.dscp);
    tokio::spawn(welcome(stream, seat, desk.clone()));
}

async fn welcome(stream: TcpStream, seat: Seat, desk: Desk) {
    let Some(tls) = &desk.tls else {
        return run(stream, seat, desk).await;
    };
    match tokio::time::timeout(desk.streams.limits.connect, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let chain = stream.get_ref().1.peer_certificates();
            let trunks = desk.peers.trunks_of(chain.unwrap_or_default());
            tell_trunks(&desk.events, seat.flow, trunks).await;
            run(stream, seat, desk).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(remote = %seat.flow.remote, %error, "a TLS handshake failed");
            desk.streams.leave(seat.flow.id);
        }
        Err(_) => {
            tracing::debug!(remote = %seat.flow.remote, "a TLS handshake took too long");
            desk.streams.leave(seat.flow.id);
        }
    }
}

/// Before any message of the connection.
pub(super) async fn tell_trunks(events: &mpsc::Sender<NetEvent>, flow: Flow, trunks: Vec<String>) {
    if !trunks.is_empty() {
        let _gone = events.send(NetEvent::Proven { flow, trunks }).await;
    }
}

async fn run<S>(stream: S, seat: Seat, desk: Desk)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (streams, events) = (desk.streams, desk.events);
    if !desk.transport.is_websocket() {
        return connection::run(stream, seat, Origin::Accepted, streams, events).await;
    }
    let shaken = websocket::shake_hands(stream, desk.greeting, streams.limits.connect).await;
    match shaken {
        Some((stream, read)) => websocket::run(stream, read, seat, streams, events).await,
        None => {
            tracing::debug!(remote = %seat.flow.remote, "a WebSocket handshake failed");
            streams.leave(seat.flow.id);
        }
    }
}
