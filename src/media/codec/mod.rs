//! The codecs: what each is called on the wire, and one encoder and one decoder over all of them.
//!
//! Not here: which codec a call speaks (`sdp`), and packets (`rtp`). Everything is mono `i16`; buffers belong to the caller
//! and nothing allocates after `new`. Next: `g711`, `g722`, `opus` do the work, `resample` joins differing rates,
//! `plc` fills lost frames.

pub mod g711;
pub mod g722;
pub mod opus;
pub mod plc;
pub mod resample;
#[cfg(test)]
pub(crate) mod testing;

use plc::Plc;
use serde::{Deserialize, Serialize};

/// Most samples one frame may have: 120 ms at 48 kHz, the longest Opus packet (RFC 6716 §3.2.5).
pub const MAX_FRAME: usize = 5_760;

/// An audio codec this house speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Codec {
    /// G.711 µ-law, 64 kbit/s.
    Pcmu,
    /// G.711 A-law, 64 kbit/s.
    Pcma,
    /// G.722 mode 1: 16 kHz audio at 64 kbit/s.
    G722,
    /// Opus (RFC 6716), sent and heard as mono.
    Opus,
}

impl Codec {
    /// Every codec, the best sounding first.
    pub const ALL: [Codec; 4] = [Codec::Opus, Codec::G722, Codec::Pcma, Codec::Pcmu];

    /// The encoding name of the `a=rtpmap` line (RFC 3551 §6, RFC 7587 §7).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
        }
    }

    /// The codec with that encoding name; names compare without case (RFC 8866 §6.6).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Codec> {
        Codec::ALL
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// Audio samples a second.
    #[must_use]
    pub fn sample_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma => 8_000,
            Codec::G722 => 16_000,
            Codec::Opus => 48_000,
        }
    }

    /// RTP timestamp ticks a second.
    #[must_use]
    pub fn clock_rate(self) -> u32 {
        match self {
            // RFC 3551 §4.5.2: G722 keeps the 8000 Hz clock that RFC 1890 gave it by mistake.
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 8_000,
            // RFC 7587 §4.1: the clock is 48000 whatever the audio rate.
            Codec::Opus => 48_000,
        }
    }

    /// The payload type RFC 3551 §6 fixes, if it fixes one.
    #[must_use]
    pub fn static_pt(self) -> Option<u8> {
        match self {
            Codec::Pcmu => Some(0),
            Codec::Pcma => Some(8),
            Codec::G722 => Some(9),
            Codec::Opus => None,
        }
    }

    /// The codec a static payload type stands for without an `a=rtpmap` line.
    #[must_use]
    pub fn from_static_pt(payload_type: u8) -> Option<Codec> {
        Codec::ALL
            .into_iter()
            .find(|codec| codec.static_pt() == Some(payload_type))
    }
}

/// Why a codec could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The codec does not run at that PCM rate.
    #[error("{} does not run at {rate_hz} Hz", codec.name())]
    Rate {
        /// Which codec.
        codec: Codec,
        /// The rate asked for.
        rate_hz: u32,
    },
    /// The resampler only knows 1, 2, 3 and 6, up and down.
    #[error("no resampler from {from_hz} to {to_hz} Hz")]
    Ratio {
        /// The input's rate.
        from_hz: u32,
        /// The output's rate.
        to_hz: u32,
    },
    /// libopus refused, with its words.
    #[error("libopus: {0}")]
    Library(&'static str),
}

/// The PCM rates, in Hz, at which to decode `from` and encode `to` between two legs. Opus runs at the other side's rate,
/// so only G.711 with G.722 needs a resampler.
#[must_use]
pub fn natural_rate(from: Codec, to: Codec) -> (u32, u32) {
    match (from, to) {
        (Codec::Opus, other) | (other, Codec::Opus) => (other.sample_rate(), other.sample_rate()),
        (from, to) => (from.sample_rate(), to.sample_rate()),
    }
}

/// PCM to payloads, for one direction of one stream.
#[derive(Debug)]
pub struct Encoder(Encoding);

#[derive(Debug)]
enum Encoding {
    Law(fn(i16) -> u8),
    G722(Box<g722::Encoder>),
    Opus(opus::Encoder),
}

impl Encoder {
    /// An encoder fed with PCM at `rate_hz`: 8000 for G.711, 16000 for G.722; 8000, 16000 or 48000 for Opus.
    pub fn new(codec: Codec, rate_hz: u32) -> Result<Encoder, CodecError> {
        let encoding = match (codec, rate_hz) {
            (Codec::Pcmu, 8_000) => Encoding::Law(g711::ulaw),
            (Codec::Pcma, 8_000) => Encoding::Law(g711::alaw),
            (Codec::G722, 16_000) => Encoding::G722(Box::default()),
            (Codec::Opus, _) => Encoding::Opus(opus::Encoder::new(rate_hz)?),
            _ => return Err(CodecError::Rate { codec, rate_hz }),
        };
        Ok(Encoder(encoding))
    }

    /// Encodes one frame into `out` and returns its bytes; at most `out.len()` are written. Opus takes frames of 2.5, 5, 10,
    /// 20, 40 or 60 ms and gives 0 for others. Does not allocate.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        match &mut self.0 {
            Encoding::Law(code) => pcm
                .iter()
                .zip(out.iter_mut())
                .map(|(sample, byte)| *byte = code(*sample))
                .count(),
            Encoding::G722(encoder) => encoder.encode(pcm, out),
            Encoding::Opus(encoder) => encoder.encode(pcm, out),
        }
    }

    /// Tells what percentage of our packets the far end reports lost; Opus then sends redundancy. Others have none to send.
    pub fn expect_loss(&mut self, percent: u8) {
        if let Encoding::Opus(encoder) = &mut self.0 {
            encoder.expect_loss(percent);
        }
    }
}

/// Payloads to PCM, for one direction of one stream; fills in for lost ones.
#[derive(Debug)]
pub struct Decoder(Decoding);

#[derive(Debug)]
enum Decoding {
    Law(fn(u8) -> i16, Box<Plc>),
    G722(Box<(g722::Decoder, Plc)>),
    Opus(opus::Decoder),
}

impl Decoder {
    /// A decoder to PCM at `rate_hz`; the rates are those of [`Encoder::new`].
    pub fn new(codec: Codec, rate_hz: u32) -> Result<Decoder, CodecError> {
        let decoding = match (codec, rate_hz) {
            (Codec::Pcmu, 8_000) => Decoding::Law(g711::from_ulaw, Box::new(Plc::new(rate_hz))),
            (Codec::Pcma, 8_000) => Decoding::Law(g711::from_alaw, Box::new(Plc::new(rate_hz))),
            (Codec::G722, 16_000) => {
                Decoding::G722(Box::new((g722::Decoder::new(), Plc::new(rate_hz))))
            }
            (Codec::Opus, _) => Decoding::Opus(opus::Decoder::new(rate_hz)?),
            _ => return Err(CodecError::Rate { codec, rate_hz }),
        };
        Ok(Decoder(decoding))
    }

    /// Decodes one payload into `pcm` and returns its samples; 0 for garbage. G.711 and G.722 write what fits, an Opus packet
    /// that does not fit whole gives 0 ([`MAX_FRAME`] always fits). Does not allocate.
    pub fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> usize {
        match &mut self.0 {
            Decoding::Law(sample, plc) => {
                let samples = payload
                    .iter()
                    .zip(pcm.iter_mut())
                    .map(|(byte, slot)| *slot = sample(*byte))
                    .count();
                plc.heard(pcm.get_mut(..samples).unwrap_or_default());
                samples
            }
            Decoding::G722(state) => {
                let (decoder, plc) = &mut **state;
                let samples = decoder.decode(payload, pcm);
                plc.heard(pcm.get_mut(..samples).unwrap_or_default());
                samples
            }
            Decoding::Opus(decoder) => decoder.decode(payload, pcm),
        }
    }

    /// Invents a lost frame of `samples` samples and returns how many it wrote: at most `pcm.len()` and [`MAX_FRAME`], and 0
    /// for Opus when it is no multiple of 2.5 ms. Does not allocate.
    pub fn conceal(&mut self, pcm: &mut [i16], samples: usize) -> usize {
        let Some(pcm) = lost(pcm, samples) else {
            return 0;
        };
        match &mut self.0 {
            Decoding::Law(_, plc) => plc.conceal(pcm),
            Decoding::G722(state) => {
                let (decoder, plc) = &mut **state;
                plc.conceal(pcm);
                let mut ahead = [0; g722::DELAY];
                plc.foresee(&mut ahead);
                decoder.follow(pcm, &ahead);
            }
            Decoding::Opus(decoder) => return decoder.conceal(pcm),
        }
        pcm.len()
    }

    /// As [`Decoder::conceal`] for the frame just before `next`, which has arrived: Opus takes the lost frame from the
    /// redundancy in `next` when there is any. Decode `next` itself afterwards.
    pub fn recover(&mut self, next: &[u8], pcm: &mut [i16], samples: usize) -> usize {
        match &mut self.0 {
            Decoding::Opus(decoder) => {
                lost(pcm, samples).map_or(0, |pcm| decoder.recover(next, pcm))
            }
            Decoding::Law(..) | Decoding::G722(_) => self.conceal(pcm, samples),
        }
    }
}

/// The part of `pcm` that a lost frame of `samples` takes.
fn lost(pcm: &mut [i16], samples: usize) -> Option<&mut [i16]> {
    let length = samples.min(pcm.len()).min(MAX_FRAME);
    pcm.get_mut(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back_to_the_codec() {
        for codec in Codec::ALL {
            assert_eq!(
                Codec::from_name(&codec.name().to_ascii_uppercase()),
                Some(codec)
            );
            if let Some(payload_type) = codec.static_pt() {
                assert_eq!(Codec::from_static_pt(payload_type), Some(codec));
            }
        }
        assert_eq!(Codec::from_name("G729"), None);
        assert_eq!(Codec::from_static_pt(18), None);
    }

    #[test]
    fn only_g711_with_g722_changes_rate() {
        for from in Codec::ALL {
            for to in Codec::ALL {
                let (decode_hz, encode_hz) = natural_rate(from, to);
                assert!(
                    Decoder::new(from, decode_hz).is_ok() && Encoder::new(to, encode_hz).is_ok(),
                    "{from:?} to {to:?}"
                );
                assert!(resample::Resampler::new(decode_hz, encode_hz).is_ok());
                let g711_g722 = (from == Codec::G722) != (to == Codec::G722)
                    && from != Codec::Opus
                    && to != Codec::Opus;
                assert_eq!(decode_hz != encode_hz, g711_g722, "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn every_codec_carries_a_frame_and_fills_a_lost_one() {
        for codec in Codec::ALL {
            let rate_hz = codec.sample_rate();
            let frame = rate_hz as usize / 50;
            let mut encoder = Encoder::new(codec, rate_hz).expect("its own rate");
            let mut decoder = Decoder::new(codec, rate_hz).expect("its own rate");
            let speech = testing::speech(rate_hz, 200);
            let mut pcm = [0; MAX_FRAME];
            let mut payload = [0; 400];
            let mut bytes = 0;
            for piece in speech.chunks_exact(frame) {
                bytes = encoder.encode(piece, &mut payload);
                assert!(bytes > 0);
                assert_eq!(decoder.decode(&payload[..bytes], &mut pcm), frame);
            }
            assert_eq!(decoder.conceal(&mut pcm, frame), frame);
            let guessed = testing::power(&pcm[..frame]);
            assert_eq!(decoder.recover(&payload[..bytes], &mut pcm, frame), frame);
            assert!(guessed > 1_000.0, "{codec:?} goes on: {guessed:.0}");
            assert_eq!(decoder.conceal(&mut [], 160), 0);
            assert!(decoder.conceal(&mut pcm, usize::MAX) <= MAX_FRAME);
            assert!(Encoder::new(codec, 11_025).is_err() && Decoder::new(codec, 11_025).is_err());
        }
    }
}
