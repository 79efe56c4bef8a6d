//! The doors of the SIP stack: bytes and time in, bytes and events out.
//! Not here: what a request is checked for (`screen.rs`), who gets it (`dispatch.rs`), the machines
//! (`transaction/`, `dialog/`). Drain [`Endpoint::poll`] after every call; call [`Endpoint::expire`] at [`Endpoint::deadline`].

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::dialog::Dialogs;
use crate::flow::Flow;
use crate::message::Message;
use crate::subscribe::{SubscriptionEvent, SubscriptionId, Subscriptions};
use crate::transaction::Layer;

/// What we handle, as the Allow header says it. Whatever else is known is answered 405, the rest 501.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, MESSAGE, PRACK, UPDATE, REFER, REGISTER, SUBSCRIBE, PUBLISH";

/// The extensions we know (RFC 3261 §19.2); `SUPPORTED_PLAIN` where nobody shall ring reliably.
pub(crate) const SUPPORTED: &str = "timer, 100rel, replaces, norefersub";
pub(crate) const SUPPORTED_PLAIN: &str = "timer, replaces, norefersub";

/// What a 2xx says of them.
pub(crate) fn supported(config: &Config) -> &'static str {
    if config.reliable_provisionals {
        SUPPORTED
    } else {
        SUPPORTED_PLAIN
    }
}

/// How the endpoint names itself and how much it holds.
#[derive(Debug, Clone)]
pub struct Config {
    /// User-Agent of our requests and Server of our responses.
    pub user_agent: String,
    /// Tags, branches and Call-IDs derive from it; 32 random bytes per process.
    pub seed: [u8; 32],
    /// Host written into Via and Contact instead of the flow's local address.
    pub external_host: Option<String>,
    /// Who is in one of these sees the flow's local address all the same.
    pub local_networks: Vec<RangeInclusive<IpAddr>>,
    /// RFC 3261 §17.1.1.1: the round trip estimate, 500 ms by default. T2 is 8 and T4 10 times as much.
    pub t1: Duration,
    /// Above this many live transactions new out-of-dialog requests are answered 503 with Retry-After.
    pub max_transactions: usize,
    /// Above this many dialogs new INVITEs are answered 503 with Retry-After.
    pub max_dialogs: usize,
    /// Above so many subscriptions, in all and from one address, new ones are answered 503 with Retry-After.
    pub max_subscriptions: usize,
    pub max_subscriptions_per_source: usize,
    /// RFC 3262: callers that take reliable provisional responses get them; otherwise who requires them is refused 420.
    pub reliable_provisionals: bool,
    /// A stranger's address may have begun this many transactions that are not over; a further one is answered 503.
    pub max_of_stranger: u32,
    /// The same for all unknown flows together of an address where phones are.
    pub max_of_neighbours: u32,
    /// RFC 4028: how long a session stands without a refresh, where the peer knows timers. Zero: only as others ask.
    pub session_expires: Duration,
    /// No session is refreshed more often, whoever asks; 90 s at least.
    pub min_se: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            user_agent: "Offhook".to_owned(),
            seed: [0; 32],
            external_host: None,
            local_networks: Vec::new(),
            t1: Duration::from_millis(500),
            max_transactions: 200_000,
            max_dialogs: 50_000,
            max_subscriptions: 20_000,
            max_subscriptions_per_source: 5_000,
            reliable_provisionals: true,
            max_of_stranger: 64,
            max_of_neighbours: 2_000,
            session_expires: Duration::from_secs(1800),
            min_se: Duration::from_secs(90),
        }
    }
}

impl Config {
    /// The configured host, where the peer on `flow` is to see it in Via and Contact; None: the flow's local address.
    pub fn host_on(&self, flow: &Flow) -> Option<&str> {
        let peer = flow.remote.ip().to_canonical();
        let inside = |network: &RangeInclusive<IpAddr>| network.contains(&peer);
        let host = self.external_host.as_deref()?;
        (!self.local_networks.iter().any(inside)).then_some(host)
    }
}

/// Who sent a message, as far as its address tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// Its address is proof enough: what it asks is looked at as it is.
    Trusted,
    /// A phone was there of late. INVITE and REGISTER without credentials are told as [`SipEvent::Unproven`].
    Phone,
    /// Nobody known, at an address where phones are: as a stranger, but more may be begun there.
    Neighbour,
    /// Nobody expected. As a phone, but what it begins leaves a fifth of the tables to the others, and one address
    /// begins only so much.
    Stranger,
}

/// One call leg: an INVITE, its early dialogs and the dialog that came of them. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialogId(pub u64);

/// One request outside dialogs, ours or theirs. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u64);

/// A call to make.
#[derive(Debug, Clone)]
pub struct Invite {
    pub flow: Flow,
    /// Request-URI.
    pub uri: String,
    /// name-addr without tag.
    pub to: String,
    /// name-addr without tag.
    pub from: String,
    /// User part of our Contact, plain (it is escaped here).
    pub contact_user: String,
    pub sdp: Vec<u8>,
    pub reliable: Reliable,
    pub session_timer: SessionTimer,
    /// Further headers of the first request (not Via, From, To, Call-ID, CSeq, Contact, Max-Forwards).
    pub headers: Vec<(String, String)>,
    pub credentials: Option<Login>,
    /// Made up when absent.
    pub call_id: Option<String>,
    /// Route header values, topmost first.
    pub route: Vec<String>,
    /// Max-Forwards: 70, or what is left of a caller's.
    pub max_forwards: u8,
}

/// Whether a called party may ring reliably (RFC 3262). What does is acknowledged inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reliable {
    Off,
    /// If it likes.
    Supported,
    /// It must; who cannot answers 420.
    Required,
}

/// What a call of ours asks of the session timer (RFC 4028). What the peer asks for is kept in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionTimer {
    /// As [`Config::session_expires`] says.
    Default,
    Off,
    /// Not below [`Config::min_se`].
    Every(Duration),
}

/// What answers a digest challenge.
#[derive(Clone)]
pub struct Login {
    pub username: String,
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// A request outside dialogs: REGISTER, OPTIONS, MESSAGE.
#[derive(Debug, Clone)]
pub struct OutRequest {
    pub flow: Flow,
    pub method: String,
    pub uri: String,
    pub to: String,
    pub from: String,
    /// Made up when absent; give it to keep one registration on one Call-ID (RFC 3261 §10.2.4).
    pub call_id: Option<String>,
    /// 1 when absent. A retry with credentials uses the next number.
    pub cseq: Option<u32>,
    pub headers: Vec<(String, String)>,
    /// Content type and bytes.
    pub body: Option<(String, Vec<u8>)>,
    pub credentials: Option<Login>,
    /// Route header values, topmost first.
    pub route: Vec<String>,
}

/// A request inside a dialog: INFO, MESSAGE, NOTIFY, REFER.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: String,
    /// Beyond what makes it a request of the dialog.
    pub headers: Vec<(String, String)>,
    /// Content type and bytes.
    pub body: Option<(String, Vec<u8>)>,
}

/// How a dialog is called on the wire, seen from here (RFC 3261 §12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialogNames {
    pub call_id: String,
    pub local_tag: String,
    /// None as long as nobody answered our INVITE; with several early dialogs the one heard last.
    pub remote_tag: Option<String>,
    pub we_called: bool,
    /// Where requests to the peer go, a URI.
    pub remote_target: String,
}

/// What third parties may be told to call a dialog, to ask for its place (RFC 3891): not its own names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialogAlias {
    pub call_id: String,
    /// In place of our tag.
    pub local_tag: String,
    /// In place of the peer's, if it has one yet.
    pub remote_tag: Option<String>,
}

/// What the endpoint wants done.
#[derive(Debug, Clone)]
pub enum Output {
    Send { flow: Flow, bytes: Bytes },
    Event(SipEvent),
}

/// What happened. A dialog's last event is exactly one `Ended`.
#[derive(Debug, Clone)]
pub enum SipEvent {
    /// A new INVITE, already screened and answered 100. `ring`, `answer` or `refuse` it.
    Incoming {
        dialog: DialogId,
        request: Message,
        flow: Flow,
    },
    /// A screened INVITE or REGISTER outside dialogs without any credentials. Nothing is kept of it: `turn_away` answers
    /// it, at once or not at all.
    Unproven { request: Message, flow: Flow },
    /// A request inside a dialog, but not from where its peer was last; BYE is none of these. Nothing is kept of it:
    /// `let_in` or `turn_away` it at once.
    Strayed {
        dialog: DialogId,
        request: Message,
        flow: Flow,
    },
    /// A screened request outside dialogs: `respond` to it.
    Request {
        transaction: TransactionId,
        request: Message,
        flow: Flow,
    },
    /// The caller cancelled; 200 and 487 were sent. `reason` is the CANCEL's Reason value.
    Cancelled {
        dialog: DialogId,
        reason: Option<String>,
    },
    /// ACK for our 2xx. Comes again after a re-INVITE only when that ACK carries SDP (our 2xx had the offer).
    Confirmed {
        dialog: DialogId,
        sdp: Option<Bytes>,
    },
    /// Our 2xx or a reliable response before it was never acknowledged; a BYE or 504 was sent.
    Lost { dialog: DialogId },
    /// PRACK of our offer: the answer of a caller whose INVITE had no offer. None: it brought none.
    Pracked {
        dialog: DialogId,
        sdp: Option<Bytes>,
    },
    /// Nobody refreshed the session in time (RFC 4028 §10); a BYE was sent.
    Expired { dialog: DialogId },
    /// A provisional answer 101 to 199, at times repeated; its body may be SDP, its To tag says which fork it is.
    Ringing {
        dialog: DialogId,
        status: u16,
        response: Message,
    },
    /// The first 2xx, already acknowledged. Later ones of other forks are acknowledged and hung up silently.
    Answered { dialog: DialogId, response: Message },
    /// The final answer was no; without `response` it was made here: 408 no answer, 503 dead flow or full
    /// tables, 487 cancelled without an answer, 500 the call could not be written down.
    Refused {
        dialog: DialogId,
        status: u16,
        response: Option<Message>,
    },
    /// re-INVITE, UPDATE or a PRACK with an offer; an empty body asks for our offer. `accept_reoffer` or `refuse_reoffer` it.
    Reoffered { dialog: DialogId, request: Message },
    /// What came of `reinvite`: the peer's SDP, or the status that refused it.
    Reanswered {
        dialog: DialogId,
        result: Result<Bytes, u16>,
    },
    /// What a refresh or `identify` brought besides: the SDP the peer answered with, or the 408 or 481 that says that it
    /// knows the dialog no more; a BYE was sent.
    Refreshed {
        dialog: DialogId,
        result: Result<Bytes, u16>,
    },
    /// REFER, MESSAGE, SUBSCRIBE or NOTIFY inside the dialog: `respond` to it.
    Inside {
        dialog: DialogId,
        transaction: TransactionId,
        request: Message,
    },
    /// The final answer to `ask`: the peer's, or 408 for none and 503 for a dead flow. None comes after `Ended`.
    Told {
        dialog: DialogId,
        transaction: TransactionId,
        status: u16,
    },
    /// INFO inside the dialog, already answered 200.
    Info { dialog: DialogId, request: Message },
    /// The peer's final answer to `probe`. None comes while the peer is silent, or when the dialog ended before.
    Probed { dialog: DialogId, status: u16 },
    /// BYE received and answered 200.
    HungUp {
        dialog: DialogId,
        reason: Option<String>,
    },
    /// The dialog is over and its id dead.
    Ended { dialog: DialogId },
    /// Something about one subscription; the last of an accepted one is `Ended`.
    Subscription {
        subscription: SubscriptionId,
        event: SubscriptionEvent,
    },
    /// The final answer to `request`; without `response` it was made here (see `Refused`).
    Response {
        transaction: TransactionId,
        status: u16,
        response: Option<Message>,
    },
}

/// The whole stack of one process.
pub struct Endpoint {
    pub(crate) layer: Layer,
    pub(crate) dialogs: Dialogs,
    pub(crate) subscriptions: Subscriptions,
    /// When it was last looked whether tables are too large.
    given_back: Option<Instant>,
}

/// How often that is.
const GIVE_BACK: Duration = Duration::from_secs(10);

impl Endpoint {
    pub fn new(config: Config) -> Endpoint {
        Endpoint {
            layer: Layer::new(config),
            dialogs: Dialogs::new(),
            subscriptions: Subscriptions::new(),
            given_back: None,
        }
    }

    /// Takes one whole message, as it came from `flow`.
    pub fn receive(&mut self, now: Instant, flow: Flow, bytes: Bytes) {
        self.receive_from(now, flow, bytes, Sender::Trusted);
    }

    /// As [`Endpoint::receive`]; what becomes of a request depends on who sent it. Whether the message could be read.
    pub fn receive_from(&mut self, now: Instant, flow: Flow, bytes: Bytes, sender: Sender) -> bool {
        self.layer.wheel.touch(now);
        self.take(flow, bytes, sender)
    }

    /// Answers a request of [`SipEvent::Unproven`] or [`SipEvent::Strayed`] and forgets it (RFC 3261 §8.2.7).
    pub fn turn_away(
        &mut self,
        now: Instant,
        request: &Message,
        flow: Flow,
        answer: (u16, &[(&str, String)]),
    ) {
        self.layer.wheel.touch(now);
        self.layer.reject(request, flow, answer.0, answer.1);
    }

    /// Takes a request of [`SipEvent::Strayed`] as the peer's, which is to be found there from now on.
    pub fn let_in(&mut self, now: Instant, dialog: DialogId, request: &Message, flow: Flow) {
        self.with(now, dialog, |dialog, layer| {
            dialog.receive(layer, request, flow)
        });
    }

    /// Whether it is time to tell strangers from others.
    pub fn is_crowded(&self) -> bool {
        self.is_full(false)
    }

    /// The stream closed, or connecting or writing failed: requests waiting on it fail at once as 503.
    pub fn flow_failed(&mut self, now: Instant, flow: Flow) {
        self.layer.wheel.touch(now);
        for failed in self.layer.transactions_on(flow) {
            let notice = self.layer.fail(failed, 503);
            self.tell(notice);
        }
    }

    /// The next thing to do or know; drain until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        if self.layer.out.is_empty() {
            self.try_undecided();
        }
        self.layer.out.pop_front()
    }

    /// When to call `expire`; at times earlier than needed.
    pub fn deadline(&self) -> Option<Instant> {
        self.layer.wheel.next()
    }

    pub fn expire(&mut self, now: Instant) {
        self.layer.wheel.touch(now);
        while let Some(alarm) = self.layer.wheel.pop() {
            self.ring_alarm(alarm);
        }
        if self.given_back.is_none_or(|at| now >= at + GIVE_BACK) {
            self.given_back = Some(now);
            self.layer.give_back();
            self.dialogs.give_back();
        }
    }

    /// Nothing is live and nothing waits to be polled.
    pub fn is_idle(&self) -> bool {
        self.sizes() == (0, 0) && self.layer.out.is_empty()
    }

    /// Live transactions (finished ones absorbing repeats included) and dialogs.
    pub fn sizes(&self) -> (usize, usize) {
        (self.layer.len(), self.dialogs.len())
    }

    /// Armed timers.
    pub fn timers(&self) -> usize {
        self.layer.wheel.len()
    }

    /// Calls somebody. Ends in `Answered` or `Refused`, even when it could not be sent.
    pub fn invite(&mut self, now: Instant, invite: Invite) -> DialogId {
        self.layer.wheel.touch(now);
        self.start_call(invite)
    }

    /// A call of ours fails with 408 when nobody has said anything to its INVITE `within` that time, instead of 64·T1: for
    /// when there is another place to try (RFC 3263 §4.3).
    pub fn expect_within(&mut self, now: Instant, dialog: DialogId, within: Duration) {
        self.with(now, dialog, |dialog, layer| {
            dialog.expect_within(layer, within)
        });
    }

    /// The same for a request outside dialogs.
    pub fn expect_response_within(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        within: Duration,
    ) {
        self.layer.wheel.touch(now);
        self.layer.expect_answer_within(transaction, within);
    }

    /// Gives up a call that was not answered; `reason` is a Reason header value (RFC 3326).
    pub fn cancel(&mut self, now: Instant, dialog: DialogId, reason: Option<String>) {
        self.with(now, dialog, |dialog, layer| dialog.cancel(layer, reason));
    }

    /// Sends a request outside dialogs; its one final answer is `Response`.
    pub fn request(&mut self, now: Instant, request: OutRequest) -> TransactionId {
        self.layer.wheel.touch(now);
        self.layer.ask(request)
    }

    /// Answers an incoming call 101 to 199; with SDP it is early media.
    #[expect(
        clippy::too_many_arguments,
        reason = "the three parts of a response, as `answer` and `refuse` take two of them"
    )]
    pub fn ring(
        &mut self,
        now: Instant,
        dialog: DialogId,
        status: u16,
        sdp: Option<&[u8]>,
        headers: &[(&str, String)],
    ) {
        self.with(now, dialog, |dialog, layer| {
            dialog.ring(layer, status, sdp.unwrap_or_default(), headers)
        });
    }

    /// Answers an incoming call 200.
    pub fn answer(
        &mut self,
        now: Instant,
        dialog: DialogId,
        sdp: &[u8],
        headers: &[(&str, String)],
    ) {
        self.with(now, dialog, |dialog, layer| {
            dialog.answer(layer, sdp, headers)
        });
    }

    /// Refuses an incoming call; a status outside 300 to 699 becomes 500.
    pub fn refuse(
        &mut self,
        now: Instant,
        dialog: DialogId,
        status: u16,
        headers: &[(&str, String)],
    ) {
        self.with(now, dialog, |dialog, layer| {
            dialog.refuse(layer, status, headers)
        });
    }

    /// Answers a `Request` or what came `Inside` a dialog. Only the first final answer counts.
    pub fn respond(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        status: u16,
        headers: &[(&str, String)],
    ) {
        self.layer.wheel.touch(now);
        self.answer_request(transaction, status, headers);
    }

    /// Ends a call in any state: cancels ours, refuses theirs with 480, hangs up what is answered.
    pub fn bye(&mut self, now: Instant, dialog: DialogId, reason: Option<String>) {
        self.with(now, dialog, |dialog, layer| dialog.bye(layer, reason));
    }

    /// Answers a re-INVITE or UPDATE 200.
    pub fn accept_reoffer(&mut self, now: Instant, dialog: DialogId, sdp: &[u8]) {
        self.with(now, dialog, |dialog, layer| {
            dialog.accept_reoffer(layer, sdp)
        });
    }

    /// Refuses a re-INVITE or UPDATE; the session goes on as it was.
    pub fn refuse_reoffer(&mut self, now: Instant, dialog: DialogId, status: u16) {
        self.with(now, dialog, |dialog, layer| {
            dialog.refuse_reoffer(layer, status)
        });
    }

    /// Offers `sdp` anew; ends in one `Reanswered`. Glare is retried inside (RFC 3261 §14.1).
    pub fn reinvite(
        &mut self,
        now: Instant,
        dialog: DialogId,
        sdp: &[u8],
        headers: &[(&str, String)],
    ) {
        self.with(now, dialog, |dialog, layer| {
            dialog.reinvite(layer, sdp, headers)
        });
    }

    /// Tells the peer new identity headers; its media go on. By UPDATE where the peer takes it, else by re-INVITE; behind a
    /// change that is on its way (the latest value of a header wins); with the next response to a call not answered yet.
    pub fn identify(&mut self, now: Instant, dialog: DialogId, headers: &[(&str, String)]) {
        self.with(now, dialog, |dialog, layer| dialog.identify(layer, headers));
    }

    /// Sends a request inside a dialog that stands, that rings here, or that rang reliably at a fork of ours; its one final
    /// answer is `Told`. None: the dialog is not that far or over, or too many of its requests wait for an answer.
    pub fn ask(&mut self, now: Instant, dialog: DialogId, ask: Ask) -> Option<TransactionId> {
        self.layer.wheel.touch(now);
        self.dialogs
            .with(&mut self.layer, dialog, |dialog, layer| {
                dialog.ask(layer, ask)
            })
            .flatten()
    }

    /// The live dialog of these names, an early one included (what Replaces asks for: RFC 3891 §3).
    pub fn dialog_named(
        &self,
        call_id: &str,
        local_tag: &str,
        remote_tag: &str,
    ) -> Option<DialogId> {
        self.dialogs
            .named(&self.layer, call_id, local_tag, remote_tag)
    }

    /// How a live dialog is called before third parties.
    pub fn alias(&self, dialog: DialogId) -> Option<DialogAlias> {
        self.dialogs.alias(&self.layer.secret, dialog)
    }

    /// The live dialog that [`Endpoint::alias`] called so, the tags in either order.
    pub fn dialog_aliased(&self, call_id: &str, tags: (&str, &str)) -> Option<DialogId> {
        self.dialogs.aliased(&self.layer.secret, call_id, tags)
    }

    /// The Call-ID of a live dialog.
    pub fn call_id(&self, dialog: DialogId) -> Option<&str> {
        self.dialogs.get(dialog).map(crate::dialog::Dialog::call_id)
    }

    /// How a live dialog is called on the wire; for who is in it.
    pub fn names(&self, dialog: DialogId) -> Option<DialogNames> {
        self.dialogs.get(dialog).map(crate::dialog::Dialog::names)
    }

    /// Whether the caller takes reliable provisional responses: without an offer in its INVITE only such may have ours.
    pub fn rings_reliably(&self, dialog: DialogId) -> bool {
        let dialog = self.dialogs.get(dialog);
        dialog.is_some_and(crate::dialog::Dialog::takes_reliable)
    }

    /// Asks the peer of an answered call for a sign of life; whatever it answers is told as `Probed`.
    pub fn probe(&mut self, now: Instant, dialog: DialogId) {
        self.with(now, dialog, |dialog, layer| dialog.probe(layer));
    }
}
