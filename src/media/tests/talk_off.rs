//! Speech presses no key: ten minutes of it, by several voices, read out from the README by espeak-ng. Without that program
//! there is no speech, and nothing is tested.

#![expect(clippy::disallowed_types, reason = "another program speaks")]

use std::process::Command;

use media::dtmf::detector::{Detector, Found};

const RATE_HZ: f64 = 8_000.0;
const MINUTES: usize = 10;
/// Characters that each voice reads: a little more than its share of the time.
const PART: usize = 3_000;
/// espeak-ng's voice, pitch and words a minute.
const VOICES: [[&str; 3]; 6] = [
    ["en-us", "50", "170"],
    ["en-gb+f2", "70", "150"],
    ["de+m3", "40", "160"],
    ["fr+f4", "80", "180"],
    ["en-us+m7", "20", "140"],
    ["es+f3", "99", "190"],
];

/// What a voice makes of a part of the README, at 8 kHz.
fn speech(part: usize, [voice, pitch, pace]: [&str; 3]) -> Option<Vec<i16>> {
    let readme = include_str!("../../../README.md");
    let part: String = readme.chars().skip(part * PART).take(PART).collect();
    let spoken = Command::new("espeak-ng")
        .args(["--stdout", "-v", voice, "-p", pitch, "-s", pace, &part])
        .output()
        .ok()?;
    assert!(spoken.status.success(), "{spoken:?}");
    let rate = spoken.stdout.get(24..28)?.try_into().ok()?;
    let step = f64::from(u32::from_le_bytes(rate)) / RATE_HZ;
    let pcm: Vec<f64> = spoken
        .stdout
        .get(44..)?
        .chunks_exact(2)
        .map(|b| f64::from(i16::from_le_bytes([b[0], b[1]])))
        .collect();
    let samples = (pcm.len() as f64 / step) as usize;
    // The mean of the samples that one stands for: what would fold down is weakened.
    let sample = |i: usize| {
        let (from, to) = ((i as f64 * step) as usize, ((i + 1) as f64 * step) as usize);
        let piece = pcm.get(from..to.min(pcm.len())).unwrap_or_default();
        (piece.iter().sum::<f64>() / piece.len().max(1) as f64) as i16
    };
    Some((0..samples).map(sample).collect())
}

#[test]
fn ten_minutes_of_speech_press_no_key() {
    let (mut heard, mut keys) = (0, String::new());
    let share = MINUTES * 60 * RATE_HZ as usize / VOICES.len();
    for (part, voice) in VOICES.into_iter().enumerate() {
        let Some(pcm) = speech(part, voice) else {
            eprintln!("espeak-ng is not installed: no speech, no test");
            return;
        };
        let pcm = &pcm[..share.min(pcm.len())];
        heard += pcm.len();
        let mut detector = Detector::new();
        // As it comes, and once as loud as a line carries.
        let peak = pcm
            .iter()
            .map(|s| s.unsigned_abs())
            .max()
            .unwrap_or(1)
            .max(1);
        let loud: Vec<i16> = pcm
            .iter()
            .map(|&s| (i32::from(s) * 32_000 / i32::from(peak)) as i16)
            .collect();
        for sound in [pcm, &loud] {
            detector.hear(sound, |found| {
                if let Found::Down(key) = found {
                    keys.push(key);
                }
            });
        }
    }
    assert_eq!(
        heard,
        MINUTES * 60 * RATE_HZ as usize,
        "the README is too short"
    );
    assert_eq!(keys, "", "keys in speech");
}
