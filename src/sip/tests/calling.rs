//! The endpoint calls: answers, forks, challenges, cancelling, silence.

mod wire;

use sip::{HeaderId, Login, OutRequest, SipEvent, Transport};
use wire::{SDP, Wire, call, flow, ms, s};

fn with_login(transport: Transport) -> sip::Invite {
    sip::Invite {
        credentials: Some(Login {
            username: "u".to_owned(),
            password: "p".to_owned(),
        }),
        ..call(transport)
    }
}

#[test]
fn an_answer_is_acknowledged_each_time_and_told_once() {
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(call(Transport::Udp));
    assert_eq!(invite.max_forwards(), Some(70));
    assert_eq!(invite.header_named("X-Test").as_deref(), Some("1"));
    w.answers(&invite, 100, "");
    w.answers(&invite, 180, "b1");
    w.answers_with(&invite, 200, "b1", "Record-Route: <sip:p1;lr>, <sip:p2;lr>");
    w.answers_with(&invite, 200, "b1", "Record-Route: <sip:p1;lr>, <sip:p2;lr>");
    let acks = w.take_sent();
    assert_eq!(acks.len(), 2);
    assert_eq!(acks[0].bytes(), acks[1].bytes());
    assert_eq!(acks[0].request_uri().unwrap(), "sip:bob@192.0.2.9:5070");
    assert_eq!(
        acks[0].values(HeaderId::Route).collect::<Vec<_>>(),
        ["<sip:p2;lr>", "<sip:p1;lr>"]
    );
    assert_eq!(acks[0].cseq().unwrap().0, 1);
    assert_ne!(
        acks[0].via().unwrap().branch(),
        invite.via().unwrap().branch()
    );
    assert_eq!(w.told(), ["Ringing", "Answered"]);
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    let bye = w.take_sent().remove(0);
    assert_eq!(bye.cseq().unwrap().0, 2);
    w.answers(&bye, 200, "");
    // A last repeat of the answer finds its ACK although the dialog is gone.
    w.answers(&invite, 200, "b1");
    assert_eq!(w.lines(), ["ACK"]);
    assert_eq!(w.told(), ["Ended"]);
    w.is_empty_at_last();
}

#[test]
fn other_forks_are_acknowledged_and_hung_up() {
    let mut w = Wire::new();
    let (_, invite) = w.calls(call(Transport::Udp));
    w.answers(&invite, 180, "b1");
    w.answers(&invite, 200, "b2");
    w.lines();
    w.answers(&invite, 200, "b1");
    let sent = w.take_sent();
    assert_eq!(
        sent.iter().map(wire::line).collect::<Vec<_>>(),
        ["ACK", "BYE"]
    );
    assert_eq!(sent[1].to().unwrap().tag(), Some("b1"));
    w.answers(&invite, 200, "b1");
    assert_eq!(w.lines(), ["ACK"], "the BYE is not repeated by the 2xx");
    assert_eq!(w.told(), ["Ringing", "Answered"]);
}

#[test]
fn a_refusal_is_acknowledged_on_its_branch_and_told_once() {
    let mut w = Wire::new();
    let (_, invite) = w.calls(call(Transport::Udp));
    w.answers(&invite, 486, "b1");
    w.answers(&invite, 486, "b1");
    let acks = w.take_sent();
    assert_eq!(acks.len(), 2);
    assert_eq!(
        acks[0].via().unwrap().branch(),
        invite.via().unwrap().branch()
    );
    assert_eq!(acks[0].to().unwrap().tag(), Some("b1"));
    assert_eq!(w.told(), ["Refused 486", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn silence_is_408_and_a_dead_flow_503() {
    let mut w = Wire::new();
    w.calls(call(Transport::Udp));
    w.passes(s(40));
    assert_eq!(w.lines(), ["INVITE"; 6]);
    assert_eq!(w.told(), ["Refused 408", "Ended"]);
    w.is_empty_at_last();

    let mut w = Wire::over(Transport::Tcp);
    w.calls(call(Transport::Tcp));
    w.passes(s(20));
    assert!(w.lines().is_empty());
    w.endpoint.flow_failed(w.now, flow(Transport::Tcp));
    w.drain();
    assert_eq!(w.told(), ["Refused 503", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn a_cancel_waits_for_a_sign_of_life() {
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(call(Transport::Udp));
    w.endpoint
        .cancel(w.now, dialog, Some("SIP;cause=200".to_owned()));
    w.drain();
    assert!(w.lines().is_empty(), "RFC 3261 §9.1");
    w.answers(&invite, 100, "");
    let cancel = w.take_sent().remove(0);
    assert_eq!(wire::line(&cancel), "CANCEL");
    assert_eq!(
        cancel.via().unwrap().branch(),
        invite.via().unwrap().branch()
    );
    assert_eq!(cancel.header(HeaderId::Reason).unwrap(), "SIP;cause=200");
    w.answers(&cancel, 200, "b1");
    w.answers(&invite, 487, "b1");
    assert_eq!(w.lines(), ["ACK"]);
    assert_eq!(w.told(), ["Refused 487", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn an_answer_that_crosses_the_cancel_is_hung_up() {
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(call(Transport::Udp));
    w.answers(&invite, 180, "b1");
    w.endpoint.cancel(w.now, dialog, None);
    w.drain();
    assert_eq!(w.lines(), ["CANCEL"]);
    w.answers(&invite, 200, "b1");
    let sent = w.take_sent();
    assert_eq!(
        sent.iter().map(wire::line).collect::<Vec<_>>(),
        ["ACK", "BYE"]
    );
    w.answers(&sent[1], 200, "");
    assert_eq!(w.told(), ["Ringing", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn a_cancel_nobody_heeds_ends_after_all() {
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(call(Transport::Udp));
    w.answers(&invite, 180, "b1");
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    w.passes(s(33));
    assert_eq!(w.told(), ["Ringing", "Refused 487", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn endless_ringing_is_cancelled() {
    let mut w = Wire::new();
    let (_, invite) = w.calls(call(Transport::Udp));
    w.answers(&invite, 180, "b1");
    w.passes(s(100));
    w.answers(&invite, 180, "b1");
    w.passes(s(180));
    assert!(w.lines().is_empty());
    w.passes(s(11));
    assert_eq!(w.lines()[0], "CANCEL");
    w.is_empty_at_last();
}

#[test]
fn a_challenge_is_answered_once_and_once_more_when_stale() {
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth\"";
    let stale = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n2\", qop=\"auth\", stale=true";
    let mut w = Wire::new();
    let (_, first) = w.calls(with_login(Transport::Udp));
    w.answers_with(&first, 407, "c1", challenge);
    let second = w.take_sent().pop().unwrap();
    let answer = second.header(HeaderId::ProxyAuthorization).unwrap();
    assert!(
        answer.contains("nonce=\"n1\"") && answer.contains("uri=\"sip:bob@192.0.2.9\""),
        "{answer}"
    );
    assert_eq!(second.call_id(), first.call_id());
    assert_eq!(second.cseq().unwrap().0, 2);
    assert_eq!(second.from().unwrap().tag(), first.from().unwrap().tag());
    assert!(second.to().unwrap().tag().is_none());
    w.answers_with(&second, 407, "c2", stale);
    let third = w.take_sent().pop().unwrap();
    assert!(
        third
            .header(HeaderId::ProxyAuthorization)
            .unwrap()
            .contains("nonce=\"n2\"")
    );
    assert!(w.told().is_empty());
    w.answers(&third, 200, "b1");
    let ack = w.take_sent().pop().unwrap();
    assert_eq!(ack.cseq().unwrap().0, 3);
    assert_eq!(
        ack.header(HeaderId::ProxyAuthorization),
        third.header(HeaderId::ProxyAuthorization)
    );
    assert_eq!(w.told(), ["Answered"]);

    let mut w = Wire::new();
    let (_, first) = w.calls(with_login(Transport::Udp));
    w.answers_with(&first, 407, "c1", challenge);
    let second = w.take_sent().pop().unwrap();
    w.answers_with(&second, 407, "c2", challenge);
    assert_eq!(w.lines(), ["ACK"]);
    assert_eq!(w.told(), ["Refused 407", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn a_challenged_bye_is_sent_again() {
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth\"";
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(with_login(Transport::Udp));
    w.answers(&invite, 200, "b1");
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    let bye = w.take_sent().pop().unwrap();
    w.answers_with(&bye, 401, "", challenge);
    let again = w.take_sent().pop().unwrap();
    assert!(again.header(HeaderId::Authorization).is_some());
    w.answers(&again, 200, "");
    assert_eq!(w.told(), ["Answered", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn a_bye_on_a_dead_connection_tries_any_other() {
    let mut w = Wire::over(Transport::Tcp);
    let (dialog, invite) = w.calls(call(Transport::Tcp));
    w.answers(&invite, 200, "b1");
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    w.lines();
    w.endpoint.flow_failed(w.now, flow(Transport::Tcp));
    w.drain();
    assert_eq!(w.lines(), ["BYE"]);
    w.endpoint.flow_failed(w.now, flow(Transport::Tcp));
    w.drain();
    assert_eq!(w.told(), ["Answered", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn a_bye_to_a_browser_that_has_gone_ends_the_dialog_at_once() {
    let mut w = Wire::over(Transport::Wss);
    let (dialog, invite) = w.calls(call(Transport::Wss));
    assert!(invite.via().unwrap().transport == "WSS");
    w.answers(&invite, 200, "b1");
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    w.lines();
    w.endpoint.flow_failed(w.now, flow(Transport::Wss));
    w.drain();
    assert_eq!(w.told(), ["Answered", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn a_registration_is_seen_through_its_challenge() {
    let mut w = Wire::new();
    let id = w.endpoint.request(
        w.now,
        OutRequest {
            flow: flow(Transport::Udp),
            method: "REGISTER".to_owned(),
            uri: "sip:trunk.example".to_owned(),
            to: "<sip:us@trunk.example>".to_owned(),
            from: "<sip:us@trunk.example>".to_owned(),
            call_id: Some("reg-1".to_owned()),
            cseq: Some(7),
            headers: vec![("Expires".to_owned(), "300".to_owned())],
            body: None,
            credentials: with_login(Transport::Udp).credentials,
            route: vec!["<sip:edge.example;lr>".to_owned()],
        },
    );
    w.drain();
    let first = w.take_sent().pop().unwrap();
    assert_eq!(first.call_id().unwrap(), "reg-1");
    w.answers_with(
        &first,
        401,
        "r",
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"",
    );
    let second = w.take_sent().pop().unwrap();
    assert_eq!(second.cseq().unwrap().0, 8);
    for message in [&first, &second] {
        assert_eq!(
            message.header(HeaderId::Route).unwrap(),
            "<sip:edge.example;lr>"
        );
    }
    assert!(
        second
            .header(HeaderId::Authorization)
            .unwrap()
            .contains("SHA-256")
    );
    w.answers(&second, 200, "r");
    let told = matches!(w.events[..], [SipEvent::Response { transaction, status: 200, .. }] if transaction == id);
    assert!(told, "{:?}", w.events);
    w.events.clear();
    w.is_empty_at_last();
}

#[test]
fn what_cannot_be_written_is_refused_here() {
    let mut w = Wire::new();
    let mut bad = call(Transport::Udp);
    bad.headers.push(("X".to_owned(), "a\r\nVia: b".to_owned()));
    w.endpoint.invite(w.now, bad);
    w.drain();
    assert!(w.lines().is_empty());
    assert_eq!(w.told(), ["Refused 500", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn a_bad_reason_does_not_stop_the_bye() {
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(call(Transport::Udp));
    w.answers(&invite, 200, "b1");
    w.lines();
    w.endpoint.bye(w.now, dialog, Some("a\r\nb".to_owned()));
    w.drain();
    assert_eq!(w.lines(), ["BYE"]);
    w.passes(ms(32_100));
    assert_eq!(w.told(), ["Answered", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn offers_meet_and_neither_is_lost() {
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(call(Transport::Udp));
    w.answers(&invite, 200, "b1");
    w.lines();
    w.told();
    w.endpoint.reinvite(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    let ours = w.take_sent().pop().unwrap();
    let far = |method: &str, branch: &str, cseq: u32| {
        format!(
            "{method} sip:us@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9;branch={branch}\nMax-Forwards: 70\n\
             From: <sip:bob@192.0.2.9>;tag=b1\nTo: {}\nCall-ID: {}\nCSeq: {cseq} {method}\nContact: <sip:bob@192.0.2.77>",
            invite.header(HeaderId::From).unwrap(),
            invite.call_id().unwrap()
        )
    };
    w.hears(&far("INVITE", "z9hG4bK1", 5), SDP);
    assert_eq!(w.lines(), ["491"]);
    w.answers(&ours, 491, "");
    assert_eq!(w.lines(), ["ACK"]);
    w.passes(ms(2000));
    assert!(
        w.lines().is_empty(),
        "RFC 3261 §14.1: the caller waits 2.1 s at least"
    );
    // Theirs goes first; ours waits until it is done.
    w.hears(&far("INVITE", "z9hG4bK2", 6), SDP);
    assert_eq!(w.lines(), ["100"]);
    assert_eq!(w.told(), ["Reoffered"]);
    w.hears(&far("UPDATE", "z9hG4bK3", 7), SDP);
    assert_eq!(w.lines(), ["500"]);
    w.hears(&far("UPDATE", "z9hG4bK4", 8), "");
    assert_eq!(w.lines(), ["200"]);
    w.endpoint.accept_reoffer(w.now, dialog, SDP.as_bytes());
    w.drain();
    assert_eq!(w.lines(), ["200"]);
    w.hears(&far("ACK", "z9hG4bK5", 6), "");
    w.passes(s(5));
    let again = w.take_sent().pop().expect("our offer once more");
    assert_eq!(again.request_uri().unwrap(), "sip:bob@192.0.2.77");
    w.answers(&again, 200, "");
    assert_eq!(w.lines(), ["ACK"]);
    assert_eq!(w.told(), ["Reanswered"]);
    w.hears(&far("UPDATE", "z9hG4bK6", 9), SDP);
    w.endpoint.refuse_reoffer(w.now, dialog, 488);
    w.drain();
    assert_eq!(w.lines(), ["488"]);
    w.hears(&far("BYE", "z9hG4bK7", 10), "");
    assert_eq!(w.told(), ["Reoffered", "HungUp", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn a_lost_peer_found_by_a_reinvite_is_hung_up() {
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(call(Transport::Udp));
    w.answers(&invite, 200, "b1");
    w.lines();
    w.endpoint.reinvite(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    let ours = w.take_sent().pop().unwrap();
    w.answers(&ours, 481, "");
    assert_eq!(w.lines(), ["ACK", "BYE"]);
    w.passes(s(33));
    assert_eq!(w.told(), ["Answered", "Reanswered", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn any_answer_to_a_probe_is_told_and_silence_is_not() {
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(call(Transport::Udp));
    w.endpoint.probe(w.now, dialog);
    w.drain();
    assert!(w.lines().is_empty(), "nobody answered yet");
    w.answers(&invite, 200, "b1");
    w.lines();
    w.told();
    for status in [200, 405, 481] {
        w.endpoint.probe(w.now, dialog);
        w.drain();
        let options = w.take_sent().remove(0);
        assert_eq!(wire::line(&options), "OPTIONS");
        assert_eq!(options.to().unwrap().tag(), Some("b1"));
        assert_eq!(options.request_uri().unwrap(), "sip:bob@192.0.2.9:5070");
        w.answers(&options, 100, "");
        assert!(w.told().is_empty());
        w.answers(&options, status, "b1");
        w.answers(&options, status, "b1");
        assert_eq!(w.told(), [format!("Probed {status}")]);
    }
    w.endpoint.probe(w.now, dialog);
    w.passes(s(40));
    assert!(w.told().is_empty());
    assert!(w.lines().len() > 5, "it is repeated");
    w.endpoint.probe(w.now, dialog);
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    let sent = w.take_sent();
    w.answers(&sent[1], 200, "b1");
    w.answers(&sent[0], 200, "b1");
    assert_eq!(w.told(), ["Ended"], "who hung up asks no more");
    w.is_empty_at_last();
}
