//! Opus (RFC 6716, RFC 7587) through libopus: mono, VoIP, at the rate the other side of the bridge speaks.
//!
//! libopus decodes any stream straight to 8, 16 or 48 kHz and mixes a stereo stream down, so a bridge needs no resampler
//! and `fmtp` parameters such as `stereo=1` need no code.

use super::{Codec, CodecError, MAX_FRAME};
use ::opus::{Application, Bitrate, Channels, Error, packet};

/// Half way between quality and the processor's time: the measured middle of the scale 0..=10.
const COMPLEXITY: i32 = 5;

/// libopus' encoder, set up for calls.
#[derive(Debug)]
pub struct Encoder {
    library: ::opus::Encoder,
}

/// libopus' decoder.
#[derive(Debug)]
pub struct Decoder {
    library: ::opus::Decoder,
    rate_hz: u32,
}

fn refused(error: &Error) -> CodecError {
    CodecError::Library(error.description())
}

impl Encoder {
    /// An encoder for PCM at 8000, 16000 or 48000 Hz.
    pub fn new(rate_hz: u32) -> Result<Encoder, CodecError> {
        let bits = bitrate(rate_hz)?;
        let mut library = ::opus::Encoder::new(rate_hz, Channels::Mono, Application::Voip)
            .map_err(|e| refused(&e))?;
        library
            .set_complexity(COMPLEXITY)
            .map_err(|e| refused(&e))?;
        library
            .set_bitrate(Bitrate::Bits(bits))
            .map_err(|e| refused(&e))?;
        // RFC 6716 §2.1.7: redundancy is only spent once `expect_loss` says that the path loses.
        library.set_inband_fec(true).map_err(|e| refused(&e))?;
        Ok(Encoder { library })
    }

    /// Encodes one frame of 2.5, 5, 10, 20, 40 or 60 ms; another length or a full `out` gives 0.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        if pcm.is_empty() || pcm.len() > MAX_FRAME || out.is_empty() {
            return 0;
        }
        self.library.encode(pcm, out).unwrap_or(0)
    }

    /// How many percent of packets the far end says it loses: redundancy grows with it.
    pub fn expect_loss(&mut self, percent: u8) {
        // A refusal leaves the stream as it was, which still plays.
        let _ = self
            .library
            .set_packet_loss_perc(i32::from(percent.min(100)));
    }
}

/// Bits a second, a target that libopus stays below where the sound is simple.
fn bitrate(rate_hz: u32) -> Result<i32, CodecError> {
    match rate_hz {
        // What libopus adds to a tone falls by 4 dB from 20 to 32 kbit/s, at the same cost in time; it must be well below
        // what G.711 adds. Below 20 kbit/s libopus silently drops the redundancy.
        8_000 | 16_000 | 48_000 => Ok(32_000),
        _ => Err(CodecError::Rate {
            codec: Codec::Opus,
            rate_hz,
        }),
    }
}

impl Decoder {
    /// A decoder to PCM at 8000, 16000 or 48000 Hz.
    pub fn new(rate_hz: u32) -> Result<Decoder, CodecError> {
        bitrate(rate_hz)?;
        let library = ::opus::Decoder::new(rate_hz, Channels::Mono).map_err(|e| refused(&e))?;
        Ok(Decoder { library, rate_hz })
    }

    /// Decodes one packet; 0 samples when it is no Opus packet or longer than `pcm`.
    pub fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> usize {
        // An empty packet would ask libopus to conceal, of any length.
        if payload.is_empty() {
            return 0;
        }
        let room = pcm.len().min(MAX_FRAME);
        pcm.get_mut(..room).map_or(0, |pcm| {
            self.library.decode(payload, pcm, false).unwrap_or(0)
        })
    }

    /// Fills `pcm`, one lost frame, from what was heard before. Lengths that are no multiple of 2.5 ms give 0.
    pub fn conceal(&mut self, pcm: &mut [i16]) -> usize {
        if pcm.is_empty() || pcm.len() > MAX_FRAME {
            return 0;
        }
        self.library.decode(&[], pcm, false).unwrap_or(0)
    }

    /// Fills `pcm`, the lost frame just before `next`, from the redundancy in `next` where it carries any
    /// (RFC 6716 §2.1.7), else as `conceal`.
    pub fn recover(&mut self, next: &[u8], pcm: &mut [i16]) -> usize {
        let frame = packet::get_samples_per_frame(next, self.rate_hz).unwrap_or(0);
        // Redundancy covers one frame as long as the packet's own; libopus conceals what lies before it.
        if next.is_empty() || pcm.len() > MAX_FRAME || frame == 0 || pcm.len() < frame {
            return self.conceal(pcm);
        }
        self.library.decode(next, pcm, true).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing;

    fn frames(encoder: &mut Encoder, pcm: &[i16], rate_hz: u32) -> Vec<Vec<u8>> {
        pcm.chunks_exact(rate_hz as usize / 50)
            .map(|frame| {
                let mut out = [0; 400];
                let bytes = encoder.encode(frame, &mut out);
                assert!(bytes > 0);
                out[..bytes].to_vec()
            })
            .collect()
    }

    /// The best SNR over the delays a codec of up to 30 ms may have.
    fn best_snr(sent: &[i16], heard: &[i16], rate_hz: u32) -> f64 {
        (0..rate_hz as usize * 30 / 1_000)
            .map(|lag| testing::snr_db(&sent[..sent.len() - lag], &heard[lag..]))
            .fold(f64::MIN, f64::max)
    }

    #[test]
    fn speech_survives_at_every_rate() {
        for rate_hz in [8_000, 16_000, 48_000] {
            let speech = testing::speech(rate_hz, 1_000);
            let mut decoder = Decoder::new(rate_hz).expect("a supported rate");
            let mut heard = Vec::new();
            for payload in frames(
                &mut Encoder::new(rate_hz).expect("a supported rate"),
                &speech,
                rate_hz,
            ) {
                let mut pcm = [0; MAX_FRAME];
                let samples = decoder.decode(&payload, &mut pcm);
                assert_eq!(samples, rate_hz as usize / 50);
                heard.extend_from_slice(&pcm[..samples]);
            }
            let snr = best_snr(&speech, &heard, rate_hz);
            assert!(snr > 5.0, "{rate_hz} Hz: {snr:.1} dB");
        }
    }

    #[test]
    fn a_browsers_stereo_stream_is_heard_as_8_khz_mono() {
        let mut browser =
            ::opus::Encoder::new(48_000, Channels::Stereo, Application::Audio).expect("libopus");
        let left = testing::tone(48_000, 440.0, 8_000.0, 960 * 10);
        let mut decoder = Decoder::new(8_000).expect("a supported rate");
        let mut pcm = [0; 160];
        for frame in left.chunks_exact(960) {
            let both: Vec<i16> = frame.iter().flat_map(|&x| [x, x]).collect();
            let mut out = [0; 1_000];
            let bytes = browser.encode(&both, &mut out).expect("a frame");
            assert_eq!(decoder.decode(&out[..bytes], &mut pcm), 160);
        }
        let level = testing::power(&pcm).sqrt();
        assert!(
            (level / (8_000.0 / 2f64.sqrt()) - 1.0).abs() < 0.1,
            "{level}"
        );
    }

    #[test]
    fn redundancy_beats_guessing() {
        for rate_hz in [8_000, 16_000] {
            let speech = testing::speech(rate_hz, 2_000);
            let mut encoder = Encoder::new(rate_hz).expect("a supported rate");
            encoder.expect_loss(20);
            let sent = frames(&mut encoder, &speech, rate_hz);
            let lossy = |redundant: bool| {
                let frame = rate_hz as usize / 50;
                let mut decoder = Decoder::new(rate_hz).expect("a supported rate");
                let mut whole = Decoder::new(rate_hz).expect("a supported rate");
                let (mut lost, mut truth) = (Vec::new(), Vec::new());
                for (n, payload) in sent.iter().enumerate() {
                    let mut pcm = [0; 320];
                    whole.decode(payload, &mut pcm);
                    if n % 8 == 7 {
                        truth.extend_from_slice(&pcm[..frame]);
                        let next = sent.get(n + 1).filter(|_| redundant);
                        let pcm = &mut pcm[..frame];
                        let samples = match next {
                            Some(next) => decoder.recover(next, pcm),
                            None => decoder.conceal(pcm),
                        };
                        assert_eq!(samples, frame);
                        lost.extend_from_slice(pcm);
                    } else {
                        decoder.decode(payload, &mut pcm);
                    }
                }
                testing::snr_db(&truth, &lost)
            };
            let (with, without) = (lossy(true), lossy(false));
            assert!(
                with > without + 3.0,
                "{rate_hz} Hz: {with:.1} dB against {without:.1} dB"
            );
        }
    }

    #[test]
    fn garbage_is_silence_not_death() {
        let mut decoder = Decoder::new(16_000).expect("a supported rate");
        let mut pcm = [0; 320];
        assert_eq!(decoder.decode(&[], &mut pcm), 0);
        assert_eq!(decoder.decode(&[0xff; 3], &mut pcm), 0);
        assert_eq!(decoder.decode(&[0x08, 1, 2, 3], &mut []), 0);
        assert_eq!(decoder.conceal(&mut []), 0);
        assert_eq!(decoder.recover(&[], &mut pcm), 320);
        for sample in testing::noise(20_000).chunks(37) {
            let bytes: Vec<u8> = sample.iter().map(|x| x.to_le_bytes()[1]).collect();
            assert!(decoder.decode(&bytes, &mut pcm) <= 320);
            assert!(decoder.recover(&bytes, &mut pcm) <= 320);
        }
    }

    #[test]
    fn odd_frames_and_rates_are_refused() {
        let mut encoder = Encoder::new(8_000).expect("a supported rate");
        let mut out = [0; 400];
        assert_eq!(encoder.encode(&[0; 161], &mut out), 0);
        assert_eq!(encoder.encode(&[], &mut out), 0);
        assert_eq!(encoder.encode(&[0; 160], &mut []), 0);
        assert!(Encoder::new(44_100).is_err());
        assert!(Decoder::new(11_025).is_err());
    }
}
