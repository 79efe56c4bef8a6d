//! `/trunks`.

use crate::office::{KEY, Office, in_pages};
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};
use switch::{Notice, TrunkState};

on_both_databases!(
    a_trunk_comes_to_life_and_goes,
    its_state_comes_from_the_switch,
    every_wrong_field_is_named,
    put_creates_and_replaces,
    patch_merges,
    tls_settings_are_kept_and_its_key_is_not_shown,
    numbers_that_lead_nowhere_are_told,
    lists_come_in_pages,
);

fn new(name: &str) -> Value {
    json!({"name": name, "host": "sip.example.net", "username": "490001", "password": "secret"})
}

async fn a_trunk_comes_to_life_and_goes(mut office: Office) {
    let answer = office.post("/trunks", new("itsp")).await.is(201);
    assert_eq!(answer.header("location"), "/api/v1/trunks/itsp");
    let shown = json!({
        "name": "itsp", "host": "sip.example.net", "port": null, "transport": "udp", "auth": "registration",
        "username": "490001", "codecs": ["opus", "G722", "PCMA", "PCMU"], "numbers": {}, "match_port": false, "tls_verify": "system", "tls_ca": null, "tls_pin": null, "tls_certificate": null,
        "tls_client_ca": null, "tls_client_name": null,
        "trust_identity": false, "reliable_provisionals": "supported", "srtp": "off", "dtmf": "auto",
        "state": null, "state_why": null,
    });
    assert_eq!(answer.body, shown);
    let directory = office.told().expect("told before the answer");
    assert_eq!(directory.trunk_passwords["itsp"], "secret");
    assert_eq!(office.get("/trunks/itsp").await.is(200).body, shown);
    let taken = office.post("/trunks", new("itsp")).await.is(409);
    assert_eq!(taken.body["errors"][0]["field"], "name");
    assert!(office.told().is_none());

    office.delete("/trunks/itsp").await.is(204);
    assert!(office.told().expect("told").trunks.is_empty());
    office.get("/trunks/itsp").await.is(404);
    office.delete("/trunks/itsp").await.is(404);
    office.get("/trunks/%00").await.is(404);
}

async fn its_state_comes_from_the_switch(office: Office) {
    office.post("/trunks", new("itsp")).await.is(201);
    let why = "403 Forbidden".to_owned();
    let states = [
        (TrunkState::Static, "static", Value::Null),
        (TrunkState::Registering, "registering", Value::Null),
        (TrunkState::Registered, "registered", Value::Null),
        (
            TrunkState::Failed { why: why.clone() },
            "failed",
            json!(why),
        ),
    ];
    for (state, word, why) in states {
        office.live.apply(&Notice::Trunk {
            name: "itsp".into(),
            state,
        });
        let shown = office.get("/trunks/itsp").await.is(200).body;
        assert_eq!((&shown["state"], &shown["state_why"]), (&json!(word), &why));
        assert_eq!(office.get("/trunks").await.items(), [shown]);
    }
}

/// One field of a body that is right otherwise, and a value it must not have.
fn wrong_values() -> Vec<(&'static str, Value)> {
    vec![
        ("name", json!("")),
        ("name", json!(null)),
        ("host", json!("a b")),
        ("host", json!(null)),
        ("port", json!(0)),
        ("port", json!("5060")),
        ("port", json!(-1)),
        ("transport", json!("UDP")),
        ("transport", json!(null)),
        ("auth", json!("none")),
        ("username", json!(null)),
        ("username", json!("a\u{0}")),
        ("password", json!(null)),
        ("password", json!(5)),
        ("password", json!("a\r\nb")),
        ("numbers", json!([])),
        ("numbers", json!(null)),
        ("match_port", json!(null)),
        ("trust_identity", json!(null)),
        ("reliable_provisionals", json!(true)),
        ("srtp", json!(null)),
        ("dtmf", json!(null)),
    ]
}

async fn every_wrong_field_is_named(mut office: Office) {
    let all = json!({
        "name": "A b", "host": "", "port": 70000, "transport": "sctp", "auth": true, "username": 5, "password": "",
        "codecs": [], "numbers": {"+4930": 101, "x": "101", "+4931": "bob"}, "match_port": 0, "trust_identity": 1, "reliable_provisionals": "yes",
        "state": "registered", "speed": 9,
    });
    let mut fields = office.post("/trunks", all).await.wrong_fields();
    fields.sort();
    let expected = [
        "auth",
        "codecs",
        "host",
        "match_port",
        "name",
        "numbers.+4930",
        "numbers.+4931",
        "numbers.x",
        "password",
        "port",
        "reliable_provisionals",
        "speed",
        "state",
        "transport",
        "trust_identity",
        "username",
    ];
    assert_eq!(fields, expected);
    for (field, value) in wrong_values() {
        let mut body = new("itsp");
        body[field] = value.clone();
        assert_eq!(
            office.post("/trunks", body).await.wrong_fields(),
            [field],
            "{value}"
        );
    }
    let fields = office.post("/trunks", json!({})).await.wrong_fields();
    assert_eq!(fields, ["name", "host", "password", "username"]);
    assert!(office.told().is_none());
}

async fn put_creates_and_replaces(mut office: Office) {
    let created = office.put("/trunks/itsp", new("itsp")).await.is(201);
    assert_eq!(created.header("location"), "/api/v1/trunks/itsp");
    let replacement = json!({
        "host": "192.0.2.7", "port": 5070, "transport": "tls", "username": "u", "numbers": {"+4930": "101"},
    });
    let replaced = office.put("/trunks/itsp", replacement).await.is(200);
    assert_eq!(replaced.body["port"], 5070);
    assert_eq!(replaced.body["transport"], "tls");
    let directory = office.told().expect("told");
    assert_eq!(directory.trunk_passwords["itsp"], "secret");
    assert_eq!(directory.inbound_extension("itsp", "+4930"), Some("101"));

    let nulled = office
        .put(
            "/trunks/itsp",
            json!({"host": "h", "username": "u", "password": null}),
        )
        .await;
    assert_eq!(nulled.wrong_fields(), ["password"]);
    let renamed = office.put("/trunks/other", new("itsp")).await;
    assert_eq!(renamed.wrong_fields(), ["name"]);
    let nonsense = office
        .put("/trunks/A%20b", json!({"host": "h", "auth": "address"}))
        .await;
    assert_eq!(nonsense.wrong_fields(), ["name"]);
    assert!(office.told().is_none());

    let address = json!({"host": "192.0.2.0/24", "auth": "address", "password": null});
    office.put("/trunks/itsp", address).await.is(200);
    assert!(office.told().expect("told").trunk_passwords.is_empty());
    let back = office
        .put("/trunks/itsp", json!({"host": "h", "username": "u"}))
        .await;
    assert_eq!(back.wrong_fields(), ["password"], "there is none to keep");
}

async fn patch_merges(mut office: Office) {
    let mut body = new("itsp");
    body["numbers"] = json!({"+4930": "101", "+4931": "102"});
    body["port"] = json!(5080);
    office.post("/trunks", body).await.is(201);
    let patch = json!({"numbers": {"+4930": null, "+4932": "103"}, "port": null});
    let patched = office.patch("/trunks/itsp", patch).await.is(200);
    assert_eq!(
        patched.body["numbers"],
        json!({"+4931": "102", "+4932": "103"})
    );
    assert_eq!(patched.body["port"], Value::Null);
    assert_eq!(patched.body["username"], "490001");
    assert_eq!(
        office.told().expect("told").trunk_passwords["itsp"],
        "secret"
    );
    office
        .patch("/trunks/itsp", json!({"password": "another"}))
        .await
        .is(200);
    assert_eq!(
        office.told().expect("told").trunk_passwords["itsp"],
        "another"
    );

    let refused = json!({"name": "other", "username": null, "password": null, "state": "registered", "host": null});
    let mut fields = office.patch("/trunks/itsp", refused).await.wrong_fields();
    fields.sort();
    assert_eq!(fields, ["host", "name", "password", "state", "username"]);
    office.patch("/trunks/none", json!({})).await.is(404);
    assert!(office.told().is_none());
    office
        .patch("/trunks/itsp", json!({"auth": "address", "password": null}))
        .await
        .is(200);
    assert!(office.told().expect("told").trunk_passwords.is_empty());
}

async fn numbers_that_lead_nowhere_are_told(office: Office) {
    let problems = async |key: Option<&str>| {
        let mut request = Request::get("/api/v1/system/health");
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let health = office.ask(request.body(Body::empty()).unwrap()).await;
        health.is(200).body["problems"].clone()
    };
    let mut trunk = new("itsp");
    trunk["numbers"] = json!({"+4930": "101", "+4931": "102"});
    office.post("/trunks", trunk).await.is(201);
    let what = "numbers of trunks that lead to no extension";
    let all = json!([format!(
        "{what}: +4930 of itsp to 101, +4931 of itsp to 102"
    )]);
    assert_eq!(problems(Some(KEY)).await, all);
    assert_eq!(problems(None).await, json!([format!("{what}: 2")]));
    for number in ["101", "102"] {
        let extension = json!({"number": number, "password": "correct horse battery"});
        office.post("/extensions", extension).await.is(201);
    }
    assert_eq!(problems(Some(KEY)).await, json!([]));
    office.delete("/extensions/102").await.is(204);
    let one = json!([format!("{what}: +4931 of itsp to 102")]);
    assert_eq!(problems(Some(KEY)).await, one);
}

async fn lists_come_in_pages(office: Office) {
    for name in ["c", "a", "e", "b", "d"] {
        office.post("/trunks", new(name)).await.is(201);
    }
    let all = office.get("/trunks").await.items();
    let names: Vec<&str> = all.iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    assert_eq!(in_pages(&office, "/trunks").await, all);
}

async fn tls_settings_are_kept_and_its_key_is_not_shown(mut office: Office) {
    let pem = |kind: &str| format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
    let mut body = new("itsp");
    body["transport"] = json!("auto");
    body["tls_verify"] = json!("pin");
    body["tls_pin"] = json!("00".repeat(32));
    body["tls_certificate"] = json!(pem("CERTIFICATE"));
    body["tls_key"] = json!(pem("PRIVATE KEY"));
    body["tls_client_ca"] = json!(pem("CERTIFICATE"));
    body["tls_client_name"] = json!("sip.example.net");
    let made = office.post("/trunks", body).await.is(201);
    assert_eq!(made.body["tls_verify"], "pin");
    assert_eq!(made.body["tls_client_name"], "sip.example.net");
    assert!(!made.body.to_string().contains("PRIVATE"));
    let key = |office: &mut Office| {
        let directory = office.told().expect("told");
        let key = directory.trunks["itsp"].tls.key.as_ref();
        key.map(|key| key.0.clone())
    };
    assert_eq!(key(&mut office), Some(pem("PRIVATE KEY")));

    let patch = json!({"tls_verify": "none", "tls_pin": null});
    let patched = office.patch("/trunks/itsp", patch).await.is(200);
    assert_eq!(patched.body["tls_pin"], Value::Null);
    assert_eq!(
        key(&mut office),
        Some(pem("PRIVATE KEY")),
        "left out, it stays"
    );

    let wrong = json!({"tls_key": null});
    let wrong = office.patch("/trunks/itsp", wrong).await;
    assert_eq!(wrong.wrong_fields(), ["tls_certificate"]);
    let patch = json!({"tls_certificate": null});
    office.patch("/trunks/itsp", patch).await.is(200);
    assert_eq!(key(&mut office), None, "of no use without its certificate");
}
