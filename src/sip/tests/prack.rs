//! Reliable provisional responses, given and taken: RFC 3262.

mod wire;

use sip::{Config, HeaderId, Invite, Login, Message, Reliable, SipEvent, Transport};
use wire::{SDP, Wire, call, inside, invite, ms, s};

const RELIABLE: &str = "Supported: 100rel\nAllow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE";

/// A caller that takes reliable responses, with an offer or without.
fn rung(w: &mut Wire, more: &str, body: &str) -> sip::DialogId {
    w.hears(&format!("{}\n{more}", invite("z9hG4bKa", 1)), body);
    let incoming = w.events.drain(..).find_map(|e| match e {
        SipEvent::Incoming { dialog, .. } => Some(dialog),
        _ => None,
    });
    assert_eq!(w.lines(), ["100"]);
    incoming.expect("the INVITE is told")
}

fn ring(w: &mut Wire, dialog: sip::DialogId, status: u16, sdp: Option<&[u8]>) -> Vec<Message> {
    w.endpoint.ring(w.now, dialog, status, sdp, &[]);
    w.drain();
    w.take_sent()
}

fn tag(message: &Message) -> String {
    let to = message.to().expect("a To");
    to.tag().expect("a tag").to_owned()
}

fn rseq(message: &Message) -> u32 {
    assert_eq!(message.header(HeaderId::Require).as_deref(), Some("100rel"));
    let rseq = message.header(HeaderId::RSeq).expect("it is numbered");
    rseq.parse().expect("by a number")
}

/// The caller's PRACK of `ringing`.
fn prack(cseq: u32, ringing: &Message) -> String {
    let (rseq, tag) = (rseq(ringing), tag(ringing));
    let text = inside("PRACK", &format!("z9hG4bKp{cseq}"), cseq, &tag);
    format!("{text}\nRAck: {rseq} 1 INVITE")
}

#[test]
fn ringing_repeats_until_its_prack_and_the_next_waits() {
    let mut w = Wire::new();
    let dialog = rung(&mut w, RELIABLE, SDP);
    let first = ring(&mut w, dialog, 180, None).remove(0);
    assert!(ring(&mut w, dialog, 183, Some(SDP.as_bytes())).is_empty());
    // 0.5, 1.5, 3.5, 7.5 s: T1 doubling.
    w.passes(s(8));
    let again = w.take_sent();
    assert_eq!(again.len(), 4);
    assert!(again.iter().all(|m| m.bytes() == first.bytes()));
    w.hears(&prack(2, &first), "");
    let sent = w.take_sent();
    assert_eq!(
        sent.iter().map(wire::line).collect::<Vec<_>>(),
        ["200", "183"]
    );
    assert_eq!(rseq(&sent[1]), rseq(&first) + 1);
    w.hears(&prack(2, &first), "");
    assert_eq!(w.lines(), ["200"], "a repeated PRACK gets its answer again");
    let stray = prack(3, &first).replace("z9hG4bKp3", "z9hG4bKstray");
    w.hears(&stray, "");
    assert_eq!(w.lines(), ["481"], "it was acknowledged already");
    w.hears(&prack(4, &sent[1]), "");
    assert_eq!(w.lines(), ["200"]);
    assert!(ring(&mut w, dialog, 183, None).is_empty(), "known and sure");
    w.passes(s(30));
    assert!(w.lines().is_empty());
    w.endpoint.answer(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    let ok = w.take_sent().remove(0);
    assert!(ok.body().is_empty(), "the 183 had the answer");
    w.hears(&inside("ACK", "z9hG4bKk", 1, &tag(&ok)), "");
    w.hears(&inside("BYE", "z9hG4bKb", 5, &tag(&ok)), "");
    assert_eq!(w.told(), ["Confirmed", "HungUp", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn who_never_acknowledges_ringing_is_refused() {
    let mut w = Wire::over(Transport::Tcp);
    let dialog = rung(&mut w, RELIABLE, SDP);
    ring(&mut w, dialog, 180, None);
    w.passes(ms(31_900));
    assert_eq!(w.lines(), ["180"; 6], "over a stream as well");
    w.passes(ms(200));
    assert_eq!(w.lines(), ["504"]);
    assert_eq!(w.told(), ["Lost", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn the_answer_waits_for_the_prack_of_what_had_sdp_and_for_no_other() {
    let mut w = Wire::new();
    let dialog = rung(&mut w, RELIABLE, SDP);
    let early = ring(&mut w, dialog, 183, Some(SDP.as_bytes())).remove(0);
    let who = [("P-Asserted-Identity", "<sip:300@x>".to_owned())];
    w.endpoint.answer(w.now, dialog, SDP.as_bytes(), &who);
    w.drain();
    assert!(w.lines().is_empty(), "RFC 3262 §5");
    assert!(ring(&mut w, dialog, 180, None).is_empty());
    w.hears(&prack(2, &early), "");
    let sent = w.take_sent();
    assert_eq!(
        sent.iter().map(wire::line).collect::<Vec<_>>(),
        ["200", "200"]
    );
    assert_eq!(sent[1].cseq().unwrap().1.as_str(), "INVITE");
    assert!(sent[1].header(HeaderId::PAssertedIdentity).is_some());
    w.hears(&inside("ACK", "z9hG4bKk", 1, &tag(&early)), "");
    assert_eq!(w.told(), ["Confirmed"]);

    let mut w = Wire::new();
    let dialog = rung(&mut w, RELIABLE, SDP);
    let ringing = ring(&mut w, dialog, 180, None).remove(0);
    w.endpoint.answer(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    let ok = w.take_sent().remove(0);
    assert_eq!(ok.body(), SDP.as_bytes());
    // RFC 3262 §3: the ringing stops, and its PRACK is known all the same.
    w.hears(&prack(2, &ringing), "");
    w.passes(ms(1_600));
    assert_eq!(
        w.lines(),
        ["200", "200", "200"],
        "PRACK, and repeats of the 2xx"
    );
    w.hears(&inside("ACK", "z9hG4bKk", 1, &tag(&ok)), "");
    w.passes(s(40));
    assert!(w.lines().is_empty());
    assert_eq!(w.told(), ["Confirmed"]);
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    w.is_empty_at_last();
}

#[test]
fn an_answer_that_waits_can_be_cancelled_and_hung_up() {
    for how in ["CANCEL", "BYE", "ours", "silence"] {
        let mut w = Wire::new();
        let dialog = rung(&mut w, RELIABLE, SDP);
        let early = ring(&mut w, dialog, 183, Some(SDP.as_bytes())).remove(0);
        w.endpoint.answer(w.now, dialog, SDP.as_bytes(), &[]);
        let (lines, told) = match how {
            "CANCEL" => {
                w.hears(
                    &wire::request("CANCEL", "z9hG4bKa", 1, "<sip:200@192.0.2.1>"),
                    "",
                );
                (vec!["200", "487"], vec!["Cancelled", "Ended"])
            }
            "BYE" => {
                w.hears(&inside("BYE", "z9hG4bKb", 2, &tag(&early)), "");
                (vec!["200", "487"], vec!["HungUp", "Ended"])
            }
            "ours" => {
                w.endpoint.bye(w.now, dialog, None);
                w.drain();
                (vec!["480"], vec!["Ended"])
            }
            _ => {
                w.passes(ms(31_990));
                w.lines();
                w.passes(ms(20));
                (vec!["504"], vec!["Lost", "Ended"])
            }
        };
        assert_eq!(w.lines(), lines, "{how}");
        assert_eq!(w.told(), told, "{how}");
        w.hears(&prack(3, &early), "");
        assert_eq!(w.lines(), ["481"], "{how}");
        w.is_empty_at_last();
    }
}

#[test]
fn a_late_offer_is_made_reliably_and_answered_in_prack() {
    let mut w = Wire::new();
    let dialog = rung(&mut w, RELIABLE, "");
    let plain = ring(&mut w, dialog, 180, None).remove(0);
    assert!(
        plain.header(HeaderId::RSeq).is_none(),
        "RFC 3262 §5: it offers nothing"
    );
    let offer = ring(&mut w, dialog, 183, Some(SDP.as_bytes())).remove(0);
    assert_eq!(offer.body(), SDP.as_bytes());
    let early = |method: &str, cseq| inside(method, &format!("z9hG4bKu{cseq}"), cseq, &tag(&offer));
    w.hears(&early("UPDATE", 2), SDP);
    assert_eq!(w.lines(), ["491"], "RFC 3311 §5.2: our offer is open");
    w.hears(&prack(3, &offer), SDP);
    assert_eq!(w.lines(), ["200"]);
    let Some(SipEvent::Pracked { sdp: Some(sdp), .. }) = w.events.pop() else {
        panic!("told");
    };
    assert_eq!(sdp, SDP.as_bytes());
    w.hears(&early("UPDATE", 4), SDP);
    assert_eq!(w.told(), ["Reoffered"]);
    w.endpoint.answer(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    assert!(w.lines().is_empty(), "their offer is open");
    w.endpoint.accept_reoffer(w.now, dialog, SDP.as_bytes());
    w.drain();
    let sent = w.take_sent();
    assert_eq!(
        sent.iter().map(wire::line).collect::<Vec<_>>(),
        ["200", "200"]
    );
    assert!(sent[1].body().is_empty());
    // Without reliable responses the 2xx has the offer and the ACK the answer.
    let mut w = Wire::new();
    let dialog = rung(&mut w, "", "");
    let plain = ring(&mut w, dialog, 180, None).remove(0);
    assert!(plain.header(HeaderId::RSeq).is_none());
    w.endpoint.answer(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    assert_eq!(w.take_sent()[0].body(), SDP.as_bytes());
}

#[test]
fn a_prack_may_offer_anew() {
    let mut w = Wire::new();
    let dialog = rung(&mut w, RELIABLE, SDP);
    let early = ring(&mut w, dialog, 183, Some(SDP.as_bytes())).remove(0);
    w.hears(&prack(2, &early), SDP);
    assert!(w.lines().is_empty());
    assert_eq!(w.told(), ["Reoffered"]);
    w.endpoint.accept_reoffer(w.now, dialog, SDP.as_bytes());
    w.drain();
    let ok = w.take_sent().remove(0);
    assert_eq!(ok.body(), SDP.as_bytes());
    assert_eq!(ok.cseq().unwrap().1.as_str(), "PRACK");
    // One that offers while the INVITE's offer is open does not, but acknowledges.
    let mut w = Wire::new();
    let dialog = rung(&mut w, RELIABLE, SDP);
    let early = ring(&mut w, dialog, 180, None).remove(0);
    w.hears(&prack(2, &early), SDP);
    assert_eq!(w.lines(), ["488"]);
    w.passes(s(40));
    assert!(w.lines().is_empty() && w.told().is_empty());
}

#[test]
fn a_prack_that_was_overtaken_counts_and_a_wrong_one_does_not() {
    let mut w = Wire::new();
    let dialog = rung(&mut w, RELIABLE, SDP);
    let early = ring(&mut w, dialog, 180, None).remove(0);
    w.hears(&inside("INFO", "z9hG4bKi", 3, &tag(&early)), "");
    assert_eq!(w.lines(), ["200"]);
    let right = rseq(&early).to_string();
    let text = prack(2, &early);
    for (n, (from, to)) in [
        (right.as_str(), "7"),
        ("1 INVITE", "2 INVITE"),
        ("1 INVITE", "1 BYE"),
        ("RAck", "X-Ack"),
    ]
    .into_iter()
    .enumerate()
    {
        let wrong = text.replace(
            &format!("RAck: {right} 1 INVITE"),
            &format!("RAck: {right} 1 INVITE").replace(from, to),
        );
        w.hears(&wrong.replace("z9hG4bKp2", &format!("z9hG4bKw{n}")), "");
        let status = if n < 2 { "481" } else { "400" };
        assert_eq!(w.lines(), [status], "{from} {to}");
    }
    w.hears(&text, "");
    assert_eq!(w.lines(), ["200"]);
}

#[test]
fn who_requires_reliability_gets_it_or_is_told() {
    let mut w = Wire::new();
    let dialog = rung(&mut w, "Require: 100rel", SDP);
    let ringing = ring(&mut w, dialog, 180, None).remove(0);
    assert!(rseq(&ringing) > 0);
    let off = Config {
        reliable_provisionals: false,
        ..Config::default()
    };
    let mut w = Wire::with(Transport::Udp, off.clone());
    w.hears(&format!("{}\nRequire: 100rel", invite("z9hG4bKa", 1)), SDP);
    let refusal = w.take_sent().remove(0);
    assert_eq!(refusal.status(), Some(420));
    assert_eq!(refusal.header(HeaderId::Unsupported).unwrap(), "100rel");
    let mut w = Wire::with(Transport::Udp, off);
    let dialog = rung(&mut w, RELIABLE, SDP);
    let plain = ring(&mut w, dialog, 180, None).remove(0);
    assert!(plain.header(HeaderId::RSeq).is_none());
}

#[test]
fn the_minutes_reminder_is_reliable_too() {
    let mut w = Wire::new();
    let dialog = rung(&mut w, RELIABLE, SDP);
    let first = ring(&mut w, dialog, 180, None).remove(0);
    w.hears(&prack(2, &first), "");
    w.take_sent();
    w.passes(s(60));
    let second = w.take_sent().remove(0);
    assert_eq!(rseq(&second), rseq(&first) + 1);
    w.hears(&prack(3, &second), "");
    w.endpoint.refuse(w.now, dialog, 486, &[]);
    w.drain();
    assert_eq!(w.lines()[..2], ["200", "486"]);
    w.is_empty_at_last();
}

/// A reliable response to `invite` from the fork of `tag`.
fn rings(w: &mut Wire, invite: &Message, status: u16, tag: &str, rseq: u32) {
    let more = format!(
        "Require: 100rel\nRSeq: {rseq}\nAllow: PRACK, UPDATE\nRecord-Route: <sip:{tag}.example;lr>"
    );
    w.answers_with(invite, status, tag, &more);
}

fn racks(w: &mut Wire) -> Vec<String> {
    let rack = |m: &Message| m.header(HeaderId::RAck).unwrap_or_default().into_owned();
    w.take_sent().iter().map(rack).collect()
}

#[test]
fn each_fork_is_acknowledged_in_its_order() {
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(call(Transport::Udp));
    assert!(
        invite
            .header(HeaderId::Supported)
            .unwrap()
            .contains("100rel")
    );
    rings(&mut w, &invite, 183, "b1", 7);
    let first = w.take_sent().remove(0);
    assert_eq!(wire::line(&first), "PRACK");
    assert_eq!(first.header(HeaderId::RAck).unwrap(), "7 1 INVITE");
    assert_eq!(first.to().unwrap().tag(), Some("b1"));
    assert_eq!(
        first.header(HeaderId::Route).unwrap(),
        "<sip:b1.example;lr>"
    );
    assert_eq!(first.cseq().unwrap().0, 2);
    w.answers(&first, 200, "");
    rings(&mut w, &invite, 183, "b1", 7);
    rings(&mut w, &invite, 180, "b1", 9);
    assert!(w.lines().is_empty(), "a repeat, and one before its turn");
    assert_eq!(w.told(), ["Ringing"]);
    rings(&mut w, &invite, 180, "b2", 9);
    rings(&mut w, &invite, 180, "b1", 8);
    rings(&mut w, &invite, 180, "b1", 9);
    let sent = w.take_sent();
    let of = |m: &Message| {
        (
            m.cseq().unwrap().0,
            m.to().unwrap().tag().unwrap().to_owned(),
        )
    };
    let of: Vec<_> = sent.iter().map(of).collect();
    assert_eq!(
        of,
        [
            (2, "b2".to_owned()),
            (3, "b1".to_owned()),
            (4, "b1".to_owned())
        ],
        "each early dialog counts for itself"
    );
    assert_eq!(w.told(), ["Ringing"; 3]);
    assert_eq!(
        w.endpoint.names(dialog).unwrap().remote_tag.as_deref(),
        Some("b1")
    );
    w.answers(&invite, 200, "b1");
    assert_eq!(w.lines(), ["ACK"]);
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    let bye = w.take_sent().remove(0);
    assert_eq!(bye.cseq().unwrap().0, 5);
    // The other one answers too: what hangs it up counts on from its PRACK.
    w.answers(&invite, 200, "b2");
    let sent = w.take_sent();
    assert!(sent[1].cseq().unwrap().0 > 2);
    w.answers(&bye, 200, "");
    assert_eq!(w.told(), ["Answered", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn a_lost_prack_is_repeated_and_a_challenged_one_sent_again() {
    let mut w = Wire::new();
    let (_, invite) = w.calls(Invite {
        credentials: Some(Login {
            username: "u".to_owned(),
            password: "p".to_owned(),
        }),
        ..call(Transport::Udp)
    });
    rings(&mut w, &invite, 180, "b1", 1);
    w.passes(ms(600));
    let sent = w.take_sent();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].bytes(), sent[1].bytes());
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth\"";
    w.answers_with(&sent[0], 407, "", challenge);
    let again = w.take_sent().remove(0);
    assert_eq!(again.cseq().unwrap().0, 3);
    assert_eq!(again.header(HeaderId::RAck), sent[0].header(HeaderId::RAck));
    assert!(again.header(HeaderId::ProxyAuthorization).is_some());
    w.answers(&again, 200, "");
    w.passes(s(10));
    assert!(w.lines().is_empty());
    // One that nobody answers ends by itself and ends nothing.
    rings(&mut w, &invite, 180, "b1", 2);
    w.passes(s(40));
    assert_eq!(w.told(), ["Ringing", "Ringing"]);
    w.answers(&invite, 486, "b1");
    assert_eq!(w.told(), ["Refused 486", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn a_call_that_is_given_up_acknowledges_what_still_rings() {
    let mut w = Wire::new();
    let (dialog, invite) = w.calls(call(Transport::Udp));
    w.answers(&invite, 100, "");
    w.endpoint.cancel(w.now, dialog, None);
    w.drain();
    assert_eq!(w.lines(), ["CANCEL"]);
    rings(&mut w, &invite, 180, "b1", 1);
    assert_eq!(racks(&mut w), ["1 1 INVITE"]);
    // The answer crosses the CANCEL.
    w.answers(&invite, 200, "b1");
    assert_eq!(w.lines(), ["ACK", "BYE"]);
    w.passes(s(40));
    assert_eq!(w.told(), ["Ended"]);
    w.is_empty_at_last();
}

#[test]
fn reliability_is_offered_as_asked_and_bounded() {
    let with = |reliable| Invite {
        reliable,
        ..call(Transport::Udp)
    };
    let mut w = Wire::new();
    let (_, off) = w.calls(with(Reliable::Off));
    let (_, required) = w.calls(with(Reliable::Required));
    let has = |m: &Message, id| m.values(id).any(|tag| tag == "100rel");
    assert!(!has(&off, HeaderId::Supported) && !has(&off, HeaderId::Require));
    assert!(has(&required, HeaderId::Require));
    // A fork that never answers our PRACKs and one too many: what is not acknowledged comes again.
    for rseq in 1..100 {
        rings(&mut w, &required, 180, "b1", rseq);
    }
    assert_eq!(racks(&mut w).len(), 32);
    w.answers(&required, 486, "b1");
    let mut w = Wire::new();
    let (_, invite) = w.calls(call(Transport::Udp));
    for fork in 0..20 {
        rings(&mut w, &invite, 180, &format!("b{fork}"), 1);
    }
    assert_eq!(racks(&mut w).len(), 8);
    w.answers(&invite, 486, "b1");
    w.is_empty_at_last();
}
