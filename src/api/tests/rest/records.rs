//! `/call-records`.

use crate::office::{Office, in_pages};
use directory::{CallRecord, Direction, Ending, How, LegRecord, Segment};
use serde_json::{Value, json};
use std::time::Duration;
use store::Writer;

on_both_databases!(records_are_read_newest_first);

const START_MS: i64 = 1_772_352_930_250;

pub(crate) fn leg() -> LegRecord {
    LegRecord {
        id: "leg_1".into(),
        party: "101".into(),
        trunk: None,
        transport: "udp".into(),
        codec: Some("PCMU".into()),
        packets_in: 490,
        packets_out: 489,
        loss_in: 0.5,
        jitter_ms: 0.4,
        rtt_ms: None,
        loss_out: None,
        srtp: Some("AES_CM_128_HMAC_SHA1_80".into()),
        mos_in: Some(4.38),
        mos_out: None,
        late_in: 3,
        longest_gap_ms: 60,
        burst_loss: Some(0.0),
        gap_loss: Some(0.5),
        diagnosis: None,
    }
}

fn record(id: &str, started_at_ms: i64) -> CallRecord {
    CallRecord {
        id: id.into(),
        started_at_ms,
        answered_at_ms: Some(started_at_ms + 1200),
        ended_at_ms: started_at_ms + 11_000,
        direction: Direction::Internal,
        from: "101".into(),
        to: "102".into(),
        dialed: "102".into(),
        cause: Ending::Completed,
        sip_code: 200,
        ring_ms: 1200,
        talk_ms: 9800,
        tags: vec![("queue".into(), "sales".into())],
        reason: "101 hung up".into(),
        legs: vec![leg()],
        segments: vec![Segment {
            started_at_ms,
            answered_at_ms: Some(started_at_ms + 1200),
            ended_at_ms: started_at_ms + 11_000,
            parties: vec!["101".into(), "102".into()],
            how: How::PickedUp,
            by: Some("103".into()),
        }],
        merged_into: None,
        continues: vec!["cal_0".into()],
    }
}

async fn records_are_read_newest_first(office: Office) {
    let writer = Writer::start(office.store.clone(), office.folder.path().join("spool"));
    // Two at the same millisecond, and one from before 1970.
    for (id, started_at_ms) in [
        ("cal_1", START_MS),
        ("cal_3", START_MS + 5),
        ("cal_2", START_MS + 5),
        ("cal_0", -5),
    ] {
        writer.record(record(id, started_at_ms));
    }
    writer.record(CallRecord {
        answered_at_ms: None,
        cause: Ending::NoAnswer,
        ..record("cal_4", START_MS + 9)
    });
    assert_eq!(writer.finish(Duration::from_secs(20)).await, 0);

    let shown = json!({
        "id": "cal_1", "started_at": "2026-03-01T08:15:30.250Z", "answered_at": "2026-03-01T08:15:31.450Z",
        "ended_at": "2026-03-01T08:15:41.250Z", "direction": "internal", "from": "101", "to": "102", "dialed": "102",
        "cause": "completed", "reason": "101 hung up", "sip_code": 200, "ring_s": 1.2, "talk_s": 9.8,
        "tags": {"queue": "sales"},
        "legs": [{
            "id": "leg_1", "party": "101", "trunk": null, "transport": "udp", "codec": "PCMU", "packets_in": 490,
            "packets_out": 489, "loss_in": 0.5, "loss_out": null, "jitter_ms": 0.4, "rtt_ms": null,
            "srtp": "AES_CM_128_HMAC_SHA1_80", "mos_in": 4.38,
            "mos_out": null, "late_in": 3, "longest_gap_ms": 60, "burst_loss": 0.0, "gap_loss": 0.5, "diagnosis": null,
        }],
        "segments": [{
            "started_at": "2026-03-01T08:15:30.250Z", "answered_at": "2026-03-01T08:15:31.450Z",
            "ended_at": "2026-03-01T08:15:41.250Z", "parties": ["101", "102"], "how": "picked_up", "by": "103",
        }],
        "merged_into": null, "continues": ["cal_0"],
    });
    assert_eq!(office.get("/call-records/cal_1").await.is(200).body, shown);
    let all = office.get("/call-records").await.items();
    let ids: Vec<&str> = all.iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["cal_4", "cal_3", "cal_2", "cal_1", "cal_0"]);
    assert_eq!(all[0]["answered_at"], Value::Null);
    assert_eq!(all[0]["cause"], "no_answer");
    assert_eq!(in_pages(&office, "/call-records").await, all);

    for id in ["cal_9", "%00", "%20", "%C3%A4"] {
        office.get(&format!("/call-records/{id}")).await.is(404);
    }
    assert_eq!(
        office
            .get("/call-records?after=WyIxMDEiXQ")
            .await
            .wrong_fields(),
        ["after"]
    );
}
