//! A phone that acknowledges what rings reliably (RFC 3262): for stories about what comes before the answer.

use super::phone::{Phone, header};
use std::time::Instant;

/// What a phone does with a reliable provisional response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pracks {
    /// And answers the offer in it, if its INVITE had none.
    Rightly,
    /// Without the answer it owes.
    Barely,
    Never,
}

impl Phone {
    /// A provisional response came.
    pub(crate) fn rung(&mut self, now: Instant, text: &str) {
        let rseq = header(text, "RSeq");
        if rseq.is_empty() || self.pracks == Pracks::Never || self.racked.contains(&rseq) {
            return;
        }
        self.racked.push(rseq.clone());
        let body = if self.offerless && self.pracks == Pracks::Rightly && text.contains("m=audio") {
            self.sdp()
        } else {
            String::new()
        };
        let rack = format!("RAck: {rseq} {}\r\n", header(text, "CSeq"));
        self.asks_early(now, text, ("PRACK", &rack, &body));
    }
}
