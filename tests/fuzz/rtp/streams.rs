//! Two streams of an engine, joined, and whatever comes to their sockets. All they send can be read, they send no more
//! than they should, and each close is answered once.
//!
//! The input is a list of deeds, each of three bytes (what, how, how long) and as many bytes of load as the third says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::rtp::packet::{self, HEADER_LEN, Header};
use media::rtp::rtcp;
use media::{
    Clip, Codec, Command, Direction, Dtmf, Engine, Event, Kind, Negotiated, NtpTime, PlayId,
    Security, Settings, Source, StreamId, Tone, Transmit,
};

const DEEDS: usize = 200;
const A: StreamId = StreamId(0x101);
const B: StreamId = StreamId(0x102);

pub fn play(data: &[u8]) {
    let mut studio = Studio::new();
    let mut rest = data;
    for _ in 0..DEEDS {
        let Some((&[what, how, long], tail)) = rest.split_first_chunk::<3>() else {
            break;
        };
        let (load, tail) = tail.split_at(usize::from(long).min(tail.len()));
        rest = tail;
        let stream = if how & 1 == 0 { A } else { B };
        studio.does(what % 13, how, stream, load);
    }
    studio.closes(A);
    studio.closes(B);
}

#[derive(Default)]
struct Sent {
    packets: usize,
}

impl Transmit for Sent {
    fn send(&mut self, stream: StreamId, kind: Kind, to: SocketAddr, bytes: &[u8]) {
        self.packets += 1;
        assert!(stream == A || stream == B);
        assert!(to.port() != 0 && !to.ip().is_unspecified(), "{to}");
        match kind {
            Kind::Rtp => assert!(packet::parse(bytes).is_some()),
            Kind::Rtcp => assert!(rtcp::parse(bytes).is_some()),
        }
    }
}

struct Studio {
    engine: Engine,
    now: Instant,
    ms: u64,
    sent: Sent,
    closed: usize,
    /// What A's and B's parties count their packets by.
    headers: [Header; 2],
    plays: u32,
}

fn party(stream: StreamId, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, if stream == A { 1 } else { 2 }], port))
}

fn agreed(stream: StreamId, how: u8) -> Negotiated {
    let codec = Codec::ALL[usize::from(how >> 1) % Codec::ALL.len()];
    let direction = match how >> 3 & 7 {
        1 => Direction::SendOnly,
        2 => Direction::RecvOnly,
        3 => Direction::Inactive,
        _ => Direction::SendRecv,
    };
    let remote = match how >> 6 {
        1 => SocketAddr::from(([0, 0, 0, 0], 4000)),
        2 => party(stream, 5000),
        _ => party(stream, 4000),
    };
    let payload_type = codec.static_pt().unwrap_or(111);
    Negotiated {
        codec,
        payload_type,
        receive_type: payload_type,
        dtmf: (how >> 6 != 3).then_some(Dtmf {
            send: 101,
            receive: 101,
        }),
        ptime_ms: [10, 20, 30, 60][usize::from(how >> 4 & 3)],
        remote,
        remote_rtcp: SocketAddr::new(remote.ip(), remote.port() + 1),
        direction,
        security: Security::Plain,
        extended: media::Extended::default(),
    }
}

fn header(ssrc: u32) -> Header {
    Header {
        marker: false,
        payload_type: 0,
        sequence: 65_530,
        timestamp: u32::MAX - 500,
        ssrc,
    }
}

impl Studio {
    fn new() -> Studio {
        let mut studio = Studio {
            engine: Engine::new(7),
            now: Instant::now(),
            ms: 0,
            sent: Sent::default(),
            closed: 0,
            headers: [header(1), header(2)],
            plays: 0,
        };
        studio.opens(A);
        studio.opens(B);
        studio.command(Command::Negotiated {
            stream: A,
            negotiated: agreed(A, 0),
        });
        studio.command(Command::Negotiated {
            stream: B,
            negotiated: agreed(B, 2),
        });
        studio.command(Command::Join { a: A, b: B });
        studio
    }

    fn does(&mut self, what: u8, how: u8, stream: StreamId, load: &[u8]) {
        match what {
            0 => self.hears(Kind::Rtp, stream, party(stream, 4000), load),
            1 => self.hears(Kind::Rtcp, stream, party(stream, 4001), load),
            2 => self.hears(
                Kind::Rtp,
                stream,
                party(stream, 4000 + u16::from(how)),
                load,
            ),
            3 => self.hears(
                Kind::Rtcp,
                stream,
                party(stream, 4000 + u16::from(how)),
                load,
            ),
            4 => self.speaks(stream, how, load, &[0, 8, 9, 111]),
            5 => self.speaks(stream, how, load, &[101, 101, 101, 0]),
            6 => self.passes(u64::from(how) * 5),
            7 => self.command(Command::Negotiated {
                stream,
                negotiated: agreed(stream, how),
            }),
            8 if how & 2 == 0 => self.command(Command::Join { a: A, b: B }),
            8 if how & 4 == 0 => self.command(Command::Part { stream }),
            8 => self.command(Command::Echo { stream }),
            9 => self.plays(stream, how, load),
            10 => self.command(Command::StopPlay { stream }),
            11 => {
                self.closes(stream);
                self.opens(stream);
            }
            _ => self.skips(u64::from(how) * 1_000),
        }
    }

    /// A sound packet of the party, in order or nearly so.
    fn speaks(&mut self, stream: StreamId, how: u8, load: &[u8], types: &[u8; 4]) {
        let at = usize::from(stream == B);
        let gap = [1, 1, 1, 0, 2, 40, 0x8000, 0xffff][usize::from(how >> 1 & 7)];
        let header = &mut self.headers[at];
        header.sequence = header.sequence.wrapping_add(gap);
        header.timestamp = header.timestamp.wrapping_add(160 * u32::from(gap));
        header.payload_type = types[usize::from(how >> 4 & 3)];
        header.marker = how & 0x80 != 0;
        let mut bytes = vec![0; HEADER_LEN];
        packet::write(header, &mut bytes);
        bytes.extend_from_slice(load);
        self.hears(Kind::Rtp, stream, party(stream, 4000), &bytes);
    }

    fn hears(&mut self, kind: Kind, stream: StreamId, from: SocketAddr, bytes: &[u8]) {
        let before = self.sent.packets;
        let (now, wall) = (self.now, self.wall());
        let mut bytes = bytes.to_vec();
        match kind {
            Kind::Rtp => self
                .engine
                .rtp(now, stream, from, &mut bytes, &mut self.sent),
            Kind::Rtcp => self
                .engine
                .rtcp(now, wall, stream, from, &mut bytes, &mut self.sent),
        }
        let sent = self.sent.packets - before;
        assert!(sent <= 32, "{sent} packets for one");
        self.drain();
    }

    fn plays(&mut self, stream: StreamId, how: u8, load: &[u8]) {
        self.plays += 1;
        let codec = Codec::ALL[usize::from(how >> 2) % Codec::ALL.len()];
        let source = match how >> 4 & 3 {
            0 => Source::Tone(
                [Tone::Ringback, Tone::Busy, Tone::Congestion][self.plays as usize % 3],
            ),
            1 => Source::Prompt("hello".to_owned()),
            _ => Source::Clip(Arc::new(Clip {
                codec,
                frames: load.chunks(40).map(Box::from).collect(),
            })),
        };
        let (play, repeat) = (PlayId(self.plays), how & 2 != 0);
        self.command(Command::Play {
            stream,
            play,
            source,
            repeat,
        });
    }

    /// The engine ticks every 5 ms.
    fn passes(&mut self, ms: u64) {
        for _ in 0..ms / 5 {
            self.skips(5);
        }
    }

    /// The thread was held up for `ms`.
    fn skips(&mut self, ms: u64) {
        self.ms += ms;
        self.now += Duration::from_millis(ms);
        let (now, wall) = (self.now, self.wall());
        self.engine.tick(now, wall, &mut self.sent);
        self.drain();
    }

    fn wall(&self) -> NtpTime {
        NtpTime((3_900_000_000 << 32) + (self.ms << 32) / 1_000)
    }

    fn opens(&mut self, stream: StreamId) {
        let settings = Settings {
            timeout: Duration::from_secs(30),
            hold_timeout: Duration::from_secs(300),
        };
        let local = SocketAddr::from(([192, 0, 2, 1], 20_000));
        self.command(Command::Open {
            stream,
            local,
            settings,
        });
    }

    fn closes(&mut self, stream: StreamId) {
        let before = self.closed;
        self.command(Command::Close { stream });
        assert_eq!(self.closed, before + 1, "one answer to a close");
    }

    fn command(&mut self, command: Command) {
        let wall = self.wall();
        self.engine.command(self.now, wall, command);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(event) = self.engine.poll() {
            match event {
                Event::Closed { stats, .. } => {
                    self.closed += 1;
                    assert!(stats.jitter_ms.is_finite() && stats.jitter_ms >= 0.0);
                    assert!(stats.rtt_ms.is_none_or(|ms| ms.is_finite() && ms >= 0.0));
                    assert!(
                        stats
                            .remote_loss
                            .is_none_or(|loss| (0.0..=1.0).contains(&loss))
                    );
                    assert!(stats.lost_in <= stats.expected_in);
                }
                Event::Dtmf { digit, .. } => {
                    assert!("0123456789*#ABCD".contains(digit));
                }
                Event::BindFailed { .. }
                | Event::PlayEnded { .. }
                | Event::Silent { .. }
                | Event::Report { .. } => {}
            }
        }
        while self.engine.latched().is_some() {}
    }
}
