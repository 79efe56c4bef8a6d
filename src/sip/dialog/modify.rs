//! Changing a session that stands: re-INVITE and UPDATE, both ways, and glare. RFC 3261 §14, RFC 3311.

use std::time::Duration;

use bytes::Bytes;

use super::{Alarm, Dialog, Phase, Purpose, Role, with_answers};
use crate::endpoint::{ALLOW, SipEvent, TransactionId};
use crate::message::{Message, Method};
use crate::timers::TimerId;
use crate::transaction::{self, Auth, Layer, Notice, Owner};

/// How often glare is tried again before it is told.
const MAX_GLARES: u8 = 5;

/// An offer of ours.
pub(super) struct Offer {
    sdp: Vec<u8>,
    headers: Vec<(String, String)>,
    auth: Auth,
    glares: u8,
}

pub(super) enum Ours {
    Idle,
    /// After glare, or while the peer's change is going on.
    Waiting {
        offer: Box<Offer>,
        timer: TimerId,
    },
    Sent {
        offer: Box<Offer>,
        invite: TransactionId,
    },
}

impl Ours {
    pub(super) fn transaction(&self) -> Option<TransactionId> {
        match self {
            Ours::Sent { invite, .. } => Some(*invite),
            Ours::Idle | Ours::Waiting { .. } => None,
        }
    }
}

/// A change the peer wants and the switch has not answered.
pub(super) struct Theirs {
    pub(super) transaction: TransactionId,
}

impl Dialog {
    /// re-INVITE or UPDATE.
    pub(super) fn reoffered(&mut self, layer: &mut Layer, request: &Message) {
        let update = matches!(request.method(), Method::Update);
        // RFC 3311 §5.1: an UPDATE without an offer only refreshes (session timers, targets).
        if update && request.body().is_empty() {
            return self.refreshed(layer, request);
        }
        let answering = self
            .theirs
            .as_ref()
            .is_some_and(|theirs| layer.request(theirs.transaction).is_some());
        // RFC 3261 §14.2, RFC 3311 §5.2: theirs unanswered is 500, ours unanswered 491.
        if answering || matches!(self.phase, Phase::Incoming { .. }) {
            let seconds = layer.secret.number() % 10;
            return layer.reject(
                request,
                self.flow,
                500,
                &[("Retry-After", seconds.to_string())],
            );
        }
        let glare = self.unacked.is_some() || self.ours.transaction().is_some();
        if glare || !matches!(self.phase, Phase::Up) {
            return layer.reject(request, self.flow, 491, &[]);
        }
        let transaction = layer.open(request, self.flow, Owner::Dialog(self.id));
        self.theirs = Some(Theirs { transaction });
        if !update {
            self.reply_plain(layer, transaction, 100);
        }
        layer.event(SipEvent::Reoffered {
            dialog: self.id,
            request: request.clone(),
        });
    }

    fn refreshed(&mut self, layer: &mut Layer, request: &Message) {
        self.refresh_target(request);
        let transaction = layer.open(request, self.flow, Owner::Nobody);
        if let Ok(bytes) = self.session_response(layer, request, 200, &[]).build() {
            layer.reply(transaction, 200, bytes);
        }
    }

    pub(crate) fn accept_reoffer(&mut self, layer: &mut Layer, sdp: &[u8]) {
        let Some(Theirs { transaction }) = self.theirs.take() else {
            return;
        };
        let Some((request, flow)) = layer.request(transaction) else {
            return;
        };
        let request = request.clone();
        self.refresh_target(&request);
        let number = request.cseq().map_or(0, |(number, _)| number);
        let Ok(bytes) = self.session_response(layer, &request, 200, sdp).build() else {
            return self.reply_plain(layer, transaction, 500);
        };
        layer.reply(transaction, 200, bytes.clone());
        if matches!(request.method(), Method::Invite) {
            self.await_ack(layer, Purpose::Reoffer, number, (flow, bytes));
        }
    }

    pub(crate) fn refuse_reoffer(&mut self, layer: &mut Layer, status: u16) {
        if let Some(Theirs { transaction }) = self.theirs.take() {
            let status = if (300..=699).contains(&status) {
                status
            } else {
                488
            };
            self.reply_plain(layer, transaction, status);
        }
    }

    pub(crate) fn reinvite(&mut self, layer: &mut Layer, sdp: &[u8], headers: &[(&str, String)]) {
        if !matches!(self.phase, Phase::Up) {
            return self.reanswered(layer, Err(481));
        }
        if !matches!(self.ours, Ours::Idle) {
            return self.reanswered(layer, Err(491));
        }
        let offer = Box::new(Offer {
            sdp: sdp.to_vec(),
            headers: owned(headers),
            auth: Auth::new(self.login.clone()),
            glares: 0,
        });
        self.send_or_wait(layer, offer);
    }

    pub(super) fn retry_offer(&mut self, layer: &mut Layer) {
        if let Ours::Waiting { offer, .. } = std::mem::replace(&mut self.ours, Ours::Idle) {
            self.send_or_wait(layer, offer);
        }
    }

    fn send_or_wait(&mut self, layer: &mut Layer, offer: Box<Offer>) {
        if self.theirs.is_some() || self.unacked.is_some() {
            self.wait(layer, offer);
        } else {
            self.send_offer(layer, offer);
        }
    }

    fn wait(&mut self, layer: &mut Layer, offer: Box<Offer>) {
        // RFC 3261 §14.1: who made the Call-ID waits 2.1 to 4 s, the other 0 to 2 s, in steps of 10 ms.
        let steps = match self.role {
            Role::Caller => 210 + layer.secret.number() % 191,
            Role::Callee => layer.secret.number() % 201,
        };
        let alarm = transaction::Alarm::Dialog(self.id, Alarm::Offer);
        let timer = layer.wheel.arm(Duration::from_millis(steps * 10), alarm);
        self.ours = Ours::Waiting { offer, timer };
    }

    fn send_offer(&mut self, layer: &mut Layer, offer: Box<Offer>) {
        let number = self.next_seq();
        let mut draft = self
            .draft(layer, "INVITE", number)
            .header("Contact", self.contact(layer))
            .header("Allow", ALLOW)
            .headers(&offer.headers);
        draft = with_answers(draft, &offer.auth);
        if !offer.sdp.is_empty() {
            draft = draft.body("application/sdp", &offer.sdp);
        }
        match layer.start(draft, Owner::Dialog(self.id)) {
            Ok(invite) => self.ours = Ours::Sent { offer, invite },
            Err(_) => self.reanswered(layer, Err(500)),
        }
    }

    pub(super) fn offer_answered(&mut self, layer: &mut Layer, notice: Notice) {
        let (transaction, response) = match notice {
            Notice::Failed { status, .. } => {
                self.ours = Ours::Idle;
                return self.offer_failed(layer, status);
            }
            Notice::Response {
                transaction,
                response,
                ..
            } => (transaction, response),
        };
        let status = response.status().unwrap_or(500);
        if status < 200 {
            // Nobody rings here: an answer is due.
            return layer.hurry(transaction);
        }
        let Ours::Sent { mut offer, .. } = std::mem::replace(&mut self.ours, Ours::Idle) else {
            return;
        };
        match status {
            200..=299 => {
                self.refresh_target(&response);
                let number = response.cseq().map_or(self.local_seq, |(number, _)| number);
                if let Some(ack) = self.ack(layer, number, &offer.auth) {
                    let tag = super::tag_of(response.to());
                    layer.acknowledge(transaction, &tag, (self.flow, ack));
                }
                self.reanswered(layer, Ok(Bytes::copy_from_slice(response.body())));
            }
            491 if offer.glares < MAX_GLARES => {
                offer.glares += 1;
                self.wait(layer, offer);
            }
            _ if offer
                .auth
                .answer(&mut layer.secret, &response, ("INVITE", &self.target)) =>
            {
                self.send_offer(layer, offer);
            }
            _ => self.offer_failed(layer, status),
        }
    }

    /// RFC 3261 §12.2.1.2: 481 and 408, silence included, mean that the peer's side of the dialog is gone.
    fn offer_failed(&mut self, layer: &mut Layer, status: u16) {
        self.reanswered(layer, Err(status));
        if matches!(status, 408 | 481) {
            self.hang_up(layer, None);
        }
    }

    fn reanswered(&self, layer: &mut Layer, result: Result<Bytes, u16>) {
        layer.event(SipEvent::Reanswered {
            dialog: self.id,
            result,
        });
    }

    /// The session ends: our offer is forgotten, theirs answered 487 (RFC 3261 §15.1.2).
    pub(super) fn withdraw(&mut self, layer: &mut Layer) {
        match std::mem::replace(&mut self.ours, Ours::Idle) {
            Ours::Idle => {}
            Ours::Waiting { timer, .. } => layer.wheel.cancel(timer),
            Ours::Sent { invite, .. } => layer.abandon(invite),
        }
        if let Some(Theirs { transaction }) = self.theirs.take() {
            self.reply_plain(layer, transaction, 487);
        }
    }
}

fn owned(headers: &[(&str, String)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
    headers.iter().map(owned).collect()
}
