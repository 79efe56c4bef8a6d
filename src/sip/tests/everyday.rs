//! What phones and trunks send every day, and what must never become a message.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use sip::{Builder, HeaderId, Limits, Message, Method, NameAddr, check_request, stamp_via};

/// A request with `lines` in place of the usual Contact, and a Content-Length.
fn request(start: &str, lines: &str, body: &str) -> Bytes {
    let method = start.split(' ').next().unwrap();
    Bytes::from(format!(
        "{start}\r\nVia: SIP/2.0/UDP 10.0.0.7:5060;branch=z9hG4bKa1;rport\r\nMax-Forwards: 70\r\n\
         From: \"Alice\" <sip:101@pbx>;tag=f1\r\nTo: <sip:102@pbx>\r\nCall-ID: c1@10.0.0.7\r\n\
         CSeq: 1 {method}\r\n{lines}Content-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

fn parse(lines: &str) -> Message {
    Message::parse(request("INVITE sip:102@pbx SIP/2.0", lines, "")).unwrap()
}

#[test]
fn compact_names_are_the_long_ones() {
    let m = Message::parse(Bytes::from_static(
        b"INVITE sip:102@pbx SIP/2.0\r\nv:SIP/2.0/TCP 10.0.0.7;branch=z9hG4bKa\r\nf:<sip:a@b>;tag=1\r\nt:<sip:c@d>\r\n\
          i:x@y\r\nCSeq:7 INVITE\r\nm:<sip:a@10.0.0.7>\r\nk:timer, 100rel\r\nc:Application/SDP;charset=x\r\nx:1800\r\nl:3\r\n\r\nv=0",
    ))
    .unwrap();
    assert_eq!(check_request(&m), Ok(()));
    assert_eq!(m.call_id().as_deref(), Some("x@y"));
    assert_eq!(
        m.values(HeaderId::Supported).collect::<Vec<_>>(),
        ["timer", "100rel"]
    );
    assert_eq!(m.content_type().as_deref(), Some("application/sdp"));
    assert_eq!(m.header_named("call-id"), m.header_named("I"));
    assert_eq!(m.body(), b"v=0");
    assert_eq!(m.via().unwrap().transport, "TCP");
}

#[test]
fn an_outbound_phone_registers_with_its_instance() {
    let m = parse(
        "Contact: \"Doe, J\" <sip:101@[2001:db8::7]:5070;transport=tcp;ob>;+sip.instance=\"<urn:uuid:00-11>\"\
         ;reg-id=1;expires=600, <sip:101@10.0.0.7>;q=0.7\r\n",
    );
    let contacts = m.contacts();
    assert_eq!(contacts.len(), 2);
    assert_eq!(
        contacts[0].params.get("+sip.instance"),
        Some("<urn:uuid:00-11>")
    );
    assert_eq!(contacts[0].expires(), Some(600));
    assert_eq!(contacts[0].uri.host, "2001:db8::7");
    assert!(
        contacts[0]
            .to_string()
            .contains("+sip.instance=\"<urn:uuid:00-11>\"")
    );
    assert_eq!(contacts[1].q(), Some(0.7));
    assert!(!m.contact_is_star());
    assert!(parse("Contact: *\r\n").contact_is_star());
    assert!(parse("Contact:\t*  \r\n").contact_is_star());
}

#[test]
fn attended_transfers_carry_headers_in_their_uri() {
    let m = parse("Refer-To: <sip:103@pbx?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\n");
    let target = NameAddr::parse(&m.header(HeaderId::ReferTo).unwrap()).unwrap();
    assert_eq!(target.uri.host, "pbx");
    assert_eq!(
        target.uri.headers.as_deref(),
        Some("Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2")
    );
}

#[test]
fn octets_that_are_not_utf8_stay_where_they_are() {
    let mut bytes = request(
        "INVITE sip:102@pbx SIP/2.0",
        "Subject: Gr\u{1}\u{1}e\r\nX-After: yes\r\n",
        "",
    )
    .to_vec();
    for b in bytes.iter_mut().filter(|b| **b == 1) {
        *b = 0xfc;
    }
    let m = Message::parse(Bytes::from(bytes)).unwrap();
    assert_eq!(m.raw(HeaderId::Subject).next(), Some(&b"Gr\xfc\xfce"[..]));
    assert_eq!(
        m.header(HeaderId::Subject).as_deref(),
        Some("Gr\u{fffd}\u{fffd}e")
    );
    assert_eq!(m.header_named("X-After").as_deref(), Some("yes"));
    assert_eq!(check_request(&m), Ok(()));
}

#[test]
fn commas_mean_nothing_in_single_values() {
    let m = parse(
        "Date: Sat, 13 Nov 2010 23:29:00 GMT\r\nUser-Agent: Phone 1.2, (x)\r\nAllow: INVITE,ACK , BYE\r\nAccept:\r\n",
    );
    assert_eq!(m.headers(HeaderId::Date).count(), 1);
    assert_eq!(
        m.values(HeaderId::Allow).collect::<Vec<_>>(),
        ["INVITE", "ACK", "BYE"]
    );
    assert_eq!(m.values(HeaderId::Accept).count(), 0);
    assert_eq!(m.header(HeaderId::Accept).as_deref(), Some(""));
}

#[test]
fn other_schemes_methods_and_versions() {
    for (start, status) in [
        ("INVITE tel:+12015550123 SIP/2.0", 0),
        ("INVITE sips:102@pbx SIP/2.0", 0),
        ("INVITE sip:102@[::1]:5060;transport=udp SIP/2.0", 0),
        ("INVITE sip:102@pbx sip/2.0", 0),
        ("SHOUT sip:102@pbx SIP/2.0", 0),
        ("INVITE mailto:a@b SIP/2.0", 416),
        ("INVITE sip:102@pbx SIP/3.0", 505),
        ("INVITE sip:102@pbx SIP/2.0x", 400),
        ("INVITE sip:102@pbx:99999 SIP/2.0", 400),
        ("INVITE sip:102%zz@pbx SIP/2.0", 400),
        ("INVITE 102 SIP/2.0", 400),
        ("INVITE  SIP/2.0", 400),
        ("INVITE sip:[::1 SIP/2.0", 400),
    ] {
        let m = Message::parse(request(start, "", "")).unwrap();
        assert_eq!(
            check_request(&m).map_or_else(|r| r.status, |()| 0),
            status,
            "{start}"
        );
    }
    let m = Message::parse(request("SHOUT sip:102@pbx SIP/2.0", "", "")).unwrap();
    assert_eq!(m.method(), Method::Other("SHOUT"));
    assert_eq!(format!("{m:?}"), "SHOUT sip:102@pbx");
}

#[test]
fn what_is_missing_twice_or_malformed_is_refused() {
    let good = String::from_utf8(request("INVITE sip:102@pbx SIP/2.0", "", "").to_vec()).unwrap();
    let status = |text: &str| {
        let m = Message::parse(Bytes::from(text.to_owned())).unwrap();
        check_request(&m).map_or_else(|r| r.status, |()| 200)
    };
    assert_eq!(status(&good), 200);
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        let absent = good.replacen(&format!("\r\n{name}:"), "\r\nX-Was:", 1);
        assert_eq!(status(&absent), 400, "no {name}");
    }
    for (old, new, expected) in [
        ("Max-Forwards: 70\r\n", "", 200),
        ("Max-Forwards: 70", "Max-Forwards: 0", 483),
        ("Max-Forwards: 70", "Max-Forwards: 256", 400),
        ("Max-Forwards: 70", "Max-Forwards: many", 400),
        (
            "Max-Forwards: 70",
            "Max-Forwards: 70\r\nMax-Forwards: 70",
            400,
        ),
        ("CSeq: 1 INVITE", "CSeq: 1 ACK", 400),
        ("CSeq: 1 INVITE", "CSeq: 2147483648 INVITE", 400),
        ("CSeq: 1 INVITE", "CSeq: -1 INVITE", 400),
        ("CSeq: 1 INVITE", "CSeq: +1 INVITE", 400),
        ("CSeq: 1 INVITE", "CSeq: 1", 400),
        ("CSeq: 1 INVITE", "CSeq: 1 INVITE INVITE", 400),
        ("CSeq: 1 INVITE", "CSeq: 1 INVITE\r\nCSeq: 1 INVITE", 400),
        ("Call-ID: c1@", "Call-ID: c1 @", 400),
        ("To: <sip:102@pbx>", "To:", 400),
        ("To: <sip:102@pbx>", "To: <sip:102@pbx>, <sip:103@pbx>", 400),
        (
            "To: <sip:102@pbx>",
            "To: <sip:102@pbx>;tag=x\r\nMax-Forwards: 0",
            400,
        ),
        ("From: \"Alice\"", "From: \"Alice", 400),
        (";tag=f1", "", 200),
        (";branch=z9hG4bKa1", "", 200),
        (";branch=z9hG4bKa1", ";branch=Z9hg4Bk", 400),
        ("10.0.0.7:5060;", "10.0.0.7:port;", 400),
        (";rport", ";rport, SIP/2.0/UDP 10.0.0.8, ", 400),
        ("To: <", "Contact: *\r\nContact: <sip:a@b>\r\nTo: <", 400),
        ("To: <", "Contact: <sip:a@b>,,<sip:c@d>\r\nTo: <", 400),
        ("To: <", "Contact:\r\nTo: <", 400),
    ] {
        assert!(good.contains(old), "{old}");
        assert_eq!(status(&good.replacen(old, new, 1)), expected, "{new}");
    }
}

#[test]
fn hostile_heads_are_no_messages() {
    for (start, lines) in [
        ("INVITE sip:102@pbx SIP/2.0", "X: a\nY: b\r\n"),
        ("INVITE sip:102@pbx SIP/2.0", "X: a\rY: b\r\n"),
        ("INVITE sip:102@pbx SIP/2.0", "X: a\0\r\n"),
        ("INVITE sip:102@pbx SIP/2.0", "no colon\r\n"),
        ("INVITE sip:102@pbx SIP/2.0", ": no name\r\n"),
        ("INVITE sip:102@pbx SIP/2.0", "two words: x\r\n"),
        ("INVITE sip:102@pbx SIP/2.0", "Content-Length: 0\r\n"),
        ("INVITE sip:102@pbx SIP/2.0", "l : 0\r\n"),
        ("INVITE sip:102@pbx SIP/2.0\r\n folded", ""),
        ("INVITE SIP/2.0", ""),
        ("INVITE", ""),
        ("INV(TE sip:102@pbx SIP/2.0", ""),
        ("GET / HTTP/1.1", ""),
    ] {
        let bytes = request(start, lines, "");
        assert!(Message::parse(bytes).is_err(), "{start} {lines}");
    }
    for bytes in [
        &b""[..],
        b"\r\n",
        b"\r\n\r\n",
        b"\0",
        b"\x16\x03\x01",
        b"SIP/2.0",
        b"INVITE sip:a SIP/2.0\r\n",
    ] {
        assert!(Message::parse(Bytes::copy_from_slice(bytes)).is_err());
        assert!(Message::salvage(Bytes::copy_from_slice(bytes)).is_none());
    }
}

#[test]
fn a_refused_request_can_be_answered() {
    for lines in [
        "no colon\r\n",
        "X: a\0\r\n",
        "Content-Length: -1\r\n",
        "l: 99\r\n",
        "X: a\nY: b\r\n",
    ] {
        let bytes = request("INVITE sip:102@pbx SIP/2.0", lines, "body");
        assert!(Message::parse(bytes.clone()).is_err());
        let salvaged = Message::salvage(bytes).unwrap();
        assert!(salvaged.body().is_empty());
        let answer = Builder::response(400, None, &salvaged)
            .to_tag("x")
            .build()
            .unwrap();
        assert_eq!(
            Message::parse(answer).unwrap().call_id().as_deref(),
            Some("c1@10.0.0.7")
        );
    }
    // Without a Via the answer could not find its way; a response gets none.
    assert!(
        Message::salvage(Bytes::from_static(
            b"INVITE sip:a@b SIP/2.0\r\nFrom: <sip:a@b>\r\n\r\n"
        ))
        .is_none()
    );
    let response = b"SIP/2.0 200 OK\r\nVia: x\r\nFrom: x\r\nTo: x\r\nCall-ID: x\r\nCSeq: x\r\n\r\n";
    assert!(Message::salvage(Bytes::from_static(response)).is_none());
    assert!(Message::parse(Bytes::from_static(response)).is_err());
}

#[test]
fn limits_hold() {
    let limits = Limits::default();
    let start = "INVITE sip:102@pbx SIP/2.0";
    assert!(Message::parse(request(start, &"X: y\r\n".repeat(240), "")).is_ok());
    assert!(Message::parse(request(start, &"X: y\r\n".repeat(257), "")).is_err());
    let long = |n: usize| format!("X: {}\r\n", "y".repeat(n));
    assert!(Message::parse(request(start, &long(limits.header_bytes - 10), "")).is_ok());
    assert!(Message::parse(request(start, &long(limits.header_bytes), "")).is_err());
    let folded = format!("X: y\r\n{}", " z\r\n".repeat(limits.header_bytes / 3));
    assert!(Message::parse(request(start, &folded, "")).is_err());
    assert!(Message::parse(request(start, "", &"b".repeat(60_000))).is_ok());
    assert!(Message::parse(request(start, "", &"b".repeat(66_000))).is_err());
    let small = Limits {
        message: 100,
        ..limits
    };
    assert!(Message::parse_within(request(start, "", ""), &small).is_err());
}

#[test]
fn the_source_is_stamped_on_the_topmost_via_only() {
    let stamped = |via: &str, source: &str| {
        let text =
            String::from_utf8(request("INVITE sip:102@pbx SIP/2.0", "", "body").to_vec()).unwrap();
        let text = text.replacen("SIP/2.0/UDP 10.0.0.7:5060;branch=z9hG4bKa1;rport", via, 1);
        let m = stamp_via(
            Message::parse(Bytes::from(text)).unwrap(),
            source.parse().unwrap(),
        );
        assert_eq!(m.body(), b"body");
        assert_eq!(m.cseq(), Some((1, Method::Invite)));
        let again = Message::parse(m.bytes().clone()).unwrap();
        assert_eq!(again.body(), b"body");
        m.header(HeaderId::Via).unwrap().into_owned()
    };
    for (via, source, expected) in [
        (
            "SIP/2.0/UDP 10.0.0.7;branch=a",
            "10.0.0.7:5060",
            "SIP/2.0/UDP 10.0.0.7;branch=a",
        ),
        (
            "SIP/2.0/UDP 10.0.0.7;branch=a",
            "10.0.0.8:5060",
            "SIP/2.0/UDP 10.0.0.7;branch=a;received=10.0.0.8",
        ),
        (
            "SIP/2.0/UDP phone;branch=a",
            "10.0.0.8:5060",
            "SIP/2.0/UDP phone;branch=a;received=10.0.0.8",
        ),
        (
            "SIP/2.0/UDP 10.0.0.7;rport;branch=a",
            "10.0.0.7:6000",
            "SIP/2.0/UDP 10.0.0.7;branch=a;received=10.0.0.7;rport=6000",
        ),
        (
            "SIP/2.0/UDP [2001:db8::1]:5060;rport=1;Received=1.2.3.4",
            "[2001:db8::2]:7",
            "SIP/2.0/UDP [2001:db8::1]:5060;received=2001:db8::2;rport=7",
        ),
        (
            "SIP/2.0/UDP 10.0.0.7;received=9.9.9.9",
            "[::ffff:10.0.0.7]:5060",
            "SIP/2.0/UDP 10.0.0.7",
        ),
        (
            "SIP / 2.0 / UDP a ; x=\";rport\" ; rport , SIP/2.0/UDP b;rport",
            "10.0.0.1:9",
            "SIP / 2.0 / UDP a;x=\";rport\";received=10.0.0.1;rport=9 , SIP/2.0/UDP b;rport",
        ),
        (
            ", SIP/2.0/UDP a;rport",
            "10.0.0.1:9",
            ", SIP/2.0/UDP a;received=10.0.0.1;rport=9",
        ),
        ("garbage", "10.0.0.1:9", "garbage"),
    ] {
        assert_eq!(stamped(via, source), expected);
    }
}

#[test]
fn an_empty_via_is_not_the_topmost() {
    let text = "OPTIONS sip:a SIP/2.0\r\nVia:\r\nVia: SIP/2.0/UDP a;rport;branch=b\r\n\r\n";
    let m = stamp_via(
        Message::parse(Bytes::from(text)).unwrap(),
        "10.0.0.1:9".parse().unwrap(),
    );
    let vias: Vec<_> = m.headers(HeaderId::Via).collect();
    assert_eq!(
        vias,
        ["", "SIP/2.0/UDP a;branch=b;received=10.0.0.1;rport=9"]
    );
}

#[test]
fn nothing_written_can_add_a_line() {
    let invite = || Builder::request("INVITE", "sip:102@pbx");
    assert!(invite().header("X", "a\r\nY: b").build().is_err());
    assert!(invite().header("X", "a\nb").build().is_err());
    assert!(invite().header("X", "a\0").build().is_err());
    assert!(invite().header("X\r\n", "a").build().is_err());
    assert!(invite().header("X Y", "a").build().is_err());
    assert!(invite().header("content-length", "5").build().is_err());
    assert!(invite().header("l", "5").build().is_err());
    assert!(invite().body("text/plain\r\nX: y", b"").build().is_err());
    assert!(Builder::request("INVITE", "sip:a b").build().is_err());
    assert!(Builder::request("INVITE", "").build().is_err());
    assert!(Builder::request("INV ITE", "sip:a").build().is_err());
    let m = parse("");
    assert!(Builder::response(200, Some("O\r\nK"), &m).build().is_err());
    assert!(Builder::response(99, None, &m).build().is_err());
    assert!(
        Builder::response(200, None, &m)
            .to_tag("a;b")
            .build()
            .is_err()
    );
    let bytes = invite()
        .header("X", "grün")
        .body("text/plain", b"a\r\n\r\n\0")
        .build()
        .unwrap();
    assert!(bytes.ends_with(
        b"X: gr\xc3\xbcn\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\na\r\n\r\n\0"
    ));
}

#[test]
fn a_tag_is_added_once() {
    let m = parse("");
    let bytes = Builder::response(180, None, &m)
        .to_tag("us")
        .header("Contact", "<sip:us@pbx>")
        .build()
        .unwrap();
    let r = Message::parse(bytes).unwrap();
    assert_eq!(r.to().unwrap().tag(), Some("us"));
    assert_eq!((r.status(), r.reason().as_ref()), (Some(180), "Ringing"));
    assert_eq!(r.contact().unwrap().uri.user.as_deref(), Some("us"));
    let text = String::from_utf8(m.bytes().to_vec())
        .unwrap()
        .replace("<sip:102@pbx>", "<sip:102@pbx>;tag=old");
    let m = Message::parse(Bytes::from(text)).unwrap();
    let r = Message::parse(
        Builder::response(200, None, &m)
            .to_tag("new")
            .build()
            .unwrap(),
    )
    .unwrap();
    assert_eq!(
        r.header(HeaderId::To).as_deref(),
        Some("<sip:102@pbx>;tag=old")
    );
}
