//! Calls that an administrator starts.

use crate::world::phone::{Manner, State};
use crate::world::{EMPTY, World, extension};
use directory::{Directory, Ending};
use media::Tone;
use std::sync::Arc;
use switch::{CallId, Event};

fn originate(world: &mut World, to: &str) -> CallId {
    let call = CallId::chosen(1_700_000_000_000, world.records.len() as u32);
    world.give(Event::Originate {
        call,
        from: "101".into(),
        to: to.into(),
    });
    call
}

#[test]
fn the_first_party_hears_why_the_second_cannot_be_had() {
    for (code, tone) in [
        (486, Tone::Busy),
        (600, Tone::Busy),
        (603, Tone::Congestion),
    ] {
        let mut world = World::new(&["101", "102"], 51);
        world.phone("102").manner = Manner::Refuses(code);
        originate(&mut world, "102");
        world.passes(1_500);
        assert_eq!(world.phone("101").state, State::Up, "{code}");
        assert_eq!(world.tones, [Tone::Ringback, tone], "{code}");
        world.passes(2_000);
        assert_eq!(world.phone("101").state, State::Over(200), "{code}");
        let record = world.records.first().expect("a record");
        assert_eq!(record.cause, Ending::Completed);
        let why = format!("ended by the dialplan with {code} ");
        assert!(record.reason.starts_with(&why), "{}", record.reason);
        assert_eq!(world.is_silent(), EMPTY);
        assert_eq!(world.records.len(), 1);
    }
}

#[test]
fn who_hangs_up_during_the_tone_hides_no_reason() {
    let mut world = World::new(&["101", "102"], 52);
    world.phone("102").manner = Manner::Refuses(486);
    originate(&mut world, "102");
    world.passes(500);
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
    let reasons: Vec<&str> = world.records.iter().map(|r| r.reason.as_str()).collect();
    let why = "ended by the dialplan with 486 Busy Here after the answer; hung up by the caller";
    assert_eq!(reasons, [why]);
}

#[test]
fn one_that_finds_no_room_has_a_record() {
    let mut world = World::with_config(&["101", "102"], &[], 53, |config| config.max_calls = 1);
    let first = originate(&mut world, "102");
    let second = CallId(first.0 + 9);
    let (from, to) = ("102".to_owned(), "101".to_owned());
    world.give(Event::Originate {
        call: second,
        from,
        to,
    });
    let record = world.records.first().expect("a record");
    assert_eq!(
        (record.id.clone(), record.sip_code),
        (second.to_string(), 503)
    );
    assert_eq!(record.reason, "too many calls are live");
    world.passes(1_000);
    world.give(Event::Stop);
    let third = originate(&mut world, "102");
    let record = world.records.last().expect("a record");
    assert_eq!(
        (record.id.clone(), record.sip_code),
        (third.to_string(), 503)
    );
    assert_eq!(record.reason, "the PBX is stopping");
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 3);
    assert!(world.log.iter().any(|notice| notice == "Stopped"));
}

#[test]
fn its_first_party_has_to_be_registered() {
    let mut world = World::new(&["102"], 54);
    let directory = Directory::new(vec![extension("101")], Vec::new());
    world.give(Event::Directory(Arc::new(directory)));
    originate(&mut world, "102");
    let record = world.records.first().expect("a record");
    assert_eq!((record.cause, record.sip_code), (Ending::Unavailable, 480));
    assert_eq!(record.reason, "101 is not registered");
    assert_eq!(world.is_silent(), EMPTY);
}
