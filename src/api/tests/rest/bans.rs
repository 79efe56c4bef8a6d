//! `/bans`.

use crate::office::{FAR_MS, Office, in_pages};
use directory::Ban;
use serde_json::{Value, json};
use switch::{Event, Notice};

fn ban(n: u32) -> Ban {
    Ban {
        id: Ban::id_of(1_772_352_930_250, n),
        network: "192.0.2.7".into(),
        extension: Some("101".into()),
        reason: "wrong passwords".into(),
        by_hand: false,
        times: 1,
        since_ms: 1_772_352_930_250,
        until_ms: Some(FAR_MS),
    }
}

#[tokio::test]
async fn bans_are_shown_and_lifted() {
    let mut office = Office::on_sqlite().await;
    for n in [3, 1, 2] {
        office.live.apply(&Notice::Banned(ban(n)));
    }
    office.live.apply(&Notice::Banned(Ban {
        until_ms: Some(1),
        ..ban(4)
    }));
    let all = office.get("/bans").await.items();
    assert_eq!(all.len(), 3, "what is over is not shown");
    let shown = json!({
        "id": ban(1).id, "network": "192.0.2.7", "extension": "101", "reason": "wrong passwords", "by_hand": false,
        "since": "2026-03-01T08:15:30.250Z", "expires_at": "2100-01-01T00:00:00.000Z",
    });
    assert_eq!(all[0], shown);
    assert_eq!(in_pages(&office, "/bans").await, all);
    office.live.apply(&Notice::BanLifted { id: ban(3).id });
    let path = format!("/bans/{}", ban(2).id);
    office.delete(&path).await.is(204);
    assert!(matches!(
        office.switch.try_recv(),
        Ok(Event::LiftBan { id }) if id == ban(2).id
    ));
    for gone in [path.as_str(), "/bans/x", "/bans/%00"] {
        office.delete(gone).await.is(404);
    }
    assert_eq!(office.get("/bans").await.items(), [shown]);
}

#[tokio::test]
async fn an_administrator_bans() {
    let mut office = Office::on_sqlite().await;
    let body = json!({"network": "198.51.100.0/24", "reason": "they only try", "duration_s": 3600});
    let answer = office.post("/bans", body).await.is(201);
    let id = answer.body["id"].as_str().expect("an id").to_owned();
    assert_eq!(answer.header("location"), format!("/api/v1/bans/{id}"));
    let Ok(Event::Ban(told)) = office.switch.try_recv() else {
        panic!("told");
    };
    assert_eq!((told.id.as_str(), told.by_hand), (id.as_str(), true));
    assert_eq!(
        told.until_ms.map(|until| until - told.since_ms),
        Some(3_600_000)
    );
    assert_eq!(office.get("/bans").await.items(), [answer.body]);
    let endless = office
        .post("/bans", json!({"network": "2001:db8::1"}))
        .await
        .is(201);
    assert_eq!(endless.body["expires_at"], Value::Null);
    assert_eq!(endless.body["reason"], "banned by hand");
    for (body, field) in [
        (json!({}), "network"),
        (json!({"network": "example.net"}), "network"),
        (json!({"network": "10.0.0.0/33"}), "network"),
        (
            json!({"network": "192.0.2.1", "duration_s": 0}),
            "duration_s",
        ),
        (
            json!({"network": "192.0.2.1", "duration_s": "1"}),
            "duration_s",
        ),
        (json!({"network": "192.0.2.1", "reason": "x\n"}), "reason"),
        (
            json!({"network": "192.0.2.1", "extension": "101"}),
            "extension",
        ),
    ] {
        let wrong = office.post("/bans", body.clone()).await.wrong_fields();
        assert_eq!(wrong, [field], "{body}");
    }
}
