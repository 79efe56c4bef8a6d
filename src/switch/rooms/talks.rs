//! Talks of two that somebody listens in on, or that are being told something: for so long they are rooms.

use super::Errand;
use crate::event::CallId;
use crate::office::Office;
use crate::verb::{ConferenceStatus, SuperviseMode};
use media::{Audience, Command, PlayId, RoomId, Seat, StreamId};
use std::collections::BTreeMap;

/// The most who listen to one talk.
const MAX_WATCHERS: usize = 8;

/// By the call whose parties talk.
#[derive(Debug, Default)]
pub(crate) struct Talks {
    rooms: BTreeMap<CallId, Talk>,
    /// The talk that a call listens to.
    watched: BTreeMap<CallId, CallId>,
}

#[derive(Debug)]
struct Talk {
    room: RoomId,
    watchers: Vec<Watcher>,
    /// What is being said to the two.
    saying: Option<PlayId>,
}

/// Who listens in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watcher {
    pub(crate) call: CallId,
    pub(crate) stream: StreamId,
    pub(crate) mode: SuperviseMode,
    /// Whom a whisper reaches.
    pub(crate) whom: StreamId,
}

impl Watcher {
    fn seat(&self) -> Seat {
        let voice = match self.mode {
            SuperviseMode::Spy => Audience::Nobody,
            SuperviseMode::Whisper => Audience::Only(self.whom),
            SuperviseMode::Barge => Audience::Everybody,
        };
        Seat { voice, hears: true }
    }
}

impl Talks {
    /// The room that the talk of `call` is in.
    pub(crate) fn room(&self, call: CallId) -> Option<RoomId> {
        self.rooms.get(&call).map(|talk| talk.room)
    }

    /// Whether anybody listens to `call`, or `call` listens to somebody.
    pub(crate) fn concern(&self, call: CallId) -> bool {
        self.rooms.contains_key(&call) || self.watched.contains_key(&call)
    }

    pub(crate) fn has_place(&self, call: CallId) -> bool {
        let talk = self.rooms.get(&call);
        talk.is_none_or(|talk| talk.watchers.len() < MAX_WATCHERS)
    }
}

/// Makes a room of the talk of `call`, if it is none. Its two parties are still to enter when that is true.
pub(crate) fn open(office: &mut Office, call: CallId) -> bool {
    if office.rooms.talks.rooms.contains_key(&call) {
        return false;
    }
    let talk = Talk {
        room: office.rooms.new_id(),
        watchers: Vec::new(),
        saying: None,
    };
    office.rooms.talks.rooms.insert(call, talk);
    true
}

/// The watcher sits down with the two of `call`.
pub(crate) fn attend(office: &mut Office, call: CallId, watcher: Watcher) {
    let Some(talk) = office.rooms.talks.rooms.get_mut(&call) else {
        return;
    };
    let enter = Command::Enter {
        stream: watcher.stream,
        room: talk.room,
        seat: watcher.seat(),
        chimes: false,
    };
    talk.watchers.push(watcher);
    office.rooms.talks.watched.insert(watcher.call, call);
    office.media(enter);
}

/// The watcher wants another mode.
pub(crate) fn set_mode(office: &mut Office, watcher: CallId, mode: SuperviseMode) {
    let talks = &mut office.rooms.talks;
    let Some(call) = talks.watched.get(&watcher) else {
        return;
    };
    let talk = talks.rooms.get_mut(call);
    let found = talk.and_then(|talk| talk.watchers.iter_mut().find(|w| w.call == watcher));
    if let Some(found) = found {
        found.mode = mode;
        let (stream, seat) = (found.stream, found.seat());
        office.media(Command::Seat { stream, seat });
    }
}

/// `watcher` listens no more.
pub(crate) fn stop_watching(office: &mut Office, watcher: CallId) {
    let talks = &mut office.rooms.talks;
    let Some(call) = talks.watched.remove(&watcher) else {
        return;
    };
    if let Some(talk) = talks.rooms.get_mut(&call) {
        talk.watchers.retain(|w| w.call != watcher);
        close_when_alone(office, call);
    }
}

/// The two of `call` do not talk any more: nobody listens.
pub(crate) fn over(office: &mut Office, call: CallId) {
    let Some(talk) = office.rooms.talks.rooms.remove(&call) else {
        return;
    };
    for watcher in talk.watchers {
        office.rooms.talks.watched.remove(&watcher.call);
        let errand = Errand::Dismiss(watcher.call, ConferenceStatus::Ended);
        office.rooms.want(errand);
    }
}

/// The two hear what is said with that number.
pub(crate) fn say(office: &mut Office, call: CallId, play: PlayId) {
    if let Some(talk) = office.rooms.talks.rooms.get_mut(&call) {
        talk.saying = Some(play);
    }
}

/// What was said to the two of `call` is over.
pub(crate) fn said(office: &mut Office, call: CallId, play: PlayId) {
    if let Some(talk) = office.rooms.talks.rooms.get_mut(&call)
        && talk.saying == Some(play)
    {
        talk.saying = None;
        close_when_alone(office, call);
    }
}

/// Without anybody else in the room, the two need none.
fn close_when_alone(office: &mut Office, call: CallId) {
    let talks = &mut office.rooms.talks;
    let alone = |talk: &mut Talk| talk.watchers.is_empty() && talk.saying.is_none();
    if talks.rooms.get_mut(&call).is_some_and(alone) {
        talks.rooms.remove(&call);
        office.rooms.want(Errand::Alone(call));
    }
}
