//! What a member says, as samples at the room's rate: its packets wait in a jitter buffer, are decoded slot by slot, and
//! what is lost is concealed.

use std::time::Instant;

use crate::Codec;
use crate::codec::resample::Resampler;
use crate::codec::{CodecError, Decoder, MAX_FRAME};
use crate::jitter::{Due, Jitter, Surplus};
use crate::rtp::packet::Header;

/// Packets looked at for one slot, at most: nobody sends shorter ones than 2.5 ms.
const MOST: usize = 16;
/// Sound is a voice above this power: -55 dBFS, above the noise of a good line.
const VOICE: i64 = 58 * 58;
/// A voice is taken to go on so long after its last sound, in slots: pauses between words are not cut out.
const HANGOVER: u32 = 20;

#[derive(Debug)]
pub(crate) struct Ear {
    codec: Codec,
    room_hz: u32,
    decoded_hz: u32,
    jitter: Jitter,
    decoder: Decoder,
    resampler: Option<Resampler>,
    decoded: Box<[i16]>,
    /// Sound at the room's rate that no slot has taken.
    held: Box<[i16]>,
    filled: usize,
    /// Slots for which it still counts as speaking.
    speaking: u32,
}

impl Ear {
    /// For a member that sends `codec` into a room at `room_hz`. Allocates.
    pub(crate) fn new(codec: Codec, room_hz: u32) -> Result<Ear, CodecError> {
        let decoded_hz = rate(codec, room_hz);
        Ok(Ear {
            codec,
            room_hz,
            decoded_hz,
            jitter: Jitter::new(codec.clock_rate()),
            decoder: Decoder::new(codec, decoded_hz)?,
            resampler: resampler(decoded_hz, room_hz)?,
            decoded: vec![0; MAX_FRAME].into(),
            held: vec![0; 2 * MAX_FRAME].into(),
            filled: 0,
            speaking: 0,
        })
    }

    pub(crate) fn put(&mut self, now: Instant, header: &Header, payload: &[u8], noise: bool) {
        self.jitter.put(now, header, payload, noise);
    }

    /// A packet without sound came.
    pub(crate) fn pass_over(&mut self, header: &Header) {
        self.jitter.pass_over(header);
    }

    /// The sound of the slot that begins at `now`, written to `voice`. Whether the member speaks.
    pub(crate) fn listen(&mut self, now: Instant, voice: &mut [i16]) -> bool {
        let mut paused = false;
        for _ in 0..MOST {
            if self.filled >= voice.len() {
                break;
            }
            if !self.next(now) {
                paused = true;
                break;
            }
        }
        let got = self.filled.min(voice.len());
        let (sound, silence) = voice.split_at_mut(got);
        sound.copy_from_slice(self.held.get(..got).unwrap_or_default());
        silence.fill(0);
        self.held.copy_within(got..self.filled, 0);
        self.filled -= got;
        let loud = power(voice) > VOICE;
        self.speaking = match (loud, paused) {
            (true, _) => HANGOVER,
            (false, true) => 0,
            (false, false) => self.speaking.saturating_sub(1),
        };
        self.speaking > 0
    }

    /// Decodes what is due. False when the party makes a pause.
    fn next(&mut self, now: Instant) -> bool {
        let frame = (self.decoded_hz / 50) as usize;
        let clock = u64::from(self.codec.clock_rate());
        let rate = u64::from(self.decoded_hz);
        let (samples, surplus) = match self.jitter.take(now) {
            Due::Pause => return false,
            Due::Late => (self.decoder.conceal(&mut self.decoded, frame), None),
            Due::Lost { ticks, next } => {
                let lost = (u64::from(ticks) * rate / clock) as usize;
                let samples = match next {
                    Some(next) => self.decoder.recover(next, &mut self.decoded, lost),
                    None => self.decoder.conceal(&mut self.decoded, lost),
                };
                (samples, None)
            }
            Due::Packet(payload, surplus) => {
                let samples = self.decoder.decode(payload, &mut self.decoded);
                let ticks = (samples as u64 * clock / rate.max(1)) as u32;
                (samples, Some((surplus, ticks)))
            }
        };
        let sound = self.decoded.get(..samples).unwrap_or_default();
        if let Some((surplus, ticks)) = surplus {
            // A packet that cannot be decoded takes a frame's time: the next one follows it.
            let ticks = if ticks == 0 {
                (clock / 50) as u32
            } else {
                ticks
            };
            self.jitter.played(ticks);
            let quiet = power(sound) <= VOICE;
            if surplus == Surplus::Much || (surplus == Surplus::Some && quiet) {
                self.jitter.left_out();
                return true;
            }
        }
        let room = self.held.get_mut(self.filled..).unwrap_or_default();
        self.filled += match &mut self.resampler {
            Some(resampler) => resampler.process(sound, room),
            None => {
                let fits = sound.len().min(room.len());
                let (sound, room) = (sound.get(..fits), room.get_mut(..fits));
                room.zip(sound).map_or(0, |(room, sound)| {
                    room.copy_from_slice(sound);
                    fits
                })
            }
        };
        true
    }

    /// The room is at another rate from here on. Allocates.
    pub(crate) fn retune(&mut self, room_hz: u32) -> Result<(), CodecError> {
        if room_hz == self.room_hz {
            return Ok(());
        }
        let decoded_hz = rate(self.codec, room_hz);
        if decoded_hz != self.decoded_hz {
            self.decoder = Decoder::new(self.codec, decoded_hz)?;
        }
        self.resampler = resampler(decoded_hz, room_hz)?;
        (self.decoded_hz, self.room_hz, self.filled) = (decoded_hz, room_hz, 0);
        Ok(())
    }
}

/// The rate at which a codec runs in a room: Opus runs at any.
pub(super) fn rate(codec: Codec, room_hz: u32) -> u32 {
    match codec {
        Codec::Opus => room_hz,
        Codec::Pcmu | Codec::Pcma | Codec::G722 => codec.sample_rate(),
    }
}

pub(super) fn resampler(from_hz: u32, to_hz: u32) -> Result<Option<Resampler>, CodecError> {
    (from_hz != to_hz)
        .then(|| Resampler::new(from_hz, to_hz))
        .transpose()
}

fn power(pcm: &[i16]) -> i64 {
    let energy: i64 = pcm
        .iter()
        .map(|s| i64::from(i32::from(*s) * i32::from(*s)))
        .sum();
    energy / pcm.len().max(1) as i64
}
