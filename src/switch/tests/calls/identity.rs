//! Stories of who is calling: believed from trusted trunks alone, hidden when it asks for it, and told to the caller of
//! whom it reached.

use crate::world::phone::{Manner, State};
use crate::world::{EMPTY, World, extension, trunk};
use directory::{Directory, Trunk, TrunkAuth};
use std::collections::BTreeMap;
use std::sync::Arc;
use switch::{DialOptions, Event, TargetSpec, Verb};

/// 101 and 102 (Bob), the trunk `itsp` as `change` makes it, 4930 its number for 101.
fn world(change: impl FnOnce(&mut Trunk)) -> World {
    let mut world = World::with_trunks(&["101", "102"], &["itsp"], 50);
    let mut itsp = trunk("itsp", 0);
    itsp.numbers = BTreeMap::from([("4930".into(), "101".into())]);
    change(&mut itsp);
    let mut bob = extension("102");
    bob.name = "Bob".into();
    let mut alice = extension("101");
    alice.name = "Alice \"A\"".into();
    let directory = Directory::new(vec![alice, bob], vec![(itsp, None)]);
    world.give(Event::Directory(Arc::new(directory)));
    world
}

fn trusted(trunk: &mut Trunk) {
    trunk.trust_identity = true;
}

/// The call of `from`, whose INVITE has `lines`, to `number`; what `to` read in the INVITE it got.
fn called(
    world: &mut World,
    (from, lines): (&str, &str),
    (number, to): (&str, &str),
) -> [String; 3] {
    world.phone(from).adds("INVITE", lines);
    world.dials(from, number);
    world.passes(3_000);
    assert_eq!(world.phone(to).state, State::Up);
    let read = ["From", "P-Asserted-Identity", "Privacy"].map(|name| {
        let value = world.phone(to).read("INVITE", name);
        value.split(";tag=").next().unwrap_or_default().to_owned()
    });
    let now = world.now;
    world.phone(from).hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
    read
}

const ASSERTED: &str =
    "P-Asserted-Identity: \"The \\\"Boss\\\"\" <sip:+49171@sip.itsp.example>, <tel:+49171>";
const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

#[test]
fn a_trusted_trunk_is_believed() {
    let mut world = world(trusted);
    let [from, identity, privacy] = called(&mut world, ("itsp", ASSERTED), ("102", "102"));
    assert_eq!(from, "\"The \\\"Boss\\\"\" <sip:+49171@10.9.9.9>");
    assert_eq!((identity, privacy.as_str()), (from, ""));
    assert_eq!(world.records[0].from, "+49171");
}

#[test]
fn an_older_trusted_trunk_is_believed_too() {
    let mut world = world(trusted);
    let lines = "Remote-Party-ID: Boss <sip:+49171@itsp>;party=calling;privacy=full";
    let [from, identity, privacy] = called(&mut world, ("itsp", lines), ("102", "102"));
    assert_eq!(
        (from.as_str(), identity.as_str(), privacy.as_str()),
        (ANONYMOUS, "", "id")
    );
    assert_eq!(world.records[0].from, "+49171");
}

#[test]
fn another_trunk_is_whom_it_calls_itself() {
    let mut world = world(|_| {});
    let [from, ..] = called(&mut world, ("itsp", ASSERTED), ("102", "102"));
    assert_eq!(from, "<sip:itsp@10.9.9.9>");
}

#[test]
fn an_extension_is_who_the_directory_says() {
    let mut world = world(trusted);
    let lines = "P-Asserted-Identity: <sip:112@pbx>\nRemote-Party-ID: <sip:112@pbx>\nP-Preferred-Identity: <sip:103@pbx>";
    let [from, identity, _] = called(&mut world, ("101", lines), ("102", "102"));
    assert_eq!(from, "\"Alice \\\"A\\\"\" <sip:101@10.9.9.9>");
    assert_eq!(identity, from);
}

#[test]
fn an_extension_may_choose_among_its_own_numbers() {
    let mut world = world(trusted);
    let lines = "P-Preferred-Identity: <sip:4930@pbx>";
    let [from, identity, _] = called(&mut world, ("101", lines), ("90301", "itsp"));
    assert_eq!(from, "\"Alice \\\"A\\\"\" <sip:4930@10.9.9.9>");
    assert_eq!(identity, from);
    world.phone("101").adds("INVITE", "");
    let [from, ..] = called(&mut world, ("102", lines), ("90301", "itsp"));
    assert_eq!(from, "\"Bob\" <sip:102@10.9.9.9>");
}

#[test]
fn who_hides_is_told_to_nobody_but_a_trusted_trunk() {
    let mut office = world(trusted);
    let hidden = called(&mut office, ("101", "Privacy: id;critical"), ("102", "102"));
    assert_eq!(hidden, [ANONYMOUS, "", "id"]);
    let contact = office.phone("102").read("INVITE", "Contact");
    assert!(contact.starts_with("<sip:anonymous@"), "{contact}");
    let [from, identity, privacy] =
        called(&mut office, ("101", "Privacy: user"), ("90301", "itsp"));
    assert_eq!((from.as_str(), privacy.as_str()), (ANONYMOUS, "id"));
    assert_eq!(identity, "\"Alice \\\"A\\\"\" <sip:101@10.9.9.9>");
    let older = office.phone("itsp").read("INVITE", "Remote-Party-ID");
    assert_eq!(
        older,
        format!("{identity};party=calling;privacy=full;screen=yes")
    );

    let mut office = world(|_| {});
    let hidden = called(&mut office, ("101", "Privacy: id"), ("90301", "itsp"));
    assert_eq!(hidden, [ANONYMOUS, "", "id"]);
    let open = called(&mut office, ("102", "Privacy: none"), ("90301", "itsp"));
    assert_eq!(open, ["\"Bob\" <sip:102@10.9.9.9>", "", ""]);
}

#[test]
fn only_a_trusted_trunk_is_told_in_the_older_way_too() {
    for trust in [true, false] {
        let mut world = world(|itsp| itsp.trust_identity = trust);
        called(&mut world, ("102", ""), ("90301", "itsp"));
        let older = world.phone("itsp").read("INVITE", "Remote-Party-ID");
        let bob = "\"Bob\" <sip:102@10.9.9.9>;party=calling;privacy=off;screen=yes";
        assert_eq!(older, if trust { bob } else { "" });
        called(&mut world, ("101", ""), ("102", "102"));
        assert_eq!(world.phone("102").read("INVITE", "Remote-Party-ID"), "");
    }
}

#[test]
fn a_provider_that_serves_accounts_learns_who_hides() {
    let mut world = world(|itsp| {
        itsp.auth = TrunkAuth::Registration;
        itsp.username = Some("490001".into());
    });
    world.passes(1_000);
    let told = called(&mut world, ("101", "Privacy: id"), ("90301", "itsp"));
    assert_eq!(told, [ANONYMOUS, "<sip:101@10.1.0.1>", "id"]);
}

#[test]
fn an_emergency_hides_nobody() {
    let mut world = world(trusted);
    let [from, ..] = called(&mut world, ("101", "Privacy: id"), ("112", "itsp"));
    assert_eq!(from, "\"Alice \\\"A\\\"\" <sip:101@10.9.9.9>");
}

#[test]
fn the_dialplan_may_hide_the_caller() {
    let mut world = world(trusted);
    world.first = Some(Verb::Dial {
        targets: vec![TargetSpec::Extension("102".into())],
        options: DialOptions {
            timeout: std::time::Duration::from_secs(20),
            caller_id: None,
            max_duration: None,
            privacy: Some(true),
        },
        caller_id: "101".into(),
    });
    let hidden = called(&mut world, ("101", ""), ("102", "102"));
    assert_eq!(hidden, [ANONYMOUS, "", "id"]);
}

#[test]
fn the_caller_is_told_whom_it_rings_and_reached() {
    let mut world = world(|_| {});
    world.phone("102").manner = Manner::RingsOnly;
    world.dials("101", "102");
    world.passes(1_000);
    let now = world.now;
    world.phone("102").answers_call(now);
    world.passes(1_000);
    let alice = world.phone("101");
    for answer in ["SIP/2.0 180", "SIP/2.0 200"] {
        let told = alice.read(answer, "P-Asserted-Identity");
        assert_eq!(told, "\"Bob\" <sip:102@10.9.9.9>", "{answer}");
        let older = alice.read(answer, "Remote-Party-ID");
        assert_eq!(older, format!("{told};party=called;privacy=off;screen=yes"));
    }
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn a_trunk_is_told_whom_it_reached_only_when_trusted() {
    for trust in [false, true] {
        let mut world = world(|itsp| itsp.trust_identity = trust);
        world.dials("itsp", "102");
        world.passes(3_000);
        let told = world
            .phone("itsp")
            .read("SIP/2.0 200", "P-Asserted-Identity");
        assert_eq!(told.contains("Bob"), trust, "{told}");
    }
}

#[test]
fn a_trusted_trunk_says_whom_it_reached() {
    let lines = "P-Asserted-Identity: \"Carol\" <tel:+49-30-1>";
    for (privacy, told) in [
        ("", "\"Carol\" <sip:+49301@10.9.9.9>"),
        ("\nPrivacy: id", ""),
    ] {
        let mut world = world(trusted);
        world
            .phone("itsp")
            .adds("200", &format!("{lines}{privacy}"));
        world.dials("101", "90301");
        world.passes(3_000);
        assert_eq!(world.phone("101").state, State::Up);
        let reached = world
            .phone("101")
            .read("SIP/2.0 200", "P-Asserted-Identity");
        assert_eq!(reached, told);
    }
}
