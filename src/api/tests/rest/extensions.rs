//! `/extensions`.

use crate::office::{KEY, Office, REALM, in_pages};
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};

on_both_databases!(
    an_extension_comes_to_life_and_goes,
    every_wrong_field_is_named,
    put_creates_and_replaces,
    patch_merges,
    a_weak_password_does_not_outlive_its_permission,
    what_the_host_routes_is_no_extension,
    lists_come_in_pages,
    writes_take_turns,
);

const PASSWORD: &str = "correct horse battery";

fn new(number: &str) -> Value {
    json!({"number": number, "password": PASSWORD})
}

async fn an_extension_comes_to_life_and_goes(mut office: Office) {
    let answer = office.post("/extensions", new("101")).await.is(201);
    assert_eq!(answer.header("location"), "/api/v1/extensions/101");
    let shown = json!({
        "number": "101", "name": "", "codecs": ["opus", "G722", "PCMA", "PCMU"],
        "max_contacts": 5, "allow_weak_password": false, "redirects": "follow", "allowed_networks": [],
        "push_message_summary": false, "watch_list": [], "srtp": "off", "dtmf": "auto",
        "phones": {"registered": 0, "reachable": 0},
    });
    assert_eq!(answer.body, shown);
    let directory = office.told().expect("told before the answer");
    assert_eq!(
        directory.extensions["101"].ha1,
        store::ha1("101", REALM, PASSWORD)
    );
    assert_eq!(office.get("/extensions/101").await.is(200).body, shown);

    let taken = office.post("/extensions", new("101")).await.is(409);
    assert_eq!(taken.body["errors"][0]["field"], "number");
    assert!(office.told().is_none(), "nothing was written");

    office.delete("/extensions/101").await.is(204);
    assert!(office.told().expect("told").extensions.is_empty());
    office.get("/extensions/101").await.is(404);
    office.delete("/extensions/101").await.is(404);
    office.patch("/extensions/101", json!({})).await.is(404);
    office.get("/extensions/%00").await.is(404);
    assert!(office.told().is_none());
}

/// One field of a body that is right otherwise, and a value it must not have.
fn wrong_values() -> Vec<(&'static str, Value)> {
    vec![
        ("number", json!(101)),
        ("number", json!(null)),
        ("number", json!("")),
        ("number", json!("1234567890123456")),
        ("number", json!("1\u{0}1")),
        ("name", json!("a\nb")),
        ("name", json!(null)),
        ("name", json!("x".repeat(101))),
        ("password", json!(null)),
        ("password", json!("")),
        ("password", json!(123_456_789_012_i64)),
        ("password", json!("elevenchars")),
        ("codecs", json!([])),
        ("codecs", json!("PCMU")),
        ("codecs", json!([1])),
        ("codecs", json!(["PCMU", "PCMU"])),
        ("codecs", json!({})),
        ("max_contacts", json!(0)),
        ("max_contacts", json!(-1)),
        ("max_contacts", json!(1.5)),
        ("max_contacts", json!("5")),
        ("max_contacts", json!(1_000_000)),
        ("allow_weak_password", json!(1)),
        ("redirects", json!("reject")),
        ("srtp", json!("on")),
        ("push_message_summary", json!(1)),
        ("dtmf", json!("rfc2833")),
        ("watch_list", json!("101")),
        ("watch_list", json!(["101", "101"])),
        ("watch_list", json!(["anna"])),
        (
            "watch_list",
            json!((0..61).map(|n| n.to_string()).collect::<Vec<_>>()),
        ),
        ("phones", json!({})),
        ("allowed_networks", json!("192.0.2.0/24")),
        ("allowed_networks", json!([1])),
        ("allowed_networks", json!(["192.0.2.0/33"])),
        ("allowed_networks", json!(["office"])),
        ("allowed_networks", json!(vec!["192.0.2.1"; 51])),
        ("", json!(1)),
    ]
}

async fn every_wrong_field_is_named(mut office: Office) {
    let all = json!({
        "number": "1o1", "name": 5, "password": "short", "codecs": ["PCMU", "mp3"],
        "max_contacts": 51, "allow_weak_password": "yes", "colour": "red", "state": null,
    });
    let mut fields = office.post("/extensions", all).await.wrong_fields();
    fields.sort();
    let expected = [
        "allow_weak_password",
        "codecs",
        "colour",
        "max_contacts",
        "name",
        "number",
        "password",
        "state",
    ];
    assert_eq!(fields, expected);

    for (field, value) in wrong_values() {
        let mut body = new("101");
        body[field] = value.clone();
        let fields = office.post("/extensions", body).await.wrong_fields();
        assert_eq!(fields, [field], "{value}");
    }
    assert_eq!(
        office.post("/extensions", json!({})).await.wrong_fields(),
        ["number", "password"]
    );
    let own_number = json!({"number": "123456789012", "password": "123456789012"});
    assert_eq!(
        office
            .post("/extensions", own_number.clone())
            .await
            .wrong_fields(),
        ["password"]
    );
    assert!(office.told().is_none());
    let mut insisted = own_number;
    insisted["allow_weak_password"] = json!(true);
    office.post("/extensions", insisted).await.is(201);
}

async fn put_creates_and_replaces(mut office: Office) {
    let fields = office
        .put("/extensions/101", json!({"name": "Ann"}))
        .await
        .wrong_fields();
    assert_eq!(fields, ["password"]);
    let full = json!({"number": "101", "name": "Ann", "password": PASSWORD, "codecs": ["pcmu"], "max_contacts": 2});
    let created = office.put("/extensions/101", full.clone()).await.is(201);
    assert_eq!(created.header("location"), "/api/v1/extensions/101");
    assert_eq!(created.body["codecs"], json!(["PCMU"]));

    // What is left out gets its default; the password stays.
    let replaced = office
        .put("/extensions/101", json!({"name": "Bob"}))
        .await
        .is(200);
    assert_eq!(replaced.body["max_contacts"], 5);
    assert_eq!(replaced.body["name"], "Bob");
    let directory = office.told().expect("told");
    assert_eq!(
        directory.extensions["101"].ha1,
        store::ha1("101", REALM, PASSWORD)
    );

    let renamed = office.put("/extensions/102", full).await;
    assert_eq!(renamed.wrong_fields(), ["number"]);
    let nonsense = office
        .put("/extensions/abc", json!({"password": PASSWORD}))
        .await;
    assert_eq!(nonsense.wrong_fields(), ["number"]);
    let nulled = office
        .put("/extensions/101", json!({"password": null}))
        .await;
    assert_eq!(nulled.wrong_fields(), ["password"]);
    assert!(office.told().is_none());
}

async fn patch_merges(mut office: Office) {
    let full = json!({"number": "101", "name": "Ann", "password": PASSWORD, "codecs": ["PCMU"], "max_contacts": 2,
        "allowed_networks": ["192.0.2.0/24"], "push_message_summary": true, "watch_list": ["103", "102"], "srtp": "required", "dtmf": "info"});
    office.post("/extensions", full).await.is(201);
    let patched = office
        .patch("/extensions/101", json!({"name": "Bob"}))
        .await
        .is(200);
    let expected = json!({
        "number": "101", "name": "Bob", "codecs": ["PCMU"], "max_contacts": 2, "allow_weak_password": false, "redirects": "follow",
        "allowed_networks": ["192.0.2.0/24"], "push_message_summary": true, "watch_list": ["103", "102"], "srtp": "required", "dtmf": "info",
        "phones": {"registered": 0, "reachable": 0},
    });
    assert_eq!(patched.body, expected);
    let nulled = office
        .patch(
            "/extensions/101",
            json!({"name": null, "max_contacts": null}),
        )
        .await
        .is(200);
    assert_eq!(nulled.body["name"], "");
    assert_eq!(nulled.body["max_contacts"], 5);
    office
        .patch(
            "/extensions/101",
            json!({"password": "another long password", "number": "101"}),
        )
        .await
        .is(200);
    let directory = office.told().expect("told");
    assert_eq!(
        directory.extensions["101"].ha1,
        store::ha1("101", REALM, "another long password")
    );

    let refused = json!({"number": "102", "password": null, "codecs": [], "colour": 1, "ha1": {}});
    let mut fields = office
        .patch("/extensions/101", refused)
        .await
        .wrong_fields();
    fields.sort();
    assert_eq!(fields, ["codecs", "colour", "ha1", "number", "password"]);
    assert_eq!(
        office
            .patch("/extensions/101", json!({"number": null}))
            .await
            .wrong_fields(),
        ["number"]
    );
    assert!(office.told().is_none());

    let request = Request::patch("/api/v1/extensions/101")
        .header(header::AUTHORIZATION, format!("Bearer {KEY}"))
        .header(header::CONTENT_TYPE, "application/merge-patch+json")
        .body(Body::from(r#"{"name":"Carol"}"#))
        .unwrap();
    assert_eq!(office.ask(request).await.is(200).body["name"], "Carol");
}

async fn a_weak_password_does_not_outlive_its_permission(mut office: Office) {
    let weak = json!({"number": "101", "password": "x", "allow_weak_password": true});
    office.post("/extensions", weak).await.is(201);
    office.told().expect("told");
    let path = "/extensions/101";
    for body in [
        json!({"allow_weak_password": false}),
        json!({"allow_weak_password": null}),
    ] {
        let refused = office.patch(path, body).await.is(422);
        let detail = refused.body["detail"].as_str().expect("detail");
        assert!(detail.contains("send a new one"), "{detail}");
        assert_eq!(refused.wrong_fields(), ["password"]);
    }
    let replaced = office.put(path, json!({"name": "Ann"})).await;
    assert_eq!(replaced.wrong_fields(), ["password"]);
    let short = json!({"allow_weak_password": false, "password": "short"});
    assert_eq!(office.patch(path, short).await.wrong_fields(), ["password"]);
    assert!(office.told().is_none());

    office.patch(path, json!({"name": "Ann"})).await.is(200);
    let strong = json!({"allow_weak_password": false, "password": PASSWORD});
    office.patch(path, strong).await.is(200);
    let ha1 = store::ha1("101", REALM, PASSWORD);
    assert_eq!(office.told().expect("told").extensions["101"].ha1, ha1);
    office.put(path, json!({"name": "Bob"})).await.is(200);
}

/// The office of the tests has the emergency number 112 and the outbound prefix 9.
async fn what_the_host_routes_is_no_extension(mut office: Office) {
    for (number, reason) in [
        ("112", "emergency"),
        ("9101", "prefix 9"),
        ("9112", "prefix 9"),
    ] {
        let refused = office.post("/extensions", new(number)).await.is(422);
        let detail = refused.body["detail"].as_str().expect("detail");
        assert!(detail.contains(reason), "{detail}");
        assert_eq!(refused.wrong_fields(), ["number"]);
        let path = format!("/extensions/{number}");
        assert_eq!(
            office.put(&path, new(number)).await.wrong_fields(),
            ["number"]
        );
    }
    assert!(office.told().is_none());
    office.post("/extensions", new("9")).await.is(201);
    office.post("/extensions", new("1120")).await.is(201);
    let problems =
        async |office: &Office| office.get("/system/health").await.is(200).body["problems"].clone();
    assert_eq!(problems(&office).await, json!([]));

    // Made when the configuration was another one.
    office
        .sql("UPDATE extensions SET number = '112' WHERE number = '1120'")
        .await;
    office
        .patch("/extensions/112", json!({"name": "Old"}))
        .await
        .is(200);
    let sentence = "extensions that nobody can call: 112 (is an emergency number)";
    assert_eq!(problems(&office).await, json!([sentence]));
    office.delete("/extensions/112").await.is(204);
    assert_eq!(problems(&office).await, json!([]));
}

async fn lists_come_in_pages(office: Office) {
    assert_eq!(
        office.get("/extensions").await.is(200).body,
        json!({"items": [], "next": null})
    );
    for number in ["103", "101", "105", "102", "104"] {
        office.post("/extensions", new(number)).await.is(201);
    }
    let all = office.get("/extensions?limit=500").await.items();
    let numbers: Vec<&str> = all.iter().map(|e| e["number"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["101", "102", "103", "104", "105"]);
    assert_eq!(in_pages(&office, "/extensions").await, all);
    assert!(office.get("/extensions?limit=5").await.is(200).body["next"].is_null());

    for limit in ["0", "501", "-1", "x", "", "1.5", "99999999999999999999"] {
        let fields = office
            .get(&format!("/extensions?limit={limit}"))
            .await
            .wrong_fields();
        assert_eq!(fields, ["limit"], "{limit}");
    }
    for after in ["101", "", "%00", "WzFd", "bm8", "WyIxMDEiLCIxIl0"] {
        let fields = office
            .get(&format!("/extensions?after={after}"))
            .await
            .wrong_fields();
        assert_eq!(fields, ["after"], "{after}");
    }
    let fields = office
        .get("/extensions?limt=5&limit=0")
        .await
        .wrong_fields();
    assert_eq!(fields, ["limt", "limit"]);
}

async fn writes_take_turns(mut office: Office) {
    let numbers: Vec<String> = (200..220).map(|n| n.to_string()).collect();
    let writes = numbers
        .iter()
        .map(|number| office.post("/extensions", new(number)));
    for answer in join_all(writes).await {
        answer.is(201);
    }
    let mut known = 0;
    while let Ok(switch::Event::Directory(directory)) = office.switch.try_recv() {
        assert_eq!(
            directory.extensions.len(),
            known + 1,
            "each snapshot has one more"
        );
        known += 1;
    }
    assert_eq!(known, 20);
}

/// All of them at once, on one task.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|f| Some(Box::pin(f))).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        for slot in &mut waiting {
            if let Some(future) = slot
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                done.push(output);
                *slot = None;
            }
        }
        if waiting.iter().all(Option::is_none) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done
}
