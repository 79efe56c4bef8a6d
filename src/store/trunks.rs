//! Trunks: one row each, by name; the password beside the rest, encrypted.

use crate::error::taken;
use crate::extensions::found;
use crate::row::{Columns, json, plain, word};
use crate::{Error, Result, Store};
use directory::{TlsKey, Trunk, TrunkTls};
use sqlx::Row;
use sqlx::any::AnyRow;

/// What an update does to a trunk's password.
#[derive(Clone, PartialEq, Eq)]
pub enum PasswordChange {
    /// Leaves it as it is.
    Keep,
    /// Removes it.
    Clear,
    /// Replaces it by this one, in the clear.
    Set(String),
}

impl Store {
    /// Up to `limit` trunks whose name sorts after `after`, by name.
    pub async fn trunks(&self, after: Option<&str>, limit: u32) -> Result<Vec<Trunk>> {
        let rows = sqlx::query("SELECT * FROM trunks WHERE name > $1 ORDER BY name LIMIT $2")
            .bind(plain(after.unwrap_or_default()).into_owned())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| self.trunk_of(row)).collect()
    }

    /// The trunk of that name, or [`Error::NotFound`].
    pub async fn trunk(&self, name: &str) -> Result<Trunk> {
        let row = sqlx::query("SELECT * FROM trunks WHERE name = $1")
            .bind(plain(name).into_owned())
            .fetch_one(&self.pool)
            .await?;
        self.trunk_of(&row)
    }

    /// Whether a password is stored for the trunk of that name, or [`Error::NotFound`].
    pub async fn trunk_has_password(&self, name: &str) -> Result<bool> {
        let row = sqlx::query("SELECT password FROM trunks WHERE name = $1")
            .bind(plain(name).into_owned())
            .fetch_one(&self.pool)
            .await?;
        Ok(Columns(&row).optional_text("password")?.is_some())
    }

    /// Adds it after the others, with its password in the clear (stored encrypted);
    /// [`Error::Taken`]`("name")` when the name exists.
    pub async fn create_trunk(&self, trunk: &Trunk, password: Option<&str>) -> Result<()> {
        sqlx::query(
            "INSERT INTO trunks (name, host, port, transport, auth, username, codecs, numbers, match_port, password, \
             trust_identity, reliable_provisionals, tls, srtp, dtmf, position) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
             (SELECT COALESCE(MAX(position), 0) + 1 FROM trunks))",
        )
        .bind(&trunk.name)
        .bind(&trunk.host)
        .bind(trunk.port.map(i64::from))
        .bind(word(&trunk.transport)?)
        .bind(word(&trunk.auth)?)
        .bind(trunk.username.clone())
        .bind(json(&trunk.codecs)?)
        .bind(json(&trunk.numbers)?)
        .bind(i16::from(trunk.match_port))
        .bind(password.map(|p| self.encrypt(trunk, p)).transpose()?)
        .bind(i16::from(trunk.trust_identity))
        .bind(word(&trunk.reliable_provisionals)?)
        .bind(self.seal_tls(trunk)?)
        .bind(word(&trunk.srtp)?)
        .bind(word(&trunk.dtmf)?)
        .execute(&self.pool)
        .await
        .map_err(taken("name"))?;
        Ok(())
    }

    /// Replaces everything but the name and the order of creation, or [`Error::NotFound`].
    pub async fn update_trunk(&self, trunk: &Trunk, password: PasswordChange) -> Result<()> {
        let (keep, password) = match &password {
            PasswordChange::Keep => (true, None),
            PasswordChange::Clear => (false, None),
            PasswordChange::Set(password) => (false, Some(self.encrypt(trunk, password)?)),
        };
        let done = sqlx::query(
            "UPDATE trunks SET host = $2, port = $3, transport = $4, auth = $5, username = $6, codecs = $7, \
             numbers = $8, match_port = $9, password = CASE WHEN $10 = 1 THEN password ELSE $11 END, \
             trust_identity = $12, reliable_provisionals = $13, tls = $14, srtp = $15, dtmf = $16 \
             WHERE name = $1",
        )
        .bind(&trunk.name)
        .bind(&trunk.host)
        .bind(trunk.port.map(i64::from))
        .bind(word(&trunk.transport)?)
        .bind(word(&trunk.auth)?)
        .bind(trunk.username.clone())
        .bind(json(&trunk.codecs)?)
        .bind(json(&trunk.numbers)?)
        .bind(i16::from(trunk.match_port))
        .bind(i32::from(keep))
        .bind(password)
        .bind(i16::from(trunk.trust_identity))
        .bind(word(&trunk.reliable_provisionals)?)
        .bind(self.seal_tls(trunk)?)
        .bind(word(&trunk.srtp)?)
        .bind(word(&trunk.dtmf)?)
        .execute(&self.pool)
        .await?;
        found(done.rows_affected())
    }

    /// Removes it, or [`Error::NotFound`].
    pub async fn delete_trunk(&self, name: &str) -> Result<()> {
        let done = sqlx::query("DELETE FROM trunks WHERE name = $1")
            .bind(plain(name).into_owned())
            .execute(&self.pool)
            .await?;
        found(done.rows_affected())
    }

    /// Every trunk in order of creation, with its password in the clear.
    pub(crate) async fn trunks_with_passwords(&self) -> Result<Vec<(Trunk, Option<String>)>> {
        let rows = sqlx::query("SELECT * FROM trunks ORDER BY position, name")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                let trunk = self.trunk_of(row)?;
                let stored: Option<String> = row.try_get("password")?;
                let password = stored.map(|s| self.decrypt(&trunk, &s)).transpose()?;
                Ok((trunk, password))
            })
            .collect()
    }

    /// The trunk's TLS settings as they are kept; none for the usual ones.
    fn seal_tls(&self, trunk: &Trunk) -> Result<Option<String>> {
        if trunk.tls == TrunkTls::default() {
            return Ok(None);
        }
        // A key is not written down otherwise.
        let key = trunk.tls.key.as_ref().map(|key| key.0.as_str());
        let text = json(&(&trunk.tls, key))?;
        let sealed = self.key.encrypt(&tls_context(&trunk.name), &text);
        sealed
            .map(Some)
            .map_err(|e| Error::Unavailable(e.to_string()))
    }

    fn trunk_of(&self, row: &AnyRow) -> Result<Trunk> {
        let mut trunk = trunk(row)?;
        let Some(sealed) = Columns(row).optional_text("tls")? else {
            return Ok(trunk);
        };
        let text = self
            .key
            .decrypt(&tls_context(&trunk.name), &sealed)
            .ok_or_else(|| Error::WrongKey {
                trunk: trunk.name.clone(),
            })?;
        let (tls, key): (TrunkTls, Option<String>) =
            serde_json::from_str(&text).map_err(|_| Error::Corrupt("tls".to_owned()))?;
        trunk.tls = TrunkTls {
            key: key.map(TlsKey),
            ..tls
        };
        Ok(trunk)
    }

    fn encrypt(&self, trunk: &Trunk, password: &str) -> Result<String> {
        self.key
            .encrypt(&context(trunk), password)
            .map_err(|e| Error::Unavailable(e.to_string()))
    }

    fn decrypt(&self, trunk: &Trunk, stored: &str) -> Result<String> {
        self.key
            .decrypt(&context(trunk), stored)
            .ok_or_else(|| Error::WrongKey {
                trunk: trunk.name.clone(),
            })
    }
}

/// Ties a ciphertext to its row: copied to another trunk it does not decrypt.
fn context(trunk: &Trunk) -> String {
    format!("trunk:{}", trunk.name)
}

fn tls_context(name: &str) -> String {
    format!("trunk-tls:{name}")
}

/// But for its TLS settings.
fn trunk(row: &AnyRow) -> Result<Trunk> {
    let row = Columns(row);
    Ok(Trunk {
        name: row.text("name")?,
        host: row.text("host")?,
        port: row.optional_number("port")?,
        transport: row.word("transport")?,
        auth: row.word("auth")?,
        username: row.optional_text("username")?,
        codecs: row.json("codecs")?,
        numbers: row.json("numbers")?,
        match_port: row.flag("match_port")?,
        tls: TrunkTls::default(),
        trust_identity: row.flag("trust_identity")?,
        reliable_provisionals: row.word("reliable_provisionals")?,
        srtp: row.word("srtp")?,
        dtmf: row.word("dtmf")?,
    })
}
