//! The pages in `web/` and the description of the API, compiled in. They load nothing from anywhere else.

use crate::Shared;
use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;

/// OpenAPI 3.1 of everything under `/api/v1`.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

/// Path, media type, content.
const FILES: [(&str, &str, &str); 5] = [
    ("/", HTML, include_str!("../../web/index.html")),
    ("/api/docs", HTML, include_str!("../../web/docs.html")),
    (
        "/web/style.css",
        "text/css; charset=utf-8",
        include_str!("../../web/style.css"),
    ),
    (
        "/web/office.js",
        SCRIPT,
        include_str!("../../web/office.js"),
    ),
    ("/web/docs.js", SCRIPT, include_str!("../../web/docs.js")),
];
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Only our own files, and in no other site's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn pages() -> Router<Arc<Shared>> {
    FILES
        .into_iter()
        .fold(Router::new(), |router, (path, media_type, content)| {
            router.route(path, get(async move || page(media_type, content)))
        })
}

pub(crate) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

fn page(media_type: &'static str, content: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, content)
}
