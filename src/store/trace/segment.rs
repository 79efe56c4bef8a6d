//! The files of the trace: messages one after the other, each a line of JSON about it and then its octets.

use directory::Traced;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The longest line about a message; a longer one is not ours.
const LINE: u64 = 4_096;
/// The longest message.
const OCTETS: usize = 1 << 20;

/// What stands before the octets of a message.
#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(flatten)]
    about: Traced,
    octets: usize,
}

/// Where some messages of one call are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The segment's number: the Unix time it was begun at, milliseconds.
    pub(crate) segment: i64,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// The file of a segment.
pub(crate) fn path_of(folder: &Path, segment: i64) -> PathBuf {
    folder.join(format!("{segment}.trace"))
}

/// The segments in `folder`, the oldest first, with their lengths.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<(i64, u64)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".trace"));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            found.push((number, entry.metadata()?.len()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Adds a message to what is to be written.
pub(crate) fn put(out: &mut Vec<u8>, about: Traced, octets: &[u8]) {
    let octets = octets.get(..OCTETS).unwrap_or(octets);
    let head = Head {
        about,
        octets: octets.len(),
    };
    if serde_json::to_writer(&mut *out, &head).is_ok() {
        out.push(b'\n');
        out.extend_from_slice(octets);
    }
}

/// The next message; `None` at the end, or where it is not ours: a crash may have cut the last one.
fn next(file: &mut impl BufRead) -> Option<(Traced, u64)> {
    let mut line = Vec::new();
    let length = file.take(LINE).read_until(b'\n', &mut line).ok()?;
    let head: Head = serde_json::from_slice(&line).ok()?;
    if head.octets > OCTETS || !line.ends_with(b"\n") {
        return None;
    }
    let mut octets = vec![0; head.octets];
    file.read_exact(&mut octets).ok()?;
    let traced = Traced {
        bytes: octets.into(),
        ..head.about
    };
    Some((traced, (length + head.octets) as u64))
}

/// Which calls are where in a segment.
pub(crate) fn scan(folder: &Path, segment: i64) -> io::Result<Vec<(u64, Place)>> {
    let mut file = BufReader::new(File::open(path_of(folder, segment))?);
    let mut found: Vec<(u64, Place)> = Vec::new();
    let mut offset = 0;
    while let Some((traced, length)) = next(&mut file) {
        match found.last_mut() {
            Some((call, place)) if *call == traced.call => place.length += length,
            _ => found.push((
                traced.call,
                Place {
                    segment,
                    offset,
                    length,
                },
            )),
        }
        offset += length;
    }
    Ok(found)
}

/// The messages at `place`.
pub(crate) fn read(folder: &Path, place: Place) -> io::Result<Vec<Traced>> {
    let mut file = File::open(path_of(folder, place.segment))?;
    file.seek(SeekFrom::Start(place.offset))?;
    let mut file = BufReader::new(file.take(place.length));
    Ok(std::iter::from_fn(|| next(&mut file))
        .map(|(traced, _)| traced)
        .collect())
}
