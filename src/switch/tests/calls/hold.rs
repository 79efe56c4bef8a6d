//! Hold and resume, from either side, in every form phones know; and the music for who is held.

use crate::world::phone::State;
use crate::world::{EMPTY, World};
use directory::Ending;
use media::StreamId;
use switch::Event;

/// 101 talks with 102.
pub(crate) fn talking(seed: u64) -> World {
    let mut world = World::new(&["101", "102", "103"], seed);
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(heard(&world), ["talk", "talk"]);
    world
}

/// What the legs hear, caller first.
pub(crate) fn heard(world: &World) -> Vec<String> {
    let streams = world.streams.keys();
    streams.map(|stream| world.sound.heard(*stream)).collect()
}

/// The end of a story: 101 hangs up, and nothing is left but its record.
pub(crate) fn ends(mut world: World) {
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.phone("101").state, State::Over(200));
    assert_eq!(world.phone("102").state, State::Over(200));
    assert_eq!(world.records.len(), 1);
    assert_eq!(world.records[0].cause, Ending::Completed);
}

/// `number` offers `address`, `port` and `direction` anew; the status and the direction it is answered.
fn offers(
    world: &mut World,
    number: &str,
    (address, port, direction): (Option<&'static str>, u16, &'static str),
) -> (u16, String) {
    let now = world.now;
    let phone = world.phone(number);
    phone.media.address = address;
    phone.media.port = port;
    phone.media.direction = direction;
    phone.reinvites(now);
    world.passes(100);
    let media = &world.phone(number).media;
    (media.last(), media.told())
}

#[test]
fn either_party_holds_and_resumes_and_the_other_hears_music() {
    let forms = [
        ((None, 4000, "sendonly"), "recvonly"),
        ((None, 4000, "inactive"), "inactive"),
        ((Some("0.0.0.0"), 4000, ""), "recvonly"),
        ((Some("0.0.0.0"), 4000, "sendonly"), "recvonly"),
        ((Some("0.0.0.0"), 4000, "inactive"), "inactive"),
        ((None, 0, ""), "off"),
    ];
    for (holder, music) in [
        ("101", ["", "music-on-hold"]),
        ("102", ["music-on-hold", ""]),
    ] {
        for (form, answer) in forms {
            let mut world = talking(61);
            let other = if holder == "101" { "102" } else { "101" };
            let untouched = world.phone(other).heard.len();
            for _ in 0..2 {
                let told = offers(&mut world, holder, form);
                assert_eq!(told, (200, answer.to_owned()), "{holder} {form:?}");
                assert_eq!(heard(&world), music, "{holder} {form:?}");
                world.passes(5_000);
                let told = offers(&mut world, holder, (None, 4000, "sendrecv"));
                assert_eq!(told, (200, "sendrecv".to_owned()), "{holder} {form:?}");
                assert_eq!(heard(&world), ["talk", "talk"], "{holder} {form:?}");
            }
            // The change stays on its leg.
            assert_eq!(world.phone(other).heard.len(), untouched);
            ends(world);
        }
    }
}

#[test]
fn two_who_hold_each_other_resume_one_after_the_other() {
    for (first, left) in [
        ("101", ["music-on-hold", ""]),
        ("102", ["", "music-on-hold"]),
    ] {
        let mut world = talking(62);
        let now = world.now;
        world.phone("101").holds(now);
        world.phone("102").holds(now);
        world.passes(100);
        assert_eq!(heard(&world), ["", ""]);
        let now = world.now;
        world.phone(first).resumes(now);
        world.passes(100);
        assert_eq!(world.phone(first).media.told(), "sendrecv");
        assert_eq!(
            heard(&world),
            left,
            "{first} is back, the other still holds"
        );
        let second = if first == "101" { "102" } else { "101" };
        let now = world.now;
        world.phone(second).resumes(now);
        world.passes(100);
        assert_eq!(heard(&world), ["talk", "talk"]);
        ends(world);
    }
}

#[test]
fn the_music_ends_with_the_call_and_with_the_talk() {
    for (leaver, state) in [("101", State::Over(200)), ("102", State::Over(200))] {
        let mut world = talking(63);
        let now = world.now;
        world.phone("102").holds(now);
        world.passes(1_000);
        assert_eq!(heard(&world), ["music-on-hold", ""]);
        let now = world.now;
        world.phone(leaver).hangs_up(now);
        world.passes(100);
        assert_eq!(world.phone("101").state, state);
        assert_eq!(world.is_silent(), EMPTY);
    }
}

#[test]
fn who_calls_on_hold_lets_the_other_hear_music_from_the_start() {
    let mut world = World::new(&["101", "102"], 64);
    world.phone("101").media.direction = "inactive";
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(world.phone("101").media.told(), "inactive");
    assert_eq!(heard(&world), ["", "music-on-hold"]);
    let now = world.now;
    world.phone("101").resumes(now);
    world.passes(100);
    assert_eq!(heard(&world), ["talk", "talk"]);
    ends(world);
}

#[test]
fn without_music_who_is_held_hears_what_the_holder_sends() {
    let mut world = World::with_config(&["101", "102"], &[], 65, |config| {
        config.music_on_hold = String::new();
    });
    world.dials("101", "102");
    world.passes(1_000);
    let now = world.now;
    world.phone("101").holds(now);
    world.passes(100);
    assert_eq!(heard(&world), ["", "talk"]);
    ends(world);
}

#[test]
fn a_hold_and_its_end_may_come_at_once() {
    for gap in [0, 3, 6, 11] {
        let mut world = talking(66);
        let now = world.now;
        world.phone("101").holds(now);
        world.passes(gap);
        // While the first is unacknowledged the second is too early (RFC 3261 §14.2); afterwards it is not.
        let now = world.now;
        world.phone("101").resumes(now);
        world.passes(200);
        let now = world.now;
        world.phone("101").resumes(now);
        world.passes(200);
        assert_eq!(world.phone("101").media.last(), 200);
        assert_eq!(heard(&world), ["talk", "talk"], "{gap} ms");
        ends(world);
    }
}

#[test]
fn who_holds_may_leave_and_who_is_held_too() {
    for leaver in ["101", "102"] {
        for gap in [0, 3, 6, 11, 16] {
            let mut world = talking(67);
            let now = world.now;
            world.phone("101").holds(now);
            world.passes(gap);
            let now = world.now;
            world.phone(leaver).hangs_up(now);
            assert_eq!(world.is_silent(), EMPTY, "{leaver} after {gap} ms");
            assert_eq!(world.records.len(), 1);
            assert_eq!(world.records[0].cause, Ending::Completed);
        }
    }
}

#[test]
fn a_held_call_lives_though_its_holder_sends_nothing() {
    let mut world = talking(68);
    let now = world.now;
    world.phone("101").media.direction = "inactive";
    world.phone("101").reinvites(now);
    world.passes(100);
    let (stream, _) = world.streams.first_key_value().expect("a stream");
    let stream = StreamId(stream.0);
    // The media plane waits longer for who holds; then it is asked like everybody.
    for half in 1..=4 {
        world.passes(1_800_000);
        let for_ms = half * 1_800_000;
        world.give(Event::Media(media::Event::Silent { stream, for_ms }));
        world.passes(100);
    }
    assert_eq!(heard(&world), ["", "music-on-hold"]);
    ends(world);
}
