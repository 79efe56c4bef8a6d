//! Answering digest challenges to our requests (RFC 3261 §22). The arithmetic is `digest.rs`.

use crate::digest::{Challenge, authorize};
use crate::endpoint::Login;
use crate::message::{HeaderId, Message};
use crate::secret::Secret;

/// 401, 407 and one stale nonce: more rounds than these would be a loop.
const MAX_TRIES: u8 = 3;

/// One request's way through challenges: 401 and 407 are answered once each, and again when the nonce was stale.
pub(crate) struct Auth {
    login: Option<Login>,
    /// Header name and value to add to the request, one per kind of challenge.
    answers: Vec<(&'static str, String)>,
    tries: u8,
}

impl Auth {
    pub(crate) fn new(login: Option<Login>) -> Auth {
        Auth {
            login,
            answers: Vec::new(),
            tries: 0,
        }
    }

    /// The headers to send along.
    pub(crate) fn answers(&self) -> &[(&'static str, String)] {
        &self.answers
    }

    /// Whether `response` is a challenge to `request` (method, Request-URI) worth another try; the answers are ready then.
    pub(crate) fn answer(
        &mut self,
        secret: &mut Secret,
        response: &Message,
        request: (&str, &str),
    ) -> bool {
        self.try_answer(secret, response, request).is_some()
    }

    fn try_answer(
        &mut self,
        secret: &mut Secret,
        response: &Message,
        request: (&str, &str),
    ) -> Option<()> {
        let (name, from) = match response.status()? {
            401 => ("Authorization", HeaderId::WwwAuthenticate),
            407 => ("Proxy-Authorization", HeaderId::ProxyAuthenticate),
            _ => return None,
        };
        let login = self.login.as_ref()?;
        let challenges: Vec<Challenge> = response
            .headers(from)
            .filter_map(|value| Challenge::parse(&value))
            .collect();
        let answered = self.answers.iter().any(|(known, _)| *known == name);
        // RFC 3261 §22.2: refused credentials are not tried again, unless only the nonce was too old.
        if self.tries >= MAX_TRIES || answered && !challenges.iter().any(|c| c.stale) {
            return None;
        }
        let (method, uri) = request;
        let cnonce = secret.token();
        let value = authorize(
            &challenges,
            &login.username,
            &login.password,
            method,
            uri,
            &cnonce,
            1,
        )?;
        self.answers.retain(|(known, _)| *known != name);
        self.answers.push((name, value));
        self.tries += 1;
        Some(())
    }
}
