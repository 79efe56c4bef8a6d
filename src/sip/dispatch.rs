//! Who gets what: a message goes to its transaction, else to its dialog, else it begins something new; what
//! transactions and timers tell goes to their owners. No protocol rule lives here beyond that order.

use bytes::Bytes;
use std::time::Instant;

use crate::dialog::{Dialog, release_fork};
use crate::endpoint::{DialogId, Endpoint, Invite, Sender, SipEvent, TransactionId};
use crate::flow::Flow;
use crate::message::{HeaderId, Limits, Message, Method, stamp_via};
use crate::screen::{Rejection, method_outside, screen};
use crate::transaction::{Alarm, Event, Layer, Notice, Owner};

impl Endpoint {
    /// Whether the message could be read.
    pub(crate) fn take(&mut self, flow: Flow, bytes: Bytes, sender: Sender) -> bool {
        let len = bytes.len();
        match Message::parse(bytes.clone()) {
            Ok(message) if message.is_request() => {
                self.take_request(stamp_via(message, flow.remote), flow, sender);
                true
            }
            Ok(message) => {
                self.take_response(&message, flow);
                true
            }
            Err(_) => {
                if let Some(request) = Message::salvage(bytes) {
                    let status = if is_oversized(&request, flow, len) {
                        513
                    } else {
                        400
                    };
                    self.layer
                        .reject(&stamp_via(request, flow.remote), flow, status, &[]);
                }
                false
            }
        }
    }

    pub(crate) fn with(
        &mut self,
        now: Instant,
        dialog: DialogId,
        act: impl FnOnce(&mut Dialog, &mut Layer),
    ) {
        self.layer.wheel.touch(now);
        self.dialogs.with(&mut self.layer, dialog, act);
    }

    /// What came inside a dialog is answered as the dialog (RFC 3261 §12.2.2), while there is one.
    pub(crate) fn answer_request(
        &mut self,
        id: TransactionId,
        status: u16,
        headers: &[(&str, String)],
    ) {
        match self.layer.owner(id) {
            Some(Owner::Dialog(dialog)) if self.dialogs.get(dialog).is_some() => {
                self.dialogs.with(&mut self.layer, dialog, |dialog, layer| {
                    dialog.respond(layer, id, status, headers)
                });
            }
            _ => self.layer.respond(id, status, headers),
        }
    }

    pub(crate) fn start_call(&mut self, invite: Invite) -> DialogId {
        let full = self.is_full(true);
        let dialog = Dialog::calling(&mut self.layer, invite);
        let id = self.dialogs.insert(dialog);
        self.dialogs.with(&mut self.layer, id, |dialog, layer| {
            if full {
                dialog.give_up(layer, 503)
            } else {
                dialog.call(layer)
            }
        });
        id
    }

    pub(crate) fn ring_alarm(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Repeat(transaction) => {
                self.layer.ring(transaction, Event::Repeat);
            }
            Alarm::End(transaction) => {
                let notice = self.layer.ring(transaction, Event::End);
                self.tell(notice);
            }
            Alarm::Subscription(alarm) => {
                self.subscriptions.ring_alarm(&mut self.layer, alarm);
            }
            Alarm::Dialog(id, alarm) => {
                self.dialogs.with(&mut self.layer, id, |dialog, layer| {
                    dialog.ring_alarm(layer, alarm)
                });
            }
        }
    }

    /// RFC 3261 §17.2.1: whoever is not answered at once hears 100. What was refused or answered while its event was
    /// drained needs none.
    pub(crate) fn try_undecided(&mut self) {
        while let Some((invite, id)) = self.layer.undecided.pop() {
            if self.layer.is_unanswered(invite) {
                self.dialogs.with(&mut self.layer, id, |dialog, layer| {
                    dialog.reply_plain(layer, invite, 100)
                });
            }
        }
    }

    /// Brings what a transaction told to its owner.
    pub(crate) fn tell(&mut self, notice: Option<Notice>) {
        let Some(notice) = notice else {
            return;
        };
        let (Notice::Response { owner, .. } | Notice::Failed { owner, .. }) = &notice;
        let left = match *owner {
            Owner::Request(id) => {
                self.layer.asked(id, notice);
                None
            }
            Owner::Subscription(id) => {
                self.subscriptions.with(&mut self.layer, id, |s, layer| {
                    s.heard(layer, &notice);
                });
                None
            }
            // The act is skipped when the dialog is gone: the notice then comes back as it was.
            Owner::Dialog(id) if self.dialogs.get(id).is_some() => self
                .dialogs
                .with(&mut self.layer, id, |dialog, layer| {
                    dialog.heard(layer, notice)
                })
                .flatten(),
            Owner::Dialog(_) | Owner::Nobody => Some(notice),
        };
        if let Some(Notice::Response {
            transaction,
            response,
            flow,
            ..
        }) = left
            && matches!(response.method(), Method::Invite)
            && response
                .status()
                .is_some_and(|status| (200..300).contains(&status))
        {
            release_fork(&mut self.layer, transaction, &response, flow);
        }
    }

    /// Whether who is `known`, or a stranger, may begin no dialog.
    pub(crate) fn is_full(&self, known: bool) -> bool {
        let config = &self.layer.config;
        fills(self.layer.len(), config.max_transactions, known)
            || fills(self.dialogs.len(), config.max_dialogs, known)
    }

    fn take_response(&mut self, response: &Message, flow: Flow) {
        // RFC 3261 §8.1.3.3: more than our own Via means that it was meant for somebody else.
        if response.values(HeaderId::Via).count() == 1 {
            let notice = self.layer.response(response, flow);
            self.tell(notice);
        }
    }

    fn take_request(&mut self, request: Message, flow: Flow, sender: Sender) {
        if matches!(request.method(), Method::Ack) {
            return self.take_ack(&request);
        }
        if let Some(known) = self.layer.server(&request, request.method().as_str()) {
            return self.layer.again(known, Event::Request);
        }
        if let Err(rejection) = self.admit(&request, flow, sender) {
            let Rejection { status, headers } = rejection;
            self.layer.reject(&request, flow, status, &headers);
        }
    }

    /// RFC 3261 §8.2: whatever is refused here leaves nothing behind.
    fn admit(&mut self, request: &Message, flow: Flow, sender: Sender) -> Result<(), Rejection> {
        screen(request, &self.layer.config)?;
        if matches!(request.method(), Method::Cancel) {
            return self.take_cancel(request, flow);
        }
        if request.to().is_some_and(|to| to.tag().is_some()) {
            return self.take_inside(request, flow);
        }
        method_outside(request)?;
        // RFC 3261 §8.2.7: who proves nothing is challenged without keeping state, or a flood would fill the tables.
        if sender != Sender::Trusted && is_bare(request) {
            self.layer.event(SipEvent::Unproven {
                request: request.clone(),
                flow,
            });
            return Ok(());
        }
        if self.layer.is_merged(request) {
            return Err(Rejection::new(482));
        }
        let invite = matches!(request.method(), Method::Invite);
        let most = match sender {
            Sender::Trusted | Sender::Phone => None,
            Sender::Neighbour => Some(self.layer.config.max_of_neighbours),
            Sender::Stranger => Some(self.layer.config.max_of_stranger),
        };
        let known = most.is_none();
        let full = fills(self.layer.len(), self.layer.config.max_transactions, known);
        if full
            || invite && self.is_full(known)
            || most.is_some_and(|most| !self.layer.has_room_for(flow, most))
        {
            return Err(Rejection::busy());
        }
        let transaction = if invite {
            self.take_invite(request, flow)
        } else if matches!(request.method(), Method::Subscribe) {
            self.take_subscribe(request, flow)?
        } else {
            let transaction = self.layer.open(request, flow, Owner::Nobody);
            self.layer.event(SipEvent::Request {
                transaction,
                request: request.clone(),
                flow,
            });
            transaction
        };
        if !known {
            self.layer.count_stranger(transaction);
        }
        Ok(())
    }

    /// An ACK belongs to the refusal it acknowledges, or to a dialog's 2xx; it is never answered.
    fn take_ack(&mut self, request: &Message) {
        if let Some(invite) = self.layer.server(request, "INVITE") {
            self.layer.again(invite, Event::Ack);
        }
        if let Some(id) = self.dialogs.find(&self.layer, request) {
            self.dialogs.with(&mut self.layer, id, |dialog, layer| {
                dialog.acknowledged(layer, request)
            });
        }
    }

    /// RFC 3261 §9.2: answered 200 whenever its INVITE is known, whether or not it still does anything.
    fn take_cancel(&mut self, request: &Message, flow: Flow) -> Result<(), Rejection> {
        let invite = self
            .layer
            .server(request, "INVITE")
            .ok_or(Rejection::new(481))?;
        let dialog = match self.layer.owner(invite) {
            Some(Owner::Dialog(id)) => self
                .dialogs
                .get(id)
                .map(|dialog| (id, dialog.local_tag().to_owned())),
            Some(Owner::Nobody | Owner::Request(_) | Owner::Subscription(_)) | None => None,
        };
        let cancel = self.layer.open(request, flow, Owner::Nobody);
        let Some((id, tag)) = dialog else {
            self.layer.respond(cancel, 200, &[]);
            return Ok(());
        };
        // RFC 3261 §9.2: the To tag of the INVITE's and the CANCEL's responses is the same.
        if let Ok(bytes) = self.layer.draft_response(request, 200, &tag).build() {
            self.layer.reply(cancel, 200, bytes);
        }
        self.dialogs.with(&mut self.layer, id, |dialog, layer| {
            dialog.cancelled(layer, invite, request)
        });
        Ok(())
    }

    fn take_inside(&mut self, request: &Message, flow: Flow) -> Result<(), Rejection> {
        let dialog = self.dialogs.find(&self.layer, request);
        // A dialog may go on when no new ones may begin, but not fill memory by itself; hanging up is always possible.
        let full = self.layer.len() / 2 >= self.layer.config.max_transactions;
        if full && !matches!(request.method(), Method::Bye) {
            return Err(Rejection::busy());
        }
        let Some(id) = dialog else {
            return self.take_in_subscription(request, flow);
        };
        // The names of a dialog prove little: they can be overheard.
        let elsewhere = self.dialogs.get(id).is_some_and(|d| d.is_elsewhere(flow));
        if elsewhere && !matches!(request.method(), Method::Bye) {
            self.layer.event(SipEvent::Strayed {
                dialog: id,
                request: request.clone(),
                flow,
            });
            return Ok(());
        }
        self.dialogs.with(&mut self.layer, id, |dialog, layer| {
            dialog.receive(layer, request, flow)
        });
        Ok(())
    }

    fn take_invite(&mut self, request: &Message, flow: Flow) -> TransactionId {
        let dialog = Dialog::incoming(&mut self.layer, request, flow);
        let id = self.dialogs.insert(dialog);
        let invite: TransactionId = self.layer.open(request, flow, Owner::Dialog(id));
        self.dialogs.with(&mut self.layer, id, |dialog, layer| {
            dialog.take_invite(layer, invite)
        });
        self.layer.event(SipEvent::Incoming {
            dialog: id,
            request: request.clone(),
            flow,
        });
        invite
    }
}

/// An INVITE or REGISTER without credentials.
fn is_bare(request: &Message) -> bool {
    matches!(request.method(), Method::Invite | Method::Register)
        && request.header(HeaderId::Authorization).is_none()
        && request.header(HeaderId::ProxyAuthorization).is_none()
}

/// Whether a table of `most` places has none left. Each refused request takes one for 64·T1 (RFC 3261 §17.2): without
/// a fifth kept from strangers, a few thousand of theirs would keep everybody from calling, 112 included.
fn fills(taken: usize, most: usize, known: bool) -> bool {
    let kept = if known { 0 } else { most / 5 };
    taken >= most - kept
}

/// RFC 3261 §21.5.13: a stream hands up the head alone of a request that is longer than we take. A datagram that ends
/// before its body does is only broken (§18.3).
fn is_oversized(request: &Message, flow: Flow, len: usize) -> bool {
    let body = request.header(HeaderId::ContentLength);
    let body = body.and_then(|length| length.trim().parse::<usize>().ok());
    flow.transport.reliable()
        && !flow.transport.is_websocket()
        && body.is_some_and(|body| len.saturating_add(body) > Limits::default().message)
}
