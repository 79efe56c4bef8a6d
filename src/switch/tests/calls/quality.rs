//! How well a call went: asked while it lives, written to its record, with what was amiss in words.

use crate::world::phone::State;
use crate::world::{EMPTY, World};
use media::quality::Signs;
use media::{StreamId, StreamStats};
use switch::{CallId, Event};

/// 101 talks with 102 since a second or less; their streams.
fn talking(seed: u64) -> (World, CallId, [StreamId; 2]) {
    let mut world = World::new(&["101", "102"], seed);
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Up);
    let call = *world.taken.first().expect("a call");
    let streams: Vec<StreamId> = world.streams.keys().copied().collect();
    (world, call, [streams[0], streams[1]])
}

fn good() -> StreamStats {
    StreamStats {
        packets_in: 1_000,
        packets_out: 1_000,
        expected_in: 1_000,
        mos_in: Some(4.3912),
        mos_out: Some(4.2),
        ..StreamStats::default()
    }
}

fn ends(world: &mut World) {
    let now = world.now;
    world.phone("101").hangs_up(now);
    world.passes(2_000);
    assert_eq!(world.is_silent(), EMPTY);
}

fn measured(world: &World) -> Vec<&String> {
    let told = world.log.iter().filter(|line| line.starts_with("Measured"));
    told.collect()
}

#[test]
fn a_call_is_measured_when_it_is_asked_for() {
    let (mut world, call, [a, b]) = talking(71);
    world.sound.figures.extend([(a, good()), (b, good())]);
    world.give(Event::Measure { call });
    let told = measured(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].matches("mos_in: Some(4.39)").count(), 2, "{told:?}");
    // Of a call that is not there nothing is said.
    world.give(Event::Measure { call: CallId(7) });
    assert_eq!(measured(&world).len(), 1);
    ends(&mut world);
    assert_eq!(world.records[0].legs[0].mos_out, Some(4.2));
    assert_eq!(world.records[0].legs[0].diagnosis, None);
}

#[test]
fn a_stream_that_ends_before_it_answers_is_not_waited_for() {
    let (mut world, call, [a, b]) = talking(72);
    world.sound.figures.insert(a, good());
    world.give(Event::Measure { call });
    assert_eq!(measured(&world).len(), 0, "the other has not answered");
    world.sound.figures.insert(b, good());
    ends(&mut world);
    assert_eq!(measured(&world).len(), 1);
    assert_eq!(world.records.len(), 1);
}

#[test]
fn what_was_amiss_is_written_to_the_record() {
    let (mut world, _, [a, b]) = talking(73);
    let lossy = StreamStats {
        lost_in: 50,
        ..good()
    };
    let silent = StreamStats {
        packets_in: 0,
        expected_in: 0,
        mos_in: None,
        signs: Signs {
            expected_ms: 20_000,
            ..Signs::default()
        },
        ..good()
    };
    world.sound.figures.extend([(a, lossy), (b, silent)]);
    world.passes(20_000);
    ends(&mut world);
    let words: Vec<_> = world.records[0]
        .legs
        .iter()
        .map(|leg| leg.diagnosis.as_deref())
        .collect();
    let expected = [
        Some("5.0 % of its packets were lost"),
        Some("one-way audio: none came from it in 20 s, 1000 packets were sent to it"),
    ];
    assert_eq!(words, expected);
    assert_eq!(world.records[0].legs[1].mos_in, None);
}

#[test]
fn who_rang_for_long_and_talked_for_a_moment_was_not_mute() {
    let (mut world, _, [a, b]) = talking(74);
    let silent = StreamStats {
        packets_in: 0,
        expected_in: 0,
        signs: Signs {
            expected_ms: 60_000,
            ..Signs::default()
        },
        ..good()
    };
    world.sound.figures.extend([(a, good()), (b, silent)]);
    ends(&mut world);
    assert_eq!(world.records[0].legs[1].diagnosis, None);
}
