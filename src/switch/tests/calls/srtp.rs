//! Encrypted audio: who wants it, who gets it, who is refused, and what the record says.

use crate::world::phone::State;
use crate::world::{EMPTY, World, extension, trunk};
use directory::{Directory, Srtp};
use media::Security;
use media::srtp::Profile;
use std::sync::Arc;
use switch::Event;

/// Keys of a phone's own: zeros, then ones.
const KEYS: &str =
    "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA|2^31\r\n";
const OTHERS: &str =
    "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB|2^31\r\n";
const PROFILE: &str = "AES_CM_128_HMAC_SHA1_80";

/// 101 and 102 with these wishes, and 103; a trunk as 102 is.
fn office(first: Srtp, second: Srtp) -> World {
    let mut world = World::with_trunks(&["101", "102", "103"], &["itsp"], 91);
    let people = [("101", first), ("102", second), ("103", Srtp::Off)];
    let people = people.map(|(number, srtp)| directory::Extension {
        srtp,
        ..extension(number)
    });
    let line = directory::Trunk {
        srtp: second,
        ..trunk("itsp", 0)
    };
    let directory = Directory::new(people.to_vec(), vec![(line, None)]);
    world.give(Event::Directory(Arc::new(directory)));
    world.passes(1_000);
    world
}

/// The phone speaks SRTP: with a transport of its own, or as RFC 8643 has it.
fn encrypts(world: &mut World, number: &str, transport: &'static str) {
    let media = &mut world.phone(number).media;
    media.transport = transport;
    media.lines = KEYS;
}

/// What leg `index` sends and hears with.
fn security(world: &World, index: usize) -> Security {
    let stream = world.streams.keys().nth(index).expect("a stream");
    world.sound.negotiated(*stream).security.clone()
}

fn ends(world: &mut World, number: &str) {
    let now = world.now;
    world.phone(number).hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 1);
}

/// The profiles of the legs in the record.
fn told(world: &World) -> Vec<Option<&str>> {
    let legs = world.records[0].legs.iter();
    legs.map(|leg| leg.srtp.as_deref()).collect()
}

#[test]
fn each_leg_is_encrypted_as_its_own_party_wants() {
    for (first, second, transport) in [
        (Srtp::Required, Srtp::Off, "RTP/SAVP"),
        (Srtp::Required, Srtp::Off, "RTP/AVP"),
        (Srtp::Optional, Srtp::Off, "RTP/SAVP"),
        (Srtp::Optional, Srtp::Off, "RTP/AVP"),
        (Srtp::Optional, Srtp::Required, "RTP/SAVP"),
        (Srtp::Optional, Srtp::Optional, "RTP/AVP"),
    ] {
        let mut world = office(first, second);
        encrypts(&mut world, "101", transport);
        if second != Srtp::Off {
            encrypts(&mut world, "102", transport);
        }
        world.dials("101", "102");
        world.passes(1_000);
        assert_eq!(world.phone("102").state, State::Up, "{first:?} {second:?}");
        let answer = world.phone("101").media.bodies.last().cloned();
        let answer = answer.expect("an answer");
        assert!(answer.contains(&format!(" {transport} 0\r\n")), "{answer}");
        assert_eq!(answer.matches("a=crypto:2 ").count(), 1, "{answer}");
        let offer = world.phone("102").media.bodies.first().cloned();
        let offer = offer.expect("an offer");
        let (line, keys) = match second {
            Srtp::Off => ("RTP/AVP", 0),
            Srtp::Optional => ("RTP/AVP", 2),
            Srtp::Required => ("RTP/SAVP", 2),
        };
        assert!(offer.contains(&format!(" {line} ")), "{offer}");
        assert_eq!(offer.matches("a=crypto:").count(), keys, "{offer}");
        let profile = Some(Profile::AesCm128Sha1_80);
        let theirs = profile.filter(|_| second != Srtp::Off);
        assert_eq!(security(&world, 0).profile(), profile);
        assert_eq!(security(&world, 1).profile(), theirs);
        ends(&mut world, "101");
        assert_eq!(told(&world), [Some(PROFILE), theirs.map(Profile::name)]);
        let remark = world.records[0].legs[0].diagnosis.as_deref();
        let open = "the keys of its SRTP went over udp, where they can be read";
        assert_eq!(remark, Some(open));
    }
}

#[test]
fn what_is_required_and_not_offered_is_refused_with_a_reason() {
    let mut world = office(Srtp::Required, Srtp::Off);
    world.dials("101", "102");
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Over(488));
    assert_eq!(world.phone("102").state, State::Idle);
    assert_eq!(world.is_silent(), EMPTY);
    let record = &world.records[0];
    assert_eq!(record.sip_code, 488);
    assert_eq!(record.reason, "SRTP is required, but was not offered");
    assert_eq!(told(&world), [None]);
}

#[test]
fn what_is_off_and_demanded_is_refused_with_a_reason() {
    let mut world = office(Srtp::Off, Srtp::Off);
    encrypts(&mut world, "101", "RTP/SAVP");
    world.dials("101", "102");
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Over(488));
    assert_eq!(world.records[0].reason, "SRTP is demanded, but off here");
}

#[test]
fn a_called_party_that_must_encrypt_and_does_not_is_not_talked_with() {
    // One answers as if nothing had been asked, the other refuses.
    for refuses in [false, true] {
        for (dialled, called) in [("102", "102"), ("90171", "itsp")] {
            let mut world = office(Srtp::Off, Srtp::Required);
            if refuses {
                world.phone(called).manner = crate::world::phone::Manner::Refuses(488);
            }
            world.dials("101", dialled);
            world.passes(2_000);
            assert_eq!(world.phone("101").state, State::Over(488), "{called}");
            assert_eq!(world.is_silent(), EMPTY);
            let why = if refuses {
                "SRTP is required of it, and it refused our offer of that"
            } else {
                "SRTP is required, but the answer has none"
            };
            let record = &world.records[0];
            assert_eq!(record.legs[1].diagnosis.as_deref(), Some(why));
            assert!(record.reason.contains(why), "{}", record.reason);
        }
    }
}

#[test]
fn keys_change_in_mid_call_and_ours_stay() {
    let mut world = office(Srtp::Required, Srtp::Off);
    encrypts(&mut world, "101", "RTP/SAVP");
    world.dials("101", "102");
    world.passes(1_000);
    let Security::Sdes(before) = security(&world, 0) else {
        panic!("it is encrypted")
    };
    let now = world.now;
    let phone = world.phone("101");
    phone.media.lines = OTHERS;
    phone.reinvites(now);
    world.passes(100);
    assert_eq!(world.phone("101").media.last(), 200);
    let Security::Sdes(after) = security(&world, 0) else {
        panic!("it is encrypted")
    };
    assert_eq!(after.ours, before.ours);
    assert_ne!(after.theirs, before.theirs);
    assert_eq!(after.theirs.material(), [1; 30]);
    // Nor can it be talked out of it.
    let now = world.now;
    let phone = world.phone("101");
    (phone.media.transport, phone.media.lines) = ("RTP/AVP", "");
    phone.reinvites(now);
    world.passes(100);
    assert_eq!(world.phone("101").media.last(), 488);
    assert_eq!(security(&world, 0), Security::Sdes(after));
    ends(&mut world, "101");
    assert_eq!(told(&world), [Some(PROFILE), None]);
}

#[test]
fn a_call_that_was_partly_plain_is_not_called_encrypted() {
    let mut world = office(Srtp::Optional, Srtp::Off);
    encrypts(&mut world, "101", "RTP/AVP");
    world.dials("101", "102");
    world.passes(1_000);
    let ours = |world: &World| match security(world, 0) {
        Security::Sdes(pair) => Some(pair.ours),
        Security::Plain => None,
    };
    let before = ours(&world);
    for lines in ["", KEYS] {
        let now = world.now;
        let phone = world.phone("101");
        phone.media.lines = lines;
        phone.reinvites(now);
        world.passes(100);
        assert_eq!(world.phone("101").media.last(), 200);
        assert_eq!(ours(&world).is_some(), !lines.is_empty());
    }
    assert_ne!(ours(&world), before, "no key serves twice");
    ends(&mut world, "101");
    assert_eq!(told(&world), [None, None]);
}

#[test]
fn every_call_and_leg_has_keys_of_its_own() {
    let mut world = office(Srtp::Optional, Srtp::Optional);
    for number in ["101", "102"] {
        encrypts(&mut world, number, "RTP/AVP");
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        world.dials("101", "102");
        world.passes(1_000);
        for index in 0..2 {
            let Security::Sdes(pair) = security(&world, index) else {
                panic!("it is encrypted")
            };
            assert!(!seen.contains(&pair.ours));
            seen.push(pair.ours);
        }
        let now = world.now;
        world.phone("102").hangs_up(now);
        world.passes(2_000);
    }
    assert_eq!(seen.len(), 6);
}

#[test]
fn nobody_is_kept_from_calling_for_help() {
    let mut world = office(Srtp::Required, Srtp::Off);
    world.dials("101", "112");
    world.passes(2_000);
    assert_eq!(world.phone("itsp").state, State::Up);
    assert_eq!(world.phone("101").state, State::Up);
    ends(&mut world, "101");
}
