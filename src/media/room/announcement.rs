//! What is said to a whole room: a playback that is decoded and added to what everybody hears.

use std::time::Instant;

use super::ear::resampler;
use super::mouth::SLOT;
use crate::codec::Decoder;
use crate::codec::resample::Resampler;
use crate::play::{Player, Said};
use crate::{Codec, PlayId, Source, StreamId};

/// The codec in which what is said to a room is best handed over: good sound at little cost.
pub const ANNOUNCEMENT_CODEC: Codec = Codec::G722;
const RATE_HZ: u32 = 16_000;

#[derive(Debug)]
pub(crate) struct Announcement {
    owner: StreamId,
    player: Player,
    decoder: Decoder,
    resampler: Option<Resampler>,
    payload: Box<[u8; 1_500]>,
    decoded: Box<[i16; SLOT]>,
    pcm: Box<[i16; SLOT]>,
}

impl Announcement {
    /// `owner` is told of its end. `None` for what cannot be played. Allocates.
    pub(super) fn new(
        owner: StreamId,
        (play, source): (PlayId, Source),
        room_hz: u32,
    ) -> Option<Announcement> {
        let mut player = Player::new(play, source, false)?;
        player.prepare(ANNOUNCEMENT_CODEC).then_some(())?;
        Some(Announcement {
            owner,
            player,
            decoder: Decoder::new(ANNOUNCEMENT_CODEC, RATE_HZ).ok()?,
            resampler: resampler(RATE_HZ, room_hz).ok()?,
            payload: Box::new([0; 1_500]),
            decoded: Box::new([0; SLOT]),
            pcm: Box::new([0; SLOT]),
        })
    }

    pub(super) fn names(&self) -> (StreamId, PlayId) {
        (self.owner, self.player.id)
    }

    pub(super) fn retune(&mut self, room_hz: u32) {
        self.resampler = resampler(RATE_HZ, room_hz).unwrap_or(None);
    }

    /// Adds the sound of this slot to `sum`. False at its end.
    pub(super) fn add(&mut self, now: Instant, sum: &mut [i32]) -> bool {
        let length = match self.player.say(now, self.payload.as_mut_slice()) {
            Said::End => return false,
            Said::NotYet => return true,
            Said::Frame(length) => length,
        };
        let payload = self.payload.get(..length).unwrap_or_default();
        let samples = self.decoder.decode(payload, self.decoded.as_mut_slice());
        let sound = self.decoded.get(..samples).unwrap_or_default();
        let pcm = match &mut self.resampler {
            None => sound,
            Some(resampler) => {
                let made = resampler.process(sound, self.pcm.as_mut_slice());
                self.pcm.get(..made).unwrap_or_default()
            }
        };
        for (total, sample) in sum.iter_mut().zip(pcm) {
            *total += i32::from(*sample);
        }
        true
    }
}
