//! A party changes its media in mid-call: codec, address, the offer late; and what crosses it on the way.

use crate::hold::{ends, heard, talking};
use crate::world::phone::{Manner, State};
use crate::world::{EMPTY, World};
use directory::Ending;
use media::{Codec, Negotiated};

/// What leg `index` has agreed on.
fn agreed(world: &World, index: usize) -> Negotiated {
    let stream = world.streams.keys().nth(index).expect("a stream");
    world.sound.negotiated(*stream).clone()
}

#[test]
fn a_codec_changes_on_its_leg_alone() {
    for (index, number) in [(0, "101"), (1, "102")] {
        let mut world = talking(71);
        assert_eq!(agreed(&world, 0).codec, Codec::Pcmu);
        assert_eq!(agreed(&world, 1).codec, Codec::Pcmu);
        for (formats, codec) in [("8", Codec::Pcma), ("0 8", Codec::Pcma), ("0", Codec::Pcmu)] {
            let now = world.now;
            let phone = world.phone(number);
            phone.media.formats = formats;
            phone.reinvites(now);
            world.passes(100);
            // The codec in use stays as long as it is offered.
            assert_eq!(agreed(&world, index).codec, codec, "{formats}");
            assert_eq!(agreed(&world, 1 - index).codec, Codec::Pcmu);
            assert_eq!(heard(&world), ["talk", "talk"]);
        }
        ends(world);
    }
}

#[test]
fn a_phone_moves_its_media() {
    for method in ["INVITE", "UPDATE"] {
        let mut world = talking(72);
        let now = world.now;
        let phone = world.phone("102");
        phone.media.address = Some("10.0.0.77");
        phone.media.port = 5_000;
        if method == "INVITE" {
            phone.reinvites(now);
        } else {
            phone.updates(now);
        }
        world.passes(100);
        assert_eq!(world.phone("102").media.last(), 200);
        let remote = agreed(&world, 1).remote;
        assert_eq!(remote.to_string(), "10.0.0.77:5000");
        assert_eq!(heard(&world), ["talk", "talk"]);
        ends(world);
    }
}

#[test]
fn a_phone_moves_its_media_with_the_answer_to_a_refresh() {
    let mut world = World::new(&["101", "102"], 74);
    let timer = "Session-Expires: 90;refresher=uac";
    world.phone("102").adds("200", timer);
    world.dials("101", "102");
    world.passes(1_000);
    world.phone("102").media.port = 5_000;
    world.passes(50_000);
    assert_eq!(agreed(&world, 1).remote.port(), 5_000);
    assert_eq!(heard(&world), ["talk", "talk"]);
    ends(world);
}

#[test]
fn what_is_refused_leaves_the_call_as_it_was() {
    let mut world = talking(73);
    let before = agreed(&world, 0);
    for (formats, address) in [("18", None), ("0", Some("2001:db8::1")), ("", None)] {
        let now = world.now;
        let phone = world.phone("101");
        phone.media.formats = formats;
        phone.media.address = address;
        phone.reinvites(now);
        world.passes(100);
        let status = world.phone("101").media.last();
        assert!(
            matches!(status, 400 | 488),
            "{formats} {address:?}: {status}"
        );
        assert_eq!(agreed(&world, 0), before);
        assert_eq!(heard(&world), ["talk", "talk"]);
    }
    // Nor does its number show: our next SDP is the second (RFC 3264 §8).
    let now = world.now;
    let phone = world.phone("101");
    phone.media.formats = "0 8";
    phone.media.address = None;
    phone.reinvites(now);
    world.passes(100);
    let bodies = &world.phone("101").media.bodies;
    let last = bodies.last().expect("our answer");
    assert!(last.contains(" 2 IN IP4"), "{bodies:?}");
    ends(world);
}

#[test]
fn an_offer_may_come_late_and_end_a_hold() {
    for (number, index) in [("101", 0), ("102", 1)] {
        let mut world = talking(74);
        let now = world.now;
        world.phone(number).holds(now);
        world.passes(100);
        let now = world.now;
        let phone = world.phone(number);
        phone.media.direction = "sendrecv";
        phone.media.formats = "8";
        phone.reinvites_late(now);
        world.passes(100);
        // RFC 3261 §14.2: the offer is all we can do, the codec in use first.
        let offer = world.phone(number).media.bodies.last().cloned();
        let offer = offer.expect("our offer");
        assert!(offer.contains(" RTP/AVP 0 8 101"), "{offer}");
        assert!(offer.contains("a=sendrecv"), "{offer}");
        assert_eq!(agreed(&world, index).codec, Codec::Pcma);
        assert_eq!(heard(&world), ["talk", "talk"]);
        ends(world);
    }
}

#[test]
fn an_unusable_answer_in_the_ack_ends_the_call() {
    let mut world = talking(75);
    let now = world.now;
    let phone = world.phone("102");
    phone.media.formats = "18";
    phone.reinvites_late(now);
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Over(200));
    assert_eq!(world.phone("102").state, State::Over(200));
    let why = "the answer in ACK was unusable: no codec in common";
    assert_eq!(world.records[0].reason, why);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn who_calls_without_an_offer_is_offered_the_callees_codec_first() {
    let mut world = World::new(&["101", "102"], 76);
    world.phone("102").media.formats = "8";
    let now = world.now;
    world.phone("101").dials_late(now, "102");
    world.passes(1_000);
    let offer = world.phone("101").media.bodies.last().cloned();
    let offer = offer.expect("our offer");
    assert!(offer.contains(" RTP/AVP 8 0 101"), "{offer}");
    assert_eq!(agreed(&world, 1).codec, Codec::Pcma);
    assert_eq!(heard(&world), ["talk", "talk"]);
    ends(world);
}

#[test]
fn a_change_while_the_last_answer_is_unacknowledged_is_too_early() {
    let mut world = talking(77);
    let now = world.now;
    let phone = world.phone("101");
    phone.media.kept = Some(Vec::new());
    phone.holds(now);
    world.passes(100);
    assert_eq!(heard(&world), ["", "music-on-hold"]);
    for update in [false, true] {
        let now = world.now;
        let phone = world.phone("101");
        phone.media.direction = "sendrecv";
        if update {
            phone.updates(now);
        } else {
            phone.reinvites(now);
        }
        world.passes(100);
        assert_eq!(world.phone("101").media.last(), 491);
        assert_eq!(heard(&world), ["", "music-on-hold"]);
    }
    // The late ACK comes, and then it goes through.
    world.phone("101").lets_go();
    world.passes(100);
    let now = world.now;
    world.phone("101").resumes(now);
    world.passes(100);
    assert_eq!(world.phone("101").media.last(), 200);
    assert_eq!(heard(&world), ["talk", "talk"]);
    ends(world);
}

#[test]
fn a_change_that_is_never_acknowledged_ends_the_call() {
    for (number, who) in [("101", "caller"), ("102", "called party")] {
        let mut world = talking(78);
        let now = world.now;
        let phone = world.phone(number);
        phone.media.kept = Some(Vec::new());
        phone.holds(now);
        world.passes(40_000);
        assert_eq!(world.phone("101").state, State::Over(200));
        assert_eq!(world.phone("102").state, State::Over(200));
        let why = format!("the {who} never acknowledged our answer");
        assert_eq!(world.records[0].reason, why);
        assert_eq!(world.is_silent(), EMPTY);
    }
}

#[test]
fn a_change_crosses_the_end_of_the_call() {
    for gap in [0, 2, 5, 7, 10] {
        for (changer, leaver) in [("101", "102"), ("102", "101"), ("101", "101")] {
            let mut world = talking(79);
            let now = world.now;
            world.phone(leaver).hangs_up(now);
            world.passes(gap);
            let now = world.now;
            // A phone in the middle of its BYE may send one all the same.
            world.phone(changer).reinvites(now);
            assert_eq!(world.is_silent(), EMPTY, "{changer} {leaver} {gap}");
            assert_eq!(world.records.len(), 1);
            assert_eq!(world.records[0].cause, Ending::Completed);
            let status = world.phone(changer).media.last();
            assert!(matches!(status, 481 | 487 | 200), "{status}");
        }
    }
}

#[test]
fn a_caller_changes_its_media_before_the_answer() {
    let mut world = World::new(&["101", "102"], 81);
    world.phone("102").manner = Manner::Waits;
    world.phone("101").adds("INVITE", "Supported: 100rel");
    world.dials("101", "102");
    world.passes(100);
    world.phone("102").progresses(183, "x", true);
    world.passes(100);
    assert_eq!(heard(&world), ["talk", "talk"]);
    let now = world.now;
    let phone = world.phone("101");
    phone.goes_on_early();
    phone.media.formats = "8";
    phone.media.port = 5_000;
    phone.updates(now);
    world.passes(100);
    assert_eq!(world.phone("101").media.last(), 200);
    assert_eq!(world.phone("101").state, State::Calling);
    let now = world.now;
    world.phone("102").answers_as(now, "x", true);
    world.passes(100);
    assert_eq!(world.phone("101").state, State::Up);
    let agreed = agreed(&world, 0);
    assert_eq!((agreed.codec, agreed.remote.port()), (Codec::Pcma, 5_000));
    assert_eq!(heard(&world), ["talk", "talk"]);
    ends(world);
}

#[test]
fn both_change_at_once() {
    let mut world = talking(80);
    let now = world.now;
    for number in ["101", "102"] {
        world.phone(number).media.formats = "8";
        world.phone(number).reinvites(now);
    }
    world.passes(100);
    for (index, number) in [(0, "101"), (1, "102")] {
        assert_eq!(world.phone(number).media.last(), 200);
        assert_eq!(agreed(&world, index).codec, Codec::Pcma);
    }
    assert_eq!(heard(&world), ["talk", "talk"]);
    ends(world);
}

#[test]
fn changes_get_through_a_bad_network() {
    for seed in 0..30 {
        let mut world = talking(seed);
        world.trouble = 15;
        for turn in 0..6 {
            let number = if turn % 2 == 0 { "101" } else { "102" };
            let now = world.now;
            if turn % 3 == 0 {
                world.phone(number).holds(now);
            } else {
                world.phone(number).resumes(now);
            }
            world.passes(1_500);
        }
        world.trouble = 0;
        world.passes(40_000);
        for number in ["101", "102"] {
            let now = world.now;
            if world.phone(number).state == State::Up {
                world.phone(number).resumes(now);
                world.passes(500);
            }
        }
        if world.phone("101").state == State::Up {
            assert_eq!(heard(&world), ["talk", "talk"], "seed {seed}");
        }
        let now = world.now;
        world.phone("101").hangs_up(now);
        assert_eq!(world.is_silent(), EMPTY, "seed {seed}");
        assert_eq!(world.records.len(), 1, "seed {seed}");
    }
}
