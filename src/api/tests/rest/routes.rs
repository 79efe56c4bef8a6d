//! That the router and `openapi.json` say the same, and the pages.

use crate::office::{KEY, Office};
use crate::schema::OPENAPI;
use axum::body::Body;
use axum::http::{Method, Request, header};

#[tokio::test]
async fn every_path_has_the_methods_described_and_no_other() {
    let office = Office::on_sqlite().await;
    for (template, item) in OPENAPI["paths"].as_object().unwrap() {
        let path: Vec<&str> = template
            .split('/')
            .map(|part| if part.starts_with('{') { "0" } else { part })
            .collect();
        let path = path.join("/");
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ] {
            let described = item.get(method.as_str().to_lowercase()).is_some();
            let answer = office.send(method.clone(), &path, None).await;
            assert_eq!(answer.status != 405, described, "{method} {path}");
            if !described {
                let allow: Vec<&str> = answer.header("allow").split(',').collect();
                let allowed = |m: &str| item.get(m.to_lowercase()).is_some() || m == "HEAD";
                assert!(allow.iter().all(|m| allowed(m)), "{path}: {allow:?}");
                assert!(!allow.contains(&""), "{path}: no Allow");
            }
        }
    }
}

/// Every `$ref` leads somewhere, every operation has its own name, and only the open paths need no key.
#[test]
fn the_description_hangs_together() {
    fn refs(value: &serde_json::Value, found: &mut Vec<String>) {
        if let Some(place) = value["$ref"].as_str() {
            found.push(place.to_owned());
        }
        match value {
            serde_json::Value::Object(members) => members.values().for_each(|v| refs(v, found)),
            serde_json::Value::Array(items) => items.iter().for_each(|v| refs(v, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    refs(&OPENAPI, &mut found);
    for place in &found {
        assert!(
            OPENAPI.pointer(&place[1..]).is_some(),
            "{place} leads nowhere"
        );
    }
    for kind in ["schemas", "responses", "parameters"] {
        for name in OPENAPI["components"][kind].as_object().unwrap().keys() {
            let place = format!("#/components/{kind}/{name}");
            assert!(found.contains(&place), "{place} is not used");
        }
    }
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in OPENAPI["paths"].as_object().unwrap() {
        for (method, operation) in item
            .as_object()
            .unwrap()
            .iter()
            .filter(|(m, _)| *m != "parameters")
        {
            assert!(
                names.insert(operation["operationId"].as_str().unwrap()),
                "{method} {path}"
            );
            let open = ["/openapi.json", "/system/health"].contains(&path.as_str());
            assert_eq!(operation.get("security").is_some(), open, "{method} {path}");
            assert_eq!(
                operation["responses"].get("401").is_none(),
                open,
                "{method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let office = Office::on_sqlite().await;
    for path in [
        "/",
        "/nothing",
        "/extensions/1/2",
        "/extensions/%ff",
        "/trunks/%00",
        "/call-records/%00",
    ] {
        let answer = office.get(path).await.is(404);
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{path}"
        );
        assert_eq!(answer.body["status"], 404);
    }
    let outside = [
        (Method::GET, "/favicon.ico", 404),
        (Method::GET, "/api", 404),
        (Method::GET, "/api/v1", 401),
        (Method::POST, "/", 405),
        (Method::DELETE, "/web/style.css", 405),
    ];
    for (method, path, status) in outside {
        let request = Request::builder().method(method).uri(path);
        let answer = office.ask(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let allow = if status == 405 { "GET,HEAD" } else { "" };
        assert_eq!(answer.header("allow"), allow, "{path}");
        answer.is(status);
    }
}

#[tokio::test]
async fn the_pages_load_nothing_from_elsewhere() {
    let office = Office::on_sqlite().await;
    let page = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        office.ask(request).await.is(200)
    };
    for path in ["/", "/api/docs"] {
        let answer = page(path).await;
        assert!(answer.header("content-type").starts_with("text/html"));
        assert!(
            answer
                .header("content-security-policy")
                .starts_with("default-src 'none'")
        );
        let text = answer.body.as_str().unwrap().to_owned();
        assert!(!text.contains("//"), "{path} names another host");
        let sources = text
            .split(['"'])
            .filter(|t| t.starts_with("/web/") || t.starts_with("/api/"));
        for source in sources {
            page(source).await;
        }
    }
    let described = page("/api/v1/openapi.json").await;
    assert_eq!(described.header("content-type"), "application/json");
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let office = Office::on_sqlite().await;
    let request = Request::head("/api/v1/extensions")
        .header(header::AUTHORIZATION, format!("Bearer {KEY}"))
        .body(Body::empty())
        .unwrap();
    assert!(office.ask(request).await.is(200).body.is_null());
}
