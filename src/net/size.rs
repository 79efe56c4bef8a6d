//! Large requests over UDP. RFC 3261 §18.1.1: a request over 1,300 octets is to go by TCP, because fragments get lost;
//! when TCP cannot be had it goes by UDP after all, which is what most phones and providers expect.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

/// Octets of the largest request for UDP.
const LARGEST: usize = 1300;
/// How long TCP may take before UDP is used.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);
/// How long a remote that took no TCP connection is not tried again.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Remotes remembered; beyond that the oldest knowledge is forgotten.
const REMOTES: usize = 4096;

/// INVITEs that went by TCP and are remembered; beyond that the oldest is forgotten.
const MOVED: usize = 4096;

/// Whether this datagram should go by TCP if possible.
pub(crate) fn is_large_request(bytes: &[u8]) -> bool {
    bytes.len() > LARGEST && !bytes.starts_with(b"SIP/2.0 ")
}

/// The request with its topmost Via naming TCP. None when there is no such Via, which we would not have written.
pub(crate) fn by_tcp(bytes: &Bytes) -> Option<Bytes> {
    const UDP: &[u8] = b"SIP/2.0/UDP";
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let at = bytes
        .get(..head)?
        .windows(UDP.len())
        .position(|name| name == UDP)?;
    let mut changed = BytesMut::from(bytes.as_ref());
    changed
        .get_mut(at..at + UDP.len())?
        .copy_from_slice(b"SIP/2.0/TCP");
    Some(changed.freeze())
}

/// Which INVITEs went by TCP instead of UDP. What belongs to the same transaction goes the same way: CANCEL (RFC 3261
/// §9.1) and the ACK of a refusal (§17.1.1.3), both of which are small and have the INVITE's branch.
#[derive(Default)]
pub(crate) struct Moved(Mutex<Branches>);

#[derive(Default)]
struct Branches {
    known: HashSet<(SocketAddr, Bytes)>,
    /// Oldest first.
    order: VecDeque<(SocketAddr, Bytes)>,
}

impl Moved {
    /// `request` was written to a TCP connection to `remote`.
    pub(crate) fn note(&self, remote: SocketAddr, request: &Bytes) {
        let Some(key) = key(remote, request).filter(|_| request.starts_with(b"INVITE ")) else {
            return;
        };
        let mut branches = self.lock();
        if branches.known.insert(key.clone()) {
            branches.order.push_back(key);
        }
        if branches.order.len() > MOVED
            && let Some(oldest) = branches.order.pop_front()
        {
            branches.known.remove(&oldest);
        }
    }

    /// Whether `request` belongs to an INVITE that was moved.
    pub(crate) fn concerns(&self, remote: SocketAddr, request: &Bytes) -> bool {
        let follows = request.starts_with(b"ACK ") || request.starts_with(b"CANCEL ");
        follows && key(remote, request).is_some_and(|key| self.lock().known.contains(&key))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Branches> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The branch of the topmost Via as we write it, copied so that the message need not stay.
fn key(remote: SocketAddr, request: &[u8]) -> Option<(SocketAddr, Bytes)> {
    const BRANCH: &[u8] = b";branch=";
    let line = request.iter().position(|b| *b == b'\n')?;
    let headers = request.get(line..)?;
    let at = headers
        .windows(BRANCH.len())
        .position(|name| name == BRANCH)?;
    let value = headers.get(at + BRANCH.len()..)?;
    let branch = value.split(|b| b";,\r\n ".contains(b)).next()?;
    Some((remote, Bytes::copy_from_slice(branch)))
}

#[derive(Clone, Copy)]
enum Tried {
    Now(Instant),
    InVain(Instant),
}

/// What to do with a large request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    Try,
    /// An attempt is under way: this is a repetition of the request that waits for it.
    Drop,
    UseUdp,
}

/// Which remotes took no TCP connection.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<SocketAddr, Tried>>);

impl Attempts {
    pub(crate) fn advise(&self, now: Instant, remote: SocketAddr) -> Advice {
        let mut tried = self.lock();
        match tried.get(&remote) {
            Some(Tried::Now(since)) if now < *since + 2 * PATIENCE => return Advice::Drop,
            Some(Tried::InVain(since)) if now < *since + REMEMBERED => return Advice::UseUdp,
            Some(_) | None => {}
        }
        if tried.len() >= REMOTES {
            tried.clear();
        }
        tried.insert(remote, Tried::Now(now));
        Advice::Try
    }

    pub(crate) fn done(&self, now: Instant, remote: SocketAddr, connected: bool) {
        if connected {
            self.lock().remove(&remote);
        } else {
            self.lock().insert(remote, Tried::InVain(now));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, Tried>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_requests_are_sent_by_tcp_and_say_so() {
        assert!(is_large_request(&[b'I'; 1301]));
        assert!(!is_large_request(&[b'I'; 1300]));
        let mut response = b"SIP/2.0 200 OK".to_vec();
        response.resize(2000, b' ');
        assert!(!is_large_request(&response));
        let request = Bytes::from_static(
            b"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nVia: SIP/2.0/UDP i\r\n\r\nSIP/2.0/UDP",
        );
        let expected =
            &b"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nVia: SIP/2.0/UDP i\r\n\r\nSIP/2.0/UDP"
                [..];
        assert_eq!(by_tcp(&request).unwrap(), expected);
        let odd = Bytes::from_static(b"INVITE sip:a SIP/2.0\r\n\r\nSIP/2.0/UDP");
        assert_eq!(by_tcp(&odd), None);
    }

    #[test]
    fn what_belongs_to_a_moved_invite_is_known_for_long_but_not_for_ever() {
        let (remote, other) = (
            "192.0.2.1:5060".parse().unwrap(),
            "192.0.2.1:5062".parse().unwrap(),
        );
        let request = |method: &str, branch: usize| {
            Bytes::from(format!(
                "{method} sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{branch};rport\r\n\r\n"
            ))
        };
        let moved = Moved::default();
        moved.note(remote, &request("INVITE", 0));
        moved.note(remote, &request("MESSAGE", 1));
        for method in ["ACK", "CANCEL"] {
            assert!(moved.concerns(remote, &request(method, 0)), "{method}");
            assert!(!moved.concerns(other, &request(method, 0)), "{method}");
            assert!(!moved.concerns(remote, &request(method, 1)), "{method}");
        }
        assert!(!moved.concerns(remote, &request("BYE", 0)));
        for branch in 0..MOVED {
            moved.note(remote, &request("INVITE", branch));
        }
        assert!(moved.concerns(remote, &request("ACK", 0)));
        moved.note(remote, &request("INVITE", MOVED));
        assert!(!moved.concerns(remote, &request("ACK", 0)));
        assert_eq!(moved.lock().known.len(), MOVED);
    }

    #[test]
    fn a_remote_without_tcp_is_left_alone_for_a_while() {
        let attempts = Attempts::default();
        let remote = "192.0.2.1:5060".parse().unwrap();
        let now = Instant::now();
        assert_eq!(attempts.advise(now, remote), Advice::Try);
        assert_eq!(attempts.advise(now + PATIENCE, remote), Advice::Drop);
        attempts.done(now, remote, false);
        assert_eq!(attempts.advise(now + PATIENCE, remote), Advice::UseUdp);
        assert_eq!(attempts.advise(now + REMEMBERED, remote), Advice::Try);
        attempts.done(now, remote, true);
        assert_eq!(attempts.advise(now, remote), Advice::Try);
    }
}
