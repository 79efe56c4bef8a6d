//! Answering digest challenges to our requests. The arithmetic is `digest.rs`.

use crate::endpoint::Login;
use crate::message::{HeaderId, Message};
use crate::secret::Secret;

/// One request's struggle with challenges: 401 and 407 are answered once each, and once more when the nonce was stale.
pub(crate) struct Auth {
    login: Option<Login>,
    /// Header name and value to add to the request, per kind of challenge.
    answers: Vec<(&'static str, String)>,
    tries: u8,
}

/// 401, 407 and one stale nonce: more rounds than these would be a loop.
const MAX_TRIES: u8 = 3;

impl Auth {
    pub(crate) fn new(login: Option<Login>) -> Auth {
        Auth {
            login,
            answers: Vec::new(),
            tries: 0,
        }
    }

    pub(crate) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// The headers to send along.
    pub(crate) fn answers(&self) -> &[(&'static str, String)] {
        &self.answers
    }

    /// Whether `response` is a challenge worth another try; the answers are ready then.
    pub(crate) fn answer(
        &mut self,
        secret: &mut Secret,
        response: &Message,
        request: (&str, &str),
    ) -> bool {
        let (_method, _uri) = request;
        let (_name, from) = match response.status() {
            Some(401) => ("Authorization", HeaderId::WwwAuthenticate),
            Some(407) => ("Proxy-Authorization", HeaderId::ProxyAuthenticate),
            _ => return false,
        };
        let _ = (response.headers(from).count(), secret.number());
        self.tries < MAX_TRIES && false
    }
}
