//! The transports under test, and what everybody needs who talks to them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use net::{Certificates, Incoming, Listen, NetEvent, Pair, Settings, Transports};
use sip::{Flow, Transport};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UdpSocket};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Transports under test and what they tell.
pub(crate) struct House {
    pub(crate) transports: Transports,
    pub(crate) events: Incoming,
}

impl House {
    pub(crate) async fn new(listen: &[&str]) -> House {
        House::with(listen, Settings::default()).await
    }

    pub(crate) async fn with(listen: &[&str], settings: Settings) -> House {
        let listen: Vec<Listen> = listen.iter().map(|text| text.parse().unwrap()).collect();
        let bound = Transports::bind(&listen, settings).await;
        let (transports, mut events) = bound.unwrap();
        events.watch().unwrap();
        House { transports, events }
    }

    /// Where the listener of that number listens, on the loopback of its family.
    pub(crate) fn at(&self, number: usize) -> SocketAddr {
        let address = self.transports.local_addresses()[number].address;
        let ip = if address.is_ipv4() {
            "127.0.0.1"
        } else {
            "::1"
        };
        SocketAddr::new(ip.parse().unwrap(), address.port())
    }

    pub(crate) async fn event(&mut self) -> NetEvent {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        event.expect("an event in time").expect("a living sender")
    }

    pub(crate) async fn message(&mut self) -> (Flow, Bytes) {
        match self.event().await {
            NetEvent::Message { flow, bytes } => (flow, bytes),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn closed(&mut self) -> Flow {
        match self.event().await {
            NetEvent::FlowClosed(flow) => flow,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn options(call: &str, body: usize) -> Bytes {
    let body = "x".repeat(body);
    let head = format!(
        "OPTIONS sip:pbx SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nCall-ID: {call}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Bytes::from(head)
}

pub(crate) async fn read(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut got = vec![0; len];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut got))
        .await
        .unwrap()
        .unwrap();
    got
}

pub(crate) async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let got = tokio::time::timeout(PATIENCE, socket.recv_from(&mut buffer)).await;
    let (len, from) = got.unwrap().unwrap();
    buffer.truncate(len);
    (buffer, from)
}

/// Until the peer has closed; a reset counts, for what it sent may lie unread.
pub(crate) async fn wait_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .expect("closed in time");
}

pub(crate) fn to(transport: Transport, local: SocketAddr, remote: SocketAddr) -> Flow {
    Flow {
        transport,
        local,
        remote,
        id: 0,
    }
}

/// What a listener shows that has this pair.
pub(crate) fn shown(certificate: &Path, key: &Path) -> Arc<rustls::ServerConfig> {
    let pair = Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    Certificates::load(vec![pair])
        .unwrap()
        .server_config(&Arc::default())
}
