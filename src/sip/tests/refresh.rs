//! Session timers: RFC 4028, with either side refreshing.

mod wire;

use sip::{Config, HeaderId, Invite, Message, SessionTimer, SipEvent, Transport};
use wire::{SDP, Wire, call, inside, invite, ms, s};

const TIMER: &str = "Supported: timer\nAllow: INVITE, ACK, CANCEL, BYE, UPDATE";

fn header(message: &Message, id: HeaderId) -> String {
    message.header(id).unwrap_or_default().into_owned()
}

fn expires(message: &Message) -> String {
    header(message, HeaderId::SessionExpires)
}

/// The peer calls with `more` and is answered; our 200 and our tag.
fn answered(w: &mut Wire, more: &str) -> (Message, String) {
    w.hears(&format!("{}\n{more}", invite("z9hG4bKa", 1)), SDP);
    let incoming = w.events.drain(..).find_map(|e| match e {
        SipEvent::Incoming { dialog, .. } => Some(dialog),
        _ => None,
    });
    let dialog = incoming.expect("the INVITE is told");
    w.endpoint.answer(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    let ok = w.take_sent().pop().expect("200");
    let tag = ok.to().and_then(|to| to.tag().map(str::to_owned));
    let tag = tag.expect("a tag");
    w.hears(&inside("ACK", "z9hG4bKk", 1, &tag), "");
    w.told();
    (ok, tag)
}

/// A call of ours that `more` answers with.
fn up(w: &mut Wire, more: &str) -> (sip::DialogId, Message) {
    let (dialog, invite) = w.calls(call(Transport::Udp));
    w.answers_with(&invite, 200, "b1", more);
    assert_eq!(w.lines(), ["ACK"]);
    assert_eq!(w.told(), ["Answered"]);
    (dialog, invite)
}

#[test]
fn a_call_of_ours_asks_and_refreshes_by_update() {
    let mut w = Wire::new();
    let (dialog, invite) = up(&mut w, "Session-Expires: 1800;refresher=uac\nAllow: UPDATE");
    assert_eq!(expires(&invite), "1800");
    assert!(header(&invite, HeaderId::Supported).contains("timer"));
    assert!(
        invite.header(HeaderId::MinSe).is_none(),
        "90 goes without saying"
    );
    for _ in 0..3 {
        w.passes(s(899));
        assert!(w.lines().is_empty());
        w.passes(s(1));
        let update = w.take_sent().remove(0);
        assert_eq!(wire::line(&update), "UPDATE");
        assert_eq!(expires(&update), "1800;refresher=uac");
        assert!(update.body().is_empty());
        w.answers_with(&update, 200, "", "Session-Expires: 1800;refresher=uac");
    }
    assert!(w.told().is_empty());
    w.endpoint.bye(w.now, dialog, None);
    w.drain();
    w.is_empty_at_last();
}

#[test]
fn without_update_the_refresh_is_the_same_session_again() {
    let mut w = Wire::new();
    up(&mut w, "Session-Expires: 90;refresher=uac");
    w.passes(s(45));
    let invite = w.take_sent().remove(0);
    assert_eq!(wire::line(&invite), "INVITE");
    assert_eq!(invite.body(), SDP.as_bytes());
    // It is refused, and so is the next one: the session ends when it expires.
    w.answers(&invite, 500, "");
    assert_eq!(w.lines(), ["ACK"]);
    w.passes(ms(22_000));
    let again = w.take_sent().remove(0);
    assert_eq!(wire::line(&again), "INVITE");
    w.answers(&again, 500, "");
    w.lines();
    w.passes(ms(21_900));
    assert!(w.lines().is_empty() && w.told().is_empty());
    w.passes(ms(1_100));
    let bye = w.take_sent().remove(0);
    assert_eq!(wire::line(&bye), "BYE");
    assert!(header(&bye, HeaderId::Reason).contains("408"));
    assert_eq!(w.told(), ["Expired"]);
    w.answers(&bye, 200, "");
    assert_eq!(w.told(), ["Ended"]);
    w.is_empty_at_last();
}

#[test]
fn who_is_to_refresh_and_does_not_is_hung_up_slightly_before_the_end() {
    for (interval, last) in [(90, 60), (1_800, 1_768)] {
        let mut w = Wire::new();
        up(
            &mut w,
            &format!("Session-Expires: {interval};refresher=uas"),
        );
        w.passes(s(last) - ms(100));
        assert!(w.lines().is_empty());
        w.passes(ms(200));
        assert_eq!(w.lines(), ["BYE"], "RFC 4028 §10");
        assert_eq!(w.told(), ["Expired"]);
        w.is_empty_at_last();
    }
}

#[test]
fn what_is_said_of_the_interval_is_what_is_kept() {
    let mut w = Wire::new();
    let (ok, _) = answered(&mut w, "Session-Expires: 1");
    assert_eq!(expires(&ok), "20;refresher=uas");
    w.passes(s(10) - ms(100));
    assert!(w.lines().is_empty());
    w.passes(ms(200));
    assert_eq!(w.lines().len(), 1, "a refresh");
}

#[test]
fn a_peer_without_timers_is_left_in_peace() {
    let mut w = Wire::new();
    let (dialog, _) = up(&mut w, "");
    w.passes(s(100_000));
    assert!(w.lines().is_empty() && w.told().is_empty());
    assert_eq!(w.endpoint.timers(), 0);
    w.endpoint.reinvite(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    let change = w.take_sent().remove(0);
    assert!(change.header(HeaderId::SessionExpires).is_none());
    let mut w = Wire::new();
    let (ok, _) = answered(&mut w, "");
    assert!(ok.header(HeaderId::SessionExpires).is_none());
    assert!(header(&ok, HeaderId::Supported).contains("timer"));
    w.passes(s(100_000));
    assert!(w.lines().is_empty() && w.told().is_empty());
}

#[test]
fn an_answer_names_the_refresher_as_the_table_says() {
    // RFC 4028 §9 table 2, and who asks for nothing but knows timers.
    let cases = [
        (TIMER, "1800;refresher=uas", false),
        (
            "Supported: timer\nSession-Expires: 600",
            "600;refresher=uac",
            true,
        ),
        (
            "Supported: timer\nx: 600 ; refresher=uas",
            "600;refresher=uas",
            false,
        ),
        (
            "Supported: timer\nSession-Expires: 600;refresher=uac",
            "600;refresher=uac",
            true,
        ),
        (
            "Supported: timer\nSession-Expires: 7200;refresher=uac",
            "1800;refresher=uac",
            true,
        ),
        (
            "Supported: timer\nSession-Expires: 7200\nMin-SE: 3600",
            "3600;refresher=uac",
            true,
        ),
        (
            "Supported: timer\nMin-SE: 3600",
            "3600;refresher=uas",
            false,
        ),
        // Put there by somebody between: the caller itself could not.
        (
            "Session-Expires: 600;refresher=uac",
            "600;refresher=uas",
            false,
        ),
        (
            "Require: timer\nSession-Expires: 600",
            "600;refresher=uac",
            true,
        ),
    ];
    for (more, says, required) in cases {
        let mut w = Wire::new();
        let (ok, _) = answered(&mut w, more);
        assert_eq!(expires(&ok), says, "{more}");
        assert_eq!(
            header(&ok, HeaderId::Require) == "timer",
            required,
            "{more}"
        );
    }
}

#[test]
fn an_interval_below_our_minimum_is_refused() {
    let config = Config {
        min_se: s(300),
        ..Config::default()
    };
    let short = format!(
        "{}\nSupported: timer\nSession-Expires: 299",
        invite("z9hG4bKa", 1)
    );
    let mut w = Wire::with(Transport::Udp, config.clone());
    w.hears(&short, SDP);
    let refusal = w.take_sent().remove(0);
    assert_eq!(refusal.status(), Some(422));
    assert_eq!(header(&refusal, HeaderId::MinSe), "300");
    assert!(w.told().is_empty() && w.endpoint.is_idle());
    // Who could make nothing of 422 gets what it asks for.
    let mut w = Wire::with(Transport::Udp, config.clone());
    let (ok, tag) = answered(&mut w, "Session-Expires: 200");
    assert_eq!(expires(&ok), "200;refresher=uas");
    let update = format!(
        "{}\n{TIMER}\nSession-Expires: 100",
        inside("UPDATE", "z9hG4bKu", 2, &tag)
    );
    w.hears(&update, "");
    assert_eq!(w.lines(), ["422"]);
    let (_, ours) = w.calls(call(Transport::Udp));
    assert_eq!(header(&ours, HeaderId::MinSe), "300");
}

#[test]
fn our_interval_refused_as_too_short_is_raised() {
    let mut w = Wire::new();
    let (_, first) = w.calls(call(Transport::Udp));
    w.answers_with(&first, 422, "c1", "Min-SE: 3600");
    let sent = w.take_sent();
    assert_eq!(
        sent.iter().map(wire::line).collect::<Vec<_>>(),
        ["ACK", "INVITE"]
    );
    let second = &sent[1];
    assert_eq!(expires(second), "3600");
    assert_eq!(header(second, HeaderId::MinSe), "3600");
    assert_eq!(second.call_id(), first.call_id());
    assert!(second.cseq().unwrap().0 > first.cseq().unwrap().0);
    w.answers_with(second, 422, "c2", "Min-SE: 3600");
    assert_eq!(w.told(), ["Refused 422", "Ended"], "nothing to raise");
    w.is_empty_at_last();
    // One that raises for ever is not followed for ever.
    let mut w = Wire::new();
    let (_, mut last) = w.calls(call(Transport::Udp));
    for min in 2_000..2_100 {
        w.answers_with(&last, 422, "c", &format!("Min-SE: {min}"));
        match w.take_sent().pop() {
            Some(next) if wire::line(&next) == "INVITE" => last = next,
            _ => break,
        }
    }
    assert_eq!(last.cseq().unwrap().0, 6);
    assert_eq!(w.told(), ["Refused 422", "Ended"]);
    // A refresh is raised as well.
    let mut w = Wire::new();
    up(&mut w, "Session-Expires: 90;refresher=uac\nAllow: UPDATE");
    w.passes(s(45));
    let update = w.take_sent().remove(0);
    w.answers_with(&update, 422, "", "Min-SE: 120");
    let again = w.take_sent().remove(0);
    assert_eq!(expires(&again), "120;refresher=uac");
    assert_eq!(header(&again, HeaderId::MinSe), "120");
    w.answers_with(&again, 200, "", "Session-Expires: 120;refresher=uac");
    w.passes(s(59));
    assert!(w.lines().is_empty());
}

#[test]
fn each_change_of_either_side_refreshes_and_may_name_another() {
    let mut w = Wire::new();
    let (_, tag) = answered(&mut w, &format!("{TIMER}\nSession-Expires: 600"));
    // The caller refreshes, late but in time, first without and then with an offer.
    w.passes(s(560));
    let refresh = |method: &str, branch: &str, cseq: u32, more: &str| {
        format!(
            "{}\nSupported: timer\n{more}",
            inside(method, branch, cseq, &tag)
        )
    };
    w.hears(
        &refresh(
            "UPDATE",
            "z9hG4bKu",
            2,
            "Session-Expires: 600;refresher=uac",
        ),
        "",
    );
    let ok = w.take_sent().remove(0);
    assert_eq!(expires(&ok), "600;refresher=uac");
    w.passes(s(560));
    w.hears(
        &refresh(
            "INVITE",
            "z9hG4bKi",
            3,
            "Session-Expires: 600;refresher=uas",
        ),
        SDP,
    );
    w.lines();
    let Some(SipEvent::Reoffered { dialog, .. }) = w.events.pop() else {
        panic!("told");
    };
    w.endpoint.accept_reoffer(w.now, dialog, SDP.as_bytes());
    w.drain();
    let ok = w.take_sent().remove(0);
    assert_eq!(expires(&ok), "600;refresher=uas", "now it is us");
    w.hears(&inside("ACK", "z9hG4bKj", 3, &tag), "");
    // An offer of ours refreshes too.
    w.passes(s(200));
    w.endpoint.reinvite(w.now, dialog, SDP.as_bytes(), &[]);
    w.drain();
    let offer = w.take_sent().remove(0);
    assert_eq!(expires(&offer), "600;refresher=uac");
    w.answers_with(&offer, 200, "", "Session-Expires: 600;refresher=uac");
    w.lines();
    w.told();
    w.passes(s(299));
    assert!(w.lines().is_empty());
    w.passes(s(1));
    let update = w.take_sent().remove(0);
    assert_eq!(wire::line(&update), "UPDATE");
    // A 2xx without the header ends the timer (RFC 4028 §7.2).
    w.answers(&update, 200, "");
    w.passes(s(10_000));
    assert!(w.lines().is_empty() && w.told().is_empty());
}

#[test]
fn a_refresh_that_meets_glare_comes_again_and_silence_ends_the_call() {
    let mut w = Wire::new();
    up(&mut w, "Session-Expires: 600;refresher=uac\nAllow: UPDATE");
    w.passes(s(300));
    let update = w.take_sent().remove(0);
    w.answers(&update, 491, "");
    w.passes(s(5));
    let again = w.take_sent().remove(0);
    assert_eq!(wire::line(&again), "UPDATE");
    w.passes(s(33));
    assert_eq!(w.lines().pop().as_deref(), Some("BYE"), "RFC 4028 §10: 408");
    w.passes(s(40));
    assert_eq!(w.told(), ["Refreshed", "Ended"]);
    w.is_empty_at_last();
}

#[test]
fn the_timer_is_asked_for_as_wanted() {
    let with = |session_timer| Invite {
        session_timer,
        ..call(Transport::Udp)
    };
    let mut w = Wire::new();
    let (_, off) = w.calls(with(SessionTimer::Off));
    assert!(off.header(HeaderId::SessionExpires).is_none());
    let (_, often) = w.calls(with(SessionTimer::Every(s(10))));
    assert_eq!(expires(&often), "90");
    let mut w = Wire::with(
        Transport::Udp,
        Config {
            session_expires: s(0),
            ..Config::default()
        },
    );
    let (_, none) = w.calls(call(Transport::Udp));
    assert!(none.header(HeaderId::SessionExpires).is_none());
    w.answers(&none, 486, "b1");
    w.told();
    let (ok, _) = answered(&mut w, TIMER);
    assert!(ok.header(HeaderId::SessionExpires).is_none());
    let mut w = Wire::with(
        Transport::Udp,
        Config {
            session_expires: s(0),
            ..Config::default()
        },
    );
    let (ok, _) = answered(
        &mut w,
        "Supported: timer\nSession-Expires: 5000;refresher=uas",
    );
    assert_eq!(
        expires(&ok),
        "5000;refresher=uas",
        "what others ask for is kept"
    );
}
