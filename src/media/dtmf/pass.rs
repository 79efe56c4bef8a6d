//! Keys from the party that presses them to whoever hears it.

use std::time::Instant;

use super::{Edge, Edges, Way};
use crate::rtp::dtmf::code;
use crate::{Engine, Event, StreamId};

/// What a key pressed by INFO is followed by, at least.
const PAUSE_MS: u32 = 40;

impl Engine {
    /// Tells the keys of a stream upwards, and the partner where its voice or events do not carry them there.
    pub(crate) fn pass_keys(
        &mut self,
        (now, key): (Instant, usize),
        (stream, way): (StreamId, Way),
        edges: &Edges,
    ) {
        if edges.is_empty() {
            return;
        }
        for edge in edges.iter() {
            if let Edge::Down(digit) = edge {
                self.tell(Event::Dtmf { stream, digit });
            }
        }
        let Some(to) = self.partner_of(key) else {
            return;
        };
        let as_they_come = match (way, to.keys.way_out()) {
            (Way::Tone, Some(Way::Tone)) => true,
            (Way::Event, Some(Way::Event)) => !to.keys.speak(),
            _ => false,
        };
        if as_they_come || !to.hears_keys(now) {
            return;
        }
        let speaker = &mut to.keys.speaker;
        for edge in edges.iter() {
            match edge {
                Edge::Down(digit) => {
                    speaker.down(now, digit);
                }
                Edge::Held => speaker.held(now),
                Edge::Up(ms) => speaker.up(ms),
            }
        }
    }

    /// The party pressed a key, as its INFO told.
    pub(crate) fn pressed(&mut self, now: Instant, key: usize, digit: char, ms: u32) {
        let digit = digit.to_ascii_uppercase();
        let from = self.stream_mut(key).filter(|_| code(digit).is_some());
        let Some(from) = from.filter(|from| from.is_negotiated()) else {
            return;
        };
        if !from.keys.info(now) {
            return;
        }
        let stream = from.id;
        self.tell(Event::Dtmf { stream, digit });
        if let Some(to) = self.partner_of(key)
            && to.hears_keys(now)
        {
            to.keys.speaker.press(digit, (ms, PAUSE_MS));
        }
    }

    /// Presses keys towards the party. Allocates.
    pub(crate) fn press(&mut self, key: usize, keys: &str, (on_ms, off_ms): (u32, u32)) {
        let Some(to) = self.stream_mut(key) else {
            return;
        };
        let speaker = &mut to.keys.speaker;
        speaker.make_room(keys.len());
        for digit in keys.chars().map(|digit| digit.to_ascii_uppercase()) {
            if code(digit).is_some() {
                speaker.press(digit, (on_ms, off_ms));
            }
        }
    }
}
