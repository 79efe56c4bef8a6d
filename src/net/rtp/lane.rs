//! The way from the desk to one worker: a ring and a bell. The worker never waits for whoever fills it.
#![expect(
    unsafe_code,
    reason = "eventfd, read and write have no safe interface in std"
)]

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use media::{Command, Event, StreamId};

use super::passage::{Entrance, Exit};
use rtrb::{Consumer, Producer, PushError, RingBuffer};

/// Orders that fit without any lock between the two threads.
const RING: usize = 4096;
/// Orders kept beyond the ring while the worker is late: more than all streams of a machine can give in seconds.
const SPILL: usize = 1 << 18;

/// What a worker is asked to do.
pub(super) enum Order {
    Engine(Command),
    /// Tell this event in the order of the worker's own.
    Tell(Event),
    /// The stream goes to another worker.
    Leave(StreamId, Exit),
    /// A stream comes from another worker. What is ordered after this waits for it.
    Arrive(Entrance),
}

/// Shared by both ends.
struct Bell {
    fd: OwnedFd,
    spilled: AtomicBool,
    spill: Mutex<VecDeque<Order>>,
}

/// The desk's end.
pub(super) struct Lane {
    ring: Mutex<Producer<Order>>,
    unheard: AtomicBool,
    bell: Arc<Bell>,
}

/// The worker's end.
pub(super) struct Orders {
    ring: Consumer<Order>,
    bell: Arc<Bell>,
}

pub(super) fn lane() -> io::Result<(Lane, Orders)> {
    let (producer, consumer) = RingBuffer::new(RING);
    // SAFETY: no pointers; the result is checked and owned by nobody else.
    let fd = unsafe {
        let fd = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    let bell = Arc::new(Bell {
        fd,
        spilled: AtomicBool::new(false),
        spill: Mutex::default(),
    });
    let lane = Lane {
        ring: Mutex::new(producer),
        unheard: AtomicBool::new(false),
        bell: bell.clone(),
    };
    let orders = Orders {
        ring: consumer,
        bell,
    };
    Ok((lane, orders))
}

impl Lane {
    /// Gives an order, which is heard at the next [`ring`](Lane::ring).
    pub(super) fn push(&self, order: Order) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let left = if self.bell.spilled.load(Ordering::Acquire) {
            Some(order)
        } else {
            ring.push(order).err().map(|PushError::Full(order)| order)
        };
        if let Some(order) = left {
            let mut spill = self
                .bell
                .spill
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if spill.len() < SPILL {
                spill.push_back(order);
            } else {
                tracing::error!("a media thread does not take its orders: one was lost");
            }
            self.bell.spilled.store(true, Ordering::Release);
        }
        self.unheard.store(true, Ordering::Release);
    }

    /// Wakes the worker when there are orders it was not woken for.
    pub(super) fn ring(&self) {
        if self.unheard.swap(false, Ordering::AcqRel) {
            self.ring_bell();
        }
    }

    fn ring_bell(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: `one` is eight octets and lives through the call. A full counter is a bell that rings already.
        unsafe {
            libc::write(self.bell.fd.as_raw_fd(), one.as_ptr().cast(), one.len());
        }
    }
}

/// Tells the worker that nobody will order any more.
impl Drop for Lane {
    fn drop(&mut self) {
        // The worker sees the end when it is the only one that still holds the bell, which is so only after the
        // ring's producer is gone; `is_abandoned` is what it asks.
        if let Ok(ring) = self.ring.get_mut() {
            let (fresh, _) = RingBuffer::new(1);
            *ring = fresh;
        }
        self.ring_bell();
    }
}

impl Orders {
    pub(super) fn fd(&self) -> i32 {
        self.bell.fd.as_raw_fd()
    }

    /// Stops the bell. To be called before taking orders, so that none given since goes unheard.
    pub(super) fn silence(&self) {
        let mut count = [0; 8];
        // SAFETY: `count` has the eight octets an eventfd writes.
        unsafe {
            libc::read(
                self.bell.fd.as_raw_fd(),
                count.as_mut_ptr().cast(),
                count.len(),
            );
        }
    }

    /// The next order. Orders given one after the other come out in that order.
    pub(super) fn take(&mut self) -> Option<Order> {
        if let Ok(order) = self.ring.pop() {
            return Some(order);
        }
        if !self.bell.spilled.load(Ordering::Acquire) {
            return None;
        }
        // What went into the ring before the spill began may have arrived since the pop above.
        if let Ok(order) = self.ring.pop() {
            return Some(order);
        }
        let mut spill = match self.bell.spill.try_lock() {
            Ok(spill) => spill,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Its holder rings the bell when done.
            Err(TryLockError::WouldBlock) => return None,
        };
        let order = spill.pop_front();
        if spill.is_empty() {
            self.bell.spilled.store(false, Ordering::Release);
        }
        order
    }

    /// Whether the desk is gone and nothing is left to do for it.
    pub(super) fn is_over(&self) -> bool {
        self.ring.is_abandoned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digit(number: u64) -> Order {
        Order::Engine(Command::StopPlay {
            stream: StreamId(number),
        })
    }

    fn number(order: Option<Order>) -> Option<u64> {
        match order? {
            Order::Engine(command) => Some(command.stream().0),
            Order::Tell(_) | Order::Leave(..) | Order::Arrive(_) => None,
        }
    }

    #[test]
    fn orders_keep_their_order_beyond_the_ring() {
        let (lane, mut orders) = lane().unwrap();
        let total = RING as u64 * 2;
        for number in 0..total {
            lane.push(digit(number));
        }
        for expected in 0..10 {
            assert_eq!(number(orders.take()), Some(expected));
        }
        lane.push(digit(total));
        for expected in 10..=total {
            assert_eq!(number(orders.take()), Some(expected));
        }
        assert!(orders.take().is_none());
        lane.push(digit(7));
        assert_eq!(number(orders.take()), Some(7));
        assert!(!orders.is_over());
        drop(lane);
        assert!(orders.is_over());
    }
}
