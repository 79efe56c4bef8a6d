//! The rooms of one engine: who sits where.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use slab::Slab;

use super::announcement::Announcement;
use super::{Room, RoomId, Seat};
use crate::bridge::{MAX_PACKET, Path};
use crate::stream::{Heard, Stream};
use crate::{Event, PlayId, Source, StreamId, Transmit};

/// The slots of rooms are spread over so many ticks of an engine, that many milliseconds apart.
const PHASES: u32 = 4;
const TICK: Duration = Duration::from_millis(5);

/// Where a stream sits: keys of its room and of its seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    room: usize,
    member: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Rooms {
    rooms: Slab<Room>,
    keys: HashMap<RoomId, usize>,
    /// Rooms made so far.
    made: u32,
}

impl Rooms {
    /// The stream with that key enters `room`, which is made when nobody is in it. Its place. Allocates.
    pub(crate) fn enter(
        &mut self,
        room: RoomId,
        stream: (usize, &Stream),
        (seat, chimes): (Seat, bool),
    ) -> Option<Place> {
        let key = match self.keys.get(&room) {
            Some(key) => *key,
            None => {
                let phase = TICK * (self.made % PHASES);
                self.made = self.made.wrapping_add(1);
                let key = self.rooms.insert(Room::new(phase));
                self.keys.insert(room, key);
                key
            }
        };
        let member = self.rooms.get_mut(key)?.enter(stream, seat, chimes);
        Some(Place { room: key, member })
    }

    /// Whether that is a place in `room`.
    pub(crate) fn is_in(&self, place: Place, room: RoomId) -> bool {
        self.keys.get(&room) == Some(&place.room)
    }

    pub(crate) fn seat(&mut self, place: Place, seat: Seat) {
        if let Some(room) = self.rooms.get_mut(place.room) {
            room.seat(place.member, seat);
        }
    }

    /// Whoever sat there has gone; an empty room is no more, nor is what was being said in it, whose names are told.
    pub(crate) fn leave(&mut self, place: Place) -> Option<(StreamId, PlayId)> {
        let room = self.rooms.get_mut(place.room)?;
        room.leave(place.member);
        if !room.members.is_empty() {
            return None;
        }
        self.keys.retain(|_, key| *key != place.room);
        let empty = self.rooms.try_remove(place.room)?;
        empty.announcement.as_ref().map(Announcement::names)
    }

    /// The codec of whoever sits there is known, or another. Allocates.
    pub(crate) fn negotiated(&mut self, place: Place, stream: &Stream) {
        if let Some(room) = self.rooms.get_mut(place.room) {
            room.negotiated(place.member, stream.negotiated());
        }
    }

    /// Says something to the whole room. The announcements that will not be heard (further): one that is cut short, and
    /// this one when it cannot be played. Allocates.
    pub(crate) fn announce(
        &mut self,
        place: Option<Place>,
        owner: StreamId,
        (play, source): (PlayId, Source),
    ) -> [Option<(StreamId, PlayId)>; 2] {
        let room = place.and_then(|place| self.rooms.get_mut(place.room));
        let Some(room) = room else {
            return [Some((owner, play)), None];
        };
        let before = room.announcement.take();
        room.announcement = Announcement::new(owner, (play, source), room.rate_hz);
        let played = room.announcement.is_some();
        let before = before.as_ref().map(Announcement::names);
        [before, (!played).then_some((owner, play))]
    }

    /// A packet of whoever sits there.
    pub(crate) fn hear(&mut self, now: Instant, place: Place, heard: &Heard, packet: &[u8]) {
        if let Some(room) = self.rooms.get_mut(place.room) {
            let payload = packet.get(heard.payload.clone()).unwrap_or_default();
            room.hear(now, place.member, heard, payload);
        }
    }

    /// Does what is due.
    pub(crate) fn tick(
        &mut self,
        now: Instant,
        (streams, events): (&mut Slab<Stream>, &mut VecDeque<Event>),
        (buffer, out): (&mut [u8; MAX_PACKET], &mut impl Transmit),
    ) {
        for (_, room) in &mut self.rooms {
            room.tick(now, streams, (buffer, out), |stream, play| {
                events.push_back(Event::PlayEnded {
                    stream,
                    play,
                    finished: true,
                });
            });
        }
    }
}

impl Path {
    /// The place of a stream that is in a room.
    pub(crate) fn place(&self) -> Option<Place> {
        match self {
            Path::Room(place) => Some(*place),
            Path::Nowhere | Path::Echo | Path::Partner(..) => None,
        }
    }
}
