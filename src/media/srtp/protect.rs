//! Seals what one side sends.

use std::fmt;

use super::cipher::{Cipher, Place, Purpose};
use super::keys::{Keys, Profile};
use super::window::Window;
use super::{numbers, payload_start, word};

/// SRTCP counts its packets in 31 bits (RFC 3711 §3.4); the highest tells that it is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// The sending side of one SSRC.
pub struct Protector {
    profile: Profile,
    rtp: Cipher,
    rtcp: Cipher,
    window: Window,
    reports: u32,
}

impl Protector {
    pub fn new(keys: &Keys) -> Protector {
        Protector {
            profile: keys.profile(),
            rtp: Cipher::new(keys, Purpose::Rtp),
            rtcp: Cipher::new(keys, Purpose::Rtcp),
            window: Window::default(),
            reports: 0,
        }
    }

    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The keys replace those of `old`. RFC 3711 §3.3.1: the rollover counter goes on.
    pub fn goes_on_from(&mut self, old: &Protector) {
        self.window = old.window;
    }

    /// Seals the RTP packet in the first `length` bytes of `buffer`; how long it is then. `None` when it is no RTP, the
    /// buffer has less than [`MAX_TRAILER`](super::MAX_TRAILER) bytes of room, or its number was used before: two
    /// packets under one number would betray both (RFC 3711 §9.1).
    pub fn protect_rtp(&mut self, buffer: &mut [u8], length: usize) -> Option<usize> {
        let start = payload_start(buffer.get(..length)?)?;
        let (sequence, ssrc) = numbers(buffer)?;
        let index = self.window.index(sequence)?;
        if !self.window.is_fresh(index) {
            return None;
        }
        let (packet, tag) = buffer.split_at_mut_checked(length)?;
        let (head, payload) = packet.split_at_mut_checked(start)?;
        let rollover = ((index >> 16) as u32).to_be_bytes();
        // RFC 3711 §4.2: the tag covers the packet and the rollover counter; that of RFC 7714 §8.2 has it in the nonce.
        let extra: &[u8] = if self.rtp.is_gcm() { &[] } else { &rollover };
        let place = Place { ssrc, index };
        self.rtp.seal(place, (head, payload), extra, tag)?;
        self.window.note(index);
        Some(length + self.rtp.tag_len())
    }

    /// Seals the compound RTCP packet in the first `length` bytes of `buffer`; how long it is then. `None` as above, and
    /// after 2^31 packets.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Option<usize> {
        let ssrc = word(buffer.get(..length)?, 4)?;
        let index = self.reports;
        if index >= ENCRYPTED {
            return None;
        }
        let (packet, trailer) = buffer.split_at_mut_checked(length)?;
        // RFC 3711 §3.4: the first header and the SSRC stay in the clear.
        let (head, payload) = packet.split_at_mut_checked(8)?;
        let flagged = (index | ENCRYPTED).to_be_bytes();
        let place = Place {
            ssrc,
            index: u64::from(index),
        };
        // RFC 3711 §3.4: index, then tag. RFC 7714 §9.2: tag, then index.
        let (number, tag) = if self.rtcp.is_gcm() {
            let (tag, number) = trailer.split_at_mut_checked(self.rtcp.tag_len())?;
            (number, tag)
        } else {
            trailer.split_at_mut_checked(4)?
        };
        number.get_mut(..4)?.copy_from_slice(&flagged);
        self.rtcp.seal(place, (head, payload), &flagged, tag)?;
        self.reports = index + 1;
        Some(length + 4 + self.rtcp.tag_len())
    }
}

impl fmt::Debug for Protector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Protector({})", self.profile.name())
    }
}
