//! All subscriptions: found by their dialog, limited in all and for each address they come from.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{Phase, Subscription, SubscriptionEvent, SubscriptionId};
use crate::arena::Arena;
use crate::dialog;
use crate::message::Message;
use crate::screen::Rejection;
use crate::secret::Key;
use crate::transaction::Layer;

pub(crate) struct Subscriptions {
    table: Arena<Subscription>,
    by_key: HashMap<Key, SubscriptionId>,
    sources: HashMap<IpAddr, usize>,
}

impl Subscriptions {
    pub(crate) fn new() -> Subscriptions {
        Subscriptions {
            table: Arena::new(),
            by_key: HashMap::new(),
            sources: HashMap::new(),
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
        let before = source(subscription);
        let accepted = !matches!(subscription.phase, Phase::Asked(_));
        act(subscription, layer);
        let (after, over) = (source(subscription), subscription.phase == Phase::Over);
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
