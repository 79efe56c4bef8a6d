//! A panic in the handling of one call ends that call and no other. Debug builds only: see `Switch::panic_on`.

use crate::world::phone::State;
use crate::world::{EMPTY, World};
use switch::{CallId, Event};

fn panics(world: &World) -> usize {
    let panics = world.log.iter().filter(|n| n.contains("Panicked"));
    panics.count()
}

/// The live call to `number`, as announced.
fn call_to(world: &World, number: &str) -> CallId {
    let told = world
        .log
        .iter()
        .find(|n| n.starts_with("Call(") && n.contains(&format!("dialed: \"{number}\"")));
    let digits = told.and_then(|n| n.split("call: CallId(").nth(1));
    let digits = digits
        .and_then(|n| n.split(')').next())
        .expect("a live call");
    CallId(digits.parse().expect("a number"))
}

#[test]
fn on_arrival_the_caller_gets_500_and_the_others_talk_on() {
    let mut world = World::new(&["101", "102", "103", "666"], 31);
    world.switch.panic_on("666".into());
    world.dials("101", "102");
    world.passes(2_000);
    world.dials("103", "666");
    world.passes(2_000);
    assert_eq!(world.phone("103").state, State::Over(500));
    assert_eq!(world.phone("666").state, State::Idle);
    assert_eq!(world.phone("101").state, State::Up);
    assert_eq!(world.phone("102").state, State::Up);
    assert_eq!(panics(&world), 1);
    let record = world.records.first().expect("the record");
    assert_eq!((record.dialed.as_str(), record.sip_code), ("666", 500));
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 2);
}

#[test]
fn in_a_conversation_both_parties_are_hung_up() {
    let mut world = World::new(&["101", "102", "103", "6661"], 32);
    world.switch.panic_on("666".into());
    world.dials("101", "102");
    world.dials("103", "6661");
    world.passes(2_000);
    assert_eq!(world.phone("6661").state, State::Up);
    let call = call_to(&world, "6661");
    world.give(Event::HangUp { call });
    world.passes(2_000);
    assert!(matches!(world.phone("103").state, State::Over(_)));
    assert!(matches!(world.phone("6661").state, State::Over(_)));
    assert_eq!(world.phone("101").state, State::Up);
    assert_eq!(panics(&world), 1);
    let record = world.records.first().expect("the record");
    assert_eq!(record.reason, "an internal error ended the call");
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 2);
}

#[test]
fn while_stopping_the_other_calls_are_hung_up_and_recorded() {
    let mut world = World::new(&["101", "102", "103", "104", "105", "6661"], 33);
    world.switch.panic_on("666".into());
    world.dials("101", "102");
    world.passes(1_000);
    world.dials("103", "6661");
    world.passes(1_000);
    world.dials("104", "105");
    world.passes(2_000);
    assert_eq!(world.phone("105").state, State::Up);
    world.give(Event::Stop);
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(panics(&world), 1);
    for phone in ["101", "102", "103", "104", "105", "6661"] {
        let state = world.phone(phone).state.clone();
        assert!(matches!(state, State::Over(_)), "{phone}: {state:?}");
    }
    let mut dialed: Vec<&str> = world.records.iter().map(|r| r.dialed.as_str()).collect();
    dialed.sort_unstable();
    assert_eq!(dialed, ["102", "105", "6661"]);
    let stopped = world.log.iter().filter(|n| n.as_str() == "Stopped");
    assert_eq!(stopped.count(), 1);
}
