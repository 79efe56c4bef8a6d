//! Phones that sleep are woken, then rung (RFC 8599).

use crate::world::phone::{State, header};
use crate::world::{EMPTY, World};
use directory::Ending;
use sip::Transport;
use std::net::SocketAddr;
use std::time::Duration;
use switch::{Event, Phones, Push};

const PUSHED: &str = "10.0.0.2:5060;pn-provider=fcm;pn-param=office;pn-prid=token-of-102";

/// 102 is a mobile phone on a connection that has just ended.
fn world(seed: u64) -> (World, SocketAddr) {
    let mut world = World::with_config(&["101", "102"], &[], seed, |config| {
        config.phones = Phones {
            push: Some(Push {
                wait: Duration::from_secs(10),
                expires: Duration::from_secs(604_800),
            }),
            ..Phones::default()
        };
    });
    let address = world.phone("102").address;
    // The registration of the world's beginning is not the mobile phone's.
    let now = world.now;
    world.phone("102").tail = ";expires=0".into();
    world.phone("102").registers(now);
    world.passes(1_000);
    world.phone("102").tail = ";expires=999999;+sip.instance=\"<urn:uuid:7>\"".into();
    world.phone("102").contact = PUSHED.into();
    connects(&mut world, address, 7);
    world.cuts(address);
    (world, address)
}

fn connects(world: &mut World, address: SocketAddr, id: u64) {
    world.links.insert(address, (Transport::Tls, id));
    let now = world.now;
    world.phone("102").registers(now);
    world.passes(500);
}

#[test]
fn a_sleeping_phone_is_woken_and_rings_on_its_new_connection() {
    let (mut world, address) = world(101);
    let answer = world.phone("102").registered.clone();
    assert_eq!(header(&answer, "Feature-Caps"), "*;+sip.pns=\"fcm\"");
    assert!(answer.contains(";expires=604800"), "{answer}");

    world.dials("101", "102");
    world.passes(2_000);
    let note = world.notes.pop().expect("a notification");
    let address_of = &note.address;
    assert_eq!(
        (&*address_of.provider, &*address_of.param),
        ("fcm", "office")
    );
    assert_eq!((&*address_of.prid, &*note.from), ("token-of-102", "101"));
    assert_eq!(world.phone("101").state, State::Calling);
    assert!(world.phone("102").letters("INVITE ").is_empty());

    connects(&mut world, address, 8);
    assert_eq!(world.phone("101").state, State::Up);
    assert_eq!(world.phone("102").state, State::Up);
    // The time to wake up is over long since; nothing comes of that.
    world.passes(30_000);
    assert_eq!(world.phone("101").state, State::Up);
    let now = world.now;
    world.phone("101").hangs_up(now);
    world.passes(1_000);

    // It is awake as long as its connection stands.
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Up);
    assert!(world.notes.is_empty());
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn who_does_not_wake_up_is_unavailable() {
    let (mut world, _) = world(102);
    world.dials("101", "102");
    world.passes(9_000);
    assert_eq!(world.phone("101").state, State::Calling);
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Over(480));
    let record = world.records.last().expect("a record");
    assert_eq!(record.cause, Ending::Unavailable);
    assert!(
        record.reason.contains("did not wake up"),
        "{}",
        record.reason
    );
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn a_notification_that_cannot_be_sent_is_told_and_waited_for_by_nobody() {
    let (mut world, _) = world(103);
    world.dials("101", "102");
    world.passes(1_000);
    let note = world.notes.pop().expect("a notification");
    let failed = |failure: Option<&str>| Event::Pushed {
        extension: note.extension.clone(),
        device: note.device.clone(),
        failure: failure.map(str::to_owned),
    };
    world.give(failed(None));
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Calling);
    world.give(failed(Some("503")));
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Over(480));
    let told = "Push { extension: \"102\", failure: Some(\"503\") }";
    assert!(world.log.iter().any(|line| line == told), "{:?}", world.log);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn a_caller_who_leaves_while_the_phone_wakes_up_leaves_nothing_behind() {
    let (mut world, address) = world(104);
    world.dials("101", "102");
    world.passes(1_000);
    let now = world.now;
    world.phone("101").cancels(now);
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Over(487));
    connects(&mut world, address, 9);
    assert!(world.phone("102").letters("INVITE ").is_empty());
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn a_phone_is_sent_no_more_than_six_a_minute() {
    let (mut world, _) = world(105);
    for _ in 0..10 {
        world.dials("101", "102");
        world.passes(500);
        let now = world.now;
        world.phone("101").cancels(now);
        world.passes(500);
    }
    assert_eq!(world.notes.len(), 6);
    let told = |line: &String| line.contains("was sent 6 push notifications in a minute");
    assert_eq!(world.log.iter().filter(|l| told(l)).count(), 4);
    world.passes(60_000);
    world.dials("101", "102");
    world.passes(500);
    assert_eq!(world.notes.len(), 7);
}

#[test]
fn without_a_webhook_the_parameters_mean_nothing() {
    let mut world = World::new(&["101", "102"], 106);
    let now = world.now;
    world.phone("102").contact = PUSHED.into();
    world.phone("102").registers(now);
    world.passes(1_000);
    let answer = world.phone("102").registered.clone();
    assert_eq!(header(&answer, "Feature-Caps"), "");
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Up);
}

#[test]
fn who_hides_is_on_no_lock_screen() {
    let (mut world, _) = world(109);
    for (lines, shown) in [("Privacy: id", ""), ("", "101")] {
        world.phone("101").adds("INVITE", lines);
        world.dials("101", "102");
        world.passes(1_000);
        let note = world.notes.pop().expect("a notification");
        assert_eq!(note.from, shown, "{lines}");
        assert!(lines.is_empty() || note.from_name.is_empty());
        let now = world.now;
        world.phone("101").cancels(now);
        world.passes(1_000);
    }
    assert_eq!(world.is_silent(), EMPTY);
}
