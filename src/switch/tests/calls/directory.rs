//! The configuration changes while phones are registered and calls live.

use crate::world::World;
use crate::world::phone::State;
use directory::{Directory, Ending, Registration};
use std::sync::Arc;
use switch::Event;

#[test]
fn a_deleted_extension_loses_its_phones_and_ends_its_call_in_peace() {
    let mut world = World::new(&["101", "102"], 1);
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(world.phone("102").state, State::Up);
    world.log.clear();
    let nobody = Directory::new(Vec::new(), Vec::new());
    world.give(Event::Directory(Arc::new(nobody)));
    let lost = |world: &World, number: &str| {
        let told = format!("Unregistered {{ extension: {number:?}");
        world.log.iter().any(|line| line.starts_with(&told))
    };
    assert!(
        lost(&world, "101") && lost(&world, "102"),
        "{:?}",
        world.log
    );

    world.passes(60_000);
    assert_eq!(world.phone("101").state, State::Up, "the call goes on");
    let now = world.now;
    world.phone("102").hangs_up(now);
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Over(200));
    assert_eq!(world.records.len(), 1);
    assert_eq!(world.records[0].cause, Ending::Completed);

    world.dials("101", "102");
    world.passes(2_000);
    let state = &world.phone("101").state;
    assert!(matches!(state, State::Over(401 | 403)), "{state:?}");
    assert_eq!(world.is_silent().calls, 0);
}

#[test]
fn registrations_of_a_deleted_extension_do_not_come_back() {
    let mut world = World::new(&["101"], 2);
    world.log.clear();
    let of = |extension: &str| Registration {
        extension: extension.into(),
        binding: "b".into(),
        contact: format!("sip:{extension}@10.0.0.9"),
        source: "10.0.0.9:5060".into(),
        local: "10.9.9.9:5060".into(),
        transport: "udp".into(),
        user_agent: String::new(),
        call_id: "x".into(),
        cseq: 1,
        expires_at_ms: i64::MAX,
        ..Registration::default()
    };
    world.give(Event::Restored(vec![of("101"), of("102")]));
    let told = world.log.join("\n");
    assert!(
        told.contains("Registered(Registration { extension: \"101\""),
        "{told}"
    );
    assert!(told.contains("Unregistered { extension: \"102\""), "{told}");
    assert!(
        !told.contains("Registered(Registration { extension: \"102\""),
        "{told}"
    );
}
