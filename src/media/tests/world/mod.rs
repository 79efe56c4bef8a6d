//! An engine with a virtual clock and parties that write and read their own packets.

#![allow(dead_code, reason = "each test file uses its part")]
#![expect(
    clippy::disallowed_methods,
    reason = "virtual time begins at some time"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::codec::{Decoder, Encoder};
use media::rtp::packet::{self, Header};
use media::{
    Codec, Command, Direction, Dtmf, DtmfMode, Engine, Event, Extended, Kind, Negotiated, NtpTime,
    Security, Settings, StreamId, Transmit,
};

pub(crate) const A: StreamId = StreamId(0x101);
pub(crate) const B: StreamId = StreamId(0x102);
/// Where the parties of A and B send from, as their SDP says.
pub(crate) const PHONE_A: &str = "10.0.0.1:4000";
pub(crate) const PHONE_B: &str = "10.0.0.2:4000";

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) ms: u64,
    pub(crate) stream: StreamId,
    pub(crate) kind: Kind,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

impl Sent {
    pub(crate) fn header(&self) -> Header {
        packet::parse(&self.bytes).unwrap().0
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[packet::parse(&self.bytes).unwrap().1]
    }
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) start: Instant,
    pub(crate) ms: u64,
    pub(crate) sent: Vec<Sent>,
    pub(crate) events: Vec<Event>,
}

struct Wire<'a>(u64, &'a mut Vec<Sent>);

impl Transmit for Wire<'_> {
    fn send(&mut self, stream: StreamId, kind: Kind, to: SocketAddr, packet: &[u8]) {
        self.1.push(Sent {
            ms: self.0,
            stream,
            kind,
            to,
            bytes: packet.to_vec(),
        });
    }
}

pub(crate) fn payload_type(codec: Codec) -> u8 {
    codec.static_pt().unwrap_or(111)
}

pub(crate) fn agreed(codec: Codec, remote: &str) -> Negotiated {
    let remote = at(remote);
    Negotiated {
        codec,
        payload_type: payload_type(codec),
        receive_type: payload_type(codec),
        dtmf: Some(Dtmf {
            send: 101,
            receive: 101,
            clock: 8_000,
        }),
        ptime_ms: 20,
        remote,
        remote_rtcp: SocketAddr::new(remote.ip(), remote.port() + 1),
        direction: Direction::SendRecv,
        security: Security::Plain,
        extended: Extended::default(),
    }
}

impl World {
    pub(crate) fn new() -> World {
        World {
            engine: Engine::new(7),
            start: Instant::now(),
            ms: 0,
            sent: Vec::new(),
            events: Vec::new(),
        }
    }

    /// A and B, negotiated and joined.
    pub(crate) fn joined(a: Codec, b: Codec) -> World {
        let mut world = World::new();
        world.open(A, agreed(a, PHONE_A));
        world.open(B, agreed(b, PHONE_B));
        world.command(Command::Join { a: A, b: B });
        world
    }

    pub(crate) fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.ms)
    }

    pub(crate) fn wall(&self) -> NtpTime {
        NtpTime((3_900_000_000 << 32) + (self.ms << 32) / 1_000)
    }

    pub(crate) fn open(&mut self, stream: StreamId, negotiated: Negotiated) {
        let settings = Settings {
            timeout: Duration::from_secs(30),
            hold_timeout: Duration::from_secs(300),
            dtmf: DtmfMode::Auto,
        };
        self.command(Command::Open {
            stream,
            local: at("192.0.2.1:20000"),
            settings,
        });
        self.command(Command::Negotiated { stream, negotiated });
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.engine.command(self.now(), self.wall(), command);
        self.drain();
    }

    pub(crate) fn rtp(&mut self, stream: StreamId, from: &str, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let now = self.now();
        self.engine.rtp(
            now,
            stream,
            at(from),
            &mut bytes,
            &mut Wire(self.ms, &mut self.sent),
        );
        self.drain();
    }

    pub(crate) fn rtcp(&mut self, stream: StreamId, from: &str, bytes: &[u8]) {
        let (now, wall) = (self.now(), self.wall());
        self.engine.rtcp(
            now,
            wall,
            stream,
            at(from),
            &mut bytes.to_vec(),
            &mut Wire(self.ms, &mut self.sent),
        );
        self.drain();
    }

    /// As the worker does before it closes a stream.
    pub(crate) fn farewell(&mut self, stream: StreamId) {
        let (now, wall) = (self.now(), self.wall());
        self.engine
            .farewell(now, wall, stream, &mut Wire(self.ms, &mut self.sent));
    }

    /// Lets time pass, ticking every 5 ms.
    pub(crate) fn passes(&mut self, ms: u64) {
        for _ in 0..ms / 5 {
            self.ms += 5;
            let (now, wall) = (self.now(), self.wall());
            self.engine
                .tick(now, wall, &mut Wire(self.ms, &mut self.sent));
            self.drain();
        }
    }

    fn drain(&mut self) {
        self.events
            .extend(std::iter::from_fn(|| self.engine.poll()));
    }

    pub(crate) fn latches(&mut self) -> Vec<(StreamId, Option<SocketAddr>, Kind)> {
        std::iter::from_fn(|| self.engine.latched()).collect()
    }

    /// RTP sent to the party of `stream`.
    pub(crate) fn rtp_to(&self, stream: StreamId) -> Vec<&Sent> {
        self.sent
            .iter()
            .filter(|s| s.stream == stream && s.kind == Kind::Rtp)
            .collect()
    }
}

/// A phone: an encoder and the numbers of its packets.
pub(crate) struct Phone {
    pub(crate) codec: Codec,
    pub(crate) header: Header,
    /// Of its tone.
    pub(crate) hz: f64,
    encoder: Encoder,
    samples: u64,
}

impl Phone {
    pub(crate) fn new(codec: Codec, ssrc: u32) -> Phone {
        Phone {
            codec,
            header: Header {
                marker: false,
                payload_type: payload_type(codec),
                sequence: 65_500,
                timestamp: u32::MAX - 1_000,
                ssrc,
            },
            hz: 1_000.0,
            encoder: Encoder::new(codec, codec.sample_rate()).unwrap(),
            samples: 0,
        }
    }

    /// The next packet: `ms` of its tone.
    pub(crate) fn tone(&mut self, ms: u32) -> Vec<u8> {
        let rate = self.codec.sample_rate();
        let pcm: Vec<i16> = (0..rate / 1_000 * ms)
            .map(|i| {
                let angle = (self.samples + u64::from(i)) as f64 * self.hz * std::f64::consts::TAU;
                ((angle / f64::from(rate)).sin() * 8_000.0) as i16
            })
            .collect();
        self.samples += pcm.len() as u64;
        let mut payload = [0; 1_400];
        let length = self.encoder.encode(&pcm, &mut payload);
        let bytes = build(&self.header, &payload[..length]);
        self.header.sequence = self.header.sequence.wrapping_add(1);
        let ticks = self.codec.clock_rate() / 1_000 * ms;
        self.header.timestamp = self.header.timestamp.wrapping_add(ticks);
        bytes
    }

    /// One packet of a telephone event; the timestamp stays.
    pub(crate) fn event(&mut self, payload_type: u8, payload: [u8; 4]) -> Vec<u8> {
        let bytes = build(
            &Header {
                payload_type,
                ..self.header
            },
            &payload,
        );
        self.header.sequence = self.header.sequence.wrapping_add(1);
        bytes
    }
}

pub(crate) fn build(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; packet::HEADER_LEN];
    packet::write(header, &mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

/// Decodes what a party got, in order.
pub(crate) fn listen(codec: Codec, sent: &[&Sent]) -> Vec<i16> {
    let mut decoder = Decoder::new(codec, codec.sample_rate()).unwrap();
    let mut pcm = vec![0; 5_760];
    let mut all = Vec::new();
    for packet in sent {
        let samples = decoder.decode(packet.payload(), &mut pcm);
        all.extend_from_slice(&pcm[..samples]);
    }
    all
}

/// The share of the energy that lies at `frequency` (Goertzel): about 1 for a pure tone.
pub(crate) fn purity(pcm: &[i16], rate: u32, frequency: f64) -> f64 {
    let step = std::f64::consts::TAU * frequency / f64::from(rate);
    let (mut re, mut im, mut energy) = (0.0, 0.0, 0.0);
    for (i, sample) in pcm.iter().enumerate() {
        let (sin, cos) = (step * i as f64).sin_cos();
        let sample = f64::from(*sample);
        re += sample * cos;
        im += sample * sin;
        energy += sample * sample;
    }
    2.0 * (re * re + im * im) / (energy.max(1.0) * pcm.len() as f64)
}
