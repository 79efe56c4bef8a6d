//! Stories of keys: told by SIP INFO either way, and pressed by a script or by hand.

use crate::world::phone::State;
use crate::world::{EMPTY, World, extension};
use directory::{Directory, DtmfMode};
use media::{Command, StreamId};
use std::sync::Arc;
use std::time::Duration;
use switch::{Event, Side, Tones, Verb};

const RELAY: &str = "application/dtmf-relay";

fn talking(seed: u64) -> World {
    let mut world = World::new(&["101", "102"], seed);
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(world.phone("102").state, State::Up);
    world
}

/// The streams of a world's one call: caller's, called party's.
fn streams(world: &World) -> (StreamId, StreamId) {
    let mut streams = world.streams.keys().copied();
    let mut next = || streams.next().expect("a stream");
    (next(), next())
}

fn due(world: &mut World, stream: StreamId, digit: char, ms: u32) {
    world.give(Event::Media(media::Event::InfoDue { stream, digit, ms }));
}

fn tones(keys: &str) -> Tones {
    Tones {
        keys: keys.to_owned(),
        on: Duration::from_millis(100),
        off: Duration::from_millis(60),
    }
}

fn over(world: &mut World) {
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn keys_told_by_info_reach_the_media_plane() {
    let mut world = talking(1);
    let (caller, called) = streams(&world);
    let now = world.now;
    world
        .phone("101")
        .informs(now, RELAY, "Signal=5\r\nDuration=240\r\n");
    world.passes(100);
    world.phone("102").informs(now, "application/dtmf", "#");
    world.passes(100);
    for (kind, body) in [(RELAY, "Signal=x\r\n"), ("text/plain", "7"), (RELAY, "")] {
        world.phone("102").informs(now, kind, body);
        world.passes(100);
        assert_eq!(world.phone("102").was_told("INFO"), 200);
    }
    let pressed = |stream, key, ms| Command::Pressed { stream, key, ms };
    let expected = [pressed(caller, '5', 240), pressed(called, '#', 160)];
    assert_eq!(world.sound.keys, expected);
    over(&mut world);
}

#[test]
fn a_party_is_told_key_by_key_in_its_own_dialect() {
    let mut world = talking(2);
    let (caller, called) = streams(&world);
    for key in ['1', '1', 'D'] {
        due(&mut world, called, key, 80);
    }
    assert_eq!(world.phone("102").informed().len(), 0);
    world.passes(7);
    assert_eq!(
        world.phone("102").informed().len(),
        1,
        "the next one waits for the answer"
    );
    world.passes(200);
    let body = |key| format!("{RELAY}: Signal={key}\r\nDuration=80\r\n");
    assert_eq!(
        world.phone("102").informed(),
        [body('1'), body('1'), body('D')]
    );
    let now = world.now;
    world.phone("101").informs(now, "application/dtmf", "4");
    world.passes(100);
    due(&mut world, caller, '*', 80);
    world.passes(100);
    assert_eq!(world.phone("101").informed(), ["application/dtmf: *"]);
    over(&mut world);
}

#[test]
fn every_key_arrives_once_and_in_order_over_a_bad_network() {
    let mut world = talking(3);
    let (_, called) = streams(&world);
    world.trouble = 20;
    let keys = "0123456789*#ABCD00112233";
    for key in keys.chars() {
        due(&mut world, called, key, 40);
        world.passes(80);
    }
    world.passes(60_000);
    let told = world.phone("102").informed();
    let told: String = told
        .iter()
        .filter_map(|body| body.split("Signal=").nth(1)?.chars().next())
        .collect();
    assert_eq!(told, keys);
    world.trouble = 0;
    over(&mut world);
}

#[test]
fn a_party_that_never_answers_is_not_told_without_end() {
    let mut world = talking(4);
    let (_, called) = streams(&world);
    world.phone("102").vanished = true;
    for _ in 0..1_000 {
        due(&mut world, called, '1', 40);
    }
    world.passes(1_000);
    world.phone("102").vanished = false;
    let now = world.now;
    world.phone("102").hangs_up(now);
    over(&mut world);
}

#[test]
fn the_configured_way_is_told_to_the_media_plane_and_in_sdp() {
    for (mode, named, expected) in [
        (DtmfMode::Info, false, media::DtmfMode::Info),
        (DtmfMode::Inband, false, media::DtmfMode::Inband),
        (DtmfMode::Rfc4733, true, media::DtmfMode::Rfc4733),
    ] {
        let mut world = World::new(&["101", "102"], 5);
        let configured = |number: &str| directory::Extension {
            dtmf: if number == "102" {
                mode
            } else {
                DtmfMode::Auto
            },
            ..extension(number)
        };
        let directory = Directory::new(vec![configured("101"), configured("102")], Vec::new());
        world.give(Event::Directory(Arc::new(directory)));
        world.phone("101").media.formats = "0 101\r\na=rtpmap:101 telephone-event/8000";
        world.dials("101", "102");
        world.passes(1_000);
        let says = |world: &mut World, number: &str| {
            let bodies = &world.phone(number).media.bodies;
            bodies
                .last()
                .is_some_and(|body| body.contains("telephone-event"))
        };
        assert!(says(&mut world, "101"));
        assert_eq!(says(&mut world, "102"), named);
        let (caller, called) = streams(&world);
        assert_eq!(world.sound.modes[&caller], media::DtmfMode::Auto);
        assert_eq!(world.sound.modes[&called], expected);
        over(&mut world);
    }
}

#[test]
fn a_script_presses_keys_towards_its_caller() {
    let mut world = World::new(&["101"], 6);
    world.first = Some(Verb::SendDtmf(tones("12#")));
    world.dials("101", "7");
    world.passes(300);
    let (stream, keys) = match world.sound.keys.as_slice() {
        [
            Command::Press {
                stream,
                keys,
                on_ms: 100,
                off_ms: 60,
            },
        ] => (*stream, keys.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(keys, "12#");
    assert!(world.streams.contains_key(&stream));
    assert_eq!(
        world.records.len(),
        0,
        "the script waits until they are pressed"
    );
    world.passes(1_000);
    assert_eq!(world.records.len(), 1);
    assert_eq!(world.is_silent(), EMPTY);
    let kept = format!("{:?}{:?}", world.records, world.log);
    assert!(!kept.contains("12#"), "{kept}");
}

#[test]
fn keys_are_pressed_by_hand_towards_either_party() {
    let mut world = talking(7);
    let (caller, called) = streams(&world);
    let call = *world.taken.iter().next().expect("a call");
    for to in [Side::Caller, Side::Called] {
        let tones = tones("9");
        world.give(Event::Press { call, to, tones });
    }
    let towards: Vec<StreamId> = world.sound.keys.iter().map(Command::stream).collect();
    assert_eq!(towards, [caller, called]);
    over(&mut world);
    let tones = tones("9");
    world.give(Event::Press {
        call,
        to: Side::Called,
        tones,
    });
    assert_eq!(world.sound.keys.len(), 2, "the call is over");
}
