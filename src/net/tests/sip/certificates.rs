//! Certificates over real connections: chosen by name, and changed while connections are open.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use net::{Certificates, NetEvent, Pair, Settings, tls};
use sip::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::house::{House, options};

fn pair(dir: &Path, names: &[&str]) -> Pair {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let (certificate, key) = tls::self_signed(dir, &names).unwrap();
    Pair { certificate, key }
}

async fn house(certificates: &Arc<Certificates>) -> House {
    let settings = Settings {
        tls: Some(certificates.server_config(&Arc::default())),
        ..Settings::default()
    };
    House::with(&["tls://127.0.0.1:0"], settings).await
}

/// Connects and asks for `name`, trusting `pair` alone.
async fn connect(at: SocketAddr, name: &str, pair: &Pair) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(at).await?;
    let trust = tls::client_config(Some(&pair.certificate)).unwrap();
    let name = name.to_owned().try_into().unwrap();
    TlsConnector::from(trust).connect(name, stream).await
}

#[tokio::test]
async fn each_name_has_its_certificate() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = pair(dirs[0].path(), &["pbx.example", "127.0.0.1"]);
    let second = pair(dirs[1].path(), &["*.other.example"]);
    let certificates = Certificates::load(vec![first.clone(), second.clone()]).unwrap();
    let house = house(&certificates).await;
    for (name, shown) in [
        ("pbx.example", &first),
        ("a.other.example", &second),
        // No name is asked for with an address.
        ("127.0.0.1", &first),
    ] {
        connect(house.at(0), name, shown).await.unwrap();
    }
    assert!(
        connect(house.at(0), "a.other.example", &first)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_new_certificate_is_shown_and_no_connection_ends() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let used = pair(dir.path(), &["pbx.example"]);
    let certificates = Certificates::load(vec![used.clone()]).unwrap();
    let mut house = house(&certificates).await;
    let mut phone = connect(house.at(0), "pbx.example", &used).await.unwrap();
    phone.write_all(&options("1", 0)).await.unwrap();
    let (flow, _) = house.message().await;
    assert_eq!(flow.transport, Transport::Tls);

    let fresh = pair(other.path(), &["pbx.example"]);
    let old = std::fs::read(&used.certificate).unwrap();
    std::fs::write(&used.certificate, "nonsense").unwrap();
    assert!(certificates.reload().is_err() && certificates.state().refused.is_some());
    std::fs::write(&used.certificate, &old).unwrap();
    connect(house.at(0), "pbx.example", &used).await.unwrap();

    std::fs::copy(&fresh.certificate, &used.certificate).unwrap();
    std::fs::copy(&fresh.key, &used.key).unwrap();
    certificates.reload().unwrap();
    connect(house.at(0), "pbx.example", &fresh).await.unwrap();

    // The phone of before is where it was, both ways.
    phone.write_all(&options("2", 0)).await.unwrap();
    // The connections between have gone.
    let again = loop {
        if let NetEvent::Message { flow, bytes } = house.event().await {
            break (flow, bytes);
        }
    };
    assert_eq!(again, (flow, options("2", 0)));
    house.transports.send(flow, options("3", 0));
    let mut answer = vec![0; options("3", 0).len()];
    phone.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, options("3", 0));
}

/// RFC 5246 §7.4.1.2: what a client says first whose newest version is TLS 1.(`minor` - 1).
fn hello(minor: u8) -> Vec<u8> {
    let mut hello = vec![3, minor];
    hello.extend([7; 32]);
    // No session; ECDHE-ECDSA with AES-128, GCM and CBC; no compression.
    hello.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x09, 1, 0]);
    // RFC 8422: P-256, uncompressed points; RFC 5246 §7.4.1.4.1: ECDSA with SHA-256.
    hello.extend([0, 22, 0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0]);
    hello.extend([0, 13, 0, 4, 0, 2, 4, 3]);
    let length = hello.len() as u8;
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    record
}

#[tokio::test]
async fn older_tls_than_1_2_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::load(vec![pair(dir.path(), &["pbx.example"])]).unwrap();
    let house = house(&certificates).await;
    // SSL 3.0, TLS 1.0, 1.1 and 1.2: a fatal alert, or our hello.
    for minor in 0..=3 {
        let mut stream = TcpStream::connect(house.at(0)).await.unwrap();
        stream.write_all(&hello(minor)).await.unwrap();
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).await.unwrap();
        let refused = (answer[0], answer[5]) == (21, 2);
        let welcome = (answer[0], answer[5]) == (22, 2);
        assert_eq!((refused, welcome), (minor < 3, minor == 3), "{answer:?}");
    }
}
