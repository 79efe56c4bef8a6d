//! Bans, kept over restarts. Written by [`crate::Writer`].

use crate::queued::Queued;
use crate::row::{Columns, plain};
use crate::{Result, Store};
use directory::Ban;
use sqlx::any::AnyRow;

/// What is to be done to one ban.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum BanChange {
    Keep(Ban),
    Drop { id: String },
}

impl Queued for BanChange {
    type Key = String;

    fn key(&self) -> String {
        let (BanChange::Keep(Ban { id, .. }) | BanChange::Drop { id }) = self;
        id.clone()
    }

    fn about(&self) -> String {
        format!("ban {}", self.key())
    }

    fn apply(store: &Store, changes: &[Self]) -> impl Future<Output = Result<()>> + Send {
        store.change_bans(changes)
    }
}

impl Store {
    /// Every ban, the oldest first.
    pub async fn bans(&self) -> Result<Vec<Ban>> {
        let rows = sqlx::query("SELECT * FROM bans ORDER BY id")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(ban).collect()
    }

    /// Applies all of `changes` or none.
    async fn change_bans(&self, changes: &[BanChange]) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
        for change in changes {
            sqlx::query("DELETE FROM bans WHERE id = $1")
                .bind(change.key())
                .execute(&mut *transaction)
                .await?;
            let BanChange::Keep(ban) = change else {
                continue;
            };
            sqlx::query(
                "INSERT INTO bans (id, network, extension, reason, by_hand, times, since_ms, until_ms) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(ban.id.clone())
            .bind(plain(&ban.network).into_owned())
            .bind(plain(ban.extension.as_deref().unwrap_or_default()).into_owned())
            .bind(plain(&ban.reason).into_owned())
            .bind(i16::from(ban.by_hand))
            .bind(i64::from(ban.times))
            .bind(ban.since_ms)
            .bind(ban.until_ms)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

fn ban(row: &AnyRow) -> Result<Ban> {
    let row = Columns(row);
    Ok(Ban {
        id: row.text("id")?,
        network: row.text("network")?,
        extension: Some(row.text("extension")?).filter(|e| !e.is_empty()),
        reason: row.text("reason")?,
        by_hand: row.flag("by_hand")?,
        times: row.number("times")?,
        since_ms: row.number("since_ms")?,
        until_ms: row.optional_number("until_ms")?,
    })
}
