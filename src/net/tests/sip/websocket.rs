//! SIP over WebSocket: browsers.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use net::{Settings, StreamLimits, tls};
use sip::Transport;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::house::{House, PATIENCE, options, to, wait_closed};

type Browser<S> = WebSocketStream<S>;

async fn browse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    headers: &[(&'static str, &str)],
) -> Result<Browser<S>, Error> {
    let mut request = "ws://pbx.example/ws".into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await?;
    assert_eq!(response.headers()["sec-websocket-protocol"], "sip");
    Ok(socket)
}

async fn connect(at: SocketAddr) -> Browser<TcpStream> {
    let stream = TcpStream::connect(at).await.unwrap();
    let sip = [("sec-websocket-protocol", "sip")];
    browse(stream, &sip).await.unwrap()
}

async fn next<S: AsyncRead + AsyncWrite + Unpin>(browser: &mut Browser<S>) -> Message {
    let message = tokio::time::timeout(PATIENCE, browser.next()).await;
    message.expect("in time").expect("a message").unwrap()
}

fn short() -> Settings {
    let limits = StreamLimits {
        partial: Duration::from_millis(200),
        ping: Duration::from_millis(50),
        write: Duration::from_millis(300),
        connect: Duration::from_millis(300),
        per_source: 2,
        ..StreamLimits::default()
    };
    Settings {
        limits,
        ..Settings::default()
    }
}

#[tokio::test]
async fn each_frame_is_a_message_text_or_not() {
    let mut house = House::new(&["ws://127.0.0.1:0"]).await;
    let mut browser = connect(house.at(0)).await;
    let text = String::from_utf8(options("1", 3).to_vec()).unwrap();
    browser.send(Message::text(text)).await.unwrap();
    let (flow, bytes) = house.message().await;
    assert_eq!(bytes, options("1", 3));
    let remote = browser.get_ref().local_addr().unwrap();
    let expected = sip::Flow {
        id: flow.id,
        ..to(Transport::Ws, house.at(0), remote)
    };
    assert!(flow == expected && flow.id != 0, "{flow:?}");
    browser
        .send(Message::binary(options("2", 0)))
        .await
        .unwrap();
    assert_eq!(house.message().await, (flow, options("2", 0)));

    house.transports.send(flow, options("3", 0));
    let text = String::from_utf8(options("3", 0).to_vec()).unwrap();
    assert_eq!(next(&mut browser).await, Message::text(text));
    let latin = Bytes::from_static(b"MESSAGE \xe4");
    house.transports.send(flow, latin.clone());
    assert_eq!(next(&mut browser).await, Message::Binary(latin));

    browser.send(Message::text("\r\n\r\n")).await.unwrap();
    assert_eq!(next(&mut browser).await, Message::text("\r\n"));
    drop(browser);
    assert_eq!(house.closed().await, flow);
}

#[tokio::test]
async fn a_browser_is_reached_by_its_connection_alone() {
    let mut house = House::new(&["ws://127.0.0.1:0"]).await;
    let mut browser = connect(house.at(0)).await;
    browser
        .send(Message::binary(options("1", 0)))
        .await
        .unwrap();
    let (flow, _) = house.message().await;
    // After a restart the connection's number is not known any more, but whoever comes from there is the same.
    let any = sip::Flow { id: 0, ..flow };
    house.transports.send(any, options("2", 0));
    assert!(next(&mut browser).await.is_text());
    browser.close(None).await.unwrap();
    // Whoever used it is told under the name used.
    assert_eq!(house.closed().await, any);
    assert_eq!(house.closed().await, flow);
    for gone in [flow, any] {
        house.transports.send(gone, options("3", 0));
        assert_eq!(house.closed().await, gone, "nobody is connected to");
    }
}

#[tokio::test]
async fn wss_is_websocket_in_tls() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = tls::self_signed(dir.path(), &["localhost".to_owned()]).unwrap();
    let settings = Settings {
        tls: Some(crate::house::shown(&certificate, &key)),
        ..Settings::default()
    };
    let mut house = House::with(&["wss://127.0.0.1:0"], settings).await;
    let stream = TcpStream::connect(house.at(0)).await.unwrap();
    let trust = tls::client_config(Some(&certificate)).unwrap();
    let stream = TlsConnector::from(trust)
        .connect("localhost".try_into().unwrap(), stream)
        .await
        .unwrap();
    let mut browser = browse(stream, &[("sec-websocket-protocol", "sip")])
        .await
        .unwrap();
    browser
        .send(Message::binary(options("1", 20_000)))
        .await
        .unwrap();
    let (flow, bytes) = house.message().await;
    assert_eq!(
        (flow.transport, bytes),
        (Transport::Wss, options("1", 20_000))
    );
    house.transports.send(flow, options("2", 0));
    assert!(next(&mut browser).await.is_text());
}

#[tokio::test]
async fn who_cannot_be_served_is_told_why() {
    let settings = Settings {
        origins: ["https://phones.example".to_owned()].into(),
        ..Settings::default()
    };
    let house = House::with(&["ws://127.0.0.1:0"], settings).await;
    for (headers, status) in [
        (vec![], 400),
        (vec![("sec-websocket-protocol", "chat")], 400),
        (
            vec![
                ("sec-websocket-protocol", "sip"),
                ("origin", "https://evil.example"),
            ],
            403,
        ),
    ] {
        let stream = TcpStream::connect(house.at(0)).await.unwrap();
        match browse(stream, &headers).await.err().unwrap() {
            Error::Http(response) => assert_eq!(response.status().as_u16(), status),
            other => panic!("{other}"),
        }
    }
    let mut plain = TcpStream::connect(house.at(0)).await.unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: pbx\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
}

#[tokio::test]
async fn pings_keep_it_open_and_silence_ends_it() {
    let mut house = House::with(&["ws://127.0.0.1:0"], short()).await;
    let mut browser = connect(house.at(0)).await;
    browser
        .send(Message::binary(options("1", 0)))
        .await
        .unwrap();
    let (flow, _) = house.message().await;
    // Far longer than silence is borne; reading answers the pings.
    for _ in 0..6 {
        assert!(next(&mut browser).await.is_ping());
    }
    house.transports.send(flow, options("2", 0));
    while next(&mut browser).await.is_ping() {}
    // Reads no more.
    assert_eq!(house.closed().await, flow);
    drop(browser);
}

#[tokio::test]
async fn slow_and_hostile_browsers_are_closed() {
    let mut house = House::with(&["ws://127.0.0.1:0"], short()).await;
    // No handshake, half of one, and no first message.
    let mut mute = TcpStream::connect(house.at(0)).await.unwrap();
    let mut third = connect(house.at(0)).await;
    let mut refused = TcpStream::connect(house.at(0)).await.unwrap();
    wait_closed(&mut refused).await;
    while let Ok(message) = tokio::time::timeout(PATIENCE, third.next())
        .await
        .unwrap()
        .unwrap()
    {
        if message.is_close() {
            break;
        }
    }
    house.closed().await;
    drop(third);

    // A message that is longer than any of SIP.
    let mut long = connect(house.at(0)).await;
    long.send(Message::binary(vec![b'x'; 100_000]))
        .await
        .unwrap();
    let end = loop {
        match next(&mut long).await {
            Message::Close(frame) => break frame.unwrap().code,
            _ping => {}
        }
    };
    assert_eq!(end, CloseCode::Size);
    house.closed().await;
    drop(long);

    // The rest of a message never comes, though pings are answered.
    let mut slow = connect(house.at(0)).await;
    slow.send(Message::binary(options("1", 0))).await.unwrap();
    let (flow, _) = house.message().await;
    let first = Frame::message(
        Bytes::from_static(b"OPT"),
        OpCode::Data(Data::Binary),
        false,
    );
    slow.send(Message::Frame(first)).await.unwrap();
    let end = loop {
        match next(&mut slow).await {
            Message::Close(frame) => break frame.unwrap().code,
            _ping => {}
        }
    };
    assert_eq!(end, CloseCode::Policy);
    assert_eq!(house.closed().await, flow);
    wait_closed(&mut mute).await;
}

#[tokio::test]
async fn a_browser_that_does_not_read_is_given_up() {
    let mut settings = short();
    settings.limits.ping = PATIENCE;
    let mut house = House::with(&["ws://127.0.0.1:0"], settings).await;
    let mut deaf = connect(house.at(0)).await;
    deaf.send(Message::binary(options("1", 0))).await.unwrap();
    let (flow, _) = house.message().await;
    let large = Bytes::from(vec![b'x'; 60_000]);
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
    assert_eq!(gone, net::NetEvent::FlowClosed(flow));
    drop(deaf);
}
