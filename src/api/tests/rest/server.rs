//! The server with its sockets: clients that are slow, too many, or guess keys.

use crate::office::{KEY, Office};
use api::Limits;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Long enough for anything on a busy machine.
const LATE: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);

async fn open(limits: Limits) -> (Office, SocketAddr) {
    let office = Office::on_sqlite().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut api = office.api.clone();
    api.limits = limits;
    tokio::spawn(api::serve(listener, api));
    (office, address)
}

fn request(method: &str, path: &str, headers: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: office\r\nAuthorization: Bearer {KEY}\r\n{headers}\r\n"
    )
}

async fn connect(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// All that comes until the server closes the connection.
async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(LATE, stream.read_to_end(&mut text));
    read.await.expect("closed by the server").unwrap();
    String::from_utf8(text).unwrap()
}

/// The status and all else that comes back until the server closes the connection.
async fn ask(address: SocketAddr, text: &str) -> (String, String) {
    let answer = read_all(&mut connect(address, text).await).await;
    let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
    (status, answer)
}

#[tokio::test]
async fn who_sends_nothing_is_closed() {
    let limits = Limits {
        head_timeout: SHORT,
        ..Limits::default()
    };
    let (_office, address) = open(limits).await;
    let begun = Instant::now();
    let whole = request("GET", "/api/v1/calls", "");
    let beginning = whole.split_at(40).0;
    let (mut silent, mut slow, mut idle) = (
        connect(address, "").await,
        connect(address, beginning).await,
        connect(address, &whole).await,
    );
    let answers = tokio::join!(
        read_all(&mut silent),
        read_all(&mut slow),
        read_all(&mut idle)
    );
    assert!(begun.elapsed() >= SHORT);
    assert_eq!(answers.0, "");
    assert!(!answers.1.contains("200 OK"), "{}", answers.1);
    assert!(answers.2.starts_with("HTTP/1.1 200 OK"), "{}", answers.2);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let limits = Limits {
        body_timeout: SHORT,
        ..Limits::default()
    };
    let (_office, address) = open(limits).await;
    let headers = "Content-Type: application/json\r\nContent-Length: 100\r\n";
    let begun = Instant::now();
    let text = request("POST", "/api/v1/extensions", headers) + "{";
    let (status, answer) = ask(address, &text).await;
    assert_eq!(status, "408");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(begun.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_large_body_is_refused_before_it_is_sent() {
    let (_office, address) = open(Limits::default()).await;
    let length = api::MAX_BODY_BYTES + 1;
    let headers = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    let text = request("PUT", "/api/v1/dialplan", &headers);
    let (status, answer) = ask(address, &text).await;
    assert_eq!(status, "413");
    assert!(answer.contains("application/problem+json"), "{answer}");
}

#[tokio::test]
async fn who_says_nothing_makes_room_for_who_does() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let (_office, address) = open(limits).await;
    let mut first = connect(address, "").await;
    let whole = request("GET", "/api/v1/calls", "");
    let mut second = connect(address, "").await;
    let begun = Instant::now();
    let text = request("GET", "/api/v1/calls", "Connection: close\r\n");
    assert_eq!(ask(address, &text).await.0, "200");
    assert!(begun.elapsed() < limits.head_timeout / 2, "at once");
    let mut byte = [0];
    let closed = tokio::time::timeout(LATE, first.read(&mut byte)).await;
    assert!(!matches!(closed, Ok(Ok(1..)) | Err(_)), "{closed:?}");
    second.write_all(whole.as_bytes()).await.unwrap();
    assert_eq!(second.read(&mut byte).await.unwrap(), 1, "still served");
}

#[tokio::test]
async fn connections_with_a_request_in_work_are_waited_for() {
    let limits = Limits {
        connections: 2,
        body_timeout: SHORT,
        ..Limits::default()
    };
    let (_office, address) = open(limits).await;
    let headers =
        "Content-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n";
    let text = request("POST", "/api/v1/extensions", headers);
    let begun = Instant::now();
    let mut busy = [connect(address, &text).await, connect(address, &text).await];
    for stream in &mut busy {
        let mut word = [0; 12];
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"HTTP/1.1 100", "its body is waited for");
    }
    let text = request("GET", "/api/v1/calls", "Connection: close\r\n");
    assert_eq!(ask(address, &text).await.0, "200");
    assert!(begun.elapsed() >= SHORT, "it had to wait for a place");
    for mut stream in busy {
        assert!(read_all(&mut stream).await.contains("HTTP/1.1 408"));
    }
}

#[tokio::test]
async fn who_guesses_keys_locks_nobody_out() {
    let limits = Limits {
        wrong_keys: 3,
        ..Limits::default()
    };
    let (office, address) = open(limits).await;
    let stored = office.store.first_admin_key().await.unwrap();
    let right = request("GET", "/api/v1/calls", "Connection: close\r\n");
    let wrong = right.replace(KEY, "ohk_guess");
    for _ in 0..3 {
        assert_eq!(ask(address, &wrong).await.0, "401");
    }
    let (status, answer) = ask(address, &wrong).await;
    assert_eq!(status, "429");
    assert!(answer.to_lowercase().contains("\r\nretry-after: 1\r\n"));
    let other = wrong.replace("Connection", "X-Forwarded-For: 192.0.2.1\r\nConnection");
    assert_eq!(ask(address, &other).await.0, "429", "anybody can say so");
    assert_eq!(ask(address, &right).await.0, "200");
    let right = right.replace(KEY, &stored.expect("a first key"));
    assert_eq!(ask(address, &right).await.0, "200");
    let again = async {
        while ask(address, &wrong).await.0 != "401" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LATE, again).await.expect("heard");
}
