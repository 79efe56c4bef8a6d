//! What a party's display says of whom it talks with, when that changes in mid-call.
//!
//! Not here: what the called party of a new call is told, and in which headers (`identity`).

use super::{Activity, Call, Leg};
use crate::identity::{self, Identity};
use crate::office::Office;

/// Both parties of the talk learn who the other one is.
pub(crate) fn each_other(office: &mut Office, call: &Call) {
    if let Activity::Talk(talk) = &call.activity {
        tell(office, call, call.subject, talk.leg);
        tell(office, call, talk.leg, call.subject);
    }
}

/// The subject learns whom it talks with; the other one was rung with the subject's name.
pub(crate) fn subject(office: &mut Office, call: &Call) {
    if let Activity::Talk(talk) = &call.activity {
        tell(office, call, call.subject, talk.leg);
    }
}

/// The party of leg `index` learns that it talks with that of leg `other`.
fn tell(office: &mut Office, call: &Call, index: usize, other: usize) {
    let headers = headers(office, call, index, other);
    let leg = call.legs.get(index).filter(|leg| leg.is_live());
    if let (Some(dialog), false) = (leg.and_then(|leg| leg.dialog), headers.is_empty()) {
        office.sip.identify(office.now, dialog, &headers);
    }
}

/// What tells the party of leg `index` so.
pub(crate) fn headers(
    office: &Office,
    call: &Call,
    index: usize,
    other: usize,
) -> Vec<(&'static str, String)> {
    match (call.legs.get(index), who(office, call, other)) {
        (Some(leg), Some(party)) => identity::changed(office, leg, &party),
        _ => Vec::new(),
    }
}

/// The party of leg `index` as others may know it.
pub(crate) fn who(office: &Office, call: &Call, index: usize) -> Option<Identity> {
    let leg = call.legs.get(index)?;
    let mut identity = identity::of_party(office, leg);
    if is_caller(call, leg) && leg.asserted.is_none() {
        identity.private = call.session.private;
        if leg.party.trunk.is_some() {
            identity.name.clone_from(&call.from_name);
        }
    }
    Some(identity)
}

/// Before another caller takes its place in the session: what the caller said of itself, and whether it wants to be
/// known, stays with its leg.
pub(crate) fn keep(office: &Office, call: &mut Call, index: usize) {
    let caller = |leg: &&Leg| is_caller(call, leg) && leg.asserted.is_none();
    if call.legs.get(index).filter(caller).is_some() {
        let identity = who(office, call, index);
        if let Some(leg) = call.legs.get_mut(index) {
            leg.asserted = identity;
        }
    }
}

/// Whether the session is that of the party of `leg`.
fn is_caller(call: &Call, leg: &Leg) -> bool {
    leg.incoming && leg.party.number == call.session.from
}
