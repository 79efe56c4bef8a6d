//! The HTTP request that becomes a WebSocket (RFC 6455 §4.2, RFC 7118 §4.1), and its refusals.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

/// The protocol inside (RFC 7118 §4.1).
const SUBPROTOCOL: &str = "sip";
/// The largest head of a request.
const HEAD: usize = 8 * 1024;

/// What to say to whoever wants a WebSocket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Greeting {
    /// Whose pages may connect, as browsers write `Origin`; empty: everybody's.
    pub(crate) origins: Arc<[String]>,
}

/// 101, or why not and what would be right.
pub(crate) fn answer<B>(greeting: &Greeting, request: &Request<B>) -> Response<String> {
    let headers = request.headers();
    if !names(headers, header::UPGRADE, "websocket") {
        let text = "This is for browser phones: SIP over WebSocket (RFC 7118).\n";
        return refusal(StatusCode::UPGRADE_REQUIRED, text);
    }
    if !names(headers, header::SEC_WEBSOCKET_VERSION, "13") {
        let text = "WebSocket version 13 is spoken here.\n";
        return refusal(StatusCode::UPGRADE_REQUIRED, text);
    }
    if !names(headers, header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        let text = "The WebSocket subprotocol must be sip.\n";
        return refusal(StatusCode::BAD_REQUEST, text);
    }
    if !is_welcome(greeting, headers) {
        let text = "This origin is not in [sip] websocket_origins.\n";
        return refusal(StatusCode::FORBIDDEN, text);
    }
    match create_response_with_body(request, String::new) {
        Ok(mut response) => {
            let protocol = HeaderValue::from_static(SUBPROTOCOL);
            let headers = response.headers_mut();
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
            response
        }
        Err(error) => refusal(StatusCode::BAD_REQUEST, &format!("{error}\n")),
    }
}

fn refusal(status: StatusCode, text: &str) -> Response<String> {
    let mut response = Response::new(text.to_owned());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    if status == StatusCode::UPGRADE_REQUIRED {
        // RFC 9110 §15.5.22, RFC 6455 §4.4.
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        );
    }
    response
}

/// Whether a header is a list that has `wanted`.
fn names(headers: &HeaderMap, name: header::HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(wanted))
}

/// RFC 6455 §10.2: every browser names the page's origin; other programs need not, and gain nothing by it.
fn is_welcome(greeting: &Greeting, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let origin = origin.to_str().unwrap_or_default();
    greeting.origins.is_empty()
        || greeting
            .origins
            .iter()
            .any(|known| known.trim_end_matches('/').eq_ignore_ascii_case(origin))
}

/// Answers one request on a connection of our own listeners. `None`: it is no WebSocket, and has been told so.
pub(crate) async fn shake_hands<S>(
    stream: S,
    greeting: Greeting,
    within: Duration,
) -> Option<(S, Bytes)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let changing: Arc<Mutex<Option<OnUpgrade>>> = Arc::default();
    let place = changing.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let mut response = answer(&greeting, &request).map(|text| Full::new(Bytes::from(text)));
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upgrade = hyper::upgrade::on(&mut request);
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgrade);
        } else {
            // There is nothing else here to ask for.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let talk = async {
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(within)
            .max_buf_size(HEAD)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await
            .ok()?;
        let upgrade = changing.lock().ok()?.take()?;
        upgrade.await.ok()?.downcast::<TokioIo<S>>().ok()
    };
    let parts = tokio::time::timeout(within, talk).await.ok()??;
    Some((parts.io.into_inner(), parts.read_buf))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::get("/ws");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    const GOOD: [(&str, &str); 5] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "chat, SIP"),
    ];

    #[test]
    fn a_request_is_taken_with_the_subprotocol() {
        let response = answer(&Greeting::default(), &request(&GOOD));
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()["sec-websocket-protocol"], "sip");
        // RFC 6455 §1.3.
        let key = &response.headers()["sec-websocket-accept"];
        assert_eq!(key, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn what_is_missing_is_told() {
        for (left_out, status) in [
            ("upgrade", 426),
            ("sec-websocket-version", 426),
            ("sec-websocket-protocol", 400),
            ("sec-websocket-key", 400),
            ("connection", 400),
        ] {
            let some: Vec<_> = GOOD.into_iter().filter(|(n, _)| *n != left_out).collect();
            let response = answer(&Greeting::default(), &request(&some));
            assert_eq!(response.status().as_u16(), status, "without {left_out}");
        }
    }

    #[test]
    fn only_pages_of_the_listed_origins_connect() {
        let greeting = Greeting {
            origins: vec!["https://phones.example/".to_owned()].into(),
        };
        for (origin, status) in [
            ("https://PHONES.example", 101),
            ("https://evil.example", 403),
            ("https://phones.example.evil", 403),
        ] {
            let mut headers = GOOD.to_vec();
            headers.push(("origin", origin));
            let response = answer(&greeting, &request(&headers));
            assert_eq!(response.status().as_u16(), status, "{origin}");
        }
        let none = answer(&greeting, &request(&GOOD));
        assert_eq!(none.status().as_u16(), 101);
    }
}
