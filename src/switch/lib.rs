//! The office as it lives: calls, legs, registrations, and who may reach whom. A pure machine with four doors.
//!
//! It is not the office as configured (`directory`), and it owns no socket, clock, database or script:
//! those are the edges. Next: [`Event`] (everything in), [`Command`] (everything out), [`Notice`]
//! (everything told), then `admission` and `call`.

mod admission;
mod call;
mod cause;
mod command;
mod config;
mod dispatch;
mod event;
mod notice;
mod office;
mod ports;
mod registrar;
mod target;
mod timers;
mod trunk;
mod verb;

use call::Call;
pub use command::Command;
pub use config::Config;
pub use event::{CallId, Event, QueryId, UnknownCall};
pub use notice::{CallState, LiveCall, Notice, TrunkState};
use office::Office;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;
pub use verb::{
    DialOptions, DialStatus, Dialed, Entry, GatherOptions, Outcome, ScriptEnd, SessionInfo,
    TargetSpec, Verb,
};

/// The PBX. After every [`handle`](Switch::handle) and [`expire`](Switch::expire), [`poll`](Switch::poll)
/// must be drained.
pub struct Switch {
    office: Office,
    calls: BTreeMap<CallId, Call>,
    /// The call that is being handled: the one to tear down when that panics.
    current: Option<CallId>,
    stopped_told: bool,
}

/// How full the Switch's tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    pub calls: usize,
    pub dialogs: usize,
    pub transactions: usize,
    /// RTP ports in use.
    pub ports: usize,
}

impl Switch {
    /// An empty PBX at `config.origin`.
    pub fn new(config: Config) -> Self {
        Self {
            office: Office::new(config),
            calls: BTreeMap::new(),
            current: None,
            stopped_told: false,
        }
    }

    /// Takes in one event.
    pub fn handle(&mut self, now: Instant, event: Event) {
        debug_assert!(self.office.out.is_empty(), "poll() was not drained");
        self.office.now = now;
        self.guarded(|switch| switch.dispatch(event));
    }

    /// The next command, until there is none.
    pub fn poll(&mut self) -> Option<Command> {
        self.office.out.pop_front()
    }

    /// The nearest timer: call [`expire`](Switch::expire) then.
    pub fn deadline(&self) -> Option<Instant> {
        [self.office.sip.deadline(), self.office.timers.next()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Runs every timer that is due.
    pub fn expire(&mut self, now: Instant) {
        debug_assert!(self.office.out.is_empty(), "poll() was not drained");
        self.office.now = now;
        self.guarded(|switch| {
            switch.office.sip.expire(now);
            switch.pump();
        });
        while let Some(timer) = self.office.timers.due(now) {
            self.guarded(|switch| switch.fire(timer));
        }
    }

    /// How full the tables are: all zero when nothing goes on.
    pub fn sizes(&self) -> Sizes {
        let (transactions, dialogs) = self.office.sip.sizes();
        Sizes {
            calls: self.calls.len(),
            dialogs,
            transactions,
            ports: self.office.ports.in_use(),
        }
    }

    /// Runs `work`; a panic ends the call it was about, and that call alone.
    fn guarded(&mut self, work: impl FnOnce(&mut Self)) {
        self.current = None;
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(self))) else {
            return self.tell_stopped();
        };
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let what = text
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        let call = self.current.take();
        self.office.tell(Notice::Panicked { call, what });
        let Some(id) = call else { return };
        let torn = catch_unwind(AssertUnwindSafe(|| self.tear_down(id)));
        if torn.is_err() {
            self.calls.remove(&id);
        }
    }

    fn tear_down(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            let verdict = cause::Verdict::refused(500, "an internal error ended the call");
            call::end::end(&mut self.office, call, verdict);
        }
        self.pump();
    }

    /// Says once that a stop is complete.
    fn tell_stopped(&mut self) {
        let quiet = self.calls.is_empty() && self.office.sip.sizes().1 == 0;
        if self.office.stopping && !self.stopped_told && quiet {
            self.stopped_told = true;
            self.office.tell(Notice::Stopped);
        }
    }
}
