//! The 49 messages of RFC 4475, each with what becomes of it here. The files are the
//! archive of the RFC's Appendix A, byte for byte.

#![expect(clippy::disallowed_methods, reason = "the messages are in files")]

use std::fs;
use std::path::Path;

use bytes::Bytes;
use sip::{Builder, HeaderId, Message, Method, Refusal, check_request};

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// Parsed and let through.
    Passes,
    /// A request refused with this status, after parsing or from what could be salvaged.
    Refused(u16),
    /// A response that is dropped.
    Dropped,
}
use Fate::{Dropped, Passes, Refused};

fn read(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/torture")
        .join(name)
        .with_extension("dat");
    Bytes::from(fs::read(path).expect(name))
}

fn parse(name: &str) -> Message {
    Message::parse(read(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn fate(name: &str) -> Fate {
    match Message::parse(read(name)) {
        Ok(message) => match check_request(&message) {
            Ok(()) => Passes,
            Err(Refusal { status, .. }) => Refused(status),
        },
        Err(_) => match Message::salvage(read(name)) {
            Some(message) => {
                assert!(message.body().is_empty());
                Builder::response(400, None, &message)
                    .to_tag("t")
                    .build()
                    .expect("an answer");
                Refused(400)
            }
            None => Dropped,
        },
    }
}

fn expect(fates: &[(&str, Fate)]) {
    for (name, expected) in fates {
        assert_eq!(fate(name), *expected, "{name}");
    }
}

/// §3.1.1 and §3.4: must be accepted.
#[test]
fn valid_messages_pass() {
    expect(
        &[
            "wsinv",
            "intmeth",
            "esc01",
            "escnull",
            "esc02",
            "lwsdisp",
            "longreq",
            "dblreq",
            "semiuri",
            "transports",
            "mpart01",
            "unreason",
            "noreason",
            "inv2543",
        ]
        .map(|name| (name, Passes)),
    );
}

/// §3.1.2 where the RFC leaves no choice, and the three of §3.3 of that kind.
#[test]
fn messages_that_must_be_refused_are() {
    expect(&[
        ("badinv01", Refused(400)),
        ("clerr", Refused(400)),
        ("ncl", Refused(400)),
        ("scalar02", Refused(400)),
        ("scalarlg", Dropped),
        ("quotbal", Refused(400)),
        ("ltgtruri", Refused(400)),
        ("badvers", Refused(505)),
        ("mismatch01", Refused(400)),
        ("mismatch02", Refused(400)),
        ("bigcode", Dropped),
        ("insuf", Refused(400)),
        ("multi01", Refused(400)),
        ("mcl01", Refused(400)),
    ]);
}

/// §3.1.2 where a receiver may be liberal. We are only where nothing can be misread.
#[test]
fn messages_that_may_be_refused() {
    expect(&[
        ("lwsruri", Refused(400)),
        ("lwsstart", Refused(400)),
        ("trws", Refused(400)),
        ("escruri", Refused(400)),
        ("baddate", Passes),
        ("regbadct", Refused(400)),
        ("badaspec", Refused(400)),
        ("baddn", Refused(400)),
        ("badbranch", Refused(400)),
    ]);
}

/// §3.2 to §3.3: well formed; what is wrong, if anything, is for the layers above.
#[test]
fn messages_refused_for_what_they_ask() {
    expect(&[
        ("unkscm", Refused(416)),
        ("novelsc", Refused(416)),
        ("unksm2", Passes),
        ("bext01", Passes),
        ("invut", Passes),
        ("regaut01", Passes),
        ("bcast", Passes),
        ("zeromf", Refused(483)),
        ("cparam01", Passes),
        ("cparam02", Passes),
        ("regescrt", Passes),
        ("sdp01", Passes),
    ]);
}

#[test]
fn every_message_is_judged_above() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture");
    let files = fs::read_dir(dir).unwrap().filter_map(|e| e.ok());
    let count = files
        .filter(|e| e.path().extension().is_some_and(|x| x == "dat"))
        .count();
    assert_eq!(count, 14 + 14 + 9 + 12);
}

#[test]
fn white_space_and_folding_change_nothing() {
    let m = parse("wsinv");
    assert_eq!(m.cseq(), Some((9, Method::Invite)));
    assert_eq!(m.max_forwards(), Some(68));
    let from = m.from().unwrap();
    assert_eq!(from.display.as_deref(), Some("J Rosenberg \\\""));
    assert_eq!(from.tag(), Some("98asjd8"));
    assert_eq!(m.to().unwrap().tag(), Some("1918181833n"));
    let vias: Vec<_> = m
        .values(HeaderId::Via)
        .map(|v| sip::Via::parse(&v).unwrap())
        .collect();
    let hosts: Vec<_> = vias
        .iter()
        .map(|v| (v.host.as_str(), v.branch().unwrap()))
        .collect();
    assert_eq!(
        hosts,
        [
            ("192.0.2.2", "390skdjuw"),
            ("spindle.example.com", "z9hG4bK9ikj8"),
            ("192.168.255.111", "z9hG4bK30239"),
        ]
    );
    let contact = m.contact().unwrap();
    assert_eq!(contact.display.as_deref(), Some("Quoted string \"\""));
    assert_eq!(
        (contact.params.get("newparam"), contact.q()),
        (Some("newvalue"), Some(0.33))
    );
    assert_eq!(m.header(HeaderId::Subject).as_deref(), Some(""));
    let fold = m.header_named("newfangledheader").unwrap();
    assert_eq!(fold.split_whitespace().count(), 5);
    assert!(!fold.contains(['\r', '\n']));
    assert_eq!(m.content_type().as_deref(), Some("application/sdp"));
    assert_eq!(m.body().len(), 150);
    assert!(m.body().starts_with(b"v=0\r\n"));
}

#[test]
fn odd_names_and_escapes_are_kept() {
    let m = parse("intmeth");
    assert_eq!(
        m.method().as_str(),
        "!interesting-Method0123456789_*+`.%indeed'~"
    );
    assert!(m.to().unwrap().display.unwrap().contains('\0'));

    let m = parse("esc01");
    assert_eq!(
        m.request_uri().as_deref(),
        Some("sip:sips%3Auser%40example.com@example.net")
    );
    assert_eq!(m.to().unwrap().uri.user.as_deref(), Some("user"));
    let contact = m.contact().unwrap();
    assert_eq!(contact.uri.user.as_deref(), Some("caller"));
    assert_eq!(
        contact.uri_text,
        "sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31"
    );

    let m = parse("esc02");
    assert_eq!(m.method(), Method::Other("RE%47IST%45R"));
    // A percent sign is not an escape in a header's name.
    assert_eq!(m.contacts().len(), 2);
    assert!(m.header_named("C%6Fntact").is_some());

    let m = parse("escnull");
    assert_eq!(m.contacts().len(), 2);

    let m = parse("semiuri");
    let uri = sip::Uri::parse(&m.request_uri().unwrap()).unwrap();
    assert_eq!(uri.user.as_deref(), Some("user;par=u@example.net"));

    let m = parse("cparam01");
    assert!(m.contact().unwrap().params.has("unknownparam"));
    let m = parse("cparam02");
    assert!(m.contact().unwrap().uri.params.has("unknownparam"));
    let m = parse("regescrt");
    assert!(m.contact().unwrap().uri.headers.is_some());
    let m = parse("lwsdisp");
    assert_eq!(m.from().unwrap().display.as_deref(), Some("caller"));
}

#[test]
fn a_datagram_holds_one_message() {
    let m = parse("dblreq");
    assert_eq!(m.method(), Method::Register);
    assert!(m.body().is_empty());
    assert!(!m.bytes().windows(6).any(|w| w == b"INVITE"));
}

#[test]
fn responses_keep_their_words() {
    let m = parse("unreason");
    assert_eq!(m.status(), Some(200));
    assert_eq!(
        m.reason(),
        "= 2**3 * 5**2 но сто девяносто девять - простое"
    );
    let m = parse("noreason");
    assert_eq!((m.status(), m.reason().as_ref()), (Some(100), ""));
    assert_eq!(m.method(), Method::Invite);
}

#[test]
fn binary_bodies_are_untouched() {
    let m = parse("mpart01");
    let original = read("mpart01");
    assert!(original.ends_with(m.body()));
    assert!(std::str::from_utf8(m.body()).is_err());
}

#[test]
fn an_answer_echoes_the_request_octet_for_octet() {
    for name in ["wsinv", "intmeth", "esc02", "transports", "inv2543"] {
        let request = parse(name);
        let bytes = Builder::response(486, None, &request)
            .to_tag("us")
            .build()
            .unwrap();
        let response = Message::parse(bytes).unwrap();
        for id in [
            HeaderId::Via,
            HeaderId::From,
            HeaderId::CallId,
            HeaderId::CSeq,
        ] {
            assert!(request.raw(id).eq(response.raw(id)), "{name}");
        }
        let to = response.raw(HeaderId::To).next().unwrap();
        assert!(to.starts_with(request.raw(HeaderId::To).next().unwrap()));
        assert!(response.to().unwrap().tag().is_some(), "{name}");
        assert_eq!(response.method(), request.method());
    }
}
