//! Who sits in which room: the conferences by their names, and the talks that somebody listens in on.
//!
//! Not here: how a party comes in and leaves (`call/conference`, `call/supervise`), and the mixing (`media`). Nothing here
//! sees a call; what a room decides over other calls waits in [`Rooms::next`] until they are at hand.

pub(crate) mod talks;

use crate::event::CallId;
use crate::notice::{LiveConference, LiveMember, Notice};
use crate::office::Office;
use crate::verb::ConferenceStatus;
use media::{Audience, Command, PlayId, RoomId, Seat, Source, StreamId};
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;
use talks::Talks;

/// The most conferences at once.
const MAX_CONFERENCES: usize = 1_000;

/// All rooms.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    conferences: BTreeMap<String, Conference>,
    /// In which conference a call sits.
    places: BTreeMap<CallId, String>,
    pub(crate) talks: Talks,
    errands: VecDeque<Errand>,
    last: u64,
}

/// What is to be done to another call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Errand {
    /// It leaves its room, or the talk that it listens to.
    Dismiss(CallId, ConferenceStatus),
    /// Nobody listens in any more: the two hear each other as others do.
    Alone(CallId),
    /// It wants to listen in.
    Attend(CallId),
}

#[derive(Debug)]
struct Conference {
    id: RoomId,
    since: Instant,
    locked: bool,
    members: Vec<Member>,
}

/// A party of a conference.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) call: CallId,
    pub(crate) stream: StreamId,
    pub(crate) number: String,
    pub(crate) name: String,
    pub(crate) moderator: bool,
    pub(crate) muted: bool,
    pub(crate) deaf: bool,
    /// It hears music until a moderator is there.
    pub(crate) waits: bool,
    /// It leaves with the last moderator.
    pub(crate) ends: bool,
    /// The others hear a sound when it comes and goes.
    pub(crate) tones: bool,
    pub(crate) since: Instant,
    pub(crate) music: Option<PlayId>,
    /// What the media plane knows of it.
    pub(crate) given: Option<Seat>,
}

/// What an administrator wants of a conference; a member is named by its call.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ConferenceAction {
    Mute(CallId),
    Unmute(CallId),
    /// It hears nobody.
    Deaf(CallId),
    Undeaf(CallId),
    Kick(CallId),
    /// Nobody else comes in but moderators.
    Lock,
    Unlock,
    /// Everybody leaves.
    End,
    /// A prompt that all hear.
    Announce(String),
}

impl Rooms {
    /// What is to be done to another call next.
    pub(crate) fn next(&mut self) -> Option<Errand> {
        self.errands.pop_front()
    }

    pub(crate) fn want(&mut self, errand: Errand) {
        self.errands.push_back(errand);
    }

    pub(crate) fn new_id(&mut self) -> RoomId {
        self.last += 1;
        RoomId(self.last)
    }

    /// Why a newcomer cannot come in; `None`: it can.
    pub(crate) fn refuses(
        &self,
        name: &str,
        (moderator, most): (bool, usize),
    ) -> Option<ConferenceStatus> {
        let Some(conference) = self.conferences.get(name) else {
            let full = self.conferences.len() >= MAX_CONFERENCES;
            return full.then_some(ConferenceStatus::Full);
        };
        if conference.members.len() >= most {
            return Some(ConferenceStatus::Full);
        }
        (conference.locked && !moderator).then_some(ConferenceStatus::Locked)
    }

    /// How many are in the conference.
    pub(crate) fn present(&self, name: &str) -> usize {
        let conference = self.conferences.get(name);
        conference.map_or(0, |conference| conference.members.len())
    }

    /// Whether the call sits in a conference.
    pub(crate) fn seats(&self, call: CallId) -> bool {
        self.places.contains_key(&call)
    }
}

/// A party comes in.
pub(crate) fn enter(office: &mut Office, name: &str, member: Member) {
    if !office.rooms.conferences.contains_key(name) {
        let conference = Conference {
            id: office.rooms.new_id(),
            since: office.now,
            locked: false,
            members: Vec::new(),
        };
        office.rooms.conferences.insert(name.to_owned(), conference);
    }
    let Some(conference) = office.rooms.conferences.get_mut(name) else {
        return;
    };
    let enter = Command::Enter {
        stream: member.stream,
        room: conference.id,
        seat: Seat {
            voice: Audience::Nobody,
            hears: true,
        },
        chimes: member.tones,
    };
    office.rooms.places.insert(member.call, name.to_owned());
    conference.members.push(member);
    office.media(enter);
    place(office, name);
}

/// The party of `call` has gone, whoever knows that first. When it was the last moderator, others may have to go.
pub(crate) fn leave(office: &mut Office, call: CallId) {
    let Some(name) = office.rooms.places.remove(&call) else {
        return;
    };
    let Some(conference) = office.rooms.conferences.get_mut(&name) else {
        return;
    };
    let mut led = false;
    conference.members.retain(|member| {
        led |= member.call == call && member.moderator;
        member.call != call
    });
    if conference.members.is_empty() {
        office.rooms.conferences.remove(&name);
        return office.tell(Notice::ConferenceEnded { name });
    }
    if led && !conference.members.iter().any(|member| member.moderator) {
        for member in conference.members.iter().filter(|member| member.ends) {
            let errand = Errand::Dismiss(member.call, ConferenceStatus::Ended);
            office.rooms.errands.push_back(errand);
        }
    }
    place(office, &name);
}

/// Does what an administrator wants.
pub(crate) fn act(office: &mut Office, name: &str, action: ConferenceAction) {
    let Some(conference) = office.rooms.conferences.get_mut(name) else {
        return;
    };
    let errands = &mut office.rooms.errands;
    let mut member = |id: CallId, change: &dyn Fn(&mut Member)| {
        let found = conference
            .members
            .iter_mut()
            .find(|member| member.call == id);
        found.into_iter().for_each(change);
    };
    match action {
        ConferenceAction::Mute(id) => member(id, &|member| member.muted = true),
        ConferenceAction::Unmute(id) => member(id, &|member| member.muted = false),
        ConferenceAction::Deaf(id) => member(id, &|member| member.deaf = true),
        ConferenceAction::Undeaf(id) => member(id, &|member| member.deaf = false),
        ConferenceAction::Kick(id) => {
            if conference.members.iter().any(|member| member.call == id) {
                errands.push_back(Errand::Dismiss(id, ConferenceStatus::Kicked));
            }
        }
        ConferenceAction::Lock => conference.locked = true,
        ConferenceAction::Unlock => conference.locked = false,
        ConferenceAction::End => {
            let all = conference.members.iter();
            let ended = |member: &Member| Errand::Dismiss(member.call, ConferenceStatus::Ended);
            errands.extend(all.map(ended));
        }
        ConferenceAction::Announce(prompt) => {
            let stream = conference.members.first().map(|member| member.stream);
            if let Some(stream) = stream {
                announce(office, stream, prompt);
            }
            return;
        }
    }
    place(office, name);
}

/// Says `prompt` to everybody in the room of `stream`.
pub(crate) fn announce(office: &mut Office, stream: StreamId, prompt: String) -> PlayId {
    let play = office.new_play();
    office.media(Command::Announce {
        stream,
        play,
        source: Source::Prompt(prompt),
    });
    play
}

/// Gives every member what it may hear and say, and tells the watchers.
fn place(office: &mut Office, name: &str) {
    let Some(mut conference) = office.rooms.conferences.remove(name) else {
        return;
    };
    let led = conference.members.iter().any(|member| member.moderator);
    for member in &mut conference.members {
        let waits = member.waiting(led);
        let seat = member.seat(waits);
        if member.given.replace(seat) != Some(seat) {
            let stream = member.stream;
            office.media(Command::Seat { stream, seat });
        }
        entertain(office, member, waits);
    }
    office.tell(Notice::Conference(view(office, name, &conference)));
    office.rooms.conferences.insert(name.to_owned(), conference);
}

fn entertain(office: &mut Office, member: &mut Member, waits: bool) {
    let stream = member.stream;
    if !waits && member.music.take().is_some() {
        office.media(Command::StopPlay { stream });
    } else if waits && member.music.is_none() && !office.config.music_on_hold.is_empty() {
        let play = office.new_play();
        member.music = Some(play);
        office.media(Command::Play {
            stream,
            play,
            source: Source::Prompt(office.config.music_on_hold.clone()),
            repeat: true,
        });
    }
}

impl Member {
    fn seat(&self, waits: bool) -> Seat {
        let voice = if waits || self.muted {
            Audience::Nobody
        } else {
            Audience::Everybody
        };
        let hears = !waits && !self.deaf;
        Seat { voice, hears }
    }

    /// Whether it waits, `led`: a moderator is there.
    fn waiting(&self, led: bool) -> bool {
        self.waits && !self.moderator && !led
    }
}

fn view(office: &Office, name: &str, conference: &Conference) -> LiveConference {
    let led = conference.members.iter().any(|member| member.moderator);
    let members = conference.members.iter();
    LiveConference {
        name: name.to_owned(),
        locked: conference.locked,
        started_at_ms: office.wall(conference.since),
        members: members
            .map(|member| LiveMember {
                call: member.call,
                number: member.number.clone(),
                name: member.name.clone(),
                moderator: member.moderator,
                muted: member.muted,
                deaf: member.deaf,
                waiting: member.waiting(led),
                joined_at_ms: office.wall(member.since),
            })
            .collect(),
    }
}
