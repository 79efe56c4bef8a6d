//! Who may use the API: whoever holds an admin key.

use crate::Shared;
use crate::error::Error;
use crate::guesses::Source;
use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// How long a key of the database is let in before the database is asked again.
const FRESH: Duration = Duration::from_secs(30);
/// Most keys remembered; the others are asked for every time.
const REMEMBERED: usize = 64;

/// SHA-256 of a key.
pub(crate) type KeyHash = [u8; 32];

pub(crate) fn hash(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

/// Keys that the database knew lately: with these one gets in while it is away.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<Vec<(KeyHash, Instant)>>);

/// Lets a request pass that carries a known key, and answers 401 to any other, before its body is read.
pub(crate) async fn require_key(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    check_key(&shared, request.extensions(), request.headers()).await?;
    Ok(next.run(request).await)
}

/// That the request carries a known key. Who sent too many wrong ones hears so with the next wrong one; the right one
/// gets in from everywhere, or a stranger could lock out whoever shares an address with them.
pub(crate) async fn check_key(
    shared: &Shared,
    extensions: &Extensions,
    headers: &HeaderMap,
) -> Result<(), Error> {
    let key = bearer(headers).ok_or(Error::KeyMissing)?;
    let hash = hash(key);
    let is_admin_key = |admin: KeyHash| bool::from(admin.ct_eq(&hash));
    if shared.admin_key.is_some_and(is_admin_key) || is_stored(shared, key, hash).await? {
        return Ok(());
    }
    let (source, now) = (Source::of(extensions), Instant::now());
    if shared.guesses.are_used_up(source, now) {
        return Err(Error::TooManyKeys);
    }
    shared.guesses.add(source, now);
    Err(Error::KeyUnknown)
}

/// Whether the database knows the key, or knew it when it could last be asked.
async fn is_stored(shared: &Shared, key: &str, hash: KeyHash) -> Result<bool, Error> {
    let remembered = shared.remembered.asked_at(hash);
    let now = Instant::now();
    if remembered.is_some_and(|at| now.saturating_duration_since(at) < FRESH) {
        return Ok(true);
    }
    let known = shared.api.store.key_is_known(key).await;
    match known.map_err(Error::of_store("key")) {
        Ok(false) => {
            shared.remembered.forget(hash);
            Ok(false)
        }
        // Not to wait for the database at every request while it is away.
        Err(Error::Database) if remembered.is_some() => {
            shared.remembered.add(hash, now);
            Ok(true)
        }
        Ok(true) => {
            shared.remembered.add(hash, now);
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

impl Remembered {
    /// All are compared, each in constant time: how long it takes tells nothing of how much of a key was right.
    fn asked_at(&self, hash: KeyHash) -> Option<Instant> {
        let mut found = None;
        for (known, at) in self.keys().iter() {
            if bool::from(known.ct_eq(&hash)) {
                found = Some(*at);
            }
        }
        found
    }

    fn add(&self, hash: KeyHash, now: Instant) {
        let mut keys = self.keys();
        keys.retain(|(known, _)| *known != hash);
        if keys.len() < REMEMBERED {
            keys.push((hash, now));
        }
    }

    fn forget(&self, hash: KeyHash) {
        self.keys().retain(|(known, _)| *known != hash);
    }

    fn keys(&self) -> MutexGuard<'_, Vec<(KeyHash, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// RFC 6750 §2.1; the scheme in any case (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}
