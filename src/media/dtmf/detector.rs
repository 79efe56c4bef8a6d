//! Finds the tones of keys in a voice at 8 kHz (ITU-T Q.23, Q.24), and nothing in speech.
//!
//! Eight Goertzel filters look at blocks of 12.75 ms that overlap by half. A block counts when a row and a column hold
//! nearly all of its energy, neither much louder than the other, with nothing at twice the column; four such blocks in a
//! row are a key. Not here: decoding (`listener.rs`).

use std::f64::consts::TAU;

/// Frequencies of the rows and columns, in Hz (Q.23).
pub(crate) const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
pub(crate) const COLUMNS: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
/// The keys, row by row.
pub(crate) const KEYS: [[char; 4]; 4] = [
    ['1', '2', '3', 'A'],
    ['4', '5', '6', 'B'],
    ['7', '8', '9', 'C'],
    ['*', '0', '#', 'D'],
];
const RATE_HZ: f64 = 8_000.0;
const PER_MS: u64 = 8;

/// Wide enough to tell 1.5 % from 3.5 % off the frequency, short enough for four blocks in 40 ms.
const BLOCK: usize = 102;
const HOP: usize = 51;
/// Mean square of two tones of -35 dBm0 each: what is weaker is no key (Q.24 table A-1 asks for -29 at most).
const QUIETEST: f32 = 160_000.0;
/// The share of a block's energy that the two tones must have, and that keeps a key down which is there already.
const PURE: f32 = 0.70;
const HOLDS: f32 = 0.30;
/// The column may be louder than the row by 9 dB, the row by 6 dB (Q.24 asks for 4 dB at least).
const FORWARD: f32 = 8.0;
const REVERSE: f32 = 4.0;
/// How much of the best filter's power another of its group may have (-8 dB).
const BESIDE: f32 = 0.16;
/// Voices have overtones, keys have none: at most -10 dB of the column.
const OVERTONE: f32 = 0.1;
/// Blocks of the same key that make it: no less than 32 ms of clean tone.
const HITS: u8 = 4;
/// Blocks that make a tone more than a chance.
const SUSPECT: u8 = 2;
/// Blocks without the key that end it: 20 ms; a gap of 10 ms does not.
const MISSES: u8 = 3;

/// Listens to one voice.
#[derive(Debug)]
pub struct Detector {
    filters: [f32; 8],
    overtones: [f32; 4],
    block: [f32; BLOCK],
    filled: usize,
    /// Samples heard.
    clock: u64,
    candidate: Option<Candidate>,
    down: Option<Down>,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    key: char,
    hits: u8,
    since: u64,
}

#[derive(Debug, Clone, Copy)]
struct Down {
    key: char,
    since: u64,
    /// The end of the last block it was in.
    last: u64,
    misses: u8,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A key is down.
    Down(char),
    /// It was released, after so many milliseconds.
    Up(u32),
}

/// How much of a key a block has.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Look {
    Nothing,
    Some(char),
    All(char),
}

impl Default for Detector {
    fn default() -> Self {
        Detector::new()
    }
}

impl Detector {
    /// Nothing heard yet.
    #[must_use]
    pub fn new() -> Detector {
        let filter = |hz: f64| (2.0 * (TAU * hz / RATE_HZ).cos()) as f32;
        let mut frequencies = ROWS.into_iter().chain(COLUMNS);
        Detector {
            filters: std::array::from_fn(|_| frequencies.next().map_or(0.0, filter)),
            overtones: COLUMNS.map(|hz| filter(2.0 * hz)),
            block: [0.0; BLOCK],
            filled: 0,
            clock: 0,
            candidate: None,
            down: None,
        }
    }

    /// Takes sound at 8 kHz; `tell` hears what is found in it, in order. Does not allocate.
    pub fn hear(&mut self, pcm: &[i16], mut tell: impl FnMut(Found)) {
        for &sample in pcm {
            if let Some(slot) = self.block.get_mut(self.filled) {
                *slot = f32::from(sample);
            }
            self.filled += 1;
            self.clock += 1;
            if self.filled >= BLOCK {
                let look = self.look();
                self.judge(look, &mut tell);
                self.block.copy_within(HOP.., 0);
                self.filled = BLOCK - HOP;
            }
        }
    }

    /// Whether a key is down, or is about to be.
    #[must_use]
    pub fn suspects(&self) -> bool {
        self.is_down() || self.candidate.is_some_and(|c| c.hits >= SUSPECT)
    }

    /// Whether a key is down.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down.is_some()
    }

    fn look(&self) -> Look {
        let energy: f32 = self.block.iter().map(|s| s * s).sum();
        let length = BLOCK as f32;
        if energy < QUIETEST * length {
            return Look::Nothing;
        }
        // A sine of the whole block gives 1.
        let share = |filter: f32| 2.0 * power(&self.block, filter) / (length * energy);
        let shares = self.filters.map(share);
        let (rows, columns) = shares.split_at(4);
        let (Some((row, low)), Some((column, high))) = (loudest(rows), loudest(columns)) else {
            return Look::Nothing;
        };
        let key = KEYS.get(row).and_then(|keys| keys.get(column));
        let Some(&key) = key else {
            return Look::Nothing;
        };
        let twisted = high > low * FORWARD || low > high * REVERSE;
        if low + high < HOLDS || twisted {
            return Look::Nothing;
        }
        let overtone = self.overtones.get(column).copied().map_or(0.0, share);
        let alone = |group: &[f32], best: f32| {
            group.iter().filter(|&&other| other > best * BESIDE).count() == 1
        };
        let clean = alone(rows, low) && alone(columns, high) && overtone < high * OVERTONE;
        if clean && low + high >= PURE {
            Look::All(key)
        } else {
            Look::Some(key)
        }
    }

    fn judge(&mut self, look: Look, tell: &mut impl FnMut(Found)) {
        let now = self.clock;
        match (look, &mut self.down) {
            (Look::All(key), Some(down)) if down.key == key => {
                (down.misses, down.last) = (0, now);
            }
            (Look::Some(key), Some(down)) if down.key == key => down.misses = 0,
            (_, Some(down)) => {
                down.misses += 1;
                if down.misses >= MISSES {
                    let length = down.last.saturating_sub(down.since) / PER_MS;
                    self.down = None;
                    tell(Found::Up(u32::try_from(length).unwrap_or(u32::MAX)));
                }
            }
            (_, None) => {}
        }
        self.follow(look, tell);
    }

    /// Counts the blocks of a key that is not down yet.
    fn follow(&mut self, look: Look, tell: &mut impl FnMut(Found)) {
        let Look::All(key) = look else {
            self.candidate = None;
            return;
        };
        if self.down.is_some_and(|down| down.key == key) {
            return;
        }
        let fresh = Candidate {
            key,
            hits: 0,
            since: self.clock.saturating_sub(BLOCK as u64),
        };
        let mut candidate = self.candidate.filter(|c| c.key == key).unwrap_or(fresh);
        candidate.hits += 1;
        if candidate.hits < HITS || self.down.is_some() {
            candidate.hits = candidate.hits.min(HITS);
            self.candidate = Some(candidate);
            return;
        }
        self.candidate = None;
        self.down = Some(Down {
            key,
            since: candidate.since,
            last: self.clock,
            misses: 0,
        });
        tell(Found::Down(key));
    }
}

/// The loudest of a group and where it stands.
fn loudest(group: &[f32]) -> Option<(usize, f32)> {
    let shares = group.iter().copied().enumerate();
    shares.max_by(|a, b| a.1.total_cmp(&b.1))
}

/// Goertzel: the power of `block` at the frequency of `filter`.
fn power(block: &[f32], filter: f32) -> f32 {
    let (mut one, mut two) = (0.0f32, 0.0f32);
    for sample in block {
        let next = sample + filter * one - two;
        two = one;
        one = next;
    }
    one * one + two * two - filter * one * two
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtmf::tones::KeyTone;

    const ALL: &str = "0123456789*#ABCD";

    /// Two tones: frequencies and amplitudes.
    fn pair((low, high): (f64, f64), (a, b): (f64, f64), ms: usize) -> Vec<i16> {
        let sample = |i: usize| {
            let at = TAU * i as f64 / RATE_HZ;
            (a * (low * at).sin() + b * (high * at).sin()) as i16
        };
        (0..ms * 8).map(sample).collect()
    }

    /// The keys heard in `pcm`, and how long each was.
    fn heard(pcm: &[i16]) -> (String, Vec<u32>) {
        let (mut keys, mut lengths) = (String::new(), Vec::new());
        let mut detector = Detector::new();
        let mut tell = |found| match found {
            Found::Down(key) => keys.push(key),
            Found::Up(ms) => lengths.push(ms),
        };
        detector.hear(pcm, &mut tell);
        detector.hear(&[0; 800], &mut tell);
        assert!(!detector.suspects());
        (keys, lengths)
    }

    fn noise(seed: &mut u64, loudness: f64) -> f64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((*seed >> 40) as f64 / 8_388_608.0 - 1.0) * loudness * 1.732
    }

    #[test]
    fn every_key_is_heard_at_any_phase_of_the_blocks() {
        let mut pcm = Vec::new();
        let mut expected = String::new();
        for offset in 0..51 {
            pcm.extend(vec![0; offset]);
            for key in ALL.chars() {
                let mut sound = [0; 320];
                KeyTone::new(key, 8_000).unwrap().fill(&mut sound, true);
                pcm.extend(sound);
                pcm.extend([0; 320]);
                expected.push(key);
            }
        }
        let (keys, lengths) = heard(&pcm);
        assert_eq!(keys, expected);
        assert_eq!(lengths.len(), keys.len());
        assert!(
            lengths.iter().all(|ms| (32..=48).contains(ms)),
            "{lengths:?}"
        );
    }

    #[test]
    fn what_q24_asks_for() {
        let key = (770.0, 1_336.0);
        let off = |percent: f64| {
            (
                key.0 * (1.0 + percent / 100.0),
                key.1 * (1.0 + percent / 100.0),
            )
        };
        let even = (8_000.0, 8_000.0);
        let hears = |pcm: &[i16]| heard(pcm).0;
        for percent in [-1.7, -1.5, 1.5, 1.7] {
            assert_eq!(hears(&pair(off(percent), even, 50)), "5", "{percent} %");
        }
        for percent in [-3.5, 3.5] {
            assert_eq!(hears(&pair(off(percent), even, 500)), "", "{percent} %");
        }
        // -29 dBm0 and 0 dBm0 each; -45 dBm0.
        for (loudness, keys) in [(790.0, "5"), (22_000.0, "5"), (128.0, "")] {
            assert_eq!(
                hears(&pair(key, (loudness, loudness), 50)),
                keys,
                "{loudness}"
            );
        }
        // Twist: the column 8 dB louder, the row 4 dB louder; 15 dB and 12 dB are none of ours.
        for (levels, keys) in [
            ((4_000.0, 10_000.0), "5"),
            ((10_000.0, 6_310.0), "5"),
            ((1_780.0, 10_000.0), ""),
            ((10_000.0, 2_500.0), ""),
        ] {
            assert_eq!(hears(&pair(key, levels, 50)), keys, "{levels:?}");
        }
        assert_eq!(hears(&pair(key, even, 20)), "", "too short");
        assert_eq!(hears(&pair(key, (8_000.0, 0.0), 500)), "", "one tone");
    }

    #[test]
    fn a_short_gap_does_not_make_two_keys_of_one() {
        let key = (941.0, 1_477.0);
        for phase in 0..51 {
            let mut pcm = vec![0; phase];
            pcm.extend(pair(key, (8_000.0, 8_000.0), 60));
            pcm.extend([0; 80]);
            pcm.extend(pair(key, (8_000.0, 8_000.0), 60));
            assert_eq!(heard(&pcm).0, "#", "{phase}");
        }
    }

    #[test]
    fn noise_15_db_below_hides_no_key() {
        let mut seed = 1;
        let mut pcm = Vec::new();
        for _ in 0..100 {
            pcm.extend(pair((697.0, 1_209.0), (5_000.0, 5_000.0), 50));
            pcm.extend([0; 400]);
        }
        for sample in &mut pcm {
            *sample += noise(&mut seed, 5_000.0 * 0.178) as i16;
        }
        assert_eq!(heard(&pcm).0, "1".repeat(100));
    }

    #[test]
    fn overtones_make_it_a_voice() {
        let mut pcm = pair((852.0, 1_209.0), (8_000.0, 8_000.0), 200);
        for (sample, over) in pcm
            .iter_mut()
            .zip(pair((2_418.0, 0.0), (5_000.0, 0.0), 200))
        {
            *sample += over;
        }
        assert_eq!(heard(&pcm).0, "");
    }

    #[test]
    fn noise_and_chords_press_nothing() {
        let mut seed = 7;
        let mut pcm: Vec<i16> = (0..8_000 * 60)
            .map(|_| noise(&mut seed, 6_000.0) as i16)
            .collect();
        for chord in [
            [440.0, 554.4, 659.3],
            [523.3, 659.3, 784.0],
            [697.0, 880.0, 1_046.5],
        ] {
            let sample = |i: usize| {
                let at = TAU * i as f64 / RATE_HZ;
                chord
                    .iter()
                    .map(|hz| 4_000.0 * (hz * at).sin())
                    .sum::<f64>() as i16
            };
            pcm.extend((0..8_000).map(sample));
        }
        assert_eq!(heard(&pcm).0, "");
    }
}
