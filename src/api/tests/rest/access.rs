//! Who is let in, and what is refused before a resource is looked at.

use crate::office::{Answer, KEY, Office};
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;
use switch::{Notice, TrunkState};

on_both_databases!(
    nobody_gets_in_without_a_key,
    a_key_of_the_store_opens,
    a_key_that_was_right_opens_while_the_database_is_away,
    health_needs_no_key,
);

async fn with_authorization(office: &Office, path: &str, value: Option<&str>) -> Answer {
    let mut request = Request::get(path);
    if let Some(value) = value {
        request = request.header(header::AUTHORIZATION, value);
    }
    office.ask(request.body(Body::empty()).unwrap()).await
}

async fn nobody_gets_in_without_a_key(office: Office) {
    let missing = [
        None,
        Some("Basic abc"),
        Some("Bearer"),
        Some("Bearer "),
        Some(KEY),
    ];
    for value in missing {
        let answer = with_authorization(&office, "/api/v1/extensions", value)
            .await
            .is(401);
        assert_eq!(
            answer.header("www-authenticate"),
            "Bearer realm=\"offhook\""
        );
        assert_eq!(answer.body["title"], "Unauthorized");
    }
    for path in ["/api/v1/extensions", "/api/v1/calls/x", "/api/v1/nothing"] {
        let answer = with_authorization(&office, path, Some("Bearer ohk_wrong"))
            .await
            .is(401);
        assert!(
            answer.header("www-authenticate").contains("invalid_token"),
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    // Refused before the body is looked at.
    let request = Request::post("/api/v1/extensions")
        .body(Body::from("{"))
        .unwrap();
    office.ask(request).await.is(401);
}

async fn a_key_of_the_store_opens(office: Office) {
    let key = office
        .store
        .first_admin_key()
        .await
        .unwrap()
        .expect("a first key");
    for value in [
        format!("Bearer {key}"),
        format!("bearer  {key}"),
        format!("Bearer {KEY}"),
    ] {
        with_authorization(&office, "/api/v1/extensions", Some(&value))
            .await
            .is(200);
    }
}

async fn a_key_that_was_right_opens_while_the_database_is_away(office: Office) {
    let key = office.store.first_admin_key().await.unwrap();
    let right = format!("Bearer {}", key.expect("a first key"));
    with_authorization(&office, "/api/v1/calls", Some(&right))
        .await
        .is(200);
    office.sql("DROP TABLE api_keys").await;
    with_authorization(&office, "/api/v1/calls", Some(&right))
        .await
        .is(200);
    with_authorization(&office, "/api/v1/calls", Some("Bearer ohk_unknown"))
        .await
        .is(503);
}

async fn health_needs_no_key(office: Office) {
    let health = async |key: Option<&str>| {
        let answer = with_authorization(&office, "/api/v1/system/health", key).await;
        answer.is(200).body
    };
    let mut expected = json!({
        "status": "ok", "version": "1.2.3", "calls": 0, "database": "ok", "records_waiting": null,
        "dialplan": "ok", "certificate_expires_at": "2100-01-01T00:00:00.000Z", "problems": [],
        "trunks": {"registered": 0, "registering": 0, "failed": 0, "static": 0},
    });
    assert_eq!(health(None).await, expected);
    office.live.watch_records(|| 3);
    let states = [
        TrunkState::Registered,
        TrunkState::Static,
        TrunkState::Failed { why: "403".into() },
        TrunkState::Registered,
    ];
    for (i, state) in states.into_iter().enumerate() {
        let name = format!("trunk{i}");
        office.live.apply(&Notice::Trunk { name, state });
    }
    let broken = ("main.rhai".to_owned(), "syntax error".to_owned());
    office.scripts.files.lock().unwrap().extend([broken]);
    expected["records_waiting"] = json!(3);
    expected["trunks"] = json!({"registered": 2, "registering": 0, "failed": 1, "static": 1});
    expected["dialplan"] = json!("old");
    expected["problems"] = json!([
        "the scripts in the dialplan folder are refused: older ones serve",
        "trunks not registered: 1",
    ]);
    assert_eq!(health(None).await, expected);
    assert_eq!(health(Some("Bearer ohk_wrong")).await, expected);
    let why = json!([{"file": "main.rhai", "line": 3, "column": 7, "why": "Expecting ';'"}]);
    expected["dialplan_errors"] = why;
    assert_eq!(health(Some(&format!("Bearer {KEY}"))).await, expected);
}

#[tokio::test]
async fn bodies_are_json_of_a_reasonable_size() {
    let office = Office::on_sqlite().await;
    let post = |media_type: &str, body: Vec<u8>| {
        let request = Request::post("/api/v1/extensions")
            .header(header::AUTHORIZATION, format!("Bearer {KEY}"))
            .header(header::CONTENT_TYPE, media_type);
        office.ask(request.body(Body::from(body)).unwrap())
    };
    for media_type in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/merge-patch+json",
    ] {
        post(media_type, b"{}".to_vec()).await.is(415);
    }
    for broken in ["", "{", "nope", "{\"number\":\"101\"", "\u{0}"] {
        let answer = post("application/json", broken.into()).await.is(400);
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(" at line 1 column "), "{detail}");
    }
    post("application/json", vec![0xff, 0xfe]).await.is(400);
    post("application/json", "[".repeat(200_000).into())
        .await
        .is(400);
    for other in ["[]", "1", "null", "\"text\""] {
        assert_eq!(
            post("application/json", other.into()).await.wrong_fields(),
            [""]
        );
    }
    let limit = api::MAX_BODY_BYTES;
    post("application/json", vec![b' '; limit + 1])
        .await
        .is(413);
    let mut just = b"{}".to_vec();
    just.resize(limit, b' ');
    let fields = post("Application/JSON; charset=utf-8", just)
        .await
        .wrong_fields();
    assert_eq!(fields, ["number", "password"]);
}
