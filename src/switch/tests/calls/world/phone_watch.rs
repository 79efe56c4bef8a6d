//! What a phone does to watch others: it subscribes, publishes, and believes what it is told.

use super::phone::{Phone, State, header, parameter, status};
use super::{World, digest};
use std::time::Instant;

/// One subscription of a phone, or one publication.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watching {
    pub(crate) method: &'static str,
    /// The user part watched.
    pub(crate) target: String,
    pub(crate) package: String,
    /// Further header lines of its requests, each with its line end.
    pub(crate) more: String,
    pub(crate) body: String,
    pub(crate) expires: u32,
    /// What it answers to a NOTIFY; 0: nothing.
    pub(crate) says: u16,
    /// Its last request's final answer, and its text.
    pub(crate) status: u16,
    pub(crate) answer: String,
    /// The NOTIFYs, repeats left out.
    pub(crate) notified: Vec<String>,
    pub(crate) call_id: String,
    pub(crate) tag: String,
    pub(crate) remote: String,
    pub(crate) to: String,
    pub(crate) cseq: u32,
    pub(crate) notify_cseq: u32,
}

/// What a lamp shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lamp {
    Off,
    Rings,
    Busy,
}

impl Watching {
    pub(crate) fn last(&self) -> &str {
        self.notified.last().map_or("", String::as_str)
    }

    /// The body of the last NOTIFY.
    pub(crate) fn document(&self) -> String {
        document(self.last())
    }

    /// The Subscription-State of the last NOTIFY, without its time.
    pub(crate) fn standing(&self) -> String {
        let state = header(self.last(), "Subscription-State");
        state
            .split(";expires")
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    /// The dialogs of the last dialog-info: state, direction, with whom.
    pub(crate) fn dialogs(&self) -> Vec<String> {
        dialogs(&self.document())
    }

    /// What it said after every NOTIFY, in one word.
    pub(crate) fn history(&self) -> Vec<Lamp> {
        self.notified.iter().map(|n| lamp(&document(n))).collect()
    }

    pub(crate) fn lamp(&self) -> Lamp {
        lamp(&self.document())
    }

    pub(crate) fn is_active(&self) -> bool {
        self.status == 200 && self.standing() == "active"
    }
}

pub(crate) fn document(message: &str) -> String {
    let body = message.split_once("\r\n\r\n").map(|(_, body)| body);
    body.unwrap_or_default().to_owned()
}

/// The text of every `<name …>text</name>`, and what stands in its tag.
fn elements<'a>(xml: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let mut found = Vec::new();
    for part in xml.split(&open).skip(1) {
        if !part.starts_with([' ', '>']) {
            continue;
        }
        let (tag, rest) = part.split_once('>').unwrap_or((part, ""));
        found.push((tag, rest.split(&close).next().unwrap_or_default()));
    }
    found
}

fn dialogs(xml: &str) -> Vec<String> {
    let of = |(tag, inside): (&str, &str)| {
        let state = elements(inside, "state").first().map_or("", |(_, s)| s);
        let remote = elements(inside, "remote").first().map_or("", |(_, r)| r);
        let with = elements(remote, "identity").first().map_or("", |(_, i)| i);
        let direction = parameter(tag, "direction");
        format!("{state} {direction} {with}")
    };
    elements(xml, "dialog").into_iter().map(of).collect()
}

fn lamp(xml: &str) -> Lamp {
    let live: Vec<String> = dialogs(xml);
    let some = |state: &str| live.iter().any(|dialog| dialog.starts_with(state));
    match (some("confirmed"), some("early") || some("trying")) {
        (true, _) => Lamp::Busy,
        (false, true) => Lamp::Rings,
        (false, false) => Lamp::Off,
    }
}

impl Phone {
    /// Subscribes, and proves who it is when it is asked.
    pub(crate) fn subscribes(&mut self, now: Instant, watching: Watching) -> usize {
        let method = "SUBSCRIBE";
        self.watch_begins(now, Watching { method, ..watching })
    }

    pub(crate) fn publishes(&mut self, now: Instant, watching: Watching) -> usize {
        let method = "PUBLISH";
        self.watch_begins(now, Watching { method, ..watching })
    }

    fn watch_begins(&mut self, now: Instant, mut watching: Watching) -> usize {
        let index = self.watching.len();
        watching.call_id = format!("watch-{}-{index}", self.number);
        watching.tag = format!("w{}{index}", self.number);
        watching.to = format!("<sip:{}@pbx>", watching.target);
        watching.remote = format!("sip:{}@pbx", watching.target);
        self.watching.push(watching);
        self.watch_asks(now, index, "");
        index
    }

    /// Asks for as much time again; 0 ends it.
    pub(crate) fn refreshes(&mut self, now: Instant, index: usize, expires: u32) {
        self.watching[index].expires = expires;
        self.watch_asks(now, index, "");
    }

    fn watch_asks(&mut self, now: Instant, index: usize, proof: &str) {
        let branch = self.next();
        let (me, address) = (self.number.clone(), self.address);
        let w = &mut self.watching[index];
        w.cseq += 1;
        w.status = 0;
        let kind = if w.body.is_empty() {
            ""
        } else {
            "Content-Type: application/pidf+xml\r\n"
        };
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch={branch};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{me}@pbx>;tag={tag}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:{me}@{address}>\r\nEvent: {package}\r\nExpires: {expires}\r\n{more}{proof}{kind}\
             Content-Length: {length}\r\n\r\n{body}",
            method = w.method,
            uri = w.remote,
            tag = w.tag,
            to = w.to,
            call_id = w.call_id,
            cseq = w.cseq,
            package = w.package,
            expires = w.expires,
            more = w.more,
            length = w.body.len(),
            body = w.body,
        );
        self.send(now, &branch, text);
    }

    /// Whether `text` was about a subscription or publication of this phone.
    pub(super) fn watcher_hears(&mut self, now: Instant, text: &str) -> bool {
        let call_id = header(text, "Call-ID");
        let Some(index) = self.watching.iter().position(|w| w.call_id == call_id) else {
            return false;
        };
        match status(text) {
            Some(code) => self.watch_answered(now, index, (code, text)),
            None => self.watch_told(index, text),
        }
        true
    }

    fn watch_answered(&mut self, now: Instant, index: usize, (code, text): (u16, &str)) {
        self.repeats
            .remove(&parameter(&header(text, "Via"), "branch"));
        let cseq = header(text, "CSeq");
        let w = &mut self.watching[index];
        if code < 200 || !cseq.starts_with(&format!("{} ", w.cseq)) {
            return;
        }
        if code == 401 && w.status == 0 {
            let challenge = text.lines().find(|l| l.contains("MD5")).unwrap_or_default();
            let (realm, nonce) = (parameter(challenge, "realm"), parameter(challenge, "nonce"));
            let md5 = sip::digest::Algorithm::Md5;
            let ha1 = sip::digest::ha1(md5, &self.number, &realm, "a good password");
            let response = digest(&ha1, &nonce, w.method, &w.remote);
            let proof = format!(
                "Authorization: Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{}\", \
                 response=\"{response}\", algorithm=MD5, cnonce=\"c\", nc=00000001, qop=auth\r\n",
                self.number, w.remote
            );
            return self.watch_asks(now, index, &proof);
        }
        w.status = code;
        w.answer = text.to_owned();
        if code == 200 && w.method == "SUBSCRIBE" {
            w.to = header(text, "To");
            w.remote = header(text, "Contact").trim_matches(['<', '>']).to_owned();
        }
    }

    fn watch_told(&mut self, index: usize, text: &str) {
        let number: u32 = header(text, "CSeq")
            .split(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or_default();
        let w = &mut self.watching[index];
        if w.says == 0 {
            return;
        }
        let code = if number < w.notify_cseq { 500 } else { w.says };
        if number > w.notify_cseq {
            w.notify_cseq = number;
            w.notified.push(text.to_owned());
        }
        let answer = self.answer_text(code, text, "");
        self.out.push(answer);
    }
}

impl World {
    /// `from` watches `package` of `target` for `expires` seconds; its subscription's index.
    pub(crate) fn watches(
        &mut self,
        from: &str,
        package: &str,
        target: &str,
        expires: u32,
    ) -> usize {
        let watching = Watching {
            target: target.to_owned(),
            package: package.to_owned(),
            expires,
            says: 200,
            ..Watching::default()
        };
        self.watches_as(from, watching)
    }

    pub(crate) fn watches_as(&mut self, from: &str, watching: Watching) -> usize {
        let now = self.now;
        let index = self.phone(from).subscribes(now, watching);
        self.passes(100);
        index
    }

    pub(crate) fn watching(&mut self, from: &str, index: usize) -> &Watching {
        &self.phone(from).watching[index]
    }

    /// Every lamp that is lit by a live subscription shows what its phone does, as the phones themselves know it. To be
    /// asked when nothing is on its way.
    pub(crate) fn lamps_tell_the_truth(&self) {
        for phone in self.phones.values() {
            let lamps = phone.watching.iter();
            for w in lamps.filter(|w| w.package == "dialog" && w.is_active()) {
                let Some(watched) = self.phones.values().find(|p| p.number == w.target) else {
                    continue;
                };
                let truth = match watched.state {
                    State::Idle | State::Over(_) => Lamp::Off,
                    State::Calling | State::Ringing => Lamp::Rings,
                    State::Up => Lamp::Busy,
                };
                assert_eq!(
                    w.lamp(),
                    truth,
                    "{} of {}: {}",
                    phone.number,
                    w.target,
                    w.last()
                );
            }
        }
    }
}
