//! Whether a call lives: answers that never come, phones that are silent, ports that are not ours.

use crate::world::phone::State;
use crate::world::{EMPTY, World};
use directory::Ending;
use media::Event::BindFailed;
use switch::Event;

/// 101 talks with 102 since a second or less.
fn talking(seed: u64) -> World {
    let mut world = World::new(&["101", "102"], seed);
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Up);
    world
}

#[test]
fn a_caller_that_owes_its_answer_in_the_ack_is_hung_up() {
    let mut world = World::new(&["101", "102"], 41);
    world.phone("101").offerless = true;
    world.dials("101", "102");
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Over(200), "by our BYE");
    assert_eq!(world.phone("102").state, State::Over(200));
    let record = world.records.first().expect("a record");
    let why = "the ACK brought no answer to our offer";
    assert_eq!(
        (record.cause, record.reason.as_str()),
        (Ending::Completed, why)
    );
    assert_eq!(record.legs[0].diagnosis.as_deref(), Some(why));
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 1);
}

#[test]
fn a_port_that_could_not_be_opened_is_not_given_to_the_next_calls() {
    let mut world = talking(42);
    let (stream, bad) = world.streams.pop_first().expect("a stream");
    world.give(Event::Media(BindFailed { stream }));
    world.passes(2_000);
    assert!(matches!(world.phone("101").state, State::Over(_)));
    // As many calls as bring every other of the 2,000 ports round.
    for _ in 0..1_001 {
        world.dials("101", "102");
        world.passes(100);
        assert_eq!(world.phone("101").state, State::Up);
        assert!(world.streams.values().all(|at| *at != bad));
        let now = world.now;
        world.phone("101").hangs_up(now);
        world.passes(100);
    }
    assert_eq!(world.is_silent(), EMPTY);
}
