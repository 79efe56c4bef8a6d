//! `gather`: prompts, then digits.

use super::{Activity, Call, answer, play, transfer};
use crate::office::Office;
use crate::verb::{GatherOptions, Outcome};
use media::PlayId;
use std::collections::VecDeque;

#[derive(Debug)]
pub(crate) struct Gather {
    options: GatherOptions,
    rest: VecDeque<String>,
    /// The prompt that plays now.
    playing: Option<PlayId>,
    digits: String,
}

/// Starts the verb.
pub(crate) fn start(office: &mut Office, call: &mut Call, options: GatherOptions) {
    if let Err(trouble) = answer::be_heard(office, call) {
        return call.finish(
            office,
            Outcome::Invalid(format!("cannot gather: {}", trouble.why())),
        );
    }
    transfer::connected(office, call);
    let rest = options.prompts.clone().into();
    call.activity = Activity::Gather(Gather {
        options,
        rest,
        playing: None,
        digits: String::new(),
    });
    next_prompt(office, call);
}

/// Plays the next prompt, or starts to wait for the first digit.
fn next_prompt(office: &mut Office, call: &mut Call) {
    let Activity::Gather(gather) = &mut call.activity else {
        return;
    };
    let timeout = gather.options.timeout;
    match gather.rest.pop_front() {
        Some(name) => {
            let playing = play::prompt(office, call, name);
            if let Activity::Gather(gather) = &mut call.activity {
                gather.playing = Some(playing);
            }
        }
        None => {
            gather.playing = None;
            call.arm(office, timeout);
        }
    }
}

/// A prompt has ended.
pub(crate) fn played(office: &mut Office, call: &mut Call, play: PlayId) {
    let Activity::Gather(gather) = &call.activity else {
        return;
    };
    if gather.playing == Some(play) {
        next_prompt(office, call);
    }
}

/// The caller pressed a key.
pub(crate) fn digit(office: &mut Office, call: &mut Call, digit: char) {
    let Activity::Gather(gather) = &mut call.activity else {
        return;
    };
    if gather.playing.is_some() {
        if !gather.options.barge {
            return;
        }
        gather.playing = None;
        gather.rest.clear();
        play::stop(office, call);
    }
    let Activity::Gather(gather) = &mut call.activity else {
        return;
    };
    if gather.options.finish == Some(digit) {
        return done(office, call, false);
    }
    gather.digits.push(digit);
    if gather.digits.len() >= usize::from(gather.options.max) {
        return done(office, call, false);
    }
    let interdigit = gather.options.interdigit;
    call.arm(office, interdigit);
}

/// No digit came in time. Enough of them is as good as the finish key.
pub(crate) fn timed_out(office: &mut Office, call: &mut Call) {
    let Activity::Gather(gather) = &call.activity else {
        return;
    };
    let short = gather.digits.len() < usize::from(gather.options.min.max(1));
    done(office, call, short);
}

fn done(office: &mut Office, call: &mut Call, timed_out: bool) {
    let Activity::Gather(gather) = &mut call.activity else {
        return;
    };
    let digits = std::mem::take(&mut gather.digits);
    call.finish(office, Outcome::Gathered { digits, timed_out });
}
