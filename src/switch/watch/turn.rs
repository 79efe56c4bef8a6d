//! Whom a change concerns: the index from what is watched to who watches, looked at once at the end of each turn.

use super::{Topic, Watched, Watcher, subscribe, view};
use crate::call::Call;
use crate::event::CallId;
use crate::office::Office;
use crate::{Switch, watch};
use sip::{Reason, SubscriptionId};
use std::collections::BTreeMap;

/// Something happened in a call: if a lamp could show it, those of its parties who are watched are looked at again.
pub(crate) fn look_at_call(office: &mut Office, call: &mut Call) {
    if office.watch.lamps.is_empty() {
        return;
    }
    let seen = Some(view::digest(call));
    if call.seen != seen {
        call.seen = seen;
        touch_call(office, call);
    }
}

/// A call is not what it was: those of its parties who are watched are looked at again at the end of the turn.
pub(crate) fn touch_call(office: &mut Office, call: &Call) {
    if office.watch.lamps.is_empty() {
        return;
    }
    for leg in call.legs.iter().filter(|leg| leg.party.trunk.is_none()) {
        let number = &leg.party.number;
        if let Some(lamp) = office.watch.lamps.get_mut(number) {
            lamp.calls.insert(call.id);
            office.watch.changed.insert((number.clone(), Topic::Calls));
        }
    }
}

/// Who is watched by a subscription.
fn members(office: &Office, watched: &Watched) -> Vec<String> {
    match watched {
        Watched::Extension(number) => vec![number.clone()],
        Watched::ListOf(owner) => {
            let owner = office.directory.extensions.get(owner);
            owner.map(|e| e.watch_list.clone()).unwrap_or_default()
        }
    }
}

/// A subscription was let in.
pub(super) fn enter(
    office: &mut Office,
    calls: &BTreeMap<CallId, Call>,
    id: SubscriptionId,
    mut watcher: Watcher,
) {
    watcher.members = members(office, &watcher.watched);
    for number in watcher.members.clone() {
        let known = office.watch.lamps.contains_key(&number);
        let lamp = office.watch.lamps.entry(number.clone()).or_default();
        lamp.watchers.push(id);
        if !known {
            // Nobody noted its calls before.
            let has = |call: &&Call| call.legs.iter().any(|leg| view::is_of(leg, &number));
            lamp.calls = calls.values().filter(has).map(|call| call.id).collect();
            let among = lamp.calls.clone();
            let seen = view::of(office, calls, &among, &number);
            office.watch.lamps.entry(number).or_default().seen = seen;
        }
    }
    let own = office.watch.of.entry(watcher.by.clone()).or_default();
    own.push(id);
    office.watch.watchers.insert(id, watcher);
}

/// A subscription is over.
pub(super) fn leave(office: &mut Office, id: SubscriptionId) {
    let watch = &mut office.watch;
    let Some(watcher) = watch.watchers.remove(&id) else {
        return;
    };
    for number in &watcher.members {
        if let Some(lamp) = watch.lamps.get_mut(number) {
            lamp.watchers.retain(|other| *other != id);
            if lamp.watchers.is_empty() {
                watch.lamps.remove(number);
            }
        }
    }
    if let Some(own) = watch.of.get_mut(&watcher.by) {
        own.retain(|other| *other != id);
        if own.is_empty() {
            watch.of.remove(&watcher.by);
        }
    }
    if let Some(name) = watcher.stored {
        let drop = crate::Command::DropSubscription { id: name };
        office.out.push_back(drop);
    }
}

/// The configuration changed: nobody watches whom there is no more, and lists are read anew.
pub(crate) fn directory_changed(office: &mut Office) {
    let known = std::sync::Arc::clone(&office.directory);
    let mut ended: Vec<(SubscriptionId, Reason)> = Vec::new();
    for (id, watcher) in &office.watch.watchers {
        let is_there = |number: &String| known.extensions.contains_key(number);
        let reason = match &watcher.watched {
            _ if !is_there(&watcher.by) => Some(Reason::Rejected),
            // Whoever subscribed with the old password has to know the new one.
            _ if subscribe::password(office, &watcher.by) != watcher.password => {
                Some(Reason::Deactivated)
            }
            Watched::Extension(number) => (!is_there(number)).then_some(Reason::NoResource),
            // The phone subscribes again, to the list as it is.
            list @ Watched::ListOf(_) => {
                (members(office, list) != watcher.members).then_some(Reason::Deactivated)
            }
        };
        ended.extend(reason.map(|reason| (*id, reason)));
    }
    for (id, reason) in ended {
        office.sip.end_subscription(office.now, id, reason);
    }
    watch::summary::directory_changed(office);
    office.watch.publications.directory_changed(&known);
}

impl Switch {
    /// Tells who watches what changed in this turn.
    pub(crate) fn tell_watchers(&mut self) {
        while !self.office.watch.is_settled() {
            self.tell_some();
        }
    }

    fn tell_some(&mut self) {
        for (number, topic) in std::mem::take(&mut self.office.watch.changed) {
            if topic == Topic::Calls && !self.lamp_changed(&number) {
                continue;
            }
            self.tell_lamp(&number, topic);
        }
        watch::summary::push(&mut self.office);
        self.pump();
    }

    /// Looks at an extension's calls again; whether it does something else than before.
    fn lamp_changed(&mut self, number: &str) -> bool {
        let Some(lamp) = self.office.watch.lamps.get_mut(number) else {
            return false;
        };
        lamp.calls.retain(|id| self.calls.contains_key(id));
        let among = lamp.calls.clone();
        let seen = view::of(&self.office, &self.calls, &among, number);
        let Some(lamp) = self.office.watch.lamps.get_mut(number) else {
            return false;
        };
        let changed = lamp.seen != seen;
        lamp.seen = seen;
        changed
    }

    fn tell_lamp(&mut self, number: &str, topic: Topic) {
        let office = &mut self.office;
        let watchers = office.watch.lamps.get(number).map(|l| l.watchers.clone());
        for id in watchers.unwrap_or_default() {
            let Some(watcher) = office.watch.watchers.get_mut(&id) else {
                continue;
            };
            if !watcher.package.shows(topic) {
                continue;
            }
            if matches!(watcher.watched, Watched::ListOf(_)) {
                watcher.changed.insert(number.to_owned());
            }
            office.sip.news(office.now, id);
        }
    }
}
