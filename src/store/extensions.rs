//! Extensions: one row each, by number.

use crate::error::taken;
use crate::row::{Columns, json, plain, word};
use crate::{Error, Result, Store};
use directory::{Extension, Ha1};
use sqlx::Row;
use sqlx::any::AnyRow;

impl Store {
    /// Up to `limit` extensions whose number sorts after `after`, by number.
    pub async fn extensions(&self, after: Option<&str>, limit: u32) -> Result<Vec<Extension>> {
        let rows =
            sqlx::query("SELECT * FROM extensions WHERE number > $1 ORDER BY number LIMIT $2")
                .bind(plain(after.unwrap_or_default()).into_owned())
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(extension).collect()
    }

    /// The extension of that number, or [`Error::NotFound`].
    pub async fn extension(&self, number: &str) -> Result<Extension> {
        let row = sqlx::query("SELECT * FROM extensions WHERE number = $1")
            .bind(plain(number).into_owned())
            .fetch_one(&self.pool)
            .await?;
        extension(&row)
    }

    /// Adds it; [`Error::Taken`]`("number")` when the number exists.
    pub async fn create_extension(&self, extension: &Extension) -> Result<()> {
        sqlx::query(
            "INSERT INTO extensions (number, name, ha1_md5, ha1_sha256, codecs, max_contacts, allow_weak_password, \
             redirects, allowed_networks, push_message_summary, watch_list, srtp, dtmf) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(&extension.number)
        .bind(&extension.name)
        .bind(&extension.ha1.md5)
        .bind(&extension.ha1.sha256)
        .bind(json(&extension.codecs)?)
        .bind(i64::from(extension.max_contacts))
        .bind(i16::from(extension.allow_weak_password))
        .bind(word(&extension.redirects)?)
        .bind(json(&extension.allowed_networks)?)
        .bind(i16::from(extension.push_message_summary))
        .bind(json(&extension.watch_list)?)
        .bind(word(&extension.srtp)?)
        .bind(word(&extension.dtmf)?)
        .execute(&self.pool)
        .await
        .map_err(taken("number"))?;
        Ok(())
    }

    /// Replaces everything but the number, or [`Error::NotFound`]. A new password ends the registrations.
    pub async fn update_extension(&self, extension: &Extension) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
        // First, because SQLite wants a transaction to begin by writing. Whoever registered with the old password is
        // not to be there after a restart.
        sqlx::query(
            "DELETE FROM registrations WHERE extension = $1 AND EXISTS \
             (SELECT 1 FROM extensions WHERE number = $1 AND ha1_sha256 <> $2)",
        )
        .bind(&extension.number)
        .bind(&extension.ha1.sha256)
        .execute(&mut *transaction)
        .await?;
        let done = sqlx::query(
            "UPDATE extensions SET name = $2, ha1_md5 = $3, ha1_sha256 = $4, codecs = $5, max_contacts = $6, \
             allow_weak_password = $7, redirects = $8, allowed_networks = $9, push_message_summary = $10, \
             watch_list = $11, srtp = $12, dtmf = $13 WHERE number = $1",
        )
        .bind(&extension.number)
        .bind(&extension.name)
        .bind(&extension.ha1.md5)
        .bind(&extension.ha1.sha256)
        .bind(json(&extension.codecs)?)
        .bind(i64::from(extension.max_contacts))
        .bind(i16::from(extension.allow_weak_password))
        .bind(word(&extension.redirects)?)
        .bind(json(&extension.allowed_networks)?)
        .bind(i16::from(extension.push_message_summary))
        .bind(json(&extension.watch_list)?)
        .bind(word(&extension.srtp)?)
        .bind(word(&extension.dtmf)?)
        .execute(&mut *transaction)
        .await?;
        found(done.rows_affected())?;
        transaction.commit().await?;
        Ok(())
    }

    /// Removes it and its registrations, or [`Error::NotFound`].
    pub async fn delete_extension(&self, number: &str) -> Result<()> {
        let number = plain(number).into_owned();
        let mut transaction = self.pool.begin().await?;
        let done = sqlx::query("DELETE FROM extensions WHERE number = $1")
            .bind(&number)
            .execute(&mut *transaction)
            .await?;
        found(done.rows_affected())?;
        sqlx::query("DELETE FROM registrations WHERE extension = $1")
            .bind(&number)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM message_summaries WHERE extension = $1")
            .bind(&number)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// How many extensions there are.
    pub async fn extension_count(&self) -> Result<u64> {
        let row = sqlx::query("SELECT COUNT(*) AS count FROM extensions")
            .fetch_one(&self.pool)
            .await?;
        Ok(row.try_get::<i64, _>("count")?.unsigned_abs())
    }

    pub(crate) async fn every_extension(&self) -> Result<Vec<Extension>> {
        let rows = sqlx::query("SELECT * FROM extensions ORDER BY number")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(extension).collect()
    }
}

/// [`Error::NotFound`] when a statement about one row touched none.
pub(crate) fn found(rows: u64) -> Result<()> {
    if rows == 0 {
        Err(Error::NotFound)
    } else {
        Ok(())
    }
}

fn extension(row: &AnyRow) -> Result<Extension> {
    let row = Columns(row);
    Ok(Extension {
        number: row.text("number")?,
        name: row.text("name")?,
        ha1: Ha1 {
            md5: row.text("ha1_md5")?,
            sha256: row.text("ha1_sha256")?,
        },
        codecs: row.json("codecs")?,
        max_contacts: row.number("max_contacts")?,
        allow_weak_password: row.flag("allow_weak_password")?,
        redirects: row.word("redirects")?,
        allowed_networks: row.json("allowed_networks")?,
        push_message_summary: row.flag("push_message_summary")?,
        watch_list: row.json("watch_list")?,
        srtp: row.word("srtp")?,
        dtmf: row.word("dtmf")?,
    })
}
