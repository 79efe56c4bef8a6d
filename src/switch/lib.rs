//! The office as it lives: calls, legs, registrations, and who may reach whom. A pure machine with four doors.
//!
//! It is not the office as configured (`directory`), and it owns no socket, clock, database or script:
//! those are the edges. Next: [`Event`] (everything in), [`Command`] (everything out), [`Notice`]
//! (everything told), then `admission` and `call`.

#![cfg_attr(
    test,
    expect(
        clippy::disallowed_methods,
        reason = "virtual time begins at some time"
    )
)]

mod admission;
mod call;
mod cause;
mod command;
mod config;
mod defence;
mod dispatch;
mod diversion;
mod event;
mod hosts;
mod identity;
mod keepalive;
mod meet;
mod message;
mod notice;
mod office;
mod ports;
mod proof;
mod push;
mod registrar;
mod rooms;
mod stray;
mod target;
mod timers;
mod trace;
mod trunk;
mod verb;
mod watch;

use call::Call;
pub use command::Command;
pub use config::{Calls, Config, Phones, Push};
pub use defence::DefenceConfig;
pub use event::{CallId, Event, QueryId, Side, UnknownCall};
pub use notice::{CallState, LiveCall, LiveConference, LiveMember, Notice, Reach, TrunkState};
use office::Office;
pub use push::{Address, Note};
pub use rooms::ConferenceAction;
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;
pub use verb::{
    ConferenceOptions, ConferenceStatus, DialOptions, DialStatus, Dialed, Entry, GatherOptions,
    Outcome, ScriptEnd, SessionInfo, SuperviseMode, Supervised, TargetSpec, Tones, Verb,
};

/// The PBX. After every [`handle`](Switch::handle) and [`expire`](Switch::expire), [`poll`](Switch::poll)
/// must be drained.
pub struct Switch {
    office: Office,
    calls: BTreeMap<CallId, Call>,
    /// The call that is being handled: the one to tear down when that panics.
    current: Option<CallId>,
    /// The call it meets: both end when that panics.
    meeting: Option<CallId>,
    /// The dialog of an INVITE that is no call yet: the one to refuse when that panics.
    arriving: Option<sip::DialogId>,
    stopped_told: bool,
}

/// How full the Switch's tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    pub calls: usize,
    /// Legs that have a dialog.
    pub legs: usize,
    /// Media streams that may still tell something.
    pub streams: usize,
    pub dialogs: usize,
    pub transactions: usize,
    /// Armed timers of SIP and of calls; those of registrations and trunks never rest.
    pub timers: usize,
    /// RTP ports in use.
    pub ports: usize,
    /// Subscriptions of phones; each has an armed timer.
    pub subscriptions: usize,
}

impl Switch {
    /// An empty PBX at `config.origin`.
    pub fn new(config: Config) -> Self {
        Self {
            office: Office::new(config),
            calls: BTreeMap::new(),
            current: None,
            meeting: None,
            arriving: None,
            stopped_told: false,
        }
    }

    /// For tests of what a panic does to other calls: one that dials `number` panics on its arrival, one that
    /// dials `number` and more digits panics when an administrator hangs it up or the PBX stops. A release build has no such door.
    #[cfg(debug_assertions)]
    pub fn panic_on(&mut self, number: String) {
        self.office.panic_on = Some(number);
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
            legs: self.office.dialogs.len(),
            streams: self.office.streams.len(),
            dialogs,
            transactions,
            timers: self.office.sip.timers() + self.office.timers.of_calls(),
            ports: self.office.ports.in_use(),
            subscriptions: self.office.sip.subscriptions(),
        }
    }

    /// Runs `work`; a panic ends the call it was about, and that call alone.
    fn guarded(&mut self, work: impl FnOnce(&mut Self)) {
        (self.current, self.meeting, self.arriving) = (None, None, None);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| {
            work(self);
            self.tell_watchers();
        })) {
            self.recover(&*panic);
        }
        self.tell_stopped();
    }

    fn recover(&mut self, panic: &(dyn Any + Send)) {
        let (call, arriving) = (self.current.take(), self.arriving.take());
        let met = self.meeting.take();
        let text = panic.downcast_ref::<&str>().copied();
        let what = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let what = what.unwrap_or_default().to_owned();
        self.office.tell(Notice::Panicked { call, what });
        let torn = catch_unwind(AssertUnwindSafe(|| match (call, arriving) {
            (Some(id), _) => self.tear_down(id),
            (None, Some(dialog)) => self.office.sip.refuse(self.office.now, dialog, 500, &[]),
            (None, None) => {}
        }));
        if torn.is_err()
            && let Some(id) = call
        {
            self.abandon(id);
        }
        if let Some(met) = met.filter(|met| Some(*met) != call)
            && catch_unwind(AssertUnwindSafe(|| self.tear_down(met))).is_err()
        {
            self.abandon(met);
        }
        // What the endpoint had to say of other calls was still waiting. Each turn takes at least one of it.
        self.guarded(Self::pump);
    }

    fn tear_down(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            call::end::tear_down(&mut self.office, call);
            watch::touch_call(&mut self.office, call);
        }
    }

    /// A call that cannot even be torn down: its parties are hung up and its record is written, as far as that goes.
    fn abandon(&mut self, id: CallId) {
        let Some(mut call) = self.calls.remove(&id) else {
            return;
        };
        let office = &mut self.office;
        watch::touch_call(office, &call);
        for dialog in call.legs.iter().filter_map(|leg| leg.dialog) {
            let _broken = catch_unwind(AssertUnwindSafe(|| {
                office.sip.bye(office.now, dialog, None);
            }));
        }
        let _broken = catch_unwind(AssertUnwindSafe(|| call::end::record(office, &mut call)));
    }

    /// Says once that a stop is complete.
    fn tell_stopped(&mut self) {
        let hung_up = self.calls.is_empty() && self.office.sip.sizes().1 == 0;
        // A provider may first ask who leaves (RFC 3261 §22.1); the answer to that is still ours to send.
        let quiet = hung_up && self.office.trunks.have_left();
        if self.office.stopping && !self.stopped_told && quiet {
            self.stopped_told = true;
            self.office.tell(Notice::Stopped);
        }
    }
}
