//! Floods, scanners and guessers, and the phones that must not suffer for them.

use crate::world::phone::State;
use crate::world::{EMPTY, World, digest};
use bytes::Bytes;
use directory::Ban;
use sip::digest::{Algorithm, ha1};
use sip::{Flow, Transport};
use std::net::SocketAddr;
use std::time::Duration;
use switch::{Command, Event};

const STRANGER: &str = "198.51.100.7:5060";

fn flow(remote: &str, transport: Transport) -> Flow {
    Flow {
        transport,
        local: "10.9.9.9:5060".parse().expect("an address"),
        remote: remote.parse().expect("an address"),
        id: u64::from(transport != Transport::Udp),
    }
}

/// What the PBX says to `text` from there; the rest of what it does happens too.
fn hears(world: &mut World, flow: Flow, text: &str) -> Vec<String> {
    let bytes = Bytes::from(text.to_owned());
    world.switch.handle(world.now, Event::Sip { flow, bytes });
    let mut said = Vec::new();
    while let Some(command) = world.switch.poll() {
        match command {
            Command::Send { flow: to, bytes } if to.remote == flow.remote => {
                said.push(String::from_utf8_lossy(&bytes).into_owned());
            }
            Command::KeepBan(ban) => {
                world.bans.insert(ban.id.clone(), ban);
            }
            Command::DropBan { id } => {
                world.bans.remove(&id);
            }
            Command::Close { flow } => world.log.push(format!("Close {}", flow.remote)),
            Command::Notice(notice) => world.log.push(format!("{notice:?}")),
            _ => {}
        }
    }
    said
}

fn request(method: &str, n: usize, extra: &str) -> String {
    format!(
        "{method} sip:pbx SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK{method}{n};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:101@pbx>;tag={n}\r\nTo: <sip:101@pbx>\r\nCall-ID: stranger-{n}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:x@198.51.100.7>\r\n{extra}Content-Length: 0\r\n\r\n"
    )
}

fn status(said: &[String]) -> Option<u16> {
    said.first()?
        .strip_prefix("SIP/2.0 ")?
        .get(..3)?
        .parse()
        .ok()
}

/// One attempt to log in as `user`: the challenge is read, and answered wrongly. The two answers.
fn guesses(world: &mut World, from: Flow, n: usize, user: &str) -> [Option<u16>; 2] {
    let asked = hears(world, from, &request("REGISTER", n, ""));
    let first = status(&asked);
    let nonce = asked.first().and_then(|text| text.split("nonce=\"").nth(1));
    let nonce = nonce
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_default();
    let second = hears(
        world,
        from,
        &request(
            "REGISTER",
            n + 1_000_000,
            &claims(user, nonce, "a wrong one"),
        ),
    );
    [first, status(&second)]
}

fn claims(user: &str, nonce: &str, password: &str) -> String {
    let secret = ha1(Algorithm::Md5, user, "offhook", password);
    let response = digest(&secret, nonce, "REGISTER", "sip:pbx");
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"offhook\", nonce=\"{nonce}\", uri=\"sip:pbx\", \
         response=\"{response}\", algorithm=MD5, cnonce=\"c\", nc=00000001, qop=auth\r\n"
    )
}

fn is_heard(world: &mut World, from: Flow, n: usize) -> bool {
    !hears(world, from, &request("OPTIONS", n, "")).is_empty()
}

fn calls(world: &mut World) {
    world.dials("101", "102");
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Up);
    let now = world.now;
    world.phone("101").hangs_up(now);
    world.passes(2_000);
}

#[test]
fn a_stranger_is_answered_only_so_fast_and_the_phones_not_slower() {
    let mut world = World::new(&["101", "102"], 61);
    let from = flow(STRANGER, Transport::Udp);
    let answered = (0..5_000)
        .filter(|n| !hears(&mut world, from, &request("INVITE", *n, "")).is_empty())
        .count();
    assert!((90..=110).contains(&answered), "{answered}");
    calls(&mut world);
    // Of another flood nothing is kept either: nobody who proves nothing begins a transaction.
    world.passes(60_000);
    let before = world.switch.sizes().transactions;
    for n in 0..100 {
        hears(&mut world, from, &request("INVITE", 10_000 + n, ""));
    }
    assert_eq!(world.switch.sizes().transactions, before);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn invented_sources_take_no_room_and_no_phone_suffers() {
    let mut world = World::new(&["101", "102"], 62);
    let mut answered = 0;
    for n in 0..200_000u32 {
        let remote = SocketAddr::from((std::net::Ipv4Addr::from(0x2000_0000 + n * 37), 5060));
        let from = Flow {
            remote,
            ..flow(STRANGER, Transport::Udp)
        };
        answered += usize::from(
            !hears(
                &mut world,
                from,
                "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\n\r\n",
            )
            .is_empty(),
        );
        if n % 200 == 0 {
            world.passes(1);
        }
    }
    assert!((4_000..8_000).contains(&answered), "{answered}");
    calls(&mut world);
    assert_eq!(world.is_silent(), EMPTY);
    assert!(world.bans.is_empty());
}

#[test]
fn a_scanner_hears_nothing_at_all() {
    let mut world = World::new(&["101"], 63);
    for (transport, kept) in [(Transport::Udp, 0), (Transport::Tcp, 1)] {
        let from = flow(STRANGER, transport);
        for n in 0..3 {
            let scan = request("OPTIONS", n, "User-Agent: Friendly-Scanner\r\n");
            assert!(hears(&mut world, from, &scan).is_empty());
        }
        assert!(
            !is_heard(&mut world, from, 9),
            "nor what it says by another name"
        );
        assert_eq!(world.bans.len(), kept, "only what is proven is kept");
        world.passes(61_000);
        assert_eq!(is_heard(&mut world, from, 10), kept == 0);
    }
}

#[test]
fn who_guesses_passwords_is_banned_and_longer_each_time() {
    let mut world = World::new(&["101"], 64);
    let from = flow(STRANGER, Transport::Udp);
    for (round, minutes) in [10, 20, 40].into_iter().enumerate() {
        for n in 0..10 {
            let user = if n % 2 == 0 { "101" } else { "nobody" };
            let answers = guesses(&mut world, from, round * 100 + n, user);
            assert_eq!(answers, [Some(401), Some(403)], "{round} {n}");
            world.passes(2_000);
        }
        assert_eq!(
            guesses(&mut world, from, round * 100 + 50, "101"),
            [None, None]
        );
        assert_eq!(world.bans.len(), 1);
        let ban = world.bans.values().next().expect("one").clone();
        assert_eq!(
            (ban.network.as_str(), ban.times),
            ("198.51.100.7", round as u32 + 1)
        );
        assert!(
            world
                .log
                .iter()
                .any(|line| line.contains("Banned") && line.contains(&ban.id))
        );
        world.passes(minutes * 60_000 - 3_000);
        assert!(!is_heard(&mut world, from, round * 10 + 7_000));
        world.passes(2_000);
        assert!(is_heard(&mut world, from, round * 10 + 7_001));
        assert!(
            world
                .log
                .iter()
                .any(|line| line.contains("BanLifted") && line.contains(&ban.id))
        );
    }
    // A week without a fault, and nothing is remembered.
    world.passes(8 * 24 * 3_600_000);
    for n in 0..10 {
        guesses(&mut world, from, 5_000 + n, "101");
    }
    assert_eq!(world.bans.values().next().expect("one").times, 1);
}

#[test]
fn nobody_is_banned_for_what_others_send_in_his_name() {
    let mut world = World::new(&["101"], 65);
    let (victim, thief) = (
        flow(STRANGER, Transport::Udp),
        flow("203.0.113.9:5060", Transport::Udp),
    );
    let asked = hears(&mut world, thief, &request("REGISTER", 1, ""));
    let nonce = asked[0]
        .split("nonce=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let nonce = nonce.expect("a nonce").to_owned();
    for n in 0..12 {
        hears(
            &mut world,
            victim,
            &request("REGISTER", 100 + n, &claims("101", &nonce, "wrong")),
        );
    }
    assert!(!is_heard(&mut world, victim, 200), "it is silenced");
    assert!(world.bans.is_empty(), "but for a minute only");
    world.passes(61_000);
    assert!(is_heard(&mut world, victim, 201));
}

/// With the right password.
fn of_103(n: usize, nonce: &str) -> String {
    let proof = claims("103", nonce, "a good password");
    request("REGISTER", n, &proof).replace("sip:101@pbx", "sip:103@pbx")
}

#[test]
fn an_office_keeps_its_phones_when_one_has_a_wrong_password() {
    let mut world = World::new(&["101", "102", "103"], 66);
    let address = world.phone("101").address.ip();
    let other = flow(&format!("{address}:40000"), Transport::Udp);
    let mut refused = 0;
    for n in 0..60 {
        let [_, second] = guesses(&mut world, other, n, "103");
        refused += usize::from(second == Some(403));
        world.passes(100);
    }
    assert_eq!(
        refused, 60,
        "answered, but after the tenth seldom looked at"
    );
    let ban = world.bans.values().next().expect("one ban").clone();
    assert_eq!(ban.extension.as_deref(), Some("103"));
    assert_eq!(world.bans.len(), 1);
    // The other phones there go on, and 103 elsewhere.
    calls(&mut world);
    let now = world.now;
    world.phone("103").registers(now);
    world.passes(1_000);
    let answer = world.phone("103").heard.last().cloned().unwrap_or_default();
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    world.give(Event::LiftBan { id: ban.id });
    assert!(world.bans.is_empty());
    assert_eq!(logs_in(&mut world, other, 900), Some(200));
}

/// 103 asks for a challenge and answers it with the right password.
fn logs_in(world: &mut World, from: Flow, n: usize) -> Option<u16> {
    let nonce = challenge(world, from, n);
    let right = of_103(n + 1_000_000, &nonce);
    status(&hears(world, from, &right))
}

fn challenge(world: &mut World, from: Flow, n: usize) -> String {
    let asked = hears(world, from, &request("REGISTER", n, ""));
    let nonce = asked.first().and_then(|text| text.split("nonce=\"").nth(1));
    let nonce = nonce.and_then(|rest| rest.split('"').next());
    nonce.unwrap_or_default().to_owned()
}

#[test]
fn the_right_password_wins_where_others_guess() {
    let mut world = World::new(&["101", "102", "103"], 73);
    let address = world.phone("101").address.ip();
    let at = |port: u16| flow(&format!("{address}:{port}"), Transport::Udp);
    for n in 0..12 {
        guesses(&mut world, at(40_000), n, "103");
    }
    assert_eq!(world.bans.len(), 1);
    // Another flow of that very network, while guessing goes on.
    assert_eq!(logs_in(&mut world, at(40_001), 100), Some(200));
    // A guesser's flow is looked at now and then only.
    let mut right = 0;
    for n in 0..60 {
        world.passes(500);
        right += usize::from(logs_in(&mut world, at(40_002 + n as u16 % 2), 200 + n) == Some(200));
    }
    assert_eq!(right, 60, "who got in is known");
    for n in 0..8 {
        guesses(&mut world, at(50_000), 400 + n, "103");
    }
    assert_eq!(
        logs_in(&mut world, at(50_000), 500),
        Some(403),
        "not at once"
    );
    world.passes(5_000);
    // A challenge that was sent elsewhere is not answered with a look, but with another one.
    let elsewhere = challenge(&mut world, at(50_001), 600);
    let answer = hears(&mut world, at(50_000), &of_103(601, &elsewhere));
    assert_eq!(status(&answer), Some(401));
    assert!(answer[0].contains("stale=true"), "{}", answer[0]);
    assert_eq!(logs_in(&mut world, at(50_000), 700), Some(200));
}

#[test]
fn what_is_sent_in_an_offices_name_locks_nobody_out() {
    let mut world = World::new(&["101", "102", "103"], 74);
    let address = world.phone("101").address.ip();
    let forged = flow(&format!("{address}:40000"), Transport::Udp);
    // Read by the attacker at another port of that very address.
    let nonce = challenge(
        &mut world,
        flow(&format!("{address}:40001"), Transport::Udp),
        1,
    );
    for n in 0..100 {
        let wrong = claims("103", &nonce, "wrong");
        hears(&mut world, forged, &request("REGISTER", 100 + n, &wrong));
        guesses(&mut world, forged, 10_000 + n, &format!("nobody-{n}"));
    }
    assert!(world.bans.is_empty(), "{:?}", world.bans);
    assert_eq!(logs_in(&mut world, forged, 900), Some(200));
    // Nobody who does not exist is locked, whoever asks.
    let near = flow(&format!("{address}:40002"), Transport::Tcp);
    for n in 0..100 {
        guesses(&mut world, near, 20_000 + n, "nobody");
    }
    assert!(world.bans.is_empty());
}

#[test]
fn who_writes_a_known_address_takes_no_places_of_phones() {
    let mut world = World::new(&["101", "102"], 75);
    let address = world.phone("101").address.ip();
    let before = world.switch.sizes().transactions;
    for second in 0..30 {
        for n in 0..2_000u32 {
            let port = 10_000 + (n % 50_000) as u16;
            let from = flow(&format!("{address}:{port}"), Transport::Udp);
            hears(
                &mut world,
                from,
                &request("OPTIONS", (second * 2_000 + n) as usize, ""),
            );
        }
        world.passes(1_000);
    }
    let taken = world.switch.sizes().transactions - before;
    assert!(taken <= 2_000, "{taken}");
    calls(&mut world);
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn a_home_worker_gets_in_though_others_write_that_address() {
    let mut world = World::new(&["101", "103"], 76);
    let home = flow(STRANGER, Transport::Udp);
    for n in 0..20 {
        let scan = request("OPTIONS", n, "User-Agent: friendly-scanner\r\n");
        hears(&mut world, home, &scan);
        let other = flow("198.51.100.7:6000", Transport::Udp);
        hears(&mut world, other, &scan);
    }
    assert!(!is_heard(&mut world, home, 50), "it is silenced");
    let connected = flow("198.51.100.7:7000", Transport::Tls);
    assert!(is_heard(&mut world, connected, 51), "but no connection is");
    assert_eq!(logs_in(&mut world, home, 60), Some(200));
    assert!(is_heard(&mut world, home, 61));
    assert!(world.bans.is_empty());
    let told = |line: &String| line.contains("Banned");
    assert!(
        !world.log.iter().any(told),
        "nobody is told of what is not proven"
    );
}

#[test]
fn connections_of_who_is_banned_are_closed() {
    let mut world = World::new(&["101"], 77);
    let from = flow(STRANGER, Transport::Tls);
    for n in 0..10 {
        guesses(&mut world, from, n, "101");
    }
    let closed = |world: &World, remote: &str| {
        let line = format!("Close {remote}");
        world.log.iter().filter(|l| **l == line).count()
    };
    assert_eq!(closed(&world, STRANGER), 1);
    let other = flow("198.51.100.7:9999", Transport::Tcp);
    assert!(!is_heard(&mut world, other, 50));
    assert_eq!(closed(&world, "198.51.100.7:9999"), 1);
}

#[test]
fn exactly_the_documented_number_of_guesses_is_too_many() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut world = World::new(&["101"], 78);
        let from = flow(STRANGER, transport);
        for n in 0..10 {
            assert!(world.bans.is_empty(), "{n}");
            guesses(&mut world, from, n, "101");
            world.passes(4_000);
        }
        assert_eq!(world.bans.len(), 1);
        // One a minute and a little is forgotten as fast as it comes.
        let mut world = World::new(&["101"], 79);
        for n in 0..30 {
            guesses(&mut world, from, n, "101");
            world.passes(63_000);
        }
        assert!(world.bans.is_empty());
    }
}

#[test]
fn trunks_and_allowed_networks_are_never_banned() {
    let mut world = World::with_config(&["101"], &["provider"], 67, |config| {
        config.defence.allow = vec!["198.51.100.0/24".into()];
    });
    for remote in [STRANGER, "10.1.0.1:4000"] {
        let from = flow(remote, Transport::Tcp);
        for n in 0..100 {
            hears(&mut world, from, "no SIP at all\r\n\r\n");
            let scan = request("OPTIONS", n, "User-Agent: sipvicious\r\n");
            hears(&mut world, from, &scan);
            guesses(&mut world, from, n, "nobody");
        }
        assert!(is_heard(&mut world, from, 999), "{remote}");
    }
    assert!(
        world.bans.values().all(|ban| ban.extension.is_some()),
        "{:?}",
        world.bans
    );
}

#[test]
fn what_is_no_sip_is_a_fault() {
    let mut world = World::new(&["101"], 68);
    let from = flow(STRANGER, Transport::Tls);
    for _ in 0..20 {
        hears(&mut world, from, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    assert!(!is_heard(&mut world, from, 1));
    let ban = world.bans.values().next().expect("a ban");
    assert_eq!(ban.reason, "what it sends is no SIP");
}

fn by_hand(network: &str, until_ms: Option<i64>) -> Ban {
    Ban {
        id: Ban::id_of(1_700_000_000_000, 0x8_0000),
        network: network.into(),
        extension: None,
        reason: "we do not like them".into(),
        by_hand: true,
        times: 0,
        since_ms: 1_700_000_000_000,
        until_ms,
    }
}

#[test]
fn an_administrator_bans_whom_he_likes_and_lifts_it_again() {
    let mut world = World::new(&["101", "102"], 69);
    let from = flow(STRANGER, Transport::Udp);
    let ban = by_hand("198.51.100.0/24", None);
    world.give(Event::Ban(ban.clone()));
    assert_eq!(world.bans.len(), 1);
    assert!(!is_heard(&mut world, from, 1));
    world.passes(24 * 3_600_000);
    assert!(!is_heard(&mut world, from, 2));
    world.give(Event::LiftBan { id: ban.id });
    assert!(is_heard(&mut world, from, 3));
    assert!(world.bans.is_empty());
    // A phone of ours as well.
    let address = world.phone("101").address.ip().to_string();
    world.give(Event::Ban(by_hand(&address, None)));
    world.dials("101", "102");
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Calling);
}

#[test]
fn bans_outlive_a_restart() {
    let mut world = World::new(&["101"], 70);
    let from = flow(STRANGER, Transport::Udp);
    for n in 0..10 {
        guesses(&mut world, from, n, "101");
    }
    let bans: Vec<Ban> = world.bans.values().cloned().collect();
    assert_eq!(bans.len(), 1);
    let mut next = World::new(&["101"], 71);
    let old = Ban {
        id: Ban::id_of(1, 1),
        network: "192.0.2.200".into(),
        until_ms: Some(5),
        ..bans[0].clone()
    };
    next.bans.insert(old.id.clone(), old.clone());
    next.give(Event::RestoredBans(vec![old.clone(), bans[0].clone()]));
    assert!(!is_heard(&mut next, from, 1));
    assert!(
        !next.bans.contains_key(&old.id),
        "what is of no use is forgotten"
    );
    assert!(next.log.iter().any(|line| line.contains("Banned")));
    let rest =
        Duration::from_millis(bans[0].until_ms.expect("an end").unsigned_abs() - 1_700_000_000_000);
    next.passes(u64::try_from(rest.as_millis()).expect("short") + 10);
    assert!(is_heard(&mut next, from, 2));
    for n in 0..10 {
        guesses(&mut next, from, 100 + n, "101");
    }
    assert_eq!(
        next.bans.values().next().expect("a ban").times,
        2,
        "it is remembered"
    );
}
