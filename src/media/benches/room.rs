//! What a large room costs: `cargo bench -p media --bench room`. Time is that of the
//! processor; sockets are not in it (some 5 µs for each packet each way).

#![expect(
    clippy::disallowed_methods,
    reason = "virtual time begins at some time"
)]
#![expect(clippy::unwrap_used, reason = "a measurement may")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::codec::Encoder;
use media::rtp::packet::{self, Header};
use media::{
    Codec, Command, Direction, Engine, Kind, Negotiated, NtpTime, RoomId, Seat, Security, Settings,
    StreamId, Transmit,
};

const SPEAKERS: usize = 8;
const SLOTS: u32 = 500;

struct Sink(u64);

impl Transmit for Sink {
    fn send(&mut self, _: StreamId, _: Kind, _: SocketAddr, packet: &[u8]) {
        self.0 += std::hint::black_box(packet).len() as u64;
    }
}

/// Nanoseconds that this thread has had of a processor.
fn used() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn enter(engine: &mut Engine, now: Instant, stream: StreamId, codec: Codec) {
    let remote = SocketAddr::from(([10, 0, 0, 1], 4_000));
    let payload_type = codec.static_pt().unwrap_or(111);
    let negotiated = Negotiated {
        codec,
        payload_type,
        receive_type: payload_type,
        dtmf: None,
        ptime_ms: 20,
        remote,
        remote_rtcp: remote,
        direction: Direction::SendRecv,
        security: Security::Plain,
        extended: media::Extended::default(),
    };
    let settings = Settings::default();
    for command in [
        Command::Open {
            stream,
            local: remote,
            settings,
        },
        Command::Negotiated { stream, negotiated },
        Command::Enter {
            stream,
            room: RoomId(1),
            seat: Seat::default(),
            chimes: false,
        },
    ] {
        engine.command(now, NtpTime(0), command);
    }
}

/// A second of packets: of a speaker, or of somebody who only has the line open.
fn packets(codec: Codec, speaks: bool) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(codec, codec.sample_rate()).unwrap();
    let samples = codec.sample_rate() as usize / 50;
    let level = if speaks { 9_000.0 } else { 8.0 };
    (0..50)
        .map(|frame| {
            let wave = |n: usize| {
                let at = (frame * samples + n) as f64 / f64::from(codec.sample_rate());
                let word = (at * 3.0).sin().abs();
                (level * word * (at * 1_300.0).sin() + level * 0.4 * (at * 4_100.0).sin()) as i16
            };
            let pcm: Vec<i16> = (0..samples).map(wave).collect();
            let mut payload = [0; 1_400];
            let length = encoder.encode(&pcm, &mut payload);
            [&[0; 12], &payload[..length]].concat()
        })
        .collect()
}

fn cost(codec: Codec, parties: usize) {
    let start = Instant::now();
    let mut engine = Engine::new(1);
    let streams: Vec<StreamId> = (1..=parties as u64).map(|n| StreamId(n << 8)).collect();
    for stream in &streams {
        enter(&mut engine, start, *stream, codec);
    }
    let sounds = [packets(codec, true), packets(codec, false)];
    let from = SocketAddr::from(([10, 0, 0, 1], 4_000));
    let (mut sink, mut worst, mut all) = (Sink(0), 0, 0);
    let mut packet = [0; 1_500];
    for slot in 0..SLOTS {
        let now = start + Duration::from_millis(20 * u64::from(slot));
        let before = used();
        for (n, stream) in streams.iter().enumerate() {
            let sound = &sounds[usize::from(n >= SPEAKERS)][slot as usize % 50];
            let packet = &mut packet[..sound.len()];
            packet.copy_from_slice(sound);
            let header = Header {
                marker: false,
                payload_type: codec.static_pt().unwrap_or(111),
                sequence: slot as u16,
                timestamp: slot * codec.clock_rate() / 50,
                ssrc: n as u32,
            };
            packet::write(&header, packet);
            engine.rtp(now, *stream, from, packet, &mut sink);
        }
        for step in 0..4 {
            engine.tick(now + Duration::from_millis(5 * step), NtpTime(0), &mut sink);
        }
        let took = used() - before;
        while engine.poll().is_some() || engine.latched().is_some() {}
        if slot >= 50 {
            all += took;
            worst = worst.max(took);
        }
    }
    assert!(sink.0 > parties as u64 * u64::from(SLOTS) * 20);
    let mean = all as f64 / f64::from(SLOTS - 50) / 1_000.0;
    println!(
        "{parties} parties of {codec:?}, {SPEAKERS} speak: {mean:.0} us a slot ({:.1} % of a core, {:.2} us a party), at worst {} us",
        mean / 200.0,
        mean / parties as f64,
        worst / 1_000,
    );
}

fn main() {
    for (codec, parties) in [(Codec::Pcmu, 500), (Codec::G722, 200), (Codec::Opus, 100)] {
        cost(codec, parties);
    }
}
