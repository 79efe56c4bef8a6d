//! Subscriptions from the notifier's side: RFC 6665 against text written by hand.

mod wire;

use sip::{
    Config, Flow, HeaderId, Message, News, Reason, SipEvent, SubscriptionEvent, SubscriptionId,
    Transport,
};
use wire::{Wire, inside, line, ms, request, s};

fn subscribe(branch: &str, cseq: u32, expires: u32) -> String {
    let text = request("SUBSCRIBE", branch, cseq, "<sip:200@192.0.2.1>");
    format!("{text}\nEvent: dialog;id=7\nExpires: {expires}")
}

fn refresh(branch: &str, cseq: u32, tag: &str, expires: u32) -> String {
    let text = inside("SUBSCRIBE", branch, cseq, tag);
    format!("{text}\nEvent: Dialog;id=7\nExpires: {expires}")
}

fn header(message: &Message, id: HeaderId) -> String {
    message.header(id).unwrap_or_default().into_owned()
}

fn state(notify: &Message) -> String {
    header(notify, HeaderId::SubscriptionState)
}

/// A subscriber at the other end of the wire.
struct Lamp {
    w: Wire,
    id: SubscriptionId,
    tag: String,
    /// What is watched: the body of every NOTIFY.
    shows: String,
}

impl Lamp {
    fn new(expires: u32) -> Lamp {
        Lamp::on(Wire::new(), expires)
    }

    /// Subscribed; its first NOTIFY is sent and not answered.
    fn on(mut w: Wire, expires: u32) -> Lamp {
        w.hears(&subscribe("z9hG4bKs", 1, expires), "");
        let id = subscribed(&mut w).expect("the SUBSCRIBE is told");
        let mut lamp = Lamp {
            w,
            id,
            tag: String::new(),
            shows: "idle".to_owned(),
        };
        let now = lamp.w.now;
        assert!(lamp.w.endpoint.accept_subscription(now, id, &[]));
        lamp.drain();
        let ok = lamp.w.sent.remove(0);
        assert_eq!(line(&ok), "200");
        assert_eq!(header(&ok, HeaderId::Expires), expires.to_string());
        assert!(ok.contact().is_some());
        lamp.tag = ok
            .to()
            .and_then(|to| to.tag().map(str::to_owned))
            .expect("a tag");
        lamp
    }

    /// Answers what is due with what is shown at that moment.
    fn drain(&mut self) {
        loop {
            self.w.drain();
            let due = self.w.events.iter().position(is_due);
            let Some(due) = due else { return };
            if let SipEvent::Subscription {
                subscription,
                event: SubscriptionEvent::NotifyDue { version, full, .. },
            } = self.w.events.remove(due)
            {
                let news = News {
                    headers: vec![("X-Full", full.to_string())],
                    body: Some((
                        "text/plain".into(),
                        format!("{version} {}", self.shows).into_bytes(),
                    )),
                };
                self.w.endpoint.notify(self.w.now, subscription, &news);
            }
        }
    }

    fn shows(&mut self, what: &str) {
        self.shows = what.to_owned();
        self.w.endpoint.news(self.w.now, self.id);
        self.drain();
    }

    fn hears(&mut self, text: &str) {
        self.w.hears(text, "");
        self.drain();
    }

    fn passes(&mut self, time: std::time::Duration) {
        let until = self.w.now + time;
        while let Some(next) = self.w.endpoint.deadline().filter(|next| *next <= until) {
            self.w.now = self.w.now.max(next);
            self.w.endpoint.expire(self.w.now);
            self.drain();
        }
        self.w.now = until;
    }

    /// The last message sent, which is a NOTIFY.
    fn notify(&mut self) -> Message {
        let notify = self.w.take_sent().pop().expect("a NOTIFY");
        assert_eq!(line(&notify), "NOTIFY");
        notify
    }

    fn answers(&mut self, notify: &Message, status: u16, more: &str) {
        self.w.answers_with(notify, status, "", more);
        self.drain();
    }

    fn is_over(&mut self) -> bool {
        self.w.events.drain(..).any(|event| is_ended(&event))
    }
}

fn is_due(event: &SipEvent) -> bool {
    matches!(
        event,
        SipEvent::Subscription {
            event: SubscriptionEvent::NotifyDue { .. },
            ..
        }
    )
}

fn is_changed(event: &SipEvent) -> bool {
    matches!(
        event,
        SipEvent::Subscription {
            event: SubscriptionEvent::Changed,
            ..
        }
    )
}

fn is_ended(event: &SipEvent) -> bool {
    matches!(
        event,
        SipEvent::Subscription {
            event: SubscriptionEvent::Ended,
            ..
        }
    )
}

fn subscribed(w: &mut Wire) -> Option<SubscriptionId> {
    w.events.drain(..).find_map(|e| match e {
        SipEvent::Subscription {
            subscription,
            event: SubscriptionEvent::Asked { .. },
        } => Some(subscription),
        _ => None,
    })
}

fn body(message: &Message) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}

#[test]
fn who_subscribes_is_told_at_once_and_of_every_change() {
    let mut lamp = Lamp::new(600);
    let first = lamp.notify();
    assert_eq!(state(&first), "active;expires=600");
    assert_eq!(header(&first, HeaderId::Event), "dialog;id=7");
    assert_eq!(
        first.request_uri().as_deref(),
        Some("sip:100@192.0.2.9:5060")
    );
    assert_eq!(
        first
            .to()
            .and_then(|to| to.tag().map(str::to_owned))
            .as_deref(),
        Some("far")
    );
    assert_eq!(
        first.from().and_then(|f| f.tag().map(str::to_owned)),
        Some(lamp.tag.clone())
    );
    assert_eq!(body(&first), "0 idle");
    lamp.answers(&first, 200, "");
    assert!(lamp.w.lines().is_empty());

    lamp.passes(s(100));
    lamp.shows("busy");
    let second = lamp.notify();
    assert_eq!(
        (body(&second), state(&second)),
        ("1 busy".into(), "active;expires=500".into())
    );
    assert_eq!(second.cseq().map(|(n, _)| n), Some(2));
}

#[test]
fn a_lost_notify_is_repeated_and_what_changed_meanwhile_comes_as_the_newest_alone() {
    let mut lamp = Lamp::new(600);
    let first = lamp.notify();
    lamp.passes(ms(400));
    lamp.shows("ringing");
    lamp.shows("busy");
    lamp.shows("idle again");
    assert!(lamp.w.lines().is_empty(), "one is on its way");
    lamp.passes(ms(100));
    assert_eq!(lamp.notify().bytes(), first.bytes(), "the lost one again");
    lamp.answers(&first, 200, "");
    let next = lamp.w.take_sent();
    assert_eq!(next.len(), 1);
    assert_eq!(body(&next[0]), "1 idle again");
    lamp.answers(&next[0], 200, "");
    lamp.passes(s(40));
    assert!(lamp.w.lines().is_empty());
}

#[test]
fn a_refresh_gives_more_time_moves_the_target_and_tells_everything() {
    let mut lamp = Lamp::new(60);
    let first = lamp.notify();
    lamp.answers(&first, 200, "");
    lamp.passes(s(50));
    let text =
        refresh("z9hG4bKr", 2, &lamp.tag, 60).replace("100@192.0.2.9:5060", "100@192.0.2.9:5099");
    lamp.w.flow.remote.set_port(5099);
    lamp.hears(&text);
    let sent = lamp.w.take_sent();
    assert_eq!(sent.iter().map(line).collect::<Vec<_>>(), ["200", "NOTIFY"]);
    assert_eq!(header(&sent[0], HeaderId::Expires), "60");
    assert_eq!(state(&sent[1]), "active;expires=60");
    assert_eq!(
        sent[1].request_uri().as_deref(),
        Some("sip:100@192.0.2.9:5099")
    );
    assert_eq!(sent[1].header_named("X-Full").as_deref(), Some("true"));
    lamp.answers(&sent[1], 200, "");
    lamp.passes(s(55));
    assert!(!lamp.is_over());
    assert!(lamp.w.lines().is_empty());
}

#[test]
fn a_refresh_that_crosses_a_notify_is_answered_and_told_after_it() {
    let mut lamp = Lamp::new(600);
    let first = lamp.notify();
    lamp.shows("busy");
    let text = refresh("z9hG4bKr", 2, &lamp.tag.clone(), 600);
    lamp.hears(&text);
    assert_eq!(lamp.w.lines(), ["200"], "the NOTIFY before is on its way");
    lamp.answers(&first, 200, "");
    assert_eq!(body(&lamp.notify()), "1 busy");
    // The same SUBSCRIBE again is the transaction's.
    lamp.hears(&text);
    assert_eq!(lamp.w.lines(), ["200"]);
    // One that was overtaken is out of order.
    let late = refresh("z9hG4bKo", 1, &lamp.tag.clone(), 600);
    lamp.hears(&late);
    assert_eq!(lamp.w.lines(), ["500"]);
}

#[test]
fn a_subscriber_that_moved_is_told_where_it_is() {
    let mut lamp = Lamp::new(600);
    lamp.notify();
    lamp.w.flow.remote.set_port(40_000);
    let text = refresh("z9hG4bKr", 2, &lamp.tag.clone(), 600);
    lamp.hears(&text);
    let sent = lamp.w.lines();
    assert_eq!(sent, ["200", "NOTIFY"], "not behind one that goes nowhere");
}

#[test]
fn its_time_ends_it_with_a_last_word() {
    let mut lamp = Lamp::new(60);
    let first = lamp.notify();
    lamp.answers(&first, 200, "");
    lamp.passes(s(61));
    let last = lamp.notify();
    assert_eq!(state(&last), "terminated;reason=timeout");
    assert_eq!(body(&last), "1 idle");
    lamp.shows("busy");
    assert!(lamp.w.lines().is_empty(), "nothing follows the last");
    let text = refresh("z9hG4bKr", 2, &lamp.tag.clone(), 600);
    lamp.hears(&text);
    assert_eq!(lamp.w.lines(), ["481"]);
    lamp.answers(&last, 200, "");
    assert!(lamp.is_over());
    assert_eq!(lamp.w.endpoint.subscriptions(), 0);
    lamp.w.is_empty_at_last();
}

#[test]
fn no_time_at_all_ends_it_and_asks_only_once_when_it_is_new() {
    let mut lamp = Lamp::new(600);
    let first = lamp.notify();
    let text = refresh("z9hG4bKr", 2, &lamp.tag.clone(), 0);
    lamp.hears(&text);
    assert_eq!(lamp.w.lines(), ["200"]);
    lamp.answers(&first, 200, "");
    let last = lamp.notify();
    assert_eq!(state(&last), "terminated;reason=timeout");
    lamp.answers(&last, 200, "");
    assert!(lamp.is_over());

    let mut once = Lamp::new(0);
    let only = once.notify();
    assert_eq!(state(&only), "terminated;reason=timeout");
    assert_eq!(body(&only), "0 idle");
    once.answers(&only, 200, "");
    assert!(once.is_over());
    once.w.is_empty_at_last();
}

#[test]
fn the_switch_may_end_it() {
    let mut lamp = Lamp::new(600);
    let first = lamp.notify();
    lamp.answers(&first, 200, "");
    let (now, id) = (lamp.w.now, lamp.id);
    lamp.w
        .endpoint
        .end_subscription(now, id, Reason::NoResource);
    lamp.drain();
    assert_eq!(state(&lamp.notify()), "terminated;reason=noresource");
    // Nobody answers: it ends all the same.
    lamp.passes(s(33));
    assert!(lamp.is_over());
    lamp.w.is_empty_at_last();
}

#[test]
fn who_says_that_it_knows_nothing_of_it_is_left_alone() {
    for status in [481, 404, 489, 603] {
        let mut lamp = Lamp::new(600);
        let first = lamp.notify();
        lamp.answers(&first, status, "");
        assert!(lamp.is_over(), "{status}");
        lamp.w.is_empty_at_last();
    }
}

#[test]
fn who_wants_to_be_asked_later_is_told_later_what_is_then() {
    let mut lamp = Lamp::new(600);
    let first = lamp.notify();
    lamp.answers(&first, 503, "Retry-After: 20 (busy)");
    lamp.shows("busy");
    lamp.passes(s(19));
    assert!(lamp.w.lines().is_empty());
    lamp.passes(s(2));
    assert_eq!(body(&lamp.notify()), "1 busy");
}

#[test]
fn who_is_always_busy_is_not_asked_at_once_and_not_for_ever() {
    let mut lamp = Lamp::new(3_600);
    for _ in 0..2 {
        let notify = lamp.notify();
        lamp.answers(&notify, 503, "Retry-After: 0");
        assert!(lamp.w.lines().is_empty());
        lamp.passes(ms(1_100));
    }
    let notify = lamp.notify();
    lamp.answers(&notify, 503, "Retry-After: 0");
    assert!(lamp.is_over());
    lamp.w.is_empty_at_last();
}

#[test]
fn a_number_that_was_used_before_is_skipped() {
    let mut lamp = Lamp::new(600);
    let first = lamp.notify();
    lamp.answers(&first, 500, "");
    let next = lamp.notify();
    assert!(next.cseq().is_some_and(|(n, _)| n > 100));
    lamp.answers(&next, 200, "");
    assert!(!lamp.is_over());
}

#[test]
fn a_silent_phone_is_told_again_and_given_up_after_the_third_time() {
    let mut lamp = Lamp::new(3_600);
    lamp.notify();
    lamp.passes(s(33));
    lamp.w.take_sent();
    lamp.shows("busy");
    lamp.passes(s(60));
    let second = lamp.w.take_sent().remove(0);
    assert_eq!(body(&second), "1 busy");
    assert_eq!(second.header_named("X-Full").as_deref(), Some("true"));
    lamp.passes(s(200));
    assert!(lamp.is_over());
    lamp.w.is_empty_at_last();
}

#[test]
fn over_a_connection_that_is_gone_the_contact_is_tried_and_a_new_connection_serves() {
    let mut lamp = Lamp::on(Wire::over(Transport::Tcp), 600);
    let first = lamp.notify();
    lamp.answers(&first, 200, "");
    let gone = lamp.w.flow;
    lamp.shows("busy");
    lamp.notify();
    lamp.w.endpoint.flow_failed(lamp.w.now, gone);
    lamp.drain();
    assert_eq!(body(&lamp.notify()), "2 busy");
    let by_contact = Flow { id: 0, ..gone };
    lamp.w.endpoint.flow_failed(lamp.w.now, by_contact);
    lamp.drain();
    assert!(lamp.w.lines().is_empty() && !lamp.is_over());
    let fresh = Flow { id: 9, ..gone };
    let (now, id) = (lamp.w.now, lamp.id);
    lamp.w.endpoint.found_subscriber(now, id, fresh);
    lamp.drain();
    assert_eq!(body(&lamp.notify()), "3 busy");
}

#[test]
fn after_a_restart_it_goes_on_with_higher_numbers() {
    let mut lamp = Lamp::new(600);
    let mut last = lamp.notify();
    let mut stored = lamp
        .w
        .endpoint
        .subscription(lamp.w.now, lamp.id)
        .expect("it is kept");
    for n in 0..200 {
        lamp.answers(&last, 200, "");
        // What is told to be stored is stored while the next 60 are sent.
        let told = lamp.w.events.drain(..).any(|e| is_changed(&e));
        lamp.shows(&format!("{n}"));
        last = lamp.notify();
        assert!(last.cseq().is_some_and(|(n, _)| n <= stored.cseq), "{n}");
        if told {
            stored = lamp
                .w
                .endpoint
                .subscription(lamp.w.now, lamp.id)
                .expect("it is kept");
        }
    }
    lamp.passes(s(30));
    stored.left = s(570);
    let number = last.cseq().map(|(n, _)| n);
    let config = Config {
        seed: [8; 32],
        ..Config::default()
    };
    let mut w = Wire::with(Transport::Udp, config);
    let id = w
        .endpoint
        .restore_subscription(w.now, stored, s(3))
        .expect("room");
    let mut again = Lamp {
        w,
        id,
        tag: lamp.tag.clone(),
        shows: "busy".into(),
    };
    // Those who are told at once after a start are many: each waits for its turn.
    again.passes(s(2));
    assert_eq!(again.w.lines(), [""; 0]);
    again.passes(s(1));
    let first = again.notify();
    assert!(first.cseq().map(|(n, _)| n) > number);
    assert_eq!(first.call_id(), last.call_id());
    assert_eq!(
        header(&first, HeaderId::From),
        header(&last, HeaderId::From)
    );
    assert_eq!(state(&first), "active;expires=567");
    again.answers(&first, 200, "");
    // Its refresh finds it, and goes on from its own numbers.
    let text = refresh("z9hG4bKr", 2, &again.tag.clone(), 600);
    again.hears(&text);
    assert_eq!(again.w.lines(), ["200", "NOTIFY"]);
}

#[test]
fn what_is_too_short_or_not_meant_here_is_refused() {
    let mut w = Wire::new();
    w.hears(&subscribe("z9hG4bKa", 1, 59), "");
    let answer = w.take_sent().remove(0);
    assert_eq!(
        (line(&answer), header(&answer, HeaderId::MinExpires)),
        ("423".into(), "60".into())
    );
    w.hears(
        &subscribe("z9hG4bKb", 1, 600).replace("Contact: <sip:100@192.0.2.9:5060>\n", ""),
        "",
    );
    assert_eq!(w.lines(), ["400"]);
    w.hears(&refresh("z9hG4bKc", 2, "nobody", 600), "");
    assert_eq!(w.lines(), ["481"]);
    w.hears(&subscribe("z9hG4bKd", 1, 600), "");
    let id = subscribed(&mut w).expect("told");
    w.endpoint
        .refuse_subscription(w.now, id, 489, &[("Allow-Events", "dialog".into())]);
    w.drain();
    let answer = w.take_sent().remove(0);
    assert_eq!(
        (line(&answer), header(&answer, HeaderId::AllowEvents)),
        ("489".into(), "dialog".into())
    );
    assert!(w.told().is_empty(), "it never was one");
    assert_eq!(w.endpoint.subscriptions(), 0);

    let mut lamp = Lamp::new(600);
    lamp.notify();
    let tag = lamp.tag.clone();
    lamp.hears(&refresh("z9hG4bKe", 2, &tag, 5));
    assert_eq!(lamp.w.lines(), ["423"]);
    lamp.hears(&refresh("z9hG4bKf", 3, &tag, 600).replace("id=7", "id=8"));
    assert_eq!(lamp.w.lines(), ["481"]);
    lamp.hears(&inside("INFO", "z9hG4bKg", 4, &tag));
    assert_eq!(lamp.w.lines(), ["405"]);
}

#[test]
fn there_is_room_for_so_many_and_no_more() {
    let config = Config {
        max_subscriptions: 3,
        max_subscriptions_per_source: 2,
        ..Config::default()
    };
    let mut w = Wire::with(Transport::Udp, config);
    let subscribes = |w: &mut Wire, n: u32, host: u8| {
        w.flow.remote = ([192, 0, 2, host], 5060).into();
        let text =
            subscribe(&format!("z9hG4bK{n}"), 1, 600).replace("call-1", &format!("call-{n}"));
        w.hears(&text, "");
        if let Some(id) = subscribed(w) {
            assert!(w.endpoint.accept_subscription(w.now, id, &[]));
            w.drain();
        }
        w.take_sent().remove(0)
    };
    assert_eq!(line(&subscribes(&mut w, 1, 9)), "200");
    assert_eq!(line(&subscribes(&mut w, 2, 9)), "200");
    let full = subscribes(&mut w, 3, 9);
    assert_eq!(
        (line(&full), header(&full, HeaderId::RetryAfter)),
        ("503".into(), "60".into())
    );
    assert_eq!(line(&subscribes(&mut w, 4, 10)), "200");
    assert_eq!(line(&subscribes(&mut w, 5, 11)), "503");
    assert_eq!(w.endpoint.subscriptions(), 3);
    // A SUBSCRIBE that nobody answers does not stay.
    w.flow.remote = ([192, 0, 2, 9], 5060).into();
    let mut w = Wire::new();
    w.hears(&subscribe("z9hG4bKx", 1, 600), "");
    w.passes(s(33));
    assert_eq!(w.endpoint.subscriptions(), 0);
    w.is_empty_at_last();
}

#[test]
fn what_cannot_be_written_ends_it() {
    let mut lamp = Lamp::new(600);
    let first = lamp.notify();
    lamp.answers(&first, 200, "");
    let (now, id) = (lamp.w.now, lamp.id);
    lamp.w.endpoint.news(now, id);
    let news = News {
        headers: vec![("X-Bad", "a\r\nb".into())],
        body: None,
    };
    lamp.w.endpoint.notify(now, id, &news);
    lamp.w.drain();
    assert!(lamp.is_over());
    lamp.w.is_empty_at_last();
}

#[test]
fn a_thousand_subscriptions_wake_nobody_before_their_time() {
    let mut w = Wire::new();
    for n in 0..1_000 {
        let text = subscribe(&format!("z9hG4bK{n}"), 1, 3_600 - n % 100);
        w.hears(&text.replace("call-1", &format!("call-{n}")), "");
        let id = subscribed(&mut w).expect("told");
        assert!(w.endpoint.accept_subscription(w.now, id, &[]));
        w.endpoint.notify(w.now, id, &News::default());
        w.drain();
    }
    for notify in w.take_sent() {
        if line(&notify) == "NOTIFY" {
            w.answers(&notify, 200, "");
        }
    }
    w.passes(s(40));
    let mut woken = 0;
    let until = w.now + s(1_000);
    while let Some(next) = w.endpoint.deadline().filter(|next| *next <= until) {
        w.now = next;
        w.endpoint.expire(w.now);
        w.drain();
        woken += 1;
    }
    assert!(woken <= 30, "{woken} times in 1,000 s");
    assert_eq!(w.endpoint.subscriptions(), 1_000);
}
