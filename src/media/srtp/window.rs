//! Packet numbers beyond their 16 bits, and which of them were there (RFC 3711 §3.3.1, §3.3.2).

/// How many numbers below the highest are remembered.
const WIDTH: u64 = 128;

/// The highest packet index, and which of the last 128 were used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    highest: Option<u64>,
    /// Bit `n`: `highest - n` was used.
    used: u128,
}

impl Window {
    /// As if the packets before `index` had been there, so that rollovers go on from it.
    pub(super) fn from(index: u64) -> Window {
        Window {
            highest: Some(index),
            used: 0,
        }
    }

    pub(super) fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// RFC 3711 §3.3.1 and appendix A: the index nearest to the highest one. `None`: it would be before the first.
    pub(super) fn index(&self, sequence: u16) -> Option<u64> {
        let Some(highest) = self.highest else {
            return Some(u64::from(sequence));
        };
        let ahead = sequence.wrapping_sub(highest as u16).cast_signed();
        highest
            .checked_add_signed(i64::from(ahead))
            // RFC 3711 §3.3.1: 48 bits in all.
            .filter(|index| index >> 48 == 0)
    }

    /// RFC 3711 §3.3.2: neither used before nor too old to tell.
    pub(super) fn is_fresh(&self, index: u64) -> bool {
        let Some(highest) = self.highest else {
            return true;
        };
        match highest.checked_sub(index) {
            None => true,
            Some(back) => back < WIDTH && self.used & (1 << back) == 0,
        }
    }

    /// Notes that `index` is used. To be called only for what is authentic.
    pub(super) fn note(&mut self, index: u64) {
        let highest = self.highest.unwrap_or(index);
        if let Some(back) = highest.checked_sub(index) {
            self.used |= u32::try_from(back).map_or(0, |back| 1u128.checked_shl(back).unwrap_or(0));
            self.highest = Some(highest);
        } else {
            let ahead = u32::try_from(index - highest).unwrap_or(u32::MAX);
            self.used = self.used.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = Some(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_roll_over_in_both_directions() {
        let mut window = Window::default();
        for (sequence, index) in [
            (65_530, 65_530),
            (65_535, 65_535),
            (2, 0x1_0002),
            (65_534, 65_534),
            (1, 0x1_0001),
            (0x7fff, 0x1_7fff),
            (0xc000, 0x1_c000),
            (3, 0x2_0003),
        ] {
            assert_eq!(window.index(sequence), Some(index), "{sequence}");
            assert!(window.is_fresh(index), "{sequence}");
            window.note(index);
        }
        // Nothing was before the first rollover.
        let mut young = Window::default();
        young.note(5);
        assert_eq!(young.index(65_000), None);
        assert_eq!(Window::from((1 << 48) - 1).index(0), None);
    }

    #[test]
    fn what_was_there_or_is_too_old_is_not_fresh() {
        let mut window = Window::default();
        assert!(window.is_fresh(1_000));
        window.note(1_000);
        window.note(1_005);
        for (index, fresh) in [
            (1_000, false),
            (1_005, false),
            (1_001, true),
            (1_006, true),
            (1_005 - 127, true),
            (1_005 - 128, false),
            (0, false),
            (10_000_000_000, true),
        ] {
            assert_eq!(window.is_fresh(index), fresh, "{index}");
        }
        window.note(1_005 - 127);
        assert!(!window.is_fresh(1_005 - 127));
        window.note(5_000);
        assert!(!window.is_fresh(1_006) && window.is_fresh(4_999));
    }
}
