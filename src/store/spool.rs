//! The spool: call records on their way to the database, as JSON lines in a file.
//!
//! Lines are added at the end and taken from the front; what was taken is given up only when it is said to be
//! delivered, so a crash at any point repeats records and never loses one. While the file cannot be written
//! (full disk), lines wait in memory, up to a bound. Nothing here is asynchronous: see [`crate::Writer`].

use crate::disk::{folder_of, private_file, sync_folder};
use directory::CallRecord;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Most records, and most bytes beyond the first line, in one [`Batch`].
const BATCH_RECORDS: usize = 200;
const BATCH_BYTES: u64 = 4 << 20;
/// The delivered front of the file is cut off when it is this long and more than half of the file.
const SHORTEN_BYTES: u64 = 4 << 20;
/// Most lines that wait in memory.
const UNWRITTEN_LINES: usize = 65_536;

/// See the module.
pub(crate) struct Spool {
    path: PathBuf,
    place: Place,
    unwritten: VecDeque<String>,
    /// How often `unwritten` lost its front otherwise than by delivery: a batch taken from it before does not
    /// say what to remove.
    moves: u64,
}

enum Place {
    /// The file is locked by us. Bytes `head..tail` are `lines` whole lines that are not delivered.
    Open {
        file: File,
        head: u64,
        tail: u64,
        lines: usize,
    },
    /// It could not be opened or written; `why` was logged. To be tried again.
    Away { why: String },
    /// Somebody else may own the file.
    Closed,
}

/// Some of the oldest records.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) records: Vec<CallRecord>,
    /// Lines that are no record; they go to the rejected ones.
    pub(crate) unreadable: Vec<String>,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    File { end: u64, lines: usize },
    Memory { lines: usize, moves: u64 },
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.unreadable.is_empty()
    }
}

impl Spool {
    /// The spool at `path`, with what an earlier run left; a last line without its end is completed or cut off.
    pub(crate) fn open(path: PathBuf) -> Spool {
        let mut spool = Spool {
            path,
            place: Place::Away { why: String::new() },
            unwritten: VecDeque::new(),
            moves: 0,
        };
        spool.try_open();
        spool
    }

    /// How many records are here.
    pub(crate) fn len(&self) -> usize {
        let written = match &self.place {
            Place::Open { lines, .. } => *lines,
            Place::Away { .. } | Place::Closed => 0,
        };
        written + self.unwritten.len()
    }

    /// Adds lines (JSON without line ends). The file to be synced, when they reached it; else they wait in
    /// memory.
    pub(crate) fn append(&mut self, lines: impl IntoIterator<Item = String>) -> Option<File> {
        self.unwritten.extend(lines);
        self.flush();
        while self.unwritten.len() > UNWRITTEN_LINES {
            let lost = self.unwritten.pop_front();
            self.moves += 1;
            tracing::error!(
                record = lost,
                "call record lost: neither disk nor memory can hold it"
            );
        }
        match &self.place {
            Place::Open { file, .. } => file.try_clone().ok(),
            Place::Away { .. } | Place::Closed => None,
        }
    }

    /// The oldest records, empty when there are none.
    pub(crate) fn take(&mut self) -> io::Result<Batch> {
        self.flush();
        match &mut self.place {
            Place::Open {
                file,
                head,
                tail,
                lines,
            } => match read_batch(file, *head, *tail)? {
                Some(batch) => Ok(batch),
                None if head == tail => Ok(self.batch_from_memory()),
                None => {
                    tracing::error!(lost = *lines, "the spool was cut by someone else");
                    file.set_len(0)?;
                    (*head, *tail, *lines) = (0, 0, 0);
                    Ok(self.batch_from_memory())
                }
            },
            Place::Away { .. } => Ok(self.batch_from_memory()),
            Place::Closed => Err(io::Error::other("the spool is closed")),
        }
    }

    /// Gives up the records of `batch`, which must be the latest taken.
    pub(crate) fn delivered(&mut self, batch: &Batch) -> io::Result<()> {
        match (&batch.origin, &mut self.place) {
            (Origin::File { end, lines: gone }, Place::Open { head, lines, .. }) => {
                *head = *end;
                *lines = lines.saturating_sub(*gone);
                self.shorten()
            }
            (Origin::Memory { lines, moves }, Place::Away { .. } | Place::Open { .. }) => {
                // What went to the file meanwhile is delivered once more from there, which does no harm.
                if *moves == self.moves {
                    self.unwritten.drain(..(*lines).min(self.unwritten.len()));
                }
                Ok(())
            }
            (Origin::File { .. }, Place::Away { .. }) | (_, Place::Closed) => Ok(()),
        }
    }

    /// Puts a line that the database will never take into the file `….rejected` beside the spool.
    pub(crate) fn reject(&self, line: &str) -> io::Result<()> {
        let mut file = private_file()
            .append(true)
            .create(true)
            .open(beside(&self.path, "rejected"))?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_data()
    }

    /// Lets go of the file: nothing done afterwards touches it.
    pub(crate) fn close(&mut self) {
        self.flush();
        self.place = Place::Closed;
    }

    /// Writes what waits in memory, if the disk lets it.
    fn flush(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        self.try_open();
        let Place::Open {
            file, tail, lines, ..
        } = &mut self.place
        else {
            return;
        };
        let mut text = String::new();
        for line in &self.unwritten {
            text.push_str(line);
            text.push('\n');
        }
        match write_at(file, *tail, text.as_bytes()) {
            Ok(()) => {
                *tail += text.len() as u64;
                *lines += self.unwritten.len();
                self.unwritten.clear();
                self.moves += 1;
            }
            Err(e) => {
                // Half a line must not be met by the next one; when even this fails, the next write goes to
                // the same place.
                let cut = file.set_len(*tail);
                tracing::warn!(path = %self.path.display(), error = %e, ?cut, "spool not written, records wait in memory");
            }
        }
    }

    fn try_open(&mut self) {
        let Place::Away { why: known } = &self.place else {
            return;
        };
        match open_file(&self.path) {
            Ok((file, tail, lines)) => {
                self.place = Place::Open {
                    file,
                    head: 0,
                    tail,
                    lines,
                };
            }
            Err(e) => {
                let why = e.to_string();
                if why != *known {
                    tracing::error!(path = %self.path.display(), error = %why, "spool not opened: call records are not safe from a crash");
                }
                self.place = Place::Away { why };
            }
        }
    }

    fn batch_from_memory(&self) -> Batch {
        let lines = self.unwritten.len().min(BATCH_RECORDS);
        let origin = Origin::Memory {
            lines,
            moves: self.moves,
        };
        let texts = self.unwritten.iter().take(lines).cloned();
        batch_of(texts, origin)
    }

    /// Empties a file that is all delivered; cuts off a long delivered front.
    fn shorten(&mut self) -> io::Result<()> {
        let Place::Open {
            file, head, tail, ..
        } = &mut self.place
        else {
            return Ok(());
        };
        if head == tail {
            file.set_len(0)?;
            (*head, *tail) = (0, 0);
        } else if *head >= SHORTEN_BYTES && *head > *tail / 2 {
            let rest = copy_rest(&self.path, file, *head, *tail)?;
            *file = rest;
            (*head, *tail) = (0, *tail - *head);
        }
        Ok(())
    }
}

/// The file at `path`, its length and how many lines it has, made when missing with its folder.
fn open_file(path: &Path) -> io::Result<(File, u64, usize)> {
    let folder = folder_of(path);
    std::fs::create_dir_all(folder)?;
    let mut file = private_file()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    lock(&file)?;
    sync_folder(folder)?;
    let (tail, lines) = mend(&mut file)?;
    Ok((file, tail, lines))
}

fn lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|e| match e {
        std::fs::TryLockError::WouldBlock => io::Error::other("another program uses it"),
        std::fs::TryLockError::Error(e) => e,
    })
}

/// Counts the lines; a last one that a crash cut short is removed, one that lacks only its end gets it.
fn mend(file: &mut File) -> io::Result<(u64, usize)> {
    let mut reader = BufReader::new(&*file);
    let (mut tail, mut lines) = (0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)? as u64;
        if !line.ends_with(b"\n") {
            break;
        }
        tail += read;
        lines += 1;
    }
    if line.is_empty() {
        return Ok((tail, lines));
    }
    if serde_json::from_slice::<CallRecord>(&line).is_ok() {
        line.push(b'\n');
        write_at(file, tail, &line)?;
        return Ok((tail + line.len() as u64, lines + 1));
    }
    tracing::warn!(
        bytes = line.len(),
        "spool ended within a line, which was removed"
    );
    file.set_len(tail)?;
    Ok((tail, lines))
}

fn write_at(file: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

/// The lines at the start of `head..tail`; `None` when nothing can be read there.
fn read_batch(file: &mut File, head: u64, tail: u64) -> io::Result<Option<Batch>> {
    file.seek(SeekFrom::Start(head))?;
    let mut reader = BufReader::new(file.take(tail - head));
    let mut end = head;
    let mut texts = Vec::new();
    while texts.len() < BATCH_RECORDS && end - head < BATCH_BYTES {
        let mut line = Vec::new();
        match reader.read_until(b'\n', &mut line)? {
            0 => break,
            read => end += read as u64,
        }
        texts.push(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
    let lines = texts.len();
    Ok((lines > 0).then(|| batch_of(texts, Origin::File { end, lines })))
}

fn batch_of(texts: impl IntoIterator<Item = String>, origin: Origin) -> Batch {
    let mut batch = Batch {
        records: Vec::new(),
        unreadable: Vec::new(),
        origin,
    };
    for text in texts {
        match serde_json::from_str(&text) {
            Ok(record) => batch.records.push(record),
            Err(_) => batch.unreadable.push(text),
        }
    }
    batch
}

/// Replaces the file at `path` by its bytes `head..tail`, so that a crash leaves the old or the new one.
fn copy_rest(path: &Path, file: &mut File, head: u64, tail: u64) -> io::Result<File> {
    let draft = beside(path, "shorter");
    let mut rest = private_file()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&draft)?;
    lock(&rest)?;
    file.seek(SeekFrom::Start(head))?;
    io::copy(&mut file.take(tail - head), &mut rest)?;
    rest.sync_all()?;
    std::fs::rename(&draft, path)?;
    sync_folder(folder_of(path))?;
    Ok(rest)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use directory::{Direction, Ending};

    fn record(id: &str) -> CallRecord {
        CallRecord {
            id: id.into(),
            started_at_ms: 1,
            answered_at_ms: None,
            ended_at_ms: 2,
            direction: Direction::Internal,
            from: "101".into(),
            to: "102".into(),
            dialed: "102".into(),
            cause: Ending::Busy,
            sip_code: 486,
            ring_ms: 1,
            talk_ms: 0,
            tags: Vec::new(),
            reason: String::new(),
            legs: Vec::new(),
            segments: Vec::new(),
            merged_into: None,
            continues: Vec::new(),
        }
    }

    fn line(id: &str) -> String {
        serde_json::to_string(&record(id)).expect("JSON")
    }

    #[test]
    fn a_line_of_an_older_program_is_read() {
        let mut old = serde_json::to_value(record("a")).expect("JSON");
        for key in ["segments", "merged_into", "continues"] {
            assert!(
                old.as_object_mut()
                    .expect("an object")
                    .remove(key)
                    .is_some()
            );
        }
        let read: CallRecord = serde_json::from_value(old).expect("a record");
        assert_eq!(read, record("a"));
    }

    fn ids(batch: &Batch) -> Vec<&str> {
        batch.records.iter().map(|r| r.id.as_str()).collect()
    }

    #[test]
    fn records_stay_until_they_are_delivered() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a/spool");
        let mut spool = Spool::open(path.clone());
        assert!(spool.append([line("1"), line("2")]).is_some());
        let batch = spool.take().expect("batch");
        assert_eq!(ids(&batch), ["1", "2"]);
        spool.close();
        let mut spool = Spool::open(path.clone());
        assert_eq!(spool.len(), 2);
        let batch = spool.take().expect("batch");
        spool.append([line("3")]);
        spool.delivered(&batch).expect("shortened");
        assert_eq!(ids(&spool.take().expect("batch")), ["3"]);
        let batch = spool.take().expect("batch");
        spool.delivered(&batch).expect("shortened");
        assert_eq!(spool.len(), 0);
        assert_eq!(std::fs::metadata(&path).expect("file").len(), 0);
    }

    #[test]
    fn a_torn_last_line_is_removed_and_a_whole_one_completed() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("spool");
        let whole = line("1");
        for (torn, kept) in [
            ("{\"id\":\"2\",\"star", vec!["1", "3"]),
            (&line("2"), vec!["1", "2", "3"]),
        ] {
            std::fs::write(&path, format!("{whole}\n{torn}")).expect("written");
            let mut spool = Spool::open(path.clone());
            spool.append([line("3")]);
            assert_eq!(ids(&spool.take().expect("batch")), kept);
        }
    }

    #[test]
    fn lines_that_are_no_record_do_not_stop_the_others() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("spool");
        std::fs::write(&path, format!("rubbish\n\u{0}\n{}\n", line("1"))).expect("written");
        let mut spool = Spool::open(path);
        let batch = spool.take().expect("batch");
        assert_eq!(ids(&batch), ["1"]);
        assert_eq!(batch.unreadable.len(), 2);
        spool.delivered(&batch).expect("shortened");
        assert_eq!(spool.len(), 0);
    }

    #[test]
    fn a_delivered_front_is_cut_off() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("spool");
        let mut spool = Spool::open(path.clone());
        let long = |n: usize| {
            let mut record = record(&n.to_string());
            record.reason = "x".repeat(50_000);
            serde_json::to_string(&record).expect("JSON")
        };
        spool.append((0..200).map(long));
        let mut seen = 0;
        while spool.len() > 0 {
            let batch = spool.take().expect("batch");
            assert_eq!(batch.records[0].id, seen.to_string());
            seen += batch.records.len();
            spool.delivered(&batch).expect("shortened");
            let bytes = std::fs::metadata(&path).expect("file").len();
            assert!(bytes < (spool.len() as u64 + 90) * 51_000);
        }
        assert_eq!(seen, 200);
    }

    #[test]
    fn without_a_file_records_wait_in_memory() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("spool");
        std::fs::create_dir(&path).expect("a folder is in the way");
        let mut spool = Spool::open(path.clone());
        assert!(spool.append([line("1")]).is_none());
        let batch = spool.take().expect("batch");
        assert_eq!(ids(&batch), ["1"]);
        std::fs::remove_dir(&path).expect("no longer");
        assert!(spool.append([line("2")]).is_some());
        spool.delivered(&batch).expect("nothing to do");
        assert_eq!(ids(&spool.take().expect("batch")), ["1", "2"]);
    }

    #[test]
    fn two_spools_do_not_share_a_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("spool");
        let mut first = Spool::open(path.clone());
        let mut second = Spool::open(path);
        assert!(second.append([line("2")]).is_none());
        first.close();
        assert!(second.append([line("3")]).is_some());
        assert_eq!(second.len(), 2);
    }
}
