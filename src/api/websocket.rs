//! `/ws`: browser phones come to the HTTP port too. What is said is SIP and none of the API's business: whoever gave
//! us a [`SipSocket`] answers the request and takes over the connection.

use crate::Shared;
use crate::error::Error;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio::net::TcpStream;

/// Who speaks SIP over WebSocket.
pub trait SipSocket: Send + Sync {
    /// 101, or why not.
    fn answer(&self, request: &Request) -> Response<String>;

    /// Takes over a connection that was answered 101; `read` came behind the request.
    fn take(&self, stream: TcpStream, read: Bytes, proxy: Proxy);
}

/// What a request says of the proxies it came through. Anybody can write that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// The browser speaks TLS. Nothing is granted for it: it is only how the way is called in SIP.
    pub secure: bool,
    /// `X-Forwarded-For`: who asked, and whom each proxy heard it from.
    pub forwarded_for: String,
}

pub(crate) async fn open(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
) -> Result<Response<Body>, Error> {
    let Some(sip) = shared.api.websocket.clone() else {
        return Err(Error::NotFound("page"));
    };
    let answer = sip.answer(&request);
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgrade = hyper::upgrade::on(&mut request);
        let proxy = Proxy {
            secure: is_secure(request.headers()),
            forwarded_for: forwarded_for(request.headers()),
        };
        tokio::spawn(async move {
            // An error is that the browser left meanwhile.
            if let Ok(upgraded) = upgrade.await
                && let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>()
            {
                sip.take(parts.io.into_inner(), parts.read_buf, proxy);
            }
        });
    }
    Ok(answer.map(Body::from))
}

/// Several headers are one list (RFC 9110 §5.3).
fn forwarded_for(headers: &HeaderMap) -> String {
    let values = headers.get_all("x-forwarded-for").iter();
    let values: Vec<&str> = values.map(|v| v.to_str().unwrap_or("unknown")).collect();
    values.join(",")
}

/// What the TLS proxy in front of us says.
fn is_secure(headers: &HeaderMap) -> bool {
    let proto = headers.get("x-forwarded-proto");
    let proto = proto.and_then(|value| value.to_str().ok());
    proto.is_some_and(|proto| {
        proto.eq_ignore_ascii_case("https") || proto.eq_ignore_ascii_case("wss")
    })
}
