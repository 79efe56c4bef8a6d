//! `/registrations`: the phones that can be reached.

use crate::Shared;
use crate::clock::{now_ms, rfc3339};
use crate::error::Error;
use crate::live::Phone;
use crate::page::Page;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use std::sync::Arc;
use switch::Reach;

pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    page: Page,
) -> Result<Json<Value>, Error> {
    let after = page.after::<2>()?;
    let now_ms = now_ms();
    let phones = shared
        .api
        .live
        .phones()
        .into_iter()
        .filter(|p| p.registration.expires_at_ms > now_ms)
        .filter(|p| after.is_none_or(|after| key(p) > after))
        .take(page.wanted() as usize)
        .collect();
    let owned = |p: &Phone| key(p).map(str::to_owned).to_vec();
    Ok(page.answer(phones, owned, view))
}

fn key(phone: &Phone) -> [&str; 2] {
    let r = &phone.registration;
    [&r.extension, &r.binding]
}

fn view(phone: &Phone) -> Value {
    let r = &phone.registration;
    let (state, since, rtt) = match phone.reach {
        Reach::Unknown => ("unknown", None, None),
        Reach::Reachable { rtt } => ("reachable", None, rtt),
        Reach::Unreachable { since_ms } => ("unreachable", Some(rfc3339(since_ms)), None),
    };
    json!({
        "extension": r.extension,
        "contact": directory::push_token::blackened(&r.contact),
        "source": r.source,
        "transport": r.transport,
        "user_agent": r.user_agent,
        "expires_at": rfc3339(r.expires_at_ms),
        "instance": Some(&r.instance).filter(|i| !i.is_empty()),
        "reg_id": Some(r.reg_id).filter(|id| *id > 0),
        "path": r.path,
        "reachability": state,
        "unreachable_since": since,
        "rtt_ms": rtt.map(|rtt| rtt.as_secs_f64() * 1_000.0),
    })
}
