//! A hashed timer wheel: 4096 slots of 10 ms, cancelled by generation.
//! It reads no clock: time enters through [`Wheel::touch`]. What the timers mean is `transaction/` and `dialog/`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::arena::{Arena, is_oversized};

const SLOTS: u64 = 4096;
const TICK_MS: u64 = 10;

/// A timer that was armed; useless (and harmless) once it fired or was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerId(u64);

struct Entry {
    tick: u64,
    timer: u64,
}

/// The wheel. `T` is what comes back when a timer fires.
///
/// Arming and cancelling cost O(1). Cancelling only drops the payload: the entry stays in its slot until
/// the hand passes it, so memory is bounded by arms per revolution (41 s).
pub(crate) struct Wheel<T> {
    slots: Vec<Vec<Entry>>,
    occupied: [u64; (SLOTS / 64) as usize],
    live: Arena<T>,
    due: VecDeque<u64>,
    epoch: Option<Instant>,
    elapsed: Duration,
    /// Every slot up to and including this tick was emptied.
    hand: u64,
}

impl<T> Wheel<T> {
    pub(crate) fn new() -> Wheel<T> {
        Wheel {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            occupied: [0; (SLOTS / 64) as usize],
            live: Arena::new(),
            due: VecDeque::new(),
            epoch: None,
            elapsed: Duration::ZERO,
            hand: 0,
        }
    }

    /// Tells the wheel what time it is. Time that runs backwards is ignored.
    pub(crate) fn touch(&mut self, now: Instant) {
        let epoch = *self.epoch.get_or_insert(now);
        self.elapsed = self.elapsed.max(now.saturating_duration_since(epoch));
    }

    /// The touched time.
    pub(crate) fn now(&self) -> Instant {
        self.epoch.expect("every door touches") + self.elapsed
    }

    /// Arms a timer `after` the last touched time, rounded up to a tick, never at once.
    pub(crate) fn arm(&mut self, after: Duration, what: T) -> TimerId {
        let at = u64::try_from((self.elapsed + after).as_millis()).unwrap_or(u64::MAX);
        let tick = at.div_ceil(TICK_MS).max(self.hand + 1);
        let timer = self.live.insert(what);
        self.place(Entry { tick, timer });
        TimerId(timer)
    }

    pub(crate) fn cancel(&mut self, timer: TimerId) {
        self.live.remove(timer.0);
    }

    /// When to call [`Wheel::pop`] again: never later than the nearest timer, at times earlier.
    pub(crate) fn next(&self) -> Option<Instant> {
        let epoch = self.epoch?;
        if self.live.len() == 0 {
            return None;
        }
        let tick = if self.due.is_empty() {
            self.next_occupied()?
        } else {
            self.hand
        };
        Some(epoch + Duration::from_millis(tick.saturating_mul(TICK_MS)))
    }

    /// The next timer that is due at the touched time, in order of ticks.
    pub(crate) fn pop(&mut self) -> Option<T> {
        loop {
            while let Some(timer) = self.due.pop_front() {
                if let Some(what) = self.live.remove(timer) {
                    return Some(what);
                }
            }
            let now = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX) / TICK_MS;
            if !self.turn(now) {
                return None;
            }
        }
    }

    /// Gives back what a flood made large.
    pub(crate) fn give_back(&mut self) {
        self.live.give_back();
        if is_oversized(self.due.len(), self.due.capacity()) {
            self.due.shrink_to_fit();
        }
    }

    /// How many timers are armed.
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    fn place(&mut self, entry: Entry) {
        let slot = (entry.tick % SLOTS) as usize;
        if let Some(word) = self.occupied.get_mut(slot / 64) {
            *word |= 1 << (slot % 64);
        }
        if let Some(entries) = self.slots.get_mut(slot) {
            entries.push(entry);
        }
    }

    /// Moves the hand to the next occupied slot not after `now`; false when there is none.
    fn turn(&mut self, now: u64) -> bool {
        let Some(tick) = self.next_occupied().filter(|tick| *tick <= now) else {
            self.hand = self.hand.max(now);
            return false;
        };
        self.hand = tick;
        let slot = (tick % SLOTS) as usize;
        if let Some(word) = self.occupied.get_mut(slot / 64) {
            *word &= !(1 << (slot % 64));
        }
        let entries = self.slots.get_mut(slot).map(std::mem::take);
        for entry in entries.unwrap_or_default() {
            if entry.tick <= tick {
                self.due.push_back(entry.timer);
            } else if self.live.get(entry.timer).is_some() {
                self.place(entry); // of a later revolution
            }
        }
        true
    }

    /// The first tick after the hand whose slot holds something.
    fn next_occupied(&self) -> Option<u64> {
        let start = self.hand + 1;
        let first = (start % SLOTS) as usize;
        let words = self.occupied.len();
        // The first word is visited twice: its upper part first, its lower part last.
        for step in 0..=words {
            let index = (first / 64 + step) % words;
            let mut word = self.occupied.get(index).copied().unwrap_or(0);
            if step == 0 {
                word &= u64::MAX << (first % 64);
            } else if step == words {
                word &= !(u64::MAX << (first % 64));
            }
            if word != 0 {
                let slot = index as u64 * 64 + u64::from(word.trailing_zeros());
                return Some(start + (slot + SLOTS - first as u64) % SLOTS);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(wheel: &mut Wheel<u32>, now: Instant) -> Vec<u32> {
        wheel.touch(now);
        std::iter::from_fn(|| wheel.pop()).collect()
    }

    #[test]
    fn fires_in_order_and_never_early() {
        let start = Instant::now();
        let mut wheel = Wheel::new();
        wheel.touch(start);
        wheel.arm(Duration::from_millis(500), 2);
        wheel.arm(Duration::from_millis(15), 1);
        assert_eq!(wheel.next(), Some(start + Duration::from_millis(20)));
        assert!(drain(&mut wheel, start + Duration::from_millis(19)).is_empty());
        assert_eq!(drain(&mut wheel, start + Duration::from_millis(20)), [1]);
        assert_eq!(drain(&mut wheel, start + Duration::from_secs(2)), [2]);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn a_cancelled_timer_never_fires_and_its_place_is_not_mistaken() {
        let start = Instant::now();
        let mut wheel = Wheel::new();
        wheel.touch(start);
        let first = wheel.arm(Duration::from_millis(100), 1);
        wheel.cancel(first);
        wheel.arm(Duration::from_millis(200), 2);
        wheel.cancel(first);
        assert_eq!(drain(&mut wheel, start + Duration::from_secs(1)), [2]);
        assert_eq!(wheel.len(), 0);
    }

    #[test]
    fn timers_beyond_one_revolution_wait_for_theirs() {
        let start = Instant::now();
        let mut wheel = Wheel::new();
        wheel.touch(start);
        wheel.arm(Duration::from_secs(180), 7);
        wheel.arm(Duration::from_secs(32), 3);
        let mut fired = Vec::new();
        let mut now = start;
        while let Some(next) = wheel.next() {
            assert!(next >= now);
            now = next;
            for what in drain(&mut wheel, now) {
                fired.push((what, (now - start).as_secs()));
            }
        }
        assert_eq!(fired, [(3, 32), (7, 180)]);
    }

    #[test]
    fn a_long_sleep_fires_everything_once() {
        let start = Instant::now();
        let mut wheel = Wheel::new();
        wheel.touch(start);
        for n in 0..1000u32 {
            wheel.arm(Duration::from_millis(u64::from(n) * 97), n);
        }
        let fired = drain(&mut wheel, start + Duration::from_secs(3600));
        assert_eq!(fired, (0..1000).collect::<Vec<_>>());
        wheel.arm(Duration::from_millis(1), 5);
        assert!(wheel.next().expect("armed") > start + Duration::from_secs(3600));
    }
}
