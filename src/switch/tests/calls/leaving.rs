//! A PBX that stops takes its registrations at providers back, and waits until they know.

use crate::world::World;
use crate::world::phone::header;
use bytes::Bytes;
use directory::{Codec, Directory, Trunk, TrunkAuth, TrunkTransport};
use sip::{Flow, Transport};
use std::collections::BTreeMap;
use std::sync::Arc;
use switch::{Command, Event};

fn line() -> Flow {
    Flow {
        transport: Transport::Udp,
        local: "10.9.9.9:5060".parse().expect("an address"),
        remote: "10.1.0.1:5060".parse().expect("an address"),
        id: 0,
    }
}

/// What the PBX sends upon `event`, and whether it says that it has stopped.
fn upon(world: &mut World, event: Event) -> (Vec<String>, bool) {
    let (mut sent, mut stopped) = (Vec::new(), false);
    let mut events = vec![event];
    while let Some(event) = events.pop() {
        world.switch.handle(world.now, event);
        while let Some(command) = world.switch.poll() {
            match command {
                Command::Send { bytes, .. } => sent.push(String::from_utf8_lossy(&bytes).into()),
                Command::Resolve { query, .. } => events.push(Event::Resolved {
                    query,
                    flows: vec![line()],
                }),
                Command::Notice(notice) => stopped |= format!("{notice:?}") == "Stopped",
                _ => {}
            }
        }
    }
    (sent, stopped)
}

/// The provider's answer to `request`.
fn answer(request: &str, status: &str, more: &str) -> Event {
    let copied: String = ["Via", "From", "To", "Call-ID", "CSeq"]
        .map(|name| format!("{name}: {}\r\n", header(request, name)))
        .concat();
    let text = format!("SIP/2.0 {status}\r\n{copied}{more}Content-Length: 0\r\n\r\n");
    Event::Sip {
        flow: line(),
        bytes: Bytes::from(text),
    }
}

fn registered(world: &mut World) {
    let trunk = Trunk {
        name: "itsp".into(),
        host: "10.1.0.1".into(),
        port: None,
        transport: TrunkTransport::Udp,
        auth: TrunkAuth::Registration,
        username: Some("490001".into()),
        codecs: vec![Codec::Pcma],
        numbers: BTreeMap::new(),
        match_port: false,
        tls: directory::TrunkTls::default(),
        trust_identity: false,
        reliable_provisionals: directory::Reliability::Supported,
        srtp: directory::Srtp::Off,
        dtmf: directory::DtmfMode::default(),
    };
    let directory = Directory::new(Vec::new(), vec![(trunk, Some("secret".into()))]);
    let (sent, _) = upon(world, Event::Directory(Arc::new(directory)));
    assert_eq!(sent.len(), 1, "{sent:?}");
    upon(world, answer(&sent[0], "200 OK", "Expires: 120\r\n"));
}

#[test]
fn the_provider_may_ask_who_leaves() {
    let mut world = World::new(&[], 31);
    registered(&mut world);
    let (sent, stopped) = upon(&mut world, Event::Stop);
    assert_eq!(header(&sent[0], "Expires"), "0");
    assert!(!stopped);
    let challenge = "WWW-Authenticate: Digest realm=\"itsp\", nonce=\"n\", qop=\"auth\"\r\n";
    let (sent, stopped) = upon(&mut world, answer(&sent[0], "401 Unauthorized", challenge));
    assert!(header(&sent[0], "Authorization").starts_with("Digest username=\"490001\""));
    assert!(!stopped);
    let (_, stopped) = upon(&mut world, answer(&sent[0], "200 OK", ""));
    assert!(stopped);
}

#[test]
fn a_provider_that_is_gone_is_not_waited_for_without_end() {
    let mut world = World::new(&[], 32);
    registered(&mut world);
    assert!(!upon(&mut world, Event::Stop).1);
    world.passes(33_000);
    assert!(world.log.iter().any(|notice| notice == "Stopped"));
}
