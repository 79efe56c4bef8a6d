//! Stories of calls in virtual time: what a user would see.

use crate::world::World;
use crate::world::phone::{Manner, State};
use directory::Ending;
use switch::{Event, Sizes};

const EMPTY: Sizes = Sizes {
    calls: 0,
    dialogs: 0,
    transactions: 0,
    ports: 0,
};

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
    for (number, code, cause) in [
        ("102", 486, Ending::Busy),
        ("999999", 404, Ending::Unavailable),
        ("103", 480, Ending::NoAnswer),
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
            world.records.first().map(|r| (r.cause, r.sip_code)),
            Some((cause, code)),
            "{number}"
        );
        assert_eq!(world.is_silent(), EMPTY);
    }
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

/// A thousand calls over a network that loses, doubles and reorders; returns how they ended.
fn storm(seed: u64) -> Vec<(String, String, u16)> {
    let numbers: Vec<String> = (100..140).map(|n| n.to_string()).collect();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    let mut world = World::new(&numbers, seed);
    world.trouble = 10;
    let mut started = 0;
    for _ in 0..50 {
        for pair in numbers.chunks(2) {
            let (a, b) = (pair[0], pair[1]);
            let busy = |s: &State| matches!(s, State::Calling | State::Ringing | State::Up);
            if busy(&world.phone(a).state) || busy(&world.phone(b).state) {
                continue;
            }
            let manner = match world.chance(50) {
                true => Manner::Answers,
                false if world.chance(50) => Manner::RingsOnly,
                false => Manner::Refuses(486),
            };
            world.phone(b).manner = manner;
            world.dials(a, b);
            started += 1;
        }
        world.passes(4_000);
        for number in &numbers {
            if world.chance(60) {
                let now = world.now;
                match world.phone(number).state {
                    State::Up => world.phone(number).hangs_up(now),
                    State::Calling => world.phone(number).cancels(now),
                    _ => {}
                }
            }
        }
        world.passes(30_000);
    }
    assert!(started >= 600, "{started} calls");
    world.passes(60_000);
    for number in &numbers {
        let now = world.now;
        world.phone(number).hangs_up(now);
    }
    assert_eq!(world.is_silent(), EMPTY, "after {:?}", world.elapsed());
    let panics: Vec<_> = world
        .log
        .iter()
        .filter(|n| n.contains("Panicked"))
        .collect();
    assert!(panics.is_empty(), "{panics:?}");
    let mut ids: Vec<_> = world.records.iter().map(|r| r.id.clone()).collect();
    ids.dedup();
    assert_eq!(ids.len(), world.records.len(), "one record a call");
    world
        .records
        .iter()
        .map(|r| (r.from.clone(), r.to.clone(), r.sip_code))
        .collect()
}

#[test]
fn a_storm_of_calls_leaves_nothing_behind_and_is_the_same_again() {
    assert_eq!(storm(11), storm(11));
}
