//! Two legs bridged: from the answer until one of them hangs up.

use super::{Activity, Call, Script, end, hold, journey, transfer};
use crate::cause::Verdict;
use crate::office::Office;
use crate::verb::{DialStatus, Dialed, Outcome};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Talk {
    /// The other party's leg.
    pub(crate) leg: usize,
    pub(crate) since: Instant,
    pub(crate) ring: Duration,
}

/// The subject and leg `index` hear each other.
pub(crate) fn join(office: &mut Office, call: &mut Call, index: usize) {
    let (a, b) = (call.stream(call.subject), call.stream(index));
    match office.rooms.talks.room(call.id) {
        Some(room) => {
            for stream in [a, b] {
                office.media(media::Command::Enter {
                    stream,
                    room,
                    seat: media::Seat::default(),
                    chimes: false,
                });
            }
        }
        None => office.media(media::Command::Join { a, b }),
    }
    for index in [call.subject, index] {
        if let Some(leg) = call.legs.get_mut(index) {
            // To join ends it.
            leg.music = None;
        }
    }
}

/// The two who talk hear each other, whoever they are now.
pub(crate) fn rejoin(office: &mut Office, call: &mut Call) {
    if let Activity::Talk(talk) = &call.activity {
        let other = talk.leg;
        join(office, call, other);
        hold::tune(office, call);
        limit(office, call);
    }
}

/// The talk ends when the first of the two has talked as long as it may.
fn limit(office: &mut Office, call: &mut Call) {
    let Activity::Talk(talk) = &call.activity else {
        return;
    };
    let legs = [call.subject, talk.leg].map(|index| call.legs.get(index));
    let until = legs.into_iter().flatten().filter_map(|leg| leg.until).min();
    match until {
        Some(until) => call.arm(office, until.saturating_duration_since(office.now)),
        None => call.disarm(office),
    }
}

/// The dialled party answered; `limit` is how long it may talk, with whomever it is connected.
pub(crate) fn start(
    office: &mut Office,
    call: &mut Call,
    index: usize,
    ring: Duration,
    limit: Option<Duration>,
) {
    join(office, call, index);
    call.verdict = None;
    call.activity = Activity::Talk(Talk {
        leg: index,
        since: office.now,
        ring,
    });
    hold::tune(office, call);
    if let (Some(leg), Some(limit)) = (call.legs.get_mut(index), limit) {
        leg.until = office.now.checked_add(limit);
    }
    self::limit(office, call);
    call.announce(office);
    transfer::connected(office, call);
}

/// The party of leg `index` is gone; if the subject talked with it, the script may go on, and the record says why.
pub(crate) fn party_left(office: &mut Office, call: &mut Call, index: usize, why: String) {
    if matches!(&call.activity, Activity::Talk(talk) if talk.leg == index) {
        other_left(office, call, why);
    }
}

/// The talk is over (`why`, for the record) but not for the subject, who stays with its script.
pub(crate) fn other_left(office: &mut Office, call: &mut Call, why: String) {
    let Activity::Talk(talk) = &call.activity else {
        return;
    };
    let (leg, ring, talked) = (talk.leg, talk.ring, office.now.duration_since(talk.since));
    let (by, told) = match call.legs.get(leg) {
        Some(leg) => (leg.party.number.clone(), leg.told),
        None => Default::default(),
    };
    let verdict = Verdict::completed(why).with(told);
    journey::close(office, call);
    end::drop_leg(office, call, leg, None);
    if matches!(call.script, Script::Absent | Script::Leaving) {
        return end::end(office, call, verdict);
    }
    office.media(media::Command::Part {
        stream: call.stream(call.subject),
    });
    call.verdict = Some(verdict);
    call.finish(
        office,
        Outcome::Dialed(Dialed {
            status: DialStatus::Answered,
            sip_code: 200,
            is_final: true,
            q850: told.q850,
            by,
            ring,
            talk: talked,
        }),
    );
}
