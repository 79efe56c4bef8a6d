//! Attended transfers: two calls of one phone become one of the two others.

use crate::transfer::journey;
use crate::world::phone::{Manner, State};
use crate::world::{EMPTY, World};
use directory::CallRecord;
use switch::{Event, Verb};

/// 101 talks with 102 and, on its second line, with 103, who called it when `back` says so.
fn consulting(seed: u64, back: bool) -> World {
    let mut world = World::new(&["102", "101", "103", "104"], seed);
    let (from, to) = if back { ("102", "101") } else { ("101", "102") };
    world.dials(from, to);
    world.passes(2_000);
    world.passes(5_000);
    let now = world.now;
    world.line("101'").dials(now, "103");
    world.passes(2_000);
    assert!(world.talks("101", "102") && world.talks("101'", "103"));
    world
}

/// 101 connects its parties: the REFER on `line` names the other one's dialog.
fn connects(world: &mut World, line: &str, other: &str) {
    let (now, replaced) = (world.now, world.line(other).replaced());
    world.line(line).refers_to(now, "103", &replaced);
    world.passes(500);
}

fn hangs_up(world: &mut World, line: &str) {
    let now = world.now;
    world.line(line).hangs_up(now);
    world.passes(500);
}

/// Every record when all is over: the calls' first, by the time they began.
fn records(world: &mut World) -> Vec<CallRecord> {
    assert_eq!(world.is_silent(), EMPTY);
    assert!(world.streams.is_empty());
    let mut records = std::mem::take(&mut world.records);
    records.sort_by_key(|r| r.started_at_ms);
    records
}

#[test]
fn two_calls_become_one_and_their_records_name_each_other() {
    for (back, line, other) in [
        (false, "101", "101'"),
        (true, "101", "101'"),
        (false, "101'", "101"),
    ] {
        let mut world = consulting(1, back);
        world.passes(3_000);
        connects(&mut world, line, other);
        assert!(world.talks("102", "103"), "{back} {line}");
        let referring = world.line(line);
        assert_eq!(referring.answers_to_refer(), [202]);
        assert_eq!(referring.told(), ["refer: SIP/2.0 200 OK, terminated"]);
        assert_eq!(world.line("101").state, State::Over(200));
        assert_eq!(world.line("101'").state, State::Over(200));
        for (party, other) in [("102", "103"), ("103", "102")] {
            let shown = world.phone(party).display();
            let other = format!("<sip:{other}@");
            assert!(shown.starts_with(&other), "{shown}");
        }
        world.passes(10_000);
        hangs_up(&mut world, "103");
        assert_eq!(world.phone("102").state, State::Over(200));
        let records = records(&mut world);
        let [first, second] = records.as_slice() else {
            panic!("{records:?}")
        };
        let (gone, on) = if line == "101" {
            (first, second)
        } else {
            (second, first)
        };
        assert_eq!(gone.merged_into.as_ref(), Some(&on.id));
        assert_eq!(on.continues, std::slice::from_ref(&gone.id));
        assert_eq!((on.merged_into.as_ref(), gone.continues.len()), (None, 0));
        assert_eq!(journey(gone).len(), 1);
        let parts = journey(on);
        assert_eq!(parts.len(), 2);
        let last = &on.segments[1];
        assert_eq!(
            (last.how, last.by.as_deref()),
            (directory::How::Attended, Some("101"))
        );
        let talk = last.ended_at_ms - last.answered_at_ms.unwrap();
        assert!((10_000..11_500).contains(&talk), "{on:?}");
    }
}

#[test]
fn while_the_target_rings_the_party_takes_the_place_and_hears_it_ring() {
    let mut world = World::new(&["101", "102", "103"], 2);
    world.dials("102", "101");
    world.passes(2_000);
    world.phone("103").manner = Manner::RingsOnly;
    let now = world.now;
    world.line("101'").dials(now, "103");
    world.passes(1_000);
    world.tones.clear();
    connects(&mut world, "101", "101'");
    assert_eq!(world.phone("101").progress(), [100, 180]);
    assert_eq!(world.tones, [media::Tone::Ringback]);
    assert_eq!(world.line("101'").state, State::Over(487));
    hangs_up(&mut world, "101");
    let now = world.now;
    world.phone("103").answers_call(now);
    world.passes(500);
    assert!(world.talks("102", "103"));
    let shown = world.phone("103").display();
    assert!(shown.starts_with("<sip:102@"), "{shown}");
    hangs_up(&mut world, "102");
    let records = records(&mut world);
    assert_eq!(records.len(), 2);
    assert_eq!(
        journey(&records[1]),
        ["101 103 dialled -!", "102 103 attended 101"]
    );
    assert_eq!(records[0].merged_into.as_ref(), Some(&records[1].id));
}

#[test]
fn what_rings_in_vain_comes_back_to_the_transferrer() {
    let mut world = World::new(&["101", "102", "103"], 3);
    world.dials("101", "102");
    world.passes(2_000);
    world.phone("103").manner = Manner::RingsOnly;
    let now = world.now;
    world.line("101'").dials(now, "103");
    world.passes(1_000);
    connects(&mut world, "101", "101'");
    world.passes(25_000);
    assert!(world.talks("101", "102"), "it waited on the line");
    hangs_up(&mut world, "102");
    let records = records(&mut world);
    let parts = [
        "101 103 dialled -!",
        "102 103 attended 101!",
        "102 101 returned 101",
    ];
    assert_eq!(journey(&records[1]), parts);
}

#[test]
fn a_call_that_ends_at_that_moment_leaves_the_other_as_it_was() {
    for late in [false, true] {
        let mut world = consulting(4, false);
        let (now, replaced) = (world.now, world.line("101'").replaced());
        world.phone("103").hangs_up(now);
        world.passes(if late { 40_000 } else { 6 });
        let now = world.now;
        world.phone("101").refers_to(now, "103", &replaced);
        world.passes(500);
        let status = if late { 481 } else { 603 };
        assert_eq!(world.phone("101").answers_to_refer(), [202]);
        assert_eq!(world.phone("101").progress(), [status], "{late}");
        assert!(world.talks("101", "102"));
        hangs_up(&mut world, "101");
        let records = records(&mut world);
        assert_eq!(records.len(), 2);
        assert!(records.iter().all(|r| r.merged_into.is_none()));
    }
}

#[test]
fn everybody_may_hang_up_with_the_refer() {
    for who in ["101", "102", "103", "101'"] {
        let mut world = consulting(5, false);
        let (now, replaced) = (world.now, world.line("101'").replaced());
        world.line("101").refers_to(now, "103", &replaced);
        world.line(who).hangs_up(now);
        world.passes(1_000);
        for line in ["101", "102", "103", "101'"] {
            hangs_up(&mut world, line);
        }
        let records = records(&mut world);
        assert_eq!(records.len(), 2, "{who}");
    }
}

#[test]
fn only_ones_own_other_talk_can_be_named() {
    let mut world = consulting(6, false);
    let foreign = world.phone("103").replaced();
    let own = world.phone("101").replaced();
    for (replaced, status) in [
        (foreign, 403),
        (own, 603),
        ("x%3Bto-tag%3Da%3Bfrom-tag%3Db".into(), 481),
    ] {
        let now = world.now;
        world.phone("101").refers_to(now, "103", &replaced);
        world.passes(500);
        let progress = world.phone("101").progress();
        assert_eq!(progress.last(), Some(&status), "{replaced}");
        assert!(world.talks("101", "102") && world.talks("101'", "103"));
    }
    for line in ["101", "101'"] {
        hangs_up(&mut world, line);
    }
    assert_eq!(records(&mut world).len(), 2);
}

#[test]
fn a_script_on_the_other_line_is_no_party() {
    let mut world = World::new(&["101", "102"], 7);
    world.dials("101", "102");
    world.passes(2_000);
    world.first = Some(Verb::Echo);
    let now = world.now;
    world.line("101'").dials(now, "*43");
    world.passes(1_000);
    connects(&mut world, "101", "101'");
    assert_eq!(world.phone("101").progress(), [603]);
    assert!(world.talks("101", "102"));
    for line in ["101", "101'"] {
        hangs_up(&mut world, line);
    }
    assert_eq!(records(&mut world).len(), 2);
}

#[test]
fn what_was_joined_can_be_joined_again_and_sent_on() {
    let mut world = consulting(8, false);
    connects(&mut world, "101", "101'");
    // 103, who answered the second call, now sends 102 on.
    let now = world.now;
    world.phone("103").refers(now, "104");
    world.passes(500);
    assert!(world.talks("102", "104"));
    hangs_up(&mut world, "104");
    let records = records(&mut world);
    let parts = [
        "101 103 dialled -",
        "102 103 attended 101",
        "102 104 transferred 103",
    ];
    assert_eq!(journey(&records[1]), parts);
}

#[test]
fn a_loss_on_every_wire_changes_nothing_but_the_time() {
    for seed in 200..215 {
        let mut world = consulting(seed, false);
        world.trouble = 25;
        let (now, replaced) = (world.now, world.line("101'").replaced());
        world.line("101").refers_to(now, "103", &replaced);
        world.passes(40_000);
        world.trouble = 0;
        world.passes(5_000);
        assert!(world.talks("102", "103"), "{seed}");
        assert_eq!(world.line("101").state, State::Over(200), "{seed}");
        hangs_up(&mut world, "102");
        assert_eq!(records(&mut world).len(), 2, "{seed}");
    }
}

#[cfg(debug_assertions)]
#[test]
fn a_panic_in_the_middle_of_it_ends_both_calls_with_a_record_each() {
    let mut world = World::new(&["101", "102", "6661"], 9);
    world.switch.panic_on("666".into());
    world.dials("101", "102");
    world.passes(2_000);
    let now = world.now;
    world.line("101'").dials(now, "6661");
    world.passes(2_000);
    let (now, replaced) = (world.now, world.line("101'").replaced());
    world.line("101").refers_to(now, "6661", &replaced);
    world.passes(2_000);
    let panics = world.log.iter().filter(|n| n.contains("Panicked"));
    assert_eq!(panics.count(), 1);
    for line in ["101", "102", "6661", "101'"] {
        let state = world.line(line).state.clone();
        assert!(matches!(state, State::Over(_)), "{line}: {state:?}");
    }
    assert_eq!(records(&mut world).len(), 2);
}

#[test]
fn a_stop_after_it_writes_each_record_once() {
    let mut world = consulting(10, false);
    let (now, replaced) = (world.now, world.line("101'").replaced());
    world.line("101").refers_to(now, "103", &replaced);
    world.passes(8);
    world.give(Event::Stop);
    world.passes(2_000);
    assert_eq!(records(&mut world).len(), 2);
}
