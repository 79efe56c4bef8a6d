//! Dialogs: two parties in step, from the INVITE to the BYE. RFC 3261 §12 to §15.
//!
//! One [`Dialog`] is one leg of a call. Who does what: `invite.rs` calls (UAC), `accept.rs` is called (UAS), `change.rs` and `modify.rs`
//! change a session that stands (ours, theirs), `probe.rs` asks whether it does, `errand.rs` carries what only passes through the dialog, `bye.rs` ends it,
//! `cancel.rs` ends it before it stood, `alias.rs` names it to others. `peer.rs` addresses the far end; before the answer `early.rs` tells our
//! forks apart and `prack.rs` makes our ringing arrive; `refresh.rs` keeps the time of a session. This file has what they share:
//! the state, how a request inside the dialog is written and read, and the table that makes one `Ended` of every end.
//! Not here: repeats and timeouts of single requests (`transaction/`), what a call is (`switch`).

mod accept;
mod alias;
mod bye;
mod cancel;
mod change;
mod early;
mod errand;
mod invite;
mod modify;
mod peer;
mod prack;
mod probe;
mod refresh;
mod table;

use bytes::Bytes;

use crate::endpoint::{ALLOW, DialogId, DialogNames, Login, SipEvent, TransactionId, supported};
use crate::flow::Flow;
use crate::message::{Builder, HeaderId, Message, Method, NameAddr, ParseError};
use crate::secret::{Key, Secret};
use crate::timers::TimerId;
use crate::transaction::{self, Auth, Draft, Layer, Notice, Owner};

use accept::{Purpose, Unacked};
use bye::Closing;
use change::{Change, Ours};
use errand::Errand;
use invite::Calling;
pub(crate) use invite::release_fork;
use modify::Theirs;
use peer::Peer;
use prack::Early;
pub(crate) use refresh::too_short;
use refresh::{Clock, Terms};
pub(crate) use table::Dialogs;

/// What a dialog's timer rings for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// UAS: a minute passed since the last provisional response. UAC: three since the peer's.
    Ringing,
    /// Our 2xx, once more.
    Repeat,
    /// Our 2xx found no ACK.
    GiveUp,
    /// A change of ours that met glare, once more.
    Offer,
    /// A reliable provisional response of ours, once more.
    RepeatRinging,
    /// It found no PRACK.
    GiveUpRinging,
    /// The session is to be refreshed, or expires.
    Session,
}

enum Phase {
    /// We called; no final answer yet.
    Calling(Box<Calling>),
    /// They called; we gave no final answer yet.
    Incoming {
        invite: TransactionId,
    },
    /// Answered 2xx, acknowledged or (see `unacked`) not.
    Up,
    /// Our BYE is on its way.
    Closing(Box<Closing>),
    Over,
}

/// Who made the Call-ID: decides who waits longer after glare (RFC 3261 §14.1).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Caller,
    Callee,
}

pub(crate) struct Dialog {
    id: DialogId,
    role: Role,
    phase: Phase,
    flow: Flow,
    /// How to ask for a new connection when that of `flow` is gone: see [`Flow::is_wish`].
    wish: u64,
    /// Whether the peer takes UPDATE, as its last Allow said (RFC 3311 §4).
    updates: bool,
    /// The last SDP of ours.
    said: Vec<u8>,
    call_id: String,
    local_tag: String,
    /// From of our requests, tag included.
    local: String,
    peer: Peer,
    contact_user: String,
    login: Option<Login>,
    ringing: Option<TimerId>,
    unacked: Option<Unacked>,
    /// What the caller has to acknowledge before the answer.
    early: Option<Box<Early>>,
    terms: Terms,
    /// Whether and when the session expires.
    clock: Option<Clock>,
    ours: Ours,
    /// What we want next: behind `ours`, or with the next response before there is a session.
    next: Option<Box<Change>>,
    theirs: Option<Theirs>,
    /// Our OPTIONS on its way.
    probe: Option<TransactionId>,
    /// Requests of ours that change nothing.
    errands: Vec<Errand>,
    /// Theirs that somebody else answers; some are answered.
    questions: Vec<TransactionId>,
    /// Where the table finds this dialog; the first `registered` are in it already.
    keys: Vec<Key>,
    registered: usize,
    /// Keys of forks that lost.
    stale: Vec<Key>,
}

/// The table key of a dialog (RFC 3261 §12: Call-ID, local tag, remote tag).
pub(crate) fn key(secret: &Secret, call_id: &str, local_tag: &str, remote_tag: &str) -> Key {
    secret.key(&[
        b"dialog",
        call_id.as_bytes(),
        local_tag.as_bytes(),
        remote_tag.as_bytes(),
    ])
}

impl Dialog {
    /// Whether `flow` leads elsewhere than to where the peer was last.
    pub(crate) fn is_elsewhere(&self, flow: Flow) -> bool {
        (self.flow.transport, self.flow.remote) != (flow.transport, flow.remote)
    }

    /// A request inside the dialog that is no repeat, no ACK and no CANCEL.
    pub(crate) fn receive(&mut self, layer: &mut Layer, request: &Message, flow: Flow) {
        let number = request.cseq().map_or(0, |(number, _)| number);
        let last = self.remote_seq_of(request);
        // RFC 3261 §12.2.2: a lower number than the last is out of order. A PRACK says itself what it follows, and one
        // refused for a later request that overtook it would never come again.
        if last.is_some_and(|last| number < last) && !matches!(request.method(), Method::Prack) {
            return layer.reject(request, flow, 500, &[]);
        }
        *last = (*last).max(Some(number));
        // It is the peer, from where it was or let in by who knows it: a phone that moved is found again.
        self.flow = flow;
        match request.method() {
            Method::Bye => self.hung_up(layer, request),
            _ if matches!(self.phase, Phase::Closing(_) | Phase::Over) => {
                layer.reject(request, flow, 481, &[]);
            }
            Method::Invite | Method::Update => self.reoffered(layer, request),
            Method::Info => {
                self.agree(layer, request);
                layer.event(SipEvent::Info {
                    dialog: self.id,
                    request: request.clone(),
                });
            }
            Method::Options => self.agree(layer, request),
            Method::Prack => self.pracked(layer, request),
            Method::Refer | Method::Message | Method::Subscribe | Method::Notify => {
                self.inside(layer, request);
            }
            Method::Other(_) => layer.reject(request, flow, 501, &[]),
            _ => layer.reject(request, flow, 405, &[("Allow", ALLOW.to_owned())]),
        }
    }

    /// What a transaction of this dialog told; given back when it is of no phase that waits for it (a late fork).
    pub(crate) fn heard(&mut self, layer: &mut Layer, notice: Notice) -> Option<Notice> {
        let (Notice::Response { transaction, .. } | Notice::Failed { transaction, .. }) = &notice;
        let transaction = *transaction;
        let calling =
            matches!(&self.phase, Phase::Calling(calling) if calling.invite == Some(transaction));
        let closing = matches!(&self.phase, Phase::Closing(closing) if closing.bye == transaction);
        if calling {
            self.call_answered(layer, notice);
        } else if closing {
            self.bye_answered(layer, notice);
        } else if self.ours.transaction() == Some(transaction) {
            self.change_answered(layer, notice);
        } else if self.probe == Some(transaction) {
            self.probed(layer, &notice);
        } else if self.is_errand(transaction) {
            self.errand_answered(layer, notice);
        } else {
            return Some(notice);
        }
        None
    }

    pub(crate) fn ring_alarm(&mut self, layer: &mut Layer, alarm: Alarm) {
        match alarm {
            Alarm::Ringing => {
                self.ringing = None;
                self.ringing_alarm(layer);
            }
            Alarm::Repeat => self.repeat_answer(layer),
            Alarm::GiveUp => self.lose(layer),
            Alarm::Offer => self.retry_change(layer),
            Alarm::RepeatRinging => self.repeat_ringing(layer),
            Alarm::GiveUpRinging => self.lose_ringing(layer),
            Alarm::Session => self.clock_alarm(layer),
        }
    }

    /// Ends the dialog: no timer and no transaction remembers it.
    fn end(&mut self, layer: &mut Layer) {
        self.quiet(layer);
        self.phase = Phase::Over;
    }

    /// Stops everything a standing session does: ringing, repeating, offers both ways.
    fn quiet(&mut self, layer: &mut Layer) {
        if let Some(timer) = self.ringing.take() {
            layer.wheel.cancel(timer);
        }
        if let Some(unacked) = self.unacked.take() {
            unacked.stop(layer);
        }
        self.forget_ringing(layer);
        self.stop_clock(layer);
        self.withdraw(layer);
        self.forget_change(layer);
        self.forget_probe(layer);
        self.forget_errands(layer);
        self.leave_questions(layer);
    }

    /// 200 through a transaction, so that a repeat is not told twice.
    fn agree(&self, layer: &mut Layer, request: &Message) {
        let transaction = layer.open(request, self.flow, Owner::Nobody);
        let mut builder = self.response(layer, request, 200);
        if matches!(request.method(), Method::Options) {
            builder = builder
                .header("Allow", ALLOW)
                .header("Supported", supported(&layer.config))
                .header("Accept", "application/sdp");
        }
        if let Ok(bytes) = builder.build() {
            layer.reply(transaction, 200, bytes);
        }
    }

    fn response(&self, layer: &Layer, request: &Message, status: u16) -> Builder {
        layer.draft_response(request, status, &self.local_tag)
    }

    /// A response with what a session needs: Contact, Allow, SDP.
    fn session_response(
        &self,
        layer: &Layer,
        request: &Message,
        status: u16,
        sdp: &[u8],
    ) -> Builder {
        let builder = self
            .response(layer, request, status)
            .header("Contact", self.contact(layer))
            .header("Allow", ALLOW);
        let builder = match status {
            200..=299 => builder.header("Supported", supported(&layer.config)),
            _ => builder,
        };
        if sdp.is_empty() {
            builder
        } else {
            builder.body("application/sdp", sdp)
        }
    }

    fn contact(&self, layer: &Layer) -> String {
        transaction::contact(&layer.config, self.flow, &self.contact_user)
    }

    pub(crate) fn call_id(&self) -> &str {
        &self.call_id
    }

    /// How this dialog is called on the wire.
    pub(crate) fn names(&self) -> DialogNames {
        let heard = match &self.phase {
            Phase::Calling(calling) => Some(&calling.heard).filter(|tag| !tag.is_empty()),
            _ => None,
        };
        let peer = self.far(heard.map(String::as_str));
        let remote = NameAddr::parse(&peer.remote).ok();
        DialogNames {
            call_id: self.call_id.clone(),
            local_tag: self.local_tag.clone(),
            remote_tag: heard
                .cloned()
                .or_else(|| remote.and_then(|remote| remote.tag().map(str::to_owned))),
            we_called: self.role == Role::Caller,
            remote_target: peer.target.clone(),
        }
    }

    /// What the peer is able to do, as far as it says.
    fn learn(&mut self, message: &Message, tag: &str) {
        let Some(updates) = allows_update(message) else {
            return;
        };
        match &mut self.phase {
            Phase::Calling(calling) => {
                if let Some(fork) = calling.fork_mut(tag) {
                    fork.updates = updates;
                }
            }
            _ => self.updates = updates,
        }
    }

    fn add_key(&mut self, layer: &Layer, remote_tag: &str) {
        let key = key(&layer.secret, &self.call_id, &self.local_tag, remote_tag);
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
    }
}

/// The bytes of a response with `headers`; without them when they cannot be written.
fn with_headers(plain: Builder, headers: &[(&str, String)]) -> Result<Bytes, ParseError> {
    if headers.is_empty() {
        return plain.build();
    }
    let mut full = plain.clone();
    for (name, value) in headers {
        full = full.header(name, value);
    }
    full.build().or_else(|_| plain.build())
}

/// Whether the sender takes UPDATE, when it says what it takes (RFC 3311 §4).
fn allows_update(message: &Message) -> Option<bool> {
    let mut allowed = message.values(HeaderId::Allow).peekable();
    allowed.peek()?;
    Some(allowed.any(|method| method == "UPDATE"))
}

/// Headers that answer a challenge.
fn with_answers(mut draft: Draft, auth: &Auth) -> Draft {
    for (name, value) in auth.answers() {
        draft = draft.header(name, value);
    }
    draft
}

fn tag_of(address: Option<NameAddr>) -> String {
    address
        .as_ref()
        .and_then(|a| a.tag())
        .unwrap_or_default()
        .to_owned()
}

fn reason_of(message: &Message) -> Option<String> {
    // RFC 3326 §2: one value for each protocol, on one line or on several.
    let mut lines = message.headers(HeaderId::Reason);
    let first = lines.next()?.into_owned();
    Some(lines.fold(first, |all, line| format!("{all}, {line}")))
}
