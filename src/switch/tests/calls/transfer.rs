//! Blind and attended transfers, and what can come between.

use crate::world::phone::{Manner, State, header};
use crate::world::{EMPTY, World};
use directory::{CallRecord, Ending, How};
use media::Tone;
use switch::{Event, Verb};

/// 101 talks with 102, who called it when `back`.
fn talking(numbers: &[&str], seed: u64, back: bool) -> World {
    let mut world = World::new(numbers, seed);
    let (from, to) = if back { ("102", "101") } else { ("101", "102") };
    world.dials(from, to);
    world.passes(2_000);
    assert!(world.talks("101", "102"));
    world
}

fn refers(world: &mut World, who: &str, number: &str) {
    let now = world.now;
    world.phone(who).refers(now, number);
    world.passes(500);
}

fn hangs_up(world: &mut World, who: &str) {
    let now = world.now;
    world.phone(who).hangs_up(now);
    world.passes(500);
}

/// The one record, when everything is over.
fn record(world: &mut World) -> CallRecord {
    assert_eq!(world.is_silent(), EMPTY);
    assert!(world.streams.is_empty());
    let panicked = world.log.iter().find(|notice| notice.contains("Panicked"));
    assert_eq!(panicked, None);
    assert_eq!(world.records.len(), 1, "{:?}", world.records);
    world.records.remove(0)
}

/// `parties how by`, with a ! when they never talked.
pub(crate) fn journey(record: &CallRecord) -> Vec<String> {
    let mut last = record.started_at_ms;
    let mut told = Vec::new();
    for segment in &record.segments {
        assert!(segment.started_at_ms >= last, "{record:?}");
        assert!(segment.ended_at_ms >= segment.started_at_ms, "{record:?}");
        last = segment.ended_at_ms;
        let by = segment.by.as_deref().unwrap_or("-");
        let how = match segment.how {
            How::Dialled => "dialled",
            How::Transferred => "transferred",
            How::Attended => "attended",
            How::PickedUp => "picked up",
            How::Returned => "returned",
            How::Conference => "conferred",
        };
        let never = segment.answered_at_ms.map_or("!", |_| "");
        told.push(format!("{} {how} {by}{never}", segment.parties.join(" ")));
    }
    assert!(last <= record.ended_at_ms, "{record:?}");
    told
}

#[test]
fn a_blind_transfer_connects_the_other_party_with_the_target() {
    for back in [false, true] {
        let mut world = talking(&["101", "102", "103"], 1, back);
        world.passes(10_000);
        refers(&mut world, "101", "103");
        assert_eq!(world.phone("101").answers_to_refer(), [202]);
        let told = world.phone("101").told();
        assert_eq!(told[0], "refer: SIP/2.0 100 Trying, active");
        assert_eq!(told.last().unwrap(), "refer: SIP/2.0 200 OK, terminated");
        assert!(world.talks("102", "103"));
        assert_eq!(world.phone("101").state, State::Over(200), "it is hung up");
        let invite = world.phone("103").invite.clone();
        assert!(header(&invite, "From").starts_with("<sip:102@"), "{invite}");
        assert!(header(&invite, "Referred-By").starts_with("<sip:101@"));
        let shown = world.phone("102").display();
        assert!(shown.starts_with("<sip:103@"), "{shown}");
        world.passes(20_000);
        hangs_up(&mut world, "103");
        assert_eq!(world.phone("102").state, State::Over(200));
        let record = record(&mut world);
        let (from, to) = if back { ("102", "101") } else { ("101", "102") };
        assert_eq!((record.from.as_str(), record.to.as_str()), (from, to));
        let first = format!("{from} {to} dialled -");
        assert_eq!(
            journey(&record),
            [first.as_str(), "102 103 transferred 101"]
        );
        assert_eq!(record.cause, Ending::Completed);
        assert!((30_000..34_000).contains(&record.talk_ms), "{record:?}");
        let talk = |n: usize| {
            let part = &record.segments[n];
            part.ended_at_ms - part.answered_at_ms.unwrap()
        };
        assert!((11_000..12_500).contains(&talk(0)), "{record:?}");
        assert!((20_000..21_000).contains(&talk(1)), "{record:?}");
        assert_eq!(
            record.ring_ms + record.talk_ms,
            record.ended_at_ms - record.started_at_ms
        );
    }
}

#[test]
fn while_the_target_rings_the_party_hears_it() {
    let mut world = talking(&["101", "102", "103"], 2, false);
    world.phone("103").manner = Manner::RingsOnly;
    world.tones.clear();
    refers(&mut world, "101", "103");
    assert_eq!(world.phone("101").progress(), [100, 180]);
    assert_eq!(world.tones, [Tone::Ringback]);
    assert!(!world.talks("101", "102"));
    // The transferrer need not wait.
    hangs_up(&mut world, "101");
    assert_eq!(world.phone("102").state, State::Up);
    let now = world.now;
    world.phone("103").answers_call(now);
    world.passes(500);
    assert!(world.talks("102", "103"));
    hangs_up(&mut world, "102");
    let record = record(&mut world);
    let parts = ["101 102 dialled -", "102 103 transferred 101"];
    assert_eq!(journey(&record), parts);
}

#[test]
fn one_that_hangs_up_with_its_refer_has_transferred_none_the_less() {
    let mut world = talking(&["101", "102", "103"], 3, false);
    let now = world.now;
    world.phone("101").refers(now, "103");
    world.phone("101").hangs_up(now);
    world.passes(1_000);
    assert!(world.talks("102", "103"));
    hangs_up(&mut world, "102");
    assert_eq!(journey(&record(&mut world)).len(), 2);
}

#[test]
fn a_refer_after_the_goodbye_finds_nobody() {
    let mut world = talking(&["101", "102", "103"], 4, false);
    let now = world.now;
    world.phone("101").hangs_up(now);
    world.phone("101").refers(now, "103");
    world.passes(1_000);
    assert_eq!(world.phone("101").answers_to_refer(), [481]);
    assert_eq!(world.phone("103").state, State::Idle);
    assert_eq!(journey(&record(&mut world)), ["101 102 dialled -"]);
}

#[test]
fn a_refer_that_meets_the_others_goodbye_ends_nothing_twice() {
    let mut world = talking(&["101", "102", "103"], 5, false);
    let now = world.now;
    world.phone("102").hangs_up(now);
    world.passes(6);
    let now = world.now;
    world.phone("101").refers(now, "103");
    world.passes(2_000);
    assert_eq!(world.phone("101").answers_to_refer(), [481]);
    assert!(matches!(world.phone("101").state, State::Over(_)));
    assert_eq!(journey(&record(&mut world)), ["101 102 dialled -"]);
}

#[test]
fn a_party_that_leaves_while_the_target_rings_ends_it_all() {
    let mut world = talking(&["101", "102", "103"], 6, false);
    world.phone("103").manner = Manner::RingsOnly;
    refers(&mut world, "101", "103");
    hangs_up(&mut world, "102");
    assert_eq!(world.phone("101").progress(), [100, 180, 487]);
    assert_eq!(world.phone("101").state, State::Over(200));
    assert_eq!(world.phone("103").state, State::Over(487));
    let record = record(&mut world);
    let parts = ["101 102 dialled -", "102 103 transferred 101!"];
    assert_eq!(journey(&record), parts);
}

#[test]
fn who_waits_talks_again_when_the_target_is_busy() {
    let mut world = talking(&["101", "102", "103"], 7, true);
    world.phone("103").manner = Manner::Refuses(486);
    refers(&mut world, "101", "103");
    assert_eq!(*world.phone("101").progress().last().unwrap(), 486);
    assert!(world.talks("101", "102"));
    // And may try somebody else: that REFER has a name of its own.
    world.phone("103").manner = Manner::Answers;
    refers(&mut world, "101", "103");
    let told = world.phone("101").told();
    assert!(told.last().unwrap().starts_with("refer;id="), "{told:?}");
    assert!(world.talks("102", "103"));
    hangs_up(&mut world, "103");
    let parts = [
        "102 101 dialled -",
        "102 103 transferred 101!",
        "102 101 returned 101",
        "102 103 transferred 101",
    ];
    assert_eq!(journey(&record(&mut world)), parts);
}

#[test]
fn who_hangs_up_as_its_party_comes_back_is_rung() {
    for (seed, holds) in [(31, false), (32, true)] {
        let mut world = talking(&["101", "102", "103"], seed, true);
        world.phone("103").manner = Manner::Refuses(486);
        let now = world.now;
        if holds {
            world.phone("101").holds(now);
            world.passes(500);
        }
        refers(&mut world, "101", "103");
        assert_eq!(*world.phone("101").progress().last().unwrap(), 486);
        hangs_up(&mut world, "101");
        world.passes(2_000);
        assert!(world.talks("101", "102"), "its phone answers by itself");
        // Later it is a hang-up like any other.
        hangs_up(&mut world, "101");
        assert_eq!(world.phone("102").state, State::Over(200));
        let record = record(&mut world);
        let parts = [
            "102 101 dialled -",
            "102 103 transferred 101!",
            "102 101 returned 101",
            "102 101 returned 101",
        ];
        assert_eq!(journey(&record), parts);
        assert_eq!(record.reason, "hung up by 101");
    }
}

#[test]
fn who_talked_on_after_a_transfer_in_vain_may_hang_up() {
    for patience in [5, 0] {
        let mut world = World::with_config(&["101", "102", "103"], &[], 33, |config| {
            config.calls.transfer_return = std::time::Duration::from_secs(patience);
        });
        world.dials("101", "102");
        world.passes(2_000);
        world.phone("103").manner = Manner::Refuses(486);
        refers(&mut world, "101", "103");
        // Nothing comes back to who does not want it, so there every hang-up counts.
        world.passes(patience * 300);
        hangs_up(&mut world, "101");
        assert_eq!(world.phone("102").state, State::Over(200));
        assert_eq!(record(&mut world).reason, "hung up by 101");
    }
}

#[test]
fn what_nobody_takes_rings_at_the_transferrer_again() {
    let mut world = talking(&["101", "102", "103"], 8, false);
    world.phone("103").manner = Manner::RingsOnly;
    refers(&mut world, "101", "103");
    hangs_up(&mut world, "101");
    world.passes(21_000);
    assert!(world.talks("101", "102"), "its phone answers by itself");
    assert_eq!(world.phone("103").state, State::Over(487));
    let invite = world.phone("101").invite.clone();
    assert!(header(&invite, "From").starts_with("<sip:102@"), "{invite}");
    hangs_up(&mut world, "101");
    assert_eq!(world.phone("102").state, State::Over(200));
    let record = record(&mut world);
    let parts = [
        "101 102 dialled -",
        "102 103 transferred 101!",
        "102 101 returned 101",
    ];
    assert_eq!(journey(&record), parts);
}

#[test]
fn one_that_comes_back_in_vain_has_a_record_that_tells_all() {
    let mut world = talking(&["101", "102", "103"], 9, false);
    world.phone("103").manner = Manner::Refuses(486);
    let now = world.now;
    world.phone("101").refers(now, "103");
    world.phone("101").hangs_up(now);
    world.phone("101").manner = Manner::RingsOnly;
    world.passes(40_000);
    assert_eq!(world.phone("102").state, State::Over(200));
    let record = record(&mut world);
    let parts = [
        "101 102 dialled -",
        "102 103 transferred 101!",
        "102 101 returned 101!",
    ];
    assert_eq!(journey(&record), parts);
    let why = "the transfer to 103 by 101 failed: 486 Busy Here; 101 did not take the call back: \
               408 Request Timeout";
    assert_eq!(record.reason, why);
}

#[test]
fn a_target_that_rings_too_long_is_given_up() {
    let mut world = World::with_config(&["101", "102", "103"], &[], 10, |config| {
        config.calls.transfer_return = std::time::Duration::from_secs(5);
    });
    world.dials("101", "102");
    world.passes(2_000);
    world.phone("103").manner = Manner::RingsOnly;
    refers(&mut world, "101", "103");
    world.passes(5_500);
    assert_eq!(*world.phone("101").progress().last().unwrap(), 408);
    assert!(world.talks("101", "102"));
    assert_eq!(world.phone("103").state, State::Over(487));
    world.passes(1_000);
    hangs_up(&mut world, "101");
    assert_eq!(journey(&record(&mut world)).len(), 3);
}

#[test]
fn without_a_way_back_the_party_hears_a_tone() {
    let mut world = World::with_config(&["101", "102", "103"], &[], 11, |config| {
        config.calls.transfer_return = std::time::Duration::ZERO;
    });
    world.dials("101", "102");
    world.passes(2_000);
    world.phone("103").manner = Manner::Refuses(486);
    world.tones.clear();
    let now = world.now;
    world.phone("101").refers(now, "103");
    world.phone("101").hangs_up(now);
    world.passes(4_000);
    assert_eq!(world.tones.last(), Some(&Tone::Busy));
    assert_eq!(world.phone("102").state, State::Over(200));
    let record = record(&mut world);
    assert_eq!(
        record.reason,
        "the transfer to 103 by 101 failed: 486 Busy Here"
    );
}

#[test]
fn of_two_refers_one_is_under_way() {
    for other in ["101", "102"] {
        let mut world = talking(&["101", "102", "103", "104"], 12, false);
        world.phone("103").manner = Manner::RingsOnly;
        let now = world.now;
        world.phone("101").refers(now, "103");
        world.phone(other).refers(now, "104");
        world.passes(500);
        let mut answers = world.phone("101").answers_to_refer();
        answers.extend(world.phone("102").answers_to_refer());
        assert_eq!(answers, [202, 491], "{other}");
        assert_eq!(world.phone("104").state, State::Idle);
        let now = world.now;
        world.phone("103").answers_call(now);
        world.passes(500);
        assert!(world.talks("102", "103"));
        // Whoever it was sent to may send it on.
        refers(&mut world, "103", "104");
        assert!(world.talks("102", "104"));
        hangs_up(&mut world, "102");
        assert_eq!(journey(&record(&mut world)).len(), 3);
    }
}

#[test]
fn refers_that_make_no_sense_are_refused_and_the_talk_goes_on() {
    let mut world = talking(&["101", "102", "103"], 13, false);
    let cases = [
        ("", 400),
        (
            "Refer-To: <sip:103@pbx>\r\nRefer-To: <sip:104@pbx>\r\n",
            400,
        ),
        ("Refer-To: <sip:103@pbx>, <sip:104@pbx>\r\n", 400),
        ("Refer-To: <sip:103@pbx;method=BYE>\r\n", 403),
        ("Refer-To: <http://pbx/103>\r\n", 416),
        ("Refer-To: <sip:103@elsewhere.example>\r\n", 403),
        ("Refer-To: <sip:pbx>\r\n", 404),
        ("Refer-To: <sip:112@pbx>\r\n", 403),
        ("Refer-To: <sip:9112@pbx>\r\n", 403),
        ("Refer-To: <sip:103@pbx?Replaces=x>\r\n", 400),
    ];
    for (headers, status) in cases {
        let now = world.now;
        world.phone("101").refers_by(now, headers);
        world.passes(500);
        let answers = world.phone("101").answers_to_refer();
        assert_eq!(answers.last(), Some(&status), "{headers}");
        assert!(world.talks("101", "102"), "{headers}");
    }
    assert!(world.phone("101").told().is_empty());
    hangs_up(&mut world, "101");
    assert_eq!(journey(&record(&mut world)), ["101 102 dialled -"]);
}

#[test]
fn who_wants_no_word_of_it_gets_none() {
    let mut world = talking(&["101", "102", "103"], 14, false);
    let now = world.now;
    let silent = "Refer-To: <sip:103@pbx>\r\nRefer-Sub: false\r\nSupported: norefersub\r\n";
    world.phone("101").refers_by(now, silent);
    world.passes(500);
    let phone = world.phone("101");
    assert_eq!(
        (phone.answers_to_refer(), phone.told().len()),
        (vec![202], 0)
    );
    assert_eq!(phone.state, State::Over(200));
    assert!(world.talks("102", "103"));
    hangs_up(&mut world, "102");
    assert_eq!(journey(&record(&mut world)).len(), 2);
}

#[test]
fn a_transferrer_that_vanishes_leaves_the_others_alone() {
    let mut world = talking(&["101", "102", "103"], 15, false);
    let now = world.now;
    world.phone("101").refers(now, "103");
    world.passes(12);
    world.phone("101").vanished = true;
    world.passes(40_000);
    assert!(world.talks("102", "103"));
    hangs_up(&mut world, "102");
    assert_eq!(journey(&record(&mut world)).len(), 2);
}

#[test]
fn lost_notifies_are_said_again() {
    for seed in 100..110 {
        let mut world = talking(&["101", "102", "103"], seed, false);
        world.trouble = 30;
        let now = world.now;
        world.phone("101").refers(now, "103");
        world.passes(40_000);
        world.trouble = 0;
        world.passes(5_000);
        let progress = world.phone("101").progress();
        assert_eq!(progress.last(), Some(&200), "{seed}: {progress:?}");
        assert!(world.talks("102", "103"), "{seed}");
        hangs_up(&mut world, "103");
        assert_eq!(journey(&record(&mut world)).len(), 2);
    }
}

#[test]
fn nobody_is_there_to_be_sent_on_from_an_echo() {
    let mut world = World::new(&["101", "102"], 16);
    world.first = Some(Verb::Echo);
    world.dials("101", "*43");
    world.passes(1_000);
    refers(&mut world, "101", "102");
    assert_eq!(world.phone("101").answers_to_refer(), [603]);
    hangs_up(&mut world, "101");
    assert_eq!(journey(&record(&mut world)), ["101 *43 dialled -"]);
}

#[test]
fn a_script_that_answers_itself_has_taken_the_party() {
    let mut world = talking(&["101", "102"], 17, false);
    world.first = Some(Verb::Echo);
    refers(&mut world, "101", "*43");
    assert_eq!(*world.phone("101").progress().last().unwrap(), 200);
    assert_eq!(world.phone("101").state, State::Over(200));
    assert_eq!(world.phone("102").state, State::Up);
    hangs_up(&mut world, "102");
    let record = record(&mut world);
    assert_eq!(
        journey(&record),
        ["101 102 dialled -", "102 *43 transferred 101"]
    );
}

#[test]
fn to_ones_own_number_rings_ones_own_phones() {
    let mut world = talking(&["101", "102"], 18, false);
    refers(&mut world, "101", "101");
    // Its phone has but one line.
    assert_eq!(*world.phone("101").progress().last().unwrap(), 486);
    assert!(world.talks("101", "102"));
    world.passes(1_000);
    hangs_up(&mut world, "101");
    assert_eq!(journey(&record(&mut world)).len(), 3);
}

#[test]
fn a_provider_sends_nobody_on_but_may_be_sent_anywhere_the_transferrer_may_call() {
    let mut world = World::with_trunks(&["101", "102"], &["one", "two"], 19);
    world.way_out = Some("two".into());
    world.dials("one", "101");
    world.passes(2_000);
    assert!(world.talks("one", "101"));
    refers(&mut world, "one", "102");
    assert_eq!(world.phone("one").answers_to_refer(), [403]);
    refers(&mut world, "101", "9030555");
    assert!(world.talks("one", "two"));
    let invite = world.phone("two").invite.clone();
    assert!(invite.starts_with("INVITE sip:030555@"), "{invite}");
    assert!(
        header(&invite, "From").contains("sip:101@"),
        "ours: {invite}"
    );
    assert_eq!(header(&invite, "Referred-By"), "");
    assert!(world.phone("one").display().is_empty());
    hangs_up(&mut world, "one");
    let record = record(&mut world);
    assert_eq!(record.direction, directory::Direction::Inbound);
    assert_eq!(
        journey(&record),
        ["one 101 dialled -", "one 030555 transferred 101"]
    );
}

#[test]
fn a_stop_in_the_middle_of_it_ends_all() {
    let mut world = talking(&["101", "102", "103"], 20, false);
    world.phone("103").manner = Manner::RingsOnly;
    refers(&mut world, "101", "103");
    world.give(Event::Stop);
    world.passes(1_000);
    for phone in ["101", "102", "103"] {
        assert!(
            matches!(world.phone(phone).state, State::Over(_)),
            "{phone}"
        );
    }
    assert_eq!(journey(&record(&mut world)).len(), 2);
}

#[test]
fn outside_a_call_a_refer_is_refused_unless_it_is_allowed() {
    for (allowed, headers, answer) in [
        (false, "Refer-Sub: false\r\n", 403),
        (true, "", 421),
        (true, "Refer-Sub: false\r\n", 202),
    ] {
        let mut world = World::with_config(&["101", "102"], &[], 21, |config| {
            config.calls.refer_outside = allowed;
        });
        let now = world.now;
        let headers = format!("Refer-To: <sip:102@pbx>\r\n{headers}");
        world.phone("101").refers_outside(now, &headers);
        world.passes(3_000);
        let answers = world.phone("101").answers_to_refer();
        assert_eq!(answers.last(), Some(&answer), "{allowed} {headers}");
        assert_eq!(world.talks("101", "102"), answer == 202);
        hangs_up(&mut world, "101");
        assert_eq!(world.is_silent(), EMPTY);
        assert_eq!(world.records.len(), usize::from(answer == 202));
    }
}

#[test]
fn what_a_phone_called_us_when_it_registered_is_known_after_a_restart() {
    let mut world = World::new(&["101", "102", "103"], 41);
    world.restarts();
    world.dials("101", "102");
    world.passes(2_000);
    assert!(world.talks("101", "102"));
    let now = world.now;
    let elsewhere = "Refer-To: <sip:103@another.example>\r\n";
    world.phone("102").refers_by(now, elsewhere);
    world.passes(500);
    let now = world.now;
    world
        .phone("102")
        .refers_by(now, "Refer-To: <sip:103@PBX>\r\n");
    world.passes(500);
    assert_eq!(world.phone("102").answers_to_refer(), [403, 202]);
    assert!(world.talks("101", "103"));
}
