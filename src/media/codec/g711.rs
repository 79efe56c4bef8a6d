//! G.711, both laws, by table. The tables are computed from the segment formula of ITU-T G.191's reference
//! (16-bit samples; µ-law uses the upper 14 bits, A-law the upper 12 plus sign, negatives in ones' complement).

/// Indexed by the upper 14 bits of a sample.
static ULAW_ENCODE: [u8; 1 << 14] = ulaw_codes();
/// Indexed by the upper 12 bits of a sample.
static ALAW_ENCODE: [u8; 1 << 12] = alaw_codes();
static ULAW_DECODE: [i16; 256] = ulaw_samples();
static ALAW_DECODE: [i16; 256] = alaw_samples();

/// One sample to its µ-law code.
#[must_use]
pub fn ulaw(sample: i16) -> u8 {
    let index = usize::from(sample.cast_unsigned() >> 2);
    *ULAW_ENCODE.get(index).expect("14 bits index 2^14 entries")
}

/// One sample to its A-law code.
#[must_use]
pub fn alaw(sample: i16) -> u8 {
    let index = usize::from(sample.cast_unsigned() >> 4);
    *ALAW_ENCODE.get(index).expect("12 bits index 2^12 entries")
}

/// One µ-law code to its sample.
#[must_use]
pub fn from_ulaw(code: u8) -> i16 {
    *ULAW_DECODE
        .get(usize::from(code))
        .expect("a byte indexes 256 entries")
}

/// One A-law code to its sample.
#[must_use]
pub fn from_alaw(code: u8) -> i16 {
    *ALAW_DECODE
        .get(usize::from(code))
        .expect("a byte indexes 256 entries")
}

const fn ulaw_codes() -> [u8; 1 << 14] {
    let mut table = [0; 1 << 14];
    let mut index = 0;
    while index < table.len() {
        let (negative, magnitude) = split(index, 14);
        // The bias of 33 makes every segment start at a power of two; the top one saturates.
        let biased = if magnitude + 33 > 0x1fff {
            0x1fff
        } else {
            magnitude + 33
        };
        let segment = biased.ilog2() - 5;
        let step = (biased >> (segment + 1)) & 0xf;
        // µ-law sends everything inverted, with the sign bit set for positive.
        let code = !((segment << 4 | step) as u8) & 0x7f;
        table[index] = if negative { code } else { code | 0x80 };
        index += 1;
    }
    table
}

const fn alaw_codes() -> [u8; 1 << 12] {
    let mut table = [0; 1 << 12];
    let mut index = 0;
    while index < table.len() {
        let (negative, magnitude) = split(index, 12);
        let code = if magnitude < 32 {
            // The two lowest segments share one step size.
            magnitude
        } else {
            let segment = magnitude.ilog2() - 3;
            segment << 4 | (magnitude >> (segment - 1)) & 0xf
        } as u8;
        // A-law inverts every other bit.
        table[index] = (if negative { code } else { code | 0x80 }) ^ 0x55;
        index += 1;
    }
    table
}

/// A two's complement number of `bits` bits as sign and ones' complement magnitude.
const fn split(index: usize, bits: u32) -> (bool, u32) {
    let half = 1 << (bits - 1);
    let value = index as u32;
    if value < half {
        (false, value)
    } else {
        (true, 2 * half - 1 - value)
    }
}

const fn ulaw_samples() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < table.len() {
        let bits = !(code as u8);
        let segment = (bits >> 4) & 7;
        let step = (bits & 0xf) as i32;
        // The middle of the step, bias removed, on the 16-bit scale.
        let magnitude = (((2 * step + 33) << segment) - 33) * 4;
        table[code] = if bits & 0x80 == 0 {
            magnitude
        } else {
            -magnitude
        } as i16;
        code += 1;
    }
    table
}

const fn alaw_samples() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < table.len() {
        let bits = (code as u8) ^ 0x55;
        let segment = (bits >> 4) & 7;
        let step = (bits & 0xf) as i32;
        let magnitude = if segment == 0 {
            (2 * step + 1) * 8
        } else {
            ((2 * step + 33) * 8) << (segment - 1)
        };
        table[code] = if bits & 0x80 == 0 {
            -magnitude
        } else {
            magnitude
        } as i16;
        code += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// µ-law by walking the segments, with no table and no logarithm.
    fn slow_ulaw(sample: i16) -> u8 {
        let absolute = if sample < 0 {
            i32::from(!sample) >> 2
        } else {
            i32::from(sample) >> 2
        };
        let biased = (absolute + 33).min(0x1fff);
        let mut segment = 1;
        let mut rest = biased / 64;
        while rest != 0 {
            segment += 1;
            rest /= 2;
        }
        let high = 8 - segment;
        let low = 15 - (biased >> segment) % 16;
        let code = u8::try_from(high * 16 + low).expect("seven bits");
        if sample < 0 { code } else { code + 128 }
    }

    /// A-law likewise.
    fn slow_alaw(sample: i16) -> u8 {
        let mut rest = if sample < 0 {
            i32::from(!sample) / 16
        } else {
            i32::from(sample) / 16
        };
        if rest > 15 {
            let mut exponent = 1;
            while rest > 31 {
                rest /= 2;
                exponent += 1;
            }
            rest = rest - 16 + exponent * 16;
        }
        if sample >= 0 {
            rest += 128;
        }
        u8::try_from(rest).expect("a byte") ^ 0x55
    }

    #[test]
    fn every_sample_has_the_code_of_the_formula() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(ulaw(sample), slow_ulaw(sample), "µ-law of {sample}");
            assert_eq!(alaw(sample), slow_alaw(sample), "A-law of {sample}");
        }
    }

    #[test]
    fn every_code_comes_back_except_negative_zero() {
        for code in 0..=255u8 {
            // µ-law 0x7f is minus zero; its sample is 0, whose code is 0xff.
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(ulaw(from_ulaw(code)), expected);
            assert_eq!(alaw(from_alaw(code)), code);
        }
    }

    #[test]
    fn the_ends_of_the_scale_are_those_of_the_recommendation() {
        assert_eq!(
            (
                from_ulaw(0x80),
                from_ulaw(0x00),
                from_ulaw(0xff),
                from_ulaw(0x7f)
            ),
            (32124, -32124, 0, 0)
        );
        assert_eq!(
            (
                from_alaw(0xaa),
                from_alaw(0x2a),
                from_alaw(0xd5),
                from_alaw(0x55)
            ),
            (32256, -32256, 8, -8)
        );
        assert_eq!(
            (ulaw(0), ulaw(-1), alaw(0), alaw(-1)),
            (0xff, 0x7f, 0xd5, 0x55)
        );
        assert_eq!(
            (
                ulaw(i16::MAX),
                ulaw(i16::MIN),
                alaw(i16::MAX),
                alaw(i16::MIN)
            ),
            (0x80, 0x00, 0xaa, 0x2a)
        );
    }

    #[test]
    fn quantising_is_within_half_a_step() {
        for sample in i16::MIN..=i16::MAX {
            let x = i32::from(sample);
            let loud = x.abs();
            let u = (i32::from(from_ulaw(ulaw(sample))) - x).abs();
            let a = (i32::from(from_alaw(alaw(sample))) - x).abs();
            assert!(u <= loud / 32 + 8 || loud > 32124, "{sample}: {u}");
            assert!(a <= loud / 32 + 16, "{sample}: {a}");
        }
    }
}
