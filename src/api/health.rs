//! `/system/health`: whether the office works, for a monitor without a key.

use crate::Shared;
use crate::dialplan::Standing;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How long the database may take to answer before it is called unavailable.
const PATIENCE: Duration = Duration::from_secs(2);

/// The status is `ok` also while the database is away: calls go on without it, and the records wait. Without a
/// dialplan there are emergency calls only.
pub(crate) async fn show(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let api = &shared.api;
    let count = tokio::time::timeout(PATIENCE, api.store.extension_count()).await;
    let database = match count {
        Ok(Ok(_)) => "ok",
        Ok(Err(_)) | Err(_) => "unavailable",
    };
    let dialplan = api.dialplan.standing();
    let status = match dialplan {
        Standing::Ok | Standing::Old => "ok",
        Standing::None => "failing",
    };
    Json(json!({
        "status": status,
        "version": api.version,
        "calls": api.live.call_count(),
        "database": database,
        "dialplan": dialplan,
        "records_waiting": api.live.records_waiting(),
    }))
}
