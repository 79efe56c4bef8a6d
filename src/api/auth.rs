//! Who may use the API: whoever holds an admin key.

use crate::Shared;
use crate::error::Error;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// SHA-256 of a key.
pub(crate) type KeyHash = [u8; 32];

pub(crate) fn hash(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

/// Lets a request pass that carries a known key, and answers 401 to any other, before its body is read.
pub(crate) async fn require_key(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let key = bearer(request.headers()).ok_or(Error::KeyMissing)?;
    if !is_admin_key(&shared, key) {
        let known = shared.api.store.key_is_known(key).await;
        if !known.map_err(Error::of_store("key"))? {
            return Err(Error::KeyUnknown);
        }
    }
    Ok(next.run(request).await)
}

/// Hashes are compared, in constant time: the time tells nothing of how much of the key was right.
fn is_admin_key(shared: &Shared, key: &str) -> bool {
    shared
        .admin_key
        .is_some_and(|admin| bool::from(admin.ct_eq(&hash(key))))
}

/// RFC 6750 §2.1; the scheme in any case (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}
