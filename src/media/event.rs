//! What the engine tells.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::quality::Signs;
use crate::{Codec, PlayId, StreamId};

/// What happened on a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The socket pair could not be bound. Told by `net`, never by the engine.
    BindFailed { stream: StreamId },
    /// The party pressed a key, in whatever way: `0`-`9`, `*`, `#`, `A`-`D`. Told once, as soon as it is heard.
    Dtmf { stream: StreamId, digit: char },
    /// The party is to be told by SIP INFO that a key was pressed for `ms`.
    InfoDue {
        stream: StreamId,
        digit: char,
        ms: u32,
    },
    /// A playback is over; `finished` is false when it was stopped, replaced or could not be played.
    PlayEnded {
        stream: StreamId,
        play: PlayId,
        finished: bool,
    },
    /// Nothing has been heard for `for_ms`, half the timeout at least; told again after each further half.
    Silent { stream: StreamId, for_ms: u64 },
    /// The answer to `Report`: how it goes so far.
    Report {
        stream: StreamId,
        stats: Box<StreamStats>,
    },
    /// The answer to `Close`.
    Closed {
        stream: StreamId,
        stats: Box<StreamStats>,
    },
}

impl Event {
    /// The stream the event is about.
    pub fn stream(&self) -> StreamId {
        match self {
            Event::BindFailed { stream }
            | Event::Dtmf { stream, .. }
            | Event::InfoDue { stream, .. }
            | Event::PlayEnded { stream, .. }
            | Event::Silent { stream, .. }
            | Event::Report { stream, .. }
            | Event::Closed { stream, .. } => *stream,
        }
    }
}

/// How well one stream went, over its whole life.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamStats {
    /// The last one negotiated.
    pub codec: Option<Codec>,
    /// RTP packets taken from the party.
    pub packets_in: u64,
    /// RTP packets sent to the party.
    pub packets_out: u64,
    /// Packets of the party that never came, from the gaps in its sequence numbers (RFC 3550 A.3).
    pub lost_in: u64,
    /// Packets the party should have sent by its sequence numbers.
    pub expected_in: u64,
    /// Interarrival jitter (RFC 3550 A.8) at the end.
    pub jitter_ms: f64,
    /// Round trip from the party's last receiver report.
    pub rtt_ms: Option<f64>,
    /// Share (0 to 1) of the packets we sent that the party says never came; those lost before us do not count.
    pub remote_loss: Option<f64>,
    /// Where the party's RTP came from.
    pub remote: Option<SocketAddr>,
    /// Datagrams dropped because they did not come from the latched source.
    pub foreign_packets: u64,
    /// RTP datagrams dropped because the negotiated keys do not open them, or because they were there before.
    #[serde(default)]
    pub sealed_packets: u64,
    /// MOS (ITU-T G.107, 1 to 4.5) of what came from the party, measured here; `None` while too little came.
    #[serde(default)]
    pub mos_in: Option<f64>,
    /// MOS of what went to the party, by its reports; `None` without them.
    #[serde(default)]
    pub mos_out: Option<f64>,
    /// Packets that came, but too late for the buffers that phones have.
    #[serde(default)]
    pub late_in: u64,
    /// The longest time in which no sound came though the party spoke.
    #[serde(default)]
    pub longest_gap_ms: u32,
    /// Shares (0 to 1) of the packets lost within bursts and between them (RFC 3611 §4.7.2); `None` while too little came.
    #[serde(default)]
    pub burst_loss: Option<f64>,
    #[serde(default)]
    pub gap_loss: Option<f64>,
    /// What else was seen, for a diagnosis.
    #[serde(default)]
    pub signs: Signs,
}
