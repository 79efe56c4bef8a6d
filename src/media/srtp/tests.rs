//! The vectors of the RFCs and of libsrtp, and what changes, repeats or rolls over.

use proptest::prelude::*;

use super::cipher::{Cipher, Place, Purpose};
use super::*;

const KEY_128: &str = "e1f97a0d3e018be0d64fa32c06de4139";
const KEY_256: &str = "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6";
const GCM_128: &str = "000102030405060708090a0b0c0d0e0f";
const GCM_256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const RTP: &str = "800f1234decafbadcafebabeabababababababababababababababab";
const RTCP: &str = "81c8000bcafebabeabababababababababababababababab";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

fn keys(profile: Profile) -> Keys {
    let (key, salt) = match profile {
        Profile::AesCm128Sha1_80 | Profile::AesCm128Sha1_32 => {
            (KEY_128, "0ec675ad498afeebb6960b3aabe6")
        }
        Profile::AesCm256Sha1_80 | Profile::AesCm256Sha1_32 => {
            (KEY_256, "3b04803de51ee7c96423ab5b78d2")
        }
        Profile::AesGcm128 => (GCM_128, "a0a1a2a3a4a5a6a7a8a9aaab"),
        Profile::AesGcm256 => (GCM_256, "a0a1a2a3a4a5a6a7a8a9aaab"),
    };
    Keys::new(profile, &bytes(&format!("{key}{salt}"))).unwrap()
}

fn sealed(protector: &mut Protector, packet: &[u8]) -> Option<Vec<u8>> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + MAX_TRAILER, 0);
    let length = protector.protect_rtp(&mut buffer, packet.len())?;
    buffer.truncate(length);
    Some(buffer)
}

fn sealed_report(protector: &mut Protector, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + MAX_TRAILER, 0);
    let length = protector.protect_rtcp(&mut buffer, packet.len()).unwrap();
    buffer.truncate(length);
    buffer
}

fn opened(unprotector: &mut Unprotector, packet: &[u8]) -> Result<Vec<u8>, Rejected> {
    let mut packet = packet.to_vec();
    let length = unprotector.unprotect_rtp(&mut packet)?;
    packet.truncate(length);
    Ok(packet)
}

fn opened_report(unprotector: &mut Unprotector, packet: &[u8]) -> Result<Vec<u8>, Rejected> {
    let mut packet = packet.to_vec();
    let length = unprotector.unprotect_rtcp(&mut packet)?;
    packet.truncate(length);
    Ok(packet)
}

fn rtp(sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend(u32::from(sequence).wrapping_mul(160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([sequence as u8; 160]);
    packet
}

/// RFC 3711 B.2, RFC 6188 §7.1: the key stream of a session key.
#[test]
fn counter_mode_makes_the_key_stream_of_the_rfcs() {
    let salt = bytes("f0f1f2f3f4f5f6f7f8f9fafbfcfd");
    for (key, stream) in [
        (
            "2b7e151628aed2a6abf7158809cf4f3c",
            "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab41e95b3bb0a2e8dd477901e4fca894c0",
        ),
        (
            "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98",
            "92bdd28a93c3f52511c677d08b5515a49da71b2378a854f67050756ded165bac63c4868b7096d88421b563b8c94c9a31",
        ),
    ] {
        let cipher = Cipher::of_session((&bytes(key), Some(&[1])), &salt, 10);
        let mut payload = [0; 48];
        let place = Place { ssrc: 0, index: 0 };
        cipher
            .seal(place, (&[], &mut payload), &[], &mut [0; 10])
            .unwrap();
        assert_eq!(payload.to_vec(), bytes(stream));
    }
}

/// RFC 7714 §16.1.1 and §17.1.
#[test]
fn gcm_makes_the_packets_of_the_rfc() {
    let salt = bytes("517569642070726f2071756f");
    let head = bytes("8040f17b8041f8d35501a0b2");
    let mut payload =
        bytes("47616c6c696120657374206f6d6e697320646976697361 20696e207061727465732074726573");
    let cipher = Cipher::of_session((&bytes(GCM_128), None), &salt, 16);
    let mut tag = [0; 16];
    let place = Place {
        ssrc: 0x5501_a0b2,
        index: 0xf17b,
    };
    cipher
        .seal(place, (&head, &mut payload), &[], &mut tag)
        .unwrap();
    payload.extend(tag);
    assert_eq!(
        payload,
        bytes(
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce"
        )
    );
    let head = bytes("81c8000d4d617273");
    let mut payload = bytes(
        "4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef",
    );
    let place = Place {
        ssrc: 0x4d61_7273,
        index: 0x5d4,
    };
    cipher
        .seal(place, (&head, &mut payload), &bytes("800005d4"), &mut tag)
        .unwrap();
    payload.extend(tag);
    assert_eq!(
        payload,
        bytes(
            "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade"
        )
    );
}

/// Packets of libsrtp's own tests: they need the key derivation of RFC 3711 §4.3, whose vectors have the same keys.
#[test]
fn whole_packets_are_those_of_libsrtp() {
    for (profile, expected) in [
        (
            Profile::AesCm128Sha1_80,
            "4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb",
        ),
        (
            Profile::AesCm256Sha1_80,
            "f1d9de17ff251ff1aa007774b0b4b40da08d9d9a5b3a55d8873b",
        ),
        (
            Profile::AesGcm128,
            "c5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392",
        ),
    ] {
        let packet = sealed(&mut Protector::new(&keys(profile)), &bytes(RTP)).unwrap();
        assert_eq!(packet[12..], bytes(expected), "{}", profile.name());
        let mut unprotector = Unprotector::new(&keys(profile), 0);
        assert_eq!(opened(&mut unprotector, &packet), Ok(bytes(RTP)));
    }
    for (profile, expected) in [
        (
            Profile::AesCm128Sha1_80,
            "7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798",
        ),
        (
            Profile::AesGcm128,
            "c98b8b5df0392a55852b6c21ac8e7025c52c6fbea2b3b446ea31123ba88ce61e80000001",
        ),
    ] {
        let mut protector = Protector::new(&keys(profile));
        // libsrtp begins at 1.
        sealed_report(&mut protector, &bytes(RTCP));
        let packet = sealed_report(&mut protector, &bytes(RTCP));
        assert_eq!(packet[8..], bytes(expected), "{}", profile.name());
    }
}

#[test]
fn each_profile_opens_what_it_sealed_once() {
    for profile in Profile::ALL {
        let mut protector = Protector::new(&keys(profile));
        let mut unprotector = Unprotector::new(&keys(profile), 0);
        assert_eq!(
            (protector.profile(), unprotector.profile()),
            (profile, profile)
        );
        for sequence in [65_534, 65_535, 0, 1] {
            let packet = sealed(&mut protector, &rtp(sequence, 9)).unwrap();
            assert_eq!(opened(&mut unprotector, &packet), Ok(rtp(sequence, 9)));
            assert_eq!(opened(&mut unprotector, &packet), Err(Rejected::Replayed));
            let report = sealed_report(&mut protector, &bytes(RTCP));
            assert_eq!(opened_report(&mut unprotector, &report), Ok(bytes(RTCP)));
            let again = opened_report(&mut unprotector, &report);
            assert_eq!(again, Err(Rejected::Replayed));
        }
        // Another's key.
        let other = Keys::of(&KeySeed::of(&[1; 32], crate::StreamId(1), 0), profile);
        let packet = sealed(&mut Protector::new(&other), &rtp(2, 9)).unwrap();
        assert_eq!(opened(&mut unprotector, &packet), Err(Rejected::Forged));
        let report = sealed_report(&mut Protector::new(&other), &bytes(RTCP));
        let mut young = Unprotector::new(&keys(profile), 0);
        assert_eq!(opened_report(&mut young, &report), Err(Rejected::Forged));
    }
}

#[test]
fn no_number_is_sealed_twice() {
    let mut protector = Protector::new(&keys(Profile::AesGcm128));
    for (sequence, sealable) in [
        (10, true),
        (12, true),
        (11, true),
        (11, false),
        (10, false),
        (200, true),
        (60, false),
    ] {
        let done = sealed(&mut protector, &rtp(sequence, 1)).is_some();
        assert_eq!(done, sealable, "{sequence}");
    }
    // Nor is anything sealed for which there is no room.
    let mut tight = rtp(300, 1);
    let length = tight.len();
    assert_eq!(protector.protect_rtp(&mut tight, length), None);
    assert_eq!(protector.protect_rtcp(&mut tight, length), None);
}

#[test]
fn a_party_may_change_its_ssrc_and_come_back() {
    let profile = Profile::AesCm128Sha1_80;
    let mut unprotector = Unprotector::new(&keys(profile), 0);
    let mut old = Protector::new(&keys(profile));
    let first = sealed(&mut old, &rtp(65_535, 1)).unwrap();
    opened(&mut unprotector, &first).unwrap();
    let rolled = sealed(&mut old, &rtp(0, 1)).unwrap();
    opened(&mut unprotector, &rolled).unwrap();
    let mut new = Protector::new(&keys(profile));
    let packet = sealed(&mut new, &rtp(65_535, 2)).unwrap();
    assert_eq!(opened(&mut unprotector, &packet), Ok(rtp(65_535, 2)));
    // The rollover counter of the old one is kept, and its packets are not taken again.
    assert_eq!(opened(&mut unprotector, &first), Err(Rejected::Replayed));
    let later = sealed(&mut old, &rtp(1, 1)).unwrap();
    assert_eq!(opened(&mut unprotector, &later), Ok(rtp(1, 1)));
}

#[test]
fn after_a_change_of_keys_the_rollover_counter_goes_on_or_begins_anew() {
    for (profile, goes_on) in [
        (Profile::AesCm128Sha1_80, true),
        (Profile::AesCm128Sha1_80, false),
        (Profile::AesGcm256, true),
        (Profile::AesGcm256, false),
    ] {
        let fresh = Keys::of(&KeySeed::of(&[1; 32], crate::StreamId(1), 1), profile);
        let mut unprotector = Unprotector::new(&keys(profile), 0);
        let mut protector = Protector::new(&keys(profile));
        let mut rekeyed = Protector::new(&fresh);
        for sequence in [40_000, 65_535, 0, 5] {
            let packet = sealed(&mut protector, &rtp(sequence, 1)).unwrap();
            opened(&mut unprotector, &packet).unwrap();
            if goes_on {
                sealed(&mut rekeyed, &rtp(sequence, 1)).unwrap();
            }
        }
        let mut next = Unprotector::new(&fresh, 0);
        next.goes_on_from(&unprotector);
        for sequence in 6..10 {
            let packet = sealed(&mut rekeyed, &rtp(sequence, 1)).unwrap();
            assert_eq!(
                opened(&mut next, &packet),
                Ok(rtp(sequence, 1)),
                "{goes_on}"
            );
            assert_eq!(opened(&mut next, &packet), Err(Rejected::Replayed));
        }
    }
}

#[test]
fn a_key_identifier_is_passed_over() {
    for profile in [Profile::AesCm128Sha1_80, Profile::AesGcm128] {
        let mut protector = Protector::new(&keys(profile));
        let mut unprotector = Unprotector::new(&keys(profile), 4);
        let mut packet = sealed(&mut protector, &rtp(7, 1)).unwrap();
        let at = packet.len() - if profile.is_gcm() { 0 } else { 10 };
        packet.splice(at..at, [0, 0, 0, 1]);
        assert_eq!(opened(&mut unprotector, &packet), Ok(rtp(7, 1)));
        let mut report = sealed_report(&mut protector, &bytes(RTCP));
        let at = report.len() - if profile.is_gcm() { 0 } else { 10 };
        report.splice(at..at, [0, 0, 0, 1]);
        assert_eq!(opened_report(&mut unprotector, &report), Ok(bytes(RTCP)));
    }
}

#[test]
fn nothing_tells_a_key() {
    let seed = KeySeed::of(&[7; 32], crate::StreamId(1), 0);
    let keys = Keys::of(&seed, Profile::AesCm128Sha1_80);
    let told = format!(
        "{seed:?} {keys:?} {:?} {:?}",
        Protector::new(&keys),
        Unprotector::new(&keys, 0)
    );
    assert_eq!(
        told,
        "KeySeed(…) Keys(AES_CM_128_HMAC_SHA1_80) Protector(AES_CM_128_HMAC_SHA1_80) Unprotector(AES_CM_128_HMAC_SHA1_80)"
    );
    // Of each profile, stream and offer other keys.
    let other = [
        Keys::of(&seed, Profile::AesCm128Sha1_32),
        Keys::of(
            &KeySeed::of(&[7; 32], crate::StreamId(2), 0),
            Profile::AesCm128Sha1_80,
        ),
        Keys::of(
            &KeySeed::of(&[7; 32], crate::StreamId(1), 1),
            Profile::AesCm128Sha1_80,
        ),
    ];
    assert!(
        other
            .iter()
            .all(|other| other.material() != keys.material())
    );
    assert_eq!(keys.material().len(), 30);
    assert_eq!(Cipher::new(&keys, Purpose::Rtcp).tag_len(), 10);
}

proptest! {
    #[test]
    fn any_packet_comes_back_and_no_change_of_it_does(
        which in 0usize..6,
        payload in proptest::collection::vec(any::<u8>(), 0..300),
        sources in 0u8..16,
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let profile = Profile::ALL[which];
        let mut packet = rtp(1, 5);
        packet[0] |= sources;
        packet.truncate(12);
        packet.extend(vec![3; usize::from(sources) * 4]);
        packet.extend(payload);
        let good = sealed(&mut Protector::new(&keys(profile)), &packet).unwrap();
        prop_assert_eq!(opened(&mut Unprotector::new(&keys(profile), 0), &good), Ok(packet));
        let mut bad = good.clone();
        let at = at.index(bad.len());
        bad[at] ^= flip;
        prop_assert!(opened(&mut Unprotector::new(&keys(profile), 0), &bad).is_err());
        bad = good;
        bad.truncate(at);
        prop_assert!(opened(&mut Unprotector::new(&keys(profile), 0), &bad).is_err());
    }

    #[test]
    fn no_bytes_panic(which in 0usize..6, mki in 0usize..8, bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let profile = Profile::ALL[which];
        let mut unprotector = Unprotector::new(&keys(profile), mki);
        let _ = opened(&mut unprotector, &bytes);
        let _ = opened_report(&mut unprotector, &bytes);
        let mut protector = Protector::new(&keys(profile));
        let _ = sealed(&mut protector, &bytes);
    }
}
