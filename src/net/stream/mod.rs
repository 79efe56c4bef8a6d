//! SIP over TCP, TLS and WebSocket: who is connected, and what waits to be written to whom.
//!
//! The table here is the only shared state; every connection is one task (`connection.rs`) that ends when its queue
//! is taken away. `accept.rs` lets connections in, `connect.rs` makes our own.

mod accept;
mod connect;
mod connection;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use sip::{Flow, Transport};
use tokio::sync::mpsc;

use crate::NetEvent;

pub(crate) use accept::{Desk, bind, serve};
pub(crate) use connect::{Connector, adopt, open, reach};
pub(crate) use connection::{End, prepare};

/// Bounds of the connections; all of them hold for each program, not for each listener.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// Connections at once, both directions. A fifth of them is kept for those we make ourselves.
    pub total: usize,
    /// Accepted connections of one address (IPv6: of one /64).
    pub per_source: usize,
    /// A connection on which nothing arrives for so long is closed. Registered phones send keep-alives.
    pub idle: Duration,
    /// A begun message has to be complete, and an accepted connection has to bring its first one, within this time.
    pub partial: Duration,
    /// One write has to be taken by the peer within this time.
    pub write: Duration,
    /// Connecting, and a handshake of TLS or WebSocket, may take so long each.
    pub connect: Duration,
    /// A WebSocket on which we wrote nothing for so long is asked for a sign of life; two may get lost.
    pub ping: Duration,
}

impl Default for StreamLimits {
    fn default() -> StreamLimits {
        StreamLimits {
            total: 4096,
            per_source: 64,
            idle: Duration::from_secs(900),
            partial: Duration::from_secs(30),
            write: Duration::from_secs(5),
            connect: Duration::from_secs(5),
            ping: Duration::from_secs(25),
        }
    }
}

/// Messages that may wait for one slow connection, and their octets.
const QUEUE_MESSAGES: usize = 1024;
const QUEUE_BYTES: usize = 1 << 20;
/// Flows with id 0 remembered for one connection, to be told when it ends.
const ASKED: usize = 8;

/// The write end of one connection's queue, bounded in messages and in octets.
#[derive(Clone)]
struct Outbox {
    queue: mpsc::Sender<Bytes>,
    waiting: Arc<AtomicUsize>,
}

/// The read end.
pub(crate) struct Inbox {
    queue: mpsc::Receiver<Bytes>,
    waiting: Arc<AtomicUsize>,
}

impl Outbox {
    fn new() -> (Outbox, Inbox) {
        let (sender, queue) = mpsc::channel(QUEUE_MESSAGES);
        let waiting = Arc::new(AtomicUsize::new(0));
        let outbox = Outbox {
            queue: sender,
            waiting: waiting.clone(),
        };
        (outbox, Inbox { queue, waiting })
    }

    fn push(&self, bytes: Bytes) -> bool {
        let len = bytes.len();
        let fits = self.waiting.load(Ordering::Relaxed) + len <= QUEUE_BYTES;
        let pushed = fits && self.queue.try_send(bytes).is_ok();
        if pushed {
            self.waiting.fetch_add(len, Ordering::Relaxed);
        }
        pushed
    }
}

impl Inbox {
    /// The next message to write; None when the connection shall end.
    pub(crate) async fn pop(&mut self) -> Option<Bytes> {
        let bytes = self.queue.recv().await?;
        // Saturating: the sender counts after it has queued.
        let less = |waiting: usize| Some(waiting.saturating_sub(bytes.len()));
        let _ = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        Some(bytes)
    }
}

/// One connection, from before it is made until its task has ended.
struct Entry {
    flow: Flow,
    wish: u64,
    /// None once the connection is condemned; its task then ends by itself.
    outbox: Option<Outbox>,
    asked: Vec<Flow>,
    /// Set for accepted connections: whose share they count into.
    source: Option<IpAddr>,
}

#[derive(Default)]
struct Table {
    entries: HashMap<u64, Entry>,
    /// With the wish a connection was made for: 0 for those that were accepted.
    by_remote: HashMap<(Transport, SocketAddr, u64), u64>,
    per_source: HashMap<IpAddr, usize>,
    /// Entries with a source.
    accepted: usize,
}

/// What became of a message for a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    Queued,
    /// No live connection; one may be made for a flow with id 0.
    Absent,
    /// There is a connection, but its peer does not take what is written; it is being closed.
    Stuck,
}

/// All connections.
pub(crate) struct Streams {
    table: Mutex<Table>,
    next_id: AtomicU64,
    pub(crate) limits: StreamLimits,
}

/// A place in the table and the queue that belongs to it.
pub(crate) struct Seat {
    pub(crate) flow: Flow,
    pub(crate) inbox: Inbox,
}

impl Streams {
    pub(crate) fn new(limits: StreamLimits) -> Streams {
        Streams {
            table: Mutex::default(),
            next_id: AtomicU64::new(1),
            limits,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A poisoned table is still a table: no invariant spans a panic here.
        self.table
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Queues `bytes` for the connection of `flow`. With `asked`, its end is reported under that flow too.
    pub(crate) fn push(&self, flow: Flow, bytes: Bytes, asked: Option<Flow>) -> Pushed {
        let mut table = self.table();
        let id = if flow.is_wish() {
            let key = (flow.transport, flow.remote, flow.id);
            table.by_remote.get(&key).copied().unwrap_or_default()
        } else {
            flow.id
        };
        let Some(entry) = table.entries.get_mut(&id) else {
            return Pushed::Absent;
        };
        let Some(outbox) = &entry.outbox else {
            return Pushed::Absent;
        };
        if !outbox.push(bytes) {
            entry.outbox = None;
            return Pushed::Stuck;
        }
        if let Some(asked) = asked
            && entry.asked.len() < ASKED
            && !entry.asked.contains(&asked)
        {
            entry.asked.push(asked);
        }
        Pushed::Queued
    }

    /// Takes the queue of a connection away, which ends it.
    pub(crate) fn condemn(&self, id: u64) {
        if let Some(entry) = self.table().entries.get_mut(&id) {
            entry.outbox = None;
        }
    }

    /// Whether a message to `remote` would find a connection.
    pub(crate) fn is_connected(&self, transport: Transport, remote: SocketAddr) -> bool {
        let table = self.table();
        table
            .by_remote
            .get(&(transport, remote, 0))
            .and_then(|id| table.entries.get(id))
            .is_some_and(|entry| entry.outbox.is_some())
    }

    /// A place for one more connection: accepted (`flow.id` is given out here) or, with `asked`, one of our own.
    /// None when there are too many.
    pub(crate) fn seat(&self, mut flow: Flow, origin: Origin) -> Option<Seat> {
        let mut table = self.table();
        if table.entries.len() >= self.limits.total {
            return None;
        }
        let source = match origin {
            Origin::Accepted => Some(share(flow.remote.ip())),
            Origin::Ours(_) => None,
        };
        // Whoever fills the table from many addresses shall not keep us from our providers.
        let most = self.limits.total - self.limits.total / 5;
        if source.is_some() && table.accepted >= most {
            return None;
        }
        if let Some(source) = source {
            let count = table.per_source.entry(source).or_default();
            if *count >= self.limits.per_source {
                return None;
            }
            *count += 1;
            table.accepted += 1;
        }
        let wish = flow.id;
        flow.id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (outbox, inbox) = Outbox::new();
        table
            .by_remote
            .insert((flow.transport, flow.remote, wish), flow.id);
        let asked = match origin {
            Origin::Ours(Some(asked)) => vec![asked],
            Origin::Ours(None) | Origin::Accepted => Vec::new(),
        };
        table.entries.insert(
            flow.id,
            Entry {
                flow,
                wish,
                outbox: Some(outbox),
                asked,
                source,
            },
        );
        Some(Seat { flow, inbox })
    }

    /// Frees the place. Returns the flows under which the end has to be told: as asked, then the connection's own.
    fn leave(&self, id: u64) -> Vec<Flow> {
        let mut table = self.table();
        let Some(entry) = table.entries.remove(&id) else {
            return Vec::new();
        };
        let key = (entry.flow.transport, entry.flow.remote, entry.wish);
        if table.by_remote.get(&key) == Some(&id) {
            table.by_remote.remove(&key);
        }
        if entry.source.is_some() {
            table.accepted -= 1;
        }
        if let Some(source) = entry.source
            && let Some(count) = table.per_source.get_mut(&source)
        {
            *count -= 1;
            if *count == 0 {
                table.per_source.remove(&source);
            }
        }
        let mut flows = entry.asked;
        flows.push(entry.flow);
        flows
    }

    /// Frees the place and tells the switch.
    pub(crate) async fn tell_end(&self, id: u64, events: &mpsc::Sender<NetEvent>) {
        for flow in self.leave(id) {
            let _ = events.send(NetEvent::FlowClosed(flow)).await;
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.table().entries.len()
    }
}

/// Who made a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Accepted,
    /// We did; the flow with id 0 it was asked under, if the end is to be reported under it.
    Ours(Option<Flow>),
}

/// The share an address counts into: itself, or its /64, which is what one IPv6 site has at least (RFC 6177 §2).
fn share(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(remote: &str) -> Flow {
        Flow {
            transport: Transport::Tcp,
            local: "192.0.2.1:5060".parse().unwrap(),
            remote: remote.parse().unwrap(),
            id: 0,
        }
    }

    #[test]
    fn one_source_cannot_take_every_place() {
        let streams = Streams::new(StreamLimits {
            total: 4,
            per_source: 2,
            ..StreamLimits::default()
        });
        let mut kept = Vec::new();
        for port in 1..=2 {
            let remote = format!("[2001:db8::{port}]:{port}");
            kept.push(streams.seat(flow(&remote), Origin::Accepted).unwrap());
        }
        assert!(
            streams
                .seat(flow("[2001:db8::9]:9"), Origin::Accepted)
                .is_none(),
            "the /64 has its two"
        );
        kept.push(
            streams
                .seat(flow("[2001:db8:0:1::9]:9"), Origin::Accepted)
                .unwrap(),
        );
        kept.push(
            streams
                .seat(flow("192.0.2.9:9"), Origin::Ours(None))
                .unwrap(),
        );
        assert!(
            streams
                .seat(flow("192.0.2.9:10"), Origin::Accepted)
                .is_none(),
            "full"
        );
        for seat in kept {
            assert_eq!(streams.leave(seat.flow.id), [seat.flow]);
        }
        assert_eq!(streams.len(), 0);
        assert!(streams.table().per_source.is_empty() && streams.table().by_remote.is_empty());
    }

    #[test]
    fn a_condemned_connection_says_what_waits_and_ends() {
        let streams = Streams::new(StreamLimits::default());
        let mut seat = streams
            .seat(flow("192.0.2.9:5060"), Origin::Accepted)
            .unwrap();
        let farewell = Bytes::from_static(b"SIP/2.0 403 Forbidden");
        assert_eq!(
            streams.push(seat.flow, farewell.clone(), None),
            Pushed::Queued
        );
        streams.condemn(seat.flow.id);
        streams.condemn(77);
        assert_eq!(
            streams.push(seat.flow, farewell.clone(), None),
            Pushed::Absent
        );
        assert_eq!(seat.inbox.queue.try_recv(), Ok(farewell));
        let ended = Err(mpsc::error::TryRecvError::Disconnected);
        assert_eq!(seat.inbox.queue.try_recv(), ended);
    }

    #[test]
    fn a_stuck_connection_is_condemned_and_told_under_every_name() {
        let streams = Streams::new(StreamLimits::default());
        let asked = flow("192.0.2.9:5060");
        let seat = streams.seat(asked, Origin::Ours(Some(asked))).unwrap();
        let big = Bytes::from(vec![0; QUEUE_BYTES / 2]);
        assert_eq!(
            streams.push(asked, big.clone(), Some(asked)),
            Pushed::Queued
        );
        assert_eq!(streams.push(seat.flow, big.clone(), None), Pushed::Queued);
        assert_eq!(streams.push(asked, big.clone(), None), Pushed::Stuck);
        assert_eq!(streams.push(asked, big, None), Pushed::Absent);
        assert!(!streams.is_connected(Transport::Tcp, asked.remote));
        assert_eq!(streams.leave(seat.flow.id), [asked, seat.flow]);
    }
}
