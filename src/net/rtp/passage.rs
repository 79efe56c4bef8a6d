//! The way of a stream from one worker to another: its sockets and what the engine knows of it, laid down by one and
//! taken up by the other. Neither waits for the other; who shall take it looks again at its next slot.

use std::sync::{Arc, Mutex, PoisonError};

use media::Moving;

use super::sockets::Pair;

/// None: there was nothing to give, for its sockets could not be bound or its worker started over.
type Laid = Option<(Moving, Pair)>;

/// The giving end. Dropped without use, it says that nothing will come.
pub(super) struct Exit(Arc<Mutex<Option<Laid>>>);

/// The taking end.
pub(super) struct Entrance(Arc<Mutex<Option<Laid>>>);

/// The other worker has not come to it.
#[derive(Debug)]
pub(super) struct NotYet;

pub(super) fn passage() -> (Exit, Entrance) {
    let shared = Arc::default();
    (Exit(Arc::clone(&shared)), Entrance(shared))
}

impl Exit {
    /// Lays the stream down.
    pub(super) fn leave(self, stream: Laid) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        let mut laid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        laid.get_or_insert(None);
    }
}

impl Entrance {
    /// What was laid down.
    pub(super) fn take(&self) -> Result<Laid, NotYet> {
        let mut laid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        laid.take().ok_or(NotYet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_that_is_lost_keeps_nobody_waiting() {
        let (exit, entrance) = passage();
        assert!(entrance.take().is_err());
        drop(exit);
        assert!(matches!(entrance.take(), Ok(None)));
    }
}
