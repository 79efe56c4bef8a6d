//! Accepting goes on after the program ran out of file descriptors. Alone in its program, because the limit is one of
//! the whole program.
#![expect(unsafe_code, reason = "setrlimit has no safe interface in std")]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up shall fail"
)]

use std::time::Duration;

use net::{NetEvent, Transports};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn limit_files(more: u64) {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` lives through both calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = open + more;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
}

#[tokio::test]
async fn accepting_survives_a_lack_of_file_descriptors() {
    let listen = ["tcp://127.0.0.1:0".parse().unwrap()];
    let (transports, mut events) = Transports::bind(&listen, net::Settings::default())
        .await
        .unwrap();
    events.watch().unwrap();
    let at = transports.local_addresses()[0].address;
    limit_files(15);
    let mut crowd = Vec::new();
    let error = loop {
        match TcpStream::connect(at).await {
            Ok(stream) => crowd.push(stream),
            Err(error) => break error,
        }
        // Lets the listener take what it can, down to the last descriptor.
        tokio::task::yield_now().await;
    };
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    crowd.clear();

    let text = "OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n";
    let later = async {
        let mut phone = loop {
            match TcpStream::connect(at).await {
                Ok(phone) => break phone,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        phone.write_all(text.as_bytes()).await.unwrap();
        loop {
            if let Some(NetEvent::Message { bytes, .. }) = events.recv().await {
                break assert_eq!(bytes, text);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), later)
        .await
        .unwrap();
}
