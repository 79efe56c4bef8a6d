//! `/calls`: the calls that live, starting one, ending one. Those that ended are in `call_records.rs`.

use crate::Shared;
use crate::body::{Name, Object};
use crate::call_records::leg;
use crate::clock::{now_ms, rfc3339};
use crate::error::Error;
use crate::extensions;
use crate::fields::Fields;
use crate::page::{Page, bad_cursor};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use directory::{Invalid, number};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use switch::{CallId, CallState, Event, LiveCall, Side, Tones};

const SIDES: [(&str, Side); 2] = [("caller", Side::Caller), ("called", Side::Called)];
/// How long a key is down, and the pause after it, when nobody says.
const KEY_MS: u16 = 100;

pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    page: Page,
) -> Result<Json<Value>, Error> {
    let after = match page.after::<1>()? {
        None => None,
        Some([id]) => Some(
            id.parse::<CallId>()
                .map_err(|_| Error::Invalid(vec![bad_cursor()]))?,
        ),
    };
    let calls = shared
        .api
        .live
        .calls()
        .into_iter()
        .filter(|call| after.is_none_or(|after| call.call > after))
        .take(page.wanted() as usize)
        .collect();
    Ok(page.answer(calls, |call: &LiveCall| vec![call.call.to_string()], view))
}

pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Name(id): Name,
) -> Result<Json<Value>, Error> {
    let call = find(&shared, &id)?;
    let live = &shared.api.live;
    // A Switch that is too busy to be asked is one that has to do with calls.
    let ask = || drop(shared.act(Event::Measure { call: call.call }));
    let figures = live.figures(call.call, ask).await;
    let mut shown = view(&call);
    shown["legs"] = json!(figures.map(|legs| legs.iter().map(leg).collect::<Vec<_>>()));
    Ok(Json(shown))
}

/// Rings `from` and then runs the dialplan as if it had dialled `to`. The id is known before the call is.
pub(crate) async fn originate(
    State(shared): State<Arc<Shared>>,
    Object(members): Object,
) -> Result<Response, Error> {
    let mut fields = Fields::new(members);
    let from = fields.text("from", None);
    let to = number::normalise(&fields.text("to", None));
    let mut wrong = Vec::new();
    if !extensions::exists(&shared, &from).await? {
        wrong.push(Invalid::new("from", "must be the number of an extension"));
    }
    if !number::is_dialable(&to) {
        let why = "must be 1 to 32 digits, * and #, with an optional leading +";
        wrong.push(Invalid::new("to", why));
    }
    fields.finish(wrong)?;
    // The Switch has the last word: a call it refuses has a record.
    if shared.api.live.call_count() >= shared.api.max_calls {
        return Err(Error::TooManyCalls);
    }
    begin(&shared, |call| Event::Originate { call, from, to })
}

/// Asks for a call of our own making, whose id is chosen here, and says where it will be.
pub(crate) fn begin(
    shared: &Shared,
    event: impl FnOnce(CallId) -> Event,
) -> Result<Response, Error> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|error| Error::broken(&error))?;
    let call = CallId::chosen(now_ms(), u32::from_ne_bytes(random));
    shared.act(event(call))?;
    let place = [(header::LOCATION, format!("/api/v1/calls/{call}"))];
    let answer = Json(json!({"id": call.to_string()}));
    Ok((StatusCode::ACCEPTED, place, answer).into_response())
}

/// Presses keys towards a party.
pub(crate) async fn press(
    State(shared): State<Arc<Shared>>,
    Name(id): Name,
    Object(members): Object,
) -> Result<StatusCode, Error> {
    let call = find(&shared, &id)?.call;
    let mut fields = Fields::new(members);
    let keys = fields.text("keys", None);
    let to = fields.word("to", &SIDES, Side::Called);
    let on_ms = fields.number("on_ms", KEY_MS);
    let off_ms = fields.number("off_ms", KEY_MS);
    let mut wrong = Vec::new();
    if !Tones::are_keys(&keys) {
        // What was sent is not repeated: it may be a secret.
        let why = "must be 1 to 64 of 0-9, *, # and A-D";
        wrong.push(Invalid::new("keys", why));
    }
    for (field, ms) in [("on_ms", on_ms), ("off_ms", off_ms)] {
        if !(40..=5_000).contains(&ms) {
            wrong.push(Invalid::new(field, "must be 40 to 5000"));
        }
    }
    fields.finish(wrong)?;
    let tones = Tones {
        keys,
        on: Duration::from_millis(on_ms.into()),
        off: Duration::from_millis(off_ms.into()),
    };
    shared.act(Event::Press { call, to, tones })?;
    Ok(StatusCode::ACCEPTED)
}

pub(crate) async fn hang_up(
    State(shared): State<Arc<Shared>>,
    Name(id): Name,
) -> Result<StatusCode, Error> {
    let call = find(&shared, &id)?.call;
    shared.act(Event::HangUp { call })?;
    Ok(StatusCode::ACCEPTED)
}

pub(crate) fn find(shared: &Shared, id: &str) -> Result<LiveCall, Error> {
    let id = id.parse::<CallId>().ok();
    id.and_then(|id| shared.api.live.call(id))
        .ok_or(Error::NotFound(
            "live call; one that ended is under /call-records",
        ))
}

fn view(call: &LiveCall) -> Value {
    let state = match call.state {
        CallState::Ringing => "ringing",
        CallState::Up => "up",
    };
    json!({
        "id": call.call.to_string(),
        "direction": call.direction,
        "from": call.from,
        "to": call.to,
        "dialed": call.dialed,
        "state": state,
        "started_at": rfc3339(call.started_at_ms),
        "answered_at": call.answered_at_ms.map(rfc3339),
    })
}
