//! Opens what the other side sends.

use std::fmt;

use super::cipher::{Cipher, Place, Purpose};
use super::keys::{Keys, Profile};
use super::window::Window;
use super::{numbers, payload_start, word};

/// SSRCs whose numbers are known at a time: that of the party, and those it had before.
const SOURCES: usize = 4;
/// Bytes of the longest packet that is tried twice.
const LONGEST: usize = 1_500;
const ENCRYPTED: u32 = 1 << 31;

/// Why a packet was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// It is none, or too short to have a tag.
    Malformed,
    /// It was there before, or is too old to tell.
    Replayed,
    /// It was made with another key, or changed on the way.
    Forged,
}

/// The receiving side.
pub struct Unprotector {
    profile: Profile,
    rtp: Cipher,
    rtcp: Cipher,
    /// Bytes of a master key identifier that each packet carries.
    mki: usize,
    sources: Sources,
    reporters: Sources,
    /// The highest index under an earlier key, by SSRC.
    before: Option<(u32, u64)>,
}

/// The numbers of each SSRC, the one heard last first.
#[derive(Default)]
struct Sources([Option<(u32, Window)>; SOURCES]);

impl Sources {
    fn window(&self, ssrc: u32) -> Option<Window> {
        let mut known = self.0.iter().flatten();
        known
            .find(|(own, _)| *own == ssrc)
            .map(|(_, window)| *window)
    }

    /// Keeps `window` in the first place, and forgets the SSRC that was silent longest.
    fn keep(&mut self, ssrc: u32, window: Window) {
        let own = |place: &Option<(u32, Window)>| matches!(place, Some((own, _)) if *own == ssrc);
        let at = self.0.iter().position(own).unwrap_or(SOURCES - 1);
        if let Some(upto) = self.0.get_mut(..=at) {
            upto.rotate_right(1);
        }
        if let Some(first) = self.0.first_mut() {
            *first = Some((ssrc, window));
        }
    }

    fn latest(&self) -> Option<(u32, u64)> {
        let (ssrc, window) = (*self.0.first()?)?;
        Some((ssrc, window.highest()?))
    }
}

impl Unprotector {
    /// `mki`: how many bytes of a master key identifier each packet carries (RFC 3711 §3.1); they are not looked at.
    pub fn new(keys: &Keys, mki: usize) -> Unprotector {
        Unprotector {
            profile: keys.profile(),
            rtp: Cipher::new(keys, Purpose::Rtp),
            rtcp: Cipher::new(keys, Purpose::Rtcp),
            mki,
            sources: Sources::default(),
            reporters: Sources::default(),
            before: None,
        }
    }

    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The keys replace those of `old`. RFC 3711 §3.3.1 has the rollover counter go on then; many let it begin anew.
    /// Both are understood.
    pub fn goes_on_from(&mut self, old: &Unprotector) {
        self.before = old.sources.latest().or(old.before);
    }

    /// Opens an RTP packet; how long it is then.
    ///
    /// # Errors
    /// Nothing of the packet may be used.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Rejected> {
        let tail = self.rtp.tag_len() + self.mki;
        let end = packet.len().checked_sub(tail).ok_or(Rejected::Malformed)?;
        let body = packet.get(..end).ok_or(Rejected::Malformed)?;
        let start = payload_start(body).ok_or(Rejected::Malformed)?;
        let (sequence, ssrc) = numbers(body).ok_or(Rejected::Malformed)?;
        let known = self.sources.window(ssrc);
        let mut window = known.unwrap_or_default();
        let index = window.index(sequence).ok_or(Rejected::Replayed)?;
        if !window.is_fresh(index) {
            return Err(Rejected::Replayed);
        }
        let earlier = self
            .before
            .filter(|&(own, at)| known.is_none() && own == ssrc && at >> 16 > 0);
        if let Some((_, at)) = earlier {
            window = self.open_either(packet, (start, end), (ssrc, sequence, at))?;
        } else if self.open(packet, (start, end), Place { ssrc, index }) {
            window.note(index);
        } else {
            return Err(Rejected::Forged);
        }
        self.sources.keep(ssrc, window);
        Ok(end)
    }

    fn open(&self, packet: &mut [u8], (start, end): (usize, usize), place: Place) -> bool {
        let rollover = ((place.index >> 16) as u32).to_be_bytes();
        let extra: &[u8] = if self.rtp.is_gcm() { &[] } else { &rollover };
        let tag_len = self.rtp.tag_len();
        let Some((body, tail)) = packet.split_at_mut_checked(end) else {
            return false;
        };
        // RFC 3711 §3.1: identifier, then tag. RFC 7714 §8.2: the tag belongs to the payload.
        let tag = if self.rtp.is_gcm() {
            tail.get(..tag_len)
        } else {
            tail.get(self.mki..)
        };
        let (Some(parts), Some(tag)) = (body.split_at_mut_checked(start), tag) else {
            return false;
        };
        self.rtp.open(place, (parts.0, parts.1), extra, tag)
    }

    /// The first packet after a change of keys: with the rollover counter going on from `at`, else with a new one.
    fn open_either(
        &self,
        packet: &mut [u8],
        range: (usize, usize),
        (ssrc, sequence, at): (u32, u16, u64),
    ) -> Result<Window, Rejected> {
        let mut copy = [0; LONGEST];
        let length = packet.len();
        let copy = copy.get_mut(..length).ok_or(Rejected::Malformed)?;
        for mut window in [Window::from(at), Window::default()] {
            let Some(index) = window.index(sequence) else {
                continue;
            };
            copy.copy_from_slice(packet);
            if self.open(copy, range, Place { ssrc, index }) {
                packet.copy_from_slice(copy);
                window.note(index);
                return Ok(window);
            }
        }
        Err(Rejected::Forged)
    }

    /// Opens a compound RTCP packet; how long it is then.
    ///
    /// # Errors
    /// Nothing of the packet may be used.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Rejected> {
        let tag_len = self.rtcp.tag_len();
        let end = packet.len().checked_sub(4 + tag_len + self.mki);
        let end = end.filter(|end| *end >= 8).ok_or(Rejected::Malformed)?;
        let ssrc = word(packet, 4).ok_or(Rejected::Malformed)?;
        // RFC 3711 §3.4: index, identifier, tag. RFC 7714 §9.2: tag, index, identifier.
        let (number_at, tag_at) = if self.rtcp.is_gcm() {
            (end + tag_len, end)
        } else {
            (end, end + 4 + self.mki)
        };
        let flagged = word(packet, number_at).ok_or(Rejected::Malformed)?;
        // Nobody agreed with us to send reports in the clear (RFC 4568 §6.3.2).
        if flagged & ENCRYPTED == 0 {
            return Err(Rejected::Forged);
        }
        let index = u64::from(flagged & !ENCRYPTED);
        let mut window = self.reporters.window(ssrc).unwrap_or_default();
        if !window.is_fresh(index) {
            return Err(Rejected::Replayed);
        }
        let mut tag = [0; 16];
        let tag = tag.get_mut(..tag_len).ok_or(Rejected::Malformed)?;
        let sent = packet.get(tag_at..tag_at + tag_len);
        tag.copy_from_slice(sent.ok_or(Rejected::Malformed)?);
        let body = packet.get_mut(..end).ok_or(Rejected::Malformed)?;
        let parts = body.split_at_mut_checked(8).ok_or(Rejected::Malformed)?;
        let extra = flagged.to_be_bytes();
        let place = Place { ssrc, index };
        if !self.rtcp.open(place, (parts.0, parts.1), &extra, tag) {
            return Err(Rejected::Forged);
        }
        window.note(index);
        self.reporters.keep(ssrc, window);
        Ok(end)
    }
}

impl fmt::Debug for Unprotector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unprotector({})", self.profile.name())
    }
}
