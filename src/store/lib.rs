//! What the office remembers: extensions, trunks, registrations, call records and API keys, in SQLite or
//! PostgreSQL, with one SQL text for both.
//!
//! It is not on the call path: calls run on a [`directory::Directory`] snapshot and go on while the database
//! is away; what they leave behind goes through the [`Writer`]. It checks no fields (`directory` does) and
//! decides no rights (`api` does). Next: [`Store`], then a file per aggregate.

mod api_keys;
mod bans;
mod call_records;
mod disk;
mod error;
mod extensions;
mod ha1;
mod message_summaries;
mod messages;
mod migrate;
mod open;
mod queued;
mod registrations;
mod row;
mod secret;
mod settings;
mod snapshot;
mod spool;
mod subscriptions;
mod trace;
mod trunks;
mod writer;

pub use call_records::{NotACursor, RecordCursor};
pub use error::{Error, OpenError, Result};
pub use ha1::ha1;
pub use secret::SecretKey;
pub use trace::{TraceLimits, TraceReader, Traces};
pub use trunks::PasswordChange;
pub use writer::{Backlog, Writer};

/// The database of one office. Clones share the same connections.
///
/// Every method that reads or writes fails with [`Error::Unavailable`] after about 3 seconds when the
/// database does not answer.
#[derive(Clone)]
pub struct Store {
    pool: sqlx::AnyPool,
    key: SecretKey,
}
