//! `/call-records/{id}/sip`.

use crate::office::{KEY, Office};
use axum::body::Body;
use axum::http::{Request, header};
use directory::Traced;
use serde_json::{Value, json};
use std::time::Duration;
use store::{TraceLimits, Traces};
use tempfile::TempDir;

const ID: &str = "cal_0000000000000007";
const INVITE: &str =
    "INVITE sip:102@pbx SIP/2.0\r\nCSeq: 1 INVITE\r\nAuthorization: Digest nonce=\"abc\"\r\n\r\n";
const BUSY: &str = "SIP/2.0 486 Busy Here\r\ncseq : 1 INVITE\r\n\r\n";

fn message(at_us: i64, inward: bool, text: &str) -> Traced {
    Traced {
        call: 7,
        leg: Some(1),
        at_us,
        inward,
        transport: "tcp".into(),
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: "192.0.2.9:5071".parse().unwrap(),
        bytes: text.to_owned().into(),
    }
}

/// The trace of a call that was refused, in `folder`.
fn traces(folder: &TempDir) -> Traces {
    let limits = TraceLimits {
        retention: Duration::from_secs(3_600),
        bytes: 1 << 20,
    };
    let traces = Traces::start(folder.path().to_owned(), limits).unwrap();
    traces.add(&mut vec![
        message(1_772_352_930_250_000, true, INVITE),
        message(1_772_352_930_250_900, false, BUSY),
    ]);
    traces
}

#[tokio::test]
async fn the_messages_of_a_call_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let traces = traces(&folder);
    let without = Office::on_sqlite().await;
    without
        .get(&format!("/call-records/{ID}/sip"))
        .await
        .is(404);
    let office = Office::on_sqlite().await.with_traces(traces.reader());
    let path = format!("/call-records/{ID}/sip");
    let shown = office.get(&path).await.is(200).body;
    let leg = "leg_0000000000000007_1";
    let expected = json!({"id": ID, "truncated": false, "messages": [
        {"at": "2026-03-01T08:15:30.250Z", "direction": "in", "leg": leg, "transport": "tcp",
         "local": "192.0.2.1:5060", "remote": "192.0.2.9:5071", "method": "INVITE", "status": null,
         "text": INVITE.replace("abc", "xxx")},
        {"at": "2026-03-01T08:15:30.250Z", "direction": "out", "leg": leg, "transport": "tcp",
         "local": "192.0.2.1:5060", "remote": "192.0.2.9:5071", "method": "INVITE", "status": 486, "text": BUSY},
    ]});
    assert_eq!(shown, expected);
    traces.add(&mut vec![message(1_772_352_930_260_000, true, "")]);
    drop(traces);
    let shown = office.get(&path).await.is(200).body;
    assert_eq!(
        (
            &shown["truncated"],
            shown["messages"].as_array().unwrap().len()
        ),
        (&json!(true), 2)
    );
}

#[tokio::test]
async fn a_capture_file_is_made_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::on_sqlite()
        .await
        .with_traces(traces(&folder).reader());
    let path = format!("/call-records/{ID}/sip");
    let asked = office.get(&format!("{path}?format=pcap")).await.is(200);
    let request = Request::get(format!("/api/v1{path}"))
        .header(header::AUTHORIZATION, format!("Bearer {KEY}"))
        .header(header::ACCEPT, "application/vnd.tcpdump.pcap");
    let taken = office
        .ask(request.body(Body::empty()).unwrap())
        .await
        .is(200);
    for answer in [asked, taken] {
        assert_eq!(
            answer.header("content-type"),
            "application/vnd.tcpdump.pcap"
        );
        assert!(
            answer
                .header("content-disposition")
                .ends_with("cal_0000000000000007.pcap\"")
        );
        let expected = 24 + 2 * (16 + 28) + INVITE.len() + BUSY.len();
        assert_eq!(answer.bytes.len(), expected);
    }
    for (query, field) in [("format=x", "format"), ("after=1", "after")] {
        assert_eq!(
            office.get(&format!("{path}?{query}")).await.wrong_fields(),
            [field]
        );
    }
    for id in ["cal_0000000000000008", "cal_1", "%00"] {
        let answer = office.get(&format!("/call-records/{id}/sip")).await.is(404);
        assert_ne!(answer.body, Value::Null);
    }
}
