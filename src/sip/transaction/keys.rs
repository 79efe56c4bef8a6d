//! What transactions are found by: RFC 3261 §17.1.3, §17.2.3 and, for merged requests, §8.2.2.2.

use super::Layer;
use crate::message::{HeaderId, Message};
use crate::secret::Key;

impl Layer {
    pub(super) fn client_key(&self, branch: &str, method: &str) -> Key {
        self.secret
            .key(&[b"client", branch.as_bytes(), method.as_bytes()])
    }

    pub(super) fn server_key(&self, request: &Message, method: &str) -> Key {
        let via = request.via();
        let branch = via
            .as_ref()
            .and_then(|via| via.branch())
            .unwrap_or_default();
        // RFC 3261 §17.2.3: branch, sent-by and method (ACK counts as INVITE) …
        if let Some(via) = &via
            && branch.starts_with("z9hG4bK")
        {
            let host = via.host.to_ascii_lowercase();
            let port = via.port.unwrap_or(5060).to_be_bytes();
            return self.secret.key(&[
                b"server",
                branch.as_bytes(),
                host.as_bytes(),
                &port,
                method.as_bytes(),
            ]);
        }
        // … or what RFC 2543 had. The To tag is left out: it differs between the INVITE and its ACK.
        let cseq = request.cseq().map_or(0, |(number, _)| number).to_be_bytes();
        let from = request.from();
        let tag = from
            .as_ref()
            .and_then(|from| from.tag())
            .unwrap_or_default();
        self.secret.key(&[
            b"server 2543",
            request.request_uri().unwrap_or_default().as_bytes(),
            tag.as_bytes(),
            request.call_id().unwrap_or_default().as_bytes(),
            &cseq,
            request
                .values(HeaderId::Via)
                .next()
                .unwrap_or_default()
                .as_bytes(),
            method.as_bytes(),
        ])
    }

    pub(super) fn merged_key(&self, request: &Message) -> Option<Key> {
        if request.to()?.tag().is_some() {
            return None;
        }
        let from = request.from()?;
        let (number, method) = request.cseq()?;
        Some(self.secret.key(&[
            b"merged",
            from.tag().unwrap_or_default().as_bytes(),
            request.call_id()?.as_bytes(),
            &number.to_be_bytes(),
            method.as_str().as_bytes(),
        ]))
    }
}
