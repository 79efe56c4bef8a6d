//! `/conferences`: the rooms of the moment, and what an administrator does in them. Also what is done to the talk of a
//! call: listening in and announcing.

use crate::Shared;
use crate::body::{Name, Object};
use crate::calls;
use crate::clock::rfc3339;
use crate::error::Error;
use crate::extensions;
use crate::fields::Fields;
use crate::page::Page;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use directory::Invalid;
use serde_json::{Value, json};
use std::sync::Arc;
use switch::{CallId, ConferenceAction, Event, LiveConference, SuperviseMode, Supervised};

const ACTIONS: &str = "must be mute, unmute, deaf, undeaf, kick, lock, unlock, end or announce";

pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    page: Page,
) -> Result<Json<Value>, Error> {
    let after = page.after::<1>()?;
    let conferences = shared.api.live.conferences().into_iter();
    let shown = conferences
        .filter(|room| {
            after
                .as_ref()
                .is_none_or(|[after]| room.name.as_str() > *after)
        })
        .take(page.wanted() as usize)
        .collect();
    Ok(page.answer(shown, |room: &LiveConference| vec![room.name.clone()], view))
}

pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Name(name): Name,
) -> Result<Json<Value>, Error> {
    find(&shared, &name).map(|room| Json(view(&room)))
}

/// Does one thing to a conference or to a participant, who is named by its call.
pub(crate) async fn act(
    State(shared): State<Arc<Shared>>,
    Name(name): Name,
    Object(members): Object,
) -> Result<StatusCode, Error> {
    let room = find(&shared, &name)?;
    let mut fields = Fields::new(members);
    let action = fields.text("action", None);
    let needs_prompt = action == "announce";
    let prompt = needs_prompt.then(|| fields.text("prompt", None));
    let one = ["mute", "unmute", "deaf", "undeaf", "kick"].contains(&action.as_str());
    let participant = one.then(|| fields.text("participant", None));
    let mut wrong = Vec::new();
    let call = participant
        .as_ref()
        .and_then(|id| id.parse::<CallId>().ok());
    let seated = |call: CallId| room.members.iter().any(|member| member.call == call);
    if one && !call.is_some_and(seated) {
        let why = "must be the id of a call that is in the conference";
        wrong.push(Invalid::new("participant", why));
    }
    if let Some(prompt) = &prompt {
        wrong.extend(wrong_prompt(prompt));
    }
    let wanted = action_of(
        &action,
        call.unwrap_or(CallId(0)),
        prompt.unwrap_or_default(),
    );
    if wanted.is_none() {
        wrong.push(Invalid::new("action", ACTIONS));
    }
    fields.finish(wrong)?;
    if let Some(action) = wanted {
        shared.act(Event::Conference { name, action })?;
    }
    Ok(StatusCode::ACCEPTED)
}

fn action_of(word: &str, call: CallId, prompt: String) -> Option<ConferenceAction> {
    Some(match word {
        "mute" => ConferenceAction::Mute(call),
        "unmute" => ConferenceAction::Unmute(call),
        "deaf" => ConferenceAction::Deaf(call),
        "undeaf" => ConferenceAction::Undeaf(call),
        "kick" => ConferenceAction::Kick(call),
        "lock" => ConferenceAction::Lock,
        "unlock" => ConferenceAction::Unlock,
        "end" => ConferenceAction::End,
        "announce" => ConferenceAction::Announce(prompt),
        _ => return None,
    })
}

/// Rings `from`, who then listens in on the call. The id of its own call is known before that is.
pub(crate) async fn supervise(
    State(shared): State<Arc<Shared>>,
    Name(id): Name,
    Object(members): Object,
) -> Result<Response, Error> {
    let target = calls::find(&shared, &id)?.call;
    let mut fields = Fields::new(members);
    let from = fields.text("from", None);
    let word = fields.text("mode", Some("spy"));
    let party = fields.text_or_null("party");
    let mode = match word.as_str() {
        "spy" => Some(SuperviseMode::Spy),
        "whisper" => Some(SuperviseMode::Whisper),
        "barge" => Some(SuperviseMode::Barge),
        _ => None,
    };
    let mut wrong = Vec::new();
    if !extensions::exists(&shared, &from).await? {
        wrong.push(Invalid::new("from", "must be the number of an extension"));
    }
    if mode.is_none() {
        wrong.push(Invalid::new("mode", "must be spy, whisper or barge"));
    }
    fields.finish(wrong)?;
    if shared.api.live.call_count() >= shared.api.max_calls {
        return Err(Error::TooManyCalls);
    }
    calls::begin(&shared, |call| Event::Supervise {
        call,
        from,
        whom: Supervised::Call {
            call: target,
            party,
        },
        mode: mode.unwrap_or(SuperviseMode::Spy),
    })
}

/// Says a prompt to all parties of a call.
pub(crate) async fn announce(
    State(shared): State<Arc<Shared>>,
    Name(id): Name,
    Object(members): Object,
) -> Result<StatusCode, Error> {
    let call = calls::find(&shared, &id)?.call;
    let mut fields = Fields::new(members);
    let prompt = fields.text("prompt", None);
    let wrong = wrong_prompt(&prompt);
    fields.finish(wrong.into_iter().collect())?;
    shared.act(Event::Announce { call, prompt })?;
    Ok(StatusCode::ACCEPTED)
}

/// A prompt is a file under `sounds/`: its name must not lead anywhere else.
fn wrong_prompt(name: &str) -> Option<Invalid> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/');
    let whole = name.len() <= 128 && name.chars().all(plain);
    let good = whole && !name.split('/').any(str::is_empty);
    let why = "must be the name of a prompt: a file under sounds/ without its extension";
    (!good).then(|| Invalid::new("prompt", why))
}

fn find(shared: &Shared, name: &str) -> Result<LiveConference, Error> {
    let found = shared.api.live.conference(name);
    found.ok_or(Error::NotFound("conference with anybody in it"))
}

fn view(room: &LiveConference) -> Value {
    let members = room.members.iter().map(|member| {
        json!({
            "call": member.call.to_string(),
            "number": member.number,
            "name": member.name,
            "moderator": member.moderator,
            "muted": member.muted,
            "deaf": member.deaf,
            "waiting": member.waiting,
            "joined_at": rfc3339(member.joined_at_ms),
        })
    });
    json!({
        "name": room.name,
        "locked": room.locked,
        "started_at": rfc3339(room.started_at_ms),
        "participants": members.collect::<Vec<Value>>(),
    })
}
