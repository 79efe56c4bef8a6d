//! Push notifications leave the house: what the webhook is sent, and what came of it.

use crate::config::Config;
use crate::run::StartError;
use net::Webhook;
use serde_json::json;
use switch::{Event, Note};
use tokio::sync::mpsc;

/// The webhook of `[push]`, when there is one.
pub(crate) fn open(config: &Config) -> Result<Option<Webhook>, StartError> {
    let push = &config.push;
    let Some(url) = &push.webhook else {
        return Ok(None);
    };
    let webhook = Webhook::open(url, push.secret.as_deref());
    webhook
        .map(Some)
        .map_err(|e| StartError::Push(e.to_string()))
}

/// Has the notification sent; what came of it becomes an event.
pub(crate) fn send(webhook: Option<&Webhook>, events: &mpsc::Sender<Event>, note: Note) {
    let body = json!({
        "type": "call",
        "call": note.call.to_string(),
        "extension": note.extension,
        "from": note.from,
        "from_name": note.from_name,
        "pn_provider": note.address.provider,
        "pn_param": note.address.param,
        "pn_prid": note.address.prid,
    });
    let events = events.clone();
    let done = move |result: Result<(), String>| {
        let event = Event::Pushed {
            extension: note.extension,
            device: note.device,
            failure: result.err(),
        };
        if events.try_send(event).is_err() {
            tracing::warn!("too busy to note what came of a push notification");
        }
    };
    match webhook {
        Some(webhook) => webhook.post(body.to_string().into_bytes(), done),
        None => done(Err("no webhook is configured".to_owned())),
    }
}
