//! Concealment for codecs that have none of their own (G.711, G.722): the last pitch period is repeated, fades out over
//! 60 ms, and the first good frame is blended in. It adds no delay.

/// Most samples of a millisecond here: G.722 at 16 kHz.
const MAX_PER_MS: usize = 16;
/// The past kept, ms: two of the longest periods.
const HISTORY_MS: usize = 36;
/// Longest pitch period looked for, ms (66 Hz).
const LONGEST_MS: usize = 15;
/// Stretch compared against the past to find the period, ms.
const WINDOW_MS: usize = 10;
/// Repetition sounds natural so long, ms; then it fades.
const STEADY_MS: usize = 10;
/// Length of the fade to silence, ms.
const FADE_MS: usize = 50;
/// Blend between invented and real sound, ms.
const BLEND_MS: usize = 4;

/// The past of one stream, at 8 or 16 samples a millisecond.
#[derive(Debug, Clone)]
pub struct Plc {
    per_ms: usize,
    /// The last `HISTORY_MS`, oldest first; the tail of the array beyond that is unused at 8 kHz.
    past: [i16; HISTORY_MS * MAX_PER_MS],
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Good,
    /// Samples invented so far, repeating the last `period` samples of the past.
    Lost {
        period: usize,
        invented: usize,
    },
}

impl Plc {
    /// For PCM at 8000 or 16000 Hz; a higher rate would keep a shorter past.
    #[must_use]
    pub fn new(rate_hz: u32) -> Plc {
        let per_ms = (rate_hz as usize / 1_000).clamp(1, MAX_PER_MS);
        Plc {
            per_ms,
            past: [0; HISTORY_MS * MAX_PER_MS],
            state: State::Good,
        }
    }

    /// Takes note of a good frame; the start of one after a loss is blended with what would have been invented.
    pub fn heard(&mut self, pcm: &mut [i16]) {
        if let State::Lost { period, invented } = self.state {
            let blend = (BLEND_MS * self.per_ms).min(pcm.len());
            for (n, sample) in pcm.iter_mut().take(blend).enumerate() {
                let fake = i32::from(self.invent(period, invented + n));
                let real = i32::from(*sample);
                let (n, blend) = (n as i32, blend as i32);
                *sample = ((real * n + fake * (blend - n)) / blend) as i16;
            }
            self.state = State::Good;
        }
        self.keep(pcm);
    }

    /// Fills `pcm`, which was lost.
    pub fn conceal(&mut self, pcm: &mut [i16]) {
        let (period, invented) = match self.state {
            State::Good => (self.find_period(), 0),
            State::Lost { period, invented } => (period, invented),
        };
        for (n, sample) in pcm.iter_mut().enumerate() {
            *sample = self.invent(period, invented + n);
        }
        // Past the fade all is silence, so counting may stop.
        let invented = (invented + pcm.len()).min((STEADY_MS + FADE_MS) * self.per_ms);
        self.state = State::Lost { period, invented };
    }

    /// What would follow on what was invented last.
    pub(super) fn foresee(&self, pcm: &mut [i16]) {
        if let State::Lost { period, invented } = self.state {
            for (n, sample) in pcm.iter_mut().enumerate() {
                *sample = self.invent(period, invented + n);
            }
        }
    }

    fn past(&self) -> &[i16] {
        self.past
            .get(..HISTORY_MS * self.per_ms)
            .expect("per_ms is at most MAX_PER_MS")
    }

    fn keep(&mut self, pcm: &[i16]) {
        let length = HISTORY_MS * self.per_ms;
        let past = self
            .past
            .get_mut(..length)
            .expect("per_ms is at most MAX_PER_MS");
        let fresh = pcm
            .get(pcm.len().saturating_sub(length)..)
            .unwrap_or_default();
        past.copy_within(fresh.len().., 0);
        let kept = length - fresh.len();
        if let Some(end) = past.get_mut(kept..) {
            end.copy_from_slice(fresh);
        }
    }

    /// The `index`th sample since the loss began.
    fn invent(&self, period: usize, index: usize) -> i16 {
        let past = self.past();
        let sample = past
            .get(past.len() - period + index % period)
            .copied()
            .unwrap_or(0);
        let fade = FADE_MS * self.per_ms;
        let left = fade - index.saturating_sub(STEADY_MS * self.per_ms).min(fade);
        (i32::from(sample) * left as i32 / fade as i32) as i16
    }

    /// The lag at which the past looks most like its own end.
    fn find_period(&self) -> usize {
        let past = self.past();
        let window = WINDOW_MS * self.per_ms;
        let (shortest, longest) = (5 * self.per_ms / 2, LONGEST_MS * self.per_ms);
        let end = past.get(past.len() - window..).unwrap_or_default();
        let mut best = (longest, 0.0);
        for lag in shortest..=longest {
            let start = past.len() - window - lag;
            let earlier = past.get(start..start + window).unwrap_or_default();
            let (product, energy) = correlate(end, earlier);
            // Only likeness counts, not loudness; without any, the longest period buzzes least.
            if product > 0 && energy > 0 {
                let likeness = product as f64 * product as f64 / energy as f64;
                if likeness > best.1 {
                    best = (lag, likeness);
                }
            }
        }
        best.0
    }
}

/// Product sum of both stretches and energy of the second, scaled to fit.
fn correlate(a: &[i16], b: &[i16]) -> (i64, i64) {
    a.iter().zip(b).fold((0, 0), |(product, energy), (&x, &y)| {
        (
            product + i64::from(i32::from(x) * i32::from(y)),
            energy + i64::from(i32::from(y) * i32::from(y)),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing;

    #[test]
    fn a_steady_voice_goes_on_through_a_lost_frame() {
        for rate_hz in [8_000u32, 16_000] {
            let frame = rate_hz as usize / 50;
            let voice = testing::tone(rate_hz, 160.0, 8_000.0, frame * 5);
            let mut plc = Plc::new(rate_hz);
            for good in voice[..frame * 3].chunks(frame) {
                plc.heard(&mut good.to_vec());
            }
            let mut lost = vec![0; frame];
            plc.conceal(&mut lost);
            let steady = frame / 2;
            let snr = testing::snr_db(&voice[frame * 3..frame * 3 + steady], &lost[..steady]);
            assert!(snr > 15.0, "{rate_hz} Hz: {snr:.1} dB");
            let mut next = voice[frame * 4..].to_vec();
            plc.heard(&mut next);
            let blend = BLEND_MS * rate_hz as usize / 1_000;
            assert_eq!(next[blend..], voice[frame * 4 + blend..]);
            assert!(
                (i32::from(next[0]) - i32::from(lost[frame - 1])).abs() < 1_500,
                "no click"
            );
        }
    }

    #[test]
    fn a_long_loss_fades_to_silence() {
        let mut plc = Plc::new(8_000);
        plc.heard(&mut testing::speech(8_000, 100));
        let mut lost = [1; 160];
        for _ in 0..3 {
            plc.conceal(&mut lost);
        }
        assert_ne!(lost, [0; 160]);
        for _ in 0..100 {
            plc.conceal(&mut lost);
        }
        assert_eq!(lost, [0; 160]);
    }

    #[test]
    fn any_length_at_any_time() {
        let mut plc = Plc::new(16_000);
        for length in [0, 1, 7, 320, 5_000] {
            plc.conceal(&mut vec![5; length]);
            plc.heard(&mut vec![i16::MIN; length]);
        }
    }
}
