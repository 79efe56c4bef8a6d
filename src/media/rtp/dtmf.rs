//! Digits as telephone events (RFC 4733): heard once each whatever is lost or repeated, and sent packet by packet.
//!
//! Not here: in-band tones, and which payload type carries events (`sdp`).

use super::packet::Header;

/// Codes 0..=15 (RFC 4733 §3.2, table 7); 16 (flash) and above are no digits.
const DIGITS: [u8; 16] = *b"0123456789*#ABCD";
/// The end of a digit is told three times (RFC 4733 §2.5.1.4).
const ENDINGS: u8 = 3;
/// Loudness of the digits we send, -dBm0: what phones commonly send.
const VOLUME: u8 = 10;

/// The four bytes of an event (RFC 4733 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// 0..=15 are digits.
    pub code: u8,
    /// The key has been released.
    pub end: bool,
    /// 0 (loudest) to 63, in -dBm0.
    pub volume: u8,
    /// Ticks since the header's timestamp.
    pub duration: u16,
}

impl Event {
    /// Reads a payload's first event; `None` when it is shorter than one.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Event> {
        let [code, flags, high, low] = *payload.first_chunk()?;
        Some(Event {
            code,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// The payload of this event.
    #[must_use]
    pub fn write(&self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [
            self.code,
            u8::from(self.end) << 7 | self.volume & 0x3f,
            high,
            low,
        ]
    }

    /// The key, if it is one of the sixteen.
    #[must_use]
    pub fn digit(&self) -> Option<char> {
        DIGITS
            .get(usize::from(self.code))
            .map(|&digit| char::from(digit))
    }
}

/// The code of a key; letters in either case.
#[must_use]
pub fn code(digit: char) -> Option<u8> {
    let digit = u8::try_from(digit.to_ascii_uppercase()).ok()?;
    DIGITS
        .iter()
        .position(|&known| known == digit)
        .and_then(|at| u8::try_from(at).ok())
}

/// Hears the digits of one stream.
#[derive(Debug, Clone, Default)]
pub struct Receiver {
    last: Option<Heard>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    ssrc: u32,
    timestamp: u32,
    event: Event,
    /// Ticks of earlier segments of the same key.
    before: u32,
}

/// What an event packet tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// No key.
    Nothing,
    /// A key, for the first time; after `end` ticks it is released already.
    Down { digit: char, end: Option<u32> },
    /// The same key again; it was released after `end` ticks, which is told once.
    Goes { end: Option<u32> },
    /// Something of an earlier key that was overtaken.
    Old,
}

impl Receiver {
    /// Nothing heard yet.
    #[must_use]
    pub fn new() -> Receiver {
        Receiver::default()
    }

    /// Takes an event packet; gives the digit at the first packet of it that arrives, once.
    pub fn receive(&mut self, header: &Header, payload: &[u8]) -> Option<char> {
        match self.take(header, payload) {
            Took::Down { digit, .. } => Some(digit),
            Took::Nothing | Took::Goes { .. } | Took::Old => None,
        }
    }

    /// Takes an event packet.
    pub fn take(&mut self, header: &Header, payload: &[u8]) -> Took {
        let event = Event::parse(payload);
        let Some((event, digit)) = event.and_then(|event| Some((event, event.digit()?))) else {
            return Took::Nothing;
        };
        let heard = Heard {
            ssrc: header.ssrc,
            timestamp: header.timestamp,
            event,
            before: 0,
        };
        let ticks = |before: u32| {
            event
                .end
                .then(|| before.saturating_add(u32::from(event.duration)))
        };
        let known = match self.last {
            Some(last) if last.ssrc == header.ssrc => belongs(&last, &heard),
            _ => Standing::New,
        };
        match known {
            Standing::New => {
                self.last = Some(heard);
                let end = ticks(0);
                Took::Down { digit, end }
            }
            Standing::Goes => {
                let last = self.last.unwrap_or(heard);
                let segment = last.timestamp != heard.timestamp;
                let before = if segment {
                    last.before.saturating_add(u32::from(u16::MAX))
                } else {
                    last.before
                };
                // The end may be overtaken by an update; once over, over.
                let over = !segment && last.event.end;
                self.last = Some(Heard {
                    event: Event {
                        end: event.end || over,
                        ..event
                    },
                    before,
                    ..heard
                });
                Took::Goes {
                    end: ticks(before).filter(|_| !over),
                }
            }
            Standing::Old => Took::Old,
        }
    }
}

enum Standing {
    New,
    /// The digit heard last goes on.
    Goes,
    /// A straggler of an earlier digit.
    Old,
}

/// RFC 4733 §2.5.1.2: one event, one timestamp.
fn belongs(last: &Heard, heard: &Heard) -> Standing {
    /// A repeat may come so many ticks late, 20 s at 8 kHz; further back is a sender's clock that jumped.
    const STRAGGLE: u32 = 160_000;
    let ahead = heard.timestamp.wrapping_sub(last.timestamp);
    if ahead == 0 {
        return Standing::Goes;
    }
    if ahead > u32::MAX - STRAGGLE {
        return Standing::Old;
    }
    // RFC 4733 §2.5.1.3: a key held longer than the field can tell goes on as a new segment where the last one ended.
    let segment = !last.event.end
        && last.event.code == heard.event.code
        && last.event.duration == u16::MAX
        && ahead == u32::from(u16::MAX);
    if segment {
        Standing::Goes
    } else {
        Standing::New
    }
}

/// Sends one digit: a packet every 20 ms from `next` until it gives `None`.
#[derive(Debug, Clone)]
pub struct Sender {
    code: u8,
    timestamp: u32,
    /// Ticks in 20 ms.
    step: u32,
    length: u32,
    told: u32,
    endings: u8,
    first: bool,
}

/// One packet of a digit; payload type, sequence and SSRC are the stream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    /// On the first packet (RFC 4733 §2.5.1.2).
    pub marker: bool,
    /// The same on all packets of the digit.
    pub timestamp: u32,
    /// Four bytes.
    pub payload: [u8; 4],
}

impl Sender {
    /// A digit that starts at the stream's `timestamp` and lasts `duration_ms`, held between 40 ms and what the field can
    /// tell. `clock_rate` in Hz is that of the event's payload type. `None` when `digit` is no key.
    #[must_use]
    pub fn new(digit: char, timestamp: u32, clock_rate: u32, duration_ms: u32) -> Option<Sender> {
        let step = (clock_rate / 50).max(1);
        // Whole packets, at least two: ITU-T Q.24 receivers want 40 ms.
        let most = u32::from(u16::MAX) / step;
        let packets = duration_ms.div_ceil(20).max(2).min(most.max(1));
        let length = packets.saturating_mul(step).min(u32::from(u16::MAX));
        Some(Sender {
            code: code(digit)?,
            timestamp,
            step,
            length,
            told: 0,
            endings: ENDINGS,
            first: true,
        })
    }

    /// Ticks from the digit's timestamp to its end: where the sound goes on.
    #[must_use]
    pub fn length(&self) -> u32 {
        self.length
    }

    /// The packet due now; `None` when the digit and its repeated end are told.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is paced by the caller's clock, not iterated over"
    )]
    pub fn next(&mut self) -> Option<Outgoing> {
        self.told = self.told.saturating_add(self.step).min(self.length);
        let end = self.told == self.length;
        if end {
            self.endings = self.endings.checked_sub(1)?;
        }
        let duration = u16::try_from(self.told).unwrap_or(u16::MAX);
        let event = Event {
            code: self.code,
            end,
            volume: VOLUME,
            duration,
        };
        let marker = std::mem::take(&mut self.first);
        Some(Outgoing {
            marker,
            timestamp: self.timestamp,
            payload: event.write(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(timestamp: u32, ssrc: u32) -> Header {
        Header {
            marker: false,
            payload_type: 101,
            sequence: 0,
            timestamp,
            ssrc,
        }
    }

    fn packets(digit: char, timestamp: u32, ms: u32) -> Vec<Outgoing> {
        let mut sender = Sender::new(digit, timestamp, 8_000, ms).expect("a key");
        std::iter::from_fn(|| sender.next()).collect()
    }

    fn hear(receiver: &mut Receiver, packets: &[Outgoing]) -> String {
        packets
            .iter()
            .filter_map(|packet| receiver.receive(&header(packet.timestamp, 1), &packet.payload))
            .collect()
    }

    #[test]
    fn a_digit_is_told_as_the_rfc_says() {
        let packets = packets('5', 1_000, 100);
        let events: Vec<_> = packets
            .iter()
            .map(|packet| Event::parse(&packet.payload).expect("four bytes"))
            .collect();
        assert_eq!(
            events
                .iter()
                .map(|event| event.duration)
                .collect::<Vec<_>>(),
            [160, 320, 480, 640, 800, 800, 800]
        );
        assert_eq!(
            events.iter().map(|event| event.end).collect::<Vec<_>>(),
            [false, false, false, false, true, true, true]
        );
        assert!(
            packets
                .iter()
                .enumerate()
                .all(|(n, packet)| packet.marker == (n == 0) && packet.timestamp == 1_000)
        );
        assert!(events.iter().all(|event| event.digit() == Some('5')));
    }

    #[test]
    fn every_key_has_a_code_and_nothing_else() {
        for (at, digit) in "0123456789*#ABCD".chars().enumerate() {
            assert_eq!(code(digit).map(usize::from), Some(at));
            assert_eq!(
                hear(&mut Receiver::new(), &packets(digit, 5, 60)),
                digit.to_string()
            );
        }
        assert_eq!(code('d'), Some(15));
        assert_eq!(
            (
                code('x'),
                code('é'),
                Sender::new('!', 0, 8_000, 100).is_none()
            ),
            (None, None, true)
        );
        let flash = Event {
            code: 16,
            end: false,
            volume: 0,
            duration: 160,
        };
        assert_eq!(Receiver::new().receive(&header(1, 1), &flash.write()), None);
    }

    #[test]
    fn a_digit_is_heard_once_whatever_is_lost() {
        let whole = packets('7', 160, 100);
        for lost in 0..(1u32 << whole.len()) - 1 {
            let arrived: Vec<_> = whole
                .iter()
                .enumerate()
                .filter(|(n, _)| lost >> n & 1 == 0)
                .map(|(_, packet)| *packet)
                .collect();
            assert_eq!(hear(&mut Receiver::new(), &arrived), "7");
        }
    }

    #[test]
    fn the_same_key_twice_is_two_digits_and_stragglers_are_none() {
        let mut receiver = Receiver::new();
        let (first, second) = (packets('4', u32::MAX - 100, 100), packets('4', 2_000, 100));
        assert_eq!(hear(&mut receiver, &first), "4");
        assert_eq!(hear(&mut receiver, &second), "4");
        assert_eq!(hear(&mut receiver, &first[5..]), "");
        assert_eq!(hear(&mut receiver, &second[5..]), "");
    }

    #[test]
    fn a_key_held_for_ten_seconds_is_one_digit() {
        let mut receiver = Receiver::new();
        let held = |duration, end| {
            Event {
                code: 9,
                end,
                volume: 10,
                duration,
            }
            .write()
        };
        assert_eq!(
            receiver.receive(&header(0, 1), &held(160, false)),
            Some('9')
        );
        assert_eq!(
            receiver.receive(&header(0, 1), &held(u16::MAX, false)),
            None
        );
        assert_eq!(
            receiver.receive(&header(65_535, 1), &held(160, false)),
            None
        );
        assert_eq!(
            receiver.receive(&header(65_535, 1), &held(14_400, true)),
            None
        );
        // The same key again.
        assert_eq!(
            receiver.receive(&header(90_000, 1), &held(160, false)),
            Some('9')
        );
    }

    #[test]
    fn another_source_and_a_jumping_clock_are_heard() {
        let mut receiver = Receiver::new();
        assert_eq!(hear(&mut receiver, &packets('1', 5_000_000, 60)), "1");
        assert_eq!(
            receiver.receive(&header(4_999_000, 2), &packets('2', 0, 60)[0].payload),
            Some('2')
        );
        assert_eq!(
            receiver.receive(&header(1_000, 2), &packets('3', 0, 60)[0].payload),
            Some('3')
        );
    }

    #[test]
    fn silly_lengths_and_clocks_stay_in_the_field() {
        for (clock_rate, ms) in [
            (8_000, 0),
            (8_000, u32::MAX),
            (48_000, 5_000),
            (0, 100),
            (u32::MAX, 100),
        ] {
            let mut sender = Sender::new('1', 0, clock_rate, ms).expect("a key");
            assert!(sender.length() <= u32::from(u16::MAX));
            let mut last = None;
            for _ in 0..100_000 {
                let Some(packet) = sender.next() else { break };
                last = Event::parse(&packet.payload);
            }
            assert!(
                sender.next().is_none() && last.is_some_and(|event| event.end),
                "{clock_rate} {ms}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_heard_safely(packets in proptest::collection::vec((any::<u32>(), proptest::collection::vec(any::<u8>(), 0..8)), 0..50)) {
            let mut receiver = Receiver::new();
            for (timestamp, payload) in packets {
                let _ = receiver.receive(&header(timestamp, timestamp & 1), &payload);
            }
        }
    }
}
