//! Letting connections in.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sip::{Flow, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::{Origin, Seat, Streams, connection};
use crate::NetEvent;

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

/// Accepts until the switch is gone. With `tls`, each connection shakes hands in its own task.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    streams: Arc<Streams>,
    events: mpsc::Sender<NetEvent>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = events.closed() => return,
        };
        match accepted {
            Ok((stream, remote)) => admit(stream, remote, tls.clone(), &streams, &events),
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

fn admit(
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<TlsAcceptor>,
    streams: &Arc<Streams>,
    events: &mpsc::Sender<NetEvent>,
) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let transport = if tls.is_some() {
        Transport::Tls
    } else {
        Transport::Tcp
    };
    let flow = Flow {
        transport,
        local,
        remote,
        id: 0,
    };
    let Some(seat) = streams.seat(flow, Origin::Accepted) else {
        tracing::debug!(%remote, "too many connections: one more was closed");
        return;
    };
    connection::prepare(&stream);
    tokio::spawn(welcome(stream, seat, tls, streams.clone(), events.clone()));
}

async fn welcome(
    stream: TcpStream,
    seat: Seat,
    tls: Option<TlsAcceptor>,
    streams: Arc<Streams>,
    events: mpsc::Sender<NetEvent>,
) {
    let id = seat.flow.id;
    let Some(tls) = tls else {
        return connection::run(stream, seat, Origin::Accepted, streams, events).await;
    };
    match tokio::time::timeout(streams.limits.connect, tls.accept(stream)).await {
        Ok(Ok(stream)) => connection::run(stream, seat, Origin::Accepted, streams, events).await,
        Ok(Err(error)) => {
            tracing::debug!(remote = %seat.flow.remote, %error, "a TLS handshake failed");
            streams.leave(id);
        }
        Err(_) => {
            tracing::debug!(remote = %seat.flow.remote, "a TLS handshake took too long");
            streams.leave(id);
        }
    }
}
