//! Proves that no codec, resampler or packet routine allocates once it is made: the global allocator counts.

#![expect(
    clippy::disallowed_methods,
    reason = "virtual time begins at some time"
)]

use media::codec::resample::Resampler;
use media::codec::{Codec, Decoder, Encoder, MAX_FRAME};
use media::rtp::packet::{self, Header};
use media::rtp::stats::Reception;
use media::rtp::{dtmf, rtcp};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

struct Counting;

thread_local! {
    /// Allocations of this thread alone: the harness' own threads may allocate meanwhile.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn counted() {
    // A thread that is ending has no cell left, and is none of ours.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

#[expect(
    unsafe_code,
    reason = "only a global allocator sees every allocation; each call goes on to the system's unchanged"
)]
// SAFETY: every method hands its arguments to `System` under the caller's own guarantees.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        counted();
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        counted();
        // SAFETY: as above.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        counted();
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `work` and returns how often it allocated, freed or resized.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.with(Cell::get);
    work();
    COUNT.with(Cell::get) - before
}

/// A sawtooth: any sound will do.
fn sound(samples: usize) -> Vec<i16> {
    (0..samples)
        .map(|n| (n * 331 % 20_000) as i16 - 10_000)
        .collect()
}

#[test]
fn the_counter_counts() {
    assert!(allocations(|| drop(std::hint::black_box(vec![1; 100]))) >= 2);
}

#[test]
fn codecs_do_not_allocate() {
    for codec in Codec::ALL {
        for rate_hz in [8_000, 16_000, 48_000] {
            let (Ok(mut encoder), Ok(mut decoder)) =
                (Encoder::new(codec, rate_hz), Decoder::new(codec, rate_hz))
            else {
                continue;
            };
            let frame = rate_hz as usize / 50;
            let pcm = sound(frame * 50);
            let (mut payload, mut heard) = ([0; 1_500], [0; MAX_FRAME]);
            let count = allocations(|| {
                for (n, piece) in pcm.chunks_exact(frame).enumerate() {
                    encoder.expect_loss(if n > 25 { 20 } else { 0 });
                    let bytes = encoder.encode(piece, &mut payload);
                    let payload = payload.get(..bytes).unwrap_or_default();
                    match n % 7 {
                        3 => decoder.conceal(&mut heard, frame),
                        5 => decoder.recover(payload, &mut heard, frame),
                        6 => decoder.decode(&[0xff; 90], &mut heard),
                        _ => decoder.decode(payload, &mut heard),
                    };
                }
            });
            assert_eq!(count, 0, "{codec:?} at {rate_hz} Hz");
        }
    }
}

#[test]
fn resamplers_do_not_allocate() {
    for (from_hz, to_hz) in [
        (8_000, 16_000),
        (16_000, 8_000),
        (8_000, 48_000),
        (48_000, 8_000),
        (16_000, 48_000),
        (48_000, 16_000),
    ] {
        let mut resampler = Resampler::new(from_hz, to_hz).expect("a supported ratio");
        let input = sound(from_hz as usize / 50);
        let mut out = [0; MAX_FRAME];
        let count = allocations(|| {
            for _ in 0..50 {
                assert_eq!(resampler.process(&input, &mut out), to_hz as usize / 50);
            }
        });
        assert_eq!(count, 0, "{from_hz} to {to_hz}");
    }
}

#[test]
fn packets_do_not_allocate() {
    let start = Instant::now();
    let mut reception = Reception::new(8_000);
    let mut receiver = dtmf::Receiver::new();
    let mut out = [0; rtcp::MAX_REPORT];
    let count = allocations(|| {
        let mut sender = dtmf::Sender::new('5', 0, 8_000, 100);
        for n in 0..100u16 {
            let header = Header {
                marker: n == 0,
                payload_type: 0,
                sequence: n,
                timestamp: u32::from(n) * 160,
                ssrc: 1,
            };
            let length = packet::write(&header, &mut out);
            let now = start + Duration::from_millis(20) * u32::from(n);
            if let Some((header, _)) = out.get(..length).and_then(packet::parse) {
                reception.received(now, &header);
            }
            if let Some(event) = sender.as_mut().and_then(dtmf::Sender::next) {
                receiver.receive(&header, &event.payload);
            }
            let report = rtcp::Report {
                ssrc: 2,
                sender: None,
                block: reception.report(now),
                cname: "offhook",
            };
            let length = rtcp::write(&report, &mut out);
            assert!(
                n < 2
                    || rtcp::parse(out.get(..length).unwrap_or_default())
                        .is_some_and(|packets| packets.count() == 2)
            );
        }
    });
    assert_eq!(count, 0);
}
