//! A phone that writes text messages, in a call and outside.

use super::phone::Phone;
use std::time::Instant;

impl Phone {
    /// Writes `body` to `user`; answers the challenge by itself.
    pub(crate) fn writes(&mut self, now: Instant, user: &str, body: &str) {
        self.writes_as(now, user, ("text/plain;charset=UTF-8", body));
    }

    /// The same with a content type.
    pub(crate) fn writes_as(&mut self, now: Instant, user: &str, (kind, body): (&str, &str)) {
        self.start(user);
        self.writing = (kind.to_owned(), body.to_owned());
        let uri = format!("sip:{user}@pbx");
        self.secret = Some(("MESSAGE".into(), uri.clone()));
        let branch = self.next();
        let text = self.request("MESSAGE", &uri, &branch, ("", body));
        self.send(now, &branch, text);
    }

    /// Writes `body` to the other party of its call.
    pub(crate) fn writes_inside(&mut self, now: Instant, body: &str) {
        self.writing = ("text/plain".to_owned(), body.to_owned());
        self.cseq += 1;
        let (branch, target) = (self.next(), self.dialog.target.clone());
        let text = self.request("MESSAGE", &target, &branch, ("", body));
        self.send(now, &branch, text);
    }

    /// The bodies of the messages it was sent.
    pub(crate) fn messages(&self) -> Vec<String> {
        let body = |letter: &&str| {
            letter
                .split("\r\n\r\n")
                .nth(1)
                .unwrap_or_default()
                .to_owned()
        };
        self.letters("MESSAGE").iter().map(body).collect()
    }

    /// The status of the last answer to a request of `method` that was not a challenge.
    pub(crate) fn was_told(&self, method: &str) -> u16 {
        let answers = self.letters("SIP/2.0");
        let of = |letter: &&&str| {
            super::phone::header(letter, "CSeq").ends_with(method)
                && !letter.starts_with("SIP/2.0 401")
        };
        let last = answers.iter().rev().find(of);
        last.and_then(|letter| letter.get(8..11)?.parse().ok())
            .unwrap_or(0)
    }
}
