//! `/bans`: whom the office does not listen to. The Switch bans by itself; here they are seen, made and lifted.

use crate::Shared;
use crate::body::{Name, Object};
use crate::clock::{now_ms, rfc3339};
use crate::error::Error;
use crate::fields::Fields;
use crate::page::Page;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use directory::number::Network;
use directory::{Ban, Invalid};
use serde_json::{Value, json};
use std::sync::Arc;
use switch::Event;

/// A year: who is to stay away for longer is banned until it is lifted.
const LONGEST_S: u64 = 366 * 24 * 3_600;

pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    page: Page,
) -> Result<Json<Value>, Error> {
    let after = page.after::<1>()?;
    let now_ms = now_ms();
    let bans = shared
        .api
        .live
        .bans()
        .into_iter()
        .filter(|ban| ban.holds(now_ms))
        .filter(|ban| after.is_none_or(|[after]| ban.id.as_str() > after))
        .take(page.wanted() as usize)
        .collect();
    Ok(page.answer(bans, |ban: &Ban| vec![ban.id.clone()], view))
}

pub(crate) async fn create(
    State(shared): State<Arc<Shared>>,
    Object(members): Object,
) -> Result<Response, Error> {
    let mut fields = Fields::new(members);
    let network = fields.text("network", None);
    let reason = fields.text("reason", Some("banned by hand"));
    let seconds = fields.seconds_or_null("duration_s");
    let mut wrong = Vec::new();
    if Network::parse(&network).is_none() {
        let why = "must be an address or a network, such as 192.0.2.7 or 2001:db8::/64";
        wrong.push(Invalid::new("network", why));
    }
    if reason.chars().count() > 200 || reason.contains(char::is_control) {
        let why = "must be at most 200 characters, none of them a control character";
        wrong.push(Invalid::new("reason", why));
    }
    if seconds.is_some_and(|s| !(1..=LONGEST_S).contains(&s)) {
        let why = "must be 1 to 31622400, or null: until the ban is lifted";
        wrong.push(Invalid::new("duration_s", why));
    }
    fields.finish(wrong)?;
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|error| Error::broken(&error))?;
    let now_ms = now_ms();
    let length_ms = seconds
        .and_then(|s| i64::try_from(s).ok())
        .map(|s| s * 1_000);
    let ban = Ban {
        // The Switch numbers its own below that bit.
        id: Ban::id_of(now_ms, u32::from_ne_bytes(random) | 0x8_0000),
        network,
        extension: None,
        reason,
        by_hand: true,
        times: 1,
        since_ms: now_ms,
        until_ms: length_ms.map(|length| now_ms + length),
    };
    shared.act(Event::Ban(ban.clone()))?;
    // Whoever looks for it at once finds it.
    shared.api.live.add_ban(ban.clone());
    let place = [(header::LOCATION, format!("/api/v1/bans/{}", ban.id))];
    Ok((StatusCode::CREATED, place, Json(view(&ban))).into_response())
}

pub(crate) async fn lift(
    State(shared): State<Arc<Shared>>,
    Name(id): Name,
) -> Result<StatusCode, Error> {
    if !shared.api.live.has_ban(&id) {
        return Err(Error::NotFound("ban"));
    }
    shared.act(Event::LiftBan { id: id.clone() })?;
    shared.api.live.remove_ban(&id);
    Ok(StatusCode::NO_CONTENT)
}

fn view(ban: &Ban) -> Value {
    json!({
        "id": ban.id,
        "network": ban.network,
        "extension": ban.extension,
        "reason": ban.reason,
        "by_hand": ban.by_hand,
        "since": rfc3339(ban.since_ms),
        "expires_at": ban.until_ms.map(rfc3339),
    })
}
