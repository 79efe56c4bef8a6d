//! Asking the peer of a call that stands whether it is still there: OPTIONS inside the dialog. RFC 3261 §11, §12.2.1.

use super::{Dialog, Phase};
use crate::endpoint::SipEvent;
use crate::transaction::{Layer, Notice, Owner};

impl Dialog {
    pub(crate) fn probe(&mut self, layer: &mut Layer) {
        if !matches!(self.phase, Phase::Up) {
            return;
        }
        self.forget_probe(layer);
        let draft = self
            .draft(layer, "OPTIONS", None)
            .header("Accept", "application/sdp");
        // A target that cannot be written is a peer that does not answer.
        self.probe = layer.start(draft, Owner::Dialog(self.id)).ok();
    }

    /// A dead flow and timer F are no answer; any refusal is one. What 408 and 481 mean (RFC 3261 §12.2.1.2) is for who
    /// asked to say.
    pub(super) fn probed(&mut self, layer: &mut Layer, notice: &Notice) {
        let Notice::Response { response, .. } = notice else {
            self.probe = None;
            return;
        };
        if let Some(status) = response.status().filter(|status| *status >= 200) {
            self.probe = None;
            layer.event(SipEvent::Probed {
                dialog: self.id,
                status,
            });
        }
    }

    pub(super) fn forget_probe(&mut self, layer: &mut Layer) {
        if let Some(probe) = self.probe.take() {
            layer.abandon(probe);
        }
    }
}
