//! A phone that writes its SIP text itself, so that our own bugs are not mirrored.

use super::phone_media::Media;
use super::phone_watch::Watching;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What a phone does when it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Answers,
    RingsOnly,
    /// As a provider that is still at it: 100 only.
    Waits,
    Refuses(u16),
}

#[derive(Debug)]
pub(super) struct Repeat {
    bytes: String,
    at: Instant,
    pause: Duration,
    end: Instant,
}

/// How far a phone's call is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    Calling,
    Ringing,
    Up,
    Over(u16),
}

#[derive(Debug)]
pub(crate) struct Phone {
    pub(crate) number: String,
    pub(crate) address: SocketAddr,
    /// Where it thinks it is.
    pub(crate) contact: String,
    /// What follows the address in its REGISTER's Contact.
    pub(crate) tail: String,
    /// The last final answer to its REGISTER.
    pub(crate) registered: String,
    pub(crate) manner: Manner,
    pub(crate) state: State,
    pub(crate) vanished: bool,
    /// Its INVITE has no offer, nor its ACK an answer.
    pub(crate) offerless: bool,
    /// It knows nothing of its call any more: 481 to what it is asked in it.
    pub(crate) forgets: bool,
    /// The URI in its digest, when it is not the Request-URI.
    pub(crate) claims: Option<String>,
    /// What it wants sent.
    pub(crate) out: Vec<String>,
    pub(crate) heard: Vec<String>,
    /// The same, whole.
    pub(crate) letters: Vec<String>,
    /// Header lines it adds: by method to its requests, by status to its answers.
    pub(crate) adds: BTreeMap<String, String>,
    /// Its first answer to a call.
    pub(crate) rings_with: u16,
    pub(crate) max_forwards: u8,
    pub(crate) pracks: super::phone_prack::Pracks,
    /// The RSeq it acknowledged.
    pub(crate) racked: Vec<String>,
    /// The type and body of the message it writes, and its answer to one; 0: none.
    pub(crate) writing: (String, String),
    pub(crate) takes: u16,
    /// The connection lines of the SDP it was sent.
    pub(crate) connections: Vec<String>,
    /// What it says of its media, and what it was told of ours.
    pub(crate) media: Media,
    pub(super) repeats: BTreeMap<String, Repeat>,
    pub(super) answers: BTreeMap<String, String>,
    count: u32,
    pub(super) cseq: u32,
    pub(super) dialog: Dialog,
    pub(crate) invite: String,
    pub(super) secret: Option<(String, String)>,
    /// Its subscriptions and publications.
    pub(crate) watching: Vec<Watching>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Dialog {
    pub(super) call_id: String,
    pub(super) local: String,
    pub(super) remote: String,
    pub(super) target: String,
}

pub(crate) fn header(text: &str, name: &str) -> String {
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let line = head.lines().find(|l| {
        l.to_lowercase()
            .starts_with(&format!("{}:", name.to_lowercase()))
    });
    line.and_then(|l| l.split_once(':'))
        .map(|(_, v)| v.trim().to_owned())
        .unwrap_or_default()
}

pub(crate) fn parameter(text: &str, name: &str) -> String {
    let tail = text.split(&format!("{name}=")).nth(1).unwrap_or_default();
    let tail = tail.strip_prefix('"').unwrap_or(tail);
    tail.split(['"', ';', ',', '>'])
        .next()
        .unwrap_or_default()
        .to_owned()
}

pub(super) fn status(text: &str) -> Option<u16> {
    text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

impl Phone {
    pub(crate) fn new(number: &str, address: SocketAddr) -> Self {
        Self {
            number: number.to_owned(),
            address,
            contact: address.to_string(),
            tail: String::new(),
            registered: String::new(),
            manner: Manner::Answers,
            state: State::Idle,
            vanished: false,
            offerless: false,
            forgets: false,
            claims: None,
            out: Vec::new(),
            heard: Vec::new(),
            letters: Vec::new(),
            adds: BTreeMap::new(),
            rings_with: 180,
            max_forwards: 70,
            pracks: super::phone_prack::Pracks::Rightly,
            racked: Vec::new(),
            writing: Default::default(),
            takes: 200,
            connections: Vec::new(),
            media: Media::default(),
            repeats: BTreeMap::new(),
            answers: BTreeMap::new(),
            count: 0,
            cseq: 1,
            dialog: Dialog::default(),
            invite: String::new(),
            secret: None,
            watching: Vec::new(),
        }
    }

    pub(crate) fn sdp(&self) -> String {
        self.media.sdp(self.address.ip())
    }

    fn offer(&self) -> String {
        if self.offerless {
            return String::new();
        }
        self.sdp()
    }

    pub(super) fn next(&mut self) -> String {
        self.count += 1;
        format!("z9hG4bK{}x{}", self.number, self.count)
    }

    pub(super) fn send(&mut self, now: Instant, key: &str, bytes: String) {
        let pause = Duration::from_millis(500);
        let repeat = Repeat {
            bytes: bytes.clone(),
            at: now + pause,
            pause,
            end: now + pause * 64,
        };
        self.repeats.insert(key.to_owned(), repeat);
        self.out.push(bytes);
    }

    pub(super) fn request(
        &mut self,
        method: &str,
        uri: &str,
        branch: &str,
        (extra, body): (&str, &str),
    ) -> String {
        let d = &self.dialog;
        let added = self
            .adds
            .get(method)
            .map(String::as_str)
            .unwrap_or_default();
        let tail = Some(&self.tail).filter(|_| method == "REGISTER");
        let tail = tail.map_or("", String::as_str);
        let written = format!("Content-Type: {}\r\n", self.writing.0);
        let kind = match (body, method) {
            ("", _) => "",
            (_, "MESSAGE" | "INFO") => written.as_str(),
            _ => "Content-Type: application/sdp\r\n",
        };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch={branch};rport\r\nMax-Forwards: {}\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: {} {method}\r\nContact: <sip:{}@{}>{tail}\r\n{added}{extra}{kind}Content-Length: {}\r\n\r\n{body}",
            self.address,
            self.max_forwards,
            d.local,
            d.remote,
            d.call_id,
            self.cseq,
            self.number,
            self.contact,
            body.len()
        )
    }

    pub(super) fn start(&mut self, user: &str) {
        self.count += 1;
        self.dialog = Dialog {
            call_id: format!("{}-{}@{}", self.number, self.count, self.address),
            local: format!(
                "<sip:{}@pbx>;tag=t{}{}",
                self.number, self.number, self.count
            ),
            remote: format!("<sip:{user}@pbx>"),
            target: String::new(),
        };
        self.cseq += 1;
    }

    /// Registers for an hour; answers the challenge by itself.
    pub(crate) fn registers(&mut self, now: Instant) {
        self.start(&self.number.clone());
        self.secret = Some(("REGISTER".into(), "sip:pbx".into()));
        let branch = self.next();
        let text = self.request("REGISTER", "sip:pbx", &branch, ("Expires: 3600\r\n", ""));
        self.send(now, &branch, text);
    }

    pub(crate) fn dials(&mut self, now: Instant, number: &str) {
        self.dials_uri(now, &format!("sip:{number}@pbx"));
    }

    pub(crate) fn dials_uri(&mut self, now: Instant, uri: &str) {
        let uri = uri.to_owned();
        let user = uri.split(['@', ':']).nth(1).unwrap_or_default().to_owned();
        self.start(&user);
        self.state = State::Calling;
        self.secret = Some(("INVITE".into(), uri.clone()));
        let (branch, sdp) = (self.next(), self.offer());
        self.invite = branch.clone();
        let text = self.request("INVITE", &uri, &branch, ("", &sdp));
        self.send(now, &branch, text);
    }

    pub(crate) fn cancels(&mut self, now: Instant) {
        let branch = self.invite.clone();
        let (_, uri) = self.secret.clone().unwrap_or_default();
        let text = self.request("CANCEL", &uri, &branch, ("", ""));
        self.send(now, &format!("cancel{branch}"), text);
    }

    pub(crate) fn hangs_up(&mut self, now: Instant) {
        if self.state != State::Up {
            return;
        }
        self.state = State::Over(200);
        self.cseq += 1;
        let (branch, target) = (self.next(), self.dialog.target.clone());
        let text = self.request("BYE", &target, &branch, ("", ""));
        self.send(now, &branch, text);
    }

    /// A datagram arrived.
    pub(crate) fn hears(&mut self, now: Instant, text: &str) {
        if self.vanished {
            return;
        }
        self.media.hears(text);
        self.heard
            .push(text.lines().next().unwrap_or_default().to_owned());
        self.letters.push(text.to_owned());
        let connections = text.lines().filter(|l| l.starts_with("c="));
        self.connections.extend(connections.map(str::to_owned));
        if self.watcher_hears(now, text) {
            return;
        }
        match status(text) {
            Some(code) => self.response(now, code, text),
            None => self.asked(now, text),
        }
    }

    fn response(&mut self, now: Instant, code: u16, text: &str) {
        let branch = parameter(&header(text, "Via"), "branch");
        let cseq = header(text, "CSeq");
        if cseq.ends_with("CANCEL") {
            self.repeats.remove(&format!("cancel{branch}"));
            return;
        }
        self.repeats.remove(&branch);
        if code < 200 {
            return self.rung(now, text);
        }
        if cseq.ends_with("INVITE") && code >= 200 {
            self.acknowledge(code, &branch, text);
        }
        if cseq.ends_with("REGISTER") {
            self.registered = text.to_owned();
        }
        if code == 401 {
            return self.proves(now, text, cseq.split(' ').next().unwrap_or_default());
        }
        if cseq.ends_with("INVITE") && self.state == State::Calling {
            self.state = if code < 300 {
                State::Up
            } else {
                State::Over(code)
            };
            if code < 300 {
                self.dialog.remote = header(text, "To");
                self.dialog.target = header(text, "Contact").trim_matches(['<', '>']).to_owned();
            }
        }
    }

    /// A request in the early dialog that `text`, a response to its INVITE, made.
    pub(crate) fn asks_early(&mut self, now: Instant, text: &str, what: (&str, &str, &str)) {
        let (method, extra, body) = what;
        let early = Dialog {
            remote: header(text, "To"),
            ..self.dialog.clone()
        };
        let before = std::mem::replace(&mut self.dialog, early);
        self.cseq += 1;
        let target = header(text, "Contact");
        let target = target.trim_matches(['<', '>']);
        let branch = self.next();
        let request = self.request(method, target, &branch, (extra, body));
        self.dialog = before;
        self.send(now, &branch, request);
    }

    fn acknowledge(&mut self, code: u16, branch: &str, text: &str) {
        let (_, uri) = self.secret.clone().unwrap_or_default();
        let number = header(text, "CSeq")
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned();
        let (branch, uri) = if code < 300 {
            (
                self.next(),
                header(text, "Contact").trim_matches(['<', '>']).to_owned(),
            )
        } else {
            (branch.to_owned(), uri)
        };
        let answer = self.answer_in_ack(code);
        let ack = format!(
            "ACK {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch={branch};rport\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: {number} ACK\r\n{answer}",
            self.address,
            header(text, "From"),
            header(text, "To"),
            header(text, "Call-ID")
        );
        self.acknowledges(ack);
    }

    fn proves(&mut self, now: Instant, text: &str, number: &str) {
        let Some((method, uri)) = self.secret.clone() else {
            return;
        };
        if number.parse() != Ok(self.cseq) {
            return;
        }
        let challenge = text
            .lines()
            .find(|l| l.contains("Digest") && l.contains("MD5"))
            .unwrap_or_default();
        let (realm, nonce) = (parameter(challenge, "realm"), parameter(challenge, "nonce"));
        let h = |a: &str, b: &str, c: &str| sip::digest::ha1(sip::digest::Algorithm::Md5, a, b, c);
        let ha1 = h(&self.number, &realm, "a good password");
        let claim = self.claims.clone().unwrap_or_else(|| uri.clone());
        let response = super::digest(&ha1, &nonce, &method, &claim);
        self.cseq += 1;
        let proof = format!(
            "Authorization: Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{claim}\", response=\"{response}\", algorithm=MD5, cnonce=\"c\", nc=00000001, qop=auth\r\n",
            self.number
        );
        let branch = self.next();
        let body = if method == "INVITE" {
            self.offer()
        } else if method == "MESSAGE" {
            self.writing.1.clone()
        } else {
            String::new()
        };
        if method == "INVITE" {
            self.invite = branch.clone();
        }
        let text = self.request(&method, &uri, &branch, (&proof, &body));
        self.send(now, &branch, text);
    }

    pub(super) fn answer_text(&self, code: u16, request: &str, body: &str) -> String {
        let vias: String = request
            .lines()
            .filter(|l| l.starts_with("Via:"))
            .map(|l| format!("{l}\r\n"))
            .collect();
        let to = header(request, "To");
        let to = if to.contains(";tag=") {
            to
        } else {
            format!("{to};tag=u{}", self.number)
        };
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let added = self.adds.get(&code.to_string());
        let added = added.map(String::as_str).unwrap_or_default();
        format!(
            "SIP/2.0 {code} Whatever\r\n{vias}From: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <sip:{}@{}>\r\n{added}{kind}Content-Length: {}\r\n\r\n{body}",
            header(request, "From"),
            header(request, "Call-ID"),
            header(request, "CSeq"),
            self.number,
            self.address,
            body.len()
        )
    }

    fn asked(&mut self, now: Instant, text: &str) {
        let method = text.split(' ').next().unwrap_or_default().to_owned();
        let key = format!("{}{method}", parameter(&header(text, "Via"), "branch"));
        let call_id = header(text, "Call-ID");
        if method == "ACK" {
            self.repeats.remove(&format!("200{call_id}"));
            self.fork_confirmed(&call_id, text);
            self.repeats.remove(&format!("refusal{call_id}"));
            return;
        }
        if let Some(answer) = self.answers.get(&key) {
            return self.out.push(answer.clone());
        }
        let answer = match method.as_str() {
            "INVITE" if self.state == State::Up && self.dialog.call_id == call_id => {
                return self.reinvited(now, key, text);
            }
            "INVITE" => return self.called(now, key, text),
            "UPDATE" if !text.ends_with("\r\n\r\n") => self.answer_text(200, text, &self.sdp()),
            "CANCEL" => {
                if self.state == State::Ringing && self.dialog.call_id == call_id {
                    self.state = State::Over(487);
                    let invite = self.invite.clone();
                    let refusal = self.answer_text(487, &invite, "");
                    self.send(now, &format!("refusal{call_id}"), refusal);
                }
                self.answer_text(200, text, "")
            }
            "BYE" => {
                if self.dialog.call_id == call_id && !self.fork_left(text) {
                    self.state = State::Over(200);
                    self.repeats.remove(&format!("200{call_id}"));
                }
                self.answer_text(200, text, "")
            }
            "REGISTER" if let Manner::Refuses(code) = self.manner => {
                self.answer_text(code, text, "")
            }
            "MESSAGE" if self.takes == 0 => return,
            "MESSAGE" => self.answer_text(self.takes, text, ""),
            _ if self.forgets => self.answer_text(481, text, ""),
            _ => self.answer_text(200, text, ""),
        };
        self.answers.insert(key, answer.clone());
        self.out.push(answer);
    }

    fn called(&mut self, now: Instant, key: String, text: &str) {
        if matches!(self.state, State::Up | State::Calling | State::Ringing) {
            let busy = self.answer_text(486, text, "");
            self.answers.insert(key, busy.clone());
            return self.send(now, &format!("refusal{}", header(text, "Call-ID")), busy);
        }
        self.invite = text.to_owned();
        let first = match self.manner {
            Manner::Waits => 100,
            _ => self.rings_with,
        };
        let ringing = self.answer_text(first, text, "");
        let local = header(&ringing, "To");
        self.dialog = Dialog {
            call_id: header(text, "Call-ID"),
            local,
            remote: header(text, "From"),
            target: header(text, "Contact").trim_matches(['<', '>']).to_owned(),
        };
        self.cseq = 1;
        self.answers.insert(key, ringing.clone());
        self.out.push(ringing);
        self.state = State::Ringing;
        match self.manner {
            Manner::Answers => self.answers_call(now),
            Manner::Refuses(code) => {
                self.state = State::Over(code);
                let refusal = self.answer_text(code, text, "");
                self.send(now, &format!("refusal{}", self.dialog.call_id), refusal);
            }
            Manner::RingsOnly | Manner::Waits => {}
        }
    }

    pub(crate) fn answers_call(&mut self, now: Instant) {
        if self.state != State::Ringing {
            return;
        }
        self.state = State::Up;
        let ok = self.answer_text(200, &self.invite.clone(), &self.sdp());
        self.send(now, &format!("200{}", self.dialog.call_id), ok);
    }

    /// When it has something to repeat or to give up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let repeats = self.repeats.values();
        repeats.map(|repeat| repeat.at.min(repeat.end)).min()
    }

    /// Repeats what was not answered.
    pub(crate) fn ticks(&mut self, now: Instant) {
        if self.vanished {
            self.repeats.clear();
        }
        let mut due = Vec::new();
        self.repeats.retain(|_, repeat| {
            if repeat.at <= now {
                due.push(repeat.bytes.clone());
                repeat.pause = (repeat.pause * 2).min(Duration::from_secs(4));
                repeat.at = now + repeat.pause;
            }
            now < repeat.end
        });
        self.out.extend(due);
    }
}
