//! Stories of `reliable_provisionals`: what a trunk is asked to acknowledge.

use crate::world::phone::State;
use crate::world::{World, extension, trunk};
use directory::{Directory, Reliability};
use std::sync::Arc;
use switch::Event;

#[test]
fn a_trunk_is_asked_for_reliable_ringing_as_it_is_configured() {
    for (how, required, supported) in [
        (Reliability::Off, false, false),
        (Reliability::Supported, false, true),
        (Reliability::Required, true, true),
    ] {
        let mut world = World::with_trunks(&["101"], &["itsp"], 95);
        let mut itsp = trunk("itsp", 0);
        itsp.reliable_provisionals = how;
        let directory = Directory::new(vec![extension("101")], vec![(itsp, None)]);
        world.give(Event::Directory(Arc::new(directory)));
        world.dials("101", "90301");
        world.passes(3_000);
        let provider = world.phone("itsp");
        assert_eq!(provider.state, State::Up);
        let require = provider.read("INVITE", "Require").contains("100rel");
        let offers = provider.read("INVITE", "Supported").contains("100rel");
        assert_eq!(
            (require, offers || require),
            (required, supported),
            "{how:?}"
        );
    }
}
