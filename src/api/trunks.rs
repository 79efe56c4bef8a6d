//! `/trunks`: the lines to providers, by name. Passwords go in and never come out; how a trunk stands comes from [`crate::Live`].

use crate::Shared;
use crate::body::{Name, Object, merge};
use crate::error::Error;
use crate::fields::{DTMF_MODES, Fields, SRTP, Secret};
use crate::page::Page;
use crate::trunk_tls;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use directory::{DtmfMode, Invalid, Reliability, Srtp, Trunk, TrunkAuth, TrunkTransport};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::PasswordChange;
use switch::TrunkState;

const TRANSPORTS: [(&str, TrunkTransport); 4] = [
    ("auto", TrunkTransport::Auto),
    ("udp", TrunkTransport::Udp),
    ("tcp", TrunkTransport::Tcp),
    ("tls", TrunkTransport::Tls),
];
const AUTHS: [(&str, TrunkAuth); 2] = [
    ("registration", TrunkAuth::Registration),
    ("address", TrunkAuth::Address),
];
const RELIABILITIES: [(&str, Reliability); 3] = [
    ("off", Reliability::Off),
    ("supported", Reliability::Supported),
    ("required", Reliability::Required),
];

/// A trunk and what shall become of its stored password.
struct Draft {
    trunk: Trunk,
    password: PasswordChange,
}

pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    page: Page,
) -> Result<Json<Value>, Error> {
    let after = page.after::<1>()?.map(|[name]| name);
    let trunks = shared.api.store.trunks(after, page.wanted()).await;
    let trunks = trunks.map_err(of_store)?;
    let key = |t: &Trunk| vec![t.name.clone()];
    Ok(page.answer(trunks, key, |t| Value::Object(view(&shared, t))))
}

pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Name(name): Name,
) -> Result<Json<Map<String, Value>>, Error> {
    let trunk = find(&shared, &name).await?;
    Ok(Json(view(&shared, &trunk)))
}

pub(crate) async fn create(
    State(shared): State<Arc<Shared>>,
    Object(members): Object,
) -> Result<Response, Error> {
    let draft = read(members, None, None)?;
    shared
        .change(async move |shared| store_new(&shared, &draft).await)
        .await
}

/// Creates the trunk of the path or replaces all of it, except that a password left out stays.
pub(crate) async fn replace(
    State(shared): State<Arc<Shared>>,
    Name(name): Name,
    Object(members): Object,
) -> Result<Response, Error> {
    shared
        .change(async move |shared| match find(&shared, &name).await {
            Ok(old) => {
                let draft = read(
                    members,
                    Some(&name),
                    Some((&old, has_password(&shared, &old).await?)),
                )?;
                store_again(&shared, draft)
                    .await
                    .map(IntoResponse::into_response)
            }
            Err(Error::NotFound(_)) => {
                let draft = read(members, Some(&name), None)?;
                store_new(&shared, &draft).await
            }
            Err(error) => Err(error),
        })
        .await
}

pub(crate) async fn patch(
    State(shared): State<Arc<Shared>>,
    Name(name): Name,
    Object(patch): Object,
) -> Result<Json<Map<String, Value>>, Error> {
    shared
        .change(async move |shared| {
            let old = find(&shared, &name).await?;
            let members = merge(configured(&old), patch, &["name", "password", "tls_key"]);
            let draft = read(
                members,
                Some(&name),
                Some((&old, has_password(&shared, &old).await?)),
            )?;
            store_again(&shared, draft).await
        })
        .await
}

pub(crate) async fn delete(
    State(shared): State<Arc<Shared>>,
    Name(name): Name,
) -> Result<StatusCode, Error> {
    shared
        .change(async move |shared| {
            let old = find(&shared, &name).await?;
            let deleted = shared.api.store.delete_trunk(&old.name).await;
            deleted.map_err(of_store)?;
            Ok(StatusCode::NO_CONTENT)
        })
        .await
}

async fn find(shared: &Shared, name: &str) -> Result<Trunk, Error> {
    // Any other text is no name, and PostgreSQL refuses some: a NUL.
    if !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::NotFound("trunk"));
    }
    shared.api.store.trunk(name).await.map_err(of_store)
}

async fn store_new(shared: &Shared, draft: &Draft) -> Result<Response, Error> {
    let trunk = &draft.trunk;
    let password = match &draft.password {
        PasswordChange::Set(password) => Some(password.as_str()),
        PasswordChange::Keep | PasswordChange::Clear => None,
    };
    let created = shared.api.store.create_trunk(trunk, password).await;
    created.map_err(of_store)?;
    let place = [(header::LOCATION, format!("/api/v1/trunks/{}", trunk.name))];
    Ok((StatusCode::CREATED, place, Json(view(shared, trunk))).into_response())
}

async fn store_again(shared: &Shared, draft: Draft) -> Result<Json<Map<String, Value>>, Error> {
    let Draft { trunk, password } = draft;
    let updated = shared.api.store.update_trunk(&trunk, password).await;
    updated.map_err(of_store)?;
    Ok(Json(view(shared, &trunk)))
}

async fn has_password(shared: &Shared, trunk: &Trunk) -> Result<bool, Error> {
    let has = shared.api.store.trunk_has_password(&trunk.name).await;
    has.map_err(of_store)
}

/// The trunk that `members` describe. `path` is the name in the path, which cannot be changed; `old` is what is stored
/// under it, and whether with a password: secrets that are left out stay.
fn read(
    members: Map<String, Value>,
    path: Option<&str>,
    old: Option<(&Trunk, bool)>,
) -> Result<Draft, Error> {
    let has_password = old.is_some_and(|(_, has)| has);
    let old = old.map(|(trunk, _)| &trunk.tls);
    let mut fields = Fields::new(members);
    let trunk = Trunk {
        name: fields.text("name", path),
        host: fields.text("host", None),
        port: fields.number_or_null("port"),
        transport: fields.word("transport", &TRANSPORTS, TrunkTransport::Udp),
        auth: fields.word("auth", &AUTHS, TrunkAuth::Registration),
        username: fields.text_or_null("username"),
        codecs: fields.codecs("codecs"),
        numbers: fields.texts("numbers"),
        match_port: fields.flag("match_port"),
        tls: trunk_tls::read(&mut fields, old),
        trust_identity: fields.flag("trust_identity"),
        reliable_provisionals: fields.word(
            "reliable_provisionals",
            &RELIABILITIES,
            Reliability::default(),
        ),
        srtp: fields.word("srtp", &SRTP, Srtp::default()),
        dtmf: fields.word("dtmf", &DTMF_MODES, DtmfMode::default()),
    };
    if path.is_some_and(|path| path != trunk.name) {
        let why = "cannot be changed: it must be the name in the path";
        fields.refuse(Invalid::new("name", why));
    }
    let mut wrong = Vec::new();
    let password = match fields.secret("password") {
        Secret::Keep => PasswordChange::Keep,
        Secret::Clear => PasswordChange::Clear,
        Secret::Set(password) => {
            wrong.extend(check_password(&password));
            PasswordChange::Set(password)
        }
    };
    let lacks_password = match password {
        PasswordChange::Set(_) => false,
        PasswordChange::Keep => !has_password,
        PasswordChange::Clear => true,
    };
    if trunk.auth == TrunkAuth::Registration && lacks_password {
        let why = "is required when auth is \"registration\"";
        wrong.push(Invalid::new("password", why));
    }
    fields.read_only("state");
    fields.read_only("state_why");
    wrong.extend(trunk.check());
    fields.finish(wrong)?;
    Ok(Draft { trunk, password })
}

fn check_password(password: &str) -> Option<Invalid> {
    let wrong =
        password.is_empty() || password.len() > 128 || password.chars().any(char::is_control);
    let why = "must be 1 to 128 bytes without control characters";
    wrong.then(|| Invalid::new("password", why))
}

/// The members that an administrator sets.
fn configured(t: &Trunk) -> Map<String, Value> {
    let value = json!({
        "name": t.name,
        "host": t.host,
        "port": t.port,
        "transport": t.transport,
        "auth": t.auth,
        "username": t.username,
        "codecs": t.codecs,
        "numbers": t.numbers,
        "match_port": t.match_port,
        "tls_verify": t.tls.verify,
        "tls_ca": t.tls.ca,
        "tls_pin": t.tls.pin,
        "tls_certificate": t.tls.certificate,
        "tls_client_ca": t.tls.client_ca,
        "tls_client_name": t.tls.client_name,
        "trust_identity": t.trust_identity,
        "reliable_provisionals": t.reliable_provisionals,
        "srtp": t.srtp,
        "dtmf": t.dtmf,
    });
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// The above, and how the trunk stands: `state` is null until the Switch has said something.
fn view(shared: &Shared, t: &Trunk) -> Map<String, Value> {
    let mut members = configured(t);
    let (state, why) = match shared.api.live.trunk_state(&t.name) {
        None => (None, None),
        Some(TrunkState::Static) => (Some("static"), None),
        Some(TrunkState::Registering) => (Some("registering"), None),
        Some(TrunkState::Registered) => (Some("registered"), None),
        Some(TrunkState::Failed { why }) => (Some("failed"), Some(why)),
    };
    members.insert("state".to_owned(), json!(state));
    members.insert("state_why".to_owned(), json!(why));
    members
}

fn of_store(error: store::Error) -> Error {
    Error::of_store("trunk")(error)
}
