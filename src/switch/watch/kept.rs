//! Subscriptions over a restart: stored behind the call path, taken in again with everything told anew.

use super::{Package, Watched, Watcher, subscribe, turn};
use crate::call::Call;
use crate::command::Command;
use crate::event::CallId;
use crate::office::Office;
use directory::Subscription;
use sip::{Flow, KeptSubscription, SubscriptionId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Between the first NOTIFYs after a start: the first calls do not wait until thousands of watchers are told.
const APART: Duration = Duration::from_millis(1);

/// A subscription is as it was not before.
pub(super) fn keep(office: &mut Office, id: SubscriptionId) {
    let Some(kept) = office.sip.subscription(office.now, id) else {
        return;
    };
    let now_ms = office.wall(office.now);
    let Some(watcher) = office.watch.watchers.get_mut(&id) else {
        return;
    };
    watcher.stored = Some(kept.local_tag.clone());
    let (watched, is_list) = match &watcher.watched {
        Watched::Extension(number) => (number.clone(), false),
        Watched::ListOf(owner) => (owner.clone(), true),
    };
    let stored = Subscription {
        id: kept.local_tag,
        subscriber: watcher.by.clone(),
        watched,
        is_list,
        host: watcher.host.clone(),
        event: kept.event,
        call_id: kept.call_id,
        notifier: kept.local,
        remote: kept.remote,
        target: kept.target,
        routes: kept.routes,
        contact_user: kept.contact_user,
        cseq: kept.cseq,
        remote_cseq: kept.remote_cseq,
        source: kept.flow.remote.to_string(),
        local: kept.flow.local.to_string(),
        transport: kept.flow.transport.as_str().to_owned(),
        expires_at_ms: now_ms + i64::try_from(kept.left.as_millis()).unwrap_or(0),
    };
    office
        .out
        .push_back(Command::KeepSubscription(Box::new(stored)));
}

/// The subscriptions of an earlier run.
pub(crate) fn restore(
    office: &mut Office,
    calls: &BTreeMap<CallId, Call>,
    stored: Vec<Subscription>,
) {
    let mut wait = Duration::ZERO;
    for one in stored {
        let id = one.id.clone();
        if take_in(office, calls, one, wait) {
            wait += APART;
        } else {
            office.out.push_back(Command::DropSubscription { id });
        }
    }
}

fn take_in(
    office: &mut Office,
    calls: &BTreeMap<CallId, Call>,
    one: Subscription,
    wait: Duration,
) -> bool {
    let is_known = |number: &String| office.directory.extensions.contains_key(number);
    let left = one.expires_at_ms - office.wall(office.now);
    let flow = (|| {
        Some(Flow {
            transport: one.transport.parse().ok()?,
            local: one.local.parse().ok()?,
            remote: one.source.parse().ok()?,
            id: 0,
        })
    })();
    let (Some(package), Some(flow), Ok(left)) =
        (Package::of(&one.event), flow, u64::try_from(left))
    else {
        return false;
    };
    if !is_known(&one.subscriber) || !is_known(&one.watched) {
        return false;
    }
    let kept = KeptSubscription {
        call_id: one.call_id,
        local_tag: one.id.clone(),
        local: one.notifier,
        remote: one.remote,
        target: one.target,
        routes: one.routes,
        contact_user: one.contact_user,
        event: one.event,
        cseq: one.cseq,
        remote_cseq: one.remote_cseq,
        flow,
        left: Duration::from_millis(left),
    };
    let Some(id) = office.sip.restore_subscription(office.now, kept, wait) else {
        return false;
    };
    let watched = if one.is_list {
        Watched::ListOf(one.watched)
    } else {
        Watched::Extension(one.watched)
    };
    let watcher = Watcher {
        password: subscribe::password(office, &one.subscriber),
        by: one.subscriber,
        watched,
        members: Vec::new(),
        package,
        host: one.host,
        told: BTreeMap::new(),
        changed: BTreeSet::new(),
        stored: Some(one.id),
    };
    turn::enter(office, calls, id, watcher);
    true
}
