//! What we say ourselves: a clip or a tone, 20 ms at a time.
//!
//! Not here: reading files and encoding them (the `net` crate does), and the packets (`stream.rs`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codec::Encoder;
use crate::tone::Oscillator;
use crate::transcoder::Transcoder;
use crate::{Clip, Codec, PlayId, Source, Tone};

/// The length of every frame played.
pub(crate) const FRAME: Duration = Duration::from_millis(20);
/// When ticks come later than this, the playback goes on from there and makes no burst.
const MAX_BEHIND: Duration = Duration::from_millis(200);
/// A ringback is heard again when the partner has been silent for this long.
const SILENCE: Duration = Duration::from_secs(1);

/// A playback under way.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) id: PlayId,
    repeat: bool,
    source: Playing,
    voice: Option<Voice>,
    due: Option<Instant>,
}

#[derive(Debug)]
enum Playing {
    Clip { clip: Arc<Clip>, next: usize },
    Tone(Tone),
}

/// What makes payloads of the stream's codec; made when the codec is known.
#[derive(Debug)]
enum Voice {
    Copy(Codec),
    Transcode(Codec, Box<Transcoder>),
    Tone {
        codec: Codec,
        oscillator: Oscillator,
        encoder: Encoder,
        pcm: Box<[i16]>,
    },
}

/// What a playback has to say at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    NotYet,
    /// So many payload bytes; 0 is a pause.
    Frame(usize),
    /// The last frame has been heard out.
    End,
}

impl Player {
    /// `None` for what cannot be played: a prompt nobody resolved.
    pub(crate) fn new(id: PlayId, source: Source, repeat: bool) -> Option<Player> {
        let source = match source {
            Source::Clip(clip) => Playing::Clip { clip, next: 0 },
            Source::Tone(tone) => Playing::Tone(tone),
            Source::Prompt(_) => return None,
        };
        Some(Player {
            id,
            repeat,
            source,
            voice: None,
            due: None,
        })
    }

    /// Whether only a command ends it.
    pub(crate) fn endless(&self) -> bool {
        self.repeat
    }

    /// The partner's voice is there: whether it may be heard in place of this.
    pub(crate) fn gives_way(&mut self, now: Instant) -> bool {
        // RFC 3960 §3.2: a local ringback only while no media comes from the party that rings.
        let ringback = matches!(self.source, Playing::Tone(Tone::Ringback));
        if ringback {
            self.due = Some(now + SILENCE);
        }
        ringback
    }

    /// Makes ready for a codec. False when it cannot be encoded. Allocates.
    pub(crate) fn prepare(&mut self, codec: Codec) -> bool {
        if self
            .voice
            .as_ref()
            .is_some_and(|voice| voice.codec() == codec)
        {
            return true;
        }
        let from = match &self.source {
            Playing::Clip { clip, .. } => Ok(clip.codec),
            Playing::Tone(tone) => Err(*tone),
        };
        self.voice = match from {
            Ok(from) if from == codec => Some(Voice::Copy(codec)),
            Ok(from) => Transcoder::new((from, codec, 20))
                .ok()
                .map(|coder| Voice::Transcode(codec, Box::new(coder))),
            Err(tone) => Voice::tone(tone, codec),
        };
        self.voice.is_some()
    }

    /// The frame due at `now`, if one is, written to `out`. Ask again until `NotYet`.
    pub(crate) fn say(&mut self, now: Instant, out: &mut [u8]) -> Said {
        if self.voice.is_none() {
            return Said::NotYet;
        }
        let due = *self.due.get_or_insert(now);
        if now < due {
            return Said::NotYet;
        }
        let due = if now.duration_since(due) > MAX_BEHIND {
            now
        } else {
            due
        };
        self.due = Some(due + FRAME);
        self.next(out).map_or(Said::End, Said::Frame)
    }

    fn next(&mut self, out: &mut [u8]) -> Option<usize> {
        match (&mut self.source, self.voice.as_mut()?) {
            (Playing::Clip { clip, next }, Voice::Copy(_)) => {
                let payload = turn_page(clip, next, self.repeat)?;
                let room = out.get_mut(..payload.len())?;
                room.copy_from_slice(payload);
                Some(payload.len())
            }
            (Playing::Clip { clip, next }, Voice::Transcode(_, coder)) => {
                coder.feed(turn_page(clip, next, self.repeat)?);
                Some(coder.frame(out).unwrap_or(0))
            }
            (
                Playing::Tone(_),
                Voice::Tone {
                    oscillator,
                    encoder,
                    pcm,
                    ..
                },
            ) => {
                if oscillator.cycled() && !self.repeat {
                    return None;
                }
                oscillator.fill(pcm);
                Some(encoder.encode(pcm, out))
            }
            (Playing::Clip { .. }, Voice::Tone { .. })
            | (Playing::Tone(_), Voice::Copy(_) | Voice::Transcode(..)) => None,
        }
    }
}

impl Voice {
    fn codec(&self) -> Codec {
        match self {
            Voice::Copy(codec) | Voice::Transcode(codec, _) | Voice::Tone { codec, .. } => *codec,
        }
    }

    fn tone(tone: Tone, codec: Codec) -> Option<Voice> {
        let rate_hz = match codec {
            // Nothing of a 425 Hz tone needs more.
            Codec::Pcmu | Codec::Pcma | Codec::Opus => 8_000,
            Codec::G722 => 16_000,
        };
        Some(Voice::Tone {
            codec,
            oscillator: Oscillator::new(tone, rate_hz),
            encoder: Encoder::new(codec, rate_hz).ok()?,
            pcm: vec![0; rate_hz as usize / 50].into(),
        })
    }
}

/// The next frame of a clip, from the first again after the last of one that repeats.
fn turn_page<'a>(clip: &'a Clip, next: &mut usize, repeat: bool) -> Option<&'a [u8]> {
    if repeat && *next >= clip.frames.len() {
        *next = 0;
    }
    let frame = clip.frames.get(*next)?;
    *next += 1;
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(frames: usize) -> Source {
        let frame = |i| vec![i as u8; 160].into_boxed_slice();
        Source::Clip(Arc::new(Clip {
            codec: Codec::Pcmu,
            frames: (0..frames).map(frame).collect(),
        }))
    }

    /// Ticks every 5 ms: when each frame came, and when the end, in ms.
    fn run(mut player: Player, codec: Codec, until_ms: u64) -> (Vec<u64>, Option<u64>) {
        assert!(player.prepare(codec));
        let start = Instant::now();
        let mut frames = Vec::new();
        for ms in (0..until_ms).step_by(5) {
            loop {
                match player.say(start + Duration::from_millis(ms), &mut [0; 1_500]) {
                    Said::NotYet => break,
                    Said::Frame(length) => {
                        assert!(length > 0);
                        frames.push(ms);
                    }
                    Said::End => return (frames, Some(ms)),
                }
            }
        }
        (frames, None)
    }

    #[test]
    fn a_clip_takes_its_time_and_no_more() {
        for codec in Codec::ALL {
            let player = Player::new(PlayId(1), clip(50), false).unwrap();
            let (frames, end) = run(player, codec, 5_000);
            assert_eq!(frames, (0..50).map(|i| i * 20).collect::<Vec<_>>());
            assert_eq!(end, Some(1_000));
        }
    }

    #[test]
    fn what_repeats_has_no_end_and_a_tone_alone_one_cadence() {
        let (frames, end) = run(
            Player::new(PlayId(1), clip(3), true).unwrap(),
            Codec::Pcmu,
            2_000,
        );
        assert_eq!((frames.len(), end), (100, None));
        let (frames, end) = run(
            Player::new(PlayId(1), clip(0), true).unwrap(),
            Codec::Pcmu,
            2_000,
        );
        assert_eq!((frames.len(), end), (0, Some(0)));
        let tone = |repeat| Player::new(PlayId(1), Source::Tone(Tone::Ringback), repeat).unwrap();
        assert_eq!(run(tone(false), Codec::G722, 9_000).1, Some(5_000));
        assert_eq!(run(tone(true), Codec::Opus, 9_000).1, None);
        assert!(Player::new(PlayId(1), Source::Prompt("hello".into()), false).is_none());
    }

    #[test]
    fn a_late_tick_makes_no_burst() {
        let mut player = Player::new(PlayId(1), clip(100), false).unwrap();
        assert!(player.prepare(Codec::Pcmu));
        let start = Instant::now();
        assert_eq!(player.say(start, &mut [0; 200]), Said::Frame(160));
        let late = start + Duration::from_secs(1);
        assert_eq!(player.say(late, &mut [0; 200]), Said::Frame(160));
        assert_eq!(player.say(late, &mut [0; 200]), Said::NotYet);
    }
}
