//! Stories of why a call ended: what one side tells is told to the other, in numbers and in our own words.

use crate::world::phone::{Manner, State};
use crate::world::{EMPTY, World};
use directory::Ending;

const BUSY: &str = "Q.850;cause=17;text=\"User busy\"";
const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// 101 calls 102, who refuses with `code` and these lines; what 101 got, and the record's ending and reason.
fn refused(code: u16, lines: &str) -> (World, Ending, String) {
    let mut world = World::new(&["101", "102"], 40);
    world.phone("102").manner = Manner::Refuses(code);
    world.phone("102").adds(&code.to_string(), lines);
    world.dials("101", "102");
    world.passes(3_000);
    assert_eq!(world.phone("101").state, State::Over(code));
    let record = world.records.first().expect("a record");
    let (cause, reason) = (record.cause, record.reason.clone());
    assert_eq!(world.is_silent(), EMPTY);
    (world, cause, reason)
}

#[test]
fn a_refusal_has_the_cause_of_the_table() {
    for (code, cause) in [
        (404, "1"),
        (486, "17"),
        (480, "18"),
        (484, "28"),
        (600, "17"),
        (603, "21"),
        (607, "21"),
        (608, "21"),
    ] {
        let (mut world, ..) = refused(code, "");
        let reason = world
            .phone("101")
            .read(&format!("SIP/2.0 {code}"), "Reason");
        assert!(
            reason.starts_with(&format!("Q.850;cause={cause};text=")),
            "{code}: {reason}"
        );
    }
}

#[test]
fn what_the_called_party_told_goes_before_the_table() {
    let lines = "Reason: SIP;cause=486, Q.850 ;cause=20 ;text=\"not at 10.0.0.2\"\nRetry-After: 90 (in a meeting);duration=5";
    let (mut world, _, reason) = refused(480, lines);
    let alice = world.phone("101");
    let told = alice.read("SIP/2.0 480", "Reason");
    assert_eq!(told, "Q.850;cause=20;text=\"Subscriber absent\"");
    assert_eq!(alice.read("SIP/2.0 480", "Retry-After"), "90");
    assert!(
        reason.ends_with("(Q.850 20: Subscriber absent)"),
        "{reason}"
    );
}

#[test]
fn a_general_status_means_what_its_cause_says() {
    let (mut world, cause, reason) = refused(503, &format!("Reason: {BUSY}\nRetry-After: 3600"));
    assert_eq!(cause, Ending::Busy);
    assert_eq!(reason, "503 Service Unavailable (Q.850 17: User busy)");
    let alice = world.phone("101");
    assert_eq!(alice.read("SIP/2.0 503", "Reason"), BUSY);
    // It would stop calling anybody.
    assert_eq!(alice.read("SIP/2.0 503", "Retry-After"), "");
}

#[test]
fn a_warning_keeps_its_code_and_loses_its_host() {
    let (mut world, _, reason) = refused(488, "Warning: 304 10.0.0.2 \"no video at 10.0.0.2\"");
    let warning = world.phone("101").read("SIP/2.0 488", "Warning");
    assert_eq!(warning, "304 offhook \"Media type not available\"");
    assert!(reason.contains("warning 304"), "{reason}");
}

#[test]
fn why_one_party_hung_up_is_told_to_the_other() {
    for (leaves, stays) in [("101", "102"), ("102", "101")] {
        let mut world = World::new(&["101", "102"], 41);
        world.dials("101", "102");
        world.passes(5_000);
        let now = world.now;
        let reason = "Q.850;cause=41;text=\"lost at gw7.example\", SIP;cause=503";
        world.phone(leaves).hangs_up_because(now, reason);
        world.passes(1_000);
        let told = world.phone(stays).read("BYE", "Reason");
        assert_eq!(told, "Q.850;cause=41;text=\"Temporary failure\"");
        let record = world.records.first().expect("a record");
        assert!(record.reason.ends_with("(Q.850 41: Temporary failure)"));
        assert_eq!(world.is_silent(), EMPTY);
    }
}

#[test]
fn a_plain_end_is_a_normal_one() {
    let mut world = World::new(&["101", "102"], 42);
    world.dials("101", "102");
    world.passes(5_000);
    let now = world.now;
    world.phone("101").hangs_up(now);
    world.passes(1_000);
    let told = world.phone("102").read("BYE", "Reason");
    assert_eq!(told, "Q.850;cause=16;text=\"Normal call clearing\"");
    assert_eq!(world.records[0].reason, "hung up by the caller");
}

#[test]
fn a_call_taken_elsewhere_is_not_missed_here() {
    let mut world = World::new(&["101", "102"], 43);
    world.phone("102").manner = Manner::RingsOnly;
    world
        .phone("101")
        .adds("CANCEL", &format!("Reason: {ELSEWHERE}"));
    world.dials("101", "102");
    world.passes(2_000);
    let now = world.now;
    world.phone("101").cancels(now);
    world.passes(1_000);
    assert_eq!(world.phone("102").read("CANCEL", "Reason"), ELSEWHERE);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn a_call_given_up_is_missed() {
    let mut world = World::new(&["101", "102"], 44);
    world.phone("102").manner = Manner::RingsOnly;
    world.dials("101", "102");
    world.passes(2_000);
    let now = world.now;
    world.phone("101").cancels(now);
    world.passes(1_000);
    let cancels = world.phone("102").letters("CANCEL").len();
    assert_eq!(
        (cancels, world.phone("102").read("CANCEL", "Reason")),
        (1, String::new())
    );
}

#[test]
fn an_ended_fork_does_not_ring() {
    let mut world = World::new(&["101", "102"], 45);
    world.phone("102").manner = Manner::RingsOnly;
    world.phone("102").rings_with = 199;
    world.dials("101", "102");
    world.passes(2_000);
    assert_eq!(world.phone("101").letters("SIP/2.0 18"), [""; 0]);
    let now = world.now;
    world.phone("101").cancels(now);
    assert_eq!(world.is_silent(), EMPTY);
}
