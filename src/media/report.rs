//! The RTCP of one stream: what we report of what we hear, and what the party reports of us.
//!
//! Not here: reading and writing the packets, and counting losses (`rtp`).

use std::time::{Duration, Instant};

use crate::rtp::packet::Header;
use crate::rtp::rtcp::{self, Blocks, Compound, Packet, Report, SenderInfo};
use crate::rtp::stats::{self, Reception};
use crate::sender::Sender;
use crate::{NtpTime, StreamStats};

/// RFC 3550 §6.2: the least interval between the reports of one participant.
const INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Reports {
    reception: Reception,
    packets: u64,
    round_trip: Option<Duration>,
    remote_loss: Option<f64>,
    cname: String,
    next: Instant,
    /// Packets sent when the last report was.
    reported: u64,
}

impl Reports {
    /// `spread` is any number: it keeps the reports of many streams from coming at once.
    pub(crate) fn new(now: Instant, ssrc: u32, spread: u32) -> Reports {
        Reports {
            reception: Reception::new(8_000),
            packets: 0,
            round_trip: None,
            remote_loss: None,
            // RFC 7022 §4.2: a name that lasts as long as the call and tells nothing.
            cname: format!("{ssrc:08x}@offhook"),
            next: now + Duration::from_millis(u64::from(spread % 4_000) + 1_000),
            reported: 0,
        }
    }

    pub(crate) fn set_clock(&mut self, clock: u32) {
        self.reception.set_clock_rate(clock);
    }

    /// Counts an RTP packet of the party.
    pub(crate) fn rtp(&mut self, now: Instant, header: &Header) {
        self.packets += 1;
        self.reception.received(now, header);
    }

    /// Notes the party's reports.
    pub(crate) fn rtcp(
        &mut self,
        now: Instant,
        wall: NtpTime,
        sender: &Sender,
        compound: Compound<'_>,
    ) {
        for packet in compound {
            match packet {
                Packet::SenderReport { ssrc, info, blocks } => {
                    if self.reception.ssrc() == Some(ssrc) {
                        self.reception.sender_report(now, info.ntp);
                    }
                    self.heard(wall, sender, blocks);
                }
                Packet::ReceiverReport { blocks, .. } => self.heard(wall, sender, blocks),
                Packet::Cname { .. } | Packet::Bye { .. } | Packet::Other { .. } => {}
            }
        }
    }

    fn heard(&mut self, wall: NtpTime, sender: &Sender, blocks: Blocks<'_>) {
        let Some(block) = stats::block_about(sender.ssrc(), blocks) else {
            return;
        };
        self.round_trip = stats::round_trip(wall.0, &block).or(self.round_trip);
        // The party counts gaps in our numbers, also those that we passed on: what was lost before us is not its line's.
        let passed_on = sender.numbers().saturating_sub(sender.packets());
        let lost = u64::try_from(block.cumulative_lost).unwrap_or(0);
        let lost = lost.saturating_sub(passed_on) as f64;
        self.remote_loss = Some((lost / sender.packets().max(1) as f64).min(1.0));
    }

    pub(crate) fn due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// Writes the report for `now`; its bytes.
    pub(crate) fn write(
        &mut self,
        (now, wall): (Instant, NtpTime),
        sender: &Sender,
        out: &mut [u8],
    ) -> usize {
        self.next = now + INTERVAL;
        // RFC 3550 §6.4: a sender report only from who sent since the last.
        let sent = sender.packets() != self.reported;
        self.reported = sender.packets();
        let timestamp = sender.timestamp_at(now).filter(|_| sent);
        let report = Report {
            ssrc: sender.ssrc(),
            sender: timestamp.map(|rtp_timestamp| SenderInfo {
                ntp: wall.0,
                rtp_timestamp,
                packets: sender.packets() as u32,
                octets: sender.octets(),
            }),
            block: self.reception.report(now),
            cname: &self.cname,
        };
        rtcp::write(&report, out)
    }

    /// The part of the statistics that is known here.
    pub(crate) fn stats(&self) -> StreamStats {
        let totals = self.reception.totals();
        StreamStats {
            packets_in: self.packets,
            lost_in: totals.lost(),
            expected_in: totals.expected,
            jitter_ms: self.reception.jitter_ms(),
            rtt_ms: self.round_trip.map(|trip| trip.as_secs_f64() * 1_000.0),
            remote_loss: self.remote_loss,
            ..StreamStats::default()
        }
    }
}
