//! RFC 3263 §4.3: a provider with several servers is called and registered at through the next one when the first says
//! 503, takes no connection or says nothing, also when the next one is on another network or of the other IP version.

use crate::world::phone::{Manner, State};
use crate::world::{EMPTY, World, extension, trunk};
use directory::{Directory, Trunk, TrunkAuth};
use std::net::IpAddr;
use std::sync::Arc;
use switch::Event;

const FIRST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 0, 1));
const SECOND: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 0, 2));
const SIX: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 99));

/// Why the first server is of no use.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Says503,
    TakesNoConnection,
}

/// 101, and `pbx.example`, which leads to `places`; `one` listens at [`FIRST`], `two` at [`SECOND`].
fn office(places: &[IpAddr], auth: TrunkAuth, trouble: Trouble) -> World {
    let mut world = World::with_trunks(&["101"], &["one", "two"], 70);
    let host = "pbx.example".to_owned();
    world.names.insert(host.clone(), places[0]);
    world.others.insert(host.clone(), places[1..].to_vec());
    let named = Trunk {
        host,
        auth,
        username: Some("490001".into()),
        ..trunk("named", 0)
    };
    let directory = Directory::new(vec![extension("101")], vec![(named, None)]);
    match trouble {
        Trouble::Says503 => world.phone("one").manner = Manner::Refuses(503),
        Trouble::TakesNoConnection => world.closed = vec![FIRST],
    }
    world.give(Event::Directory(Arc::new(directory)));
    world
}

fn hangs_up(world: &mut World) {
    let now = world.now;
    world.phone("101").hangs_up(now);
    assert_eq!(world.is_silent(), EMPTY);
    assert!(world.streams.is_empty());
    assert_eq!(world.records.len(), 1, "one journey, one record");
    assert_eq!(world.records[0].sip_code, 200);
}

#[test]
fn a_call_goes_to_the_next_server_at_once() {
    for trouble in [Trouble::Says503, Trouble::TakesNoConnection] {
        let mut world = office(&[FIRST, SECOND], TrunkAuth::Address, trouble);
        world.dials("101", "903055501234");
        world.passes(1_000);
        assert!(world.talks("101", "two"), "{trouble:?}");
        let rung = world.phone("one").letters("INVITE").len();
        let reached = matches!(trouble, Trouble::Says503);
        assert_eq!(rung, usize::from(reached), "{trouble:?}");
        hangs_up(&mut world);
        assert_eq!(world.records[0].legs.len(), 2);
    }
}

#[test]
fn without_a_server_left_the_call_fails_as_the_last_one_says() {
    let mut world = office(&[FIRST, SECOND], TrunkAuth::Address, Trouble::Says503);
    world.phone("two").manner = Manner::Refuses(503);
    world.dials("101", "903055501234");
    world.passes(2_000);
    assert_eq!(world.phone("two").letters("INVITE").len(), 1);
    assert_eq!(world.phone("101").state, State::Over(503));
    assert_eq!(world.is_silent(), EMPTY);
}

#[test]
fn we_register_at_the_next_server_at_once() {
    for trouble in [Trouble::Says503, Trouble::TakesNoConnection] {
        let mut world = office(&[FIRST, SECOND], TrunkAuth::Registration, trouble);
        world.passes(1_000);
        let asked = &world.registered_at;
        assert_eq!(asked.last(), Some(&SECOND), "{trouble:?}: {asked:?}");
        let is_in = |notice: &String| notice.contains("state: Registered");
        assert!(world.log.iter().any(is_in), "{:?}", world.log);
    }
}

#[test]
fn a_call_goes_on_over_the_other_ip_version() {
    for (first, wait) in [(vec![SIX], 5_000), (vec![SIX, FIRST, SIX], 9_500)] {
        let places = [first.as_slice(), &[SECOND]].concat();
        let mut world = office(&places, TrunkAuth::Address, Trouble::Says503);
        world.dials("101", "903055501234");
        world.passes(2_000);
        let [local] = world.streams.values().collect::<Vec<_>>()[..] else {
            panic!("one stream: {:?}", world.streams)
        };
        assert!(local.is_ipv6(), "{local}");
        world.passes(wait);
        assert!(world.talks("101", "two"), "{places:?}");
        // Its SDP is of that network, and so are its sockets.
        let invite = world.phone("two").invite.clone();
        assert!(invite.contains("c=IN IP4 10.9.9.9"), "{invite}");
        assert_eq!(world.streams.len(), 2, "{:?}", world.streams);
        assert!(world.streams.values().all(|local| local.is_ipv4()));
        hangs_up(&mut world);
    }
}

#[test]
fn a_caller_may_give_up_between_two_networks() {
    for after in [3_900, 4_000, 4_100, 5_000] {
        let mut world = office(&[SIX, SECOND], TrunkAuth::Address, Trouble::Says503);
        world.phone("two").manner = Manner::RingsOnly;
        world.dials("101", "903055501234");
        world.passes(after);
        let now = world.now;
        world.phone("101").cancels(now);
        world.passes(2_000);
        assert_eq!(world.phone("101").state, State::Over(487), "{after}");
        assert_ne!(world.phone("two").state, State::Ringing, "{after}");
        assert_eq!(world.is_silent(), EMPTY);
        assert!(world.streams.is_empty());
        assert_eq!(world.records.len(), 1);
    }
}

#[test]
fn we_register_over_the_other_ip_version() {
    let mut world = office(&[SIX, SECOND], TrunkAuth::Registration, Trouble::Says503);
    world.passes(5_000);
    let asked = &world.registered_at;
    assert_eq!((asked[0], asked.last()), (SIX, Some(&SECOND)), "{asked:?}");
}
