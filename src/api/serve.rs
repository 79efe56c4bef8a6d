//! The HTTP server: no more connections than it can bear, and none that dawdles.

use crate::{Api, router};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
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
    /// Connections at once; for a further one that is closed which said nothing for longest. While all have a request
    /// in work, further ones wait in the system's queue.
    pub connections: usize,
    /// From the end of an answer, or the connection's start, until the next request's head is there. The connection
    /// is closed then.
    pub head_timeout: Duration,
    /// From a request's head to the end of its body; over it the answer is 408.
    pub body_timeout: Duration,
    /// Wrong keys that one source may send in a row; then one a second, and other wrong ones are answered 429.
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
    let mut places = Places::default();
    loop {
        let (stream, peer) = accept(&listener).await;
        places.make_room(limits.connections).await;
        let (app, quiet) = (app.clone(), Arc::clone(&places.quiet));
        places.take(|using| talk(stream, peer, Service { app, using, quiet }, limits));
    }
}

/// What a connection is used for.
enum Use {
    /// Nothing since then: no whole head of a request came.
    Idle(Instant),
    Busy,
    /// It makes room for another one.
    Closed,
}

type Used = Arc<Mutex<Use>>;

fn used(using: &Used) -> MutexGuard<'_, Use> {
    using.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The open connections.
#[derive(Default)]
struct Places {
    tasks: JoinSet<()>,
    open: HashMap<Id, (AbortHandle, Used)>,
    /// Told when a connection becomes idle.
    quiet: Arc<Notify>,
}

impl Places {
    fn take<T: Future<Output = ()> + Send + 'static>(&mut self, talk: impl FnOnce(Used) -> T) {
        let using: Used = Arc::new(Mutex::new(Use::Idle(Instant::now())));
        let handle = self.tasks.spawn(talk(Arc::clone(&using)));
        self.open.insert(handle.id(), (handle, using));
    }

    /// Returns once fewer than `most` connections are open. One that says nothing has to go for a new one, or who
    /// opens enough of them would keep all others out.
    async fn make_room(&mut self, most: usize) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(ended);
        }
        while self.open.len() >= most {
            self.close_longest_idle();
            let quiet = Arc::clone(&self.quiet);
            tokio::select! {
                ended = self.tasks.join_next_with_id() => match ended {
                    Some(ended) => self.forget(ended),
                    None => return,
                },
                () = quiet.notified() => {}
            }
        }
    }

    fn close_longest_idle(&self) {
        let idle = self.open.values().filter_map(|(task, using)| {
            let Use::Idle(since) = *used(using) else {
                return None;
            };
            Some((since, task, using))
        });
        let Some((_, task, using)) = idle.min_by_key(|(since, ..)| *since) else {
            return;
        };
        let mut state = used(using);
        // A request may have come meanwhile.
        if matches!(*state, Use::Idle(_)) {
            *state = Use::Closed;
            task.abort();
        }
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(why) => {
                if why.is_panic() {
                    tracing::error!(%why, "an HTTP connection broke");
                }
                why.id()
            }
        };
        self.open.remove(&id);
    }
}

/// The API as one connection uses it.
#[derive(Clone)]
struct Service {
    app: Router,
    using: Used,
    quiet: Arc<Notify>,
}

impl Service {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let closed = {
            let mut state = used(&self.using);
            let closed = matches!(*state, Use::Closed);
            if !closed {
                *state = Use::Busy;
            }
            closed
        };
        if closed {
            // It ends at this point.
            std::future::pending::<()>().await;
        }
        let answer = self.app.oneshot(request).await;
        *used(&self.using) = Use::Idle(Instant::now());
        self.quiet.notify_one();
        answer
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

async fn talk(stream: TcpStream, peer: SocketAddr, service: Service, limits: Limits) {
    let socket = socket2::SockRef::from(&stream);
    let set = socket
        .set_tcp_user_timeout(Some(READ_TIMEOUT))
        .and_then(|()| stream.set_nodelay(true));
    if let Err(why) = set {
        tracing::debug!(%why, "an HTTP connection without its options");
    }
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        service.clone().answer(request)
    });
    let talked = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), answer)
        .with_upgrades();
    if let Err(why) = talked.await {
        tracing::debug!(%peer, %why, "an HTTP connection ended badly");
    }
}
