//! How much each source has sent and done wrong of late, in a table that never grows: a source has four places where
//! it may stand, and who stands there longest without a word makes room.

use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

const SETS: usize = 4_096;
const PLACES: usize = 4;

/// What is remembered of a source. Times are microseconds since the origin, 0 for never.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry {
    key: u64,
    seen: u64,
    /// When its next message would be on time (GCRA: as a bucket of tokens, in one number).
    due: u64,
    /// Until when what it did wrong is remembered; each fault adds to it. `faults` counts all of them, `proven` those
    /// of somebody who is at that address for sure.
    faults: u64,
    proven: u64,
    /// Until when what nothing proves is not looked at.
    silent: u64,
}

/// One message in `every`, and as many at once as fit into `slack`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    every: u64,
    slack: u64,
}

impl Rate {
    /// So many a second; those of `burst` may come at once.
    pub(crate) fn of(per_second: u32, burst: Duration) -> Rate {
        Rate {
            every: 1_000_000 / u64::from(per_second.max(1)),
            slack: micros(burst),
        }
    }

    /// One in each `period`; those of `burst` may come at once.
    pub(crate) const fn one_in(period: Duration, burst: Duration) -> Rate {
        Rate {
            every: period.as_micros() as u64,
            slack: burst.as_micros() as u64,
        }
    }

    /// Whether a message at `now` keeps to it.
    pub(crate) fn take(self, due: &mut u64, now: u64) -> bool {
        let from = (*due).max(now);
        if from - now > self.slack {
            return false;
        }
        *due = from + self.every;
        true
    }
}

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Entry {
    pub(crate) fn take(&mut self, rate: Rate, now: u64) -> bool {
        rate.take(&mut self.due, now)
    }

    /// Notes a fault that is remembered for so long; how much there is to remember by now: of all, and of what is proven.
    pub(crate) fn fault(
        &mut self,
        now: u64,
        weight: Duration,
        proven: bool,
    ) -> (Duration, Duration) {
        let weight = micros(weight);
        self.faults = self.faults.max(now) + weight;
        if proven {
            self.proven = self.proven.max(now) + weight;
        }
        let left = |until: u64| Duration::from_micros(until.saturating_sub(now));
        (left(self.faults), left(self.proven))
    }

    /// It is silenced for what cannot be proven; what can be goes on to count.
    pub(crate) fn silence(&mut self, until: u64) {
        (self.faults, self.silent) = (0, until);
    }

    pub(crate) fn is_silenced(&self, now: u64) -> bool {
        now < self.silent
    }

    /// Nothing that it did wrong counts any more.
    pub(crate) fn forgive(&mut self) {
        (self.faults, self.proven, self.silent) = (0, 0, 0);
    }
}

/// The table.
pub(crate) struct Table {
    entries: Vec<[Entry; PLACES]>,
    hasher: DefaultHasher,
}

impl Table {
    /// Where a source stands depends on the secret: nobody can choose sources that crowd another one out.
    pub(crate) fn new(seed: &[u8; 32]) -> Table {
        let mut hasher = DefaultHasher::new();
        hasher.write(seed);
        Table {
            entries: vec![[Entry::default(); PLACES]; SETS],
            hasher,
        }
    }

    /// The entry of `key`, new when there is none. `now` is not 0.
    pub(crate) fn entry(&mut self, key: u64, now: u64) -> &mut Entry {
        let mut hasher = self.hasher.clone();
        hasher.write_u64(key);
        let set = hasher.finish() as usize % SETS;
        let places = &mut self.entries[set];
        let (mut place, mut oldest) = (0, u64::MAX);
        for (at, entry) in places.iter().enumerate() {
            if entry.key == key && entry.seen > 0 {
                place = at;
                break;
            }
            if entry.seen < oldest {
                (place, oldest) = (at, entry.seen);
            }
        }
        let entry = &mut places[place];
        if entry.key != key || entry.seen == 0 {
            *entry = Entry {
                key,
                ..Entry::default()
            };
        }
        entry.seen = now;
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_rate_allows_a_burst_and_then_its_measure() {
        let rate = Rate::of(10, Duration::from_secs(2));
        let mut table = Table::new(&[1; 32]);
        let mut taken = |now: u64| {
            let taken = (0..100).filter(|_| table.entry(7, now).take(rate, now));
            taken.count()
        };
        assert_eq!(taken(SECOND), 21);
        assert_eq!(taken(2 * SECOND), 10);
        assert_eq!(taken(3 * SECOND), 10);
        assert_eq!(taken(60 * SECOND), 21);
    }

    #[test]
    fn one_in_a_period_is_taken() {
        let (rate, mut due) = (Rate::one_in(Duration::from_secs(5), Duration::ZERO), 0);
        let taken = [1, 2, 5, 6, 7].map(|s| rate.take(&mut due, s * SECOND));
        assert_eq!(taken, [true, false, false, true, false]);
    }

    #[test]
    fn faults_add_up_and_are_forgotten() {
        let mut entry = Entry::default();
        let second = Duration::from_secs(1);
        assert_eq!(entry.fault(5, second, false), (second, Duration::ZERO));
        assert_eq!(entry.fault(5, second, true), (second * 2, second));
        let later = 5 + SECOND;
        assert_eq!(
            entry.fault(later, second, false),
            (second * 2, Duration::ZERO)
        );
        entry.forgive();
        assert_eq!(entry.fault(later, second, true), (second, second));
    }

    #[test]
    fn a_million_sources_take_no_more_room_and_a_steady_one_stays() {
        let mut table = Table::new(&[2; 32]);
        let room = table.entries.capacity();
        let steady = 0xabcd;
        for n in 0..1_000_000 {
            table.entry(n << 20, 1 + n).silence(u64::MAX);
            if n % 1_000 == 0 {
                table.entry(steady, 1 + n).silence(u64::MAX);
            }
        }
        assert_eq!(table.entries.capacity(), room);
        assert_eq!(table.entries.len(), SETS);
        assert!(table.entry(steady, 1_000_001).is_silenced(1_000_001));
        assert!(
            !table.entry(1 << 20, 1_000_001).is_silenced(1_000_001),
            "the first is forgotten"
        );
    }
}
