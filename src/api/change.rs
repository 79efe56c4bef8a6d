//! How a write takes effect: stored, then told to the Switch, then answered; one at a time.

use crate::Shared;
use crate::error::Error;
use std::sync::Arc;
use switch::Event;

/// What the Switch knows of the configuration.
pub(crate) enum Told {
    Everything,
    /// Something was, or may have been, written that it has not heard of.
    NotTheLast,
}

impl Shared {
    /// Does `work`, which writes extensions or trunks, and sends the Switch the whole configuration after it.
    ///
    /// Writes take turns, so that an older snapshot never follows a newer one. The place in the event queue
    /// is reserved first: when there is none, nothing is written ([`Error::Busy`]). The work goes on when
    /// the client goes away, so that nothing stays written but untold.
    pub(crate) async fn change<T, F, W>(self: &Arc<Self>, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Shared>) -> W + Send + 'static,
        W: Future<Output = Result<T, Error>> + Send,
    {
        let shared = Arc::clone(self);
        let task = tokio::spawn(async move {
            let mut told = shared.configuration.lock().await;
            let place = shared.api.events.try_reserve().map_err(|_| Error::Busy)?;
            let done = work(Arc::clone(&shared)).await;
            // A write that failed because the database went away may have happened all the same.
            if matches!(done, Ok(_) | Err(Error::Database)) {
                *told = Told::NotTheLast;
            }
            if matches!(*told, Told::Everything) {
                return done;
            }
            match shared.api.store.snapshot().await {
                Ok(directory) => {
                    shared.api.numbers.look_at(&directory);
                    place.send(Event::Directory(Arc::new(directory)));
                    *told = Told::Everything;
                    done
                }
                Err(why) => done.and(Err(untold(why))),
            }
        });
        task.await
            .unwrap_or_else(|panic| Err(Error::broken(&panic)))
    }

    /// Sends the Switch an action, or refuses when it has too much to do.
    pub(crate) fn act(&self, event: Event) -> Result<(), Error> {
        self.api.events.try_send(event).map_err(|_| Error::Busy)
    }
}

/// Why what was saved is not in force.
fn untold(why: store::Error) -> Error {
    match Error::of_store("configuration")(why) {
        Error::Database => Error::Untold,
        other => other,
    }
}
