//! What the engine says of how well a party is heard and hears, from outside.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod world;

use media::quality::findings;
use media::rtp::rtcp::{self, Packet, ReportBlock, SenderInfo};
use media::rtp::xr::{self, Block, VoipMetrics};
use media::{Codec, Command, Direction, Event, Extended, Kind, Negotiated, StreamStats};
use std::time::Duration;
use world::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A says `packets` packets to B, of which `lost` says which are lost.
fn talks(world: &mut World, packets: u32, lost: impl Fn(u32) -> bool) {
    let mut phone = Phone::new(Codec::Pcmu, 1);
    for n in 0..packets {
        let packet = phone.tone(20);
        if !lost(n) {
            world.rtp(A, PHONE_A, &packet);
        }
        world.passes(20);
    }
}

fn reported(world: &mut World, stream: media::StreamId) -> StreamStats {
    world.command(Command::Report { stream });
    world
        .events
        .drain(..)
        .find_map(|event| match event {
            Event::Report {
                stream: told,
                stats,
            } if told == stream => Some(*stats),
            _ => None,
        })
        .unwrap()
}

/// The party of `stream` reports of what we send: `block` is filled in with our SSRC.
fn reports(
    world: &mut World,
    stream: media::StreamId,
    from: &str,
    block: ReportBlock,
    blocks: &[Option<Block>],
) {
    let ssrc = world.rtp_to(stream)[0].header().ssrc;
    let report = rtcp::Report {
        ssrc: 77,
        sender: None,
        block: Some(ReportBlock { ssrc, ..block }),
        cname: "phone",
    };
    let mut bytes = [0; 500];
    let length = rtcp::write(&report, &mut bytes);
    let length = length + xr::write(77, blocks, &mut bytes[length..]);
    world.rtcp(stream, from, &bytes[..length]);
}

#[test]
fn a_clear_line_has_the_best_score_and_a_lossy_one_less() {
    let mut scores = Vec::new();
    for every in [u32::MAX, 50, 20, 10, 5] {
        let mut world = World::joined(Codec::Pcmu, Codec::Pcmu);
        talks(&mut world, 1_000, |n| n % every == every - 1);
        scores.push(reported(&mut world, A).mos_in.unwrap());
    }
    assert!(scores.is_sorted_by(|a, b| a > b), "{scores:?}");
    assert!(scores[0] > 4.35 && scores[0] < 4.42, "{scores:?}");
    assert!((3.5..4.1).contains(&scores[2]), "5 % lost: {scores:?}");
    assert!((2.0..3.0).contains(&scores[4]), "20 % lost: {scores:?}");
}

#[test]
fn what_nobody_can_know_is_not_told() {
    let mut world = World::joined(Codec::Pcmu, Codec::Pcmu);
    let stats = reported(&mut world, A);
    assert_eq!(
        (stats.mos_in, stats.mos_out, stats.burst_loss),
        (None, None, None)
    );
    talks(&mut world, 20, |_| false);
    assert_eq!(reported(&mut world, A).mos_in, None);
    // A report of a stream that is not there has no answer.
    let before = world.events.len();
    world.command(Command::Report {
        stream: media::StreamId(99),
    });
    assert_eq!(world.events.len(), before);
}

#[test]
fn the_partys_reports_score_what_it_hears() {
    let mut world = World::joined(Codec::Pcmu, Codec::Pcmu);
    talks(&mut world, 1_000, |_| false);
    assert_eq!(reported(&mut world, B).mos_out, None);
    let heard = |lost| ReportBlock {
        cumulative_lost: lost,
        ..ReportBlock::default()
    };
    reports(&mut world, B, "10.0.0.2:4001", heard(0), &[]);
    let clear = reported(&mut world, B).mos_out.unwrap();
    reports(&mut world, B, "10.0.0.2:4001", heard(100), &[]);
    let lossy = reported(&mut world, B).mos_out.unwrap();
    assert!(clear > 4.35 && lossy < 3.5, "{clear} {lossy}");
    let words = findings(&reported(&mut world, B), MINUTE).words().unwrap();
    assert!(
        words.contains("it reports that 10.0 % of the packets sent to it were lost"),
        "{words}"
    );
    // What it says of itself counts for more.
    let metrics = VoipMetrics {
        ssrc: world.rtp_to(B)[0].header().ssrc,
        loss: 0,
        discard: 0,
        burst_density: 0,
        gap_density: 0,
        burst_ms: 0,
        gap_ms: 0,
        round_trip_ms: 0,
        end_system_ms: 0,
        rating: xr::UNKNOWN,
        mos_listening: 30,
        mos_conversational: 27,
        buffer_ms: 0,
        buffer_most_ms: 0,
    };
    reports(
        &mut world,
        B,
        "10.0.0.2:4001",
        heard(100),
        &[Some(Block::Voip(metrics))],
    );
    assert_eq!(reported(&mut world, B).mos_out, Some(2.7));
    let unknown = VoipMetrics {
        mos_conversational: xr::UNKNOWN,
        discard: 128,
        ..metrics
    };
    reports(
        &mut world,
        B,
        "10.0.0.2:4001",
        heard(0),
        &[Some(Block::Voip(unknown))],
    );
    let discarding = reported(&mut world, B).mos_out.unwrap();
    assert!(discarding < 2.0, "{discarding}");
}

fn extended(world: &World, stream: media::StreamId) -> Vec<Block> {
    let reports = world
        .sent
        .iter()
        .filter(|s| s.stream == stream && s.kind == Kind::Rtcp);
    reports
        .flat_map(|sent| rtcp::parse(&sent.bytes).unwrap())
        .filter_map(|packet| match packet {
            Packet::Extended { blocks, .. } => Some(blocks),
            _ => None,
        })
        .flatten()
        .collect()
}

#[test]
fn extended_reports_are_sent_where_they_were_agreed_on() {
    let mut world = World::new();
    let both = Extended {
        voip: true,
        round_trip: true,
    };
    let asks = Negotiated {
        extended: both,
        ..agreed(Codec::Pcmu, PHONE_A)
    };
    world.open(A, asks);
    world.open(B, agreed(Codec::Pcmu, PHONE_B));
    world.command(Command::Join { a: A, b: B });
    talks(&mut world, 1_000, |n| n % 10 == 9);
    assert_eq!(extended(&world, B), []);
    let told = extended(&world, A);
    let voip = told.iter().rev().find_map(|block| match block {
        Block::Voip(metrics) => Some(*metrics),
        _ => None,
    });
    let voip = voip.unwrap();
    assert_eq!((voip.ssrc, voip.discard), (1, 0));
    assert!((24..=26).contains(&voip.loss), "a tenth of 256: {voip:?}");
    assert!((28..38).contains(&voip.mos_conversational), "{voip:?}");
    assert!((50..75).contains(&voip.rating), "{voip:?}");
    // We send A nothing, so it has no SR of ours to measure by.
    assert!(
        told.iter()
            .any(|block| matches!(block, Block::ReferenceTime(_)))
    );
}

#[test]
fn a_round_trip_is_measured_without_sender_reports() {
    let mut world = World::new();
    let asks = Negotiated {
        extended: Extended {
            voip: false,
            round_trip: true,
        },
        ..agreed(Codec::Pcmu, PHONE_A)
    };
    world.open(A, asks);
    let mut phone = Phone::new(Codec::Pcmu, 1);
    while extended(&world, A).is_empty() {
        let packet = phone.tone(20);
        world.rtp(A, PHONE_A, &packet);
        world.passes(20);
    }
    let Some(Block::ReferenceTime(ntp)) = extended(&world, A).first().copied() else {
        panic!("a reference time");
    };
    let ours = world.sent.iter().find(|s| s.kind == Kind::Rtcp).unwrap();
    let Some(Packet::ReceiverReport { ssrc, .. }) = rtcp::parse(&ours.bytes).unwrap().next() else {
        panic!("a receiver report");
    };
    // The party held it for a second; the way took 150 ms.
    world.passes(1_150);
    let answer = Block::LastReference {
        ssrc,
        last: (ntp >> 16) as u32,
        delay: 65_536,
    };
    let theirs = Block::ReferenceTime(0x0000_1234_5678_0000);
    let mut bytes = vec![0x80, 201, 0, 1, 0, 0, 0, 77];
    let mut room = [0; 100];
    let length = xr::write(77, &[Some(answer), Some(theirs)], &mut room);
    bytes.extend_from_slice(&room[..length]);
    world.rtcp(A, "10.0.0.1:4001", &bytes);
    let rtt = reported(&mut world, A).rtt_ms.unwrap();
    assert!((149.0..171.0).contains(&rtt), "{rtt}");
    // Theirs is answered with the next report.
    world.passes(6_000);
    let answered = extended(&world, A)
        .into_iter()
        .find_map(|block| match block {
            Block::LastReference { ssrc, last, delay } => Some((ssrc, last, delay)),
            _ => None,
        });
    let (ssrc, last, delay) = answered.unwrap();
    assert_eq!((ssrc, last), (77, 0x1234_5678));
    assert!(delay > 0 && delay < 6 * 65_536);
}

#[test]
fn a_stream_that_is_closed_says_goodbye() {
    let mut world = World::joined(Codec::Pcmu, Codec::Pcmu);
    world.farewell(B);
    assert!(world.sent.is_empty(), "nothing was ever sent to it");
    talks(&mut world, 50, |_| false);
    world.sent.retain(|s| s.kind == Kind::Rtp);
    world.farewell(B);
    let last = world.sent.last().unwrap();
    assert_eq!((last.kind, last.to), (Kind::Rtcp, at("10.0.0.2:4001")));
    let packets: Vec<Packet<'_>> = rtcp::parse(&last.bytes).unwrap().collect();
    let ssrc = world.rtp_to(B)[0].header().ssrc;
    assert!(matches!(
        packets[0],
        Packet::SenderReport {
            info: SenderInfo { packets: 50, .. },
            ..
        }
    ));
    assert_eq!(packets.last(), Some(&Packet::Bye { ssrc }));
}

#[test]
fn one_way_audio_is_told() {
    let mut world = World::joined(Codec::Pcmu, Codec::Pcmu);
    talks(&mut world, 500, |_| false);
    let words = findings(&reported(&mut world, B), MINUTE).words().unwrap();
    assert!(
        words.starts_with("one-way audio: none came from it in 10 s, 500 packets were sent to it"),
        "{words}"
    );
    // On hold it may be silent, and the time of the hold does not count.
    let held = Negotiated {
        direction: Direction::SendOnly,
        ..agreed(Codec::Pcmu, PHONE_B)
    };
    let mut world = World::new();
    world.open(A, agreed(Codec::Pcmu, PHONE_A));
    world.open(B, held);
    world.command(Command::Join { a: A, b: B });
    talks(&mut world, 500, |_| false);
    assert_eq!(findings(&reported(&mut world, B), MINUTE).words(), None);
}

#[test]
fn a_codec_that_was_not_agreed_on_and_another_place_are_told() {
    let mut world = World::joined(Codec::Pcmu, Codec::Pcmu);
    let mut phone = Phone::new(Codec::Pcmu, 1);
    for n in 0..500 {
        phone.header.payload_type = if n < 10 { 0 } else { 8 };
        let packet = phone.tone(20);
        world.rtp(A, "203.0.113.9:5000", &packet);
        world.passes(20);
    }
    let words = findings(&reported(&mut world, A), MINUTE).words().unwrap();
    let first = "its SDP names the private address 10.0.0.1:4000, its audio came from 203.0.113.9:5000; \
                 it sent 490 packets of payload type 8 (PCMA), which was not agreed on";
    assert!(words.starts_with(first), "{words}");
}
