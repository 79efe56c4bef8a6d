//! 3xx: a phone that is called names another number. It is followed with the rights of the phone's extension and no
//! others: another extension rings within the same `dial`; any other number is dialled by the dialplan anew, as if that
//! extension dialled it. A trunk's is not followed.

use super::{Activity, Call, Script, dial, emergency, end, script};
use crate::admission::{self, number_of};
use crate::cause::Told;
use crate::diversion::{self, Hop, MAX_HOPS};
use crate::office::Office;
use crate::target;
use crate::verb::{Entry, Outcome, SessionInfo, TargetSpec};
use directory::{Redirects, number};
use sip::Message;

/// Contacts that are looked at.
const MAX_CONTACTS: usize = 5;

/// The called party of leg `index` answered with other addresses.
pub(crate) fn redirected(office: &mut Office, call: &mut Call, index: usize, response: &Message) {
    if !follow(office, call, index, response) {
        if let Some(leg) = call.legs.get_mut(index) {
            leg.diagnosis = Some("its redirection was not followed".to_owned());
        }
        // Whoever called cannot follow it either: it is no address of the caller's world.
        dial::refused(office, call, index, (480, Told::of(response)));
    }
}

fn follow(office: &mut Office, call: &mut Call, index: usize, response: &Message) -> bool {
    let Some(owner) = owner(office, call, index) else {
        return false;
    };
    let mut contacts = response.contacts();
    contacts.truncate(MAX_CONTACTS);
    // RFC 3261 §8.1.3.4: in order of q, the highest first; without one it is 1.
    let q = |contact: &sip::NameAddr| contact.q().unwrap_or(1.0);
    contacts.sort_by(|a, b| q(b).total_cmp(&q(a)));
    let known = |number: &String| {
        let there = call.legs.iter().any(|leg| leg.party.number == *number);
        number::is_dialable(number) && !there
    };
    let numbers: Vec<String> = contacts
        .iter()
        .filter(|contact| matches!(contact.uri.scheme.as_str(), "sip" | "sips" | "tel"))
        .filter_map(|contact| contact.uri.user.as_deref())
        .map(number_of)
        .filter(known)
        .collect();
    numbers.into_iter().any(|number| {
        // Nobody calls for help by way of a forwarding.
        emergency::number(office, &number).is_none()
            && (ring(office, call, index, (&owner, &number))
                || dial_anew(office, call, index, (&owner, &number)))
    })
}

/// The extension in whose name leg `index` may be redirected.
fn owner(office: &Office, call: &Call, index: usize) -> Option<String> {
    let leg = call.legs.get(index)?;
    let extension = office.directory.extensions.get(&leg.party.number)?;
    let may = leg.party.trunk.is_none()
        && extension.redirects == Redirects::Follow
        && call.emergency.is_none()
        && call.diverted.len() < MAX_HOPS
        && matches!(&call.activity, Activity::Dial(dial) if dial.branches.contains(&index));
    may.then(|| extension.number.clone())
}

/// Rings another extension in place of leg `index`.
fn ring(office: &mut Office, call: &mut Call, index: usize, (owner, number): (&str, &str)) -> bool {
    let spec = TargetSpec::Extension(number.to_owned());
    let Ok(branches) = target::branches(office, call, &spec) else {
        return false;
    };
    leave(office, call, index, owner);
    for branch in branches {
        dial::add(office, call, branch);
    }
    // The leg that left may be the one that was heard, and those who are rung may have no room.
    dial::check(office, call);
    true
}

/// Leg `index` is out of it; who is called next learns that.
fn leave(office: &mut Office, call: &mut Call, index: usize, owner: &str) {
    end::leg_ended(office, call, index);
    if let Activity::Dial(dial) = &mut call.activity {
        dial.branches.retain(|branch| *branch != index);
    }
    call.diverted.push(Hop {
        number: owner.to_owned(),
        why: diversion::why(302).to_owned(),
    });
}

/// The dialplan begins again with `number` as `owner` would dial it, when nobody else rings.
fn dial_anew(
    office: &mut Office,
    call: &mut Call,
    index: usize,
    (owner, number): (&str, &str),
) -> bool {
    let alone = matches!(&call.activity, Activity::Dial(dial) if dial.branches.len() == 1);
    let extension = office.directory.extensions.contains_key(number);
    if !alone || extension || call.script != Script::Asking {
        return false;
    }
    leave(office, call, index, owner);
    let (entry, dialed) = admission::entry(office, number);
    let first_trunk = office.directory.ways_out().next().cloned();
    call.next = Some((
        entry,
        SessionInfo {
            dialed,
            user: owner.to_owned(),
            first_trunk: first_trunk.unwrap_or_default(),
            diverted_from: owner.to_owned(),
            diverted_why: diversion::why(302).to_owned(),
            ..call.session.clone()
        },
    ));
    call.disarm(office);
    call.activity = Activity::Idle;
    script::resume(office, call, Outcome::Gone);
    true
}

/// The old script is gone; the one that [`dial_anew`] wants begins. `false`: none does.
pub(crate) fn begin_anew(office: &mut Office, call: &mut Call) -> bool {
    let Some((entry, session)) = call.next.take() else {
        return false;
    };
    call.on_behalf = Some(session.user.clone());
    call.to.clone_from(&session.dialed);
    if entry == Entry::Outbound && call.direction == directory::Direction::Internal {
        call.direction = directory::Direction::Outbound;
    }
    call.tags
        .push(("redirected_by".to_owned(), session.user.clone()));
    call.session = session;
    script::start(office, call, entry);
    true
}
