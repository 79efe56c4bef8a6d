//! Which worker a room lives on: that of the first who entered, for as long as anybody is in it.

use std::collections::HashMap;
use std::sync::PoisonError;

use media::{ANNOUNCEMENT_CODEC, RoomId, StreamId};

use super::{Desk, Job, Known, Waiting};

#[derive(Default)]
pub(super) struct Rooms(HashMap<RoomId, Held>);

struct Held {
    lane: usize,
    members: usize,
}

impl Desk {
    /// The stream goes to the worker of the room, which is its own when nobody is there.
    pub(super) fn enter_room(
        &self,
        streams: &mut HashMap<StreamId, Known>,
        stream: StreamId,
        room: RoomId,
    ) {
        if streams.get(&stream).and_then(|known| known.room) == Some(room) {
            return;
        }
        self.leave_room(streams, stream);
        let Some(known) = streams.get_mut(&stream) else {
            return;
        };
        known.room = Some(room);
        let lane = {
            let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
            let held = rooms.0.entry(room).or_insert(Held {
                lane: known.lane,
                members: 0,
            });
            held.members += 1;
            held.lane
        };
        self.bring(streams, stream, lane);
    }

    /// The stream is in no room any more.
    pub(super) fn leave_room(&self, streams: &mut HashMap<StreamId, Known>, stream: StreamId) {
        let Some(known) = streams.get_mut(&stream) else {
            return;
        };
        if let Some(announcing) = known.announcing.take() {
            self.end(known.lane, stream, announcing.play);
        }
        let Some(room) = known.room.take() else {
            return;
        };
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = rooms.0.get_mut(&room) {
            held.members -= 1;
            if held.members == 0 {
                rooms.0.remove(&room);
            }
        }
    }

    /// Asks for what is to be said to a room. What waited to be said before is not said.
    pub(super) fn load_announcement(&self, stream: StreamId, known: &mut Known, new: Waiting) {
        let job = Job {
            stream,
            play: new.play,
            name: new.name.clone(),
            codec: ANNOUNCEMENT_CODEC,
        };
        let play = new.play;
        if let Some(before) = known.announcing.replace(new) {
            self.end(known.lane, stream, before.play);
        }
        if !self.loader.ask(job) {
            tracing::warn!("too many prompts wait to be loaded: an announcement is left out");
            known.announcing = None;
            self.end(known.lane, stream, play);
        }
    }
}
