//! RTCP extended reports (RFC 3611): receiver reference time, DLRR, VoIP metrics. Read without trust, written in place.
//!
//! Not here: when they are agreed on (`sdp`) and what is made of them (`report.rs`).

pub(super) const KIND: u8 = 207;
const REFERENCE_TIME: u8 = 4;
const LAST_REFERENCE: u8 = 5;
const VOIP_METRICS: u8 = 7;
/// RFC 3611 §4.7: this value means unknown.
pub const UNKNOWN: u8 = 127;

/// A report block that means something to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// §4.4: the NTP time at which a receiver sent this.
    ReferenceTime(u64),
    /// §4.5: of the receiver `ssrc`, the middle 32 bits of its last reference time and the delay since, in 1/65536 s.
    LastReference { ssrc: u32, last: u32, delay: u32 },
    /// §4.7.
    Voip(VoipMetrics),
}

/// What one who hears a stream says of it (§4.7). Shares in 1/256, times in ms, scores in tenths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoipMetrics {
    /// The stream spoken of.
    pub ssrc: u32,
    pub loss: u8,
    pub discard: u8,
    pub burst_density: u8,
    pub gap_density: u8,
    pub burst_ms: u16,
    pub gap_ms: u16,
    pub round_trip_ms: u16,
    pub end_system_ms: u16,
    /// 0 to 100, or [`UNKNOWN`].
    pub rating: u8,
    /// 10 to 50, or [`UNKNOWN`].
    pub mos_listening: u8,
    pub mos_conversational: u8,
    pub buffer_ms: u16,
    pub buffer_most_ms: u16,
}

/// The blocks of one XR packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks<'a>(pub(super) &'a [u8]);

impl Iterator for Blocks<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        loop {
            let (&[kind, _, high, low], rest) = self.0.split_first_chunk::<4>()?;
            let length = usize::from(u16::from_be_bytes([high, low])) * 4;
            // §3: a block longer than the packet ends it.
            let (body, after) = rest.split_at_checked(length)?;
            self.0 = after;
            if let Some(block) = read(kind, body) {
                return Some(block);
            }
        }
    }
}

fn read(kind: u8, body: &[u8]) -> Option<Block> {
    match kind {
        REFERENCE_TIME => {
            let ntp: &[u8; 8] = body.first_chunk()?;
            Some(Block::ReferenceTime(u64::from_be_bytes(*ntp)))
        }
        LAST_REFERENCE => {
            // §4.5: one sub-block for each receiver; a party that talks with us alone has one.
            let words = body.as_chunks::<4>().0;
            let [ssrc, last, delay] = *words.first_chunk::<3>()?;
            Some(Block::LastReference {
                ssrc: u32::from_be_bytes(ssrc),
                last: u32::from_be_bytes(last),
                delay: u32::from_be_bytes(delay),
            })
        }
        VOIP_METRICS => body.first_chunk::<32>().map(voip).map(Block::Voip),
        _ => None,
    }
}

fn voip(body: &[u8; 32]) -> VoipMetrics {
    let [
        s0,
        s1,
        s2,
        s3,
        loss,
        discard,
        burst_density,
        gap_density,
        rest @ ..,
    ] = *body;
    let [b0, b1, g0, g1, r0, r1, e0, e1, rest @ ..] = rest;
    let [
        _signal,
        _noise,
        _echo,
        _gmin,
        rating,
        _outside,
        listening,
        conversational,
        rest @ ..,
    ] = rest;
    let [_config, _, n0, n1, m0, m1, _, _] = rest;
    VoipMetrics {
        ssrc: u32::from_be_bytes([s0, s1, s2, s3]),
        loss,
        discard,
        burst_density,
        gap_density,
        burst_ms: u16::from_be_bytes([b0, b1]),
        gap_ms: u16::from_be_bytes([g0, g1]),
        round_trip_ms: u16::from_be_bytes([r0, r1]),
        end_system_ms: u16::from_be_bytes([e0, e1]),
        rating,
        mos_listening: listening,
        mos_conversational: conversational,
        buffer_ms: u16::from_be_bytes([n0, n1]),
        buffer_most_ms: u16::from_be_bytes([m0, m1]),
    }
}

impl VoipMetrics {
    fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let fields: [&[u8]; 13] = [
            &self.ssrc.to_be_bytes(),
            &[
                self.loss,
                self.discard,
                self.burst_density,
                self.gap_density,
            ],
            &self.burst_ms.to_be_bytes(),
            &self.gap_ms.to_be_bytes(),
            &self.round_trip_ms.to_be_bytes(),
            &self.end_system_ms.to_be_bytes(),
            // §4.7.4: signal, noise and echo are unknown to who decodes nothing. §4.7.2: Gmin.
            &[UNKNOWN, UNKNOWN, UNKNOWN, 16],
            &[
                self.rating,
                UNKNOWN,
                self.mos_listening,
                self.mos_conversational,
            ],
            // §4.7.6: neither concealment nor a buffer of ours is told of.
            &[0, 0],
            &self.buffer_ms.to_be_bytes(),
            &self.buffer_most_ms.to_be_bytes(),
            &self.buffer_most_ms.to_be_bytes(),
            &[],
        ];
        let mut room = bytes.as_mut_slice();
        for field in fields {
            if let Some((to, rest)) = room.split_at_mut_checked(field.len()) {
                to.copy_from_slice(field);
                room = rest;
            } else {
                break;
            }
        }
        bytes
    }
}

/// Bytes of the longest XR packet of [`write()`]: its head, and each block once.
pub const MAX_EXTENDED: usize = 8 + 12 + 16 + 36;

/// Writes an XR packet of the receiver `ssrc` with these blocks. The bytes; 0 for no blocks, or too little room.
pub fn write(ssrc: u32, blocks: &[Option<Block>], out: &mut [u8]) -> usize {
    let mut at = 8;
    for block in blocks.iter().flatten() {
        let Some(after) = out.get_mut(at..).and_then(|room| put(block, room)) else {
            return 0;
        };
        at += after;
    }
    let words = u16::try_from(at / 4 - 1).unwrap_or(u16::MAX);
    let [high, low] = words.to_be_bytes();
    match out.first_chunk_mut::<8>() {
        Some(head) if at > 8 => {
            let [a, b, c, d] = ssrc.to_be_bytes();
            *head = [0x80, KIND, high, low, a, b, c, d];
            at
        }
        Some(_) | None => 0,
    }
}

fn put(block: &Block, out: &mut [u8]) -> Option<usize> {
    let mut place = |kind: u8, words: u8, body: &[&[u8]]| {
        let length = 4 + usize::from(words) * 4;
        let (head, mut room) = out.get_mut(..length)?.split_first_chunk_mut::<4>()?;
        *head = [kind, 0, 0, words];
        for part in body {
            let (to, rest) = room.split_at_mut_checked(part.len())?;
            to.copy_from_slice(part);
            room = rest;
        }
        Some(length)
    };
    match block {
        Block::ReferenceTime(ntp) => place(REFERENCE_TIME, 2, &[&ntp.to_be_bytes()]),
        Block::LastReference { ssrc, last, delay } => {
            let words = [ssrc.to_be_bytes(), last.to_be_bytes(), delay.to_be_bytes()];
            place(LAST_REFERENCE, 3, &[words.as_flattened()])
        }
        Block::Voip(metrics) => place(VOIP_METRICS, 8, &[&metrics.bytes()]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rtcp::{self, Packet};
    use super::*;
    use proptest::prelude::*;

    const METRICS: VoipMetrics = VoipMetrics {
        ssrc: 0x0102_0304,
        loss: 5,
        discard: 6,
        burst_density: 7,
        gap_density: 8,
        burst_ms: 900,
        gap_ms: 1_000,
        round_trip_ms: 110,
        end_system_ms: 120,
        rating: 93,
        mos_listening: 44,
        mos_conversational: 43,
        buffer_ms: 40,
        buffer_most_ms: 200,
    };

    fn compound(blocks: &[Option<Block>]) -> Vec<u8> {
        let mut bytes = vec![0x80, 201, 0, 1, 0, 0, 0, 9];
        let mut extended = [0; MAX_EXTENDED];
        let length = write(9, blocks, &mut extended);
        bytes.extend_from_slice(&extended[..length]);
        bytes
    }

    fn told(bytes: &[u8]) -> Vec<Block> {
        let packets = rtcp::parse(bytes).expect("a compound");
        let blocks = packets.filter_map(|packet| match packet {
            Packet::Extended { ssrc: 9, blocks } => Some(blocks),
            _ => None,
        });
        blocks.flatten().collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let blocks = [
            Some(Block::ReferenceTime(0x0102_0304_0506_0708)),
            None,
            Some(Block::LastReference {
                ssrc: 3,
                last: 4,
                delay: 5,
            }),
            Some(Block::Voip(METRICS)),
        ];
        let bytes = compound(&blocks);
        assert_eq!(bytes.len(), 8 + MAX_EXTENDED);
        assert_eq!(
            told(&bytes),
            blocks.into_iter().flatten().collect::<Vec<_>>()
        );
        assert_eq!(compound(&[None]).len(), 8, "no block, no packet");
    }

    #[test]
    fn the_places_are_those_of_the_rfc() {
        let bytes = compound(&[Some(Block::Voip(METRICS))]);
        let xr = &bytes[8..];
        assert_eq!(xr[..4], [0x80, 207, 0, 10]);
        assert_eq!(xr[8..12], [7, 0, 0, 8], "§4.7: block length 8");
        assert_eq!(xr[12..20], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(xr[28..36], [127, 127, 127, 16, 93, 127, 44, 43]);
        assert_eq!(xr[36..], [0, 0, 0, 40, 0, 200, 0, 200]);
    }

    #[test]
    fn unknown_and_cut_blocks_are_stepped_over() {
        let mut bytes = vec![0x80, 201, 0, 1, 0, 0, 0, 9, 0x80, 207, 0, 6, 0, 0, 0, 9];
        bytes.extend_from_slice(&[1, 0, 0, 1, 9, 9, 9, 9]);
        bytes.extend_from_slice(&[4, 0, 0, 200, 9, 9, 9, 9, 9, 9, 9, 9]);
        assert_eq!(told(&bytes), []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Blocks(&bytes).count() <= bytes.len() / 4);
        }
    }
}
