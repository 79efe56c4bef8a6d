//! Hanging up, from either side or both at once. RFC 3261 §15.

use super::{Dialog, Phase, Purpose, reason_of, with_answers};
use crate::endpoint::{SipEvent, TransactionId};
use crate::message::Message;
use crate::transaction::{Auth, Layer, Notice, Owner};

/// Our BYE on its way.
pub(super) struct Closing {
    pub(super) bye: TransactionId,
    auth: Auth,
    reason: Option<String>,
}

impl Dialog {
    /// Ends the call in whatever state it is.
    pub(crate) fn bye(&mut self, layer: &mut Layer, reason: Option<String>) {
        match &self.phase {
            Phase::Calling(_) => self.cancel(layer, reason),
            Phase::Incoming { .. } => {
                let headers: Vec<_> = reason
                    .map(|reason| ("Reason", reason))
                    .into_iter()
                    .collect();
                self.refuse(layer, 480, &headers);
            }
            Phase::Up => match &mut self.unacked {
                // RFC 3261 §15: the callee must not send BYE before the ACK came or was given up.
                Some(unacked) if matches!(unacked.purpose, Purpose::Call) => {
                    unacked.purpose = Purpose::CallThenBye(reason);
                }
                Some(unacked) if matches!(unacked.purpose, Purpose::CallThenBye(_)) => {}
                _ => self.hang_up(layer, reason),
            },
            Phase::Closing(_) | Phase::Over => {}
        }
    }

    /// Sends BYE and stops everything else.
    pub(super) fn hang_up(&mut self, layer: &mut Layer, reason: Option<String>) {
        self.quiet(layer);
        let auth = Auth::new(self.login.clone());
        self.send_bye(layer, auth, reason);
    }

    fn send_bye(&mut self, layer: &mut Layer, auth: Auth, reason: Option<String>) {
        let plain = with_answers(self.draft(layer, "BYE", None), &auth);
        let owner = Owner::Dialog(self.id);
        let sent = match &reason {
            Some(reason) => {
                let with_reason = plain.clone().header("Reason", reason);
                layer
                    .start(with_reason, owner)
                    .or_else(|_| layer.start(plain, owner))
            }
            None => layer.start(plain, owner),
        };
        match sent {
            Ok(bye) => self.phase = Phase::Closing(Box::new(Closing { bye, auth, reason })),
            // The peer's target cannot be written: there is nobody to tell.
            Err(_) => self.end(layer),
        }
    }

    /// RFC 3261 §15.1.1: after any final answer, 481, 408 and silence included, the session is over. A challenge is
    /// answered first, and a dead connection replaced once.
    pub(super) fn bye_answered(&mut self, layer: &mut Layer, notice: Notice) {
        let again =
            match (&mut self.phase, &notice) {
                (Phase::Closing(_), Notice::Response { response, .. })
                    if response.status() < Some(200) =>
                {
                    return;
                }
                (Phase::Closing(closing), Notice::Response { response, .. }) => closing
                    .auth
                    .answer(&mut layer.secret, response, ("BYE", &self.peer.target)),
                (Phase::Closing(_), Notice::Failed { status, .. }) => {
                    let stale = *status == 503
                        && self.flow.transport.reliable()
                        && !self.flow.transport.is_websocket()
                        && !self.flow.is_wish();
                    if stale {
                        self.flow.id = self.wish;
                    }
                    stale
                }
                _ => return,
            };
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Closing(closing) if again => self.send_bye(layer, closing.auth, closing.reason),
            _ => self.end(layer),
        }
    }

    /// The peer's BYE. While ours is on its way it changes nothing: both are answered.
    pub(super) fn hung_up(&mut self, layer: &mut Layer, request: &Message) {
        self.agree(layer, request);
        match &self.phase {
            // Our INVITE has no final answer: the fork is dead, the call may not be; it is not waited for long.
            Phase::Calling(calling) => {
                if let Some(invite) = calling.invite {
                    layer.hurry(invite);
                }
                return;
            }
            // RFC 3261 §15.1.2: an early dialog may be left by BYE; its INVITE is answered 487.
            Phase::Incoming { invite } => self.reply_plain(layer, *invite, 487),
            Phase::Up => {
                // We wanted to hang up ourselves, and the switch need not hear of the other's wish.
                if let Some(unacked) = &self.unacked
                    && matches!(unacked.purpose, Purpose::CallThenBye(_))
                {
                    return self.end(layer);
                }
            }
            Phase::Closing(_) | Phase::Over => return,
        }
        layer.event(SipEvent::HungUp {
            dialog: self.id,
            reason: reason_of(request),
        });
        self.end(layer);
    }
}
