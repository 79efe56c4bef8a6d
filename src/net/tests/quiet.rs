//! A media thread does not allocate for a packet: memory that is busy or gone must not stop speech. Alone in its
//! program, because it counts every allocation there is.
#![expect(unsafe_code, reason = "a counting allocator")]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up shall fail"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use media::{Codec, Command, Direction, Negotiated, Security, Settings, StreamId};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn free_pair() -> SocketAddr {
    loop {
        let first = UdpSocket::bind("127.0.0.1:0").unwrap();
        let local = first.local_addr().unwrap();
        let next = SocketAddr::new(local.ip(), local.port() + 1);
        if local.port().is_multiple_of(2) && UdpSocket::bind(next).is_ok() {
            return local;
        }
    }
}

/// Sends packet after packet until `count` have come back.
fn exchange(phone: &UdpSocket, at: SocketAddr, sequence: &mut u16, count: usize) {
    let mut packet = [0; 172];
    let mut back = [0; 2048];
    let mut heard = 0;
    while heard < count {
        *sequence = sequence.wrapping_add(1);
        packet[0] = 0x80;
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&(u32::from(*sequence) * 160).to_be_bytes());
        phone.send_to(&packet, at).unwrap();
        heard += usize::from(phone.recv(&mut back).is_ok());
    }
}

#[test]
fn packets_are_relayed_and_transcoded_without_allocating() {
    let (sender, _events) = tokio::sync::mpsc::channel(16);
    let media = net::Media::start(1, std::env::temp_dir(), sender).unwrap();
    for (call, codec) in [(1, Codec::Pcmu), (2, Codec::G722)] {
        let (alice, bob) = (StreamId(call << 8), StreamId(call << 8 | 1));
        let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
        phone
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let remote = phone.local_addr().unwrap();
        let mut at = None;
        for (stream, codec) in [(bob, codec), (alice, Codec::Pcmu)] {
            let local = free_pair();
            at = Some(local);
            let settings = Settings::default();
            media.command(Command::Open {
                stream,
                local,
                settings,
            });
            let payload_type = codec.static_pt().unwrap();
            let negotiated = Negotiated {
                codec,
                payload_type,
                receive_type: payload_type,
                dtmf: None,
                ptime_ms: 20,
                remote,
                remote_rtcp: remote,
                direction: Direction::SendRecv,
                security: Security::Plain,
                extended: media::Extended::default(),
            };
            media.command(Command::Negotiated { stream, negotiated });
        }
        media.command(Command::Join { a: alice, b: bob });
        let mut sequence = 0;
        // Threads that were only just started allocate too; a packet that did would spoil every round.
        let quiet = (0..20).any(|_| {
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            exchange(&phone, at.unwrap(), &mut sequence, 500);
            ALLOCATIONS.load(Ordering::Relaxed) == before
        });
        assert!(quiet, "{codec:?}");
    }
}
