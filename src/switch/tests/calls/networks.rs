//! Where phones may be, and what those inside and outside the office are told of us.

use crate::world::phone::{State, header};
use crate::world::{World, extension};
use directory::{Directory, Extension};
use std::sync::Arc;
use switch::Event;

fn office(world: &mut World, extensions: Vec<Extension>) {
    let directory = Directory::new(extensions, Vec::new());
    world.give(Event::Directory(Arc::new(directory)));
}

#[test]
fn a_phone_outside_its_networks_neither_registers_nor_calls() {
    let mut world = World::new(&["101", "102"], 71);
    let bound = |networks: &[&str]| Extension {
        allowed_networks: networks.iter().map(|&n| n.to_owned()).collect(),
        ..extension("101")
    };
    office(
        &mut world,
        vec![bound(&["192.0.2.0/24", "2001:db8::/32"]), extension("102")],
    );
    world.log.clear();
    let now = world.now;
    world.phone("101").heard.clear();
    world.phone("101").registers(now);
    world.passes(1_000);
    let heard = &world.phone("101").heard;
    assert!(
        heard.iter().any(|line| line.starts_with("SIP/2.0 403")),
        "{heard:?}"
    );
    assert!(
        !heard.iter().any(|line| line.starts_with("SIP/2.0 200")),
        "{heard:?}"
    );
    let why = "REGISTER of 101 refused: 10.0.0.1 is in none of its allowed networks";
    assert!(
        world.log.iter().any(|line| line.contains(why)),
        "{:?}",
        world.log
    );

    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Over(403));

    office(
        &mut world,
        vec![bound(&["192.0.2.0/24", "10.0.0.0/8"]), extension("102")],
    );
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Up);
}

/// 101 lives in the office (10.0.0.1), 602 has an address of the internet.
fn two_sides() -> World {
    World::with_config(&["101", "602"], &[], 72, |config| {
        config.external_host = Some("pbx.example.net".into());
        config.external_media = Some("2001:db8::ffff".parse().expect("an address"));
        let first = "10.0.0.0".parse().expect("an address");
        config.local_networks = vec![first..="10.255.255.255".parse().expect("an address")];
    })
}

#[test]
fn who_is_inside_sees_the_local_address_and_who_is_outside_the_external_one() {
    let mut world = two_sides();
    world.dials("101", "602");
    world.passes(1_000);
    let outside = world.phone("602").invite.clone();
    assert!(
        header(&outside, "Via").contains(" pbx.example.net:5060;"),
        "{outside}"
    );
    assert_eq!(
        header(&outside, "Contact"),
        "<sip:101@pbx.example.net:5060>"
    );
    assert!(
        header(&outside, "From").contains("@pbx.example.net>"),
        "{outside}"
    );
    assert_eq!(world.phone("602").connections, ["c=IN IP6 2001:db8::ffff"]);
    assert_eq!(world.phone("101").connections, ["c=IN IP4 10.9.9.9"]);

    let now = world.now;
    world.phone("101").hangs_up(now);
    world.passes(1_000);
    world.dials("602", "101");
    world.passes(1_000);
    let inside = world.phone("101").invite.clone();
    assert!(
        header(&inside, "Via").contains(" 10.9.9.9:5060;"),
        "{inside}"
    );
    assert_eq!(header(&inside, "Contact"), "<sip:602@10.9.9.9:5060>");
    assert!(!inside.contains("pbx.example.net"), "{inside}");
}
