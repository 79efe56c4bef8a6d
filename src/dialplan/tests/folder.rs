//! Loading, replacing and watching a folder of scripts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

#[expect(dead_code, reason = "each test file uses a part of it")]
mod stage;

use dialplan::{Dialplan, Limits, Standing, watch};
use stage::{PATIENCE, Stage, session};
use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use switch::{CallId, Entry, Outcome, ScriptEnd, Verb};

const REST: &str = "fn inbound(session) {}\nfn outbound(session) {}\n";
const OLD: &str = "fn internal(session) { session.wait(1); session.tag(\"plan\", \"old\"); }\n";
const NEW: &str = "fn internal(session) { session.tag(\"plan\", \"new\"); }\n";
const BROKEN: &str = "fn internal(session) {\n    session.dail(ext(1));\n}\n";

fn stage() -> Stage {
    Stage::with_files(
        &[("main.rhai", OLD), ("rest.rhai", REST)],
        1,
        Limits::default(),
    )
}

fn files(main: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("main.rhai".to_owned(), main.to_owned()),
        ("other.rhai".to_owned(), REST.to_owned()),
    ])
}

fn on_disk(stage: &Stage) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(stage.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file());
    entries
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(path).unwrap(),
            )
        })
        .collect()
}

fn plan_in_force(stage: &Stage) -> String {
    let (verbs, end) = stage.run(Entry::Internal, session(), |_| Outcome::Done);
    assert_eq!(end, ScriptEnd::Finished);
    match verbs.last() {
        Some(Verb::Tag { value, .. }) => value.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn replacing_writes_the_folder_and_removes_what_is_absent() {
    let stage = stage();
    std::fs::write(stage.dir.path().join("notes.txt"), "kept").unwrap();
    stage.dialplan.replace(files(NEW)).unwrap();
    let mut wanted = files(NEW);
    assert_eq!(stage.dialplan.files(), wanted);
    wanted.insert("notes.txt".into(), "kept".into());
    assert_eq!(on_disk(&stage), wanted);
    assert_eq!(plan_in_force(&stage), "new");
}

#[test]
fn a_refused_replacement_changes_nothing() {
    let stage = stage();
    let before = on_disk(&stage);
    let problems = stage.dialplan.replace(files(BROKEN)).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(stage.dialplan.refused(), [], "the folder is good");
    assert_eq!(
        problems[0].to_string(),
        "main.rhai:2:13: the session has no verb `dail`; did you mean `dial`?"
    );
    for name in [
        "../evil.rhai",
        "Main.rhai",
        "main.rhai.txt",
        ".rhai",
        "a b.rhai",
        "/etc/x.rhai",
        "",
    ] {
        let mut with = files(NEW);
        with.insert(name.into(), String::new());
        assert_eq!(stage.dialplan.replace(with).unwrap_err()[0].file, name);
    }
    assert_eq!(on_disk(&stage), before);
    assert_eq!(plan_in_force(&stage), "old");
}

#[test]
fn a_refused_reload_keeps_the_old_dialplan() {
    let stage = stage();
    std::fs::write(stage.dir.path().join("main.rhai"), BROKEN).unwrap();
    let problems = stage.dialplan.reload().unwrap_err();
    assert_eq!(
        (
            problems[0].file.as_str(),
            problems[0].line,
            problems[0].column
        ),
        ("main.rhai", Some(2), Some(13))
    );
    assert_eq!(plan_in_force(&stage), "old");
    assert_eq!(stage.dialplan.refused(), problems);
    std::fs::write(stage.dir.path().join("main.rhai"), NEW).unwrap();
    stage.dialplan.reload().unwrap();
    assert_eq!(plan_in_force(&stage), "new");
    assert_eq!(stage.dialplan.refused(), []);
    std::fs::write(stage.dir.path().join("main.rhai"), BROKEN).unwrap();
    stage.dialplan.reload().unwrap_err();
    stage.dialplan.replace(files(OLD)).unwrap();
    assert_eq!(stage.dialplan.refused(), []);
}

#[test]
fn a_running_call_keeps_its_dialplan() {
    let stage = stage();
    assert!(
        stage
            .runner
            .start_script(CallId(1), Entry::Internal, session())
    );
    stage.verb();
    stage.dialplan.replace(files(NEW)).unwrap();
    stage.runner.resume(CallId(1), Outcome::Done);
    assert_eq!(
        stage.verb().1,
        Verb::Tag {
            key: "plan".into(),
            value: "old".into()
        }
    );
}

#[test]
fn files_of_editors_are_passed_over_and_wrong_names_refused() {
    let stage = stage();
    std::fs::write(stage.dir.path().join(".main.rhai.swp"), "x").unwrap();
    std::fs::write(stage.dir.path().join(".#main.rhai"), "x").unwrap();
    std::fs::write(stage.dir.path().join("main.rhai~"), "x").unwrap();
    stage.dialplan.reload().unwrap();
    std::fs::write(stage.dir.path().join("My Plan.rhai"), "").unwrap();
    assert_eq!(stage.dialplan.reload().unwrap_err()[0].file, "My Plan.rhai");
    let nowhere = Dialplan::load(&stage.dir.path().join("nowhere"), Limits::default());
    assert!(nowhere.is_err());
}

#[test]
fn an_edited_file_is_reloaded_and_a_broken_one_refused() {
    let stage = stage();
    let (sender, results) = channel();
    let _watch = watch(stage.dialplan.clone(), move |result| {
        let _ = sender.send(result);
    })
    .unwrap();
    std::fs::write(stage.dir.path().join("main.rhai"), NEW).unwrap();
    results.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(plan_in_force(&stage), "new");
    std::fs::write(stage.dir.path().join("main.rhai"), BROKEN).unwrap();
    let problems = results.recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(problems[0].line, Some(2));
    assert_eq!(plan_in_force(&stage), "new");
    // As many editors do it: a new file takes the old one's name.
    std::fs::write(stage.dir.path().join(".tmp"), OLD).unwrap();
    std::fs::rename(
        stage.dir.path().join(".tmp"),
        stage.dir.path().join("main.rhai"),
    )
    .unwrap();
    results.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(plan_in_force(&stage), "old");
}

#[test]
fn a_start_with_broken_scripts_uses_those_that_served_last() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Dialplan::open(dir.path(), Limits::default()).unwrap();
    std::fs::write(dir.path().join("main.rhai"), BROKEN).unwrap();
    std::fs::write(dir.path().join("rest.rhai"), REST).unwrap();
    let (dialplan, problems) = open();
    assert_eq!(problems[0].line, Some(2));
    assert_eq!(dialplan.standing(), Standing::None);
    assert_eq!(dialplan.files(), BTreeMap::new());

    std::fs::write(dir.path().join("main.rhai"), OLD).unwrap();
    dialplan.reload().unwrap();
    assert_eq!(dialplan.standing(), Standing::Current);
    let good = dialplan.files();
    std::fs::write(dir.path().join("main.rhai"), BROKEN).unwrap();
    dialplan.reload().unwrap_err();
    assert_eq!(dialplan.standing(), Standing::Old);

    let (dialplan, problems) = open();
    assert_eq!(problems[0].file, "main.rhai");
    assert_eq!(
        (dialplan.standing(), dialplan.files()),
        (Standing::Old, good)
    );
    dialplan.replace(files(NEW)).unwrap();
    assert_eq!(dialplan.standing(), Standing::Current);
    assert_eq!(open().1, []);
}

#[test]
fn an_emptied_folder_is_refused_as_long_as_nothing_serves() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("main.rhai"), BROKEN).unwrap();
    let (dialplan, _) = Dialplan::open(dir.path(), Limits::default()).unwrap();
    std::fs::remove_file(dir.path().join("main.rhai")).unwrap();
    let problems = dialplan.reload().unwrap_err();
    assert!(!problems.is_empty());
    assert_eq!(dialplan.standing(), Standing::None);
    assert_eq!(dialplan.refused(), problems);
}

#[test]
fn without_a_dialplan_every_script_fails_at_its_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("main.rhai"), BROKEN).unwrap();
    let (dialplan, _) = Dialplan::open(dir.path(), Limits::default()).unwrap();
    let stage = Stage::around(dialplan, dir);
    for entry in [Entry::Internal, Entry::Outbound, Entry::Inbound] {
        let (verbs, end) = stage.run(entry, session(), |_| Outcome::Done);
        let why = match end {
            ScriptEnd::Failed { why } => why,
            other => panic!("{other:?}"),
        };
        assert!(
            why.ends_with("no dialplan: the scripts do not compile"),
            "{why}"
        );
        assert_eq!(verbs, []);
    }
}
