//! Making connections of our own.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ClientConfig;
use sip::{Flow, Transport};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use super::{Origin, Seat, Streams, connection};
use crate::peers::{Outgoing, Peers, Verify};
use crate::settings::Dscp;
use crate::{NetEvent, tls};

/// What connecting needs beside the table.
pub(crate) struct Connector {
    pub(crate) streams: Arc<Streams>,
    pub(crate) events: mpsc::Sender<NetEvent>,
    /// Whom TLS trusts; the system's authorities when nothing else was set before the first connection.
    pub(crate) trust: OnceLock<Arc<ClientConfig>>,
    pub(crate) dscp: Dscp,
    pub(crate) peers: Arc<Peers>,
}

/// Connects `seat` and runs the connection to its end. `host` is the name a TLS certificate has to bear.
pub(crate) async fn open(connector: Arc<Connector>, seat: Seat, asked: Flow, host: Option<String>) {
    let flow = seat.flow;
    match reach(flow, connector.streams.limits.connect).await {
        Ok(stream) => adopt(connector, stream, seat, Some(asked), host).await,
        Err(error) => fail(&connector, flow, &error).await,
    }
}

/// Runs a connection that somebody else has made.
pub(crate) async fn adopt(
    connector: Arc<Connector>,
    stream: TcpStream,
    seat: Seat,
    asked: Option<Flow>,
    host: Option<String>,
) {
    connection::prepare(&stream, connector.dscp);
    let flow = seat.flow;
    let origin = Origin::Ours(asked);
    let (streams, events) = (connector.streams.clone(), connector.events.clone());
    match flow.transport {
        Transport::Udp | Transport::Tcp | Transport::Ws | Transport::Wss => {
            connection::run(stream, seat, origin, streams, events).await;
        }
        Transport::Tls => match greet(&connector, stream, (flow, asked), host).await {
            Ok(stream) => connection::run(stream, seat, origin, streams, events).await,
            Err(error) => fail(&connector, flow, &error).await,
        },
    }
}

/// A TCP connection to `flow.remote`, from `flow.local`'s address and a port the system chooses.
pub(crate) async fn reach(flow: Flow, within: Duration) -> io::Result<TcpStream> {
    let socket = if flow.remote.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if !flow.local.ip().is_unspecified() {
        socket.bind(SocketAddr::new(flow.local.ip(), 0))?;
    }
    tokio::time::timeout(within, socket.connect(flow.remote)).await?
}

/// As the trunk wants it that it is for, else as anybody.
async fn greet(
    connector: &Connector,
    stream: TcpStream,
    flows: (Flow, Option<Flow>),
    host: Option<String>,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let (flow, asked) = flows;
    let wish = asked.map_or(0, |asked| asked.id);
    if wish == 0 {
        return shake_hands(connector, stream, flow, host).await;
    }
    let gone = || io::Error::other("the trunk's settings have changed meanwhile");
    let outgoing = connector.peers.outgoing(wish).ok_or_else(gone)?;
    let stream = shake_as(connector, stream, flow, &outgoing).await;
    let stream = stream.inspect_err(|error| {
        let trunk = &outgoing.peer.trunk;
        tracing::warn!(trunk, remote = %flow.remote, %error, "TLS with the provider failed");
    })?;
    // What comes back on it is the provider's as much as on one of his.
    if outgoing.peer.verify != Verify::Nothing {
        let trunks = vec![outgoing.peer.trunk.clone()];
        super::accept::tell_trunks(&connector.events, flow, trunks).await;
    }
    Ok(stream)
}

async fn shake_as(
    connector: &Connector,
    stream: TcpStream,
    flow: Flow,
    outgoing: &Arc<Outgoing>,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let maker = outgoing.clone();
    let config = tokio::task::spawn_blocking(move || maker.config())
        .await?
        .map_err(io::Error::other)?;
    let name = tls::server_name(Some(outgoing.peer.host.clone()), flow.remote.ip());
    let shake = TlsConnector::from(config).connect(name, stream);
    tokio::time::timeout(connector.streams.limits.connect, shake).await?
}

async fn shake_hands(
    connector: &Connector,
    stream: TcpStream,
    flow: Flow,
    host: Option<String>,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let trust = match connector.trust.get() {
        Some(trust) => trust.clone(),
        None => {
            // Reading the system's authorities takes some 10 ms of disk.
            let fresh = tokio::task::spawn_blocking(|| tls::client_config(None))
                .await?
                .map_err(io::Error::other)?;
            connector.trust.get_or_init(|| fresh).clone()
        }
    };
    let name = tls::server_name(host, flow.remote.ip());
    let shake = TlsConnector::from(trust).connect(name, stream);
    tokio::time::timeout(connector.streams.limits.connect, shake).await?
}

async fn fail(connector: &Connector, flow: Flow, error: &io::Error) {
    let transport = flow.transport.as_str();
    tracing::debug!(remote = %flow.remote, transport, %error, "a connection could not be made");
    connector.streams.tell_end(flow.id, &connector.events).await;
}
