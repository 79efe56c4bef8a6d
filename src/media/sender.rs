//! The outgoing side of a stream: one SSRC whose sequence numbers and timestamps run on whoever is speaking.
//!
//! A receiver sees one sender for the whole call (RFC 3550 §8.1), though behind it relayed packets, frames transcoded
//! and prompts take turns. Within a turn the gaps of the source are kept, so that the receiver sees what was lost;
//! a new turn starts right after the last packet, with the time that passed and the marker bit.

use std::time::{Duration, Instant};

use crate::rtp::packet::Header;

/// RFC 3550 A.1: steps in sequence numbers beyond these are a restart, not loss or misorder.
const MAX_DROPOUT: i16 = 3_000;
const MAX_MISORDER: i16 = 100;
/// A source whose timestamps stray further from the clock than this has restarted them.
const MAX_STRAY: Duration = Duration::from_secs(2);

/// Who makes the frames that are numbered by [`Sender::own`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maker {
    /// The playback with this number.
    Play(u32),
    /// A transcoder that cuts the source with this SSRC into other packets.
    Reframed(u32),
    /// The room it sits in.
    Room,
    /// The tones of keys.
    Keys,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    Voice,
    /// A telephone event: all its packets share the timestamp of its start (RFC 4733 §2.2).
    Event,
    /// Comfort noise (RFC 3389): the party says nothing for a while.
    Noise,
}

#[derive(Debug)]
pub(crate) struct Sender {
    ssrc: u32,
    clock: u32,
    /// One after the highest sent.
    next_sequence: u16,
    /// The newest voice sent, and when: the timeline that RTCP tells and new turns go on from.
    anchor: Option<(u32, Instant)>,
    first_timestamp: u32,
    turn: Turn,
    event: Option<(u32, u32)>,
    packets: u64,
    octets: u32,
    numbers: u64,
}

#[derive(Debug)]
enum Turn {
    Nobody,
    Heard(Map),
    Own { maker: Maker, next: u32 },
}

/// How the numbers of a source become ours.
#[derive(Debug, Clone, Copy)]
struct Map {
    ssrc: u32,
    clock: u32,
    source_sequence: u16,
    sequence: u16,
    source_timestamp: u32,
    timestamp: u32,
    /// Sequence numbers since the turn began: what is older belongs to no turn of ours.
    span: u16,
}

impl Sender {
    /// `seed` gives the SSRC and the first numbers, which RFC 3550 §5.1 wants hard to guess.
    pub(crate) fn new(seed: [u32; 3]) -> Sender {
        let [ssrc, sequence, first_timestamp] = seed;
        Sender {
            ssrc,
            clock: 8_000,
            // RFC 3711 §3.3.1 likes it below 2^15; so do old receivers.
            next_sequence: (sequence & 0x7fff) as u16,
            anchor: None,
            first_timestamp,
            turn: Turn::Nobody,
            event: None,
            packets: 0,
            octets: 0,
            numbers: 0,
        }
    }

    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(crate) fn packets(&self) -> u64 {
        self.packets
    }

    /// Payload bytes sent, as a sender report counts them (RFC 3550 §6.4.1: modulo 2^32).
    pub(crate) fn octets(&self) -> u32 {
        self.octets
    }

    /// Sequence numbers used, those of packets lost before us included: what the party expects.
    pub(crate) fn numbers(&self) -> u64 {
        self.numbers
    }

    /// The codec's clock; a change begins a new turn.
    pub(crate) fn set_clock(&mut self, clock: u32) {
        if self.clock != clock {
            self.clock = clock;
            self.turn = Turn::Nobody;
        }
    }

    /// Notes that a packet with `payload` bytes went out.
    pub(crate) fn count(&mut self, payload: usize) {
        self.packets += 1;
        self.octets = self.octets.wrapping_add(payload as u32);
    }

    /// Our timestamp at `now`, once anything was sent.
    pub(crate) fn timestamp_at(&self, now: Instant) -> Option<u32> {
        let (timestamp, at) = self.anchor?;
        Some(timestamp.wrapping_add(self.ticks(now.saturating_duration_since(at))))
    }

    /// The header (payload type still to be set) for a packet of a source passed on one for one. `clock` is the
    /// source's. `None` for a straggler from before this turn.
    pub(crate) fn heard(
        &mut self,
        now: Instant,
        heard: &Header,
        clock: u32,
        load: Load,
    ) -> Option<Header> {
        let Some((map, ahead)) = self.step(heard, clock) else {
            return Some(self.begin(now, heard, clock, load));
        };
        if ahead <= 0 && ahead.unsigned_abs() > map.span {
            return None;
        }
        let timestamp = match load {
            Load::Voice | Load::Noise => self.scaled(&map, heard.timestamp),
            Load::Event => self.event_start(now, Some(&map), heard.timestamp),
        };
        if load == Load::Voice && self.strays(now, timestamp) {
            return Some(self.begin(now, heard, clock, load));
        }
        let sequence = map.sequence.wrapping_add_signed(ahead);
        if ahead > 0 {
            self.advance(map, heard, load, (sequence, timestamp));
        }
        if load == Load::Voice {
            self.anchor(now, timestamp);
        }
        Some(self.header(heard.marker, sequence, timestamp))
    }

    /// A telephone event beside frames that are not passed on one for one.
    pub(crate) fn inserted_event(&mut self, now: Instant, heard: &Header) -> Header {
        let timestamp = self.event_start(now, None, heard.timestamp);
        self.header(heard.marker, self.next_sequence, timestamp)
    }

    /// A telephone event of our own begins: its timestamp. A source passed on begins a new turn after it.
    pub(crate) fn start_event(&mut self, now: Instant) -> u32 {
        if matches!(self.turn, Turn::Heard(_)) {
            self.turn = Turn::Nobody;
        }
        let timestamp = self.fresh(now);
        self.anchor(now, timestamp);
        timestamp
    }

    /// A packet of it.
    pub(crate) fn own_event(&mut self, marker: bool, timestamp: u32) -> Header {
        self.header(marker, self.next_sequence, timestamp)
    }

    /// A packet of the source is not passed on; its number shall not look lost.
    pub(crate) fn swallow(&mut self, heard: &Header, clock: u32) {
        let Some((map, ahead @ 1..)) = self.step(heard, clock) else {
            return;
        };
        self.turn = Turn::Heard(Map {
            source_sequence: heard.sequence,
            sequence: map.sequence.wrapping_add_signed(ahead - 1),
            span: map.span.saturating_add(ahead.unsigned_abs()),
            ..map
        });
    }

    /// The header for a frame made here, `ticks` long, right after the one before.
    pub(crate) fn own(&mut self, now: Instant, who: Maker, ticks: u32) -> Header {
        let (timestamp, marker) = match self.turn {
            Turn::Own { maker, next } if maker == who => (next, false),
            Turn::Own { .. } | Turn::Heard(_) | Turn::Nobody => (self.fresh(now), true),
        };
        self.turn = Turn::Own {
            maker: who,
            next: timestamp.wrapping_add(ticks),
        };
        self.anchor(now, timestamp);
        self.header(marker, self.next_sequence, timestamp)
    }

    /// `packets` of `ticks` each were lost before a frame could be made of them: the receiver shall see that.
    pub(crate) fn lose(&mut self, who: Maker, ticks: u32, packets: u16) {
        if let Turn::Own { maker, next } = &mut self.turn
            && *maker == who
        {
            *next = next.wrapping_add(ticks);
            self.next_sequence = self.next_sequence.wrapping_add(packets);
            self.numbers += u64::from(packets);
        }
    }

    /// Nothing is to be said for a while: whoever speaks next begins a turn.
    pub(crate) fn end_turn(&mut self) {
        self.turn = Turn::Nobody;
    }

    /// As `end_turn`, if it is the turn of `who`.
    pub(crate) fn end_turn_of(&mut self, who: Maker) {
        if matches!(self.turn, Turn::Own { maker, .. } if maker == who) {
            self.turn = Turn::Nobody;
        }
    }

    /// Whether packets of this source are passed on one for one.
    pub(crate) fn maps(&self, heard: &Header) -> bool {
        matches!(&self.turn, Turn::Heard(map) if map.ssrc == heard.ssrc)
    }

    fn step(&self, heard: &Header, clock: u32) -> Option<(Map, i16)> {
        let Turn::Heard(map) = self.turn else {
            return None;
        };
        let ahead = heard.sequence.wrapping_sub(map.source_sequence) as i16;
        let same = map.ssrc == heard.ssrc && map.clock == clock;
        (same && (-MAX_MISORDER..=MAX_DROPOUT).contains(&ahead)).then_some((map, ahead))
    }

    fn begin(&mut self, now: Instant, heard: &Header, clock: u32, load: Load) -> Header {
        let timestamp = self.fresh(now);
        let sequence = self.next_sequence;
        if load == Load::Event {
            self.event = Some((heard.timestamp, timestamp));
        }
        self.turn = Turn::Heard(Map {
            ssrc: heard.ssrc,
            clock,
            source_sequence: heard.sequence,
            sequence,
            source_timestamp: heard.timestamp,
            timestamp,
            span: 0,
        });
        self.anchor(now, timestamp);
        // RFC 3551 §4.1: the marker tells the first packet of a talkspurt.
        self.header(true, sequence, timestamp)
    }

    fn advance(&mut self, map: Map, heard: &Header, load: Load, (sequence, timestamp): (u16, u32)) {
        let ahead = sequence.wrapping_sub(map.sequence);
        let moved = heard.timestamp.wrapping_sub(map.source_timestamp);
        // Between unequal clocks the base moves only where no fraction of a tick is lost.
        let exact = u64::from(moved) * u64::from(self.clock) % u64::from(map.clock.max(1)) == 0;
        let rebased = load == Load::Voice && exact;
        self.turn = Turn::Heard(Map {
            source_sequence: heard.sequence,
            sequence,
            source_timestamp: if rebased {
                heard.timestamp
            } else {
                map.source_timestamp
            },
            timestamp: if rebased { timestamp } else { map.timestamp },
            span: map.span.saturating_add(ahead),
            ..map
        });
    }

    fn event_start(&mut self, now: Instant, map: Option<&Map>, source: u32) -> u32 {
        if let Some((known, timestamp)) = self.event
            && known == source
        {
            return timestamp;
        }
        let here = self.timestamp_at(now).unwrap_or(self.first_timestamp);
        let mapped = map.map(|map| self.scaled(map, source));
        // Some phones count their events on another timeline than their voice.
        let timestamp = mapped.filter(|&t| !self.strays(now, t)).unwrap_or(here);
        self.event = Some((source, timestamp));
        // Who sends nothing but events has a clock all the same: the next one is another.
        self.anchor(now, timestamp);
        timestamp
    }

    fn scaled(&self, map: &Map, source: u32) -> u32 {
        let moved = i64::from(source.wrapping_sub(map.source_timestamp) as i32);
        let ticks = moved * i64::from(self.clock) / i64::from(map.clock.max(1));
        map.timestamp.wrapping_add(ticks as u32)
    }

    fn strays(&self, now: Instant, timestamp: u32) -> bool {
        let stray = |here: u32| (timestamp.wrapping_sub(here) as i32).unsigned_abs();
        self.timestamp_at(now)
            .is_some_and(|here| stray(here) > self.ticks(MAX_STRAY))
    }

    /// Where a new turn begins: the time that passed after the last voice, at least a frame.
    fn fresh(&self, now: Instant) -> u32 {
        let Some((timestamp, at)) = self.anchor else {
            return self.first_timestamp;
        };
        let passed = self.ticks(now.saturating_duration_since(at));
        timestamp.wrapping_add(passed.max(self.clock / 50))
    }

    fn anchor(&mut self, now: Instant, timestamp: u32) {
        let newer = |last: u32| timestamp.wrapping_sub(last) as i32 > 0;
        if self.anchor.is_none_or(|(last, _)| newer(last)) {
            self.anchor = Some((timestamp, now));
        }
    }

    fn ticks(&self, time: Duration) -> u32 {
        (time.as_micros() * u128::from(self.clock) / 1_000_000) as u32
    }

    fn header(&mut self, marker: bool, sequence: u16, timestamp: u32) -> Header {
        let ahead = sequence.wrapping_sub(self.next_sequence) as i16;
        if ahead >= 0 {
            self.numbers += u64::from(ahead.unsigned_abs()) + 1;
            self.next_sequence = sequence.wrapping_add(1);
        }
        Header {
            marker,
            payload_type: 0,
            sequence,
            timestamp,
            ssrc: self.ssrc,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> Sender {
        Sender::new([9, 100, 5_000])
    }

    fn heard(sequence: u16, timestamp: u32) -> Header {
        Header {
            marker: false,
            payload_type: 0,
            sequence,
            timestamp,
            ssrc: 1,
        }
    }

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn gaps_and_misorder_of_a_source_stay() {
        let (mut s, t) = (sender(), Instant::now());
        let mut pass = |ms, sequence, timestamp| {
            let h = s
                .heard(at(t, ms), &heard(sequence, timestamp), 8_000, Load::Voice)
                .unwrap();
            (h.marker, h.sequence, h.timestamp)
        };
        assert_eq!(pass(0, 65_534, 0), (true, 100, 5_000));
        assert_eq!(pass(40, 0, 320), (false, 102, 5_320));
        assert_eq!(pass(41, 65_535, 160), (false, 101, 5_160));
        assert_eq!(pass(60, 1, 480), (false, 103, 5_480));
    }

    #[test]
    fn turns_follow_one_another_without_a_seam() {
        let (mut s, t) = (sender(), Instant::now());
        let first = s.own(t, Maker::Play(1), 160);
        let second = s.own(at(t, 20), Maker::Play(1), 160);
        assert!(first.marker && !second.marker);
        assert_eq!((second.sequence, second.timestamp), (101, 5_160));
        let relayed = s
            .heard(at(t, 1_020), &heard(7, 70), 8_000, Load::Voice)
            .unwrap();
        assert_eq!(
            (relayed.marker, relayed.sequence, relayed.timestamp),
            (true, 102, 5_160 + 8_000)
        );
        assert!(
            s.heard(at(t, 1_021), &heard(6, 0), 8_000, Load::Voice)
                .is_none(),
            "a straggler"
        );
        let again = s.own(at(t, 1_025), Maker::Play(2), 160);
        assert_eq!(
            (again.marker, again.sequence, again.timestamp),
            (true, 103, 13_160 + 160)
        );
    }

    #[test]
    fn a_restarted_source_does_not_jump() {
        let (mut s, t) = (sender(), Instant::now());
        s.heard(t, &heard(7, 70), 8_000, Load::Voice);
        let h = s
            .heard(at(t, 20), &heard(30_000, 4_000_000), 8_000, Load::Voice)
            .unwrap();
        assert_eq!((h.marker, h.sequence, h.timestamp), (true, 101, 5_160));
        let h = s
            .heard(at(t, 40), &heard(30_001, 9), 8_000, Load::Voice)
            .unwrap();
        assert_eq!(
            (h.marker, h.sequence, h.timestamp),
            (true, 102, 5_320),
            "timestamps restarted"
        );
    }

    #[test]
    fn swallowed_packets_do_not_look_lost() {
        let (mut s, t) = (sender(), Instant::now());
        s.heard(t, &heard(7, 0), 8_000, Load::Voice);
        s.swallow(&heard(8, 160), 8_000);
        let h = s
            .heard(at(t, 40), &heard(9, 320), 8_000, Load::Voice)
            .unwrap();
        assert_eq!((h.sequence, h.timestamp), (101, 5_320));
    }

    #[test]
    fn an_event_keeps_its_start_and_voice_runs_on() {
        let (mut s, t) = (sender(), Instant::now());
        s.set_clock(48_000);
        s.heard(t, &heard(1, 0), 8_000, Load::Voice);
        for i in 0..5u16 {
            let h = s
                .heard(
                    at(t, 20 + 20 * u64::from(i)),
                    &heard(2 + i, 160),
                    8_000,
                    Load::Event,
                )
                .unwrap();
            assert_eq!((h.sequence, h.timestamp), (101 + i, 5_000 + 960));
        }
        let h = s
            .heard(at(t, 120), &heard(7, 960), 8_000, Load::Voice)
            .unwrap();
        assert_eq!((h.sequence, h.timestamp), (106, 5_000 + 5_760));
    }
}
