//! All subscriptions: found by their dialog, limited in all and for each address they come from.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Instant;

use super::{Alarm, Phase, Reason, Subscription, SubscriptionEvent, SubscriptionId};
use crate::arena::Arena;
use crate::dialog;
use crate::message::Message;
use crate::screen::Rejection;
use crate::secret::Key;
use crate::timers::TimerId;
use crate::transaction::{self, Layer};

pub(crate) struct Subscriptions {
    table: Arena<Subscription>,
    by_key: HashMap<Key, SubscriptionId>,
    sources: HashMap<IpAddr, usize>,
    /// When each ends, the earliest first, and the timer for that one.
    due: BTreeSet<(Instant, SubscriptionId)>,
    timer: Option<(Instant, TimerId)>,
}

impl Subscriptions {
    pub(crate) fn new() -> Subscriptions {
        Subscriptions {
            table: Arena::new(),
            by_key: HashMap::new(),
            sources: HashMap::new(),
            due: BTreeSet::new(),
            timer: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn get(&self, id: SubscriptionId) -> Option<&Subscription> {
        self.table.get(id.0)
    }

    /// Whether one more from `source` has a place.
    pub(super) fn has_room(&self, layer: &Layer, source: IpAddr) -> Result<(), Rejection> {
        let of_source = self.sources.get(&source).copied().unwrap_or(0);
        let full = self.len() >= layer.config.max_subscriptions
            || of_source >= layer.config.max_subscriptions_per_source;
        // RFC 3261 §21.5.4. Places become free by the minute at best.
        let busy = Rejection {
            status: 503,
            headers: vec![("Retry-After", "60".to_owned())],
        };
        if full { Err(busy) } else { Ok(()) }
    }

    pub(super) fn insert(&mut self, subscription: Subscription) -> SubscriptionId {
        let key = subscription.key;
        *self.sources.entry(source(&subscription)).or_insert(0) += 1;
        let id = SubscriptionId(self.table.insert(subscription));
        if let Some(subscription) = self.table.get_mut(id.0) {
            subscription.id = id;
        }
        self.by_key.insert(key, id);
        id
    }

    /// The subscription that a request inside a dialog belongs to: our tag is in its To.
    pub(crate) fn find(&self, layer: &Layer, request: &Message) -> Option<SubscriptionId> {
        let (from, to) = (request.from()?, request.to()?);
        let remote = from.tag().unwrap_or_default();
        let key = dialog::key(&layer.secret, &request.call_id()?, to.tag()?, remote);
        self.by_key.get(&key).copied()
    }

    /// Lets something happen to a subscription; afterwards it may be gone, which is told of those that were accepted.
    pub(crate) fn with(
        &mut self,
        layer: &mut Layer,
        id: SubscriptionId,
        act: impl FnOnce(&mut Subscription, &mut Layer),
    ) {
        let Some(subscription) = self.table.get_mut(id.0) else {
            return;
        };
        let (before, was_due) = (source(subscription), subscription.due);
        let accepted = !matches!(subscription.phase, Phase::Asked(_));
        act(subscription, layer);
        let (after, over) = (source(subscription), subscription.phase == Phase::Over);
        let due = subscription.due.filter(|_| !over);
        if over || before != after {
            self.leave(before);
        }
        if !over && before != after {
            *self.sources.entry(after).or_insert(0) += 1;
        }
        if over && let Some(gone) = self.table.remove(id.0) {
            self.by_key.remove(&gone.key);
            if accepted {
                layer.event(id.event(SubscriptionEvent::Ended));
            }
        }
        if was_due != due {
            self.due.extend(due.map(|at| (at, id)));
            if let Some(at) = was_due {
                self.due.remove(&(at, id));
            }
            self.arm(layer);
        }
    }

    pub(crate) fn ring_alarm(&mut self, layer: &mut Layer, alarm: Alarm) {
        match alarm {
            Alarm::Retry(id) => self.with(layer, id, Subscription::retry),
            Alarm::Expired => {
                self.timer = None;
                let now = layer.wheel.now();
                while self.due.first().is_some_and(|(at, _)| *at <= now)
                    && let Some((_, id)) = self.due.pop_first()
                {
                    self.with(layer, id, |s, layer| s.end(layer, Reason::Timeout));
                }
                self.arm(layer);
            }
        }
    }

    /// Sets the timer for the earliest end.
    fn arm(&mut self, layer: &mut Layer) {
        let earliest = self.due.first().map(|(at, _)| *at);
        if self.timer.map(|(at, _)| at) == earliest {
            return;
        }
        if let Some((_, timer)) = self.timer.take() {
            layer.wheel.cancel(timer);
        }
        self.timer = earliest.map(|at| {
            let after = at.saturating_duration_since(layer.wheel.now());
            let alarm = transaction::Alarm::Subscription(Alarm::Expired);
            (at, layer.wheel.arm(after, alarm))
        });
    }

    fn leave(&mut self, source: IpAddr) {
        if let Some(count) = self.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
    }
}

fn source(subscription: &Subscription) -> IpAddr {
    subscription.flow.remote.ip().to_canonical()
}
