//! A phone that does whatever it is told, sense or not, on as many dialogs as it likes, and answers what it is asked. It writes
//! its own SIP text. What it repeats, the order of events repeats for it.

use super::text::{Draft, field, parameter, sdp, status, tag_of, uri_of};
use crate::world::digest;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// How far one of its dialogs is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Calling,
    /// It has called and wants no more; the CANCEL is on its way or the 200 will be hung up.
    Leaving,
    Ringing,
    Up,
    /// Its BYE is on its way.
    Closing,
    Gone,
}

#[derive(Debug, Clone)]
pub(super) struct Leg {
    pub(super) call_id: String,
    pub(super) stage: Stage,
    pub(super) local: String,
    pub(super) remote: String,
    target: String,
    cseq: u32,
    /// The INVITE it sent last, or the one it got.
    invite: String,
    /// The SDP it offers next is another version.
    version: u32,
}

pub(super) struct Puppet {
    pub(super) number: String,
    pub(super) address: SocketAddr,
    pub(super) legs: Vec<Leg>,
    pub(super) out: Vec<String>,
    /// Bodies of the NOTIFYs of its subscription, newest last, by Call-ID.
    pub(super) lamps: BTreeMap<String, String>,
    /// Subscriptions that were told to be over.
    pub(super) dark: Vec<String>,
    /// Answers it gave, for repeats.
    answers: BTreeMap<String, String>,
    /// Requests that wait for a challenge: by branch, with what they were.
    open: BTreeMap<String, (Draft, String)>,
    count: u32,
}

impl Puppet {
    pub(super) fn new(number: &str, address: SocketAddr) -> Puppet {
        Puppet {
            number: number.to_owned(),
            address,
            legs: Vec::new(),
            out: Vec::new(),
            lamps: BTreeMap::new(),
            dark: Vec::new(),
            answers: BTreeMap::new(),
            open: BTreeMap::new(),
            count: 0,
        }
    }

    /// Forgets what was, but not its subscriptions.
    pub(super) fn rests(&mut self) {
        self.legs.clear();
        self.answers.clear();
        self.open.clear();
    }

    fn fresh(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what}{}x{}", self.number, self.count)
    }

    pub(super) fn contact(&self) -> String {
        format!("Contact: <sip:{}@{}>", self.number, self.address)
    }

    pub(super) fn send(&mut self, draft: Draft) -> String {
        let branch = self.fresh("z9hG4bK");
        self.out.push(draft.text(self.address, &branch));
        self.open.insert(branch.clone(), (draft, String::new()));
        branch
    }

    pub(super) fn outside(&mut self, method: &str, user: &str, more: Vec<String>) -> Draft {
        let (call_id, tag) = (self.fresh("id"), self.fresh("t"));
        Draft {
            method: method.to_owned(),
            uri: format!("sip:{user}@pbx"),
            from: format!("<sip:{}@pbx>;tag={tag}", self.number),
            to: format!("<sip:{user}@pbx>"),
            call_id,
            cseq: 1,
            more,
            body: None,
        }
    }

    pub(super) fn registers(&mut self) {
        let number = self.number.clone();
        let mut draft = self.outside("REGISTER", &number, vec![self.contact()]);
        draft.uri = "sip:pbx".to_owned();
        draft.more.push("Expires: 3600".to_owned());
        self.send(draft);
    }

    pub(super) fn writes(&mut self, user: &str) {
        let mut draft = self.outside("MESSAGE", user, Vec::new());
        draft.body = Some(("text/plain", "hello".to_owned()));
        self.send(draft);
    }

    /// Dials; `replaces` is the value of that header.
    pub(super) fn dials(&mut self, user: &str, replaces: Option<String>, reliable: bool) {
        let mut draft = self.outside("INVITE", user, vec![self.contact()]);
        draft
            .more
            .push("Allow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, NOTIFY".to_owned());
        draft
            .more
            .extend(replaces.map(|value| format!("Replaces: {value}")));
        if reliable {
            draft
                .more
                .push("Supported: 100rel, timer, replaces".to_owned());
        }
        draft.body = Some(("application/sdp", sdp(self.address.ip(), 1, "sendrecv")));
        let mut leg = Leg {
            call_id: draft.call_id.clone(),
            stage: Stage::Calling,
            local: draft.from.clone(),
            remote: draft.to.clone(),
            target: draft.uri.clone(),
            cseq: 1,
            invite: String::new(),
            version: 1,
        };
        self.send(draft);
        leg.invite = self.out.last().cloned().unwrap_or_default();
        self.legs.push(leg);
    }

    /// A request inside dialog `index`.
    fn inside(&mut self, index: usize, method: &str, more: Vec<String>) -> Option<Draft> {
        let contact = self.contact();
        let leg = self.legs.get_mut(index)?;
        leg.cseq += 1;
        let mut draft = Draft {
            method: method.to_owned(),
            uri: leg.target.clone(),
            from: leg.local.clone(),
            to: leg.remote.clone(),
            call_id: leg.call_id.clone(),
            cseq: leg.cseq,
            more,
            body: None,
        };
        draft.more.push(contact);
        Some(draft)
    }

    pub(super) fn asks(&mut self, index: usize, method: &str, more: Vec<String>) {
        if let Some(draft) = self.inside(index, method, more) {
            self.send(draft);
        }
    }

    /// re-INVITE or UPDATE.
    pub(super) fn offers(&mut self, index: usize, method: &str, direction: &str) {
        let ip = self.address.ip();
        let Some(leg) = self.legs.get_mut(index) else {
            return;
        };
        leg.version += 1;
        let offer = sdp(ip, leg.version, direction);
        if let Some(mut draft) = self.inside(index, method, Vec::new()) {
            draft.body = Some(("application/sdp", offer));
            self.send(draft);
        }
    }

    /// Ends dialog `index` in whatever way its stage wants.
    pub(super) fn leaves(&mut self, index: usize) {
        let Some(leg) = self.legs.get_mut(index) else {
            return;
        };
        match leg.stage {
            Stage::Calling | Stage::Leaving => {
                leg.stage = Stage::Leaving;
                let cancel = cancel(&leg.invite);
                self.out.push(cancel);
            }
            Stage::Ringing => self.refuses(index, 480),
            Stage::Up | Stage::Closing => {
                leg.stage = Stage::Closing;
                self.asks(index, "BYE", Vec::new());
            }
            Stage::Gone => {}
        }
    }

    pub(super) fn answers(&mut self, index: usize) {
        if let Some(leg) = self
            .legs
            .get_mut(index)
            .filter(|l| l.stage == Stage::Ringing)
        {
            leg.stage = Stage::Up;
            let invite = leg.invite.clone();
            self.accepts(&invite);
        }
    }

    pub(super) fn refuses(&mut self, index: usize, code: u16) {
        if let Some(leg) = self
            .legs
            .get_mut(index)
            .filter(|l| l.stage == Stage::Ringing)
        {
            leg.stage = Stage::Gone;
            let invite = leg.invite.clone();
            self.answer(code, &invite, Vec::new(), None);
        }
    }

    fn accepts(&mut self, invite: &str) {
        let answer = sdp(self.address.ip(), 1, "sendrecv");
        let more = vec![self.contact(), "Allow: INVITE, ACK, BYE, UPDATE".to_owned()];
        self.answer(200, invite, more, Some(answer));
    }

    fn answer(&mut self, code: u16, request: &str, more: Vec<String>, sdp: Option<String>) {
        let text = super::text::response(code, request, &self.number, (&more, sdp));
        let key = format!("{}{}", field(request, "Via"), field(request, "CSeq"));
        self.answers.insert(key, text.clone());
        self.out.push(text);
    }

    /// Whoever made the Call-ID.
    fn leg(&mut self, text: &str) -> Option<usize> {
        let call_id = field(text, "Call-ID");
        self.legs.iter().position(|leg| leg.call_id == call_id)
    }

    pub(super) fn hears(&mut self, text: &str) {
        match status(text) {
            Some(code) => self.is_answered(code, text),
            None => self.is_asked(text),
        }
    }

    fn is_answered(&mut self, code: u16, text: &str) {
        let branch = parameter(&field(text, "Via"), "branch");
        let invites = field(text, "CSeq").ends_with("INVITE");
        // A CANCEL has the branch of its INVITE.
        if field(text, "CSeq").ends_with("CANCEL") {
            return;
        }
        if code < 200 {
            return self.hears_ringing(text);
        }
        if invites {
            self.acknowledges(code, text, &branch);
        }
        let Some((draft, _)) = self.open.remove(&branch) else {
            return;
        };
        if matches!(code, 401 | 407) && draft.cseq < 50 {
            return self.proves(draft, text);
        }
        let Some(index) = self.leg(text) else {
            return;
        };
        let Some(leg) = self.legs.get_mut(index) else {
            return;
        };
        if draft.method == "BYE" {
            leg.stage = Stage::Gone;
        }
        if !invites {
            return;
        }
        match (leg.stage, code) {
            (Stage::Calling | Stage::Leaving, 200..=299) => {
                let leaving = leg.stage == Stage::Leaving;
                leg.remote = field(text, "To");
                leg.target = uri_of(&field(text, "Contact"));
                leg.stage = Stage::Up;
                if leaving {
                    self.leaves(index);
                }
            }
            (Stage::Calling | Stage::Leaving, _) => leg.stage = Stage::Gone,
            (Stage::Ringing | Stage::Up | Stage::Closing | Stage::Gone, _) => {}
        }
    }

    /// RFC 3262 §4: a reliable one wants its PRACK.
    fn hears_ringing(&mut self, text: &str) {
        let number = field(text, "RSeq");
        let Some(index) = self.leg(text).filter(|_| !number.is_empty()) else {
            return;
        };
        let rack = format!("RAck: {number} {}", field(text, "CSeq"));
        let (remote, target) = (field(text, "To"), uri_of(&field(text, "Contact")));
        if let Some(mut draft) = self.inside(index, "PRACK", vec![rack]) {
            (draft.to, draft.uri) = (remote, target);
            self.send(draft);
        }
    }

    fn acknowledges(&mut self, code: u16, text: &str, branch: &str) {
        let Some((number, _)) = field(text, "CSeq")
            .split_once(' ')
            .map(|(n, m)| (n.to_owned(), m.to_owned()))
        else {
            return;
        };
        let uri = uri_of(&field(text, "Contact"));
        let draft = Draft {
            method: "ACK".to_owned(),
            uri: if uri.is_empty() {
                "sip:pbx".to_owned()
            } else {
                uri
            },
            from: field(text, "From"),
            to: field(text, "To"),
            call_id: field(text, "Call-ID"),
            cseq: number.parse().unwrap_or(1),
            more: Vec::new(),
            body: None,
        };
        let fresh = self.fresh("z9hG4bK");
        let branch = if code < 300 { &fresh } else { branch };
        self.out.push(draft.text(self.address, branch));
    }

    fn proves(&mut self, mut draft: Draft, text: &str) {
        let challenge = text
            .lines()
            .find(|l| l.contains("Digest") && l.contains("MD5"));
        let challenge = challenge.unwrap_or_default();
        let (realm, nonce) = (parameter(challenge, "realm"), parameter(challenge, "nonce"));
        let md5 = sip::digest::Algorithm::Md5;
        let ha1 = sip::digest::ha1(md5, &self.number, &realm, "a good password");
        let response = digest(&ha1, &nonce, &draft.method, &draft.uri);
        draft.more.retain(|line| !line.starts_with("Authorization"));
        draft.more.push(format!(
            "Authorization: Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{}\", response=\"{response}\", algorithm=MD5, cnonce=\"c\", nc=00000001, qop=auth",
            self.number, draft.uri
        ));
        draft.cseq += 1;
        let index = self
            .legs
            .iter()
            .position(|leg| leg.call_id == draft.call_id);
        let invites = draft.method == "INVITE";
        if let Some(leg) = index.and_then(|i| self.legs.get_mut(i)) {
            leg.cseq = leg.cseq.max(draft.cseq);
            draft.cseq = leg.cseq;
        }
        self.send(draft);
        let sent = self.out.last().cloned().unwrap_or_default();
        let Some(leg) = index.and_then(|i| self.legs.get_mut(i)) else {
            return;
        };
        if invites && matches!(leg.stage, Stage::Calling | Stage::Leaving) {
            leg.invite = sent;
            if leg.stage == Stage::Leaving {
                let cancel = cancel(&leg.invite);
                self.out.push(cancel);
            }
        }
    }

    fn is_asked(&mut self, text: &str) {
        let method = text.split(' ').next().unwrap_or_default();
        if method == "ACK" {
            return;
        }
        let key = format!("{}{}", field(text, "Via"), field(text, "CSeq"));
        if let Some(answer) = self.answers.get(&key) {
            return self.out.push(answer.clone());
        }
        let leg = self.leg(text);
        match (method, leg) {
            ("INVITE", None) if !field(text, "To").contains("tag=") => self.is_called(text),
            ("INVITE", Some(index)) => self.is_offered(index, text),
            ("CANCEL", Some(index)) => {
                self.answer(200, text, Vec::new(), None);
                self.refuses(index, 487);
            }
            ("BYE", Some(index)) => {
                self.answer(200, text, Vec::new(), None);
                if let Some(leg) = self.legs.get_mut(index) {
                    leg.stage = Stage::Gone;
                }
            }
            ("NOTIFY", None) => {
                let over = field(text, "Subscription-State").starts_with("terminated");
                let call_id = field(text, "Call-ID");
                if over {
                    self.dark.push(call_id.clone());
                }
                let body = text.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned();
                self.lamps.insert(call_id, body);
                self.answer(200, text, Vec::new(), None);
            }
            ("INVITE" | "CANCEL" | "BYE", None) => self.answer(481, text, Vec::new(), None),
            (_, None) if field(text, "To").contains("tag=") => {
                self.answer(481, text, Vec::new(), None);
            }
            (_, Some(index)) if self.legs.get(index).is_some_and(|l| l.stage == Stage::Gone) => {
                self.answer(481, text, Vec::new(), None);
            }
            (_, _) => self.answer(200, text, Vec::new(), None),
        }
    }

    fn is_called(&mut self, text: &str) {
        self.legs.push(Leg {
            call_id: field(text, "Call-ID"),
            stage: Stage::Ringing,
            local: format!("{};tag={}", field(text, "To"), tag_of(&self.number)),
            remote: field(text, "From"),
            target: uri_of(&field(text, "Contact")),
            cseq: 100,
            invite: text.to_owned(),
            version: 1,
        });
        let contact = vec![self.contact()];
        self.answer(180, text, contact, None);
    }

    fn is_offered(&mut self, index: usize, text: &str) {
        let up = self
            .legs
            .get(index)
            .is_some_and(|leg| leg.stage == Stage::Up);
        self.count += 1;
        match (up, self.count % 7) {
            (false, _) => self.answer(481, text, Vec::new(), None),
            (true, 0) => self.answer(491, text, Vec::new(), None),
            (true, 1) => self.answer(488, text, Vec::new(), None),
            (true, _) => self.accepts(text),
        }
    }
}

/// RFC 3261 §9.1: the CANCEL of an INVITE.
fn cancel(invite: &str) -> String {
    let head = invite.split("\r\n\r\n").next().unwrap_or_default();
    let mut lines: Vec<String> = Vec::new();
    for line in head.lines() {
        let kept = ["Via:", "From:", "To:", "Call-ID:", "Max-Forwards:"];
        if line.starts_with("INVITE ") {
            lines.push(line.replacen("INVITE", "CANCEL", 1));
        } else if let Some(number) = line.strip_prefix("CSeq: ") {
            lines.push(format!("CSeq: {}", number.replace("INVITE", "CANCEL")));
        } else if kept.iter().any(|name| line.starts_with(name)) {
            lines.push(line.to_owned());
        }
    }
    format!("{}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n"))
}
