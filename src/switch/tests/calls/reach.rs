//! Who is there: phones are asked, connections end, and a call does not wait for a phone that is gone.

use crate::world::phone::{Manner, State};
use crate::world::{EMPTY, World};
use directory::{Ending, Registration};
use sip::Transport;
use std::time::Duration;
use switch::{Event, Phones};

fn world(numbers: &[&str], seed: u64) -> World {
    World::with_config(numbers, &[], seed, |config| {
        config.phones = Phones {
            ping: Duration::from_secs(60),
            nat_expires: Duration::from_secs(120),
            ..Phones::default()
        };
    })
}

/// What was told last of the phone of `number`.
fn reach(world: &World, number: &str) -> String {
    let of = format!("Reach {{ extension: {number:?}");
    let told = world.log.iter().rev().find(|line| line.starts_with(&of));
    let told = told.and_then(|line| line.split("reach: ").nth(1));
    let told = told.unwrap_or_default();
    told.strip_suffix(" }").unwrap_or(told).to_owned()
}

#[test]
fn every_phone_is_asked_and_what_it_says_is_told() {
    let mut world = world(&["101", "102"], 91);
    assert_eq!(reach(&world, "102"), "Reachable { rtt: None }");
    world.phone("102").heard.clear();
    world.passes(62_000);
    assert_eq!(reach(&world, "102"), "Reachable { rtt: Some(10ms) }");
    assert_eq!(world.phone("102").letters("OPTIONS ").len(), 1);

    world.phone("102").vanished = true;
    world.passes(100_000);
    let lost = reach(&world, "102");
    assert!(lost.starts_with("Unreachable { since_ms: 17000"), "{lost}");
    world.passes(300_000);
    assert_eq!(reach(&world, "102"), lost, "since when stays");
    world.phone("102").vanished = false;
    world.passes(70_000);
    assert_eq!(reach(&world, "102"), "Reachable { rtt: Some(10ms) }");
}

#[test]
fn a_phone_that_is_gone_is_tried_and_not_waited_for() {
    let mut world = world(&["101", "102"], 92);
    world.phone("102").vanished = true;
    world.passes(150_000);
    world.dials("101", "102");
    world.passes(5_000);
    assert_eq!(world.phone("101").state, State::Over(480));
    let record = world.records.last().expect("a record");
    assert_eq!(record.cause, Ending::Unavailable);
    assert!(record.reason.contains("gave no sign"), "{}", record.reason);

    // It is back before anybody noticed: it rings as ever.
    world.phone("102").vanished = false;
    world.phone("102").manner = Manner::RingsOnly;
    world.dials("101", "102");
    world.passes(10_000);
    assert_eq!(world.phone("102").state, State::Ringing);
    let now = world.now;
    world.phone("102").answers_call(now);
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Up);
}

#[test]
fn who_answers_with_a_call_just_before_the_patience_ends_is_talked_to_and_left_alone() {
    let mut world = world(&["101", "102"], 93);
    world.phone("102").vanished = true;
    world.passes(150_000);
    world.dials("101", "102");
    world.passes(3_000);
    // The repeat at 3.5 s reaches it, a moment before it would have been given up.
    world.phone("102").vanished = false;
    world.passes(3_000);
    assert_eq!(world.phone("101").state, State::Up);
    world.passes(60_000);
    assert_eq!(world.phone("102").state, State::Up);
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn a_connection_that_ends_takes_the_phone_away_at_once() {
    let mut world = world(&["101", "102"], 94);
    let address = world.phone("102").address;
    world.links.insert(address, (Transport::Tcp, 7));
    let now = world.now;
    world.phone("102").contact = "10.0.0.2:49152".into();
    world.phone("102").registers(now);
    world.passes(1_000);
    // The registration over UDP of before is another one; it ends so that this one is alone.
    world.log.clear();
    world.cuts(address);
    assert!(
        reach(&world, "102").starts_with("Unreachable"),
        "{:?}",
        world.log
    );

    // A new connection, a new REGISTER.
    world.links.insert(address, (Transport::Tcp, 8));
    let now = world.now;
    world.phone("102").registers(now);
    world.passes(1_000);
    assert!(
        reach(&world, "102").starts_with("Reachable"),
        "{:?}",
        world.log
    );
}

#[test]
fn a_restart_asks_whoever_is_registered_and_reaches_phones_on_connections_where_they_listen() {
    let mut world = world(&["101", "102"], 95);
    let kept = |number: &str, transport: &str, source: &str| Registration {
        extension: number.into(),
        binding: format!("sip:{number}@10.0.0.77:5080"),
        contact: format!("sip:{number}@10.0.0.77:5080"),
        source: source.into(),
        local: "10.9.9.9:5060".into(),
        transport: transport.into(),
        expires_at_ms: i64::MAX / 2,
        ..Registration::default()
    };
    world.log.clear();
    let phones = vec![
        kept("101", "udp", "10.0.0.99:5060"),
        kept("102", "tcp", "10.0.0.77:40000"),
    ];
    // It listens on its own port; the connection it registered by is gone.
    let home = "10.0.0.77:5080".parse().expect("an address");
    world
        .phones
        .insert(home, crate::world::phone::Phone::new("102", home));
    world.links.insert(home, (Transport::Tcp, 3));
    world.give(Event::Restored(phones));
    assert_eq!(reach(&world, "102"), "", "nobody knows yet");
    world.passes(21_000);
    assert_eq!(reach(&world, "102"), "Reachable { rtt: Some(10ms) }");
    assert_eq!(world.at("10.0.0.77:5080").letters("OPTIONS ").len(), 1);
    world.passes(40_000);
    let lost =
        "Reach { extension: \"101\", binding: \"sip:101@10.0.0.77:5080\", reach: Unreachable";
    assert!(
        world.log.iter().any(|l| l.starts_with(lost)),
        "{:?}",
        world.log
    );
}

#[test]
fn a_phone_behind_nat_registers_for_a_shorter_time() {
    let mut world = world(&["101", "102"], 96);
    let now = world.now;
    world.phone("101").contact = "192.168.1.7:5060".into();
    world.phone("101").registers(now);
    world.passes(1_000);
    let granted = |answer: &str, address: &str| {
        let line = answer
            .lines()
            .find(|l| l.starts_with("Contact:") && l.contains(address));
        line.and_then(|l| l.split("expires=").nth(1))
            .map(str::to_owned)
    };
    let answer = world.phone("101").registered.clone();
    assert_eq!(
        granted(&answer, "192.168.1.7").as_deref(),
        Some("120"),
        "{answer}"
    );
    let answer = world.phone("102").registered.clone();
    assert_eq!(
        granted(&answer, "10.0.0.2").as_deref(),
        Some("3600"),
        "{answer}"
    );
}
