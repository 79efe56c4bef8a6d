//! Speech through a room in virtual time: `room_line FROM TO LOSS_PERCENT JITTER_MS SEED < in.raw > out.raw`, where FROM and
//! TO are the codecs of the speaker and the listener, and the files are 16-bit samples at their codec's rate.
//! `tests/bench/room_quality.py` judges what comes out.

#![expect(
    clippy::disallowed_methods,
    reason = "virtual time begins at some time"
)]
#![expect(clippy::unwrap_used, reason = "a measurement may")]

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::codec::{Decoder, Encoder, MAX_FRAME};
use media::rtp::packet::{self, Header};
use media::{
    Codec, Command, Direction, Engine, Kind, Negotiated, NtpTime, RoomId, Seat, Security, Settings,
    StreamId, Transmit,
};

const SPEAKER: StreamId = StreamId(256);
const LISTENER: StreamId = StreamId(512);

/// What the listener gets.
struct Ear(Vec<Vec<u8>>);

impl Transmit for Ear {
    fn send(&mut self, stream: StreamId, kind: Kind, _: SocketAddr, packet: &[u8]) {
        if (stream, kind) == (LISTENER, Kind::Rtp) {
            self.0.push(packet.to_vec());
        }
    }
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
    for command in [
        Command::Open {
            stream,
            local: remote,
            settings: Settings::default(),
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

/// The speaker's packets with the milliseconds at which they arrive; some do not.
fn line(codec: Codec, pcm: &[i16], loss: u64, jitter: u64, mut seed: u64) -> Vec<(u64, Vec<u8>)> {
    let mut encoder = Encoder::new(codec, codec.sample_rate()).unwrap();
    encoder.expect_loss(loss as u8);
    let mut dice = move |sides: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % sides
    };
    let mut packets = Vec::new();
    for (n, frame) in pcm
        .chunks_exact(codec.sample_rate() as usize / 50)
        .enumerate()
    {
        let mut bytes = vec![0; 1_500];
        let length = encoder.encode(frame, &mut bytes[12..]);
        bytes.truncate(12 + length);
        let header = Header {
            marker: n == 0,
            payload_type: codec.static_pt().unwrap_or(111),
            sequence: n as u16,
            timestamp: n as u32 * codec.clock_rate() / 50,
            ssrc: 1,
        };
        packet::write(&header, &mut bytes);
        let lost = dice(1_000) < loss * 10;
        let at = n as u64 * 20 + dice(jitter + 1);
        if !lost {
            packets.push((at, bytes));
        }
    }
    packets.sort_by_key(|(at, _)| *at);
    packets
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, loss, jitter, seed] = arguments.as_slice() else {
        panic!("room_line FROM TO LOSS_PERCENT JITTER_MS SEED");
    };
    let codec = |name: &String| Codec::from_name(name).unwrap();
    let (from, to) = (codec(from), codec(to));
    let mut raw = Vec::new();
    std::io::stdin().read_to_end(&mut raw).unwrap();
    let pcm: Vec<i16> = raw
        .as_chunks()
        .0
        .iter()
        .map(|two| i16::from_le_bytes(*two))
        .collect();
    let number = |text: &String| text.parse::<u64>().unwrap();
    let packets = line(from, &pcm, number(loss), number(jitter), number(seed));
    let start = Instant::now();
    let mut engine = Engine::new(1);
    enter(&mut engine, start, SPEAKER, from);
    enter(&mut engine, start, LISTENER, to);
    // Wideband that nobody else can hear would be thrown away.
    enter(&mut engine, start, StreamId(768), from);
    let mut ear = Ear(Vec::new());
    let mut coming = packets.into_iter().peekable();
    let address = SocketAddr::from(([10, 0, 0, 1], 4_000));
    for ms in 0..pcm.len() as u64 * 1_000 / u64::from(from.sample_rate()) + 300 {
        let now = start + Duration::from_millis(ms);
        while let Some((_, mut bytes)) = coming.next_if(|(at, _)| *at <= ms) {
            engine.rtp(now, SPEAKER, address, &mut bytes, &mut ear);
        }
        if ms % 5 == 0 {
            engine.tick(now, NtpTime(0), &mut ear);
        }
        while engine.poll().is_some() || engine.latched().is_some() {}
    }
    let mut decoder = Decoder::new(to, to.sample_rate()).unwrap();
    let mut sound = vec![0; MAX_FRAME];
    let mut out = Vec::new();
    for packet in ear.0 {
        let payload = packet::parse(&packet).unwrap().1;
        let samples = decoder.decode(&packet[payload], &mut sound);
        out.extend(
            sound[..samples]
                .iter()
                .flat_map(|sample| sample.to_le_bytes()),
        );
    }
    std::io::stdout().write_all(&out).unwrap();
}
