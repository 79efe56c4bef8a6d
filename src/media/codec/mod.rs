//! The codecs: what each is called on the wire, and one encoder and one decoder over all of them.
//!
//! Not here: which codec a call speaks (`sdp`), and packets (`rtp`). Everything is mono `i16`; buffers belong to the caller
//! and nothing allocates after `new`. Next: `g711`, `g722`, `opus` do the work, `resample` joins differing rates,
//! `plc` fills lost frames.

use serde::{Deserialize, Serialize};

/// An audio codec this house speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Codec {
    /// G.711 µ-law, 64 kbit/s.
    Pcmu,
    /// G.711 A-law, 64 kbit/s.
    Pcma,
    /// G.722 mode 1: 16 kHz audio at 64 kbit/s.
    G722,
    /// Opus (RFC 6716), sent and heard as mono.
    Opus,
}

impl Codec {
    /// Every codec, the best sounding first.
    pub const ALL: [Codec; 4] = [Codec::Opus, Codec::G722, Codec::Pcma, Codec::Pcmu];

    /// The encoding name of the `a=rtpmap` line (RFC 3551 §6, RFC 7587 §7).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
        }
    }

    /// The codec with that encoding name; names compare without case (RFC 8866 §6.6).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// Audio samples a second.
    #[must_use]
    pub fn sample_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma => 8_000,
            Codec::G722 => 16_000,
            Codec::Opus => 48_000,
        }
    }

    /// RTP timestamp ticks a second.
    #[must_use]
    pub fn clock_rate(self) -> u32 {
        match self {
            // RFC 3551 §4.5.2: G722 keeps the 8000 Hz clock that RFC 1890 gave it by mistake.
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 8_000,
            // RFC 7587 §4.1: the clock is 48000 whatever the audio rate.
            Codec::Opus => 48_000,
        }
    }

    /// The payload type RFC 3551 §6 fixes, if it fixes one.
    #[must_use]
    pub fn static_pt(self) -> Option<u8> {
        match self {
            Codec::Pcmu => Some(0),
            Codec::Pcma => Some(8),
            Codec::G722 => Some(9),
            Codec::Opus => None,
        }
    }

    /// The codec a static payload type stands for without an `a=rtpmap` line.
    #[must_use]
    pub fn from_static_pt(payload_type: u8) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| codec.static_pt() == Some(payload_type))
    }
}
