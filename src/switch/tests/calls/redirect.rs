//! Stories of phones that send a call on (3xx): with whose rights it goes, where it does not go, and that it ends.

use crate::world::phone::{Manner, State};
use crate::world::{EMPTY, World, extension, trunk};
use directory::{Directory, Redirects};
use std::sync::Arc;
use switch::{DialOptions, Event, TargetSpec, Verb};

/// 102 sends every call on to `contacts`.
fn office(contacts: &str) -> World {
    let mut world = World::with_trunks(&["101", "102", "103", "104"], &["itsp"], 80);
    sends_on(&mut world, "102", contacts);
    world
}

fn sends_on(world: &mut World, number: &str, contacts: &str) {
    let phone = world.phone(number);
    phone.manner = Manner::Refuses(302);
    phone.adds("302", contacts);
}

#[test]
fn another_extension_rings_instead() {
    let mut world = office("Contact: <sip:103@192.0.2.99>");
    world.dials("101", "102");
    world.passes(3_000);
    assert_eq!(world.phone("101").state, State::Up);
    let carol = world.phone("103");
    assert_eq!(carol.state, State::Up);
    let told = carol.read("INVITE", "Diversion");
    assert_eq!(told, "<sip:102@10.9.9.9>;reason=deflection;counter=1");
    let reached = world
        .phone("101")
        .read("SIP/2.0 200", "P-Asserted-Identity");
    assert_eq!(reached, "<sip:103@10.9.9.9>");
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
    let record = world.records.first().expect("a record");
    assert_eq!((record.dialed.as_str(), record.to.as_str()), ("102", "103"));
}

#[test]
fn the_contact_it_likes_best_goes_first() {
    let mut world =
        office("Contact: <mailto:x@pbx>, <sip:104@pbx>;q=0.2\nContact: <sip:103@pbx>;q=0.9");
    world.dials("101", "102");
    world.passes(3_000);
    assert_eq!(world.phone("103").state, State::Up);
    assert_eq!(world.phone("104").state, State::Idle);
}

#[test]
fn two_that_send_to_each_other_come_to_an_end() {
    let mut world = office("Contact: <sip:103@pbx>");
    sends_on(&mut world, "103", "Contact: <sip:102@pbx>");
    world.dials("101", "102");
    world.passes(3_000);
    assert_eq!(world.phone("101").state, State::Over(480));
    assert_eq!(world.phone("102").letters("INVITE").len(), 1);
    assert_eq!(world.is_silent(), EMPTY);
    let reason = &world.records[0].reason;
    assert!(reason.contains("redirection was not followed"), "{reason}");
}

#[test]
fn the_others_of_a_group_ring_on() {
    let mut world = office("Contact: <sip:103@pbx>");
    for number in ["103", "104"] {
        world.phone(number).manner = Manner::RingsOnly;
    }
    let targets = ["102", "104"].map(|n| TargetSpec::Extension(n.into()));
    world.first = Some(Verb::Dial {
        targets: targets.to_vec(),
        options: DialOptions {
            timeout: std::time::Duration::from_secs(20),
            caller_id: None,
            max_duration: None,
            privacy: None,
        },
        caller_id: "101".into(),
    });
    world.dials("101", "100");
    world.passes(2_000);
    for number in ["103", "104"] {
        assert_eq!(world.phone(number).state, State::Ringing, "{number}");
    }
    let now = world.now;
    world.phone("104").answers_call(now);
    world.passes(1_000);
    assert_eq!(world.phone("103").state, State::Over(487));
    assert_eq!(world.phone("101").state, State::Up);
}

#[test]
fn a_number_outside_is_dialled_with_the_rights_of_who_sent_it_on() {
    for caller in ["101", "itsp"] {
        let mut world = office("Contact: <sip:90171@pbx>");
        world.phone("itsp").manner = Manner::RingsOnly;
        world.dials(caller, "102");
        world.passes(3_000);
        let session = world.sessions.last().expect("a second script");
        let read = [&session.user, &session.dialed, &session.diverted_from];
        assert_eq!(read, ["102", "0171", "102"], "{caller}");
        let called = world.phone("itsp").letters("INVITE");
        let out = called.iter().filter(|l| l.starts_with("INVITE sip:0171@"));
        assert_eq!(out.count(), 1, "{caller}");
        let told = world.phone("itsp").read("INVITE sip:0171", "Diversion");
        // It gave 102 no number, and is not trusted with the house's own.
        assert_eq!(told, "");
    }
}

#[test]
fn nobody_calls_for_help_by_sending_on() {
    let mut world = office("Contact: <sip:112@pbx>");
    world.dials("101", "102");
    world.passes(3_000);
    assert_eq!(world.phone("101").state, State::Over(480));
    assert_eq!(world.phone("itsp").state, State::Idle);
}

#[test]
fn where_it_is_refused_nobody_is_sent_anywhere() {
    let mut world = office("Contact: <sip:103@pbx>");
    let people = ["101", "102", "103"].map(|number| directory::Extension {
        redirects: Redirects::Refuse,
        ..extension(number)
    });
    let directory = Directory::new(people.to_vec(), vec![(trunk("itsp", 0), None)]);
    world.give(Event::Directory(Arc::new(directory)));
    world.dials("101", "102");
    world.passes(3_000);
    assert_eq!(world.phone("101").state, State::Over(480));
    assert_eq!(world.phone("103").state, State::Idle);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn a_trunk_sends_nobody_anywhere() {
    let mut world = office("");
    sends_on(&mut world, "itsp", "Contact: <sip:103@pbx>");
    world.dials("101", "90171");
    world.passes(3_000);
    assert_eq!(world.phone("101").state, State::Over(480));
    assert_eq!(world.phone("103").state, State::Idle);
}

#[test]
fn a_caller_that_gives_up_while_it_is_sent_on_has_one_record() {
    for wait in [5, 10, 15, 20, 25, 30] {
        let mut world = office("Contact: <sip:90171@pbx>");
        world.phone("itsp").manner = Manner::RingsOnly;
        world.dials("101", "102");
        world.passes(wait);
        let now = world.now;
        world.phone("101").cancels(now);
        assert_eq!(world.is_silent(), EMPTY);
        assert!(world.records.len() <= 1);
    }
}
