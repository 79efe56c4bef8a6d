//! Progress tones as samples: 425 Hz with the cadences most of Europe knows (ITU-T E.180 / Q.35).

use std::f64::consts::TAU;

use crate::Tone;

const FREQUENCY_HZ: f64 = 425.0;
/// -13 dBm0, between the limits Q.35 gives; full scale is +3.14 dBm0.
const AMPLITUDE: f64 = 5_100.0;

/// Endless samples of one tone, cadence included.
#[derive(Debug)]
pub(crate) struct Oscillator {
    /// 40 ms: 17 whole periods.
    wave: Box<[i16]>,
    on: u64,
    cycle: u64,
    at: u64,
}

impl Oscillator {
    /// At `rate_hz` samples a second, a multiple of 1000.
    pub(crate) fn new(tone: Tone, rate_hz: u32) -> Oscillator {
        let (on_ms, off_ms): (u64, u64) = match tone {
            Tone::Ringback => (1_000, 4_000),
            Tone::Busy => (500, 500),
            Tone::Congestion => (250, 250),
        };
        let per_ms = u64::from(rate_hz) / 1_000;
        let sample = |i: u64| {
            let angle = TAU * FREQUENCY_HZ * i as f64 / f64::from(rate_hz);
            (AMPLITUDE * angle.sin()) as i16
        };
        Oscillator {
            wave: (0..40 * per_ms).map(sample).collect(),
            on: on_ms * per_ms,
            cycle: (on_ms + off_ms) * per_ms,
            at: 0,
        }
    }

    /// Whether the cadence begins anew at the next sample, which is not the first.
    pub(crate) fn cycled(&self) -> bool {
        self.at >= self.cycle
    }

    /// The next samples.
    pub(crate) fn fill(&mut self, pcm: &mut [i16]) {
        for sample in pcm {
            let at = self.at % self.cycle;
            let period = self.wave.len().max(1) as u64;
            let wave = self.wave.get((at % period) as usize);
            *sample = wave.copied().filter(|_| at < self.on).unwrap_or(0);
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cadences_are_exact() {
        for (tone, on, cycle) in [
            (Tone::Ringback, 8_000, 40_000),
            (Tone::Busy, 4_000, 8_000),
            (Tone::Congestion, 2_000, 4_000),
        ] {
            let mut oscillator = Oscillator::new(tone, 8_000);
            let mut pcm = vec![0i16; 2 * cycle];
            oscillator.fill(&mut pcm);
            assert!(oscillator.cycled());
            let loud = |range: std::ops::Range<usize>| {
                pcm[range].iter().any(|&s| s.unsigned_abs() > 4_000)
            };
            assert!(loud(on - 40..on) && !loud(on..cycle) && loud(cycle..cycle + 40));
        }
    }

    #[test]
    fn the_tone_has_425_periods_a_second() {
        let mut pcm = vec![0i16; 16_000];
        Oscillator::new(Tone::Ringback, 16_000).fill(&mut pcm);
        let rising = pcm.windows(2).filter(|w| w[0] < 0 && w[1] >= 0).count();
        assert!((424..=425).contains(&rising), "{rising}");
    }
}
