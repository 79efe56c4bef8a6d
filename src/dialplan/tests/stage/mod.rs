//! A Runner over a folder of scripts, and the Switch's place on its other side.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use dialplan::{Dialplan, Limits, Runner};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use switch::{CallId, Entry, Event, Outcome, ScriptEnd, SessionInfo, Verb};
use tempfile::TempDir;

pub(crate) struct Stage {
    pub(crate) runner: Runner,
    pub(crate) dialplan: Arc<Dialplan>,
    pub(crate) events: Receiver<Event>,
    pub(crate) dir: TempDir,
}

/// Long enough for a loaded machine; a passing test never waits it out.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

impl Stage {
    pub(crate) fn with(internal: &str, threads: usize, limits: Limits) -> Self {
        let text = format!(
            "fn internal(session) {{ {internal} }}\nfn inbound(session) {{}}\nfn outbound(session) {{}}\n"
        );
        Self::with_files(&[("main.rhai", &text)], threads, limits)
    }

    pub(crate) fn with_files(files: &[(&str, &str)], threads: usize, limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Self::at(dir, threads, limits)
    }

    /// The dialplan that a new installation gets.
    pub(crate) fn with_default() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dialplan/main.rhai");
        std::fs::copy(main, dir.path().join("main.rhai")).unwrap();
        Self::at(dir, 1, Limits::default())
    }

    fn at(dir: TempDir, threads: usize, limits: Limits) -> Self {
        let dialplan =
            Dialplan::load(dir.path(), limits).unwrap_or_else(|problems| panic!("{problems:#?}"));
        Self::with_threads(dialplan, dir, threads)
    }

    /// Around a dialplan that the test opened itself.
    pub(crate) fn around(dialplan: Dialplan, dir: TempDir) -> Self {
        Self::with_threads(dialplan, dir, 1)
    }

    fn with_threads(dialplan: Dialplan, dir: TempDir, threads: usize) -> Self {
        let dialplan = Arc::new(dialplan);
        let (sender, events) = channel();
        let runner = Runner::start(dialplan.clone(), threads, move |event| {
            let _ = sender.send(event);
        });
        Self {
            runner,
            dialplan,
            events,
            dir,
        }
    }

    pub(crate) fn next(&self) -> Event {
        self.events
            .recv_timeout(PATIENCE)
            .expect("the script threads should have told something")
    }

    /// The next verb; panics when the script ended.
    pub(crate) fn verb(&self) -> (CallId, Verb) {
        match self.next() {
            Event::Verb { call, verb } => (call, verb),
            other => panic!("a verb was expected, not {other:?}"),
        }
    }

    pub(crate) fn end(&self) -> (CallId, ScriptEnd) {
        match self.next() {
            Event::ScriptEnded { call, end } => (call, end),
            other => panic!("an end was expected, not {other:?}"),
        }
    }

    /// Runs one script to its end and tells what it asked.
    pub(crate) fn run(
        &self,
        entry: Entry,
        session: SessionInfo,
        answer: impl Fn(&Verb) -> Outcome,
    ) -> (Vec<Verb>, ScriptEnd) {
        let call = CallId(1);
        assert!(self.runner.start_script(call, entry, session));
        let mut verbs = Vec::new();
        loop {
            match self.next() {
                Event::Verb { verb, .. } => {
                    self.runner.resume(call, answer(&verb));
                    verbs.push(verb);
                }
                Event::ScriptEnded { end, .. } => return (verbs, end),
                other => panic!("{other:?}"),
            }
        }
    }
}

pub(crate) fn session() -> SessionInfo {
    SessionInfo {
        id: "cal_0000000000000001".into(),
        from: "101".into(),
        dialed: "102".into(),
        did: String::new(),
        user: "101".into(),
        trunk: String::new(),
        caller_id: "101".into(),
        did_extension: String::new(),
        first_trunk: String::new(),
        ..SessionInfo::default()
    }
}
