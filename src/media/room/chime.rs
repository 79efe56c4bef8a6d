//! The sound that tells a room that somebody came or left: two notes up, or two down.

use std::f32::consts::TAU;

/// Length of each note.
const NOTE_MS: u32 = 120;
/// -20 dBFS: well below a voice.
const AMPLITUDE: f32 = 3_276.0;
const LOW_HZ: f32 = 587.33;
const HIGH_HZ: f32 = 880.0;

/// Who is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chime {
    Joined,
    Left,
}

/// A chime that is being heard.
#[derive(Debug)]
pub(crate) struct Ringing {
    chime: Chime,
    at: u32,
}

impl Ringing {
    pub(crate) fn new(chime: Chime) -> Ringing {
        Ringing { chime, at: 0 }
    }

    /// Adds its next samples to `sum`. False once it has been heard out.
    pub(crate) fn add(&mut self, rate_hz: u32, sum: &mut [i32]) -> bool {
        let note = NOTE_MS * rate_hz / 1_000;
        let fade = rate_hz / 100;
        for slot in sum {
            let (first, at) = (self.at < note, self.at % note.max(1));
            if self.at >= 2 * note {
                return false;
            }
            let frequency = match (self.chime, first) {
                (Chime::Joined, true) | (Chime::Left, false) => LOW_HZ,
                (Chime::Joined, false) | (Chime::Left, true) => HIGH_HZ,
            };
            // Edges of 10 ms: no clicks.
            let edge = at.min(note - at).min(fade) as f32 / fade.max(1) as f32;
            let angle = TAU * frequency * at as f32 / rate_hz as f32;
            *slot += (AMPLITUDE * edge * angle.sin()) as i32;
            self.at += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chime_is_heard_and_ends() {
        for rate_hz in [8_000, 16_000, 48_000] {
            let mut ringing = Ringing::new(Chime::Joined);
            let frame = rate_hz as usize / 50;
            let mut frames = 0;
            let mut sum = vec![0; frame];
            while ringing.add(rate_hz, &mut sum) {
                frames += 1;
                assert!(sum.iter().any(|sample| *sample != 0));
                assert!(sum.iter().all(|sample| sample.abs() < 4_000));
                sum.fill(0);
            }
            assert_eq!(frames, 12, "{rate_hz} Hz");
        }
    }
}
