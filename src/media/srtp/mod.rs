//! SRTP and SRTCP (RFC 3711, with the ciphers of RFC 6188 and RFC 7714): packets are sealed and opened in place, and
//! nothing is allocated.
//!
//! A [`Protector`] seals what one side sends, an [`Unprotector`] opens what the other side sends. The keys come from
//! elsewhere: from the SDP ([`sdp`](crate::sdp)), or from a DTLS handshake.
//!
//! What it is *not*: it holds no sockets, and no key ever leaves it: not in `Debug`, not in serialised form.
//! Where next: `keys.rs` for profiles and keys, `cipher.rs` for one packet, `window.rs` for rollover and replay,
//! `protect.rs` and `unprotect.rs` for the two directions.

mod cipher;
mod keys;
mod protect;
#[cfg(test)]
mod tests;
mod unprotect;
mod window;

pub use keys::{KeySeed, Keys, Profile};
pub use protect::Protector;
pub use unprotect::{Rejected, Unprotector};

/// Bytes a sealed packet may be longer than the packet was: the longest tag, and the index of SRTCP.
pub const MAX_TRAILER: usize = 20;

/// Where the payload of an RTP packet begins; what is before it is sent in the clear (RFC 3711 §3.1).
fn payload_start(packet: &[u8]) -> Option<usize> {
    let flags = *packet.first()?;
    if flags >> 6 != 2 {
        return None;
    }
    let mut start = 12 + usize::from(flags & 0x0f) * 4;
    if flags & 0x10 != 0 {
        // RFC 3550 §5.3.1: a 16-bit profile word, then the length in 32-bit words without these four bytes.
        let words: &[u8; 4] = packet.get(start..)?.first_chunk()?;
        start += 4 + usize::from(u16::from_be_bytes([words[2], words[3]])) * 4;
    }
    (start <= packet.len()).then_some(start)
}

/// The big-endian word at `at`.
fn word(packet: &[u8], at: usize) -> Option<u32> {
    let bytes = packet.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

/// Sequence number and SSRC of an RTP packet.
fn numbers(packet: &[u8]) -> Option<(u16, u32)> {
    let sequence = packet.get(2..)?.first_chunk()?;
    Some((u16::from_be_bytes(*sequence), word(packet, 8)?))
}
