//! Whether a script may go on computing: asked by Rhai at every operation.

use crate::limits::Limits;
use rhai::Dynamic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What must stay free of the script's stack for one more level of Rhai and for native functions.
const STACK_RESERVE: usize = 64 * 1024;
/// The clock is read once in so many operations.
const CLOCK_EVERY: u64 = 16;

/// The budget of one script. All but `stop` is touched by the script's own thread only;
/// atomics because Rhai wants its callbacks `Send + Sync`.
pub(crate) struct Meter {
    /// Set by any thread: the caller has gone, the script shall end wherever it is.
    stop: Arc<AtomicBool>,
    /// The lowest address the script's frames may reach.
    floor: usize,
    operations: u64,
    cpu: Duration,
    origin: Instant,
    /// The next operation starts a new segment.
    fresh: AtomicBool,
    segment_operations: AtomicU64,
    /// Nanoseconds since `origin`, and of the thread's CPU clock.
    segment_wall: AtomicU64,
    segment_cpu: AtomicU64,
}

impl Meter {
    /// `stack_limit` is the lowest address of the stack the script runs on.
    pub(crate) fn new(limits: &Limits, stack_limit: usize, stop: Arc<AtomicBool>) -> Self {
        Self {
            stop,
            floor: stack_limit + STACK_RESERVE,
            operations: limits.operations,
            cpu: limits.cpu,
            origin: Instant::now(),
            fresh: AtomicBool::new(true),
            segment_operations: AtomicU64::new(0),
            segment_wall: AtomicU64::new(0),
            segment_cpu: AtomicU64::new(0),
        }
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// A verb was answered: the budget starts anew.
    pub(crate) fn refill(&self) {
        self.fresh.store(true, Relaxed);
    }

    /// Rhai's `on_progress`: `Some` ends the script, and no `catch` sees it. A unit stands for "stopped", a text says which limit was hit.
    pub(crate) fn check(&self, operations: u64) -> Option<Dynamic> {
        if self.stopped() {
            return Some(Dynamic::UNIT);
        }
        // Rhai's call depth does not guard the native stack: a legal recursion aborted the whole process.
        let here = 0_u8;
        if (&raw const here).addr() < self.floor {
            return Some("the script nests too deeply for its stack, after this place".into());
        }
        if self.fresh.swap(false, Relaxed) {
            self.segment_operations.store(operations, Relaxed);
            self.segment_wall
                .store(nanoseconds(self.origin.elapsed()), Relaxed);
            self.segment_cpu.store(thread_cpu(), Relaxed);
            return None;
        }
        if operations.saturating_sub(self.segment_operations.load(Relaxed)) > self.operations {
            return Some(
                format!(
                    "more than {} operations from here to the next verb",
                    self.operations
                )
                .into(),
            );
        }
        if operations.is_multiple_of(CLOCK_EVERY) && self.out_of_time() {
            return Some(
                format!(
                    "more than {} ms of CPU from here to the next verb",
                    self.cpu.as_millis()
                )
                .into(),
            );
        }
        None
    }

    /// CPU time never exceeds wall time, so the dearer clock is read only when the cheap one ran out.
    fn out_of_time(&self) -> bool {
        let allowed = nanoseconds(self.cpu);
        let wall =
            nanoseconds(self.origin.elapsed()).saturating_sub(self.segment_wall.load(Relaxed));
        wall > allowed && thread_cpu().saturating_sub(self.segment_cpu.load(Relaxed)) > allowed
    }
}

/// Nanoseconds of CPU this thread has used.
fn thread_cpu() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
