//! The keys of one stream: what its party presses, by the way it is heard, and what it is told.
//!
//! Not here: packets (`stream.rs`) and who hears whom (`engine.rs`).

use std::time::{Duration, Instant};

use super::{DtmfMode, Edge, Edges, Listener, Speaker, Way};
use crate::Negotiated;
use crate::rtp::dtmf::{Receiver, Took};
use crate::rtp::packet::Header;

/// Nobody presses keys faster for long; what does is no phone.
const PRESS_INTERVAL: Duration = Duration::from_millis(40);
/// Keys that may come at once after a stall of the network.
const PRESS_BURST: u32 = 16;

#[derive(Debug)]
pub(crate) struct Keys {
    mode: DtmfMode,
    receiver: Receiver,
    listener: Option<Box<Listener>>,
    pub(crate) speaker: Speaker,
    /// How the party told its first key: some phones tell each in two ways at once.
    heard_by: Option<Way>,
    pressed_until: Option<Instant>,
    way_out: Option<Way>,
    /// Of the events we send and hear.
    clock: u32,
}

impl Keys {
    /// Allocates.
    pub(crate) fn new(mode: DtmfMode) -> Keys {
        Keys {
            mode,
            receiver: Receiver::new(),
            listener: None,
            speaker: Speaker::new(),
            heard_by: None,
            pressed_until: None,
            way_out: None,
            clock: 8_000,
        }
    }

    /// Takes what was agreed on. Allocates.
    pub(crate) fn negotiate(&mut self, negotiated: &Negotiated) {
        self.clock = negotiated.dtmf.map_or(8_000, |dtmf| dtmf.clock);
        let events = negotiated.dtmf.is_some();
        let before = self.way_out;
        self.way_out = match self.mode {
            DtmfMode::Auto if !events => Some(Way::Tone),
            DtmfMode::Auto | DtmfMode::Rfc4733 => events.then_some(Way::Event),
            DtmfMode::Info => Some(Way::Info),
            DtmfMode::Inband => Some(Way::Tone),
        };
        if before != self.way_out {
            self.speaker.clear();
        }
        let codec = negotiated.codec;
        let tones = self.way_out == Some(Way::Tone);
        self.speaker.prepare(tones.then_some(codec));
        if !tones {
            self.listener = None;
        } else if !self.listener.as_ref().is_some_and(|l| l.hears(codec)) {
            self.listener = Listener::new(codec).ok().map(Box::new);
        }
    }

    /// The party is elsewhere: perhaps another phone.
    pub(crate) fn moved(&mut self) {
        self.receiver = Receiver::new();
        self.heard_by = None;
    }

    /// How the party is told keys; `None`: in no way.
    pub(crate) fn way_out(&self) -> Option<Way> {
        match self.way_out {
            // Who tells us by INFO understands it.
            Some(Way::Tone) if self.heard_by == Some(Way::Info) => Some(Way::Info),
            way => way,
        }
    }

    /// Whether keys are told to the party over its RTP, so that others have to be silent.
    pub(crate) fn speak(&self) -> bool {
        self.speaker.is_busy() && self.way_out() != Some(Way::Info)
    }

    /// Ticks a second of an event's duration.
    pub(crate) fn clock(&self) -> u32 {
        self.clock
    }

    /// An event packet came. Whether it may be passed on as it is.
    pub(crate) fn event(
        &mut self,
        now: Instant,
        (header, payload): (&Header, &[u8]),
        edges: &mut Edges,
    ) -> bool {
        let took = self.receiver.take(header, payload);
        match took {
            Took::Nothing => return true,
            Took::Old => return false,
            Took::Down { .. } | Took::Goes { .. } => {}
        }
        if !self.admits(Way::Event) {
            return false;
        }
        let per_ms = (self.clock / 1_000).max(1);
        match took {
            Took::Down { digit, end } if self.press_allowed(now) => {
                edges.push(Edge::Down(digit));
                if let Some(ticks) = end {
                    edges.push(Edge::Up(ticks / per_ms));
                }
            }
            Took::Goes { end: Some(ticks) } => edges.push(Edge::Up(ticks / per_ms)),
            Took::Goes { end: None } => edges.push(Edge::Held),
            Took::Down { .. } | Took::Nothing | Took::Old => {}
        }
        true
    }

    /// Voice came. Whether a key's tone is in it.
    pub(crate) fn voice(
        &mut self,
        now: Instant,
        (header, payload): (&Header, &[u8]),
        edges: &mut Edges,
    ) -> bool {
        let Some(listener) = &mut self.listener else {
            return false;
        };
        let mut found = Edges::default();
        listener.take(header, payload, &mut found);
        let tone = listener.suspects();
        for edge in found.iter() {
            let down = matches!(edge, Edge::Down(_));
            if !down || (self.admits(Way::Tone) && self.press_allowed(now)) {
                edges.push(edge);
            }
        }
        tone && self.heard_by != Some(Way::Info)
    }

    /// A key came by INFO. Whether it counts.
    pub(crate) fn info(&mut self, now: Instant) -> bool {
        self.admits(Way::Info) && self.press_allowed(now)
    }

    fn admits(&mut self, way: Way) -> bool {
        match self.mode {
            DtmfMode::Auto => *self.heard_by.get_or_insert(way) == way,
            DtmfMode::Rfc4733 => way == Way::Event,
            DtmfMode::Info => way == Way::Info,
            DtmfMode::Inband => way == Way::Tone,
        }
    }

    fn press_allowed(&mut self, now: Instant) -> bool {
        let until = self.pressed_until.unwrap_or(now).max(now);
        let allowed = until <= now + PRESS_INTERVAL * PRESS_BURST;
        if allowed {
            self.pressed_until = Some(until + PRESS_INTERVAL);
        }
        allowed
    }
}
