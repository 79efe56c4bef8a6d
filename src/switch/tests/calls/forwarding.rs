//! Stories of forwarding: whoever gets the call is told who did not take it, and no call is forwarded for ever.

use crate::world::phone::{Manner, State, header};
use crate::world::{EMPTY, World, extension, trunk};
use directory::Directory;
use std::collections::BTreeMap;
use std::sync::Arc;
use switch::{Event, TargetSpec};

fn office(trust_identity: bool) -> World {
    let mut world = World::with_trunks(&["101", "102", "103"], &["itsp"], 60);
    let mut itsp = trunk("itsp", 0);
    itsp.numbers = BTreeMap::from([("4932".into(), "102".into())]);
    itsp.trust_identity = trust_identity;
    let people = ["101", "102", "103"].map(extension).to_vec();
    let directory = Directory::new(people, vec![(itsp, None)]);
    world.give(Event::Directory(Arc::new(directory)));
    world
}

#[test]
fn who_gets_a_forwarded_call_learns_from_whom_and_why() {
    for (code, why, cause) in [(486, "user-busy", 486), (480, "unavailable", 503)] {
        let mut world = office(false);
        world.phone("102").manner = Manner::Refuses(code);
        world.then = vec![TargetSpec::Extension("103".into())];
        world.dials("101", "102");
        world.passes(3_000);
        let carol = world.phone("103");
        assert_eq!(carol.state, State::Up);
        assert_eq!(
            carol.read("INVITE", "Diversion"),
            format!("<sip:102@10.9.9.9>;reason={why};counter=1")
        );
        assert_eq!(
            carol.read("INVITE", "History-Info"),
            format!(
                "<sip:102@10.9.9.9?Reason=SIP%3Bcause%3D{cause}>;index=1, <sip:103@10.9.9.9;cause={cause}>;index=1.1;mp=1"
            )
        );
        // Who was called first is told nothing of it.
        assert_eq!(world.phone("102").read("INVITE", "Diversion"), "");
        let now = world.now;
        world.phone("101").hangs_up(now);
        assert_eq!(world.is_silent(), EMPTY);
    }
}

/// What `itsp` reads of a call of 101 that went on to it after all of `rung` let it ring.
fn forwarded_out(trust: bool, rung: &[&str]) -> [String; 2] {
    let mut world = office(trust);
    for number in rung {
        world.phone(number).manner = Manner::RingsOnly;
    }
    world.then = rung[1..]
        .iter()
        .map(|number| TargetSpec::Extension((*number).into()))
        .chain([TargetSpec::Trunk {
            name: "itsp".into(),
            number: "0171".into(),
        }])
        .collect();
    world.dials("101", rung[0]);
    world.passes(23_000 * rung.len() as u64);
    let itsp = world.phone("itsp");
    assert_eq!(itsp.state, State::Up);
    ["Diversion", "History-Info"].map(|name| itsp.read("INVITE", name))
}

#[test]
fn a_provider_learns_the_number_it_gave_us() {
    for trust in [false, true] {
        let [diversion, history] = forwarded_out(trust, &["102"]);
        assert_eq!(diversion, "<sip:4932@10.9.9.9>;reason=no-answer;counter=1");
        assert!(
            history.starts_with("<sip:4932@10.9.9.9?Reason="),
            "{history}"
        );
    }
}

#[test]
fn a_provider_that_is_not_trusted_learns_no_other() {
    assert_eq!(forwarded_out(false, &["103"]), ["", ""]);
    let [diversion, history] = forwarded_out(false, &["103", "102"]);
    assert!(diversion.starts_with("<sip:4932@"), "{diversion}");
    assert!(!history.contains("103"), "{history}");
    let [diversion, history] = forwarded_out(true, &["103"]);
    assert!(diversion.starts_with("<sip:103@"), "{diversion}");
    assert!(history.starts_with("<sip:103@"), "{history}");
}

#[test]
fn another_way_to_the_same_number_is_no_forward() {
    let mut world = office(false);
    world.phone("102").manner = Manner::Refuses(503);
    world.then = vec![TargetSpec::Extension("102".into())];
    world.dials("101", "102");
    world.passes(3_000);
    assert_eq!(world.phone("102").letters("INVITE").len(), 2);
    assert_eq!(world.phone("102").read("INVITE", "Diversion"), "");
}

#[test]
fn a_trusted_trunk_says_who_forwarded() {
    for trust in [true, false] {
        let mut world = office(trust);
        let lines = "Diversion: <sip:200@itsp>;reason=user-busy\nDiversion: <sip:201@itsp>;reason=no-answer;counter=2";
        world.phone("itsp").adds("INVITE", lines);
        world.dials("itsp", "102");
        world.passes(3_000);
        let session = world.sessions.last().expect("a session").clone();
        let read = (
            session.diverted_from.as_str(),
            session.diverted_why.as_str(),
        );
        assert_eq!(
            read,
            if trust {
                ("200", "user-busy")
            } else {
                ("", "")
            }
        );
        let passed: Vec<String> = world.phone("102").letters("INVITE")[0]
            .lines()
            .filter(|line| line.starts_with("Diversion:"))
            .map(str::to_owned)
            .collect();
        if trust {
            assert_eq!(passed.len(), 2);
            assert!(passed[0].contains("<sip:200@10.9.9.9>;reason=user-busy"));
            assert!(passed[1].contains("<sip:201@10.9.9.9>;reason=no-answer"));
        } else {
            assert_eq!(passed, [""; 0]);
        }
    }
}

#[test]
fn a_call_forwarded_too_often_goes_no_further() {
    let mut world = office(true);
    world
        .phone("itsp")
        .adds("INVITE", "Diversion: <sip:1@itsp>;reason=unknown;counter=9");
    world.dials("itsp", "102");
    world.passes(3_000);
    assert_eq!(world.phone("itsp").state, State::Over(483));

    let mut world = office(true);
    for number in ["102", "103"] {
        world.phone(number).manner = Manner::Refuses(486);
    }
    let there_and_back = ["103", "102"].map(|n| TargetSpec::Extension(n.into()));
    world.then = there_and_back.iter().cycle().take(20).cloned().collect();
    world.dials("101", "102");
    world.passes(9_000);
    let rung =
        world.phone("102").letters("INVITE").len() + world.phone("103").letters("INVITE").len();
    assert_eq!(rung, 9);
    assert!(matches!(world.phone("101").state, State::Over(_)));
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn every_hop_is_counted() {
    let mut world = office(false);
    world.dials("101", "102");
    world.passes(3_000);
    assert_eq!(world.phone("102").read("INVITE", "Max-Forwards"), "69");
    let mut world = office(false);
    world.phone("101").max_forwards = 3;
    world.dials("101", "102");
    world.passes(3_000);
    assert_eq!(world.phone("102").read("INVITE", "Max-Forwards"), "2");
    let mut world = office(false);
    world.phone("101").max_forwards = 0;
    world.dials("101", "102");
    world.passes(3_000);
    assert_eq!(world.phone("101").state, State::Over(483));
}

#[test]
fn our_own_call_comes_back_only_for_a_number_of_ours() {
    for (number, state) in [("0301", 482), ("4932", 200)] {
        let mut world = office(false);
        world.phone("itsp").manner = Manner::RingsOnly;
        world.dials("101", &format!("9{number}"));
        world.passes(1_000);
        // A proxy sends our INVITE back as it is, but for its own Via.
        let invite = world.phone("itsp").letters("INVITE")[0].to_owned();
        let ours = header(&invite, "Call-ID");
        let line = invite.lines().next().expect("a request line");
        let back = invite
            .replace(line, &format!("INVITE sip:{number}@10.9.9.9 SIP/2.0"))
            .replacen(
                "Via: ",
                "Via: SIP/2.0/UDP 10.1.0.1;branch=z9hG4bKproxy\r\nVia: ",
                1,
            );
        world.phone("itsp").out.push(back);
        world.passes(1_000);
        let answers = world.phone("itsp").letters("SIP/2.0");
        let of_loop = answers.iter().filter(|a| header(a, "Call-ID") == ours);
        let looped = of_loop.clone().any(|a| a.starts_with("SIP/2.0 482"));
        assert_eq!(looped, state == 482, "{number}");
    }
}
