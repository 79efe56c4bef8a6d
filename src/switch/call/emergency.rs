//! Emergency calls: led by the host, never by a script. Every trunk in turn until one takes the call.

use super::early::Progress;
use super::{Call, dial, end};
use crate::cause::Verdict;
use crate::notice::Notice;
use crate::office::Office;
use crate::verb::{DialOptions, TargetSpec};
use std::time::Duration;

/// A trunk that shows no sign of life for this long is passed over.
const NO_SIGN: Duration = Duration::from_secs(8);

/// The emergency number that `dialed` is, bare or behind the outbound prefix. Exact: a longer number that
/// begins or ends like one is none.
pub(crate) fn number<'a>(office: &'a Office, dialed: &str) -> Option<&'a str> {
    let prefix = office.config.outbound_prefix.as_str();
    let stripped = dialed.strip_prefix(prefix).filter(|_| !prefix.is_empty());
    office
        .config
        .emergency
        .iter()
        .map(String::as_str)
        .find(|n| *n == dialed || Some(*n) == stripped)
}

/// Starts the call to `number`.
pub(crate) fn start(office: &mut Office, call: &mut Call, number: String) {
    call.to.clone_from(&number);
    call.session.dialed.clone_from(&number);
    call.direction = directory::Direction::Outbound;
    let from = call.session.from.clone();
    office.tell(Notice::Emergency {
        call: call.id,
        from,
        number,
    });
    call.emergency = Some(office.directory.ways_out().cloned().collect());
    next(office, call, 503);
}

/// Tries the next trunk; the last trunk's `code` is the caller's when there is none left.
pub(crate) fn next(office: &mut Office, call: &mut Call, code: u16) {
    let Some(name) = call
        .emergency
        .as_mut()
        .and_then(std::collections::VecDeque::pop_front)
    else {
        let verdict = Verdict::refused(code, "no trunk took the emergency call");
        if call.is_up() {
            return end::after_tone(office, call, code, verdict);
        }
        return end::end(office, call, verdict);
    };
    let number = call.session.dialed.clone();
    let options = DialOptions {
        timeout: Duration::from_secs(180),
        caller_id: None,
        max_duration: None,
        privacy: Some(false),
    };
    let caller_id = call.session.caller_id.clone();
    dial::start(
        office,
        call,
        vec![TargetSpec::Trunk { name, number }],
        options,
        caller_id,
    );
    if matches!(&call.activity, super::Activity::Dial(dial) if dial.progress == Progress::Nothing) {
        call.arm(office, NO_SIGN);
    }
}
