//! The end of a call: every leg is released, every stream reports, one record is written.

use super::{Activity, Call, LegState, Script, dial::Dial, journey, measure, play, transfer};
use super::{conference, supervise};
use crate::cause::{self, Verdict};
use crate::command::Command;
use crate::notice::Notice;
use crate::office::Office;
use crate::timers::Timer;
use directory::{CallRecord, Ending};
use media::{StreamStats, Tone};
use std::time::Duration;

/// The streams have this long to report after they were closed.
const REPORT: Duration = Duration::from_secs(1);

/// How long a caller who hears us is told by a tone that this was it.
const TONE: Duration = Duration::from_secs(2);

/// Ends the call with `verdict` after a tone that says `code` to the subject, who must hear us.
pub(crate) fn after_tone(office: &mut Office, call: &mut Call, code: u16, verdict: Verdict) {
    let tone = match code {
        486 | 600 => Tone::Busy,
        _ => Tone::Congestion,
    };
    play::tone(office, call, tone);
    call.activity = Activity::Failing(verdict);
    call.arm(office, TONE);
}

/// Ends the call with `verdict`; later calls change nothing.
pub(crate) fn end(office: &mut Office, call: &mut Call, mut verdict: Verdict) {
    match &call.activity {
        Activity::Ending => return,
        // Whoever does not wait for the end of the tone leaves for the reason it tells.
        Activity::Failing(told) if told.why != verdict.why => {
            verdict.why = format!("{}; {}", told.why, verdict.why);
        }
        _ => {}
    }
    call.disarm(office);
    call.ended = Some(office.now);
    journey::close(office, call);
    transfer::over(office, call);
    call.activity = Activity::Ending;
    let code_of_caller = verdict.sip_code;
    call.verdict = Some(verdict);
    for index in 0..call.legs.len() {
        let code = if index == call.subject {
            code_of_caller
        } else {
            0
        };
        drop_leg(office, call, index, Some(code));
    }
    match call.script {
        Script::Asking => super::script::resume(office, call, crate::verb::Outcome::Gone),
        Script::Running => office.out.push_back(Command::StopScript { call: call.id }),
        Script::Absent | Script::Leaving => {}
    }
    office.arm(REPORT, Timer::Report(call.id));
}

/// Ends a call whose handling panicked.
pub(crate) fn tear_down(office: &mut Office, call: &mut Call) {
    let verdict = Verdict::refused(500, "an internal error ended the call");
    end(office, call, verdict);
    // The panic may have come out of `end` itself, before this was done.
    office.arm(REPORT, Timer::Report(call.id));
}

/// Hangs up leg `index` in whatever way its state wants and closes its stream. `code`: the final status
/// for an unanswered caller.
pub(crate) fn drop_leg(office: &mut Office, call: &mut Call, index: usize, code: Option<u16>) {
    let Some(leg) = call.legs.get(index).filter(|leg| leg.is_live()) else {
        return;
    };
    let now = office.now;
    let incoming = leg.incoming;
    let ended = matches!(call.activity, Activity::Ending);
    let verdict = call.verdict.as_ref().filter(|_| ended);
    let told = verdict.map(|verdict| verdict.told).unwrap_or_default();
    match (leg.state, leg.dialog) {
        (LegState::Ringing | LegState::Early, Some(dialog)) if incoming => {
            let code = code.filter(|c| *c >= 400).unwrap_or(480);
            let headers = match verdict.filter(|verdict| verdict.sip_code == code) {
                Some(verdict) => verdict.headers(),
                None => Verdict::of_status(code).headers(),
            };
            office.sip.refuse(now, dialog, code, &headers);
        }
        (LegState::Ringing | LegState::Early, Some(dialog)) => {
            office.sip.cancel(now, dialog, told.reason());
        }
        (LegState::Up, Some(dialog)) => {
            let reason = told.q850.map_or_else(|| cause::reason(200), cause::q850);
            office.sip.bye(now, dialog, Some(reason));
        }
        (LegState::Resolving | LegState::Ended, _) | (_, None) => {}
    }
    leg_ended(office, call, index);
}

/// Leg `index` has no dialog any more: its stream is closed.
pub(crate) fn leg_ended(office: &mut Office, call: &mut Call, index: usize) {
    let stream = call.stream(index);
    let Some(leg) = call.legs.get_mut(index) else {
        return;
    };
    leg.state = LegState::Ended;
    if leg.open {
        leg.open = false;
        office.media(media::Command::Close { stream });
    } else if let Some(port) = leg.port.take() {
        office.ports.release(office.now, port);
    }
}

/// Cancels every party that still rings.
pub(crate) fn cancel_branches(office: &mut Office, call: &mut Call, reason: Option<&str>) {
    let (Activity::Dial(Dial { branches, .. }) | Activity::Originate { branches }) =
        &mut call.activity
    else {
        return;
    };
    for index in std::mem::take(branches) {
        if let Some(dialog) = call.legs.get(index).and_then(|leg| leg.dialog) {
            // RFC 3326 §2: the phone that did not answer shows no missed call.
            office
                .sip
                .cancel(office.now, dialog, reason.map(str::to_owned));
        }
        leg_ended(office, call, index);
    }
}

/// A stream was closed; its figures are in.
pub(crate) fn closed(office: &mut Office, call: &mut Call, index: usize, stats: StreamStats) {
    let Some(leg) = call.legs.get_mut(index) else {
        return;
    };
    if let Some(port) = leg.port.take() {
        office.ports.release(office.now, port);
    }
    leg.stats = Some(stats);
    measure::came(office, call, index);
}

/// Whether nothing more can come of an ended call.
pub(crate) fn is_over(call: &Call) -> bool {
    matches!(call.activity, Activity::Ending)
        && call.script == Script::Absent
        && call.legs.iter().all(|leg| leg.port.is_none())
}

/// Writes the record and forgets the call's line. The dialogs may live a little longer in the endpoint.
pub(crate) fn record(office: &mut Office, call: &mut Call) {
    for leg in &mut call.legs {
        office.streams.remove(&leg.stream);
        if let Some(port) = leg.port.take() {
            office.ports.release(office.now, port);
        }
    }
    conference::look(office, call);
    supervise::look(office, call);
    let verdict = call
        .verdict
        .clone()
        .unwrap_or_else(|| Verdict::refused(500, "no verdict"));
    let (started, ended) = (
        office.wall(call.started),
        office.wall(call.ended.unwrap_or(office.now)),
    );
    let answered = call.answered.map(|at| office.wall(at));
    let origin = call.journey.origin();
    let (from, to) = origin.unwrap_or_else(|| (call.session.from.clone(), call.to.clone()));
    let record = CallRecord {
        id: call.id.to_string(),
        started_at_ms: started,
        answered_at_ms: answered,
        ended_at_ms: ended,
        direction: call.direction,
        from,
        to,
        dialed: call.dialed.clone(),
        // Our own failure is told even when the call was answered before.
        cause: match verdict.ending {
            Ending::Failed => Ending::Failed,
            _ if answered.is_some() => Ending::Completed,
            unanswered => unanswered,
        },
        sip_code: if answered.is_some() {
            200
        } else {
            verdict.sip_code
        },
        ring_ms: answered.unwrap_or(ended) - started,
        talk_ms: answered.map_or(0, |at| ended - at),
        tags: std::mem::take(&mut call.tags),
        reason: verdict.why,
        legs: measure::legs(call, office.now),
        segments: call.journey.take(),
        merged_into: call.journey.merged_into.map(|id| id.to_string()),
        continues: call.journey.continued(),
    };
    office.out.push_back(Command::Record(Box::new(record)));
    let cause = call.verdict_hint();
    office.tell(Notice::CallEnded {
        call: call.id,
        cause,
    });
}
