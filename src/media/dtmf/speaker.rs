//! Tells one party the keys that another pressed, or that we press ourselves: one after the other, 20 ms at a time.
//!
//! Not here: the numbers of the packets (`sender.rs`), and who pressed what (`engine.rs`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::tones::KeyTone;
use super::{MAX_AT_ONCE, Way};
use crate::Codec;
use crate::codec::Encoder;
use crate::rtp::dtmf::{Event, code};

/// Keys that may wait; more than these are lost (a script may ask for more at once, see [`Speaker::make_room`]).
const MAX_WAITING: usize = 32;
const FRAME: Duration = Duration::from_millis(20);
const FRAME_MS: u32 = 20;
/// ITU-T Q.24: no receiver need hear a shorter tone, or a shorter pause.
const LEAST_MS: u32 = 40;
const LEAD_MS: u32 = 80;
/// Nobody holds a key for longer.
const MOST_MS: u32 = 5_000;
/// A key that is down is told of at least so often, or it is up.
const PATIENCE: Duration = Duration::from_millis(200);
/// When ticks come later than this, the rest is told from there on.
const MAX_BEHIND: Duration = Duration::from_millis(200);
/// The end of an event is told three times (RFC 4733 §2.5.1.4).
const ENDINGS: u8 = 3;
/// Loudness of events, -dBm0.
const VOLUME: u8 = 10;

#[derive(Debug)]
pub(crate) struct Speaker {
    keys: VecDeque<Key>,
    state: State,
    due: Option<Instant>,
    voice: Option<Box<Voice>>,
}

#[derive(Debug, Clone, Copy)]
struct Key {
    key: char,
    length: Length,
    pause_ms: u32,
}

#[derive(Debug, Clone, Copy)]
enum Length {
    Known(u32),
    /// It is still down, and was when `seen`.
    Held {
        since: Instant,
        seen: Instant,
    },
}

/// What is being told of the first key.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing yet.
    Silent,
    /// The party's decoder gets used to us.
    Leads { left_ms: u32 },
    /// It has sounded for so long.
    Sounds { told_ms: u32 },
    /// It is over after `told_ms`; the end is to be told so often again, and the next key has to wait.
    Pauses {
        told_ms: u32,
        endings: u8,
        left_ms: u32,
    },
}

/// What 20 ms of a key are.
#[derive(Debug, Clone, Copy)]
enum Beat {
    /// It sounds, for `told_ms` after them.
    Sound {
        told_ms: u32,
        last: bool,
    },
    /// A pause, in which the end is told again.
    Ending {
        told_ms: u32,
    },
    Pause,
}

/// Makes payloads of tones.
#[derive(Debug)]
struct Voice {
    codec: Codec,
    rate_hz: u32,
    encoder: Encoder,
    pcm: Box<[i16]>,
    tone: Option<KeyTone>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    NotYet,
    /// A telephone event's payload; `first` begins the key.
    Event {
        first: bool,
        payload: [u8; 4],
    },
    /// So many payload bytes of voice.
    Voice(usize),
    /// A pause in which no packet is due.
    Pause,
    /// The party is to be told by INFO.
    Info {
        key: char,
        ms: u32,
    },
}

impl Speaker {
    /// Allocates.
    pub(crate) fn new() -> Speaker {
        Speaker {
            keys: VecDeque::with_capacity(MAX_WAITING),
            state: State::Silent,
            due: None,
            voice: None,
        }
    }

    /// Makes ready to speak a codec, or (`None`) to speak none. Allocates.
    pub(crate) fn prepare(&mut self, codec: Option<Codec>) {
        if self.voice.as_ref().map(|voice| voice.codec) != codec {
            self.voice = codec.and_then(Voice::new).map(Box::new);
        }
    }

    /// Makes room for `keys` more, as long as not too many wait. Allocates.
    pub(crate) fn make_room(&mut self, keys: usize) {
        let free = MAX_AT_ONCE.saturating_sub(self.keys.len());
        self.keys.reserve(keys.min(free));
    }

    /// Whether something is told, so that others have to be silent.
    pub(crate) fn is_busy(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Presses a key for `ms`, the next one not before `pause_ms` later. False when too many wait.
    pub(crate) fn press(&mut self, key: char, (ms, pause_ms): (u32, u32)) -> bool {
        let length = Length::Known(ms.clamp(LEAST_MS, MOST_MS));
        self.add(key, length, pause_ms)
    }

    /// A key went down; whoever held one before let go of it.
    pub(crate) fn down(&mut self, now: Instant, key: char) -> bool {
        self.let_go();
        let length = Length::Held {
            since: now,
            seen: now,
        };
        self.add(key, length, LEAST_MS)
    }

    /// The key is still down.
    pub(crate) fn held(&mut self, now: Instant) {
        if let Some(Length::Held { seen, .. }) = self.keys.back_mut().map(|key| &mut key.length) {
            *seen = now;
        }
    }

    /// It was released after `ms`.
    pub(crate) fn up(&mut self, ms: u32) {
        if let Some(key) = self.keys.back_mut()
            && matches!(key.length, Length::Held { .. })
        {
            key.length = Length::Known(ms.clamp(LEAST_MS, MOST_MS));
        }
    }

    /// Forgets all: the way to the party has changed.
    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        (self.state, self.due) = (State::Silent, None);
    }

    fn add(&mut self, key: char, length: Length, pause_ms: u32) -> bool {
        // Room was made beforehand: nothing allocates here.
        let room = self.keys.len() < self.keys.capacity();
        if room {
            self.keys.push_back(Key {
                key,
                length,
                pause_ms: pause_ms.clamp(LEAST_MS, MOST_MS),
            });
        }
        room
    }

    fn let_go(&mut self) {
        if let Some(key) = self.keys.back_mut()
            && let Length::Held { since, seen } = key.length
        {
            key.length = Length::Known(between(since, seen));
        }
    }

    /// What is due at `now` on a leg that tells keys this way; voice is written to `out`. Ask again until `NotYet`.
    /// `clock` counts an event's duration.
    pub(crate) fn say(&mut self, now: Instant, (way, clock): (Way, u32), out: &mut [u8]) -> Said {
        let Some(&key) = self.keys.front() else {
            return Said::NotYet;
        };
        let length = key.known(now);
        if way == Way::Info {
            return match length {
                Some(ms) => {
                    self.next();
                    Said::Info { key: key.key, ms }
                }
                None => Said::NotYet,
            };
        }
        if self.due.is_none() && way == Way::Tone {
            self.lead();
        }
        let due = *self.due.get_or_insert(now);
        if now < due {
            return Said::NotYet;
        }
        let late = now.duration_since(due) > MAX_BEHIND;
        self.due = Some(if late { now } else { due } + FRAME);
        match way {
            Way::Event => self.event(key, length, clock),
            Way::Tone | Way::Info => self.tone(key, length, out),
        }
    }

    fn event(&mut self, key: Key, length: Option<u32>, clock: u32) -> Said {
        let first = matches!(self.state, State::Silent);
        let per_ms = (clock / 1_000).max(1);
        // RFC 4733 §2.5.1.3: what the field cannot tell would be another segment; nobody needs it.
        let most = (u32::from(u16::MAX) / per_ms).min(MOST_MS);
        let (told_ms, end) = match self.beat(key, length, most) {
            Beat::Sound { told_ms, last } => (told_ms, last),
            Beat::Ending { told_ms } => (told_ms, true),
            Beat::Pause => return Said::Pause,
        };
        let event = Event {
            code: code(key.key).unwrap_or_default(),
            end,
            volume: VOLUME,
            duration: u16::try_from(told_ms * per_ms).unwrap_or(u16::MAX),
        };
        let payload = event.write();
        Said::Event { first, payload }
    }

    fn tone(&mut self, key: Key, length: Option<u32>, out: &mut [u8]) -> Said {
        let first = matches!(self.state, State::Silent);
        let beat = self.beat(key, length, MOST_MS);
        let Some(voice) = &mut self.voice else {
            return Said::Pause;
        };
        if first {
            voice.tone = KeyTone::new(key.key, voice.rate_hz);
        }
        voice.pcm.fill(0);
        if let (Beat::Sound { last, .. }, Some(tone)) = (beat, &mut voice.tone) {
            tone.fill(&mut voice.pcm, last);
        }
        Said::Voice(voice.encoder.encode(&voice.pcm, out))
    }

    /// 20 ms pass.
    fn beat(&mut self, key: Key, length: Option<u32>, most: u32) -> Beat {
        let told_ms = match self.state {
            State::Pauses {
                told_ms,
                endings,
                left_ms,
            } => return self.pause(told_ms, endings, left_ms),
            State::Leads { left_ms } => return self.lead_on(left_ms),
            State::Silent => FRAME_MS,
            State::Sounds { told_ms } => told_ms + FRAME_MS,
        };
        // Whole frames: the nearest number of them, or fewer when others wait.
        let others_wait = self.keys.len() > 1;
        let short = if others_wait {
            FRAME_MS - 1
        } else {
            FRAME_MS / 2
        };
        let enough = |ms: u32| told_ms >= LEAST_MS && told_ms + short >= ms;
        let last = length.is_some_and(enough) || told_ms + FRAME_MS > most;
        self.state = if last {
            State::Pauses {
                told_ms,
                endings: ENDINGS - 1,
                left_ms: key.pause_ms,
            }
        } else {
            State::Sounds { told_ms }
        };
        Beat::Sound { told_ms, last }
    }

    /// These codecs remember what came before, which another encoder made: a tone would begin distorted.
    fn lead(&mut self) {
        let voice = self.voice.as_ref().map(|voice| voice.codec);
        self.state = match voice {
            Some(Codec::G722 | Codec::Opus) => State::Leads { left_ms: LEAD_MS },
            Some(Codec::Pcmu | Codec::Pcma) | None => State::Silent,
        };
    }

    fn lead_on(&mut self, left_ms: u32) -> Beat {
        let left_ms = left_ms.saturating_sub(FRAME_MS);
        self.state = if left_ms == 0 {
            State::Silent
        } else {
            State::Leads { left_ms }
        };
        Beat::Pause
    }

    fn pause(&mut self, told_ms: u32, endings: u8, left_ms: u32) -> Beat {
        self.state = State::Pauses {
            told_ms,
            endings: endings.saturating_sub(1),
            left_ms: left_ms.saturating_sub(FRAME_MS),
        };
        if left_ms <= FRAME_MS {
            self.next();
        }
        if endings > 0 {
            Beat::Ending { told_ms }
        } else {
            Beat::Pause
        }
    }

    /// The first key is told.
    fn next(&mut self) {
        self.keys.pop_front();
        self.state = State::Silent;
        if self.keys.is_empty() {
            self.due = None;
        }
    }
}

impl Key {
    /// How long it was down, once that is known.
    fn known(&self, now: Instant) -> Option<u32> {
        match self.length {
            Length::Known(ms) => Some(ms),
            Length::Held { since, seen } => {
                let gone = now.saturating_duration_since(seen) > PATIENCE;
                let held = between(since, seen);
                (gone || held >= MOST_MS).then_some(held)
            }
        }
    }
}

fn between(since: Instant, seen: Instant) -> u32 {
    let ms = seen.saturating_duration_since(since).as_millis();
    u32::try_from(ms)
        .unwrap_or(MOST_MS)
        .clamp(LEAST_MS, MOST_MS)
}

impl Voice {
    fn new(codec: Codec) -> Option<Voice> {
        let rate_hz = match codec {
            Codec::Pcmu | Codec::Pcma | Codec::Opus => 8_000,
            Codec::G722 => 16_000,
        };
        Some(Voice {
            codec,
            rate_hz,
            encoder: Encoder::new(codec, rate_hz).ok()?,
            pcm: vec![0; rate_hz as usize / 50].into(),
            tone: None,
        })
    }
}
