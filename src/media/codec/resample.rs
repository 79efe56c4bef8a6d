//! Changing the sample rate by 2, 3 or 6: a polyphase FIR in 16-bit integers, 32 taps a phase.
//!
//! The filter is a sinc under a Kaiser window. It passes speech to 3.4 kHz (of 8) within 1 dB, mirrors nothing above
//! -60 dB, and delays by 16 samples of the lower rate: 2 ms at 8 kHz.

use super::CodecError;
use std::f64::consts::PI;

/// Taps that meet one output sample when the rate rises; times the ratio when it falls.
const TAPS: usize = 32;
/// Where the filter is half way down, as a part of the lower rate.
const CUTOFF: f64 = 0.46;
/// Shape of the Kaiser window: about 70 dB of stop band.
const BETA: f64 = 7.0;
/// Input samples worked on at once: 20 ms at 48 kHz.
const BLOCK: usize = 960;

/// One direction of one stream.
#[derive(Debug, Clone)]
pub struct Resampler {
    step: Step,
    /// Taps in the order they meet the samples, phase by phase.
    taps: Box<[i16]>,
    /// The past that the taps still need, then the block at work.
    window: Box<[i16]>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Same,
    /// So many outputs for one input.
    Up(usize),
    /// One output for `by` inputs, the next when `skip` more have come.
    Down {
        by: usize,
        skip: usize,
    },
}

impl Resampler {
    /// A resampler between two rates in Hz whose ratio is 1, 2, 3 or 6.
    pub fn new(from_hz: u32, to_hz: u32) -> Result<Resampler, CodecError> {
        let ratio = |a: u32, b: u32| {
            if b > 0 && a.is_multiple_of(b) {
                (a / b) as usize
            } else {
                0
            }
        };
        let (taps, step) = match (ratio(to_hz, from_hz), ratio(from_hz, to_hz)) {
            (1, _) => (Box::default(), Step::Same),
            (by @ (2 | 3 | 6), _) => (rising(by), Step::Up(by)),
            // The first output comes with the `by`th input, so whole frames give whole frames.
            (_, by @ (2 | 3 | 6)) => (falling(by), Step::Down { by, skip: by - 1 }),
            _ => return Err(CodecError::Ratio { from_hz, to_hz }),
        };
        let past = match step {
            Step::Same => 0,
            Step::Up(_) => TAPS - 1,
            Step::Down { by, .. } => TAPS * by - 1,
        };
        Ok(Resampler {
            step,
            taps,
            window: vec![0; past + BLOCK].into(),
        })
    }

    /// Converts `input`, continuing the last call's, into `out`; returns the samples written. What does not fit is dropped.
    pub fn process(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        let mut written = 0;
        for block in input.chunks(BLOCK) {
            let out = out.get_mut(written..).unwrap_or_default();
            written += match self.step {
                Step::Same => copy(block, out),
                Step::Up(by) => self.rise(block, by, out),
                Step::Down { by, skip } => self.fall(block, by, skip, out),
            };
        }
        written
    }

    fn rise(&mut self, block: &[i16], by: usize, out: &mut [i16]) -> usize {
        let fresh = self.take(block);
        let span = self.window.get(..fresh).unwrap_or_default();
        // Phase outside, time inside: the taps stay in registers.
        for (phase, taps) in self.taps.as_chunks::<TAPS>().0.iter().enumerate() {
            for (samples, slot) in span
                .windows(TAPS)
                .zip(out.iter_mut().skip(phase).step_by(by))
            {
                *slot = samples
                    .first_chunk::<TAPS>()
                    .map_or(0, |samples| narrow(dot(samples, taps), 15));
            }
        }
        self.slide(block.len());
        (block.len() * by).min(out.len())
    }

    fn fall(&mut self, block: &[i16], by: usize, skip: usize, out: &mut [i16]) -> usize {
        let fresh = self.take(block);
        let span = self.window.get(..fresh).unwrap_or_default();
        let mut written = 0;
        for (samples, slot) in span
            .windows(TAPS * by)
            .skip(skip)
            .step_by(by)
            .zip(out.iter_mut())
        {
            *slot = narrow(dot(samples, &self.taps), 16);
            written += 1;
        }
        let ahead = (block.len() + by - 1 - skip) / by * by;
        self.step = Step::Down {
            by,
            skip: skip + ahead - block.len(),
        };
        self.slide(block.len());
        written
    }

    /// Puts `block` after the past; returns where it ends.
    fn take(&mut self, block: &[i16]) -> usize {
        let past = self.window.len() - BLOCK;
        let end = past + block.len();
        self.window
            .get_mut(past..end)
            .expect("a block is at most BLOCK long")
            .copy_from_slice(block);
        end
    }

    /// Makes the newest samples the past.
    fn slide(&mut self, by: usize) {
        let past = self.window.len() - BLOCK;
        self.window.copy_within(by..by + past, 0);
    }
}

fn copy(block: &[i16], out: &mut [i16]) -> usize {
    block
        .iter()
        .zip(out.iter_mut())
        .map(|(sample, slot)| *slot = *sample)
        .count()
}

/// The taps for a rate that rises: phase after phase, each with the newest sample's tap last.
fn rising(by: usize) -> Box<[i16]> {
    let filter = prototype(by);
    let gain = by as f64 * 32_768.0;
    (0..by)
        .flat_map(|phase| {
            filter
                .iter()
                .skip(phase)
                .step_by(by)
                .map(|tap| (tap * gain).round() as i16)
                .rev()
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The taps for a rate that falls; symmetric, so the order does not matter.
fn falling(by: usize) -> Box<[i16]> {
    prototype(by)
        .iter()
        .map(|tap| (tap * 65_536.0).round() as i16)
        .collect()
}

/// The low-pass filter at the higher rate, sum 1.
fn prototype(by: usize) -> Vec<f64> {
    let length = TAPS * by;
    let middle = (length - 1) as f64 / 2.0;
    let bare = (0..length).map(|n| {
        let at = n as f64 - middle;
        // The length is even, so `at` is never 0.
        let sinc = (2.0 * PI * CUTOFF * at / by as f64).sin() / (PI * at);
        sinc * bessel(BETA * (1.0 - (at / middle).powi(2)).max(0.0).sqrt())
    });
    let sum: f64 = bare.clone().sum();
    bare.map(|tap| tap / sum).collect()
}

/// The modified Bessel function I0, by its power series.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

/// Sums each half in 32 bits: the magnitudes of half a filter's taps add up to less than 2^16, so no input can overflow it.
fn dot(samples: &[i16], taps: &[i16]) -> i64 {
    let half = taps.len() / 2;
    match (samples.split_at_checked(half), taps.split_at_checked(half)) {
        (Some((old, new)), Some((old_taps, new_taps))) => {
            i64::from(half_dot(old, old_taps)) + i64::from(half_dot(new, new_taps))
        }
        _ => 0,
    }
}

/// Wrapping only to leave overflow checks out of the one loop they would keep from vectorising.
fn half_dot(samples: &[i16], taps: &[i16]) -> i32 {
    samples.iter().zip(taps).fold(0i32, |sum, (&x, &tap)| {
        sum.wrapping_add(i32::from(x).wrapping_mul(i32::from(tap)))
    })
}

fn narrow(sum: i64, shift: u32) -> i16 {
    let rounded = (sum + (1 << (shift - 1))) >> shift;
    rounded.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing;

    const PAIRS: [(u32, u32); 6] = [
        (8_000, 16_000),
        (16_000, 8_000),
        (16_000, 48_000),
        (48_000, 16_000),
        (8_000, 48_000),
        (48_000, 8_000),
    ];

    fn convert(from_hz: u32, to_hz: u32, input: &[i16]) -> Vec<i16> {
        let mut resampler = Resampler::new(from_hz, to_hz).expect("a supported ratio");
        let mut out = vec![0; input.len() * to_hz as usize / from_hz as usize];
        assert_eq!(resampler.process(input, &mut out), out.len());
        out
    }

    fn level_db(pcm: &[i16]) -> f64 {
        10.0 * (testing::power(pcm) / (8_000f64.powi(2) / 2.0))
            .max(1e-12)
            .log10()
    }

    #[test]
    fn what_the_lower_rate_can_carry_passes() {
        for (from, to) in PAIRS {
            let low = f64::from(from.min(to));
            for (part, tolerance) in [
                (0.01, 0.1),
                (0.125, 0.1),
                (0.3, 0.1),
                (0.375, 0.2),
                (0.425, 1.0),
            ] {
                let out = convert(
                    from,
                    to,
                    &testing::tone(from, low * part, 8_000.0, from as usize),
                );
                let level = level_db(&out[out.len() / 4..out.len() * 3 / 4]);
                assert!(
                    level.abs() < tolerance,
                    "{from} to {to}, {part}: {level:.2} dB"
                );
            }
        }
    }

    #[test]
    fn what_it_cannot_carry_does_not_fold_back() {
        for (from, to) in PAIRS.into_iter().filter(|(from, to)| from > to) {
            for (part, limit) in [(0.53, -60.0), (0.575, -70.0), (0.7, -70.0), (0.95, -70.0)] {
                let out = convert(
                    from,
                    to,
                    &testing::tone(from, f64::from(to) * part, 8_000.0, from as usize),
                );
                // 8000 is 77 dB above the rounding noise, so the limit is measurable.
                let level = level_db(&out[out.len() / 4..out.len() * 3 / 4]);
                assert!(level < limit, "{from} to {to}, {part}: {level:.1} dB");
            }
        }
    }

    #[test]
    fn rising_makes_no_mirror_images() {
        for (from, to) in PAIRS.into_iter().filter(|(from, to)| from < to) {
            let hz = f64::from(from) * 0.375;
            let out = convert(from, to, &testing::tone(from, hz, 8_000.0, from as usize));
            let image = f64::from(from) - hz;
            let (mut re, mut im) = (0.0, 0.0);
            for (n, &x) in out.iter().enumerate() {
                let angle = std::f64::consts::TAU * image * n as f64 / f64::from(to);
                re += f64::from(x) * angle.cos();
                im += f64::from(x) * angle.sin();
            }
            let level = 20.0 * ((re.hypot(im) * 2.0 / out.len() as f64) / 8_000.0).log10();
            assert!(level < -65.0, "{from} to {to}: {level:.1} dB");
        }
    }

    #[test]
    fn up_and_down_again_is_the_same_speech_later() {
        let speech = testing::speech(8_000, 500);
        let back = convert(16_000, 8_000, &convert(8_000, 16_000, &speech));
        // Both filters together delay by 63 samples of 16 kHz, and the falling one reads one sample ahead: 31 of 8 kHz.
        let snr = testing::snr_db(&speech[..speech.len() - 31], &back[31..]);
        assert!(snr > 40.0, "{snr:.1} dB");
    }

    #[test]
    fn pieces_of_any_size_give_the_same_stream() {
        let input = testing::noise(48_000 / 5);
        for (from, to) in PAIRS {
            let whole = convert(from, to, &input);
            let mut resampler = Resampler::new(from, to).expect("a supported ratio");
            let mut pieces = Vec::new();
            let mut rest = &input[..];
            for size in [1, 2, 5, 160, 320, 960, 961, 7].into_iter().cycle() {
                let (piece, after) = rest.split_at(size.min(rest.len()));
                let mut out = vec![0; piece.len() * 6];
                let written = resampler.process(piece, &mut out);
                pieces.extend_from_slice(&out[..written]);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            assert_eq!(pieces, whole, "{from} to {to}");
        }
    }

    #[test]
    fn the_loudest_input_saturates_and_never_overflows() {
        for (from, to) in PAIRS {
            let by = (from.max(to) / from.min(to)) as usize;
            let taps = if from < to { rising(by) } else { falling(by) };
            for phase in taps.chunks(if from < to { TAPS } else { TAPS * by }) {
                for half in phase.chunks(phase.len() / 2) {
                    let magnitude: i64 = half.iter().map(|&tap| i64::from(tap).abs()).sum();
                    assert!(magnitude < 65_535, "{from} to {to}: {magnitude}");
                }
                // The input that makes every product positive.
                let worst: Vec<i16> = phase
                    .iter()
                    .map(|&tap| if tap < 0 { i16::MIN } else { i16::MAX })
                    .collect();
                assert!(dot(&worst, phase) > 0);
            }
            convert(from, to, &testing::square(4_800));
        }
    }

    #[test]
    fn a_short_out_drops_and_other_ratios_are_refused() {
        let mut resampler = Resampler::new(8_000, 16_000).expect("a supported ratio");
        assert_eq!(resampler.process(&[1; 160], &mut [0; 100]), 100);
        let mut resampler = Resampler::new(48_000, 8_000).expect("a supported ratio");
        assert_eq!(resampler.process(&[1; 960], &mut [0; 100]), 100);
        assert_eq!(resampler.process(&[1; 960], &mut [0; 200]), 160);
        let mut resampler = Resampler::new(8_000, 8_000).expect("a supported ratio");
        assert_eq!(resampler.process(&[1; 2_000], &mut [0; 2_000]), 2_000);
        assert!(Resampler::new(44_100, 8_000).is_err());
        assert!(Resampler::new(0, 8_000).is_err());
        assert!(Resampler::new(0, 0).is_err());
    }
}
