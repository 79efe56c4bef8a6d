//! Sound files: found under the sounds folder, decoded (`decode.rs`), brought to a codec's rate (`convert.rs`), encoded
//! and kept, on threads of their own. A media worker only ever sees a finished clip.

mod convert;
mod decode;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::SystemTime;

use media::codec::Encoder;
use media::{Clip, Codec, PlayId, StreamId};

/// Threads that load: two, so that a long tune does not keep a short prompt waiting.
const THREADS: usize = 2;
/// Prompts that may wait to be loaded.
const JOBS: usize = 1024;
/// Octets of encoded sound kept.
const CACHE: usize = 64 << 20;
/// Names warned of; beyond that no more are remembered, nor warned of.
const WARNED: usize = 1024;
/// What an encoded frame of 20 ms may take; Opus needs the most (RFC 6716 §3.4: 1275 octets).
const FRAME: usize = 1280;

/// A prompt to load for a stream.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) stream: StreamId,
    pub(crate) play: PlayId,
    pub(crate) name: Arc<str>,
    pub(crate) codec: Codec,
}

/// Why a prompt cannot be played.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SoundError {
    #[error("there is no such file under the sounds folder (.wav and .flac are looked for)")]
    Missing,
    #[error("the name leads out of the sounds folder")]
    Outside,
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("it is no WAV or FLAC that can be decoded: {0}")]
    Decode(String),
    #[error("it is longer than {} minutes", decode::LONGEST_S / 60)]
    TooLong,
    #[error("the codec {} cannot be encoded", .0.name())]
    Codec(Codec),
}

/// The loading threads. They end when this is dropped.
pub(crate) struct Loader {
    jobs: SyncSender<Job>,
}

impl Loader {
    /// Starts the threads. `done` is called on one of them for each job, without a clip when there is none to be had.
    pub(crate) fn start(
        sounds: PathBuf,
        done: impl Fn(Job, Option<Arc<Clip>>) + Clone + Send + 'static,
    ) -> Loader {
        let (jobs, queue) = sync_channel(JOBS);
        let queue = Arc::new(Mutex::new(queue));
        let shelf = Arc::new(Shelf::new(sounds));
        for number in 0..THREADS {
            let (queue, shelf, done) = (queue.clone(), shelf.clone(), done.clone());
            let started = thread::Builder::new()
                .name(format!("sounds-{number}"))
                .spawn(move || {
                    while let Some(job) = next(&queue) {
                        let clip = shelf.load(&job.name, job.codec);
                        done(job, clip);
                    }
                });
            if let Err(error) = started {
                tracing::error!(%error, "a thread that loads prompts could not be started");
            }
        }
        Loader { jobs }
    }

    /// Whether there was room for the job.
    pub(crate) fn ask(&self, job: Job) -> bool {
        self.jobs.try_send(job).is_ok()
    }
}

fn next(queue: &Mutex<Receiver<Job>>) -> Option<Job> {
    queue
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .recv()
        .ok()
}

/// The sounds folder and what was made of it.
pub(crate) struct Shelf {
    root: PathBuf,
    cache: Mutex<Cache>,
    warned: Mutex<HashSet<String>>,
    /// How many turns the files of folders had.
    turn: AtomicUsize,
}

impl Shelf {
    pub(crate) fn new(root: PathBuf) -> Shelf {
        Shelf {
            root,
            cache: Mutex::default(),
            warned: Mutex::default(),
            turn: AtomicUsize::new(0),
        }
    }

    /// The prompt `name` in `codec`; None, warned of once, when it cannot be played.
    pub(crate) fn load(&self, name: &str, codec: Codec) -> Option<Arc<Clip>> {
        match self.find_or_make(name, codec) {
            Ok(clip) => Some(clip),
            Err(error) => {
                let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
                if warned.len() < WARNED && warned.insert(name.to_owned()) {
                    tracing::warn!(prompt = name, sounds = %self.root.display(), %error, "a prompt cannot be played");
                }
                None
            }
        }
    }

    fn find_or_make(&self, name: &str, codec: Codec) -> Result<Arc<Clip>, SoundError> {
        let mut path = find(&self.root, name)?;
        if path.is_dir() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            path = one_of(&path, turn)?;
        }
        let about = fs::metadata(&path)?;
        let version = (about.modified()?, about.len());
        let key = (path, codec);
        if let Some(clip) = self.cache().get(&key, version) {
            return Ok(clip);
        }
        let sound = decode::decode(File::open(&key.0)?, &key.0)?;
        let clip = Arc::new(encode(&sound, codec)?);
        self.cache().put(key, version, clip.clone());
        Ok(clip)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sound file of a folder whose turn it is.
fn one_of(folder: &Path, turn: usize) -> Result<PathBuf, SoundError> {
    let entries = fs::read_dir(folder)?.filter_map(Result::ok);
    let sounds = entries.map(|entry| entry.path());
    let mut sounds: Vec<_> = sounds.filter(|path| is_sound(path)).collect();
    sounds.sort_unstable();
    let place = turn.checked_rem(sounds.len());
    let chosen = place.and_then(|place| sounds.into_iter().nth(place));
    chosen.ok_or(SoundError::Missing)
}

fn is_sound(path: &Path) -> bool {
    let extension = path.extension();
    extension.is_some_and(|e| e.eq_ignore_ascii_case("wav") || e.eq_ignore_ascii_case("flac"))
}

/// The file of a prompt: the name as it is when it has a known extension, else with .wav or .flac; or else the folder
/// of that name, which stands for its files in turn.
fn find(root: &Path, name: &str) -> Result<PathBuf, SoundError> {
    let relative = Path::new(name);
    let plain = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !plain || name.is_empty() || name.contains('\0') {
        return Err(SoundError::Outside);
    }
    let whole = root.join(relative);
    if is_sound(relative) {
        return Some(whole)
            .filter(|path| path.is_file())
            .ok_or(SoundError::Missing);
    }
    // The extension is added, not set: "v1.2" is a name, not a file of kind "2".
    ["wav", "flac"]
        .iter()
        .map(|extension| PathBuf::from(format!("{}.{extension}", whole.display())))
        .find(|path| path.is_file())
        .or(Some(whole).filter(|path| path.is_dir()))
        .ok_or(SoundError::Missing)
}

/// Frames of 20 ms in `codec`; the last one is filled up with silence.
fn encode(sound: &decode::Sound, codec: Codec) -> Result<Clip, SoundError> {
    let rate = codec.sample_rate();
    let samples = convert::convert(&sound.samples, sound.rate_hz, rate);
    let mut encoder = Encoder::new(codec, rate).map_err(|_| SoundError::Codec(codec))?;
    let size = rate as usize / 50;
    let mut frame = vec![0; size];
    let mut out = [0; FRAME];
    let frames = samples
        .chunks(size)
        .map(|chunk| {
            frame.fill(0);
            for (to, from) in frame.iter_mut().zip(chunk) {
                *to = *from;
            }
            let len = encoder.encode(&frame, &mut out);
            out.get(..len).unwrap_or_default().into()
        })
        .collect();
    Ok(Clip { codec, frames })
}

type Version = (SystemTime, u64);
type Key = (PathBuf, Codec);

/// Clips by file and codec; the one not used for longest goes first.
#[derive(Default)]
struct Cache {
    clips: HashMap<Key, Kept>,
    bytes: usize,
    clock: u64,
}

struct Kept {
    version: Version,
    clip: Arc<Clip>,
    bytes: usize,
    used: u64,
}

impl Cache {
    fn get(&mut self, key: &Key, version: Version) -> Option<Arc<Clip>> {
        self.clock += 1;
        let kept = self
            .clips
            .get_mut(key)
            .filter(|kept| kept.version == version)?;
        kept.used = self.clock;
        Some(kept.clip.clone())
    }

    fn put(&mut self, key: Key, version: Version, clip: Arc<Clip>) {
        let bytes = clip.frames.iter().map(|frame| frame.len() + 16).sum();
        self.clock += 1;
        let kept = Kept {
            version,
            clip,
            bytes,
            used: self.clock,
        };
        self.bytes += bytes;
        if let Some(old) = self.clips.insert(key, kept) {
            self.bytes -= old.bytes;
        }
        while self.bytes > CACHE {
            let oldest = self.clips.iter().min_by_key(|(_, kept)| kept.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            if let Some(old) = self.clips.remove(&key) {
                self.bytes -= old.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A WAV file of `ms` milliseconds of a 400 Hz sine, in both channels.
    fn write_wav(path: &Path, rate: u32, ms: u32) {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut file = hound::WavWriter::create(path, spec).unwrap();
        for n in 0..rate * ms / 1000 {
            let phase = f64::from(n) * 400.0 / f64::from(rate) * std::f64::consts::TAU;
            for _ in 0..2 {
                file.write_sample((phase.sin() * 12_000.0) as i16).unwrap();
            }
        }
        file.finalize().unwrap();
    }

    #[test]
    fn a_file_becomes_frames_of_twenty_milliseconds_in_each_codec() {
        let dir = tempfile::tempdir().unwrap();
        for rate in [8000, 16_000, 44_100, 48_000] {
            write_wav(&dir.path().join(format!("tone-{rate}.wav")), rate, 1010);
        }
        let shelf = Shelf::new(dir.path().to_owned());
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus] {
            for rate in [8000, 16_000, 44_100, 48_000] {
                let clip = shelf.load(&format!("tone-{rate}"), codec).unwrap();
                assert_eq!(clip.codec, codec);
                assert_eq!(clip.frames.len(), 51, "{codec:?} {rate}");
                assert!(clip.frames.iter().all(|frame| !frame.is_empty()));
            }
        }
    }

    #[test]
    fn flac_is_played_too() {
        let dir = tempfile::tempdir().unwrap();
        fs::copy("tests/tone.flac", dir.path().join("tone.flac")).unwrap();
        let shelf = Shelf::new(dir.path().to_owned());
        let clip = shelf.load("tone", Codec::Pcma).unwrap();
        assert_eq!(clip.frames.len(), 5, "100 ms at 22,050 Hz in two channels");
        let loudest = |frame: &[u8]| {
            let levels = frame
                .iter()
                .map(|&code| media::codec::g711::from_alaw(code));
            levels.max().unwrap_or_default()
        };
        for frame in &clip.frames {
            let level = loudest(frame);
            assert!((2500..3200).contains(&level), "{level}");
        }
    }

    #[test]
    fn names_do_not_lead_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let sounds = dir.path().join("sounds");
        fs::create_dir_all(sounds.join("en")).unwrap();
        write_wav(&dir.path().join("secret.wav"), 8000, 20);
        write_wav(&sounds.join("en/v1.2.wav"), 8000, 20);
        let secret = dir.path().join("secret.wav").display().to_string();
        for name in [
            "../secret",
            "en/../../secret",
            secret.as_str(),
            "",
            "a\0",
            "./x",
        ] {
            assert!(
                matches!(find(&sounds, name), Err(SoundError::Outside)),
                "{name}"
            );
        }
        assert!(find(&sounds, "en/v1.2").is_ok());
        assert!(find(&sounds, "en/v1.2.wav").is_ok());
        assert!(matches!(
            find(&sounds, "none.wav"),
            Err(SoundError::Missing)
        ));
    }

    #[test]
    fn the_files_of_a_folder_take_turns() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("music/none")).unwrap();
        fs::write(dir.path().join("music/licence.txt"), "ours").unwrap();
        for (name, ms) in [("b.wav", 200), ("a.wav", 100), ("c.wav", 300)] {
            write_wav(&dir.path().join("music").join(name), 8000, ms);
        }
        let shelf = Shelf::new(dir.path().to_owned());
        let next = || shelf.load("music", Codec::Pcmu).map(|c| c.frames.len());
        let turns = [next(), next(), next(), next()];
        assert_eq!(turns, [Some(5), Some(10), Some(15), Some(5)]);
        assert!(shelf.load("music/none", Codec::Pcmu).is_none());
    }

    #[test]
    fn a_clip_is_made_once_until_its_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hello.wav");
        write_wav(&file, 8000, 100);
        let shelf = Shelf::new(dir.path().to_owned());
        let first = shelf.load("hello", Codec::Pcmu).unwrap();
        assert!(Arc::ptr_eq(
            &first,
            &shelf.load("hello", Codec::Pcmu).unwrap()
        ));
        write_wav(&file, 8000, 200);
        assert_eq!(shelf.load("hello", Codec::Pcmu).unwrap().frames.len(), 10);
        fs::write(&file, "no sound").unwrap();
        assert!(shelf.load("hello", Codec::Pcmu).is_none());
        let kept: usize = shelf.cache().clips.values().map(|kept| kept.bytes).sum();
        assert_eq!(kept, shelf.cache().bytes);
    }

    #[test]
    fn the_cache_forgets_what_was_not_used_for_longest() {
        let clip = |len: usize| {
            Arc::new(Clip {
                codec: Codec::Pcmu,
                frames: vec![vec![0; len].into_boxed_slice()],
            })
        };
        let key = |name: &str| (PathBuf::from(name), Codec::Pcmu);
        let version = (SystemTime::UNIX_EPOCH, 0);
        let mut cache = Cache::default();
        for name in ["a", "b", "c"] {
            cache.put(key(name), version, clip(CACHE / 4));
        }
        assert!(cache.get(&key("a"), version).is_some());
        cache.put(key("d"), version, clip(CACHE / 4));
        assert!(cache.get(&key("b"), version).is_none());
        assert!(cache.get(&key("a"), version).is_some());
        cache.put(key("e"), version, clip(2 * CACHE));
        assert_eq!((cache.clips.len(), cache.bytes), (0, 0));
    }
}
