//! A story of topology hiding: whatever one party's messages say of its own world is told to nobody else.

use crate::world::phone::{Manner, State, header};
use crate::world::{EMPTY, World};

/// What a phone may be known by.
const EVERYWHERE: &str = "Record-Route: <sip:NAME-rr@SELF;lr>
User-Agent: NAME-ua
Server: NAME-server
Subject: NAME-subject
Organization: NAME-organization
Call-Info: <http://NAME-info/>;purpose=icon
Alert-Info: <http://NAME-alert/>
Reply-To: <sip:NAME-reply@SELF>
In-Reply-To: NAME-id
P-Asserted-Identity: \"NAME-pai\" <sip:NAME-pai@SELF>
Remote-Party-ID: \"NAME-rpid\" <sip:NAME-rpid@SELF>
P-Charging-Vector: icid-value=NAME-icid
X-NAME: NAME-x
Warning: 399 NAME-host \"NAME-warning at SELF\"
Reason: Q.850;cause=31;text=\"NAME-reason at SELF\"";

/// 101 to 103, each marked in whatever it sends.
fn marked() -> World {
    let mut world = World::new(&["101", "102", "103"], 90);
    for number in ["101", "102", "103"] {
        let phone = world.phone(number);
        let name = format!("mark{number}");
        let lines = EVERYWHERE
            .replace("NAME", &name)
            .replace("SELF", &phone.address.ip().to_string());
        for what in [
            "INVITE", "BYE", "CANCEL", "MESSAGE", "REFER", "180", "183", "200", "302", "486",
        ] {
            phone.adds(what, &lines);
        }
    }
    world
}

/// Nothing that 101 or 102 was sent says anything of the other's world.
fn nothing_leaked(world: &mut World) {
    between(world, &[("101", "102"), ("102", "101")]);
}

/// The same of all three.
fn nothing_leaked_of_three(world: &mut World) {
    let numbers = ["101", "102", "103"];
    let pairs = numbers.map(|own| numbers.map(|other| (own, other)));
    let pairs = pairs
        .concat()
        .into_iter()
        .filter(|(own, other)| own != other);
    between(world, &pairs.collect::<Vec<_>>());
}

/// Nothing that the first of a pair was sent says anything of the second one's world.
fn between(world: &mut World, pairs: &[(&str, &str)]) {
    for &(own, other) in pairs {
        let from = world.phone(other);
        let address = from.address.ip().to_string();
        let heard = from
            .letters
            .iter()
            .filter(|letter| !letter.contains("REGISTER"));
        let mut secrets = vec![
            address,
            format!("mark{other}"),
            format!("tag=t{other}"),
            format!("tag=u{other}"),
        ];
        secrets.extend(heard.clone().map(|letter| header(letter, "Call-ID")));
        let vias = heard.map(|letter| header(letter, "Via"));
        let branches =
            vias.filter_map(|via| Some(via.split("branch=").nth(1)?.split(';').next()?.to_owned()));
        secrets.extend(branches);
        let told = &world.phone(own).letters;
        assert!(told.len() > 2, "{own} was told nothing");
        for letter in told {
            for secret in &secrets {
                assert!(
                    !letter.contains(secret.as_str()),
                    "{own} was told {secret}:\n{letter}"
                );
            }
        }
    }
}

#[test]
fn a_call_tells_neither_side_of_the_other() {
    for leaves in ["101", "102"] {
        let mut world = marked();
        world.dials("101", "102");
        world.passes(3_000);
        assert_eq!(world.phone("101").state, State::Up);
        for number in ["101", "102"] {
            let now = world.now;
            world.phone(number).writes_inside(now, "hello");
            world.passes(500);
            let now = world.now;
            world.phone(number).holds(now);
            world.passes(1_000);
            let now = world.now;
            world.phone(number).resumes(now);
            world.passes(1_000);
        }
        let now = world.now;
        world.phone(leaves).hangs_up(now);
        world.passes(1_000);
        nothing_leaked(&mut world);
        assert_eq!(world.is_silent(), EMPTY);
    }
}

#[test]
fn a_refusal_tells_nothing_of_who_refuses() {
    let mut world = marked();
    world.phone("102").manner = Manner::Refuses(486);
    world.dials("101", "102");
    world.passes(3_000);
    assert_eq!(world.phone("101").state, State::Over(486));
    nothing_leaked(&mut world);
}

#[test]
fn a_caller_that_gives_up_tells_nothing_of_itself() {
    let mut world = marked();
    world.phone("102").manner = Manner::RingsOnly;
    world.dials("101", "102");
    world.passes(2_000);
    let now = world.now;
    world.phone("101").cancels(now);
    world.passes(1_000);
    assert_eq!(world.phone("102").state, State::Over(487));
    nothing_leaked(&mut world);
}

#[test]
fn a_message_tells_nothing_of_where_it_was_written() {
    let mut world = marked();
    let now = world.now;
    world.phone("101").writes(now, "102", "hello");
    world.passes(1_000);
    assert_eq!(world.phone("102").messages(), ["hello"]);
    let address = world.phone("101").address.ip().to_string();
    for letter in world.phone("102").letters("MESSAGE") {
        assert!(
            !letter.contains("mark101") && !letter.contains(&address),
            "{letter}"
        );
    }
}

/// 101 talks with 102.
fn talking() -> World {
    let mut world = marked();
    world.dials("101", "102");
    world.passes(2_000);
    assert!(world.talks("101", "102"));
    world
}

#[test]
fn a_transfer_tells_none_of_three_of_the_others() {
    for who in ["101", "102"] {
        let mut world = talking();
        let now = world.now;
        world.phone(who).refers(now, "103");
        world.passes(1_000);
        let party = if who == "101" { "102" } else { "101" };
        assert!(world.talks(party, "103"));
        // The transferrer hears how it went (sipfrag), and no more.
        let told = world.phone(who).told();
        assert_eq!(told.last().unwrap(), "refer: SIP/2.0 200 OK, terminated");
        nothing_leaked_of_three(&mut world);
        let now = world.now;
        world.phone("103").hangs_up(now);
        assert_eq!(world.is_silent(), EMPTY);
    }
}

#[test]
fn connecting_two_calls_tells_none_of_three_of_the_others() {
    // The REFER comes in either of the two.
    for (line, other, number) in [("102", "102'", "103"), ("102'", "102", "101")] {
        let mut world = talking();
        let now = world.now;
        world.line("102'").dials(now, "103");
        world.passes(2_000);
        assert!(world.talks("102'", "103"));
        let (now, replaced) = (world.now, world.line(other).replaced());
        world.line(line).refers_to(now, number, &replaced);
        world.passes(1_000);
        assert!(world.talks("101", "103"), "{line}");
        nothing_leaked_of_three(&mut world);
        let now = world.now;
        world.phone("103").hangs_up(now);
        assert_eq!(world.is_silent(), EMPTY);
    }
}

#[test]
fn taking_a_call_from_its_lamp_tells_none_of_three_of_the_others() {
    for answered in [false, true] {
        let mut world = marked();
        if !answered {
            world.phone("102").manner = Manner::RingsOnly;
        }
        world.dials("101", "102");
        world.passes(2_000);
        // 103 has these names from a lamp.
        let (call_id, phones, ours) = world.phone("102").names();
        let replaces = format!("{call_id};to-tag={phones};from-tag={ours}");
        let now = world.now;
        world.phone("103").dials_for(now, "102", &replaces);
        world.passes(1_000);
        // What is answered is its own party's alone to take.
        assert_eq!(world.talks("101", "103"), !answered);
        let refused = world.phone("103").state == State::Over(403);
        assert_eq!(refused, answered);
        nothing_leaked_of_three(&mut world);
    }
}

#[test]
fn a_target_that_refuses_tells_the_transferrer_its_status_alone() {
    let mut world = talking();
    world.phone("103").manner = Manner::Refuses(486);
    let now = world.now;
    world.phone("102").refers(now, "103");
    world.passes(1_000);
    assert!(world.phone("102").progress().contains(&486));
    nothing_leaked_of_three(&mut world);
}

#[test]
fn who_is_sent_on_learns_nothing_of_who_sent_it() {
    let mut world = marked();
    let phone = world.phone("102");
    phone.manner = Manner::Refuses(302);
    phone.adds("302", "Contact: <sip:103@mark102.example>\nServer: mark102");
    world.dials("101", "102");
    world.passes(2_000);
    assert!(world.talks("101", "103"));
    nothing_leaked_of_three(&mut world);
}

#[test]
fn early_media_of_several_forks_tells_nothing_of_them() {
    let mut world = marked();
    world.phone("102").manner = Manner::Waits;
    world.dials("101", "102");
    world.passes(1_000);
    for tag in ["markfork-a", "markfork-b"] {
        world.phone("102").progresses(183, tag, true);
        world.passes(500);
    }
    let now = world.now;
    world.phone("102").answers_as(now, "markfork-b", true);
    world.passes(1_000);
    nothing_leaked(&mut world);
    assert!(!world.phone("101").letters.concat().contains("markfork"));
}
