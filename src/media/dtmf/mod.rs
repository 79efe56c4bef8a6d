//! The keys of a party, in whatever way its leg tells them: telephone events (RFC 4733), tones in the voice, or SIP INFO.
//!
//! What a party presses is heard in one way and told to whoever it talks with in the way of that leg: `Listener` finds
//! tones in the voice with a `detector`, `Speaker` tells keys as events, tones or notes for INFO, each once and in
//! its own length.
//!
//! Not here: the packets of telephone events (`rtp::dtmf`) and the INFO itself (the `switch` crate writes and reads it).

pub mod detector;
mod keys;
mod listener;
mod pass;
mod speaker;
pub mod tones;

use serde::{Deserialize, Serialize};

pub(crate) use keys::Keys;
pub(crate) use listener::Listener;
pub(crate) use speaker::{Said, Speaker};

/// How a leg tells keys, as configured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtmfMode {
    /// Telephone events where the party negotiates them, else tones; it may use INFO as well.
    #[default]
    Auto,
    /// Telephone events (RFC 4733) and nothing else.
    Rfc4733,
    /// SIP INFO and nothing else.
    Info,
    /// Tones in the voice and nothing else.
    Inband,
}

impl DtmfMode {
    /// Whether our SDP names telephone-event.
    #[must_use]
    pub fn offers_events(self) -> bool {
        matches!(self, DtmfMode::Auto | DtmfMode::Rfc4733)
    }
}

/// How one key was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Event,
    Tone,
    Info,
}

/// What happened to the keys of a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    Down(char),
    /// The key is still down.
    Held,
    /// After so many milliseconds.
    Up(u32),
}

/// Keys that one command may press.
pub const MAX_AT_ONCE: usize = 128;

/// A packet of 120 ms holds no more.
const MAX_EDGES: usize = 6;

/// The edges of one packet, in their order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Edges {
    list: [Option<Edge>; MAX_EDGES],
}

impl Edges {
    pub(crate) fn push(&mut self, edge: Edge) {
        if let Some(free) = self.list.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(edge);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.first().is_none_or(|edge| edge.is_none())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Edge> {
        self.list.into_iter().map_while(|edge| edge)
    }
}
