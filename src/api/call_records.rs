//! `/call-records`: the calls that ended, the newest first.

use crate::Shared;
use crate::body::Name;
use crate::clock::{rfc3339, seconds};
use crate::error::Error;
use crate::page::{Page, bad_cursor};
use axum::Json;
use axum::extract::State;
use directory::{CallRecord, LegRecord, Segment};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::RecordCursor;

pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    page: Page,
) -> Result<Json<Value>, Error> {
    let before = page.after::<1>()?.map(cursor).transpose()?;
    let store = &shared.api.store;
    let records = store.call_records(before.as_ref(), page.wanted()).await;
    let records = records.map_err(Error::of_store("call record"))?;
    let key = |r: &CallRecord| vec![RecordCursor::of(r).to_string()];
    Ok(page.answer(records, key, view))
}

pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Name(id): Name,
) -> Result<Json<Value>, Error> {
    // PostgreSQL refuses a NUL in a text; no id has one.
    if !id.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::NotFound("call record"));
    }
    let record = shared.api.store.call_record(&id).await;
    let record = record.map_err(Error::of_store("call record"))?;
    Ok(Json(view(&record)))
}

fn cursor([text]: [&str; 1]) -> Result<RecordCursor, Error> {
    text.parse().map_err(|_| Error::Invalid(vec![bad_cursor()]))
}

fn view(r: &CallRecord) -> Value {
    let tags: Map<String, Value> = r
        .tags
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    json!({
        "id": r.id,
        "started_at": rfc3339(r.started_at_ms),
        "answered_at": r.answered_at_ms.map(rfc3339),
        "ended_at": rfc3339(r.ended_at_ms),
        "direction": r.direction,
        "from": r.from,
        "to": r.to,
        "dialed": r.dialed,
        "cause": r.cause,
        "reason": r.reason,
        "sip_code": r.sip_code,
        "ring_s": seconds(r.ring_ms),
        "talk_s": seconds(r.talk_ms),
        "tags": tags,
        "legs": r.legs.iter().map(leg).collect::<Vec<_>>(),
        "segments": r.segments.iter().map(segment).collect::<Vec<_>>(),
        "merged_into": r.merged_into,
        "continues": r.continues,
    })
}

fn segment(segment: &Segment) -> Value {
    json!({
        "started_at": rfc3339(segment.started_at_ms),
        "answered_at": segment.answered_at_ms.map(rfc3339),
        "ended_at": rfc3339(segment.ended_at_ms),
        "parties": segment.parties,
        "how": segment.how,
        "by": segment.by,
    })
}

/// A leg, of a call that lives or of one that ended.
pub(crate) fn leg(leg: &LegRecord) -> Value {
    json!({
        "id": leg.id,
        "party": leg.party,
        "trunk": leg.trunk,
        "transport": leg.transport,
        "codec": leg.codec,
        "packets_in": leg.packets_in,
        "packets_out": leg.packets_out,
        "loss_in": leg.loss_in,
        "loss_out": leg.loss_out,
        "jitter_ms": leg.jitter_ms,
        "rtt_ms": leg.rtt_ms,
        "srtp": leg.srtp,
        "mos_in": leg.mos_in,
        "mos_out": leg.mos_out,
        "late_in": leg.late_in,
        "longest_gap_ms": leg.longest_gap_ms,
        "burst_loss": leg.burst_loss,
        "gap_loss": leg.gap_loss,
        "diagnosis": leg.diagnosis,
    })
}
