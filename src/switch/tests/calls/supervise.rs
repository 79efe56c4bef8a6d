//! Listening in on a talk, whispering and speaking into it, and saying something to both: for so long it is a room.

use crate::world::phone::State;
use crate::world::{EMPTY, World};
use switch::{CallId, Event, SuperviseMode, Supervised, Verb};

const ALL: [&str; 3] = ["101", "102", "103"];

fn talk() -> World {
    let mut world = World::new(&ALL, 81);
    world.dials("101", "102");
    world.passes(1_000);
    assert!(world.talks("101", "102"));
    world
}

impl World {
    fn listens_in(&mut self, number: &str, mode: SuperviseMode) {
        let whom = "102".to_owned();
        self.first = Some(Verb::Supervise { whom, mode });
        self.dials(number, "*90102");
        self.passes(500);
    }
}

#[test]
fn a_supervisor_spies_whispers_barges_and_leaves_two_alone() {
    let mut world = talk();
    world.listens_in("103", SuperviseMode::Spy);
    assert!(!world.talks("101", "102"), "it is a room");
    assert_eq!(world.room_of("103", &ALL), ["101", "102"]);
    assert_eq!(world.room_of("101", &ALL), ["102"]);
    let stream = world.stream_of("103");
    for (digit, first, second) in [
        ('5', ["102"].as_slice(), ["101", "103"].as_slice()),
        ('6', &["102", "103"], &["101", "103"]),
        ('4', &["102"], &["101"]),
    ] {
        world.give(Event::Media(media::Event::Dtmf { stream, digit }));
        assert_eq!(world.room_of("101", &ALL), first, "{digit}");
        assert_eq!(world.room_of("102", &ALL), second, "{digit}");
    }
    let now = world.now;
    world.phone("103").hangs_up(now);
    world.passes(2_000);
    assert!(world.talks("101", "102"), "relayed as before");
    assert!(world.sound.rooms.is_empty());
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 2);
}

#[test]
fn the_end_of_the_talk_is_the_end_of_listening() {
    for who in ["101", "102"] {
        let mut world = talk();
        world.listens_in("103", SuperviseMode::Barge);
        let now = world.now;
        world.phone(who).hangs_up(now);
        world.passes(3_000);
        assert_eq!(world.phone("103").state, State::Over(200));
        assert_eq!(world.is_silent(), EMPTY);
        assert_eq!(world.records.len(), 2);
    }
}

#[test]
fn a_transfer_ends_it_too() {
    let mut world = talk();
    world.listens_in("103", SuperviseMode::Spy);
    world.first = None;
    let now = world.now;
    world.phone("101").refers(now, "104");
    world.passes(5_000);
    assert_eq!(world.phone("103").state, State::Over(200));
    for number in ["101", "102"] {
        let now = world.now;
        world.phone(number).hangs_up(now);
    }
    assert_eq!(world.is_silent(), EMPTY);
    assert!(world.sound.rooms.is_empty());
}

#[test]
fn nobody_to_listen_to_is_told() {
    let mut world = World::new(&ALL, 82);
    world.listens_in("103", SuperviseMode::Spy);
    world.passes(2_000);
    assert_eq!(world.phone("103").state, State::Over(200));
    assert_eq!(world.is_silent(), EMPTY);
    let reasons: Vec<&str> = world.records.iter().map(|r| r.reason.as_str()).collect();
    assert_eq!(reasons, ["listened in: no_talk"]);
}

#[test]
fn the_administrator_lets_a_phone_listen_in() {
    let mut world = talk();
    let target = *world.taken.first().expect("a call");
    let call = CallId::chosen(1_700_000_000_000, 5);
    world.give(Event::Supervise {
        call,
        from: "103".into(),
        whom: Supervised::Call {
            call: target,
            party: Some("101".into()),
        },
        mode: SuperviseMode::Whisper,
    });
    world.passes(1_000);
    assert_eq!(world.phone("103").state, State::Up);
    assert_eq!(world.room_of("101", &ALL), ["102", "103"]);
    assert_eq!(world.room_of("102", &ALL), ["101"]);
    world.give(Event::HangUp { call });
    world.passes(2_000);
    assert!(world.talks("101", "102"));
    let now = world.now;
    world.phone("102").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn an_announcement_makes_a_room_for_its_time() {
    let mut world = talk();
    let call = *world.taken.first().expect("a call");
    world.give(Event::Announce {
        call,
        prompt: "goodbye".into(),
    });
    assert!(!world.talks("101", "102"));
    assert_eq!(world.room_of("101", &["101", "102"]), ["102"]);
    let (stream, play, name) = world.sound.rooms.announced.clone().expect("it is said");
    assert_eq!(name, "goodbye");
    let finished = true;
    world.give(Event::Media(media::Event::PlayEnded {
        stream,
        play,
        finished,
    }));
    assert!(world.talks("101", "102"), "relayed as before");
    assert!(world.sound.rooms.is_empty());
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
    world.give(Event::Announce {
        call,
        prompt: "goodbye".into(),
    });
}
