//! What the engine is told, and the names used to tell it. What it tells back is in `event.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Codec, DtmfMode, Negotiated, RoomId, Seat};

/// One leg's RTP, in and out. `id >> 8` is the call it began in; streams that are joined live on one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamId(pub u64);

impl StreamId {
    /// The number of the call this stream belongs to.
    pub fn call(self) -> u64 {
        self.0 >> 8
    }
}

/// Names one playback, so that its [`Event::PlayEnded`](crate::Event::PlayEnded) cannot be taken for another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PlayId(pub u32);

/// Wall time as RTCP carries it: 32.32 fixed point seconds since 1 January 1900 (RFC 3550 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

/// How long a stream may be silent: RTP or RTCP must come. [`Event::Silent`](crate::Event::Silent) is told at each half
/// of it; zero means forever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// While the direction is `SendRecv`, or before anything is negotiated.
    pub timeout: Duration,
    /// In any other direction: a phone that holds often sends nothing.
    pub hold_timeout: Duration,
    /// How the party tells keys and is told them.
    #[serde(default)]
    pub dtmf: DtmfMode,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            timeout: Duration::from_secs(60),
            hold_timeout: Duration::from_secs(3600),
            dtmf: DtmfMode::Auto,
        }
    }
}

/// What the engine shall do. A command for an unknown stream is ignored, except `Close`, which is always answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A socket pair is bound for this stream at `local` (RTP; RTCP is at the next port).
    Open {
        stream: StreamId,
        local: SocketAddr,
        settings: Settings,
    },
    /// Offer and answer met (again): codec, payload types, where to. A changed `remote` unlocks the latch.
    Negotiated {
        stream: StreamId,
        negotiated: Negotiated,
    },
    /// `a` and `b` hear one another from here on; earlier partners and echoes are parted. What is played to them without
    /// end (ringback, music) ends as by `StopPlay`; a prompt is first heard out.
    Join { a: StreamId, b: StreamId },
    /// The stream and its partner, if any, no longer hear one another; an echo ends.
    Part { stream: StreamId },
    /// Says something to the party of `stream`, in place of its partner's voice (but see [`Tone::Ringback`]). Replaces an earlier playback.
    Play {
        stream: StreamId,
        play: PlayId,
        source: Source,
        /// Start over at the end, until `StopPlay`. Without it a tone ends after one cadence.
        repeat: bool,
    },
    /// Ends the playback, if any, with `PlayEnded { finished: false }`.
    StopPlay { stream: StreamId },
    /// The party of `stream` hears itself.
    Echo { stream: StreamId },
    /// The stream sits down in a room from here on; an earlier partner, echo or other room is parted. `chimes`: those
    /// who are there are told by a sound, now and when it leaves. What is played to it without end ends, as by `Join`.
    /// `Part` leaves.
    Enter {
        stream: StreamId,
        room: RoomId,
        seat: Seat,
        chimes: bool,
    },
    /// What the stream may in its room.
    Seat { stream: StreamId, seat: Seat },
    /// Says something to everybody in the room of `stream`, which is told its end by `PlayEnded`. Replaces what was
    /// being said to the room before; in no room it ends at once.
    Announce {
        stream: StreamId,
        play: PlayId,
        source: Source,
    },
    /// Answered by a [`Report`](crate::Event::Report), if there is such a stream.
    Report { stream: StreamId },
    /// Presses keys (`0`-`9`, `*`, `#`, `A`-`D`; others are left out) towards the party, in the way it understands, each
    /// for `on_ms` and then `off_ms` of silence, both at least 40. What it hears else waits.
    Press {
        stream: StreamId,
        keys: String,
        on_ms: u32,
        off_ms: u32,
    },
    /// The party pressed a key for `ms`, as its SIP INFO told.
    Pressed {
        stream: StreamId,
        key: char,
        ms: u32,
    },
    /// Answered by exactly one `Closed`, even for a stream never opened.
    Close { stream: StreamId },
}

impl Command {
    /// The stream the command is for; the first one of a `Join`.
    pub fn stream(&self) -> StreamId {
        match self {
            Command::Open { stream, .. }
            | Command::Negotiated { stream, .. }
            | Command::Part { stream }
            | Command::Play { stream, .. }
            | Command::StopPlay { stream }
            | Command::Echo { stream }
            | Command::Enter { stream, .. }
            | Command::Seat { stream, .. }
            | Command::Announce { stream, .. }
            | Command::Report { stream }
            | Command::Press { stream, .. }
            | Command::Pressed { stream, .. }
            | Command::Close { stream } => *stream,
            Command::Join { a, .. } => *a,
        }
    }
}

/// What a playback says.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A name under `sounds/`. The `net` crate puts a `Clip` in its place; the engine itself ends it at once.
    Prompt(String),
    /// A progress tone made here.
    Tone(Tone),
    /// Frames made beforehand.
    Clip(Arc<Clip>),
}

/// Progress tones, 425 Hz (ITU-T E.180).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tone {
    /// 1 s on, 4 s off. It is heard only while the partner, if there is one, is silent.
    Ringback,
    /// 0.5 s on, 0.5 s off.
    Busy,
    /// 0.25 s on, 0.25 s off.
    Congestion,
}

/// Encoded sound. When its codec is not the stream's it is transcoded frame by frame as it is played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    pub codec: Codec,
    /// 20 ms each.
    pub frames: Vec<Box<[u8]>>,
}

/// Which socket of a stream's pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Rtp,
    Rtcp,
}

/// Where the engine puts packets to send; `net` implements it over its sockets, tests over a `Vec`.
pub trait Transmit {
    fn send(&mut self, stream: StreamId, kind: Kind, to: SocketAddr, packet: &[u8]);
}
