//! What a receiver knows of a stream: order, loss and jitter as RFC 3550's appendix A counts them, and the round trip.

use super::packet::Header;
use super::rtcp::{Blocks, ReportBlock};
use std::time::{Duration, Instant};

/// Sequence numbers may jump forward so far within one stream (RFC 3550 §A.1 MAX_DROPOUT).
const MAX_DROPOUT: u16 = 3_000;
/// … and come so late (MAX_MISORDER).
const MAX_MISORDER: u16 = 100;
/// In a row before a source counts (MIN_SEQUENTIAL).
const MIN_SEQUENTIAL: u8 = 2;

/// What a packet's sequence number says of it. Sound may be played of all but `Late` and `Odd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// A source not yet seen twice in a row; not counted yet.
    Probation,
    /// The next in order, after `lost` that have not come.
    InOrder {
        /// Packets missing just before this one.
        lost: u16,
    },
    /// Older than another that came, or the same again.
    Late,
    /// Far from all before: a stray, or the first of a restart. Not counted.
    Odd,
    /// The second in a row far from all before: the source restarted its numbers.
    Restarted,
}

/// One direction of one stream as it arrives.
#[derive(Debug, Clone)]
pub struct Reception {
    clock_rate: u32,
    source: Option<Source>,
    jitter: Jitter,
    /// Counts of sources and runs of numbers that have ended.
    ended: Totals,
    last_report: Totals,
    sender_report: Option<(u32, Instant)>,
}

/// Packets over all sources heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// By the sequence numbers.
    pub expected: u64,
    /// Counted on arrival, late ones and duplicates too.
    pub received: u64,
}

impl Totals {
    /// What is missing; duplicates may hide losses, as in RFC 3550 §A.3.
    #[must_use]
    pub fn lost(self) -> u64 {
        self.expected.saturating_sub(self.received)
    }
}

/// RFC 3550 §A.1's `source`, with its cycles in the upper bits of `highest`.
#[derive(Debug, Clone, Copy)]
struct Source {
    ssrc: u32,
    base: u32,
    highest: u32,
    received: u64,
    probation: u8,
    /// The number that would prove a restart.
    odd: Option<u16>,
}

impl Source {
    fn new(header: &Header) -> Source {
        let first = u32::from(header.sequence);
        Source {
            ssrc: header.ssrc,
            base: first,
            highest: first,
            received: 0,
            probation: MIN_SEQUENTIAL - 1,
            odd: None,
        }
    }

    /// Begins to count, at `sequence`, which is the first.
    fn start(&mut self, sequence: u16) {
        (self.base, self.highest) = (u32::from(sequence), u32::from(sequence));
        self.received = 1;
        self.probation = 0;
        self.odd = None;
    }

    fn totals(&self) -> Totals {
        if self.probation > 0 {
            return Totals::default();
        }
        Totals {
            expected: u64::from(self.highest.wrapping_sub(self.base)) + 1,
            received: self.received,
        }
    }

    /// RFC 3550 §A.1 `update_seq`.
    fn update(&mut self, sequence: u16) -> Arrival {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if self.probation > 0 {
            self.highest = u32::from(sequence);
            if ahead != 1 {
                self.probation = MIN_SEQUENTIAL - 1;
                return Arrival::Probation;
            }
            self.probation -= 1;
            if self.probation > 0 {
                return Arrival::Probation;
            }
            self.start(sequence);
            return Arrival::InOrder { lost: 0 };
        }
        if (1..MAX_DROPOUT).contains(&ahead) {
            // Adding to the extended number carries into the cycles.
            self.highest = self.highest.wrapping_add(u32::from(ahead));
            self.received += 1;
            self.odd = None;
            return Arrival::InOrder { lost: ahead - 1 };
        }
        if ahead == 0 || ahead > u16::MAX - MAX_MISORDER {
            self.received += 1;
            return Arrival::Late;
        }
        if self.odd == Some(sequence) {
            return Arrival::Restarted;
        }
        self.odd = Some(sequence.wrapping_add(1));
        Arrival::Odd
    }
}

/// RFC 3550 §A.8, in ticks times 16 to keep the fraction.
#[derive(Debug, Clone, Copy)]
struct Jitter {
    /// Any moment: only differences count.
    epoch: Option<Instant>,
    last: Option<(u32, u32)>,
    scaled: u32,
}

impl Jitter {
    fn update(&mut self, now: Instant, clock_rate: u32, timestamp: u32) {
        let epoch = *self.epoch.get_or_insert(now);
        let micros = now.saturating_duration_since(epoch).as_micros();
        let arrival = (micros * u128::from(clock_rate) / 1_000_000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some((last_transit, last_timestamp)) = self.last {
            // A telephone event repeats its timestamp (RFC 4733 §2.2): such a packet tells nothing of transit time.
            if last_timestamp == timestamp {
                return;
            }
            // A jump of the sender's clock is no jitter: beyond 10 s it would drown all else for minutes.
            let d = transit
                .wrapping_sub(last_transit)
                .cast_signed()
                .unsigned_abs();
            if d < clock_rate.saturating_mul(10) {
                self.scaled = self
                    .scaled
                    .saturating_add(d)
                    .saturating_sub((self.scaled + 8) >> 4);
            }
        }
        self.last = Some((transit, timestamp));
    }

    /// A new source has another clock.
    fn restart(&mut self) {
        self.last = None;
    }
}

impl Reception {
    /// Nothing heard yet; `clock_rate` is that of the codec's timestamps, in Hz.
    #[must_use]
    pub fn new(clock_rate: u32) -> Reception {
        Reception {
            clock_rate,
            source: None,
            jitter: Jitter {
                epoch: None,
                last: None,
                scaled: 0,
            },
            ended: Totals::default(),
            last_report: Totals::default(),
            sender_report: None,
        }
    }

    /// Counts a packet. A new SSRC starts anew and keeps the totals.
    pub fn received(&mut self, now: Instant, header: &Header) -> Arrival {
        let mut source = match self.source {
            Some(source) if source.ssrc == header.ssrc => source,
            other => {
                self.end(other);
                self.sender_report = None;
                self.source = Some(Source::new(header));
                self.jitter.restart();
                self.jitter.update(now, self.clock_rate, header.timestamp);
                return Arrival::Probation;
            }
        };
        let arrival = source.update(header.sequence);
        match arrival {
            Arrival::Restarted => {
                self.end(self.source);
                source.start(header.sequence);
                self.jitter.restart();
                self.jitter.update(now, self.clock_rate, header.timestamp);
            }
            Arrival::Probation | Arrival::InOrder { .. } => {
                self.jitter.update(now, self.clock_rate, header.timestamp)
            }
            Arrival::Late | Arrival::Odd => {}
        }
        self.source = Some(source);
        arrival
    }

    fn end(&mut self, source: Option<Source>) {
        let totals = source.map_or_else(Totals::default, |source| source.totals());
        self.ended.expected += totals.expected;
        self.ended.received += totals.received;
        // Reports speak of the new run only, from its first packet.
        self.last_report = Totals::default();
    }

    /// The clock of a codec agreed anew; what was measured in ticks of the old one is converted.
    pub fn set_clock_rate(&mut self, clock_rate: u32) {
        if clock_rate != self.clock_rate {
            let scaled = u64::from(self.jitter.scaled) * u64::from(clock_rate)
                / u64::from(self.clock_rate.max(1));
            self.jitter.scaled = u32::try_from(scaled).unwrap_or(u32::MAX);
            self.jitter.restart();
            self.clock_rate = clock_rate;
        }
    }

    /// The source heard, once one is.
    #[must_use]
    pub fn ssrc(&self) -> Option<u32> {
        self.source.map(|source| source.ssrc)
    }

    /// Over everything heard so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let current = self
            .source
            .map_or_else(Totals::default, |source| source.totals());
        Totals {
            expected: self.ended.expected + current.expected,
            received: self.ended.received + current.received,
        }
    }

    /// Interarrival jitter (RFC 3550 §6.4.1) in ms.
    #[must_use]
    pub fn jitter_ms(&self) -> f64 {
        f64::from(self.jitter.scaled) / 16.0 * 1_000.0 / f64::from(self.clock_rate.max(1))
    }

    /// Notes a sender report of the far end, for `report` to refer to.
    pub fn sender_report(&mut self, now: Instant, ntp: u64) {
        self.sender_report = Some((middle(ntp), now));
    }

    /// The block for our next report, `None` while nobody is heard; counts the loss since the one before.
    pub fn report(&mut self, now: Instant) -> Option<ReportBlock> {
        let source = self.source.filter(|source| source.probation == 0)?;
        let totals = source.totals();
        // RFC 3550 §A.3: loss since the last report, in 1/256; duplicates may make it negative, which counts as none.
        let expected = totals.expected.saturating_sub(self.last_report.expected);
        let lost =
            expected.saturating_sub(totals.received.saturating_sub(self.last_report.received));
        let fraction = (lost * 256).checked_div(expected).unwrap_or(0);
        let fraction_lost = u8::try_from(fraction).unwrap_or(u8::MAX);
        self.last_report = totals;
        let cumulative = i128::from(totals.expected) - i128::from(totals.received);
        let (last_sr, delay_since_sr) = self.sender_report.map_or((0, 0), |(ntp, at)| {
            (ntp, units(now.saturating_duration_since(at)))
        });
        Some(ReportBlock {
            ssrc: source.ssrc,
            fraction_lost,
            cumulative_lost: cumulative.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: source.highest,
            jitter: self.jitter.scaled >> 4,
            last_sr,
            delay_since_sr,
        })
    }
}

/// The block of a report that speaks of the stream we send.
#[must_use]
pub fn block_about(ssrc: u32, mut blocks: Blocks<'_>) -> Option<ReportBlock> {
    blocks.find(|block| block.ssrc == ssrc)
}

/// The round trip a block about our stream proves, heard at the NTP time `wall` (RFC 3550 §6.4.1). `None` when the far end
/// has not heard an SR of ours, or its numbers contradict our clock.
#[must_use]
pub fn round_trip(wall: u64, block: &ReportBlock) -> Option<Duration> {
    if block.last_sr == 0 {
        return None;
    }
    let units = middle(wall)
        .wrapping_sub(block.last_sr)
        .checked_sub(block.delay_since_sr)?;
    let trip = Duration::from_micros(u64::from(units) * 1_000_000 / 65_536);
    // A trip of minutes is a clock that was set, not a path.
    (trip < Duration::from_secs(60)).then_some(trip)
}

/// A time in 1/65536 s.
pub(crate) fn units(time: Duration) -> u32 {
    u32::try_from(time.as_micros() * 65_536 / 1_000_000).unwrap_or(u32::MAX)
}

/// The middle 32 of 64 bits: 1/65536 s.
pub(crate) fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Header {
        Header {
            marker: false,
            payload_type: 0,
            sequence,
            timestamp,
            ssrc,
        }
    }

    /// Feeds sequence numbers 20 ms apart, each with its timestamp.
    fn feed(
        reception: &mut Reception,
        start: Instant,
        sequences: impl IntoIterator<Item = u32>,
    ) -> Vec<Arrival> {
        let feed = |n: u32| {
            let now = start + Duration::from_millis(20) * n;
            reception.received(now, &packet(1, n as u16, n.wrapping_mul(160)))
        };
        sequences.into_iter().map(feed).collect()
    }

    #[test]
    fn an_even_stream_loses_nothing_and_does_not_jitter() {
        let start = Instant::now();
        let mut reception = Reception::new(8_000);
        assert_eq!(reception.report(start), None);
        let arrivals = feed(&mut reception, start, 65_500..66_000);
        assert_eq!(arrivals[0], Arrival::Probation);
        assert!(
            arrivals[1..]
                .iter()
                .all(|&arrival| arrival == Arrival::InOrder { lost: 0 })
        );
        // RFC 3550 §A.1: the packet on probation is not counted.
        assert_eq!(
            reception.totals(),
            Totals {
                expected: 499,
                received: 499
            }
        );
        assert_eq!(reception.jitter_ms(), 0.0);
        let block = reception.report(start).expect("somebody is heard");
        assert_eq!(
            (
                block.highest_sequence,
                block.fraction_lost,
                block.cumulative_lost
            ),
            (65_999, 0, 0)
        );
    }

    #[test]
    fn losses_are_counted_since_the_last_report_and_in_all() {
        let start = Instant::now();
        let mut reception = Reception::new(8_000);
        feed(&mut reception, start, (0..=100).chain([105]));
        assert_eq!(reception.totals().lost(), 4);
        let block = reception.report(start).expect("somebody is heard");
        assert_eq!(
            (block.fraction_lost, block.cumulative_lost),
            ((4 * 256 / 105) as u8, 4)
        );
        // Two of them come late, and one twice.
        assert_eq!(
            feed(&mut reception, start, [103, 102, 102]),
            [Arrival::Late; 3]
        );
        feed(&mut reception, start, 106..=115);
        let block = reception.report(start).expect("somebody is heard");
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 1));
        assert_eq!(
            feed(&mut reception, start, [118]),
            [Arrival::InOrder { lost: 2 }]
        );
    }

    #[test]
    fn strays_are_not_counted_and_a_restart_is_believed_at_the_second() {
        let start = Instant::now();
        let mut reception = Reception::new(8_000);
        feed(&mut reception, start, 1_000..=1_100);
        let before = reception.totals();
        assert_eq!(
            feed(&mut reception, start, [30_000, 1_101]),
            [Arrival::Odd, Arrival::InOrder { lost: 0 }]
        );
        assert_eq!(
            reception.totals(),
            Totals {
                expected: before.expected + 1,
                received: before.received + 1
            }
        );
        assert_eq!(
            feed(&mut reception, start, [30_000, 30_001, 30_002]),
            [
                Arrival::Odd,
                Arrival::Restarted,
                Arrival::InOrder { lost: 0 }
            ]
        );
        assert_eq!(
            reception.totals(),
            Totals {
                expected: before.expected + 3,
                received: before.received + 3
            }
        );
        let block = reception.report(start).expect("somebody is heard");
        assert_eq!((block.highest_sequence, block.cumulative_lost), (30_002, 0));
    }

    #[test]
    fn another_source_starts_anew_and_keeps_the_totals() {
        let start = Instant::now();
        let mut reception = Reception::new(8_000);
        feed(&mut reception, start, [0, 1, 2, 4]);
        let later = start + Duration::from_secs(1);
        assert_eq!(
            reception.received(later, &packet(2, 9, 77)),
            Arrival::Probation
        );
        assert_eq!(reception.report(later), None);
        reception.received(later, &packet(2, 10, 77 + 160));
        assert_eq!(
            (reception.ssrc(), reception.totals()),
            (
                Some(2),
                Totals {
                    expected: 5,
                    received: 4
                }
            )
        );
    }

    #[test]
    fn jitter_follows_the_formula() {
        let start = Instant::now();
        let mut reception = Reception::new(8_000);
        let mut expected = 0.0;
        let mut last = None;
        for n in 0..500u32 {
            // Every other packet is 5 ms late: |D| is 40 ticks each time.
            let late = Duration::from_millis(if n % 2 == 0 { 0 } else { 5 });
            reception.received(
                start + Duration::from_millis(20) * n + late,
                &packet(1, n as u16, n * 160),
            );
            if last.replace(n).is_some() {
                expected += (40.0 - expected) / 16.0;
            }
        }
        assert!(
            (reception.jitter_ms() - expected / 8.0).abs() < 0.2,
            "{}",
            reception.jitter_ms()
        );
        let jitter = reception.jitter_ms();
        reception.set_clock_rate(48_000);
        assert!((reception.jitter_ms() - jitter).abs() < 0.01);
    }

    #[test]
    fn a_digit_held_for_a_second_is_no_jitter() {
        let start = Instant::now();
        let mut reception = Reception::new(8_000);
        feed(&mut reception, start, 0..10);
        for n in 10..60u32 {
            reception.received(
                start + Duration::from_millis(20) * n,
                &packet(1, n as u16, 1_600),
            );
        }
        feed(&mut reception, start, 60..70);
        assert_eq!(reception.jitter_ms(), 0.0);
    }

    #[test]
    fn the_round_trip_is_what_the_far_end_did_not_wait() {
        let second = 1u64 << 32;
        let sent = 3_900_000_000 * second;
        // Sent at 0 s, held 2 s by the far end, back at 2.25 s.
        let block = ReportBlock {
            last_sr: middle(sent),
            delay_since_sr: 2 * 65_536,
            ..ReportBlock::default()
        };
        assert_eq!(
            round_trip(sent + 2 * second + second / 4, &block),
            Some(Duration::from_millis(250))
        );
        assert_eq!(round_trip(sent + second, &block), None);
        assert_eq!(round_trip(sent, &ReportBlock::default()), None);
        assert_eq!(round_trip(sent + 600 * second, &block), None);
    }

    #[test]
    fn our_report_tells_how_long_ago_theirs_came() {
        let start = Instant::now();
        let mut reception = Reception::new(8_000);
        feed(&mut reception, start, 0..3);
        reception.sender_report(start, 0x1234_5678_9abc_def0);
        let block = reception
            .report(start + Duration::from_millis(1_500))
            .expect("somebody is heard");
        assert_eq!((block.last_sr, block.delay_since_sr), (0x5678_9abc, 98_304));
    }

    proptest! {
        #[test]
        fn any_numbers_keep_the_books(headers in proptest::collection::vec((0u32..3, any::<u16>(), any::<u32>(), 0u64..1_000_000), 0..200)) {
            let start = Instant::now();
            let mut reception = Reception::new(8_000);
            for (n, (ssrc, sequence, timestamp, at)) in headers.iter().enumerate() {
                let now = start + Duration::from_millis(*at);
                reception.received(now, &packet(*ssrc, *sequence, *timestamp));
                reception.sender_report(now, u64::from(*timestamp) << 20);
                let block = reception.report(now);
                prop_assert!(block.is_none_or(|block| round_trip(u64::from(*timestamp), &block).is_none_or(|d| d.as_secs() < 60)));
                prop_assert!(reception.totals().received <= n as u64 + 1);
                prop_assert!(reception.jitter_ms().is_finite());
            }
        }
    }
}
