//! The REST API under `/api/v1`, its description, and the small web page that shows the live office.
//!
//! It decides nothing about calls: a write goes to `store`, and the new [`directory::Directory`] or an
//! action goes to the Switch as a [`switch::Event`]; what lives is read from [`Live`], which the wiring
//! feeds with notices. It opens no socket: [`serve`] takes one that listens.
//! Next: `routes.rs` lists every path, `openapi.json` describes them, `change.rs` is how a write takes effect.

mod auth;
mod bans;
mod body;
mod call_records;
mod calls;
mod change;
mod clock;
mod conferences;
mod dialplan;
mod error;
mod extensions;
mod fields;
mod guesses;
mod health;
mod live;
mod message_summary;
mod numbers;
mod page;
mod pcap;
mod registrations;
mod routes;
mod serve;
mod site;
mod trace;
mod trunk_tls;
mod trunks;
mod websocket;

pub use dialplan::{Dialplan, ScriptProblem, Standing};
pub use health::Certificate;
pub use live::{Live, Phone};
pub use numbers::Numbers;
pub use serve::{Limits, serve};
pub use websocket::{Proxy, SipSocket};

use std::sync::Arc;
use store::{Store, TraceReader};

/// The largest request body, bytes; a larger one is refused with 413.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// What the API stands on.
#[derive(Clone)]
pub struct Api {
    /// Extensions, trunks, call records and admin keys.
    pub store: Store,
    /// To the Switch. When it is full, the API answers 503 with Retry-After and has changed nothing.
    pub events: tokio::sync::mpsc::Sender<switch::Event>,
    /// What the Switch told last.
    pub live: Arc<Live>,
    /// The SIP messages of calls; `None` when they are not kept.
    pub traces: Option<TraceReader>,
    /// The scripts.
    pub dialplan: Arc<dyn Dialplan>,
    /// The realm that passwords are digested with.
    pub realm: String,
    /// Which numbers the host routes itself, and what is amiss with those configured.
    pub numbers: Arc<Numbers>,
    /// A key that is let in besides those in the store (`OFFHOOK_ADMIN_KEY`).
    pub admin_key: Option<String>,
    /// The most calls at once (`[sip] max_calls`): over it nobody may start one here either.
    pub max_calls: usize,
    /// The program's version, for `/system/health`.
    pub version: &'static str,
    /// How the TLS certificates stand.
    pub certificate: Arc<dyn Fn() -> Certificate + Send + Sync>,
    /// Who takes browser phones that come to `/ws`; `None`: nobody.
    pub websocket: Option<Arc<dyn SipSocket>>,
    /// What clients may take of it.
    pub limits: Limits,
}

/// The API, its pages and everything else that is served over HTTP.
pub fn router(api: Api) -> axum::Router {
    routes::router(Arc::new(Shared::new(api)))
}

/// The state that all requests share.
pub(crate) struct Shared {
    pub(crate) api: Api,
    /// SHA-256 of `api.admin_key`, so that comparing takes the same time for every wrong key.
    pub(crate) admin_key: Option<auth::KeyHash>,
    pub(crate) remembered: auth::Remembered,
    pub(crate) guesses: guesses::Guesses,
    /// Whose turn it is to write the configuration.
    pub(crate) configuration: tokio::sync::Mutex<change::Told>,
    /// Whose turn it is to change the scripts.
    pub(crate) scripts: tokio::sync::Mutex<()>,
}

impl Shared {
    fn new(api: Api) -> Self {
        let key = api.admin_key.as_deref().filter(|key| !key.is_empty());
        Self {
            admin_key: key.map(auth::hash),
            remembered: auth::Remembered::default(),
            guesses: guesses::Guesses::new(api.limits.wrong_keys),
            configuration: tokio::sync::Mutex::new(change::Told::Everything),
            scripts: tokio::sync::Mutex::new(()),
            api,
        }
    }
}
