//! What is traced of a call: every message of both legs, and of nobody else.

use crate::world::phone::Manner;
use crate::world::{EMPTY, World};
use directory::Traced;
use std::collections::BTreeSet;

fn first_line(message: &Traced) -> String {
    let text = String::from_utf8_lossy(&message.bytes);
    let first = text.lines().next().unwrap_or_default();
    let cseq = text.lines().find_map(|line| line.strip_prefix("CSeq: "));
    let method = cseq
        .and_then(|cseq| cseq.split(' ').nth(1))
        .unwrap_or_default();
    let first = first.strip_prefix("SIP/2.0 ").unwrap_or(first);
    let word = first.split(' ').next().unwrap_or_default();
    let way = if message.inward { "<" } else { ">" };
    format!("{way}{} {word} {method}", message.leg.expect("a leg"))
}

#[test]
fn every_message_of_a_call_is_kept_in_order_with_its_leg() {
    let mut world = World::new(&["101", "102"], 81);
    assert!(world.traced.is_empty(), "registrations are no calls");
    world.dials("101", "102");
    world.passes(3_000);
    let now = world.now;
    world.phone("102").hangs_up(now);
    world.passes(3_000);
    let said: Vec<String> = world.traced.iter().map(first_line).collect();
    for expected in [
        "<0 INVITE INVITE",
        ">0 401 INVITE",
        "<0 ACK ACK",
        ">0 180 INVITE",
        ">1 INVITE INVITE",
        "<1 180 INVITE",
        "<1 200 INVITE",
        ">1 ACK ACK",
        ">0 200 INVITE",
        "<1 BYE BYE",
        ">1 200 BYE",
        ">0 BYE BYE",
        "<0 200 BYE",
    ] {
        assert!(
            said.iter().any(|line| line == expected),
            "{expected} is not in {said:#?}"
        );
    }
    assert_eq!(
        said[..3],
        ["<0 INVITE INVITE", ">0 401 INVITE", "<0 ACK ACK"]
    );
    let calls: BTreeSet<u64> = world.traced.iter().map(|m| m.call).collect();
    let taken: BTreeSet<u64> = world.taken.iter().map(|call| call.0).collect();
    assert_eq!(calls, taken);
    assert!(world.traced.is_sorted_by_key(|m| m.at_us));
    let first = world.traced[0].clone();
    assert_eq!(first.remote, world.phone("101").address);
    assert_eq!(first.transport, "udp");
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn calls_are_told_apart_and_repeats_after_the_end_still_belong() {
    let mut world = World::new(&["101", "102", "103", "104"], 82);
    world.trouble = 15;
    world.phone("104").manner = Manner::Refuses(486);
    world.dials("101", "102");
    world.dials("103", "104");
    world.passes(20_000);
    world.trouble = 0;
    let now = world.now;
    for number in ["101", "102", "103"] {
        world.phone(number).hangs_up(now);
    }
    world.passes(40_000);
    // By the Call-ID that each phone wrote, all of a leg is in one call.
    let mut seen = std::collections::BTreeMap::new();
    for message in &world.traced {
        let text = String::from_utf8_lossy(&message.bytes).into_owned();
        let call_id = crate::world::phone::header(&text, "Call-ID");
        let place = (message.call, message.leg);
        assert_eq!(*seen.entry(call_id).or_insert(place), place, "{text}");
    }
    let calls: BTreeSet<u64> = world.traced.iter().map(|m| m.call).collect();
    assert_eq!(calls.len(), world.taken.len());
}

#[test]
fn a_call_that_never_ends_to_talk_fills_nothing() {
    let mut world = World::new(&["101", "102"], 83);
    world.dials("101", "102");
    world.passes(2_000);
    let invite = world
        .traced
        .iter()
        .find(|m| m.inward && m.bytes.starts_with(b"INVITE"));
    let invite = invite.expect("an INVITE").clone();
    for _ in 0..2_000 {
        let flow = sip::Flow {
            transport: sip::Transport::Udp,
            local: invite.local,
            remote: invite.remote,
            id: 0,
        };
        let bytes = invite.bytes.clone();
        world.give(switch::Event::Sip { flow, bytes });
        world.passes(2);
    }
    let kept = world.traced.len();
    assert!(kept <= 501, "{kept}");
    let notes = world.traced.iter().filter(|m| m.bytes.is_empty()).count();
    assert_eq!(notes, 1, "that there were more is said once");
}

#[test]
fn who_wants_no_trace_has_none() {
    let mut world = World::with_config(&["101", "102"], &[], 84, |config| config.trace = false);
    world.dials("101", "102");
    world.passes(2_000);
    assert!(world.traced.is_empty());
}
