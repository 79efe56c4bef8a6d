//! Several phones of one extension, several flows of one phone, ways through proxies, names of single phones.

use crate::world::phone::{State, header};
use crate::world::{EMPTY, World, extension};
use directory::{Directory, Extension, Registration};
use std::sync::Arc;
use switch::{Event, Phones};

const FIRST: &str = "10.0.0.2:5060";
const SECOND: &str = "10.0.0.3:5060";
const ONE: &str = "<urn:uuid:00000000-0000-1000-8000-000000000001>";
const TWO: &str = "<urn:uuid:00000000-0000-1000-8000-000000000002>";

/// 101 calls; 102 lives at two addresses.
fn world(seed: u64) -> World {
    World::new(&["101", "102", "102"], seed)
}

/// The phone at `address` registers anew with these headers and Contact parameters, and gets the answer.
fn registers(world: &mut World, address: &str, headers: &str, tail: &str) -> String {
    let now = world.now;
    let phone = world.at(address);
    phone.adds("REGISTER", headers);
    phone.tail = tail.to_owned();
    phone.registers(now);
    world.passes(1_000);
    world.at(address).registered.clone()
}

fn contacts(answer: &str) -> Vec<&str> {
    let lines = answer.lines();
    lines.filter_map(|l| l.strip_prefix("Contact: ")).collect()
}

fn invites(world: &mut World, address: &str) -> usize {
    let heard = &world.at(address).heard;
    heard.iter().filter(|l| l.starts_with("INVITE ")).count()
}

fn instance(id: &str, reg_id: &str) -> String {
    format!(";+sip.instance=\"{id}\"{reg_id}")
}

#[test]
fn two_flows_of_one_phone_ring_once_and_the_older_when_the_newer_is_dead() {
    let mut world = world(81);
    let outbound = "Supported: path, outbound\r\n";
    for (address, reg_id) in [(FIRST, ";reg-id=1"), (SECOND, ";reg-id=2")] {
        let answer = registers(&mut world, address, outbound, &instance(ONE, reg_id));
        assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
        // RFC 5626 §6: the phone learns that its flows are kept.
        assert_eq!(header(&answer, "Require"), "outbound");
        assert_eq!(header(&answer, "Flow-Timer"), "25");
    }
    let answer = world.at(SECOND).registered.clone();
    let flows = contacts(&answer);
    // The plain registrations of the world's beginning are other phones until they run out.
    assert_eq!(
        flows.iter().filter(|c| c.contains("reg-id=")).count(),
        2,
        "{flows:?}"
    );
    assert!(
        flows
            .iter()
            .any(|c| c.contains(&format!("+sip.instance=\"{ONE}\";reg-id=2"))),
        "{flows:?}"
    );

    remove_plain(&mut world);
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(
        (invites(&mut world, FIRST), invites(&mut world, SECOND)),
        (0, 1)
    );
    let now = world.now;
    world.at(SECOND).hangs_up(now);
    world.passes(1_000);

    // The newer flow is dead and nobody knows: the older one rings within seconds.
    world.at(SECOND).vanished = true;
    world.dials("101", "102");
    world.passes(5_000);
    assert_eq!(world.at(FIRST).state, State::Up);
    assert_eq!(world.phone("101").state, State::Up);
    world.phone("101").vanished = false;
    let now = world.now;
    world.phone("101").hangs_up(now);
    world.passes(1_000);

    // RFC 5626 §5.3: a proxy says that the flow has failed.
    world.at(SECOND).vanished = false;
    world.at(SECOND).manner = crate::world::phone::Manner::Refuses(430);
    world.at(SECOND).state = State::Idle;
    world.at(FIRST).state = State::Idle;
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(world.at(FIRST).state, State::Up);
}

/// The registrations without an instance go.
fn remove_plain(world: &mut World) {
    for address in [FIRST, SECOND] {
        let now = world.now;
        let phone = world.at(address);
        let (headers, tail) = (phone.adds.get("REGISTER").cloned(), phone.tail.clone());
        phone.adds("REGISTER", "");
        phone.tail = ";expires=0".to_owned();
        phone.registers(now);
        world.passes(1_000);
        let phone = world.at(address);
        phone.tail = tail;
        phone.adds("REGISTER", &headers.unwrap_or_default());
    }
}

#[test]
fn a_first_hop_that_keeps_no_flows_is_told_of() {
    let mut world = world(82);
    let hop = "Via: SIP/2.0/UDP 192.168.9.9;branch=z9hG4bKq\r\n";
    for (path, code) in [
        ("", "439"),
        ("Path: <sip:edge.example;lr>\r\n", "439"),
        (
            "Path: <sip:core.example;lr>, <sip:edge.example;lr;ob>\r\n",
            "200",
        ),
    ] {
        let headers = format!("{hop}Supported: outbound, path\r\n{path}");
        let answer = registers(&mut world, FIRST, &headers, &instance(ONE, ";reg-id=1"));
        assert!(
            answer.starts_with(&format!("SIP/2.0 {code}")),
            "{path}: {answer}"
        );
    }
    // Who does not know of flows has none, whatever its Contact says.
    let answer = registers(&mut world, FIRST, hop, &instance(ONE, ";reg-id=1"));
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    assert_eq!(header(&answer, "Require"), "");
    assert!(
        contacts(&answer)
            .iter()
            .any(|c| c.ends_with(&format!("\"{ONE}\""))),
        "{answer}"
    );
}

#[test]
fn a_call_goes_through_the_proxies_of_the_path() {
    let mut world = world(83);
    let path = "Path: <sip:core.example;lr>, <sip:edge.example;lr>\r\n";
    let refused = registers(&mut world, FIRST, path, "");
    assert!(refused.starts_with("SIP/2.0 420"), "{refused}");
    assert_eq!(header(&refused, "Unsupported"), "path");
    let wants = format!("Require: path\r\nSupported: path\r\n{path}");
    let answer = registers(&mut world, FIRST, &wants, &instance(ONE, ""));
    let shown: Vec<&str> = answer.lines().filter(|l| l.starts_with("Path: ")).collect();
    assert_eq!(
        shown,
        ["Path: <sip:core.example;lr>", "Path: <sip:edge.example;lr>"]
    );

    remove_plain(&mut world);
    world.dials("101", "102");
    world.passes(1_000);
    let invite = world.at(FIRST).invite.clone();
    let routes: Vec<&str> = invite
        .lines()
        .filter(|l| l.starts_with("Route: "))
        .collect();
    assert_eq!(
        routes,
        [
            "Route: <sip:core.example;lr>",
            "Route: <sip:edge.example;lr>"
        ]
    );
    assert!(
        invite.starts_with("INVITE sip:102@10.0.0.2:5060 "),
        "{invite}"
    );

    for path in ["<sip:x", "<mailto:x>", &"<sip:x;lr>, ".repeat(11)] {
        let headers = format!("Supported: path\r\nPath: {path}\r\n");
        let answer = registers(&mut world, SECOND, &headers, "");
        assert!(answer.starts_with("SIP/2.0 400"), "{path}: {answer}");
    }
}

fn gruus(answer: &str, id: &str) -> (String, String) {
    let own = contacts(answer)
        .into_iter()
        .find(|c| c.contains(id))
        .expect("its contact");
    let value = |name: &str| {
        let rest = own
            .split(&format!("{name}=\""))
            .nth(1)
            .expect("the parameter");
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    (value("pub-gruu"), value("temp-gruu"))
}

#[test]
fn a_call_to_the_name_of_one_phone_reaches_no_other() {
    let mut world = world(84);
    let gruu = "Supported: gruu\r\n";
    let first = registers(&mut world, FIRST, gruu, &instance(ONE, ""));
    let second = registers(&mut world, SECOND, gruu, &instance(TWO, ""));
    remove_plain(&mut world);
    let (public, temporary) = gruus(&first, ONE);
    assert_eq!(
        public,
        format!("sip:102@pbx;gr={}", ONE.trim_matches(['<', '>']))
    );
    assert!(
        !temporary.contains("102") && temporary.ends_with(";gr"),
        "{temporary}"
    );
    let (_, of_second) = gruus(&second, TWO);
    let again = registers(&mut world, FIRST, gruu, &instance(ONE, ""));
    let (same, other) = gruus(&again, ONE);
    assert!(same == public && other != temporary, "{other}");

    for (name, rings, silent) in [
        (&public, FIRST, SECOND),
        (&other, FIRST, SECOND),
        (&of_second, SECOND, FIRST),
    ] {
        for address in [FIRST, SECOND] {
            world.at(address).heard.clear();
            world.at(address).state = State::Idle;
        }
        let now = world.now;
        world.phone("101").dials_uri(now, name);
        world.passes(1_000);
        assert_eq!(world.phone("101").state, State::Up, "{name}");
        assert_eq!(
            (invites(&mut world, rings), invites(&mut world, silent)),
            (1, 0),
            "{name}"
        );
        assert_eq!(
            world.at(rings).invite.split(' ').nth(1),
            Some(&*format!("sip:102@{rings}"))
        );
        let now = world.now;
        world.phone("101").hangs_up(now);
        world.passes(1_000);
        assert_eq!(
            world.records.last().map(|r| (&*r.from, &*r.to)),
            Some(("101", "102"))
        );
    }
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn a_name_of_no_phone_reaches_nobody() {
    let mut world = world(89);
    let gone = format!("sip:102@pbx;gr={}", "urn:uuid:9");
    let never = "sip:tgruu.00000000000000000000000000000000@pbx;gr".to_owned();
    for (name, code) in [
        (gone, 480),
        (never, 404),
        ("sip:tgruu.é@pbx;gr".to_owned(), 404),
    ] {
        let now = world.now;
        world.phone("101").dials_uri(now, &name);
        world.passes(1_000);
        assert_eq!(world.phone("101").state, State::Over(code), "{name}");
    }
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn with_one_phone_too_many_the_longest_unheard_of_goes() {
    let mut world = World::new(&["102"], 85);
    let at = "10.0.0.1:5060";
    let registered = |answer: &str| {
        let all = contacts(answer);
        let id = |c: &str| {
            c.split("+sip.instance=\"")
                .nth(1)
                .map(|i| i[..1].to_owned())
        };
        all.iter().filter_map(|c| id(c)).collect::<Vec<_>>()
    };
    // Room for three; the phone without a name of the world's beginning goes first.
    let mut answer = String::new();
    for id in ["a", "b", "c"] {
        answer = registers(&mut world, at, "", &instance(id, ""));
    }
    assert_eq!(registered(&answer), ["a", "b", "c"]);
    // a is heard again, so b is the oldest.
    registers(&mut world, at, "", &instance("a", ""));
    let answer = registers(&mut world, at, "", &instance("d", ""));
    assert_eq!(registered(&answer), ["c", "a", "d"]);

    // A smaller limit takes the oldest away at once.
    let smaller = Extension {
        max_contacts: 1,
        ..extension("102")
    };
    world.give(Event::Directory(Arc::new(Directory::new(
        vec![smaller],
        Vec::new(),
    ))));
    let answer = registers(&mut world, at, "", &instance("d", ""));
    assert_eq!(registered(&answer), ["d"]);

    // One phone has no more than four flows, and they count as one phone.
    let supported = "Supported: outbound\r\n";
    for reg_id in 1..=6 {
        let tail = instance("d", &format!(";reg-id={reg_id}"));
        let answer = registers(&mut world, at, supported, &tail);
        assert!(contacts(&answer).len() <= 4, "{answer}");
    }
}

#[test]
fn registrations_outlive_a_restart_with_all_that_belongs_to_them() {
    let mut world = World::new(&["101", "102"], 86);
    let kept = Registration {
        extension: "102".into(),
        binding: format!("{TWO};reg-id=1"),
        contact: "sip:102@10.0.0.2:5060".into(),
        source: FIRST.into(),
        local: "10.9.9.9:5060".into(),
        transport: "udp".into(),
        call_id: "old".into(),
        cseq: 7,
        expires_at_ms: i64::MAX / 2,
        registered_at_ms: 1,
        instance: TWO.into(),
        reg_id: 1,
        path: vec!["<sip:edge.example;lr>".into()],
        gruu_key: "0".repeat(64),
        ..Registration::default()
    };
    world.give(Event::Restored(vec![kept]));
    let now = world.now;
    let name = format!("sip:102@pbx;gr={}", TWO.trim_matches(['<', '>']));
    world.phone("101").dials_uri(now, &name);
    world.passes(1_000);
    let invite = world.at(FIRST).invite.clone();
    assert_eq!(header(&invite, "Route"), "<sip:edge.example;lr>");
    assert_eq!(world.phone("101").state, State::Up);
}

#[test]
fn a_new_password_ends_the_registrations() {
    let mut world = World::new(&["101", "102"], 87);
    let mut changed = extension("102");
    changed.ha1.sha256 = "0".repeat(64);
    let office = Directory::new(vec![extension("101"), changed], Vec::new());
    world.give(Event::Directory(Arc::new(office)));
    assert!(
        world
            .log
            .iter()
            .any(|l| l.starts_with("Unregistered { extension: \"102\""))
    );
    assert!(
        !world
            .log
            .iter()
            .any(|l| l.starts_with("Unregistered { extension: \"101\""))
    );
    world.dials("101", "102");
    world.passes(1_000);
    assert_eq!(world.phone("101").state, State::Over(480));
}

#[test]
fn phones_are_told_the_service_route() {
    let mut world = World::with_config(&["101"], &[], 88, |config| {
        config.phones = Phones {
            service_route: vec!["<sip:pbx.example.net;lr>".into()],
            ..Phones::default()
        };
    });
    let answer = world.phone("101").registered.clone();
    assert_eq!(header(&answer, "Service-Route"), "<sip:pbx.example.net;lr>");
}
