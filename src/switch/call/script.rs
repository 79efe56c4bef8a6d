//! The script as one more remote party: it asks a verb, the call answers later.

use super::leg::MediaTrouble;
use super::{
    Activity, Call, Script, answer, conference, dial, end, gather, keys, play, redirect, supervise,
    transfer,
};
use crate::cause::{self, Verdict};
use crate::command::Command;
use crate::office::Office;
use crate::verb::{Entry, Outcome, ScriptEnd, Supervised, Verb};
use media::Tone;

const MAX_TAGS: usize = 50;

/// Starts the call's script at `entry`.
pub(crate) fn start(office: &mut Office, call: &mut Call, entry: Entry) {
    call.script = Script::Running;
    office.out.push_back(Command::StartScript {
        call: call.id,
        entry,
        session: Box::new(call.session.clone()),
    });
}

/// Gives the outcome to the script, when it waits for one.
pub(crate) fn resume(office: &mut Office, call: &mut Call, outcome: Outcome) {
    if call.script == Script::Asking {
        call.script = Script::Running;
        office.out.push_back(Command::Resume {
            call: call.id,
            outcome,
        });
    }
}

/// The call goes on without its script: it ends at its current or next verb, which [`ended`] hears.
pub(crate) fn leave(office: &mut Office, call: &mut Call) {
    match call.script {
        Script::Asking => resume(office, call, Outcome::Gone),
        Script::Running => office.out.push_back(Command::StopScript { call: call.id }),
        Script::Absent | Script::Leaving => return,
    }
    call.script = Script::Leaving;
}

/// The script asks for a verb.
pub(crate) fn verb(office: &mut Office, call: &mut Call, verb: Verb) {
    if call.script == Script::Leaving {
        return office.out.push_back(Command::Resume {
            call: call.id,
            outcome: Outcome::Gone,
        });
    }
    if call.script != Script::Running {
        return;
    }
    call.script = Script::Asking;
    if matches!(call.activity, Activity::Failing(_) | Activity::Ending) {
        return resume(office, call, Outcome::Gone);
    }
    match verb {
        Verb::Answer => match answer::answer(office, call, None) {
            Ok(()) => {
                transfer::connected(office, call);
                resume(office, call, Outcome::Done);
            }
            Err(trouble) => end::end(
                office,
                call,
                Verdict::refused(trouble.code(), trouble.why()),
            ),
        },
        Verb::Ringing => {
            answer::ring(office, call, 180);
            resume(office, call, Outcome::Done);
        }
        Verb::Progress => progress(office, call),
        Verb::Reject { code } => reject(office, call, code),
        Verb::Hangup => hang_up(office, call),
        Verb::Wait { time } => {
            call.activity = Activity::Wait;
            call.arm(office, time);
        }
        Verb::Play { prompts } => play::start(office, call, prompts),
        Verb::Gather(options) => gather::start(office, call, options),
        Verb::SendDtmf(tones) => keys::start(office, call, tones),
        Verb::Dial {
            targets,
            options,
            caller_id,
        } => dial::start(office, call, targets, options, caller_id),
        Verb::Echo => echo(office, call),
        Verb::Conference { room, options } => conference::start(office, call, room, options),
        Verb::Supervise { whom, mode } => {
            supervise::start(office, call, Supervised::Extension(whom), mode);
        }
        Verb::Tag { key, value } => {
            if call.tags.len() < MAX_TAGS {
                call.tags.push((key, value));
            }
            resume(office, call, Outcome::Done);
        }
    }
}

fn hang_up(office: &mut Office, call: &mut Call) {
    if transfer::fail(office, call, 480) {
        return;
    }
    resume(office, call, Outcome::Done);
    let verdict = if call.is_up() {
        Verdict::completed("hung up by the dialplan")
    } else {
        Verdict::refused(480, "hung up by the dialplan before the answer")
    };
    end::end(office, call, verdict);
}

fn progress(office: &mut Office, call: &mut Call) {
    match answer::early(office, call, None) {
        Ok(()) => {
            if !call.is_up() {
                play::tone(office, call, Tone::Ringback);
            }
            resume(office, call, Outcome::Done);
        }
        Err(MediaTrouble::NoOffer) => {
            answer::ring(office, call, 180);
            resume(office, call, Outcome::Done);
        }
        Err(trouble) => end::end(
            office,
            call,
            Verdict::refused(trouble.code(), trouble.why()),
        ),
    }
}

fn reject(office: &mut Office, call: &mut Call, code: u16) {
    if !(400..=699).contains(&code) {
        return resume(
            office,
            call,
            Outcome::Invalid(format!("reject({code}): the code must be 400 to 699")),
        );
    }
    if transfer::fail(office, call, code) {
        return;
    }
    resume(office, call, Outcome::Done);
    let said = cause::phrase(code);
    if call.is_up() {
        let why = format!("ended by the dialplan with {said} after the answer");
        return end::after_tone(office, call, code, Verdict::completed(why));
    }
    let verdict = refusal(call, code, format!("rejected by the dialplan with {said}"));
    end::end(office, call, verdict);
}

/// The verdict on a caller who was never answered. What a `dial` found out goes before the script's own `words`.
fn refusal(call: &Call, code: u16, words: String) -> Verdict {
    match &call.verdict {
        Some(found) if found.sip_code == code => found.clone(),
        Some(found) => Verdict::refused(code, found.why.clone()),
        None => Verdict::refused(code, words),
    }
}

fn echo(office: &mut Office, call: &mut Call) {
    if let Err(trouble) = answer::answer(office, call, None) {
        return end::end(
            office,
            call,
            Verdict::refused(trouble.code(), trouble.why()),
        );
    }
    let stream = call.stream(call.subject);
    office.media(media::Command::Echo { stream });
    call.activity = Activity::Echo;
    transfer::connected(office, call);
}

/// The script has ended: a call it leaves without a decision ends too.
pub(crate) fn ended(office: &mut Office, call: &mut Call, end: ScriptEnd) {
    let left = call.script == Script::Leaving;
    call.script = Script::Absent;
    if left {
        return transfer::clear(office, call);
    }
    if matches!(call.activity, Activity::Failing(_) | Activity::Ending)
        || redirect::begin_anew(office, call)
        || transfer::fail(office, call, status_of(call, &end))
    {
        return;
    }
    match end {
        ScriptEnd::Finished | ScriptEnd::Stopped => {
            let verdict = if call.is_up() {
                match call.verdict.take().filter(|noted| !noted.why.is_empty()) {
                    Some(noted) => Verdict {
                        told: noted.told,
                        ..Verdict::completed(noted.why)
                    },
                    None => Verdict::completed("the dialplan ended"),
                }
            } else {
                refusal(call, 480, "the dialplan ended without an answer".into())
            };
            end::end(office, call, verdict);
        }
        ScriptEnd::Failed { why } => fail(office, call, why),
        ScriptEnd::Overloaded => {
            end::end(
                office,
                call,
                Verdict::refused(503, "too many dialplan scripts are waiting to start"),
            );
        }
    }
}

/// What a transfer fails with when its script ended like that.
fn status_of(call: &Call, end: &ScriptEnd) -> u16 {
    match end {
        ScriptEnd::Finished | ScriptEnd::Stopped => {
            let found = call.verdict.as_ref().map(|verdict| verdict.sip_code);
            found.filter(|code| *code >= 400).unwrap_or(480)
        }
        ScriptEnd::Failed { .. } => 500,
        ScriptEnd::Overloaded => 503,
    }
}

/// The caller hears a tone, then 500 or BYE.
fn fail(office: &mut Office, call: &mut Call, why: String) {
    dial::abandon(office, call);
    let verdict = if call.is_up() {
        Verdict::completed(why)
    } else {
        Verdict::refused(500, why)
    };
    if answer::early(office, call, None).is_err() {
        return end::end(office, call, verdict);
    }
    end::after_tone(office, call, 500, verdict);
}

impl Call {
    /// What was noted for the record so far.
    pub(crate) fn verdict_hint(&self) -> String {
        self.verdict
            .as_ref()
            .map(|v| v.why.clone())
            .unwrap_or_default()
    }
}
