//! The jitter buffer of a party that is decoded on a clock: it learns how late packets come, plays them that much later,
//! and says which are lost, which are only late, and where the party made a pause.
//!
//! Time is handed in; packets are kept as they came, so that a lost one can be made of the redundancy in the next.
//! Not here: decoding (`room/ear.rs`), and the figures of RTCP (`rtp/stats.rs`). A relay has no such buffer.

use std::time::{Duration, Instant};

use crate::rtp::packet::Header;

/// Packets kept: 320 ms of the shortest ones.
const SLOTS: usize = 32;
/// Longer payloads are no voice: the longest Opus packet has 1276 bytes.
const MAX_PAYLOAD: usize = 1_280;
/// Delays are told apart to the millisecond, up to this.
const BINS: usize = 300;
/// Every packet counts this much more than the one before it, so that the past is forgotten.
const GROWTH: f32 = 1.0 / 0.9995;
/// This part of the packets shall come in time.
const QUANTILE: f32 = 0.99;
/// The least and the longest delay, in ms.
const SHORTEST: i64 = 20;
const LONGEST: i64 = 200;
/// How often the delay is made out anew, in packets.
const REVIEW: u32 = 16;
/// The fastest way is looked for in spans of this length, for clocks drift apart.
const SPAN_US: i64 = 10_000_000;
/// A delay that is too long for this time is cut at the next pause in speech; after the second, in the middle of it.
const SURPLUS: Duration = Duration::from_secs(2);
const SURPLUS_HARD: Duration = Duration::from_secs(6);
/// So many slots without sound make a pause.
const PATIENCE: u32 = 5;
/// A step in the source's timestamps beyond this is a restart, in seconds.
const MAX_STEP: i64 = 3;

/// The packets of one party that are still to be played.
#[derive(Debug)]
pub(crate) struct Jitter {
    clock: i64,
    source: Option<Source>,
    kept: [Option<Kept>; SLOTS],
    bytes: Box<[u8]>,
    delays: Delays,
    state: State,
    /// Ticks of the packet played last.
    frame: i64,
    last: Option<u16>,
    /// The newest packet of the party that carried no sound.
    passed: Option<u16>,
}

/// Whose packets those are, and what they are measured from.
#[derive(Debug, Clone, Copy)]
struct Source {
    ssrc: u32,
    since: Instant,
    newest: u32,
    /// The newest timestamp without wrapping, in ticks from the first one.
    at: i64,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    at: i64,
    sequence: u16,
    length: usize,
    noise: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nobody speaks, or nothing has come yet.
    Paused,
    Playing {
        /// The sound due next, in ticks.
        next: i64,
        /// Slots in a row for which nothing was there.
        missing: u32,
        /// Since when the delay is longer than it need be.
        surplus: Option<Instant>,
    },
}

/// What is to be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due<'a> {
    /// To be decoded. With `Surplus::Some` its sound had better be left out.
    Packet(&'a [u8], Surplus),
    /// A packet of so many ticks never came; the one after it has when it is there.
    Lost {
        ticks: u32,
        next: Option<&'a [u8]>,
    },
    /// It is not here yet: something is to be heard meanwhile.
    Late,
    Pause,
}

/// Whether the delay is longer than it need be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surplus {
    None,
    /// A quiet frame can go.
    Some,
    /// The next frame must go.
    Much,
}

impl Jitter {
    /// For timestamps of `clock` ticks a second. Allocates.
    pub(crate) fn new(clock: u32) -> Jitter {
        Jitter {
            clock: i64::from(clock.max(1)),
            source: None,
            kept: [None; SLOTS],
            bytes: vec![0; SLOTS * MAX_PAYLOAD].into(),
            delays: Delays::new(),
            state: State::Paused,
            frame: i64::from(clock / 50),
            last: None,
            passed: None,
        }
    }

    /// Notes a packet of the party that carries no sound (a key it pressed), so that it does not look lost.
    pub(crate) fn pass_over(&mut self, header: &Header) {
        self.passed = Some(header.sequence);
    }

    /// Takes a packet in; `noise`: it tells of comfort noise (RFC 3389) and is the last one before a pause.
    pub(crate) fn put(&mut self, now: Instant, header: &Header, payload: &[u8], noise: bool) {
        if payload.len() > MAX_PAYLOAD {
            return;
        }
        let at = self.unwrap(now, header);
        let arrival = self.micros(now);
        self.delays.learn(arrival, arrival - self.time_of(at));
        let played = matches!(self.state, State::Playing { next, .. } if at < next);
        let known = |kept: &Kept| kept.sequence == header.sequence;
        if played || self.kept.iter().flatten().any(known) {
            return;
        }
        let Some(free) = self.room() else { return };
        let start = free * MAX_PAYLOAD;
        if let Some(room) = self.bytes.get_mut(start..start + payload.len()) {
            room.copy_from_slice(payload);
        }
        if let Some(slot) = self.kept.get_mut(free) {
            *slot = Some(Kept {
                at,
                sequence: header.sequence,
                length: payload.len(),
                noise,
            });
        }
    }

    /// What is to be played at `now`. To be asked until a slot is filled.
    pub(crate) fn take(&mut self, now: Instant) -> Due<'_> {
        let Some((index, first)) = self.first() else {
            return self.nothing();
        };
        let State::Playing { next, surplus, .. } = self.state else {
            return self.begin(now, index, first);
        };
        let gap = first.at - next;
        // RFC 3550 §5.1: numbers that run on over a step in time tell of a silence, not of a loss.
        let before = Some(first.sequence.wrapping_sub(1));
        let silent = self.last == before || self.passed == before;
        if gap > 0 && (silent || gap > self.clock / 2) {
            self.state = State::Paused;
            return self.begin(now, index, first);
        }
        if gap > 0 {
            return self.lost(now, (index, first), (next, gap));
        }
        let lag = self.lag(now, next);
        let surplus = match surplus {
            _ if lag <= self.delays.target_us() + self.time_of(self.frame) => None,
            Some(since) => Some(since),
            None => Some(now),
        };
        self.state = State::Playing {
            next: first.at,
            missing: 0,
            surplus,
        };
        let length = surplus.map_or(Duration::ZERO, |since| now.duration_since(since));
        self.give(index, first, length)
    }

    /// The packet taken last had so many ticks of sound.
    pub(crate) fn played(&mut self, ticks: u32) {
        if let State::Playing { next, .. } = &mut self.state {
            *next += i64::from(ticks);
            self.frame = i64::from(ticks).max(1);
        }
    }

    /// The sound of the packet taken last was left out.
    pub(crate) fn left_out(&mut self) {
        if let State::Playing { surplus, .. } = &mut self.state {
            *surplus = None;
        }
    }

    fn begin(&mut self, now: Instant, index: usize, first: Kept) -> Due<'_> {
        if self.lag(now, first.at) < self.delays.target_us() {
            return Due::Pause;
        }
        self.state = State::Playing {
            next: first.at,
            missing: 0,
            surplus: None,
        };
        self.give(index, first, Duration::ZERO)
    }

    fn give(&mut self, index: usize, first: Kept, surplus: Duration) -> Due<'_> {
        self.last = Some(first.sequence);
        if let Some(slot) = self.kept.get_mut(index) {
            *slot = None;
        }
        if first.noise {
            self.state = State::Paused;
            return Due::Pause;
        }
        let surplus = match surplus {
            time if time >= SURPLUS_HARD => Surplus::Much,
            time if time >= SURPLUS => Surplus::Some,
            _ => Surplus::None,
        };
        Due::Packet(self.payload(index, first), surplus)
    }

    /// The packet due is not there, but a later one is.
    fn lost(&mut self, now: Instant, later: (usize, Kept), (next, gap): (i64, i64)) -> Due<'_> {
        let State::Playing {
            missing: waited, ..
        } = self.state
        else {
            return Due::Pause;
        };
        // It may have been overtaken, and there is time to wait.
        if waited + 1 < PATIENCE && self.lag(now, next) < self.delays.target_us() {
            self.wait();
            return Due::Late;
        }
        let ticks = gap.min(self.frame);
        if let State::Playing { next, missing, .. } = &mut self.state {
            *next += ticks;
            *missing = waited.saturating_sub(1);
        }
        if waited > 0 {
            // What was made up while it was waited for stands in its place.
            return self.take(now);
        }
        let (index, kept) = later;
        let next = (gap <= self.frame && !kept.noise).then(|| self.payload(index, kept));
        let ticks = u32::try_from(ticks).unwrap_or_default();
        Due::Lost { ticks, next }
    }

    fn wait(&mut self) {
        if let State::Playing { missing, .. } = &mut self.state {
            *missing += 1;
        }
    }

    fn nothing(&mut self) -> Due<'_> {
        match &mut self.state {
            State::Playing { missing, .. } if *missing < PATIENCE => {
                *missing += 1;
                // The sound waits: what comes late is played late, and so is all after it.
                Due::Late
            }
            State::Playing { .. } | State::Paused => {
                self.state = State::Paused;
                Due::Pause
            }
        }
    }

    fn payload(&self, index: usize, kept: Kept) -> &[u8] {
        let start = index * MAX_PAYLOAD;
        self.bytes
            .get(start..start + kept.length)
            .unwrap_or_default()
    }

    /// The oldest packet.
    fn first(&self) -> Option<(usize, Kept)> {
        let kept = self.kept.iter().enumerate();
        kept.filter_map(|(index, kept)| kept.map(|kept| (index, kept)))
            .min_by_key(|(_, kept)| kept.at)
    }

    /// A free slot; that of the oldest packet when there is none.
    fn room(&mut self) -> Option<usize> {
        let free = self.kept.iter().position(Option::is_none);
        free.or_else(|| {
            let (index, oldest) = self.first()?;
            self.last = Some(oldest.sequence);
            if let State::Playing { next, .. } = &mut self.state {
                *next = oldest.at + self.frame;
            }
            Some(index)
        })
    }

    /// The timestamp as ticks since the first; a source that is new or has restarted begins anew.
    fn unwrap(&mut self, now: Instant, header: &Header) -> i64 {
        if let Some(source) = &mut self.source {
            let step = i64::from(header.timestamp.wrapping_sub(source.newest) as i32);
            if source.ssrc == header.ssrc && step.abs() < MAX_STEP * self.clock {
                let at = source.at + step;
                if step > 0 {
                    (source.newest, source.at) = (header.timestamp, at);
                }
                return at;
            }
            let same = source.ssrc == header.ssrc;
            let passed = now.saturating_duration_since(source.since).as_micros() as i64;
            // A long silence of the same source is no restart: its timestamps went on with the clock.
            let expected = passed * self.clock / 1_000_000 - source.at;
            if same && (step - expected).abs() < self.clock {
                (source.newest, source.at) = (header.timestamp, source.at + step);
                return source.at;
            }
        }
        self.kept = [None; SLOTS];
        self.state = State::Paused;
        self.last = None;
        self.delays.restart();
        self.source = Some(Source {
            ssrc: header.ssrc,
            since: now,
            newest: header.timestamp,
            at: 0,
        });
        0
    }

    /// How much later than on the fastest way the sound at `at` would be played now, in µs.
    fn lag(&self, now: Instant, at: i64) -> i64 {
        self.micros(now) - self.time_of(at) - self.delays.fastest()
    }

    fn micros(&self, now: Instant) -> i64 {
        self.source.map_or(0, |source| {
            now.saturating_duration_since(source.since).as_micros() as i64
        })
    }

    fn time_of(&self, ticks: i64) -> i64 {
        ticks * 1_000_000 / self.clock
    }
}

/// How much later than the fastest packets come.
#[derive(Debug)]
struct Delays {
    bins: Box<[f32; BINS]>,
    weight: f32,
    packets: u32,
    target_ms: i64,
    /// The shortest way of this span of time and of the one before, in µs on clocks of two.
    fastest: [Option<i64>; 2],
    span: i64,
}

impl Delays {
    fn new() -> Delays {
        Delays {
            bins: Box::new([0.0; BINS]),
            weight: 1.0,
            packets: 0,
            target_ms: SHORTEST,
            fastest: [None; 2],
            span: 0,
        }
    }

    /// Another source's clock says nothing of this one's; the network is the same.
    fn restart(&mut self) {
        (self.fastest, self.span) = ([None; 2], 0);
    }

    fn learn(&mut self, arrival: i64, transit: i64) {
        let span = arrival / SPAN_US;
        if span != self.span {
            let [current, _] = self.fastest;
            self.fastest = [None, current.filter(|_| span == self.span + 1)];
            self.span = span;
        }
        let [current, _] = &mut self.fastest;
        *current = Some(current.map_or(transit, |known| known.min(transit)));
        let late = (transit - self.fastest()) / 1_000;
        let bin = usize::try_from(late).unwrap_or(0).min(BINS - 1);
        if let Some(bin) = self.bins.get_mut(bin) {
            *bin += self.weight;
        }
        self.weight *= GROWTH;
        self.packets += 1;
        if self.packets.is_multiple_of(REVIEW) {
            self.review();
        }
    }

    fn review(&mut self) {
        let all: f32 = self.bins.iter().sum();
        let mut rest = all * (1.0 - QUANTILE);
        let mut late = BINS;
        // From the latest down: as long as those later are few enough.
        for (ms, bin) in self.bins.iter().enumerate().rev() {
            rest -= bin;
            late = ms;
            if rest < 0.0 {
                break;
            }
        }
        self.target_ms = (late as i64 + 1).clamp(SHORTEST, LONGEST);
        if self.weight > 1e6 {
            for bin in self.bins.iter_mut() {
                *bin /= self.weight;
            }
            self.weight = 1.0;
        }
    }

    fn fastest(&self) -> i64 {
        self.fastest.iter().flatten().min().copied().unwrap_or(0)
    }

    fn target_us(&self) -> i64 {
        self.target_ms * 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u32 = 160;

    /// A party that sends a packet every 20 ms, and what came of each slot.
    struct Line {
        jitter: Jitter,
        start: Instant,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Got {
        /// The packet with this number.
        Packet(u8),
        Lost,
        Late,
        Pause,
    }

    impl Line {
        fn new() -> Line {
            Line {
                jitter: Jitter::new(8_000),
                start: Instant::now(),
            }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn put(&mut self, ms: u64, number: u16) {
            self.put_at(ms, number, u32::from(number) * FRAME);
        }

        fn put_at(&mut self, ms: u64, number: u16, timestamp: u32) {
            let header = Header {
                marker: false,
                payload_type: 0,
                sequence: number.wrapping_add(65_530),
                timestamp: timestamp.wrapping_sub(1_000),
                ssrc: 1,
            };
            let now = self.at(ms);
            self.jitter.put(now, &header, &[number as u8; 160], false);
        }

        fn take(&mut self, ms: u64) -> Got {
            let now = self.at(ms);
            match self.jitter.take(now) {
                Due::Packet(payload, surplus) => {
                    let number = payload[0];
                    if surplus != Surplus::None {
                        self.jitter.left_out();
                        self.jitter.played(FRAME);
                        return self.take(ms);
                    }
                    self.jitter.played(FRAME);
                    Got::Packet(number)
                }
                Due::Lost { .. } => Got::Lost,
                Due::Late => Got::Late,
                Due::Pause => Got::Pause,
            }
        }
    }

    #[test]
    fn a_steady_line_is_played_a_frame_later() {
        let mut line = Line::new();
        for n in 0..200u16 {
            let ms = u64::from(n) * 20;
            line.put(ms, n);
            let got = line.take(ms + 1);
            if n < 1 {
                continue;
            }
            assert_eq!(got, Got::Packet(n as u8 - 1), "{n}");
        }
    }

    #[test]
    fn a_lost_packet_is_lost_and_a_late_one_is_played() {
        let mut line = Line::new();
        let mut got = Vec::new();
        for n in 0..20u16 {
            let ms = u64::from(n) * 20;
            match n {
                8 => {}
                // Both come together, the wrong way round.
                14 => {}
                15 => {
                    line.put(ms, 15);
                    line.put(ms, 14);
                }
                _ => line.put(ms, n),
            }
            got.push(line.take(ms + 1));
        }
        let lost = got.iter().filter(|got| **got == Got::Lost).count();
        assert_eq!(lost, 1, "{got:?}");
        let order: Vec<_> = got
            .iter()
            .filter_map(|got| match got {
                Got::Packet(n) => Some(*n),
                _ => None,
            })
            .collect();
        assert!(order.is_sorted(), "{order:?}");
        assert!(order.contains(&14) && !order.contains(&8), "{order:?}");
    }

    #[test]
    fn what_was_made_up_for_a_lost_packet_is_not_made_up_twice() {
        let mut line = Line::new();
        let mut got = Vec::new();
        for n in 0..100u16 {
            let ms = u64::from(n) * 20;
            // The slots come just before the packets that follow.
            if n != 50 {
                line.put(ms, n);
            }
            got.push(line.take(ms + 19));
        }
        let made_up = |got: &&Got| matches!(got, Got::Late | Got::Lost);
        assert_eq!(got.iter().filter(made_up).count(), 1, "{got:?}");
        assert_eq!(got[99], Got::Packet(98), "the delay is what it was");
    }

    #[test]
    fn a_stall_raises_the_delay_and_quiet_frames_lower_it() {
        let mut line = Line::new();
        let (mut late, mut played) = (0, 0);
        for n in 0..1_500u16 {
            let ms = u64::from(n) * 20;
            // Everything waits for 80 ms, once.
            if !(100..104).contains(&n) {
                line.put(ms, n);
            }
            if n == 104 {
                (100..104).for_each(|n| line.put(ms, n));
            }
            match line.take(ms + 1) {
                Got::Late => late += 1,
                Got::Packet(_) => played += 1,
                Got::Lost => panic!("nothing was lost"),
                Got::Pause => {}
            }
        }
        assert!((2..=5).contains(&late), "{late}");
        let State::Playing { next, .. } = line.jitter.state else {
            panic!("it plays")
        };
        let lag = line.jitter.lag(line.at(1_499 * 20 + 1), next);
        assert!(lag <= 45_000, "{lag} us after {played} frames");
    }

    #[test]
    fn a_pause_is_no_loss() {
        let mut line = Line::new();
        let mut got = Vec::new();
        for slot in 0..200u64 {
            let ms = slot * 20;
            // One second of silence: the numbers run on, the time has passed.
            match slot {
                0..50 => line.put_at(ms, slot as u16, slot as u32 * FRAME),
                50..100 => {}
                _ => line.put_at(ms, slot as u16 - 50, slot as u32 * FRAME),
            }
            got.push(line.take(ms + 1));
        }
        assert!(!got.contains(&Got::Lost), "{got:?}");
        assert_eq!(got[90], Got::Pause);
        assert!(got.iter().filter(|got| **got == Got::Late).count() <= 5);
        let played = |got: &&Got| matches!(got, Got::Packet(_));
        assert_eq!(got.iter().filter(played).count(), 149);
    }

    #[test]
    fn jitter_of_40_ms_loses_next_to_nothing_once_it_is_known() {
        let mut line = Line::new();
        let mut seed = 1u64;
        let mut coming: Vec<(u64, u16)> = Vec::new();
        let mut bad = 0;
        for n in 0..3_000u16 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            coming.push((u64::from(n) * 20 + (seed >> 33) % 41, n));
        }
        coming.sort_unstable();
        let mut coming = coming.into_iter().peekable();
        for slot in 0..3_000u64 {
            let ms = slot * 20 + 7;
            while let Some((at, n)) = coming.next_if(|(at, _)| *at <= ms) {
                line.put(at, n);
            }
            let got = line.take(ms);
            if slot > 500 && matches!(got, Got::Lost | Got::Late) {
                bad += 1;
            }
        }
        assert!(bad < 40, "{bad} of 2500");
    }

    #[test]
    fn clocks_that_drift_apart_neither_fill_nor_empty_it() {
        for ppm in [-300i64, 300] {
            let mut line = Line::new();
            let (mut sent, mut bad) = (0u64, 0);
            for slot in 0..60_000u64 {
                let ms = slot * 20;
                // The party's clock is that much faster or slower.
                let due = |n: u64| (n as i64 * 20 * (1_000_000 - ppm) / 1_000_000) as u64;
                while due(sent) <= ms {
                    line.put_at(ms, sent as u16, sent as u32 * FRAME);
                    sent += 1;
                }
                bad += u64::from(matches!(line.take(ms + 3), Got::Lost | Got::Late));
            }
            let State::Playing { next, .. } = line.jitter.state else {
                panic!("it plays")
            };
            let lag = line.jitter.lag(line.at(59_999 * 20 + 3), next);
            // That of the sound due next, a frame after the one just played.
            assert!((-20_000..70_000).contains(&lag), "{ppm} ppm: {lag} us");
            // 20 minutes at 300 ppm are 18 frames too few or too many.
            assert!(bad < 60, "{ppm} ppm: {bad}");
        }
    }

    #[test]
    fn nonsense_is_borne() {
        let mut line = Line::new();
        for n in 0..5_000u32 {
            let header = Header {
                marker: false,
                payload_type: 0,
                sequence: (n.wrapping_mul(40_503) >> 3) as u16,
                timestamp: n.wrapping_mul(2_654_435_761),
                ssrc: n % 3,
            };
            let now = line.at(u64::from(n));
            line.jitter.put(
                now,
                &header,
                &[1; 2_000][..(n as usize * 7) % 2_000],
                n % 7 == 0,
            );
            let _ = line.take(u64::from(n));
        }
    }
}
