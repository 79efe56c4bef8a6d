//! TLS with providers: whom we believe, what we show, and whom we know by his certificate.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use net::{Certificates, NetEvent, Pair, Peers, Settings, TlsPeer, Verify, tls};
use sip::{Flow, Transport};

use crate::house::{House, options};

/// A certificate that is its own authority, and its key, PEM; for `name`.
fn pem(dir: &Path, name: &str) -> (String, String) {
    let dir = dir.join(name);
    let (certificate, key) = tls::self_signed(&dir, &[name.to_owned()]).unwrap();
    let read = |file: &Path| std::fs::read_to_string(file).unwrap();
    (read(&certificate), read(&key))
}

fn peer(verify: Verify) -> TlsPeer {
    TlsPeer {
        trunk: "itsp".to_owned(),
        host: "localhost".to_owned(),
        verify,
        shown: None,
        client_ca: None,
        client_name: None,
    }
}

/// A provider that shows the certificate of `localhost` and knows `peers`.
async fn provider(dir: &Path, peers: Vec<TlsPeer>) -> House {
    pem(dir, "localhost");
    let pair = Pair {
        certificate: dir.join("localhost/cert.pem"),
        key: dir.join("localhost/key.pem"),
    };
    let known = Arc::<Peers>::default();
    known.set(peers);
    let certificates = Certificates::load(vec![pair]).unwrap();
    let settings = Settings {
        tls: Some(certificates.server_config(&known)),
        peers: known,
        ..Settings::default()
    };
    House::with(&["tls://127.0.0.1:0"], settings).await
}

async fn flow(house: &House, server: &House) -> Flow {
    let port = Some(server.at(0).port());
    let tls = Some(Transport::Tls);
    let flows = house
        .transports
        .resolve_trunk("itsp", "127.0.0.1", port, tls)
        .await;
    flows[0]
}

/// What comes of a message to `server` by these settings.
async fn sends(server: &mut House, peer: TlsPeer) -> Result<Flow, ()> {
    let mut house = House::new(&["tcp://127.0.0.1:0"]).await;
    house.transports.peers().set(vec![peer]);
    let asked = flow(&house, server).await;
    assert!(asked.is_wish() && asked.id != 0);
    house.transports.send(asked, options("1", 0));
    tokio::select! {
        (flow, _) = server.message() => Ok(flow),
        event = house.event() => match event {
            NetEvent::Proven { .. } => Ok(server.message().await.0),
            other => {
                assert_eq!(other, NetEvent::FlowClosed(asked));
                Err(())
            }
        },
    }
}

#[tokio::test]
async fn a_provider_must_be_the_one_that_was_configured() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = provider(dir.path(), Vec::new()).await;
    let (own, _) = pem(dir.path(), "localhost");
    let (other, _) = pem(dir.path(), "other.example");
    assert!(sends(&mut server, peer(Verify::System)).await.is_err());
    assert!(
        sends(&mut server, peer(Verify::Authorities(other)))
            .await
            .is_err()
    );
    assert!(
        sends(&mut server, peer(Verify::Authorities(own.clone())))
            .await
            .is_ok()
    );
    let elsewhere = TlsPeer {
        host: "sip.example".to_owned(),
        ..peer(Verify::Authorities(own))
    };
    assert!(sends(&mut server, elsewhere).await.is_err(), "not its name");
    assert!(sends(&mut server, peer(Verify::Nothing)).await.is_ok());
    assert!(
        sends(&mut server, peer(Verify::Pin("00".repeat(32))))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn both_sides_know_each_other_by_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, key) = pem(dir.path(), "pbx.example");
    let (stranger, stranger_key) = pem(dir.path(), "stranger.example");
    let known = TlsPeer {
        trunk: "branch".to_owned(),
        client_ca: Some(ours.clone()),
        client_name: Some("PBX.example".to_owned()),
        ..peer(Verify::System)
    };
    let misnamed = TlsPeer {
        trunk: "misnamed".to_owned(),
        client_name: Some("other.example".to_owned()),
        ..known.clone()
    };
    let mut server = provider(dir.path(), vec![known, misnamed]).await;
    let showing = |shown| TlsPeer {
        shown,
        ..peer(Verify::Nothing)
    };
    for (shown, proven) in [
        (Some((ours, key)), true),
        (Some((stranger, stranger_key)), false),
        (None, false),
    ] {
        let house = House::new(&["tcp://127.0.0.1:0"]).await;
        house.transports.peers().set(vec![showing(shown)]);
        let asked = flow(&house, &server).await;
        house.transports.send(asked, options("1", 0));
        if proven {
            let trunks = vec!["branch".to_owned()];
            let NetEvent::Proven { flow, trunks: told } = server.event().await else {
                panic!("nothing was proven");
            };
            assert_eq!((told, server.message().await.0), (trunks, flow));
        } else {
            server.message().await;
        }
    }
}

#[tokio::test]
async fn new_settings_are_for_new_connections() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = provider(dir.path(), Vec::new()).await;
    let mut house = House::new(&["tcp://127.0.0.1:0"]).await;
    house.transports.peers().set(vec![peer(Verify::Nothing)]);
    let first = flow(&house, &server).await;
    house.transports.send(first, options("1", 0));
    let (connection, _) = server.message().await;
    // The same settings: the same connection.
    house.transports.peers().set(vec![peer(Verify::Nothing)]);
    assert_eq!(flow(&house, &server).await, first);
    house.transports.send(first, options("2", 0));
    assert_eq!(server.message().await.0, connection);
    // Others: not that one, and this provider is nobody they believe.
    house.transports.peers().set(vec![peer(Verify::System)]);
    let second = flow(&house, &server).await;
    assert_ne!(second, first);
    house.transports.send(second, Bytes::from_static(b"secret"));
    assert_eq!(house.closed().await, second);
}
