//! Before the answer and long after it: ringing that is acknowledged, offers that come late, sessions that expire.

use crate::world::phone::{Manner, State};
use crate::world::phone_prack::Pracks;
use crate::world::{EMPTY, World};
use directory::Ending;
use switch::{TargetSpec, Verb};

/// 101 takes reliable responses and has no offer; the script lets it hear ringback before it dials.
fn late_offer(seed: u64, pracks: Pracks) -> World {
    let mut world = World::new(&["101", "102"], seed);
    world.first = Some(Verb::Progress);
    world.then = vec![TargetSpec::Extension("102".to_owned())];
    let caller = world.phone("101");
    caller.offerless = true;
    caller.pracks = pracks;
    caller.adds("INVITE", "Supported: 100rel");
    world.dials("101", "102");
    world
}

#[test]
fn a_late_offer_is_answered_before_the_call_is() {
    let mut world = late_offer(51, Pracks::Rightly);
    world.passes(2_000);
    let caller = world.phone("101");
    assert_eq!(caller.state, State::Up);
    assert_eq!(caller.racked.len(), 1, "the 183");
    let early = caller.letters("SIP/2.0 183").pop().expect("early media");
    assert!(early.contains("m=audio"));
    let answer = caller.letters("SIP/2.0 200").pop().expect("the answer");
    assert!(!answer.contains("m=audio"), "offer and answer are through");
    world.passes(60_000);
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 1);
    assert_eq!(world.records[0].cause, Ending::Completed);
}

#[test]
fn a_caller_that_owes_its_answer_in_prack_is_refused() {
    let mut world = late_offer(52, Pracks::Barely);
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Over(488));
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 1);
}

#[test]
fn a_caller_that_acknowledges_nothing_is_refused_after_all() {
    let mut world = late_offer(53, Pracks::Never);
    world.passes(31_000);
    assert_eq!(
        world.phone("101").state,
        State::Calling,
        "102 answered long ago"
    );
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Over(504));
    assert_eq!(world.phone("102").state, State::Over(200));
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 1);
}

#[test]
fn ringing_of_either_side_may_be_reliable() {
    let mut world = World::new(&["101", "102"], 54);
    world.phone("101").adds("INVITE", "Require: 100rel");
    world
        .phone("102")
        .adds("180", "Require: 100rel\nRSeq: 988789");
    world.dials("101", "102");
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Up);
    assert_eq!(world.phone("101").racked.len(), 1);
    let rack = world.phone("102").read("PRACK", "RAck");
    assert!(rack.starts_with("988789 "), "{rack}");
    let now = world.now;
    world.phone("102").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 1);
}

#[test]
fn a_call_that_nobody_refreshes_ends_for_both() {
    let mut world = World::new(&["101", "102"], 55);
    world
        .phone("102")
        .adds("200", "Supported: timer\nSession-Expires: 90;refresher=uas");
    world.dials("101", "102");
    world.passes(59_000);
    assert_eq!(world.phone("101").state, State::Up);
    world.passes(3_000);
    assert_eq!(world.phone("101").state, State::Over(200));
    assert_eq!(world.phone("102").state, State::Over(200));
    assert_eq!(world.is_silent(), EMPTY);
    let record = world.records.first().expect("a record");
    let why = "let its session timer run out";
    assert_eq!(record.legs[1].diagnosis.as_deref(), Some(why));
    assert_eq!(record.reason, format!("the called party {why}"));
    assert_eq!(world.records.len(), 1);
}

#[test]
fn a_call_that_is_refreshed_goes_on() {
    let mut world = World::new(&["101", "102"], 56);
    let timer = "Supported: timer\nSession-Expires: 90;refresher=uac\nAllow: UPDATE";
    world.phone("102").adds("200", timer);
    world.dials("101", "102");
    world.passes(600_000);
    assert_eq!(world.phone("101").state, State::Up);
    let refreshes = world.phone("102").letters("UPDATE").len();
    assert!((12..=14).contains(&refreshes), "{refreshes}");
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn a_caller_with_early_media_may_change_it_before_the_answer() {
    let mut world = World::new(&["101", "102"], 57);
    world.first = Some(Verb::Progress);
    world.then = vec![TargetSpec::Extension("102".to_owned())];
    world.phone("102").manner = Manner::RingsOnly;
    let caller = world.phone("101");
    caller.adds("INVITE", "Supported: 100rel\nAllow: PRACK, UPDATE");
    world.dials("101", "102");
    world.passes(1_000);
    let now = world.now;
    let caller = world.phone("101");
    let early = caller.letters("SIP/2.0 183").pop().expect("early media");
    let (early, sdp) = (early.to_owned(), caller.sdp().replace(" 0 8", " 8"));
    caller.asks_early(now, &early, ("UPDATE", "", &sdp));
    world.passes(200);
    let letter = world
        .phone("101")
        .letters("SIP/2.0 200")
        .pop()
        .map(str::to_owned);
    let answer = letter.expect("the answer to UPDATE");
    assert!(
        answer.contains(" UPDATE") && answer.contains("RTP/AVP 8"),
        "{answer}"
    );
    let now = world.now;
    world.phone("102").answers_call(now);
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Up);
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
    assert_eq!(world.records.len(), 1);
}
