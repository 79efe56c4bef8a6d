//! What the endpoint refuses by itself, and that nothing stays behind.

mod wire;

use sip::{Config, HeaderId, Output, Transport};
use wire::{SDP, Wire, inside, invite, request};

const US: &str = "<sip:200@192.0.2.1>";

/// What one request is answered with; nothing may be told or kept.
fn refused(text: &str, body: &str) -> sip::Message {
    let mut w = Wire::new();
    w.hears(text, body);
    assert!(w.told().is_empty());
    assert_eq!(w.endpoint.sizes(), (0, 0));
    let answer = w.take_sent().pop().expect("an answer");
    let to = answer.to().expect("a To");
    assert!(to.tag().is_some(), "RFC 3261 §8.2.6.2");
    answer
}

#[test]
fn each_fault_has_its_status() {
    let more = |extra: &str| format!("{}\n{extra}", invite("z9hG4bKa", 1));
    let cases = [
        (inside("BYE", "z9hG4bKb", 2, "nobody"), 481),
        (inside("INVITE", "z9hG4bKb", 2, "nobody"), 481),
        (request("BYE", "z9hG4bKb", 2, US), 481),
        (request("CANCEL", "z9hG4bKb", 2, US), 481),
        (request("FROB", "z9hG4bKb", 2, US), 501),
        (more("Require: 100rel, foo"), 420),
        (
            invite("z9hG4bKa", 1).replace("sip:200@192.0.2.1 SIP", "soap.beep://x SIP"),
            416,
        ),
        (
            invite("z9hG4bKa", 1).replace("Forwards: 70", "Forwards: 0"),
            483,
        ),
        (invite("z9hG4bKa", 1).replace("1 INVITE", "1 BYE"), 400),
        (
            invite("z9hG4bKa", 1).replace("Call-ID: call-1@far\n", ""),
            400,
        ),
        (
            invite("z9hG4bKa", 1).replace("SIP/2.0\nVia", "SIP/7.0\nVia"),
            505,
        ),
    ];
    for (text, status) in cases {
        assert_eq!(refused(&text, "").status(), Some(status), "{text}");
    }
}

/// RFC 4475 §3.1.2.1 and §3.1.2.16: the answer goes back to the source, with the Via as it came.
#[test]
fn a_via_that_cannot_be_read_is_answered_all_the_same() {
    let good = invite("z9hG4bKa", 1);
    let cases = [
        (good.replace(";rport", ";;,;,,"), "SIP/2.0 400 "),
        (good.replace("SIP/2.0", "SIP/7.0"), "SIP/2.0 505 "),
    ];
    for (text, start) in cases {
        let mut w = Wire::new();
        let whole = format!("{}\r\n\r\n", text.trim().replace('\n', "\r\n"));
        let via = whole.lines().find(|l| l.starts_with("Via")).unwrap();
        w.endpoint.receive(w.now, w.flow, whole.clone().into());
        let Some(Output::Send { flow, bytes }) = w.endpoint.poll() else {
            panic!("{text} is not answered");
        };
        let answer = String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(flow, w.flow);
        assert!(answer.starts_with(start) && answer.lines().any(|l| l == via));
        assert!(w.endpoint.is_idle());
    }
    let mut w = Wire::new();
    let via = good.lines().find(|l| l.starts_with("Via")).unwrap();
    w.hears(&good.replace(&format!("{via}\n"), ""), SDP);
    assert!(w.lines().is_empty(), "without any Via there is no response");
}

#[test]
fn refusals_say_what_would_do() {
    let unsupported = refused(
        &format!("{}\nRequire: 100rel, foo", invite("z9hG4bKa", 1)),
        SDP,
    );
    assert_eq!(unsupported.header(HeaderId::Unsupported).unwrap(), "foo");
    let media = refused(
        &format!("{}\nContent-Type: text/plain", invite("z9hG4bKa", 1)),
        "hello",
    );
    assert_eq!(media.status(), Some(415));
    assert_eq!(media.header(HeaderId::Accept).unwrap(), "application/sdp");
    let method = refused(&request("FROB", "z9hG4bKb", 2, US), "");
    assert!(method.header(HeaderId::Allow).unwrap().contains("INVITE"));
}

#[test]
fn the_same_request_by_another_way_is_merged() {
    let mut w = Wire::new();
    w.incoming();
    w.hears(&invite("z9hG4bKother", 1), SDP);
    assert_eq!(w.lines(), ["482"]);
    assert!(w.told().is_empty());
}

#[test]
fn full_tables_say_so() {
    let small = |max_transactions, max_dialogs| {
        Wire::with(
            Transport::Udp,
            Config {
                max_transactions,
                max_dialogs,
                ..Config::default()
            },
        )
    };
    for (transactions, dialogs) in [(1, 9), (9, 1)] {
        let mut w = small(transactions, dialogs);
        w.incoming();
        w.hears(&invite("z9hG4bKb", 1).replace("call-1", "call-2"), SDP);
        let busy = w.take_sent().pop().unwrap();
        assert_eq!(busy.status(), Some(503));
        assert!(busy.header(HeaderId::RetryAfter).is_some());
        let dialog = w.endpoint.invite(w.now, wire::call(Transport::Udp));
        w.drain();
        assert_eq!(w.told(), ["Refused 503", "Ended"]);
        w.endpoint.bye(w.now, dialog, None);
        assert!(w.lines().is_empty());
    }
}

#[test]
fn strangers_leave_a_fifth_of_the_tables() {
    for (max_transactions, max_dialogs) in [(5, 99), (99, 5)] {
        let config = Config {
            max_transactions,
            max_dialogs,
            ..Config::default()
        };
        let mut w = Wire::with(Transport::Udp, config);
        let call = |w: &mut Wire, n: usize, is_stranger: bool| {
            w.is_stranger = is_stranger;
            let text = invite(&format!("z9hG4bK{n}"), 1).replace("call-1", &format!("call-{n}"));
            w.hears(&with_credentials(&text), SDP);
            w.take_sent().pop().and_then(|answer| answer.status())
        };
        for n in 0..4 {
            assert!(!w.endpoint.is_crowded());
            assert_eq!(call(&mut w, n, true), Some(100));
        }
        assert!(w.endpoint.is_crowded());
        assert_eq!(call(&mut w, 4, true), Some(503));
        assert_eq!(call(&mut w, 5, false), Some(100));
        assert_eq!(call(&mut w, 6, false), Some(503));
    }
}

fn with_credentials(request: &str) -> String {
    format!("{request}\nAuthorization: Digest whatever")
}

#[test]
fn a_stranger_begins_only_so_much() {
    let config = Config {
        max_of_stranger: 2,
        ..Config::default()
    };
    let mut w = Wire::with(Transport::Udp, config);
    w.is_stranger = true;
    let ask = |w: &mut Wire, n: usize| {
        let method = if n == 1 { "SUBSCRIBE" } else { "OPTIONS" };
        let text = request(method, &format!("z9hG4bK{n}"), 1, US) + "\nEvent: dialog";
        w.hears(&text.replace("call-1", &format!("call-{n}")), "");
        w.take_sent().pop().and_then(|answer| answer.status())
    };
    assert_eq!([ask(&mut w, 0), ask(&mut w, 1)], [None, None]);
    assert_eq!(ask(&mut w, 2), Some(503));
    // Somebody else, and somebody who is known.
    w.flow.remote = "192.0.2.10:5060".parse().expect("an address");
    assert_eq!(ask(&mut w, 3), None);
    w.flow.remote = "192.0.2.9:5060".parse().expect("an address");
    w.is_stranger = false;
    assert_eq!(ask(&mut w, 4), None);
    w.told();
    w.is_empty_at_last();
    w.take_sent();
    w.is_stranger = true;
    assert_eq!(ask(&mut w, 5), None, "what is over no longer counts");
}

#[test]
fn who_proves_nothing_leaves_nothing_behind() {
    let mut w = Wire::new();
    w.is_stranger = true;
    for text in [
        invite("z9hG4bKb", 1),
        request("REGISTER", "z9hG4bKr", 1, US),
    ] {
        let mut tags = Vec::new();
        for _ in 0..2 {
            w.hears(&text, "");
            let Some(sip::SipEvent::Unproven { request, flow }) = w.events.pop() else {
                panic!("told");
            };
            let header = [("WWW-Authenticate", "Digest x".to_owned())];
            w.endpoint.turn_away(w.now, &request, flow, (401, &header));
            w.drain();
            let answer = w.take_sent().pop().expect("an answer");
            assert_eq!(answer.status(), Some(401));
            tags.push(answer.to().and_then(|to| to.tag().map(str::to_owned)));
        }
        // RFC 3261 §8.2.7: repeats hear the same tag.
        assert!(tags[0].is_some() && tags[0] == tags[1]);
        assert!(w.endpoint.is_idle());
    }
    let ack = request("ACK", "z9hG4bKb", 1, US);
    w.hears(&ack, "");
    assert!(w.lines().is_empty() && w.told().is_empty());
    w.hears(&with_credentials(&invite("z9hG4bKc", 2)), SDP);
    assert_eq!(w.told(), ["Incoming"]);
}

#[test]
fn strays_are_not_answered() {
    let mut w = Wire::new();
    w.hears(&inside("ACK", "z9hG4bKb", 2, "nobody"), "");
    w.hears(
        &request("ACK", "z9hG4bKb", 2, US).replace("Max-Forwards: 70\n", ""),
        "",
    );
    w.hears("SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\nFrom: <sip:a@b>;tag=1\nTo: <sip:a@b>;tag=2\nCall-ID: 1\nCSeq: 1 INVITE", "");
    w.hears("", "");
    w.hears("\0\0\0garbage", "");
    assert!(w.lines().is_empty());
    assert!(w.told().is_empty());
    assert!(w.endpoint.is_idle());
}

#[test]
fn a_request_outside_dialogs_is_told_once_and_answered_by_its_id() {
    let mut w = Wire::new();
    for _ in 0..2 {
        w.hears(&request("REGISTER", "z9hG4bKr", 1, US), "");
    }
    let Some(sip::SipEvent::Request { transaction, .. }) = w.events.pop() else {
        panic!("told");
    };
    assert!(w.events.is_empty());
    w.endpoint
        .respond(w.now, transaction, 200, &[("Expires", "60".to_owned())]);
    w.endpoint.respond(w.now, transaction, 500, &[]);
    w.drain();
    w.hears(&request("REGISTER", "z9hG4bKr", 1, US), "");
    assert_eq!(w.lines(), ["200", "200"]);
    // One that nobody answers does not stay either.
    w.hears(
        &request("OPTIONS", "z9hG4bKo", 2, US).replace("Forwards: 70", "Forwards: 0"),
        "",
    );
    assert_eq!(w.told(), ["Request"]);
    w.is_empty_at_last();
}

#[test]
fn old_branches_are_told_apart_by_everything_else() {
    let mut w = Wire::new();
    let old = |cseq| invite("1", cseq);
    w.hears(&old(1), SDP);
    w.hears(&old(1), SDP);
    assert_eq!(w.lines(), ["100", "100"]);
    assert_eq!(w.told(), ["Incoming"]);
    w.hears(&old(2), SDP);
    assert_eq!(w.told(), ["Incoming"]);
}
