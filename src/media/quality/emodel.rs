//! The E-model (ITU-T G.107): from loss, delay and codec to a rating R, and from that to a MOS.
//!
//! The values not measured are G.107's defaults (table 3): ordinary handsets in ordinary rooms, talker echo loudness 65 dB. It is
//! the narrow-band model, so 4.4 is the best it gives, to wideband codecs as well.

use crate::Codec;

/// One direction of one leg.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    pub codec: Codec,
    /// Share (0 to 1) of the packets that were not there in time to be played.
    pub loss: f64,
    /// Mean length of the runs of losses, against that of as many losses at random (1).
    pub burst_ratio: f64,
    pub jitter_ms: f64,
    /// There and back; 0 where unknown.
    pub rtt_ms: f64,
}

/// G.107 table 3: Ro - Is, all defaults.
const CLEAR: f64 = 93.355;
/// Noise, receive loudness, sidetone and echo loss (table 3): No, RLR, TELR, WEPL, Ro.
const NOISE: f64 = -61.18;
const RECEIVE_LOUDNESS: f64 = 2.0;
const TALKER_ECHO_LOSS: f64 = 65.0;
const LISTENER_ECHO_LOSS: f64 = 110.0;
const SIGNAL_TO_NOISE: f64 = 94.77;

/// The length of a packet; until it is full its first sample waits.
const FRAME_MS: f64 = 20.0;
/// What a receiver's buffer holds back at least and at most.
const BUFFER_MS: (f64, f64) = (20.0, 200.0);

/// Mean opinion score, conversational: 1 (bad) to 4.5.
#[must_use]
pub fn mos(line: &Line) -> f64 {
    let r = rating(line);
    // G.107 Annex B.
    let score = match r {
        r if r <= 0.0 => 1.0,
        r if r >= 100.0 => 4.5,
        r => 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6,
    };
    // Below R = 6.5 the curve dips under 1.
    score.max(1.0)
}

/// The rating R of G.107 §7.1: 93.2 for a clear line without delay, under 50 for one nobody wants.
#[must_use]
pub fn rating(line: &Line) -> f64 {
    CLEAR - delay_impairment(delay_ms(line)) - equipment_impairment(line)
}

/// From mouth to ear as far as is known: half the round trip, the packet, the codec's look ahead, a buffer of twice the jitter.
fn delay_ms(line: &Line) -> f64 {
    let buffer = (2.0 * line.jitter_ms).clamp(BUFFER_MS.0, BUFFER_MS.1);
    let ahead = match line.codec {
        Codec::Pcmu | Codec::Pcma => 0.0,
        // Its filter bank's 22 samples; RFC 6716 §2: 2.5 to 6.5 ms.
        Codec::G722 => 1.4,
        Codec::Opus => 6.5,
    };
    line.rtt_ms.max(0.0) / 2.0 + FRAME_MS + ahead + buffer
}

/// G.107 §7.4: talker echo, listener echo, and delay itself.
fn delay_impairment(delay_ms: f64) -> f64 {
    let t = delay_ms;
    let echo_heard = TALKER_ECHO_LOSS - 40.0 * ((1.0 + t / 10.0) / (1.0 + t / 150.0)).log10()
        + 6.0 * (-0.3 * t * t).exp();
    let talker = smooth(
        -1.5 * (NOISE - RECEIVE_LOUDNESS) - (80.0 + 2.5 * (echo_heard - 14.0)),
        100.0,
    ) - 1.0;
    let listener_level = 10.5 * (LISTENER_ECHO_LOSS + 7.0) * (2.0 * t + 1.0).powf(-0.25);
    let listener = smooth(SIGNAL_TO_NOISE - listener_level, 169.0);
    talker * (1.0 - (-t).exp()) + listener + delay_alone(t)
}

fn smooth(distance: f64, bend: f64) -> f64 {
    distance / 2.0 + (distance * distance / 4.0 + bend).sqrt()
}

fn delay_alone(t: f64) -> f64 {
    if t <= 100.0 {
        return 0.0;
    }
    let x = (t / 100.0).log2();
    let root = |x: f64| (1.0 + x.powi(6)).powf(1.0 / 6.0);
    25.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
}

/// G.107 §7.5, with G.113's values of the codec.
fn equipment_impairment(line: &Line) -> f64 {
    // G.113 Appendix I, table I.4: G.711 with concealment. It has no narrow-band figures of the wideband codecs: they are
    // taken for as clear, and as robust.
    let (clear, robustness) = match line.codec {
        Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Opus => (0.0, 25.1),
    };
    let per_cent = line.loss.clamp(0.0, 1.0) * 100.0;
    clear + (95.0 - clear) * per_cent / (per_cent / line.burst_ratio.max(1.0) + robustness)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAR_LINE: Line = Line {
        codec: Codec::Pcmu,
        loss: 0.0,
        burst_ratio: 1.0,
        jitter_ms: 0.0,
        rtt_ms: 0.0,
    };

    fn near(value: f64, wanted: f64, by: f64) {
        assert!((value - wanted).abs() <= by, "{value}, not {wanted}");
    }

    #[test]
    fn without_delay_and_loss_the_rating_is_the_default_of_the_standard() {
        // G.107 §7.7: all defaults give R = 93.2.
        near(CLEAR - delay_impairment(0.0), 93.2, 0.05);
    }

    #[test]
    fn delay_costs_what_the_standard_says() {
        // G.107's Idd: nothing up to 100 ms, 3.05 at 200 ms, 13.9 at 300 ms, 23.8 at 400 ms.
        near(delay_alone(100.0), 0.0, 1e-9);
        near(delay_alone(200.0), 3.0, 0.1);
        near(delay_alone(400.0), 24.0, 0.6);
        // Cole and Rosenbluth's line through it: 0.024 d, and 0.11 (d - 177.3) above that.
        near(delay_impairment(100.0), 2.4, 0.5);
        near(delay_impairment(150.0), 3.6, 0.8);
    }

    #[test]
    fn loss_costs_what_the_standard_says() {
        let lossy = |loss| Line { loss, ..CLEAR_LINE };
        near(equipment_impairment(&lossy(0.05)), 95.0 * 5.0 / 30.1, 1e-9);
        let bursty = Line {
            burst_ratio: 2.0,
            ..lossy(0.05)
        };
        near(equipment_impairment(&bursty), 95.0 * 5.0 / 27.6, 1e-9);
        let scores: Vec<f64> = [0.0, 0.01, 0.03, 0.05, 0.1, 0.2, 1.0]
            .map(|loss| mos(&lossy(loss)))
            .into();
        assert!(scores.is_sorted_by(|a, b| a > b), "{scores:?}");
        near(scores[0], 4.39, 0.02);
        near(scores[3], 3.9, 0.15);
        near(scores[6], 1.25, 0.3);
    }

    #[test]
    fn the_score_stays_within_its_bounds() {
        for loss in [0.0, 0.5, 1.0, 7.0, f64::INFINITY] {
            for rtt_ms in [-5.0, 0.0, 60_000.0] {
                let line = Line {
                    loss,
                    rtt_ms,
                    burst_ratio: 9.0,
                    jitter_ms: 1e9,
                    ..CLEAR_LINE
                };
                assert!((1.0..=4.5).contains(&mos(&line)), "{line:?}");
            }
        }
    }
}
