//! How long a talk may be, whoever has it.

use crate::world::phone::State;
use crate::world::{EMPTY, World};
use std::time::Duration;
use switch::{DialOptions, TargetSpec, Verb};

/// 101 talks with 102 and may for a minute.
fn talking(seed: u64) -> World {
    let mut world = World::new(&["101", "102", "103"], seed);
    world.first = Some(Verb::Dial {
        targets: vec![TargetSpec::Extension("102".to_owned())],
        options: DialOptions {
            timeout: Duration::from_secs(20),
            caller_id: None,
            max_duration: Some(Duration::from_secs(60)),
            privacy: None,
        },
        caller_id: "101".to_owned(),
    });
    world.dials("101", "102");
    world.passes(2_000);
    assert!(world.talks("101", "102"));
    world.first = None;
    world
}

fn ends_in_time(mut world: World, who: [&str; 2]) {
    world.passes(56_000);
    assert!(world.talks(who[0], who[1]));
    world.passes(6_000);
    for number in who {
        assert_eq!(world.phone(number).state, State::Over(200), "{number}");
    }
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn a_talk_ends_when_it_was_to() {
    ends_in_time(talking(701), ["101", "102"]);
}

#[test]
fn who_was_dialled_for_so_long_is_sent_on_for_what_is_left() {
    let mut world = talking(702);
    let now = world.now;
    world.phone("101").refers(now, "103");
    world.passes(500);
    assert!(world.talks("102", "103"));
    ends_in_time(world, ["102", "103"]);
}

#[test]
fn who_comes_back_has_not_more() {
    let mut world = talking(703);
    world.phone("103").manner = crate::world::phone::Manner::Refuses(486);
    let now = world.now;
    world.phone("101").refers(now, "103");
    world.passes(1_000);
    assert!(world.talks("101", "102"));
    world.passes(55_000);
    assert!(world.talks("101", "102"));
    world.passes(6_000);
    assert_eq!(world.phone("102").state, State::Over(200));
}

#[test]
fn who_takes_a_talk_over_has_not_more() {
    let mut world = talking(704);
    let (call_id, phones, ours) = world.phone("102").names();
    // The other phone of who talks.
    let address = "10.0.0.77:5060".parse().expect("an address");
    let mut second = crate::world::phone::Phone::new("102", address);
    let replaces = format!("{call_id};to-tag={phones};from-tag={ours}");
    second.dials_for(world.now, "101", &replaces);
    world.phones.insert(address, second);
    world.passes(1_000);
    assert_eq!(world.at("10.0.0.77:5060").state, State::Up);
    world.passes(61_000);
    assert_eq!(world.at("10.0.0.77:5060").state, State::Over(200));
    assert_eq!(world.phone("101").state, State::Over(200));
}
