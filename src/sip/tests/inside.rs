//! What only passes through a dialog: the peer's REFER and its kin, requests of ours, and what dialogs are called.

mod wire;

use sip::{Ask, DialogId, DialogNames, HeaderId, Login, SipEvent, TransactionId, Transport};
use wire::{SDP, Wire, call, inside, s};

fn notify() -> Ask {
    Ask {
        method: "NOTIFY".to_owned(),
        headers: vec![("Event".to_owned(), "refer".to_owned())],
        body: Some(("message/sipfrag".to_owned(), b"SIP/2.0 100 Trying".to_vec())),
    }
}

fn came_inside(w: &mut Wire) -> (DialogId, TransactionId) {
    match w.events.pop() {
        Some(SipEvent::Inside {
            dialog,
            transaction,
            ..
        }) => (dialog, transaction),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refer_is_told_once_and_answered_as_the_dialog() {
    let mut w = Wire::new();
    let (dialog, tag) = w.answered();
    w.hears(&inside("ACK", "z9hG4bKk", 1, &tag), "");
    w.told();
    let refer = format!(
        "{}\nRefer-To: <sip:300@192.0.2.1>",
        inside("REFER", "z9hG4bKr", 2, &tag)
    );
    w.hears(&refer, "");
    w.hears(&refer, "");
    let (told, transaction) = came_inside(&mut w);
    assert_eq!(told, dialog);
    assert!(w.events.is_empty() && w.lines().is_empty());
    let no = [("Refer-Sub", "false".to_owned())];
    w.endpoint.respond(w.now, transaction, 202, &no);
    w.endpoint.respond(w.now, transaction, 500, &[]);
    w.drain();
    let accepted = w.take_sent();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].status(), Some(202));
    assert_eq!(accepted[0].to().unwrap().tag(), Some(tag.as_str()));
    assert!(accepted[0].contact().is_some());
    assert_eq!(accepted[0].header(HeaderId::ReferSub).unwrap(), "false");
    w.hears(&refer, "");
    assert_eq!(w.lines(), ["202"], "a repeat gets the same answer");
    // RFC 3261 §15.1.2: one whose dialog ends before somebody answers is answered all the same.
    w.hears(&inside("MESSAGE", "z9hG4bKm", 3, &tag), "");
    let (_, transaction) = came_inside(&mut w);
    w.hears(&inside("BYE", "z9hG4bKb", 4, &tag), "");
    let mut answers = w.lines();
    answers.sort();
    assert_eq!(answers, ["200", "487"]);
    w.endpoint.respond(w.now, transaction, 200, &[]);
    w.drain();
    assert!(w.lines().is_empty());
    w.is_empty_at_last();
}

#[test]
fn who_hangs_up_leaves_no_question_open_and_asks_only_so_much() {
    let mut w = Wire::new();
    let (dialog, tag) = w.answered();
    w.hears(&inside("ACK", "z9hG4bKk", 1, &tag), "");
    for n in 0..17 {
        let branch = format!("z9hG4bKm{n}");
        w.hears(&inside("MESSAGE", &branch, 2 + n, &tag), "");
    }
    assert_eq!(w.lines(), ["503"]);
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    let mut sent = w.lines();
    assert_eq!(sent.pop().as_deref(), Some("BYE"));
    assert_eq!(sent, vec!["487"; 16]);
    w.told();
    w.is_empty_at_last();
}

#[test]
fn what_we_ask_is_told_once_whatever_comes_of_it() {
    let mut w = Wire::new();
    let (dialog, tag) = w.answered();
    w.hears(&inside("ACK", "z9hG4bKk", 1, &tag), "");
    w.told();
    let id = w.endpoint.ask(w.now, dialog, notify()).expect("it stands");
    w.drain();
    let sent = w.take_sent().pop().unwrap();
    assert_eq!(wire::line(&sent), "NOTIFY");
    assert_eq!(sent.body(), b"SIP/2.0 100 Trying");
    assert_eq!(sent.to().unwrap().tag(), Some("far"));
    w.answers(&sent, 100, "");
    assert!(w.told().is_empty());
    w.answers(&sent, 202, "");
    w.answers(&sent, 202, "");
    let Some(SipEvent::Told {
        transaction,
        status: 202,
        ..
    }) = w.events.pop()
    else {
        panic!("told");
    };
    assert_eq!(transaction, id);
    assert!(w.events.is_empty());
    // Silence is 408; the dialog is for the switch to end.
    w.endpoint.ask(w.now, dialog, notify());
    w.passes(s(33));
    let silent = matches!(w.events.pop(), Some(SipEvent::Told { status: 408, .. }));
    assert!(silent && w.events.is_empty());
    // Hanging up forgets what is still asked.
    w.lines();
    w.endpoint.ask(w.now, dialog, notify());
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    let sent = w.take_sent();
    w.answers(&sent[0], 200, "");
    w.answers(&sent[1], 200, "");
    assert_eq!(w.told(), ["Ended"]);
    w.is_empty_at_last();
}

#[test]
fn a_challenged_request_keeps_its_id() {
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(sip::Invite {
        credentials: Some(Login {
            username: "u".to_owned(),
            password: "p".to_owned(),
        }),
        ..call(Transport::Udp)
    });
    assert!(w.endpoint.ask(w.now, dialog, notify()).is_none());
    w.answers(&invite, 200, "b1");
    w.take_sent();
    w.told();
    let id = w.endpoint.ask(w.now, dialog, notify()).expect("it stands");
    w.drain();
    let first = w.take_sent().pop().unwrap();
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth\"";
    w.answers_with(&first, 401, "", challenge);
    let second = w.take_sent().pop().unwrap();
    assert!(second.header(HeaderId::Authorization).is_some());
    assert!(second.cseq().unwrap().0 > first.cseq().unwrap().0);
    w.answers_with(&second, 401, "", challenge);
    let told = matches!(w.events[..], [SipEvent::Told { transaction, status: 401, .. }] if transaction == id);
    assert!(told, "{:?}", w.events);
}

#[test]
fn one_dialog_asks_so_much_at_once_and_no_more() {
    let mut w = Wire::new();
    let (dialog, tag) = w.answered();
    w.hears(&inside("ACK", "z9hG4bKk", 1, &tag), "");
    let asked = (0..40).filter(|_| w.endpoint.ask(w.now, dialog, notify()).is_some());
    assert_eq!(asked.count(), 16);
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    w.is_empty_at_last();
}

#[test]
fn dialogs_are_found_by_their_names() {
    let mut w = Wire::new();
    let dialog = w.incoming();
    w.endpoint
        .ring(w.now, dialog, 180, None, &[("X-Who", "us".to_owned())]);
    w.drain();
    let ringing = w.take_sent().pop().unwrap();
    assert_eq!(ringing.header_named("X-Who").as_deref(), Some("us"));
    let tag = ringing.to().unwrap().tag().unwrap().to_owned();
    let named = |w: &Wire| w.endpoint.dialog_named("call-1@far", &tag, "far");
    assert_eq!(named(&w), Some(dialog), "an early one");
    assert_eq!(w.endpoint.dialog_named("call-1@far", "far", &tag), None);
    let names = DialogNames {
        call_id: "call-1@far".to_owned(),
        local_tag: tag.clone(),
        remote_tag: Some("far".to_owned()),
        we_called: false,
        remote_target: "sip:100@192.0.2.9:5060".to_owned(),
    };
    assert_eq!(w.endpoint.names(dialog), Some(names));
    let bad = [("X-Bad", "a\r\nb: c".to_owned())];
    w.endpoint.answer(w.now, dialog, SDP.as_bytes(), &bad);
    w.drain();
    assert_eq!(w.lines(), ["200"], "a bad header does not stop the answer");
    w.hears(&inside("BYE", "z9hG4bKb", 2, &tag), "");
    assert_eq!(named(&w), None);
    assert_eq!(w.endpoint.names(dialog), None);

    let (dialog, invite) = w.calls(call(Transport::Udp));
    assert_eq!(w.endpoint.names(dialog).unwrap().remote_tag, None);
    w.answers(&invite, 200, "b1");
    let names = w.endpoint.names(dialog).unwrap();
    assert_eq!(names.remote_tag.as_deref(), Some("b1"));
    assert!(names.we_called);
    let found = w
        .endpoint
        .dialog_named(&names.call_id, &names.local_tag, "b1");
    assert_eq!(found, Some(dialog));
}

#[test]
fn early_dialogs_have_names_and_are_asked_where_they_are() {
    let mut w = Wire::new();
    let dialog = w.incoming();
    assert!(w.endpoint.ask(w.now, dialog, notify()).is_some());
    w.endpoint.refuse(w.now, dialog, 486, &[]);
    w.drain();
    w.take_sent();
    w.told();
    let (dialog, invite) = w.calls(call(Transport::Udp));
    let rel = "Require: 100rel\nRSeq: 1\nRecord-Route: <sip:edge.example;lr>";
    w.answers_with(&invite, 180, "b1", rel);
    w.answers(&invite, 180, "b2");
    let pracks = w.take_sent();
    assert_eq!(pracks.len(), 1);
    let names = w.endpoint.names(dialog).expect("it is live");
    assert_eq!(names.remote_tag.as_deref(), Some("b2"), "heard last");
    for tag in ["b1", "b2"] {
        let found = w
            .endpoint
            .dialog_named(&names.call_id, &names.local_tag, tag);
        assert_eq!(found, Some(dialog), "{tag}");
    }
    // Only the one that rang reliably is sure to be there.
    let id = w
        .endpoint
        .ask(w.now, dialog, notify())
        .expect("it is known");
    w.drain();
    let asked = w.take_sent().remove(0);
    assert_eq!(asked.to().unwrap().tag(), Some("b1"));
    assert_eq!(
        asked.header(HeaderId::Route).unwrap(),
        "<sip:edge.example;lr>"
    );
    assert_eq!(asked.cseq().unwrap().0, 3, "INVITE, PRACK, this");
    w.told();
    // Another one answers: nobody waits for this one any more.
    w.answers(&invite, 200, "b2");
    let told = matches!(w.events.remove(0), SipEvent::Told { transaction, status: 481, .. } if transaction == id);
    assert!(told);
    w.answers(&asked, 200, "");
    assert_eq!(w.told(), ["Answered"]);
    let gone = w
        .endpoint
        .dialog_named(&names.call_id, &names.local_tag, "b1");
    assert_eq!(gone, None);
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    w.is_empty_at_last();
}
