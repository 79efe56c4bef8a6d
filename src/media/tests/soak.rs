//! Ten hours in virtual time: a room and a playback send exactly one frame for each 20 ms, whatever the ticks do.

#![expect(
    clippy::disallowed_methods,
    reason = "virtual time begins at some time"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::rtp::packet::{self, Header};
use media::{
    Codec, Command, Direction, Engine, Kind, Negotiated, NtpTime, PlayId, RoomId, Seat, Security,
    Settings, Source, StreamId, Tone, Transmit,
};

const HOURS: u64 = 10;
const FRAMES: u64 = HOURS * 3_600 * 50;

/// What a party got: packets, and the first and last header.
#[derive(Default)]
struct Heard(BTreeMap<StreamId, (u64, Header, Header)>);

impl Transmit for Heard {
    fn send(&mut self, stream: StreamId, kind: Kind, _: SocketAddr, packet: &[u8]) {
        let parsed = packet::parse(packet).filter(|_| kind == Kind::Rtp);
        if let Some((header, _)) = parsed {
            let known = self.0.entry(stream).or_insert((0, header, header));
            known.0 += 1;
            known.2 = header;
        }
    }
}

fn open(engine: &mut Engine, now: Instant, stream: StreamId) {
    let remote = SocketAddr::from(([10, 0, 0, stream.0 as u8], 4_000));
    let settings = Settings {
        timeout: Duration::ZERO,
        hold_timeout: Duration::ZERO,
        ..Settings::default()
    };
    let negotiated = Negotiated {
        codec: Codec::Pcmu,
        payload_type: 0,
        receive_type: 0,
        dtmf: None,
        ptime_ms: 20,
        remote,
        remote_rtcp: remote,
        direction: Direction::SendRecv,
        security: Security::Plain,
        extended: media::Extended::default(),
    };
    for command in [
        Command::Open {
            stream,
            local: remote,
            settings,
        },
        Command::Negotiated { stream, negotiated },
    ] {
        engine.command(now, NtpTime(0), command);
    }
}

#[test]
fn ten_hours_of_a_room_and_a_playback_do_not_drift() {
    let start = Instant::now();
    let mut engine = Engine::new(3);
    let (members, listener) = ([StreamId(1), StreamId(2)], StreamId(3));
    for stream in members {
        open(&mut engine, start, stream);
        let enter = Command::Enter {
            stream,
            room: RoomId(1),
            seat: Seat::default(),
            chimes: false,
        };
        engine.command(start, NtpTime(0), enter);
    }
    open(&mut engine, start, listener);
    let play = Command::Play {
        stream: listener,
        play: PlayId(1),
        source: Source::Tone(Tone::Busy),
        repeat: true,
    };
    engine.command(start, NtpTime(0), play);
    let mut heard = Heard::default();
    let mut voice = [0x10; 172];
    let from = SocketAddr::from(([10, 0, 0, 1], 4_000));
    let mut seed = 1u64;
    for tick in 0..FRAMES * 4 {
        // The thread wakes up to 3 ms late, and once in a while it misses some ticks.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let last = tick + 1 == FRAMES * 4;
        if (seed >> 40).is_multiple_of(50_000) && !last {
            continue;
        }
        let late = if last || tick == 0 {
            0
        } else {
            (seed >> 33) % 3_000
        };
        let now = start + Duration::from_micros(tick * 5_000 + late);
        if tick.is_multiple_of(4) {
            let header = Header {
                marker: false,
                payload_type: 0,
                sequence: (tick / 4) as u16,
                timestamp: (tick / 4 * 160) as u32,
                ssrc: 1,
            };
            packet::write(&header, &mut voice);
            engine.rtp(now, members[0], from, &mut voice.clone(), &mut heard);
        }
        engine.tick(now, NtpTime(0), &mut heard);
        while engine.poll().is_some() || engine.latched().is_some() {}
    }
    for stream in [members[0], members[1], listener] {
        let (packets, first, last) = &heard.0[&stream];
        assert_eq!(*packets, FRAMES, "{stream:?}");
        let ticks = last.timestamp.wrapping_sub(first.timestamp);
        assert_eq!(ticks, ((FRAMES - 1) * 160) as u32, "{stream:?}");
        let numbers = last.sequence.wrapping_sub(first.sequence);
        assert_eq!(numbers, (FRAMES - 1) as u16, "{stream:?}");
    }
}
