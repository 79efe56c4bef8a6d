//! What the user of the endpoint does to subscriptions, and how a SUBSCRIBE comes in.

use std::time::{Duration, Instant};

use super::{KeptSubscription, News, Reason, Subscription, SubscriptionEvent, SubscriptionId};
use crate::endpoint::{Endpoint, TransactionId};
use crate::flow::Flow;
use crate::message::Message;
use crate::screen::Rejection;
use crate::transaction::{Layer, Owner};

impl Endpoint {
    /// Lets a subscription in: 200 with `headers`, then [`SubscriptionEvent::NotifyDue`]. False when it is not there any more.
    pub fn accept_subscription(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        headers: &[(&str, String)],
    ) -> bool {
        self.with_subscription(now, id, |s, layer| s.accept(layer, now, headers));
        self.subscriptions.get(id).is_some()
    }

    /// Answers a SUBSCRIBE with a final status that is no success.
    pub fn refuse_subscription(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        status: u16,
        headers: &[(&str, String)],
    ) {
        self.with_subscription(now, id, |s, layer| s.refuse(layer, status, headers));
    }

    /// What is watched has changed: [`SubscriptionEvent::NotifyDue`] comes at once, or when the NOTIFY before has its answer.
    pub fn news(&mut self, now: Instant, id: SubscriptionId) {
        self.with_subscription(now, id, |s, layer| s.want(layer));
    }

    /// Answers [`SubscriptionEvent::NotifyDue`]; without having been asked nothing is sent.
    pub fn notify(&mut self, now: Instant, id: SubscriptionId, news: &News) {
        self.with_subscription(now, id, |s, layer| s.notify(layer, news));
    }

    /// Ends a subscription with a last NOTIFY, which is asked for as any other.
    pub fn end_subscription(&mut self, now: Instant, id: SubscriptionId, reason: Reason) {
        self.with_subscription(now, id, |s, layer| s.end(layer, reason));
    }

    /// The subscriber was heard of on `flow`: its NOTIFYs go there, and one that waits goes at once.
    pub fn found_subscriber(&mut self, now: Instant, id: SubscriptionId, flow: Flow) {
        self.with_subscription(now, id, |s, layer| s.found(layer, flow));
    }

    /// A subscription as it is to be stored; none when it is new or ending.
    pub fn subscription(&self, now: Instant, id: SubscriptionId) -> Option<KeptSubscription> {
        self.subscriptions.get(id)?.keep(now)
    }

    /// Takes a stored subscription in again; a NOTIFY is due after `wait`, or when the subscriber is heard of before.
    /// None when its time is over or no place is left.
    pub fn restore_subscription(
        &mut self,
        now: Instant,
        kept: KeptSubscription,
        wait: Duration,
    ) -> Option<SubscriptionId> {
        self.layer.wheel.touch(now);
        let left = kept.left;
        let source = kept.flow.remote.ip().to_canonical();
        if left < Duration::from_secs(1)
            || self.subscriptions.has_room(&self.layer, source).is_err()
        {
            return None;
        }
        let subscription = Subscription::of_kept(&self.layer, kept);
        let id = self.subscriptions.insert(subscription);
        self.with_subscription(now, id, |s, layer| s.resume(layer, left, wait));
        Some(id)
    }

    /// The Contact of a subscriber, a URI, and where it was heard last.
    pub fn subscriber(&self, id: SubscriptionId) -> Option<(&str, Flow)> {
        let subscription = self.subscriptions.get(id)?;
        Some((&subscription.target, subscription.flow))
    }

    /// How many subscriptions there are.
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// A SUBSCRIBE outside dialogs that was screened and is no repeat.
    pub(crate) fn take_subscribe(
        &mut self,
        request: &Message,
        flow: Flow,
    ) -> Result<TransactionId, Rejection> {
        let source = flow.remote.ip().to_canonical();
        self.subscriptions.has_room(&self.layer, source)?;
        let subscription = Subscription::new(&mut self.layer, request, flow)?;
        let id = self.subscriptions.insert(subscription);
        let subscribe = self.layer.open(request, flow, Owner::Nobody);
        self.subscriptions
            .with(&mut self.layer, id, |s, layer| s.ask(layer, subscribe));
        let asked = SubscriptionEvent::Asked {
            request: Box::new(request.clone()),
            flow,
        };
        self.layer.event(id.event(asked));
        Ok(subscribe)
    }

    /// A request in the dialog of a subscription.
    pub(crate) fn take_in_subscription(
        &mut self,
        request: &Message,
        flow: Flow,
    ) -> Result<(), Rejection> {
        let id = self
            .subscriptions
            .find(&self.layer, request)
            .ok_or(Rejection::new(481))?;
        self.subscriptions.with(&mut self.layer, id, |s, layer| {
            s.receive(layer, request, flow)
        });
        Ok(())
    }

    fn with_subscription(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        act: impl FnOnce(&mut Subscription, &mut Layer),
    ) {
        self.layer.wheel.touch(now);
        self.subscriptions.with(&mut self.layer, id, act);
    }
}
