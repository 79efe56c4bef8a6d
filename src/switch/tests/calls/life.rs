//! Whether a call lives: answers that never come, phones that are silent, ports that are not ours.

use crate::world::phone::State;
use crate::world::{EMPTY, World};
use directory::Ending;
use media::Event::{BindFailed, Silent};
use switch::Event;

/// 101 talks with 102 since a second or less.
fn talking(seed: u64) -> World {
    let mut world = World::new(&["101", "102"], seed);
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Up);
    world
}

#[test]
fn a_caller_that_owes_its_answer_in_the_ack_is_hung_up() {
    let mut world = World::new(&["101", "102"], 41);
    world.phone("101").offerless = true;
    world.dials("101", "102");
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Over(200), "by our BYE");
    assert_eq!(world.phone("102").state, State::Over(200));
    let record = world.records.first().expect("a record");
    let why = "the ACK brought no answer to our offer";
    assert_eq!(
        (record.cause, record.reason.as_str()),
        (Ending::Completed, why)
    );
    assert_eq!(record.legs[0].diagnosis.as_deref(), Some(why));
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 1);
}

#[test]
fn a_port_that_could_not_be_opened_is_not_given_to_the_next_calls() {
    let mut world = talking(42);
    let (stream, bad) = world.streams.pop_first().expect("a stream");
    world.give(Event::Media(BindFailed { stream }));
    world.passes(2_000);
    assert!(matches!(world.phone("101").state, State::Over(_)));
    // As many calls as bring every other of the 2,000 ports round.
    for _ in 0..1_001 {
        world.dials("101", "102");
        world.passes(100);
        assert_eq!(world.phone("101").state, State::Up);
        assert!(world.streams.values().all(|at| *at != bad));
        let now = world.now;
        world.phone("101").hangs_up(now);
        world.passes(100);
    }
    assert_eq!(world.is_silent(), EMPTY);
}

/// Leg `index` sends no audio through `halves` of its 30 s, and the media plane tells so after each.
fn mute(world: &mut World, index: usize, halves: std::ops::RangeInclusive<u64>) {
    let streams: Vec<_> = world.streams.keys().copied().collect();
    for half in halves {
        world.passes(15_000);
        let Some(stream) = streams.get(index).copied() else {
            return;
        };
        let for_ms = half * 15_000;
        world.give(Event::Media(Silent { stream, for_ms }));
    }
}

fn asked(world: &mut World, number: &str) -> usize {
    let heard = &world.phone(number).heard;
    heard.iter().filter(|l| l.starts_with("OPTIONS")).count()
}

#[test]
fn a_mute_phone_that_answers_stays() {
    for (index, number) in [(0, "101"), (1, "102")] {
        let mut world = talking(43);
        mute(&mut world, index, 1..=20);
        world.passes(1_000);
        assert_eq!(world.phone("101").state, State::Up);
        assert_eq!(world.phone("102").state, State::Up);
        assert_eq!(asked(&mut world, number), 20);
        let now = world.now;
        world.phone("101").hangs_up(now);
        assert_eq!(world.is_silent(), EMPTY);
    }
}

#[test]
fn a_vanished_phone_is_gone_after_the_timeout() {
    for (index, number, other) in [(0, "101", "102"), (1, "102", "101")] {
        let mut world = talking(44);
        // A mute one that answered before, too.
        mute(&mut world, index, 1..=2);
        world.passes(100);
        world.phone(number).vanished = true;
        mute(&mut world, index, 3..=3);
        world.passes(14_000);
        assert_eq!(world.phone(other).state, State::Up);
        world.passes(1_000);
        let stream = *world.streams.keys().nth(index).expect("a stream");
        world.give(Event::Media(Silent {
            stream,
            for_ms: 60_000,
        }));
        world.passes(10);
        assert_eq!(world.phone(other).state, State::Over(200));
        world.passes(1_100);
        let record = world.records.first().expect("a record");
        assert!(
            record
                .reason
                .ends_with("sent no audio for 60 s and did not answer")
        );
        assert_eq!(world.is_silent(), EMPTY);
        assert_eq!(world.records.len(), 1);
    }
}

#[test]
fn a_phone_that_forgot_its_call_ends_it_when_asked() {
    let mut world = talking(45);
    world.phone("102").forgets = true;
    mute(&mut world, 1, 1..=1);
    world.passes(100);
    assert_eq!(world.phone("101").state, State::Over(200));
    let record = world.records.first().expect("a record");
    assert_eq!(
        record.reason,
        "the called party sent no audio and its side says 481"
    );
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn a_question_lost_in_an_earlier_silence_ends_no_call() {
    let mut world = talking(46);
    world.phone("102").vanished = true;
    mute(&mut world, 1, 1..=1);
    // Its sound is back; 40 s later it is silent again.
    world.passes(40_000);
    world.phone("102").vanished = false;
    mute(&mut world, 1, 1..=2);
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Up);
    assert_eq!(asked(&mut world, "102"), 2);
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn a_phone_that_came_back_without_its_call_is_let_go_at_the_next_refresh() {
    for allow in ["\r\nAllow: UPDATE", ""] {
        let mut world = World::new(&["101", "102"], 47);
        let timer = format!("Session-Expires: 90;refresher=uac{allow}");
        world.phone("102").adds("200", &timer);
        world.dials("101", "102");
        world.passes(1_000);
        assert_eq!(world.phone("101").state, State::Up);
        // It lost power, and knows nothing of what was.
        let phone = world.phone("102");
        phone.forgets = true;
        phone.media.refuses = Some(481);
        world.passes(50_000);
        assert_eq!(world.phone("101").state, State::Over(200), "{allow}");
        let record = world.records.first().expect("a record");
        assert_eq!(
            record.reason,
            "the called party answered 481 to a change of the session"
        );
        assert_eq!(world.is_silent(), EMPTY);
    }
}
