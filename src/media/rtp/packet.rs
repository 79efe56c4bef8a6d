//! The RTP fixed header: read from a packet, written before a payload.

use std::ops::Range;

/// Bytes of the header `write` makes: no CSRC list, no extension.
pub const HEADER_LEN: usize = 12;

/// The fields of an RTP header that matter to us (RFC 3550 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// First packet after a silence, or of a telephone event.
    pub marker: bool,
    /// 0..=127.
    pub payload_type: u8,
    /// Counts packets, wraps.
    pub sequence: u16,
    /// Counts ticks of the codec's clock, wraps.
    pub timestamp: u32,
    /// Who sent it.
    pub ssrc: u32,
}

/// Reads a packet: its header, and where in `packet` the payload lies with CSRCs, extension and padding removed.
/// `None` when it is not RTP version 2 or its lengths do not fit (RFC 3550 §A.1).
#[must_use]
pub fn parse(packet: &[u8]) -> Option<(Header, Range<usize>)> {
    let fixed: &[u8; HEADER_LEN] = packet.first_chunk()?;
    let [flags, kind, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
    if flags >> 6 != 2 {
        return None;
    }
    let mut start = HEADER_LEN + usize::from(flags & 0x0f) * 4;
    if flags & 0x10 != 0 {
        // RFC 3550 §5.3.1: a 16-bit profile word, then the length in 32-bit words without these four bytes.
        let words: &[u8; 4] = packet.get(start..)?.first_chunk()?;
        start += 4 + usize::from(u16::from_be_bytes([words[2], words[3]])) * 4;
    }
    let mut end = packet.len();
    if flags & 0x20 != 0 {
        // RFC 3550 §5.1: the last octet counts the padding, itself included.
        let padding = usize::from(*packet.last()?);
        if padding == 0 {
            return None;
        }
        end = end.checked_sub(padding)?;
    }
    if start > end {
        return None;
    }
    let header = Header {
        marker: kind & 0x80 != 0,
        payload_type: kind & 0x7f,
        sequence: u16::from_be_bytes([s0, s1]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
    };
    Some((header, start..end))
}

/// Writes the 12-byte header at the start of `out` and returns 12, or 0 when `out` is shorter than that.
pub fn write(header: &Header, out: &mut [u8]) -> usize {
    let Some(fixed) = out.first_chunk_mut::<HEADER_LEN>() else {
        return 0;
    };
    let [s0, s1] = header.sequence.to_be_bytes();
    let [t0, t1, t2, t3] = header.timestamp.to_be_bytes();
    let [c0, c1, c2, c3] = header.ssrc.to_be_bytes();
    let kind = u8::from(header.marker) << 7 | header.payload_type & 0x7f;
    *fixed = [0x80, kind, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3];
    HEADER_LEN
}

/// Whether a datagram on a port shared by both is RTCP (RFC 5761 §4: the second byte is 192..=223).
#[must_use]
pub fn is_rtcp(packet: &[u8]) -> bool {
    matches!(packet, [first, 192..=223, ..] if first >> 6 == 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: Header = Header {
        marker: true,
        payload_type: 101,
        sequence: 0xfffe,
        timestamp: 0x0102_0304,
        ssrc: 0xdead_beef,
    };

    fn packet(payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0; HEADER_LEN];
        assert_eq!(write(&HEADER, &mut out), HEADER_LEN);
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(parse(&packet(b"hello")), Some((HEADER, 12..17)));
        assert_eq!(parse(&packet(b"")), Some((HEADER, 12..12)));
        assert_eq!(write(&HEADER, &mut [0; 11]), 0);
    }

    #[test]
    fn csrcs_extension_and_padding_are_no_payload() {
        let mut bytes = packet(&[]);
        bytes[0] = 0x80 | 0x20 | 0x10 | 2;
        bytes.extend_from_slice(&[0; 8]); // two CSRCs
        bytes.extend_from_slice(&[0xbe, 0xde, 0, 1, 1, 2, 3, 4]); // one word of extension
        bytes.extend_from_slice(b"voice");
        bytes.extend_from_slice(&[0, 0, 3]);
        assert_eq!(parse(&bytes), Some((HEADER, 28..33)));
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let whole = packet(b"x");
        assert_eq!(parse(&whole[..11]), None);
        for (flags, tail) in [(0x40, 1), (0x8f, 1), (0x90, 0), (0xa0, 0), (0xa0, 200)] {
            let mut bytes = whole.clone();
            bytes[0] = flags;
            *bytes.last_mut().expect("not empty") = tail;
            assert_eq!(parse(&bytes), None, "{flags:#x} {tail}");
        }
    }

    #[test]
    fn rtcp_is_told_from_rtp() {
        assert!(is_rtcp(&[0x80, 200]));
        assert!(!is_rtcp(&packet(b"")));
        assert!(!is_rtcp(&[0x80]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_safely(bytes in proptest::collection::vec(any::<u8>(), 0..200), first in 0x80u8..=0xbf) {
            let _ = parse(&bytes);
            let mut bytes = bytes;
            if let Some(byte) = bytes.first_mut() { *byte = first; }
            if let Some((_, range)) = parse(&bytes) {
                prop_assert!(range.start >= HEADER_LEN && range.end <= bytes.len());
                prop_assert!(bytes.get(range).is_some());
            }
        }
    }
}
