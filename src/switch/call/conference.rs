//! `conference`: the party sits in a room with all who asked for the same name, until it leaves or has to.
//!
//! Not here: who else is there (`rooms`), and the mixing (`media`).

use super::{Activity, Call, Script, answer, end, journey, play, transfer};
use crate::cause::Verdict;
use crate::event::CallId;
use crate::office::Office;
use crate::rooms::{self, Errand, Member};
use crate::verb::{ConferenceOptions, ConferenceStatus, Outcome};
use media::{Command, PlayId};
use std::time::{Duration, Instant};

/// How often a party may try to give the PIN.
const TRIES: u8 = 3;
/// How long it may think about each digit.
const DIGIT: Duration = Duration::from_secs(10);
/// The longest PIN listened to.
const MAX_PIN: usize = 32;

#[derive(Debug)]
pub(crate) struct Conference {
    room: String,
    options: ConferenceOptions,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The PIN is asked for.
    Pin {
        digits: String,
        tries: u8,
    },
    In {
        since: Instant,
    },
}

impl Call {
    /// Whether its subject sits in a conference.
    pub(crate) fn confers(&self) -> bool {
        matches!(&self.activity, Activity::Conference(c) if matches!(c.stage, Stage::In { .. }))
    }
}

/// Starts the verb.
pub(crate) fn start(
    office: &mut Office,
    call: &mut Call,
    room: String,
    options: ConferenceOptions,
) {
    if let Err(trouble) = answer::answer(office, call, None) {
        let verdict = Verdict::refused(trouble.code(), trouble.why());
        return end::end(office, call, verdict);
    }
    transfer::connected(office, call);
    let asks = !options.pin.is_empty() || !options.moderator_pin.is_empty();
    call.activity = Activity::Conference(Conference {
        room,
        options,
        stage: Stage::Pin {
            digits: String::new(),
            tries: TRIES,
        },
    });
    if asks {
        ask(office, call, "conf-enter-pin");
    } else {
        enter(office, call);
    }
}

fn ask(office: &mut Office, call: &mut Call, prompt: &str) {
    play::prompt(office, call, prompt.to_owned());
    call.arm(office, DIGIT);
}

/// The party pressed a key.
pub(crate) fn digit(office: &mut Office, call: &mut Call, digit: char) {
    let Activity::Conference(conference) = &mut call.activity else {
        return;
    };
    let options = &conference.options;
    let Stage::Pin { digits, .. } = &mut conference.stage else {
        if options.leave == Some(digit) {
            leave(office, call, ConferenceStatus::Left);
        }
        return;
    };
    if digit == '#' {
        return judge(office, call);
    }
    digits.push(digit);
    let whole = options.is_pin(digits) || digits.len() >= MAX_PIN;
    play::stop(office, call);
    call.arm(office, DIGIT);
    // A PIN that another begins with is ended by the party itself.
    if whole {
        judge(office, call);
    }
}

/// No digit came in time.
pub(crate) fn timed_out(office: &mut Office, call: &mut Call) {
    judge(office, call);
}

/// The PIN is whole.
fn judge(office: &mut Office, call: &mut Call) {
    let Activity::Conference(Conference { options, stage, .. }) = &mut call.activity else {
        return;
    };
    let Stage::Pin { digits, tries } = stage else {
        return;
    };
    let digits = std::mem::take(digits);
    if !options.moderator_pin.is_empty() && digits == options.moderator_pin {
        options.moderator = true;
        return enter(office, call);
    }
    if digits == options.pin {
        return enter(office, call);
    }
    *tries -= 1;
    if *tries == 0 {
        return over(office, call, ConferenceStatus::WrongPin, Duration::ZERO);
    }
    ask(office, call, "invalid");
}

/// The party comes in, if it may.
fn enter(office: &mut Office, call: &mut Call) {
    call.disarm(office);
    let Activity::Conference(Conference {
        room,
        options,
        stage,
    }) = &mut call.activity
    else {
        return;
    };
    let most = usize::from(options.max);
    if let Some(why) = office.rooms.refuses(room, (options.moderator, most)) {
        return over(office, call, why, Duration::ZERO);
    }
    *stage = Stage::In { since: office.now };
    let room = room.clone();
    let (moderator, muted) = (options.moderator, options.muted);
    let (waits, ends, tones) = (options.wait, options.end_with_moderator, options.tones);
    let first = office.rooms.present(&room) == 0;
    journey::conferred(office, call, &room);
    let number = call.subject().map(|leg| leg.party.number.clone());
    let member = Member {
        call: call.id,
        stream: call.stream(call.subject),
        number: number.unwrap_or_default(),
        name: call.from_name.clone(),
        moderator,
        muted,
        deaf: false,
        waits,
        ends,
        tones,
        since: office.now,
        music: None,
        given: None,
    };
    rooms::enter(office, &room, member);
    if first && (moderator || !waits) {
        play::prompt(office, call, "conf-only-one".to_owned());
    }
    call.announce(office);
}

/// What is to be done to the call of `errand`, from outside.
pub(crate) fn dismissed(office: &mut Office, call: &mut Call, why: ConferenceStatus) {
    match &call.activity {
        Activity::Conference(_) => leave(office, call, why),
        Activity::Supervise(_) => super::supervise::over(office, call, why),
        Activity::Idle
        | Activity::Wait
        | Activity::Play(_)
        | Activity::Gather(_)
        | Activity::Dial(_)
        | Activity::Talk(_)
        | Activity::Echo
        | Activity::Originate { .. }
        | Activity::Failing(_)
        | Activity::Ending => {}
    }
}

/// The party leaves the room, and goes on with its script.
fn leave(office: &mut Office, call: &mut Call, why: ConferenceStatus) {
    let Activity::Conference(conference) = &call.activity else {
        return;
    };
    let Stage::In { since } = conference.stage else {
        return;
    };
    let time = office.now.saturating_duration_since(since);
    let stream = call.stream(call.subject);
    play::stop(office, call);
    office.media(Command::Part { stream });
    rooms::leave(office, call.id);
    journey::close(office, call);
    over(office, call, why, time);
}

fn over(office: &mut Office, call: &mut Call, status: ConferenceStatus, time: Duration) {
    play::stop(office, call);
    if matches!(call.script, Script::Absent | Script::Leaving) {
        let verdict = Verdict::completed(format!("left the conference: {}", status.word()));
        return end::end(office, call, verdict);
    }
    call.verdict = Some(Verdict::completed(format!(
        "left the conference: {}",
        status.word()
    )));
    call.finish(office, Outcome::Conferred { status, time });
}

/// After each event of a call: whoever does not sit in a room any more has left it.
pub(crate) fn look(office: &mut Office, call: &Call) {
    if office.rooms.seats(call.id) && !call.confers() {
        rooms::leave(office, call.id);
    }
}

/// Something said to the subject, or to its room, is over.
pub(crate) fn played(office: &mut Office, call: &Call, play: PlayId) {
    rooms::talks::said(office, call.id, play);
}

/// A room wants something done to a call that it does not see.
pub(crate) fn errand_of(errand: &Errand) -> CallId {
    match errand {
        Errand::Dismiss(id, _) | Errand::Alone(id) | Errand::Attend(id) => *id,
    }
}
