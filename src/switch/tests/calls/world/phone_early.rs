//! What a phone, or a provider with many behind it, says before the answer; each fork by a tag of its own.

use super::phone::{Phone, State, header, parameter};
use std::time::Instant;

impl Phone {
    /// A provisional response of the fork `tag` to the INVITE it has; `media`: with its SDP.
    pub(crate) fn progresses(&mut self, status: u16, tag: &str, media: bool) {
        let text = self.fork_text(status, tag, media);
        self.out.push(text);
    }

    /// The fork `tag` answers.
    pub(crate) fn answers_as(&mut self, now: Instant, tag: &str, media: bool) {
        let text = self.fork_text(200, tag, media);
        if self.state == State::Ringing {
            self.state = State::Up;
            self.dialog.local = header(&text, "To");
        }
        let call_id = self.dialog.call_id.clone();
        self.send(now, &format!("200{call_id}{tag}"), text);
    }

    /// Asks in the early dialog that the last 183 made from here on.
    pub(crate) fn goes_on_early(&mut self) {
        let last = self.letters("SIP/2.0 183").pop().unwrap_or_default();
        let last = last.to_owned();
        self.dialog.remote = header(&last, "To");
        self.dialog.target = header(&last, "Contact").trim_matches(['<', '>']).to_owned();
    }

    /// It refuses the INVITE it has.
    pub(crate) fn refuses_call(&mut self, now: Instant, status: u16) {
        self.state = State::Over(status);
        let text = self.answer_text(status, &self.invite, "");
        let call_id = self.dialog.call_id.clone();
        self.send(now, &format!("refusal{call_id}"), text);
    }

    fn fork_text(&self, status: u16, tag: &str, media: bool) -> String {
        let sdp = if media { self.sdp() } else { String::new() };
        let text = self.answer_text(status, &self.invite, &sdp);
        let own = format!(";tag=u{}", self.number);
        text.replace(&own, &format!(";tag={tag}"))
    }

    /// The 200 of a fork was acknowledged.
    pub(super) fn fork_confirmed(&mut self, call_id: &str, ack: &str) {
        let tag = parameter(&header(ack, "To"), "tag");
        self.repeats.remove(&format!("200{call_id}{tag}"));
    }

    /// Whether a BYE is for another fork than the one that talks.
    pub(super) fn fork_left(&mut self, bye: &str) -> bool {
        let tag = |address: &str| parameter(address, "tag");
        let left = tag(&header(bye, "To"));
        let other = left != tag(&self.dialog.local);
        if other {
            self.media.left.push(left);
        }
        other
    }
}
