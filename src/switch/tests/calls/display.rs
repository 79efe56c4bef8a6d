//! What displays show after a transfer or a pickup when the new party is not to be known: no longer the old one.

use crate::world::phone::{Manner, State, header};
use crate::world::{EMPTY, World, extension, trunk};
use directory::Directory;
use std::sync::Arc;
use std::time::Duration;
use switch::{DialOptions, Event, TargetSpec, Verb};

const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/// 101 to 103, and the trusted trunk `itsp`.
fn office(seed: u64) -> World {
    let mut world = World::with_trunks(&["101", "102", "103"], &["itsp"], seed);
    let mut itsp = trunk("itsp", 0);
    itsp.trust_identity = true;
    let people = ["101", "102", "103"].map(extension).to_vec();
    let directory = Directory::new(people, vec![(itsp, None)]);
    world.give(Event::Directory(Arc::new(directory)));
    world
}

fn hangs_up(world: &mut World, number: &str) {
    let now = world.now;
    world.phone(number).hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
}

/// 101 hides, and talks with 102.
fn hiding(seed: u64) -> World {
    let mut world = office(seed);
    world.phone("101").adds("INVITE", "Privacy: id");
    world.dials("101", "102");
    world.passes(2_000);
    assert!(world.talks("101", "102"));
    world
}

#[test]
fn who_is_reached_privately_is_shown_as_anonymous() {
    let mut world = office(1);
    let lines = "P-Asserted-Identity: \"Carol\" <sip:+49301@itsp>\nPrivacy: id";
    world.phone("itsp").adds("200", lines);
    world.dials("102", "101");
    world.passes(2_000);
    let shown = world.phone("102").display();
    assert!(shown.starts_with("<sip:101@"), "{shown}");
    let now = world.now;
    world.phone("101").refers(now, "90301");
    world.passes(1_000);
    assert!(world.talks("102", "itsp"));
    assert_eq!(world.phone("102").display(), ANONYMOUS);
    let told = world.phone("102").letters.concat();
    assert!(told.contains(&format!("{ANONYMOUS};party=called;privacy=full")));
    assert!(!told.contains("Carol") && !told.contains("49301"), "{told}");
    hangs_up(&mut world, "102");
}

#[test]
fn who_hides_stays_hidden_in_a_blind_transfer() {
    let mut world = hiding(2);
    let now = world.now;
    world.phone("102").refers(now, "103");
    world.passes(1_000);
    assert!(world.talks("101", "103"));
    let invite = world.phone("103").invite.clone();
    assert!(header(&invite, "From").starts_with(ANONYMOUS), "{invite}");
    assert!(!world.phone("103").letters.concat().contains("sip:101"));
    hangs_up(&mut world, "101");
}

#[test]
fn whom_a_script_hides_stays_hidden_in_a_transfer() {
    let mut world = office(7);
    world.first = Some(Verb::Dial {
        targets: vec![TargetSpec::Extension("102".to_owned())],
        options: DialOptions {
            timeout: Duration::from_secs(20),
            caller_id: None,
            max_duration: None,
            privacy: Some(true),
        },
        caller_id: "101".to_owned(),
    });
    world.dials("101", "102");
    world.passes(2_000);
    assert!(world.talks("101", "102"));
    world.first = None;
    let now = world.now;
    world.phone("102").refers(now, "103");
    world.passes(1_000);
    assert!(world.talks("101", "103"));
    for number in ["102", "103"] {
        let invite = world.phone(number).invite.clone();
        assert!(header(&invite, "From").starts_with(ANONYMOUS), "{invite}");
        let told = world.phone(number).letters.concat();
        assert!(!told.contains("sip:101"), "{told}");
    }
    hangs_up(&mut world, "101");
}

#[test]
fn who_hides_stays_hidden_in_an_attended_transfer() {
    // The REFER comes in either of the two calls: the hidden caller goes over, or stays.
    for goes in [true, false] {
        let mut world = hiding(3);
        let now = world.now;
        world.line("102'").dials(now, "103");
        world.passes(2_000);
        assert!(world.talks("102'", "103"));
        let (line, other, number) = if goes {
            ("102", "102'", "103")
        } else {
            ("102'", "102", "101")
        };
        let (now, replaced) = (world.now, world.line(other).replaced());
        world.line(line).refers_to(now, number, &replaced);
        world.passes(1_000);
        assert!(world.talks("101", "103"), "{goes}");
        assert_eq!(world.phone("103").display(), ANONYMOUS, "{goes}");
        let shown = world.phone("101").display();
        assert!(shown.starts_with("<sip:103@"), "{shown}");
        let told = world.phone("103").letters.concat();
        assert!(!told.contains("sip:101"), "{told}");
        hangs_up(&mut world, "101");
    }
}

#[test]
fn who_picks_up_a_hidden_call_learns_no_number() {
    let mut world = office(4);
    world.phone("101").adds("INVITE", "Privacy: id");
    world.phone("102").manner = Manner::RingsOnly;
    world.dials("101", "102");
    world.passes(1_000);
    let (call_id, phones, ours) = world.phone("102").names();
    let replaces = format!("{call_id};to-tag={phones};from-tag={ours};early-only");
    let now = world.now;
    world.phone("103").dials_for(now, "102", &replaces);
    world.passes(1_000);
    assert!(world.talks("101", "103"));
    assert_eq!(world.phone("102").state, State::Over(487));
    assert_eq!(world.phone("103").display(), ANONYMOUS);
    assert!(!world.phone("103").letters.concat().contains("sip:101"));
    hangs_up(&mut world, "101");
}
