//! UDP, TCP and TLS: messages, keep-alives, bounds, connections of our own.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use net::{BindError, Listen, NetEvent, Settings, StreamLimits, Transports, tls};
use sip::{Flow, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::house::{House, PATIENCE, options, read, receive, to, wait_closed};

fn with(limits: StreamLimits) -> Settings {
    Settings {
        limits,
        ..Settings::default()
    }
}

#[tokio::test]
async fn udp_answers_from_the_address_that_was_asked() {
    let cases = [
        ("udp://127.0.0.1:0", "127.0.0.1"),
        ("udp://0.0.0.0:0", "127.0.0.9"),
        ("udp://[::1]:0", "::1"),
        ("udp://[::]:0", "::1"),
    ];
    for (listen, target) in cases {
        let mut house = House::new(&[listen]).await;
        let at = SocketAddr::new(target.parse().unwrap(), house.at(0).port());
        let phone = UdpSocket::bind((target, 0)).await.unwrap();
        phone.send_to(&options("1", 0), at).await.unwrap();
        let (flow, bytes) = house.message().await;
        let expected = to(Transport::Udp, at, phone.local_addr().unwrap());
        assert_eq!((flow, &bytes), (expected, &options("1", 0)));
        house.transports.send(flow, Bytes::from_static(b"answer"));
        assert_eq!(receive(&phone).await, (b"answer".to_vec(), at));
    }
}

#[tokio::test]
async fn both_families_share_a_port_and_a_taken_port_is_explained() {
    let house = House::new(&["udp://[::]:0", "tcp://[::]:0"]).await;
    let listen = house.transports.local_addresses();
    let twin = |index: usize| Listen {
        address: SocketAddr::new("0.0.0.0".parse().unwrap(), listen[index].address.port()),
        ..listen[index]
    };
    let second = Transports::bind(&[twin(0), twin(1)], Settings::default()).await;
    assert!(second.is_ok());
    let error = Transports::bind(&listen[..1], Settings::default())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, BindError::Taken(_)));
    let text = error.to_string();
    assert!(text.starts_with(&format!(
        "udp {} is taken by another program",
        listen[0].address
    )));
    let nowhere = ["udp://192.0.2.1:0".parse().unwrap()];
    let error = Transports::bind(&nowhere, Settings::default()).await.err();
    assert!(matches!(error, Some(BindError::NotOurs(_))));
    let bare = ["tls://127.0.0.1:0".parse().unwrap()];
    let error = Transports::bind(&bare, Settings::default()).await.err();
    assert!(matches!(error, Some(BindError::NoCertificate(_))));
}

#[tokio::test]
async fn a_flood_of_datagrams_does_not_keep_a_stream_waiting() {
    const FLOOD: usize = 300;
    let mut house = House::new(&["udp://127.0.0.1:0", "tcp://127.0.0.1:0"]).await;
    let mut phone = TcpStream::connect(house.at(1)).await.unwrap();
    phone.write_all(&options("first", 0)).await.unwrap();
    assert_eq!(house.message().await.0.transport, Transport::Tcp);
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..FLOOD {
        stranger
            .send_to(&options("2", 0), house.at(0))
            .await
            .unwrap();
    }
    phone.write_all(&options("second", 0)).await.unwrap();
    let mut before = 0;
    while house.message().await.0.transport == Transport::Udp {
        before += 1;
        // As the loop around the switch does after a turn.
        tokio::task::yield_now().await;
    }
    assert!(
        before < FLOOD / 2,
        "{before} datagrams came before the stream's message"
    );
}

#[tokio::test]
async fn a_flood_of_keep_alives_leaves_others_their_turn() {
    let mut house = House::new(&["udp://127.0.0.1:0"]).await;
    let phone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    phone.set_nonblocking(true).unwrap();
    // The runtime believes the socket to be ready until it was found empty.
    phone.send_to(&options("0", 0), house.at(0)).unwrap();
    assert_eq!(house.message().await.1, options("0", 0));
    for _ in 0..200 {
        phone.send_to(b"\r\n\r\n", house.at(0)).unwrap();
    }
    {
        let mut next = std::pin::pin!(house.events.recv());
        let once = std::future::poll_fn(|cx| std::task::Poll::Ready(next.as_mut().poll(cx)));
        assert!(once.await.is_pending());
    }
    let answered = std::iter::from_fn(|| phone.recv(&mut [0; 8]).ok()).count();
    assert!((1..100).contains(&answered), "{answered} in one go");
    phone.send_to(&options("1", 0), house.at(0)).unwrap();
    assert_eq!(house.message().await.1, options("1", 0));
}

#[tokio::test]
async fn datagrams_that_the_kernel_dropped_are_counted() {
    let mut house = House::new(&["udp://127.0.0.1:0"]).await;
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let large = options("1", 60_000);
    for _ in 0..400 {
        stranger.send_to(&large, house.at(0)).unwrap();
    }
    let taken = async {
        // What is dropped is told with the datagrams that come later.
        while house.transports.dropped() == 0 {
            house.message().await;
            stranger.send_to(&large, house.at(0)).unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.unwrap();
}

#[tokio::test]
async fn udp_keep_alives_are_answered_or_ignored() {
    let mut house = House::new(&["udp://127.0.0.1:0"]).await;
    let phone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let stun = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    let blanks: [&[u8]; 6] = [b"", b"\0", b"\0\0\0\0", &stun, b"\r\n", b" \r\n"];
    for blank in blanks {
        phone.send_to(blank, house.at(0)).await.unwrap();
    }
    phone.send_to(b"\r\n\r\n", house.at(0)).await.unwrap();
    phone.send_to(&options("1", 0), house.at(0)).await.unwrap();
    assert_eq!(house.message().await.1, options("1", 0));
    assert_eq!(receive(&phone).await.0, b"\r\n");
}

#[tokio::test]
async fn a_stream_is_cut_into_messages_however_it_is_split() {
    for listen in ["tcp://127.0.0.1:0", "tcp://[::]:0"] {
        let mut house = House::new(&[listen]).await;
        let at = house.at(0);
        let mut phone = TcpStream::connect(at).await.unwrap();
        phone.set_nodelay(true).unwrap();
        for byte in options("1", 3) {
            phone.write_all(&[byte]).await.unwrap();
            phone.flush().await.unwrap();
        }
        let (flow, bytes) = house.message().await;
        assert_eq!(bytes, options("1", 3));
        assert_eq!((flow.local, flow.remote), (at, phone.local_addr().unwrap()));
        assert_ne!(flow.id, 0);

        let two = [options("2", 0), options("3", 5000)].concat();
        phone.write_all(&two).await.unwrap();
        assert_eq!(house.message().await, (flow, options("2", 0)));
        assert_eq!(house.message().await, (flow, options("3", 5000)));

        phone.write_all(b"\r\n\r\n").await.unwrap();
        assert_eq!(read(&mut phone, 2).await, b"\r\n");
        house.transports.send(flow, Bytes::from_static(b"answer"));
        assert_eq!(read(&mut phone, 6).await, b"answer");
        // A flow with id 0 to the same remote finds the same connection.
        let same = Flow { id: 0, ..flow };
        house.transports.send(same, Bytes::from_static(b"more"));
        assert_eq!(read(&mut phone, 4).await, b"more");

        drop(phone);
        assert_eq!(house.closed().await, same);
        assert_eq!(house.closed().await, flow);
        house.transports.send(flow, Bytes::from_static(b"late"));
        assert_eq!(house.closed().await, flow);
    }
}

#[tokio::test]
async fn what_is_no_sip_closes_the_connection() {
    let mut house = House::new(&["tcp://127.0.0.1:0"]).await;
    let bad = "OPTIONS sip:a SIP/2.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
    for text in [bad, "OPTIONS sip:a SIP/2.0\r\nCall-ID: x\r\n\r\n"] {
        let mut phone = TcpStream::connect(house.at(0)).await.unwrap();
        phone.write_all(&options("1", 0)).await.unwrap();
        let (flow, _) = house.message().await;
        phone.write_all(text.as_bytes()).await.unwrap();
        wait_closed(&mut phone).await;
        assert_eq!(house.closed().await, flow);
    }
}

#[tokio::test]
async fn a_request_that_is_too_long_is_answered_before_the_end() {
    let mut house = House::new(&["tcp://127.0.0.1:0"]).await;
    let mut phone = TcpStream::connect(house.at(0)).await.unwrap();
    let head = "MESSAGE sip:102@pbx SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\n\
                From: <sip:101@pbx>;tag=f\r\nTo: <sip:102@pbx>\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\n\
                Content-Length: 100000\r\n\r\n";
    phone.write_all(head.as_bytes()).await.unwrap();
    phone.write_all(&[b'x'; 100_000]).await.unwrap();
    let (flow, bytes) = house.message().await;
    let mut endpoint = sip::Endpoint::new(sip::Config::default());
    endpoint.receive(std::time::Instant::now(), flow, bytes);
    while let Some(output) = endpoint.poll() {
        if let sip::Output::Send { flow, bytes } = output {
            house.transports.send(flow, bytes);
        }
    }
    let mut heard = String::new();
    let read = tokio::time::timeout(PATIENCE, phone.read_to_string(&mut heard));
    read.await.expect("closed in time").expect("not reset");
    assert!(
        heard.starts_with("SIP/2.0 513 Message Too Large\r\n"),
        "{heard}"
    );
    assert!(heard.contains("CSeq: 1 MESSAGE\r\n"), "{heard}");
    assert_eq!(house.closed().await, flow);
}

#[tokio::test]
async fn slow_silent_and_crowding_peers_are_closed() {
    let short = Duration::from_millis(50);
    let limits = StreamLimits {
        per_source: 2,
        idle: Duration::from_secs(60),
        partial: short,
        ..StreamLimits::default()
    };
    let mut house = House::with(&["tcp://127.0.0.1:0"], with(limits)).await;
    // Never a message.
    let mut mute = TcpStream::connect(house.at(0)).await.unwrap();
    wait_closed(&mut mute).await;
    house.closed().await;
    // Half a message.
    let mut slow = TcpStream::connect(house.at(0)).await.unwrap();
    slow.write_all(&options("1", 0)).await.unwrap();
    let (flow, _) = house.message().await;
    slow.write_all(b"OPTIONS").await.unwrap();
    wait_closed(&mut slow).await;
    assert_eq!(house.closed().await, flow);
    // A third connection of one source.
    let mut kept = Vec::new();
    for call in ["2", "3"] {
        let mut phone = TcpStream::connect(house.at(0)).await.unwrap();
        phone.write_all(&options(call, 0)).await.unwrap();
        house.message().await;
        kept.push(phone);
    }
    let mut third = TcpStream::connect(house.at(0)).await.unwrap();
    wait_closed(&mut third).await;
    // Nothing after the last message.
    let limits = StreamLimits {
        idle: short,
        ..StreamLimits::default()
    };
    let mut house = House::with(&["tcp://127.0.0.1:0"], with(limits)).await;
    let mut idle = TcpStream::connect(house.at(0)).await.unwrap();
    wait_closed(&mut idle).await;
    house.closed().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_given_up() {
    let limits = StreamLimits {
        write: Duration::from_millis(50),
        ..StreamLimits::default()
    };
    let mut house = House::with(&["tcp://127.0.0.1:0"], with(limits)).await;
    let mut deaf = TcpStream::connect(house.at(0)).await.unwrap();
    deaf.write_all(&options("1", 0)).await.unwrap();
    let (flow, _) = house.message().await;
    let large = Bytes::from(vec![b'x'; 65_536]);
    let gone = async {
        loop {
            if let Some(event) = house.events.try_recv() {
                break event;
            }
            house.transports.send(flow, large.clone());
            tokio::task::yield_now().await;
        }
    };
    let gone = tokio::time::timeout(PATIENCE, gone).await.unwrap();
    assert_eq!(gone, NetEvent::FlowClosed(flow));
    drop(deaf);
}

#[tokio::test]
async fn our_own_connections_are_made_once_and_show_the_listener() {
    let mut house = House::new(&["tcp://127.0.0.1:0"]).await;
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = peer.local_addr().unwrap();
    let asked = to(Transport::Tcp, house.at(0), remote);
    house.transports.send(asked, Bytes::from_static(b"one"));
    house.transports.send(asked, Bytes::from_static(b"two"));
    let (mut stream, from) = peer.accept().await.unwrap();
    assert_eq!(from.ip(), asked.local.ip());
    assert_eq!(read(&mut stream, 6).await, b"onetwo");
    stream.write_all(&options("1", 0)).await.unwrap();
    let (flow, _) = house.message().await;
    assert_eq!(Flow { id: 0, ..flow }, asked);
    drop(stream);
    assert_eq!(house.closed().await, asked);
    assert_eq!(house.closed().await, flow);

    drop(peer);
    house.transports.send(asked, Bytes::from_static(b"three"));
    assert_eq!(house.closed().await, asked);
}

#[tokio::test]
async fn tls_carries_messages_between_those_who_trust() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let (certificate, key) = tls::self_signed(dir.path(), &names).unwrap();
    let config = crate::house::shown(&certificate, &key);
    let settings = Settings {
        tls: Some(config),
        ..Settings::default()
    };
    let mut server = House::with(&["tls://127.0.0.1:0"], settings).await;
    let mut client = House::new(&["tcp://127.0.0.1:0"]).await;
    let trust = tls::client_config(Some(&certificate)).unwrap();
    client.transports.trust(trust);
    let port = server.at(0).port();
    let found = client
        .transports
        .resolve("localhost", Some(port), Some(Transport::Tls))
        .await;
    let asked = *found
        .iter()
        .find(|flow| flow.remote.is_ipv4())
        .expect("localhost is in /etc/hosts");
    assert_eq!(asked, to(Transport::Tls, client.at(0), server.at(0)));
    client.transports.send(asked, options("1", 20_000));
    let (flow, bytes) = server.message().await;
    assert_eq!(bytes, options("1", 20_000));
    assert_eq!((flow.transport, flow.local), (Transport::Tls, server.at(0)));
    server.transports.send(flow, options("2", 0));
    let (back, bytes) = client.message().await;
    assert_eq!(bytes, options("2", 0));
    assert_eq!(Flow { id: 0, ..back }, asked);

    let stranger = tls::client_config(None).unwrap();
    let mut other = House::new(&["tcp://127.0.0.1:0"]).await;
    other.transports.trust(stranger);
    let asked = to(Transport::Tls, other.at(0), server.at(0));
    other.transports.send(asked, options("3", 0));
    assert_eq!(other.closed().await, asked);
}

#[tokio::test]
async fn a_large_request_goes_by_tcp_when_it_can() {
    let mut house = House::new(&["udp://127.0.0.1:0", "tcp://127.0.0.1:0"]).await;
    let (udp, tcp) = same_port().await;
    let flow = to(Transport::Udp, house.at(0), udp.local_addr().unwrap());
    let large = options("1", 2000);
    house.transports.send(flow, large.clone());
    let (mut stream, _) = tcp.accept().await.unwrap();
    let got = String::from_utf8(read(&mut stream, large.len()).await).unwrap();
    assert!(got.contains("Via: SIP/2.0/TCP a;") && !got.contains("SIP/2.0/UDP"));
    house.transports.send(flow, options("2", 10));
    assert_eq!(
        receive(&udp).await,
        (options("2", 10).to_vec(), house.at(0))
    );
    house.transports.send(flow, large.clone());
    assert_eq!(read(&mut stream, large.len()).await, got.as_bytes());

    drop((stream, tcp));
    house.closed().await;
    house.transports.send(flow, large.clone());
    assert_eq!(receive(&udp).await, (large.to_vec(), house.at(0)));
    house.transports.send(flow, large.clone());
    assert_eq!(receive(&udp).await, (large.to_vec(), house.at(0)));
}

#[tokio::test]
async fn what_belongs_to_a_large_invite_follows_it() {
    let house = House::new(&["udp://127.0.0.1:0", "tcp://127.0.0.1:0"]).await;
    let (udp, tcp) = same_port().await;
    let flow = to(Transport::Udp, house.at(0), udp.local_addr().unwrap());
    let request = |method: &str, branch: &str, body: usize| {
        let text = String::from_utf8(options("1", body).to_vec()).unwrap();
        let text = text.replace("OPTIONS", method);
        Bytes::from(text.replace("z9hG4bK1", &format!("z9hG4bK{branch}")))
    };
    let by_tcp = |text: &Bytes| {
        let text = String::from_utf8(text.to_vec()).unwrap();
        text.replace("SIP/2.0/UDP", "SIP/2.0/TCP").into_bytes()
    };
    let large = request("INVITE", "1", 2000);
    house.transports.send(flow, large.clone());
    let (mut stream, _) = tcp.accept().await.unwrap();
    assert_eq!(read(&mut stream, large.len()).await, by_tcp(&large));
    // RFC 3261 §9.1, §17.1.1.3: the transport of the request.
    for method in ["CANCEL", "ACK"] {
        let small = request(method, "1", 0);
        house.transports.send(flow, small.clone());
        assert_eq!(read(&mut stream, small.len()).await, by_tcp(&small));
    }
    for (method, branch) in [("ACK", "2"), ("BYE", "1")] {
        let small = request(method, branch, 0);
        house.transports.send(flow, small.clone());
        assert_eq!(receive(&udp).await, (small.to_vec(), house.at(0)));
    }
}

/// A UDP socket and a TCP listener at one address.
async fn same_port() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

#[tokio::test]
async fn addresses_resolve_to_flows_with_the_port_of_the_listener() {
    let house = House::new(&["udp://0.0.0.0:0", "tcp://[::]:0", "tcp://0.0.0.0:0"]).await;
    let remote: SocketAddr = "127.0.0.1:5060".parse().unwrap();
    let found = house
        .transports
        .resolve("127.0.0.1", None, Some(Transport::Udp))
        .await;
    assert_eq!(found, [to(Transport::Udp, house.at(0), remote)]);
    let found = house
        .transports
        .resolve("127.0.0.1", None, Some(Transport::Tcp))
        .await;
    assert_eq!(found, [to(Transport::Tcp, house.at(2), remote)]);
    let found = house
        .transports
        .resolve("[::1]", None, Some(Transport::Udp))
        .await;
    assert_eq!(found, [], "no IPv6 socket for UDP");
    let found = house
        .transports
        .resolve("::1", Some(9), Some(Transport::Tcp))
        .await;
    let remote = "[::1]:9".parse().unwrap();
    assert_eq!(found, [to(Transport::Tcp, house.at(1), remote)]);
}
