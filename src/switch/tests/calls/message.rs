//! Stories of text messages: to every phone, kept for who is away, never lost unsaid, never told twice.

use crate::world::phone::{Phone, State};
use crate::world::{EMPTY, World, extension};
use directory::Directory;
use std::sync::Arc;
use switch::Event;

/// 101, 102 and 103; 103 has gone away and its registration ended.
fn office() -> World {
    let mut world = World::new(&["101", "102", "103"], 70);
    world.phone("103").vanished = true;
    world.passes(3_700_000);
    comes(&mut world, "101");
    comes(&mut world, "102");
    world
}

fn comes(world: &mut World, number: &str) {
    let now = world.now;
    world.phone(number).vanished = false;
    world.phone(number).registers(now);
    world.passes(2_000);
}

fn writes(world: &mut World, from: &str, to: &str, body: &str) -> u16 {
    let now = world.now;
    world.phone(from).writes(now, to, body);
    world.passes(1_000);
    world.phone(from).was_told("MESSAGE")
}

#[test]
fn a_message_reaches_every_phone() {
    let mut world = office();
    // A second phone of 102, elsewhere.
    let address = "10.0.0.77:5060".parse().expect("an address");
    let mut second = Phone::new("102", address);
    second.registers(world.now);
    world.phones.insert(address, second);
    world.passes(2_000);
    assert_eq!(writes(&mut world, "101", "102", "Coffee? ☕"), 200);
    let phones = world.phones.values().filter(|phone| phone.number == "102");
    for phone in phones {
        assert_eq!(phone.messages(), ["Coffee? ☕"], "{}", phone.address);
        assert_eq!(
            phone.read("MESSAGE", "Content-Type"),
            "text/plain;charset=UTF-8"
        );
        let from = phone.read("MESSAGE", "From");
        assert!(from.starts_with("<sip:101@10.9.9.9>;tag="), "{from}");
    }
    assert!(world.messages.is_empty());
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn who_sends_is_who_proves_it() {
    let mut world = office();
    let now = world.now;
    let alice = world.phone("101");
    alice.adds("MESSAGE", "P-Asserted-Identity: <sip:100@pbx>");
    alice.writes_as(now, "102", ("message/cpim", "From: <im:100@pbx>"));
    world.passes(1_000);
    let bob = world.phone("102");
    assert_eq!(bob.messages(), ["From: <im:100@pbx>"]);
    assert_eq!(bob.read("MESSAGE", "P-Asserted-Identity"), "");
    assert!(bob.read("MESSAGE", "From").starts_with("<sip:101@"));
}

#[test]
fn messages_wait_for_who_is_away_and_come_in_order_each_once() {
    let mut world = office();
    for body in ["one", "two", "three"] {
        assert_eq!(writes(&mut world, "101", "103", body), 202);
    }
    assert_eq!(world.messages.len(), 3);
    comes(&mut world, "103");
    let carol = world.phone("103");
    assert_eq!(carol.messages(), ["one", "two", "three"]);
    let date = carol.read("MESSAGE", "Date");
    assert!(date.ends_with(" GMT"), "{date}");
    assert!(world.messages.is_empty());
    comes(&mut world, "103");
    assert_eq!(world.phone("103").messages().len(), 3);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn messages_outlive_a_restart() {
    let mut world = office();
    writes(&mut world, "101", "103", "see you");
    let kept: Vec<_> = world.messages.values().cloned().collect();
    let mut world = World::new(&["101", "103"], 71);
    world.give(Event::RestoredMessages(kept));
    assert_eq!(world.phone("103").messages(), [""; 0]);
    comes(&mut world, "103");
    assert_eq!(world.phone("103").messages(), ["see you"]);
}

#[test]
fn a_message_that_expired_is_not_delivered() {
    let mut world = office();
    world.phone("101").adds("MESSAGE", "Expires: 600");
    assert_eq!(writes(&mut world, "101", "103", "lunch?"), 202);
    world.phone("101").adds("MESSAGE", "");
    assert_eq!(writes(&mut world, "101", "103", "dinner?"), 202);
    world.passes(700_000);
    comes(&mut world, "103");
    assert_eq!(world.phone("103").messages(), ["dinner?"]);
    assert!(world.messages.is_empty());
    // Nobody comes for it: it goes by itself.
    let mut world = office();
    world.phone("101").adds("MESSAGE", "Expires: 600");
    writes(&mut world, "101", "103", "lunch?");
    world.passes(3_700_000);
    assert!(world.messages.is_empty());
}

#[test]
fn what_is_for_now_is_not_kept() {
    let mut world = office();
    world.phone("101").adds("MESSAGE", "Expires: 0");
    assert_eq!(writes(&mut world, "101", "103", "now"), 480);
    world.phone("101").adds("MESSAGE", "");
    let now = world.now;
    let typing = ("application/im-iscomposing+xml", "<isComposing/>");
    world.phone("101").writes_as(now, "103", typing);
    world.passes(1_000);
    assert_eq!(world.phone("101").was_told("MESSAGE"), 480);
    world.phone("101").writes_as(now, "102", typing);
    world.passes(1_000);
    assert_eq!(world.phone("102").messages(), ["<isComposing/>"]);
    assert!(world.messages.is_empty());
}

#[test]
fn a_phone_that_is_silent_has_it_later() {
    let mut world = office();
    world.phone("102").vanished = true;
    assert_eq!(writes(&mut world, "101", "102", "there?"), 0);
    world.passes(5_000);
    assert_eq!(world.phone("101").was_told("MESSAGE"), 202);
    world.passes(40_000);
    assert_eq!(world.messages.len(), 1);
    comes(&mut world, "102");
    assert_eq!(world.phone("102").messages(), ["there?"]);
    assert!(world.messages.is_empty());
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn what_a_phone_will_never_take_is_said_and_not_kept() {
    let mut world = office();
    world.phone("102").takes = 415;
    assert_eq!(writes(&mut world, "101", "102", "?"), 415);
    assert!(world.messages.is_empty());
    assert_eq!(writes(&mut world, "101", "103", "?"), 202);
    assert_eq!(writes(&mut world, "101", "103", "!"), 202);
    world.phone("103").takes = 405;
    comes(&mut world, "103");
    assert_eq!(world.phone("103").messages(), ["?", "!"]);
    assert!(world.messages.is_empty());
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let mut world = World::with_trunks(&["101", "102"], &["itsp"], 72);
    assert_eq!(writes(&mut world, "101", "999", "?"), 404);
    assert_eq!(writes(&mut world, "101", "102", &"x".repeat(8_193)), 413);
    assert_eq!(writes(&mut world, "itsp", "102", "spam"), 403);
    assert_eq!(world.phone("102").messages(), [""; 0]);
}

#[test]
fn nobody_fills_the_house() {
    let mut world = office();
    let mut told = Vec::new();
    for _ in 0..40 {
        let now = world.now;
        world.phone("101").writes(now, "103", "again");
        world.passes(20);
        told.push(world.phone("101").was_told("MESSAGE"));
    }
    assert!(told.contains(&202) && told.last() == Some(&503), "{told:?}");
    for _ in 0..100 {
        world.passes(1_000);
        writes(&mut world, "101", "103", "and again");
    }
    assert_eq!(world.messages.len(), 100);
    assert_eq!(world.phone("101").was_told("MESSAGE"), 503);
    // Its extension goes, and what waited with it.
    let directory = Directory::new(vec![extension("101")], Vec::new());
    world.give(Event::Directory(Arc::new(directory)));
    assert!(world.messages.is_empty());
}

#[test]
fn in_a_call_it_goes_to_the_other_party() {
    let mut world = office();
    world.dials("101", "102");
    world.passes(3_000);
    for (from, to) in [("101", "102"), ("102", "101")] {
        let now = world.now;
        world.phone(from).writes_inside(now, "look");
        world.passes(500);
        assert_eq!(world.phone(to).messages(), ["look"], "{from}");
        assert_eq!(world.phone(from).was_told("MESSAGE"), 200);
    }
    world.phone("102").takes = 488;
    let now = world.now;
    world.phone("101").writes_inside(now, "look");
    world.passes(500);
    assert_eq!(world.phone("101").was_told("MESSAGE"), 488);
    // The other party leaves before it answers.
    world.phone("102").takes = 0;
    let now = world.now;
    world.phone("101").writes_inside(now, "look");
    world.passes(500);
    let now = world.now;
    world.phone("102").hangs_up(now);
    world.passes(1_000);
    assert!(matches!(world.phone("101").state, State::Over(_)));
    assert_eq!(world.phone("101").was_told("MESSAGE"), 480);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn what_expires_on_its_way_takes_no_other_with_it() {
    let mut world = office();
    world.phone("101").adds("MESSAGE", "Expires: 600");
    assert_eq!(writes(&mut world, "101", "103", "one"), 202);
    world.phone("101").adds("MESSAGE", "");
    assert_eq!(writes(&mut world, "101", "103", "two"), 202);
    world.passes(590_000);
    let now = world.now;
    world.phone("103").vanished = false;
    world.phone("103").registers(now);
    world.passes(400);
    world.phone("103").vanished = true;
    world.passes(15_000);
    assert_eq!(world.phone("103").messages(), [""; 0]);
    // Somebody saves the configuration, which forgets what has expired.
    let all = ["101", "102", "103"].map(extension).to_vec();
    world.give(Event::Directory(Arc::new(Directory::new(all, Vec::new()))));
    assert_eq!(world.messages.len(), 1);
    world.phone("103").vanished = false;
    world.passes(20_000);
    assert_eq!(world.phone("103").messages(), ["one", "two"]);
    assert!(world.messages.is_empty());
}
