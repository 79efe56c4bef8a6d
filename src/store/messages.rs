//! Text messages that wait for a phone, kept over restarts. Written by [`crate::Writer`].

use crate::queued::Queued;
use crate::row::{Columns, plain};
use crate::{Result, Store};
use directory::StoredMessage;
use sqlx::Row;
use sqlx::any::AnyRow;

/// What is to be done to one message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum MessageChange {
    Keep(StoredMessage),
    /// It is delivered or has expired.
    Drop {
        id: i64,
    },
}

impl Queued for MessageChange {
    type Key = i64;

    fn key(&self) -> i64 {
        let (MessageChange::Keep(StoredMessage { id, .. }) | MessageChange::Drop { id }) = self;
        *id
    }

    fn about(&self) -> String {
        format!("message {}", self.key())
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
    async fn change_messages(&self, changes: &[MessageChange]) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
        for change in changes {
            sqlx::query("DELETE FROM messages WHERE id = $1")
                .bind(change.key())
                .execute(&mut *transaction)
                .await?;
            let MessageChange::Keep(message) = change else {
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
