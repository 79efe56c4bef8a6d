//! One endpoint against SIP text written by hand, in virtual time. Shared by the tests beside it.

#![allow(dead_code, reason = "every test file uses another part of it")]
#![expect(
    clippy::disallowed_methods,
    reason = "virtual time begins at some time"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::{
    Config, DialogId, Endpoint, Flow, HeaderId, Invite, Message, Output, Sender, SipEvent,
    Transport,
};

pub(crate) const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\n";

pub(crate) struct Wire {
    pub(crate) endpoint: Endpoint,
    pub(crate) now: Instant,
    pub(crate) flow: Flow,
    /// Whether nobody knows the peer.
    pub(crate) is_stranger: bool,
    pub(crate) sent: Vec<Message>,
    pub(crate) events: Vec<SipEvent>,
}

pub(crate) fn flow(transport: Transport) -> Flow {
    Flow {
        transport,
        local: "192.0.2.1:5060".parse().expect("an address"),
        remote: "192.0.2.9:5060".parse().expect("an address"),
        id: u64::from(transport != Transport::Udp),
    }
}

impl Wire {
    pub(crate) fn new() -> Wire {
        Wire::over(Transport::Udp)
    }

    pub(crate) fn over(transport: Transport) -> Wire {
        Wire::with(
            transport,
            Config {
                seed: [7; 32],
                ..Config::default()
            },
        )
    }

    pub(crate) fn with(transport: Transport, config: Config) -> Wire {
        Wire {
            endpoint: Endpoint::new(config),
            now: Instant::now(),
            flow: flow(transport),
            is_stranger: false,
            sent: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The endpoint hears `text` (line ends and Content-Length are added).
    pub(crate) fn hears(&mut self, text: &str, body: &str) {
        let head = text.trim().replace("\r\n", "\n").replace('\n', "\r\n");
        let kind = if body.is_empty() || head.contains("Content-Type") {
            String::new()
        } else {
            "Content-Type: application/sdp\r\n".to_owned()
        };
        let whole = format!(
            "{head}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let bytes = Bytes::from(whole);
        let sender = if self.is_stranger {
            Sender::Stranger
        } else {
            Sender::Trusted
        };
        self.endpoint
            .receive_from(self.now, self.flow, bytes, sender);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Send { flow, bytes } => {
                    assert_eq!(flow.remote, self.flow.remote);
                    self.sent
                        .push(Message::parse(bytes).expect("we write what we read"));
                }
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// Lets time pass, ringing every timer at its time.
    pub(crate) fn passes(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(next) = self.endpoint.deadline().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.endpoint.expire(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// Everything sent since the last look, as start lines.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        self.sent.drain(..).map(|m| line(&m)).collect()
    }

    pub(crate) fn take_sent(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.sent)
    }

    /// The names of the events since the last look.
    pub(crate) fn told(&mut self) -> Vec<String> {
        self.events.drain(..).map(|e| name(&e)).collect()
    }

    /// The peer calls; returns the dialog, the 100 and the event are consumed.
    pub(crate) fn incoming(&mut self) -> DialogId {
        self.hears(&invite("z9hG4bKa", 1), SDP);
        let dialog = self
            .events
            .drain(..)
            .find_map(|e| match e {
                SipEvent::Incoming { dialog, .. } => Some(dialog),
                _ => None,
            })
            .expect("the INVITE is told");
        assert_eq!(self.lines(), ["100"]);
        dialog
    }

    /// The peer calls and is answered; returns the dialog and our tag. Nothing is acknowledged yet.
    pub(crate) fn answered(&mut self) -> (DialogId, String) {
        let dialog = self.incoming();
        self.endpoint.answer(self.now, dialog, SDP.as_bytes(), &[]);
        self.drain();
        let ok = self.take_sent().pop().expect("200");
        let tag = ok
            .to()
            .expect("we write it")
            .tag()
            .expect("we write it")
            .to_owned();
        (dialog, tag)
    }

    pub(crate) fn calls(&mut self, request: Invite) -> (DialogId, Message) {
        let dialog = self.endpoint.invite(self.now, request);
        self.drain();
        (dialog, self.take_sent().pop().expect("INVITE"))
    }

    /// The peer answers `request` with `status`; `tag` is its fork.
    pub(crate) fn answers(&mut self, request: &Message, status: u16, tag: &str) {
        self.answers_with(request, status, tag, "");
    }

    pub(crate) fn answers_with(&mut self, request: &Message, status: u16, tag: &str, more: &str) {
        let header = |id| request.header(id).expect("we write it").into_owned();
        let to = header(HeaderId::To);
        let to = if to.contains("tag=") || status == 100 {
            to
        } else {
            format!("{to};tag={tag}")
        };
        let text = format!(
            "SIP/2.0 {status} Whatever\nVia: {}\nFrom: {}\nTo: {to}\nCall-ID: {}\nCSeq: {}\nContact: <sip:bob@192.0.2.9:5070>\n{more}",
            header(HeaderId::Via),
            header(HeaderId::From),
            header(HeaderId::CallId),
            header(HeaderId::CSeq),
        );
        let invite = request.method().as_str() == "INVITE";
        self.hears(&text, if invite && status == 200 { SDP } else { "" });
    }

    /// All timers fire; then nothing may be left.
    pub(crate) fn is_empty_at_last(&mut self) {
        self.passes(Duration::from_secs(300));
        assert_eq!(self.endpoint.sizes(), (0, 0));
        assert!(self.endpoint.is_idle());
        assert_eq!(self.endpoint.deadline(), None);
    }
}

pub(crate) fn line(message: &Message) -> String {
    message.status().map_or_else(
        || message.method().as_str().to_owned(),
        |status| status.to_string(),
    )
}

pub(crate) fn name(event: &SipEvent) -> String {
    let text = format!("{event:?}");
    let end = text.find([' ', '{']).unwrap_or(text.len());
    match event {
        SipEvent::Refused { status, .. }
        | SipEvent::Response { status, .. }
        | SipEvent::Probed { status, .. } => {
            format!("{} {status}", &text[..end])
        }
        _ => text[..end].to_owned(),
    }
}

/// The peer's INVITE.
pub(crate) fn invite(branch: &str, cseq: u32) -> String {
    request("INVITE", branch, cseq, "<sip:200@192.0.2.1>")
}

/// A request of the peer, of one Call-ID and From tag.
pub(crate) fn request(method: &str, branch: &str, cseq: u32, to: &str) -> String {
    format!(
        "{method} sip:200@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9;branch={branch};rport\nMax-Forwards: 70\n\
         From: \"A\" <sip:100@192.0.2.9>;tag=far\nTo: {to}\nCall-ID: call-1@far\nCSeq: {cseq} {method}\n\
         Contact: <sip:100@192.0.2.9:5060>"
    )
}

/// A request of the peer inside the dialog that has our `tag`.
pub(crate) fn inside(method: &str, branch: &str, cseq: u32, tag: &str) -> String {
    request(
        method,
        branch,
        cseq,
        &format!("<sip:200@192.0.2.1>;tag={tag}"),
    )
}

/// A call of ours.
pub(crate) fn call(transport: Transport) -> Invite {
    Invite {
        flow: flow(transport),
        uri: "sip:bob@192.0.2.9".to_owned(),
        to: "<sip:bob@192.0.2.9>".to_owned(),
        from: "\"Us\" <sip:us@192.0.2.1>".to_owned(),
        contact_user: "us".to_owned(),
        sdp: SDP.as_bytes().to_vec(),
        headers: vec![("X-Test".to_owned(), "1".to_owned())],
        credentials: None,
        reliable: sip::Reliable::Supported,
        session_timer: sip::SessionTimer::Default,
        call_id: None,
        route: Vec::new(),
        max_forwards: 70,
    }
}

pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}
