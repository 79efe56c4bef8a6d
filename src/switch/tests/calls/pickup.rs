//! INVITE with Replaces: who answers what rings elsewhere, and who takes a talk over.

use crate::transfer::journey;
use crate::world::phone::{Manner, State};
use crate::world::{EMPTY, World};
use directory::CallRecord;

/// 102 rings, called by 101.
fn ringing(seed: u64) -> World {
    let mut world = World::new(&["101", "102", "103"], seed);
    world.phone("102").manner = Manner::RingsOnly;
    world.dials("101", "102");
    world.passes(2_000);
    assert_eq!(world.phone("102").state, State::Ringing);
    world
}

fn takes(world: &mut World, line: &str, number: &str, replaces: &str) {
    let now = world.now;
    world.line(line).dials_for(now, number, replaces);
    world.passes(1_000);
}

fn record(world: &mut World) -> CallRecord {
    assert_eq!(world.is_silent(), EMPTY);
    assert!(world.streams.is_empty());
    assert_eq!(world.records.len(), 1, "{:?}", world.records);
    world.records.remove(0)
}

fn hangs_up(world: &mut World, line: &str) {
    let now = world.now;
    world.line(line).hangs_up(now);
    world.passes(500);
}

#[test]
fn a_phone_answers_what_rings_at_another() {
    // As a lamp tells the names, and as RFC 3891 has them.
    for lamp in [true, false] {
        let mut world = ringing(1);
        let (call_id, phones, ours) = world.phone("102").names();
        let (to, from) = if lamp { (phones, ours) } else { (ours, phones) };
        let replaces = format!("{call_id};to-tag={to};from-tag={from};early-only");
        takes(&mut world, "103", "102", &replaces);
        assert!(world.talks("101", "103"));
        assert_eq!(world.phone("102").state, State::Over(487));
        let shown = world.phone("101").display();
        assert!(shown.starts_with("<sip:103@"), "{shown}");
        let shown = world.phone("103").display();
        assert!(shown.starts_with("<sip:101@"), "{shown}");
        world.passes(5_000);
        hangs_up(&mut world, "103");
        assert_eq!(world.phone("101").state, State::Over(200));
        let record = record(&mut world);
        assert_eq!(
            journey(&record),
            ["101 102 dialled -!", "101 103 picked up 103"]
        );
        assert_eq!((record.from.as_str(), record.to.as_str()), ("101", "102"));
        assert!((5_000..6_500).contains(&record.talk_ms), "{record:?}");
    }
}

#[test]
fn what_was_answered_or_cancelled_meanwhile_is_not_picked_up() {
    for (answered, status) in [(true, 486), (false, 603)] {
        let mut world = ringing(2);
        let (call_id, phones, ours) = world.phone("102").names();
        let now = world.now;
        if answered {
            world.phone("102").answers_call(now);
        } else {
            world.phone("101").cancels(now);
        }
        let replaces = format!("{call_id};to-tag={phones};from-tag={ours};early-only");
        takes(&mut world, "103", "102", &replaces);
        let state = world.phone("103").state.clone();
        let late = !answered && state == State::Over(481);
        assert!(late || state == State::Over(status), "{state:?}");
        assert_eq!(world.talks("101", "102"), answered);
        hangs_up(&mut world, "101");
        record(&mut world);
    }
}

#[test]
fn two_pick_up_at_once_and_one_gets_it() {
    let mut world = World::new(&["101", "102", "103", "104"], 3);
    world.phone("102").manner = Manner::RingsOnly;
    world.dials("101", "102");
    world.passes(2_000);
    let (call_id, phones, ours) = world.phone("102").names();
    let replaces = format!("{call_id};to-tag={phones};from-tag={ours};early-only");
    let now = world.now;
    world.phone("103").dials_for(now, "102", &replaces);
    world.phone("104").dials_for(now, "102", &replaces);
    world.passes(2_000);
    let up = |world: &mut World, n: &str| world.phone(n).state == State::Up;
    assert!(up(&mut world, "103") != up(&mut world, "104"));
    hangs_up(&mut world, "101");
    record(&mut world);
}

#[test]
fn the_caller_of_a_ringing_call_cannot_be_replaced() {
    let mut world = ringing(4);
    let (call_id, own, ours) = world.phone("101").names();
    let replaces = format!("{call_id};to-tag={ours};from-tag={own}");
    takes(&mut world, "103", "101", &replaces);
    assert_eq!(world.phone("103").state, State::Over(481));
    assert_eq!(world.phone("102").state, State::Ringing);
    let now = world.now;
    world.phone("101").cancels(now);
    record(&mut world);
}

#[test]
fn an_extension_takes_its_talk_over_from_another_device() {
    for (caller, who) in [("101", "101'"), ("102", "101'")] {
        let mut world = World::new(&["101", "102", "103"], 5);
        let other = if caller == "101" { "102" } else { "101" };
        world.dials(caller, other);
        world.passes(2_000);
        let (call_id, own, ours) = world.phone("101").names();
        let replaces = format!("{call_id};to-tag={ours};from-tag={own}");
        takes(&mut world, "103", "101", &replaces);
        assert_eq!(
            world.phone("103").state,
            State::Over(403),
            "not somebody else's"
        );
        assert!(world.talks("101", "102"));
        takes(&mut world, who, "101", &replaces);
        assert!(world.talks("101'", "102"));
        assert_eq!(world.phone("101").state, State::Over(200));
        hangs_up(&mut world, "102");
        assert_eq!(world.line("101'").state, State::Over(200));
        assert_eq!(journey(&record(&mut world)).len(), 2);
    }
}

#[test]
fn names_that_nobody_knows_or_that_are_none() {
    let mut world = ringing(6);
    for (replaces, status) in [
        ("x;to-tag=a;from-tag=b", 481),
        ("x;to-tag=a", 400),
        (
            "x;to-tag=a;from-tag=b\r\nReplaces: x;to-tag=a;from-tag=b",
            400,
        ),
    ] {
        takes(&mut world, "103", "102", replaces);
        assert_eq!(world.phone("103").state, State::Over(status), "{replaces}");
    }
    let now = world.now;
    world.phone("101").cancels(now);
    record(&mut world);
}

#[test]
fn a_provider_takes_nobodys_place() {
    let mut world = World::with_trunks(&["101", "102"], &["one"], 7);
    world.phone("102").manner = Manner::RingsOnly;
    world.dials("101", "102");
    world.passes(2_000);
    let (call_id, phones, ours) = world.phone("102").names();
    takes(
        &mut world,
        "one",
        "102",
        &format!("{call_id};to-tag={phones};from-tag={ours}"),
    );
    assert_eq!(world.phone("one").state, State::Over(403));
    assert_eq!(world.phone("102").state, State::Ringing);
    let now = world.now;
    world.phone("101").cancels(now);
    record(&mut world);
}

#[test]
fn a_newcomer_without_a_common_codec_changes_nothing() {
    let mut world = ringing(8);
    let (call_id, phones, ours) = world.phone("102").names();
    // An offer that is none of ours.
    world.phone("103").media.formats = "18";
    takes(
        &mut world,
        "103",
        "102",
        &format!("{call_id};to-tag={phones};from-tag={ours}"),
    );
    assert_eq!(world.phone("103").state, State::Over(488));
    assert_eq!(world.phone("102").state, State::Ringing);
    let now = world.now;
    world.phone("102").answers_call(now);
    world.passes(500);
    assert!(world.talks("101", "102"));
    hangs_up(&mut world, "101");
    record(&mut world);
}

#[test]
fn who_cannot_be_taken_in_takes_no_place_of_the_call() {
    // Room for the phone that rings, and nobody else.
    let mut world = World::with_config(&["101", "102", "103"], &[], 21, |config| {
        config.rtp_port_max = config.rtp_port_min + 1;
    });
    world.phone("102").manner = Manner::RingsOnly;
    world.dials("101", "102");
    world.passes(2_000);
    let (call_id, phones, ours) = world.phone("102").names();
    let replaces = format!("{call_id};to-tag={phones};from-tag={ours};early-only");
    for _ in 0..3 {
        takes(&mut world, "103", "102", &replaces);
        assert_eq!(world.phone("103").state, State::Over(503));
    }
    let now = world.now;
    world.phone("101").cancels(now);
    assert_eq!(record(&mut world).legs.len(), 2);
}
