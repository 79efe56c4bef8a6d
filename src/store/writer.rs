//! Writing behind: from the call path to the database without the one waiting for the other.
//!
//! A thread puts records into the spool file at once; a task takes them from there to the database, in
//! batches, for as long as it takes. All else waits in memory only (`queued`): a phone that was missed registers
//! again. It is not the spool's format (`spool`) nor the SQL (`call_records`, `registrations` and the others).

use crate::bans::BanChange;
use crate::messages::MessageChange;
use crate::queued::Queue;
use crate::registrations::Change;
use crate::spool::{Batch, Spool};
use crate::{Error, Store};
use directory::{Ban, CallRecord, Registration, StoredMessage, Subscription};
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Most records between the call path and the spool's thread.
const MAILBOX: usize = 65_536;
/// How long a record may wait in the file for its sync: the price of a power failure. Mostly the database, which
/// syncs too, has it before.
const SYNC: Duration = Duration::from_millis(200);
/// Most records the thread puts into the spool at once.
const SPOOLED_AT_ONCE: usize = 256;
/// After a batch: what comes meanwhile shares the next transaction, which costs as much as a single record's.
const GATHER: Duration = Duration::from_millis(100);
/// Between attempts while the database is away: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// A batch that takes longer is given up and tried again: the connection is dead.
const BATCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Takes call records and registrations from the call path without ever blocking it and brings them to the
/// database when that is there.
///
/// A record is safe from a crash of this program once the spool has it, within microseconds, and from a
/// power failure a sync later. Dropping a `Writer` waits for the spool, not for the database; what is left
/// is delivered by the next [`Writer::start`] on the same file.
pub struct Writer {
    records: Option<SyncSender<Box<CallRecord>>>,
    spooler: Option<std::thread::JoinHandle<()>>,
    delivery: tokio::task::JoinHandle<()>,
    shared: Arc<Shared>,
}

/// Counts the records that are not yet in the database. Asking waits for nothing.
#[derive(Debug, Clone, Default)]
pub struct Backlog(Arc<AtomicUsize>);

impl Backlog {
    /// How many there are.
    pub fn records(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    fn more(&self, records: usize) {
        self.0.fetch_add(records, Ordering::AcqRel);
    }

    fn fewer(&self, records: usize) {
        self.0.fetch_sub(records, Ordering::AcqRel);
    }
}

struct Shared {
    spool: Mutex<Spool>,
    changes: Queue<Change>,
    bans: Queue<BanChange>,
    messages: Queue<MessageChange>,
    /// What is in the mailbox and in the spool.
    backlog: Backlog,
    /// Something is to be delivered.
    work: Notify,
    /// [`Writer::finish`] waits: no long pauses, and an end when nothing is left.
    finishing: AtomicBool,
    hurry: Notify,
}

impl Writer {
    /// Starts on the spool file at `spool` (made when missing), first with what an earlier run left there.
    /// Must be called within a tokio runtime.
    pub fn start(store: Store, spool: PathBuf) -> Writer {
        let spool = Spool::open(spool);
        let left = spool.len();
        let backlog = Backlog::default();
        backlog.more(left);
        let shared = Arc::new(Shared {
            spool: Mutex::new(spool),
            changes: Queue::default(),
            bans: Queue::default(),
            messages: Queue::default(),
            backlog,
            work: Notify::new(),
            finishing: AtomicBool::new(false),
            hurry: Notify::new(),
        });
        if left > 0 {
            tracing::info!(records = left, "delivering call records of an earlier run");
        }
        let (records, mailbox) = sync_channel(MAILBOX);
        let spooler = std::thread::Builder::new().name("spool".into()).spawn({
            let shared = shared.clone();
            move || shared.spool_all(&mailbox)
        });
        if let Err(error) = &spooler {
            tracing::error!(%error, "no thread for the spool: call records are only logged");
        }
        let delivery = tokio::spawn(shared.clone().deliver(store));
        Writer {
            records: Some(records),
            spooler: spooler.ok(),
            delivery,
            shared,
        }
    }

    /// Takes a record; returns at once. Figures that are not numbers become 0.
    pub fn record(&self, record: CallRecord) {
        let Some(records) = &self.records else {
            return;
        };
        self.shared.backlog.more(1);
        let sent = records.try_send(Box::new(record));
        if let Err(TrySendError::Full(record) | TrySendError::Disconnected(record)) = sent {
            self.shared.backlog.fewer(1);
            let record = line_of(*record);
            tracing::error!(
                record,
                "call record only logged: the spool does not take it"
            );
        }
    }

    /// Remembers a binding, in place of an earlier state of the same one; returns at once.
    pub fn keep(&self, registration: Registration) {
        self.change(Change::Keep(Box::new(registration)));
    }

    /// Forgets a binding; returns at once.
    pub fn drop_registration(&self, extension: String, binding: String) {
        self.change(Change::Drop { extension, binding });
    }

    /// Remembers a subscription, in place of an earlier state of the same one; returns at once.
    pub fn keep_subscription(&self, subscription: Subscription) {
        self.change(Change::KeepSubscription(Box::new(subscription)));
    }

    /// Forgets a subscription; returns at once.
    pub fn drop_subscription(&self, id: String) {
        self.change(Change::DropSubscription { id });
    }

    /// Writes what is left, at most for `deadline`; the number of records still unsent, safe in the spool.
    pub async fn finish(mut self, deadline: Duration) -> usize {
        let end = Instant::now() + deadline;
        self.records = None;
        if let Some(spooler) = self.spooler.take() {
            let spooled = tokio::task::spawn_blocking(move || spooler.join());
            if tokio::time::timeout_at(end, spooled).await.is_err() {
                tracing::warn!("the spool's disk does not answer");
            }
        }
        self.shared.finishing.store(true, Ordering::Release);
        self.shared.hurry.notify_one();
        self.shared.work.notify_one();
        // Late or not, the backlog says what is left.
        let _in_time = tokio::time::timeout_at(end, &mut self.delivery).await;
        self.backlog()
    }

    /// How many records are not yet in the database.
    pub fn backlog(&self) -> usize {
        self.shared.backlog.records()
    }

    /// A counter of the same, for whoever has not the Writer itself.
    pub fn watch(&self) -> Backlog {
        self.shared.backlog.clone()
    }

    /// Remembers a ban; returns at once.
    pub fn keep_ban(&self, ban: Ban) {
        self.change_ban(BanChange::Keep(ban));
    }

    /// Forgets a ban; returns at once.
    pub fn drop_ban(&self, id: String) {
        self.change_ban(BanChange::Drop { id });
    }

    /// Remembers a message; returns at once.
    pub fn keep_message(&self, message: StoredMessage) {
        self.change_message(MessageChange::Keep(message));
    }

    /// Forgets a message; returns at once.
    pub fn drop_message(&self, id: i64) {
        self.change_message(MessageChange::Drop { id });
    }

    fn change(&self, change: Change) {
        self.shared.changes.put(change);
        self.shared.work.notify_one();
    }

    fn change_ban(&self, change: BanChange) {
        self.shared.bans.put(change);
        self.shared.work.notify_one();
    }

    fn change_message(&self, change: MessageChange) {
        self.shared.messages.put(change);
        self.shared.work.notify_one();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.records = None;
        if let Some(spooler) = self.spooler.take() {
            // It ends when the mailbox is empty; if it panicked there is nothing left to wait for.
            let _panicked = spooler.join().is_err();
        }
        self.delivery.abort();
        self.shared.spool().close();
    }
}

/// What became of an attempt to deliver.
pub(crate) enum Sent {
    Some,
    Nothing,
    Failed(String),
}

impl Shared {
    fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` on the spool, which adds `new` lines to it, and counts what has left it, or has been found in a
    /// file that could not be opened before.
    fn on_spool<T>(&self, new: usize, work: impl FnOnce(&mut Spool) -> T) -> T {
        let mut spool = self.spool();
        let before = spool.len() + new;
        let done = work(&mut spool);
        let after = spool.len();
        self.backlog.more(after.saturating_sub(before));
        self.backlog.fewer(before.saturating_sub(after));
        done
    }

    /// The thread: the mailbox into the spool until the Writer is gone. A record is in the file at once; one sync
    /// then serves what arrives within [`SYNC`].
    fn spool_all(&self, mailbox: &Receiver<Box<CallRecord>>) {
        while let Ok(first) = mailbox.recv() {
            let mut file = self.spool_some(first, mailbox);
            let begun = std::time::Instant::now();
            // Without a look at the clock, records that never cease would put the sync off for ever: a time-out of
            // nothing still gives what is there.
            while let Some(left) = SYNC.checked_sub(begun.elapsed())
                && let Ok(next) = mailbox.recv_timeout(left)
            {
                file = self.spool_some(next, mailbox).or(file);
            }
            let file = file.filter(|_| self.spool().len() > 0);
            if let Some(Err(error)) = file.map(|f| f.sync_data()) {
                tracing::warn!(%error, "spool not synced");
            }
        }
    }

    /// Puts `first` and what else waits into the spool; the file to be synced.
    fn spool_some(
        &self,
        first: Box<CallRecord>,
        mailbox: &Receiver<Box<CallRecord>>,
    ) -> Option<File> {
        let rest = mailbox.try_iter().take(SPOOLED_AT_ONCE - 1);
        let lines: Vec<String> = std::iter::once(first)
            .chain(rest)
            .map(|r| line_of(*r))
            .collect();
        let file = self.on_spool(lines.len(), |spool| spool.append(lines));
        self.work.notify_one();
        file
    }

    /// The task: everything to the database, until [`Writer::finish`] and nothing is left.
    async fn deliver(self: Arc<Self>, store: Store) {
        let mut pause = FIRST_PAUSE;
        let mut failing_since = None;
        loop {
            // Asked before: what came after the look at one queue and before the end must be seen next time.
            let finishing = self.finishing.load(Ordering::Acquire);
            match self.send_some(&store).await {
                Sent::Failed(why) => {
                    if failing_since.is_none() {
                        tracing::warn!(
                            why,
                            "the database takes nothing: records wait in the spool"
                        );
                    }
                    failing_since.get_or_insert_with(Instant::now);
                    self.rest(pause).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                    continue;
                }
                Sent::Nothing if finishing => return,
                Sent::Nothing => self.work.notified().await,
                Sent::Some if finishing => {}
                Sent::Some => self.rest(GATHER).await,
            }
            if let Some(since) = failing_since.take() {
                tracing::info!(
                    away_s = since.elapsed().as_secs(),
                    "the database works again"
                );
            }
            pause = FIRST_PAUSE;
        }
    }

    async fn rest(&self, pause: Duration) {
        if self.finishing.load(Ordering::Acquire) {
            tokio::time::sleep(FIRST_PAUSE).await;
        } else {
            // Early when the Writer is to finish.
            let _slept = tokio::time::timeout(pause, self.hurry.notified()).await;
        }
    }

    async fn send_some(self: &Arc<Self>, store: &Store) -> Sent {
        let mut any = false;
        for sent in [
            self.bans.send(store).await,
            self.messages.send(store).await,
            self.changes.send(store).await,
        ] {
            match sent {
                Sent::Failed(why) => return Sent::Failed(why),
                Sent::Some => any = true,
                Sent::Nothing => {}
            }
        }
        match self.send_records(store).await {
            Sent::Nothing if any => Sent::Some,
            sent => sent,
        }
    }

    async fn send_records(self: &Arc<Self>, store: &Store) -> Sent {
        let batch = match self.on_disk(Spool::take).await {
            Ok(batch) if batch.is_empty() => return Sent::Nothing,
            Ok(batch) => batch,
            Err(e) => return Sent::Failed(format!("the spool cannot be read: {e}")),
        };
        let rejected = match insert_all(store, &batch).await {
            Ok(rejected) => rejected,
            Err(e) => return Sent::Failed(e.to_string()),
        };
        let done = self.on_disk(move |spool| {
            for line in &rejected {
                spool.reject(line)?;
            }
            spool.delivered(&batch)
        });
        match done.await {
            Ok(()) => Sent::Some,
            Err(e) => Sent::Failed(format!("the spool cannot be shortened: {e}")),
        }
    }

    /// Runs `work` on the spool where it may block.
    async fn on_disk<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Spool) -> std::io::Result<T> + Send + 'static,
    ) -> std::io::Result<T> {
        let shared = self.clone();
        tokio::task::spawn_blocking(move || shared.on_spool(0, work))
            .await
            .unwrap_or_else(|e| Err(std::io::Error::other(e)))
    }
}

/// Inserts the batch; the lines of it that the database will never take.
async fn insert_all(store: &Store, batch: &Batch) -> Result<Vec<String>, Error> {
    let mut rejected = batch.unreadable.clone();
    match in_time(store.insert_records(&batch.records)).await {
        Ok(()) => {}
        Err(Error::Refused(_)) => {
            for record in &batch.records {
                match in_time(store.insert_records(std::slice::from_ref(record))).await {
                    Ok(()) => {}
                    Err(Error::Refused(why)) => {
                        tracing::error!(id = record.id, why, "call record refused by the database");
                        rejected.push(line_of(record.clone()));
                    }
                    Err(e) => return Err(e),
                }
            }
        }
        Err(e) => return Err(e),
    }
    if !rejected.is_empty() {
        tracing::error!(
            count = rejected.len(),
            "call records moved to the spool's file .rejected"
        );
    }
    Ok(rejected)
}

pub(crate) async fn in_time(work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    tokio::time::timeout(BATCH_TIMEOUT, work)
        .await
        .unwrap_or_else(|_| Err(Error::Unavailable("it did not answer in 30 s".into())))
}

/// A record as JSON. JSON has no NaN: it would be written as null and not read back.
fn line_of(mut record: CallRecord) -> String {
    for leg in &mut record.legs {
        for figure in [&mut leg.loss_in, &mut leg.jitter_ms] {
            if !figure.is_finite() {
                *figure = 0.0;
            }
        }
        for figure in [&mut leg.rtt_ms, &mut leg.loss_out] {
            *figure = figure.filter(|f| f.is_finite());
        }
    }
    serde_json::to_string(&record).expect("a record has string keys and finite numbers only")
}
