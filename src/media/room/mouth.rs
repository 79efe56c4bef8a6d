//! What a member is told, or all who listen alike: samples at the room's rate become packets of the codec and length
//! that was negotiated.

use super::ear::{rate, resampler};
use crate::Codec;
use crate::codec::resample::Resampler;
use crate::codec::{CodecError, Encoder};

/// Samples of a slot at the highest rate.
pub(super) const SLOT: usize = 960;
/// Sound held: a packet of 60 ms less a little, and a slot.
const HELD: usize = 4 * SLOT;

/// Which packets: all who listen to the same mix share those of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) codec: Codec,
    pub(crate) frame_ms: u32,
}

#[derive(Debug)]
pub(crate) struct Mouth {
    cut: Cut,
    room_hz: u32,
    resampler: Option<Resampler>,
    encoder: Encoder,
    held: Box<[i16]>,
    filled: usize,
    /// Samples in a packet.
    frame: usize,
}

impl Mouth {
    /// Allocates.
    pub(crate) fn new(cut: Cut, room_hz: u32) -> Result<Mouth, CodecError> {
        let encoded_hz = rate(cut.codec, room_hz);
        Ok(Mouth {
            cut,
            room_hz,
            resampler: resampler(room_hz, encoded_hz)?,
            encoder: Encoder::new(cut.codec, encoded_hz)?,
            held: vec![0; HELD].into(),
            filled: 0,
            frame: (encoded_hz / 1_000 * cut.frame_ms) as usize,
        })
    }

    pub(crate) fn makes(&self, cut: Cut, room_hz: u32) -> bool {
        self.cut == cut && self.room_hz == room_hz
    }

    /// Ticks of the codec's clock in a packet.
    pub(crate) fn ticks(&self) -> u32 {
        self.cut.codec.clock_rate() / 1_000 * self.cut.frame_ms
    }

    /// Takes in the sound of a slot.
    pub(crate) fn say(&mut self, sound: &[i16]) {
        let room = self.held.get_mut(self.filled..).unwrap_or_default();
        self.filled += match &mut self.resampler {
            Some(resampler) => resampler.process(sound, room),
            None => room
                .iter_mut()
                .zip(sound)
                .map(|(slot, sample)| *slot = *sample)
                .count(),
        };
    }

    /// What was held is not said any more: there was a pause.
    pub(crate) fn forget(&mut self) {
        self.filled = 0;
    }

    /// Encodes the next packet if its sound is there; its bytes.
    pub(crate) fn frame(&mut self, out: &mut [u8]) -> Option<usize> {
        let sound = self
            .held
            .get(..self.frame)
            .filter(|_| self.filled >= self.frame)?;
        let length = self.encoder.encode(sound, out);
        self.held.copy_within(self.frame..self.filled, 0);
        self.filled -= self.frame;
        Some(length)
    }
}
