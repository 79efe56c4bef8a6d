//! Message waiting: phones that subscribe, and phones that are told without.

use crate::world::phone::header;
use crate::world::{World, extension};
use directory::{Directory, MessageSummary};
use std::sync::Arc;
use switch::Event;

fn counts(world: &mut World, new: u32, old: u32) {
    let counts = MessageSummary {
        new,
        old,
        urgent_new: 1,
        urgent_old: 0,
    };
    world.give(Event::MessageSummaries(vec![("101".into(), counts)]));
    world.passes(100);
}

/// 101 is told without asking, 102 is not.
fn pushes(world: &mut World) {
    let mut told = extension("101");
    told.push_message_summary = true;
    let all = vec![told, extension("102")];
    world.give(Event::Directory(Arc::new(Directory::new(all, Vec::new()))));
    world.passes(100);
}

/// The unsolicited NOTIFYs a phone heard.
fn pushed(world: &mut World, number: &str) -> Vec<String> {
    let heard = world.phone(number).letters.iter();
    heard
        .filter(|text| text.starts_with("NOTIFY "))
        .cloned()
        .collect()
}

#[test]
fn a_phone_that_subscribed_sees_the_counts_and_every_change() {
    let mut world = World::new(&["101", "102"], 301);
    let light = world.watches("101", "message-summary", "101", 600);
    let text = world.watching("101", light).document();
    assert_eq!(
        text,
        "Messages-Waiting: no\r\nMessage-Account: sip:101@pbx\r\nVoice-Message: 0/0 (0/0)\r\n"
    );
    counts(&mut world, 2, 8);
    let text = world.watching("101", light).document();
    assert!(text.starts_with("Messages-Waiting: yes\r\n"), "{text}");
    assert!(text.ends_with("Voice-Message: 2/8 (1/0)\r\n"), "{text}");
    let heard = world.watching("101", light).notified.len();
    counts(&mut world, 2, 8);
    assert_eq!(
        world.watching("101", light).notified.len(),
        heard,
        "nothing changed"
    );
}

#[test]
fn a_phone_that_did_not_subscribe_is_told_when_its_extension_wants_it() {
    let mut world = World::new(&["101", "102"], 302);
    counts(&mut world, 1, 0);
    world.phone("101").letters.clear();
    pushes(&mut world);
    let told = pushed(&mut world, "101");
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("NOTIFY sip:101@10.0.0.1:5060 SIP/2.0"),
        "{}",
        told[0]
    );
    assert_eq!(header(&told[0], "Event"), "message-summary");
    assert!(told[0].contains("Messages-Waiting: yes\r\n"));
    assert_eq!(pushed(&mut world, "102").len(), 0);

    // Again when it registers anew, not at every refresh, and at every change.
    let now = world.now;
    world.phone("101").registers(now);
    world.passes(500);
    assert_eq!(pushed(&mut world, "101").len(), 1);
    counts(&mut world, 0, 1);
    assert!(pushed(&mut world, "101")[1].contains("Messages-Waiting: no\r\n"));
    world.passes(3_700_000);
    let now = world.now;
    world.phone("101").registers(now);
    world.passes(500);
    assert_eq!(pushed(&mut world, "101").len(), 3);
}

#[test]
fn a_phone_that_subscribed_is_not_told_twice() {
    let mut world = World::new(&["101", "102"], 303);
    pushes(&mut world);
    let light = world.watches("101", "message-summary", "101", 600);
    world.phone("101").letters.clear();
    counts(&mut world, 1, 0);
    assert_eq!(pushed(&mut world, "101").len(), 1);
    assert!(
        world
            .watching("101", light)
            .document()
            .contains("waiting: yes")
            || world
                .watching("101", light)
                .document()
                .contains("Waiting: yes")
    );
}

#[test]
fn a_phone_that_was_not_reached_is_told_when_it_is_heard_of() {
    let mut world = World::new(&["101", "102"], 304);
    pushes(&mut world);
    world.phone("101").vanished = true;
    counts(&mut world, 5, 0);
    world.passes(40_000);
    world.phone("101").vanished = false;
    world.phone("101").letters.clear();
    let now = world.now;
    world.phone("101").registers(now);
    world.passes(500);
    let told = pushed(&mut world, "101");
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("Voice-Message: 5/0"));
}
