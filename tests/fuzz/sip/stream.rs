//! A stream of messages: however it is split, the same messages come out, and each of them parses.

use bytes::Bytes;
use sip::{Framer, Limits, Message};

/// Small, so that inputs reach them.
const LIMITS: Limits = Limits {
    message: 2048,
    headers: 24,
    header_bytes: 512,
};

/// What came of a stream.
#[derive(Debug, Default, PartialEq)]
struct Cut {
    messages: Vec<Bytes>,
    pings: usize,
    failed: bool,
    idle: bool,
}

pub fn check(data: &[u8]) {
    let whole = cut(std::iter::once(data));
    // Byte by byte, or nearly so when that would take long.
    let crumbs = cut(data.chunks(1 + data.len() / 512));
    assert_eq!(whole, crumbs, "in crumbs");
    // Where to cut is the input's to say, and the same for the same input.
    let size = 1 + data
        .iter()
        .fold(0, |sum: usize, b| sum * 31 % 9_973 + usize::from(*b))
        % 97;
    assert_eq!(whole, cut(data.chunks(size)), "by {size}");
    for message in &whole.messages {
        // RFC 3261 §18.3: both know where it ends. Whether its start line means anything is the parser's alone to say.
        if let Err(error) = Message::parse_within(message.clone(), &LIMITS) {
            let ends = ["Content-Length", "too large", "the head does not end"];
            assert!(!ends.iter().any(|end| error.what.contains(end)), "{error}");
        }
    }
}

fn cut<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Cut {
    let mut framer = Framer::new(LIMITS);
    let mut cut = Cut::default();
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(message)) => cut.messages.push(message),
                Ok(None) => break,
                Err(_) => {
                    cut.failed = true;
                    break;
                }
            }
        }
        cut.pings += framer.take_pings();
    }
    cut.idle = framer.is_idle();
    cut
}
