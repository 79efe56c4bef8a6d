//! `/extensions`: the numbers of the office, by number. Passwords go in and never come out.

use crate::Shared;
use crate::body::{Name, Object, merge};
use crate::clock::now_ms;
use crate::error::Error;
use crate::fields::{DTMF_MODES, Fields, SRTP, Secret};
use crate::live::Phone;
use crate::page::Page;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use directory::{DtmfMode, Extension, Ha1, Invalid, Redirects, Srtp, extension};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use switch::Reach;

const REDIRECTS: [(&str, Redirects); 2] =
    [("follow", Redirects::Follow), ("refuse", Redirects::Refuse)];
const DEFAULT_MAX_CONTACTS: u16 = 5;

pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    page: Page,
) -> Result<Json<Value>, Error> {
    let after = page.after::<1>()?.map(|[number]| number);
    let extensions = shared.api.store.extensions(after, page.wanted()).await;
    let extensions = extensions.map_err(of_store)?;
    let key = |e: &Extension| vec![e.number.clone()];
    Ok(page.answer(extensions, key, |e| Value::Object(view(&shared, e))))
}

pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Name(number): Name,
) -> Result<Json<Map<String, Value>>, Error> {
    let extension = find(&shared, &number).await?;
    Ok(Json(view(&shared, &extension)))
}

pub(crate) async fn create(
    State(shared): State<Arc<Shared>>,
    Object(members): Object,
) -> Result<Response, Error> {
    let new = read(&shared, members, None, None)?;
    shared
        .change(async move |shared| {
            let created = shared.api.store.create_extension(&new).await;
            created.map_err(of_store)?;
            Ok(answer_created(&shared, &new))
        })
        .await
}

/// Creates the extension of the path or replaces all of it, except that a password left out stays.
pub(crate) async fn replace(
    State(shared): State<Arc<Shared>>,
    Name(number): Name,
    Object(members): Object,
) -> Result<Response, Error> {
    shared
        .change(async move |shared| {
            let old = match find(&shared, &number).await {
                Ok(old) => Some(old),
                Err(Error::NotFound(_)) => None,
                Err(error) => return Err(error),
            };
            let new = read(&shared, members, Some(&number), old.as_ref())?;
            let store = &shared.api.store;
            if old.is_some() {
                store.update_extension(&new).await.map_err(of_store)?;
                Ok(Json(view(&shared, &new)).into_response())
            } else {
                store.create_extension(&new).await.map_err(of_store)?;
                Ok(answer_created(&shared, &new))
            }
        })
        .await
}

pub(crate) async fn patch(
    State(shared): State<Arc<Shared>>,
    Name(number): Name,
    Object(patch): Object,
) -> Result<Json<Map<String, Value>>, Error> {
    shared
        .change(async move |shared| {
            let old = find(&shared, &number).await?;
            let members = merge(configured(&old), patch, &["number", "password"]);
            let new = read(&shared, members, Some(&number), Some(&old))?;
            let updated = shared.api.store.update_extension(&new).await;
            updated.map_err(of_store)?;
            Ok(Json(view(&shared, &new)))
        })
        .await
}

pub(crate) async fn delete(
    State(shared): State<Arc<Shared>>,
    Name(number): Name,
) -> Result<StatusCode, Error> {
    shared
        .change(async move |shared| {
            let old = find(&shared, &number).await?;
            let deleted = shared.api.store.delete_extension(&old.number).await;
            deleted.map_err(of_store)?;
            Ok(StatusCode::NO_CONTENT)
        })
        .await
}

/// Whether there is an extension of that number; the number may be any text.
pub(crate) async fn exists(shared: &Shared, number: &str) -> Result<bool, Error> {
    match find(shared, number).await {
        Ok(_) => Ok(true),
        Err(Error::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn find(shared: &Shared, number: &str) -> Result<Extension, Error> {
    // Any other text is no number, and PostgreSQL refuses some: a NUL.
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::NotFound("extension"));
    }
    shared.api.store.extension(number).await.map_err(of_store)
}

/// The extension that `members` describe. `path` is the number in the path, which cannot be changed;
/// `old` gives the password that is kept when none is sent.
fn read(
    shared: &Shared,
    members: Map<String, Value>,
    path: Option<&str>,
    old: Option<&Extension>,
) -> Result<Extension, Error> {
    let mut fields = Fields::new(members);
    fields.read_only("phones");
    let number = fields.text("number", path);
    if path.is_some_and(|path| path != number) {
        let why = "cannot be changed: it must be the number in the path";
        fields.refuse(Invalid::new("number", why));
    }
    let mut extension = Extension {
        number,
        name: fields.text("name", Some("")),
        // Empty only together with a refusal.
        ha1: Ha1 {
            md5: String::new(),
            sha256: String::new(),
        },
        codecs: fields.codecs("codecs"),
        max_contacts: fields.number("max_contacts", DEFAULT_MAX_CONTACTS),
        allow_weak_password: fields.flag("allow_weak_password"),
        push_message_summary: fields.flag("push_message_summary"),
        watch_list: fields.list("watch_list"),
        dtmf: fields.word("dtmf", &DTMF_MODES, DtmfMode::default()),
        redirects: fields.word("redirects", &REDIRECTS, Redirects::default()),
        allowed_networks: fields.list("allowed_networks"),
        srtp: fields.word("srtp", &SRTP, Srtp::default()),
    };
    let mut wrong = Vec::new();
    match password(
        fields.secret("password"),
        &extension,
        old,
        &shared.api.realm,
    ) {
        Ok(ha1) => extension.ha1 = ha1,
        Err(why) => wrong.push(why),
    }
    wrong.extend(extension.check());
    // One that there is already can still be changed; `/system/health` names it.
    let taken = old
        .is_none()
        .then(|| shared.api.numbers.taken(&extension.number));
    if let Some(why) = taken.flatten() {
        let why = format!("{why}: nobody could call this extension");
        wrong.push(Invalid::new("number", why));
    }
    fields.finish(wrong)?;
    Ok(extension)
}

/// The digests of the password that was sent, or those of `old`.
fn password(
    sent: Secret,
    new: &Extension,
    old: Option<&Extension>,
    realm: &str,
) -> Result<Ha1, Invalid> {
    let refused = |why: &str| Err(Invalid::new("password", why));
    match (sent, old) {
        (Secret::Set(password), _) => {
            let weak = new.allow_weak_password;
            match extension::check_password(&new.number, &password, weak) {
                Some(why) => Err(why),
                None => Ok(store::ha1(&new.number, realm, &password)),
            }
        }
        // Of the old one only digests are left: nobody can tell whether it is weak.
        (Secret::Keep, Some(old)) if old.allow_weak_password && !new.allow_weak_password => {
            refused("may be weak: send a new one, or leave allow_weak_password set")
        }
        (Secret::Keep, Some(old)) => Ok(old.ha1.clone()),
        (Secret::Keep, None) => refused("is required"),
        (Secret::Clear, _) => refused("must be a string: it cannot be removed"),
    }
}

/// With what is known of its phones at the moment.
fn view(shared: &Shared, e: &Extension) -> Map<String, Value> {
    let phones = shared.api.live.phones_of(&e.number);
    let now_ms = now_ms();
    let here = |p: &&Phone| p.registration.expires_at_ms > now_ms;
    let devices = |phones: &mut dyn Iterator<Item = &Phone>| {
        phones
            .map(|p| p.registration.device())
            .collect::<BTreeSet<_>>()
            .len()
    };
    let reachable = |p: &&Phone| matches!(p.reach, Reach::Reachable { .. });
    let mut members = configured(e);
    let phones = json!({
        "registered": devices(&mut phones.iter().filter(here)),
        "reachable": devices(&mut phones.iter().filter(here).filter(reachable)),
    });
    members.insert("phones".to_owned(), phones);
    members
}

fn configured(e: &Extension) -> Map<String, Value> {
    let value = json!({
        "number": e.number,
        "name": e.name,
        "codecs": e.codecs,
        "max_contacts": e.max_contacts,
        "allow_weak_password": e.allow_weak_password,
        "redirects": e.redirects,
        "allowed_networks": e.allowed_networks,
        "push_message_summary": e.push_message_summary,
        "watch_list": e.watch_list,
        "srtp": e.srtp,
        "dtmf": e.dtmf,
    });
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn answer_created(shared: &Shared, e: &Extension) -> Response {
    let place = [(header::LOCATION, format!("/api/v1/extensions/{}", e.number))];
    (StatusCode::CREATED, place, Json(view(shared, e))).into_response()
}

fn of_store(error: store::Error) -> Error {
    Error::of_store("extension")(error)
}
