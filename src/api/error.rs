//! What the API refuses with: one enum, one table to HTTP, written as RFC 9457 problem details.

use crate::dialplan::ScriptProblem;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use directory::Invalid;
use serde_json::{Value, json};

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("a key is needed: send it as \"Authorization: Bearer KEY\"")]
    KeyMissing,
    #[error("the key is not known")]
    KeyUnknown,
    #[error("too many wrong keys came from your address; wait a second")]
    TooManyKeys,
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("the resource exists but not with this method; the Allow header lists those it has")]
    Method,
    #[error("the {0} is taken")]
    Taken(&'static str),
    #[error("the body is larger than 1 MiB")]
    TooLarge,
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body must be sent with Content-Type: {0}")]
    MediaType(&'static str),
    #[error("{0}")]
    Malformed(String),
    #[error("{}", sentence(.0))]
    Invalid(Vec<Invalid>),
    #[error("{}", places(.0))]
    Scripts(Vec<ScriptProblem>),
    #[error("the switch has too much to do; nothing was changed")]
    Busy,
    #[error("as many calls are live as may be; none was started")]
    TooManyCalls,
    #[error("the database is away")]
    Database,
    #[error(
        "the change was saved but is not in force yet, because the database went away; repeat the request"
    )]
    Untold,
    #[error("something broke inside; the log says what")]
    Broken,
}

impl Error {
    /// How a request about `what` fails when the store does.
    pub(crate) fn of_store(what: &'static str) -> impl Fn(store::Error) -> Error {
        move |error| match error {
            store::Error::NotFound => Error::NotFound(what),
            store::Error::Taken(field) => Error::Taken(field),
            store::Error::Unavailable(why) => {
                tracing::warn!(%why, "the database is away");
                Error::Database
            }
            store::Error::Refused(_) | store::Error::Corrupt(_) | store::Error::WrongKey { .. } => {
                Error::broken(&error)
            }
        }
    }

    /// For what must not happen: logged here, and not shown to the client.
    pub(crate) fn broken(why: &dyn std::fmt::Display) -> Error {
        tracing::error!(%why, "a request broke");
        Error::Broken
    }

    fn status(&self) -> StatusCode {
        match self {
            Error::KeyMissing | Error::KeyUnknown => StatusCode::UNAUTHORIZED,
            Error::TooManyKeys => StatusCode::TOO_MANY_REQUESTS,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::Method => StatusCode::METHOD_NOT_ALLOWED,
            Error::Taken(_) => StatusCode::CONFLICT,
            Error::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Error::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Error::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::Malformed(_) => StatusCode::BAD_REQUEST,
            Error::Invalid(_) | Error::Scripts(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Busy | Error::TooManyCalls | Error::Database | Error::Untold => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Error::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A header that belongs to the status.
    fn header(&self) -> Option<(header::HeaderName, &'static str)> {
        match self {
            // RFC 6750 §3: no error code when the request had no key.
            Error::KeyMissing => Some((header::WWW_AUTHENTICATE, "Bearer realm=\"offhook\"")),
            Error::KeyUnknown => Some((
                header::WWW_AUTHENTICATE,
                "Bearer realm=\"offhook\", error=\"invalid_token\"",
            )),
            Error::Busy | Error::TooManyKeys => Some((header::RETRY_AFTER, "1")),
            // As long as a caller is told to wait (`switch`).
            Error::TooManyCalls => Some((header::RETRY_AFTER, "10")),
            // RFC 9110 §15.5.9: the rest of the body is not waited for.
            Error::TooSlow => Some((header::CONNECTION, "close")),
            Error::Database | Error::Untold => Some((header::RETRY_AFTER, "5")),
            Error::NotFound(_)
            | Error::Method
            | Error::Taken(_)
            | Error::TooLarge
            | Error::MediaType(_)
            | Error::Malformed(_)
            | Error::Invalid(_)
            | Error::Scripts(_)
            | Error::Broken => None,
        }
    }

    fn errors(&self) -> Option<Value> {
        match self {
            Error::Invalid(wrong) => Some(
                wrong
                    .iter()
                    .map(|i| json!({"field": i.field, "why": i.why}))
                    .collect(),
            ),
            Error::Taken(field) => Some(json!([{"field": field, "why": "is taken"}])),
            Error::Scripts(wrong) => Some(
                wrong
                    .iter()
                    .map(|p| {
                        json!({"field": p.file, "file": p.file, "line": p.line, "column": p.column, "why": p.why})
                    })
                    .collect(),
            ),
            _ => None,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        // RFC 9457 §4.2.1: with the type about:blank the title is the status's own phrase.
        let mut problem = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "detail": self.to_string(),
        });
        if let (Some(errors), Some(members)) = (self.errors(), problem.as_object_mut()) {
            members.insert("errors".to_owned(), errors);
        }
        let media_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, media_type, problem.to_string()).into_response();
        if let Some((name, value)) = self.header() {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

fn sentence(wrong: &[Invalid]) -> String {
    let parts: Vec<String> = wrong
        .iter()
        .map(|i| match i.field.as_str() {
            "" => format!("the body {}", i.why),
            field => format!("{field} {}", i.why),
        })
        .collect();
    parts.join("; ")
}

fn places(wrong: &[ScriptProblem]) -> String {
    let parts: Vec<String> = wrong
        .iter()
        .map(|p| match (p.line, p.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}: {}", p.file, p.why),
            (Some(line), None) => format!("{}:{line}: {}", p.file, p.why),
            (None, _) => format!("{}: {}", p.file, p.why),
        })
        .collect();
    parts.join("; ")
}
