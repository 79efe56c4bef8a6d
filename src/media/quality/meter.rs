//! What a packet's time of arrival says: whether it came too late to be played, how long nothing came, how long the
//! packets are. A few integer operations per packet, nothing is kept of it.

use std::time::{Duration, Instant};

use crate::rtp::packet::Header;
use crate::rtp::stats::Arrival;

use super::{Bursts, Signs};

/// What the buffers of phones hold back: a packet later than this after the fastest comes too late to be played.
const PATIENCE_US: i64 = 60_000;
/// The fastest packet of so many in a row and of as many before them is what lateness is measured from: clocks that drift and
/// paths that change are followed within seconds.
const WINDOW: u16 = 100;
/// A step in the timestamps beyond this is another timeline.
const MAX_STEP_US: i64 = 10_000_000;
/// What we ask for in every SDP (`a=ptime`).
const ASKED_MS: u16 = 20;
const FRAME_US: i64 = 20_000;
/// RFC 3551 §6: comfort noise (RFC 3389) needs no agreement.
const COMFORT_NOISE: u8 = 13;

#[derive(Debug)]
pub(crate) struct Meter {
    clock: u32,
    last: Option<Last>,
    /// How much later than in its own time the last packet came, counted from the first: microseconds.
    lag: i64,
    fastest: [i64; 2],
    left: u16,
    bursts: Bursts,
    late: u64,
    longest: Duration,
    signs: Signs,
    waiting: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    at: Instant,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl Meter {
    pub(crate) fn new() -> Meter {
        Meter {
            clock: 8_000,
            last: None,
            lag: 0,
            fastest: [i64::MAX; 2],
            left: WINDOW,
            bursts: Bursts::default(),
            late: 0,
            longest: Duration::ZERO,
            signs: Signs::default(),
            waiting: None,
        }
    }

    /// Offer and answer met (again): whether the party is to send from here on, and the clock of what it sends.
    pub(crate) fn expects(&mut self, now: Instant, sends: bool, clock: u32) {
        self.signs.expected_ms = self.expected_ms(now);
        self.waiting = sends.then_some(now);
        self.clock = clock.max(1);
        // A party that was on hold begins anew.
        self.last = None;
    }

    fn expected_ms(&self, now: Instant) -> u64 {
        let waited = self
            .waiting
            .map(|since| now.saturating_duration_since(since));
        let waited = waited.unwrap_or_default().as_millis() as u64;
        self.signs.expected_ms + waited
    }

    /// A packet of the party's voice.
    pub(crate) fn voice(&mut self, now: Instant, header: &Header, arrival: Arrival) {
        let lost = match arrival {
            Arrival::InOrder { lost } => lost,
            Arrival::Late => return self.out_of_order(now, header),
            Arrival::Odd => return,
            Arrival::Probation | Arrival::Restarted => {
                self.begin(now, header);
                return self.bursts.received();
            }
        };
        self.bursts.lost(lost);
        let Some((last, step)) = self.follows(header) else {
            self.begin(now, header);
            return self.bursts.received();
        };
        self.length(header.sequence.wrapping_sub(last.sequence) == 1, step);
        if self.in_time(now, (last, step, lost)) {
            self.bursts.received();
        } else {
            self.late += 1;
            self.bursts.lost(1);
        }
        self.remember(now, header);
    }

    /// A packet that carries no voice of the codec agreed. Its sound, if any, is not passed on.
    pub(crate) fn strange(&mut self, payload_type: u8) {
        if payload_type != COMFORT_NOISE {
            self.signs.strange_packets += 1;
            self.signs.strange_type = Some(payload_type);
        }
    }

    /// The party speaks with another SSRC.
    pub(crate) fn another_source(&mut self) {
        self.signs.sources = self.signs.sources.saturating_add(1);
    }

    /// A report of the party came; whether it speaks of what we send.
    pub(crate) fn report(&mut self, of_us: bool) {
        self.signs.reports = self.signs.reports.saturating_add(1);
        self.signs.reports_of_us = self.signs.reports_of_us.saturating_add(u32::from(of_us));
    }

    /// The packet before it on the same timeline, and how much sound lies between their beginnings, microseconds.
    fn follows(&self, header: &Header) -> Option<(Last, i64)> {
        let last = self.last.filter(|last| last.ssrc == header.ssrc)?;
        let step = self.step_us(last.timestamp, header.timestamp);
        // RFC 3551 §4.1: the marker begins a talkspurt, and with it the receiver's buffer anew.
        let on = !header.marker && (0..MAX_STEP_US).contains(&step);
        on.then_some((last, step))
    }

    /// Whether a packet came early enough to be played.
    fn in_time(&mut self, now: Instant, (last, step, lost): (Last, i64, u16)) -> bool {
        let waited = micros(now.saturating_duration_since(last.at));
        // A pause of the speaker is no gap: the timestamps step over it.
        let gap = if lost == 0 {
            waited - (step - FRAME_US).max(0)
        } else {
            waited.min(step)
        };
        self.longest = self.longest.max(Duration::from_micros(gap.max(0) as u64));
        self.lag += waited - step;
        self.note_fastest();
        self.lag - self.baseline() <= PATIENCE_US
    }

    fn out_of_order(&mut self, now: Instant, header: &Header) {
        let Some(last) = self.last.filter(|last| last.ssrc == header.ssrc) else {
            return;
        };
        let waited = micros(now.saturating_duration_since(last.at));
        let behind = waited - self.step_us(last.timestamp, header.timestamp);
        if self.lag + behind - self.baseline() > PATIENCE_US {
            self.late += 1;
        }
    }

    fn length(&mut self, one: bool, step_us: i64) {
        let ms = u16::try_from(step_us / 1_000).unwrap_or(u16::MAX);
        if one && ms != ASKED_MS && (5..=120).contains(&ms) {
            self.signs.odd_ptime_packets += 1;
            self.signs.odd_ptime_ms = ms;
        }
    }

    fn note_fastest(&mut self) {
        let [now, _] = &mut self.fastest;
        *now = self.lag.min(*now);
        self.left -= 1;
        if self.left == 0 {
            self.left = WINDOW;
            let [now, _] = self.fastest;
            self.fastest = [self.lag, now];
        }
    }

    fn baseline(&self) -> i64 {
        let [now, before] = self.fastest;
        now.min(before)
    }

    fn begin(&mut self, now: Instant, header: &Header) {
        self.lag = 0;
        self.fastest = [i64::MAX; 2];
        self.left = WINDOW;
        self.note_fastest();
        self.remember(now, header);
    }

    fn remember(&mut self, now: Instant, header: &Header) {
        self.last = Some(Last {
            at: now,
            ssrc: header.ssrc,
            sequence: header.sequence,
            timestamp: header.timestamp,
        });
    }

    fn step_us(&self, from: u32, to: u32) -> i64 {
        i64::from(to.wrapping_sub(from).cast_signed()) * 1_000_000 / i64::from(self.clock)
    }

    pub(crate) fn late(&self) -> u64 {
        self.late
    }

    pub(crate) fn longest(&self) -> Duration {
        self.longest
    }

    pub(crate) fn bursts(&self) -> &Bursts {
        &self.bursts
    }

    pub(crate) fn signs(&self, now: Instant) -> Signs {
        Signs {
            expected_ms: self.expected_ms(now),
            ..self.signs.clone()
        }
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_ORDER: Arrival = Arrival::InOrder { lost: 0 };

    struct Line {
        meter: Meter,
        start: Instant,
        sequence: u16,
    }

    impl Line {
        fn new() -> Line {
            let mut meter = Meter::new();
            let start = Instant::now();
            meter.expects(start, true, 8_000);
            Line {
                meter,
                start,
                sequence: 0,
            }
        }

        /// The next packet, whose sound begins at `said` and which comes at `came` ms.
        fn hears(&mut self, said: u64, came: u64, marker: bool) {
            self.sequence += 1;
            let header = Header {
                marker,
                payload_type: 0,
                sequence: self.sequence,
                timestamp: (said * 8) as u32,
                ssrc: 1,
            };
            let now = self.start + Duration::from_millis(came);
            self.meter.voice(now, &header, IN_ORDER);
        }
    }

    #[test]
    fn packets_behind_the_others_are_late_when_no_buffer_holds_so_much() {
        let mut line = Line::new();
        let mut came = 0;
        for n in 0..1_000u64 {
            let delay = if n % 50 == 0 { 100 } else { n % 2 * 10 };
            came = (n * 20 + delay).max(came);
            line.hears(n * 20, came, false);
        }
        // Of every fifty the slow one and the one that it held up; the first is what the next are measured by.
        assert_eq!(line.meter.late(), 19 * 2);
    }

    #[test]
    fn a_clock_that_drifts_and_a_path_that_grows_longer_make_nothing_late_for_long() {
        let mut line = Line::new();
        // 500 ppm too slow, for ten minutes.
        for n in 0..30_000u64 {
            line.hears(n * 20, n * 20 + n / 100, false);
        }
        assert_eq!(line.meter.late(), 0);
        for n in 30_000..31_000u64 {
            line.hears(n * 20, n * 20 + 300 + 200, false);
        }
        assert!(
            (50..=200).contains(&line.meter.late()),
            "{}",
            line.meter.late()
        );
    }

    #[test]
    fn the_longest_gap_is_one_the_ear_hears() {
        let mut line = Line::new();
        line.hears(0, 0, true);
        line.hears(20, 20, false);
        // A pause of five seconds, told by the timestamps, then one told by the marker alone.
        line.hears(5_000, 5_000, false);
        line.hears(5_020, 9_000, true);
        assert_eq!(line.meter.longest(), Duration::from_millis(20));
        line.hears(5_040, 9_420, false);
        assert_eq!(line.meter.longest(), Duration::from_millis(420));
        let held = line.start + Duration::from_millis(9_500);
        line.meter.expects(held, true, 8_000);
        line.hears(5_060, 60_000, false);
        assert_eq!(line.meter.longest(), Duration::from_millis(420));
    }

    #[test]
    fn lengths_other_than_asked_for_are_noted() {
        let mut line = Line::new();
        for n in 0..100u64 {
            line.hears(n * 30, n * 30, false);
        }
        let signs = line.meter.signs(line.start);
        assert_eq!((signs.odd_ptime_ms, signs.odd_ptime_packets), (30, 99));
    }

    #[test]
    fn the_time_the_party_was_to_send_is_counted() {
        let mut line = Line::new();
        let at = |s: u64| line.start + Duration::from_secs(s);
        line.meter.expects(at(5), false, 8_000);
        assert_eq!(line.meter.signs(at(9)).expected_ms, 5_000);
        line.meter.expects(at(10), true, 8_000);
        assert_eq!(line.meter.signs(at(12)).expected_ms, 7_000);
    }
}
