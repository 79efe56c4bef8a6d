//! Before the answer: what the caller hears while others are rung.
//!
//! Who rings alone is passed on: its early media, that of the fork heard last. Of several that ring at once nobody is heard;
//! the caller hears ringing, made by its own phone, or by us once it hears us (RFC 3960 §3.2). Next: `dial`, `answer`.

use super::leg::sdp_trouble;
use super::{Activity, Call, LegState, answer, play, talk, transfer};
use crate::identity;
use crate::office::Office;
use media::{Command, Negotiated, Tone};
use sip::Message;

/// Early dialogs of one leg whose media is remembered.
const MAX_FORKS: usize = 8;

/// The best sign of life of those who are rung, by its last message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Nothing,
    /// Something goes on; nobody said that it rings, or it sends media of its own since.
    Something,
    Rings,
}

/// What the caller hears, once it hears us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sound {
    /// Nothing of ours.
    Nothing,
    Ringback,
    /// The early media of a leg.
    Voice(usize),
    /// The same; ringback as long as none comes.
    VoiceOrRingback(usize),
}

impl Sound {
    fn voice(self) -> Option<usize> {
        match self {
            Sound::Voice(index) | Sound::VoiceOrRingback(index) => Some(index),
            Sound::Nothing | Sound::Ringback => None,
        }
    }
}

/// The answer of one fork of a leg to our offer.
#[derive(Debug)]
pub(crate) struct Fork {
    tag: String,
    negotiated: Negotiated,
}

/// A 101 to 199 of leg `index`.
pub(crate) fn progressed(
    office: &mut Office,
    call: &mut Call,
    index: usize,
    (status, response): (u16, &Message),
) {
    let with_media = !response.body().is_empty() && status != 199;
    if let Some(leg) = call.legs.get_mut(index).filter(|_| status != 199) {
        identity::note(office, leg, response);
    }
    let Activity::Dial(dial) = &mut call.activity else {
        if with_media {
            let _unusable = agree(office, call, index, response);
        }
        return;
    };
    dial.progress = match status {
        180 => Progress::Rings,
        _ if dial.progress == Progress::Rings && response.body().is_empty() => Progress::Rings,
        _ => Progress::Something,
    };
    let timeout = dial.options.timeout;
    let alone = dial.branches.len() == 1;
    if call.emergency.is_some() {
        call.arm(office, timeout);
    }
    if status == 199 {
        // RFC 6228 §5: this fork has ended, others go on. Our caller knows of one dialog only.
        forget(office, call, index, &tag(response));
    } else if with_media {
        let _unusable = agree(office, call, index, response);
    }
    let heard = sound(office, call);
    match status {
        180 => {
            transfer::ringing(office, call);
            answer::ring(office, call, 180);
        }
        181..=183 if alone && heard == Sound::Nothing => answer::ring(office, call, status),
        _ => {}
    }
}

/// Takes over the SDP answer in a provisional response or in the 200 of leg `index`. `Err`: why there is none.
pub(crate) fn agree(
    office: &mut Office,
    call: &mut Call,
    index: usize,
    response: &Message,
) -> Result<(), String> {
    let Some(leg) = call.legs.get_mut(index) else {
        return Err(String::new());
    };
    let tag = tag(response);
    let body = response.body();
    let negotiated = if body.is_empty() {
        // RFC 3261 §13.2.1: the answer came in a provisional response of the same dialog.
        let own = leg.forks.iter().find(|fork| fork.tag == tag);
        let only = leg.forks.first().filter(|_| leg.forks.len() == 1);
        let fork = own.or(only).ok_or("it brought no answer to our offer")?;
        fork.negotiated.clone()
    } else {
        let mut local = leg.local(office).map_err(|t| t.why())?;
        local.version = local.version.saturating_sub(1);
        leg.version = local.version;
        media::sdp::accept(&local, body).map_err(|e| sdp_trouble(&e).why())?
    };
    if response.status().is_some_and(|status| status < 200) {
        leg.forks.retain(|fork| fork.tag != tag);
        if leg.forks.len() >= MAX_FORKS {
            leg.forks.remove(0);
        }
        let negotiated = negotiated.clone();
        leg.forks.push(Fork { tag, negotiated });
    }
    if leg.negotiated.as_ref() != Some(&negotiated) {
        leg.settle(office, negotiated);
    }
    Ok(())
}

/// A fork of leg `index` is gone: the one heard before it is heard again.
fn forget(office: &mut Office, call: &mut Call, index: usize, tag: &str) {
    let Some(leg) = call.legs.get_mut(index) else {
        return;
    };
    leg.forks.retain(|fork| fork.tag != tag);
    let last = leg.forks.last().map(|fork| fork.negotiated.clone());
    match last {
        Some(negotiated) if leg.negotiated.as_ref() != Some(&negotiated) => {
            leg.settle(office, negotiated);
        }
        Some(_) => {}
        None => leg.negotiated = None,
    }
}

fn tag(response: &Message) -> String {
    let to = response.to();
    let tag = to.as_ref().and_then(|to| to.tag());
    tag.unwrap_or_default().to_owned()
}

/// Lets the caller hear what it should by who rings now. To be asked after each change of that; returns it.
pub(crate) fn sound(office: &mut Office, call: &mut Call) -> Sound {
    let mut wanted = wanted(call);
    if let Some(index) = wanted.voice() {
        let leg = call.legs.get(index);
        let codec = leg.and_then(|leg| leg.negotiated.as_ref());
        let codec = codec.map(|n| n.codec);
        if answer::early(office, call, codec).is_err() {
            wanted = Sound::Nothing;
        }
    }
    change(office, call, wanted);
    wanted
}

/// The caller hears nothing of those who were rung any more.
pub(crate) fn silence(office: &mut Office, call: &mut Call) {
    change(office, call, Sound::Nothing);
}

fn wanted(call: &Call) -> Sound {
    let Activity::Dial(dial) = &call.activity else {
        return Sound::Nothing;
    };
    let alone = match dial.branches.as_slice() {
        [index] => call.legs.get(*index).map(|leg| (*index, leg)),
        _ => None,
    };
    let subject = call.legs.get(call.subject);
    let hears = subject.is_some_and(|leg| matches!(leg.state, LegState::Early | LegState::Up));
    match alone.filter(|(_, leg)| leg.negotiated.is_some()) {
        Some((index, _)) if dial.progress == Progress::Rings => Sound::VoiceOrRingback(index),
        Some((index, _)) => Sound::Voice(index),
        None if hears => Sound::Ringback,
        None => Sound::Nothing,
    }
}

fn change(office: &mut Office, call: &mut Call, wanted: Sound) {
    let Activity::Dial(dial) = &mut call.activity else {
        return;
    };
    let before = std::mem::replace(&mut dial.sound, wanted);
    if before == wanted {
        return;
    }
    let tone = |sound| matches!(sound, Sound::Ringback | Sound::VoiceOrRingback(_));
    match (before.voice(), wanted.voice()) {
        (Some(old), Some(new)) if old == new => {}
        // To join ends a ringback, too.
        (_, Some(new)) => {
            talk::join(office, call, new);
            if tone(wanted) {
                play::tone(office, call, Tone::Ringback);
            }
            return;
        }
        (Some(_), None) => {
            let stream = call.stream(call.subject);
            office.media(Command::Part { stream });
        }
        (None, None) => {}
    }
    match (tone(before), tone(wanted)) {
        (false, true) => play::tone(office, call, Tone::Ringback),
        (true, false) => play::stop(office, call),
        _ => {}
    }
}
