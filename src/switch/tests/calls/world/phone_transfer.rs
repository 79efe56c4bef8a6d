//! What a phone does to send calls on: REFER, its NOTIFYs, INVITE with Replaces; and what its display is told.

use super::phone::{Phone, State, header};
use std::time::Instant;

impl Phone {
    /// Sends the other party on to `number`.
    pub(crate) fn refers(&mut self, now: Instant, number: &str) {
        self.refers_by(now, &format!("Refer-To: <sip:{number}@pbx>\r\n"));
    }

    /// Connects the other party of this call with that of another, a dialog as [`Phone::replaced`] names it.
    pub(crate) fn refers_to(&mut self, now: Instant, number: &str, other: &str) {
        let target = format!("Refer-To: <sip:{number}@pbx?Replaces={other}>\r\n");
        self.refers_by(now, &target);
    }

    /// A REFER with these header lines.
    pub(crate) fn refers_by(&mut self, now: Instant, headers: &str) {
        self.cseq += 1;
        let (branch, target) = (self.next(), self.dialog.target.clone());
        let text = self.request("REFER", &target, &branch, (headers, ""));
        self.send(now, &branch, text);
    }

    /// As [`Phone::refers`]; answers a challenge by itself.
    pub(crate) fn refers_proving(&mut self, now: Instant, number: &str) {
        self.adds("REFER", &format!("Refer-To: <sip:{number}@pbx>"));
        self.secret = Some(("REFER".into(), self.dialog.target.clone()));
        self.refers_by(now, "");
    }

    /// A REFER outside any call with these header lines; answers the challenge by itself.
    pub(crate) fn refers_outside(&mut self, now: Instant, headers: &str) {
        self.adds("REFER", headers);
        self.start("102");
        let uri = "sip:102@pbx".to_owned();
        self.secret = Some(("REFER".into(), uri.clone()));
        let branch = self.next();
        let text = self.request("REFER", &uri, &branch, ("", ""));
        self.send(now, &branch, text);
    }

    /// INVITE in the place of a dialog: Call-ID, to-tag, from-tag and further parameters.
    pub(crate) fn dials_for(&mut self, now: Instant, number: &str, replaces: &str) {
        self.adds("INVITE", &format!("Replaces: {replaces}"));
        self.dials(now, number);
    }

    /// Its dialog as the header of a REFER's target names it.
    pub(crate) fn replaced(&self) -> String {
        let (call_id, own, other) = self.names();
        format!("{call_id}%3Bto-tag%3D{other}%3Bfrom-tag%3D{own}")
    }

    /// Call-ID, its own tag, the PBX's tag.
    pub(crate) fn names(&self) -> (String, String, String) {
        let tag = |address: &str| address.split("tag=").nth(1).unwrap_or_default().to_owned();
        let other = match self.state {
            State::Calling => self.read("SIP/2.0 180", "To"),
            _ => self.dialog.remote.clone(),
        };
        (
            self.dialog.call_id.clone(),
            tag(&self.dialog.local),
            tag(&other),
        )
    }

    /// The final answers to its REFERs.
    pub(crate) fn answers_to_refer(&self) -> Vec<u16> {
        let mut seen = Vec::new();
        let finals = self.letters("SIP/2.0 ").into_iter().filter_map(|letter| {
            let cseq = header(letter, "CSeq");
            let status: u16 = letter.get(8..11)?.parse().ok()?;
            let new = cseq.ends_with("REFER") && status >= 200 && !seen.contains(&cseq);
            seen.push(cseq);
            new.then_some(status)
        });
        finals.collect()
    }

    /// What NOTIFY told of them, once each: event, the sipfrag's line and the subscription's state.
    pub(crate) fn told(&self) -> Vec<String> {
        let mut seen = Vec::new();
        let told = self.letters("NOTIFY ").into_iter().filter_map(|letter| {
            let cseq = header(letter, "CSeq");
            if seen.contains(&cseq) {
                return None;
            }
            seen.push(cseq);
            let state = header(letter, "Subscription-State");
            let state = state.split(';').next().unwrap_or_default();
            let line = letter.split("\r\n\r\n").nth(1)?.lines().next()?;
            Some(format!("{}: {line}, {state}", header(letter, "Event")))
        });
        told.collect()
    }

    /// The statuses that NOTIFY told.
    pub(crate) fn progress(&self) -> Vec<u16> {
        let told = self.told();
        let status = |line: &String| line.split("SIP/2.0 ").nth(1)?.get(..3)?.parse().ok();
        told.iter().filter_map(status).collect()
    }

    /// Whom its display shows, by what it was told last of all.
    pub(crate) fn display(&self) -> String {
        let told = self
            .letters
            .iter()
            .rev()
            .map(|letter| header(letter, "P-Asserted-Identity"));
        let mut told = told.filter(|identity| !identity.is_empty());
        told.next().unwrap_or_default()
    }

    /// The RTP port it was told last.
    pub(crate) fn told_port(&self) -> u16 {
        let own = |letter: &&String| header(letter, "Call-ID") == self.dialog.call_id;
        let letters = self.letters.iter().rev().filter(own);
        let mut ports = letters.filter_map(|letter| {
            let media = letter.split("m=audio ").nth(1)?;
            media.split(' ').next()?.parse().ok()
        });
        ports.next().unwrap_or_default()
    }
}
