//! The tables of transactions and what their machines want done. The machines themselves are one file each.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use bytes::Bytes;

use super::ask::Ask;
use super::strangers::Strangers;
use super::write::{self, Draft};
use super::{Act, Alarm, Event, Grow, Machine, Notice, Owner, Span, State, Transaction, step};
use crate::arena::{Arena, is_oversized};
use crate::endpoint::{Config, DialogId, Output, SipEvent, TransactionId};
use crate::flow::Flow;
use crate::message::{Builder, Message, ParseError};
use crate::secret::{Key, Secret};
use crate::timers::Wheel;

/// More forks of one INVITE than this are left to time out.
const MAX_FORKS: usize = 8;

pub(crate) struct Layer {
    pub(crate) config: Config,
    pub(crate) secret: Secret,
    pub(crate) wheel: Wheel<Alarm>,
    pub(crate) out: VecDeque<Output>,
    /// INVITEs that came in this turn, and their dialogs: told 100 unless the turn answers them.
    pub(crate) undecided: Vec<(TransactionId, DialogId)>,
    pub(super) asks: Arena<Ask>,
    table: Arena<Transaction>,
    by_key: HashMap<Key, TransactionId>,
    merged: HashMap<Key, TransactionId>,
    /// How many client transactions each flow carries, so that a closing stream need not search them all.
    flows: HashMap<Flow, u32>,
    strangers: Strangers,
}

/// As [`Arena::give_back`], of a map.
pub(crate) fn shrink<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if is_oversized(map.len(), map.capacity()) {
        map.shrink_to_fit();
    }
}

impl Layer {
    pub(crate) fn new(config: Config) -> Layer {
        Layer {
            secret: Secret::new(&config.seed),
            wheel: Wheel::new(),
            out: VecDeque::new(),
            undecided: Vec::new(),
            asks: Arena::new(),
            table: Arena::new(),
            by_key: HashMap::new(),
            merged: HashMap::new(),
            flows: HashMap::new(),
            strangers: Strangers::default(),
            config,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Gives back what a flood made large.
    pub(crate) fn give_back(&mut self) {
        self.wheel.give_back();
        self.asks.give_back();
        self.table.give_back();
        shrink(&mut self.by_key);
        shrink(&mut self.merged);
        shrink(&mut self.flows);
        if is_oversized(self.out.len(), self.out.capacity()) {
            self.out.shrink_to_fit();
        }
    }

    pub(crate) fn send(&mut self, flow: Flow, bytes: Bytes) {
        self.out.push_back(Output::Send { flow, bytes });
    }

    pub(crate) fn event(&mut self, event: SipEvent) {
        self.out.push_back(Output::Event(event));
    }

    /// Sends a request and sees it through. An error means that it cannot be written (a line break in a header).
    pub(crate) fn start(
        &mut self,
        draft: Draft,
        owner: Owner,
    ) -> Result<TransactionId, ParseError> {
        let machine = match draft.method.as_str() {
            "INVITE" => Machine::ClientInvite,
            _ => Machine::Client,
        };
        let key = self.client_key(&draft.branch, &draft.method);
        let bytes = draft.builder.build()?;
        let id = self.insert(machine, key, draft.flow, owner);
        *self.flows.entry(draft.flow).or_insert(0) += 1;
        if let Some(transaction) = self.table.get_mut(id.0) {
            transaction.last = bytes;
        }
        self.drive(id, Event::Start, None);
        Ok(id)
    }

    /// Opens the server side of a request that was screened and is no repeat.
    pub(crate) fn open(&mut self, request: &Message, flow: Flow, owner: Owner) -> TransactionId {
        let machine = match request.method().as_str() {
            "INVITE" => Machine::ServerInvite,
            _ => Machine::Server,
        };
        let key = self.server_key(request, request.method().as_str());
        let merged = self.merged_key(request);
        let id = self.insert(machine, key, flow, owner);
        if let Some(merged) = merged {
            self.merged.insert(merged, id);
        }
        if let Some(transaction) = self.table.get_mut(id.0) {
            transaction.merged = merged;
            transaction.request = Some(request.clone());
        }
        self.drive(id, Event::Start, None);
        id
    }

    /// Whether the stranger on `flow` may begin one more transaction, where `most` are begun at once.
    pub(crate) fn has_room_for(&self, flow: Flow, most: u32) -> bool {
        self.strangers.begun_by(flow.remote.ip()) < most
    }

    /// A stranger began it.
    pub(crate) fn count_stranger(&mut self, id: TransactionId) {
        if let Some(transaction) = self.table.get(id.0) {
            self.strangers.begin(id, transaction.flow.remote.ip());
        }
    }

    /// Gives a server transaction its next response. Nothing happens when it has had its final one.
    pub(crate) fn reply(&mut self, id: TransactionId, status: u16, bytes: Bytes) {
        let Some(transaction) = self.table.get_mut(id.0) else {
            return;
        };
        if !matches!(transaction.state, State::Trying | State::Proceeding) {
            return;
        }
        transaction.last = bytes;
        if status >= 200 {
            transaction.request = None;
        }
        self.drive(id, Event::of_status(status), None);
    }

    /// Sends a server transaction's last provisional response again.
    pub(crate) fn remind(&mut self, id: TransactionId) {
        self.drive(id, Event::Request, None);
    }

    /// Whether nothing at all was answered yet.
    pub(crate) fn is_unanswered(&self, id: TransactionId) -> bool {
        let transaction = self.table.get(id.0);
        transaction.is_some_and(|t| t.request.is_some() && t.last.is_empty())
    }

    /// The request a server transaction still has to answer.
    pub(crate) fn request(&self, id: TransactionId) -> Option<(&Message, Flow)> {
        let transaction = self.table.get(id.0)?;
        Some((transaction.request.as_ref()?, transaction.flow))
    }

    pub(crate) fn owner(&self, id: TransactionId) -> Option<Owner> {
        self.table.get(id.0).map(|transaction| transaction.owner)
    }

    /// The server transaction of `request` taken as `method`: repeats, the INVITE of an ACK or CANCEL.
    pub(crate) fn server(&self, request: &Message, method: &str) -> Option<TransactionId> {
        self.by_key.get(&self.server_key(request, method)).copied()
    }

    /// Whether the same request came before by another way (RFC 3261 §8.2.2.2).
    pub(crate) fn is_merged(&self, request: &Message) -> bool {
        self.merged_key(request)
            .is_some_and(|key| self.merged.contains_key(&key))
    }

    /// A repeat of the request, or the ACK of a refusal.
    pub(crate) fn again(&mut self, id: TransactionId, event: Event) {
        self.drive(id, event, None);
    }

    /// A response: to whom it belongs, if it is news.
    pub(crate) fn response(&mut self, response: &Message, flow: Flow) -> Option<Notice> {
        // RFC 3261 §17.1.3: the branch of the topmost Via and the method of CSeq.
        let via = response.via()?;
        let key = self.client_key(via.branch()?, response.method().as_str());
        let id = self.by_key.get(&key).copied()?;
        let event = Event::of_status(response.status()?);
        self.drive(id, event, Some((response, flow)))
    }

    pub(crate) fn ring(&mut self, id: TransactionId, event: Event) -> Option<Notice> {
        self.drive(id, event, None)
    }

    /// Ends a client transaction that waits for its answer and reports `status` to its owner.
    pub(crate) fn fail(&mut self, id: TransactionId, status: u16) -> Option<Notice> {
        let owner = self.owner(id)?;
        self.close(id);
        Some(Notice::Failed {
            transaction: id,
            owner,
            status,
        })
    }

    /// The client transactions that wait for an answer on `flow`. Those on "any connection to" its remote are among them.
    pub(crate) fn transactions_on(&self, flow: Flow) -> Vec<TransactionId> {
        let any = Flow { id: 0, ..flow };
        if !self.flows.contains_key(&flow) && !self.flows.contains_key(&any) {
            return Vec::new();
        }
        let waits = |state| matches!(state, State::Calling | State::Trying | State::Proceeding);
        self.table
            .iter()
            .filter(|(_, t)| (t.flow == flow || t.flow == any) && waits(t.state))
            .filter(|(_, t)| matches!(t.machine, Machine::ClientInvite | Machine::Client))
            .map(|(id, _)| TransactionId(id))
            .collect()
    }

    /// RFC 3261 §9.1: CANCEL waits for a provisional response, and makes no sense after the final one.
    pub(crate) fn may_cancel(&self, id: TransactionId) -> bool {
        self.table
            .get(id.0)
            .is_some_and(|t| t.machine == Machine::ClientInvite && t.state == State::Proceeding)
    }

    /// Sends the CANCEL of an INVITE that `may_cancel`, and waits 64·T1 for what it does.
    pub(crate) fn cancel(&mut self, id: TransactionId, reason: Option<&str>) {
        let Some(transaction) = self.table.get(id.0) else {
            return;
        };
        let flow = transaction.flow;
        let draft = Message::parse(transaction.last.clone())
            .ok()
            .and_then(|invite| write::cancel(&invite, flow, reason));
        if let Some(draft) = draft {
            // A reason that cannot be written is worth less than the CANCEL.
            if self.start(draft, Owner::Nobody).is_err() && reason.is_some() {
                return self.cancel(id, None);
            }
        }
        self.hurry(id);
    }

    /// Gives a client transaction 64·T1 from now to be answered.
    pub(crate) fn hurry(&mut self, id: TransactionId) {
        if let Some(transaction) = self.table.get(id.0)
            && matches!(
                transaction.state,
                State::Calling | State::Trying | State::Proceeding
            )
        {
            self.arm_end(id, Span::Full);
        }
    }

    /// A client transaction that has had no response yet gets only this long for the first.
    pub(crate) fn expect_within(&mut self, id: TransactionId, within: Duration) {
        if let Some(transaction) = self.table.get_mut(id.0)
            && matches!(transaction.state, State::Calling | State::Trying)
        {
            cancel(&mut self.wheel, &mut transaction.end);
            transaction.end = Some(self.wheel.arm(within, Alarm::End(id)));
        }
    }

    /// Nobody wants to hear of a client transaction any more; it still ends by itself.
    pub(crate) fn abandon(&mut self, id: TransactionId) {
        if let Some(transaction) = self.table.get_mut(id.0) {
            transaction.owner = Owner::Nobody;
            self.hurry(id);
        }
    }

    /// Sends the ACK of a 2xx and keeps it for the repeats of that 2xx.
    pub(crate) fn acknowledge(&mut self, id: TransactionId, tag: &str, ack: (Flow, Bytes)) {
        let (flow, bytes) = ack;
        if let Some(transaction) = self.table.get_mut(id.0) {
            transaction.flow_acks(tag, bytes.clone());
        }
        self.send(flow, bytes);
    }

    /// 64·T1.
    pub(crate) fn full(&self) -> Duration {
        self.config.t1 * 64
    }

    /// RFC 3261 §17.1.2.2: T2, 4 s with the default T1.
    pub(crate) fn t2(&self) -> Duration {
        self.config.t1 * 8
    }

    /// A response to `request` with our Server header and `tag` in its To.
    pub(crate) fn draft_response(&self, request: &Message, status: u16, tag: &str) -> Builder {
        let builder =
            Builder::response(status, None, request).header("Server", &self.config.user_agent);
        // RFC 3261 §8.2.6.1, §8.2.6.2: 100 has no tag of ours, all others have.
        if status == 100 {
            builder
        } else {
            builder.to_tag(tag)
        }
    }

    fn insert(&mut self, machine: Machine, key: Key, flow: Flow, owner: Owner) -> TransactionId {
        let id = TransactionId(self.table.insert(Transaction {
            machine,
            state: State::Idle,
            key,
            merged: None,
            flow,
            owner,
            last: Bytes::new(),
            request: None,
            acks: Vec::new(),
            interval: self.config.t1,
            repeat: None,
            end: None,
        }));
        self.by_key.insert(key, id);
        id
    }

    fn close(&mut self, id: TransactionId) {
        let Some(transaction) = self.table.remove(id.0) else {
            return;
        };
        self.strangers.end(id);
        for timer in [transaction.repeat, transaction.end].into_iter().flatten() {
            self.wheel.cancel(timer);
        }
        if self.by_key.get(&transaction.key) == Some(&id) {
            self.by_key.remove(&transaction.key);
        }
        if let Some(merged) = transaction.merged
            && self.merged.get(&merged) == Some(&id)
        {
            self.merged.remove(&merged);
        }
        if matches!(transaction.machine, Machine::ClientInvite | Machine::Client)
            && let Some(count) = self.flows.get_mut(&transaction.flow)
        {
            *count -= 1;
            if *count == 0 {
                self.flows.remove(&transaction.flow);
            }
        }
    }

    fn drive(
        &mut self,
        id: TransactionId,
        event: Event,
        message: Option<(&Message, Flow)>,
    ) -> Option<Notice> {
        let transaction = self.table.get_mut(id.0)?;
        let (state, acts) = step(transaction.machine, transaction.state, event)?;
        transaction.state = state;
        let mut notice = None;
        for act in acts {
            notice = self.perform(id, *act, message).or(notice);
        }
        if self
            .table
            .get(id.0)
            .is_some_and(|t| t.state == State::Terminated)
        {
            self.close(id);
        }
        notice
    }

    fn perform(
        &mut self,
        id: TransactionId,
        act: Act,
        message: Option<(&Message, Flow)>,
    ) -> Option<Notice> {
        match act {
            Act::Repeat(grow) => self.arm_repeat(id, grow),
            Act::End(span) => self.arm_end(id, span),
            Act::Again => return self.repeat_ack(id, message?),
            Act::Pass | Act::Report => return self.notice(id, message),
            Act::Send | Act::Ack | Act::Still | Act::Endless | Act::Forget => {
                let transaction = self.table.get_mut(id.0)?;
                match act {
                    Act::Still => cancel(&mut self.wheel, &mut transaction.repeat),
                    // Who was abandoned while Calling has nobody to end it later.
                    Act::Endless if transaction.owner == Owner::Nobody => {}
                    Act::Endless => cancel(&mut self.wheel, &mut transaction.end),
                    Act::Forget => transaction.last = Bytes::new(),
                    Act::Ack => {
                        let ack = write::ack(&transaction.last, message?.0);
                        transaction.last = ack.unwrap_or_default();
                    }
                    _ => {}
                }
                if matches!(act, Act::Send | Act::Ack) && !transaction.last.is_empty() {
                    let (flow, bytes) = (transaction.flow, transaction.last.clone());
                    self.send(flow, bytes);
                }
            }
        }
        None
    }

    fn notice(&self, id: TransactionId, message: Option<(&Message, Flow)>) -> Option<Notice> {
        let owner = self.owner(id)?;
        Some(match message {
            Some((response, flow)) => Notice::Response {
                transaction: id,
                owner,
                response: response.clone(),
                flow,
            },
            None => Notice::Failed {
                transaction: id,
                owner,
                status: 408,
            },
        })
    }

    fn repeat_ack(&mut self, id: TransactionId, message: (&Message, Flow)) -> Option<Notice> {
        let tag = message.0.to()?.tag().unwrap_or_default().to_owned();
        let transaction = self.table.get(id.0)?;
        let flow = transaction.flow;
        if let Some((_, ack)) = transaction.acks.iter().find(|(known, _)| *known == tag) {
            let ack = ack.clone();
            self.send(flow, ack);
            return None;
        }
        if transaction.acks.len() >= MAX_FORKS {
            return None;
        }
        self.notice(id, Some(message))
    }

    fn arm_repeat(&mut self, id: TransactionId, grow: Grow) {
        let (t1, t2) = (self.config.t1, self.t2());
        let Some(transaction) = self.table.get_mut(id.0) else {
            return;
        };
        if transaction.flow.transport.reliable() {
            return;
        }
        transaction.interval = match grow {
            Grow::First => t1,
            Grow::Double => transaction.interval * 2,
            Grow::DoubleToT2 => (transaction.interval * 2).min(t2),
            Grow::T2 => t2,
        };
        cancel(&mut self.wheel, &mut transaction.repeat);
        transaction.repeat = Some(self.wheel.arm(transaction.interval, Alarm::Repeat(id)));
    }

    fn arm_end(&mut self, id: TransactionId, span: Span) {
        let (full, t4) = (self.full(), self.config.t1 * 10);
        let Some(transaction) = self.table.get_mut(id.0) else {
            return;
        };
        cancel(&mut self.wheel, &mut transaction.end);
        let after = match (span, transaction.flow.transport.reliable()) {
            (Span::FullUnreliable | Span::T4Unreliable, true) => {
                transaction.state = State::Terminated;
                return;
            }
            (Span::Full, _) | (Span::FullUnreliable, false) => full,
            (Span::T4Unreliable, false) => t4,
        };
        transaction.end = Some(self.wheel.arm(after, Alarm::End(id)));
    }
}

impl Transaction {
    fn flow_acks(&mut self, tag: &str, bytes: Bytes) {
        if self.acks.len() < MAX_FORKS {
            self.acks.push((tag.to_owned(), bytes));
        }
    }
}

fn cancel(wheel: &mut Wheel<Alarm>, timer: &mut Option<crate::timers::TimerId>) {
    if let Some(timer) = timer.take() {
        wheel.cancel(timer);
    }
}
