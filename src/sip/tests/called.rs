//! The endpoint is called: ringing, answering, refusing, and every way to stop halfway.

mod wire;

use sip::{SipEvent, Transport};
use wire::{SDP, Wire, inside, invite, ms, s};

#[test]
fn the_answer_repeats_until_its_ack_and_the_call_ends_by_bye() {
    let mut w = Wire::new();
    let dialog = w.incoming();
    w.endpoint.ring(w.now, dialog, 180, None, &[]);
    w.drain();
    assert_eq!(w.lines(), ["180"]);
    w.endpoint.answer(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    let ok = w.take_sent().remove(0);
    assert_eq!(ok.contact().unwrap().uri.user.as_deref(), Some("200"));
    let tag = ok.to().unwrap().tag().unwrap().to_owned();
    // 0.5, 1.5, 3.5, 7.5, 11.5 s: T1 doubling to T2.
    w.passes(s(12));
    assert_eq!(w.lines(), ["200"; 5]);
    w.hears(&inside("ACK", "z9hG4bKack", 1, &tag), "");
    w.passes(s(60));
    assert!(w.lines().is_empty());
    w.hears(
        &format!(
            "{}\nReason: Q.850;cause=16",
            inside("BYE", "z9hG4bKbye", 2, &tag)
        ),
        "",
    );
    assert_eq!(w.lines(), ["200"]);
    let reason = w.events.iter().find_map(|e| match e {
        SipEvent::HungUp { reason, .. } => reason.clone(),
        _ => None,
    });
    assert_eq!(reason.as_deref(), Some("Q.850;cause=16"));
    assert_eq!(w.told(), ["Confirmed", "HungUp", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn an_answer_nobody_acknowledges_is_hung_up() {
    let mut w = Wire::new();
    w.answered();
    w.passes(s(33));
    let mut lines = w.lines();
    let at = lines
        .iter()
        .position(|l| l == "BYE")
        .expect("RFC 3261 §13.3.1.4");
    assert_eq!(lines.drain(..at).filter(|l| l == "200").count(), 10);
    w.passes(s(40));
    assert_eq!(w.told(), ["Lost", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn repeats_of_the_invite_get_the_last_answer_and_no_second_call() {
    let mut w = Wire::new();
    let dialog = w.incoming();
    w.hears(&invite("z9hG4bKa", 1), SDP);
    assert_eq!(w.lines(), ["100"]);
    w.endpoint
        .ring(w.now, dialog, 183, Some(SDP.as_bytes()), &[]);
    w.drain();
    w.hears(&invite("z9hG4bKa", 1), SDP);
    let sent = w.take_sent();
    assert_eq!(sent[0].bytes(), sent[1].bytes());
    w.endpoint.answer(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    w.lines();
    w.hears(&invite("z9hG4bKa", 1), SDP);
    assert!(w.lines().is_empty(), "RFC 6026 §7.1: absorbed");
    assert!(w.told().is_empty());
}

#[test]
fn ringing_is_repeated_every_minute() {
    let mut w = Wire::new();
    let dialog = w.incoming();
    w.endpoint.ring(w.now, dialog, 180, None, &[]);
    w.drain();
    w.passes(s(121));
    assert_eq!(w.lines(), ["180"; 3]);
    w.endpoint.refuse(
        w.now,
        dialog,
        486,
        &[("Reason", "Q.850;cause=17".to_owned())],
    );
    w.drain();
    w.is_empty_at_last();
}

#[test]
fn a_refusal_repeats_until_its_ack_and_a_bad_header_does_not_stop_it() {
    let mut w = Wire::new();
    let dialog = w.incoming();
    w.endpoint
        .refuse(w.now, dialog, 486, &[("X-Bad", "a\r\nb: c".to_owned())]);
    w.drain();
    let refusal = w.take_sent().remove(0);
    assert_eq!(w.told(), ["Ended"]);
    w.passes(ms(1600));
    assert_eq!(w.lines(), ["486", "486"]);
    let tag = refusal.to().unwrap().tag().unwrap().to_owned();
    w.hears(&inside("ACK", "z9hG4bKa", 1, &tag), "");
    w.passes(s(40));
    assert!(w.lines().is_empty());
    w.is_empty_at_last();
}

#[test]
fn a_cancel_ends_ringing_and_is_too_late_after_the_answer() {
    let mut w = Wire::new();
    let dialog = w.incoming();
    w.endpoint.ring(w.now, dialog, 180, None, &[]);
    w.drain();
    w.lines();
    let cancel = wire::request("CANCEL", "z9hG4bKa", 1, "<sip:200@192.0.2.1>");
    w.hears(&cancel, "");
    let sent = w.take_sent();
    assert_eq!(
        sent.iter().map(wire::line).collect::<Vec<_>>(),
        ["200", "487"]
    );
    assert_eq!(sent[0].to().unwrap().tag(), sent[1].to().unwrap().tag());
    assert_eq!(w.told(), ["Cancelled", "Ended"]);
    w.hears(&cancel, "");
    assert_eq!(w.lines(), ["200"], "a repeated CANCEL is absorbed");
    w.endpoint.answer(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    assert!(w.lines().is_empty(), "a dead id does nothing");
    w.is_empty_at_last();

    let mut w = Wire::new();
    let (_, tag) = w.answered();
    w.hears(&cancel, "");
    assert_eq!(w.lines(), ["200"]);
    assert!(w.told().is_empty());
    w.hears(&inside("ACK", "z9hG4bKk", 1, &tag), "");
    w.hears(&inside("BYE", "z9hG4bKl", 2, &tag), "");
    assert_eq!(w.told(), ["Confirmed", "HungUp", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn a_bye_before_the_ack_ends_the_repeats() {
    let mut w = Wire::new();
    let (_, tag) = w.answered();
    w.hears(&inside("BYE", "z9hG4bKb", 2, &tag), "");
    w.hears(&inside("ACK", "z9hG4bKc", 1, &tag), "");
    w.passes(s(40));
    assert_eq!(w.lines(), ["200"]);
    assert_eq!(w.told(), ["HungUp", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn an_early_bye_is_answered_and_the_invite_with_487() {
    let mut w = Wire::new();
    let dialog = w.incoming();
    w.endpoint.ring(w.now, dialog, 180, None, &[]);
    w.drain();
    let tag = w.take_sent()[0].to().unwrap().tag().unwrap().to_owned();
    w.hears(&inside("BYE", "z9hG4bKb", 2, &tag), "");
    assert_eq!(w.lines(), ["200", "487"]);
    assert_eq!(w.told(), ["HungUp", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn our_bye_waits_for_the_ack() {
    let mut w = Wire::new();
    let (dialog, tag) = w.answered();
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    assert!(w.lines().is_empty(), "RFC 3261 §15");
    w.hears(&inside("ACK", "z9hG4bKc", 1, &tag), "");
    let bye = w.take_sent().remove(0);
    assert_eq!(wire::line(&bye), "BYE");
    w.answers(&bye, 200, "");
    assert_eq!(w.told(), ["Ended"]);
    w.is_empty_at_last();
}

#[test]
fn both_hang_up_at_once() {
    let mut w = Wire::new();
    let (dialog, tag) = w.answered();
    w.hears(&inside("ACK", "z9hG4bKc", 1, &tag), "");
    w.endpoint
        .bye(w.now, dialog, Some("Q.850;cause=16".to_owned()));
    w.drain();
    let bye = w.take_sent().remove(0);
    w.hears(&inside("BYE", "z9hG4bKd", 2, &tag), "");
    assert_eq!(w.lines(), ["200"]);
    w.answers(&bye, 481, "");
    assert_eq!(w.told(), ["Confirmed", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn hanging_up_what_rings_refuses_it() {
    let mut w = Wire::new();
    let dialog = w.incoming();
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    assert_eq!(w.lines(), ["480"]);
    assert_eq!(w.told(), ["Ended"]);
    w.is_empty_at_last();
}

#[test]
fn info_is_told_once_and_options_not_at_all() {
    let mut w = Wire::new();
    let (_, tag) = w.answered();
    w.hears(&inside("ACK", "z9hG4bKc", 1, &tag), "");
    for _ in 0..2 {
        w.hears(&inside("INFO", "z9hG4bKi", 2, &tag), "");
    }
    w.hears(&inside("OPTIONS", "z9hG4bKo", 3, &tag), "");
    assert_eq!(w.lines(), ["200", "200", "200"]);
    assert_eq!(w.told(), ["Confirmed", "Info"]);
    w.hears(&inside("INFO", "z9hG4bKold", 2, &tag), "");
    w.hears(&inside("REFER", "z9hG4bKr", 4, &tag), "");
    w.hears(&inside("FROB", "z9hG4bKs", 5, &tag), "");
    assert_eq!(w.lines(), ["500", "501"]);
    assert_eq!(w.told(), ["Inside"]);
}

#[test]
fn over_a_stream_only_the_2xx_repeats() {
    let mut w = Wire::over(Transport::Tcp);
    let dialog = w.incoming();
    w.endpoint.refuse(w.now, dialog, 603, &[]);
    w.drain();
    w.passes(s(31));
    assert_eq!(w.lines(), ["603"]);
    w.is_empty_at_last();
    let mut w = Wire::over(Transport::Tcp);
    w.answered();
    w.passes(s(2));
    assert_eq!(w.lines(), ["200", "200"]);
}

#[test]
fn a_peer_that_moved_is_found_where_it_is() {
    let mut w = Wire::new();
    let (dialog, tag) = w.answered();
    w.hears(&inside("ACK", "z9hG4bKc", 1, &tag), "");
    let home = w.flow;
    w.flow.remote.set_port(40000);
    w.told();
    w.hears(&inside("INFO", "z9hG4bKi", 2, &tag), "");
    let Some(SipEvent::Strayed { request, flow, .. }) = w.events.pop() else {
        panic!("it may be anybody");
    };
    // Who is turned away has changed nothing: neither where the peer is nor its numbers.
    let challenge = [(
        "WWW-Authenticate",
        "Digest realm=\"pbx\", nonce=\"1\"".to_owned(),
    )];
    w.endpoint
        .turn_away(w.now, &request, flow, (401, &challenge));
    w.drain();
    assert_eq!(w.lines(), ["401"]);
    w.flow = home;
    w.hears(&inside("INFO", "z9hG4bKj", 2, &tag), "");
    assert_eq!(w.lines(), ["200"]);
    w.flow = flow;
    w.hears(&inside("INFO", "z9hG4bKl", 3, &tag), "");
    let Some(SipEvent::Strayed { request, flow, .. }) = w.events.pop() else {
        panic!("it may be anybody");
    };
    w.endpoint.let_in(w.now, dialog, &request, flow);
    w.drain();
    w.hears(&inside("INFO", "z9hG4bKm", 4, &tag), "");
    assert_eq!(w.lines(), ["200", "200"]);
    w.endpoint.bye(w.now, dialog, None);
    w.drain(); // asserts the remote
    let bye = w.take_sent().pop().unwrap();
    assert_eq!(bye.request_uri().unwrap(), "sip:100@192.0.2.9:5060");
}
