//! Subscriptions as values: what is stored so that they go on after a restart.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{MAX_EXPIRES, Phase, Subscription, SubscriptionId, Telling};
use crate::dialog;
use crate::flow::Flow;
use crate::message::NameAddr;
use crate::transaction::Layer;

/// One subscription. `cseq` is a number that no NOTIFY of it has reached: the next program begins after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSubscription {
    pub call_id: String,
    /// Ours; no two subscriptions have the same.
    pub local_tag: String,
    /// From and To of our NOTIFYs, tags included.
    pub local: String,
    pub remote: String,
    /// The Contact of the subscriber, a URI.
    pub target: String,
    /// Route values, topmost first.
    pub routes: Vec<String>,
    pub contact_user: String,
    /// The Event value: the package and, at times, `;id=`.
    pub event: String,
    pub cseq: u32,
    /// The number of the subscriber's last SUBSCRIBE.
    pub remote_cseq: u32,
    /// Where it was heard last.
    pub flow: Flow,
    /// What is left of its time.
    pub left: Duration,
}

impl Subscription {
    pub(super) fn keep(&self, now: Instant) -> Option<KeptSubscription> {
        (self.phase == Phase::Active).then(|| KeptSubscription {
            call_id: self.call_id.clone(),
            local_tag: self.local_tag.clone(),
            local: self.local.clone(),
            remote: self.remote.clone(),
            target: self.target.clone(),
            routes: self.routes.clone(),
            contact_user: self.contact_user.clone(),
            event: self.event.clone(),
            cseq: self.reserved,
            remote_cseq: self.remote_seq,
            flow: self.flow,
            left: super::until(now, self.expires),
        })
    }

    pub(super) fn of_kept(layer: &Layer, kept: KeptSubscription) -> Subscription {
        let remote = NameAddr::parse(&kept.remote).ok();
        let remote_tag = remote.as_ref().and_then(NameAddr::tag).unwrap_or_default();
        Subscription {
            id: SubscriptionId(0),
            phase: Phase::Over,
            telling: Telling::Quiet,
            // Connections do not outlive the program.
            flow: Flow { id: 0, ..kept.flow },
            key: dialog::key(&layer.secret, &kept.call_id, &kept.local_tag, remote_tag),
            call_id: kept.call_id,
            local_tag: kept.local_tag,
            local: kept.local,
            remote: kept.remote,
            target: kept.target,
            routes: kept.routes,
            contact_user: kept.contact_user,
            event: kept.event,
            local_seq: kept.cseq,
            reserved: kept.cseq,
            remote_seq: kept.remote_cseq,
            granted: MAX_EXPIRES,
            expires: layer.wheel.now(),
            due: None,
            full: true,
            missed: 0,
        }
    }
}
