//! Every path there is. `openapi.json` describes those under `/api/v1`, and a test compares the two.

use crate::error::Error;
use crate::{MAX_BODY_BYTES, Shared};
use crate::{
    auth, bans, call_records, calls, conferences, dialplan, extensions, health, message_summary,
    registrations, site, trace, trunks, websocket,
};
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Router, middleware};
use std::sync::Arc;

type Routes = Vec<(&'static str, MethodRouter<Arc<Shared>>)>;

/// What everybody may read.
fn open() -> Routes {
    vec![
        ("/openapi.json", get(site::openapi)),
        ("/system/health", get(health::show)),
    ]
}

/// What needs a key.
fn closed() -> Routes {
    vec![
        ("/bans", get(bans::list).post(bans::create)),
        ("/bans/{id}", delete(bans::lift)),
        ("/call-records", get(call_records::list)),
        ("/call-records/{id}", get(call_records::show)),
        ("/call-records/{id}/sip", get(trace::show)),
        ("/calls", get(calls::list).post(calls::originate)),
        ("/calls/{id}", get(calls::show).delete(calls::hang_up)),
        ("/calls/{id}/announce", post(conferences::announce)),
        ("/calls/{id}/dtmf", post(calls::press)),
        ("/calls/{id}/supervise", post(conferences::supervise)),
        ("/conferences", get(conferences::list)),
        ("/conferences/{name}", get(conferences::show)),
        ("/conferences/{name}/actions", post(conferences::act)),
        ("/dialplan", get(dialplan::show).put(dialplan::replace)),
        ("/dialplan/reload", post(dialplan::reload)),
        (
            "/extensions",
            get(extensions::list).post(extensions::create),
        ),
        (
            "/extensions/{number}",
            get(extensions::show)
                .put(extensions::replace)
                .patch(extensions::patch)
                .delete(extensions::delete),
        ),
        (
            "/extensions/{number}/message-summary",
            get(message_summary::show).put(message_summary::replace),
        ),
        ("/registrations", get(registrations::list)),
        ("/trunks", get(trunks::list).post(trunks::create)),
        (
            "/trunks/{name}",
            get(trunks::show)
                .put(trunks::replace)
                .patch(trunks::patch)
                .delete(trunks::delete),
        ),
    ]
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let require_key = middleware::from_fn_with_state(Arc::clone(&shared), auth::require_key);
    let closed = add(Router::new(), closed())
        .fallback(async || Error::NotFound("resource"))
        .method_not_allowed_fallback(async || Error::Method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(require_key);
    let open = add(Router::new(), open()).method_not_allowed_fallback(async || Error::Method);
    let api = closed.merge(open).layer(middleware::map_response(not_kept));
    site::pages()
        .route("/ws", get(websocket::open))
        .method_not_allowed_fallback(async || Error::Method)
        .nest("/api/v1", api)
        .fallback(async || Error::NotFound("page"))
        .with_state(shared)
}

fn add(router: Router<Arc<Shared>>, routes: Routes) -> Router<Arc<Shared>> {
    routes.into_iter().fold(router, |router, (path, methods)| {
        router.route(path, methods)
    })
}

/// What the API answers is of the moment and often confidential: no cache keeps it.
async fn not_kept(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_description_names_exactly_the_paths_there_are() {
        let openapi: Value = serde_json::from_str(site::OPENAPI).expect("openapi.json is JSON");
        let paths = openapi["paths"].as_object().expect("paths");
        let mut described: Vec<&str> = paths.keys().map(String::as_str).collect();
        described.sort_unstable();
        let mut routed: Vec<&str> = open().into_iter().chain(closed()).map(|(p, _)| p).collect();
        routed.sort_unstable();
        assert_eq!(described, routed);
    }
}
