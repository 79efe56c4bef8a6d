//! Whether losses come one by one or in bursts: RFC 3611's count over pairs of losses, and the mean run.

/// RFC 3611 §4.7.2: so many packets received between two losses end a burst.
const GMIN: u32 = 16;
/// More at once than these is a pause or a restart, not loss of sound.
const MOST_AT_ONCE: u16 = 500;

/// Transitions between losses, as RFC 3611 §A.2 counts them. All of it is a few additions per packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bursts {
    /// Received since the last loss.
    received: u32,
    /// Lost in the burst under way.
    lost: u32,
    c5: u64,
    c11: u64,
    c13: u64,
    c14: u64,
    c22: u64,
    c23: u64,
    c33: u64,
    losses: u64,
    runs: u64,
}

/// Shares (0 to 1) lost within bursts and between them, and how long both last on the average, in packets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Densities {
    pub burst: f64,
    pub gap: f64,
    pub burst_packets: f64,
    pub gap_packets: f64,
}

impl Bursts {
    /// A packet came in time.
    pub fn received(&mut self) {
        self.received = self.received.saturating_add(1);
    }

    /// So many in a row did not.
    pub fn lost(&mut self, packets: u16) {
        if packets == 0 {
            return;
        }
        if self.received > 0 || self.losses == 0 {
            self.runs += 1;
        }
        for _ in 0..packets.min(MOST_AT_ONCE) {
            self.one_lost();
        }
    }

    fn one_lost(&mut self) {
        let received = u64::from(self.received);
        self.losses += 1;
        self.c5 += received;
        if self.received >= GMIN {
            // The first loss of all comes out of a gap.
            if self.lost <= 1 {
                self.c14 += 1;
            } else {
                self.c13 += 1;
            }
            self.lost = 1;
            self.c11 += received;
        } else {
            self.lost += 1;
            if received == 0 {
                self.c33 += 1;
            } else {
                self.c23 += 1;
                self.c22 += received - 1;
            }
        }
        self.received = 0;
    }

    /// G.107's BurstR: the mean run of losses against that of the same share lost at random; at least 1.
    #[must_use]
    pub fn ratio(&self, loss: f64) -> f64 {
        if self.runs == 0 {
            return 1.0;
        }
        let mean = self.losses as f64 / self.runs as f64;
        (mean * (1.0 - loss.clamp(0.0, 1.0))).max(1.0)
    }

    /// RFC 3611 §A.2, at the end.
    #[must_use]
    pub fn densities(&self) -> Densities {
        let [c11, c13, c14, c22, c23, c33] =
            [self.c11, self.c13, self.c14, self.c22, self.c23, self.c33].map(|c| c as f64);
        let (c31, c32) = (c13, c23);
        let share = |part: f64, all: f64| if all > 0.0 { part / all } else { 0.0 };
        let p32 = share(c32, c31 + c32 + c33);
        let p23 = 1.0 - share(c22, c22 + c23);
        let in_burst = c22 + c23 + c33 > 0.0;
        let all = c11 + c14 + c13 + c22 + c23 + c31 + c32 + c33 + f64::from(self.received);
        let in_gaps = c11 + c14 + c13 + f64::from(self.received);
        let bursts = c13.max(1.0);
        Densities {
            burst: if in_burst { share(p23, p23 + p32) } else { 0.0 },
            gap: share(c14, c11 + c14),
            gap_packets: in_gaps / bursts,
            burst_packets: if in_burst {
                (all - in_gaps) / bursts
            } else {
                0.0
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(rounds: u32, kept: u32, lost: u16) -> Bursts {
        let mut bursts = Bursts::default();
        for _ in 0..rounds {
            for _ in 0..kept {
                bursts.received();
            }
            bursts.lost(lost);
        }
        bursts
    }

    #[test]
    fn single_losses_far_apart_are_no_burst() {
        let bursts = played(100, 49, 1);
        let told = bursts.densities();
        assert!((told.gap - 0.02).abs() < 0.002, "{told:?}");
        assert!(told.burst < 0.01, "{told:?}");
        assert_eq!(bursts.ratio(0.02), 1.0);
    }

    #[test]
    fn losses_in_a_row_are_a_burst() {
        let bursts = played(100, 95, 5);
        let told = bursts.densities();
        assert!(told.burst > 0.9, "{told:?}");
        assert!((told.burst_packets - 5.0).abs() < 1.5, "{told:?}");
        assert!((told.gap_packets - 95.0).abs() < 3.0, "{told:?}");
        assert!((bursts.ratio(0.05) - 4.75).abs() < 0.01);
    }

    #[test]
    fn a_wild_jump_costs_no_time_and_nothing_is_divided_by_nothing() {
        let mut bursts = Bursts::default();
        assert_eq!(bursts.densities(), Densities::default());
        assert_eq!(bursts.ratio(0.0), 1.0);
        for _ in 0..1_000 {
            bursts.lost(u16::MAX);
        }
        assert!(bursts.densities().burst.is_finite());
    }
}
