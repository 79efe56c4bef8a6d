//! Changes of ours to a session that stands: an offer, or new headers while the media go on. re-INVITE, UPDATE, glare
//! and what waits behind it. RFC 3261 §14.1, RFC 3311 §5.1. What the peer wants changed is `modify.rs`.

use std::time::Duration;

use bytes::Bytes;

use super::prack::Session;
use super::{Alarm, Dialog, Phase, Role, with_answers};
use crate::endpoint::{ALLOW, SipEvent, TransactionId, supported};
use crate::message::{HeaderId, Message};
use crate::timers::TimerId;
use crate::transaction::{self, Auth, Layer, Notice, Owner};

/// How often glare is tried again before it is told.
const MAX_GLARES: u8 = 5;

/// Something of ours that the peer shall know.
pub(super) struct Change {
    /// Asked for by the switch, which is told what came of it; without it the session goes on as it is.
    offer: Option<Vec<u8>>,
    headers: Vec<(String, String)>,
    auth: Auth,
    glares: u8,
    /// The fork it went to, before anybody answered.
    fork: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Invite,
    Update,
}

impl By {
    fn method(self) -> &'static str {
        match self {
            By::Invite => "INVITE",
            By::Update => "UPDATE",
        }
    }
}

pub(super) enum Ours {
    Idle,
    /// After glare, or while the peer's change is going on.
    Waiting {
        change: Box<Change>,
        timer: TimerId,
    },
    Sent {
        change: Box<Change>,
        transaction: TransactionId,
        by: By,
    },
}

impl Ours {
    pub(super) fn transaction(&self) -> Option<TransactionId> {
        match self {
            Ours::Sent { transaction, .. } => Some(*transaction),
            Ours::Idle | Ours::Waiting { .. } => None,
        }
    }

    /// An offer of ours is on its way: one of the peer now is glare.
    pub(super) fn offers(&self) -> bool {
        match self {
            Ours::Sent { change, by, .. } => *by == By::Invite || change.offer.is_some(),
            Ours::Idle | Ours::Waiting { .. } => false,
        }
    }

    fn change(&mut self) -> Option<&mut Change> {
        match self {
            Ours::Idle => None,
            Ours::Waiting { change, .. } | Ours::Sent { change, .. } => Some(change),
        }
    }
}

impl Change {
    /// It only refreshes.
    fn is_bare(&self) -> bool {
        self.offer.is_none() && self.headers.is_empty()
    }

    /// The newer wants of two; what only the older one says stays.
    fn merge(&mut self, offer: Option<Vec<u8>>, headers: &[(&str, String)]) {
        self.offer = offer.or(self.offer.take());
        self.headers
            .retain(|(old, _)| !headers.iter().any(|(new, _)| new.eq_ignore_ascii_case(old)));
        self.headers.extend(owned(headers));
    }
}

impl Dialog {
    pub(crate) fn reinvite(&mut self, layer: &mut Layer, sdp: &[u8], headers: &[(&str, String)]) {
        if matches!(self.phase, Phase::Closing(_) | Phase::Over) {
            return self.reanswered(layer, Err(481));
        }
        // RFC 3311 §5.1: before the answer only where offer and answer of the INVITE are through already.
        if !self.may_change(true) {
            return self.reanswered(layer, Err(491));
        }
        let asked = |change: Option<&mut Change>| change.is_some_and(|c| c.offer.is_some());
        if asked(self.ours.change()) || asked(self.next.as_deref_mut()) {
            return self.reanswered(layer, Err(491));
        }
        self.want(layer, Some(sdp.to_vec()), headers);
    }

    /// New identity headers. Before the answer they go with the next response of ours, else behind what is on its way.
    pub(crate) fn identify(&mut self, layer: &mut Layer, headers: &[(&str, String)]) {
        if !matches!(self.phase, Phase::Closing(_) | Phase::Over) {
            self.want(layer, None, headers);
        }
    }

    /// The session is to be refreshed: by whatever is on its way or waits, else by itself.
    pub(super) fn freshen(&mut self, layer: &mut Layer) {
        if matches!(self.ours, Ours::Idle) && self.next.is_none() {
            self.want(layer, None, &[]);
        }
    }

    fn want(&mut self, layer: &mut Layer, offer: Option<Vec<u8>>, headers: &[(&str, String)]) {
        if let Ours::Waiting { change, .. } = &mut self.ours {
            return change.merge(offer, headers);
        }
        let login = &self.login;
        let next = self.next.get_or_insert_with(|| {
            Box::new(Change {
                offer: None,
                headers: Vec::new(),
                auth: Auth::new(login.clone()),
                glares: 0,
                fork: None,
            })
        });
        next.merge(offer, headers);
        self.go_on(layer);
    }

    /// Headers that wait for the next response to an INVITE.
    pub(super) fn take_wanted(&mut self) -> Vec<(String, String)> {
        let next = self.next.take_if(|next| next.offer.is_none());
        next.map(|next| next.headers).unwrap_or_default()
    }

    /// Nothing of ours is on its way any more, or the peer's is done: what waits may go.
    pub(super) fn go_on(&mut self, layer: &mut Layer) {
        if matches!(self.phase, Phase::Incoming { .. }) {
            self.ring_on(layer);
        }
        match &self.ours {
            Ours::Idle => {
                let offers = self.next.as_ref().is_some_and(|next| next.offer.is_some());
                if self.may_change(offers)
                    && let Some(next) = self.next.take()
                {
                    self.send_or_wait(layer, next);
                }
            }
            // What met glare keeps its pause.
            Ours::Waiting { change, timer } if change.glares == 0 => {
                layer.wheel.cancel(*timer);
                self.retry_change(layer);
            }
            Ours::Waiting { .. } | Ours::Sent { .. } => {}
        }
    }

    pub(super) fn retry_change(&mut self, layer: &mut Layer) {
        if let Ours::Waiting { change, .. } = std::mem::replace(&mut self.ours, Ours::Idle) {
            self.send_or_wait(layer, change);
        }
    }

    fn send_or_wait(&mut self, layer: &mut Layer, change: Box<Change>) {
        if self.theirs.is_some() || self.unacked.is_some() {
            self.wait(layer, change, None);
        } else {
            self.send_change(layer, change);
        }
    }

    /// `seconds` are what the peer asked for (Retry-After).
    fn wait(&mut self, layer: &mut Layer, change: Box<Change>, seconds: Option<u64>) {
        // RFC 3261 §14.1: who made the Call-ID waits 2.1 to 4 s, the other 0 to 2 s, in steps of 10 ms.
        let steps = match (seconds, self.role) {
            (Some(seconds), _) => seconds * 100,
            (None, Role::Caller) => 210 + layer.secret.number() % 191,
            (None, Role::Callee) => layer.secret.number() % 201,
        };
        let alarm = transaction::Alarm::Dialog(self.id, Alarm::Offer);
        let timer = layer.wheel.arm(Duration::from_millis(steps * 10), alarm);
        self.ours = Ours::Waiting { change, timer };
    }

    fn send_change(&mut self, layer: &mut Layer, mut change: Box<Change>) {
        if !self.may_change(change.offer.is_some()) {
            return self.put_off(layer, change);
        }
        let by = match change.offer {
            _ if !matches!(self.phase, Phase::Up) => By::Update,
            None if self.updates => By::Update,
            // RFC 3261 §14.1: a re-INVITE without an offer would ask for one.
            None if self.said.is_empty() => return,
            _ => By::Invite,
        };
        change.fork = self.open_fork(change.offer.is_some());
        let mut draft = self
            .draft(layer, by.method(), change.fork.as_deref())
            .header("Contact", self.contact(layer))
            .header("Allow", ALLOW)
            .header("Supported", supported(&layer.config))
            .headers(&change.headers);
        draft = with_answers(self.ask_refresh(draft), &change.auth);
        let sdp = match (&change.offer, by) {
            (Some(offer), _) => offer.as_slice(),
            // RFC 3264 §8: the same session, the same version.
            (None, By::Invite) => self.said.as_slice(),
            (None, By::Update) => &[],
        };
        if !sdp.is_empty() {
            draft = draft.body("application/sdp", sdp);
        }
        match layer.start(draft, Owner::Dialog(self.id)) {
            Ok(transaction) => {
                self.ours = Ours::Sent {
                    change,
                    transaction,
                    by,
                }
            }
            Err(_) => self.change_failed(layer, &change, 500),
        }
    }

    pub(super) fn change_answered(&mut self, layer: &mut Layer, notice: Notice) {
        let Ours::Sent { by, .. } = self.ours else {
            return;
        };
        let status = match &notice {
            Notice::Response { response, .. } => response.status().unwrap_or(500),
            Notice::Failed { status, .. } => *status,
        };
        if let Notice::Response { transaction, .. } = &notice
            && status < 200
        {
            // Nobody rings here: an answer is due. Any other transaction has its end already.
            if by == By::Invite {
                layer.hurry(*transaction);
            }
            return;
        }
        let Ours::Sent { change, .. } = std::mem::replace(&mut self.ours, Ours::Idle) else {
            return;
        };
        match notice {
            Notice::Response {
                transaction,
                response,
                ..
            } if status < 300 => {
                if by == By::Invite {
                    self.acknowledge_change(layer, transaction, (&response, &change));
                }
                self.change_accepted(layer, *change, (by, &response));
            }
            Notice::Response { response, .. } => {
                self.change_refused(layer, change, (by, &response))
            }
            Notice::Failed { .. } => self.change_failed(layer, &change, status),
        }
        self.go_on(layer);
    }

    fn acknowledge_change(
        &mut self,
        layer: &mut Layer,
        transaction: TransactionId,
        what: (&Message, &Change),
    ) {
        let (response, change) = what;
        // RFC 3261 §13.2.2.4: the ACK goes to the target that the 2xx names.
        self.peer.refresh_target(response);
        let number = response.cseq().map_or(0, |(number, _)| number);
        if let Some(ack) = self.ack(layer, number, &change.auth) {
            let tag = super::tag_of(response.to());
            layer.acknowledge(transaction, &tag, (self.flow, ack));
        }
    }

    fn change_accepted(&mut self, layer: &mut Layer, change: Change, what: (By, &Message)) {
        let (by, response) = what;
        let tag = change.fork.as_deref();
        self.far_mut(tag).refresh_target(response);
        self.learn(response, tag.unwrap_or_default());
        if self.is_up() {
            self.take_terms(layer, response);
            // Whatever goes on now was just refreshed.
            self.next.take_if(|next| next.is_bare());
        }
        let answer = response.body();
        if let Some(offer) = change.offer {
            self.said = offer;
            return self.reanswered(layer, Ok(Bytes::copy_from_slice(answer)));
        }
        // RFC 3264 §8: who is offered the same session again may all the same answer with another port, codec or direction.
        if by == By::Invite && !answer.is_empty() {
            self.refreshed_by(layer, Ok(Bytes::copy_from_slice(answer)));
        }
    }

    fn change_refused(&mut self, layer: &mut Layer, mut change: Box<Change>, what: (By, &Message)) {
        let (by, response) = what;
        let status = response.status().unwrap_or(500);
        let retry = retry_after(response);
        // RFC 3311 §5.2: 500 with Retry-After says that a request of the peer's side is still open.
        if (status == 491 || status == 500 && retry.is_some()) && change.glares < MAX_GLARES {
            change.glares += 1;
            return self.wait(layer, change, retry);
        }
        if change.glares < MAX_GLARES && self.raise_interval(response) {
            change.glares += 1;
            return self.send_change(layer, change);
        }
        let target = &self.far(change.fork.as_deref()).target;
        let request = (by.method(), target.as_str());
        if change.auth.answer(&mut layer.secret, response, request) {
            return self.send_change(layer, change);
        }
        // Its Allow promised too much, or somebody between us knows no UPDATE.
        if by == By::Update && !matches!(status, 408 | 481) && change.offer.is_none() {
            self.forget_update(change.fork.as_deref());
            return self.send_change(layer, change);
        }
        self.change_failed(layer, &change, status);
    }

    /// RFC 3261 §12.2.1.2: 481 and 408, silence included, mean that the peer's side of the dialog is gone.
    fn change_failed(&mut self, layer: &mut Layer, change: &Change, status: u16) {
        let gone = matches!(status, 408 | 481) && matches!(self.phase, Phase::Up);
        if change.offer.is_some() {
            self.reanswered(layer, Err(status));
        } else if gone {
            self.refreshed_by(layer, Err(status));
        }
        if gone {
            self.hang_up(layer, None);
        }
    }

    fn forget_update(&mut self, tag: Option<&str>) {
        match (&mut self.phase, tag) {
            (Phase::Calling(calling), Some(tag)) => {
                if let Some(fork) = calling.fork_mut(tag) {
                    fork.updates = false;
                }
            }
            _ => self.updates = false,
        }
    }

    /// Whether a change may go now. RFC 3311 §5.1: before the answer by UPDATE, where the early dialog is known to both,
    /// and an offer only when the INVITE's was answered.
    fn may_change(&self, offers: bool) -> bool {
        match &self.phase {
            Phase::Up => true,
            Phase::Incoming { .. } => {
                self.updates
                    && self.is_known_early()
                    && (!offers || self.session() == Session::Settled)
            }
            Phase::Calling(_) => self.open_fork(offers).is_some(),
            Phase::Closing(_) | Phase::Over => false,
        }
    }

    /// Before the answer it may become impossible: an identity waits for that, an offer does not.
    fn put_off(&mut self, layer: &mut Layer, change: Box<Change>) {
        if change.offer.is_some() {
            self.change_failed(layer, &change, 491);
        } else {
            self.do_later(change);
        }
    }

    /// Behind what was wanted after it, of which each header wins.
    fn do_later(&mut self, earlier: Box<Change>) {
        let Some(next) = &mut self.next else {
            self.next = Some(earlier);
            return;
        };
        for (name, value) in earlier.headers {
            let newer = |(new, _): &(String, String)| new.eq_ignore_ascii_case(&name);
            if !next.headers.iter().any(newer) {
                next.headers.push((name, value));
            }
        }
    }

    /// The fork of `tag` answered: what went to another one is void, but an identity goes again.
    pub(super) fn leave_change(&mut self, layer: &mut Layer, tag: &str) {
        let Some(change) = self.ours.change() else {
            return;
        };
        let elsewhere = change.fork.take().is_some_and(|fork| fork != tag);
        if !elsewhere || self.ours.transaction().is_none() {
            return;
        }
        if let Ours::Sent {
            mut change,
            transaction,
            ..
        } = std::mem::replace(&mut self.ours, Ours::Idle)
        {
            layer.abandon(transaction);
            if change.offer.take().is_some() {
                self.reanswered(layer, Err(487));
            }
            if !change.headers.is_empty() {
                self.do_later(change);
            }
        }
    }

    fn reanswered(&self, layer: &mut Layer, result: Result<Bytes, u16>) {
        layer.event(SipEvent::Reanswered {
            dialog: self.id,
            result,
        });
    }

    fn refreshed_by(&self, layer: &mut Layer, result: Result<Bytes, u16>) {
        layer.event(SipEvent::Refreshed {
            dialog: self.id,
            result,
        });
    }

    /// The session ends, and what we wanted of it.
    pub(super) fn forget_change(&mut self, layer: &mut Layer) {
        self.next = None;
        match std::mem::replace(&mut self.ours, Ours::Idle) {
            Ours::Idle => {}
            Ours::Waiting { timer, .. } => layer.wheel.cancel(timer),
            Ours::Sent { transaction, .. } => layer.abandon(transaction),
        }
    }
}

/// RFC 3261 §20.33, of which more than ten seconds would be a hold-up.
fn retry_after(response: &Message) -> Option<u64> {
    let value = response.header(HeaderId::RetryAfter)?;
    let digits = value.split([';', ' ', '(']).next()?;
    digits.parse::<u64>().ok().map(|seconds| seconds.min(10))
}

pub(super) fn owned(headers: &[(&str, String)]) -> impl Iterator<Item = (String, String)> {
    headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
}

pub(super) fn borrowed(headers: &[(String, String)]) -> impl Iterator<Item = (&str, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
}
