//! What waits for the database in memory goes there many at a time: one that the database refuses is left out, and the
//! others arrive. What each kind is and its SQL are in `registrations`, `subscriptions`, `bans` and `messages`.

use crate::writer::{Sent, in_time};
use crate::{Error, Result, Store};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most changes of one kind that wait.
const PENDING: usize = 65_536;
/// Most in one transaction.
const AT_ONCE: usize = 500;

/// One change that waits.
pub(crate) trait Queued: Sized + Send + Sync {
    type Key: Ord + Send;

    /// What it changes: a later change of the same takes the place of an earlier one.
    fn key(&self) -> Self::Key;

    /// What it is about, for the log: no secret of it.
    fn about(&self) -> String;

    /// Applies all of `changes` or none.
    fn apply(store: &Store, changes: &[Self]) -> impl Future<Output = Result<()>> + Send;
}

/// The latest change of each thing that the database has not heard of yet.
pub(crate) struct Queue<C: Queued>(Mutex<BTreeMap<C::Key, C>>);

impl<C: Queued> Default for Queue<C> {
    fn default() -> Self {
        Queue(Mutex::default())
    }
}

impl<C: Queued> Queue<C> {
    /// Takes a change in; returns at once. When too many wait it is not stored, unless it replaces one.
    pub(crate) fn put(&self, change: C) {
        let key = change.key();
        let mut waiting = self.waiting();
        if waiting.len() >= PENDING && !waiting.contains_key(&key) {
            drop(waiting);
            let about = change.about();
            return tracing::warn!(about, "not stored: too many wait for the database");
        }
        waiting.insert(key, change);
    }

    /// Brings some of what waits to the database.
    pub(crate) async fn send(&self, store: &Store) -> Sent {
        let changes = self.take();
        if changes.is_empty() {
            return Sent::Nothing;
        }
        match apply(store, &changes).await {
            Ok(()) => Sent::Some,
            Err(e) => {
                self.put_back(changes);
                Sent::Failed(e.to_string())
            }
        }
    }

    fn take(&self) -> Vec<C> {
        let mut waiting = self.waiting();
        let next = || waiting.pop_first().map(|(_, change)| change);
        std::iter::from_fn(next).take(AT_ONCE).collect()
    }

    /// Puts unsent changes back, except where a newer one of the same arrived.
    fn put_back(&self, unsent: Vec<C>) {
        let mut waiting = self.waiting();
        for change in unsent {
            waiting.entry(change.key()).or_insert(change);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<C::Key, C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Applies `changes` together, or one by one when the database refuses one of them, which is lost then.
///
/// # Errors
/// The database is away: some may have been applied, and none is lost by trying all again.
async fn apply<C: Queued>(store: &Store, changes: &[C]) -> Result<()> {
    match in_time(C::apply(store, changes)).await {
        Err(Error::Refused(_)) => {}
        done => return done,
    }
    for change in changes {
        match in_time(C::apply(store, std::slice::from_ref(change))).await {
            Err(Error::Refused(why)) => {
                tracing::warn!(why, about = change.about(), "not stored");
            }
            done => done?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which thing it changes, and how.
    #[derive(Debug, Clone, PartialEq)]
    struct Change(usize, char);

    impl Queued for Change {
        type Key = usize;

        fn key(&self) -> usize {
            self.0
        }

        fn about(&self) -> String {
            self.0.to_string()
        }

        async fn apply(_: &Store, _: &[Self]) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_latest_change_of_a_thing_is_the_one_that_waits() {
        let queue = Queue::default();
        for change in [Change(1, 'a'), Change(2, 'b'), Change(1, 'c')] {
            queue.put(change);
        }
        let taken = queue.take();
        assert_eq!(taken, [Change(1, 'c'), Change(2, 'b')]);
        // One came while those were on their way, and they did not arrive.
        queue.put(Change(1, 'd'));
        queue.put_back(taken);
        assert_eq!(queue.take(), [Change(1, 'd'), Change(2, 'b')]);
    }

    #[test]
    fn a_queue_is_bounded_and_so_is_a_batch() {
        let queue = Queue::default();
        for n in 0..=PENDING {
            queue.put(Change(n, 'a'));
        }
        queue.put(Change(0, 'b'));
        let first = queue.take();
        assert_eq!(
            (first.len(), first.first()),
            (AT_ONCE, Some(&Change(0, 'b')))
        );
        let rest: usize = std::iter::from_fn(|| Some(queue.take().len()).filter(|n| *n > 0)).sum();
        assert_eq!(AT_ONCE + rest, PENDING);
    }
}
