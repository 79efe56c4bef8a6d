//! Before the answer: early media, forks, ringback; and answers that cross each other.

use crate::hold::{ends, heard};
use crate::world::phone::{Manner, State};
use crate::world::{EMPTY, World};
use directory::Ending;
use std::time::Duration;
use switch::{DialOptions, Event, TargetSpec, Verb};

/// 101 has dialled 102, which says what it is told to.
fn calling(seed: u64) -> World {
    let mut world = World::new(&["101", "102", "103"], seed);
    world.phone("102").manner = Manner::Waits;
    world.dials("101", "102");
    world.passes(100);
    assert_eq!(world.phone("101").state, State::Calling);
    world
}

/// The same, but 101 is answered first.
fn answered_calling(seed: u64) -> World {
    let mut world = World::new(&["101", "102", "103"], seed);
    world.phone("102").manner = Manner::Waits;
    world.phone("103").manner = Manner::Waits;
    world.first = Some(Verb::Answer);
    world.after.push(rings(&["102", "103"]));
    world
}

fn rings(numbers: &[&str]) -> Verb {
    let target = |number: &&str| TargetSpec::Extension((*number).to_owned());
    Verb::Dial {
        targets: numbers.iter().map(target).collect(),
        options: DialOptions {
            timeout: Duration::from_secs(20),
            caller_id: None,
            max_duration: None,
            privacy: None,
        },
        caller_id: "101".into(),
    }
}

fn says(world: &mut World, number: &str, status: u16, tag: &str, media: bool) {
    world.phone(number).progresses(status, tag, media);
    world.passes(50);
}

/// The provisional answers 101 was given, 100 left out.
fn progress(world: &mut World) -> Vec<u16> {
    let lines = world.phone("101").heard.iter();
    let status = |line: &String| line.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok();
    lines
        .filter_map(status)
        .filter(|s| (101..200).contains(s))
        .collect()
}

#[test]
fn early_media_is_passed_on() {
    let mut world = calling(81);
    says(&mut world, "102", 183, "x", true);
    assert_eq!(progress(&mut world), [183]);
    assert_eq!(world.phone("101").media.told(), "sendrecv");
    assert_eq!(heard(&world), ["talk", "talk"]);
    // The same again changes nothing.
    says(&mut world, "102", 183, "x", true);
    assert_eq!(progress(&mut world), [183]);
    let now = world.now;
    world.phone("102").answers_as(now, "x", true);
    world.passes(100);
    assert_eq!(world.phone("101").state, State::Up);
    assert_eq!(heard(&world), ["talk", "talk"]);
    ends(world);
}

#[test]
fn what_others_say_of_the_call_is_passed_on() {
    let mut world = calling(82);
    says(&mut world, "102", 181, "x", false);
    says(&mut world, "102", 182, "x", false);
    says(&mut world, "102", 183, "x", false);
    says(&mut world, "102", 199, "x", false);
    says(&mut world, "102", 180, "y", false);
    assert_eq!(progress(&mut world), [181, 182, 183, 180]);
    assert!(heard(&world).iter().all(String::is_empty));
    let now = world.now;
    world.phone("102").answers_as(now, "y", true);
    world.passes(100);
    ends(world);
}

#[test]
fn an_answer_without_sdp_takes_that_of_its_own_fork() {
    for (tag, port) in [("x", 4_001), ("y", 4_002)] {
        let mut world = calling(83);
        world.phone("102").media.port = 4_001;
        says(&mut world, "102", 183, "x", true);
        world.phone("102").media.port = 4_002;
        says(&mut world, "102", 183, "y", true);
        assert_eq!(remote(&world), 4_002, "the fork heard last");
        let now = world.now;
        world.phone("102").answers_as(now, tag, false);
        world.passes(100);
        assert_eq!(world.phone("101").state, State::Up);
        assert_eq!(remote(&world), port, "the fork that answered");
        assert_eq!(heard(&world), ["talk", "talk"]);
        ends(world);
    }
}

/// The port that leg 102 hears at.
fn remote(world: &World) -> u16 {
    let stream = world.streams.keys().nth(1).expect("a stream");
    world.sound.negotiated(*stream).remote.port()
}

#[test]
fn an_answer_of_a_fork_that_never_said_its_sdp_is_of_no_use() {
    for forks in [&["x", "y"][..], &[]] {
        let mut world = calling(84);
        for fork in forks {
            says(&mut world, "102", 183, fork, true);
        }
        let now = world.now;
        world.phone("102").answers_as(now, "z", false);
        world.passes(100);
        assert_eq!(world.phone("101").state, State::Over(488));
        assert_eq!(world.phone("102").state, State::Over(200));
        assert_eq!(world.is_silent(), EMPTY);
    }
}

#[test]
fn a_fork_that_ends_gives_way_to_the_one_before() {
    let mut world = calling(85);
    for (tag, port) in [("x", 4_001), ("y", 4_002)] {
        world.phone("102").media.port = port;
        says(&mut world, "102", 183, tag, true);
    }
    says(&mut world, "102", 199, "y", false);
    assert_eq!(remote(&world), 4_001);
    assert_eq!(heard(&world), ["talk", "talk"]);
    says(&mut world, "102", 199, "x", false);
    assert_eq!(heard(&world)[0], "Ringback");
    says(&mut world, "102", 183, "z", true);
    assert_eq!(heard(&world), ["talk", "talk"]);
    let now = world.now;
    world.phone("102").answers_as(now, "z", true);
    world.passes(100);
    ends(world);
}

#[test]
fn a_hundred_forks_are_no_burden() {
    let mut world = calling(86);
    for fork in 0..100 {
        says(&mut world, "102", 183, &format!("f{fork}"), true);
    }
    // Those of long ago are forgotten.
    let now = world.now;
    world.phone("102").answers_as(now, "f0", false);
    world.passes(100);
    assert_eq!(world.phone("101").state, State::Over(488));
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn two_forks_answer_and_one_is_hung_up() {
    for gap in [0, 1, 5, 30] {
        let mut world = calling(87);
        let now = world.now;
        world.phone("102").answers_as(now, "x", true);
        world.passes(gap);
        let now = world.now;
        world.phone("102").answers_as(now, "y", true);
        world.passes(200);
        assert_eq!(world.phone("102").media.left, ["y"]);
        assert_eq!(world.phone("101").state, State::Up);
        assert_eq!(world.phone("102").state, State::Up);
        assert_eq!(heard(&world), ["talk", "talk"]);
        ends(world);
    }
}

#[test]
fn ringing_after_early_media_is_heard_while_there_is_none() {
    let mut world = calling(88);
    says(&mut world, "102", 183, "x", true);
    assert_eq!(heard(&world)[0], "talk");
    says(&mut world, "102", 180, "x", false);
    assert_eq!(heard(&world)[0], "Ringback or talk");
    // No 180 to a caller that hears us: it would ring twice.
    assert_eq!(progress(&mut world), [183]);
    let tones = world.tones.len();
    says(&mut world, "102", 180, "x", false);
    assert_eq!(world.tones.len(), tones, "it does not begin anew");
    says(&mut world, "102", 183, "x", true);
    assert_eq!(heard(&world)[0], "talk");
    let now = world.now;
    world.phone("102").answers_as(now, "x", true);
    world.passes(100);
    assert_eq!(heard(&world), ["talk", "talk"]);
    ends(world);
}

#[test]
fn who_rings_with_an_address_but_no_sound_is_heard_ringing() {
    let mut world = calling(89);
    says(&mut world, "102", 180, "x", true);
    assert_eq!(progress(&mut world), [183]);
    assert_eq!(heard(&world)[0], "Ringback or talk");
    let now = world.now;
    world.phone("102").answers_as(now, "x", true);
    world.passes(100);
    assert_eq!(heard(&world), ["talk", "talk"]);
    ends(world);
}

#[test]
fn of_several_that_ring_nobody_is_heard_until_one_is_left() {
    let mut world = World::new(&["101", "102", "103"], 90);
    for number in ["102", "103"] {
        world.phone(number).manner = Manner::Waits;
    }
    world.first = Some(rings(&["102", "103"]));
    world.dials("101", "102");
    world.passes(100);
    says(&mut world, "102", 183, "x", true);
    assert!(progress(&mut world).is_empty());
    says(&mut world, "103", 180, "y", false);
    assert_eq!(progress(&mut world), [180]);
    let now = world.now;
    world.phone("103").refuses_call(now, 486);
    world.passes(50);
    assert_eq!(progress(&mut world), [180, 183]);
    assert_eq!(heard(&world)[0], "Ringback or talk");
    let now = world.now;
    world.phone("102").answers_as(now, "x", false);
    world.passes(100);
    assert_eq!(heard(&world), ["talk", "talk"]);
    ends(world);
}

#[test]
fn who_hears_us_hears_a_ringback_until_there_is_better() {
    let mut world = answered_calling(91);
    world.dials("101", "102");
    world.passes(100);
    assert_eq!(world.phone("101").state, State::Up);
    assert_eq!(heard(&world)[0], "Ringback");
    says(&mut world, "102", 183, "x", true);
    assert_eq!(heard(&world)[0], "Ringback", "two are rung");
    let now = world.now;
    world.phone("103").refuses_call(now, 486);
    world.passes(50);
    assert_eq!(heard(&world)[0], "talk");
    let now = world.now;
    world.phone("102").refuses_call(now, 486);
    world.passes(50);
    assert_eq!(heard(&world), ["Busy"], "the script gave up");
    world.passes(4_000);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn who_hears_a_prompt_before_the_answer_hears_a_ringback_after_it() {
    let mut world = World::new(&["101", "102"], 92);
    world.phone("102").manner = Manner::RingsOnly;
    world.first = Some(Verb::Progress);
    world.after.push(rings(&["102"]));
    world.dials("101", "102");
    world.passes(100);
    assert_eq!(progress(&mut world), [183]);
    assert_eq!(heard(&world)[0], "Ringback");
    let now = world.now;
    world.phone("102").answers_call(now);
    world.passes(100);
    assert_eq!(heard(&world), ["talk", "talk"]);
    ends(world);
}

#[test]
fn who_offers_nothing_is_answered_to_be_told_something() {
    for (verb, state) in [(Verb::Progress, State::Calling), (play(), State::Up)] {
        let mut world = World::new(&["101", "102"], 93);
        world.phone("102").manner = Manner::RingsOnly;
        world.first = Some(verb);
        world.after.push(rings(&["102"]));
        let now = world.now;
        world.phone("101").dials_late(now, "102");
        world.passes(100);
        assert_eq!(world.phone("101").state, state);
        if state == State::Up {
            assert_eq!(heard(&world), ["hello"]);
            world.play_ends();
            world.passes(100);
            assert_eq!(heard(&world)[0], "Ringback");
        } else {
            // No offer in an unreliable response.
            assert!(world.phone("101").media.bodies.is_empty());
        }
        let now = world.now;
        world.phone("102").answers_call(now);
        world.passes(100);
        assert_eq!(heard(&world), ["talk", "talk"]);
        ends(world);
    }
}

fn play() -> Verb {
    Verb::Play {
        prompts: vec!["hello".into()],
    }
}

#[test]
fn the_caller_cancels_while_the_answer_is_on_its_way() {
    for gap in 0..14 {
        let mut world = calling(94);
        says(&mut world, "102", 183, "x", true);
        let now = world.now;
        world.phone("102").answers_as(now, "x", true);
        world.passes(gap);
        let now = world.now;
        world.phone("101").cancels(now);
        world.passes(1_000);
        let caller = world.phone("101").state.clone();
        if caller == State::Up {
            // The answer came first: the CANCEL changes nothing (RFC 3261 §9.2).
            assert_eq!(heard(&world), ["talk", "talk"], "{gap}");
            let now = world.now;
            world.phone("101").hangs_up(now);
        } else {
            assert_eq!(caller, State::Over(487), "{gap}");
        }
        assert_eq!(world.is_silent(), EMPTY, "{gap}");
        assert_eq!(world.phone("102").state, State::Over(200), "{gap}");
        assert_eq!(world.records.len(), 1);
    }
}

#[test]
fn two_phones_answer_at_the_same_instant() {
    for gap in [0, 1, 4, 6, 12] {
        let mut world = World::new(&["101", "102", "103"], 95);
        for number in ["102", "103"] {
            world.phone(number).manner = Manner::RingsOnly;
        }
        world.first = Some(rings(&["102", "103"]));
        world.dials("101", "102");
        world.passes(100);
        let now = world.now;
        world.phone("102").answers_call(now);
        world.passes(gap);
        let now = world.now;
        world.phone("103").answers_call(now);
        world.passes(1_000);
        assert_eq!(world.phone("102").state, State::Up, "{gap}");
        let loser = world.phone("103").state.clone();
        assert!(matches!(loser, State::Over(200 | 487)), "{gap}: {loser:?}");
        assert_eq!(heard(&world), ["talk", "talk"], "{gap}");
        ends(world);
    }
}

#[test]
fn an_emergency_call_hears_the_trunk_that_takes_it() {
    let mut world = World::with_trunks(&["101"], &["north", "south"], 96);
    for name in ["north", "south"] {
        world.phone(name).manner = Manner::Waits;
    }
    world.dials("101", "112");
    world.passes(100);
    says(&mut world, "north", 183, "x", true);
    assert_eq!(heard(&world), ["talk", "talk"]);
    let now = world.now;
    world.phone("north").refuses_call(now, 503);
    world.passes(50);
    assert_eq!(heard(&world)[0], "Ringback");
    says(&mut world, "south", 183, "y", true);
    assert_eq!(heard(&world)[0], "talk");
    let now = world.now;
    world.phone("south").answers_as(now, "y", true);
    world.passes(100);
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records[0].cause, Ending::Completed);
}

#[test]
fn an_administrators_call_takes_the_answer_of_a_183() {
    let mut world = World::new(&["101", "102"], 97);
    world.phone("101").manner = Manner::Waits;
    let call = switch::CallId(7);
    let (from, to) = ("101".to_owned(), "102".to_owned());
    world.give(Event::Originate { call, from, to });
    world.passes(100);
    says(&mut world, "101", 183, "x", true);
    let now = world.now;
    world.phone("101").answers_as(now, "x", false);
    world.passes(200);
    assert_eq!(world.phone("102").state, State::Up);
    assert_eq!(heard(&world), ["talk", "talk"]);
    ends(world);
}

#[test]
fn when_who_was_heard_sends_the_call_on_the_caller_hears_it_ring() {
    let mut world = answered_calling(97);
    world.after.clear();
    world.after.push(rings(&["102"]));
    world.phone("102").adds("302", "Contact: <sip:103@pbx>");
    world.dials("101", "102");
    world.passes(200);
    says(&mut world, "102", 180, "x", false);
    says(&mut world, "102", 183, "x", true);
    assert_eq!(heard(&world), ["talk", "talk"]);
    let now = world.now;
    world.phone("102").refuses_call(now, 302);
    world.passes(50);
    assert_eq!(world.phone("103").state, State::Ringing);
    assert_eq!(heard(&world)[0], "Ringback");
    world.phone("101").hangs_up(now);
    world.passes(500);
    assert_eq!(world.is_silent(), EMPTY);
}
