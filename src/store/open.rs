//! Opening: the address, the connections and their settings.

use crate::disk::{folder_of, private_file};
use crate::{OpenError, SecretKey, Store, migrate};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Executor};
use std::path::Path;
use std::time::Duration;

/// How long a request waits for a connection before it fails.
const PATIENCE: Duration = Duration::from_secs(3);

impl Store {
    /// Opens the database at `url`, `sqlite:PATH` (made when missing, with its folder) or
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, and brings its tables up to date in one transaction.
    /// PostgreSQL's `?sslmode=` means what it means to psql: TLS when the server offers it unless said otherwise.
    ///
    /// `sqlite::memory:` is a database that dies with the last clone of the [`Store`].
    ///
    /// # Errors
    /// When it cannot be reached or changed, was written by a newer program, or its trunk passwords were
    /// encrypted with another key than `key`.
    pub async fn open(url: &str, key: SecretKey) -> Result<Store, OpenError> {
        if let Some((file, exact)) = sqlite_file(url) {
            make_folder_of(file)?;
            if exact && !url.contains("mode=") {
                make_private(file)?;
            }
        }
        let pool = connect_to(url).await?;
        migrate::run(&pool, without_password(url)).await?;
        Store::checked(pool, key).await
    }

    /// As [`Store::open`], but changes nothing. `None` when there is no database yet, or one that [`Store::open`]
    /// would first have to bring up to date.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn look(url: &str, key: SecretKey) -> Result<Option<Store>, OpenError> {
        if sqlite_file(url).is_some_and(|(file, exact)| exact && !file.exists()) {
            return Ok(None);
        }
        let pool = connect_to(url).await?;
        if migrate::is_needed(&pool, without_password(url)).await? {
            return Ok(None);
        }
        Store::checked(pool, key).await.map(Some)
    }

    /// A wrong key shows at the start, not when the first trunk fails to register.
    async fn checked(pool: AnyPool, key: SecretKey) -> Result<Store, OpenError> {
        let store = Store { pool, key };
        store.trunks_with_passwords().await?;
        Ok(store)
    }
}

/// The file of an SQLite database that is not in memory, and whether its name is written plainly: in an address %41 is
/// an A.
fn sqlite_file(url: &str) -> Option<(&Path, bool)> {
    let rest = url.strip_prefix("sqlite:")?;
    let (file, query) = rest.split_once('?').unwrap_or((rest, ""));
    let file = file.strip_prefix("//").unwrap_or(file);
    let in_memory = file == ":memory:" || query.contains("mode=memory");
    (!in_memory).then(|| (Path::new(file), !file.contains('%')))
}

async fn connect_to(url: &str) -> Result<AnyPool, OpenError> {
    sqlx::any::install_default_drivers();
    if url.starts_with("sqlite:") {
        connect_sqlite(url).await
    } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        connect(AnyPoolOptions::new().max_connections(8), url).await
    } else {
        Err(OpenError::Url {
            url: without_password(url),
            why: "it begins with neither sqlite: nor postgres:".into(),
        })
    }
}

async fn connect_sqlite(url: &str) -> Result<AnyPool, OpenError> {
    let in_memory = sqlite_file(url).is_none();
    let mut url = url.to_owned();
    if !in_memory && !url.contains("mode=") {
        url.push_str(if url.contains('?') { "&" } else { "?" });
        url.push_str("mode=rwc");
    }
    let options = AnyPoolOptions::new()
        .after_connect(|connection, _| Box::pin(async move { prepare_sqlite(connection).await }));
    // Each connection to an in-memory database would see a database of its own.
    let options = if in_memory {
        options
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
    } else {
        options.max_connections(4)
    };
    connect(options, &url).await
}

fn make_folder_of(file: &Path) -> Result<(), OpenError> {
    let folder = folder_of(file);
    std::fs::create_dir_all(folder).map_err(|source| OpenError::Folder {
        path: folder.display().to_string(),
        source,
    })
}

/// Makes a missing database file for its owner only: its digests are as good as passwords. SQLite gives the files
/// beside it the same mode.
fn make_private(file: &Path) -> Result<(), OpenError> {
    match private_file().write(true).create_new(true).open(file) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(OpenError::File {
            path: file.display().to_string(),
            source,
        }),
    }
}

/// WAL lets readers go on while one writes. NORMAL may lose the last commits when the power fails (never
/// the database's consistency): call records survive that in the spool of [`crate::Writer`].
async fn prepare_sqlite(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    connection.execute("PRAGMA busy_timeout = 5000").await?;
    connection.execute("PRAGMA journal_mode = WAL").await?;
    connection.execute("PRAGMA synchronous = NORMAL").await?;
    Ok(())
}

async fn connect(options: AnyPoolOptions, url: &str) -> Result<AnyPool, OpenError> {
    let target: AnyConnectOptions = url.parse().map_err(|e: sqlx::Error| OpenError::Url {
        url: without_password(url),
        why: e.to_string(),
    })?;
    let opened = options
        .acquire_timeout(PATIENCE)
        .connect_with(target.clone())
        .await;
    match opened {
        Ok(pool) => Ok(pool),
        Err(error) => Err(OpenError::Unreachable {
            url: without_password(url),
            why: reason(error, &target).await,
        }),
    }
}

/// A pool tries a refused connection again and again and then says only that its time is over: a single attempt
/// says why.
async fn reason(error: sqlx::Error, target: &AnyConnectOptions) -> String {
    if !matches!(error, sqlx::Error::PoolTimedOut) {
        return error.to_string();
    }
    match tokio::time::timeout(PATIENCE, target.connect()).await {
        Ok(Err(error)) => error.to_string(),
        Ok(Ok(_)) | Err(_) => format!("no answer in {} s", PATIENCE.as_secs()),
    }
}

/// `url` as it may be shown: what stands between the user name and the host, and a `password=` of the
/// query, replaced by `…`.
fn without_password(url: &str) -> String {
    let mut shown = url.to_owned();
    let query = url.find('?').unwrap_or(url.len());
    if url.get(query..).is_some_and(|q| q.contains("password")) {
        shown.replace_range(query.., "?…");
    }
    let Some(start) = shown.find("://").map(|at| at + 3) else {
        return shown;
    };
    let Some(at) = shown.rfind('@').filter(|at| *at > start) else {
        return shown;
    };
    if let Some(colon) = shown.get(start..at).and_then(|login| login.find(':')) {
        shown.replace_range(start + colon + 1..at, "…");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(
            without_password("postgres://ann:s3:c@ret@db/office"),
            "postgres://ann:…@db/office"
        );
        assert_eq!(
            without_password("postgres://db/office?user=ann&password=x"),
            "postgres://db/office?…"
        );
        assert_eq!(without_password("sqlite:data/a.db"), "sqlite:data/a.db");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_so() {
        let url = "postgres://ann:secret@127.0.0.1:1/office";
        let error = Store::open(url, SecretKey::from_bytes([1; 32])).await;
        let text = error.err().expect("refused").to_string();
        assert!(text.contains("Connection refused"), "{text}");
    }

    #[tokio::test]
    async fn other_addresses_are_refused_with_a_hint() {
        let key = SecretKey::from_bytes([1; 32]);
        let error = Store::open("mysql://u:secret@h/d", key)
            .await
            .err()
            .expect("refused");
        assert!(!error.to_string().contains("secret"));
        assert!(error.hint().contains("sqlite:PATH"));
    }
}
