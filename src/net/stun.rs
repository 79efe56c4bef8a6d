//! STUN Binding on the SIP port (RFC 5626 §3.5.2): phones behind NAT ask it what their address is, to keep the way open
//! and to notice that it changed. Not ICE, and no other method.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
const HEADER: usize = 20;
const BINDING_REQUEST: [u8; 2] = 0x0001_u16.to_be_bytes();
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// USERNAME, MESSAGE-INTEGRITY, REALM, NONCE, and their successors: nobody proves anything here (RFC 5626 §8).
const CREDENTIALS: [u16; 7] = [0x0006, 0x0008, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E];
/// Answers a second to one address: what 30,000 phones behind one router need that ask every 30 s.
const RATE: u32 = 1_000;
/// Answers a second at one socket.
const RATE_OF_ALL: u32 = 20_000;
/// Addresses are told apart by where they stand among so many, which nobody outside can know.
const PLACES: usize = 1_024;

/// What to answer to a datagram from `from`; `None` when it is no Binding request. An answer is at most 24 octets longer
/// than what was asked.
pub(crate) fn answer(datagram: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    // RFC 8489 §6.3: type, length, magic cookie, transaction.
    let (header, attributes) = datagram.split_first_chunk::<HEADER>()?;
    let [t0, t1, l0, l1, c0, c1, c2, c3, transaction @ ..] = *header;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let sound = [t0, t1] == BINDING_REQUEST
        && [c0, c1, c2, c3] == COOKIE
        && length == attributes.len()
        && length.is_multiple_of(4);
    if !sound {
        return None;
    }
    match first_unknown(attributes)? {
        None => Some(success(from, transaction)),
        Some(unknown) => Some(refusal(unknown, transaction)),
    }
}

/// The first attribute that must be understood and is not (RFC 8489 §6.3.1); outer `None` when they cannot be read.
fn first_unknown(mut rest: &[u8]) -> Option<Option<u16>> {
    while let Some((&[t0, t1, l0, l1], more)) = rest.split_first_chunk::<4>() {
        let kind = u16::from_be_bytes([t0, t1]);
        if kind < 0x8000 && !CREDENTIALS.contains(&kind) {
            return Some(Some(kind));
        }
        let length = usize::from(u16::from_be_bytes([l0, l1])).next_multiple_of(4);
        rest = more.get(length..)?;
    }
    Some(None)
}

fn success(from: SocketAddr, transaction: [u8; 12]) -> Vec<u8> {
    // RFC 8489 §14.2.
    let [c0, c1, ..] = COOKIE;
    let port = from.port() ^ u16::from_be_bytes([c0, c1]);
    let (family, mut address) = match from.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    for (byte, mask) in address.iter_mut().zip(COOKIE.iter().chain(&transaction)) {
        *byte ^= mask;
    }
    let mut value = vec![0, family];
    value.extend(port.to_be_bytes());
    value.extend(address);
    message(BINDING_SUCCESS, transaction, &[(XOR_MAPPED_ADDRESS, value)])
}

fn refusal(unknown: u16, transaction: [u8; 12]) -> Vec<u8> {
    // RFC 8489 §14.8: class 4, number 20.
    let code = vec![0, 0, 4, 20];
    let mut list = unknown.to_be_bytes().to_vec();
    list.extend([0, 0]);
    let attributes = [(ERROR_CODE, code), (UNKNOWN_ATTRIBUTES, list)];
    message(BINDING_ERROR, transaction, &attributes)
}

fn message(kind: u16, transaction: [u8; 12], attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, value) in attributes {
        body.extend(kind.to_be_bytes());
        body.extend(u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
        body.extend(value);
    }
    let mut message = kind.to_be_bytes().to_vec();
    message.extend(u16::try_from(body.len()).unwrap_or_default().to_be_bytes());
    message.extend(COOKIE);
    message.extend(transaction);
    message.extend(body);
    message
}

/// How many answers went out in this second: in all, and to whom. Whoever forges a source gets no more than this of us,
/// and of that hardly more than he sent; whose address it is is without answers, and nobody else but one in [`PLACES`].
#[derive(Default)]
pub(crate) struct Rate {
    window: Mutex<Option<Window>>,
    places: RandomState,
}

struct Window {
    since: Instant,
    all: u32,
    of: Box<[u16; PLACES]>,
}

impl Rate {
    /// Counts one more, if there is room for it.
    pub(crate) fn allows(&self, now: Instant, source: IpAddr) -> bool {
        let mut window = self
            .window
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let window = window.get_or_insert_with(|| Window {
            since: now,
            all: 0,
            of: Box::new([0; PLACES]),
        });
        if now >= window.since + Duration::from_secs(1) {
            (window.since, window.all) = (now, 0);
            window.of.fill(0);
        }
        let place = self.places.hash_one(source) as usize % PLACES;
        let Some(count) = window.of.get_mut(place) else {
            return false;
        };
        if window.all >= RATE_OF_ALL || u32::from(*count) >= RATE {
            return false;
        }
        *count += 1;
        window.all += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 §2.1 to §2.3: the sample request's transaction and the addresses of the sample answers.
    const TRANSACTION: [u8; 12] = [
        0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
    ];

    fn request(attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
        message(1, TRANSACTION, attributes)
    }

    #[test]
    fn the_sample_addresses_are_written_as_in_rfc_5769() {
        let answer = |from: &str| super::answer(&request(&[]), from.parse().unwrap()).unwrap();
        let v4 = answer("192.0.2.1:32853");
        assert_eq!(v4[..4], [0x01, 0x01, 0, 12]);
        assert_eq!(v4[8..20], TRANSACTION);
        assert_eq!(
            v4[20..],
            [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]
        );
        let v6 = answer("[2001:db8:1234:5678:11:2233:4455:6677]:32853");
        assert_eq!(
            v6[20..],
            [
                0, 0x20, 0, 20, 0, 2, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79,
                0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9
            ]
        );
    }

    #[test]
    fn attributes_are_left_alone_or_refused() {
        let from: SocketAddr = "192.0.2.1:5060".parse().unwrap();
        // SOFTWARE (optional), USERNAME.
        let known = request(&[(0x8022, vec![b'x'; 8]), (0x0006, vec![b'u'; 4])]);
        assert_eq!(answer(&known, from).unwrap()[..2], [0x01, 0x01]);
        // CHANGE-REQUEST, of RFC 3489.
        let refused = answer(&request(&[(0x0003, vec![0; 4])]), from).unwrap();
        assert_eq!(refused[..2], [0x01, 0x11]);
        assert_eq!(
            refused[20..],
            [0, 9, 0, 4, 0, 0, 4, 20, 0, 10, 0, 4, 0, 3, 0, 0]
        );
    }

    #[test]
    fn what_is_no_request_is_not_answered() {
        let from = "192.0.2.1:5060".parse().unwrap();
        let good = request(&[(0x8022, vec![0; 4])]);
        for length in 0..good.len() {
            assert_eq!(answer(&good[..length], from), None, "{length}");
        }
        for (at, byte) in [(1, 0x11), (4, 0), (3, 4), (23, 200)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(answer(&bad, from), None, "{at}");
        }
        // An answer is never answered: two servers would talk for ever.
        let answered = answer(&good, from).unwrap();
        assert_eq!(answer(&answered, from), None);
    }

    #[test]
    fn no_more_is_answered_in_a_second_than_phones_need() {
        let (rate, now) = (Rate::default(), Instant::now());
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        assert!((0..RATE).all(|_| rate.allows(now, one)));
        let later = now + Duration::from_millis(999);
        assert!(!rate.allows(now, one) && !rate.allows(later, one));
        // Nobody else is without an answer for that, until all together have theirs.
        let others = (0..200_000_u32).map(|n| IpAddr::from(n.to_be_bytes()));
        let answered = others.filter(|other| rate.allows(now, *other)).count();
        assert_eq!(answered, (RATE_OF_ALL - RATE) as usize);
        assert!(rate.allows(now + Duration::from_secs(1), one));
    }
}
