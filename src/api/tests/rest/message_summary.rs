//! `/extensions/{number}/message-summary`: kept, told, refused.

use crate::office::Office;
use directory::MessageSummary;
use serde_json::json;
use switch::Event;

on_both_databases!(
    counts_are_kept_and_told,
    counts_of_nobody_are_not_kept,
    wrong_counts_are_refused,
);

const PATH: &str = "/extensions/101/message-summary";

async fn office_with_101(office: &mut Office) {
    let new = json!({"number": "101", "password": "correct horse battery"});
    office.post("/extensions", new).await.is(201);
    office.told().expect("told");
}

async fn counts_are_kept_and_told(mut office: Office) {
    office_with_101(&mut office).await;
    let none = json!({"new": 0, "old": 0, "urgent_new": 0, "urgent_old": 0});
    assert_eq!(office.get(PATH).await.is(200).body, none);
    let set = json!({"new": 2, "old": 8, "urgent_new": 1});
    let shown = json!({"new": 2, "old": 8, "urgent_new": 1, "urgent_old": 0});
    assert_eq!(office.put(PATH, set).await.is(200).body, shown);
    assert_eq!(office.get(PATH).await.is(200).body, shown);
    let told = office.switch.try_recv().expect("told");
    let counts = MessageSummary {
        new: 2,
        old: 8,
        urgent_new: 1,
        urgent_old: 0,
    };
    assert!(
        matches!(&told, Event::MessageSummaries(all) if *all == [("101".to_owned(), counts)]),
        "{told:?}"
    );
    // They go with their extension.
    office.delete("/extensions/101").await.is(204);
    office.get(PATH).await.is(404);
    office_with_101(&mut office).await;
    assert_eq!(office.get(PATH).await.is(200).body, none);
}

async fn counts_of_nobody_are_not_kept(mut office: Office) {
    office.put(PATH, json!({"new": 1})).await.is(404);
    office.get(PATH).await.is(404);
    assert!(office.told().is_none());
}

async fn wrong_counts_are_refused(mut office: Office) {
    office_with_101(&mut office).await;
    for wrong in [
        json!(-1),
        json!(1.5),
        json!("1"),
        json!(100_000),
        json!(null),
    ] {
        let answer = office.put(PATH, json!({"new": wrong})).await;
        assert_eq!(answer.wrong_fields(), ["new"]);
    }
    let answer = office.put(PATH, json!({"newest": 1})).await;
    assert_eq!(answer.wrong_fields(), ["newest"]);
    assert!(office.told().is_none());
}
