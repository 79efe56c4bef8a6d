//! SIP messages as a capture file that Wireshark opens: classic pcap of bare IP packets. Whatever a message travelled
//! on, here it is a UDP datagram of its own, for there are no TCP segments to tell of.

use directory::Traced;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// LINKTYPE_RAW: each packet begins with its IP header.
const RAW: u32 = 101;
/// Most octets of a packet; a longer message is cut.
const MOST: usize = 65_535;
const UDP: u8 = 17;
/// Its header's length.
const UDP_HEAD: usize = 8;

/// The file.
pub(crate) fn pcap(messages: &[Traced]) -> Vec<u8> {
    let mut file = Vec::new();
    // Microseconds, in this machine's own order of octets; version 2.4.
    file.extend_from_slice(&0xa1b2_c3d4_u32.to_ne_bytes());
    file.extend_from_slice(&2_u16.to_ne_bytes());
    file.extend_from_slice(&4_u16.to_ne_bytes());
    file.extend_from_slice(&[0; 8]);
    file.extend_from_slice(&(MOST as u32).to_ne_bytes());
    file.extend_from_slice(&RAW.to_ne_bytes());
    for message in messages.iter().filter(|message| !message.bytes.is_empty()) {
        let packet = packet(message);
        let at_us = message.at_us.max(0).unsigned_abs();
        let length = packet.len() as u32;
        for number in [
            (at_us / 1_000_000) as u32,
            (at_us % 1_000_000) as u32,
            length,
            length,
        ] {
            file.extend_from_slice(&number.to_ne_bytes());
        }
        file.extend_from_slice(&packet);
    }
    file
}

fn packet(message: &Traced) -> Vec<u8> {
    let (from, to) = if message.inward {
        (message.remote, message.local)
    } else {
        (message.local, message.remote)
    };
    match (from.ip().to_canonical(), to.ip().to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let ends = [a.octets(), b.octets()].concat();
            let data = udp(from, to, &ends, &message.bytes, MOST - 20);
            let mut head = Vec::from([0x45, 0]);
            head.extend_from_slice(&((20 + data.len()) as u16).to_be_bytes());
            // Not to be fragmented; 64 hops.
            head.extend_from_slice(&[0, 0, 0x40, 0, 64, UDP, 0, 0]);
            head.extend_from_slice(&ends);
            let sum = checksum(&[&head]).to_be_bytes();
            if let Some(place) = head.get_mut(10..12) {
                place.copy_from_slice(&sum);
            }
            head.extend_from_slice(&data);
            head
        }
        (a, b) => {
            let ends = [as_v6(a).octets(), as_v6(b).octets()].concat();
            let data = udp(from, to, &ends, &message.bytes, MOST - 40);
            let mut head = Vec::from([0x60, 0, 0, 0]);
            head.extend_from_slice(&(data.len() as u16).to_be_bytes());
            head.extend_from_slice(&[UDP, 64]);
            head.extend_from_slice(&ends);
            head.extend_from_slice(&data);
            head
        }
    }
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// The datagram; `ends` are both addresses as the IP header has them.
fn udp(from: SocketAddr, to: SocketAddr, ends: &[u8], text: &[u8], most: usize) -> Vec<u8> {
    let text = text.get(..most - UDP_HEAD).unwrap_or(text);
    let length = ((UDP_HEAD + text.len()) as u16).to_be_bytes();
    let mut data = Vec::with_capacity(UDP_HEAD + text.len());
    data.extend_from_slice(&from.port().to_be_bytes());
    data.extend_from_slice(&to.port().to_be_bytes());
    data.extend_from_slice(&length);
    data.extend_from_slice(&[0, 0]);
    data.extend_from_slice(text);
    // RFC 768, RFC 8200 §8.1: over the addresses too; a sum of 0 is written as its other form.
    let sum = match checksum(&[ends, &[0, UDP], &length, &data]) {
        0 => u16::MAX,
        sum => sum,
    };
    if let Some(place) = data.get_mut(6..8) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    data
}

/// RFC 1071 §1 over all parts, of which only the last may have an odd length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            let (high, low) = (pair.first(), pair.get(1));
            let word = [high, low].map(|b| b.copied().unwrap_or(0));
            sum += u32::from(u16::from_be_bytes(word));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(local: &str, remote: &str, text: String) -> Traced {
        Traced {
            call: 1,
            leg: None,
            at_us: 1_700_000_000_123_456,
            inward: true,
            transport: "tls".into(),
            local: local.parse().expect("an address"),
            remote: remote.parse().expect("an address"),
            bytes: text.into(),
        }
    }

    /// Each packet of a file, read back: time, from, to, text. Every length and checksum must be right.
    fn packets(file: &[u8]) -> Vec<(u64, String, String, usize)> {
        let word = |at: usize| u32::from_ne_bytes(file[at..at + 4].try_into().expect("four"));
        assert_eq!((word(0), word(16), word(20)), (0xa1b2_c3d4, 65_535, 101));
        let (mut at, mut found) = (24, Vec::new());
        while at < file.len() {
            let (seconds, micros, length) = (word(at), word(at + 4), word(at + 8) as usize);
            assert_eq!(word(at + 12) as usize, length);
            let packet = &file[at + 16..at + 16 + length];
            at += 16 + length;
            let (ends, head): (&[u8], usize) = match packet[0] >> 4 {
                4 => {
                    assert_eq!(checksum(&[&packet[..20]]), 0);
                    assert_eq!(
                        usize::from(u16::from_be_bytes([packet[2], packet[3]])),
                        length
                    );
                    (&packet[12..20], 20)
                }
                _ => {
                    assert_eq!(
                        usize::from(u16::from_be_bytes([packet[4], packet[5]])),
                        length - 40
                    );
                    (&packet[8..40], 40)
                }
            };
            let udp = &packet[head..];
            assert_eq!(usize::from(u16::from_be_bytes([udp[4], udp[5]])), udp.len());
            assert_eq!(checksum(&[ends, &[0, UDP], &udp[4..6], udp]), 0);
            let port = |at: usize| u16::from_be_bytes([udp[at], udp[at + 1]]);
            let half = ends.len() / 2;
            let name = |end: &[u8], port: u16| format!("{end:?}:{port}");
            let both = (name(&ends[..half], port(0)), name(&ends[half..], port(2)));
            let at_us = u64::from(seconds) * 1_000_000 + u64::from(micros);
            found.push((at_us, both.0, both.1, udp.len() - 8));
        }
        found
    }

    #[test]
    fn packets_have_times_ends_and_right_sums() {
        let mut out = message("[::ffff:192.0.2.1]:5060", "192.0.2.9:5070", "odd".into());
        out.inward = false;
        let messages = [
            message("192.0.2.1:5060", "192.0.2.9:5070", "INVITE".into()),
            out,
            message("[2001:db8::1]:5061", "[2001:db8::2]:4000", "seven 7".into()),
            message("192.0.2.1:5060", "192.0.2.9:5070", "x".repeat(100_000)),
            message("192.0.2.1:5060", "192.0.2.9:5070", String::new()),
        ];
        let found = packets(&pcap(&messages));
        assert_eq!(found.len(), 4, "the note that there were more is no packet");
        let (us, them) = ("[192, 0, 2, 1]:5060", "[192, 0, 2, 9]:5070");
        assert_eq!(found[0], (1_700_000_000_123_456, them.into(), us.into(), 6));
        assert_eq!((found[1].1.as_str(), found[1].2.as_str()), (us, them));
        assert!(found[2].1.ends_with(":4000") && found[2].3 == 7);
        assert_eq!(found[3].3, 65_535 - 28);
    }
}
