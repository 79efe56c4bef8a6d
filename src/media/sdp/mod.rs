//! Offer and answer (RFC 3264) for the one audio stream of a leg, over the `sdp-types` parser (RFC 8866).
//!
//! A leg negotiates with us alone, so there is no rewriting of foreign SDP here: [`offer`] writes ours, [`answer`]
//! reads an offer and writes our answer, [`accept`] reads the answer to our offer. What comes of it is a [`Negotiated`].
//!
//! What it is *not*: ICE, DTLS and SDES are not spoken; a media line that demands them is refused.
//! Where next: `read.rs` takes an SDP apart, `write.rs` puts one together.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::Codec;

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
}

/// Payload types of telephone-event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dtmf {
    pub send: u8,
    pub receive: u8,
}

/// Why no audio came of an SDP. `Malformed` is a 400, the others are a 488.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    #[error("malformed SDP: {0}")]
    Malformed(&'static str),
    #[error("no plain RTP audio")]
    NoAudio,
    #[error("no codec in common")]
    NoCommonCodec,
    #[error("no usable address")]
    BadAddress,
}

/// Our offer.
pub fn offer(_local: &LocalMedia) -> Vec<u8> {
    Vec::new()
}

/// Our answer to `offer`, and what it agrees on.
pub fn answer(_local: &LocalMedia, _offer: &[u8]) -> Result<(Vec<u8>, Negotiated), SdpError> {
    Err(SdpError::NoAudio)
}

/// What the party's `answer` to our [`offer`] of the same `local` agrees on.
pub fn accept(_local: &LocalMedia, _answer: &[u8]) -> Result<Negotiated, SdpError> {
    Err(SdpError::NoAudio)
}
