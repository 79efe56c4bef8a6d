//! How many messages wait for each extension.

use crate::row::{Columns, plain};
use crate::{Result, Store};
use directory::MessageSummary;
use sqlx::any::AnyRow;

impl Store {
    /// The counts of that extension; all 0 when nobody has set any.
    pub async fn message_summary(&self, extension: &str) -> Result<MessageSummary> {
        let row = sqlx::query("SELECT * FROM message_summaries WHERE extension = $1")
            .bind(plain(extension).into_owned())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map_or(Ok(MessageSummary::default()), counts)
    }

    /// Sets the counts of that extension.
    pub async fn set_message_summary(
        &self,
        extension: &str,
        counts: &MessageSummary,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO message_summaries (extension, new_messages, old_messages, urgent_new, urgent_old) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (extension) DO UPDATE SET new_messages = excluded.new_messages, \
             old_messages = excluded.old_messages, urgent_new = excluded.urgent_new, urgent_old = excluded.urgent_old",
        )
        .bind(plain(extension).into_owned())
        .bind(i64::from(counts.new))
        .bind(i64::from(counts.old))
        .bind(i64::from(counts.urgent_new))
        .bind(i64::from(counts.urgent_old))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The counts of every extension that has some, by number.
    pub async fn message_summaries(&self) -> Result<Vec<(String, MessageSummary)>> {
        let rows = sqlx::query("SELECT * FROM message_summaries ORDER BY extension")
            .fetch_all(&self.pool)
            .await?;
        let one = |row: &AnyRow| Ok((Columns(row).text("extension")?, counts(row)?));
        rows.iter().map(one).collect()
    }
}

fn counts(row: &AnyRow) -> Result<MessageSummary> {
    let row = Columns(row);
    Ok(MessageSummary {
        new: row.number("new_messages")?,
        old: row.number("old_messages")?,
        urgent_new: row.number("urgent_new")?,
        urgent_old: row.number("urgent_old")?,
    })
}
