//! Offer and answer (RFC 3264) for the one audio stream of a leg, over the `sdp-types` parser (RFC 8866).
//!
//! A leg negotiates with us alone, so there is no rewriting of foreign SDP here: [`offer`] writes ours, [`answer`]
//! reads an offer and writes our answer, [`accept`] reads the answer to our offer. What comes of it is a [`Negotiated`].
//!
//! What it is *not*: ICE and DTLS are not spoken; a media line that demands them is refused.
//! Where next: `read.rs` takes an SDP apart, `write.rs` puts one together, `sdes.rs` agrees on the keys of SRTP.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{Codec, DtmfMode};
use read::{Audio, Sound, Transport};
use write::{Format, Line};

mod read;
mod sdes;
mod write;

pub use sdes::{Offered, Pair, Protection, Security};

/// Our side of a leg's audio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalMedia {
    /// What the SDP says: our RTP address as the party reaches it. RTCP is at the next port.
    pub address: SocketAddr,
    /// What we speak, best first.
    pub codecs: Vec<Codec>,
    /// `o=` session id: one a leg, never changing.
    pub session: u64,
    /// `o=` version: one higher each time our SDP changes (RFC 3264 §8).
    pub version: u64,
    /// What we would like; the party may narrow it.
    pub direction: Direction,
    #[serde(skip)]
    pub protection: Protection,
    /// How keys are told: telephone-event is named or not.
    #[serde(default)]
    pub dtmf: DtmfMode,
}

/// Who sends, seen from the side that says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

/// What offer and answer agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Negotiated {
    pub codec: Codec,
    /// The payload type we send.
    pub payload_type: u8,
    /// The payload type the party sends.
    pub receive_type: u8,
    /// telephone-event (RFC 4733), when both sides know it.
    pub dtmf: Option<Dtmf>,
    /// How much sound the party would like in a packet, 10 to 60.
    pub ptime_ms: u16,
    /// Where the party's SDP says it hears RTP; an unspecified address is a hold.
    pub remote: SocketAddr,
    pub remote_rtcp: SocketAddr,
    /// Ours: `RecvOnly` means that the party holds us.
    pub direction: Direction,
    /// Never written anywhere.
    #[serde(skip)]
    pub security: Security,
    /// The extended reports (RFC 3611) the party asked for.
    #[serde(default)]
    pub extended: Extended,
}

/// Kinds of RTCP extended reports, of those we know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extended {
    /// VoIP metrics (RFC 3611 §4.7).
    pub voip: bool,
    /// Receiver reference time and DLRR (RFC 3611 §4.4, §4.5).
    pub round_trip: bool,
}

/// Payload types of telephone-event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dtmf {
    pub send: u8,
    pub receive: u8,
    /// What durations count in, in Hz: not always the clock of the voice.
    pub clock: u32,
}

/// Why no audio came of an SDP. `Malformed` is a 400, the others are a 488.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    #[error("malformed SDP: {0}")]
    Malformed(&'static str),
    #[error("no RTP audio")]
    NoAudio,
    #[error("SRTP is demanded, but off here")]
    Protected,
    #[error("SRTP is required, but was not offered")]
    Unprotected,
    #[error("SRTP is required, but the answer has none")]
    Downgraded,
    #[error("no SRTP cipher in common")]
    NoCommonCipher,
    #[error("no codec in common")]
    NoCommonCodec,
    #[error("no usable address")]
    BadAddress,
}

impl Direction {
    /// The attribute's name (RFC 8866 §6.7).
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The same, seen from the other side.
    pub fn reversed(self) -> Direction {
        Direction::of(self.receives(), self.sends())
    }

    /// What both allow.
    pub fn and(self, other: Direction) -> Direction {
        Direction::of(
            self.sends() && other.sends(),
            self.receives() && other.receives(),
        )
    }

    fn of(sends: bool, receives: bool) -> Direction {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }
}

/// Payload types of our own offers, for what RFC 3551 gives none.
const OPUS_TYPE: u8 = 111;
const DTMF_8000_TYPE: u8 = 101;
const DTMF_48000_TYPE: u8 = 102;

/// Our offer: all codecs of `local`, best first, and telephone-event.
pub fn offer(local: &LocalMedia) -> Vec<u8> {
    let mut formats: Vec<Format> = Vec::with_capacity(local.codecs.len() + 2);
    formats.extend(
        local
            .codecs
            .iter()
            .map(|&codec| Format::Voice(our_type(codec), codec)),
    );
    let events = local.dtmf.offers_events();
    if events {
        formats.push(Format::TelephoneEvent(DTMF_8000_TYPE, 8_000));
    }
    if events && local.codecs.contains(&Codec::Opus) {
        // RFC 7587 §7, RFC 4733 §2.1: an event has the clock of the voice beside it.
        formats.push(Format::TelephoneEvent(DTMF_48000_TYPE, 48_000));
    }
    let transport = if local.protection.is_required() {
        Transport::Secure
    } else {
        // RFC 8643 §3.1: what may be encrypted is offered as plain RTP, with keys.
        Transport::Plain
    };
    let line = Line {
        formats: &formats,
        direction: local.direction,
        transport,
        crypto: local
            .protection
            .offered()
            .map_or_else(String::new, Offered::write),
        extended: Extended::default(),
    };
    write::offer(local, &line).into_bytes()
}

/// Our answer to `offer`, and what it agrees on. The answer names one codec only, the first of ours that the offer
/// lists, so that the party cannot switch to another within the call; dynamic payload types are the offer's.
pub fn answer(local: &LocalMedia, offer: &[u8]) -> Result<(Vec<u8>, Negotiated), SdpError> {
    let session = read::parse(offer)?;
    let audio = read::audio(&session, &local.protection)?;
    let listed = |codec: Codec| {
        let mut formats = audio.formats.iter();
        formats.find_map(|&(pt, sound)| (sound == Sound::Voice(codec)).then_some((pt, codec)))
    };
    let chosen = local.codecs.iter().find_map(|&codec| listed(codec));
    let (payload_type, codec) = chosen.ok_or(SdpError::NoCommonCodec)?;
    let event = events(&audio, codec).filter(|_| local.dtmf.offers_events());
    let mut formats = vec![Format::Voice(payload_type, codec)];
    formats.extend(event.map(|(pt, clock)| Format::TelephoneEvent(pt, clock)));
    // RFC 3264 §6: the answer carries the type numbers of the offer, in both directions.
    let dtmf = event.map(|(pt, clock)| Dtmf {
        send: pt,
        receive: pt,
        clock,
    });
    let mut negotiated = agree(local, &audio, (codec, payload_type, payload_type), dtmf)?;
    let taken = local.protection.offered().zip(audio.crypto.as_ref());
    let (security, crypto) = taken
        .map(|(offered, crypto)| offered.take(crypto))
        .unwrap_or_default();
    negotiated.security = security;
    negotiated.extended = audio.extended;
    let line = Line {
        formats: &formats,
        // RFC 3264 §6.1, §8.4: sendonly is answered by recvonly, inactive by inactive.
        direction: negotiated.direction,
        // RFC 8643 §3.2: plain RTP with keys is answered as such.
        transport: audio.transport,
        crypto,
        extended: audio.extended,
    };
    let text = write::answer(local, &session, Some((audio.index, &line)));
    Ok((text.into_bytes(), negotiated))
}

/// As [`answer`], for a party whose audio stood as `now`: when it switches it off (port 0), the answer does too, and the
/// party counts as holding us until it offers audio again.
pub fn answer_again(
    local: &LocalMedia,
    offer: &[u8],
    now: &Negotiated,
) -> Result<(Vec<u8>, Negotiated), SdpError> {
    match answer(local, offer) {
        Err(SdpError::NoAudio) => {}
        answered => return answered,
    }
    let session = read::parse(offer)?;
    if !read::is_switched_off(&session) {
        return Err(SdpError::NoAudio);
    }
    let off = Negotiated {
        direction: Direction::Inactive,
        ..now.clone()
    };
    // RFC 3264 §8.2: a stream offered with port 0 is answered with port 0.
    let text = write::answer(local, &session, None);
    Ok((text.into_bytes(), off))
}

/// What the party's `answer` to our [`offer`] of the same `local` agrees on: the first codec it lists that we offered.
pub fn accept(local: &LocalMedia, answer: &[u8]) -> Result<Negotiated, SdpError> {
    let session = read::parse(answer)?;
    let audio = read::audio(&session, &local.protection).map_err(|error| match error {
        SdpError::Unprotected => SdpError::Downgraded,
        other => other,
    })?;
    let chosen = audio.formats.iter().find_map(|&(pt, sound)| match sound {
        Sound::Voice(codec) if local.codecs.contains(&codec) => Some((pt, codec)),
        Sound::Voice(_) | Sound::TelephoneEvent(_) => None,
    });
    let (payload_type, codec) = chosen.ok_or(SdpError::NoCommonCodec)?;
    let event = events(&audio, codec).filter(|_| local.dtmf.offers_events());
    let dtmf = event.map(|(send, clock)| Dtmf {
        send,
        clock,
        receive: if clock == 8_000 {
            DTMF_8000_TYPE
        } else {
            DTMF_48000_TYPE
        },
    });
    let types = (codec, payload_type, our_type(codec));
    let mut negotiated = agree(local, &audio, types, dtmf)?;
    if let Some((offered, crypto)) = local.protection.offered().zip(audio.crypto.as_ref()) {
        negotiated.security = offered.taken(crypto).ok_or(SdpError::NoCommonCipher)?;
    }
    Ok(negotiated)
}

fn our_type(codec: Codec) -> u8 {
    codec.static_pt().unwrap_or(OPUS_TYPE)
}

/// The telephone-event format to use beside `codec`: 8000 before 48000, which fewer phones know.
fn events(audio: &Audio, codec: Codec) -> Option<(u8, u32)> {
    [8_000, codec.clock_rate()].into_iter().find_map(|clock| {
        let wanted = Sound::TelephoneEvent(clock);
        let found = audio.formats.iter().find(|&&(_, sound)| sound == wanted);
        found.map(|&(pt, _)| (pt, clock))
    })
}

fn agree(
    local: &LocalMedia,
    audio: &Audio,
    (codec, payload_type, receive_type): (Codec, u8, u8),
    dtmf: Option<Dtmf>,
) -> Result<Negotiated, SdpError> {
    // A hold by 0.0.0.0 names no address at all, whatever its family.
    let named = !audio.remote.ip().is_unspecified();
    if named && local.address.is_ipv4() != audio.remote.is_ipv4() {
        return Err(SdpError::BadAddress);
    }
    Ok(Negotiated {
        codec,
        payload_type,
        receive_type,
        dtmf,
        ptime_ms: audio.ptime_ms,
        remote: audio.remote,
        remote_rtcp: audio.remote_rtcp,
        direction: local.direction.and(audio.direction.reversed()),
        security: Security::Plain,
        // RFC 3611 §5.2: what was not offered is not answered, and we offer none.
        extended: Extended::default(),
    })
}

#[cfg(test)]
mod tests;
