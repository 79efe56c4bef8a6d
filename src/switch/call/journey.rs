//! The journey of a call, for its record: who was with whom, since when, and whose doing it was.
//!
//! A segment lasts from when the second party is sought until the two no longer hear each other. Not here: what brings
//! a segment about (`dial`, `transfer`, `meet`).

use super::{Activity, Call};
use crate::event::CallId;
use crate::office::Office;
use directory::{How, Segment};
use std::time::Instant;

/// The most segments a record has.
pub(crate) const MAX_SEGMENTS: usize = 50;

#[derive(Debug)]
pub(crate) struct Journey {
    done: Vec<Segment>,
    /// What goes on; `None` between two segments.
    open: Option<Open>,
    /// Who called whom before the first transfer.
    origin: Option<(String, String)>,
    pub(crate) merged_into: Option<CallId>,
    pub(crate) continues: Vec<CallId>,
}

#[derive(Debug)]
struct Open {
    how: How,
    by: Option<String>,
    /// `None`: since the call began.
    since: Option<Instant>,
    /// A script took the call itself.
    taken: Option<Instant>,
}

impl Journey {
    pub(crate) fn new() -> Self {
        Self {
            done: Vec::new(),
            open: Some(Open {
                how: How::Dialled,
                by: None,
                since: None,
                taken: None,
            }),
            origin: None,
            merged_into: None,
            continues: Vec::new(),
        }
    }

    /// Whether there is room for one more transfer and what may come of it.
    pub(crate) fn has_room(&self) -> bool {
        self.done.len() + 4 < MAX_SEGMENTS
    }

    /// Whether somebody was sent on, so that caller and called party are no names for who is there.
    pub(crate) fn has_turned(&self) -> bool {
        self.origin.is_some()
    }

    /// The segments, when the call is over.
    pub(crate) fn take(&mut self) -> Vec<Segment> {
        std::mem::take(&mut self.done)
    }

    /// The names of the calls it continues.
    pub(crate) fn continued(&self) -> Vec<String> {
        self.continues.iter().map(CallId::to_string).collect()
    }

    /// From whom to whom the call was, before any transfer changed that.
    pub(crate) fn origin(&mut self) -> Option<(String, String)> {
        self.origin.take()
    }
}

/// The script dials: a segment of its own when a talk went before.
pub(crate) fn dialling(office: &Office, call: &mut Call) {
    if call.journey.open.is_none() {
        call.journey.open = Some(Open {
            how: How::Dialled,
            by: None,
            since: Some(office.now),
            taken: None,
        });
    }
}

/// The script that the party was sent to has taken it.
pub(crate) fn taken(office: &Office, call: &mut Call) {
    if let Some(open) = &mut call.journey.open {
        open.taken.get_or_insert(office.now);
    }
}

/// The subject is in a conference.
pub(crate) fn conferred(office: &Office, call: &mut Call, room: &str) {
    let open = call.journey.open.get_or_insert(Open {
        how: How::Conference,
        by: None,
        since: Some(office.now),
        taken: None,
    });
    open.how = How::Conference;
    open.taken = Some(office.now);
    room.clone_into(&mut call.to);
}

/// What went on is over, and `by` brings the next about.
pub(crate) fn turn(office: &Office, call: &mut Call, how: How, by: &str) {
    close(office, call);
    let (from, to) = (&call.session.from, &call.to);
    call.journey
        .origin
        .get_or_insert_with(|| (from.clone(), to.clone()));
    call.journey.open = Some(Open {
        how,
        by: Some(by.to_owned()),
        since: Some(office.now),
        taken: None,
    });
}

/// What went on is over.
pub(crate) fn close(office: &Office, call: &mut Call) {
    let Some(open) = call.journey.open.take() else {
        return;
    };
    if call.journey.done.len() >= MAX_SEGMENTS {
        return;
    }
    let first = call.legs.get(call.subject);
    let first = first.map_or(&call.session.from, |leg| &leg.party.number);
    let (answered, second) = match &call.activity {
        Activity::Talk(talk) => {
            let other = call.legs.get(talk.leg);
            let other = other.map_or(&call.to, |leg| &leg.party.number);
            (Some(talk.since), other)
        }
        // Who hears us and nobody else is with the number it dialled.
        Activity::Dial(_) | Activity::Originate { .. } => (None, &call.to),
        _ if open.how == How::Dialled => (call.answered, &call.to),
        _ => (open.taken, &call.to),
    };
    let started = open.since.unwrap_or(call.started);
    let segment = Segment {
        started_at_ms: office.wall(started),
        answered_at_ms: answered.map(|at| office.wall(at.max(started))),
        ended_at_ms: office.wall(office.now),
        parties: vec![first.clone(), second.clone()],
        how: open.how,
        by: open.by,
    };
    call.journey.done.push(segment);
}
