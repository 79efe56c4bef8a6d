//! Reloads the dialplan when somebody edits a file of its folder.

use crate::dialplan::Dialplan;
use crate::source::ScriptError;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// An editor writes in several steps: the folder must be quiet this long.
const QUIET: Duration = Duration::from_millis(200);
/// A folder that is never quiet is read this long after the first change.
const PATIENCE: Duration = Duration::from_secs(2);

/// Watches as long as it lives.
pub struct Watch {
    _watcher: RecommendedWatcher,
}

/// Reloads `dialplan` whenever a file in its folder changes, and tells `on_result` when that made a difference:
/// `Ok` for a new dialplan in force, `Err` for a refused one (logged; the old stays in force).
///
/// # Errors
/// The folder cannot be watched.
pub fn watch(
    dialplan: Arc<Dialplan>,
    on_result: impl Fn(Result<(), Vec<ScriptError>>) + Send + 'static,
) -> io::Result<Watch> {
    // One place is enough: what matters is that something happened since the last reading.
    let (bell, rings) = sync_channel(1);
    let mut watcher = notify::recommended_watcher(ring(bell)).map_err(io::Error::other)?;
    watcher
        .watch(dialplan.dir(), RecursiveMode::NonRecursive)
        .map_err(io::Error::other)?;
    std::thread::Builder::new()
        .name("dialplan-watch".into())
        .spawn(move || {
            while rings.recv().is_ok() {
                settle(&rings);
                if let Some(result) = reload(&dialplan) {
                    on_result(result);
                }
            }
        })?;
    Ok(Watch { _watcher: watcher })
}

fn ring(bell: SyncSender<()>) -> impl Fn(notify::Result<notify::Event>) {
    move |event| {
        let changed = match &event {
            Ok(event) => changes_something(&event.kind),
            // Events were lost: look.
            Err(_) => true,
        };
        if changed {
            let _ = bell.try_send(());
        }
    }
}

/// Reading a file is an event too: answering that one by reading would never end.
fn changes_something(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Any
        | EventKind::Other => true,
    }
}

fn settle(rings: &Receiver<()>) {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match rings.recv_timeout(QUIET) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// `None` when the folder holds what is in force already, as after [`Dialplan::replace`].
fn reload(dialplan: &Dialplan) -> Option<Result<(), Vec<ScriptError>>> {
    match dialplan.refresh() {
        Ok(false) => None,
        Ok(true) => {
            info!("the dialplan was reloaded");
            Some(Ok(()))
        }
        Err(problems) => {
            for problem in problems.iter().take(20) {
                warn!(
                    file = problem.file,
                    line = problem.line,
                    column = problem.column,
                    why = problem.why,
                    "the dialplan was refused; the old one stays in force"
                );
            }
            Some(Err(problems))
        }
    }
}
