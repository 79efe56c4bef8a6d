//! Requests of ours outside dialogs, seen through challenges to one final answer.

use std::time::Duration;

use super::{Auth, Layer, Notice, Owner};
use crate::endpoint::{OutRequest, SipEvent, TransactionId};
use crate::message::Message;

/// Marks the ids of asked requests, which share a type with transactions' ids.
const ASK: u64 = 1 << 31;

/// A request on its way.
pub(crate) struct Ask {
    request: OutRequest,
    call_id: String,
    tag: String,
    cseq: u32,
    auth: Auth,
    /// The transaction of the last try.
    sent: Option<TransactionId>,
}

impl Layer {
    /// Sends a request outside dialogs; exactly one `Response` event follows.
    pub(crate) fn ask(&mut self, mut request: OutRequest) -> TransactionId {
        let call_id = request
            .call_id
            .take()
            .unwrap_or_else(|| self.secret.token());
        let ask = Ask {
            call_id,
            tag: self.secret.token(),
            cseq: request.cseq.unwrap_or(1),
            auth: Auth::new(request.credentials.take()),
            sent: None,
            request,
        };
        let full = self.len() >= self.config.max_transactions;
        let id = TransactionId(self.asks.insert(ask) | ASK);
        if full {
            self.answered(id, 503, None);
        } else {
            self.send_ask(id);
        }
        id
    }

    /// What a transaction of an asked request told.
    pub(crate) fn asked(&mut self, id: TransactionId, notice: Notice) {
        match notice {
            Notice::Failed { status, .. } => self.answered(id, status, None),
            Notice::Response { response, .. } => {
                let status = response.status().unwrap_or(500);
                if status < 200 {
                    return;
                }
                if self.challenged(id, &response) {
                    self.send_ask(id);
                } else {
                    self.answered(id, status, Some(response));
                }
            }
        }
    }

    fn challenged(&mut self, id: TransactionId, response: &Message) -> bool {
        let Some(ask) = self.asks.get_mut(id.0 & !ASK) else {
            return false;
        };
        let request = (ask.request.method.as_str(), ask.request.uri.as_str());
        let again = ask.auth.answer(&mut self.secret, response, request);
        // RFC 3261 §22.2: the same Call-ID, the next CSeq.
        ask.cseq += u32::from(again);
        again
    }

    fn send_ask(&mut self, id: TransactionId) {
        // Taken out and put back by value would change the id: the request is small, the copy is per try.
        let Some(ask) = self.asks.get(id.0 & !ASK) else {
            return;
        };
        // INVITE has its own door, ACK and CANCEL are no requests to ask.
        if matches!(ask.request.method.as_str(), "INVITE" | "ACK" | "CANCEL") {
            return self.answered(id, 500, None);
        }
        let request = ask.request.clone();
        let head = [
            ("From", format!("{};tag={}", request.from, ask.tag)),
            ("To", request.to),
            ("Call-ID", ask.call_id.clone()),
            ("CSeq", format!("{} {}", ask.cseq, request.method)),
        ];
        let answers = ask.auth.answers().to_vec();
        let mut draft = self.draft(request.flow, &request.method, &request.uri);
        for route in &request.route {
            draft = draft.header("Route", route);
        }
        for (name, value) in head.into_iter().chain(answers) {
            draft = draft.header(name, value);
        }
        draft = draft.headers(&request.headers);
        if let Some((content_type, body)) = &request.body {
            draft = draft.body(content_type, body);
        }
        match self.start(draft, Owner::Request(id)) {
            Ok(sent) => {
                if let Some(ask) = self.asks.get_mut(id.0 & !ASK) {
                    ask.sent = Some(sent);
                }
            }
            Err(_) => self.answered(id, 500, None),
        }
    }

    /// See [`crate::Endpoint::expect_response_within`].
    pub(crate) fn expect_answer_within(&mut self, id: TransactionId, within: Duration) {
        let sent = self.asks.get(id.0 & !ASK).and_then(|ask| ask.sent);
        if let Some(sent) = sent {
            self.expect_within(sent, within);
        }
    }

    fn answered(&mut self, id: TransactionId, status: u16, response: Option<Message>) {
        if self.asks.remove(id.0 & !ASK).is_some() {
            self.event(SipEvent::Response {
                transaction: id,
                status,
                response,
            });
        }
    }
}
