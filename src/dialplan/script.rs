//! One running script: a coroutine that yields verbs and is resumed with their outcomes.
//!
//! It never moves between threads, and it must be resumed until it ends: with [`Outcome::Gone`] it does so at once.

use crate::engine::engine;
use crate::limits::Limits;
use crate::line::{Level, Line, Session, shown};
use crate::meter::Meter;
use crate::program::Program;
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
        Ok(Self::on(stack, start))
    }

    /// As [`new`](Script::new), on the stack of a script that has ended; it must have been made by the same limits.
    pub(crate) fn on(stack: DefaultStack, start: Start) -> Self {
        let limit = stack.limit().get() + GUARD_PAGE;
        let call = start.call;
        let coroutine =
            Coroutine::with_stack(stack, move |yielder, _: Outcome| run(yielder, start, limit));
        Self { coroutine, call }
    }

    /// The stack of a script that has ended.
    pub(crate) fn into_stack(self) -> Option<DefaultStack> {
        self.coroutine.done().then(|| self.coroutine.into_stack())
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
    let (cause, position, function) = innermost(error);
    let (verb, verb_position) = line.last_verb();
    // Rhai forgets where a script was when a limit ended it: the last verb is the nearest that is known.
    let place = if position.is_none() {
        program.place_in(line.entry, verb_position)
    } else {
        program.place(position)
    };
    let why = match cause {
        EvalAltResult::Exit(..) | EvalAltResult::Return(..) => return ScriptEnd::Finished,
        EvalAltResult::ErrorTerminated(token, _) if token.is_unit() => return ScriptEnd::Stopped,
        EvalAltResult::ErrorTerminated(token, _) => token.to_string(),
        EvalAltResult::ErrorRuntime(token, _) if token.is_string() => token.to_string(),
        EvalAltResult::ErrorStackOverflow(_) => {
            "functions call one another too deeply, after this place".into()
        }
        mut other => {
            other.clear_position();
            other.to_string()
        }
    };
    let why: String = why.chars().take(WHY_CHARS).flat_map(shown).collect();
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

/// The error at the bottom of nested calls, its position and the function it happened in.
fn innermost(mut error: EvalAltResult) -> (EvalAltResult, Position, String) {
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
                return (other, if own.is_none() { outer } else { own }, function);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::{compile, dialed, fine, play, run, script, why};
    use std::time::Duration;
    use switch::{DialOptions, DialStatus, GatherOptions, TargetSpec};

    fn internal(body: &str) -> String {
        format!("fn internal(session) {{ {body} }}")
    }

    fn fails(body: &str) -> String {
        why(run(&internal(body), fine).1)
    }

    fn options(timeout: u64, caller_id: Option<&str>, max: Option<Duration>) -> DialOptions {
        DialOptions {
            timeout: Duration::from_millis(timeout),
            caller_id: caller_id.map(Into::into),
            max_duration: max,
            privacy: None,
        }
    }

    #[test]
    fn verbs_arrive_as_written_and_outcomes_return() {
        let text = r##"
            fn internal(session) {
                session.answer();
                let g = session.gather(#{ prompt: ["hello", "menu/main"], max: 3, timeout: 6, interdigit: 1.5, finish: "*", barge: false });
                session.caller_id = "+4930" + g.digits;
                let r = session.dial([ext(102), trunk("itsp", "0301")], #{ timeout: 20.5, max_duration: 60, caller_id: "7" });
                session.tag("by", `${r.by} ${r.status} ${r.sip_code} ${r.final} ${r.ring_secs} ${r.talk_secs > 1} ${r.answered}`);
                helper(session);
            }
            fn helper(session) { session.dial(ext("9")); session.wait(0.25); session.reject(486); }
        "##;
        let (verbs, end) = run(text, |verb| match verb {
            Verb::Gather(_) => Outcome::Gathered {
                digits: "42".into(),
                timed_out: false,
            },
            other => fine(other),
        });
        assert_eq!(end, ScriptEnd::Finished);
        let gather = GatherOptions {
            prompts: vec!["hello".into(), "menu/main".into()],
            min: 1,
            max: 3,
            timeout: Duration::from_secs(6),
            interdigit: Duration::from_millis(1500),
            finish: Some('*'),
            barge: false,
        };
        let itsp = TargetSpec::Trunk {
            name: "itsp".into(),
            number: "0301".into(),
        };
        let wanted = [
            Verb::Answer,
            Verb::Gather(gather),
            Verb::Dial {
                targets: vec![TargetSpec::Extension("102".into()), itsp],
                options: options(20_500, Some("7"), Some(Duration::from_secs(60))),
                caller_id: "+493042".into(),
            },
            Verb::Tag {
                key: "by".into(),
                value: "102 answered 200 false 2.0 true true".into(),
            },
            Verb::Dial {
                targets: vec![TargetSpec::Extension("9".into())],
                options: options(30_000, None, None),
                caller_id: "+493042".into(),
            },
            Verb::Wait {
                time: Duration::from_millis(250),
            },
            Verb::Reject { code: 486 },
        ];
        assert_eq!(verbs, wanted);
    }

    #[test]
    fn computing_without_end_ends() {
        for body in [
            "loop {}",
            "loop { try { loop {} } catch {} }",
            "let n = 0; while true { n += 1; try { throw n; } catch {} }",
        ] {
            let why = fails(body);
            assert!(why.contains("from here to the next verb"), "{body}: {why}");
            assert!(why.starts_with("main.rhai:1:"), "{why}");
        }
    }

    #[test]
    fn the_time_between_verbs_is_bounded_too() {
        let limits = Limits {
            operations: u64::MAX,
            cpu: Duration::from_millis(5),
            ..Limits::default()
        };
        let program = compile(&internal("loop {}")).unwrap_or_else(|e| panic!("{e:?}"));
        let why = why(play(script(program, Entry::Internal, limits), fine).1);
        assert!(
            why.contains("more than 5 ms of CPU from here to the next verb"),
            "{why}"
        );
    }

    #[test]
    fn the_budget_starts_anew_after_each_verb() {
        let (verbs, end) = run(
            &internal(
                "for i in 0..30 { for j in 0..2000 { let x = j * 2; } session.play(\"x\"); }",
            ),
            fine,
        );
        assert_eq!((verbs.len(), end), (30, ScriptEnd::Finished));
    }

    /// Rhai's call depth allows each of these; without the guard they abort the process.
    #[test]
    fn native_recursion_ends_the_script_and_not_the_process() {
        let nested = (0..10).fold("n".to_owned(), |inner, _| format!("(1 + {inner})"));
        let deep = format!(
            "fn deep(n) {{ if n > 1000 {{ return 0; }} let a = {nested}; {{ {{ {{ if a > 0 {{ switch a {{ 1 => 2, _ => [[[deep(a)]]] }} }} }} }} }} }}"
        );
        for limits in [
            Limits {
                call_depth: 1_000_000,
                ..Limits::default()
            },
            Limits {
                stack_bytes: 256 * 1024,
                ..Limits::default()
            },
            Limits {
                stack_bytes: 512 * 1024,
                ..Limits::default()
            },
            Limits::default(),
        ] {
            for call in ["deep(1)", "try { deep(1) } catch {}"] {
                let program = compile(&format!("{}{deep}", internal(call)))
                    .unwrap_or_else(|e| panic!("{e:?}"));
                let (_, end) = play(script(program, Entry::Internal, limits), fine);
                match end {
                    ScriptEnd::Finished => assert!(call.starts_with("try")),
                    end => {
                        let why = why(end);
                        assert!(why.contains("deeply"), "{why}");
                    }
                }
            }
        }
    }

    /// Native code recurses over such values: it shows, compares, clones and drops them.
    #[test]
    fn deeply_nested_values_do_not_overflow_the_stack() {
        for body in [
            "let a = []; loop { a = [a]; }",
            "let a = []; loop { let b = []; b.push(a); a = b; }",
            "let a = #{}; loop { a = #{ x: a }; }",
            "let a = #{}; loop { let b = #{}; b.x = a; a = b; }",
            "let a = []; for i in 0..1000 { a = [a]; } print(a);",
            "let a = []; for i in 0..1000 { a = [a]; } let b = a; b == a;",
            "let a = []; for i in 0..1000 { a = [a]; } session.tag(\"x\", a);",
            "let a = []; for i in 0..1000 { a = [a]; } throw a;",
            "let a = #{}; for i in 0..1000 { a = #{ x: a }; } a.to_json();",
            "let a = []; for i in 0..1000 { a = [a]; } `${a}`.len();",
            "let s = \"1\"; for i in 0..1000 { s = `[${s}]`; } parse_json(s);",
            "let f = Fn(\"x\"); loop { f = [f]; }",
        ] {
            let (_, end) = run(&internal(body), fine);
            assert_ne!(end, ScriptEnd::Stopped, "{body}");
        }
    }

    #[test]
    fn nesting_over_many_verbs_does_not_overflow_the_stack() {
        for step in [
            "let b = #{}; b.x = a; a = b;",
            "let b = [0]; b[0] = a; a = b;",
            "let b = []; b.push(a); a = b;",
        ] {
            let text = internal(&format!(
                "let a = #{{}}; for i in 0..490 {{ session.ringing(); for j in 0..20 {{ {step} }} }}"
            ));
            let (_, end) = run(&text, fine);
            assert!(
                why(end).contains("is too large or nests too deeply"),
                "{step}"
            );
        }
    }

    #[test]
    fn large_values_are_refused() {
        for body in [
            "let s = \"x\"; loop { s += s; }",
            "let a = [0]; loop { a += a; }",
            "let a = []; loop { a.push(0); }",
            "let m = #{}; for i in 0..2000 { m[\"k\" + i] = i; }",
            "let m = #{}; for i in 0..2000 { try { m[\"k\" + i] = i; } catch {} } m.len()",
            "blob(1_000_000_000, 0)",
            "\"x\".pad(1_000_000_000, \"y\")",
            "[].pad(1_000_000_000, 0)",
        ] {
            let limits = Limits {
                cpu: Duration::from_secs(20),
                ..Limits::default()
            };
            let program = compile(&internal(body)).unwrap_or_else(|e| panic!("{e:?}"));
            let why = why(play(script(program, Entry::Internal, limits), fine).1);
            assert!(
                why.contains("too large") || why.contains("exceeds"),
                "{body}: {why}"
            );
        }
    }

    #[test]
    fn gone_ends_the_script_at_every_verb_and_cannot_be_caught() {
        for verb in [
            "answer()",
            "ringing()",
            "progress()",
            "reject(486)",
            "hangup()",
            "wait(1)",
            "play(\"x\")",
            "gather()",
            "gather(#{ max: 1 })",
            "send_dtmf(\"1#\")",
            "send_dtmf(1, #{ pause: 1 })",
            "dial(ext(1))",
            "dial(ext(1), #{ timeout: 1 })",
            "echo()",
            "tag(\"a\", 1)",
        ] {
            let text = internal(&format!("loop {{ try {{ session.{verb} }} catch {{}} }}"));
            let mut count = 0;
            let (verbs, end) = run(&text, |verb| {
                count += 1;
                if count == 3 {
                    Outcome::Gone
                } else {
                    fine(verb)
                }
            });
            assert_eq!((verbs.len(), end), (3, ScriptEnd::Stopped), "{verb}");
        }
    }

    #[test]
    fn a_stop_while_the_script_sleeps_ends_it_whatever_the_outcome() {
        let program = compile(&internal("loop { try { session.play(\"x\") } catch {} }"))
            .unwrap_or_else(|e| panic!("{e:?}"));
        let stop = Arc::new(AtomicBool::new(false));
        let start = Start {
            program: Arc::new(program),
            limits: Limits::default(),
            call: CallId(1),
            entry: Entry::Internal,
            session: crate::rehearsal::session(),
            stop: stop.clone(),
        };
        let (verbs, end) = play(Script::new(start).unwrap(), |verb| {
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            fine(verb)
        });
        assert_eq!((verbs.len(), end), (1, ScriptEnd::Stopped));
    }

    #[test]
    fn verbs_and_dials_of_a_call_are_counted() {
        let (verbs, end) = run(
            &internal("loop { try { session.play(\"x\") } catch {} }"),
            |_| Outcome::Invalid("no".into()),
        );
        assert_eq!(verbs.len(), 500);
        assert_eq!(why(end), "main.rhai:1:45: more than 500 verbs in one call");
        let (verbs, end) = run(&internal("loop { session.dial(ext(1)); }"), |_| {
            dialed(DialStatus::Busy, 486)
        });
        assert_eq!(verbs.len(), 40);
        assert!(why(end).contains("more than 40 dials in one call"));
    }

    #[test]
    fn an_error_names_file_line_and_column() {
        let text = "fn internal(session) {\n  helper(session);\n}\nfn helper(s) {\n  let x = 1;\n  s.play(x);\n}";
        let why_ = why(run(text, fine).1);
        assert_eq!(
            why_,
            "main.rhai:6:5: play: the prompt is a prompt's name or an array of them, not a whole number"
        );
        let text = "fn internal(session) {\n  session.dial(ext(\"102\"));\n}";
        let (_, end) = run(text, |_| Outcome::Invalid("no extension 102".into()));
        assert_eq!(why(end), "main.rhai:2:11: no extension 102");
        assert_eq!(fails("throw \"own\";"), "main.rhai:1:24: own");
        let forged = fails("throw \"a\\nforged line\";");
        assert_eq!(forged, "main.rhai:1:24: a\\nforged line");
    }

    #[test]
    fn an_error_in_the_second_file_names_the_second_file() {
        let program = crate::rehearsal::compile_files(&[
            ("a.rhai", "// one\n// two\nconst PROMPT = 5;\nfn internal(session) { greet(session) }"),
            ("b.rhai", "fn inbound(session) {}\nfn outbound(session) {}\n\nfn greet(session) {\n    session.play(global::PROMPT);\n}\n"),
        ])
        .unwrap_or_else(|e| panic!("{e:?}"));
        let why = why(play(script(program, Entry::Internal, Limits::default()), fine).1);
        assert!(why.starts_with("b.rhai:5:13: play: "), "{why}");
    }

    #[test]
    fn mistakes_can_be_caught_and_outcomes_are_values() {
        let text =
            internal("try { session.dial(ext(1)); } catch (why) { session.tag(\"why\", why); }");
        let (verbs, end) = run(&text, |verb| match verb {
            Verb::Dial { .. } => Outcome::Invalid("no extension 1".into()),
            _ => Outcome::Done,
        });
        assert_eq!(end, ScriptEnd::Finished);
        assert_eq!(
            verbs.last(),
            Some(&Verb::Tag {
                key: "why".into(),
                value: "no extension 1".into()
            })
        );
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn wrong_arguments_are_explained() {
        for (body, wanted) in [
            (
                "session.dial(\"101\")",
                "dial: a target is ext(number) or trunk(name, number), not a text",
            ),
            ("session.dial([])", "dial: 1 to 32 targets, not 0"),
            (
                "let o = #{ timout: 5 }; session.dial(ext(1), o)",
                "dial: unknown option `timout`; did you mean `timeout`?",
            ),
            (
                "let o = #{ tries: 5 }; session.gather(o)",
                "gather: unknown option `tries`; there are prompt, min, max, timeout, interdigit, finish, barge",
            ),
            (
                "session.dial(ext(1), #{ timeout: \"5\" })",
                "dial: `timeout` is a number of seconds, not a text",
            ),
            (
                "session.dial(ext(1), 20)",
                "dial: options are a map #{…}, not a whole number",
            ),
            (
                "session.wait(-1)",
                "wait: the time is 0 to 86400 seconds, not -1",
            ),
            (
                "session.wait(0.0 / 0.0)",
                "wait: the time is 0 to 86400 seconds, not NaN",
            ),
            (
                "session.gather(#{ min: 5, max: 4 })",
                "gather: `min` is 5 and `max` is 4",
            ),
            (
                "session.gather(#{ max: 300 })",
                "gather: `max` is 0 to 64 digits, not 300",
            ),
            (
                "session.gather(#{ finish: \"##\" })",
                "gather: `finish` is one key (0-9 * # A-D) or \"\" for none, not \"##\"",
            ),
            (
                "session.send_dtmf(\"12 3\")",
                "send_dtmf: the keys are 1 to 64 of 0-9, *, # and A-D",
            ),
            (
                "session.send_dtmf(\"1\", #{ duration: 9 })",
                "send_dtmf: `duration` is 0.04 to 5 seconds",
            ),
            (
                "let o = #{ length: 1 }; session.send_dtmf(\"1\", o)",
                "send_dtmf: unknown option `length`; there are duration, pause",
            ),
            (
                "session.gather(#{ barge: 1 })",
                "gather: `barge` is true or false, not a whole number",
            ),
            (
                "session.play(\"../etc/passwd\")",
                "play: the prompt: \"../etc/passwd\" is not the name of a prompt",
            ),
            (
                "session.play([\"a\", ()])",
                "play: the prompt is a prompt's name or an array of them, not nothing ()",
            ),
            (
                "session.reject(200)",
                "reject: the code is a SIP status from 400 to 699, not 200",
            ),
            (
                "session.log(\"inf\", 1)",
                "log: no level \"inf\"; there are debug, info and warn; did you mean `info`?",
            ),
            (
                "session.caller_id = \"1\\r\\nX: y\"",
                "session.caller_id is at most 128 characters and no control characters",
            ),
            (
                "session.dialed = \"1\"",
                "session.dialed cannot be set; only session.caller_id can",
            ),
            ("let r = #{ answered: true }; r.anwsered", "anwsered"),
            ("ext(#{})", "ext: the number is a text, not a map #{…}"),
        ] {
            let why = fails(body);
            assert!(why.contains(wanted), "{body}: {why}");
        }
    }

    #[test]
    fn a_call_from_outside_is_not_sent_back_outside() {
        let text = "fn internal(session) {} fn outbound(session) {}\nfn inbound(session) { session.dial([ext(1), trunk(\"itsp\", \"0900\")]); }";
        let program = crate::rehearsal::compile_files(&[("main.rhai", text)])
            .unwrap_or_else(|e| panic!("{e:?}"));
        let (verbs, end) = play(script(program, Entry::Inbound, Limits::default()), fine);
        assert_eq!(verbs, []);
        assert!(
            why(end).starts_with("main.rhai:2:31: dial: trunk(…) is not available in `inbound`")
        );
    }

    #[test]
    fn sleep_and_eval_are_out_of_reach_by_name_and_by_pointer() {
        for body in [
            "Fn(\"sleep\").call(2)",
            "Fn(\"sleep\").call(2.5)",
            "let f = Fn(\"sleep\"); f.call(1000)",
        ] {
            assert!(fails(body).contains("use session.wait(seconds)"), "{body}");
        }
        let why = fails("Fn(\"eval\").call(\"1\")");
        assert!(why.contains("eval"), "{why}");
    }

    #[test]
    fn fields_tell_the_call_and_a_log_flood_is_dropped() {
        let text = internal(
            "session.tag(\"all\", [session.from, session.dialed, session.did, session.user, session.trunk, session.caller_id, session.id, session.did_extension, session.first_trunk].reduce(|all, one| if all == () { one } else { all + \",\" + one }));
             for i in 0..1000 { print(i); session.log(\"debug\", i); debug(i); } exit();",
        );
        let (verbs, end) = run(&text, fine);
        assert_eq!(end, ScriptEnd::Finished);
        let value = "101,102,,101,,101,cal_0000000000000007,,itsp".into();
        assert_eq!(
            verbs,
            [Verb::Tag {
                key: "all".into(),
                value
            }]
        );
    }
}
