//! The router before a phone forgets a way on which nothing passes.

use crate::world::{EMPTY, World};

/// 101 behind a router, 102 not.
fn world(seed: u64) -> World {
    let mut world = World::new(&["101", "102"], seed);
    let now = world.now;
    let phone = world.phone("101");
    phone.contact = "192.168.1.7:5060".into();
    phone.registers(now);
    world.passes(2_000);
    world
}

fn questions(world: &mut World, number: &str) -> Vec<String> {
    let heard = &world.phone(number).heard;
    let questions = heard.iter().filter(|line| line.starts_with("OPTIONS "));
    questions.cloned().collect()
}

#[test]
fn a_phone_behind_nat_is_asked_often_enough_and_others_never() {
    let mut world = world(61);
    let mut last = 0;
    let mut at = Vec::new();
    for second in 0..600 {
        world.passes(1_000);
        let count = questions(&mut world, "101").len();
        at.extend((count > last).then_some(second));
        last = count;
    }
    let gaps: Vec<i32> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(at[0] <= 30 && (20..=25).contains(&gaps.len()), "{at:?}");
    assert!(gaps.iter().all(|gap| (24..=31).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap != gaps[0]), "{gaps:?}");
    let asked = "OPTIONS sip:101@192.168.1.7:5060 SIP/2.0";
    assert!(questions(&mut world, "101").iter().all(|q| q == asked));
    assert_eq!(questions(&mut world, "102"), [""; 0]);
}

#[test]
fn a_silent_phone_gathers_no_questions_and_keeps_its_registration() {
    let mut world = world(62);
    world.passes(60_000);
    world.phone("101").vanished = true;
    world.log.clear();
    for _ in 0..300 {
        world.passes(1_000);
        assert!(world.switch.sizes().transactions <= 1);
    }
    world.log.retain(|line| !line.starts_with("Reach "));
    assert!(world.log.is_empty(), "{:?}", world.log);
    world.phone("101").vanished = false;
    world.phone("101").heard.clear();
    world.passes(61_000);
    assert!(!questions(&mut world, "101").is_empty());

    world.passes(3_600_000);
    assert_eq!(world.switch.sizes(), EMPTY, "the registration is over");
    world.phone("101").heard.clear();
    world.passes(60_000);
    assert_eq!(questions(&mut world, "101"), [""; 0]);
}
