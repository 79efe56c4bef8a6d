//! What a phone was sent and what it adds to what it sends: for stories about headers.

use super::phone::{Phone, header};
use std::time::Instant;

impl Phone {
    /// From now on every request of `what` (a method), or every answer of `what` (a status), has these lines too.
    pub(crate) fn adds(&mut self, what: &str, lines: &str) {
        let lines = lines.lines().map(|line| format!("{}\r\n", line.trim()));
        self.adds.insert(what.to_owned(), lines.collect());
    }

    /// Everything that began with `start`, oldest first.
    pub(crate) fn letters(&self, start: &str) -> Vec<&str> {
        let began = |letter: &&String| letter.starts_with(start);
        self.letters
            .iter()
            .filter(began)
            .map(String::as_str)
            .collect()
    }

    /// The value of `name` in the last thing that began with `start`; empty when there is none.
    pub(crate) fn read(&self, start: &str, name: &str) -> String {
        let last = self.letters(start).last().copied();
        last.map(|letter| header(letter, name)).unwrap_or_default()
    }

    /// Hangs up with a reason.
    pub(crate) fn hangs_up_because(&mut self, now: Instant, reason: &str) {
        self.adds("BYE", &format!("Reason: {reason}"));
        self.hangs_up(now);
    }
}
