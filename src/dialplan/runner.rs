//! The script threads. A call's script lives on one of them from start to end, chosen by the call's id.
//!
//! The Switch never waits here: a full mailbox refuses a new script, and for a running one there is always room,
//! because it has at most one answer and one stop on their way.

use crate::dialplan::Dialplan;
use crate::script::{Script, Start, Step};
use corosensei::stack::DefaultStack;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use switch::{CallId, Entry, Event, Outcome, ScriptEnd, SessionInfo};
use tracing::warn;

/// Stacks of ended scripts that a thread keeps for the next ones: mapping and unmapping one costs more than a script.
const STACKS: usize = 16;

/// Runs scripts. Dropping it ends all of them and waits for the threads.
pub struct Runner {
    desks: Vec<Arc<Desk>>,
    threads: Vec<JoinHandle<()>>,
}

/// A thread's mailbox and the list of its scripts.
struct Desk {
    state: Mutex<State>,
    mail: Condvar,
    max_letters: usize,
    max_scripts: usize,
}

#[derive(Default)]
struct State {
    letters: VecDeque<Letter>,
    scripts: HashMap<CallId, Slot>,
    closing: bool,
}

/// What others may know of a script.
struct Slot {
    stop: Arc<AtomicBool>,
    /// Whether the script waits for an outcome that is not in the mailbox yet.
    asking: bool,
}

enum Letter {
    Start(CallId, Entry, Box<SessionInfo>, Arc<AtomicBool>),
    Resume(CallId, Outcome),
    Stop(CallId),
}

impl Runner {
    /// Starts `threads` threads (at least one). `asks` is told every verb and the end of every script, on their threads;
    /// it may be slow, but must not wait for the Runner.
    pub fn start(
        dialplan: Arc<Dialplan>,
        threads: usize,
        asks: impl Fn(Event) + Send + Sync + 'static,
    ) -> Runner {
        let asks: Arc<dyn Fn(Event) + Send + Sync> = Arc::new(asks);
        let limits = *dialplan.limits();
        let desks: Vec<Arc<Desk>> = (0..threads.max(1))
            .map(|_| Arc::new(Desk::new(&limits)))
            .collect();
        let threads = desks.iter().enumerate().map(|(index, desk)| {
            let (desk, dialplan, asks) = (desk.clone(), dialplan.clone(), asks.clone());
            std::thread::Builder::new()
                .name(format!("script-{index}"))
                .spawn(move || {
                    Thread {
                        desk,
                        dialplan,
                        asks,
                        scripts: HashMap::new(),
                        stacks: Vec::new(),
                    }
                    .work()
                })
                .expect("a machine that cannot give a few threads at the start cannot run a PBX")
        });
        Runner {
            threads: threads.collect(),
            desks,
        }
    }

    /// Starts the script of `call`; false when too many wait or run, and nothing will be told of it.
    pub fn start_script(&self, call: CallId, entry: Entry, session: SessionInfo) -> bool {
        self.desk(call)
            .is_some_and(|desk| desk.start(call, entry, session))
    }

    /// Gives the outcome of the verb that the call's script asked for; ignored when it asked for none.
    pub fn resume(&self, call: CallId, outcome: Outcome) {
        if let Some(desk) = self.desk(call) {
            desk.resume(call, outcome);
        }
    }

    /// Ends the call's script wherever it is, even between verbs. Its end is told as always.
    pub fn stop(&self, call: CallId) {
        if let Some(desk) = self.desk(call) {
            desk.stop(call);
        }
    }

    /// How many scripts wait, run or sleep.
    pub fn running(&self) -> usize {
        self.desks
            .iter()
            .map(|desk| desk.state().scripts.len())
            .sum()
    }

    fn desk(&self, call: CallId) -> Option<&Arc<Desk>> {
        let index = call.0 % self.desks.len() as u64;
        self.desks.get(usize::try_from(index).ok()?)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        for desk in &self.desks {
            desk.close();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Desk {
    fn new(limits: &crate::Limits) -> Self {
        Self {
            state: Mutex::default(),
            mail: Condvar::new(),
            max_letters: limits.mailbox,
            max_scripts: limits.scripts,
        }
    }

    /// The state is whole whenever the lock is free, even after a panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, call: CallId, entry: Entry, session: SessionInfo) -> bool {
        let mut state = self.state();
        let full =
            state.letters.len() >= self.max_letters || state.scripts.len() >= self.max_scripts;
        if full || state.closing || state.scripts.contains_key(&call) {
            return false;
        }
        let stop = Arc::new(AtomicBool::new(false));
        state.scripts.insert(
            call,
            Slot {
                stop: stop.clone(),
                asking: false,
            },
        );
        state
            .letters
            .push_back(Letter::Start(call, entry, Box::new(session), stop));
        drop(state);
        self.mail.notify_one();
        true
    }

    fn resume(&self, call: CallId, outcome: Outcome) {
        let mut state = self.state();
        let Some(slot) = state.scripts.get_mut(&call) else {
            return;
        };
        if std::mem::take(&mut slot.asking) {
            state.letters.push_back(Letter::Resume(call, outcome));
            drop(state);
            self.mail.notify_one();
        }
    }

    fn stop(&self, call: CallId) {
        let mut state = self.state();
        let Some(slot) = state.scripts.get(&call) else {
            return;
        };
        if !slot.stop.swap(true, Relaxed) {
            state.letters.push_back(Letter::Stop(call));
            drop(state);
            self.mail.notify_one();
        }
    }

    fn close(&self) {
        let mut state = self.state();
        state.closing = true;
        for slot in state.scripts.values() {
            slot.stop.store(true, Relaxed);
        }
        drop(state);
        self.mail.notify_one();
    }

    /// The next letter; `None` when the Runner closes and all are read.
    fn next(&self) -> Option<Letter> {
        let mut state = self.state();
        loop {
            if let Some(letter) = state.letters.pop_front() {
                return Some(letter);
            }
            if state.closing {
                return None;
            }
            state = self
                .mail
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn asked(&self, call: CallId) {
        if let Some(slot) = self.state().scripts.get_mut(&call) {
            slot.asking = true;
        }
    }

    fn forget(&self, call: CallId) {
        self.state().scripts.remove(&call);
    }
}

/// What a script thread owns. Scripts are not `Send`: they are made and die here.
struct Thread {
    desk: Arc<Desk>,
    dialplan: Arc<Dialplan>,
    asks: Arc<dyn Fn(Event) + Send + Sync>,
    scripts: HashMap<CallId, Script>,
    stacks: Vec<DefaultStack>,
}

impl Thread {
    fn work(mut self) {
        while let Some(letter) = self.desk.next() {
            match letter {
                Letter::Start(call, entry, session, stop) => {
                    self.start(call, entry, *session, stop)
                }
                Letter::Resume(call, outcome) => self.turn(call, outcome),
                // The script may have ended, or met the flag while it computed.
                Letter::Stop(call) => self.turn(call, Outcome::Gone),
            }
        }
        let left: Vec<CallId> = self.scripts.keys().copied().collect();
        for call in left {
            self.turn(call, Outcome::Gone);
        }
    }

    fn start(&mut self, call: CallId, entry: Entry, session: SessionInfo, stop: Arc<AtomicBool>) {
        let limits = *self.dialplan.limits();
        let start = Start {
            program: self.dialplan.program(),
            limits,
            call,
            entry,
            session,
            stop,
        };
        let script = match self.stacks.pop() {
            Some(stack) => Ok(Script::on(stack, start)),
            None => Script::new(start),
        };
        match script {
            Ok(script) => {
                self.scripts.insert(call, script);
                self.turn(call, Outcome::Done);
            }
            Err(error) => {
                warn!(%call, %error, "no stack for a script");
                self.ended(call, ScriptEnd::Overloaded);
            }
        }
    }

    /// Lets the script run until its next verb or its end.
    fn turn(&mut self, call: CallId, outcome: Outcome) {
        let Some(script) = self.scripts.get_mut(&call) else {
            return;
        };
        match script.resume(outcome) {
            Step::Asks(verb) => {
                // Before the Switch hears of it: its answer may be here at once.
                self.desk.asked(call);
                (self.asks)(Event::Verb { call, verb });
            }
            Step::Ended(end) => {
                let stack = self.scripts.remove(&call).and_then(Script::into_stack);
                if self.stacks.len() < STACKS {
                    self.stacks.extend(stack);
                }
                self.ended(call, end);
            }
        }
    }

    fn ended(&self, call: CallId, end: ScriptEnd) {
        self.desk.forget(call);
        (self.asks)(Event::ScriptEnded { call, end });
    }
}
