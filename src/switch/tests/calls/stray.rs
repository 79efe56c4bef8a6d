//! Who speaks in a call from elsewhere: a phone that moved, or another that knows what the call's dialog is called.

use crate::world::phone::{Manner, Phone, State, header, parameter};
use crate::world::{EMPTY, World};

/// 105, at home, sends a request as if it were the phone that these names are of; the answer.
fn forges(
    world: &mut World,
    method: &str,
    (call_id, own, other): &(String, String, String),
) -> u16 {
    let forger = world.phone("105");
    let (at, count) = (forger.address, forger.letters.len());
    let text = format!(
        "{method} sip:pbx SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKforged{count}{method};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:101@pbx>;tag={own}\r\nTo: <sip:102@pbx>;tag={other}\r\n\
         Call-ID: {call_id}\r\nCSeq: 9000 {method}\r\nContact: <sip:105@{at}>\r\n\
         Refer-To: <sip:103@pbx>\r\nContent-Length: 0\r\n\r\n"
    );
    forger.out.push(text);
    world.passes(100);
    let forger = world.phone("105");
    let answers = forger.letters.iter().rev();
    let mut answers = answers.filter(|letter| header(letter, "CSeq") == format!("9000 {method}"));
    let status = answers
        .next()
        .and_then(|letter| letter.get(8..11)?.parse().ok());
    status.expect("an answer")
}

fn moves(world: &mut World, number: &str) {
    let old = world.phone(number).address;
    let mut phone = world.phones.remove(&old).expect("a phone there");
    phone.address.set_port(old.port() + 1);
    world.phones.insert(phone.address, phone);
}

/// 101 talks with 102; 105 watches 101.
fn talking(seed: u64) -> World {
    let mut world = World::new(&["101", "102", "103", "105"], seed);
    world.watches("105", "dialog", "101", 3_600);
    world.dials("101", "102");
    world.passes(2_000);
    assert!(world.talks("101", "102"));
    world
}

fn ends(mut world: World) {
    let now = world.now;
    world.phone("105").refreshes(now, 0, 0);
    world.phone("101").hangs_up(now);
    assert_eq!(world.phone("101").state, State::Over(200));
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 1);
    assert_eq!(world.records[0].segments.len(), 1);
}

fn quiet(mut world: World) {
    let now = world.now;
    world.phone("105").refreshes(now, 0, 0);
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
}

/// The names that a lamp tells: Call-ID, the phone's tag, ours.
fn shown(world: &mut World, watcher: &str) -> (String, String, String) {
    let document = world.watching(watcher, 0).document();
    let tag = |name| parameter(&document, name);
    (tag("call-id"), tag("local-tag"), tag("remote-tag"))
}

#[test]
fn what_a_lamp_tells_lets_nobody_speak_in_the_call() {
    let mut world = talking(301);
    let names = shown(&mut world, "105");
    let real = world.phone("101").names();
    assert!(!names.1.is_empty() && !names.2.is_empty());
    assert!(names.0 != real.0 && names.1 != real.1 && names.2 != real.2);
    for method in ["REFER", "INVITE", "UPDATE", "OPTIONS", "BYE"] {
        assert_eq!(forges(&mut world, method, &names), 481, "{method}");
    }
    assert!(world.talks("101", "102"));
    ends(world);
}

#[test]
fn who_knows_the_real_names_must_still_prove_to_be_the_phone() {
    let mut world = talking(302);
    let names = world.phone("101").names();
    for method in ["REFER", "INVITE", "UPDATE", "OPTIONS", "INFO", "MESSAGE"] {
        assert_eq!(forges(&mut world, method, &names), 401, "{method}");
    }
    assert!(world.talks("101", "102"));
    // Its own requests count from where they did, and ours go to it.
    let now = world.now;
    world.phone("101").reinvites(now);
    world.passes(200);
    assert_eq!(world.phone("101").media.last(), 200);
    ends(world);
}

#[test]
fn a_phone_that_moved_proves_itself_and_goes_on() {
    let mut world = talking(303);
    moves(&mut world, "101");
    let now = world.now;
    world.phone("101").refers_proving(now, "103");
    world.passes(1_000);
    assert_eq!(world.phone("101").answers_to_refer(), [401, 202]);
    assert!(world.talks("102", "103"));
    assert_eq!(world.phone("101").state, State::Over(200), "found there");
    world.phone("105").refreshes(now, 0, 0);
    let now = world.now;
    world.phone("102").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn a_phone_that_registered_where_it_is_now_need_not() {
    let mut world = talking(304);
    // Its registration has a dialog of its own: as of a phone beside.
    let mut beside = world.phone("102").address;
    beside.set_port(beside.port() + 1);
    let mut phone = Phone::new("102", beside);
    phone.registers(world.now);
    world.phones.insert(beside, phone);
    world.passes(500);
    world.phones.remove(&beside);
    moves(&mut world, "102");
    let now = world.now;
    world.phone("102").refers(now, "103");
    world.passes(1_000);
    assert_eq!(world.phone("102").answers_to_refer(), [202]);
    assert!(world.talks("101", "103"));
    quiet(world);
}

#[test]
fn a_phone_that_moved_can_always_hang_up() {
    let mut world = talking(305);
    moves(&mut world, "102");
    let now = world.now;
    world.phone("102").hangs_up(now);
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Over(200));
    quiet(world);
}

#[test]
fn what_a_lamp_tells_is_enough_to_pick_up() {
    let mut world = World::new(&["101", "102", "105"], 306);
    world.phone("102").manner = Manner::RingsOnly;
    world.watches("105", "dialog", "102", 3_600);
    world.dials("101", "102");
    world.passes(2_000);
    let (call_id, phones, ours) = shown(&mut world, "105");
    let now = world.now;
    let replaces = format!("{call_id};to-tag={phones};from-tag={ours};early-only");
    world.phone("105").refreshes(now, 0, 0);
    world.passes(200);
    let now = world.now;
    world.line("105'").dials_for(now, "102", &replaces);
    world.passes(1_000);
    assert!(world.talks("101", "105'"));
    assert_eq!(world.phone("102").state, State::Over(487));
    quiet(world);
}
