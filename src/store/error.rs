//! What can go wrong when the database is asked, and when it is opened.

use sqlx::error::{DatabaseError, ErrorKind};

/// What a method of [`crate::Store`] returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the database did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such extension, trunk or record.
    #[error("not found")]
    NotFound,
    /// Another one has that value already; names the field.
    #[error("{0} is taken")]
    Taken(&'static str),
    /// The database is away, overloaded or refuses to work; the same request may succeed later.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database answered that this value can never be stored.
    #[error("the database refused the value: {0}")]
    Refused(String),
    /// What is stored cannot be read back: someone else wrote it, or it is damaged.
    #[error("the database holds something unreadable: {0}")]
    Corrupt(String),
    /// The trunk's password was encrypted with another key than the one loaded.
    #[error(
        "the password of trunk \"{trunk}\" cannot be decrypted: the secret key is not the one it was saved with"
    )]
    WrongKey { trunk: String },
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::RowNotFound => Error::NotFound,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                Error::Corrupt(error.to_string())
            }
            sqlx::Error::Database(e) if is_permanent(e.as_ref()) => Error::Refused(e.to_string()),
            other => Error::Unavailable(other.to_string()),
        }
    }
}

/// [`Error::Taken`] of `field` when `error` says that a key exists already.
pub(crate) fn taken(field: &'static str) -> impl FnOnce(sqlx::Error) -> Error {
    move |error| match &error {
        sqlx::Error::Database(e) if e.kind() == ErrorKind::UniqueViolation => Error::Taken(field),
        _ => error.into(),
    }
}

/// Whether repeating the statement cannot help, because the fault lies in the value.
fn is_permanent(error: &dyn DatabaseError) -> bool {
    let Some(code) = error.code() else {
        return false;
    };
    if code.len() == 5
        && error
            .try_downcast_ref::<sqlx::sqlite::SqliteError>()
            .is_none()
    {
        // SQLSTATE classes of PostgreSQL's Appendix A: data exception, integrity constraint
        // violation, program limit exceeded.
        return ["22", "23", "54"]
            .iter()
            .any(|class| code.starts_with(class));
    }
    // SQLite's extended codes carry the primary one in the low byte: TOOBIG, CONSTRAINT, MISMATCH.
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, 18..=20))
}

/// Why the database could not be opened. [`OpenError::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("\"{url}\" is not the address of a database: {why}")]
    Url { url: String, why: String },
    #[error("the folder {path} cannot be made: {source}")]
    Folder {
        path: String,
        source: std::io::Error,
    },
    #[error("the file {path} cannot be made: {source}")]
    File {
        path: String,
        source: std::io::Error,
    },
    #[error("the database {url} cannot be opened: {why}")]
    Unreachable { url: String, why: String },
    #[error("migration {number} failed and was undone: {why}")]
    Migration { number: i64, why: String },
    #[error("the database has schema {found}, this program knows up to {known}")]
    Newer { found: i64, known: i64 },
    #[error(transparent)]
    Unreadable(#[from] Error),
}

impl OpenError {
    /// What an administrator can do, one sentence.
    pub fn hint(&self) -> &'static str {
        match self {
            OpenError::Url { .. } => {
                "write sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE"
            }
            OpenError::Folder { .. } | OpenError::File { .. } => {
                "make the folder and let this user write to it"
            }
            OpenError::Unreachable { .. } => {
                "SQLite: check that the file is a database and that this user may write it and its folder; \
                 PostgreSQL: check that it runs, and the user, password, database and sslmode in the address"
            }
            OpenError::Migration { .. } => {
                "the database is as it was before; check that its user may create tables, and report this message"
            }
            OpenError::Newer { .. } => {
                "start the newer version that wrote it, or restore a backup made by this version"
            }
            OpenError::Unreadable(Error::WrongKey { .. }) => {
                "put back the secret key file that belongs to this database; if it is lost, run \
                 UPDATE trunks SET password = NULL and enter the trunk passwords again"
            }
            OpenError::Unreadable(_) => "restore a backup of the database",
        }
    }
}
