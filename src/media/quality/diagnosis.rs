//! What was amiss on a leg, in words. Each finding is a fact that was seen and its figure; nothing is guessed that was not.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::{Codec, StreamStats};

/// A party that was on for less may have been about to send.
const LEAST_TALK: Duration = Duration::from_secs(3);
/// Packets we must have sent before it means something that the party has heard none.
const LEAST_SENT: u64 = 150;
/// Reports of the party, five seconds apart, before their silence about us means something.
const LEAST_REPORTS: u32 = 2;
/// Under this share nobody hears a loss.
const LEAST_LOSS: f64 = 0.01;
/// A gap shorter than this passes for a hesitation.
const LEAST_GAP_MS: u32 = 500;
/// Packets refused because they came from elsewhere: a few are those on their way when an address changed.
const LEAST_FOREIGN: u64 = 50;
/// An SSRC that changes once or twice is a phone that was on hold or transferred.
const LEAST_SOURCES: u32 = 3;

/// One thing that was amiss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finding {
    /// Packets went there, none came. `private`: where the SDP says they would have come from, an address that only its own
    /// network knows.
    NothingCame {
        seconds: u64,
        sent: u64,
        private: Option<IpAddr>,
    },
    /// Nothing came and nothing was there to be sent.
    BothSilent {
        seconds: u64,
    },
    /// The party reports, but not that it hears us.
    NothingArrived {
        sent: u64,
    },
    /// RTP came from elsewhere than the SDP says.
    Elsewhere {
        named: SocketAddr,
        came: SocketAddr,
    },
    /// Payload types that were not agreed.
    NotAgreed {
        payload_type: u8,
        packets: u64,
    },
    /// Packets of another length than asked for.
    OtherLength {
        ms: u16,
    },
    /// Shares, 0 to 1. `bursts`: most losses have others beside them.
    LostIn {
        share: f64,
        bursts: bool,
    },
    LostOut {
        share: f64,
    },
    TooLate {
        share: f64,
    },
    Gap {
        ms: u32,
    },
    SourceChanged {
        times: u32,
    },
    Foreign {
        packets: u64,
    },
}

/// All that was amiss, to be shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings(pub Vec<Finding>);

/// What the figures of a stream say of it; `talked`: how long its party was on the phone.
#[must_use]
pub fn findings(stats: &StreamStats, talked: Duration) -> Findings {
    let of_all = [
        silence(stats, talked),
        unheard(stats),
        elsewhere(stats),
        not_agreed(stats),
        other_length(stats),
        lost_in(stats),
        lost_out(stats),
        too_late(stats),
        (stats.longest_gap_ms >= LEAST_GAP_MS).then_some(Finding::Gap {
            ms: stats.longest_gap_ms,
        }),
        (stats.signs.sources >= LEAST_SOURCES).then_some(Finding::SourceChanged {
            times: stats.signs.sources,
        }),
        (stats.foreign_packets >= LEAST_FOREIGN).then_some(Finding::Foreign {
            packets: stats.foreign_packets,
        }),
    ];
    Findings(of_all.into_iter().flatten().collect())
}

fn silence(stats: &StreamStats, talked: Duration) -> Option<Finding> {
    let expected = Duration::from_millis(stats.signs.expected_ms).min(talked);
    // What cannot be decrypted is told elsewhere.
    let came = stats.packets_in + stats.sealed_packets;
    if came > 0 || expected < LEAST_TALK {
        return None;
    }
    let seconds = expected.as_secs();
    let named = stats.signs.named.map(|named| named.ip());
    Some(match stats.packets_out {
        0 => Finding::BothSilent { seconds },
        sent => Finding::NothingCame {
            seconds,
            sent,
            private: named.filter(is_private),
        },
    })
}

fn unheard(stats: &StreamStats) -> Option<Finding> {
    let sent = stats.packets_out;
    let mute = stats.signs.reports >= LEAST_REPORTS && stats.signs.reports_of_us == 0;
    let all_lost = stats.remote_loss.is_some_and(|loss| loss >= 0.99);
    (sent >= LEAST_SENT && (mute || all_lost)).then_some(Finding::NothingArrived { sent })
}

fn elsewhere(stats: &StreamStats) -> Option<Finding> {
    let (named, came) = (stats.signs.named?, stats.remote?);
    (named != came).then_some(Finding::Elsewhere { named, came })
}

fn not_agreed(stats: &StreamStats) -> Option<Finding> {
    let packets = stats.signs.strange_packets;
    let payload_type = stats.signs.strange_type?;
    // One of a hundred may be of before a change of codec.
    (packets > stats.packets_in / 100).then_some(Finding::NotAgreed {
        payload_type,
        packets,
    })
}

fn other_length(stats: &StreamStats) -> Option<Finding> {
    let ms = stats.signs.odd_ptime_ms;
    let mostly = stats.signs.odd_ptime_packets > stats.packets_in / 2;
    (mostly && ms > 0).then_some(Finding::OtherLength { ms })
}

fn lost_in(stats: &StreamStats) -> Option<Finding> {
    let share = stats.lost_in as f64 / stats.expected_in.max(1) as f64;
    (share >= LEAST_LOSS).then_some(Finding::LostIn {
        share,
        bursts: stats.burst_loss.is_some_and(|loss| loss >= 0.5),
    })
}

fn lost_out(stats: &StreamStats) -> Option<Finding> {
    let share = stats.remote_loss?;
    (LEAST_LOSS..0.99)
        .contains(&share)
        .then_some(Finding::LostOut { share })
}

fn too_late(stats: &StreamStats) -> Option<Finding> {
    let share = stats.late_in as f64 / stats.packets_in.max(1) as f64;
    (share >= LEAST_LOSS).then_some(Finding::TooLate { share })
}

/// Whether only its own network knows the address (RFC 1918, RFC 3927, RFC 6598, RFC 4193).
fn is_private(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.segments()[0] & 0xfe00 == 0xfc00 || v6.is_unicast_link_local(),
    }
}

impl Findings {
    /// One sentence after another, `None` when nothing was amiss.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let sentences: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Finding::NothingCame {
                seconds,
                sent,
                private,
            } => {
                write!(
                    f,
                    "one-way audio: none came from it in {seconds} s, {sent} packets were sent to it"
                )?;
                match private {
                    Some(ip) => write!(f, " (its SDP names {ip}, a private address)"),
                    None => Ok(()),
                }
            }
            Finding::BothSilent { seconds } => write!(
                f,
                "no audio came from it in {seconds} s, and there was none for it"
            ),
            Finding::NothingArrived { sent } => write!(
                f,
                "one-way audio: by its reports none of the {sent} packets sent to it arrived"
            ),
            Finding::Elsewhere { named, came }
                if is_private(&named.ip()) && named.ip() != came.ip() =>
            {
                write!(
                    f,
                    "its SDP names the private address {named}, its audio came from {came}"
                )
            }
            Finding::Elsewhere { named, came } => {
                write!(f, "its SDP names {named}, its audio came from {came}")
            }
            Finding::NotAgreed {
                payload_type,
                packets,
            } => {
                write!(
                    f,
                    "it sent {packets} packets of payload type {payload_type}"
                )?;
                if let Some(codec) = Codec::from_static_pt(payload_type) {
                    write!(f, " ({})", codec.name())?;
                }
                f.write_str(", which was not agreed on")
            }
            Finding::OtherLength { .. }
            | Finding::LostIn { .. }
            | Finding::LostOut { .. }
            | Finding::TooLate { .. }
            | Finding::Gap { .. }
            | Finding::SourceChanged { .. }
            | Finding::Foreign { .. } => f.write_str(&self.figure()),
        }
    }
}

impl Finding {
    /// What is told by its figure; nothing for what is told otherwise.
    fn figure(&self) -> String {
        match *self {
            Finding::OtherLength { ms } => {
                format!("its packets are {ms} ms long, 20 ms were asked for")
            }
            Finding::LostIn { share, bursts } => {
                let how = if bursts { ", many in a row" } else { "" };
                format!("{} of its packets were lost{how}", per_cent(share))
            }
            Finding::LostOut { share } => format!(
                "it reports that {} of the packets sent to it were lost",
                per_cent(share)
            ),
            Finding::TooLate { share } => format!(
                "{} of its packets came too late to be played",
                per_cent(share)
            ),
            Finding::Gap { ms } => {
                let seconds = f64::from(ms) / 1_000.0;
                format!("its audio broke off for up to {seconds:.1} s")
            }
            Finding::SourceChanged { times } => {
                format!("the source of its audio changed {times} times")
            }
            Finding::Foreign { packets } => {
                format!("{packets} packets from elsewhere were refused")
            }
            Finding::NothingCame { .. }
            | Finding::BothSilent { .. }
            | Finding::NothingArrived { .. }
            | Finding::Elsewhere { .. }
            | Finding::NotAgreed { .. } => String::new(),
        }
    }
}

fn per_cent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::Signs;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A leg with nothing amiss, then as `change` makes it.
    fn said(change: impl FnOnce(&mut StreamStats)) -> Option<String> {
        let address = "203.0.113.7:4000".parse().ok();
        let mut stats = StreamStats {
            codec: Some(Codec::Pcmu),
            packets_in: 3_000,
            packets_out: 3_000,
            expected_in: 3_000,
            remote: address,
            signs: Signs {
                expected_ms: 60_000,
                named: address,
                reports: 10,
                reports_of_us: 10,
                ..Signs::default()
            },
            ..StreamStats::default()
        };
        change(&mut stats);
        findings(&stats, MINUTE).words()
    }

    fn says(words: &str, change: impl FnOnce(&mut StreamStats)) {
        assert_eq!(said(change).as_deref(), Some(words));
    }

    fn is_silent(stats: &mut StreamStats) {
        (stats.packets_in, stats.expected_in, stats.remote) = (0, 0, None);
    }

    #[test]
    fn a_good_leg_has_no_diagnosis() {
        assert_eq!(said(|_| {}), None);
        assert_eq!(
            findings(&StreamStats::default(), MINUTE).words(),
            None,
            "it was never to be heard"
        );
    }

    #[test]
    fn a_party_that_sends_nothing() {
        says(
            "one-way audio: none came from it in 60 s, 3000 packets were sent to it",
            is_silent,
        );
        says(
            "one-way audio: none came from it in 60 s, 3000 packets were sent to it (its SDP names 192.168.1.5, a private \
             address)",
            |s| {
                is_silent(s);
                s.signs.named = "192.168.1.5:4000".parse().ok();
            },
        );
        says(
            "no audio came from it in 60 s, and there was none for it",
            |s| {
                is_silent(s);
                s.packets_out = 0;
            },
        );
    }

    #[test]
    fn a_party_that_was_not_on_for_long_may_be_silent() {
        let mut stats = StreamStats {
            packets_out: 3_000,
            ..StreamStats::default()
        };
        stats.signs.expected_ms = 60_000;
        let short = findings(&stats, Duration::from_secs(2));
        assert_eq!(short.words(), None, "it rang for a minute with early media");
        stats.signs.expected_ms = 2_000;
        assert_eq!(findings(&stats, MINUTE).words(), None, "it was on hold");
    }

    #[test]
    fn a_party_that_hears_nothing() {
        let words = "one-way audio: by its reports none of the 3000 packets sent to it arrived";
        says(words, |s| s.signs.reports_of_us = 0);
        says(words, |s| s.remote_loss = Some(1.0));
        // No reports, or none yet, say nothing.
        assert_eq!(
            said(|s| (s.signs.reports, s.signs.reports_of_us) = (1, 0)),
            None
        );
    }

    #[test]
    fn a_party_that_is_elsewhere() {
        says(
            "its SDP names the private address 10.0.0.5:4000, its audio came from 203.0.113.7:4000",
            |s| s.signs.named = "10.0.0.5:4000".parse().ok(),
        );
        says(
            "its SDP names 198.51.100.1:4000, its audio came from 203.0.113.7:4000",
            |s| s.signs.named = "198.51.100.1:4000".parse().ok(),
        );
        says(
            "its SDP names 192.168.0.9:4000, its audio came from 192.168.0.9:4002",
            |s| {
                s.signs.named = "192.168.0.9:4000".parse().ok();
                s.remote = "192.168.0.9:4002".parse().ok();
            },
        );
    }

    #[test]
    fn private_addresses_are_known() {
        let known: Vec<bool> = [
            "10.1.2.3",
            "172.31.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "fd00::1",
            "fe80::1",
            "100.128.0.1",
            "203.0.113.1",
            "2001:db8::1",
        ]
        .map(|ip| is_private(&ip.parse().expect("an address")))
        .into();
        assert_eq!(
            known,
            [true, true, true, true, true, true, false, false, false]
        );
    }

    #[test]
    fn payload_types_that_were_not_agreed() {
        says(
            "it sent 3000 packets of payload type 8 (PCMA), which was not agreed on",
            |s| (s.signs.strange_packets, s.signs.strange_type) = (3_000, Some(8)),
        );
        says(
            "it sent 31 packets of payload type 97, which was not agreed on",
            |s| (s.signs.strange_packets, s.signs.strange_type) = (31, Some(97)),
        );
        assert_eq!(
            said(|s| (s.signs.strange_packets, s.signs.strange_type) = (30, Some(8))),
            None
        );
    }

    #[test]
    fn packets_of_another_length() {
        says("its packets are 30 ms long, 20 ms were asked for", |s| {
            (s.signs.odd_ptime_ms, s.signs.odd_ptime_packets) = (30, 2_999);
        });
        assert_eq!(
            said(|s| (s.signs.odd_ptime_ms, s.signs.odd_ptime_packets) = (40, 1_500)),
            None
        );
    }

    #[test]
    fn losses_and_delays() {
        says("2.5 % of its packets were lost", |s| s.lost_in = 75);
        says("2.5 % of its packets were lost, many in a row", |s| {
            (s.lost_in, s.burst_loss) = (75, Some(0.9));
        });
        says(
            "it reports that 3.0 % of the packets sent to it were lost",
            |s| s.remote_loss = Some(0.03),
        );
        says("2.0 % of its packets came too late to be played", |s| {
            s.late_in = 60;
        });
        says("its audio broke off for up to 1.3 s", |s| {
            s.longest_gap_ms = 1_260;
        });
        assert_eq!(
            said(|s| (s.lost_in, s.late_in, s.longest_gap_ms) = (29, 29, 499)),
            None
        );
    }

    #[test]
    fn sources_that_change_or_intrude() {
        says("the source of its audio changed 4 times", |s| {
            s.signs.sources = 4;
        });
        says("120 packets from elsewhere were refused", |s| {
            s.foreign_packets = 120;
        });
    }

    #[test]
    fn several_sentences_are_one_text() {
        says(
            "5.0 % of its packets were lost; its audio broke off for up to 0.6 s",
            |s| (s.lost_in, s.longest_gap_ms) = (150, 600),
        );
    }
}
