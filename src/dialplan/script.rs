//! One running script: a coroutine that yields verbs and is resumed with their outcomes.
//!
//! It never moves between threads, and it must be resumed until it ends: with [`Outcome::Gone`] it does so at once.

use crate::engine::engine;
use crate::limits::Limits;
use crate::line::{Level, Line, Session, shown};
use crate::meter::Meter;
use crate::program::Program;
use crate::source::Place;
use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult, Yielder};
use rhai::{CallFnOptions, Dynamic, EvalAltResult, Position, Scope};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use switch::{CallId, Entry, Outcome, ScriptEnd, SessionInfo, Verb};
use tracing::warn;

/// The longest reason a failed script gives, in characters.
const WHY_CHARS: usize = 500;
/// `Stack::limit` includes the guard page, whose size depends on the machine; this is the largest in use.
const GUARD_PAGE: usize = 64 * 1024;

/// What a script did with its turn.
#[derive(Debug)]
pub(crate) enum Step {
    Asks(Verb),
    Ended(ScriptEnd),
}

pub(crate) struct Script {
    coroutine: Coroutine<Outcome, Verb, ScriptEnd, DefaultStack>,
    call: CallId,
}

/// What a script is started with.
pub(crate) struct Start {
    pub(crate) program: Arc<Program>,
    pub(crate) limits: Limits,
    pub(crate) call: CallId,
    pub(crate) entry: Entry,
    pub(crate) session: SessionInfo,
    /// Ends the script from any thread, even while it computes.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Script {
    /// A script that has not run yet.
    ///
    /// # Errors
    /// The system has no memory for its stack.
    pub(crate) fn new(start: Start) -> io::Result<Self> {
        let stack = DefaultStack::new(start.limits.stack_bytes)?;
        let limit = stack.limit().get() + GUARD_PAGE;
        let call = start.call;
        let coroutine =
            Coroutine::with_stack(stack, move |yielder, _: Outcome| run(yielder, start, limit));
        Ok(Self { coroutine, call })
    }

    /// Runs until the next verb or the end. The outcome of the first resume is not looked at.
    pub(crate) fn resume(&mut self, outcome: Outcome) -> Step {
        // A panic inside comes out of `resume` and leaves the coroutine finished.
        match catch_unwind(AssertUnwindSafe(|| self.coroutine.resume(outcome))) {
            Ok(CoroutineResult::Yield(verb)) => Step::Asks(verb),
            Ok(CoroutineResult::Return(end)) => Step::Ended(end),
            Err(_) => {
                warn!(call = %self.call, "the script engine panicked");
                Step::Ended(ScriptEnd::Failed {
                    why: "the script engine panicked".into(),
                })
            }
        }
    }
}

/// The coroutine's body.
fn run(yielder: &Yielder<Outcome, Verb>, start: Start, stack_limit: usize) -> ScriptEnd {
    let Start {
        program,
        limits,
        call,
        entry,
        session,
        stop,
    } = start;
    let meter = Arc::new(Meter::new(&limits, stack_limit, stop));
    #[expect(unsafe_code, reason = "see the safety note")]
    // SAFETY: the yielder is this coroutine's and lives until this function has returned; the line, the engine and
    // the scope that use it are dropped before.
    let line =
        Arc::new(unsafe { Line::new(yielder, meter.clone(), &limits, (call, entry, session)) });
    let mut engine = engine(&limits);
    engine.on_progress(move |operations| meter.check(operations));
    let printed = line.clone();
    engine.on_print(move |text| printed.log(Level::Info, text));
    let debugged = line.clone();
    engine.on_debug(move |text, _, _| debugged.log(Level::Debug, text));
    let options = CallFnOptions::new().eval_ast(true);
    let arguments = (Session(line.clone()),);
    let result = engine.call_fn_with_options::<Dynamic>(
        options,
        &mut Scope::new(),
        program.ast(),
        entry.name(),
        arguments,
    );
    match result {
        Ok(_) => ScriptEnd::Finished,
        Err(error) => verdict(&program, &line, *error),
    }
}

/// What an error that left the script means.
fn verdict(program: &Program, line: &Line, error: EvalAltResult) -> ScriptEnd {
    let (cause, place, function) = innermost(program, error);
    let why = match cause {
        EvalAltResult::Exit(..) | EvalAltResult::Return(..) => return ScriptEnd::Finished,
        EvalAltResult::ErrorTerminated(token, _) if token.is_unit() => return ScriptEnd::Stopped,
        EvalAltResult::ErrorTerminated(token, _) => token.to_string(),
        EvalAltResult::ErrorRuntime(token, _) if token.is_string() => token.to_string(),
        EvalAltResult::ErrorStackOverflow(_) => "functions call one another too deeply".into(),
        mut other => {
            other.clear_position();
            other.to_string()
        }
    };
    let why: String = why.chars().take(WHY_CHARS).flat_map(shown).collect();
    let verb = line.last_verb();
    warn!(
        call = %line.call,
        entry = line.entry.name(),
        file = place.file,
        line = place.line.unwrap_or(0),
        column = place.column.unwrap_or(0),
        function,
        verb,
        why,
        "the dialplan failed"
    );
    ScriptEnd::Failed {
        why: format!("{place}: {why}"),
    }
}

/// The error at the bottom of nested calls, its place and the function it happened in.
fn innermost(program: &Program, mut error: EvalAltResult) -> (EvalAltResult, Place, String) {
    let mut function = String::new();
    let mut outer = Position::NONE;
    loop {
        match error {
            EvalAltResult::ErrorInFunctionCall(name, _, inner, position) => {
                function = name;
                outer = position;
                error = *inner;
            }
            other => {
                let own = other.position();
                let place = program.place(if own.is_none() { outer } else { own });
                return (other, place, function);
            }
        }
    }
}
