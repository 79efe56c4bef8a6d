//! API keys: made here once, kept only as SHA-256.

use crate::row::Columns;
use crate::{Error, Result, Store, ha1};
use sha2::Sha256;

/// Five random bits choose one: 32 of them are 160 bits.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

impl Store {
    /// Makes the administrator's key when no key exists and returns it: the only time it can be read.
    pub async fn first_admin_key(&self) -> Result<Option<String>> {
        let key = new_key()?;
        let done = sqlx::query(
            "INSERT INTO api_keys (hash, name) SELECT $1, 'admin' WHERE NOT EXISTS (SELECT 1 FROM api_keys)",
        )
        .bind(ha1::hex::<Sha256>(key.as_bytes()))
        .execute(&self.pool)
        .await?;
        Ok((done.rows_affected() > 0).then_some(key))
    }

    /// Whether `key` is one that was given out. Looked up by its hash, so the time it takes tells nothing of
    /// the keys.
    pub async fn key_is_known(&self, key: &str) -> Result<bool> {
        let row = sqlx::query("SELECT COUNT(*) AS count FROM api_keys WHERE hash = $1")
            .bind(ha1::hex::<Sha256>(key.as_bytes()))
            .fetch_one(&self.pool)
            .await?;
        Ok(Columns(&row).number::<i64>("count")? > 0)
    }
}

fn new_key() -> Result<String> {
    let mut random = [0u8; 32];
    getrandom::fill(&mut random).map_err(|e| Error::Unavailable(e.to_string()))?;
    let letter = |byte: &u8| {
        let at = usize::from(byte & 31);
        char::from(*ALPHABET.get(at).expect("five bits index 32 letters"))
    };
    Ok(format!(
        "ohk_{}",
        random.iter().map(letter).collect::<String>()
    ))
}
