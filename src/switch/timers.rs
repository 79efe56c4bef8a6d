//! The Switch's own timers: few and long, so an ordered map serves.

use crate::event::CallId;
use crate::keepalive::Phone;
use std::collections::BTreeMap;
use std::time::Instant;

/// What to do when a timer is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The call's activity: nobody answered, a wait is over, no digit came, the talk limit.
    Activity(CallId),
    /// The call has ended; its streams had their time to report.
    Report(CallId),
    /// The party that was sent on has not been taken in time.
    Transfer(CallId),
    /// A branch has waited long enough for its phone to wake up.
    Branch(CallId, usize),
    /// A trunk registers again, or its name is looked up again.
    Trunk(String),
    /// The earliest registration expires.
    Registrations,
    /// A ban is over.
    Bans,
    /// The earliest publication expires.
    Publications,
    /// A phone behind NAT is asked something.
    KeepAlive(Phone),
    /// No phone has taken a message soon.
    Message(u64),
    /// A phone of the extension registered, and messages wait for it.
    Deliver(String),
    /// Kept messages may have expired.
    Messages,
}

/// Names an armed timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey(Instant, u64);

#[derive(Debug, Default)]
pub(crate) struct Timers {
    armed: BTreeMap<TimerKey, Timer>,
    count: u64,
}

impl Timers {
    pub(crate) fn arm(&mut self, at: Instant, timer: Timer) -> TimerKey {
        self.count += 1;
        let key = TimerKey(at, self.count);
        self.armed.insert(key, timer);
        key
    }

    pub(crate) fn cancel(&mut self, key: Option<TimerKey>) {
        if let Some(key) = key {
            self.armed.remove(&key);
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.armed.keys().next().map(|key| key.0)
    }

    /// How many armed timers are about calls.
    pub(crate) fn of_calls(&self) -> usize {
        let of_call = |timer: &&Timer| {
            matches!(
                timer,
                Timer::Activity(_) | Timer::Report(_) | Timer::Transfer(_) | Timer::Branch(..)
            )
        };
        self.armed.values().filter(of_call).count()
    }

    /// Takes a timer that is due at `now`.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Timer> {
        let entry = self.armed.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}
