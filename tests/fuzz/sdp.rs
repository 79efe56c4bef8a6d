//! What strangers say about media, as an offer to us and as the answer to ours. What comes of it is something we can do,
//! and our answer is one that RFC 3264 allows to that offer.

#![no_main]

use std::net::SocketAddr;

use media::{Codec, Direction, LocalMedia, Negotiated, sdp};
use sdp_types::{Media, Session};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for (local, other) in [
        (ours(0), ours(1)),
        (ours(1), ours(2)),
        (ours(2), ours(0)),
        (ours(3), ours(3)),
    ] {
        if let Ok((answer, agreed)) = sdp::answer(&local, data) {
            assert_possible(&local, &agreed);
            assert_answers(data, &answer, &agreed);
            taken_as_offer(&other, &answer, &agreed);
        }
        if let Ok(agreed) = sdp::accept(&local, data) {
            assert_possible(&local, &agreed);
        }
    }
});

fn ours(which: u64) -> LocalMedia {
    let (address, codecs, direction): (&str, &[Codec], Direction) = match which {
        0 => ("192.0.2.1:20000", &Codec::ALL[..], Direction::SendRecv),
        1 => ("192.0.2.1:65534", &[Codec::Pcmu][..], Direction::SendOnly),
        2 => (
            "192.0.2.1:2",
            &[Codec::Opus, Codec::G722, Codec::Pcma, Codec::Pcmu],
            Direction::RecvOnly,
        ),
        _ => (
            "[2001:db8::1]:20000",
            &[Codec::G722, Codec::Pcma],
            Direction::Inactive,
        ),
    };
    LocalMedia {
        address: address.parse().expect("an address"),
        codecs: codecs.to_vec(),
        session: which,
        version: u64::MAX,
        direction,
        protection: media::Protection::Off,
    }
}

/// The media plane can do what was agreed.
fn assert_possible(local: &LocalMedia, agreed: &Negotiated) {
    assert!(local.codecs.contains(&agreed.codec));
    assert!(agreed.payload_type < 128 && agreed.receive_type < 128);
    assert!((10..=60).contains(&agreed.ptime_ms) && agreed.ptime_ms.is_multiple_of(10));
    if let Some(dtmf) = agreed.dtmf {
        assert!(dtmf.send < 128 && dtmf.receive < 128);
        assert_ne!(dtmf.send, agreed.payload_type);
    }
    for remote in [agreed.remote, agreed.remote_rtcp] {
        assert_sendable(local, remote);
    }
    assert_eq!(agreed.direction, agreed.direction.and(local.direction));
}

fn assert_sendable(local: &LocalMedia, remote: SocketAddr) {
    assert_eq!(remote.is_ipv4(), local.address.is_ipv4());
    assert!(remote.port() != 0 && !remote.ip().is_multicast());
}

/// RFC 3264 §6: line by line, and within what was offered.
fn assert_answers(offer: &[u8], answer: &[u8], agreed: &Negotiated) {
    let text = std::str::from_utf8(answer).expect("our SDP is text");
    let lines = || text.split_terminator("\r\n");
    assert!(text.ends_with("\r\n") && lines().all(|line| !line.contains(char::is_control)));
    let offer = Session::parse(offer).expect("what was answered can be read");
    let answer = Session::parse(answer).expect("our answer can be read");
    assert_eq!(offer.medias.len(), answer.medias.len());
    let mut taken = 0;
    for (offered, answered) in offer.medias.iter().zip(&answer.medias) {
        assert_eq!(offered.media, answered.media);
        assert!(offered.proto.eq_ignore_ascii_case(&answered.proto));
        if answered.port != 0 {
            taken += 1;
            assert_within(offered, answered, agreed);
        }
    }
    assert_eq!(taken, 1, "one line is our audio");
    if let Some(time) = offer.times.first() {
        let ours = answer.times.first().map(|t| (t.start_time, t.stop_time));
        assert_eq!(ours, Some((time.start_time, time.stop_time)));
    }
}

fn assert_within(offered: &Media, answered: &Media, agreed: &Negotiated) {
    assert!(offered.port != 0 && offered.media == "audio");
    let mut formats = answered.fmt.split_ascii_whitespace();
    assert!(formats.all(|format| {
        let same = |other: &str| other.parse::<u8>().ok() == format.parse().ok();
        offered.fmt.split_ascii_whitespace().any(same)
    }));
    let has = |media: &Media, name: &str| media.attributes.iter().any(|a| a.attribute == name);
    let first = [
        Direction::SendRecv,
        Direction::SendOnly,
        Direction::RecvOnly,
        Direction::Inactive,
    ];
    assert!(has(answered, agreed.direction.as_str()));
    // Of several on one line the first counts; that is read here from the attributes themselves.
    let named = offered
        .attributes
        .iter()
        .find_map(|a| first.iter().find(|d| d.as_str() == a.attribute));
    if let Some(said) = named {
        assert_eq!(
            agreed.direction,
            agreed.direction.and(said.reversed()),
            "{said:?}"
        );
    }
}

/// Another of us, offered our answer, finds the same in it.
fn taken_as_offer(other: &LocalMedia, offer: &[u8], agreed: &Negotiated) {
    match sdp::answer(other, offer) {
        Ok((answer, theirs)) => {
            assert_eq!(theirs.codec, agreed.codec);
            assert_answers(offer, &answer, &theirs);
        }
        Err(error) => {
            let known = other.codecs.contains(&agreed.codec);
            let family = other.address.is_ipv4() == agreed.remote.is_ipv4();
            assert!(!known || !family, "{error}");
        }
    }
}
