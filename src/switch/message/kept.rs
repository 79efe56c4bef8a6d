//! Messages for extensions without a phone: kept for a while, given to the next phone that registers, in order, each
//! once. What is accepted at all is `mod.rs`.

use super::{Purpose, is_final, send};
use crate::command::Command;
use crate::office::Office;
use crate::registrar::way;
use crate::timers::{Timer, TimerKey};
use directory::StoredMessage;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The most kept for one extension, and in all.
const MAX_EACH: usize = 100;
const MAX_ALL: usize = 10_000;
/// A phone has the answer to its REGISTER before the first message.
const SETTLE: Duration = Duration::from_millis(500);
/// What expired is forgotten this often.
const SWEEP: Duration = Duration::from_secs(3_600);

#[derive(Debug, Default)]
pub(crate) struct Kept {
    waiting: BTreeMap<String, VecDeque<StoredMessage>>,
    count: usize,
    /// The extensions that are given something just now.
    busy: std::collections::BTreeSet<String>,
    sweep: Option<TimerKey>,
}

/// Keeps `message`; `false`: there is no room.
pub(super) fn keep(office: &mut Office, message: StoredMessage) -> bool {
    let kept = &mut office.messages.kept;
    let list = kept.waiting.entry(message.extension.clone()).or_default();
    let full = list.len() >= MAX_EACH || kept.count >= MAX_ALL;
    if full {
        return false;
    }
    list.push_back(message.clone());
    kept.count += 1;
    office
        .out
        .push_back(Command::KeepMessage(Box::new(message)));
    rearm(office);
    true
}

/// Whether there is room for another message for `extension`.
pub(super) fn has_room(office: &Office, extension: &str) -> bool {
    let kept = &office.messages.kept;
    let list = kept.waiting.get(extension).map_or(0, VecDeque::len);
    list < MAX_EACH && kept.count < MAX_ALL
}

fn rearm(office: &mut Office) {
    if office.messages.kept.sweep.is_none() && office.messages.kept.count > 0 {
        office.messages.kept.sweep = Some(office.arm(SWEEP, Timer::Messages));
    }
}

/// The messages of an earlier run, the oldest first.
pub(crate) fn restore(office: &mut Office, messages: Vec<StoredMessage>) {
    for message in messages {
        let known = office.directory.extensions.contains_key(&message.extension);
        if !known || !has_room(office, &message.extension) {
            office
                .out
                .push_back(Command::DropMessage { id: message.id });
            continue;
        }
        let kept = &mut office.messages.kept;
        kept.count += 1;
        let list = kept.waiting.entry(message.extension.clone()).or_default();
        list.push_back(message);
    }
    rearm(office);
}

/// Forgets what has expired, and what waits for extensions that are no more.
pub(crate) fn sweep(office: &mut Office) {
    let now = office.wall(office.now);
    let directory = std::sync::Arc::clone(&office.directory);
    let timer = office.messages.kept.sweep.take();
    office.timers.cancel(timer);
    let kept = &mut office.messages.kept;
    let mut gone = Vec::new();
    for (extension, list) in &mut kept.waiting {
        let known = directory.extensions.contains_key(extension);
        list.retain(|message| {
            let stays = known && message.expires_at_ms > now;
            if !stays {
                gone.push(message.id);
            }
            stays
        });
    }
    kept.waiting.retain(|_, list| !list.is_empty());
    kept.count -= gone.len();
    let drops = gone.into_iter().map(|id| Command::DropMessage { id });
    office.out.extend(drops);
    rearm(office);
}

/// A phone of `extension` registered: what waits for it is given to it.
pub(crate) fn registered(office: &mut Office, extension: &str) {
    let kept = &mut office.messages.kept;
    let waits = kept.waiting.contains_key(extension);
    if waits && kept.busy.insert(extension.to_owned()) {
        office.arm(SETTLE, Timer::Deliver(extension.to_owned()));
    }
}

/// Gives the oldest message to the phone that registered last.
pub(crate) fn deliver(office: &mut Office, extension: &str) {
    let now = office.wall(office.now);
    while let Some(expired) = pop(office, extension, |message| message.expires_at_ms <= now) {
        office
            .out
            .push_back(Command::DropMessage { id: expired.id });
    }
    let first = office.messages.kept.waiting.get(extension);
    let first = first.and_then(VecDeque::front).cloned();
    let phone = way::phones(office, extension).pop();
    let phone = phone.and_then(|phone| phone.ways.into_iter().next());
    let (Some(message), Some(phone)) = (first, phone) else {
        office.messages.kept.busy.remove(extension);
        return;
    };
    send(
        office,
        &message,
        phone,
        Purpose::Kept(message.extension.clone(), message.id),
    );
}

/// The phone answered: the message is delivered, or the phone will never take it, or it is not there after all.
pub(super) fn answered(office: &mut Office, (extension, id): (&str, i64), status: u16) {
    if status >= 300 && !is_final(status) {
        // It waits for the next registration.
        office.messages.kept.busy.remove(extension);
        return;
    }
    // It may have expired meanwhile, and another is the first.
    if let Some(message) = pop(office, extension, |message| message.id == id) {
        office
            .out
            .push_back(Command::DropMessage { id: message.id });
    }
    deliver(office, extension);
}

fn pop(
    office: &mut Office,
    extension: &str,
    wanted: impl Fn(&StoredMessage) -> bool,
) -> Option<StoredMessage> {
    let kept = &mut office.messages.kept;
    let list = kept.waiting.get_mut(extension)?;
    let message = list.pop_front_if(|message| wanted(message))?;
    kept.count -= 1;
    if list.is_empty() {
        kept.waiting.remove(extension);
    }
    Some(message)
}
