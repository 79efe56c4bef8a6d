//! Bans, kept over restarts. Written by [`crate::Writer`].

use crate::queued::{self, Queued};
use crate::row::{Columns, plain};
use crate::writer::{Sent, Shared};
use crate::{Result, Store, Writer};
use directory::Ban;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

/// What the database has not heard yet: the latest of each ban, by its id. The Switch makes only so many.
pub(crate) type Pending = BTreeMap<String, BanChange>;
/// Most of those.
const PENDING: usize = 65_536;
/// Most in one transaction.
const AT_ONCE: usize = 500;

/// What is to be done to one ban.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum BanChange {
    Keep(Ban),
    Drop,
}

impl Writer {
    /// Remembers a ban; returns at once.
    pub fn keep_ban(&self, ban: Ban) {
        self.shared.change_ban(ban.id.clone(), BanChange::Keep(ban));
    }

    /// Forgets a ban; returns at once.
    pub fn drop_ban(&self, id: String) {
        self.shared.change_ban(id, BanChange::Drop);
    }
}

impl Shared {
    fn change_ban(&self, id: String, change: BanChange) {
        let mut bans = self.pending_bans();
        if bans.len() >= PENDING && !bans.contains_key(&id) {
            tracing::warn!(id, "ban not stored: too many wait for the database");
            return;
        }
        bans.insert(id, change);
        drop(bans);
        self.work.notify_one();
    }

    pub(crate) async fn send_bans(&self, store: &Store) -> Sent {
        let mut changes = Vec::new();
        {
            let mut bans = self.pending_bans();
            while changes.len() < AT_ONCE
                && let Some(change) = bans.pop_first()
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
                let mut bans = self.pending_bans();
                for (id, change) in changes {
                    bans.entry(id).or_insert(change);
                }
                Sent::Failed(e.to_string())
            }
        }
    }

    fn pending_bans(&self) -> MutexGuard<'_, Pending> {
        self.bans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queued for (String, BanChange) {
    fn about(&self) -> String {
        format!("ban {}", self.0)
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

    /// Applies all of `changes`, each with its ban's id, or none.
    pub(crate) async fn change_bans(&self, changes: &[(String, BanChange)]) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
        for (id, change) in changes {
            sqlx::query("DELETE FROM bans WHERE id = $1")
                .bind(id.clone())
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
