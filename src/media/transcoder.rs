//! One direction between two codecs: decode, resample, encode, and cut into packets of the length the receiver likes.
//!
//! Not here: packets and their numbers (`bridge.rs`, `sender.rs`). There is no clock and no jitter buffer: what arrives
//! is worked on at once, and gaps are left for the receiver to fill.

use crate::Codec;
use crate::codec::resample::Resampler;
use crate::codec::{CodecError, Decoder, Encoder, MAX_FRAME, natural_rate};
use crate::rtp::packet::Header;

/// Longer payloads are no voice of ours.
const MAX_PAYLOAD: usize = 1_500;
/// The longest payload after resampling, and what was left over before it.
const HELD: usize = 2 * MAX_FRAME;
/// A step in the source's timestamps beyond this many frames is a restart.
const MAX_GAP_FRAMES: i64 = 50;

#[derive(Debug)]
pub(crate) struct Transcoder {
    pair: (Codec, Codec, u32),
    decoder: Decoder,
    resampler: Option<Resampler>,
    encoder: Encoder,
    decoded: Box<[i16]>,
    held: Box<[i16]>,
    filled: usize,
    /// Samples in an outgoing frame, at the encoder's rate.
    frame: usize,
    /// Ticks in an outgoing frame, of the outgoing clock.
    ticks: u32,
    newest: Option<Newest>,
}

/// How far the source has come.
#[derive(Debug, Clone, Copy)]
struct Newest {
    ssrc: u32,
    sequence: u16,
    /// The timestamp after its sound.
    end: u32,
}

/// How a packet follows the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Next,
    Late,
    /// Sound is missing: so many ticks of the outgoing clock, so many packets of ours (0 when nothing was sent).
    Gap {
        ticks: u32,
        packets: u16,
    },
    Restart,
}

impl Transcoder {
    /// From a codec to a codec, in frames of so many milliseconds.
    pub(crate) fn new(pair: (Codec, Codec, u32)) -> Result<Transcoder, CodecError> {
        let (from, to, frame_ms) = pair;
        let (decoded_hz, encoded_hz) = natural_rate(from, to);
        let resampler = if decoded_hz == encoded_hz {
            None
        } else {
            Some(Resampler::new(decoded_hz, encoded_hz)?)
        };
        Ok(Transcoder {
            pair,
            decoder: Decoder::new(from, decoded_hz)?,
            resampler,
            encoder: Encoder::new(to, encoded_hz)?,
            decoded: vec![0; MAX_FRAME].into(),
            held: vec![0; HELD].into(),
            filled: 0,
            frame: (encoded_hz / 1_000 * frame_ms) as usize,
            ticks: to.clock_rate() / 1_000 * frame_ms,
            newest: None,
        })
    }

    pub(crate) fn makes(&self, pair: (Codec, Codec, u32)) -> bool {
        self.pair == pair
    }

    /// Ticks of the outgoing clock in one frame.
    pub(crate) fn ticks(&self) -> u32 {
        self.ticks
    }

    /// Whether no sound waits for the rest of its frame.
    pub(crate) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Compares a packet with the newest; over a gap, the rest of an unfinished frame is dropped.
    pub(crate) fn follow(&mut self, header: &Header) -> Step {
        let Some(newest) = self.newest else {
            return Step::Next;
        };
        let clock = self.pair.0.clock_rate();
        let gap = i64::from(header.timestamp.wrapping_sub(newest.end) as i32);
        let frame = i64::from(clock / 1_000 * self.pair.2);
        let step = if header.ssrc != newest.ssrc || gap.abs() > frame * MAX_GAP_FRAMES {
            Step::Restart
        } else if gap == 0 {
            return Step::Next;
        } else if gap < 0 {
            return Step::Late;
        } else {
            let rest = self.filled as u64 * u64::from(self.ticks) / self.frame.max(1) as u64;
            let scaled = gap as u64 * u64::from(self.pair.1.clock_rate()) / u64::from(clock);
            let ticks = (rest + scaled) as u32;
            let lost = header.sequence != newest.sequence.wrapping_add(1);
            let packets = if lost {
                ticks.div_ceil(self.ticks.max(1)) as u16
            } else {
                0
            };
            Step::Gap { ticks, packets }
        };
        self.filled = 0;
        step
    }

    /// Decodes a payload. True when it makes exactly one frame.
    pub(crate) fn take(&mut self, header: &Header, payload: &[u8]) -> bool {
        if payload.len() > MAX_PAYLOAD {
            return false;
        }
        let alone = self.filled == 0;
        let (samples, added) = self.decode(payload);
        let (decoded_hz, _) = natural_rate(self.pair.0, self.pair.1);
        let ticks =
            samples as u64 * u64::from(self.pair.0.clock_rate()) / u64::from(decoded_hz.max(1));
        let end = header.timestamp.wrapping_add(ticks as u32);
        let newer = |n: Newest| n.ssrc != header.ssrc || end.wrapping_sub(n.end) as i32 > 0;
        if self.newest.is_none_or(newer) {
            self.newest = Some(Newest {
                ssrc: header.ssrc,
                sequence: header.sequence,
                end,
            });
        }
        alone && added == self.frame
    }

    /// Notes a packet of the source that carries no sound, so that it does not look lost.
    pub(crate) fn pass_over(&mut self, header: &Header) {
        if let Some(newest) = &mut self.newest
            && newest.ssrc == header.ssrc
            && header.sequence.wrapping_sub(newest.sequence) as i16 > 0
        {
            newest.sequence = header.sequence;
        }
    }

    /// Decodes without regard to numbers, for sound that has none.
    pub(crate) fn feed(&mut self, payload: &[u8]) {
        self.decode(payload);
    }

    /// Encodes the next frame if its sound is there; its bytes.
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

    /// Samples decoded, samples added to what is held.
    fn decode(&mut self, payload: &[u8]) -> (usize, usize) {
        let room = self.held.get_mut(self.filled..).unwrap_or_default();
        let (samples, added) = match &mut self.resampler {
            None => {
                let samples = self.decoder.decode(payload, room);
                (samples, samples)
            }
            Some(resampler) => {
                let samples = self.decoder.decode(payload, &mut self.decoded);
                let sound = self.decoded.get(..samples).unwrap_or_default();
                (samples, resampler.process(sound, room))
            }
        };
        self.filled += added;
        (samples, added)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(sequence: u16, timestamp: u32) -> Header {
        Header {
            marker: false,
            payload_type: 0,
            sequence,
            timestamp,
            ssrc: 1,
        }
    }

    #[test]
    fn frames_are_cut_anew() {
        for (pair, payload, frames) in [
            ((Codec::Pcmu, Codec::Pcma, 20), 240, [1, 2, 1, 2]),
            ((Codec::Pcmu, Codec::Pcma, 30), 80, [0, 0, 1, 0]),
            ((Codec::Pcma, Codec::G722, 20), 480, [3, 3, 3, 3]),
            ((Codec::G722, Codec::Opus, 20), 80, [0, 1, 0, 1]),
        ] {
            let mut coder = Transcoder::new(pair).unwrap();
            let mut out = [0; 1_500];
            for (i, expected) in frames.into_iter().enumerate() {
                let header = header(i as u16, (i * payload) as u32);
                assert_eq!(coder.follow(&header), Step::Next);
                assert!(!coder.take(&header, &vec![0x55; payload]));
                let made = std::iter::from_fn(|| coder.frame(&mut out))
                    .inspect(|&n| assert!(n > 0))
                    .count();
                assert_eq!(made, expected, "{pair:?} {i}");
            }
        }
    }

    #[test]
    fn gaps_and_stragglers_are_seen() {
        let mut coder = Transcoder::new((Codec::Pcmu, Codec::Opus, 20)).unwrap();
        let sound = [0xff; 80];
        assert!(!coder.take(&header(0, 0), &sound));
        assert_eq!(
            coder.follow(&header(3, 240)),
            Step::Gap {
                ticks: 480 + 960,
                packets: 2
            }
        );
        assert!(coder.is_empty(), "half a frame before a gap is dropped");
        coder.take(&header(3, 240), &sound);
        assert_eq!(coder.follow(&header(2, 160)), Step::Late);
        assert_eq!(
            coder.follow(&header(4, 480)),
            Step::Gap {
                ticks: 480 + 960,
                packets: 0
            }
        );
        coder.take(&header(4, 480), &sound);
        coder.pass_over(&header(5, 560));
        assert_eq!(
            coder.follow(&header(6, 640)),
            Step::Gap {
                ticks: 480 + 480,
                packets: 0
            }
        );
        assert_eq!(coder.follow(&header(5, 4_000_000)), Step::Restart);
        assert!(
            !coder.take(&header(6, 0), &[0; 4_000]),
            "no voice is that long"
        );
    }
}
