//! Scripts run on the spot with made-up outcomes, for the tests of this crate.

use crate::limits::Limits;
use crate::program::Program;
use crate::script::{Script, Start, Step};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use switch::{CallId, DialStatus, Dialed, Entry, Outcome, ScriptEnd, SessionInfo, Verb};

/// The entry points that a test does not care about.
const REST: &str = "fn inbound(session) {} fn outbound(session) {}";

/// `main.rhai` with `text` as written, and the entry points `inbound` and `outbound` in another file.
pub(crate) fn compile(text: &str) -> Result<Program, Vec<String>> {
    compile_files(&[("main.rhai", text), ("rest.rhai", REST)])
}

pub(crate) fn compile_files(files: &[(&str, &str)]) -> Result<Program, Vec<String>> {
    let files: BTreeMap<String, String> = files
        .iter()
        .map(|(name, text)| ((*name).into(), (*text).into()))
        .collect();
    Program::compile(files, &Limits::default())
        .map_err(|all| all.iter().map(ToString::to_string).collect())
}

/// What the checks say about `text`.
pub(crate) fn refused(text: &str) -> Vec<String> {
    compile(text)
        .err()
        .expect("the script should have been refused")
}

pub(crate) fn session() -> SessionInfo {
    SessionInfo {
        id: "cal_0000000000000007".into(),
        from: "101".into(),
        dialed: "102".into(),
        did: String::new(),
        user: "101".into(),
        trunk: String::new(),
        caller_id: "101".into(),
        did_extension: String::new(),
        first_trunk: "itsp".into(),
        ..SessionInfo::default()
    }
}

pub(crate) fn dialed(status: DialStatus, sip_code: u16) -> Outcome {
    let time = std::time::Duration::from_secs(2);
    let is_final = [404, 484, 486, 600, 603].contains(&sip_code);
    Outcome::Dialed(Dialed {
        status,
        sip_code,
        is_final,
        q850: None,
        by: "102".into(),
        ring: time,
        talk: time,
    })
}

/// An outcome that fits: everything works, nobody presses a key, the called party answers.
pub(crate) fn fine(verb: &Verb) -> Outcome {
    match verb {
        Verb::Play { .. } => Outcome::Played { finished: true },
        Verb::Gather(_) => Outcome::Gathered {
            digits: String::new(),
            timed_out: true,
        },
        Verb::Dial { .. } => dialed(DialStatus::Answered, 200),
        _ => Outcome::Done,
    }
}

pub(crate) fn script(program: Program, entry: Entry, limits: Limits) -> Script {
    let stop = Arc::new(AtomicBool::new(false));
    let start = Start {
        program: Arc::new(program),
        limits,
        call: CallId(7),
        entry,
        session: session(),
        stop,
    };
    Script::new(start).unwrap()
}

/// Runs `internal` of `text` to its end.
pub(crate) fn run(text: &str, answer: impl FnMut(&Verb) -> Outcome) -> (Vec<Verb>, ScriptEnd) {
    let program = compile(text).unwrap_or_else(|problems| panic!("refused: {problems:#?}"));
    play(script(program, Entry::Internal, Limits::default()), answer)
}

pub(crate) fn play(
    mut script: Script,
    mut answer: impl FnMut(&Verb) -> Outcome,
) -> (Vec<Verb>, ScriptEnd) {
    let mut verbs = Vec::new();
    let mut outcome = Outcome::Done;
    loop {
        match script.resume(outcome) {
            Step::Ended(end) => return (verbs, end),
            Step::Asks(verb) => {
                outcome = answer(&verb);
                verbs.push(verb);
            }
        }
    }
}

/// Why a script failed.
pub(crate) fn why(end: ScriptEnd) -> String {
    match end {
        ScriptEnd::Failed { why } => why,
        other => panic!("the script should have failed, but: {other:?}"),
    }
}
