//! Trunks as an office meets them: who we say we are, names that lead nowhere, networks.

use crate::world::phone::{State, header};
use crate::world::{World, extension, trunk};
use directory::{Directory, Trunk, TrunkAuth};
use std::sync::Arc;
use switch::Event;

/// 101, a provider's phone `one` at 10.1.0.1, and these trunks.
fn world(trunks: Vec<Trunk>, seed: u64) -> World {
    let mut world = World::with_trunks(&["101"], &["one"], seed);
    configure(&mut world, trunks);
    world
}

fn configure(world: &mut World, trunks: Vec<Trunk>) {
    let trunks = trunks.into_iter().map(|trunk| (trunk, None)).collect();
    let directory = Directory::new(vec![extension("101")], trunks);
    world.give(Event::Directory(Arc::new(directory)));
    world.passes(1_000);
}

fn with_host(name: &str, host: &str) -> Trunk {
    Trunk {
        host: host.into(),
        ..trunk(name, 0)
    }
}

fn without_tag(value: &str) -> &str {
    value.split(";tag=").next().unwrap_or_default()
}

#[test]
fn a_provider_we_register_at_is_told_the_account_and_the_caller() {
    let account = Trunk {
        auth: TrunkAuth::Registration,
        username: Some("490001".into()),
        ..trunk("one", 0)
    };
    let mut world = world(vec![account], 51);
    world.dials("101", "903055501234");
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Up);
    let invite = world.phone("one").invite.clone();
    assert!(invite.starts_with("INVITE sip:03055501234@10.1.0.1 "));
    let from = header(&invite, "From");
    assert_eq!(without_tag(&from), "\"101\" <sip:490001@10.1.0.1>");
    let identity = header(&invite, "P-Asserted-Identity");
    assert_eq!(identity, "<sip:101@10.1.0.1>");
    assert_eq!(header(&invite, "Contact"), "<sip:490001@10.9.9.9:5060>");
}

#[test]
fn a_switch_at_an_address_is_told_the_caller_alone() {
    let mut world = world(vec![trunk("one", 0)], 52);
    world.dials("101", "903055501234");
    world.passes(2_000);
    let invite = world.phone("one").invite.clone();
    assert_eq!(without_tag(&header(&invite, "From")), "<sip:101@10.9.9.9>");
    assert_eq!(header(&invite, "P-Asserted-Identity"), "");
}

#[test]
fn a_name_that_leads_nowhere_is_said_and_looked_up_again_soon() {
    let mut world = World::with_trunks(&["101"], &["one"], 53);
    world.log.clear();
    configure(&mut world, vec![with_host("named", "pbx.example")]);
    let failed = "Failed { why: \"its host name leads nowhere\" }";
    let told = |world: &World, what: &str| world.log.iter().any(|l| l.contains(what));
    assert!(told(&world, failed), "{:?}", world.log);

    world.log.clear();
    let home = [10, 1, 0, 1].into();
    world.names.insert("pbx.example".into(), home);
    world.passes(5_000);
    assert!(told(&world, "state: Static"), "{:?}", world.log);
    world.dials("one", "101");
    world.passes(2_000);
    assert_eq!(world.phone("one").state, State::Up, "its calls are taken");
}

#[test]
fn a_network_is_no_way_out() {
    let network = with_host("branches", "10.1.0.0/24");
    let mut world = world(vec![network, trunk("one", 0)], 54);
    for dialled in ["903055501234", "112"] {
        world.dials("101", dialled);
        world.passes(2_000);
        assert_eq!(world.phone("one").state, State::Up, "{dialled}");
        let now = world.now;
        world.phone("101").hangs_up(now);
        world.passes(2_000);
    }
    world.way_out = Some("branches".into());
    world.records.clear();
    world.dials("101", "903055501234");
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Over(503));
    let reason = &world.records[0].reason;
    assert!(reason.ends_with(": a network cannot be called"), "{reason}");
}

/// `pbx.example` leads to a server that is silent, then to the provider's phone.
fn two_servers(world: &mut World) {
    world
        .names
        .insert("pbx.example".into(), [10, 1, 0, 99].into());
    let second = vec![[10, 1, 0, 1].into()];
    world.others.insert("pbx.example".into(), second);
}

#[test]
fn a_call_goes_to_the_next_server_when_the_first_is_silent() {
    let mut world = World::with_trunks(&["101"], &["one"], 55);
    two_servers(&mut world);
    configure(&mut world, vec![with_host("named", "pbx.example")]);
    world.dials("101", "903055501234");
    world.passes(3_500);
    assert_ne!(world.phone("101").state, State::Up);
    world.passes(3_000);
    assert_eq!(world.phone("101").state, State::Up);
    let invite = world.phone("one").invite.clone();
    assert!(invite.starts_with("INVITE sip:03055501234@pbx.example "));
    let now = world.now;
    world.phone("101").hangs_up(now);
    world.passes(40_000);
    assert_eq!(world.records.len(), 1, "one journey, one record");
    assert_eq!(world.records[0].sip_code, 200);
}

#[test]
fn we_register_at_the_next_server_when_the_first_is_silent() {
    let mut world = World::with_trunks(&["101"], &["one"], 56);
    two_servers(&mut world);
    let account = Trunk {
        auth: TrunkAuth::Registration,
        username: Some("490001".into()),
        ..with_host("named", "pbx.example")
    };
    configure(&mut world, vec![account]);
    world.passes(2_000);
    let [silent, other] = [[10, 1, 0, 99], [10, 1, 0, 1]].map(std::net::IpAddr::from);
    assert!(
        world.registered_at.iter().all(|ip| *ip == silent),
        "{:?}",
        world.registered_at
    );
    world.passes(2_000);
    assert_eq!(
        world.registered_at.last(),
        Some(&other),
        "{:?}",
        world.registered_at
    );
}

#[test]
fn a_trunk_that_shows_a_certificate_is_known_by_that_alone() {
    let mut guarded = trunk("one", 0);
    guarded.tls.client_ca = Some("authorities".into());
    let mut world = world(vec![guarded], 57);
    // Its address is no proof.
    world.dials("one", "101");
    world.passes(2_000);
    assert!(matches!(world.phone("one").state, State::Over(_)));
    assert!(world.records.is_empty());

    let flow = World::flow(([10, 1, 0, 1], 5060).into());
    let trunks = vec!["one".to_owned()];
    world.give(Event::Proven { flow, trunks });
    world.dials("one", "101");
    world.passes(2_000);
    assert_eq!(world.phone("101").state, State::Up);
    let now = world.now;
    world.phone("101").hangs_up(now);
    world.passes(2_000);

    world.give(Event::FlowClosed { flow });
    world.dials("one", "101");
    world.passes(2_000);
    assert!(
        matches!(world.phone("one").state, State::Over(_)),
        "the proof went with it"
    );
}
