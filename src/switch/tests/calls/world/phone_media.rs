//! What a phone does with its media: the SDP it says, holding, offering anew, answering late.

use super::phone::{Phone, header, status};
use std::net::IpAddr;
use std::time::Instant;

/// The state of a phone's media.
#[derive(Debug)]
pub(crate) struct Media {
    /// `c=` address, when it is not its own.
    pub(crate) address: Option<&'static str>,
    pub(crate) port: u16,
    /// Payload types.
    pub(crate) formats: &'static str,
    /// Without one it says none.
    pub(crate) direction: &'static str,
    pub(crate) transport: &'static str,
    /// More lines of its audio.
    pub(crate) lines: &'static str,
    /// The bodies it was sent.
    pub(crate) bodies: Vec<String>,
    /// The final answers to its INVITEs and UPDATEs: CSeq and status.
    pub(crate) finals: Vec<(String, u16)>,
    /// The INVITE that waits for its final answer has no offer: the ACK answers.
    late: bool,
    /// Its ACKs stay here instead of going out.
    pub(crate) kept: Option<Vec<String>>,
    /// Tags of its forks that were hung up.
    pub(crate) left: Vec<String>,
    /// What it says to a re-INVITE.
    pub(crate) refuses: Option<u16>,
}

impl Default for Media {
    fn default() -> Media {
        Media {
            address: None,
            port: 4000,
            formats: "0 8",
            direction: "",
            transport: "RTP/AVP",
            lines: "",
            bodies: Vec::new(),
            finals: Vec::new(),
            late: false,
            kept: None,
            left: Vec::new(),
            refuses: None,
        }
    }
}

impl Media {
    pub(super) fn sdp(&self, own: IpAddr) -> String {
        let family = if own.is_ipv4() { "IP4" } else { "IP6" };
        let place = (self.address).map_or_else(|| own.to_string(), str::to_owned);
        let (port, transport, formats, lines) =
            (self.port, self.transport, self.formats, self.lines);
        let direction = match self.direction {
            "" => String::new(),
            direction => format!("a={direction}\r\n"),
        };
        format!(
            "v=0\r\no=- 1 1 IN {family} {own}\r\ns=-\r\nc=IN {family} {place}\r\nt=0 0\r\n\
             m=audio {port} {transport} {formats}\r\n{lines}{direction}"
        )
    }

    pub(super) fn hears(&mut self, text: &str) {
        let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
        if !body.is_empty() {
            self.bodies.push(body.to_owned());
        }
        let cseq = header(text, "CSeq");
        if let Some(code @ 200..) = status(text)
            && (cseq.ends_with("INVITE") || cseq.ends_with("UPDATE"))
            && self.finals.last().is_none_or(|(last, _)| *last != cseq)
        {
            self.finals.push((cseq, code));
        }
    }

    /// The direction in the last SDP it was sent; `off`: port 0.
    pub(crate) fn told(&self) -> String {
        let body = self.bodies.last().map_or("", String::as_str);
        if body.contains("m=audio 0 ") {
            return "off".to_owned();
        }
        let known = ["sendrecv", "sendonly", "recvonly", "inactive"];
        let mut said = known.iter().filter(|d| body.contains(&format!("a={d}")));
        said.next().map_or_else(String::new, ToString::to_string)
    }

    /// The last final answer.
    pub(crate) fn last(&self) -> u16 {
        self.finals.last().map_or(0, |(_, code)| *code)
    }
}

impl Phone {
    /// re-INVITE with what its media say now.
    pub(crate) fn reinvites(&mut self, now: Instant) {
        let sdp = self.sdp();
        self.changes(now, "INVITE", &sdp);
    }

    /// re-INVITE without an offer; the ACK will say what its media say then.
    pub(crate) fn reinvites_late(&mut self, now: Instant) {
        self.media.late = true;
        self.changes(now, "INVITE", "");
    }

    pub(crate) fn updates(&mut self, now: Instant) {
        let sdp = self.sdp();
        self.changes(now, "UPDATE", &sdp);
    }

    pub(crate) fn holds(&mut self, now: Instant) {
        self.media.direction = "sendonly";
        self.reinvites(now);
    }

    pub(crate) fn resumes(&mut self, now: Instant) {
        self.media.direction = "sendrecv";
        self.reinvites(now);
    }

    /// Dials without an offer; the ACK answers ours.
    pub(crate) fn dials_late(&mut self, now: Instant, number: &str) {
        self.media.late = true;
        self.offerless = true;
        self.dials(now, number);
    }

    fn changes(&mut self, now: Instant, method: &str, sdp: &str) {
        self.cseq += 1;
        let (branch, target) = (self.next(), self.dialog.target.clone());
        let text = self.request(method, &target, &branch, ("", sdp));
        self.send(now, &branch, text);
    }

    /// Our re-INVITE reached it.
    pub(super) fn reinvited(&mut self, now: Instant, key: String, text: &str) {
        let call_id = self.dialog.call_id.clone();
        let (kept, answer) = match self.media.refuses {
            Some(code) => ("refusal", self.answer_text(code, text, "")),
            None => ("200", self.answer_text(200, text, &self.sdp())),
        };
        self.answers.insert(key, answer.clone());
        self.send(now, &format!("{kept}{call_id}"), answer);
    }

    /// The end of its ACK: the rest of the header and the body.
    pub(super) fn answer_in_ack(&mut self, code: u16) -> String {
        if code >= 300 || !self.media.late {
            return "Content-Length: 0\r\n\r\n".to_owned();
        }
        let sdp = self.sdp();
        let length = sdp.len();
        format!("Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{sdp}")
    }

    pub(super) fn acknowledges(&mut self, ack: String) {
        match &mut self.media.kept {
            Some(kept) => kept.push(ack),
            None => self.out.push(ack),
        }
    }

    /// Sends the ACKs it kept.
    pub(crate) fn lets_go(&mut self) {
        self.out
            .extend(self.media.kept.take().into_iter().flatten());
    }
}
