//! Offers and answers of phones as text.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;
use crate::srtp::{KeySeed, Profile};

mod security;

fn local(codecs: &[Codec]) -> LocalMedia {
    LocalMedia {
        address: "192.0.2.1:20000".parse().unwrap(),
        codecs: codecs.to_vec(),
        session: 7,
        version: 1,
        direction: Direction::SendRecv,
        protection: Protection::Off,
        dtmf: DtmfMode::Auto,
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn phone(media: &str) -> Vec<u8> {
    format!("v=0\r\no=- 1 1 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\n{media}")
        .into_bytes()
}

#[test]
fn an_offer_lists_our_codecs_in_order() {
    let offer = offer(&local(&[
        Codec::Opus,
        Codec::G722,
        Codec::Pcma,
        Codec::Pcmu,
    ]));
    assert_eq!(
        text(&offer),
        "v=0\r\no=offhook 7 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=audio 20000 RTP/AVP 111 9 8 0 101 102\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n\
         a=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
         a=rtpmap:102 telephone-event/48000\r\na=fmtp:102 0-16\r\n\
         a=ptime:20\r\na=rtcp:20001\r\na=sendrecv\r\n"
    );
}

#[test]
fn the_answerer_chooses_and_keeps_the_numbers_of_the_offer() {
    let offer = phone(
        "m=audio 4000 RTP/AVP 0 8 96 97\r\na=rtpmap:96 OPUS/48000/2\r\na=rtpmap:97 Telephone-Event/8000\r\na=ptime:30\r\n",
    );
    let (sdp, got) = answer(&local(&[Codec::Opus, Codec::Pcmu]), &offer).unwrap();
    assert_eq!(
        (got.codec, got.payload_type, got.receive_type),
        (Codec::Opus, 96, 96)
    );
    assert_eq!(
        got.dtmf,
        Some(Dtmf {
            send: 97,
            receive: 97,
            clock: 8_000,
        })
    );
    assert_eq!(got.ptime_ms, 30);
    assert!(text(&sdp).contains("m=audio 20000 RTP/AVP 96 97\r\n"));
    let (_, got) = answer(&local(&[Codec::Pcma, Codec::Pcmu]), &offer).unwrap();
    assert_eq!((got.codec, got.payload_type), (Codec::Pcma, 8));
    assert_eq!(
        (got.remote, got.remote_rtcp),
        (at("10.0.0.5:4000"), at("10.0.0.5:4001"))
    );
}

#[test]
fn an_answer_may_number_its_types_otherwise() {
    let local = local(&[Codec::Opus, Codec::Pcmu]);
    let sdp = phone(
        "m=audio 4000 RTP/AVP 96 100\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:100 telephone-event/48000\r\n",
    );
    let got = accept(&local, &sdp).unwrap();
    assert_eq!((got.payload_type, got.receive_type), (96, 111));
    assert_eq!(
        got.dtmf,
        Some(Dtmf {
            send: 100,
            receive: 102,
            clock: 48_000,
        })
    );
    let got = accept(&local, &phone("m=audio 4000 RTP/AVP 0\r\n")).unwrap();
    assert_eq!((got.codec, got.dtmf), (Codec::Pcmu, None));
}

#[test]
fn both_sides_of_our_own_agree() {
    let here = local(&[Codec::G722, Codec::Pcma]);
    let mut there = local(&[Codec::Pcma, Codec::G722]);
    there.address = at("192.0.2.2:30000");
    let (sdp, theirs) = answer(&there, &offer(&here)).unwrap();
    let ours = accept(&here, &sdp).unwrap();
    assert_eq!((ours.codec, theirs.codec), (Codec::Pcma, Codec::Pcma));
    assert_eq!(
        (ours.dtmf, theirs.dtmf),
        (
            Some(Dtmf {
                send: 101,
                receive: 101,
                clock: 8_000,
            }),
            ours.dtmf
        )
    );
    assert_eq!((ours.remote, theirs.remote), (there.address, here.address));
}

#[test]
fn hold_is_answered_by_its_mirror() {
    let cases = [
        (
            "a=sendonly\r\n",
            "10.0.0.5",
            "a=recvonly",
            Direction::RecvOnly,
        ),
        (
            "a=recvonly\r\n",
            "10.0.0.5",
            "a=sendonly",
            Direction::SendOnly,
        ),
        (
            "a=inactive\r\n",
            "10.0.0.5",
            "a=inactive",
            Direction::Inactive,
        ),
        ("", "0.0.0.0", "a=recvonly", Direction::RecvOnly),
        (
            "a=inactive\r\n",
            "0.0.0.0",
            "a=inactive",
            Direction::Inactive,
        ),
    ];
    for (attribute, address, said, direction) in cases {
        let offer = phone(&format!(
            "m=audio 4000 RTP/AVP 0\r\nc=IN IP4 {address}\r\n{attribute}"
        ));
        let (sdp, got) = answer(&local(&[Codec::Pcmu]), &offer).unwrap();
        assert!(text(&sdp).contains(said), "{attribute}");
        assert_eq!(got.direction, direction);
    }
    let session_level = b"v=0\r\no=- 1 1 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\na=sendonly\r\nm=audio 4000 RTP/AVP 0\r\n";
    assert_eq!(
        answer(&local(&[Codec::Pcmu]), session_level)
            .unwrap()
            .1
            .direction,
        Direction::RecvOnly
    );
    let mut holding = local(&[Codec::Pcmu]);
    holding.direction = Direction::SendOnly;
    assert_eq!(
        accept(&holding, &phone("m=audio 4000 RTP/AVP 0\r\na=recvonly\r\n"))
            .unwrap()
            .direction,
        Direction::SendOnly
    );
}

#[test]
fn other_lines_are_refused_in_their_place() {
    let offer = phone(
        "m=video 5000 RTP/AVP 31\r\nm=audio 4000 RTP/SAVP 0\r\na=crypto:1 x\r\nm=audio 4002 RTP/AVP 0\r\nm=image 5004 udptl t38\r\n",
    );
    let (sdp, got) = answer(&local(&[Codec::Pcmu]), &offer).unwrap();
    assert_eq!(got.remote.port(), 4002);
    let lines: Vec<_> = text(&sdp)
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert_eq!(
        lines,
        [
            "m=video 0 RTP/AVP 31",
            "m=audio 0 RTP/SAVP 0",
            "m=audio 20000 RTP/AVP 0",
            "m=image 0 udptl t38"
        ]
    );
}

#[test]
fn each_refusal_has_its_name() {
    let local = local(&[Codec::Pcmu]);
    let cases: [(Vec<u8>, SdpError); 8] = [
        (
            b"hello".to_vec(),
            SdpError::Malformed("a line cannot be read"),
        ),
        (Vec::new(), SdpError::Malformed("a line cannot be read")),
        (phone(""), SdpError::NoAudio),
        (phone("m=audio 0 RTP/AVP 0\r\n"), SdpError::NoAudio),
        (phone("m=audio 4000 RTP/AVPF 0\r\n"), SdpError::NoAudio),
        (
            phone("m=audio 4000 RTP/AVP 18 0\r\na=rtpmap:0 EVIL/8000\r\n"),
            SdpError::NoCommonCodec,
        ),
        (
            phone("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 phone.example\r\n"),
            SdpError::BadAddress,
        ),
        (
            phone("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 224.1.2.3/127\r\n"),
            SdpError::BadAddress,
        ),
    ];
    for (sdp, error) in cases {
        assert_eq!(answer(&local, &sdp).unwrap_err(), error);
        assert_eq!(accept(&local, &sdp).unwrap_err(), error);
    }
}

#[test]
fn addresses_of_either_family_and_rtcp_elsewhere() {
    let mut local = local(&[Codec::Pcmu]);
    let six =
        "m=audio 4000 RTP/AVP 0\r\nc=IN IP6 2001:db8::5\r\na=rtcp:5000 IN IP6 2001:db8::6\r\n";
    assert_eq!(
        answer(&local, &phone(six)).unwrap_err(),
        SdpError::BadAddress
    );
    local.address = at("[2001:db8::1]:20000");
    let (sdp, got) = answer(&local, &phone(six)).unwrap();
    assert!(text(&sdp).contains("c=IN IP6 2001:db8::1\r\n"));
    assert_eq!(
        (got.remote, got.remote_rtcp),
        (at("[2001:db8::5]:4000"), at("[2001:db8::6]:5000"))
    );
    local.address = at("192.0.2.1:20000");
    let (_, got) = answer(&local, &phone("m=audio 4000 RTP/AVP 0\r\na=rtcp:5001\r\n")).unwrap();
    assert_eq!(got.remote_rtcp, at("10.0.0.5:5001"));
}

#[test]
fn packet_times_stay_in_bounds() {
    for (said, ms) in [
        ("", 20),
        ("a=ptime:5\r\n", 10),
        ("a=ptime:200\r\n", 60),
        ("a=ptime:30\r\na=maxptime:20\r\n", 20),
        ("a=ptime:x\r\n", 20),
        ("a=ptime:25\r\n", 20),
    ] {
        let offer = phone(&format!("m=audio 4000 RTP/AVP 0\r\n{said}"));
        assert_eq!(
            answer(&local(&[Codec::Pcmu]), &offer).unwrap().1.ptime_ms,
            ms,
            "{said}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = answer(&local(&Codec::ALL), &bytes);
        let _ = accept(&local(&Codec::ALL), &bytes);
    }

    #[test]
    fn no_lines_panic(lines in proptest::collection::vec("(m=audio [0-9]{1,5} RTP/AVP|a=(rtpmap|ptime|rtcp|fmtp):|c=IN IP[46] )[ -~]{0,20}", 0..12)) {
        let sdp = phone(&lines.join("\r\n"));
        if let Ok((answer, _)) = answer(&local(&Codec::ALL), &sdp) {
            prop_assert!(sdp_types::Session::parse(&answer).is_ok());
        }
        let _ = accept(&local(&Codec::ALL), &sdp);
    }
}

#[test]
fn audio_switched_off_in_mid_call_is_a_hold() {
    let local = local(&[Codec::Pcmu]);
    let (_, now) = answer(&local, &phone("m=audio 4000 RTP/AVP 0\r\n")).unwrap();
    let off = phone("m=audio 0 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n");
    assert_eq!(
        answer(&local, &off),
        Err(SdpError::NoAudio),
        "in a first offer"
    );
    let (sdp, held) = answer_again(&local, &off, &now).unwrap();
    assert!(text(&sdp).ends_with("m=audio 0 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n"));
    let inactive = Negotiated {
        direction: Direction::Inactive,
        ..now.clone()
    };
    assert_eq!(held, inactive);
    for (other, error) in [
        ("m=video 0 RTP/AVP 31\r\n", SdpError::NoAudio),
        ("m=audio 4000 RTP/SAVP 0\r\n", SdpError::Protected),
    ] {
        assert_eq!(answer_again(&local, &phone(other), &held), Err(error));
    }
    let back = phone("m=audio 4000 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n");
    assert_eq!(answer_again(&local, &back, &held).unwrap().1, now);
}

const KEY: &str = "inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";

#[test]
fn an_old_hold_on_ipv6_may_name_0_0_0_0() {
    let local = LocalMedia {
        address: "[2001:db8::9]:20000".parse().unwrap(),
        ..local(&[Codec::Pcmu])
    };
    let hold = b"v=0\r\no=- 1 1 IN IP6 ::1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
    let (sdp, got) = answer(&local, hold).unwrap();
    assert!(text(&sdp).contains("c=IN IP6 2001:db8::9") && text(&sdp).contains("a=recvonly"));
    assert_eq!(got.direction, Direction::RecvOnly);
}

#[test]
fn who_tells_keys_otherwise_names_no_events() {
    let events = "m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";
    for (dtmf, named) in [
        (DtmfMode::Auto, true),
        (DtmfMode::Rfc4733, true),
        (DtmfMode::Info, false),
        (DtmfMode::Inband, false),
    ] {
        let local = LocalMedia {
            dtmf,
            ..local(&[Codec::Opus, Codec::Pcmu])
        };
        let ours = offer(&local);
        assert_eq!(text(&ours).contains("telephone-event"), named);
        let (sdp, got) = answer(&local, &phone(events)).unwrap();
        assert_eq!(text(&sdp).contains("telephone-event"), named);
        assert_eq!(got.dtmf.is_some(), named);
        assert_eq!(
            accept(&local, &phone(events)).unwrap().dtmf.is_some(),
            named
        );
    }
}

#[test]
fn extended_reports_are_agreed_on_only_where_they_are_offered() {
    let ours = local(&[Codec::Pcmu]);
    let asked = |line: &str| {
        let offer = phone(&format!("m=audio 4000 RTP/AVP 0\r\n{line}"));
        let (sdp, got) = answer(&ours, &offer).unwrap();
        let text = text(&sdp).to_owned();
        let told = text.lines().find_map(|l| l.strip_prefix("a=rtcp-xr:"));
        (
            told.map(str::to_owned),
            got.extended.voip,
            got.extended.round_trip,
        )
    };
    assert_eq!(asked(""), (None, false, false));
    assert_eq!(
        asked("a=rtcp-xr:pkt-loss-rle=100\r\n"),
        (None, false, false)
    );
    let both = Some("voip-metrics rcvr-rtt=all".to_owned());
    assert_eq!(
        asked("a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss voip-metrics\r\n"),
        (both, true, true)
    );
    assert_eq!(
        asked("a=rtcp-xr:voip-metrics\r\n").0.as_deref(),
        Some("voip-metrics")
    );
    // We offer none, so an answer may not bring them in.
    let answered = phone("m=audio 4000 RTP/AVP 0\r\na=rtcp-xr:voip-metrics\r\n");
    assert_eq!(
        accept(&ours, &answered).unwrap().extended,
        Extended::default()
    );
}
