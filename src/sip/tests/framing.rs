//! Streams: every split gives the same messages, and nothing in a body becomes one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use sip::{Framer, FramingError, Limits, Message, Method};

fn message(method: &str, length: &str, body: &str) -> String {
    format!(
        "{method} sip:102@pbx SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.7;branch=z9hG4bKa1\r\nFrom: <sip:101@pbx>;tag=f\r\n\
         To: <sip:102@pbx>\r\nCall-ID: c1\r\nCSeq: 1 {method}\r\n{length}\r\n{body}"
    )
}

fn sized(method: &str, body: &str) -> String {
    message(method, &format!("Content-Length: {}\r\n", body.len()), body)
}

fn drain(framer: &mut Framer, into: &mut Vec<Bytes>) -> Result<(), FramingError> {
    while let Some(bytes) = framer.next()? {
        into.push(bytes);
    }
    Ok(())
}

/// Feeds `stream` in pieces of `size`; the methods of what comes out, or the error.
fn cut(stream: &[u8], size: usize) -> Result<Vec<Bytes>, FramingError> {
    let mut framer = Framer::default();
    let mut messages = Vec::new();
    for piece in stream.chunks(size) {
        framer.push(piece);
        drain(&mut framer, &mut messages)?;
    }
    Ok(messages)
}

fn methods(messages: &[Bytes]) -> Vec<String> {
    let method = |b: &Bytes| {
        Message::parse(b.clone())
            .unwrap()
            .method()
            .as_str()
            .to_owned()
    };
    messages.iter().map(method).collect()
}

#[test]
fn every_split_gives_the_same_messages() {
    let inner = sized("INVITE", "v=0\r\n\r\n");
    let stream = [
        "\r\n\r\n",
        &sized("MESSAGE", &inner),
        &sized("OPTIONS", ""),
        "\r\n",
        &message("REGISTER", "l\t:\r\n  0\r\n", ""),
        &message("BYE", "Content-Length : 5\r\n", "12345"),
        "\r\n\r\n\r\n\r\n",
    ]
    .concat();
    let expected = ["MESSAGE", "OPTIONS", "REGISTER", "BYE"];
    for size in 1..=stream.len() {
        assert_eq!(
            methods(&cut(stream.as_bytes(), size).unwrap()),
            expected,
            "pieces of {size}"
        );
    }
    for at in 0..stream.len() {
        let (a, b) = stream.as_bytes().split_at(at);
        let mut framer = Framer::default();
        let mut messages = Vec::new();
        framer.push(a);
        drain(&mut framer, &mut messages).unwrap();
        framer.push(b);
        drain(&mut framer, &mut messages).unwrap();
        assert_eq!(methods(&messages), expected, "split at {at}");
        assert_eq!(framer.take_pings(), 3, "split at {at}");
        assert_eq!(framer.take_pings(), 0);
        assert!(framer.is_idle());
    }
}

#[test]
fn a_body_never_becomes_a_message() {
    let inner = sized("INVITE", "");
    for length in [
        "Content-Length : {}",
        "Content-Length\t: {}",
        "l:{}",
        "CONTENT-LENGTH:   00{}",
        "L :\r\n\t{}",
    ] {
        let line = length.replace("{}", &inner.len().to_string()) + "\r\n";
        let stream = message("MESSAGE", &line, &inner) + &sized("BYE", "");
        let messages = cut(stream.as_bytes(), 7).unwrap();
        assert_eq!(methods(&messages), ["MESSAGE", "BYE"], "{length}");
        assert_eq!(
            Message::parse(messages[0].clone()).unwrap().body(),
            inner.as_bytes()
        );
    }
}

#[test]
fn any_doubt_about_the_length_ends_the_stream() {
    let inner = sized("INVITE", "");
    let n = inner.len();
    for lines in [
        String::new(),
        format!("Content-Length: 0\r\nContent-Length: {n}\r\n"),
        format!("Content-Length: {n}\r\nl: 0\r\n"),
        format!("Content-Length: {n}\r\nContent-Length: {n}\r\n"),
        format!("Content-Length: 0, {n}\r\n"),
        format!("Content-Length: 0\r\n {n}\r\n"),
        "Content-Length:\r\n".into(),
        "Content-Length: -1\r\n".into(),
        "Content-Length: +1\r\n".into(),
        "Content-Length: 0x10\r\n".into(),
        "Content-Length: 1e1\r\n".into(),
        "Content-Length: 5;x\r\n".into(),
        "Content-Length: 99999999999999999999999\r\n".into(),
        "Content-Length: 18446744073709551615\r\n".into(),
        "Content-Length: 70000\r\n".into(),
        "Content-Length: \u{664}\r\n".into(),
        "Content-Length 0\r\nl: 5\r\n".into(),
        "Content-Length\u{b}: 0\r\n".into(),
        "X: y\nContent-Length: 0\r\n".into(),
        "X: y\rContent-Length: 0\r\n".into(),
        "X: \0\r\nContent-Length: 0\r\n".into(),
        "X: y\r\r\nContent-Length: 0\r\n".into(),
    ] {
        let stream = message("MESSAGE", &lines, &inner);
        for size in [1, 64, stream.len()] {
            assert!(cut(stream.as_bytes(), size).is_err(), "{lines:?}");
        }
    }
    // An error is final, and what comes after it takes no room.
    let mut framer = Framer::default();
    framer.push(message("MESSAGE", "", "").as_bytes());
    assert_eq!(framer.next(), Err(FramingError::NoContentLength));
    framer.push(sized("BYE", "").as_bytes());
    assert_eq!(framer.next(), Err(FramingError::NoContentLength));
}

#[test]
fn other_protocols_end_the_stream_or_get_nothing() {
    for stream in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\n\n\r\n\r\n",
        "\rINVITE\r\n\r\n",
        " \r\n\r\n",
        "x\r\n\r\n",
    ] {
        assert!(cut(stream.as_bytes(), 3).is_err(), "{stream:?}");
    }
    assert_eq!(cut(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 1), Ok(vec![]));
}

#[test]
fn a_stream_holds_no_more_than_its_limit() {
    let limits = Limits {
        message: 2_000,
        ..Limits::default()
    };
    let mut framer = Framer::new(limits);
    let mut pushed = 0;
    let error = loop {
        framer.push(b"X: never ending\r\n");
        pushed += 17;
        match framer.next() {
            Ok(None) => assert!(pushed <= 2_000),
            Ok(Some(_)) => panic!("there is no message"),
            Err(error) => break error,
        }
    };
    assert_eq!(error, FramingError::TooLong(2_000));

    let mut framer = Framer::new(limits);
    framer.push(message("MESSAGE", "Content-Length: 1900\r\n", "").as_bytes());
    assert_eq!(framer.next(), Err(FramingError::TooLong(2_000)));
}

#[test]
fn keep_alives_are_counted_not_stored() {
    let mut framer = Framer::default();
    for _ in 0..10_000 {
        framer.push(b"\r\n");
        assert_eq!(framer.next(), Ok(None));
    }
    assert_eq!(framer.take_pings(), 5_000);
    assert!(framer.is_idle());
    framer.push(b"\r");
    assert_eq!(framer.next(), Ok(None));
    assert!(!framer.is_idle());
}

#[test]
fn what_the_framer_cuts_the_parser_reads_whole() {
    let stream = sized("INVITE", "v=0\r\n") + &sized("ACK", "");
    for bytes in cut(stream.as_bytes(), stream.len()).unwrap() {
        let m = Message::parse(bytes.clone()).unwrap();
        assert_eq!(m.bytes(), &bytes);
        assert!(matches!(m.method(), Method::Invite | Method::Ack));
    }
}

#[test]
fn the_head_of_a_request_that_is_too_long_can_still_be_answered() {
    let long = "Content-Length: 100000\r\n";
    let mut framer = Framer::default();
    framer.push(message("MESSAGE", long, "the beginning").as_bytes());
    assert_eq!(framer.next(), Err(FramingError::TooLong(65_535)));
    let head = framer.take_oversized().unwrap();
    assert_eq!(head, message("MESSAGE", long, ""));
    assert_eq!(framer.take_oversized(), None);

    let response = message("x", long, "").replace("x sip:102@pbx SIP/2.0", "SIP/2.0 200 OK");
    let nobodys = "MESSAGE sip:102@pbx SIP/2.0\r\nContent-Length: 100000\r\n\r\n";
    for text in [response.as_str(), nobodys] {
        let mut framer = Framer::default();
        framer.push(text.as_bytes());
        assert_eq!(framer.next(), Err(FramingError::TooLong(65_535)), "{text}");
        assert_eq!(framer.take_oversized(), None, "{text}");
    }
}
