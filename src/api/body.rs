//! Request bodies: one JSON object of at most 1 MiB, and RFC 7396 merge patches.

use crate::error::Error;
use crate::{MAX_BODY_BYTES, Shared};
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::{HeaderMap, Method, StatusCode, header, request::Parts};
use directory::Invalid;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The body of a request that must be a JSON object.
pub(crate) struct Object(pub(crate) Map<String, Value>);

impl FromRequest<Arc<Shared>> for Object {
    type Rejection = Error;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Error> {
        check_media_type(request.method(), request.headers())?;
        // Its bytes are counted as they come, too; this spares the client sending them.
        if length(request.headers()).is_some_and(|length| length > MAX_BODY_BYTES as u64) {
            return Err(Error::TooLarge);
        }
        let all = Bytes::from_request(request, shared);
        let bytes = tokio::time::timeout(shared.api.limits.body_timeout, all)
            .await
            .map_err(|_| Error::TooSlow)?
            .map_err(|refused| {
                if refused.status() == StatusCode::PAYLOAD_TOO_LARGE {
                    Error::TooLarge
                } else {
                    Error::Malformed("the body could not be read".to_owned())
                }
            })?;
        let value = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Malformed(format!("the body is not JSON: {error}")))?;
        match value {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(Error::Invalid(vec![Invalid::new(
                "",
                "must be a JSON object",
            )])),
        }
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

fn check_media_type(method: &Method, headers: &HeaderMap) -> Result<(), Error> {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    let is = |wanted: &str| essence.eq_ignore_ascii_case(wanted);
    let patch = *method == Method::PATCH;
    if is("application/json") || (patch && is("application/merge-patch+json")) {
        return Ok(());
    }
    Err(Error::MediaType(if patch {
        "application/merge-patch+json or application/json"
    } else {
        "application/json"
    }))
}

/// The one parameter of a path.
pub(crate) struct Name(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        // A path that is not UTF-8 once decoded names nothing.
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(name)| Self(name))
            .map_err(|_| Error::NotFound("resource"))
    }
}

/// `patch` applied to the resource `current` (RFC 7396 §2). A member of `kept` that the patch sets to null
/// stays in the result as null, for fields that have no default to fall back to.
pub(crate) fn merge(
    current: Map<String, Value>,
    patch: Map<String, Value>,
    kept: &[&str],
) -> Map<String, Value> {
    let removed: Vec<&str> = kept
        .iter()
        .copied()
        .filter(|name| patch.get(*name).is_some_and(Value::is_null))
        .collect();
    let mut merged = merge_object(current, patch);
    for name in removed {
        merged.insert(name.to_owned(), Value::Null);
    }
    merged
}

/// The depth is that of the parsed body, which serde_json limits to 128.
fn merge_object(mut target: Map<String, Value>, patch: Map<String, Value>) -> Map<String, Value> {
    for (name, value) in patch {
        match value {
            Value::Null => {
                target.remove(&name);
            }
            Value::Object(patch) => {
                let old = match target.remove(&name) {
                    Some(Value::Object(old)) => old,
                    _ => Map::new(),
                };
                target.insert(name, Value::Object(merge_object(old, patch)));
            }
            other => {
                target.insert(name, other);
            }
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// RFC 7396 appendix A, the cases between objects.
    #[test]
    fn the_examples_of_the_rfc_merge_as_it_says() {
        let cases = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (
                json!({"a":"b","b":"c"}),
                json!({"a":null}),
                json!({"b":"c"}),
            ),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (
                json!({"a":{"b":"c"}}),
                json!({"a":{"b":"d","c":null}}),
                json!({"a":{"b":"d"}}),
            ),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (
                json!({}),
                json!({"a":{"bb":{"ccc":null}}}),
                json!({"a":{"bb":{}}}),
            ),
        ];
        for (target, patch, result) in cases {
            let object = |v: &Value| v.as_object().cloned().expect("an object");
            let merged = merge(object(&target), object(&patch), &[]);
            assert_eq!(Value::Object(merged), result, "{target} + {patch}");
        }
    }

    #[test]
    fn a_kept_member_stays_as_null() {
        let object = |v: Value| v.as_object().cloned().expect("an object");
        let merged = merge(
            object(json!({"a":1,"b":2})),
            object(json!({"a":null,"b":null})),
            &["a", "c"],
        );
        assert_eq!(Value::Object(merged), json!({"a":null}));
    }
}
