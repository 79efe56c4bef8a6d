//! The engine in virtual time, from outside: packets in, packets out.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod world;

use std::sync::Arc;

use media::rtp::packet::Header;
use media::rtp::rtcp;
use media::{Clip, Codec, Command, Direction, Dtmf, Event, Kind, PlayId, Source, Tone};
use proptest::prelude::*;
use world::*;

#[test]
fn a_tone_comes_out_a_tone_in_every_codec() {
    for from in Codec::ALL {
        for to in Codec::ALL {
            let mut world = World::joined(from, to);
            let mut phone = Phone::new(from, 1);
            for _ in 0..50 {
                let packet = phone.tone(20);
                world.rtp(A, PHONE_A, &packet);
                world.passes(20);
            }
            let got = world.rtp_to(B);
            assert_eq!(got.len(), 50, "{from:?} {to:?}");
            for pair in got.windows(2) {
                let (one, two) = (pair[0].header(), pair[1].header());
                assert_eq!(two.sequence, one.sequence.wrapping_add(1));
                assert_eq!(
                    two.timestamp,
                    one.timestamp.wrapping_add(to.clock_rate() / 50)
                );
                assert_eq!((two.ssrc, two.marker), (one.ssrc, false));
                assert_eq!(two.payload_type, payload_type(to));
            }
            assert!(got[0].header().marker);
            let pcm = listen(to, &got);
            let rate = to.sample_rate();
            let pure = purity(&pcm[rate as usize / 5..], rate, 1_000.0);
            assert!(pure > 0.97, "{from:?} {to:?}: {pure}");
        }
    }
}

#[test]
fn packets_of_any_length_are_cut_to_the_peers() {
    for (ms, ptime) in [
        (10, 20),
        (30, 20),
        (60, 20),
        (40, 20),
        (20, 30),
        (20, 60),
        (10, 10),
    ] {
        for (from, to) in [
            (Codec::Pcmu, Codec::Pcma),
            (Codec::Pcma, Codec::G722),
            (Codec::G722, Codec::Opus),
        ] {
            let mut world = World::new();
            world.open(A, agreed(from, PHONE_A));
            let mut peer = agreed(to, PHONE_B);
            peer.ptime_ms = ptime;
            world.open(B, peer);
            world.command(Command::Join { a: B, b: A });
            let mut phone = Phone::new(from, 1);
            for _ in 0..1_200 / ms {
                world.passes(u64::from(ms));
                let packet = phone.tone(ms);
                world.rtp(A, PHONE_A, &packet);
            }
            let frame = if to == Codec::Opus {
                20
            } else {
                u32::from(ptime)
            };
            let got = world.rtp_to(B);
            assert_eq!(got.len() as u32, 1_200 / frame, "{ms} to {ptime} {to:?}");
            for (i, sent) in got.iter().enumerate() {
                let (first, header) = (got[0].header(), sent.header());
                assert_eq!(header.sequence, first.sequence.wrapping_add(i as u16));
                let ticks = to.clock_rate() / 1_000 * frame * i as u32;
                assert_eq!(header.timestamp, first.timestamp.wrapping_add(ticks));
                assert_eq!(header.marker, i == 0);
            }
            let rate = to.sample_rate();
            assert!(purity(&listen(to, &got)[rate as usize / 5..], rate, 1_000.0) > 0.97);
        }
    }
}

#[test]
fn what_is_lost_before_us_looks_lost_after_us() {
    for (to, ms) in [
        (Codec::Pcmu, 20),
        (Codec::Opus, 20),
        (Codec::Pcma, 20),
        (Codec::G722, 10),
    ] {
        let mut world = World::joined(Codec::Pcmu, to);
        let mut phone = Phone::new(Codec::Pcmu, 1);
        for i in 0..40 {
            let packet = phone.tone(ms);
            if !(20..24).contains(&i) {
                world.rtp(A, PHONE_A, &packet);
            }
            world.passes(u64::from(ms));
        }
        let got = world.rtp_to(B);
        let (first, last) = (got[0].header(), got[got.len() - 1].header());
        let frames = 40 * ms / 20 - 1;
        assert_eq!(
            u32::from(last.sequence.wrapping_sub(first.sequence)),
            frames
        );
        assert_eq!(
            last.timestamp.wrapping_sub(first.timestamp),
            frames * to.clock_rate() / 50
        );
        assert_eq!(got.len() as u32, (36 * ms) / 20);
    }
}

#[test]
fn a_relay_changes_nothing_but_the_header() {
    let mut world = World::joined(Codec::Opus, Codec::Opus);
    let header = Header {
        marker: false,
        payload_type: 111,
        sequence: 9,
        timestamp: 90,
        ssrc: 3,
    };
    let mut bytes = build(&header, &[]);
    bytes[0] |= 0x20 | 0x10 | 1; // padding, extension, one CSRC
    bytes.extend_from_slice(&[0, 0, 0, 5, 0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
    bytes.extend_from_slice(b"voice\0\0\x03");
    world.rtp(A, PHONE_A, &bytes);
    let got = world.rtp_to(B);
    assert_eq!(
        (got[0].payload(), got[0].bytes.len()),
        (b"voice".as_slice(), 17)
    );
    assert_eq!(got[0].to, at(PHONE_B));
    assert_ne!(got[0].header().ssrc, 3);
}

#[test]
fn a_third_source_is_never_heard() {
    let mut world = World::joined(Codec::Pcmu, Codec::Pcmu);
    let (mut phone, mut thief) = (Phone::new(Codec::Pcmu, 1), Phone::new(Codec::Pcmu, 66));
    world.rtp(A, "203.0.113.9:7", b"not RTP at all");
    let mut other = thief.tone(20);
    other[1] = 18; // a payload type nobody agreed on
    world.rtp(A, "203.0.113.9:7", &other);
    let first = phone.tone(20);
    world.rtp(A, "198.51.100.7:5555", &first);
    assert_eq!(
        world.latches(),
        [(A, Some(at("198.51.100.7:5555")), Kind::Rtp)]
    );
    for _ in 0..10 {
        let packet = thief.tone(20);
        world.rtp(A, PHONE_A, &packet);
    }
    assert_eq!(world.rtp_to(B).len(), 1);
    let answer = Phone::new(Codec::Pcmu, 2).tone(20);
    world.rtp(B, PHONE_B, &answer);
    assert_eq!(
        world.rtp_to(A)[0].to,
        at("198.51.100.7:5555"),
        "not where the SDP said"
    );
    world.command(Command::Close { stream: A });
    let Some(Event::Closed { stats, .. }) = world.events.pop() else {
        panic!()
    };
    assert_eq!(
        (stats.foreign_packets, stats.packets_in, stats.packets_out),
        (10, 1, 1)
    );
    assert_eq!(stats.remote, Some(at("198.51.100.7:5555")));
}

#[test]
fn a_party_that_moves_is_found_again() {
    let mut world = World::joined(Codec::Pcmu, Codec::Pcmu);
    let mut phone = Phone::new(Codec::Pcmu, 1);
    let packet = phone.tone(20);
    world.rtp(A, PHONE_A, &packet);
    world.latches();
    let mut hold = agreed(Codec::Pcmu, "0.0.0.0:4000");
    hold.direction = Direction::RecvOnly;
    for same in [hold, agreed(Codec::Pcmu, PHONE_A)] {
        world.command(Command::Negotiated {
            stream: A,
            negotiated: same,
        });
        assert_eq!(world.latches(), []);
    }
    let negotiated = agreed(Codec::Pcmu, "10.0.0.9:4000");
    world.command(Command::Negotiated {
        stream: A,
        negotiated,
    });
    assert_eq!(world.latches(), [(A, None, Kind::Rtp)]);
    let answer = Phone::new(Codec::Pcmu, 2).tone(20);
    world.rtp(B, PHONE_B, &answer);
    assert_eq!(world.rtp_to(A)[0].to, at("10.0.0.9:4000"));
    let packet = phone.tone(20);
    world.rtp(A, "10.0.0.9:4002", &packet);
    assert_eq!(
        world.latches()[1..],
        [(A, Some(at("10.0.0.9:4002")), Kind::Rtp)]
    );
    assert_eq!(world.rtp_to(B).len(), 2);
}

/// One key: three packets while it is down, three at its end.
fn press(world: &mut World, phone: &mut Phone, event: u8) {
    for i in 1..=6u8 {
        let end = if i > 3 { 0x80 } else { 0 };
        let packet = phone.event(101, [event, end | 10, 0, 40 * i.min(4)]);
        world.rtp(A, PHONE_A, &packet);
        world.passes(20);
    }
}

#[test]
fn keys_are_told_once_and_passed_on_renumbered() {
    for to in [Codec::Pcmu, Codec::Pcma, Codec::Opus] {
        let mut world = World::new();
        world.open(A, agreed(Codec::Pcmu, PHONE_A));
        let mut peer = agreed(to, PHONE_B);
        peer.dtmf = Some(Dtmf {
            send: 96,
            receive: 97,
            clock: 8_000,
        });
        world.open(B, peer);
        world.command(Command::Join { a: A, b: B });
        let mut phone = Phone::new(Codec::Pcmu, 1);
        for event in [5, 11] {
            for _ in 0..5 {
                let packet = phone.tone(20);
                world.rtp(A, PHONE_A, &packet);
                world.passes(20);
            }
            press(&mut world, &mut phone, event);
            phone.header.timestamp = phone.header.timestamp.wrapping_add(960);
        }
        let packet = phone.tone(20);
        world.rtp(A, PHONE_A, &packet);
        let told = world.events.iter().map(|e| match e {
            Event::Dtmf { digit, .. } => *digit,
            other => panic!("{other:?}"),
        });
        let told: Vec<char> = told.collect();
        assert_eq!(told, ['5', '#']);
        let got = world.rtp_to(B);
        assert_eq!(got.len(), 23);
        let first = got[0].header();
        for (i, sent) in got.iter().enumerate() {
            assert_eq!(
                sent.header().sequence,
                first.sequence.wrapping_add(i as u16),
                "{to:?}"
            );
        }
        let ticks = |i: usize| got[i].header().timestamp.wrapping_sub(first.timestamp);
        let frame = to.clock_rate() / 50;
        for (i, sent) in got.iter().enumerate().take(11).skip(5) {
            assert_eq!(sent.header().payload_type, 96);
            assert_eq!(ticks(i), 5 * frame, "an event keeps the time of its start");
            assert_eq!(sent.payload().len(), 4);
        }
        assert_eq!(ticks(11), 11 * frame, "voice goes on after it");
        assert_eq!(ticks(16), 16 * frame);
    }
}

#[test]
fn a_key_between_frames_cut_anew_leaves_no_hole() {
    let mut world = World::new();
    world.open(A, agreed(Codec::Pcmu, PHONE_A));
    let mut peer = agreed(Codec::Pcma, PHONE_B);
    peer.ptime_ms = 30;
    world.open(B, peer);
    world.command(Command::Join { a: A, b: B });
    let mut phone = Phone::new(Codec::Pcmu, 1);
    for round in 0..2 {
        for _ in 0..9 {
            let packet = phone.tone(20);
            world.rtp(A, PHONE_A, &packet);
            world.passes(20);
        }
        if round == 0 {
            press(&mut world, &mut phone, 3);
            phone.header.timestamp = phone.header.timestamp.wrapping_add(960);
        }
    }
    let got = world.rtp_to(B);
    assert_eq!(got.len(), 6 + 6 + 6);
    let first = got[0].header();
    for (i, sent) in got.iter().enumerate() {
        let header = sent.header();
        assert_eq!(header.sequence, first.sequence.wrapping_add(i as u16));
    }
    let last = got[17].header().timestamp.wrapping_sub(first.timestamp);
    assert_eq!(last, 11 * 240 + 960);
}

#[test]
fn keys_a_party_does_not_know_leave_no_hole() {
    let mut world = World::new();
    world.open(A, agreed(Codec::Pcmu, PHONE_A));
    let mut peer = agreed(Codec::Pcmu, PHONE_B);
    peer.dtmf = None;
    world.open(B, peer);
    world.command(Command::Join { a: A, b: B });
    let mut phone = Phone::new(Codec::Pcmu, 1);
    let packet = phone.tone(20);
    world.rtp(A, PHONE_A, &packet);
    press(&mut world, &mut phone, 1);
    let packet = phone.tone(20);
    world.rtp(A, PHONE_A, &packet);
    let got = world.rtp_to(B);
    assert_eq!(
        got[1].header().sequence,
        got[0].header().sequence.wrapping_add(1)
    );
    assert_eq!(
        world.events,
        [Event::Dtmf {
            stream: A,
            digit: '1'
        }]
    );
}

fn clip(frames: usize) -> Source {
    let frame = |i| vec![i as u8; 160].into_boxed_slice();
    Source::Clip(Arc::new(Clip {
        codec: Codec::Pcmu,
        frames: (0..frames).map(frame).collect(),
    }))
}

#[test]
fn a_clip_is_played_whole_and_once() {
    for codec in [Codec::Pcmu, Codec::Opus] {
        let mut world = World::new();
        world.open(A, agreed(codec, PHONE_A));
        world.command(Command::Play {
            stream: A,
            play: PlayId(4),
            source: clip(50),
            repeat: false,
        });
        world.passes(1_000);
        assert_eq!(world.rtp_to(A).len(), 50);
        assert_eq!(world.events, []);
        world.passes(5);
        assert_eq!(
            world.events,
            [Event::PlayEnded {
                stream: A,
                play: PlayId(4),
                finished: true
            }]
        );
        world.passes(1_000);
        assert_eq!(world.rtp_to(A).len(), 50);
        let got = world.rtp_to(A);
        for pair in got.windows(2) {
            assert_eq!(pair[1].ms - pair[0].ms, 20);
            let ticks = pair[1]
                .header()
                .timestamp
                .wrapping_sub(pair[0].header().timestamp);
            assert_eq!(ticks, codec.clock_rate() / 50);
        }
        if codec == Codec::Pcmu {
            assert!(
                got.iter()
                    .enumerate()
                    .all(|(i, sent)| sent.payload() == vec![i as u8; 160])
            );
        }
    }
}

#[test]
fn a_playback_waits_for_the_negotiation_and_ends_only_once() {
    let mut world = World::new();
    let settings = media::Settings::default();
    world.command(Command::Open {
        stream: A,
        local: at("192.0.2.1:20000"),
        settings,
    });
    world.command(Command::Play {
        stream: A,
        play: PlayId(1),
        source: clip(5),
        repeat: false,
    });
    world.passes(1_000);
    assert!(world.sent.is_empty() && world.events.is_empty());
    world.command(Command::Negotiated {
        stream: A,
        negotiated: agreed(Codec::G722, PHONE_A),
    });
    world.passes(40);
    assert_eq!(world.rtp_to(A).len(), 2);
    world.command(Command::Play {
        stream: A,
        play: PlayId(2),
        source: Source::Tone(Tone::Busy),
        repeat: true,
    });
    world.passes(10_000);
    world.command(Command::StopPlay { stream: A });
    world.command(Command::StopPlay { stream: A });
    world.command(Command::Play {
        stream: A,
        play: PlayId(3),
        source: Source::Prompt("x".into()),
        repeat: false,
    });
    world.command(Command::Play {
        stream: A,
        play: PlayId(4),
        source: clip(50),
        repeat: false,
    });
    world.command(Command::Close { stream: A });
    let ended = |play| Event::PlayEnded {
        stream: A,
        play: PlayId(play),
        finished: false,
    };
    let last = world.events.pop();
    assert!(matches!(last, Some(Event::Closed { .. })));
    assert_eq!(world.events, [ended(1), ended(2), ended(3), ended(4)]);
    world.command(Command::Close { stream: B });
    assert!(matches!(
        world.events.pop(),
        Some(Event::Closed { stream: B, .. })
    ));
}

#[test]
fn an_answer_ends_the_ringback_but_a_prompt_is_heard_out() {
    let tone = Source::Tone(Tone::Ringback);
    for (source, repeat, waits) in [(tone, true, false), (clip(10), false, true)] {
        let mut world = World::new();
        world.open(A, agreed(Codec::Pcmu, PHONE_A));
        world.open(B, agreed(Codec::Pcmu, PHONE_B));
        let play = PlayId(1);
        world.command(Command::Play {
            stream: A,
            play,
            source,
            repeat,
        });
        world.passes(100);
        world.command(Command::Join { a: A, b: B });
        let mut phone = Phone::new(Codec::Pcmu, 2);
        world.sent.clear();
        let packet = phone.tone(20);
        world.rtp(B, PHONE_B, &packet);
        assert_eq!(world.rtp_to(A).is_empty(), waits);
        world.passes(200);
        world.sent.clear();
        let packet = phone.tone(20);
        world.rtp(B, PHONE_B, &packet);
        assert_eq!(world.rtp_to(A).len(), 1);
        let finished = waits;
        let ended = Event::PlayEnded {
            stream: A,
            play,
            finished,
        };
        assert_eq!(world.events, [ended]);
    }
}

#[test]
fn tones_keep_their_cadence_on_the_wire() {
    for codec in Codec::ALL {
        let mut world = World::new();
        world.open(A, agreed(codec, PHONE_A));
        world.command(Command::Play {
            stream: A,
            play: PlayId(1),
            source: Source::Tone(Tone::Ringback),
            repeat: true,
        });
        world.passes(10_000);
        let got = world.rtp_to(A);
        assert_eq!(got.len(), 500);
        let (pcm, rate) = (listen(codec, &got), codec.sample_rate());
        let second =
            |n: usize| &pcm[n * rate as usize + rate as usize / 10..][..rate as usize * 8 / 10];
        for on in [0, 5] {
            assert!(purity(second(on), rate, 425.0) > 0.95, "{codec:?}");
        }
        for off in [1, 4, 6] {
            assert!(
                second(off).iter().all(|s| s.unsigned_abs() < 200),
                "{codec:?}"
            );
        }
    }
}

#[test]
fn one_sender_whoever_speaks() {
    let mut world = World::joined(Codec::Pcmu, Codec::Pcma);
    let mut phone = Phone::new(Codec::Pcmu, 1);
    let talk = |world: &mut World, phone: &mut Phone, stream, from, packets| {
        for _ in 0..packets {
            let packet = phone.tone(20);
            world.rtp(stream, from, &packet);
            world.passes(20);
        }
    };
    talk(&mut world, &mut phone, A, PHONE_A, 10); // transcoded
    world.command(Command::Play {
        stream: B,
        play: PlayId(1),
        source: clip(10),
        repeat: false,
    });
    talk(&mut world, &mut phone, A, PHONE_A, 11); // not heard over the clip
    talk(&mut world, &mut phone, A, PHONE_A, 5);
    world.command(Command::Part { stream: A });
    talk(&mut world, &mut phone, A, PHONE_A, 5);
    world.command(Command::Echo { stream: B });
    talk(&mut world, &mut Phone::new(Codec::Pcma, 2), B, PHONE_B, 5);
    world.command(Command::Join { a: B, b: A });
    talk(&mut world, &mut Phone::new(Codec::Pcmu, 3), A, PHONE_A, 5);
    let got = world.rtp_to(B);
    let headers: Vec<_> = got.iter().map(|s| s.header()).collect();
    assert!((34..=36).contains(&got.len()), "{}", got.len());
    let mut turns = 0;
    for (pair, sent) in headers.windows(2).zip(got.windows(2)) {
        assert_eq!(pair[0].ssrc, pair[1].ssrc);
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        let ticks = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        let passed = (sent[1].ms - sent[0].ms) * 8;
        assert!(
            ticks >= 160 && u64::from(ticks) <= passed.max(160) + 40,
            "{ticks} in {passed}"
        );
        turns += u32::from(pair[1].marker);
    }
    assert_eq!(turns, 4, "clip, voice again, echo, the new caller");
}

#[test]
fn who_is_on_hold_gets_nothing() {
    let mut world = World::joined(Codec::Pcmu, Codec::Pcmu);
    let (mut a, mut b) = (Phone::new(Codec::Pcmu, 1), Phone::new(Codec::Pcmu, 2));
    for (direction, to_b, to_a) in [
        (Direction::SendRecv, 1, 1),
        (Direction::RecvOnly, 0, 1),
        (Direction::SendOnly, 1, 0),
        (Direction::Inactive, 0, 0),
    ] {
        let mut negotiated = agreed(Codec::Pcmu, PHONE_B);
        negotiated.direction = direction;
        world.command(Command::Negotiated {
            stream: B,
            negotiated,
        });
        world.sent.clear();
        let (one, two) = (a.tone(20), b.tone(20));
        world.rtp(A, PHONE_A, &one);
        world.rtp(B, PHONE_B, &two);
        assert_eq!(
            (world.rtp_to(B).len(), world.rtp_to(A).len()),
            (to_b, to_a),
            "{direction:?}"
        );
    }
    world.sent.clear();
    world.command(Command::Play {
        stream: B,
        play: PlayId(1),
        source: clip(5),
        repeat: false,
    });
    world.passes(200);
    assert!(world.rtp_to(B).is_empty());
    assert_eq!(
        world.events,
        [Event::PlayEnded {
            stream: B,
            play: PlayId(1),
            finished: true
        }]
    );
}

#[test]
fn silence_is_told() {
    let mut world = World::new();
    world.open(A, agreed(Codec::Pcmu, PHONE_A));
    world.passes(14_000);
    let packet = Phone::new(Codec::Pcmu, 1).tone(20);
    world.rtp(A, PHONE_A, &packet);
    world.passes(14_990);
    assert_eq!(world.events, []);
    world.passes(40_000);
    let silent = |for_ms| Event::Silent { stream: A, for_ms };
    assert_eq!(world.events, [15_000, 30_000, 45_000].map(silent));
    let mut held = agreed(Codec::Pcmu, PHONE_A);
    held.direction = Direction::RecvOnly;
    world.command(Command::Negotiated {
        stream: A,
        negotiated: held,
    });
    world.events.clear();
    world.passes(149_000);
    assert_eq!(world.events, []);
    world.passes(1_000);
    assert_eq!(world.events, [silent(150_000)]);
}

#[test]
fn a_party_that_only_reports_is_not_silent() {
    let mut world = World::new();
    world.open(A, agreed(Codec::Pcmu, PHONE_A));
    // RFC 3550 §6.4.2: a receiver report without blocks.
    let report = [0x80, 201, 0, 1, 0, 0, 0, 9];
    for _ in 0..10 {
        world.passes(14_000);
        world.rtcp(A, "10.0.0.1:4001", &report);
    }
    assert_eq!(world.events, []);
    world.passes(14_000);
    world.rtcp(A, "203.0.113.9:4001", &report);
    world.passes(1_000);
    let silent = |for_ms| Event::Silent { stream: A, for_ms };
    assert_eq!(world.events, [silent(15_000)], "strangers do not count");
}

#[test]
fn silence_before_any_answer_is_told() {
    let mut world = World::new();
    world.command(Command::Open {
        stream: A,
        local: at("192.0.2.1:20000"),
        settings: media::Settings::default(),
    });
    world.passes(30_000);
    let for_ms = 30_000;
    assert_eq!(world.events, [Event::Silent { stream: A, for_ms }]);
}

fn lossy(percent: u64) -> media::StreamStats {
    let mut world = World::joined(Codec::Pcmu, Codec::Pcmu);
    let mut phone = Phone::new(Codec::Pcmu, 1);
    let mut random = 42u64;
    for _ in 0..5_000 {
        let packet = phone.tone(20);
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        if (random >> 33) % 100 >= percent {
            world.rtp(A, PHONE_A, &packet);
        }
        world.passes(20);
    }
    world.command(Command::Close { stream: A });
    match world.events.pop() {
        Some(Event::Closed { stats, .. }) => *stats,
        other => panic!("{other:?}"),
    }
}

#[test]
fn loss_is_counted() {
    let stats = lossy(5);
    let share = stats.lost_in as f64 / stats.expected_in as f64;
    assert!((0.04..=0.06).contains(&share), "{stats:?}");
    assert_eq!(stats.codec, Some(Codec::Pcmu));
    // The first packet is on probation (RFC 3550 A.1).
    assert_eq!(stats.packets_in - 1 + stats.lost_in, stats.expected_in);
    assert!(stats.jitter_ms < 0.5, "{stats:?}");
    let stats = lossy(0);
    assert_eq!((stats.lost_in, stats.expected_in), (0, 4_999));
}

/// Ten seconds of a call; of A's packets every tenth is lost. What A was reported last.
fn reported(world: &mut World) -> Sent {
    let (mut a, mut b) = (Phone::new(Codec::Pcmu, 0xa), Phone::new(Codec::Opus, 0xb));
    for i in 0..500u32 {
        let (one, two) = (a.tone(20), b.tone(20));
        if i % 10 != 5 {
            world.rtp(A, PHONE_A, &one);
        }
        world.rtp(B, PHONE_B, &two);
        world.passes(20);
    }
    let to_a = world
        .sent
        .iter()
        .filter(|s| s.stream == A && s.kind == Kind::Rtcp);
    let reports: Vec<&Sent> = to_a.collect();
    assert!((2..=3).contains(&reports.len()), "{}", reports.len());
    assert_eq!(reports[0].to, at("10.0.0.1:4001"));
    reports[reports.len() - 1].clone()
}

#[test]
fn our_reports_tell_what_was_lost_and_sent() {
    let mut world = World::joined(Codec::Pcmu, Codec::Opus);
    let last = reported(&mut world);
    let mut packets = rtcp::parse(&last.bytes).unwrap();
    let Some(rtcp::Packet::SenderReport {
        ssrc,
        info,
        mut blocks,
    }) = packets.next()
    else {
        panic!()
    };
    let block = blocks.next().unwrap();
    assert_eq!((block.ssrc, ssrc), (0xa, world.rtp_to(A)[0].header().ssrc));
    assert!((24..=27).contains(&block.fraction_lost), "{block:?}");
    let before = world.rtp_to(A).iter().filter(|s| s.ms < last.ms).count();
    assert_eq!(
        (info.packets as usize, info.octets as usize),
        (before, before * 160)
    );
    assert!(matches!(packets.next(), Some(rtcp::Packet::Cname { .. })));
}

#[test]
fn the_partys_reports_tell_round_trip_and_loss() {
    let mut world = World::joined(Codec::Pcmu, Codec::Opus);
    let last = reported(&mut world);
    let Some(rtcp::Packet::SenderReport { ssrc, info, .. }) =
        rtcp::parse(&last.bytes).unwrap().next()
    else {
        panic!()
    };
    // 80 ms after it got ours, half of it spent on the way.
    world.ms = last.ms + 80;
    let block = rtcp::ReportBlock {
        ssrc,
        cumulative_lost: 100,
        last_sr: (info.ntp >> 16) as u32,
        delay_since_sr: 65_536 * 40 / 1_000,
        ..rtcp::ReportBlock::default()
    };
    let report = rtcp::Report {
        ssrc: 0xa,
        sender: None,
        block: Some(block),
        cname: "phone",
    };
    let mut bytes = [0; rtcp::MAX_REPORT];
    let length = rtcp::write(&report, &mut bytes);
    world.latches();
    world.rtcp(A, "203.0.113.9:4001", &bytes[..length]);
    assert_eq!(world.latches(), []);
    world.rtcp(A, "10.0.0.1:4009", &bytes[..length]);
    assert_eq!(
        world.latches(),
        [(A, Some(at("10.0.0.1:4009")), Kind::Rtcp)]
    );
    world.command(Command::Close { stream: A });
    let Some(Event::Closed { stats, .. }) = world.events.pop() else {
        panic!()
    };
    assert!((stats.rtt_ms.unwrap() - 40.0).abs() < 1.0, "{stats:?}");
    assert!((stats.remote_loss.unwrap() - 0.2).abs() < 0.02, "{stats:?}");
    assert_eq!(stats.foreign_packets, 1);
}

#[test]
fn what_was_lost_before_us_is_not_the_partys_loss() {
    for (told, share) in [(50, 0.0), (50 + 45, 0.1)] {
        let mut world = World::joined(Codec::Pcmu, Codec::Opus);
        reported(&mut world);
        let block = rtcp::ReportBlock {
            ssrc: world.rtp_to(B)[0].header().ssrc,
            cumulative_lost: told,
            ..rtcp::ReportBlock::default()
        };
        let report = rtcp::Report {
            ssrc: 0xb,
            sender: None,
            block: Some(block),
            cname: "phone",
        };
        let mut bytes = [0; rtcp::MAX_REPORT];
        let length = rtcp::write(&report, &mut bytes);
        world.rtcp(B, "10.0.0.2:5001", &bytes[..length]);
        world.command(Command::Close { stream: B });
        let Some(Event::Closed { stats, .. }) = world.events.pop() else {
            panic!()
        };
        assert!(
            (stats.remote_loss.unwrap() - share).abs() < 0.01,
            "{stats:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_packet_panics(
        packets in proptest::collection::vec(
            (any::<bool>(), proptest::sample::select(vec![0u8, 8, 9, 101, 111, 13, 128 + 101]), any::<u16>(),
             any::<u32>(), proptest::collection::vec(any::<u8>(), 0..1_600), 0u64..3_000, any::<u8>()), 1..40),
        from in proptest::sample::select(Codec::ALL.to_vec()),
        to in proptest::sample::select(Codec::ALL.to_vec()),
    ) {
        let mut world = World::joined(from, to);
        for (b, payload_type, sequence, timestamp, bytes, ms, flags) in packets {
            let (stream, phone) = if b { (B, PHONE_B) } else { (A, PHONE_A) };
            let header = Header { marker: false, payload_type, sequence, timestamp, ssrc: u32::from(flags & 1) };
            let mut packet = build(&header, &bytes);
            packet[0] ^= flags & 0x3e;
            world.rtp(stream, phone, &packet);
            world.rtp(stream, phone, &bytes);
            let mut report = bytes;
            if let [first, second, ..] = report.as_mut_slice() {
                *first = 0x80 | (*first & 0x3f);
                *second = 200 + *second % 5;
            }
            world.rtcp(stream, &phone.replace("4000", "4001"), &report);
            world.passes(ms / 10);
        }
        for sent in &world.sent {
            prop_assert!(sent.bytes.len() <= 1_700);
        }
    }
}

#[test]
fn a_ringback_gives_way_to_the_partner_while_it_is_heard() {
    let mut world = World::joined(Codec::Pcmu, Codec::Pcmu);
    let play = |tone| Command::Play {
        stream: B,
        play: PlayId(1),
        source: Source::Tone(tone),
        repeat: true,
    };
    world.command(play(Tone::Ringback));
    world.passes(500);
    assert_eq!(world.rtp_to(B).len(), 25, "the tone");
    world.sent.clear();
    let mut phone = Phone::new(Codec::Pcmu, 1);
    for _ in 0..50 {
        let packet = phone.tone(20);
        world.rtp(A, PHONE_A, &packet);
        world.passes(20);
    }
    let got = world.rtp_to(B);
    assert_eq!(got.len(), 50, "the partner alone");
    assert!(purity(&listen(Codec::Pcmu, &got), 8_000, 1_000.0) > 0.97);
    world.sent.clear();
    world.passes(900);
    assert_eq!(world.rtp_to(B).len(), 0, "it may go on");
    world.passes(600);
    assert!((24..=28).contains(&world.rtp_to(B).len()), "the tone again");
    world.command(play(Tone::Busy));
    world.sent.clear();
    let packet = phone.tone(20);
    world.rtp(A, PHONE_A, &packet);
    assert_eq!(world.rtp_to(B).len(), 0, "no other tone gives way");
}
