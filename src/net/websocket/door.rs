//! WebSockets that begin elsewhere: on the HTTP port.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use sip::{Flow, Transport};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{Greeting, answer, run};
use crate::NetEvent;
use crate::settings::Dscp;
use crate::stream::{Origin, Streams, prepare};

/// Takes over connections that an HTTP server has answered. A cheap handle.
#[derive(Clone)]
pub struct WebSockets {
    pub(crate) greeting: Greeting,
    pub(crate) streams: Arc<Streams>,
    pub(crate) events: mpsc::Sender<NetEvent>,
    pub(crate) dscp: Dscp,
}

impl WebSockets {
    /// What to answer a request with: 101 (then [`adopt`](WebSockets::adopt) the connection), or a refusal.
    pub fn answer<B>(&self, request: &Request<B>) -> Response<String> {
        answer(&self.greeting, request)
    }

    /// Runs a connection that was answered 101, until it ends. `read` came behind the request; the browser is at `remote`,
    /// which is the connection's peer or who is behind it; `secure` says that it speaks TLS, to a proxy in front of us.
    pub async fn adopt(self, stream: TcpStream, read: Bytes, remote: SocketAddr, secure: bool) {
        let Ok(local) = stream.local_addr() else {
            return;
        };
        let transport = if secure {
            Transport::Wss
        } else {
            Transport::Ws
        };
        let flow = Flow {
            transport,
            local,
            remote,
            id: 0,
        };
        let Some(seat) = self.streams.seat(flow, Origin::Accepted) else {
            tracing::debug!(%remote, "too many connections: one more was closed");
            return;
        };
        prepare(&stream, self.dscp);
        run(stream, read, seat, self.streams, self.events).await;
    }
}
