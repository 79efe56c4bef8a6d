//! Bringing a whole sound to another rate, while nobody waits.

use media::codec::resample::Resampler;

/// Zero crossings of the kernel on each side.
const LOBES: f64 = 12.0;

/// `samples` at `from_hz`, at `to_hz`. The rates of telephony use the resampler of calls; 44,100 Hz and other odd ones
/// a windowed sinc.
pub(super) fn convert(samples: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    if from_hz == to_hz {
        return samples.to_vec();
    }
    match Resampler::new(from_hz, to_hz) {
        Ok(resampler) => in_frames(samples, resampler, from_hz, to_hz),
        Err(_) => by_sinc(samples, from_hz, to_hz),
    }
}

fn in_frames(samples: &[i16], mut resampler: Resampler, from_hz: u32, to_hz: u32) -> Vec<i16> {
    let size = from_hz as usize / 50;
    let mut out = Vec::with_capacity(length(samples.len(), from_hz, to_hz));
    let mut frame = vec![0; size];
    let mut made = vec![0; to_hz as usize / 50];
    for chunk in samples.chunks(size) {
        frame.fill(0);
        for (to, from) in frame.iter_mut().zip(chunk) {
            *to = *from;
        }
        let len = resampler.process(&frame, &mut made);
        out.extend_from_slice(made.get(..len).unwrap_or_default());
    }
    // The last frame was filled up.
    out.truncate(length(samples.len(), from_hz, to_hz));
    out
}

/// Band-limited interpolation with a Hann-windowed sinc whose cut-off is the lower of the two Nyquist frequencies.
fn by_sinc(samples: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    let step = f64::from(from_hz) / f64::from(to_hz);
    let cut = (1.0 / step).min(1.0);
    let reach = LOBES / cut;
    (0..length(samples.len(), from_hz, to_hz))
        .map(|n| {
            let centre = n as f64 * step;
            let first = (centre - reach).ceil().max(0.0) as usize;
            let last = (centre + reach).floor() as usize;
            let heard = samples.iter().enumerate().take(last + 1).skip(first);
            let sum: f64 = heard
                .map(|(at, &sample)| {
                    let distance = at as f64 - centre;
                    f64::from(sample) * kernel(distance * cut) * cut
                })
                .sum();
            sum.round() as i16
        })
        .collect()
}

/// The windowed sinc at `x` zero crossings from its centre.
fn kernel(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let angle = std::f64::consts::PI * x;
    let window = 0.5 + 0.5 * (angle / LOBES).cos();
    angle.sin() / angle * window
}

fn length(samples: usize, from_hz: u32, to_hz: u32) -> usize {
    (samples as u64 * u64::from(to_hz) / u64::from(from_hz)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, frequency: f64, seconds: f64) -> Vec<i16> {
        let count = (f64::from(rate) * seconds) as usize;
        (0..count)
            .map(|n| {
                let phase = n as f64 * frequency / f64::from(rate);
                ((phase * std::f64::consts::TAU).sin() * 10_000.0) as i16
            })
            .collect()
    }

    /// Amplitude of `frequency` in the middle half of `samples`.
    fn level(samples: &[i16], rate: u32, frequency: f64) -> f64 {
        let quarter = samples.len() / 4;
        let middle = &samples[quarter..3 * quarter];
        let (mut re, mut im) = (0.0, 0.0);
        for (n, &sample) in middle.iter().enumerate() {
            let angle = n as f64 * frequency / f64::from(rate) * std::f64::consts::TAU;
            re += f64::from(sample) * angle.cos();
            im += f64::from(sample) * angle.sin();
        }
        2.0 * re.hypot(im) / middle.len() as f64
    }

    #[test]
    fn speech_passes_and_what_would_alias_does_not() {
        for from in [44_100, 22_050, 11_025, 48_000] {
            let out = convert(&sine(from, 1000.0, 1.0), from, 8000);
            assert_eq!(out.len(), 8000);
            let kept = level(&out, 8000, 1000.0);
            assert!((9000.0..11_000.0).contains(&kept), "{from}: {kept}");
        }
        let out = convert(&sine(44_100, 6000.0, 0.5), 44_100, 8000);
        let alias = level(&out, 8000, 2000.0);
        assert!(alias < 50.0, "{alias}");
    }
}
