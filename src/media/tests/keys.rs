//! Keys from one party to the other: each way in, each way out, each key once.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod world;

use media::codec::{Decoder, Encoder};
use media::dtmf::detector::{Detector, Found};
use media::dtmf::tones::KeyTone;
use media::rtp::dtmf as wire;
use media::rtp::packet::Header;
use media::{Codec, Command, Dtmf, DtmfMode, Event, Settings};
use world::*;

const ALL: &[u8; 16] = b"0123456789*#ABCD";
const WAYS: [DtmfMode; 3] = [DtmfMode::Rfc4733, DtmfMode::Info, DtmfMode::Inband];

/// `count` keys, all sixteen among them, many twice in a row.
fn random_keys(count: usize) -> String {
    let mut seed = 11u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 28
    };
    let mut keys: Vec<u8> = ALL.iter().flat_map(|&key| [key, key]).collect();
    while keys.len() < count {
        keys.push(ALL[next() as usize]);
    }
    keys.truncate(count);
    String::from_utf8(keys).unwrap()
}

fn open(world: &mut World, stream: media::StreamId, codec: Codec, mode: DtmfMode, clock: u32) {
    let remote = if stream == A { PHONE_A } else { PHONE_B };
    let dtmf = mode.offers_events().then_some(Dtmf {
        send: 101,
        receive: 101,
        clock,
    });
    let settings = Settings {
        dtmf: mode,
        ..Settings::default()
    };
    let local = at("192.0.2.1:20000");
    world.command(Command::Open {
        stream,
        local,
        settings,
    });
    let negotiated = media::Negotiated {
        dtmf,
        ..agreed(codec, remote)
    };
    world.command(Command::Negotiated { stream, negotiated });
}

fn joined(a: (Codec, DtmfMode), b: (Codec, DtmfMode)) -> World {
    let mut world = World::new();
    open(&mut world, A, a.0, a.1, 8_000);
    open(&mut world, B, b.0, b.1, 8_000);
    world.command(Command::Join { a: A, b: B });
    world
}

/// A phone that presses keys and is silent between them, a packet every 20 ms.
struct Presser {
    codec: Codec,
    mode: DtmfMode,
    header: Header,
    encoder: Encoder,
    /// Sound that does not fill a packet yet.
    sound: Vec<i16>,
    /// Packets that get lost, by their number.
    drops: Vec<usize>,
    sent: usize,
}

impl Presser {
    fn new(codec: Codec, mode: DtmfMode) -> Presser {
        Presser {
            codec,
            mode,
            header: Header {
                marker: false,
                payload_type: payload_type(codec),
                sequence: 65_000,
                timestamp: u32::MAX - 50_000,
                ssrc: 5,
            },
            encoder: Encoder::new(codec, rate(codec)).unwrap(),
            sound: Vec::new(),
            drops: Vec::new(),
            sent: 0,
        }
    }

    fn press(&mut self, world: &mut World, key: char, (on, off): (u32, u32)) {
        match self.mode {
            DtmfMode::Info => {
                world.command(Command::Pressed {
                    stream: A,
                    key,
                    ms: on,
                });
                self.speak(
                    world,
                    &vec![0; (rate(self.codec) / 1_000 * (on + off)) as usize],
                );
            }
            DtmfMode::Inband => {
                let per_ms = rate(self.codec) / 1_000;
                let mut sound = vec![0; (per_ms * on) as usize];
                KeyTone::new(key, rate(self.codec))
                    .unwrap()
                    .fill(&mut sound, true);
                sound.resize((per_ms * (on + off)) as usize, 0);
                self.speak(world, &sound);
            }
            DtmfMode::Auto | DtmfMode::Rfc4733 => self.tell(world, key, (on, off)),
        }
    }

    /// A packet of the same event every 20 ms, its end three times, and no voice meanwhile.
    fn tell(&mut self, world: &mut World, key: char, (on, off): (u32, u32)) {
        let mut sender = wire::Sender::new(key, self.header.timestamp, 8_000, on).unwrap();
        for _ in 0..(on + off) / 20 {
            if let Some(packet) = sender.next() {
                let header = Header {
                    marker: packet.marker,
                    payload_type: 101,
                    timestamp: packet.timestamp,
                    ..self.header
                };
                self.send(world, &build(&header, &packet.payload));
            }
            let ticks = self.codec.clock_rate() / 50;
            self.header.timestamp = self.header.timestamp.wrapping_add(ticks);
            world.passes(20);
        }
    }

    fn send(&mut self, world: &mut World, packet: &[u8]) {
        if !self.drops.contains(&self.sent) {
            world.rtp(A, PHONE_A, packet);
        }
        self.sent += 1;
        self.header.sequence = self.header.sequence.wrapping_add(1);
    }

    fn speak(&mut self, world: &mut World, sound: &[i16]) {
        self.sound.extend(sound);
        let frame = rate(self.codec) as usize / 50;
        while self.sound.len() >= frame {
            let piece: Vec<i16> = self.sound.drain(..frame).collect();
            let mut payload = [0; 1_000];
            let length = self.encoder.encode(&piece, &mut payload);
            self.send(world, &build(&self.header, &payload[..length]));
            let ticks = self.codec.clock_rate() / 50;
            self.header.timestamp = self.header.timestamp.wrapping_add(ticks);
            world.passes(20);
        }
    }
}

/// What a key's sound is made and heard at.
fn rate(codec: Codec) -> u32 {
    if codec == Codec::G722 { 16_000 } else { 8_000 }
}

/// What B heard, and how long each key was.
fn heard_by_b(world: &World, codec: Codec, mode: DtmfMode) -> (String, Vec<u32>) {
    match mode {
        DtmfMode::Info => {
            let due = world.events.iter().filter_map(|event| match event {
                Event::InfoDue { stream, digit, ms } if *stream == B => Some((*digit, *ms)),
                _ => None,
            });
            due.unzip()
        }
        DtmfMode::Inband => heard_as_tones(world, codec),
        DtmfMode::Auto | DtmfMode::Rfc4733 => heard_as_events(world),
    }
}

fn heard_as_tones(world: &World, codec: Codec) -> (String, Vec<u32>) {
    let mut decoder = Decoder::new(codec, rate(codec)).unwrap();
    let mut detector = Detector::new();
    let (mut keys, mut lengths) = (String::new(), Vec::new());
    let mut pcm = vec![0; 5_760];
    for sent in world.rtp_to(B) {
        assert_eq!(sent.header().payload_type, payload_type(codec));
        let samples = decoder.decode(sent.payload(), &mut pcm);
        let sound: Vec<i16> = match codec {
            Codec::G722 => pcm[..samples]
                .chunks(2)
                .map(|c| c[0] / 2 + c[1] / 2)
                .collect(),
            _ => pcm[..samples].to_vec(),
        };
        detector.hear(&sound, |found| match found {
            Found::Down(key) => keys.push(key),
            Found::Up(ms) => lengths.push(ms),
        });
    }
    detector.hear(&[0; 800], |_| {});
    (keys, lengths)
}

fn heard_as_events(world: &World) -> (String, Vec<u32>) {
    let mut receiver = wire::Receiver::new();
    let (mut keys, mut lengths) = (String::new(), Vec::new());
    for sent in world.rtp_to(B) {
        let header = sent.header();
        if header.payload_type != 101 {
            continue;
        }
        let (down, end) = match receiver.take(&header, sent.payload()) {
            wire::Took::Down { digit, end } => (Some(digit), end),
            wire::Took::Goes { end } => (None, end),
            wire::Took::Nothing | wire::Took::Old => (None, None),
        };
        keys.extend(down);
        lengths.extend(end.map(|ticks| ticks / 8));
    }
    (keys, lengths)
}

/// Keys that were told upwards as A's.
fn told(world: &World) -> String {
    let keys = world.events.iter().filter_map(|event| match event {
        Event::Dtmf { stream, digit } if *stream == A => Some(*digit),
        _ => None,
    });
    keys.collect()
}

/// B sees one sender whose numbers run on.
fn assert_in_order(world: &World) {
    for pair in world.rtp_to(B).windows(2) {
        let (one, two) = (pair[0].header(), pair[1].header());
        assert_eq!(two.sequence, one.sequence.wrapping_add(1));
        assert!(two.timestamp.wrapping_sub(one.timestamp) < 1 << 31);
    }
}

fn carry(a: (Codec, DtmfMode), b: (Codec, DtmfMode), keys: &str, pace: (u32, u32)) {
    let mut world = joined(a, b);
    let mut phone = Presser::new(a.0, a.1);
    let silence = vec![0; rate(a.0) as usize / 2];
    if a.1 != DtmfMode::Rfc4733 {
        phone.speak(&mut world, &silence);
    }
    for key in keys.chars() {
        phone.press(&mut world, key, pace);
    }
    if a.1 == DtmfMode::Rfc4733 {
        world.passes(500);
    } else {
        phone.speak(&mut world, &silence);
    }
    assert_eq!(told(&world), keys, "{a:?} {b:?}");
    let (heard, lengths) = heard_by_b(&world, b.0, b.1);
    assert_eq!(heard, keys, "{a:?} {b:?}");
    assert_eq!(lengths.len(), keys.len());
    // Whole packets; G.722 and Opus smear what begins and ends.
    let slack = if b.0 == Codec::Pcmu { 21 } else { 30 };
    let near = |ms: &u32| ms.abs_diff(pace.0) <= slack;
    let wrong: Vec<_> = lengths.iter().filter(|ms| !near(ms)).collect();
    assert!(wrong.is_empty(), "{a:?} {b:?} {pace:?}: {wrong:?}");
    assert_in_order(&world);
}

#[test]
fn a_thousand_keys_of_40_ms_in_each_way_and_out_in_each() {
    let keys = random_keys(1_000);
    for a in WAYS {
        for b in WAYS {
            carry((Codec::Pcmu, a), (Codec::Pcmu, b), &keys, (40, 40));
        }
    }
}

#[test]
fn keys_pass_between_all_codecs() {
    let keys = random_keys(64);
    for a in Codec::ALL {
        for b in Codec::ALL {
            for mode_a in WAYS {
                for mode_b in WAYS {
                    carry((a, mode_a), (b, mode_b), &keys, (40, 40));
                }
            }
        }
    }
}

#[test]
fn long_keys_stay_long() {
    for a in WAYS {
        for b in WAYS {
            carry((Codec::Pcma, a), (Codec::Pcmu, b), "1#5A", (500, 100));
        }
    }
}

/// A leg with Opus and events at 48 kHz on one side, PCMU and 8 kHz on the other.
fn mixed_clocks(a: (Codec, u32), b: (Codec, u32)) -> World {
    let mut world = World::new();
    open(&mut world, A, a.0, DtmfMode::Auto, a.1);
    open(&mut world, B, b.0, DtmfMode::Auto, b.1);
    world.command(Command::Join { a: A, b: B });
    world
}

#[test]
fn an_event_counts_in_the_clock_of_who_hears_it() {
    for (a, b) in [
        ((Codec::Opus, 48_000), (Codec::Pcmu, 8_000)),
        ((Codec::Pcmu, 8_000), (Codec::Opus, 48_000)),
        ((Codec::Opus, 48_000), (Codec::Opus, 8_000)),
    ] {
        for before in [0, 3] {
            let mut world = mixed_clocks(a, b);
            let mut phone = Phone::new(a.0, 1);
            for _ in 0..before {
                let packet = phone.tone(20);
                world.rtp(A, PHONE_A, &packet);
                world.passes(20);
            }
            for key in ['1', '1'] {
                let start = phone.header.timestamp;
                let mut sender = wire::Sender::new(key, start, a.1, 100).unwrap();
                while let Some(packet) = sender.next() {
                    let event = phone.event(101, packet.payload);
                    world.rtp(A, PHONE_A, &event);
                    world.passes(20);
                }
                let ticks = a.0.clock_rate() / 5;
                phone.header.timestamp = phone.header.timestamp.wrapping_add(ticks);
                world.passes(60);
            }
            let got = world.rtp_to(B);
            let events: Vec<_> = got
                .iter()
                .filter(|s| s.header().payload_type == 101)
                .collect();
            let lengths: Vec<u32> = events
                .iter()
                .map(|s| u32::from(wire::Event::parse(s.payload()).unwrap().duration))
                .collect();
            let step = b.1 / 50;
            let one = [
                step,
                2 * step,
                3 * step,
                4 * step,
                5 * step,
                5 * step,
                5 * step,
            ];
            assert_eq!(lengths, [one, one].concat(), "{a:?} {b:?}");
            let starts: Vec<u32> = events.iter().map(|s| s.header().timestamp).collect();
            assert!(starts[..7].iter().all(|t| *t == starts[0]));
            assert_eq!(starts[7].wrapping_sub(starts[0]), b.0.clock_rate() / 5);
            assert_eq!(told(&world), "11");
        }
    }
}

#[test]
fn who_is_told_of_a_key_does_not_hear_its_tone() {
    let mut world = joined(
        (Codec::Pcmu, DtmfMode::Inband),
        (Codec::Pcma, DtmfMode::Rfc4733),
    );
    let mut phone = Presser::new(Codec::Pcmu, DtmfMode::Inband);
    phone.press(&mut world, '5', (300, 100));
    let voice: Vec<&Sent> = world
        .rtp_to(B)
        .into_iter()
        .filter(|s| s.header().payload_type == payload_type(Codec::Pcma))
        .collect();
    let pcm = listen(Codec::Pcma, &voice);
    let loud = pcm.iter().filter(|s| s.unsigned_abs() > 1_000).count();
    assert!(loud < 8 * 40, "{loud} of 2400 samples");
    assert_eq!(heard_as_events(&world).0, "5");
    assert_in_order(&world);
}

#[test]
fn a_phone_that_tells_each_key_twice_is_heard_once() {
    for first_info in [true, false] {
        let mut world = joined((Codec::Pcmu, DtmfMode::Auto), (Codec::Pcmu, DtmfMode::Auto));
        let mut phone = Presser::new(Codec::Pcmu, DtmfMode::Rfc4733);
        for key in "1123".chars() {
            let info = Command::Pressed {
                stream: A,
                key,
                ms: 100,
            };
            if first_info {
                world.command(info.clone());
            }
            phone.press(&mut world, key, (100, 100));
            if !first_info {
                world.command(info);
            }
        }
        world.passes(500);
        assert_eq!(told(&world), "1123");
        assert_eq!(heard_as_events(&world).0, "1123");
    }
}

#[test]
fn the_configured_way_is_the_only_one() {
    let mut world = joined(
        (Codec::Pcmu, DtmfMode::Rfc4733),
        (Codec::Pcmu, DtmfMode::Auto),
    );
    let mut phone = Presser::new(Codec::Pcmu, DtmfMode::Inband);
    phone.press(&mut world, '1', (100, 100));
    let info = |key| Command::Pressed {
        stream: A,
        key,
        ms: 100,
    };
    world.command(info('2'));
    assert_eq!(told(&world), "");
    let mut world = joined((Codec::Pcmu, DtmfMode::Info), (Codec::Pcmu, DtmfMode::Auto));
    phone.press(&mut world, '1', (100, 100));
    for key in ['2', 'd', 'x', '\n', '*'] {
        world.command(info(key));
        world.passes(200);
    }
    assert_eq!(told(&world), "2D*");
}

#[test]
fn who_uses_info_is_told_by_info() {
    let mut world = World::new();
    for stream in [A, B] {
        open(&mut world, stream, Codec::Pcmu, DtmfMode::Auto, 8_000);
        let remote = if stream == A { PHONE_A } else { PHONE_B };
        let negotiated = media::Negotiated {
            dtmf: None,
            ..agreed(Codec::Pcmu, remote)
        };
        world.command(Command::Negotiated { stream, negotiated });
    }
    world.command(Command::Join { a: A, b: B });
    for (stream, key) in [(B, '7'), (A, '1')] {
        world.command(Command::Pressed {
            stream,
            key,
            ms: 160,
        });
        world.passes(600);
    }
    let due: Vec<_> = world
        .events
        .iter()
        .filter(|e| matches!(e, Event::InfoDue { .. }))
        .collect();
    let expected = Event::InfoDue {
        stream: B,
        digit: '1',
        ms: 160,
    };
    assert_eq!(
        due,
        [&expected],
        "A heard 7 as a tone, for it had told nothing yet"
    );
}

#[test]
fn a_key_nobody_lets_go_of_ends() {
    for (a, b) in [
        (DtmfMode::Rfc4733, DtmfMode::Inband),
        (DtmfMode::Inband, DtmfMode::Rfc4733),
        (DtmfMode::Inband, DtmfMode::Info),
    ] {
        let mut world = joined((Codec::Pcmu, a), (Codec::Pcmu, b));
        let mut phone = Presser::new(Codec::Pcmu, a);
        phone.press(&mut world, '9', (300, 0));
        // Then its network is gone.
        world.passes(1_000);
        let (keys, lengths) = heard_by_b(&world, Codec::Pcmu, b);
        assert_eq!(keys, "9", "{a:?} {b:?}");
        assert!(lengths[0].abs_diff(300) < 250, "{lengths:?}");
        let last = world.rtp_to(B).last().map_or(0, |sent| sent.ms);
        assert!(last < 700, "{a:?} {b:?}: told until {last}");
    }
}

#[test]
fn a_tone_with_a_hole_is_one_key_and_a_lost_event_still_one() {
    for (mode, lost) in [(DtmfMode::Inband, [2, 9]), (DtmfMode::Rfc4733, [0, 5])] {
        let mut world = joined((Codec::Pcmu, mode), (Codec::Pcmu, DtmfMode::Rfc4733));
        let mut phone = Presser::new(Codec::Pcmu, mode);
        phone.drops = lost.to_vec();
        phone.press(&mut world, '4', (100, 60));
        phone.press(&mut world, '4', (100, 60));
        world.passes(300);
        assert_eq!(told(&world), "44", "{mode:?}");
        assert_eq!(heard_as_events(&world).0, "44", "{mode:?}");
    }
}

#[test]
fn keys_of_our_own_are_heard_in_any_way() {
    for mode in WAYS {
        let mut world = joined((Codec::Pcmu, DtmfMode::Auto), (Codec::Pcmu, mode));
        let mut phone = Phone::new(Codec::Pcmu, 1);
        let press = |stream| Command::Press {
            stream,
            keys: "123#ab, x".to_owned(),
            on_ms: 80,
            off_ms: 60,
        };
        world.command(press(B));
        world.command(press(media::StreamId(99)));
        for _ in 0..100 {
            let packet = phone.tone(20);
            world.rtp(A, PHONE_A, &packet);
            world.passes(20);
        }
        assert_eq!(
            heard_by_b(&world, Codec::Pcmu, mode).0,
            "123#AB",
            "{mode:?}"
        );
        assert_in_order(&world);
        assert_eq!(told(&world), "", "nobody pressed them");
        let last = world.rtp_to(B).last().map(|sent| sent.ms);
        assert_eq!(last, Some(1_980), "the partner is heard again");
    }
}

#[test]
fn keys_pressed_without_end_are_lost_and_not_kept() {
    let mut world = joined(
        (Codec::Pcmu, DtmfMode::Info),
        (Codec::Pcmu, DtmfMode::Rfc4733),
    );
    for i in 0..100_000u32 {
        let key = if i % 2 == 0 { '1' } else { '2' };
        world.command(Command::Pressed {
            stream: A,
            key,
            ms: u32::MAX,
        });
        if i % 1_000 == 0 {
            world.passes(5);
        }
    }
    assert!(told(&world).len() < 100);
    let press = Command::Press {
        stream: B,
        keys: "1".repeat(100_000),
        on_ms: u32::MAX,
        off_ms: u32::MAX,
    };
    world.command(press.clone());
    world.command(press);
    world.passes(1_000);
}
