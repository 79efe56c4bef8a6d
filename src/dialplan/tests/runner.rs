//! Script threads as the Switch sees them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

#[expect(dead_code, reason = "each test file uses a part of it")]
mod stage;

use dialplan::Limits;
use stage::{Stage, session};
use std::collections::BTreeSet;
use switch::{CallId, Entry, Event, Outcome, ScriptEnd, Verb};

fn start(stage: &Stage, call: u64) -> bool {
    stage
        .runner
        .start_script(CallId(call), Entry::Internal, session())
}

/// Kilobytes of this process that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_thousand_callers_wait_in_a_menu_with_little_memory() {
    let stage = Stage::with(
        "let g = session.gather(#{ max: 1 }); session.tag(\"key\", g.digits);",
        2,
        Limits::default(),
    );
    let before = resident();
    for call in 0..1000 {
        // The mailbox may be full for a moment; the script threads empty it.
        while !start(&stage, call) {
            std::thread::yield_now();
        }
    }
    let waiting: BTreeSet<CallId> = (0..1000).map(|_| stage.verb().0).collect();
    assert_eq!((waiting.len(), stage.runner.running()), (1000, 1000));
    let each = (resident() - before) / 1000;
    assert!(each < 200, "{each} kB for each waiting script");
    for call in 0..1000 {
        stage.runner.resume(
            CallId(call),
            Outcome::Gathered {
                digits: call.to_string(),
                timed_out: false,
            },
        );
    }
    let mut ended = 0;
    while ended < 1000 {
        match stage.next() {
            Event::Verb { call, verb } => {
                assert_eq!(
                    verb,
                    Verb::Tag {
                        key: "key".into(),
                        value: call.0.to_string()
                    }
                );
                stage.runner.resume(call, Outcome::Done);
            }
            Event::ScriptEnded { end, .. } => {
                assert_eq!(end, ScriptEnd::Finished);
                ended += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stage.runner.running(), 0);
}

#[test]
fn a_stop_ends_a_script_that_computes() {
    let endless = Limits {
        operations: u64::MAX,
        cpu: stage::PATIENCE * 10,
        ..Limits::default()
    };
    let stage = Stage::with(
        "session.ringing(); loop { try { loop {} } catch {} }",
        1,
        endless,
    );
    assert!(start(&stage, 1));
    assert_eq!(stage.verb().1, Verb::Ringing);
    stage.runner.resume(CallId(1), Outcome::Done);
    stage.runner.stop(CallId(1));
    assert_eq!(stage.end(), (CallId(1), ScriptEnd::Stopped));
}

#[test]
fn a_stop_ends_a_script_that_sleeps() {
    let stage = Stage::with(
        "loop { try { session.play(\"x\") } catch {} }",
        1,
        Limits::default(),
    );
    assert!(start(&stage, 1));
    stage.verb();
    stage.runner.stop(CallId(1));
    stage.runner.stop(CallId(1));
    stage
        .runner
        .resume(CallId(1), Outcome::Played { finished: true });
    assert_eq!(stage.end(), (CallId(1), ScriptEnd::Stopped));
    stage.runner.stop(CallId(1));
    assert_eq!(stage.runner.running(), 0);
    assert!(start(&stage, 1), "the number is free again");
}

#[test]
fn answers_that_nobody_waits_for_are_ignored() {
    let limits = Limits {
        operations: u64::MAX,
        cpu: stage::PATIENCE * 10,
        ..Limits::default()
    };
    let text = "if session.dialed == \"busy\" { session.ringing(); loop {} }
                let a = session.gather(); let b = session.gather(); session.tag(a.digits, b.digits);";
    let stage = Stage::with(text, 1, limits);
    let gathered = |digits: &str| Outcome::Gathered {
        digits: digits.into(),
        timed_out: false,
    };
    stage.runner.resume(CallId(1), Outcome::Done);
    assert!(start(&stage, 1));
    assert!(!start(&stage, 1), "the call has its script already");
    stage.verb();
    // The only thread is held up, so that both answers meet the same question.
    let busy = switch::SessionInfo {
        dialed: "busy".into(),
        ..session()
    };
    assert!(stage.runner.start_script(CallId(2), Entry::Internal, busy));
    stage.verb();
    stage.runner.resume(CallId(2), Outcome::Done);
    stage.runner.resume(CallId(1), gathered("1"));
    stage.runner.resume(CallId(1), gathered("2"));
    stage.runner.stop(CallId(2));
    assert_eq!(stage.end().0, CallId(2));
    stage.verb();
    stage.runner.resume(CallId(1), gathered("3"));
    assert_eq!(
        stage.verb().1,
        Verb::Tag {
            key: "1".into(),
            value: "3".into()
        }
    );
    stage.runner.resume(CallId(1), Outcome::Gone);
    assert_eq!(stage.end().1, ScriptEnd::Stopped);
}

#[test]
fn too_many_scripts_are_refused_and_running_ones_go_on() {
    let limits = Limits {
        scripts: 2,
        ..Limits::default()
    };
    let stage = Stage::with("session.answer();", 1, limits);
    assert!(start(&stage, 1) && start(&stage, 2));
    assert!(!start(&stage, 3));
    stage.verb();
    stage.verb();
    stage.runner.resume(CallId(1), Outcome::Done);
    assert_eq!(stage.end(), (CallId(1), ScriptEnd::Finished));
    assert!(start(&stage, 3));
}

#[test]
fn a_full_mailbox_refuses_new_scripts() {
    let limits = Limits {
        mailbox: 4,
        operations: u64::MAX,
        cpu: stage::PATIENCE * 10,
        ..Limits::default()
    };
    let stage = Stage::with(
        "session.ringing(); if session.dialed == \"busy\" { loop {} }",
        1,
        limits,
    );
    let busy = switch::SessionInfo {
        dialed: "busy".into(),
        ..session()
    };
    assert!(stage.runner.start_script(CallId(0), Entry::Internal, busy));
    stage.verb();
    stage.runner.resume(CallId(0), Outcome::Done);
    // The thread computes from here on; what it finds in the mailbox later is at most this.
    let accepted = (1..100).filter(|call| start(&stage, *call)).count();
    assert!((3..=4).contains(&accepted), "{accepted}");
    stage.runner.stop(CallId(0));
    assert_eq!(stage.end(), (CallId(0), ScriptEnd::Stopped));
    assert_eq!(stage.verb().1, Verb::Ringing);
}

#[test]
fn an_error_reaches_the_switch_with_its_place() {
    let stage = Stage::with(
        "\n  session.play(session.dialed + \"!\");\n",
        1,
        Limits::default(),
    );
    assert!(start(&stage, 1));
    let (_, end) = stage.end();
    let ScriptEnd::Failed { why } = end else {
        panic!("{end:?}")
    };
    assert!(
        why.starts_with("main.rhai:2:11: play: the prompt: \"102!\" is not the name of a prompt"),
        "{why}"
    );
}

#[test]
fn dropping_the_runner_ends_every_script() {
    let stage = Stage::with(
        "loop { try { session.wait(5) } catch {} }",
        2,
        Limits::default(),
    );
    for call in 0..20 {
        assert!(start(&stage, call));
    }
    for _ in 0..20 {
        stage.verb();
    }
    drop(stage.runner);
    let ends = stage.events.iter().filter(|event| {
        matches!(
            event,
            Event::ScriptEnded {
                end: ScriptEnd::Stopped,
                ..
            }
        )
    });
    assert_eq!(ends.count(), 20);
}
