//! Bytes nobody meant: nothing panics, and what is accepted stays what it is.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the messages are in files")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;

use bytes::Bytes;
use proptest::prelude::*;
use sip::digest::{Challenge, Credentials};
use sip::{Builder, Framer, HeaderId, Message, NameAddr, Uri, Via, check_request, stamp_via};

static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture");
    let mut paths: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|p| fs::read(p).unwrap()).collect()
});

/// Pieces that change what stands around them.
const SPICE: [&[u8]; 16] = [
    b"\r\n",
    b"\r",
    b"\n",
    b"\0",
    b"\"",
    b"<",
    b">",
    b";",
    b",",
    b"\\",
    b"\r\n ",
    b"\r\n\r\n",
    b":",
    b"%",
    b"\xff",
    b"[",
];

/// Reads everything that can be read of a message.
fn exercise(bytes: &[u8]) {
    let buf = Bytes::copy_from_slice(bytes);
    let Ok(m) = Message::parse(buf.clone()) else {
        if let Some(m) = Message::salvage(buf) {
            answer(&m);
        }
        return;
    };
    let _ = (
        m.status(),
        m.reason(),
        m.method().as_str().len(),
        m.request_uri(),
        format!("{m:?}"),
    );
    let _ = (
        m.from(),
        m.to(),
        m.contacts(),
        m.contact(),
        m.cseq(),
        m.call_id(),
        m.max_forwards(),
        m.expires(),
    );
    let _ = (
        m.content_type(),
        m.record_routes(),
        m.header_named("X"),
        m.contact_is_star(),
    );
    exercise_values(&m);
    // Read again, it is the same message; stamped, only its Via differs.
    let again = Message::parse(m.bytes().clone()).expect("what was accepted is accepted");
    assert_eq!(again.body(), m.body());
    let source: SocketAddr = "192.0.2.99:7777".parse().unwrap();
    let stamped = stamp_via(m.clone(), source);
    let reread = Message::parse(stamped.bytes().clone());
    if m.bytes().len() < 60_000 {
        let reread = reread.expect("a stamped message is a message");
        assert_eq!(reread.body(), m.body());
        assert_eq!(reread.cseq(), m.cseq());
        assert!(reread.raw(HeaderId::To).eq(stamped.raw(HeaderId::To)));
    }
    if check_request(&m).is_ok() && m.is_request() {
        answer(&m);
    }
}

/// Every raw value is one line; every digest value is read.
fn exercise_values(m: &Message) {
    for id in [
        HeaderId::Authorization,
        HeaderId::ProxyAuthorization,
        HeaderId::WwwAuthenticate,
    ] {
        for value in m.headers(id) {
            let _ = (Credentials::parse(&value), Challenge::parse(&value));
        }
    }
    for id in [
        HeaderId::Via,
        HeaderId::From,
        HeaderId::Contact,
        HeaderId::Subject,
    ] {
        for value in m.raw(id) {
            assert!(!value.contains(&b'\n') && !value.contains(&b'\r'));
        }
    }
}

/// An answer is always writable and, once the request was good, readable.
fn answer(request: &Message) {
    let bytes = Builder::response(400, None, request)
        .to_tag("t")
        .build()
        .expect("an answer can be written");
    if check_request(request).is_ok() {
        let response = Message::parse(bytes).expect("an answer can be read");
        assert_eq!(response.method(), request.method());
        assert_eq!(
            response.raw(HeaderId::Via).count(),
            request.raw(HeaderId::Via).count()
        );
    }
}

/// Whatever the pieces, the framer gives the same, and the parser agrees on every boundary.
fn frame(stream: &[u8], size: usize) {
    let whole = cut(stream, stream.len().max(1));
    assert_eq!(whole, cut(stream, size));
    for bytes in whole.0 {
        if let Ok(m) = Message::parse(bytes.clone()) {
            assert_eq!(m.bytes().len(), bytes.len());
        }
    }
}

fn cut(stream: &[u8], size: usize) -> (Vec<Bytes>, bool) {
    let mut framer = Framer::default();
    let mut messages = Vec::new();
    for piece in stream.chunks(size) {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(bytes)) => messages.push(bytes),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    (messages, false)
}

/// A message of the corpus with a few places cut, copied or spiced.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (
        any::<prop::sample::Index>(),
        0..4u8,
        0..SPICE.len(),
        0..40usize,
    );
    (
        any::<prop::sample::Index>(),
        prop::collection::vec(edit, 1..6),
    )
        .prop_map(|(file, edits)| {
            let mut bytes = CORPUS[file.index(CORPUS.len())].clone();
            for (place, kind, spice, length) in edits {
                if bytes.is_empty() {
                    break;
                }
                let at = place.index(bytes.len());
                let end = (at + length).min(bytes.len());
                match kind {
                    0 => drop(bytes.splice(at..at, SPICE[spice].iter().copied())),
                    1 => drop(bytes.drain(at..end)),
                    2 => bytes[at] = SPICE[spice][0],
                    _ => {
                        let copy = bytes[at..end].to_vec();
                        drop(bytes.splice(at..at, copy));
                    }
                }
            }
            bytes
        })
}

#[test]
fn the_corpus_itself() {
    for bytes in CORPUS.iter() {
        exercise(bytes);
        frame(bytes, 3);
        for end in 0..bytes.len() {
            let _ = Message::parse(Bytes::copy_from_slice(&bytes[..end]));
        }
    }
    frame(&CORPUS.concat(), 5);
}

/// Long lists cost time in proportion to their length.
#[test]
fn long_lists_are_read_in_one_go() {
    let head = "INVITE sip:a@b SIP/2.0\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n";
    for value in [
        ";a".repeat(7_000),
        ",".repeat(16_000),
        ";a=\"".repeat(4_000),
        "<".repeat(16_000),
        "\\".repeat(16_000),
    ] {
        let text = format!("{head}Via: SIP/2.0/UDP a{value}\r\nContact: <sip:a@b>{value}\r\n\r\n");
        exercise(text.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400), size in 1..50usize) {
        exercise(&bytes);
        frame(&bytes, size);
    }

    #[test]
    fn random_heads(text in "(INVITE|SIP/2.0|[A-Z]{1,4}) [ -~]{0,30}\r\n([A-Za-z-]{1,9}[: ]{0,2}[ -~\u{80}-\u{ff}]{0,20}\r\n){0,6}\r\n") {
        exercise(text.as_bytes());
    }

    #[test]
    fn mutated_messages(bytes in mutated(), size in 1..200usize) {
        exercise(&bytes);
        frame(&bytes, size);
    }

    #[test]
    fn values_round_trip(text in "(\"[ -~]{0,6}\" ?)?<?(sips?|tel|x):[!-~]{0,20}>?(;[a-z]{1,3}(=[!-~]{0,5})?){0,3}", any in ".{0,30}") {
        for text in [&text, &any] {
            if let Ok(address) = NameAddr::parse(text) {
                let again = NameAddr::parse(&address.to_string()).expect("what was written can be read");
                prop_assert_eq!(&again.params, &address.params);
            }
            if let Ok(uri) = Uri::parse(text)
                && !uri.user.as_deref().unwrap_or("").contains('\u{fffd}')
            {
                prop_assert_eq!(Uri::parse(&uri.to_string()), Ok(uri));
            }
            let _ = (Credentials::parse(text), Challenge::parse(text));
            if let Ok(via) = Via::parse(text) {
                prop_assert_eq!(Via::parse(&via.to_string()), Ok(via));
            }
        }
    }
}
