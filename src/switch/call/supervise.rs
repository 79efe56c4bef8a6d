//! `supervise`: the subject listens in on another call's talk, whispers to one of the two, or speaks to both.
//!
//! Which talk that is, and whether it may be listened to, is found out in `meet/supervise`.

use super::{Activity, Call, Script, answer, end, transfer};
use crate::cause::Verdict;
use crate::office::Office;
use crate::rooms::{Errand, talks};
use crate::verb::{ConferenceStatus, Outcome, SuperviseMode, Supervised};
use media::Command;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Supervise {
    pub(crate) whom: Supervised,
    pub(crate) mode: SuperviseMode,
    /// When it began to listen.
    pub(crate) since: Option<Instant>,
}

/// Starts the verb.
pub(crate) fn start(office: &mut Office, call: &mut Call, whom: Supervised, mode: SuperviseMode) {
    if let Err(trouble) = answer::answer(office, call, None) {
        let verdict = Verdict::refused(trouble.code(), trouble.why());
        return end::end(office, call, verdict);
    }
    transfer::connected(office, call);
    call.activity = Activity::Supervise(Supervise {
        whom,
        mode,
        since: None,
    });
    office.rooms.want(Errand::Attend(call.id));
}

/// Keys choose what the talkers hear: 4 nothing, 5 one of them, 6 both.
pub(crate) fn digit(office: &mut Office, call: &mut Call, digit: char) {
    let Activity::Supervise(supervise) = &mut call.activity else {
        return;
    };
    let mode = match digit {
        '4' => SuperviseMode::Spy,
        '5' => SuperviseMode::Whisper,
        '6' => SuperviseMode::Barge,
        _ => return,
    };
    supervise.mode = mode;
    talks::set_mode(office, call.id, mode);
}

/// There is nobody to listen to (any more).
pub(crate) fn over(office: &mut Office, call: &mut Call, status: ConferenceStatus) {
    let Activity::Supervise(supervise) = &call.activity else {
        return;
    };
    let now = office.now;
    let time = supervise
        .since
        .map(|since| now.saturating_duration_since(since));
    let stream = call.stream(call.subject);
    office.media(Command::Part { stream });
    talks::stop_watching(office, call.id);
    let verdict = Verdict::completed(format!("listened in: {}", status.word()));
    if matches!(call.script, Script::Absent | Script::Leaving) {
        return end::end(office, call, verdict);
    }
    call.verdict = Some(verdict);
    let time = time.unwrap_or_default();
    call.finish(office, Outcome::Conferred { status, time });
}

/// After each event of a call: a talk that is none any more is listened to no more, nor does it listen who has gone.
pub(crate) fn look(office: &mut Office, call: &Call) {
    if !office.rooms.talks.concern(call.id) {
        return;
    }
    if !matches!(call.activity, Activity::Talk(_)) {
        talks::over(office, call.id);
    }
    if !matches!(call.activity, Activity::Supervise(_)) {
        talks::stop_watching(office, call.id);
    }
}
