//! Encrypted streams: relayed to plain ones and to others, re-keyed, and deaf to whoever lacks the key.

#![expect(
    clippy::unwrap_used,
    reason = "a test: what is not as expected shall panic"
)]

mod world;

use media::sdp::Pair;
use media::srtp::{KeySeed, Keys, MAX_TRAILER, Profile, Protector, Unprotector};
use media::{Codec, Command, Event, Kind, Negotiated, Security, StreamId};
use world::{A, B, PHONE_A, PHONE_B, World, agreed};

fn keys(profile: Profile, side: u64, generation: u32) -> Keys {
    Keys::of(&KeySeed::of(&[3; 32], StreamId(side), generation), profile)
}

/// What the party of `side` and we agreed on.
fn encrypted(profile: Profile, side: u64, remote: &str, theirs: u32) -> Negotiated {
    Negotiated {
        security: Security::Sdes(Box::new(Pair {
            ours: keys(profile, 100 + side, 0),
            theirs: keys(profile, side, theirs),
            mki: 0,
        })),
        ..agreed(Codec::Pcmu, remote)
    }
}

/// Voice of the party, sealed.
fn voice(protector: &mut Protector, sequence: u16) -> Vec<u8> {
    sealed(protector, &plain(sequence))
}

fn plain(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend([0, 0, 0, 77]);
    packet.extend([sequence as u8; 160]);
    packet
}

fn sealed(protector: &mut Protector, packet: &[u8]) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    bytes.resize(packet.len() + MAX_TRAILER, 0);
    let length = protector.protect_rtp(&mut bytes, packet.len()).unwrap();
    bytes.truncate(length);
    bytes
}

fn opened(unprotector: &mut Unprotector, packet: &[u8]) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    let length = unprotector.unprotect_rtp(&mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}

#[test]
fn an_encrypted_party_talks_with_a_plain_one() {
    for profile in Profile::ALL {
        let mut world = World::new();
        world.open(A, encrypted(profile, 1, PHONE_A, 0));
        world.open(B, agreed(Codec::Pcmu, PHONE_B));
        world.command(Command::Join { a: A, b: B });
        let mut party = Protector::new(&keys(profile, 1, 0));
        let mut ear = Unprotector::new(&keys(profile, 101, 0), 0);
        for sequence in 1..=50 {
            world.rtp(A, PHONE_A, &voice(&mut party, sequence));
            world.rtp(B, PHONE_B, &plain(sequence));
            world.passes(20);
        }
        let voices: Vec<_> = world.sent.iter().filter(|s| s.kind == Kind::Rtp).collect();
        assert_eq!(voices.len(), 100);
        for sent in voices {
            let bytes = if sent.stream == A {
                assert!(sent.bytes.len() > 172);
                opened(&mut ear, &sent.bytes)
            } else {
                sent.bytes.clone()
            };
            assert_eq!(bytes.len(), 172);
            assert_eq!(bytes[12..], [bytes[12]; 160]);
        }
    }
}

#[test]
fn both_sides_may_be_encrypted_each_with_its_own_profile() {
    let mut world = World::new();
    world.open(A, encrypted(Profile::AesCm128Sha1_80, 1, PHONE_A, 0));
    world.open(B, encrypted(Profile::AesGcm256, 2, PHONE_B, 0));
    world.command(Command::Join { a: A, b: B });
    let mut party = Protector::new(&keys(Profile::AesCm128Sha1_80, 1, 0));
    let mut ear = Unprotector::new(&keys(Profile::AesGcm256, 102, 0), 0);
    for sequence in 1..=20 {
        let packet = voice(&mut party, sequence);
        world.rtp(A, PHONE_A, &packet);
        // The network doubles it.
        world.rtp(A, PHONE_A, &packet);
    }
    let voices: Vec<_> = world.sent.iter().filter(|s| s.stream == B).collect();
    assert_eq!(voices.len(), 20);
    for sent in voices {
        assert_eq!(opened(&mut ear, &sent.bytes).len(), 172);
    }
}

#[test]
fn who_lacks_the_key_is_not_heard_and_does_not_lock_the_latch() {
    let profile = Profile::AesCm128Sha1_80;
    let mut world = World::new();
    world.open(A, encrypted(profile, 1, PHONE_A, 0));
    world.open(B, agreed(Codec::Pcmu, PHONE_B));
    world.command(Command::Join { a: A, b: B });
    let mut stranger = Protector::new(&keys(profile, 9, 0));
    for sequence in 1..=5 {
        world.rtp(A, "203.0.113.9:4000", &plain(sequence));
        world.rtp(A, "203.0.113.9:4000", &voice(&mut stranger, sequence));
    }
    assert!(world.sent.is_empty());
    let mut party = Protector::new(&keys(profile, 1, 0));
    world.rtp(A, "10.0.0.1:4700", &voice(&mut party, 1));
    assert_eq!(world.sent.len(), 1);
    world.command(Command::Close { stream: A });
    let Some(Event::Closed { stats, .. }) = world.events.last() else {
        panic!("it is closed")
    };
    assert_eq!((stats.packets_in, stats.sealed_packets), (1, 10));
}

#[test]
fn reports_are_encrypted_too() {
    let profile = Profile::AesCm128Sha1_32;
    let mut world = World::new();
    world.open(A, encrypted(profile, 1, PHONE_A, 0));
    let mut party = Protector::new(&keys(profile, 1, 0));
    world.rtp(A, PHONE_A, &voice(&mut party, 1));
    world.passes(6_000);
    let reports: Vec<_> = world.sent.iter().filter(|s| s.kind == Kind::Rtcp).collect();
    assert!(!reports.is_empty());
    let mut ear = Unprotector::new(&keys(profile, 101, 0), 0);
    let mut bytes = reports[0].bytes.clone();
    let length = ear.unprotect_rtcp(&mut bytes).unwrap();
    assert!(media::rtp::rtcp::parse(&bytes[..length]).is_some());
    // The party's own: a plain one is no sign of life, an encrypted one is.
    let silent = [0x80, 201, 0, 1, 0, 0, 0, 77];
    world.rtcp(A, "10.0.0.1:4001", &silent);
    let mut sealed = silent.to_vec();
    sealed.resize(8 + MAX_TRAILER, 0);
    let length = party.protect_rtcp(&mut sealed, 8).unwrap();
    world.passes(8_900);
    world.events.clear();
    world.rtcp(A, "10.0.0.1:4001", &sealed[..length]);
    world.passes(14_900);
    assert_eq!(world.events, []);
    world.passes(200);
    assert!(matches!(
        world.events[..],
        [Event::Silent { stream: A, .. }]
    ));
}

#[test]
fn a_change_of_keys_in_mid_call_is_heard_at_once() {
    let profile = Profile::AesCm128Sha1_80;
    let mut world = World::new();
    world.open(A, encrypted(profile, 1, PHONE_A, 0));
    world.open(B, agreed(Codec::Pcmu, PHONE_B));
    world.command(Command::Join { a: A, b: B });
    let mut ear = Unprotector::new(&keys(profile, 101, 0), 0);
    for generation in 0..3 {
        let negotiated = encrypted(profile, 1, PHONE_A, generation);
        world.command(Command::Negotiated {
            stream: A,
            negotiated,
        });
        world.sent.clear();
        let mut party = Protector::new(&keys(profile, 1, generation));
        for sequence in 1..=10 {
            let sequence = sequence + generation as u16 * 10;
            world.rtp(A, PHONE_A, &voice(&mut party, sequence));
            world.rtp(B, PHONE_B, &plain(sequence));
        }
        let (ours, theirs): (Vec<_>, Vec<_>) = world.sent.iter().partition(|sent| sent.stream == A);
        assert_eq!((ours.len(), theirs.len()), (10, 10), "{generation}");
        // Our key stayed, and so did its numbers.
        for sent in ours {
            opened(&mut ear, &sent.bytes);
        }
    }
    // And back to plain RTP.
    world.command(Command::Negotiated {
        stream: A,
        negotiated: agreed(Codec::Pcmu, PHONE_A),
    });
    world.sent.clear();
    world.rtp(A, PHONE_A, &plain(40));
    world.rtp(B, PHONE_B, &plain(40));
    assert_eq!(world.sent.len(), 2);
    assert!(world.sent.iter().all(|sent| sent.bytes.len() == 172));
}
