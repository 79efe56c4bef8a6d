//! RTP through a media thread over real sockets on the loopback.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up shall fail"
)]

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use media::{
    Codec, Command, Direction, Event, Negotiated, PlayId, RoomId, Seat, Security, Settings, Source,
    StreamId, StreamStats,
};
use net::Media;
use tokio::sync::mpsc::{Receiver, channel};

const PATIENCE: Duration = Duration::from_secs(20);
const A: StreamId = StreamId(0x100);
const B: StreamId = StreamId(0x101);

struct House {
    media: Media,
    events: Receiver<Event>,
}

impl House {
    fn new(sounds: &Path) -> House {
        let (sender, events) = channel(16);
        let media = Media::start(2, sounds.to_owned(), sender).unwrap();
        House { media, events }
    }

    fn open(&self, stream: StreamId, ip: &str) -> SocketAddr {
        let local = free_pair(ip);
        let settings = Settings::default();
        self.media.command(Command::Open {
            stream,
            local,
            settings,
        });
        local
    }

    fn negotiate(&self, stream: StreamId, codec: Codec, remote: SocketAddr) {
        let payload_type = codec.static_pt().unwrap_or(111);
        let negotiated = Negotiated {
            codec,
            payload_type,
            receive_type: payload_type,
            dtmf: None,
            ptime_ms: 20,
            remote,
            remote_rtcp: SocketAddr::new(remote.ip(), remote.port().wrapping_add(1)),
            direction: Direction::SendRecv,
            security: Security::Plain,
            extended: media::Extended::default(),
        };
        self.media
            .command(Command::Negotiated { stream, negotiated });
    }

    fn play(&self, stream: StreamId, play: u32, name: &str) {
        self.media.command(Command::Play {
            stream,
            play: PlayId(play),
            source: Source::Prompt(name.to_owned()),
            repeat: false,
        });
    }

    fn event(&mut self) -> Event {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime
            .block_on(async { tokio::time::timeout(PATIENCE, self.events.recv()).await })
            .expect("an event in time")
            .expect("a living sender")
    }

    fn close(&mut self, stream: StreamId) -> StreamStats {
        self.media.command(Command::Close { stream });
        match self.event() {
            Event::Closed { stream: of, stats } if of == stream => *stats,
            other => panic!("{other:?}"),
        }
    }
}

/// An even port that is free together with the next one.
fn free_pair(ip: &str) -> SocketAddr {
    loop {
        let first = UdpSocket::bind((ip, 0)).unwrap();
        let local = first.local_addr().unwrap();
        if local.port().is_multiple_of(2) && UdpSocket::bind((ip, local.port() + 1)).is_ok() {
            return local;
        }
    }
}

fn phone(ip: &str) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn packet(payload_type: u8, sequence: u16, sound: u8) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend([1, 2, 3, 4]);
    packet.extend([sound; 160]);
    packet
}

/// The payload of the next packet.
fn hear(phone: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let (len, _) = phone.recv_from(&mut buffer).expect("a packet in time");
    buffer[12..len].to_vec()
}

/// Sends to `target` until something is heard: the first packets may come before the command that joins.
fn say_until_heard(from: &UdpSocket, target: SocketAddr, by: &UdpSocket, sound: u8) -> Vec<u8> {
    by.set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let mut buffer = [0; 2048];
    for sequence in 0..1000 {
        from.send_to(&packet(0, sequence, sound), target).unwrap();
        if let Ok((len, _)) = by.recv_from(&mut buffer) {
            by.set_read_timeout(Some(PATIENCE)).unwrap();
            return buffer[12..len].to_vec();
        }
    }
    panic!("nothing was heard");
}

/// As [`say_until_heard`], past what was still on its way.
fn say_until_new(from: &UdpSocket, target: SocketAddr, by: &UdpSocket, sound: u8) -> Vec<u8> {
    loop {
        let heard = say_until_heard(from, target, by, sound);
        if heard.first() == Some(&sound) {
            return heard;
        }
    }
}

#[test]
fn two_phones_hear_one_another_through_a_worker() {
    let dir = tempfile::tempdir().unwrap();
    for ip in ["127.0.0.1", "::1"] {
        let mut house = House::new(dir.path());
        let (alice, bob) = (phone(ip), phone(ip));
        let (at_a, at_b) = (house.open(A, ip), house.open(B, ip));
        house.negotiate(A, Codec::Pcmu, alice.local_addr().unwrap());
        house.negotiate(B, Codec::Pcmu, bob.local_addr().unwrap());
        house.media.command(Command::Join { a: A, b: B });
        assert_eq!(say_until_heard(&alice, at_a, &bob, 7), [7; 160]);
        assert_eq!(say_until_heard(&bob, at_b, &alice, 8), [8; 160]);
        let stats = house.close(A);
        assert!(stats.packets_in >= 1 && stats.packets_out >= 1, "{stats:?}");
        assert_eq!(stats.remote, Some(alice.local_addr().unwrap()));
        house.close(B);
        // Their ports are free again.
        UdpSocket::bind(at_a).unwrap();
        UdpSocket::bind(at_b).unwrap();
    }
}

#[test]
fn phones_of_two_calls_hear_one_another_whichever_worker_they_were_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::new(dir.path());
    let calls = [0x300, 0x400, 0x500, 0x600].map(StreamId);
    let phones = calls.map(|_| phone("127.0.0.1"));
    let places = calls.map(|call| house.open(call, "127.0.0.1"));
    for (call, phone) in calls.iter().zip(&phones) {
        house.negotiate(*call, Codec::Pcmu, phone.local_addr().unwrap());
        house.media.command(Command::Echo { stream: *call });
    }
    // Each is heard where it is first, so that its sockets are latched when they move.
    for (place, phone) in places.iter().zip(&phones) {
        assert_eq!(say_until_heard(phone, *place, phone, 3), [3; 160]);
    }
    let mut sound = 10;
    for (one, other) in [(0, 1), (2, 3), (1, 2), (3, 0), (0, 2), (1, 3)] {
        let (a, b) = (calls[one], calls[other]);
        house.media.command(Command::Join { a, b });
        for (from, to) in [(one, other), (other, one)] {
            sound += 1;
            let told = say_until_new(&phones[from], places[from], &phones[to], sound);
            assert_eq!(told, [sound; 160]);
        }
    }
    for (call, phone) in calls.iter().zip(&phones) {
        let stats = house.close(*call);
        assert_eq!(stats.remote, Some(phone.local_addr().unwrap()));
        assert!(stats.packets_in > 3, "{stats:?}");
    }
    for place in places {
        UdpSocket::bind(place).unwrap();
    }
}

#[test]
fn what_is_played_goes_along_and_a_stream_without_sockets_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    write_prompt(&dir.path().join("hello.wav"));
    let mut house = House::new(dir.path());
    let (one, other) = (StreamId(0x300), StreamId(0x400));
    let alice = phone("127.0.0.1");
    house.open(one, "127.0.0.1");
    house.open(other, "127.0.0.1");
    house.negotiate(other, Codec::Pcma, alice.local_addr().unwrap());
    house.play(other, 1, "hello");
    house.media.command(Command::Join { a: one, b: other });
    let ended = |stream, play| Event::PlayEnded {
        stream,
        play: PlayId(play),
        finished: true,
    };
    assert_eq!(house.event(), ended(other, 1));
    let local = free_pair("127.0.0.1");
    let _taken = UdpSocket::bind(SocketAddr::new(local.ip(), local.port() + 1)).unwrap();
    let settings = Settings::default();
    let broken = StreamId(0x600);
    house.media.command(Command::Open {
        stream: broken,
        local,
        settings,
    });
    assert_eq!(house.event(), Event::BindFailed { stream: broken });
    house.media.command(Command::Join {
        a: other,
        b: broken,
    });
    house.play(other, 2, "hello");
    assert_eq!(house.event(), ended(other, 2));
    for stream in [one, other, broken] {
        house.close(stream);
    }
}

#[test]
fn nobody_else_is_heard_once_a_phone_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::new(dir.path());
    let (alice, mallory) = (phone("127.0.0.1"), phone("127.0.0.1"));
    let at = house.open(A, "127.0.0.1");
    house.negotiate(A, Codec::Pcmu, alice.local_addr().unwrap());
    house.media.command(Command::Echo { stream: A });
    assert_eq!(say_until_heard(&alice, at, &alice, 7), [7; 160]);
    mallory.send_to(&packet(0, 1, 66), at).unwrap();
    alice.send_to(&packet(0, 2000, 9), at).unwrap();
    loop {
        match hear(&alice)[0] {
            7 => {}
            sound => break assert_eq!(sound, 9),
        }
    }
    // A new place for the phone unlocks the socket.
    let moved = phone("127.0.0.1");
    house.negotiate(A, Codec::Pcmu, moved.local_addr().unwrap());
    assert_eq!(say_until_heard(&moved, at, &moved, 5), [5; 160]);
    let stats = house.close(A);
    assert_eq!(stats.remote, Some(moved.local_addr().unwrap()));
}

#[test]
fn a_taken_port_is_told_and_the_stream_can_still_be_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::new(dir.path());
    let local = free_pair("127.0.0.1");
    let _taken = UdpSocket::bind(SocketAddr::new(local.ip(), local.port() + 1)).unwrap();
    let settings = Settings::default();
    house.media.command(Command::Open {
        stream: A,
        local,
        settings,
    });
    assert_eq!(house.event(), Event::BindFailed { stream: A });
    assert_eq!(house.close(A), StreamStats::default());
    UdpSocket::bind(local).unwrap();
}

/// 60 ms of loud and 40 ms of silence at 8 kHz.
fn write_prompt(path: &Path) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).unwrap();
    for n in 0..800 {
        file.write_sample(if n < 480 { 8031i16 } else { 0 })
            .unwrap();
    }
    file.finalize().unwrap();
}

#[test]
fn a_prompt_is_played_in_the_codec_of_the_stream() {
    let dir = tempfile::tempdir().unwrap();
    write_prompt(&dir.path().join("hello.wav"));
    let mut house = House::new(dir.path());
    let alice = phone("127.0.0.1");
    house.open(A, "127.0.0.1");
    // Asked before the codec is known: it waits.
    house.play(A, 1, "hello");
    house.negotiate(A, Codec::Pcma, alice.local_addr().unwrap());
    let heard: Vec<Vec<u8>> = (0..5).map(|_| hear(&alice)).collect();
    let loud = media::codec::g711::alaw(8031);
    let silent = media::codec::g711::alaw(0);
    for (frame, expected) in heard.iter().zip([loud, loud, loud, silent, silent]) {
        assert_eq!(frame, &[expected; 160]);
    }
    let ended = Event::PlayEnded {
        stream: A,
        play: PlayId(1),
        finished: true,
    };
    assert_eq!(house.event(), ended);
    house.close(A);
}

#[test]
fn music_that_is_late_does_not_play_into_a_talk() {
    let dir = tempfile::tempdir().unwrap();
    write_prompt(&dir.path().join("hello.wav"));
    let mut house = House::new(dir.path());
    let alice = phone("127.0.0.1");
    house.open(A, "127.0.0.1");
    house.open(B, "127.0.0.1");
    // It waits until the codec is known.
    house.media.command(Command::Play {
        stream: A,
        play: PlayId(1),
        source: Source::Prompt("hello".to_owned()),
        repeat: true,
    });
    house.play(B, 2, "hello");
    house.media.command(Command::Join { a: A, b: B });
    let ended = |stream, play, finished| Event::PlayEnded {
        stream,
        play: PlayId(play),
        finished,
    };
    assert_eq!(house.event(), ended(A, 1, false));
    // What has an end is heard.
    house.negotiate(A, Codec::Pcmu, alice.local_addr().unwrap());
    house.negotiate(B, Codec::Pcmu, phone("127.0.0.1").local_addr().unwrap());
    assert_eq!(house.event(), ended(B, 2, true));
    assert_eq!(house.close(A).packets_out, 0);
    house.close(B);
}

#[test]
fn what_cannot_be_played_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    write_prompt(&dir.path().join("hello.wav"));
    std::fs::write(dir.path().join("noise.wav"), "no sound").unwrap();
    let mut house = House::new(dir.path());
    let alice = phone("127.0.0.1");
    let ended = |play| Event::PlayEnded {
        stream: A,
        play: PlayId(play),
        finished: false,
    };
    house.open(A, "127.0.0.1");
    // Before the codec is known: stopped, then replaced, then cut off by the end.
    house.play(A, 1, "hello");
    house.media.command(Command::StopPlay { stream: A });
    assert_eq!(house.event(), ended(1));
    house.play(A, 2, "hello");
    house.play(A, 3, "none");
    assert_eq!(house.event(), ended(2));
    house.negotiate(A, Codec::Pcmu, alice.local_addr().unwrap());
    assert_eq!(house.event(), ended(3));
    house.play(A, 4, "noise");
    assert_eq!(house.event(), ended(4));
    house.play(A, 5, "../hello");
    assert_eq!(house.event(), ended(5));
    house.open(B, "127.0.0.1");
    house.play(B, 6, "hello");
    house.media.command(Command::Close { stream: B });
    let cut = Event::PlayEnded {
        stream: B,
        play: PlayId(6),
        finished: false,
    };
    assert_eq!(house.event(), cut);
    assert!(matches!(house.event(), Event::Closed { stream: B, .. }));
    house.close(A);
}

#[test]
fn phones_of_many_calls_meet_in_a_room_whichever_worker_they_were_on() {
    let dir = tempfile::tempdir().unwrap();
    write_prompt(&dir.path().join("hello.wav"));
    let mut house = House::new(dir.path());
    let calls = [0x300, 0x400, 0x500, 0x600].map(StreamId);
    let phones = calls.map(|_| phone("127.0.0.1"));
    let places = calls.map(|call| house.open(call, "127.0.0.1"));
    for (call, phone) in calls.iter().zip(&phones) {
        house.negotiate(*call, Codec::Pcmu, phone.local_addr().unwrap());
        house.media.command(Command::Enter {
            stream: *call,
            room: RoomId(7),
            seat: Seat::default(),
            chimes: false,
        });
    }
    let silence = media::codec::g711::ulaw(0);
    for (speaker, place) in places.iter().enumerate() {
        // A square wave that only the others hear.
        let mut heard = [false; 4];
        for sequence in 0..500u16 {
            let mut packet = packet(0, sequence, 0);
            for (at, byte) in packet.iter_mut().skip(12).enumerate() {
                *byte = if at % 16 < 8 { 0x10 } else { 0x90 };
            }
            packet[8] = speaker as u8;
            phones[speaker].send_to(&packet, place).unwrap();
            for (phone, heard) in phones.iter().zip(&mut heard) {
                *heard |= hear(phone).iter().any(|byte| byte & 0x7f < 0x20);
            }
            let others = heard.iter().filter(|heard| **heard).count();
            if others == 3 {
                break;
            }
        }
        assert_eq!(heard.iter().filter(|heard| **heard).count(), 3, "{heard:?}");
        assert!(!heard[speaker], "{speaker} hears itself");
        // The line falls silent.
        for phone in &phones {
            while hear(phone).iter().any(|byte| *byte != silence) {}
        }
    }
    house.media.command(Command::Announce {
        stream: calls[1],
        play: PlayId(1),
        source: Source::Prompt("hello".to_owned()),
    });
    for phone in &phones {
        while hear(phone).iter().all(|byte| *byte == silence) {}
    }
    let ended = Event::PlayEnded {
        stream: calls[1],
        play: PlayId(1),
        finished: true,
    };
    assert_eq!(house.event(), ended);
    for call in calls {
        house.close(call);
    }
}
