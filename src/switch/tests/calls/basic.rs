//! Stories of calls in virtual time: what a user would see.

use crate::world::phone::{Manner, State};
use crate::world::{EMPTY, World};
use directory::{Ending, How};
use switch::{Event, Verb};

#[test]
fn a_call_is_answered_talked_and_hung_up() {
    let mut world = World::new(&["101", "102"], 1);
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Up);
    assert_eq!(world.phone("102").state, State::Up);
    world.passes(60_000);
    let now = world.now;
    world.phone("101").hangs_up(now);
    world.passes(2_000);
    assert_eq!(world.phone("102").state, State::Over(200));
    let record = world.records.first().expect("a record");
    assert_eq!(
        (record.from.as_str(), record.to.as_str(), record.cause),
        ("101", "102", Ending::Completed)
    );
    assert!((60_000..62_000).contains(&record.talk_ms), "{record:?}");
    let [journey] = record.segments.as_slice() else {
        panic!("{record:?}")
    };
    assert_eq!((journey.how, &journey.by), (How::Dialled, &None));
    assert_eq!(journey.parties, ["101", "102"]);
    assert_eq!(journey.started_at_ms, record.started_at_ms);
    assert_eq!(journey.answered_at_ms, record.answered_at_ms);
    assert_eq!(journey.ended_at_ms, record.ended_at_ms);
    assert_eq!((&record.merged_into, record.continues.len()), (&None, 0));
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 1);
}

#[test]
fn each_phone_is_offered_its_own_kind_of_address() {
    for (from, to) in [("601", "602"), ("601", "101"), ("101", "601")] {
        let mut world = World::new(&["101", "601", "602"], 8);
        world.dials(from, to);
        world.passes(1_000);
        for number in [from, to] {
            let phone = world.phone(number);
            assert_eq!(phone.state, State::Up, "{from} calls {to}");
            let own = if number.starts_with('6') {
                "c=IN IP6 2001:db8::9"
            } else {
                "c=IN IP4 10.9.9.9"
            };
            assert_eq!(phone.connections, [own], "{from} calls {to}");
        }
        let now = world.now;
        world.phone(from).hangs_up(now);
        assert_eq!(world.is_silent(), EMPTY);
    }
}

#[test]
fn the_callee_hangs_up() {
    let mut world = World::new(&["101", "102"], 2);
    world.dials("101", "102");
    world.passes(5_000);
    let now = world.now;
    world.phone("102").hangs_up(now);
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Over(200));
    assert_eq!(world.records.len(), 1);
    assert_eq!(world.records[0].reason, "hung up by the called party");
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn a_port_that_cannot_be_opened_is_told_as_our_failure() {
    let mut world = World::new(&["101", "102"], 8);
    world.dials("101", "102");
    world.passes(5_000);
    let stream = *world.streams.keys().next().expect("a stream");
    world.give(Event::Media(media::Event::BindFailed { stream }));
    world.passes(2_000);
    assert!(matches!(world.phone("101").state, State::Over(_)));
    assert!(matches!(world.phone("102").state, State::Over(_)));
    let record = world.records.first().expect("a record");
    assert_eq!(record.cause, Ending::Failed);
    assert_eq!(record.reason, "its RTP port could not be opened");
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn both_hang_up_at_once() {
    let mut world = World::new(&["101", "102"], 3);
    world.dials("101", "102");
    world.passes(5_000);
    let now = world.now;
    world.phone("101").hangs_up(now);
    world.phone("102").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 1);
}

#[test]
fn the_caller_cancels_and_the_phone_stops_ringing() {
    let mut world = World::new(&["101", "102"], 4);
    world.phone("102").manner = Manner::RingsOnly;
    world.dials("101", "102");
    world.passes(3_000);
    assert_eq!(world.phone("102").state, State::Ringing);
    let now = world.now;
    world.phone("101").cancels(now);
    world.passes(200);
    assert_eq!(world.phone("102").state, State::Over(487));
    world.passes(3_000);
    assert_eq!(world.phone("101").state, State::Over(487));
    assert_eq!(
        world.records.first().map(|r| (r.cause, r.sip_code)),
        Some((Ending::Cancelled, 487))
    );
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn busy_unknown_and_unregistered_each_say_so() {
    for (number, code, cause, why) in [
        ("102", 486, Ending::Busy, "486 Busy Here"),
        ("999999", 404, Ending::Unavailable, "404 Not Found"),
        ("103", 480, Ending::Unavailable, "103 is not registered"),
    ] {
        let mut world = World::new(&["101", "102"], 5);
        world.phone("102").manner = Manner::Refuses(486);
        if number == "103" {
            world = World::new(&["101", "102", "103"], 5);
            world.phone("103").vanished = true;
            world.passes(3_700_000);
            let now = world.now;
            world.phone("101").registers(now);
            world.passes(2_000);
        }
        world.dials("101", number);
        world.passes(2_000);
        assert_eq!(world.phone("101").state, State::Over(code), "{number}");
        assert_eq!(
            world
                .records
                .first()
                .map(|r| (r.cause, r.sip_code, r.reason.as_str())),
            Some((cause, code, why)),
            "{number}"
        );
        let record = &world.records[0];
        let journey = &record.segments;
        assert_eq!((journey.len(), journey[0].answered_at_ms), (1, None));
        assert_eq!(journey[0].parties, ["101", record.to.as_str()]);
        assert_eq!(world.is_silent(), EMPTY);
    }
}

#[test]
fn the_record_of_what_the_script_rejects_by_itself_says_so() {
    let mut world = World::new(&["101"], 9);
    world.first = Some(Verb::Reject { code: 503 });
    world.dials("101", "102");
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Over(503));
    let why = "rejected by the dialplan with 503 Service Unavailable";
    assert_eq!(world.records[0].reason, why);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn nobody_answers() {
    let mut world = World::new(&["101", "102"], 6);
    world.phone("102").manner = Manner::RingsOnly;
    world.dials("101", "102");
    world.passes(25_000);
    assert_eq!(world.phone("101").state, State::Over(408));
    assert_eq!(world.phone("102").state, State::Over(487));
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 1);
}

#[test]
fn a_stop_tells_everybody() {
    let mut world = World::new(&["101", "102"], 7);
    world.dials("101", "102");
    world.passes(2_000);
    world.give(Event::Stop);
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Over(200));
    assert_eq!(world.phone("102").state, State::Over(200));
    assert!(world.log.iter().any(|n| n == "Stopped"), "{:?}", world.log);
    assert_eq!(world.records.len(), 1);
}
