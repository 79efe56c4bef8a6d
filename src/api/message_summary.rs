//! `/extensions/{number}/message-summary`: how many messages wait, for the lights of the extension's phones.

use crate::Shared;
use crate::body::{Name, Object};
use crate::error::Error;
use crate::extensions;
use crate::fields::Fields;
use axum::Json;
use axum::extract::State;
use directory::MessageSummary;
use serde_json::{Value, json};
use std::sync::Arc;
use switch::Event;

pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Name(number): Name,
) -> Result<Json<Value>, Error> {
    known(&shared, &number).await?;
    let counts = shared.api.store.message_summary(&number).await;
    Ok(Json(view(&counts.map_err(of_store)?)))
}

/// Sets all counts; one left out is 0. The phones are told at once.
pub(crate) async fn replace(
    State(shared): State<Arc<Shared>>,
    Name(number): Name,
    Object(members): Object,
) -> Result<Json<Value>, Error> {
    let mut fields = Fields::new(members);
    let counts = MessageSummary {
        new: fields.count("new"),
        old: fields.count("old"),
        urgent_new: fields.count("urgent_new"),
        urgent_old: fields.count("urgent_old"),
    };
    fields.finish(Vec::new())?;
    let done = tokio::spawn(async move {
        // In turn with other writes: the Switch hears of the last one last, and of none of a deleted extension.
        let _turn = shared.configuration.lock().await;
        known(&shared, &number).await?;
        let place = shared.api.events.try_reserve().map_err(|_| Error::Busy)?;
        let stored = shared.api.store.set_message_summary(&number, &counts).await;
        stored.map_err(of_store)?;
        place.send(Event::MessageSummaries(vec![(number, counts)]));
        Ok(Json(view(&counts)))
    });
    done.await
        .unwrap_or_else(|panic| Err(Error::broken(&panic)))
}

async fn known(shared: &Shared, number: &str) -> Result<(), Error> {
    if extensions::exists(shared, number).await? {
        Ok(())
    } else {
        Err(Error::NotFound("extension"))
    }
}

fn view(counts: &MessageSummary) -> Value {
    json!({
        "new": counts.new,
        "old": counts.old,
        "urgent_new": counts.urgent_new,
        "urgent_old": counts.urgent_old,
    })
}

fn of_store(error: store::Error) -> Error {
    Error::of_store("extension")(error)
}
