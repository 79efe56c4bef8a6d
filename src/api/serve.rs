//! The HTTP server: no more connections than it can bear, and none that dawdles.

use crate::{Api, router};
use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::ServiceExt;

/// A larger request line and header section is refused with 431.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// A client that acknowledges nothing of an answer for this long is gone.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// After the system had no room for another connection.
const PAUSE: Duration = Duration::from_secs(1);

/// What clients may take of the server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; further ones wait in the system's queue until one ends.
    pub connections: usize,
    /// From the end of an answer, or the connection's start, until the next request's head is there. The connection
    /// is closed then.
    pub head_timeout: Duration,
    /// From a request's head to the end of its body; over it the answer is 408.
    pub body_timeout: Duration,
    /// Wrong keys that one source may send in a row; then one a second, and all else it sends is answered 429.
    pub wrong_keys: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            head_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(30),
            wrong_keys: 100,
        }
    }
}

/// Serves the API and its pages on `listener` until the future is dropped; open connections end with it.
pub async fn serve(listener: TcpListener, api: Api) {
    let limits = api.limits;
    let app = router(api);
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut open = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (stream, peer) = accept(&listener).await;
        let app = app.clone();
        open.spawn(async move {
            talk(stream, peer, app, limits).await;
            drop(place);
        });
        while let Some(ended) = open.try_join_next() {
            if let Err(why) = ended {
                tracing::error!(%why, "an HTTP connection broke");
            }
        }
    }
}

/// The next connection. Errors are of a client that has left already, or pass: no room for another file.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(connection) => return connection,
            Err(why) => {
                tracing::warn!(%why, "an HTTP connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn talk(stream: TcpStream, peer: SocketAddr, app: Router, limits: Limits) {
    let socket = socket2::SockRef::from(&stream);
    let set = socket
        .set_tcp_user_timeout(Some(READ_TIMEOUT))
        .and_then(|()| stream.set_nodelay(true));
    if let Err(why) = set {
        tracing::debug!(%why, "an HTTP connection without its options");
    }
    let app = app.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let talked = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    if let Err(why) = talked.await {
        tracing::debug!(%peer, %why, "an HTTP connection ended badly");
    }
}
