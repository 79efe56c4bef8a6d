//! What waits for the database in memory goes there many at a time: one that the database refuses is left out, and the
//! others arrive. Where each kind waits is not decided here: `registrations`, `bans` and `messages`.

use crate::writer::in_time;
use crate::{Error, Result, Store};

/// One change that waits.
pub(crate) trait Queued: Sized + Sync {
    /// What it is about, for the log: no secret of it.
    fn about(&self) -> String;

    /// Applies all of `changes` or none.
    fn apply(store: &Store, changes: &[Self]) -> impl Future<Output = Result<()>> + Send;
}

/// Applies `changes` together, or one by one when the database refuses one of them, which is lost then.
///
/// # Errors
/// The database is away: some may have been applied, and none is lost by trying all again.
pub(crate) async fn apply<T: Queued>(store: &Store, changes: &[T]) -> Result<()> {
    match in_time(T::apply(store, changes)).await {
        Err(Error::Refused(_)) => {}
        done => return done,
    }
    for change in changes {
        match in_time(T::apply(store, std::slice::from_ref(change))).await {
            Err(Error::Refused(why)) => {
                tracing::warn!(why, about = change.about(), "not stored");
            }
            done => done?,
        }
    }
    Ok(())
}
