//! Emergency calls reach a trunk whatever the dialplan and the first trunk do.

use crate::world::World;
use crate::world::phone::State;

#[test]
fn it_goes_out_bare_and_behind_the_prefix() {
    for dialled in ["112", "9112"] {
        let mut world = World::with_trunks(&["101"], &["one", "two"], 21);
        world.dials("101", dialled);
        world.passes(2_000);
        assert_eq!(world.phone("one").state, State::Up, "{dialled}");
        assert_eq!(world.phone("101").state, State::Up);
        assert!(
            world
                .phone("one")
                .heard
                .iter()
                .any(|line| line.starts_with("INVITE sip:112@"))
        );
        let now = world.now;
        world.phone("101").hangs_up(now);
        world.passes(2_000);
        assert_eq!(
            world
                .records
                .first()
                .map(|r| (r.to.as_str(), r.dialed.as_str())),
            Some(("112", dialled))
        );
    }
}

#[test]
fn a_dead_first_trunk_is_passed_over() {
    let mut world = World::with_trunks(&["101"], &["one", "two"], 22);
    world.phone("one").vanished = true;
    world.dials("101", "112");
    world.passes(10_000);
    assert_eq!(world.phone("two").state, State::Up);
    assert_eq!(world.phone("101").state, State::Up);
}

#[test]
fn a_number_that_only_looks_like_one_is_none() {
    for dialled in ["+14151120000", "1120", "0112"] {
        let mut world = World::with_trunks(&["101"], &["one"], 23);
        world.dials("101", dialled);
        world.passes(2_000);
        assert_eq!(world.phone("one").state, State::Idle, "{dialled}");
        assert_eq!(world.phone("101").state, State::Over(404));
    }
}
