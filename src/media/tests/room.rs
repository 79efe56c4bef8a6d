//! Rooms in virtual time, from outside: packets in, packets out.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod world;

use std::sync::Arc;

use media::rtp::packet::Header;
use media::{Audience, Clip, Codec, Command, Direction, Event, PlayId, RoomId, Seat, Source};
use media::{Negotiated, StreamId};
use proptest::prelude::*;
use world::*;

const ROOM: RoomId = RoomId(1);

/// A world with one room and phones in it, each with a tone of its own.
struct Party {
    world: World,
    phones: Vec<(StreamId, Phone, String)>,
}

impl Party {
    fn new(members: &[(Codec, f64)]) -> Party {
        let mut party = Party {
            world: World::new(),
            phones: Vec::new(),
        };
        for (codec, hz) in members {
            party.enters(*codec, *hz, |_| {}, false);
        }
        party
    }

    fn enters(
        &mut self,
        codec: Codec,
        hz: f64,
        change: impl FnOnce(&mut Negotiated),
        chimes: bool,
    ) {
        let number = self.phones.len() as u64 + 1;
        let stream = StreamId(number << 8);
        let address = format!("10.0.0.{number}:4000");
        let mut negotiated = agreed(codec, &address);
        change(&mut negotiated);
        self.world.open(stream, negotiated);
        let enter = Command::Enter {
            stream,
            room: ROOM,
            seat: Seat::default(),
            chimes,
        };
        self.world.command(enter);
        let mut phone = Phone::new(codec, number as u32);
        phone.hz = hz;
        self.phones.push((stream, phone, address));
    }

    fn stream(&self, index: usize) -> StreamId {
        self.phones[index].0
    }

    fn seat(&mut self, index: usize, voice: Audience, hears: bool) {
        let stream = self.stream(index);
        let seat = Seat { voice, hears };
        self.world.command(Command::Seat { stream, seat });
    }

    /// Those of `speakers` send their tones.
    fn talk(&mut self, ms: u64, speakers: &[usize]) {
        for _ in 0..ms / 20 {
            for index in speakers {
                let (stream, phone, address) = &mut self.phones[*index];
                let packet = phone.tone(20);
                self.world.rtp(*stream, address, &packet);
            }
            self.world.passes(20);
        }
    }

    /// The share of each tone in what a phone heard since `after` ms.
    fn hears(&self, index: usize, after: u64) -> Vec<f64> {
        let (stream, phone, _) = &self.phones[index];
        let sent: Vec<_> = self.world.rtp_to(*stream);
        let sent: Vec<_> = sent.into_iter().filter(|sent| sent.ms > after).collect();
        let pcm = listen(phone.codec, &sent);
        let rate = phone.codec.sample_rate();
        let tones = self.phones.iter().map(|(_, phone, _)| phone.hz);
        tones.map(|hz| purity(&pcm, rate, hz)).collect()
    }

    /// As `hears`, but only whether.
    fn who(&self, index: usize, after: u64) -> Vec<bool> {
        let shares = self.hears(index, after);
        shares.into_iter().map(|share| share > 0.1).collect()
    }
}

#[test]
fn each_hears_the_others_and_not_itself_in_every_codec() {
    let mut party = Party::new(&[
        (Codec::Pcmu, 500.0),
        (Codec::G722, 800.0),
        (Codec::Opus, 1_300.0),
        (Codec::Pcma, 2_000.0),
    ]);
    party.talk(2_000, &[0, 1, 2, 3]);
    for me in 0..4 {
        let shares = party.hears(me, 500);
        for (other, share) in shares.iter().enumerate() {
            if other == me {
                assert!(*share < 0.01, "{me} hears itself: {shares:?}");
            } else {
                assert!((0.2..0.5).contains(share), "{me} {other}: {shares:?}");
            }
        }
        let sent = party.world.rtp_to(party.stream(me));
        for pair in sent.windows(2) {
            let (one, two) = (pair[0].header(), pair[1].header());
            assert_eq!(two.sequence, one.sequence.wrapping_add(1));
            let ticks = party.phones[me].1.codec.clock_rate() / 50;
            assert_eq!(two.timestamp, one.timestamp.wrapping_add(ticks));
            assert_eq!(pair[1].ms - pair[0].ms, 20);
        }
    }
}

#[test]
fn mute_deaf_and_whisper() {
    let mut party = Party::new(&[
        (Codec::Pcmu, 500.0),
        (Codec::Pcmu, 800.0),
        (Codec::Pcmu, 1_300.0),
    ]);
    let all = [0, 1, 2];
    party.talk(1_000, &all);
    assert_eq!(party.who(0, 300), [false, true, true]);

    party.seat(1, Audience::Nobody, true);
    party.talk(1_000, &all);
    assert_eq!(party.who(0, 1_100), [false, false, true]);
    assert_eq!(party.who(1, 1_100), [true, false, true]);

    party.seat(1, Audience::Only(party.stream(0)), true);
    party.talk(1_000, &all);
    assert_eq!(party.who(0, 2_100), [false, true, true]);
    assert_eq!(party.who(2, 2_100), [true, false, false]);

    party.seat(1, Audience::Everybody, true);
    party.seat(2, Audience::Everybody, false);
    party.talk(1_000, &all);
    assert_eq!(party.who(2, 3_100), [false, false, false]);
    assert_eq!(party.who(0, 3_100), [false, true, true]);
}

#[test]
fn all_who_only_listen_get_the_same_payload() {
    let mut party = Party::new(&[(Codec::Opus, 600.0); 6]);
    party.talk(1_000, &[0]);
    for me in 2..6 {
        let one: Vec<_> = party.world.rtp_to(party.stream(1)).into_iter().collect();
        let other = party.world.rtp_to(party.stream(me));
        assert_eq!(one.len(), other.len());
        for (one, other) in one.iter().zip(other) {
            assert_eq!(one.payload(), other.payload());
            assert_ne!(one.header().ssrc, other.header().ssrc);
        }
    }
    let pure = party.hears(1, 300)[0];
    assert!(pure > 0.8, "{pure}");
    // Nobody else speaks.
    let heard = listen(Codec::Opus, &party.world.rtp_to(party.stream(0)));
    assert!(heard.iter().all(|s| s.unsigned_abs() < 50));
}

#[test]
fn packets_are_as_long_as_each_member_likes() {
    let mut party = Party::new(&[(Codec::Pcmu, 700.0)]);
    for ptime in [10, 20, 30, 40, 50, 60] {
        party.enters(Codec::Pcma, 3_000.0, |n| n.ptime_ms = ptime, false);
    }
    party.talk(3_000, &[0]);
    for (me, ptime) in [(1, 10), (2, 20), (3, 30), (4, 40), (5, 50), (6, 60)] {
        let sent = party.world.rtp_to(party.stream(me));
        assert_eq!(sent.len() as u64, 3_000 / ptime, "{ptime}");
        assert!(sent.iter().all(|s| s.payload().len() as u64 == ptime * 8));
        assert!(party.hears(me, 300)[0] > 0.9, "{ptime}");
    }
}

#[test]
fn a_leaver_is_heard_no_more_and_a_newcomer_is_told_of() {
    let mut party = Party::new(&[(Codec::Pcmu, 500.0), (Codec::G722, 800.0)]);
    party.talk(500, &[0, 1]);
    party.enters(Codec::Opus, 1_300.0, |_| {}, true);
    party.talk(500, &[]);
    let heard = listen(
        Codec::Pcmu,
        &party
            .world
            .rtp_to(party.stream(0))
            .into_iter()
            .filter(|sent| sent.ms > 600)
            .collect::<Vec<_>>(),
    );
    assert!(heard.iter().any(|s| s.unsigned_abs() > 2_000), "a chime");
    let left = party.stream(2);
    party.talk(1_000, &[0, 1, 2]);
    party.world.command(Command::Part { stream: left });
    let then = party.world.ms + 500;
    party.talk(1_500, &[0, 1, 2]);
    assert_eq!(party.who(0, then), [false, true, false]);
    let sent = party.world.rtp_to(left);
    assert!(sent.last().unwrap().ms < then);
    for index in 0..2 {
        let stream = party.stream(index);
        party.world.command(Command::Close { stream });
    }
    party.world.sent.clear();
    party.world.passes(100);
    assert!(party.world.sent.is_empty(), "nobody is left");
}

#[test]
fn an_announcement_is_heard_by_all_and_told_of() {
    let mut tone = Phone::new(Codec::Pcmu, 9);
    let frames: Vec<Box<[u8]>> = (0..50)
        .map(|_| tone.tone(20)[12..].to_vec().into_boxed_slice())
        .collect();
    let clip = Source::Clip(Arc::new(Clip {
        codec: Codec::Pcmu,
        frames,
    }));
    let mut party = Party::new(&[
        (Codec::Pcmu, 500.0),
        (Codec::G722, 800.0),
        (Codec::Opus, 1_000.0),
    ]);
    party.talk(200, &[]);
    let announce = |play: u32, source: &Source| Command::Announce {
        stream: StreamId(256),
        play: PlayId(play),
        source: source.clone(),
    };
    party.world.command(announce(1, &clip));
    party.talk(980, &[]);
    assert_eq!(party.world.events, []);
    for me in 0..3 {
        assert!(party.hears(me, 240)[2] > 0.9, "{:?}", party.hears(me, 240));
    }
    party.talk(60, &[]);
    let ended = |play: u32, finished| Event::PlayEnded {
        stream: StreamId(256),
        play: PlayId(play),
        finished,
    };
    assert_eq!(party.world.events, [ended(1, true)]);
    party.world.events.clear();
    party.world.command(announce(2, &clip));
    party.world.command(announce(3, &clip));
    assert_eq!(party.world.events, [ended(2, false)]);
    party
        .world
        .command(announce(4, &Source::Prompt("x".into())));
    for index in 0..3 {
        let stream = party.stream(index);
        party.world.command(Command::Part { stream });
    }
    party.world.command(announce(5, &clip));
    let told = [
        ended(2, false),
        ended(3, false),
        ended(4, false),
        ended(5, false),
    ];
    assert_eq!(party.world.events, told);
}

#[test]
fn two_go_from_a_relay_into_a_room_and_back() {
    let mut world = World::joined(Codec::Pcmu, Codec::Pcmu);
    let mut phone = Phone::new(Codec::Pcmu, 1);
    let mut last = None;
    for step in 0..150 {
        if step == 50 || step == 100 {
            for stream in [A, B] {
                let enter = Command::Enter {
                    stream,
                    room: ROOM,
                    seat: Seat::default(),
                    chimes: false,
                };
                if step == 50 {
                    world.command(enter);
                }
            }
            if step == 100 {
                world.command(Command::Join { a: A, b: B });
            }
        }
        let packet = phone.tone(20);
        world.rtp(A, PHONE_A, &packet);
        if step > 110 {
            let payload = world.rtp_to(B).last().unwrap().payload().to_vec();
            assert_eq!(payload, packet[12..], "relayed as it is");
        }
        world.passes(20);
    }
    for sent in world.rtp_to(B) {
        let sequence = sent.header().sequence;
        let expected = last.map_or(sequence, |last: u16| last.wrapping_add(1));
        assert_eq!(sequence, expected);
        last = Some(sequence);
    }
    let pcm = listen(Codec::Pcmu, &world.rtp_to(B));
    assert!(purity(&pcm[pcm.len() - 4_000..], 8_000, 1_000.0) > 0.95);
}

#[test]
fn who_holds_is_sent_nothing_and_who_changes_codec_hears_on() {
    let mut party = Party::new(&[(Codec::Pcmu, 500.0), (Codec::Pcmu, 800.0)]);
    party.talk(500, &[0, 1]);
    let stream = party.stream(1);
    let mut negotiated = agreed(Codec::Pcmu, "10.0.0.2:4000");
    negotiated.direction = Direction::RecvOnly;
    party
        .world
        .command(Command::Negotiated { stream, negotiated });
    party.world.sent.clear();
    party.talk(500, &[0]);
    assert!(party.world.rtp_to(stream).is_empty());
    let negotiated = agreed(Codec::G722, "10.0.0.2:4000");
    party
        .world
        .command(Command::Negotiated { stream, negotiated });
    party.phones[1].1 = Phone::new(Codec::G722, 2);
    party.phones[1].1.hz = 800.0;
    party.talk(1_000, &[0, 1]);
    let now = party.world.ms;
    assert!(party.hears(1, now - 700)[0] > 0.9);
    assert!(party.hears(0, now - 700)[1] > 0.9);
}

#[test]
fn lost_frames_are_filled_and_pauses_are_no_loss() {
    for codec in Codec::ALL {
        let mut party = Party::new(&[(codec, 500.0), (codec, 800.0)]);
        for n in 0..250 {
            let (stream, phone, address) = &mut party.phones[0];
            let packet = phone.tone(20);
            if n % 10 != 7 {
                party.world.rtp(*stream, address, &packet);
            }
            party.world.passes(20);
        }
        let got = party.world.rtp_to(party.stream(1));
        let pcm = listen(codec, &got);
        let rate = codec.sample_rate() as usize;
        let pure = purity(&pcm[rate / 2..], rate as u32, 500.0);
        assert!(pure > 0.8, "{codec:?}: {pure}");
        let quiet = pcm[rate / 2..]
            .chunks(rate / 50)
            .filter(|frame| frame.iter().all(|s| s.unsigned_abs() < 500))
            .count();
        assert_eq!(quiet, 0, "{codec:?}");
    }
}

#[test]
fn comfort_noise_ends_a_talkspurt() {
    let mut party = Party::new(&[(Codec::Pcmu, 500.0), (Codec::Pcmu, 800.0)]);
    party.talk(500, &[0]);
    let (stream, phone, address) = &mut party.phones[0];
    let header = Header {
        payload_type: 13,
        ..phone.header
    };
    party.world.rtp(*stream, address, &build(&header, &[60]));
    phone.header.sequence = phone.header.sequence.wrapping_add(1);
    phone.header.timestamp = phone.header.timestamp.wrapping_add(8_000);
    party.world.passes(1_000);
    let (stream, after) = (party.stream(0), party.world.ms);
    party.talk(500, &[0]);
    assert!(party.hears(1, after + 100)[0] > 0.9);
    party.world.command(Command::Close { stream });
    let Some(Event::Closed { stats, .. }) = party.world.events.pop() else {
        panic!()
    };
    assert_eq!((stats.lost_in, stats.packets_in), (0, 51));
}

#[test]
fn a_room_adds_less_than_60_ms() {
    for (codec, phase) in [
        (Codec::Pcmu, 0),
        (Codec::Pcma, 5),
        (Codec::G722, 10),
        (Codec::Opus, 15),
    ] {
        let mut party = Party::new(&[(codec, 500.0), (codec, 800.0)]);
        // The packets come at any time between two slots.
        party.talk(300, &[]);
        party.world.passes(phase);
        let said = party.world.ms;
        party.talk(400, &[0]);
        let sent = party.world.rtp_to(party.stream(1));
        let rate = codec.sample_rate() as usize;
        // When the first loud sample of what is heard was sent off, with its place in the packet.
        let mut decoder = media::codec::Decoder::new(codec, codec.sample_rate()).unwrap();
        let mut pcm = [0; 5_760];
        let heard = sent.iter().find_map(|sent| {
            let samples = decoder.decode(sent.payload(), &mut pcm);
            let at = pcm[..samples]
                .iter()
                .position(|s| s.unsigned_abs() > 2_000)?;
            Some(sent.ms + (at * 1_000 / rate) as u64)
        });
        let delay = heard.unwrap() - said;
        assert!(delay < 60, "{codec:?}: {delay} ms");
    }
}

proptest! {
    /// Whatever is said, done and left undone in whatever order: nothing panics, each playback ends once, and a room that
    /// everybody left is silent.
    #[test]
    fn any_order_of_things_is_borne(
        steps in proptest::collection::vec(
            (0u8..10, 0usize..4, 0usize..4, any::<u16>(), any::<u32>(), proptest::collection::vec(any::<u8>(), 0..300)), 1..80),
    ) {
        let mut world = World::new();
        let streams: Vec<StreamId> = (1..=4).map(|n| StreamId(n << 8)).collect();
        let address = |n: usize| format!("10.0.0.{}:4000", n + 1);
        for (n, stream) in streams.iter().enumerate() {
            world.open(*stream, agreed(Codec::ALL[n], &address(n)));
        }
        let mut plays = 0;
        for (what, one, other, short, long, bytes) in steps {
            let (stream, friend) = (streams[one], streams[other]);
            let seat = Seat {
                voice: [Audience::Nobody, Audience::Everybody, Audience::Only(friend)][usize::from(short % 3)],
                hears: long.is_multiple_of(2),
            };
            let room = RoomId(u64::from(short % 2));
            let chimes = long.is_multiple_of(3);
            match what {
                0 => world.command(Command::Enter { stream, room, seat, chimes }),
                1 => world.command(Command::Seat { stream, seat }),
                2 => world.command(Command::Part { stream }),
                3 => world.command(Command::Join { a: stream, b: friend }),
                4 => {
                    plays += 1;
                    let source = Source::Tone(media::Tone::Busy);
                    let play = PlayId(plays);
                    world.command(Command::Announce { stream, play, source });
                }
                5 => {
                    let mut negotiated = agreed(Codec::ALL[other], &address(one));
                    negotiated.ptime_ms = [10, 20, 30, 60][usize::from(short % 4)];
                    world.command(Command::Negotiated { stream, negotiated });
                }
                6 => world.passes(u64::from(short % 400)),
                _ => {
                    let codec = Codec::ALL[if what == 7 { one } else { other }];
                    let payload_type = if what == 9 { 13 } else { payload_type(codec) };
                    let header = Header { marker: false, payload_type, sequence: short, timestamp: long, ssrc: 1 };
                    world.rtp(stream, &address(one), &build(&header, &bytes));
                }
            }
        }
        for stream in streams {
            world.command(Command::Part { stream });
        }
        world.sent.clear();
        world.passes(100);
        prop_assert!(world.sent.iter().all(|sent| sent.kind != media::Kind::Rtp));
        let ended = world.events.iter().filter(|event| matches!(event, Event::PlayEnded { .. }));
        prop_assert_eq!(ended.count(), plays as usize);
    }
}
