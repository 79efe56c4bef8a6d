//! Conferences: who hears whom, who may come in, and who has to go.

use crate::world::phone::State;
use crate::world::{EMPTY, World};
use directory::How;
use media::StreamId;
use switch::{CallId, ConferenceAction, ConferenceOptions, Event, Notice, Verb};

fn conference(room: &str, change: impl FnOnce(&mut ConferenceOptions)) -> Option<Verb> {
    let mut options = ConferenceOptions::default();
    change(&mut options);
    Some(Verb::Conference {
        room: room.to_owned(),
        options,
    })
}

impl World {
    /// The stream of a phone that is in a call.
    pub(crate) fn stream_of(&mut self, number: &str) -> StreamId {
        let port = self.phone(number).told_port();
        let found = self.streams.iter().find(|(_, local)| local.port() == port);
        found.map(|(stream, _)| *stream).expect("it is in a call")
    }

    /// Whom a phone hears in its room, in order.
    pub(crate) fn room_of(&mut self, number: &str, others: &[&str]) -> Vec<String> {
        let stream = self.stream_of(number);
        let heard = self.sound.rooms.heard(stream);
        let mut names = Vec::new();
        for other in others {
            if heard.contains(&self.stream_of(other)) {
                names.push((*other).to_owned());
            }
        }
        assert_eq!(names.len(), heard.len(), "{number} hears a stranger");
        names
    }

    fn confer(&mut self, number: &str, verb: Option<Verb>) {
        self.first = verb;
        self.dials(number, "800");
        self.passes(500);
    }

    fn act(&mut self, action: ConferenceAction) {
        let name = "team".to_owned();
        self.give(Event::Conference { name, action });
    }

    /// The call that `number` is in, as the API learns it from the last view of the conference.
    fn call_of(&mut self, number: &str) -> CallId {
        let told = self
            .log
            .iter()
            .rev()
            .find(|line| line.starts_with("Conference("));
        let told = told.expect("a conference was told of");
        let at = told
            .find(&format!("number: \"{number}\""))
            .expect("it is in");
        let before = &told[..at];
        let start = before.rfind("CallId(").expect("a call") + 7;
        let digits = before[start..].split(')').next().expect("a number");
        CallId(digits.parse().expect("a number"))
    }

    fn presses(&mut self, number: &str, digits: &str) {
        let stream = self.stream_of(number);
        for digit in digits.chars() {
            self.give(Event::Media(media::Event::Dtmf { stream, digit }));
        }
        self.passes(100);
    }
}

const ALL: [&str; 3] = ["101", "102", "103"];

fn three(change: impl Fn(&mut ConferenceOptions)) -> World {
    let mut world = World::new(&ALL, 71);
    for number in ALL {
        world.confer(number, conference("team", &change));
    }
    world
}

#[test]
fn three_hear_one_another_and_the_record_names_the_room() {
    let mut world = three(|_| {});
    assert_eq!(world.room_of("101", &ALL), ["102", "103"]);
    assert_eq!(world.room_of("103", &ALL), ["101", "102"]);
    let now = world.now;
    world.phone("102").hangs_up(now);
    world.passes(2_000);
    assert_eq!(world.room_of("101", &["101", "103"]), ["103"]);
    for number in ["101", "103"] {
        let now = world.now;
        world.phone(number).hangs_up(now);
    }
    assert_eq!(world.is_silent(), EMPTY);
    assert!(world.sound.rooms.is_empty());
    assert_eq!(world.records.len(), 3);
    for record in &world.records {
        let [segment] = record.segments.as_slice() else {
            panic!("{record:?}")
        };
        assert_eq!(segment.how, How::Conference);
        assert_eq!(segment.parties, [record.from.clone(), "team".into()]);
        assert!(segment.answered_at_ms.is_some());
        assert_eq!(
            (record.to.as_str(), record.dialed.as_str()),
            ("team", "800")
        );
    }
    let ended = format!(
        "{:?}",
        Notice::ConferenceEnded {
            name: "team".into()
        }
    );
    assert!(world.log.contains(&ended));
}

#[test]
fn the_administrator_mutes_deafens_locks_and_kicks() {
    let mut world = three(|_| {});
    let call = world.call_of("102");
    world.act(ConferenceAction::Mute(call));
    assert_eq!(world.room_of("101", &ALL), ["103"]);
    assert_eq!(world.room_of("102", &ALL), ["101", "103"]);
    world.act(ConferenceAction::Unmute(call));
    world.act(ConferenceAction::Deaf(call));
    assert_eq!(world.room_of("101", &ALL), ["102", "103"]);
    assert_eq!(world.room_of("102", &ALL), Vec::<String>::new());
    world.act(ConferenceAction::Undeaf(call));
    world.act(ConferenceAction::Kick(call));
    world.passes(2_000);
    assert_eq!(world.phone("102").state, State::Over(200));
    assert_eq!(world.room_of("101", &["101", "103"]), ["103"]);
    world.act(ConferenceAction::Kick(call));
    world.act(ConferenceAction::Lock);
    world.confer("102", conference("team", |_| {}));
    world.passes(2_000);
    assert_eq!(world.phone("102").state, State::Over(200), "it is locked");
    world.act(ConferenceAction::Announce("goodbye".into()));
    let said = world.sound.rooms.announced.clone();
    assert!(said.is_some_and(|(_, _, name)| name == "goodbye"));
    world.act(ConferenceAction::Unlock);
    world.confer("102", conference("team", |_| {}));
    assert_eq!(world.room_of("102", &ALL), ["101", "103"]);
    world.act(ConferenceAction::End);
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 5);
    let kicked = world.records.iter().find(|r| r.reason.contains("kicked"));
    assert_eq!(kicked.map(|r| r.from.as_str()), Some("102"));
}

#[test]
fn all_wait_for_the_moderator_and_go_with_it() {
    let mut world = World::new(&ALL, 72);
    let party = |o: &mut ConferenceOptions| (o.wait, o.end_with_moderator) = (true, true);
    world.confer("101", conference("team", party));
    world.confer("102", conference("team", party));
    assert_eq!(world.room_of("101", &["101", "102"]), Vec::<String>::new());
    let stream = world.stream_of("101");
    assert_eq!(world.sound.heard(stream), "music-on-hold");
    world.confer("103", conference("team", |o| o.moderator = true));
    assert_eq!(world.room_of("101", &ALL), ["102", "103"]);
    assert_eq!(world.sound.heard(stream), "");
    let now = world.now;
    world.phone("103").hangs_up(now);
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Over(200));
    assert_eq!(world.phone("102").state, State::Over(200));
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 3);
}

#[test]
fn a_pin_opens_the_door_and_three_wrong_ones_do_not() {
    let pins = |o: &mut ConferenceOptions| {
        o.pin = "12".into();
        o.moderator_pin = "123".into();
        o.wait = true;
    };
    let mut world = World::new(&ALL, 73);
    world.confer("101", conference("team", pins));
    let stream = world.stream_of("101");
    assert_eq!(world.sound.heard(stream), "conf-enter-pin");
    world.presses("101", "99#");
    assert_eq!(world.sound.heard(stream), "invalid");
    // It may be the beginning of the other PIN.
    world.presses("101", "12");
    assert!(world.sound.rooms.is_empty());
    world.presses("101", "#");
    assert!(!world.sound.rooms.is_empty());
    assert_eq!(world.sound.heard(stream), "music-on-hold", "no moderator");
    world.confer("102", conference("team", pins));
    world.presses("102", "123");
    assert_eq!(world.room_of("101", &["101", "102"]), ["102"]);
    world.confer("103", conference("team", pins));
    world.presses("103", "1#");
    world.presses("103", "2#");
    world.passes(11_000);
    world.passes(2_000);
    assert_eq!(world.phone("103").state, State::Over(200));
    assert_eq!(world.room_of("101", &["101", "102"]), ["102"]);
    for number in ["101", "102"] {
        let now = world.now;
        world.phone(number).hangs_up(now);
    }
    assert_eq!(world.is_silent(), EMPTY);
    let wrong = world
        .records
        .iter()
        .filter(|r| r.reason.contains("wrong_pin"));
    assert_eq!(wrong.count(), 1);
}

#[test]
fn a_full_room_takes_nobody_and_a_key_leads_out() {
    let mut world = World::new(&ALL, 74);
    let small = |o: &mut ConferenceOptions| (o.max, o.leave) = (2, Some('*'));
    for number in ALL {
        world.confer(number, conference("team", small));
    }
    world.passes(2_000);
    assert_eq!(world.phone("103").state, State::Over(200));
    world.after = vec![Verb::Wait {
        time: std::time::Duration::from_secs(30),
    }];
    world.presses("101", "5*");
    assert_eq!(world.phone("101").state, State::Up, "its script goes on");
    assert_eq!(world.room_of("102", &["101", "102"]), Vec::<String>::new());
    let now = world.now;
    world.phone("102").hangs_up(now);
    world.passes(40_000);
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 3);
}
