//! Whether a call lives: answers that never come, phones that are silent, ports that are not ours.

use crate::world::phone::State;
use crate::world::{EMPTY, World};
use directory::Ending;

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
