//! `/registrations` and `/calls`.

use crate::office::{FAR_MS, MAX_CALLS, Office, in_pages};
use directory::{Direction, Registration};
use serde_json::json;
use std::time::Duration;
use switch::{CallId, CallState, Event, LiveCall, Notice, Reach, Side};

on_both_databases!(a_call_is_originated);

fn registration(extension: &str, binding: &str) -> Registration {
    Registration {
        extension: extension.into(),
        binding: binding.into(),
        contact: format!("sip:{extension}@192.0.2.1"),
        source: "192.0.2.1:5071".into(),
        local: "192.0.2.9:5060".into(),
        transport: "udp".into(),
        user_agent: "Phone 1.0".into(),
        call_id: "x".into(),
        cseq: 1,
        expires_at_ms: FAR_MS,
        ..Registration::default()
    }
}

fn call(id: u64) -> LiveCall {
    LiveCall {
        call: CallId(id),
        direction: Direction::Internal,
        from: "101".into(),
        to: "102".into(),
        dialed: "102".into(),
        state: CallState::Ringing,
        started_at_ms: 1_772_352_930_250,
        answered_at_ms: None,
    }
}

#[tokio::test]
async fn registrations_are_shown() {
    let office = Office::on_sqlite().await;
    office
        .live
        .apply(&Notice::Registered(registration("101", "a")));
    let shown = json!({
        "extension": "101", "contact": "sip:101@192.0.2.1", "source": "192.0.2.1:5071", "transport": "udp",
        "user_agent": "Phone 1.0", "expires_at": "2100-01-01T00:00:00.000Z", "instance": null, "reg_id": null,
        "path": [], "reachability": "unknown", "unreachable_since": null, "rtt_ms": null,
    });
    assert_eq!(office.get("/registrations").await.items(), [shown]);
    office.live.apply(&Notice::Registered(Registration {
        expires_at_ms: 1,
        ..registration("100", "ran out")
    }));
    for (extension, binding) in [("103", "a"), ("102", "b"), ("102", "a"), ("102", "c")] {
        office
            .live
            .apply(&Notice::Registered(registration(extension, binding)));
    }
    let all = office.get("/registrations").await.items();
    let numbers: Vec<&str> = all
        .iter()
        .map(|r| r["extension"].as_str().unwrap())
        .collect();
    assert_eq!(numbers, ["101", "102", "102", "102", "103"]);
    assert_eq!(in_pages(&office, "/registrations").await, all);
}

/// 101 has a phone with two flows, the second of which works, and one that nobody has asked yet.
fn phones(office: &Office) {
    for (reg_id, reach) in [
        (
            1,
            Reach::Unreachable {
                since_ms: 1_772_352_930_250,
            },
        ),
        (
            2,
            Reach::Reachable {
                rtt: Some(Duration::from_micros(1_500)),
            },
        ),
    ] {
        let binding = format!("a;reg-id={reg_id}");
        office.live.apply(&Notice::Registered(Registration {
            instance: "a".into(),
            reg_id,
            path: vec!["<sip:edge.example;lr>".into()],
            ..registration("101", &binding)
        }));
        let extension = "101".into();
        office.live.apply(&Notice::Reach {
            extension,
            binding,
            reach,
        });
    }
    let other = registration("101", "b");
    office.live.apply(&Notice::Registered(other));
}

#[tokio::test]
async fn it_is_shown_which_phones_are_there() {
    let office = Office::on_sqlite().await;
    let new = json!({"number": "101", "password": "correct horse battery"});
    office.post("/extensions", new).await.is(201);
    phones(&office);
    let phones = office.get("/registrations").await.items();
    let columns = ["reachability", "unreachable_since", "rtt_ms", "reg_id"];
    let shown: Vec<_> = phones
        .iter()
        .map(|p| json!(columns.map(|c| &p[c])))
        .collect();
    let expected = [
        json!(["unreachable", "2026-03-01T08:15:30.250Z", null, 1]),
        json!(["reachable", null, 1.5, 2]),
        json!(["unknown", null, null, null]),
    ];
    assert_eq!(shown, expected);
    assert_eq!(phones[0]["path"], json!(["<sip:edge.example;lr>"]));
    // Two flows are one phone.
    let extension = office.get("/extensions/101").await.is(200);
    let counted = json!({"registered": 2, "reachable": 1});
    assert_eq!(extension.body["phones"], counted);
}

#[tokio::test]
async fn a_push_notification_that_failed_is_a_problem_until_one_does_not() {
    let office = Office::on_sqlite().await;
    let push = |failure: Option<&str>| Notice::Push {
        extension: "101".into(),
        failure: failure.map(str::to_owned),
    };
    let told = async || {
        let health = office.get("/system/health").await.is(200).body;
        health["problems"].to_string()
    };
    assert!(!told().await.contains("push"));
    office.live.apply(&push(Some("the server answered 403")));
    assert!(
        told()
            .await
            .contains("the last push notification failed: the server answered 403")
    );
    office.live.apply(&push(None));
    assert!(!told().await.contains("push"));
}

#[tokio::test]
async fn calls_are_shown_and_hung_up() {
    let mut office = Office::on_sqlite().await;
    for id in [3, 1, 2] {
        office.live.apply(&Notice::Call(call(id)));
    }
    let shown = json!({
        "id": "cal_0000000000000001", "direction": "internal", "from": "101", "to": "102", "dialed": "102",
        "state": "ringing", "started_at": "2026-03-01T08:15:30.250Z", "answered_at": null,
    });
    let mut alone = shown.clone();
    alone["legs"] = json!(null);
    assert_eq!(
        office.get("/calls/cal_0000000000000001").await.is(200).body,
        alone,
        "the Switch is too busy to tell"
    );
    assert!(matches!(
        office.switch.try_recv(),
        Ok(Event::Measure { call: CallId(1) })
    ));
    let all = office.get("/calls").await.items();
    assert_eq!(all.len(), 3);
    assert_eq!(all[0], shown);
    assert_eq!(in_pages(&office, "/calls").await, all);
    // The cursor of another list.
    assert_eq!(
        office.get("/calls?after=WyIxMDEiXQ").await.wrong_fields(),
        ["after"]
    );
    office.live.apply(&Notice::Call(LiveCall {
        state: CallState::Up,
        answered_at_ms: Some(FAR_MS),
        ..call(1)
    }));
    let up = office.get("/calls/cal_0000000000000001").await.is(200).body;
    assert_eq!(up["state"], "up");
    assert_eq!(up["answered_at"], "2100-01-01T00:00:00.000Z");

    while office.switch.try_recv().is_ok() {}
    office.delete("/calls/cal_0000000000000001").await.is(202);
    assert!(matches!(
        office.switch.try_recv(),
        Ok(Event::HangUp { call: CallId(1) })
    ));
    office.live.apply(&Notice::CallEnded {
        call: CallId(1),
        cause: "completed".into(),
    });
    for id in ["cal_0000000000000001", "cal_1", "x", "%00"] {
        office.delete(&format!("/calls/{id}")).await.is(404);
        office.get(&format!("/calls/{id}")).await.is(404);
        let keys = json!({"keys": "1"});
        office
            .post(&format!("/calls/{id}/dtmf"), keys)
            .await
            .is(404);
    }
    assert!(office.switch.try_recv().is_err());
    assert_eq!(office.get("/system/health").await.is(200).body["calls"], 2);
}

#[tokio::test]
async fn keys_are_pressed_towards_a_party() {
    let mut office = Office::on_sqlite().await;
    office.live.apply(&Notice::Call(call(1)));
    let dtmf = "/calls/cal_0000000000000001/dtmf";
    office.post(dtmf, json!({"keys": "1#d"})).await.is(202);
    let whole = json!({"keys": "*", "to": "caller", "on_ms": 40, "off_ms": 5000});
    office.post(dtmf, whole).await.is(202);
    let asked = |office: &mut Office| match office.switch.try_recv() {
        Ok(Event::Press { call, to, tones }) => {
            assert_eq!(call, CallId(1));
            (to, tones.keys, tones.on.as_millis(), tones.off.as_millis())
        }
        other => panic!("{other:?}"),
    };
    let usual = (Side::Called, "1#d".to_owned(), 100, 100);
    assert_eq!(asked(&mut office), usual);
    assert_eq!(
        asked(&mut office),
        (Side::Caller, "*".to_owned(), 40, 5_000)
    );
    let wrong = json!({"keys": "12w", "to": "all", "on_ms": 39, "off_ms": 5001, "x": 1});
    let mut fields = office.post(dtmf, wrong).await.wrong_fields();
    fields.sort();
    assert_eq!(fields, ["keys", "off_ms", "on_ms", "to", "x"]);
    office.post(dtmf, json!({"keys": ""})).await.is(422);
}

#[tokio::test]
async fn a_live_call_is_shown_with_how_its_sound_goes() {
    let mut office = Office::on_sqlite().await;
    office.live.apply(&Notice::Call(call(1)));
    let leg = crate::records::leg();
    let told = Notice::Measured {
        call: CallId(1),
        legs: vec![leg],
    };
    // What was told before it was asked for is of no use.
    office.live.apply(&told);
    let live = office.live.clone();
    let mut switch = std::mem::replace(&mut office.switch, tokio::sync::mpsc::channel(1).1);
    let answers = async {
        while let Some(event) = switch.recv().await {
            if matches!(event, Event::Measure { call: CallId(1) }) {
                return live.apply(&told);
            }
        }
    };
    let (shown, ()) = tokio::join!(office.get("/calls/cal_0000000000000001"), answers);
    let legs = shown.is(200).body["legs"].clone();
    assert_eq!(legs[0]["mos_in"], 4.38);
    assert_eq!(legs[0]["party"], "101");
    // A call that ended leaves nothing behind, also when it was asked for.
    office.live.apply(&Notice::CallEnded {
        call: CallId(1),
        cause: "completed".into(),
    });
    office.live.apply(&told);
    office.get("/calls/cal_0000000000000001").await.is(404);
}

async fn a_call_is_originated(mut office: Office) {
    let extension = json!({"number": "101", "password": "correct horse battery"});
    office.post("/extensions", extension).await.is(201);
    office.told().expect("told");
    let answer = office
        .post("/calls", json!({"from": "101", "to": "+49 (30) 123-45"}))
        .await
        .is(202);
    let id = answer.body["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/api/v1/calls/{id}"));
    match office.switch.try_recv() {
        Ok(Event::Originate { call, from, to }) => {
            assert_eq!(call.to_string(), id);
            assert_eq!((from.as_str(), to.as_str()), ("101", "+493012345"));
        }
        other => panic!("{other:?}"),
    }
    let wrong = [
        (json!({}), vec!["from", "to"]),
        (json!({"from": "999", "to": "bob"}), vec!["from", "to"]),
        (json!({"from": "1\u{0}", "to": "102"}), vec!["from"]),
        (json!({"from": "", "to": ""}), vec!["from", "to"]),
        (json!({"from": 101, "to": "102", "x": 1}), vec!["from", "x"]),
        (json!({"from": "101", "to": "1".repeat(33)}), vec!["to"]),
    ];
    for (body, fields) in wrong {
        assert_eq!(
            office.post("/calls", body.clone()).await.wrong_fields(),
            fields,
            "{body}"
        );
    }
    for id in 0..MAX_CALLS as u64 {
        office.live.apply(&Notice::Call(call(id)));
    }
    let one = json!({"from": "101", "to": "102"});
    let full = office.post("/calls", one.clone()).await.is(503);
    assert_eq!(full.header("retry-after"), "10");
    assert!(office.switch.try_recv().is_err());
    office.live.apply(&Notice::CallEnded {
        call: CallId(1),
        cause: "completed".into(),
    });
    office.post("/calls", one).await.is(202);
}
