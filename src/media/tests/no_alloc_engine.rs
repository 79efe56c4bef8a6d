//! Packets and ticks allocate nothing: a media thread must not wait for the allocator's locks.

#![expect(unsafe_code, reason = "a global allocator cannot be written without")]
#![expect(
    clippy::disallowed_methods,
    reason = "virtual time begins at some time"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::codec::Encoder;
use media::dtmf::tones::KeyTone;
use media::rtp::packet::{self, Header};
use media::sdp::Pair;
use media::srtp::{KeySeed, Keys, MAX_TRAILER, Profile, Protector};
use media::{
    Audience, Codec, Command, Direction, Dtmf, DtmfMode, Engine, Extended, Kind, Negotiated,
    NtpTime, PlayId, RoomId, Seat, Security, Settings, Source, StreamId, Tone, Transmit,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is the system allocator's; the counter is a const-initialised thread local that never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const A: StreamId = StreamId(0x101);
const B: StreamId = StreamId(0x102);
const C: StreamId = StreamId(0x201);

struct Sink(u64);

impl Transmit for Sink {
    fn send(&mut self, _: StreamId, _: Kind, _: SocketAddr, packet: &[u8]) {
        self.0 += packet.len() as u64;
    }
}

fn keys(stream: StreamId, generation: u32) -> Keys {
    let seed = KeySeed::of(&[1; 32], stream, generation);
    Keys::of(&seed, Profile::AesCm128Sha1_80)
}

/// Keys for what the party of `stream` sends, and others for what we send.
fn encrypted(stream: StreamId) -> Security {
    Security::Sdes(Box::new(Pair {
        ours: keys(stream, 1),
        theirs: keys(stream, 0),
        mki: 0,
    }))
}

fn open(engine: &mut Engine, now: Instant, stream: StreamId, (codec, security): (Codec, Security)) {
    let settings = Settings {
        timeout: Duration::from_secs(9),
        hold_timeout: Duration::from_secs(9),
        dtmf: DtmfMode::Auto,
    };
    let address: SocketAddr = SocketAddr::from(([10, 0, 0, 1], 4_000));
    engine.command(
        now,
        NtpTime(0),
        Command::Open {
            stream,
            local: address,
            settings,
        },
    );
    let dtmf = Some(Dtmf {
        send: 101,
        receive: 101,
        clock: 8_000,
    });
    let negotiated = Negotiated {
        security,
        ..agreed(codec, dtmf)
    };
    engine.command(now, NtpTime(0), Command::Negotiated { stream, negotiated });
}

fn agreed(codec: Codec, dtmf: Option<Dtmf>) -> Negotiated {
    let payload_type = codec.static_pt().unwrap_or(111);
    Negotiated {
        codec,
        payload_type,
        receive_type: payload_type,
        dtmf,
        ptime_ms: 20,
        remote: SocketAddr::from(([10, 0, 0, 1], 4_000)),
        remote_rtcp: SocketAddr::from(([10, 0, 0, 1], 4_001)),
        direction: Direction::SendRecv,
        security: Security::Plain,
        extended: Extended::default(),
    }
}

/// A minute of a call both ways, with keys, reports, foreign packets and a tone beside; allocations seen.
fn minute(from: Codec, to: Codec, secret: bool) -> u64 {
    let start = Instant::now();
    let mut engine = Engine::new(1);
    let security = |stream| match secret {
        true => encrypted(stream),
        false => Security::Plain,
    };
    open(&mut engine, start, A, (from, security(A)));
    open(&mut engine, start, B, (to, security(B)));
    open(&mut engine, start, C, (to, security(C)));
    let mut parties = [A, B].map(|stream| Protector::new(&keys(stream, 0)));
    engine.command(start, NtpTime(0), Command::Join { a: A, b: B });
    let tone = Command::Play {
        stream: C,
        play: PlayId(1),
        source: Source::Tone(Tone::Busy),
        repeat: true,
    };
    engine.command(start, NtpTime(0), tone);
    let (known, foreign): (SocketAddr, SocketAddr) = (
        SocketAddr::from(([10, 0, 0, 1], 4_000)),
        SocketAddr::from(([10, 0, 0, 9], 9)),
    );
    let mut sink = Sink(0);
    let mut packet = [0xd5u8; 172 + MAX_TRAILER];
    let mut report = [0x80, 201, 0, 1, 0, 0, 0, 9];
    let before = ALLOCATIONS.get();
    for i in 0..3_000u32 {
        let now = start + Duration::from_millis(20 * u64::from(i));
        let wall = NtpTime(u64::from(i) << 26);
        for ((stream, codec), party) in [(A, from), (B, to)].into_iter().zip(&mut parties) {
            let key = i % 50 == 49;
            let voice = codec.static_pt().unwrap_or(111);
            let header = Header {
                marker: false,
                payload_type: if key { 101 } else { voice },
                sequence: i as u16,
                timestamp: i * codec.clock_rate() / 50,
                ssrc: stream.0 as u32,
            };
            packet::write(&header, &mut packet);
            let mut length = if key { 16 } else { 172 };
            if secret {
                length = party.protect_rtp(&mut packet, length).expect("a packet");
            }
            engine.rtp(now, stream, known, &mut packet[..length], &mut sink);
            packet::write(&header, &mut packet);
            engine.rtp(now, stream, foreign, &mut packet[..172], &mut sink);
            engine.rtcp(now, wall, stream, known, &mut report, &mut sink);
        }
        for step in 0..4 {
            engine.tick(now + Duration::from_millis(5 * step), wall, &mut sink);
        }
        while engine.poll().is_some() || engine.latched().is_some() {}
    }
    let allocations = ALLOCATIONS.get() - before;
    assert!(sink.0 > 3_000 * 3 * 100, "{}", sink.0);
    allocations
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![1u8; 100]));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

#[test]
fn a_relay_allocates_nothing() {
    assert_eq!(minute(Codec::Pcmu, Codec::Pcmu, false), 0);
}

#[test]
fn an_encrypted_relay_allocates_nothing() {
    assert_eq!(minute(Codec::Pcmu, Codec::Pcmu, true), 0);
}

#[test]
fn a_transcode_allocates_nothing() {
    assert_eq!(minute(Codec::Pcmu, Codec::Pcma, false), 0);
    assert_eq!(minute(Codec::Pcmu, Codec::G722, true), 0);
}

/// An engine with one room, in which something is being announced.
fn room(start: Instant, streams: &[StreamId], codec: impl Fn(usize) -> Codec) -> Engine {
    let mut engine = Engine::new(1);
    for (n, stream) in streams.iter().enumerate() {
        open(&mut engine, start, *stream, (codec(n), Security::Plain));
        let voice = match n {
            10 => Audience::Only(streams[0]),
            11 => Audience::Nobody,
            _ => Audience::Everybody,
        };
        let hears = n != 9;
        let enter = Command::Enter {
            stream: *stream,
            room: RoomId(1),
            seat: Seat { voice, hears },
            chimes: true,
        };
        engine.command(start, NtpTime(0), enter);
    }
    let announce = Command::Announce {
        stream: streams[0],
        play: PlayId(1),
        source: Source::Tone(Tone::Busy),
    };
    engine.command(start, NtpTime(0), announce);
    engine
}

/// Ten seconds of a room with members of every codec and packet length: some talk, some are lost, late or silent, one
/// whispers, one presses keys, and something is announced.
#[test]
fn a_room_allocates_nothing() {
    let start = Instant::now();
    let streams: Vec<StreamId> = (1..=12).map(|n| StreamId(n << 8)).collect();
    let codec = |n: usize| Codec::ALL[n % Codec::ALL.len()];
    let mut engine = room(start, &streams, codec);
    let known = SocketAddr::from(([10, 0, 0, 1], 4_000));
    let mut encoders: Vec<Encoder> = (0..streams.len())
        .map(|n| Encoder::new(codec(n), codec(n).sample_rate()).expect("its own rate"))
        .collect();
    let mut sink = Sink(0);
    let mut packet = [0u8; 1_500];
    let mut sound = [0i16; 960];
    let before = ALLOCATIONS.get();
    for i in 0..500u32 {
        let now = start + Duration::from_millis(20 * u64::from(i));
        for (n, stream) in streams.iter().enumerate() {
            let codec = codec(n);
            let samples = codec.sample_rate() as usize / 50;
            for (at, sample) in sound.iter_mut().enumerate() {
                *sample = (((at * 7 + n * 31) % 200) as i16 - 100) * 80;
            }
            let length = encoders[n].encode(&sound[..samples], &mut packet[12..]);
            let key = i % 97 == 96;
            let header = Header {
                marker: false,
                payload_type: if key {
                    101
                } else {
                    codec.static_pt().unwrap_or(111)
                },
                sequence: i as u16,
                timestamp: i * codec.clock_rate() / 50,
                ssrc: stream.0 as u32,
            };
            packet::write(&header, &mut packet);
            let lost = (i as usize + n).is_multiple_of(11) || (n > 6 && i % 100 > 50);
            if !lost {
                let length = if key { 16 } else { 12 + length };
                engine.rtp(now, *stream, known, &mut packet[..length], &mut sink);
            }
        }
        for step in 0..4 {
            let wall = NtpTime(u64::from(i) << 26);
            engine.tick(now + Duration::from_millis(5 * step), wall, &mut sink);
        }
        while engine.poll().is_some() || engine.latched().is_some() {}
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert!(sink.0 > 500 * 12 * 30, "{}", sink.0);
}

/// A party that presses keys as tones, one that is told them as events, and keys of our own.
fn pressing(start: Instant) -> Engine {
    let mut engine = Engine::new(3);
    for stream in [A, B] {
        open(&mut engine, start, stream, (Codec::Pcmu, Security::Plain));
    }
    let negotiated = agreed(Codec::Pcmu, None);
    let toneful = Command::Negotiated {
        stream: A,
        negotiated,
    };
    let press = Command::Press {
        stream: A,
        keys: "0123456789*#ABCD".to_owned(),
        on_ms: 60,
        off_ms: 60,
    };
    for command in [toneful, Command::Join { a: A, b: B }, press] {
        engine.command(start, NtpTime(0), command);
    }
    engine
}

#[test]
fn keys_allocate_nothing() {
    let start = Instant::now();
    let mut engine = pressing(start);
    let known = SocketAddr::from(([10, 0, 0, 1], 4_000));
    let mut encoder = Encoder::new(Codec::Pcmu, 8_000).expect("its own rate");
    let mut sink = Sink(0);
    let mut packet = [0xd5u8; 172];
    let (mut keys, mut tone) = (0, None);
    let before = ALLOCATIONS.get();
    for i in 0..3_000u32 {
        let now = start + Duration::from_millis(20 * u64::from(i));
        let wall = NtpTime(u64::from(i) << 26);
        for stream in [A, B] {
            let event = stream == B && i % 7 < 3;
            let header = Header {
                marker: false,
                payload_type: if event { 101 } else { 0 },
                sequence: i as u16,
                timestamp: i / 7 * 7 * 160,
                ssrc: stream.0 as u32,
            };
            let mut pcm = [0; 160];
            if stream == A && i % 5 < 3 {
                tone = tone.filter(|_| i % 5 > 0).or(KeyTone::new('5', 8_000));
                tone.iter_mut()
                    .for_each(|tone| tone.fill(&mut pcm, i % 5 == 2));
            }
            encoder.encode(&pcm, &mut packet[12..]);
            packet::write(&header, &mut packet);
            let length = if event { 16 } else { packet.len() };
            if event {
                packet[12..16].copy_from_slice(&[1, 10, 1, 0]);
            }
            engine.rtp(now, stream, known, &mut packet[..length], &mut sink);
        }
        for step in 0..4 {
            engine.tick(now + Duration::from_millis(5 * step), wall, &mut sink);
        }
        while let Some(event) = engine.poll() {
            keys += u32::from(matches!(event, media::Event::Dtmf { .. }));
        }
        while engine.latched().is_some() {}
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert!(keys > 950, "{keys}");
}
