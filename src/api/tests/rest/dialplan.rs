//! `/dialplan`.

use crate::office::Office;
use serde_json::{Value, json};

#[tokio::test]
async fn scripts_are_shown_and_replaced() {
    let office = Office::on_sqlite().await;
    assert_eq!(office.get("/dialplan").await.is(200).body, json!({}));
    let scripts = json!({"main.rhai": "fn internal(s) {}", "night_2-b.rhai": ""});
    assert_eq!(
        office.put("/dialplan", scripts.clone()).await.is(200).body,
        scripts
    );
    assert_eq!(office.get("/dialplan").await.is(200).body, scripts);
    office
        .send(axum::http::Method::POST, "/dialplan/reload", None)
        .await
        .is(204);
}

#[tokio::test]
async fn a_refused_script_says_where_and_why() {
    let office = Office::on_sqlite().await;
    let good = json!({"main.rhai": "fn internal(s) {}"});
    office.put("/dialplan", good.clone()).await.is(200);
    let bad = json!({"main.rhai": "syntax error", "other.rhai": ""});
    let answer = office.put("/dialplan", bad).await.is(422);
    let errors = json!([
        {"field": "main.rhai", "file": "main.rhai", "line": 3, "column": 7, "why": "Expecting ';'"},
    ]);
    assert_eq!(answer.body["errors"], errors);
    assert_eq!(answer.body["detail"], "main.rhai:3:7: Expecting ';'");
    assert_eq!(
        office.get("/dialplan").await.body,
        good,
        "the old one stays"
    );

    let broken = ("main.rhai".to_owned(), "syntax error".to_owned());
    office.scripts.files.lock().unwrap().extend([broken]);
    let answer = office
        .send(axum::http::Method::POST, "/dialplan/reload", None)
        .await
        .is(422);
    assert_eq!(answer.body["errors"], errors);
}

#[tokio::test]
async fn only_plain_names_and_text_are_scripts() {
    let office = Office::on_sqlite().await;
    for name in [
        "../main.rhai",
        "/etc/passwd",
        "main",
        ".rhai",
        "a.b.rhai",
        "main.rhai\u{0}",
    ] {
        let mut body = json!({"main.rhai": ""});
        body[name] = Value::from("");
        assert_eq!(office.put("/dialplan", body).await.wrong_fields(), [name]);
    }
    let body = json!({"main.rhai": 5, "b.rhai": null});
    let mut fields = office.put("/dialplan", body).await.wrong_fields();
    fields.sort();
    assert_eq!(fields, ["b.rhai", "main.rhai"]);
    assert_eq!(
        office.put("/dialplan", json!({})).await.wrong_fields(),
        [""]
    );
}
