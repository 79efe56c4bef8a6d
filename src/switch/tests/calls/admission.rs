//! Who is let in, and what those hear who are not.

use crate::world::World;
use crate::world::phone::State;
use bytes::Bytes;
use sip::{Flow, Transport};
use switch::{Command, Event};

#[test]
fn credentials_are_good_for_the_uri_they_name() {
    for (claim, code) in [
        ("sip:102@pbx", 200),
        ("sip:102@PBX:5060;transport=udp", 200),
        // SIPp names the host alone.
        ("sip:pbx:5060", 200),
        ("sip:103@pbx", 400),
        ("sip:102@somewhere.else", 400),
        ("sips:102@pbx", 400),
        ("tel:102", 400),
    ] {
        let mut world = World::new(&["101", "102"], 41);
        world.phone("101").claims = Some(claim.to_owned());
        world.dials("101", "102");
        world.passes(2_000);
        let expected = if code == 200 {
            State::Up
        } else {
            State::Over(code)
        };
        assert_eq!(world.phone("101").state, expected, "{claim}");
        assert_eq!(world.taken.len(), usize::from(code == 200), "{claim}");
    }
}

#[test]
fn who_is_asked_for_a_password_is_not_told_to_wait_before() {
    let mut world = World::new(&["101", "102"], 43);
    world.phone("101").heard.clear();
    world.dials("101", "102");
    world.passes(2_000);
    let heard = &world.phone("101").heard;
    let answers: Vec<&str> = heard.iter().filter_map(|text| text.get(8..11)).collect();
    // The phone rings us through at once: nobody has to be kept waiting by 100 (RFC 3261 §17.2.1).
    assert_eq!(answers.first(), Some(&"401"), "{answers:?}");
    assert!(answers.contains(&"200"), "{answers:?}");
}

#[test]
fn nobody_registers_with_credentials_for_another_place() {
    for (claim, code) in [
        ("sip:pbx;transport=udp", "200"),
        ("sip:somewhere.else", "400"),
        ("sip:102@pbx", "400"),
    ] {
        let mut world = World::new(&["101"], 42);
        world.log.clear();
        let now = world.now;
        let phone = world.phone("101");
        phone.claims = Some(claim.to_owned());
        phone.registers(now);
        world.passes(1_000);
        let answer = world.phone("101").heard.last().cloned();
        let answer = answer.unwrap_or_default();
        assert!(
            answer.starts_with(&format!("SIP/2.0 {code}")),
            "{claim}: {answer}"
        );
        let told = world.log.iter().any(|line| line.starts_with("Registered"));
        assert_eq!(told, code == "200", "{claim}");
    }
}

/// Every answer to a request of `method` that asks for nothing in particular.
fn answers(world: &mut World, method: &str) -> Vec<String> {
    let flow = Flow {
        transport: Transport::Udp,
        local: "10.9.9.9:5060".parse().expect("an address"),
        remote: "10.7.7.7:5060".parse().expect("an address"),
        id: 0,
    };
    let text = format!(
        "{method} sip:pbx SIP/2.0\r\nVia: SIP/2.0/UDP 10.7.7.7;branch=z9hG4bK{method};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:x@pbx>;tag=1\r\nTo: <sip:pbx>\r\nCall-ID: {method}\r\n\
         CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    );
    let bytes = Bytes::from(text);
    world.switch.handle(world.now, Event::Sip { flow, bytes });
    let mut sent = Vec::new();
    while let Some(command) = world.switch.poll() {
        if let Command::Send { bytes, .. } = command {
            sent.push(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    sent
}

#[test]
fn what_we_allow_is_said_once() {
    let mut world = World::new(&[], 43);
    for (method, code) in [("OPTIONS", 200), ("NOTIFY", 405)] {
        let sent = answers(&mut world, method);
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert!(sent[0].starts_with(&format!("SIP/2.0 {code} ")), "{sent:?}");
        let allow = sent[0].lines().filter(|line| line.starts_with("Allow:"));
        assert_eq!(allow.count(), 1, "{sent:?}");
    }
}
