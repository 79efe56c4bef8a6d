//! Emergency calls reach a trunk whatever the dialplan and the first trunk do.

use crate::world::phone::State;
use crate::world::{EMPTY, World, extension, trunk};
use bytes::Bytes;
use directory::{Codec, Directory};
use sip::{Flow, Transport};
use std::sync::Arc;
use switch::Event;

#[test]
fn it_goes_out_bare_and_behind_the_prefix() {
    for dialled in ["112", "9112"] {
        let mut world = World::with_trunks(&["101"], &["one", "two"], 21);
        world.dials("101", dialled);
        world.passes(2_000);
        assert_eq!(world.phone("one").state, State::Up, "{dialled}");
        assert_eq!(world.phone("101").state, State::Up);
        assert!(
            world
                .phone("one")
                .heard
                .iter()
                .any(|line| line.starts_with("INVITE sip:112@"))
        );
        let now = world.now;
        world.phone("101").hangs_up(now);
        world.passes(2_000);
        assert_eq!(
            world
                .records
                .first()
                .map(|r| (r.to.as_str(), r.dialed.as_str())),
            Some(("112", dialled))
        );
    }
}

#[test]
fn a_dead_first_trunk_is_passed_over() {
    let mut world = World::with_trunks(&["101"], &["one", "two"], 22);
    world.phone("one").vanished = true;
    world.dials("101", "112");
    world.passes(10_000);
    assert_eq!(world.phone("two").state, State::Up);
    assert_eq!(world.phone("101").state, State::Up);
}

#[test]
fn a_number_that_only_looks_like_one_is_none() {
    for dialled in ["+14151120000", "1120", "0112"] {
        let mut world = World::with_trunks(&["101"], &["one"], 23);
        world.dials("101", dialled);
        world.passes(2_000);
        assert_eq!(world.phone("one").state, State::Idle, "{dialled}");
        assert_eq!(world.phone("101").state, State::Over(404));
    }
}

#[test]
fn a_full_house_has_room_for_it() {
    let numbers = ["101", "102", "103", "104"];
    let mut world = World::with_config(&numbers, &["one"], 24, |config| config.max_calls = 1);
    world.dials("101", "102");
    world.passes(1_000);
    for (dialled, state) in [("104", State::Over(503)), ("9112", State::Up)] {
        world.dials("103", dialled);
        world.passes(1_000);
        assert_eq!(world.phone("103").state, state, "{dialled}");
    }
    assert_eq!(world.phone("one").state, State::Up);
    // Nor is it a way in for others: who dials it must prove to be an extension.
    world.phone("104").number = "999".to_owned();
    world.dials("999", "112");
    world.passes(1_000);
    assert_eq!(world.phone("999").state, State::Over(403));
}

#[test]
fn no_list_of_codecs_stands_in_its_way() {
    let mut world = World::with_trunks(&["101", "102"], &["one"], 25);
    let mut caller = extension("101");
    caller.codecs = vec![Codec::Opus];
    let directory = Directory::new(vec![caller], vec![(trunk("one", 0), None)]);
    world.give(Event::Directory(Arc::new(directory)));
    for (dialled, state) in [("102", State::Over(488)), ("112", State::Up)] {
        world.dials("101", dialled);
        world.passes(1_000);
        assert_eq!(world.phone("101").state, state, "{dialled}");
    }
}

#[test]
fn parameters_of_the_number_do_not_hide_it() {
    for dialled in ["112;phone-context=x", "9112;phone-context=+49;isub=1"] {
        let mut world = World::with_trunks(&["101"], &["one"], 26);
        world.dials("101", dialled);
        world.passes(2_000);
        assert_eq!(world.phone("101").state, State::Up, "{dialled}");
        let heard = world.phone("one").heard.join("\n");
        assert!(heard.contains("INVITE sip:112@"), "{heard}");
    }
}

#[test]
fn it_goes_out_while_strangers_flood_the_tables() {
    // However many they are, and though nobody counts how fast they send.
    let mut world = World::with_config(&["101"], &["one"], 24, |config| {
        config.defence.strangers_per_s = 10_000_000;
    });
    flood(&mut world, "OPTIONS", 50_000);
    assert!(world.switch.sizes().transactions > 30_000);
    world.dials("101", "112");
    world.passes(2_000);
    assert_eq!(world.phone("one").state, State::Up);
    assert_eq!(world.phone("101").state, State::Up);
    let answer = flood(&mut world, "MESSAGE", 1);
    assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
}

/// So many requests from a thousand addresses that nobody knows; the last answer.
fn flood(world: &mut World, method: &str, count: usize) -> String {
    let mut last = String::new();
    for n in 0..count {
        let [high, low] = (n as u16 % 1_000).to_be_bytes();
        let flow = Flow {
            transport: Transport::Udp,
            local: "10.9.9.9:5060".parse().expect("an address"),
            remote: ([198, 18, high, low], 5060).into(),
            id: 0,
        };
        let text = format!(
            "{method} sip:112@10.9.9.9 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK{method}{n}\r\n\
             From: <sip:101@offhook>;tag={n}\r\nTo: <sip:101@offhook>\r\nCall-ID: {method}-{n}\r\n\
             CSeq: 1 {method}\r\nMax-Forwards: 70\r\nContact: <sip:101@198.51.100.7>\r\nContent-Length: 0\r\n\r\n"
        );
        let bytes = Bytes::from(text);
        world.switch.handle(world.now, Event::Sip { flow, bytes });
        while let Some(command) = world.switch.poll() {
            if let switch::Command::Send { bytes, .. } = command {
                last = String::from_utf8_lossy(&bytes).into_owned();
            }
        }
    }
    last
}
