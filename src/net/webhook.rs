//! POSTs to a web server of the administrator's: HTTP/1.1, a connection each, for what happens now and then.
//! Nobody waits for it: what came of a POST is told when it is known. Not a general HTTP client: no redirects, no proxy.

use crate::tls::TlsError;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

/// The most POSTs under way; one more fails at once.
const AT_ONCE: usize = 64;
/// A server has this long for everything.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a webhook cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("it is no URL like https://example.net/path")]
    Url,
    #[error("the secret cannot be put into a header: use visible characters")]
    Secret,
    #[error("{0}")]
    Tls(#[from] TlsError),
}

/// Where to POST to.
#[derive(Clone)]
pub struct Webhook {
    place: Arc<Place>,
    room: Arc<Semaphore>,
    runtime: Handle,
}

struct Place {
    host: String,
    port: u16,
    /// Host header: as written in the URL.
    authority: String,
    path: String,
    secret: Option<HeaderValue>,
    /// None: plain HTTP.
    tls: Option<Arc<ClientConfig>>,
}

impl Webhook {
    /// A webhook at `url`, `http://` or `https://`. `secret` is sent as `Authorization: Bearer`. Must be called within a
    /// tokio runtime, which then does the work.
    ///
    /// # Errors
    /// The URL or the secret is of no use, or the system's authorities cannot be read.
    pub fn open(url: &str, secret: Option<&str>) -> Result<Webhook, WebhookError> {
        let uri: Uri = url.parse().map_err(|_| WebhookError::Url)?;
        let authority = uri.authority().ok_or(WebhookError::Url)?;
        let (tls, default) = match uri.scheme_str() {
            Some("https") => (Some(crate::tls::client_config(None)?), 443),
            Some("http") => (None, 80),
            Some(_) | None => return Err(WebhookError::Url),
        };
        let bearer = |secret: &str| HeaderValue::from_str(&format!("Bearer {secret}"));
        let mut secret = secret
            .map(bearer)
            .transpose()
            .map_err(|_| WebhookError::Secret)?;
        if let Some(secret) = &mut secret {
            secret.set_sensitive(true);
        }
        let place = Place {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(default),
            authority: authority.to_string(),
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
            secret,
            tls,
        };
        Ok(Webhook {
            place: Arc::new(place),
            room: Arc::new(Semaphore::new(AT_ONCE)),
            runtime: Handle::current(),
        })
    }

    /// Sends `json`; never waits, from any thread. `done` is told once: any 2xx is well.
    pub fn post(&self, json: Vec<u8>, done: impl FnOnce(Result<(), String>) + Send + 'static) {
        let Ok(seat) = self.room.clone().try_acquire_owned() else {
            return done(Err("too many are under way".to_owned()));
        };
        let place = self.place.clone();
        self.runtime.spawn(async move {
            let sent = tokio::time::timeout(PATIENCE, place.send(json)).await;
            drop(seat);
            done(sent.unwrap_or_else(|_| Err("the server did not answer in time".to_owned())));
        });
    }
}

impl Place {
    async fn send(&self, json: Vec<u8>) -> Result<(), String> {
        let words = |e: std::io::Error| e.to_string();
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(words)?;
        match &self.tls {
            None => self.speak(stream, json).await,
            Some(config) => {
                let name = ServerName::try_from(self.host.clone()).map_err(|e| e.to_string())?;
                let tls = TlsConnector::from(config.clone());
                let stream = tls.connect(name, stream).await.map_err(words)?;
                self.speak(stream, json).await
            }
        }
    }

    async fn speak<S>(&self, stream: S, json: Vec<u8>) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let words = |e: hyper::Error| e.to_string();
        let io = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
            .await
            .map_err(words)?;
        let mut request = Request::post(self.path.as_str())
            .header(HOST, self.authority.as_str())
            .header(USER_AGENT, concat!("Offhook/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json");
        if let Some(secret) = &self.secret {
            request = request.header(AUTHORIZATION, secret);
        }
        let request = request.body(Full::new(Bytes::from(json)));
        let request = request.map_err(|e| e.to_string())?;
        let answer = async move {
            let response = sender.send_request(request).await.map_err(words)?;
            Ok::<_, String>(response.status())
        };
        tokio::pin!(answer, connection);
        // The connection does the work; nobody reads the answer's body.
        let status = tokio::select! {
            biased;
            status = &mut answer => status?,
            _ended = &mut connection => answer.await?,
        };
        if status.is_success() {
            return Ok(());
        }
        Err(format!("the server answered {status}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// What a server hears that says `answer`, and what the webhook makes of it.
    async fn talk(answer: &'static str) -> (String, Result<(), String>) {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = server.local_addr().expect("its address").port();
        let heard = tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.expect("a client");
            let mut heard = Vec::new();
            while !heard.ends_with(b"{}") {
                assert!(stream.read_buf(&mut heard).await.expect("bytes") > 0);
            }
            stream.write_all(answer.as_bytes()).await.expect("written");
            String::from_utf8(heard).expect("text")
        });
        let url = format!("http://127.0.0.1:{port}/push?a=b");
        let webhook = Webhook::open(&url, Some("s3cret")).expect("a webhook");
        let (told, result) = tokio::sync::oneshot::channel();
        webhook.post(b"{}".to_vec(), |result| {
            let _listening = told.send(result);
        });
        let result = result.await.expect("told");
        (heard.await.expect("heard"), result)
    }

    #[tokio::test]
    async fn a_post_has_the_secret_and_any_2xx_is_well() {
        let (heard, result) = talk("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(result, Ok(()));
        assert!(heard.starts_with("POST /push?a=b HTTP/1.1\r\n"), "{heard}");
        assert!(
            heard.contains("authorization: Bearer s3cret\r\n"),
            "{heard}"
        );
        assert!(
            heard.contains("content-type: application/json\r\n"),
            "{heard}"
        );
        assert!(heard.contains("host: 127.0.0.1:"), "{heard}");
    }

    #[tokio::test]
    async fn what_went_wrong_is_told() {
        let (_, result) = talk("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(result, Err("the server answered 403 Forbidden".to_owned()));
        let (_, result) = talk("").await;
        assert!(result.is_err(), "{result:?}");
    }

    #[tokio::test]
    async fn urls_are_judged_before_they_are_used() {
        for bad in [
            "",
            "example.net/push",
            "ftp://example.net",
            "/push",
            "https://",
        ] {
            assert!(Webhook::open(bad, None).is_err(), "{bad}");
        }
        assert!(Webhook::open("http://example.net", Some("a\nb")).is_err());
        assert!(Webhook::open("http://[::1]:8000", None).is_ok());
    }
}
