//! Bad weather: the switch is swamped, the database goes away, a client hangs up too early.

use crate::office::Office;
use serde_json::json;
use switch::{CallId, Event};

on_both_databases!(
    a_swamped_switch_changes_nothing,
    without_a_database_the_api_says_so,
    what_was_written_but_not_told_is_told_next_time,
    a_client_that_goes_away_leaves_nothing_untold,
);

async fn a_swamped_switch_changes_nothing(mut office: Office) {
    let new = json!({"number": "101", "password": "correct horse battery"});
    office.post("/extensions", new.clone()).await.is(201);
    while office
        .to_switch
        .try_send(Event::HangUp { call: CallId(9) })
        .is_ok()
    {}
    let trunk = json!({"name": "itsp", "host": "h", "auth": "address"});
    let refused = [
        office
            .post(
                "/extensions",
                json!({"number": "102", "password": "correct horse battery"}),
            )
            .await,
        office
            .patch("/extensions/101", json!({"name": "Bob"}))
            .await,
        office.put("/extensions/101", json!({"name": "Bob"})).await,
        office.delete("/extensions/101").await,
        office.post("/trunks", trunk).await,
        office
            .post("/calls", json!({"from": "101", "to": "102"}))
            .await,
    ];
    for answer in refused {
        assert_eq!(answer.is(503).header("retry-after"), "1");
    }
    let all = office.get("/extensions").await.items();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["name"], "");
    assert!(office.get("/trunks").await.items().is_empty());
    while office.switch.try_recv().is_ok() {}
    office.delete("/extensions/101").await.is(204);
}

async fn without_a_database_the_api_says_so(office: Office) {
    let new = json!({"number": "101", "password": "correct horse battery"});
    office.post("/extensions", new.clone()).await.is(201);
    office.sql("DROP TABLE extensions").await;
    for answer in [
        office.get("/extensions").await,
        office.get("/extensions/101").await,
        office.post("/extensions", new.clone()).await,
        office.put("/extensions/101", new).await,
        office.delete("/extensions/101").await,
        office
            .post("/calls", json!({"from": "101", "to": "102"}))
            .await,
    ] {
        assert_eq!(answer.is(503).header("retry-after"), "5");
    }
    let health = office.get("/system/health").await.is(200);
    assert_eq!(health.body["database"], "unavailable");
    assert_eq!(health.body["status"], "ok");
    let problem = health.body["problems"][0].as_str().unwrap();
    assert!(problem.starts_with("the database does not answer"));
    office.get("/calls").await.is(200);
}

async fn what_was_written_but_not_told_is_told_next_time(mut office: Office) {
    let new = json!({"number": "101", "password": "correct horse battery"});
    office.post("/extensions", new).await.is(201);
    office.told().expect("told");
    // The extensions can be written, but the whole cannot be read.
    office.sql("ALTER TABLE trunks RENAME TO away").await;
    let answer = office.delete("/extensions/101").await.is(503);
    assert_eq!(answer.header("retry-after"), "5");
    assert!(office.told().is_none());
    office.sql("ALTER TABLE away RENAME TO trunks").await;
    office.delete("/extensions/101").await.is(404);
    assert!(office.told().expect("told after all").extensions.is_empty());
    office.delete("/extensions/101").await.is(404);
    assert!(office.told().is_none());
}

async fn a_client_that_goes_away_leaves_nothing_untold(mut office: Office) {
    let new = json!({"number": "101", "password": "correct horse battery"});
    {
        let mut request = Box::pin(office.post("/extensions", new));
        // Until the first wait: by then the write has begun or never will.
        let first = std::future::poll_fn(|context| {
            std::task::Poll::Ready(request.as_mut().poll(context).is_pending())
        });
        assert!(first.await, "a write waits for the database");
    }
    match office.switch.recv().await {
        Some(Event::Directory(directory)) => assert!(directory.extensions.contains_key("101")),
        other => panic!("{other:?}"),
    }
}
