//! Changes both ways: UPDATE before and after the answer, new identity headers, and what meets on the way.

mod wire;

use sip::{DialogId, HeaderId, Message, SipEvent, Transport};
use wire::{SDP, Wire, call, inside, ms, s};

const UPDATES: &str = "Allow: INVITE, ACK, CANCEL, BYE, UPDATE";

fn pai(who: &str) -> [(&'static str, String); 1] {
    [("P-Asserted-Identity", format!("<sip:{who}@192.0.2.1>"))]
}

fn identity(message: &Message) -> Option<String> {
    let value = message.header(HeaderId::PAssertedIdentity);
    value.map(|value| value.into_owned())
}

fn identify(w: &mut Wire, dialog: DialogId, who: &str) -> Vec<Message> {
    w.endpoint.identify(w.now, dialog, &pai(who));
    w.drain();
    w.take_sent()
}

/// A call of ours that `more` answers with.
fn up(w: &mut Wire, more: &str) -> DialogId {
    let (dialog, invite) = w.calls(call(Transport::Udp));
    w.answers_with(&invite, 200, "b1", more);
    w.take_sent();
    w.told();
    dialog
}

#[test]
fn an_identity_goes_by_update_where_the_peer_takes_it() {
    let mut w = Wire::new();
    let dialog = up(&mut w, UPDATES);
    let update = identify(&mut w, dialog, "300").remove(0);
    assert_eq!(wire::line(&update), "UPDATE");
    assert!(update.body().is_empty());
    assert_eq!(identity(&update).unwrap(), "<sip:300@192.0.2.1>");
    // Two more while it is on its way: the latest wins.
    assert!(identify(&mut w, dialog, "301").is_empty());
    assert!(identify(&mut w, dialog, "302").is_empty());
    w.answers(&update, 200, "");
    let next = w.take_sent();
    assert_eq!(next.len(), 1);
    assert_eq!(identity(&next[0]).unwrap(), "<sip:302@192.0.2.1>");
    w.answers(&next[0], 200, "");
    assert!(w.told().is_empty() && w.lines().is_empty());
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    w.is_empty_at_last();
}

#[test]
fn an_identity_goes_by_reinvite_with_the_same_session_where_not() {
    let mut w = Wire::new();
    let dialog = up(&mut w, "");
    let invite = identify(&mut w, dialog, "300").remove(0);
    assert_eq!(wire::line(&invite), "INVITE");
    assert_eq!(invite.body(), SDP.as_bytes());
    w.answers(&invite, 200, "");
    assert_eq!(w.lines(), ["ACK"]);
    let Some(SipEvent::Refreshed { result, .. }) = w.events.pop() else {
        panic!("RFC 3264 §8: the answer may be another one this time");
    };
    assert_eq!(result.as_deref(), Ok(SDP.as_bytes()));
    // Who refuses UPDATE after all is asked the other way.
    let mut w = Wire::new();
    let dialog = up(&mut w, UPDATES);
    let update = identify(&mut w, dialog, "300").remove(0);
    w.answers(&update, 405, "");
    let invite = w.take_sent().remove(0);
    assert_eq!(wire::line(&invite), "INVITE");
    assert_eq!(identity(&invite).unwrap(), "<sip:300@192.0.2.1>");
    w.answers(&invite, 488, "");
    assert_eq!(w.lines(), ["ACK"]);
    assert!(w.told().is_empty(), "the call goes on");
}

#[test]
fn a_peer_that_knows_the_dialog_no_more_is_told_as_gone() {
    for (allow, status) in [(UPDATES, 481), (UPDATES, 408), ("", 481), ("", 408)] {
        let mut w = Wire::new();
        let dialog = up(&mut w, allow);
        let change = identify(&mut w, dialog, "300").remove(0);
        w.answers(&change, status, "");
        assert_eq!(w.lines().pop().as_deref(), Some("BYE"));
        let Some(SipEvent::Refreshed { result, .. }) = w.events.pop() else {
            panic!("nobody is told that the leg is over");
        };
        assert_eq!(result, Err(status));
        w.passes(s(33));
        assert_eq!(w.told(), ["Ended"]);
        w.is_empty_at_last();
    }
}

#[test]
fn an_identity_waits_for_an_offer_and_an_offer_for_an_identity() {
    let mut w = Wire::new();
    let dialog = up(&mut w, UPDATES);
    w.endpoint.reinvite(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    let offer = w.take_sent().remove(0);
    assert!(identify(&mut w, dialog, "300").is_empty());
    w.answers(&offer, 200, "");
    let sent = w.take_sent();
    assert_eq!(
        sent.iter().map(wire::line).collect::<Vec<_>>(),
        ["ACK", "UPDATE"]
    );
    assert_eq!(w.told(), ["Reanswered"]);
    w.endpoint
        .reinvite(w.now, dialog, SDP.as_bytes(), &pai("301"));
    w.endpoint.reinvite(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    assert!(w.lines().is_empty());
    assert_eq!(w.told(), ["Reanswered"], "one offer at a time: 491");
    w.answers(&sent[1], 200, "");
    let next = w.take_sent().remove(0);
    assert_eq!(wire::line(&next), "INVITE");
    assert_eq!(identity(&next).unwrap(), "<sip:301@192.0.2.1>");
    w.answers(&next, 200, "");
    assert_eq!(w.told(), ["Reanswered"]);
}

#[test]
fn an_identity_before_the_answer_goes_with_the_next_response() {
    let mut w = Wire::new();
    let dialog = w.incoming();
    assert!(identify(&mut w, dialog, "300").is_empty());
    w.endpoint.ring(w.now, dialog, 180, None, &[]);
    w.drain();
    let ringing = w.take_sent().remove(0);
    assert_eq!(identity(&ringing).unwrap(), "<sip:300@192.0.2.1>");
    identify(&mut w, dialog, "301");
    w.endpoint
        .answer(w.now, dialog, SDP.as_bytes(), &pai("302"));
    w.drain();
    let ok = w.take_sent().remove(0);
    assert_eq!(identity(&ok).unwrap(), "<sip:302@192.0.2.1>");
    assert_eq!(ok.raw(HeaderId::PAssertedIdentity).count(), 1);
    let tag = ok.to().unwrap().tag().unwrap().to_owned();
    // One that comes between the 2xx and its ACK goes as soon as that is there.
    assert!(identify(&mut w, dialog, "303").is_empty());
    w.hears(&inside("ACK", "z9hG4bKk", 1, &tag), "");
    let sent = w.take_sent().remove(0);
    assert_eq!(identity(&sent).unwrap(), "<sip:303@192.0.2.1>");
    w.passes(s(33));
    assert_eq!(
        w.lines().pop().as_deref(),
        Some("BYE"),
        "RFC 3261 §12.2.1.2"
    );
    w.passes(s(33));
    assert_eq!(w.told(), ["Confirmed", "Refreshed", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn an_identity_of_a_call_of_ours_goes_when_it_is_answered() {
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(call(Transport::Udp));
    w.answers(&invite, 180, "b1");
    assert!(identify(&mut w, dialog, "300").is_empty());
    w.answers_with(&invite, 200, "b1", UPDATES);
    assert_eq!(w.lines(), ["ACK", "UPDATE"]);
    assert_eq!(w.told(), ["Ringing", "Answered"]);
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    w.is_empty_at_last();
}

#[test]
fn an_update_without_an_offer_is_no_glare() {
    let mut w = Wire::new();
    let (dialog, tag) = w.answered();
    w.hears(&inside("ACK", "z9hG4bKk", 1, &tag), "");
    w.told();
    let about = format!("{}\n{UPDATES}", inside("UPDATE", "z9hG4bKu", 2, &tag));
    w.hears(&about, "");
    assert_eq!(w.lines(), ["200"]);
    let ours = identify(&mut w, dialog, "300").remove(0);
    assert_eq!(wire::line(&ours), "UPDATE", "its Allow said so");
    w.hears(&inside("INVITE", "z9hG4bKi", 3, &tag), SDP);
    assert_eq!(w.lines(), ["100"]);
    assert_eq!(w.told(), ["Reoffered"]);
    w.endpoint.accept_reoffer(w.now, dialog, SDP.as_bytes());
    w.answers(&ours, 200, "");
    w.hears(&inside("ACK", "z9hG4bKj", 3, &tag), "");
    assert_eq!(w.lines(), ["200"]);
    // The peer asks to wait: it does what it does, and ours comes again.
    let ours = identify(&mut w, dialog, "301").remove(0);
    w.answers_with(&ours, 500, "", "Retry-After: 3");
    w.passes(s(2));
    assert!(w.lines().is_empty());
    w.passes(s(2));
    assert_eq!(w.lines()[0], "UPDATE");
    assert!(w.told().is_empty());
}

const RELIABLE: &str = "Require: 100rel\nRSeq: 1\nAllow: PRACK, UPDATE";

/// A request of the fork of `tag` in the early dialog that `invite` made.
fn from_fork(invite: &Message, method: &str, tag: &str, cseq: u32) -> String {
    format!(
        "{method} sip:us@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{tag}{cseq}{method}\nMax-Forwards: 70\n\
         From: <sip:bob@192.0.2.9>;tag={tag}\nTo: {}\nCall-ID: {}\nCSeq: {cseq} {method}\nContact: <sip:{tag}@192.0.2.77>",
        invite.header(HeaderId::From).expect("we write it"),
        invite.call_id().expect("we write it")
    )
}

/// The fork of `tag` rings reliably, with SDP or without; it gets its PRACK.
fn rings(w: &mut Wire, invite: &Message, tag: &str, body: &str) {
    let text = format!(
        "SIP/2.0 183 X\nVia: {}\nFrom: {}\nTo: {};tag={tag}\nCall-ID: {}\nCSeq: 1 INVITE\nContact: <sip:{tag}@192.0.2.9>\n{RELIABLE}",
        invite.header(HeaderId::Via).expect("we write it"),
        invite.header(HeaderId::From).expect("we write it"),
        invite.header(HeaderId::To).expect("we write it"),
        invite.call_id().expect("we write it"),
    );
    w.hears(&text, body);
    let prack = w.take_sent().pop().expect("PRACK");
    assert_eq!(wire::line(&prack), "PRACK");
    w.answers(&prack, 200, "");
}

fn accept(w: &mut Wire, dialog: DialogId) -> Vec<String> {
    w.endpoint.accept_reoffer(w.now, dialog, SDP.as_bytes());
    w.drain();
    w.lines()
}

#[test]
fn each_fork_may_change_its_session_once_it_has_one() {
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(call(Transport::Udp));
    rings(&mut w, &invite, "b1", SDP);
    rings(&mut w, &invite, "b2", "");
    w.told();
    w.hears(&from_fork(&invite, "UPDATE", "b2", 1), SDP);
    assert_eq!(w.lines(), ["491"], "RFC 3311 §5.2: our offer is open there");
    w.hears(&from_fork(&invite, "UPDATE", "b1", 7), SDP);
    assert_eq!(w.told(), ["Reoffered"]);
    w.hears(&from_fork(&invite, "UPDATE", "b1", 8), SDP);
    assert_eq!(w.lines(), ["500"], "theirs is open");
    assert_eq!(accept(&mut w, dialog), ["200"]);
    // The numbers of one are not those of the other.
    w.hears(&from_fork(&invite, "UPDATE", "b2", 2), "");
    w.hears(&from_fork(&invite, "UPDATE", "b1", 3), "");
    assert_eq!(w.lines(), ["200", "500"]);
    // Our offer goes to the one that has a session, where it said it is.
    w.endpoint.reinvite(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    let update = w.take_sent().remove(0);
    assert_eq!(wire::line(&update), "UPDATE");
    assert_eq!(update.request_uri().unwrap(), "sip:b1@192.0.2.77");
    assert_eq!(update.cseq().unwrap().0, 3, "INVITE, PRACK, this");
    w.hears(&from_fork(&invite, "UPDATE", "b1", 9), SDP);
    assert_eq!(w.lines(), ["491"], "glare");
    w.answers(&update, 491, "");
    w.passes(s(5));
    let again = w.take_sent().remove(0);
    assert_eq!(wire::line(&again), "UPDATE");
    w.answers(&again, 200, "");
    assert_eq!(w.told(), ["Reanswered"]);
    w.answers(&invite, 200, "b1");
    let ack = w.take_sent().remove(0);
    assert_eq!(ack.cseq().unwrap().0, 1);
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    assert_eq!(w.take_sent()[0].cseq().unwrap().0, 5);
    w.is_empty_at_last();
}

#[test]
fn what_went_to_a_fork_that_lost_is_void() {
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(call(Transport::Udp));
    rings(&mut w, &invite, "b1", SDP);
    w.endpoint
        .reinvite(w.now, dialog, SDP.as_bytes(), &pai("300"));
    w.drain();
    assert_eq!(w.lines(), ["UPDATE"]);
    w.answers_with(&invite, 200, "b2", UPDATES);
    let sent = w.take_sent();
    assert_eq!(
        sent.iter().map(wire::line).collect::<Vec<_>>(),
        ["ACK", "UPDATE"]
    );
    assert_eq!(sent[1].to().unwrap().tag(), Some("b2"));
    assert_eq!(identity(&sent[1]).unwrap(), "<sip:300@192.0.2.1>");
    assert!(sent[1].body().is_empty());
    assert_eq!(w.told(), ["Ringing", "Reanswered", "Answered"]);
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    w.is_empty_at_last();
}

#[test]
fn an_update_on_its_way_survives_the_answer_of_its_fork() {
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(call(Transport::Udp));
    rings(&mut w, &invite, "b1", SDP);
    w.endpoint.reinvite(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    let update = w.take_sent().remove(0);
    w.answers(&invite, 200, "b1");
    w.hears(&from_fork(&invite, "INVITE", "b1", 2), SDP);
    assert_eq!(w.lines(), ["ACK", "491"], "our offer is still open");
    w.answers(&update, 200, "");
    assert_eq!(w.told(), ["Ringing", "Answered", "Reanswered"]);
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    w.is_empty_at_last();
}

#[test]
fn before_the_answer_an_offer_needs_a_session() {
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(call(Transport::Udp));
    w.answers(&invite, 180, "b1");
    w.endpoint.reinvite(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    assert!(w.lines().is_empty());
    assert_eq!(w.told(), ["Ringing", "Reanswered"]);
    let mut w = Wire::new();
    let dialog = w.incoming();
    w.endpoint
        .ring(w.now, dialog, 183, Some(SDP.as_bytes()), &[]);
    w.endpoint.reinvite(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    let ringing = w.take_sent();
    assert_eq!(ringing.len(), 1);
    assert_eq!(w.told(), ["Reanswered"]);
    let tag = ringing[0].to().unwrap().tag().unwrap().to_owned();
    w.hears(&inside("UPDATE", "z9hG4bKu", 2, &tag), SDP);
    assert_eq!(w.lines(), ["500"], "their own offer is open");
    w.hears(&inside("INVITE", "z9hG4bKi", 3, &tag), SDP);
    assert_eq!(w.lines(), ["500"], "RFC 3261 §14.2");
    w.hears(&inside("UPDATE", "z9hG4bKv", 4, &tag), "");
    assert_eq!(w.lines(), ["200"]);
}

/// A caller that takes reliable responses and UPDATE has early media; its PRACK came.
fn early(w: &mut Wire) -> (DialogId, String) {
    let more = "Supported: 100rel\nAllow: INVITE, PRACK, UPDATE";
    w.hears(&format!("{}\n{more}", wire::invite("z9hG4bKa", 1)), SDP);
    let Some(sip::SipEvent::Incoming { dialog, .. }) = w.events.pop() else {
        panic!("told");
    };
    w.lines();
    w.endpoint
        .ring(w.now, dialog, 183, Some(SDP.as_bytes()), &[]);
    w.drain();
    let ringing = w.take_sent().remove(0);
    let tag = ringing.to().and_then(|to| to.tag().map(str::to_owned));
    let tag = tag.expect("a tag");
    let rseq = ringing
        .header(HeaderId::RSeq)
        .expect("reliable")
        .into_owned();
    let prack = format!(
        "{}\nRAck: {rseq} 1 INVITE",
        inside("PRACK", "z9hG4bKp", 2, &tag)
    );
    w.hears(&prack, "");
    assert_eq!(w.lines(), ["200"]);
    (dialog, tag)
}

#[test]
fn a_caller_with_early_media_is_updated_before_the_answer() {
    let mut w = Wire::new();
    let (dialog, tag) = early(&mut w);
    let update = identify(&mut w, dialog, "300").remove(0);
    assert_eq!(wire::line(&update), "UPDATE");
    w.answers(&update, 200, "");
    w.endpoint.reinvite(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    let offer = w.take_sent().remove(0);
    assert_eq!(wire::line(&offer), "UPDATE");
    assert_eq!(offer.body(), SDP.as_bytes());
    w.hears(&inside("UPDATE", "z9hG4bKu", 3, &tag), SDP);
    assert_eq!(w.lines(), ["491"], "ours is open");
    // The answer to the call waits for the one to our offer.
    w.endpoint.answer(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    assert!(w.lines().is_empty());
    w.answers(&offer, 200, "");
    let ok = w.take_sent().remove(0);
    assert_eq!(ok.cseq().unwrap().1.as_str(), "INVITE");
    assert_eq!(w.told(), ["Reanswered"]);
    w.hears(&inside("ACK", "z9hG4bKk", 1, &tag), "");
    assert_eq!(w.told(), ["Confirmed"]);

    // What the caller refuses before the answer goes with it, but for what is newer.
    let mut w = Wire::new();
    let (dialog, _) = early(&mut w);
    let both = [
        ("P-Asserted-Identity", "<sip:300@x>".to_owned()),
        ("X-Floor", "3".to_owned()),
    ];
    w.endpoint.identify(w.now, dialog, &both);
    w.drain();
    let update = w.take_sent().remove(0);
    assert!(identify(&mut w, dialog, "301").is_empty());
    w.answers(&update, 405, "");
    w.endpoint.answer(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    let ok = w.take_sent().remove(0);
    assert_eq!(identity(&ok).unwrap(), "<sip:301@192.0.2.1>");
    assert_eq!(ok.header_named("X-Floor").as_deref(), Some("3"));

    let mut w = Wire::new();
    let (dialog, tag) = early(&mut w);
    w.hears(&inside("UPDATE", "z9hG4bKu", 3, &tag), SDP);
    assert_eq!(w.told(), ["Reoffered"]);
    assert_eq!(accept(&mut w, dialog), ["200"]);
    // A caller whose UPDATE comes to nothing is not hung up before the answer.
    identify(&mut w, dialog, "300");
    w.passes(s(33));
    assert!(w.told().is_empty());
    w.endpoint.refuse(w.now, dialog, 486, &[]);
    w.drain();
    w.is_empty_at_last();
}

#[test]
fn update_and_reinvite_meet_from_both_sides() {
    let up = |w: &mut Wire| {
        let (dialog, tag) = w.answered();
        w.hears(&inside("ACK", "z9hG4bKk", 1, &tag), "");
        w.told();
        (dialog, tag)
    };
    // Our re-INVITE and their UPDATE with an offer.
    let mut w = Wire::new();
    let (dialog, tag) = up(&mut w);
    w.endpoint.reinvite(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    let ours = w.take_sent().remove(0);
    w.hears(&inside("UPDATE", "z9hG4bKu", 2, &tag), SDP);
    assert_eq!(w.lines(), ["491"]);
    w.hears(&inside("UPDATE", "z9hG4bKv", 3, &tag), "");
    assert_eq!(w.lines(), ["200"], "one without an offer passes");
    w.answers(&ours, 491, "");
    assert_eq!(w.lines(), ["ACK"]);
    // Who was called waits two seconds at most.
    w.passes(ms(2_100));
    assert_eq!(w.lines()[0], "INVITE");
    // Their re-INVITE, unanswered, and another change of theirs; then a BYE through it all.
    let mut w = Wire::new();
    let (dialog, tag) = up(&mut w);
    w.hears(&inside("INVITE", "z9hG4bKi", 2, &tag), SDP);
    w.hears(&inside("UPDATE", "z9hG4bKu", 3, &tag), SDP);
    assert_eq!(w.lines(), ["100", "500"]);
    w.endpoint.reinvite(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    assert!(w.lines().is_empty(), "ours waits");
    w.hears(&inside("BYE", "z9hG4bKb", 4, &tag), "");
    assert_eq!(w.lines(), ["200", "487"]);
    assert_eq!(w.told(), ["Reoffered", "HungUp", "Ended"]);
    w.is_empty_at_last();
}
