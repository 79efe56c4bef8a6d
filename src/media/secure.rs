//! The encryption of one stream: what it sends is sealed, what it hears is opened, by the keys that were negotiated.
//!
//! Not here: the ciphers (`srtp`), and how the keys were agreed on (`sdp`).

use crate::bridge::MAX_PACKET;
use crate::sdp::{Pair, Security};
use crate::srtp::{MAX_TRAILER, Protector, Unprotector};

/// The state of an encrypted stream.
#[derive(Debug)]
pub(crate) struct Secure {
    pair: Pair,
    protector: Protector,
    unprotector: Unprotector,
    /// A packet that is sealed, with room for its tag.
    buffer: [u8; MAX_PACKET + MAX_TRAILER],
}

impl Secure {
    /// What `security` asks for. Keys that stay keep their numbers (`before`): to begin them anew would repeat them.
    pub(crate) fn new(security: &Security, before: Option<Box<Secure>>) -> Option<Box<Secure>> {
        let Security::Sdes(pair) = security else {
            return None;
        };
        let pair = Pair::clone(pair);
        let Some(mut secure) = before else {
            return Some(Box::new(Secure {
                protector: Protector::new(&pair.ours),
                unprotector: Unprotector::new(&pair.theirs, pair.mki.into()),
                buffer: [0; MAX_PACKET + MAX_TRAILER],
                pair,
            }));
        };
        if secure.pair.ours != pair.ours {
            let mut fresh = Protector::new(&pair.ours);
            fresh.goes_on_from(&secure.protector);
            secure.protector = fresh;
        }
        if secure.pair.theirs != pair.theirs || secure.pair.mki != pair.mki {
            let mut fresh = Unprotector::new(&pair.theirs, pair.mki.into());
            fresh.goes_on_from(&secure.unprotector);
            secure.unprotector = fresh;
        }
        secure.pair = pair;
        Some(secure)
    }

    /// The RTP packet as it goes out; `None`: it must not.
    pub(crate) fn seal(&mut self, packet: &[u8]) -> Option<&[u8]> {
        self.buffer.get_mut(..packet.len())?.copy_from_slice(packet);
        let length = self.protector.protect_rtp(&mut self.buffer, packet.len())?;
        self.buffer.get(..length)
    }

    /// The same for RTCP.
    pub(crate) fn seal_report(&mut self, packet: &[u8]) -> Option<&[u8]> {
        self.buffer.get_mut(..packet.len())?.copy_from_slice(packet);
        let length = self
            .protector
            .protect_rtcp(&mut self.buffer, packet.len())?;
        self.buffer.get(..length)
    }

    /// How long the RTP packet in `packet` is when it is opened; `None`: it is none of the party's.
    pub(crate) fn open(&mut self, packet: &mut [u8]) -> Option<usize> {
        self.unprotector.unprotect_rtp(packet).ok()
    }

    /// The same for RTCP.
    pub(crate) fn open_report(&mut self, packet: &mut [u8]) -> Option<usize> {
        self.unprotector.unprotect_rtcp(packet).ok()
    }
}
