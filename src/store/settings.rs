//! Settings that the database must remember, by name.

use crate::row::Columns;
use crate::{Result, Store};

impl Store {
    /// The realm that the extensions' digests were made for; `None` before [`Store::set_realm`].
    pub async fn realm(&self) -> Result<Option<String>> {
        let row = sqlx::query("SELECT value FROM settings WHERE name = 'realm'")
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Columns(&row).text("value")).transpose()
    }

    /// Remembers the realm. Digests made for another realm no longer fit any password.
    pub async fn set_realm(&self, realm: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO settings (name, value) VALUES ('realm', $1) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(realm.to_owned())
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
