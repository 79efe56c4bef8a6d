//! Lists in pages: `?limit&after` in, `{"items", "next"}` out.

use crate::error::Error;
use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use directory::Invalid;
use serde_json::{Value, json};

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 500;
/// A cursor is made of a few short strings; nobody has a use for a longer one.
const MAX_CURSOR_BYTES: usize = 8192;

/// Which page of a list is wanted.
pub(crate) struct Page {
    limit: u32,
    after: Option<Vec<String>>,
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Query(parameters) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::Malformed("the query string cannot be read".to_owned()))?;
        let mut page = Page {
            limit: DEFAULT_LIMIT,
            after: None,
        };
        let mut wrong = Vec::new();
        for (name, value) in parameters {
            match name.as_str() {
                "limit" => match value.parse() {
                    Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => page.limit = limit,
                    _ => wrong.push(Invalid::new("limit", "must be 1 to 500")),
                },
                "after" => match decode(&value) {
                    Some(key) => page.after = Some(key),
                    None => wrong.push(bad_cursor()),
                },
                _ => wrong.push(Invalid::new(name, "is not a parameter of this list")),
            }
        }
        if wrong.is_empty() {
            Ok(page)
        } else {
            Err(Error::Invalid(wrong))
        }
    }
}

impl Page {
    /// How many items to fetch: one more than the page holds tells whether another page follows.
    pub(crate) fn wanted(&self) -> u32 {
        self.limit + 1
    }

    /// The key of the last item of the page before, which was made of `N` strings.
    pub(crate) fn after<const N: usize>(&self) -> Result<Option<[&str; N]>, Error> {
        let Some(key) = &self.after else {
            return Ok(None);
        };
        let parts: Vec<&str> = key.iter().map(String::as_str).collect();
        let parts = <[&str; N]>::try_from(parts);
        parts
            .map(Some)
            .map_err(|_| Error::Invalid(vec![bad_cursor()]))
    }

    /// The answer. `items` are those after [`Page::after`] in order, [`Page::wanted`] of them when there are as many.
    pub(crate) fn answer<T>(
        &self,
        mut items: Vec<T>,
        key: impl Fn(&T) -> Vec<String>,
        view: impl Fn(&T) -> Value,
    ) -> Json<Value> {
        let limit = self.limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        let next = last.map(|item| encode(&key(item)));
        let items: Vec<Value> = items.iter().map(view).collect();
        Json(json!({"items": items, "next": next}))
    }
}

pub(crate) fn bad_cursor() -> Invalid {
    Invalid::new(
        "after",
        "must be the \"next\" of an earlier page of this list",
    )
}

fn encode(key: &[String]) -> String {
    URL_SAFE_NO_PAD.encode(json!(key).to_string())
}

fn decode(cursor: &str) -> Option<Vec<String>> {
    if cursor.len() > MAX_CURSOR_BYTES {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let key: Vec<String> = serde_json::from_slice(&bytes).ok()?;
    // PostgreSQL refuses a NUL in a text, and no key of ours has a control character.
    let plain = |part: &String| !part.chars().any(char::is_control);
    key.iter().all(plain).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_and_others_are_refused() {
        let key = vec!["101".to_owned(), "sip:ä@example.net".to_owned()];
        assert_eq!(decode(&encode(&key)), Some(key));
        for bad in [
            "",
            "101",
            "!",
            &encode(&["a\0".to_owned()]),
            &"A".repeat(10_000),
        ] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
