//! A conversation with an endpoint in virtual time. It never panics, its tables stay within their bounds, every dialog
//! ends once, all it says can be read, and when everybody has hung up nothing is left.
//!
//! The input is messages with 0x1E between them. The first comes by UDP at the beginning; each further one begins with
//! three characters: by which flow (`0` to `3`), after what time (`0` to `7`) and what we do then (see [`Desk::does`]).
//! In a message, `$H` stands for the lines that answer the last request of ours, `$D` for From, To and Call-ID of the
//! peer in our last dialog, `$L` for the length of the body.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::{
    Config, DialogId, Endpoint, Flow, HeaderId, Invite, Login, Message, News, OutRequest, Output,
    SipEvent, SubscriptionEvent, SubscriptionId, TransactionId, Transport,
};

const SDP: &[u8] = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n";
const MESSAGES: usize = 64;
const TRANSACTIONS: usize = 16;
const DIALOGS: usize = 6;
/// Milliseconds.
const TIMES: [u64; 8] = [0, 1, 50, 500, 4_000, 33_000, 200_000, 4_000_000];

pub fn play(data: &[u8]) {
    let mut desk = Desk::new();
    for (n, record) in data.split(|b| *b == 0x1e).take(MESSAGES).enumerate() {
        match record {
            text if n == 0 => desk.hears(0, text),
            [flow, time, deed, text @ ..] => {
                desk.waits(TIMES[usize::from(time % 8)]);
                desk.hears(usize::from(flow % 4), text);
                desk.does(deed % 16, usize::from(flow % 4));
            }
            _ => {}
        }
    }
    desk.leaves();
}

struct Desk {
    endpoint: Endpoint,
    now: Instant,
    /// The last message of ours.
    said: Option<Message>,
    dialog: DialogId,
    transaction: TransactionId,
    /// How often each dialog ended.
    ends: BTreeMap<DialogId, usize>,
}

fn flow(which: usize) -> Flow {
    let remote = [9, 8, 9, 7][which % 4];
    Flow {
        transport: [
            Transport::Udp,
            Transport::Udp,
            Transport::Tcp,
            Transport::Tls,
        ][which % 4],
        local: SocketAddr::from(([192, 0, 2, 1], 5060)),
        remote: SocketAddr::from(([192, 0, 2, remote], 5060)),
        id: [0, 0, 3, 0][which % 4],
    }
}

impl Desk {
    fn new() -> Desk {
        Desk {
            endpoint: Endpoint::new(Config {
                max_transactions: TRANSACTIONS,
                max_dialogs: DIALOGS,
                max_subscriptions: DIALOGS,
                ..Config::default()
            }),
            now: Instant::now(),
            said: None,
            dialog: DialogId(0),
            transaction: TransactionId(0),
            ends: BTreeMap::new(),
        }
    }

    fn hears(&mut self, which: usize, text: &[u8]) {
        if !text.is_empty() {
            let bytes = Bytes::from(self.filled(text));
            self.endpoint.receive(self.now, flow(which), bytes);
            self.drain();
        }
    }

    fn waits(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(next) = self.endpoint.deadline().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.endpoint.expire(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// `a` calls, `b` asks, `c` rings, `d` answers, `e` refuses, `f` hangs up, `g` cancels, `h` offers anew, `i` accepts
    /// and `j` refuses an offer, `k` responds, `l` loses the flow, `m` calls with a password, `n` rings without media, `o` tells who we are.
    fn does(&mut self, deed: u8, which: usize) {
        let (now, dialog, sip) = (self.now, self.dialog, &mut self.endpoint);
        match deed {
            1 => self.dialog = sip.invite(now, invite(which, None)),
            2 => self.transaction = sip.request(now, request(which)),
            3 => sip.ring(now, dialog, 183, Some(SDP), &[]),
            4 => sip.answer(now, dialog, SDP, &[]),
            5 => sip.refuse(now, dialog, 486, &[("Reason", "Q.850;cause=17".to_owned())]),
            6 => sip.bye(now, dialog, Some("Q.850;cause=16".to_owned())),
            7 => sip.cancel(now, dialog, None),
            8 => sip.reinvite(now, dialog, SDP, &[]),
            9 => sip.accept_reoffer(now, dialog, SDP),
            10 => sip.refuse_reoffer(now, dialog, 488),
            11 => sip.respond(now, self.transaction, 200, &[("Expires", "60".to_owned())]),
            12 => sip.flow_failed(now, flow(which)),
            13 => self.dialog = sip.invite(now, invite(which, Some(login()))),
            14 => sip.ring(now, dialog, 180, None, &[]),
            15 => sip.identify(now, dialog, &[("X-Who", "us".to_owned())]),
            _ => {}
        }
        if matches!(deed, 1 | 13) {
            self.ends.entry(self.dialog).or_default();
        }
        self.drain();
    }

    /// Everybody hangs up, and all timers run out.
    fn leaves(mut self) {
        let dialogs: Vec<DialogId> = self.ends.keys().copied().collect();
        for dialog in dialogs {
            self.endpoint.bye(self.now, dialog, None);
            self.drain();
        }
        let mut alarms = 0;
        while let Some(next) = self.endpoint.deadline() {
            self.now = self.now.max(next);
            self.endpoint.expire(self.now);
            self.drain();
            alarms += 1;
            assert!(alarms < 100_000, "the timers never end");
        }
        assert_eq!(self.endpoint.sizes(), (0, 0));
        assert!(self.endpoint.is_idle());
        for (dialog, ends) in &self.ends {
            assert_eq!(*ends, 1, "{dialog:?}");
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Send { bytes, .. } => self.says(bytes),
                Output::Event(event) => self.told(&event),
            }
        }
        let (transactions, dialogs) = self.endpoint.sizes();
        let subscriptions = self.endpoint.subscriptions();
        assert!(subscriptions <= DIALOGS, "{subscriptions} subscriptions");
        assert!(dialogs <= DIALOGS, "{dialogs} dialogs");
        assert!(
            transactions <= 4 * TRANSACTIONS,
            "{transactions} transactions"
        );
    }

    fn says(&mut self, bytes: Bytes) {
        match Message::parse(bytes.clone()) {
            Ok(message) => self.said = Some(message),
            // RFC 3261 §8.2.6.2: the refusal of a request repeats its CSeq, malformed as it may be.
            Err(error) => {
                let refusal = bytes.starts_with(b"SIP/2.0 4") || bytes.starts_with(b"SIP/2.0 5");
                assert!(
                    refusal && error.what.contains("usable"),
                    "{error}: {bytes:?}"
                );
            }
        }
    }

    fn told(&mut self, event: &SipEvent) {
        match event {
            SipEvent::Request { transaction, .. } => self.transaction = *transaction,
            SipEvent::Response { .. } | SipEvent::Unproven { .. } => {}
            SipEvent::Subscription {
                subscription,
                event,
            } => self.subscription(*subscription, event),
            SipEvent::Ended { dialog } => {
                let ends = self.ends.entry(*dialog).or_default();
                *ends += 1;
                assert_eq!(*ends, 1, "{dialog:?} ended twice");
            }
            SipEvent::Strayed {
                dialog,
                request,
                flow,
            } => self.endpoint.let_in(self.now, *dialog, request, *flow),
            SipEvent::Incoming { dialog, .. }
            | SipEvent::Cancelled { dialog, .. }
            | SipEvent::Confirmed { dialog, .. }
            | SipEvent::Lost { dialog }
            | SipEvent::Ringing { dialog, .. }
            | SipEvent::Answered { dialog, .. }
            | SipEvent::Refused { dialog, .. }
            | SipEvent::Reoffered { dialog, .. }
            | SipEvent::Reanswered { dialog, .. }
            | SipEvent::Refreshed { dialog, .. }
            | SipEvent::Inside { dialog, .. }
            | SipEvent::Expired { dialog }
            | SipEvent::Pracked { dialog, .. }
            | SipEvent::Told { dialog, .. }
            | SipEvent::Info { dialog, .. }
            | SipEvent::Probed { dialog, .. }
            | SipEvent::HungUp { dialog, .. } => {
                self.dialog = *dialog;
                assert_eq!(*self.ends.entry(*dialog).or_default(), 0, "{event:?}");
            }
        }
    }

    fn subscription(&mut self, id: SubscriptionId, event: &SubscriptionEvent) {
        match event {
            SubscriptionEvent::Asked { .. } => {
                self.endpoint.accept_subscription(self.now, id, &[]);
            }
            SubscriptionEvent::NotifyDue { .. } => {
                self.endpoint.notify(self.now, id, &News::default());
            }
            SubscriptionEvent::Changed | SubscriptionEvent::Ended => {}
        }
    }

    fn filled(&self, text: &[u8]) -> Vec<u8> {
        let end = text.windows(4).position(|four| four == b"\r\n\r\n");
        let body = end.map_or(0, |end| text.len() - end - 4).to_string();
        let mut filled = Vec::with_capacity(text.len() + 256);
        let mut rest = text;
        while let Some((first, tail)) = rest.split_first() {
            let known = (*first == b'$').then(|| tail.first()).flatten();
            let said = self.said.as_ref();
            match (known, said) {
                (Some(b'L'), _) => filled.extend_from_slice(body.as_bytes()),
                (Some(b'H'), Some(said)) => answer_lines(&mut filled, said),
                (Some(b'D'), Some(said)) => dialog_lines(&mut filled, said),
                _ => {
                    filled.push(*first);
                    rest = tail;
                    continue;
                }
            }
            rest = tail.get(1..).unwrap_or_default();
        }
        filled
    }
}

fn put(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(value.unwrap_or_default());
}

fn answer_lines(out: &mut Vec<u8>, said: &Message) {
    let value = |id| said.raw(id).next();
    put(out, "Via: ", value(HeaderId::Via));
    put(out, "\r\nFrom: ", value(HeaderId::From));
    put(out, "\r\nTo: ", value(HeaderId::To));
    if said.to().is_some_and(|to| to.tag().is_none()) {
        put(out, ";tag=far", None);
    }
    put(out, "\r\nCall-ID: ", value(HeaderId::CallId));
    put(out, "\r\nCSeq: ", value(HeaderId::CSeq));
}

fn dialog_lines(out: &mut Vec<u8>, said: &Message) {
    let value = |id| said.raw(id).next();
    let (mut from, mut to) = (value(HeaderId::From), value(HeaderId::To));
    if said.is_request() {
        std::mem::swap(&mut from, &mut to);
    }
    put(out, "From: ", from);
    put(out, "\r\nTo: ", to);
    put(out, "\r\nCall-ID: ", value(HeaderId::CallId));
}

fn login() -> Login {
    Login {
        username: "us".to_owned(),
        password: "secret".to_owned(),
    }
}

fn invite(which: usize, credentials: Option<Login>) -> Invite {
    Invite {
        flow: flow(which),
        uri: "sip:far@192.0.2.9".to_owned(),
        to: "<sip:far@192.0.2.9>".to_owned(),
        from: "\"Us\" <sip:us@192.0.2.1>".to_owned(),
        contact_user: "us".to_owned(),
        sdp: SDP.to_vec(),
        headers: vec![("X-Test".to_owned(), "1".to_owned())],
        credentials,
        reliable: sip::Reliable::Supported,
        session_timer: sip::SessionTimer::Default,
        call_id: None,
        route: Vec::new(),
        max_forwards: 70,
    }
}

fn request(which: usize) -> OutRequest {
    OutRequest {
        flow: flow(which),
        method: "REGISTER".to_owned(),
        uri: "sip:192.0.2.9".to_owned(),
        to: "<sip:us@192.0.2.9>".to_owned(),
        from: "<sip:us@192.0.2.9>".to_owned(),
        call_id: None,
        cseq: None,
        headers: vec![("Contact".to_owned(), "<sip:us@192.0.2.1>".to_owned())],
        body: None,
        credentials: Some(login()),
        route: Vec::new(),
    }
}
