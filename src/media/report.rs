//! The RTCP of one stream: what we report of what we hear, and what the party reports of us.
//!
//! Not here: reading and writing the packets, and counting losses (`rtp`).

use std::time::{Duration, Instant};

use crate::quality::{self, Meter};
use crate::rtp::packet::Header;
use crate::rtp::rtcp::{self, Blocks, Compound, Packet, Report, ReportBlock, SenderInfo};
use crate::rtp::stats::{self, Reception};
use crate::rtp::xr::{self, Block, VoipMetrics};
use crate::sender::{Load, Sender};
use crate::{Codec, Extended, Negotiated, NtpTime, StreamStats};

/// RFC 3550 §6.2: the least interval between the reports of one participant.
const INTERVAL: Duration = Duration::from_secs(5);
/// A second of speech: with less nobody can say how well it goes.
const LEAST_PACKETS: u64 = 50;

#[derive(Debug)]
pub(crate) struct Reports {
    reception: Reception,
    meter: Meter,
    packets: u64,
    round_trip: Option<Duration>,
    remote: Option<Remote>,
    /// What the party says of us by XR.
    voip: Option<VoipMetrics>,
    /// The party's last reference time, and when it came.
    reference: Option<(u32, u32, Instant)>,
    extended: Extended,
    clock: u32,
    cname: String,
    next: Instant,
    /// Packets sent when the last report was.
    reported: u64,
    spoken: bool,
}

/// What the party's last report says of what we send.
#[derive(Debug, Clone, Copy)]
struct Remote {
    /// A share, 0 to 1.
    loss: f64,
    jitter_ms: f64,
}

impl Reports {
    /// `spread` is any number: it keeps the reports of many streams from coming at once.
    pub(crate) fn new(now: Instant, ssrc: u32, spread: u32) -> Reports {
        Reports {
            reception: Reception::new(8_000),
            meter: Meter::new(),
            packets: 0,
            round_trip: None,
            remote: None,
            voip: None,
            reference: None,
            extended: Extended::default(),
            clock: 8_000,
            // RFC 7022 §4.2: a name that lasts as long as the call and tells nothing.
            cname: format!("{ssrc:08x}@offhook"),
            next: now + Duration::from_millis(u64::from(spread % 4_000) + 1_000),
            reported: 0,
            spoken: false,
        }
    }

    pub(crate) fn set_clock(&mut self, clock: u32) {
        self.clock = clock.max(1);
        self.reception.set_clock_rate(clock);
    }

    /// Offer and answer met (again).
    pub(crate) fn negotiated(&mut self, now: Instant, negotiated: &Negotiated) {
        let receives = negotiated.direction.receives();
        self.meter
            .expects(now, receives, negotiated.codec.clock_rate());
        self.extended = negotiated.extended;
    }

    /// Counts an RTP packet of the party; `load`: `None` when its payload type was not agreed.
    pub(crate) fn rtp(&mut self, now: Instant, header: &Header, load: Option<Load>) {
        self.packets += 1;
        let before = self.reception.ssrc();
        let arrival = self.reception.received(now, header);
        if before.is_some_and(|ssrc| ssrc != header.ssrc) {
            self.meter.another_source();
        }
        match load {
            Some(Load::Voice) => self.meter.voice(now, header, arrival),
            // Their timestamps tell nothing of when they were sent.
            Some(Load::Event | Load::Noise) => {}
            None => self.meter.strange(header.payload_type),
        }
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
                Packet::Extended { ssrc, blocks } => {
                    for block in blocks {
                        self.extended((now, wall), sender, (ssrc, block));
                    }
                }
                Packet::Cname { .. } | Packet::Bye { .. } | Packet::Other { .. } => {}
            }
        }
    }

    fn heard(&mut self, wall: NtpTime, sender: &Sender, blocks: Blocks<'_>) {
        let about_us = stats::block_about(sender.ssrc(), blocks);
        self.meter.report(about_us.is_some());
        let Some(block) = about_us else { return };
        self.round_trip = stats::round_trip(wall.0, &block).or(self.round_trip);
        // The party counts gaps in our numbers, also those that we passed on: what was lost before us is not its line's.
        let passed_on = sender.numbers().saturating_sub(sender.packets());
        let lost = u64::try_from(block.cumulative_lost).unwrap_or(0);
        let lost = lost.saturating_sub(passed_on) as f64;
        self.remote = Some(Remote {
            loss: (lost / sender.packets().max(1) as f64).min(1.0),
            jitter_ms: f64::from(block.jitter) * 1_000.0 / f64::from(self.clock),
        });
    }

    fn extended(
        &mut self,
        (now, wall): (Instant, NtpTime),
        sender: &Sender,
        (from, block): (u32, Block),
    ) {
        match block {
            // RFC 3611 §4.5: the middle 32 bits.
            Block::ReferenceTime(ntp) => {
                self.reference = Some((from, stats::middle(ntp), now));
            }
            Block::LastReference { ssrc, last, delay } if ssrc == sender.ssrc() => {
                let answered = ReportBlock {
                    last_sr: last,
                    delay_since_sr: delay,
                    ..ReportBlock::default()
                };
                self.round_trip = stats::round_trip(wall.0, &answered).or(self.round_trip);
            }
            Block::Voip(metrics) if metrics.ssrc == sender.ssrc() => self.voip = Some(metrics),
            Block::LastReference { .. } | Block::Voip(_) => {}
        }
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
        let sent = sender.packets() != self.reported;
        self.reported = sender.packets();
        self.spoken = true;
        let length = rtcp::write(&self.report((now, wall), sender, sent), out);
        let room = out.get_mut(length..).filter(|_| length > 0);
        length
            + room.map_or(0, |room| {
                self.write_extended((now, wall), (sender, sent), room)
            })
    }

    /// As `write`, for the last time; 0 for a party that was never sent anything.
    pub(crate) fn write_bye(
        &mut self,
        (now, wall): (Instant, NtpTime),
        sender: &Sender,
        out: &mut [u8],
    ) -> usize {
        // RFC 3550 §6.3.7: who never sent a packet must not send a BYE.
        if !self.spoken && sender.packets() == 0 {
            return 0;
        }
        let sent = sender.packets() != self.reported;
        rtcp::write_bye(&self.report((now, wall), sender, sent), out)
    }

    fn report(
        &mut self,
        (now, wall): (Instant, NtpTime),
        sender: &Sender,
        sent: bool,
    ) -> Report<'_> {
        // RFC 3550 §6.4: a sender report only from who sent since the last.
        let timestamp = sender.timestamp_at(now).filter(|_| sent);
        Report {
            ssrc: sender.ssrc(),
            sender: timestamp.map(|rtp_timestamp| SenderInfo {
                ntp: wall.0,
                rtp_timestamp,
                packets: sender.packets() as u32,
                octets: sender.octets(),
            }),
            block: self.reception.report(now),
            cname: &self.cname,
        }
    }

    /// The extended reports agreed on.
    fn write_extended(
        &self,
        (now, wall): (Instant, NtpTime),
        (sender, sent): (&Sender, bool),
        out: &mut [u8],
    ) -> usize {
        let agreed = self.extended;
        // RFC 3611 §4.4: for who sends nothing, and so has no SR to measure the round trip by.
        let reference = (agreed.round_trip && !sent).then_some(Block::ReferenceTime(wall.0));
        let answer = self.reference.filter(|_| agreed.round_trip);
        let answer = answer.map(|(ssrc, last, at)| Block::LastReference {
            ssrc,
            last,
            delay: stats::units(now.saturating_duration_since(at)),
        });
        let voip = agreed.voip.then(|| self.voip_metrics()).flatten();
        xr::write(sender.ssrc(), &[reference, answer, voip], out)
    }

    /// What we say of the party by XR.
    fn voip_metrics(&self) -> Option<Block> {
        let totals = self.reception.totals();
        let ssrc = self.reception.ssrc().filter(|_| totals.expected > 0)?;
        let all = totals.expected.max(1);
        let shares = self.meter.bursts().densities();
        let ms = |packets: f64| (packets * 20.0) as u16;
        let in_256 = |share: f64| (share * 256.0) as u8;
        let trip = self.round_trip.unwrap_or_default().as_millis();
        let line = self.line_in(Codec::Pcmu);
        let enough = totals.expected >= LEAST_PACKETS;
        let score = |score: f64| if enough { score as u8 } else { xr::UNKNOWN };
        Some(Block::Voip(VoipMetrics {
            ssrc,
            loss: in_256(totals.lost() as f64 / all as f64),
            discard: in_256(self.meter.late() as f64 / all as f64),
            burst_density: in_256(shares.burst),
            gap_density: in_256(shares.gap),
            burst_ms: ms(shares.burst_packets),
            gap_ms: ms(shares.gap_packets),
            round_trip_ms: u16::try_from(trip).unwrap_or(u16::MAX),
            end_system_ms: 0,
            rating: score(quality::rating(&line).clamp(0.0, 100.0)),
            mos_listening: score(
                quality::mos(&quality::Line {
                    rtt_ms: 0.0,
                    ..line
                }) * 10.0,
            ),
            mos_conversational: score(quality::mos(&line) * 10.0),
            buffer_ms: 0,
            buffer_most_ms: 0,
        }))
    }

    /// The part of the statistics that is known here.
    pub(crate) fn stats(&self, now: Instant, codec: Option<Codec>) -> StreamStats {
        let totals = self.reception.totals();
        let enough = totals.expected >= LEAST_PACKETS;
        let shares = self.meter.bursts().densities();
        StreamStats {
            packets_in: self.packets,
            lost_in: totals.lost(),
            expected_in: totals.expected,
            jitter_ms: self.reception.jitter_ms(),
            rtt_ms: self.round_trip.map(|trip| trip.as_secs_f64() * 1_000.0),
            remote_loss: self.remote.map(|remote| remote.loss),
            mos_in: codec
                .filter(|_| enough)
                .map(|codec| quality::mos(&self.line_in(codec))),
            mos_out: codec.and_then(|codec| self.mos_out(codec)),
            late_in: self.meter.late(),
            longest_gap_ms: u32::try_from(self.meter.longest().as_millis()).unwrap_or(u32::MAX),
            burst_loss: enough.then_some(shares.burst),
            gap_loss: enough.then_some(shares.gap),
            signs: self.meter.signs(now),
            ..StreamStats::default()
        }
    }

    fn line_in(&self, codec: Codec) -> quality::Line {
        let totals = self.reception.totals();
        let missed = totals.lost() + self.meter.late();
        let loss = (missed as f64 / totals.expected.max(1) as f64).min(1.0);
        quality::Line {
            codec,
            loss,
            burst_ratio: self.meter.bursts().ratio(loss),
            jitter_ms: self.reception.jitter_ms(),
            rtt_ms: self.rtt_ms(),
        }
    }

    fn mos_out(&self, codec: Codec) -> Option<f64> {
        // What the party says of itself is better than what we conclude. RFC 3611 §4.7.5: 10 to 50, else unknown.
        let told = self.voip.map(|voip| voip.mos_conversational);
        if let Some(told) = told.filter(|told| (10..=50).contains(told)) {
            return Some(f64::from(told) / 10.0);
        }
        let remote = self.remote?;
        let discarded = self
            .voip
            .map_or(0.0, |voip| f64::from(voip.discard) / 256.0);
        let line = quality::Line {
            codec,
            loss: (remote.loss + discarded).min(1.0),
            burst_ratio: 1.0,
            jitter_ms: remote.jitter_ms,
            rtt_ms: self.rtt_ms(),
        };
        Some(quality::mos(&line))
    }

    fn rtt_ms(&self) -> f64 {
        self.round_trip
            .map_or(0.0, |trip| trip.as_secs_f64() * 1_000.0)
    }
}
