//! A phone that tells keys by SIP INFO, and what it was told.

use super::phone::{Phone, header};
use std::time::Instant;

impl Phone {
    /// Tells a key in its call: content type and body.
    pub(crate) fn informs(&mut self, now: Instant, kind: &str, body: &str) {
        self.writing = (kind.to_owned(), body.to_owned());
        self.cseq += 1;
        let (branch, target) = (self.next(), self.dialog.target.clone());
        let text = self.request("INFO", &target, &branch, ("", body));
        self.send(now, &branch, text);
    }

    /// The content types and bodies of the INFOs it was sent, each once.
    pub(crate) fn informed(&self) -> Vec<String> {
        let mut seen = Vec::new();
        let mut told = Vec::new();
        for letter in self.letters("INFO ") {
            let cseq = header(letter, "CSeq");
            if !seen.contains(&cseq) {
                seen.push(cseq);
                let body = letter.split("\r\n\r\n").nth(1).unwrap_or_default();
                told.push(format!("{}: {body}", header(letter, "Content-Type")));
            }
        }
        told
    }
}
