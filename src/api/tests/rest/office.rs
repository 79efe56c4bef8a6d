//! The API as tests see it: a real store, and a switch and scripts that only note what they are told.

use crate::schema;
use api::{Api, Dialplan, Live, Numbers, ScriptProblem};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use directory::Directory;
use serde_json::{Value, json};
use sqlx::Connection;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use store::{SecretKey, Store};
use switch::Event;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tower::ServiceExt;

pub(crate) const KEY: &str = "the admin key of the tests";
pub(crate) const REALM: &str = "office.test";
pub(crate) const MAX_CALLS: usize = 4;
/// 2100-01-01.
pub(crate) const FAR_MS: i64 = 4_102_444_800_000;

pub(crate) struct Office {
    app: Router,
    pub(crate) api: Api,
    pub(crate) store: Store,
    pub(crate) live: Arc<Live>,
    pub(crate) scripts: Arc<Scripts>,
    pub(crate) to_switch: mpsc::Sender<Event>,
    pub(crate) switch: mpsc::Receiver<Event>,
    url: String,
    /// Removed at the end.
    pub(crate) folder: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Null when there is no body, a string when it is not JSON.
    pub(crate) body: Value,
    pub(crate) bytes: Vec<u8>,
}

/// Accepts every script that does not say `syntax error`.
#[derive(Default)]
pub(crate) struct Scripts {
    pub(crate) files: Mutex<BTreeMap<String, String>>,
}

impl Dialplan for Scripts {
    fn files(&self) -> BTreeMap<String, String> {
        self.files.lock().unwrap().clone()
    }

    fn replace(&self, files: BTreeMap<String, String>) -> Result<(), Vec<ScriptProblem>> {
        judge(&files)?;
        *self.files.lock().unwrap() = files;
        Ok(())
    }

    fn standing(&self) -> api::Standing {
        if self.refused().is_empty() {
            api::Standing::Ok
        } else {
            api::Standing::Old
        }
    }

    fn refused(&self) -> Vec<ScriptProblem> {
        judge(&self.files()).err().unwrap_or_default()
    }

    fn reload(&self) -> Result<(), Vec<ScriptProblem>> {
        judge(&self.files())
    }
}

fn judge(files: &BTreeMap<String, String>) -> Result<(), Vec<ScriptProblem>> {
    let bad = files
        .iter()
        .filter(|(_, text)| text.contains("syntax error"));
    let problems: Vec<ScriptProblem> = bad
        .map(|(file, _)| ScriptProblem {
            file: file.clone(),
            line: Some(3),
            column: Some(7),
            why: "Expecting ';'".into(),
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

impl Office {
    pub(crate) async fn on_sqlite() -> Office {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("office.db").display());
        Office::open(url, folder).await
    }

    /// On the PostgreSQL at `server`, in a schema of the test's own, emptied first.
    pub(crate) async fn on_postgres(server: &str, test: &str) -> Office {
        let schema = test.replace("::", "_");
        sqlx::any::install_default_drivers();
        let mut connection = sqlx::AnyConnection::connect(server).await.unwrap();
        let empty = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(empty))
            .execute(&mut connection)
            .await
            .unwrap();
        let sign = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{sign}options[search_path]={schema}");
        Office::open(url, TempDir::new().unwrap()).await
    }

    async fn open(url: String, folder: TempDir) -> Office {
        let store = Store::open(&url, SecretKey::from_bytes([7; 32]))
            .await
            .unwrap();
        let (to_switch, switch) = mpsc::channel(64);
        let live = Arc::new(Live::new());
        let scripts = Arc::new(Scripts::default());
        let api = Api {
            store: store.clone(),
            events: to_switch.clone(),
            live: Arc::clone(&live),
            traces: None,
            dialplan: Arc::clone(&scripts) as Arc<dyn Dialplan>,
            numbers: Arc::new(Numbers::new(
                vec!["112".into()],
                "9".into(),
                &store.snapshot().await.unwrap(),
            )),
            realm: REALM.into(),
            admin_key: Some(KEY.into()),
            max_calls: MAX_CALLS,
            version: "1.2.3",
            certificate: Arc::new(|| api::Certificate {
                expires_at_ms: Some(FAR_MS),
                refused: None,
            }),
            websocket: None,
            limits: api::Limits::default(),
        };
        Office {
            app: api::router(api.clone()),
            api,
            store,
            live,
            scripts,
            to_switch,
            switch,
            url,
            folder,
        }
    }

    pub(crate) fn with_traces(self, traces: store::TraceReader) -> Office {
        let mut api = self.api.clone();
        api.traces = Some(traces);
        let app = api::router(api.clone());
        Office { api, app, ..self }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// Under `/api/v1`, with the key, as JSON.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {KEY}"));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
        self.ask(request.body(body).unwrap()).await
    }

    /// Any request at all. An answer under `/api/v1` must be one that `openapi.json` promises.
    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let body = match &*text {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        };
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            body,
            bytes: bytes.to_vec(),
        };
        if let Some(path) = path.strip_prefix("/api/v1") {
            schema::check(&method, path, &answer);
        }
        answer
    }

    /// The configuration the Switch was told last; `None` when it was told nothing since it was asked.
    pub(crate) fn told(&mut self) -> Option<Arc<Directory>> {
        let mut last = None;
        while let Ok(event) = self.switch.try_recv() {
            match event {
                Event::Directory(directory) => last = Some(directory),
                other => panic!("not a configuration: {other:?}"),
            }
        }
        last
    }

    /// Does something to the database behind the store's back.
    pub(crate) async fn sql(&self, text: &'static str) {
        let mut connection = sqlx::AnyConnection::connect(&self.url).await.unwrap();
        sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Answer {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }

    /// That it is a 422; the fields it names.
    #[track_caller]
    pub(crate) fn wrong_fields(self) -> Vec<String> {
        let answer = self.is(422);
        let errors = answer.body["errors"].as_array().expect("errors");
        let field = |e: &Value| e["field"].as_str().expect("field").to_owned();
        errors.iter().map(field).collect()
    }

    /// That it is a page; its items.
    #[track_caller]
    pub(crate) fn items(self) -> Vec<Value> {
        let answer = self.is(200);
        answer.body["items"].as_array().expect("items").clone()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

/// All items of a list, read in pages of two.
pub(crate) async fn in_pages(office: &Office, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut next = String::new();
    loop {
        let answer = office.get(&format!("{path}?limit=2{next}")).await.is(200);
        let page = answer.body["items"].as_array().unwrap();
        assert!(page.len() <= 2);
        items.extend(page.iter().cloned());
        match answer.body["next"].as_str() {
            Some(cursor) => next = format!("&after={cursor}"),
            None => return items,
        }
        assert_eq!(page.len(), 2, "a page before the last is full");
    }
}
