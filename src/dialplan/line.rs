//! `session` of a script: the line over which its verbs reach the Switch.

use crate::meter::Meter;
use corosensei::Yielder;
use rhai::{Dynamic, EvalAltResult, Position};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use switch::{CallId, Entry, Outcome, SessionInfo, Verb};
use tracing::{debug, info, warn};

/// What a native function returns to Rhai.
pub(crate) type Answer<T> = Result<T, Box<EvalAltResult>>;

/// The longest text of a log line, in characters.
const LOG_CHARS: usize = 1000;

/// The script's handle on its call; cheap to clone.
#[derive(Clone)]
pub(crate) struct Session(pub(crate) Arc<Line>);

/// One script's connection with its call.
pub(crate) struct Line {
    pub(crate) call: CallId,
    pub(crate) entry: Entry,
    pub(crate) info: SessionInfo,
    pub(crate) meter: Arc<Meter>,
    wire: Wire,
    caller_id: Mutex<String>,
    /// Name and place.
    last_verb: Mutex<(&'static str, Position)>,
    verbs: AtomicU32,
    dials: AtomicU32,
    logs: AtomicU32,
    max_verbs: u32,
    max_dials: u32,
    max_logs: u32,
}

/// How severe a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
}

/// The way out of the coroutine.
struct Wire(*const Yielder<Outcome, Verb>);

// SAFETY: Rhai built with `sync` wants its values Send and Sync. A Wire never leaves the thread of its coroutine:
// the engine, its scope and every value of the script live in frames of that coroutine, and `corosensei::Coroutine` is not Send.
#[expect(
    unsafe_code,
    reason = "a promise about threads that the compiler cannot check"
)]
unsafe impl Send for Wire {}
// SAFETY: as above.
#[expect(
    unsafe_code,
    reason = "a promise about threads that the compiler cannot check"
)]
unsafe impl Sync for Wire {}

impl Line {
    /// # Safety
    /// `yielder` must be the one of the coroutine that runs the script, and must outlive every use of the line:
    /// the line may be used only inside the coroutine's body.
    #[expect(
        unsafe_code,
        reason = "the line keeps the address of a value it cannot borrow"
    )]
    pub(crate) unsafe fn new(
        yielder: &Yielder<Outcome, Verb>,
        meter: Arc<Meter>,
        limits: &crate::Limits,
        (call, entry, info): (CallId, Entry, SessionInfo),
    ) -> Self {
        Self {
            call,
            entry,
            meter,
            wire: Wire(std::ptr::from_ref(yielder)),
            caller_id: Mutex::new(info.caller_id.clone()),
            info,
            last_verb: Mutex::new(("", Position::NONE)),
            verbs: AtomicU32::new(0),
            dials: AtomicU32::new(0),
            logs: AtomicU32::new(0),
            max_verbs: limits.verbs,
            max_dials: limits.dials,
            max_logs: limits.log_lines,
        }
    }

    /// Asks the Switch for a verb and sleeps until its outcome is there.
    ///
    /// # Errors
    /// A mistake of the script that it may catch, or the end of the script, which it cannot.
    pub(crate) fn ask(&self, verb: Verb) -> Answer<Outcome> {
        if self.meter.stopped() {
            return Err(terminated(Dynamic::UNIT));
        }
        if self.verbs.fetch_add(1, Relaxed) >= self.max_verbs {
            return Err(terminated(
                format!("more than {} verbs in one call", self.max_verbs).into(),
            ));
        }
        if matches!(verb, Verb::Dial { .. }) && self.dials.fetch_add(1, Relaxed) >= self.max_dials {
            return Err(terminated(
                format!("more than {} dials in one call", self.max_dials).into(),
            ));
        }
        #[expect(unsafe_code, reason = "see the safety note")]
        // SAFETY: `Line::new`'s caller keeps the yielder alive as long as the line is used, and on this thread.
        let yielder = unsafe { &*self.wire.0 };
        let outcome = yielder.suspend(verb);
        self.meter.refill();
        if outcome == Outcome::Gone {
            self.meter.stop();
        }
        if self.meter.stopped() {
            return Err(terminated(Dynamic::UNIT));
        }
        match outcome {
            Outcome::Invalid(why) => Err(mistake(why)),
            outcome => Ok(outcome),
        }
    }

    /// Names the verb at work and its place, for the report of an error.
    pub(crate) fn begin(&self, verb: &'static str, position: Position) {
        *locked(&self.last_verb) = (verb, position);
    }

    /// The verb that was at work last and its place; empty when there was none.
    pub(crate) fn last_verb(&self) -> (&'static str, Position) {
        *locked(&self.last_verb)
    }

    pub(crate) fn caller_id(&self) -> String {
        locked(&self.caller_id).clone()
    }

    pub(crate) fn set_caller_id(&self, number: String) {
        *locked(&self.caller_id) = number;
    }

    /// Writes a line into the log, unless the script has written too many.
    pub(crate) fn log(&self, level: Level, text: &str) {
        let count = self.logs.fetch_add(1, Relaxed);
        let (call, entry) = (self.call, self.entry.name());
        if count >= self.max_logs {
            if count == self.max_logs {
                warn!(%call, entry, "the dialplan writes more than {} log lines; the rest is dropped", self.max_logs);
            }
            return;
        }
        // What came from a peer must not forge lines of the log.
        let text: String = text.chars().take(LOG_CHARS).flat_map(shown).collect();
        match level {
            Level::Debug => debug!(%call, entry, "{text}"),
            Level::Info => info!(%call, entry, "{text}"),
            Level::Warn => warn!(%call, entry, "{text}"),
        }
    }
}

/// Control characters escaped, all else as it is.
pub(crate) fn shown(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control().then(|| character.escape_default());
    let plain = escaped.is_none().then_some(character);
    escaped.into_iter().flatten().chain(plain)
}

/// A mistake of the script, thrown at the line of the verb.
pub(crate) fn mistake(why: impl Into<String>) -> Box<EvalAltResult> {
    EvalAltResult::ErrorRuntime(why.into().into(), Position::NONE).into()
}

/// The end of the script: no `catch` sees it.
fn terminated(why: Dynamic) -> Box<EvalAltResult> {
    EvalAltResult::ErrorTerminated(why, Position::NONE).into()
}

/// The values inside are whole whenever the lock is free, even after a panic.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
