//! Signals and measures for this folder's tests; nothing of it is in the product.

use std::f64::consts::TAU;

/// Voiced speech, roughly: a gliding 120 Hz pitch with harmonics to 3.2 kHz, in syllables.
pub(crate) fn speech(rate_hz: u32, for_ms: u32) -> Vec<i16> {
    let rate = f64::from(rate_hz);
    let samples = u64::from(rate_hz) * u64::from(for_ms) / 1_000;
    let mut phase = 0.0;
    (0..samples)
        .map(|n| {
            let at = n as f64 / rate;
            let pitch = 120.0 + 20.0 * (TAU * 1.3 * at).sin();
            phase += pitch / rate;
            let voice: f64 = (1..=26)
                .map(|k| {
                    let k = f64::from(k);
                    // A formant near 500 Hz.
                    (TAU * phase * k + k * k).sin() / (1.0 + ((k - 4.0) / 2.5).powi(2))
                })
                .sum();
            let syllable = 0.55 + 0.45 * (TAU * 4.0 * at).sin();
            (voice * syllable * 3_000.0) as i16
        })
        .collect()
}

/// A sine.
pub(crate) fn tone(rate_hz: u32, hz: f64, amplitude: f64, samples: usize) -> Vec<i16> {
    (0..samples)
        .map(|n| (amplitude * (TAU * hz * n as f64 / f64::from(rate_hz)).sin()).round() as i16)
        .collect()
}

/// Full-scale white noise, the same every time, in integers only.
pub(crate) fn noise(samples: usize) -> Vec<i16> {
    let mut state = 0x2545_f491u32;
    (0..samples)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as u16 as i16
        })
        .collect()
}

/// A triangle sweeping from 50 Hz to beyond half the rate while it grows to full scale, in integers only.
pub(crate) fn sweep(samples: usize) -> Vec<i16> {
    let mut phase = 0u32;
    (0..samples)
        .map(|n| {
            phase = phase.wrapping_add(13_000_000 + (n * n / samples * 140_000) as u32);
            let triangle = (phase.cast_signed().unsigned_abs() >> 15) as i64 - 32_768;
            (triangle * n as i64 / samples as i64) as i16
        })
        .collect()
}

/// A full-scale square wave of changing period.
pub(crate) fn square(samples: usize) -> Vec<i16> {
    (0..samples)
        .map(|n| {
            if (n / (1 + n / 400)).is_multiple_of(2) {
                i16::MAX
            } else {
                i16::MIN
            }
        })
        .collect()
}

pub(crate) fn power(signal: &[i16]) -> f64 {
    signal.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / signal.len() as f64
}

/// Signal to error ratio of `heard` against `sent`.
pub(crate) fn snr_db(sent: &[i16], heard: &[i16]) -> f64 {
    let error: f64 = sent
        .iter()
        .zip(heard)
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
        .sum::<f64>()
        / sent.len() as f64;
    10.0 * (power(sent) / error.max(1e-9)).log10()
}
