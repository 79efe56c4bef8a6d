//! Changes both ways: UPDATE before and after the answer, new identity headers, and what meets on the way.

mod wire;

use sip::{DialogId, HeaderId, Message, Transport};
use wire::{SDP, Wire, call, inside, s};

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
    assert!(w.told().is_empty(), "the switch asked for no offer");
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
    assert_eq!(w.told(), ["Confirmed", "Ended"]);
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
