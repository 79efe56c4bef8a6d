//! `play`: files to the caller, one after the other, before or after the answer.

use super::{Activity, Call, answer};
use crate::office::Office;
use crate::verb::Outcome;
use media::{Command, PlayId, Source, Tone};
use std::collections::VecDeque;

#[derive(Debug)]
pub(crate) struct Play {
    pub(crate) rest: VecDeque<String>,
    pub(crate) current: PlayId,
    pub(crate) all_finished: bool,
}

/// Starts the verb.
pub(crate) fn start(office: &mut Office, call: &mut Call, prompts: Vec<String>) {
    if let Err(trouble) = answer::be_heard(office, call) {
        return call.finish(
            office,
            Outcome::Invalid(format!("cannot play: {}", trouble.why())),
        );
    }
    let mut rest: VecDeque<String> = prompts.into();
    let Some(first) = rest.pop_front() else {
        return call.finish(office, Outcome::Played { finished: true });
    };
    let current = prompt(office, call, first);
    call.activity = Activity::Play(Play {
        rest,
        current,
        all_finished: true,
    });
}

/// Plays one file to the subject.
pub(crate) fn prompt(office: &mut Office, call: &mut Call, name: String) -> PlayId {
    play(office, call, Source::Prompt(name), false)
}

/// Plays a tone to the subject until something else replaces it.
pub(crate) fn tone(office: &mut Office, call: &mut Call, tone: Tone) {
    play(office, call, Source::Tone(tone), true);
}

pub(crate) fn stop(office: &mut Office, call: &mut Call) {
    let stream = call.stream(call.subject);
    if call.subject().is_some_and(|leg| leg.open) {
        office.media(Command::StopPlay { stream });
    }
}

fn play(office: &mut Office, call: &mut Call, source: Source, repeat: bool) -> PlayId {
    let play = office.new_play();
    let stream = call.stream(call.subject);
    office.media(Command::Play {
        stream,
        play,
        source,
        repeat,
    });
    play
}

/// A file has ended.
pub(crate) fn ended(office: &mut Office, call: &mut Call, play: PlayId, finished: bool) {
    let Activity::Play(now) = &mut call.activity else {
        return;
    };
    if now.current != play {
        return;
    }
    now.all_finished &= finished;
    let all = now.all_finished;
    match now.rest.pop_front() {
        Some(name) => {
            let current = prompt(office, call, name);
            if let Activity::Play(now) = &mut call.activity {
                now.current = current;
            }
        }
        None => call.finish(office, Outcome::Played { finished: all }),
    }
}
