//! Bringing the tables up to date: the texts of `migrations/`, each run once, all in one transaction.

use crate::OpenError;
use sqlx::error::DatabaseError;
use sqlx::{Any, AnyPool, Row, Transaction};

/// Every migration in order, by the number its file's name begins with.
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../../migrations/0001_office.sql")),
    (2, include_str!("../../migrations/0002_phones.sql")),
    (3, include_str!("../../migrations/0003_watching.sql")),
    (4, include_str!("../../migrations/0004_bans.sql")),
    (5, include_str!("../../migrations/0005_journeys.sql")),
    (6, include_str!("../../migrations/0006_identity.sql")),
    (7, include_str!("../../migrations/0007_trunk_tls.sql")),
    (8, include_str!("../../migrations/0008_registered_host.sql")),
    (9, include_str!("../../migrations/0009_srtp.sql")),
    (12, include_str!("../../migrations/0012_dtmf.sql")),
];

/// The number of the last one.
fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |(number, _)| *number)
}

/// Whether the database is empty or older than this program; it is only looked at.
pub(crate) async fn is_needed(pool: &AnyPool, url: String) -> Result<bool, OpenError> {
    let unreachable = |e: sqlx::Error| OpenError::Unreachable {
        url: url.clone(),
        why: e.to_string(),
    };
    let row = sqlx::query("SELECT version FROM schema_version")
        .fetch_optional(pool)
        .await;
    let found: i64 = match row {
        Ok(Some(row)) => row.try_get("version").map_err(unreachable)?,
        Ok(None) => 0,
        Err(sqlx::Error::Database(error)) if is_missing_table(&*error) => 0,
        Err(error) => return Err(unreachable(error)),
    };
    refuse_newer(found)?;
    Ok(found < newest())
}

/// PostgreSQL says so by a code (undefined_table), SQLite only in words: its code 1 means any error.
fn is_missing_table(error: &dyn DatabaseError) -> bool {
    error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
}

fn refuse_newer(found: i64) -> Result<(), OpenError> {
    let known = newest();
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    Ok(())
}

/// Runs what the database behind `pool` lacks; `url` is only for messages.
pub(crate) async fn run(pool: &AnyPool, url: String) -> Result<(), OpenError> {
    let unreachable = |e: sqlx::Error| OpenError::Unreachable {
        url: url.clone(),
        why: e.to_string(),
    };
    // On its own: a transaction that begins by reading may not write later in SQLite (SQLITE_BUSY_SNAPSHOT).
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS schema_version (one BIGINT NOT NULL PRIMARY KEY, version BIGINT NOT NULL)",
    )
    .execute(pool)
    .await
    .map_err(unreachable)?;
    let mut transaction = pool.begin().await.map_err(unreachable)?;
    let found = lock_version(&mut transaction).await.map_err(unreachable)?;
    refuse_newer(found)?;
    for (number, text) in MIGRATIONS.iter().filter(|(n, _)| *n > found) {
        let number = *number;
        let failed = |e: sqlx::Error| OpenError::Migration {
            number,
            why: e.to_string(),
        };
        sqlx::raw_sql(*text)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        tracing::info!(number, "database migrated");
    }
    sqlx::query("UPDATE schema_version SET version = $1")
        .bind(newest())
        .execute(&mut *transaction)
        .await
        .map_err(unreachable)?;
    transaction.commit().await.map_err(unreachable)
}

/// The version of the tables, 0 for an empty database. Writing first makes a second program that starts on
/// the same database wait here until this one commits.
async fn lock_version(transaction: &mut Transaction<'static, Any>) -> Result<i64, sqlx::Error> {
    for statement in [
        "INSERT INTO schema_version (one, version) VALUES (1, 0) ON CONFLICT DO NOTHING",
        "UPDATE schema_version SET version = version",
    ] {
        sqlx::query(statement).execute(&mut **transaction).await?;
    }
    sqlx::query("SELECT version FROM schema_version")
        .fetch_one(&mut **transaction)
        .await?
        .try_get("version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_migration() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
        let names = std::fs::read_dir(folder).expect("the folder").map(|file| {
            let name = file.expect("a file").file_name();
            name.to_string_lossy().into_owned()
        });
        let mut numbers: Vec<i64> = names
            .map(|name| name[..4].parse().expect("a number"))
            .collect();
        numbers.sort_unstable();
        let listed: Vec<i64> = MIGRATIONS.iter().map(|(number, _)| *number).collect();
        assert_eq!(listed, numbers);
    }
}
