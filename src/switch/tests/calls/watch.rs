//! Busy lamps: what who watches sees of calls, through losses, ends and restarts.

use crate::world::phone::{Manner, State, header};
use crate::world::phone_watch::{Lamp, Watching};
use crate::world::{EMPTY, World, extension};
use directory::Directory;
use std::sync::Arc;
use switch::Event;

fn office(seed: u64) -> World {
    World::new(&["101", "102", "103"], seed)
}

#[test]
fn a_lamp_follows_a_call_from_the_first_ring_to_the_end() {
    let mut world = office(201);
    let lamp = world.watches("103", "dialog", "102", 600);
    assert_eq!(world.watching("103", lamp).lamp(), Lamp::Off);
    assert_eq!(world.watching("103", lamp).standing(), "active");
    world.phone("102").manner = Manner::RingsOnly;
    world.dials("101", "102");
    world.passes(500);
    let seen = world.watching("103", lamp);
    assert_eq!(seen.dialogs(), ["early recipient sip:101@pbx"]);
    let now = world.now;
    world.phone("102").answers_call(now);
    world.passes(500);
    let seen = world.watching("103", lamp).dialogs();
    assert_eq!(seen, ["confirmed recipient sip:101@pbx"]);
    world.lamps_tell_the_truth();
    let now = world.now;
    world.phone("101").hangs_up(now);
    world.passes(500);
    let seen = world.watching("103", lamp);
    assert_eq!(seen.dialogs(), ["terminated recipient sip:101@pbx"]);
    let mut history = seen.history();
    history.dedup();
    assert_eq!(history, [Lamp::Off, Lamp::Rings, Lamp::Busy, Lamp::Off]);
    world.lamps_tell_the_truth();

    let now = world.now;
    world.phone("103").refreshes(now, lamp, 600);
    world.passes(100);
    assert!(world.watching("103", lamp).dialogs().is_empty());
}

#[test]
fn every_notify_has_the_whole_truth_and_a_higher_version() {
    let mut world = office(202);
    let lamp = world.watches("103", "dialog", "101", 600);
    world.dials("101", "102");
    world.passes(1_000);
    let now = world.now;
    world.phone("102").hangs_up(now);
    world.passes(1_000);
    let version = |text: &String| {
        let after = text.split("<dialog-info ").nth(1).expect("a document");
        let after = after.split("version=\"").nth(1).expect("a version");
        after
            .split('"')
            .next()
            .and_then(|n| n.parse::<u32>().ok())
            .expect("a number")
    };
    let seen = world.watching("103", lamp).clone();
    let versions: Vec<u32> = seen.notified.iter().map(version).collect();
    let expected: Vec<u32> = (0..versions.len() as u32).collect();
    assert_eq!(versions, expected);
    assert!(
        seen.notified
            .iter()
            .all(|n| n.contains("state=\"full\" entity=\"sip:101@pbx\""))
    );
    let called: Vec<String> = seen
        .notified
        .iter()
        .flat_map(|n| {
            let w = Watching {
                notified: vec![n.clone()],
                ..Watching::default()
            };
            w.dialogs()
        })
        .collect();
    assert!(
        called.contains(&"confirmed initiator sip:102@pbx".to_owned()),
        "{called:?}"
    );
}

#[test]
fn the_names_of_a_ringing_dialog_are_not_told() {
    let mut world = office(203);
    let lamp = world.watches("103", "dialog", "102", 600);
    world.phone("102").manner = Manner::RingsOnly;
    world.dials("101", "102");
    world.passes(500);
    let invite = world.phone("102").invite.clone();
    let document = world.watching("103", lamp).document();
    let ours = header(&invite, "From");
    let ours = ours.split("tag=").nth(1).expect("our tag");
    let call_id = header(&invite, "Call-ID");
    for name in [call_id.as_str(), "\"u102\"", ours] {
        assert!(!document.contains(name), "{name}: {document}");
    }
    for named in ["call-id=\"", "local-tag=\"", "remote-tag=\""] {
        assert_eq!(document.matches(named).count(), 1, "{named}: {document}");
    }
}

#[test]
fn a_held_call_is_told_as_one() {
    let mut world = office(204);
    let holder = world.watches("103", "dialog", "102", 600);
    let held = world.watches("103", "dialog", "101", 600);
    world.dials("101", "102");
    world.passes(500);
    let rendering = |world: &mut World, index: usize| {
        let document = world.watching("103", index).document();
        let param = document.split("pname=\"+sip.rendering\" pval=\"").nth(1);
        let value = param.and_then(|p| p.split('"').next());
        value.expect("the parameter").to_owned()
    };
    assert_eq!(rendering(&mut world, holder), "yes");
    let now = world.now;
    world.phone("102").holds(now);
    world.passes(500);
    assert_eq!(rendering(&mut world, holder), "no");
    assert_eq!(rendering(&mut world, held), "yes");
    assert_eq!(world.watching("103", holder).lamp(), Lamp::Busy);
    let now = world.now;
    world.phone("102").resumes(now);
    world.passes(500);
    assert_eq!(rendering(&mut world, holder), "yes");
}

#[test]
fn two_watchers_see_the_same_and_one_may_leave() {
    let mut world = office(205);
    let first = world.watches("103", "dialog", "102", 600);
    let second = world.watches("101", "dialog", "102", 600);
    world.phone("102").manner = Manner::RingsOnly;
    world.dials("101", "102");
    world.passes(500);
    assert_eq!(world.watching("103", first).lamp(), Lamp::Rings);
    assert_eq!(world.watching("101", second).lamp(), Lamp::Rings);
    let now = world.now;
    world.phone("101").refreshes(now, second, 0);
    world.passes(100);
    assert_eq!(
        world.watching("101", second).standing(),
        "terminated;reason=timeout"
    );
    let heard = world.watching("101", second).notified.len();
    let now = world.now;
    world.phone("101").cancels(now);
    world.passes(500);
    assert_eq!(world.watching("103", first).lamp(), Lamp::Off);
    assert_eq!(world.watching("101", second).notified.len(), heard);
    let now = world.now;
    world.phone("103").refreshes(now, first, 0);
    world.passes(40_000);
    assert_eq!(world.switch.sizes(), EMPTY);
}

#[test]
fn a_watcher_that_comes_late_sees_the_call_that_is_up() {
    let mut world = office(206);
    world.dials("101", "102");
    world.passes(1_000);
    let lamp = world.watches("103", "dialog", "101", 600);
    assert_eq!(
        world.watching("103", lamp).dialogs(),
        ["confirmed initiator sip:102@pbx"]
    );
    world.lamps_tell_the_truth();
}

#[test]
fn calls_that_nobody_watches_send_nothing() {
    let mut world = office(207);
    let lamp = world.watches("103", "dialog", "103", 600);
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(world.watching("103", lamp).notified.len(), 1);
}

#[test]
fn a_lost_notify_leaves_the_lamp_wrong_for_half_a_second() {
    let mut world = office(208);
    let lamp = world.watches("103", "dialog", "102", 600);
    world.phone("102").manner = Manner::RingsOnly;
    // The NOTIFY is lost, and what happens meanwhile is told at once after it.
    world.phone("103").watching[lamp].says = 0;
    world.dials("101", "102");
    world.passes(300);
    let now = world.now;
    world.phone("102").answers_call(now);
    world.passes(50);
    world.phone("103").watching[lamp].says = 200;
    world.passes(500);
    assert_eq!(world.watching("103", lamp).lamp(), Lamp::Busy);
    world.lamps_tell_the_truth();
}

#[test]
fn over_a_bad_network_every_lamp_is_right_at_last() {
    for seed in 210..216 {
        let mut world = office(seed);
        for (from, target) in [("103", "102"), ("103", "101"), ("101", "102")] {
            world.watches(from, "dialog", target, 3_600);
        }
        world.passes(40_000);
        world.trouble = 20;
        for _ in 0..5 {
            world.dials("101", "102");
            let wait = 1_000 + world.roll(30_000);
            world.passes(wait);
            let now = world.now;
            match world.roll(3) {
                0 => world.phone("101").hangs_up(now),
                1 => world.phone("102").hangs_up(now),
                _ => world.phone("101").cancels(now),
            }
            let wait = world.roll(40_000);
            world.passes(wait);
            let now = world.now;
            world.phone("101").hangs_up(now);
            world.phone("102").hangs_up(now);
            world.passes(40_000);
        }
        world.trouble = 0;
        world.passes(120_000);
        for (from, index) in [("103", 0), ("103", 1), ("101", 0)] {
            let w = world.watching(from, index);
            assert!(
                w.status == 200 && w.lamp() == Lamp::Off,
                "{seed} {from} {}",
                w.last()
            );
        }
    }
}

#[test]
fn its_time_ends_a_subscription() {
    let mut world = office(220);
    let lamp = world.watches("103", "dialog", "102", 60);
    world.passes(61_000);
    assert_eq!(
        world.watching("103", lamp).standing(),
        "terminated;reason=timeout"
    );
    world.passes(40_000);
    assert_eq!(world.switch.sizes(), EMPTY);
}

#[test]
fn who_may_not_is_told_why() {
    let mut world = office(221);
    let mut status = |package: &str, target: &str, expires: u32| {
        let index = world.watches("103", package, target, expires);
        (
            world.watching("103", index).status,
            world.watching("103", index).answer.clone(),
        )
    };
    assert_eq!(status("dialog", "199", 600).0, 404);
    assert_eq!(status("reg", "102", 600).0, 403);
    assert_eq!(status("reg", "103", 600).0, 200);
    assert_eq!(status("dialog", "list", 600).0, 421);
    let (code, answer) = status("weather", "102", 600);
    assert_eq!(
        (code, header(&answer, "Allow-Events").as_str()),
        (489, "dialog, presence, message-summary, reg")
    );
    let (code, answer) = status("dialog", "102", 30);
    assert_eq!((code, header(&answer, "Min-Expires").as_str()), (423, "60"));

    let more = "Accept: application/sdp\r\n".to_owned();
    let odd = Watching {
        target: "102".into(),
        package: "dialog".into(),
        expires: 600,
        more,
        ..Watching::default()
    };
    let index = world.watches_as("103", odd);
    assert_eq!(world.watching("103", index).status, 406);
    // A wrong password: the phone's number is not an extension's.
    world.phone("103").number = "999".into();
    let index = world.watches("999", "dialog", "102", 600);
    assert_eq!(world.watching("999", index).status, 403);
}

#[test]
fn one_extension_holds_so_many_subscriptions_and_no_more() {
    let mut world = office(222);
    for _ in 0..300 {
        let now = world.now;
        let one = Watching {
            target: "102".into(),
            package: "dialog".into(),
            expires: 600,
            says: 200,
            ..Watching::default()
        };
        world.phone("103").subscribes(now, one);
    }
    world.passes(5_000);
    assert_eq!(world.switch.sizes().subscriptions, 300);
    let index = world.watches("103", "dialog", "101", 600);
    let refused = world.watching("103", index);
    assert_eq!(
        (
            refused.status,
            header(&refused.answer, "Retry-After").as_str()
        ),
        (503, "60")
    );
    let index = world.watches("101", "dialog", "102", 600);
    assert_eq!(world.watching("101", index).status, 200);
    world.passes(700_000);
    assert_eq!(world.switch.sizes(), EMPTY);
}

#[test]
fn no_name_that_a_caller_has_breaks_the_document() {
    let mut world = office(223);
    let mut evil = extension("101");
    evil.name = "\"/></remote><state>terminated</state> & <!--".into();
    let office = Directory::new(vec![evil, extension("102"), extension("103")], Vec::new());
    world.give(Event::Directory(Arc::new(office)));
    let lamp = world.watches("103", "dialog", "102", 600);
    world.dials("101", "102");
    world.passes(1_000);
    let seen = world.watching("103", lamp);
    assert_eq!(seen.dialogs(), ["confirmed recipient sip:101@pbx"]);
    assert!(
        seen.document()
            .contains("display=\"&quot;/&gt;&lt;/remote&gt;"),
        "{}",
        seen.document()
    );
}

#[test]
fn who_hides_from_the_called_party_hides_from_lamps() {
    let mut world = office(227);
    let lamp = world.watches("103", "dialog", "102", 600);
    world.phone("101").adds("INVITE", "Privacy: id\r\n");
    world.dials("101", "102");
    world.passes(1_000);
    let seen = world.watching("103", lamp);
    assert_eq!(
        seen.dialogs(),
        ["confirmed recipient sip:anonymous@pbx"],
        "{}",
        seen.document()
    );
    assert!(!seen.document().contains("101@"), "{}", seen.document());
}

#[test]
fn an_extension_that_is_no_more_is_not_watched() {
    let mut world = office(224);
    let gone = world.watches("103", "dialog", "102", 600);
    let own = world.watches("102", "dialog", "103", 600);
    let stays = world.watches("103", "dialog", "101", 600);
    let office = Directory::new(vec![extension("101"), extension("103")], Vec::new());
    world.give(Event::Directory(Arc::new(office)));
    world.passes(1_000);
    assert_eq!(
        world.watching("103", gone).standing(),
        "terminated;reason=noresource"
    );
    assert_eq!(
        world.watching("102", own).standing(),
        "terminated;reason=rejected"
    );
    assert_eq!(world.watching("103", stays).standing(), "active");
}

#[test]
fn after_a_restart_each_is_told_everything_anew() {
    let mut world = office(225);
    let lamp = world.watches("103", "dialog", "102", 600);
    let presence = world.watches("103", "presence", "102", 600);
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(world.watching("103", lamp).lamp(), Lamp::Busy);
    world.restarts();
    world.passes(100);
    // The calls are gone with the program that led them.
    for phone in ["101", "102"] {
        world.phone(phone).state = State::Over(500);
    }
    assert_eq!(world.watching("103", lamp).lamp(), Lamp::Off);
    assert!(
        world
            .watching("103", presence)
            .document()
            .contains("<basic>open</basic>")
    );
    world.lamps_tell_the_truth();
    // It goes on: changes, and its own refresh.
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(world.watching("103", lamp).lamp(), Lamp::Busy);
    let now = world.now;
    world.phone("103").refreshes(now, lamp, 60);
    world.passes(100);
    assert_eq!(world.watching("103", lamp).status, 200);
    world.passes(62_000);
    assert_eq!(
        world.watching("103", lamp).standing(),
        "terminated;reason=timeout"
    );
    assert_eq!(
        world.kept.subscriptions.len(),
        1,
        "presence is still stored"
    );
}

#[test]
fn lists_tell_all_first_and_then_who_changed() {
    let mut world = office(226);
    let mut watcher = extension("103");
    watcher.watch_list = vec!["101".into(), "102".into()];
    let all = vec![extension("101"), extension("102"), watcher.clone()];
    world.give(Event::Directory(Arc::new(Directory::new(all, Vec::new()))));
    let more = "Supported: eventlist\r\nAccept: application/dialog-info+xml, application/rlmi+xml, multipart/related\r\n";
    let list = Watching {
        target: "list".into(),
        package: "dialog".into(),
        expires: 600,
        says: 200,
        more: more.into(),
        ..Watching::default()
    };
    let lamps = world.watches_as("103", list);
    let seen = world.watching("103", lamps);
    assert_eq!(header(&seen.answer, "Require"), "eventlist");
    assert_eq!(header(seen.last(), "Require"), "eventlist");
    assert!(
        header(seen.last(), "Content-Type")
            .starts_with("multipart/related;type=\"application/rlmi+xml\"")
    );
    let document = seen.document();
    assert!(
        document.contains("uri=\"sip:list@pbx\" version=\"0\" fullState=\"true\""),
        "{document}"
    );
    assert_eq!(document.matches("<resource ").count(), 2);
    assert_eq!(document.matches("<dialog-info ").count(), 2);

    world.phone("102").manner = Manner::RingsOnly;
    world.dials("101", "102");
    world.passes(500);
    let now = world.now;
    world.phone("102").answers_call(now);
    world.passes(500);
    let document = world.watching("103", lamps).document();
    assert!(document.contains("fullState=\"false\""), "{document}");
    assert!(
        document.contains("<resource uri=\"sip:102@pbx\">"),
        "{document}"
    );
    let now = world.now;
    world.phone("103").refreshes(now, lamps, 600);
    world.passes(100);
    let document = world.watching("103", lamps).document();
    assert!(document.contains("fullState=\"true\""), "{document}");
    assert_eq!(document.matches("<state>confirmed</state>").count(), 2);

    // A list that was changed is subscribed to anew.
    watcher.watch_list.pop();
    let all = vec![extension("101"), extension("102"), watcher];
    world.give(Event::Directory(Arc::new(Directory::new(all, Vec::new()))));
    world.passes(100);
    assert_eq!(
        world.watching("103", lamps).standing(),
        "terminated;reason=deactivated"
    );
}

#[test]
fn after_a_restart_many_are_told_one_after_the_other() {
    let mut world = office(241);
    for _ in 0..40 {
        world.watches("103", "dialog", "102", 600);
    }
    let told = |world: &mut World| world.phone("103").letters("NOTIFY").len();
    let before = told(&mut world);
    world.restarts();
    world.passes(20);
    let first = told(&mut world) - before;
    assert!((1..40).contains(&first), "{first}");
    world.passes(200);
    assert_eq!(told(&mut world) - before, 40);
}
