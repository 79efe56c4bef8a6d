//! RTCP (RFC 3550 §6): compound packets read without trust, and the report we send written in place.
//!
//! Read: SR, RR, the CNAME of an SDES, BYE, XR (`xr.rs`); other packets are stepped over. Nothing allocates: reading is lazy
//! over the bytes.

use super::xr;

/// Bytes enough for any report of [`write()`] or [`write_bye`], with the longest CNAME.
pub const MAX_REPORT: usize = 352;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const CNAME: u8 = 1;

/// What a sender says about its own stream (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderInfo {
    /// Wall clock of the report: NTP, seconds since 1900 in the upper 32 bits, fraction below.
    pub ntp: u64,
    /// The same moment on the stream's RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent so far; wraps.
    pub packets: u32,
    /// Payload bytes sent so far; wraps.
    pub octets: u32,
}

/// What a receiver says about one stream it hears (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The stream spoken of.
    pub ssrc: u32,
    /// Part lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost in all, 24 bits signed; duplicates make it negative.
    pub cumulative_lost: i32,
    /// Highest sequence number, extended by the count of wraps.
    pub highest_sequence: u32,
    /// Interarrival jitter in ticks of the RTP clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last SR heard; 0 for none.
    pub last_sr: u32,
    /// Since then, in 1/65536 s.
    pub delay_since_sr: u32,
}

/// One packet of a compound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// From one who sends sound.
    SenderReport {
        /// The sender.
        ssrc: u32,
        /// Its clock and counters.
        info: SenderInfo,
        /// What it hears.
        blocks: Blocks<'a>,
    },
    /// From one who only listens.
    ReceiverReport {
        /// The listener.
        ssrc: u32,
        /// What it hears.
        blocks: Blocks<'a>,
    },
    /// An SDES whose first chunk carries a CNAME.
    Cname {
        /// The source named.
        ssrc: u32,
        /// At most 255 bytes of UTF-8, not checked.
        cname: &'a [u8],
    },
    /// A source leaves; the first of the list.
    Bye {
        /// Which source.
        ssrc: u32,
    },
    /// Extended reports (RFC 3611).
    Extended {
        /// Who reports.
        ssrc: u32,
        /// What it says.
        blocks: xr::Blocks<'a>,
    },
    /// APP, feedback and whatever else.
    Other {
        /// The packet type.
        kind: u8,
    },
}

/// The report blocks of an SR or RR, at most 31.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks<'a>(&'a [[u8; 24]]);

impl Iterator for Blocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(ReportBlock::read(first))
    }
}

impl ReportBlock {
    fn read(bytes: &[u8; 24]) -> ReportBlock {
        let loss = word(bytes, 4);
        ReportBlock {
            ssrc: word(bytes, 0),
            fraction_lost: (loss >> 24) as u8,
            // The lower 24 bits, sign extended.
            cumulative_lost: (loss << 8).cast_signed() >> 8,
            highest_sequence: word(bytes, 8),
            jitter: word(bytes, 12),
            last_sr: word(bytes, 16),
            delay_since_sr: word(bytes, 20),
        }
    }

    fn words(&self) -> [u32; 6] {
        let lost = self
            .cumulative_lost
            .clamp(-0x80_0000, 0x7f_ffff)
            .cast_unsigned()
            & 0xff_ffff;
        [
            self.ssrc,
            u32::from(self.fraction_lost) << 24 | lost,
            self.highest_sequence,
            self.jitter,
            self.last_sr,
            self.delay_since_sr,
        ]
    }
}

/// The big-endian word at `at`, 0 beyond the end.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |word| u32::from_be_bytes(*word))
}

/// The packets of a compound whose lengths have been checked.
#[derive(Debug, Clone, Copy)]
pub struct Compound<'a>(&'a [u8]);

/// Checks a datagram as a compound packet and gives its packets. `None` when it does not begin with a report or its
/// lengths do not add up (RFC 3550 §A.2). Reduced-size RTCP (RFC 5506) needs an agreement nobody makes with us.
#[must_use]
pub fn parse(datagram: &[u8]) -> Option<Compound<'_>> {
    // RFC 3550 §A.2: version 2, no padding on the first, and SR or RR first.
    if !matches!(datagram, [first, SENDER_REPORT | RECEIVER_REPORT, ..] if first & 0xe0 == 0x80) {
        return None;
    }
    let mut rest = datagram;
    while !rest.is_empty() {
        let (packet, after) = cut(rest)?;
        if packet.first()? >> 6 != 2 {
            return None;
        }
        rest = after;
    }
    Some(Compound(datagram))
}

/// Splits off one packet by its length field; at least 4 bytes, so a loop over it ends.
fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let [_, _, high, low] = *bytes.first_chunk()?;
    let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
    bytes.split_at_checked(length)
}

impl<'a> Iterator for Compound<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        let (packet, after) = cut(self.0)?;
        self.0 = after;
        let (head, body) = packet.split_first_chunk::<4>()?;
        let [flags, kind, ..] = *head;
        let count = usize::from(flags & 0x1f);
        Some(read(kind, count, body).unwrap_or(Packet::Other { kind }))
    }
}

/// `None` when the body is shorter than its type needs.
fn read(kind: u8, count: usize, body: &[u8]) -> Option<Packet<'_>> {
    let (ssrc, after) = body.split_first_chunk::<4>()?;
    let ssrc = u32::from_be_bytes(*ssrc);
    match kind {
        SENDER_REPORT => {
            let (info, after) = after.split_first_chunk::<20>()?;
            let info = SenderInfo {
                ntp: u64::from(word(info, 0)) << 32 | u64::from(word(info, 4)),
                rtp_timestamp: word(info, 8),
                packets: word(info, 12),
                octets: word(info, 16),
            };
            Some(Packet::SenderReport {
                ssrc,
                info,
                blocks: blocks(count, after)?,
            })
        }
        RECEIVER_REPORT => Some(Packet::ReceiverReport {
            ssrc,
            blocks: blocks(count, after)?,
        }),
        SOURCE_DESCRIPTION if count > 0 => Some(Packet::Cname {
            ssrc,
            cname: cname(after)?,
        }),
        BYE if count > 0 => Some(Packet::Bye { ssrc }),
        xr::KIND => Some(Packet::Extended {
            ssrc,
            blocks: xr::Blocks(after),
        }),
        _ => None,
    }
}

fn blocks(count: usize, body: &[u8]) -> Option<Blocks<'_>> {
    body.as_chunks::<24>().0.get(..count).map(Blocks)
}

/// RFC 3550 §6.5: items of type, length, text; type 0 ends the chunk.
fn cname(mut items: &[u8]) -> Option<&[u8]> {
    loop {
        let (&[kind, length], rest) = items.split_first_chunk::<2>()?;
        let (text, after) = rest.split_at_checked(usize::from(length))?;
        match kind {
            0 => return None,
            CNAME => return Some(text),
            _ => items = after,
        }
    }
}

/// What we send every few seconds.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// Our SSRC.
    pub ssrc: u32,
    /// Present when we sent sound since the last report: then it is an SR, else an RR (RFC 3550 §6.4).
    pub sender: Option<SenderInfo>,
    /// What we hear, if anything.
    pub block: Option<ReportBlock>,
    /// Our canonical name; cut at 255 bytes.
    pub cname: &'a str,
}

/// Writes SR or RR, then SDES with the CNAME. Returns the bytes, 0 when `out` is too short; [`MAX_REPORT`] always suffices.
pub fn write(report: &Report<'_>, out: &mut [u8]) -> usize {
    let mut writer = Writer { out, at: 0 };
    writer.compound(report).map_or(0, |()| writer.at)
}

/// As [`write()`], with a BYE at the end: the last packet of a stream (RFC 3550 §6.6).
pub fn write_bye(report: &Report<'_>, out: &mut [u8]) -> usize {
    let mut writer = Writer { out, at: 0 };
    writer
        .compound(report)
        .and_then(|()| writer.head(1, BYE, 1))
        .and_then(|()| writer.word(report.ssrc))
        .map_or(0, |()| writer.at)
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.at.checked_add(bytes.len())?;
        self.out.get_mut(self.at..end)?.copy_from_slice(bytes);
        self.at = end;
        Some(())
    }

    fn word(&mut self, word: u32) -> Option<()> {
        self.put(&word.to_be_bytes())
    }

    /// `words` after the first, as the length field counts (RFC 3550 §6.4.1).
    fn head(&mut self, count: u8, kind: u8, words: u16) -> Option<()> {
        let [high, low] = words.to_be_bytes();
        self.put(&[0x80 | count, kind, high, low])
    }

    fn compound(&mut self, report: &Report<'_>) -> Option<()> {
        let count = u8::from(report.block.is_some());
        let block_words = u16::from(count) * 6;
        match report.sender {
            Some(info) => {
                self.head(count, SENDER_REPORT, 6 + block_words)?;
                self.word(report.ssrc)?;
                self.put(&info.ntp.to_be_bytes())?;
                self.word(info.rtp_timestamp)?;
                self.word(info.packets)?;
                self.word(info.octets)?;
            }
            None => {
                self.head(count, RECEIVER_REPORT, 1 + block_words)?;
                self.word(report.ssrc)?;
            }
        }
        for word in report.block.iter().flat_map(ReportBlock::words) {
            self.word(word)?;
        }
        self.source_description(report)
    }

    fn source_description(&mut self, report: &Report<'_>) -> Option<()> {
        let name = report.cname.as_bytes();
        let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
        let name = name.get(..usize::from(length))?;
        // RFC 3550 §6.5: at least one zero ends the list, then zeros to the word.
        let zeros = 4 - (2 + name.len()) % 4;
        let words = 1 + u16::try_from((2 + name.len() + zeros) / 4).ok()?;
        self.head(1, SOURCE_DESCRIPTION, words)?;
        self.word(report.ssrc)?;
        self.put(&[CNAME, length])?;
        self.put(name)?;
        self.put([0; 4].get(..zeros)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INFO: SenderInfo = SenderInfo {
        ntp: 0x0102_0304_0506_0708,
        rtp_timestamp: 9,
        packets: 10,
        octets: 11,
    };
    const BLOCK: ReportBlock = ReportBlock {
        ssrc: 0xaabb_ccdd,
        fraction_lost: 25,
        cumulative_lost: -3,
        highest_sequence: 70_000,
        jitter: 12,
        last_sr: 0x0304_0506,
        delay_since_sr: 65_536,
    };
    const REPORT: Report<'_> = Report {
        ssrc: 7,
        sender: Some(INFO),
        block: Some(BLOCK),
        cname: "offhook",
    };

    fn written(report: &Report<'_>) -> Vec<u8> {
        let mut out = [0xee; MAX_REPORT];
        let bytes = write(report, &mut out);
        out[..bytes].to_vec()
    }

    #[test]
    fn our_reports_are_read_back() {
        let bytes = written(&REPORT);
        assert_eq!(bytes.len() % 4, 0);
        let mut packets = parse(&bytes).expect("well formed");
        let Some(Packet::SenderReport {
            ssrc: 7,
            info: INFO,
            blocks,
        }) = packets.next()
        else {
            panic!("an SR first")
        };
        assert_eq!(blocks.collect::<Vec<_>>(), [BLOCK]);
        assert_eq!(
            packets.next(),
            Some(Packet::Cname {
                ssrc: 7,
                cname: b"offhook"
            })
        );
        assert_eq!(packets.next(), None);
    }

    #[test]
    fn a_listener_sends_an_empty_rr_and_a_leaver_a_bye() {
        let silent = Report {
            sender: None,
            block: None,
            ..REPORT
        };
        let mut out = [0; MAX_REPORT];
        let bytes = write_bye(&silent, &mut out);
        let packets: Vec<_> = parse(&out[..bytes]).expect("well formed").collect();
        assert!(matches!(
            packets[..],
            [
                Packet::ReceiverReport {
                    ssrc: 7,
                    blocks: Blocks([])
                },
                Packet::Cname { .. },
                Packet::Bye { ssrc: 7 }
            ]
        ));
    }

    #[test]
    fn names_of_every_length_are_padded_right() {
        let long = "x".repeat(300);
        for length in 0..300 {
            let bytes = written(&Report {
                cname: &long[..length],
                ..REPORT
            });
            let named = parse(&bytes)
                .expect("well formed")
                .find_map(|packet| match packet {
                    Packet::Cname { cname, .. } => Some(cname.len()),
                    _ => None,
                });
            assert_eq!(named, Some(length.min(255)));
            let mut out = [0; MAX_REPORT];
            assert_eq!(
                write_bye(
                    &Report {
                        cname: &long[..length],
                        ..REPORT
                    },
                    &mut out
                ),
                bytes.len() + 8
            );
        }
        assert_eq!(write(&REPORT, &mut [0; 60]), 0);
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        let bytes = written(&REPORT);
        for length in [0, 3, 4, 51, 53, bytes.len() - 1] {
            assert!(parse(&bytes[..length]).is_none(), "{length}");
        }
        let mut padded = bytes.clone();
        padded[0] |= 0x20;
        assert!(parse(&padded).is_none());
        let mut many = bytes.clone();
        many[0] = 0x9f; // says 31 blocks, has one
        assert_eq!(
            parse(&many).and_then(|mut c| c.next()),
            Some(Packet::Other {
                kind: SENDER_REPORT
            })
        );
        assert!(
            parse(&[0x81, BYE, 0, 1, 0, 0, 0, 7]).is_none(),
            "a compound begins with a report"
        );
    }

    #[test]
    fn loss_is_signed_in_24_bits() {
        for lost in [-0x80_0000, -1, 0, 1, 0x7f_ffff] {
            let mut bytes = [0; 24];
            for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(
                ReportBlock {
                    cumulative_lost: lost,
                    ..BLOCK
                }
                .words(),
            ) {
                *chunk = word.to_be_bytes();
            }
            assert_eq!(ReportBlock::read(&bytes).cumulative_lost, lost);
        }
    }

    fn walk(bytes: &[u8]) -> usize {
        parse(bytes)
            .into_iter()
            .flatten()
            .map(|packet| match packet {
                Packet::SenderReport { blocks, .. } | Packet::ReceiverReport { blocks, .. } => {
                    1 + blocks.count()
                }
                Packet::Cname { cname, .. } => 1 + cname.len().min(1),
                Packet::Extended { blocks, .. } => blocks.count(),
                Packet::Bye { .. } | Packet::Other { .. } => 1,
            })
            .sum()
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_safely(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            walk(&bytes);
        }

        #[test]
        fn damaged_reports_are_read_safely(places in proptest::collection::vec((0usize..120, any::<u8>()), 1..6), length in 0usize..120) {
            let mut out = [0; MAX_REPORT];
            let bytes = write_bye(&REPORT, &mut out);
            let mut damaged = out[..bytes].to_vec();
            for (at, value) in places {
                if let Some(byte) = damaged.get_mut(at) { *byte = value; }
            }
            damaged.truncate(length);
            prop_assert!(walk(&damaged) <= 2 * damaged.len());
        }
    }
}
