//! Text messages that wait for a phone, kept over restarts. Written by [`crate::Writer`].

use crate::queued::{self, Queued};
use crate::row::{Columns, plain};
use crate::writer::{Sent, Shared};
use crate::{Result, Store, Writer};
use directory::StoredMessage;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

/// What the database has not heard yet, by the message's id; `None`: it is delivered or has expired.
pub(crate) type Pending = BTreeMap<i64, Option<StoredMessage>>;
/// Most of those. The Switch keeps fewer messages.
const PENDING: usize = 65_536;
/// Most in one transaction.
const AT_ONCE: usize = 500;

impl Writer {
    /// Remembers a message; returns at once.
    pub fn keep_message(&self, message: StoredMessage) {
        self.shared.change_message(message.id, Some(message));
    }

    /// Forgets a message; returns at once.
    pub fn drop_message(&self, id: i64) {
        self.shared.change_message(id, None);
    }
}

impl Shared {
    fn change_message(&self, id: i64, change: Option<StoredMessage>) {
        let mut messages = self.pending_messages();
        if messages.len() >= PENDING && !messages.contains_key(&id) {
            tracing::warn!(id, "message not stored: too many wait for the database");
            return;
        }
        messages.insert(id, change);
        drop(messages);
        self.work.notify_one();
    }

    pub(crate) async fn send_messages(&self, store: &Store) -> Sent {
        let mut changes = Vec::new();
        {
            let mut messages = self.pending_messages();
            while changes.len() < AT_ONCE
                && let Some(change) = messages.pop_first()
            {
                changes.push(change);
            }
        }
        if changes.is_empty() {
            return Sent::Nothing;
        }
        match queued::apply(store, &changes).await {
            Ok(()) => Sent::Some,
            Err(e) => {
                let mut messages = self.pending_messages();
                for (id, change) in changes {
                    messages.entry(id).or_insert(change);
                }
                Sent::Failed(e.to_string())
            }
        }
    }

    fn pending_messages(&self) -> MutexGuard<'_, Pending> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queued for (i64, Option<StoredMessage>) {
    fn about(&self) -> String {
        format!("message {}", self.0)
    }

    fn apply(store: &Store, changes: &[Self]) -> impl Future<Output = Result<()>> + Send {
        store.change_messages(changes)
    }
}

impl Store {
    /// Every message that has not expired at `now_ms` (Unix milliseconds), the oldest first; the expired ones are
    /// forgotten.
    pub async fn messages(&self, now_ms: i64) -> Result<Vec<StoredMessage>> {
        sqlx::query("DELETE FROM messages WHERE expires_at_ms <= $1")
            .bind(now_ms)
            .execute(&self.pool)
            .await?;
        let rows = sqlx::query("SELECT * FROM messages ORDER BY id")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(message).collect()
    }

    /// Applies all of `changes` or none.
    pub(crate) async fn change_messages(
        &self,
        changes: &[(i64, Option<StoredMessage>)],
    ) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
        for (id, change) in changes {
            sqlx::query("DELETE FROM messages WHERE id = $1")
                .bind(*id)
                .execute(&mut *transaction)
                .await?;
            let Some(message) = change else {
                continue;
            };
            sqlx::query(
                "INSERT INTO messages (id, extension, sender, sender_name, content_type, body, sent_at_ms, expires_at_ms) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(message.id)
            .bind(plain(&message.extension).into_owned())
            .bind(plain(&message.sender).into_owned())
            .bind(plain(&message.sender_name).into_owned())
            .bind(plain(&message.content_type).into_owned())
            .bind(message.body.clone())
            .bind(message.sent_at_ms)
            .bind(message.expires_at_ms)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

fn message(row: &AnyRow) -> Result<StoredMessage> {
    let body: Vec<u8> = row.try_get("body")?;
    let row = Columns(row);
    Ok(StoredMessage {
        id: row.number("id")?,
        extension: row.text("extension")?,
        sender: row.text("sender")?,
        sender_name: row.text("sender_name")?,
        content_type: row.text("content_type")?,
        body,
        sent_at_ms: row.number("sent_at_ms")?,
        expires_at_ms: row.number("expires_at_ms")?,
    })
}
