//! Subscriptions: who watches whom, kept over restarts. Written by [`crate::Writer`].

use crate::row::{Columns, json, plain};
use crate::{Result, Store};
use directory::Subscription;
use sqlx::{Any, Transaction};

impl Store {
    /// Every subscription that has not expired at `now_ms` (Unix milliseconds), by id; the expired ones are forgotten.
    pub async fn subscriptions(&self, now_ms: i64) -> Result<Vec<Subscription>> {
        sqlx::query("DELETE FROM subscriptions WHERE expires_at_ms <= $1")
            .bind(now_ms)
            .execute(&self.pool)
            .await?;
        let rows = sqlx::query("SELECT * FROM subscriptions ORDER BY id")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Columns(row).json("state")).collect()
    }
}

pub(crate) async fn upsert(
    transaction: &mut Transaction<'static, Any>,
    subscription: &Subscription,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO subscriptions (id, expires_at_ms, state) VALUES ($1, $2, $3) \
         ON CONFLICT (id) DO UPDATE SET expires_at_ms = excluded.expires_at_ms, state = excluded.state",
    )
    .bind(plain(&subscription.id).into_owned())
    .bind(subscription.expires_at_ms)
    // JSON escapes a NUL.
    .bind(json(subscription)?)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

pub(crate) async fn delete(transaction: &mut Transaction<'static, Any>, id: &str) -> Result<()> {
    sqlx::query("DELETE FROM subscriptions WHERE id = $1")
        .bind(plain(id).into_owned())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
