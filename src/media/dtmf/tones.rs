//! The tones of keys as samples (ITU-T Q.23), and what makes payloads of them.
//!
//! Not here: for how long (`speaker.rs`).

use std::f64::consts::TAU;

use super::detector::{COLUMNS, KEYS, ROWS};

/// -8 dBm0 and -6 dBm0: the higher tone is a little louder, as lines weaken it more. Full scale is +3.14 dBm0.
const LOW: f64 = 8_890.0;
const HIGH: f64 = 11_190.0;
/// Rise and fall, in ms: a tone that starts at once clicks.
const RAMP_MS: u32 = 1;

/// The two tones of one key.
#[derive(Debug, Clone, Copy)]
pub struct KeyTone {
    steps: [f64; 2],
    at: u32,
    ramp: u32,
}

impl KeyTone {
    /// At `rate_hz`; `None` for what is no key.
    #[must_use]
    pub fn new(key: char, rate_hz: u32) -> Option<KeyTone> {
        let key = key.to_ascii_uppercase();
        let place = KEYS.iter().zip(ROWS).find_map(|(keys, row)| {
            let mut columns = keys.iter().zip(COLUMNS);
            columns.find_map(|(&k, column)| (k == key).then_some((row, column)))
        });
        let (row, column) = place?;
        let step = |hz: f64| TAU * hz / f64::from(rate_hz.max(1));
        Some(KeyTone {
            steps: [step(row), step(column)],
            at: 0,
            ramp: RAMP_MS * rate_hz / 1_000,
        })
    }

    /// The next samples; `last`: the tone ends with them.
    pub fn fill(&mut self, pcm: &mut [i16], last: bool) {
        let length = pcm.len();
        for (i, sample) in pcm.iter_mut().enumerate() {
            let at = f64::from(self.at);
            let [low, high] = self.steps.map(|step| (step * at).sin());
            let rise = f64::from(self.at.min(self.ramp)) / f64::from(self.ramp.max(1));
            let left = if last { length - i - 1 } else { usize::MAX };
            let fall = (left.min(self.ramp as usize)) as f64 / f64::from(self.ramp.max(1));
            *sample = ((low * LOW + high * HIGH) * rise.min(fall)) as i16;
            self.at = self.at.wrapping_add(1);
        }
    }
}
