//! `/registrations`: the phones that can be reached.

use crate::Shared;
use crate::clock::{now_ms, rfc3339};
use crate::error::Error;
use crate::page::Page;
use axum::Json;
use axum::extract::State;
use directory::Registration;
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    page: Page,
) -> Result<Json<Value>, Error> {
    let after = page.after::<2>()?;
    let now_ms = now_ms();
    let registrations = shared
        .api
        .live
        .registrations()
        .into_iter()
        .filter(|r| r.expires_at_ms > now_ms)
        .filter(|r| after.is_none_or(|after| [r.extension.as_str(), r.binding.as_str()] > after))
        .take(page.wanted() as usize)
        .collect();
    let key = |r: &Registration| vec![r.extension.clone(), r.binding.clone()];
    Ok(page.answer(registrations, key, view))
}

fn view(r: &Registration) -> Value {
    json!({
        "extension": r.extension,
        "contact": r.contact,
        "source": r.source,
        "transport": r.transport,
        "user_agent": r.user_agent,
        "expires_at": rfc3339(r.expires_at_ms),
    })
}
