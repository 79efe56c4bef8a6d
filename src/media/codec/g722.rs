//! G.722 at 64 kbit/s (mode 1), written from ITU-T Recommendation G.722 §3, §4 and the block list of its §6.2.
//!
//! Two samples at 16 kHz make one byte: a QMF splits them into a low and a high band, each band is coded by ADPCM
//! (6 bits low, 2 bits high). Block names of the Recommendation stand beside the lines that do their work.

/// How wide the low band's sample may grow (§6.2.1.6 LIMIT).
const LOW_LIMIT: i32 = 16_384;

/// Samples by which both QMFs together delay.
pub(super) const DELAY: usize = 22;

/// Half of the 24 QMF coefficients; the other half mirrors them (table 11 of the Recommendation, times 2^13).
const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/// Decision levels of the 60-level low-band quantiser, one side (block QUANTL, Q6).
const LOW_DECISIONS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023,
    1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
];

/// Output of the 4-bit inverse quantiser (block INVQAL, QM4).
const LOW_4: [i32; 16] = [
    0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584,
    1200, 0,
];

/// Output of the 6-bit inverse quantiser (block INVQBL, QM6).
const LOW_6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232,
    -9360, -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776,
    -2400, -2032, -1688, -1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280,
    11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776,
    2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];

/// Log scale step by 4-bit low code: WL taken through RL42 (block LOGSCL).
const LOW_STEP: [i32; 16] = [
    -60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60,
];

/// Output of the high band's 2-bit inverse quantiser (block INVQAH, QM2).
const HIGH_2: [i32; 4] = [-7408, -1616, 7408, 1616];

/// Log scale step by high code: WH taken through RH2 (block LOGSCH).
const HIGH_STEP: [i32; 4] = [798, -214, 798, -214];

/// 2048 * 2^(i/32): the fraction part of the inverse logarithm (ILB of blocks SCALEL and SCALEH).
const INVERSE_LOG: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

/// 16 kHz samples in, bytes out.
#[derive(Debug, Clone)]
pub struct Encoder {
    low: Band,
    high: Band,
    history: [i32; 24],
}

/// Bytes in, 16 kHz samples out.
#[derive(Debug, Clone)]
pub struct Decoder {
    low: Band,
    high: Band,
    history: [i32; 24],
}

impl Encoder {
    /// An encoder in the state the Recommendation resets to.
    #[must_use]
    pub fn new() -> Encoder {
        Encoder {
            low: Band::low(),
            high: Band::high(),
            history: [0; 24],
        }
    }

    /// Encodes pairs of 16 kHz samples, a byte each, until `pcm` or `out` ends; an odd last sample is left out.
    /// Returns the bytes written.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        let pairs = pcm.as_chunks::<2>().0;
        for (pair, byte) in pairs.iter().zip(out.iter_mut()) {
            let (low, high) = self.split(*pair);
            *byte = self.encode_low(low) | self.encode_high(high) << 6;
        }
        pairs.len().min(out.len())
    }

    /// The transmit QMF (§6.2.1.1): the pair enters the delay line, the two bands leave.
    fn split(&mut self, [first, second]: [i16; 2]) -> (i32, i32) {
        let (even, odd) = filter(&mut self.history, i32::from(first), i32::from(second));
        ((odd + even) >> 14, (odd - even) >> 14)
    }

    fn encode_low(&mut self, sample: i32) -> u8 {
        let error = saturate(sample - self.low.prediction);
        // Magnitude in ones' complement, as block QUANTL compares it.
        let magnitude = if error < 0 { !error } else { error };
        let scale = self.low.scale;
        let level =
            LOW_DECISIONS.partition_point(|&decision| magnitude >= (decision * scale) >> 12);
        // Codes fall with the level: positive from 61, negative from 63, where levels 0 and 1 take 63 and 62 and the rest follow 31.
        let level = u8::try_from(level).expect("29 decisions make 30 levels");
        let code = match (error < 0, level) {
            (false, _) => 61 - level,
            (true, 0 | 1) => 63 - level,
            (true, _) => 33 - level,
        };
        self.low.adapt_low(code);
        code
    }

    fn encode_high(&mut self, sample: i32) -> u8 {
        let error = saturate(sample - self.high.prediction);
        let magnitude = if error < 0 { !error } else { error };
        let outer = magnitude >= (564 * self.high.scale) >> 12;
        let code = match (error < 0, outer) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        self.high.adapt_high(code);
        code
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Encoder::new()
    }
}

impl Decoder {
    /// A decoder in the state the Recommendation resets to.
    #[must_use]
    pub fn new() -> Decoder {
        Decoder {
            low: Band::low(),
            high: Band::high(),
            history: [0; 24],
        }
    }

    /// Decodes each byte to two 16 kHz samples until `payload` or `pcm` ends. Returns the samples written.
    pub fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> usize {
        let pairs = pcm.as_chunks_mut::<2>().0;
        let bytes = payload.len().min(pairs.len());
        for (byte, pair) in payload.iter().zip(pairs.iter_mut()) {
            let low = self.decode_low(byte & 0x3f);
            let high = self.decode_high(byte >> 6);
            *pair = self.join(low, high);
        }
        bytes * 2
    }

    /// Goes on as if `pcm`, which another made for a lost payload, had been decoded, so that the next payload meets the
    /// state its encoder had. `ahead` is what would follow, for the bands of a sample are known [`DELAY`] samples later.
    pub(super) fn follow(&mut self, pcm: &[i16], ahead: &[i16; DELAY]) {
        let mut encoder = Encoder {
            low: self.low.clone(),
            high: self.high.clone(),
            history: [0; 24],
        };
        let (sound, rest) = (pcm.as_chunks::<2>().0, ahead.as_chunks::<2>().0);
        for (n, pair) in sound.iter().chain(rest).enumerate() {
            let (low, high) = encoder.split(*pair);
            if n >= DELAY / 2 {
                encoder.encode_low(low);
                encoder.encode_high(high);
                filter(&mut self.history, low + high, low - high);
            }
        }
        (self.low, self.high) = (encoder.low, encoder.high);
    }

    fn decode_low(&mut self, code: u8) -> i32 {
        let difference = (self.low.scale * pick(&LOW_6, code)) >> 15;
        let sample = saturate(self.low.prediction + difference).clamp(-LOW_LIMIT, LOW_LIMIT - 1);
        self.low.adapt_low(code);
        sample
    }

    fn decode_high(&mut self, code: u8) -> i32 {
        let difference = (self.high.scale * pick(&HIGH_2, code)) >> 15;
        let sample = saturate(self.high.prediction + difference).clamp(-LOW_LIMIT, LOW_LIMIT - 1);
        self.high.adapt_high(code);
        sample
    }

    /// The receive QMF (§6.2.2.6).
    fn join(&mut self, low: i32, high: i32) -> [i16; 2] {
        let (even, odd) = filter(&mut self.history, low + high, low - high);
        [narrow(odd >> 11), narrow(even >> 11)]
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

/// One band's adaptive predictor and quantiser scale; the same machine runs in encoder and decoder.
#[derive(Debug, Clone)]
struct Band {
    /// Linear scale of the quantiser (DETL, DETH).
    scale: i32,
    /// Logarithmic scale it is made from (NBL, NBH).
    log_scale: i32,
    /// What the predictor expects next (SL, SH).
    prediction: i32,
    /// The zero section's part of the prediction (SZL, SZH).
    zero_part: i32,
    /// Pole coefficients (AL1, AL2).
    poles: [i32; 2],
    /// Zero coefficients (BL1..BL6).
    zeros: [i32; 6],
    /// Last six quantised differences (DLT1..DLT6).
    differences: [i32; 6],
    /// Last two partial reconstructions (PLT1, PLT2); only their signs matter.
    partials: [i32; 2],
    /// Last reconstruction (RLT1).
    reconstruction: i32,
}

impl Band {
    /// §6.2: reset gives the low band the smallest scale, 32.
    fn low() -> Band {
        Band::with_scale(32)
    }

    /// … and the high band 8.
    fn high() -> Band {
        Band::with_scale(8)
    }

    fn with_scale(scale: i32) -> Band {
        Band {
            scale,
            log_scale: 0,
            prediction: 0,
            zero_part: 0,
            poles: [0; 2],
            zeros: [0; 6],
            differences: [0; 6],
            partials: [0; 2],
            reconstruction: 0,
        }
    }

    /// Everything after the low band's code is known: only its upper four bits steer (§3.5).
    fn adapt_low(&mut self, code: u8) {
        let steering = code >> 2;
        let difference = (self.scale * pick(&LOW_4, steering)) >> 15;
        // Blocks LOGSCL, SCALEL.
        self.log_scale =
            (((self.log_scale * 127) >> 7) + pick(&LOW_STEP, steering)).clamp(0, 18_432);
        self.scale = linear(self.log_scale, 8);
        self.predict(difference);
    }

    fn adapt_high(&mut self, code: u8) {
        let difference = (self.scale * pick(&HIGH_2, code)) >> 15;
        // Blocks LOGSCH, SCALEH.
        self.log_scale = (((self.log_scale * 127) >> 7) + pick(&HIGH_STEP, code)).clamp(0, 22_528);
        self.scale = linear(self.log_scale, 10);
        self.predict(difference);
    }

    /// Adapts the predictor to a quantised difference and makes the next prediction.
    fn predict(&mut self, difference: i32) {
        let reconstruction = saturate(self.prediction + difference); // RECONS
        let partial = saturate(self.zero_part + difference); // PARREC
        self.adapt_poles(partial);
        self.zero_part = self.adapt_zeros(difference);
        // Block FILTEP, with the coefficients just adapted.
        let [a1, a2] = self.poles;
        let newest = (a1 * saturate(2 * reconstruction)) >> 15;
        let older = (a2 * saturate(2 * self.reconstruction)) >> 15;
        self.reconstruction = reconstruction;
        self.prediction = saturate(saturate(newest + older) + self.zero_part);
    }

    /// Blocks UPPOL2, then UPPOL1, which is bounded by the new second coefficient.
    fn adapt_poles(&mut self, partial: i32) {
        let [a1, a2] = self.poles;
        let [p1, p2] = self.partials;
        let same_as_last = (partial < 0) == (p1 < 0);
        let same_as_older = (partial < 0) == (p2 < 0);
        let quadruple = saturate(4 * a1);
        let toward = if same_as_last {
            (-quadruple).min(32_767)
        } else {
            quadruple
        };
        let second =
            ((toward >> 7) + if same_as_older { 128 } else { -128 } + ((a2 * 32_512) >> 15))
                .clamp(-12_288, 12_288);
        let bound = 15_360 - second;
        let first =
            (((a1 * 32_640) >> 15) + if same_as_last { 192 } else { -192 }).clamp(-bound, bound);
        self.poles = [first, second];
        self.partials = [partial, p1];
    }

    /// Blocks UPZERO, DELAYA and FILTEZ; returns the new zero part.
    fn adapt_zeros(&mut self, difference: i32) -> i32 {
        let gain = if difference == 0 { 0 } else { 128 };
        for (zero, &past) in self.zeros.iter_mut().zip(&self.differences) {
            let step = if (past < 0) == (difference < 0) {
                gain
            } else {
                -gain
            };
            *zero = saturate(((*zero * 32_640) >> 15) + step);
        }
        let [d1, d2, d3, d4, d5, _] = self.differences;
        self.differences = [difference, d1, d2, d3, d4, d5];
        let sum = self
            .zeros
            .iter()
            .zip(&self.differences)
            .map(|(zero, past)| (zero * saturate(2 * past)) >> 15)
            .sum();
        saturate(sum)
    }
}

/// Blocks SCALEL and SCALEH: the inverse logarithm; `shift` is where the band's scale starts.
fn linear(log_scale: i32, shift: i32) -> i32 {
    let fraction = *INVERSE_LOG
        .get(((log_scale >> 6) & 31) as usize)
        .expect("five bits index 32 entries");
    let down = shift - (log_scale >> 11);
    let value = if down < 0 {
        fraction << -down
    } else {
        fraction >> down
    };
    value << 2
}

/// Shifts two samples into the delay line and runs the 24-tap QMF; returns the sums over its even and its odd places.
fn filter(history: &mut [i32; 24], first: i32, second: i32) -> (i32, i32) {
    history.copy_within(2.., 0);
    let [.., newer, newest] = history;
    (*newer, *newest) = (first, second);
    let mut even = 0;
    let mut odd = 0;
    for ((pair, forward), backward) in history
        .as_chunks::<2>()
        .0
        .iter()
        .zip(QMF)
        .zip(QMF.into_iter().rev())
    {
        even += pair[0] * forward;
        odd += pair[1] * backward;
    }
    (even, odd)
}

fn pick<const N: usize>(table: &[i32; N], code: u8) -> i32 {
    *table
        .get(usize::from(code) % N)
        .expect("reduced to the table's length")
}

fn saturate(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

fn narrow(value: i32) -> i16 {
    i16::try_from(saturate(value)).expect("saturated to 16 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing;
    use sha2::{Digest, Sha256};

    fn hex(bytes: &[u8]) -> String {
        Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn encode(pcm: &[i16]) -> Vec<u8> {
        let mut out = vec![0; pcm.len() / 2];
        assert_eq!(Encoder::new().encode(pcm, &mut out), out.len());
        out
    }

    fn decode(payload: &[u8]) -> Vec<i16> {
        let mut pcm = vec![0; payload.len() * 2];
        assert_eq!(Decoder::new().decode(payload, &mut pcm), pcm.len());
        pcm
    }

    #[test]
    fn speech_survives() {
        let speech = testing::speech(16_000, 2_000);
        let heard = decode(&encode(&speech));
        // The two 24-tap filters delay by 22 samples.
        let snr = testing::snr_db(&speech[..speech.len() - 22], &heard[22..]);
        assert!(snr > 20.0, "{snr:.1} dB");
    }

    #[test]
    fn output_is_that_of_the_reference_codec() {
        // Frozen after ffmpeg 5.1's encoder and decoder, themselves exact on the ITU vectors, gave the same bytes.
        let signal: Vec<i16> = [
            testing::sweep(16_000),
            testing::noise(16_000),
            testing::square(16_000),
        ]
        .concat();
        let code = encode(&signal);
        assert_eq!(
            hex(&code),
            "50c9b01712fe5f4d35000736505c73efbd7e65f8c8e1cd8a194b4b0fc255f67e"
        );
        let heard: Vec<u8> = decode(&code)
            .into_iter()
            .flat_map(i16::to_le_bytes)
            .collect();
        assert_eq!(
            hex(&heard),
            "96e8dc89ba1e1129f7da351d05c03b189d978f165c1694d89307464d0a7a9032"
        );
        // A stream no encoder makes reaches every branch of the decoder.
        let garbage: Vec<u8> = testing::noise(32_000)
            .into_iter()
            .map(|sample| sample.to_le_bytes()[1])
            .collect();
        let heard: Vec<u8> = decode(&garbage)
            .into_iter()
            .flat_map(i16::to_le_bytes)
            .collect();
        assert_eq!(
            hex(&heard),
            "e5dec540b19e5457d0ea71f69056545223e47c3f6c0d4d1bc22599e8aa3a0677"
        );
    }

    #[test]
    fn framing_does_not_change_the_stream() {
        let speech = testing::speech(16_000, 200);
        let whole = encode(&speech);
        let mut encoder = Encoder::new();
        let mut pieces = Vec::new();
        for frame in speech.chunks(160) {
            let mut out = [0; 80];
            let bytes = encoder.encode(frame, &mut out);
            pieces.extend_from_slice(&out[..bytes]);
        }
        assert_eq!(whole, pieces);
    }

    #[test]
    fn short_buffers_bound_the_work() {
        assert_eq!(Encoder::new().encode(&[1; 7], &mut [0; 80]), 3);
        assert_eq!(Encoder::new().encode(&[1; 320], &mut [0; 5]), 5);
        assert_eq!(Decoder::new().decode(&[0; 160], &mut [0; 9]), 8);
    }
}
