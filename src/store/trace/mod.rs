//! The SIP trace on disk: messages of calls, kept for a while in files of their own beside the database.
//!
//! A thread writes what comes, a few times a second, to a file that only grows; files too old or too many are deleted
//! whole. When the disk is full nothing is kept for a minute, and calls go on. It does not know what a message says,
//! but for the secrets that `mask.rs` blackens. Next: `segment.rs`, what such a file holds.

mod mask;
mod segment;

use crate::disk::private_file;
use bytes::BytesMut;
use directory::Traced;
use segment::Place;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant, SystemTime};

/// What comes within this time shares a write.
const GATHER: Duration = Duration::from_millis(200);
/// Most messages that wait for the thread.
const WAITING: usize = 20_000;
/// Octets of messages that wait are kept in pieces of this size.
const PIECE: usize = 64 << 10;
/// A file is begun anew after this time, so that it can be deleted on time.
const LONGEST: Duration = Duration::from_secs(3_600);
/// How often is looked for files that are too old, also when nothing comes.
const TIDY: Duration = Duration::from_secs(3_600);
/// After a failure.
const PAUSE: Duration = Duration::from_secs(60);

/// How much is kept, and how long.
#[derive(Debug, Clone, Copy)]
pub struct TraceLimits {
    pub retention: Duration,
    pub bytes: u64,
}

/// The trace. Dropping it writes what waits.
pub struct Traces {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    waker: Option<Thread>,
}

/// For whoever reads.
#[derive(Clone)]
pub struct TraceReader(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    limits: TraceLimits,
    waiting: Mutex<Waiting>,
    index: Mutex<BTreeMap<u64, Vec<Place>>>,
    trouble: Mutex<Option<String>>,
    ending: AtomicBool,
}

/// What came and is not written.
#[derive(Default)]
struct Waiting {
    messages: Vec<Traced>,
    piece: BytesMut,
}

impl Waiting {
    /// Copies the octets: their buffer is still warm in the cache when it goes back to who reads from the network, and
    /// would not be after a trip to another thread.
    fn push(&mut self, message: Traced) {
        let octets = &message.bytes;
        if self.piece.capacity() < octets.len() {
            self.piece = BytesMut::with_capacity(PIECE.max(octets.len()));
        }
        self.piece.extend_from_slice(octets);
        let bytes = self.piece.split().freeze();
        self.messages.push(Traced { bytes, ..message });
    }
}

impl Traces {
    /// Starts in `folder`, which is made when missing, with what earlier runs left there.
    ///
    /// # Errors
    /// No thread.
    pub fn start(folder: PathBuf, limits: TraceLimits) -> io::Result<Traces> {
        let shared = Arc::new(Shared {
            folder,
            limits,
            waiting: Mutex::default(),
            index: Mutex::default(),
            trouble: Mutex::default(),
            ending: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("trace".into())
            .spawn(move || Scribe::new(own).run())?;
        Ok(Traces {
            shared,
            waker: Some(thread.thread().clone()),
            thread: Some(thread),
        })
    }

    /// Takes what there is in `messages`; returns at once. What the disk is too slow for is lost.
    pub fn add(&self, messages: &mut Vec<Traced>) {
        let mut waiting = lock(&self.shared.waiting);
        let first = waiting.messages.is_empty();
        let room = WAITING.saturating_sub(waiting.messages.len());
        for message in messages.drain(..).take(room) {
            waiting.push(message);
        }
        drop(waiting);
        // A thread that gathers needs no waking.
        if let Some(waker) = self.waker.as_ref().filter(|_| first) {
            waker.unpark();
        }
    }

    /// For whoever reads.
    pub fn reader(&self) -> TraceReader {
        TraceReader(Arc::clone(&self.shared))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Release);
        if let Some(waker) = self.waker.take() {
            waker.unpark();
        }
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join().is_err();
        }
    }
}

impl TraceReader {
    /// The messages of a call in their order, those of the last moment included; empty when none are known. May block.
    ///
    /// # Errors
    /// The disk.
    pub fn read(&self, call: u64) -> io::Result<Vec<Traced>> {
        let shared = &self.0;
        // Before the index: what is written in between is found twice rather than not at all.
        let waiting: Vec<Traced> = lock(&shared.waiting)
            .messages
            .iter()
            .filter(|message| message.call == call)
            .cloned()
            .collect();
        let places = lock(&shared.index).get(&call).cloned().unwrap_or_default();
        let mut found = Vec::new();
        for place in places {
            match segment::read(&shared.folder, place) {
                Ok(messages) => found.extend(messages.into_iter().filter(|m| m.call == call)),
                // Deleted a moment ago.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        for message in waiting {
            let bytes = mask::masked(&message.bytes).into();
            found.push(Traced { bytes, ..message });
        }
        found.sort_by_key(|message| message.at_us);
        found.dedup();
        Ok(found)
    }

    /// Why nothing is kept at the moment.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.0.trouble).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread.
struct Scribe {
    shared: Arc<Shared>,
    open: Option<Open>,
    /// After a failure.
    rest_until: Option<Instant>,
    /// When it was looked for what is too old.
    tidied: Instant,
}

/// The file that is written.
struct Open {
    file: File,
    segment: i64,
    length: u64,
    begun: Instant,
}

impl Scribe {
    fn new(shared: Arc<Shared>) -> Scribe {
        Scribe {
            shared,
            open: None,
            rest_until: None,
            tidied: Instant::now(),
        }
    }

    fn run(mut self) {
        if let Err(error) = self.recollect() {
            tracing::warn!(%error, "the SIP trace of earlier runs cannot be read");
        }
        loop {
            // Asked before: what came after the look and before the end must be seen once more.
            let ending = self.shared.ending.load(Ordering::Acquire);
            let messages = std::mem::take(&mut lock(&self.shared.waiting).messages);
            if !messages.is_empty() {
                self.write(messages);
            } else if ending {
                return;
            } else {
                self.look_after();
                std::thread::park_timeout(TIDY);
            }
            if !ending {
                std::thread::sleep(GATHER);
            }
        }
    }

    /// While nothing comes: what is too old goes all the same.
    fn look_after(&mut self) {
        if self.tidied.elapsed() < TIDY {
            return;
        }
        self.tidied = Instant::now();
        self.open.take_if(|open| open.begun.elapsed() >= LONGEST);
        if let Err(error) = self.tidy()
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "old SIP messages cannot be deleted");
        }
    }

    /// What earlier runs left.
    fn recollect(&mut self) -> io::Result<()> {
        if !self.shared.folder.try_exists()? {
            return Ok(());
        }
        self.tidy()?;
        for (number, _) in segment::list(&self.shared.folder)? {
            let found = segment::scan(&self.shared.folder, number)?;
            let mut index = lock(&self.shared.index);
            for (call, place) in found {
                index.entry(call).or_default().push(place);
            }
        }
        Ok(())
    }

    fn write(&mut self, messages: Vec<Traced>) {
        if self.rest_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        match self.try_write(messages) {
            Ok(()) => {
                self.rest_until = None;
                if lock(&self.shared.trouble).take().is_some() {
                    tracing::info!("SIP messages are traced again");
                }
            }
            Err(error) => {
                self.open = None;
                self.rest_until = Some(Instant::now() + PAUSE);
                let why = error.to_string();
                let told = lock(&self.shared.trouble).replace(why);
                if told.is_none() {
                    tracing::warn!(%error, "SIP messages are not traced: calls go on");
                }
                // Room for what matters more, should it be the trace that filled the disk.
                let _next_time = self.tidy();
            }
        }
    }

    fn try_write(&mut self, mut messages: Vec<Traced>) -> io::Result<()> {
        // Those of a call together: its places are few then.
        messages.sort_by_key(|message| message.call);
        let mut text = Vec::new();
        let mut places: Vec<(u64, u64, u64)> = Vec::new();
        for message in messages {
            let (call, start) = (message.call, text.len() as u64);
            let octets = mask::masked(&message.bytes);
            segment::put(&mut text, message, &octets);
            let length = text.len() as u64 - start;
            match places.last_mut() {
                Some((known, _, all)) if *known == call => *all += length,
                _ => places.push((call, start, length)),
            }
        }
        let open = self.open()?;
        let (segment, base) = (open.segment, open.length);
        if let Err(error) = open.file.write_all(&text) {
            // Nothing half.
            let _as_it_was = open.file.set_len(base);
            return Err(error);
        }
        open.length += text.len() as u64;
        let mut index = lock(&self.shared.index);
        for (call, offset, length) in places {
            index.entry(call).or_default().push(Place {
                segment,
                offset: base + offset,
                length,
            });
        }
        Ok(())
    }

    /// The file to be written, a new one when it is time.
    fn open(&mut self) -> io::Result<&mut Open> {
        let most = (self.shared.limits.bytes / 16).clamp(64 << 10, 64 << 20);
        self.open = self
            .open
            .take()
            .filter(|open| open.length < most && open.begun.elapsed() < LONGEST);
        if self.open.is_none() {
            make_folder(&self.shared.folder)?;
            self.tidy()?;
            let last = segment::list(&self.shared.folder)?
                .last()
                .map_or(0, |s| s.0);
            let segment = unix_ms().max(last + 1);
            let file = private_file()
                .append(true)
                .create_new(true)
                .open(segment::path_of(&self.shared.folder, segment))?;
            self.open = Some(Open {
                file,
                segment,
                length: 0,
                begun: Instant::now(),
            });
        }
        self.open
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Deletes what is too old or too much.
    fn tidy(&mut self) -> io::Result<()> {
        let segments = segment::list(&self.shared.folder)?;
        let limits = self.shared.limits;
        let retention = i64::try_from(limits.retention.as_millis()).unwrap_or(i64::MAX);
        let oldest = unix_ms().saturating_sub(retention);
        // A file grows for so long, and then as much again is to be had for the next.
        let grows = i64::try_from(LONGEST.as_millis()).unwrap_or(0);
        let mut all: u64 = segments.iter().map(|s| s.1).sum();
        let most = limits.bytes - limits.bytes / 16;
        for (number, length) in segments {
            let old = number.saturating_add(grows) < oldest;
            if !old && all <= most {
                continue;
            }
            std::fs::remove_file(segment::path_of(&self.shared.folder, number))?;
            all -= length;
            lock(&self.shared.index).retain(|_, places| {
                places.retain(|place| place.segment != number);
                !places.is_empty()
            });
        }
        Ok(())
    }
}

fn make_folder(folder: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TraceLimits = TraceLimits {
        retention: Duration::from_secs(3_600),
        bytes: 100 << 20,
    };

    fn message(call: u64, at_us: i64, text: &str) -> Traced {
        Traced {
            call,
            leg: Some(1),
            at_us,
            inward: true,
            transport: "udp".into(),
            local: "192.0.2.1:5060".parse().expect("an address"),
            remote: "[2001:db8::1]:5060".parse().expect("an address"),
            bytes: text.to_owned().into(),
        }
    }

    fn texts(reader: &TraceReader, call: u64) -> Vec<String> {
        let found = reader.read(call).expect("read");
        let text = |m: Traced| String::from_utf8_lossy(&m.bytes).into_owned();
        found.into_iter().map(text).collect()
    }

    #[test]
    fn messages_are_kept_by_call_over_restarts() {
        let folder = tempfile::tempdir().expect("a folder");
        let start = || Traces::start(folder.path().join("trace"), LIMITS).expect("started");
        let traces = start();
        let reader = traces.reader();
        let secret = "SIP/2.0 401 x\r\nWWW-Authenticate: Digest nonce=\"abc\"\r\n\r\n";
        traces.add(&mut vec![
            message(7, 2, "b\nc"),
            message(8, 1, "other"),
            message(7, 1, secret),
        ]);
        let masked = secret.replace("abc", "xxx");
        assert_eq!(
            texts(&reader, 7),
            [masked.as_str(), "b\nc"],
            "before it is written"
        );
        drop(traces);
        assert_eq!(texts(&reader, 7), [masked.as_str(), "b\nc"], "and after");
        assert_eq!(reader.read(8).expect("read"), [message(8, 1, "other")]);
        assert!(texts(&reader, 9).is_empty());
        let traces = start();
        traces.add(&mut vec![message(7, 3, "")]);
        let reader = traces.reader();
        drop(traces);
        assert_eq!(texts(&reader, 7), [masked.as_str(), "b\nc", ""]);
        // A crash in the middle of a write costs what was being written.
        let (number, length) = segment::list(&folder.path().join("trace")).expect("listed")[0];
        let path = segment::path_of(&folder.path().join("trace"), number);
        let file = File::options().write(true).open(path).expect("open");
        file.set_len(length - 1).expect("cut");
        let traces = start();
        let reader = traces.reader();
        drop(traces);
        assert_eq!(texts(&reader, 7).len(), 3);
        assert!(texts(&reader, 8).is_empty());
    }

    #[test]
    fn the_oldest_make_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let limits = TraceLimits {
            bytes: 1 << 20,
            ..LIMITS
        };
        let traces = Traces::start(folder.path().to_owned(), limits).expect("started");
        let reader = traces.reader();
        drop(traces);
        let mut scribe = Scribe::new(Arc::clone(&reader.0));
        for n in 0..100 {
            let text = "x".repeat(40_000);
            scribe.write(vec![message(n, 1, &text)]);
        }
        let all: u64 = segment::list(folder.path())
            .expect("listed")
            .iter()
            .map(|s| s.1)
            .sum();
        assert!((600 << 10..=1 << 20).contains(&all), "{all}");
        assert!(texts(&reader, 0).is_empty());
        assert_eq!(texts(&reader, 99).len(), 1);
        assert_eq!(lock(&reader.0.index).len() as u64, all / 40_000);
    }

    #[test]
    fn what_is_too_old_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut old = Vec::new();
        segment::put(&mut old, message(1, 1, "x"), b"x");
        for ms in [unix_ms() - 48 * 3_600_000, unix_ms() - 600_000] {
            std::fs::write(segment::path_of(folder.path(), ms), &old).expect("written");
        }
        drop(Traces::start(folder.path().to_owned(), LIMITS).expect("started"));
        assert_eq!(segment::list(folder.path()).expect("listed").len(), 1);
    }

    #[test]
    fn what_is_too_old_goes_also_when_nothing_comes() {
        let folder = tempfile::tempdir().expect("a folder");
        let traces = Traces::start(folder.path().to_owned(), LIMITS).expect("started");
        let reader = traces.reader();
        drop(traces);
        let mut scribe = Scribe::new(Arc::clone(&reader.0));
        scribe.write(vec![message(1, 1, "x")]);
        let new = segment::list(folder.path()).expect("listed")[0].0;
        let old = new - 3 * 3_600_000;
        let path = |number| segment::path_of(folder.path(), number);
        std::fs::copy(path(new), path(old)).expect("copied");
        scribe.look_after();
        assert_eq!(
            segment::list(folder.path()).expect("listed").len(),
            2,
            "not yet"
        );
        let before = |time: Duration| Instant::now().checked_sub(time).expect("up so long");
        scribe.tidied = before(TIDY);
        scribe.look_after();
        assert_eq!(segment::list(folder.path()).expect("listed").len(), 1);
        assert_eq!(texts(&reader, 1), ["x"]);
        assert!(scribe.open.is_some());
        scribe.tidied = before(TIDY);
        if let Some(open) = &mut scribe.open {
            open.begun = before(LONGEST);
        }
        scribe.look_after();
        assert!(scribe.open.is_none(), "it can be deleted on time");
    }

    #[test]
    fn a_folder_that_cannot_be_is_told_and_nothing_else_happens() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "").expect("written");
        let traces = Traces::start(path.clone(), LIMITS).expect("started");
        let reader = traces.reader();
        drop(traces);
        let mut scribe = Scribe::new(Arc::clone(&reader.0));
        scribe.write(vec![message(1, 1, "x")]);
        assert!(reader.trouble().is_some());
        std::fs::remove_file(&path).expect("removed");
        scribe.write(vec![message(1, 2, "y")]);
        assert!(reader.trouble().is_some(), "not at once");
        scribe.rest_until = None;
        scribe.write(vec![message(1, 3, "z")]);
        assert_eq!(reader.trouble(), None);
        assert_eq!(texts(&reader, 1), ["z"]);
    }
}
