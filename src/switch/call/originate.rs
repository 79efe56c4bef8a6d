//! A call that an administrator starts: the first party is rung, then the dialplan runs as if it had dialled.

use super::{Activity, Call, dial, end};
use crate::cause::{self, Verdict};
use crate::event::CallId;
use crate::office::Office;
use crate::target;
use crate::verb::{SessionInfo, TargetSpec};
use directory::Direction;
use std::time::Duration;

/// How long the first party is rung.
const RING: Duration = Duration::from_secs(30);

/// The call, before anybody is rung.
pub(crate) fn new(office: &mut Office, id: CallId, from: String, to: String) -> Call {
    let session = SessionInfo {
        id: id.to_string(),
        from: from.clone(),
        dialed: to.clone(),
        did: String::new(),
        user: from.clone(),
        trunk: String::new(),
        caller_id: from.clone(),
        did_extension: String::new(),
        first_trunk: office
            .directory
            .ways_out()
            .next()
            .cloned()
            .unwrap_or_default(),
        ..SessionInfo::default()
    };
    let mut call = Call::new(office, id, Direction::Internal, session);
    call.to = to;
    call.from_name = office
        .directory
        .extensions
        .get(&from)
        .map(|e| e.name.clone())
        .unwrap_or_default();
    call
}

/// Rings the first party; without a phone of it the call has ended.
pub(crate) fn start(office: &mut Office, call: &mut Call) {
    call.announce(office);
    let first = TargetSpec::Extension(call.session.from.clone());
    match target::branches(office, call, &first) {
        Ok(branches) => {
            call.activity = Activity::Originate {
                branches: Vec::new(),
            };
            call.arm(office, RING);
            for branch in branches {
                dial::add(office, call, branch);
            }
        }
        Err(why) => end::end(office, call, why),
    }
}

/// The first party answered: it is the subject, and the dialplan starts.
pub(crate) fn answered(office: &mut Office, call: &mut Call, index: usize) {
    let Activity::Originate { branches } = &mut call.activity else {
        return;
    };
    branches.retain(|branch| *branch != index);
    end::cancel_branches(office, call, Some(cause::ELSEWHERE));
    call.disarm(office);
    call.subject = index;
    call.answered = Some(office.now);
    call.activity = Activity::Idle;
    call.announce(office);
    if let Some((whom, mode)) = call.listens.take() {
        return super::supervise::start(office, call, whom, mode);
    }
    crate::admission::enter(office, call);
}

/// One of the first party's phones refused.
pub(crate) fn refused(office: &mut Office, call: &mut Call, code: u16) {
    let Activity::Originate { branches } = &call.activity else {
        return;
    };
    if branches.is_empty() {
        end::end(
            office,
            call,
            Verdict::refused(code, "the first party did not answer"),
        );
    }
}

/// Nobody answered at the first party.
pub(crate) fn timed_out(office: &mut Office, call: &mut Call) {
    end::end(
        office,
        call,
        Verdict::refused(408, "the first party did not answer"),
    );
}
