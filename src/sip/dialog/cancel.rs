//! CANCEL, sent and received, and the answers that cross it. RFC 3261 §9.

use super::{Dialog, Phase, reason_of};
use crate::endpoint::{SipEvent, TransactionId};
use crate::message::Message;
use crate::transaction::Layer;

/// How far giving up a call has come.
pub(super) enum Cancel {
    No,
    /// RFC 3261 §9.1: it waits for a provisional response; the Reason waits with it.
    Wanted(Option<String>),
    Sent,
}

impl Dialog {
    /// Gives up a call of ours; whatever stands already is hung up.
    pub(crate) fn cancel(&mut self, layer: &mut Layer, reason: Option<String>) {
        let Phase::Calling(calling) = &mut self.phase else {
            return self.bye(layer, reason);
        };
        if matches!(calling.cancel, Cancel::No) {
            calling.cancel = Cancel::Wanted(reason);
            self.send_wanted_cancel(layer);
        }
    }

    pub(super) fn send_wanted_cancel(&mut self, layer: &mut Layer) {
        let Phase::Calling(calling) = &mut self.phase else {
            return;
        };
        if let (Cancel::Wanted(reason), Some(invite)) = (&calling.cancel, calling.invite)
            && layer.may_cancel(invite)
        {
            layer.cancel(invite, reason.as_deref());
            calling.cancel = Cancel::Sent;
        }
    }

    /// The peer cancelled `invite`, and its CANCEL was answered 200. Too late after a final response (RFC 3261 §9.2).
    pub(crate) fn cancelled(
        &mut self,
        layer: &mut Layer,
        invite: TransactionId,
        request: &Message,
    ) {
        if matches!(self.phase, Phase::Incoming { invite: ours } if ours == invite) {
            self.reply_plain(layer, invite, 487);
            layer.event(SipEvent::Cancelled {
                dialog: self.id,
                reason: reason_of(request),
            });
            self.end(layer);
        } else if self
            .theirs
            .as_ref()
            .is_some_and(|theirs| theirs.transaction == invite)
        {
            self.theirs = None;
            self.reply_plain(layer, invite, 487);
        }
    }

    /// A response without anything further.
    pub(crate) fn reply_plain(&self, layer: &mut Layer, transaction: TransactionId, status: u16) {
        let built = layer
            .request(transaction)
            .map(|(request, _)| self.response(layer, request, status).build());
        if let Some(Ok(bytes)) = built {
            layer.reply(transaction, status, bytes);
        }
    }

    pub(crate) fn local_tag(&self) -> &str {
        &self.local_tag
    }
}
