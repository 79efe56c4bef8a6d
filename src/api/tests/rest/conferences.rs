//! `/conferences`, and listening in on calls.

use crate::office::{Office, in_pages};
use directory::Direction;
use serde_json::{Value, json};
use switch::{
    CallId, CallState, ConferenceAction, Event, LiveCall, LiveConference, LiveMember, Notice,
    SuperviseMode, Supervised,
};

const SINCE: i64 = 1_772_352_930_250;

fn room(name: &str) -> LiveConference {
    LiveConference {
        name: name.into(),
        locked: false,
        started_at_ms: SINCE,
        members: vec![LiveMember {
            call: CallId(7),
            number: "101".into(),
            name: "Ada".into(),
            moderator: true,
            muted: false,
            deaf: false,
            waiting: false,
            joined_at_ms: SINCE,
        }],
    }
}

fn call(id: u64) -> LiveCall {
    LiveCall {
        call: CallId(id),
        direction: Direction::Internal,
        from: "101".into(),
        to: "102".into(),
        dialed: "102".into(),
        state: CallState::Up,
        started_at_ms: SINCE,
        answered_at_ms: Some(SINCE),
    }
}

#[tokio::test]
async fn conferences_are_shown() {
    let office = Office::on_sqlite().await;
    for name in ["team", "sales", "board"] {
        office.live.apply(&Notice::Conference(room(name)));
    }
    let shown = json!({
        "name": "team", "locked": false, "started_at": "2026-03-01T08:15:30.250Z", "participants": [{
            "call": "cal_0000000000000007", "number": "101", "name": "Ada", "moderator": true, "muted": false,
            "deaf": false, "waiting": false, "joined_at": "2026-03-01T08:15:30.250Z",
        }],
    });
    assert_eq!(office.get("/conferences/team").await.is(200).body, shown);
    let all = office.get("/conferences").await.items();
    assert_eq!((all.len(), &all[2]), (3, &shown));
    assert_eq!(in_pages(&office, "/conferences").await, all);
}

#[tokio::test]
async fn an_administrator_acts_on_a_conference() {
    let mut office = Office::on_sqlite().await;
    office.live.apply(&Notice::Conference(room("team")));
    let path = "/conferences/team/actions";
    let member = "cal_0000000000000007";
    let seven = CallId(7);
    for (body, wanted) in [
        (
            json!({"action": "mute", "participant": member}),
            ConferenceAction::Mute(seven),
        ),
        (
            json!({"action": "kick", "participant": member}),
            ConferenceAction::Kick(seven),
        ),
        (json!({"action": "lock"}), ConferenceAction::Lock),
        (
            json!({"action": "announce", "prompt": "menu/main"}),
            ConferenceAction::Announce("menu/main".into()),
        ),
    ] {
        office.post(path, body).await.is(202);
        match office.switch.try_recv() {
            Ok(Event::Conference { name, action }) => {
                assert_eq!((name.as_str(), action), ("team", wanted));
            }
            other => panic!("{other:?}"),
        }
    }
    let wrong: [(Value, &[&str]); 5] = [
        (json!({}), &["action"]),
        (json!({"action": "sing"}), &["action"]),
        (
            json!({"action": "mute", "participant": "cal_0000000000000008"}),
            &["participant"],
        ),
        (
            json!({"action": "announce", "prompt": "../key"}),
            &["prompt"],
        ),
        (
            json!({"action": "lock", "participant": member}),
            &["participant"],
        ),
    ];
    for (body, fields) in wrong {
        assert_eq!(
            office.post(path, body.clone()).await.wrong_fields(),
            fields,
            "{body}"
        );
    }
    office.live.apply(&Notice::ConferenceEnded {
        name: "team".into(),
    });
    office.get("/conferences/team").await.is(404);
    office.post(path, json!({"action": "lock"})).await.is(404);
    assert!(office.switch.try_recv().is_err());
}

#[tokio::test]
async fn a_call_is_listened_to_and_addressed() {
    let mut office = Office::on_sqlite().await;
    let extension = json!({"number": "103", "password": "correct horse battery"});
    office.post("/extensions", extension).await.is(201);
    office.told().expect("told");
    office.live.apply(&Notice::Call(call(1)));
    let path = "/calls/cal_0000000000000001";
    let answer = office
        .post(
            &format!("{path}/supervise"),
            json!({"from": "103", "mode": "whisper", "party": "101"}),
        )
        .await
        .is(202);
    match office.switch.try_recv() {
        Ok(Event::Supervise {
            call,
            from,
            whom,
            mode,
        }) => {
            assert_eq!(answer.body["id"], call.to_string());
            assert_eq!((from.as_str(), mode), ("103", SuperviseMode::Whisper));
            let party = Some("101".to_owned());
            assert_eq!(
                whom,
                Supervised::Call {
                    call: CallId(1),
                    party
                }
            );
        }
        other => panic!("{other:?}"),
    }
    let wrong = json!({"from": "999", "mode": "bark"});
    let refused = office.post(&format!("{path}/supervise"), wrong).await;
    assert_eq!(refused.wrong_fields(), ["from", "mode"]);
    let prompt = json!({"prompt": "goodbye"});
    office
        .post(&format!("{path}/announce"), prompt.clone())
        .await
        .is(202);
    let said = office.switch.try_recv();
    assert!(matches!(said, Ok(Event::Announce { call: CallId(1), prompt }) if prompt == "goodbye"));
    let wrong = office
        .post(&format!("{path}/announce"), json!({"prompt": ""}))
        .await;
    assert_eq!(wrong.wrong_fields(), ["prompt"]);
    office
        .post("/calls/cal_0000000000000009/announce", prompt)
        .await
        .is(404);
}
