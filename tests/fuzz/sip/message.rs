//! One message: every reader is asked everything, and what we write of it can be read again.

use std::net::SocketAddr;

use bytes::Bytes;
use sip::digest::{Algorithm, Challenge, Credentials, authorize, ha1, verify};
use sip::{Builder, HeaderId, Message, NameAddr, Uri, Via, check_request, stamp_via};

pub fn check(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Some(rest) = Message::salvage(bytes.clone()) {
        read(&rest);
        // Whether there is anything to answer is the builder's to say.
        let _ = Builder::response(400, None, &rest).to_tag("us").build();
    }
    let Ok(message) = Message::parse(bytes) else {
        return;
    };
    read(&message);
    let again = Message::parse(message.bytes().clone()).expect("a parsed message parses");
    assert_same(&message, &again);
    if message.is_request() {
        stamped(&message);
        if check_request(&message).is_ok() {
            answered(&message);
        }
    }
}

/// Every way to look into a message.
fn read(message: &Message) {
    let _ = (message.status(), message.reason(), message.request_uri());
    let _ = (message.method(), message.cseq(), message.call_id());
    let _ = (
        message.max_forwards(),
        message.expires(),
        message.content_type(),
    );
    let _ = (
        message.via(),
        message.from(),
        message.to(),
        message.record_routes(),
    );
    let _ = (
        message.contact(),
        message.contact_is_star(),
        format!("{message:?}"),
    );
    let _ = (
        check_request(message),
        message.header_named("X-Any"),
        message.body().len(),
    );
    for contact in message.contacts() {
        let _ = (contact.tag(), contact.expires(), contact.q());
    }
    for id in KNOWN {
        for line in message.headers(id) {
            text(&line);
        }
        for value in message.values(id) {
            text(&value);
        }
    }
    if let Some(uri) = message.request_uri() {
        text(&uri);
    }
}

const KNOWN: [HeaderId; 12] = [
    HeaderId::Via,
    HeaderId::From,
    HeaderId::To,
    HeaderId::Contact,
    HeaderId::Route,
    HeaderId::RecordRoute,
    HeaderId::Authorization,
    HeaderId::ProxyAuthorization,
    HeaderId::WwwAuthenticate,
    HeaderId::ProxyAuthenticate,
    HeaderId::PAssertedIdentity,
    HeaderId::Other,
];

/// A value as whatever it may be: what is read is written so that it reads the same.
fn text(value: &str) {
    if let Ok(uri) = Uri::parse(value) {
        assert_eq!(Uri::parse(&uri.to_string()).as_ref(), Ok(&uri), "{value:?}");
    }
    if let Ok(via) = Via::parse(value) {
        let _ = (via.branch(), via.rport(), via.received());
        assert_eq!(Via::parse(&via.to_string()).as_ref(), Ok(&via), "{value:?}");
    }
    if let Ok(address) = NameAddr::parse(value) {
        let again = NameAddr::parse(&address.to_string());
        assert_eq!(again.as_ref(), Ok(&address), "{value:?}");
    }
    if let Some(credentials) = Credentials::parse(value) {
        let secret = ha1(credentials.algorithm, "a", "b", "c");
        assert!(!verify(&credentials, "INVITE", &secret));
    }
    if let Some(challenge) = Challenge::parse(value) {
        proves(challenge);
    }
}

/// Our answer to a challenge is one that we would take.
fn proves(challenge: Challenge) {
    let secret = ha1(
        challenge.algorithm.unwrap_or(Algorithm::Md5),
        "user",
        &challenge.realm,
        "secret",
    );
    let all = [challenge];
    if let Some(value) = authorize(&all, "user", "secret", "INVITE", "sip:a@b", "c0ffee", 1) {
        let credentials = Credentials::parse(&value).expect("our own credentials read");
        assert!(verify(&credentials, "INVITE", &secret), "{value}");
    }
}

fn assert_same(one: &Message, other: &Message) {
    assert_eq!(one.body(), other.body());
    assert_eq!(one.method().as_str(), other.method().as_str());
    assert_eq!(one.request_uri(), other.request_uri());
    assert_eq!(one.status(), other.status());
    assert_same_dialog(one, other);
    assert_eq!(
        one.raw(HeaderId::Via).collect::<Vec<_>>(),
        other.raw(HeaderId::Via).collect::<Vec<_>>()
    );
}

fn assert_same_dialog(one: &Message, other: &Message) {
    assert_eq!(one.cseq(), other.cseq());
    assert_eq!(one.call_id(), other.call_id());
    assert_eq!(one.from(), other.from());
}

/// RFC 3261 §18.2.1 and RFC 3581 §4: the source is noted in the topmost Via and nothing else changes.
fn stamped(message: &Message) {
    let source = SocketAddr::from(([203, 0, 113, 9], 40_000));
    let before = message.via();
    let stamped = stamp_via(message.clone(), source);
    let again = Message::parse(stamped.bytes().clone()).expect("a stamped message parses");
    assert_same(&stamped, &again);
    assert_eq!(message.body(), stamped.body());
    assert_eq!(message.method().as_str(), stamped.method().as_str());
    assert_eq!(message.to(), stamped.to());
    assert_same_dialog(message, &stamped);
    let (Some(before), Some(after)) = (before, stamped.via()) else {
        return;
    };
    assert_eq!((&before.host, before.port), (&after.host, after.port));
    assert_eq!(before.branch(), after.branch());
    if before.rport().is_some() {
        assert_eq!(after.rport(), Some(Some(40_000)));
    }
    if before.rport().is_some() || before.host != "203.0.113.9" {
        assert_eq!(after.received(), Some("203.0.113.9"));
    }
}

/// RFC 3261 §8.2.6.2: a sound request can be answered, and the answer says whose it is.
fn answered(request: &Message) {
    let bytes = Builder::response(200, None, request)
        .to_tag("us")
        .header("Server", "x")
        .body("text/plain", b"body")
        .build()
        .expect("a sound request can be answered");
    let response = Message::parse(bytes).expect("a response of ours parses");
    assert_eq!(response.status(), Some(200));
    assert_eq!(response.body(), b"body");
    assert_same_dialog(request, &response);
    assert_eq!(
        request.raw(HeaderId::Via).collect::<Vec<_>>(),
        response.raw(HeaderId::Via).collect::<Vec<_>>()
    );
    let (asked, to) = (request.to(), response.to());
    let tag = asked.as_ref().and_then(|to| to.tag()).unwrap_or("us");
    let params = asked.as_ref().is_some_and(|to| to.params.has("tag"));
    if !params || tag != "us" {
        assert_eq!(to.as_ref().and_then(|to| to.tag()), Some(tag));
    }
}
