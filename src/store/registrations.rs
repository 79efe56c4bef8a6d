//! Registrations: where phones are, kept over restarts. Written by [`crate::Writer`].

use crate::queued::Queued;
use crate::row::{Columns, json, plain};
use crate::subscriptions;
use crate::{Result, Store};
use directory::{Registration, Subscription};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

/// What is to be done to one binding or subscription.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    Keep(Box<Registration>),
    Drop { extension: String, binding: String },
    KeepSubscription(Box<Subscription>),
    DropSubscription { id: String },
}

impl Queued for Change {
    type Key = (String, String);

    fn key(&self) -> (String, String) {
        // No extension has the name of a table.
        let subscription = |id: &String| ("subscriptions".to_owned(), id.clone());
        match self {
            Change::Keep(r) => (r.extension.clone(), r.binding.clone()),
            Change::Drop { extension, binding } => (extension.clone(), binding.clone()),
            Change::KeepSubscription(s) => subscription(&s.id),
            Change::DropSubscription { id } => subscription(id),
        }
    }

    fn about(&self) -> String {
        match self {
            Change::Keep(r) => format!("a registration of {}", r.extension),
            Change::Drop { extension, .. } => format!("the end of a registration of {extension}"),
            Change::KeepSubscription(s) => format!("a subscription of {}", s.subscriber),
            Change::DropSubscription { .. } => "the end of a subscription".to_owned(),
        }
    }

    fn apply(store: &Store, changes: &[Self]) -> impl Future<Output = Result<()>> + Send {
        store.change_registrations(changes)
    }
}

impl Store {
    /// Every registration that has not expired at `now_ms` (Unix milliseconds), the longest unheard of first;
    /// the expired ones are forgotten.
    pub async fn registrations(&self, now_ms: i64) -> Result<Vec<Registration>> {
        sqlx::query("DELETE FROM registrations WHERE expires_at_ms <= $1")
            .bind(now_ms)
            .execute(&self.pool)
            .await?;
        let rows = sqlx::query(
            "SELECT * FROM registrations ORDER BY registered_at_ms, extension, binding",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(registration).collect()
    }

    /// Applies all of `changes` or none.
    async fn change_registrations(&self, changes: &[Change]) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
        for change in changes {
            match change {
                Change::Keep(registration) => upsert(&mut transaction, registration).await?,
                Change::Drop { extension, binding } => {
                    sqlx::query("DELETE FROM registrations WHERE extension = $1 AND binding = $2")
                        .bind(plain(extension).into_owned())
                        .bind(plain(binding).into_owned())
                        .execute(&mut *transaction)
                        .await?;
                }
                Change::KeepSubscription(s) => subscriptions::upsert(&mut transaction, s).await?,
                Change::DropSubscription { id } => {
                    subscriptions::delete(&mut transaction, id).await?;
                }
            }
        }
        transaction.commit().await?;
        Ok(())
    }
}

async fn upsert(
    transaction: &mut Transaction<'static, Any>,
    registration: &Registration,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO registrations (extension, binding, contact, source, local, transport, user_agent, call_id, cseq, \
         expires_at_ms, registered_at_ms, instance, reg_id, path, gruu_key, host) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
         ON CONFLICT (extension, binding) DO UPDATE SET contact = excluded.contact, source = excluded.source, \
         local = excluded.local, transport = excluded.transport, user_agent = excluded.user_agent, \
         call_id = excluded.call_id, cseq = excluded.cseq, expires_at_ms = excluded.expires_at_ms, \
         registered_at_ms = excluded.registered_at_ms, instance = excluded.instance, reg_id = excluded.reg_id, \
         path = excluded.path, gruu_key = excluded.gruu_key, host = excluded.host",
    )
    .bind(plain(&registration.extension).into_owned())
    .bind(plain(&registration.binding).into_owned())
    .bind(plain(&registration.contact).into_owned())
    .bind(plain(&registration.source).into_owned())
    .bind(plain(&registration.local).into_owned())
    .bind(plain(&registration.transport).into_owned())
    .bind(plain(&registration.user_agent).into_owned())
    .bind(plain(&registration.call_id).into_owned())
    .bind(i64::from(registration.cseq))
    .bind(registration.expires_at_ms)
    .bind(registration.registered_at_ms)
    .bind(plain(&registration.instance).into_owned())
    .bind(i64::from(registration.reg_id))
    .bind(plain(&json(&registration.path)?).into_owned())
    .bind(plain(&registration.gruu_key).into_owned())
    .bind(plain(&registration.host).into_owned())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn registration(row: &AnyRow) -> Result<Registration> {
    let row = Columns(row);
    Ok(Registration {
        extension: row.text("extension")?,
        binding: row.text("binding")?,
        contact: row.text("contact")?,
        source: row.text("source")?,
        local: row.text("local")?,
        transport: row.text("transport")?,
        user_agent: row.text("user_agent")?,
        call_id: row.text("call_id")?,
        cseq: row.number("cseq")?,
        expires_at_ms: row.number("expires_at_ms")?,
        registered_at_ms: row.number("registered_at_ms")?,
        instance: row.text("instance")?,
        reg_id: row.number("reg_id")?,
        path: row.json("path")?,
        gruu_key: row.text("gruu_key")?,
        host: row.text("host")?,
    })
}
