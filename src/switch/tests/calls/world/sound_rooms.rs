//! Who sits in which room, as the media plane would keep it.

use media::{Audience, Command, PlayId, RoomId, Seat, Source, StreamId};
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Rooms {
    seats: BTreeMap<StreamId, (RoomId, Seat)>,
    /// What was said to a room last, and for whom.
    pub(crate) announced: Option<(StreamId, PlayId, String)>,
}

impl Rooms {
    pub(crate) fn obeys(&mut self, command: &Command) {
        match command {
            Command::Enter {
                stream, room, seat, ..
            } => {
                self.seats.insert(*stream, (*room, *seat));
            }
            Command::Seat { stream, seat } => {
                if let Some((_, known)) = self.seats.get_mut(stream) {
                    *known = *seat;
                }
            }
            Command::Announce {
                stream,
                play,
                source,
            } => {
                if let Source::Prompt(name) = source {
                    self.announced = Some((*stream, *play, name.clone()));
                }
            }
            Command::Join { a, b } => {
                self.seats.remove(a);
                self.seats.remove(b);
            }
            Command::Part { stream } | Command::Echo { stream } | Command::Close { stream } => {
                self.seats.remove(stream);
            }
            Command::Open { .. }
            | Command::Negotiated { .. }
            | Command::Play { .. }
            | Command::Report { .. }
            | Command::StopPlay { .. }
            | Command::Press { .. }
            | Command::Pressed { .. } => {}
        }
    }

    /// Whom the party of `stream` hears in its room.
    pub(crate) fn heard(&self, stream: StreamId) -> Vec<StreamId> {
        let Some((room, seat)) = self.seats.get(&stream) else {
            return Vec::new();
        };
        let reaches = |voice: Audience| match voice {
            Audience::Nobody => false,
            Audience::Everybody => true,
            Audience::Only(one) => one == stream,
        };
        let others = self.seats.iter().filter(|(other, (at, theirs))| {
            seat.hears && **other != stream && at == room && reaches(theirs.voice)
        });
        others.map(|(other, _)| *other).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }
}
