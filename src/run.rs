//! `offhook serve`: starts every room, then stops them in turn.

use crate::config::{Config, LogFormat};
use crate::shift::Shift;
use crate::start::{self, Started};
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;
use store::{SecretKey, Store};

/// Why the PBX cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the data directory {path} cannot be used: {why}")]
    DataDir { path: String, why: String },
    #[error("the data directory {path} is in use by another offhook")]
    DataDirTaken { path: String },
    #[error("{0}")]
    Database(#[from] store::OpenError),
    #[error("the database failed: {0}")]
    Store(#[from] store::Error),
    #[error("it is {wanted:?}, but the extensions' passwords are kept for realm {kept:?}")]
    Realm { wanted: String, kept: String },
    #[error("{0}")]
    Bind(#[from] net::BindError),
    #[error("the HTTP address {address} cannot be used: {why}")]
    Http { address: String, why: String },
    #[error("the TLS certificate cannot be used: {0}")]
    Tls(String),
    #[error("the webhook for push notifications cannot be used: {0}")]
    Push(String),
    #[error("the journal {path} cannot be written: {why}")]
    Journal { path: String, why: String },
    #[error("the dialplan does not compile:\n{0}")]
    Dialplan(String),
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

impl StartError {
    pub(crate) fn journal(path: &Path, error: &std::io::Error) -> Self {
        StartError::Journal {
            path: path.display().to_string(),
            why: in_words(error),
        }
    }

    /// The configuration key it belongs to.
    pub fn key(&self) -> &'static str {
        match self {
            StartError::DataDir { .. } | StartError::DataDirTaken { .. } => "[data] dir",
            StartError::Database(_) | StartError::Store(_) => "[database] url",
            StartError::Realm { .. } => "[sip] realm",
            StartError::Bind(_) => "[sip] listen",
            StartError::Http { .. } => "[http] listen",
            StartError::Tls(_) => "[tls]",
            StartError::Push(_) => "[push] webhook, secret",
            StartError::Journal { .. } => "[log] journal",
            StartError::Dialplan(_) => "dialplan",
            StartError::System(_) => "system",
        }
    }

    /// The way to mend it.
    pub fn hint(&self) -> &'static str {
        match self {
            StartError::DataDir { .. } => {
                "let this user write the folder, or name another with --data-dir"
            }
            StartError::DataDirTaken { .. } => {
                "stop the other one, or name another folder with --data-dir"
            }
            StartError::Database(error) => error.hint(),
            StartError::Store(_) => "is the database server running?",
            StartError::Realm { .. } => {
                "set the realm back, or delete the extensions, change it and make them anew: passwords cannot be converted"
            }
            StartError::Bind(_) => "the addresses are those of [sip] listen",
            StartError::Http { .. } => "stop the other program, or change [http] listen",
            StartError::Tls(_) => {
                "both files must be PEM, and the key must belong to the certificate"
            }
            StartError::Push(_) => "the URL is like https://push.example.net/offhook",
            StartError::Journal { .. } => {
                "name a file of this user's, in a folder that exists, or leave the key away"
            }
            StartError::Dialplan(_) => "mend the script in the data directory's dialplan folder",
            StartError::System(_) => "the operating system refused it",
        }
    }
}

impl From<StartError> for crate::config::Error {
    fn from(error: StartError) -> Self {
        Self {
            key: error.key().into(),
            why: error.to_string(),
            hint: error.hint().into(),
        }
    }
}

/// Runs the PBX until SIGTERM or Ctrl-C.
///
/// # Errors
/// It could not start; the text says what is in the way.
pub fn serve(config: Config) -> Result<(), StartError> {
    log(&config);
    if let Err(error) = net::raise_limit() {
        tracing::warn!(%error, "the number of open files stays limited: fewer calls and connections fit");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(serve_async(config));
    runtime.shutdown_timeout(Duration::from_millis(200));
    outcome
}

async fn serve_async(config: Config) -> Result<(), StartError> {
    let Started {
        shift,
        http,
        events,
        _watch,
        _lock,
    } = start::start(&config).await?;
    let Shift {
        thread,
        mut stopped,
    } = shift;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
        // Without its loop the PBX is deaf; whoever watches over it shall start it again.
        _ = &mut stopped => {
            let why = "the call loop has ended; the log says why";
            return Err(StartError::System(std::io::Error::other(why)));
        }
    }
    tracing::info!("stopping: no new calls, every party is told");
    // Nobody receives only when the loop has ended by itself; then there is nothing left to stop.
    let _gone = events.send(switch::Event::Stop).await;
    if tokio::time::timeout(Duration::from_secs(3), stopped)
        .await
        .is_err()
    {
        tracing::warn!("some parties or providers did not answer our goodbye in time");
    }
    http.abort();
    drop(events);
    let unsent = match thread.finish().await {
        Some(writer) => writer.finish(Duration::from_millis(1_000)).await,
        None => 0,
    };
    if unsent > 0 {
        tracing::warn!(unsent, "call records wait in the spool for the next start");
    }
    Ok(())
}

fn log(config: &Config) {
    let filter = tracing_subscriber::EnvFilter::new(format!(
        "{},sqlx=warn,tungstenite=warn,tokio_tungstenite=warn,hyper=info",
        config.log.level
    ));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A second start in one process (a test) keeps the first one's log.
    let _set = match config.log.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// Makes the data directory and opens the database in it or elsewhere.
///
/// # Errors
/// Folder or database cannot be used.
pub async fn open_store(config: &Config) -> Result<Store, StartError> {
    let dir = &config.data.dir;
    let trouble = |e: std::io::Error| StartError::DataDir {
        path: dir.display().to_string(),
        why: in_words(&e),
    };
    make_private(dir).map_err(trouble)?;
    let key = SecretKey::load_or_create(&dir.join("secret.key")).map_err(trouble)?;
    Ok(Store::open(&config.database_url(), key).await?)
}

/// Passwords are kept as digests that include the realm, so it cannot change under existing extensions.
///
/// # Errors
/// The realm changed, or the database failed.
pub async fn check_realm(config: &Config, store: &Store) -> Result<(), StartError> {
    let wanted = config.sip.realm.clone();
    refuse_realm(&wanted, store).await?;
    Ok(store.set_realm(&wanted).await?)
}

async fn refuse_realm(wanted: &str, store: &Store) -> Result<(), StartError> {
    match store.realm().await? {
        Some(kept) if kept != wanted && store.extension_count().await? > 0 => {
            let wanted = wanted.to_owned();
            Err(StartError::Realm { wanted, kept })
        }
        Some(_) | None => Ok(()),
    }
}

/// What would keep [`open_store`] and [`check_realm`] from succeeding; changes nothing, so that it may be asked beside a
/// running PBX of another version.
///
/// # Errors
/// Folder, key, database or realm cannot be used.
pub async fn look_at_store(config: &Config) -> Result<(), StartError> {
    let dir = &config.data.dir;
    let trouble = |e: std::io::Error| StartError::DataDir {
        path: dir.display().to_string(),
        why: in_words(&e),
    };
    if dir.try_exists().map_err(trouble)? && !dir.is_dir() {
        return Err(trouble(std::io::ErrorKind::NotADirectory.into()));
    }
    let file = dir.join("secret.key");
    let key = if file.try_exists().map_err(trouble)? {
        SecretKey::load_or_create(&file).map_err(trouble)?
    } else {
        // Fits as long as there is nothing to decrypt.
        SecretKey::from_bytes([0; 32])
    };
    match Store::look(&config.database_url(), key).await? {
        Some(store) => refuse_realm(&config.sip.realm, &store).await,
        None => Ok(()),
    }
}

/// What the operating system refused, as an administrator would say it.
pub(crate) fn in_words(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let words = match error.kind() {
        ErrorKind::AddrInUse => "another program already listens there",
        ErrorKind::AddrNotAvailable => "it is no address of this machine",
        ErrorKind::PermissionDenied => "this user lacks the right",
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => "a file is in its place",
        ErrorKind::ReadOnlyFilesystem => "the disk is read-only",
        ErrorKind::StorageFull => "the disk is full",
        ErrorKind::NotFound => "its folder does not exist",
        ErrorKind::IsADirectory => "a folder is in its place",
        _ => return error.to_string(),
    };
    words.to_owned()
}

/// The folder, made when missing, for its owner only.
pub(crate) fn make_private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}
