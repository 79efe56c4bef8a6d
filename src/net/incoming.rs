//! What arrives: datagrams straight from their sockets, messages of streams from their tasks' queue.
//!
//! A datagram is read on the thread that handles it. Handing each over from another thread would cost two wake-ups a
//! message, more than all of the parsing; the kernel's socket buffer is the queue, and drops what does not fit.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::NetEvent;
use crate::udp::UdpListener;

/// Keep-alives taken in a row from one socket; tokio lets a task do 128 things before others must have their turn.
const KEEP_ALIVES: usize = 16;
/// The largest datagram there is.
const DATAGRAM: usize = 65_536;

/// The receiving end of [`Transports`](crate::Transports). When it is dropped, nothing is received any more.
pub struct Incoming {
    bound: Vec<Arc<UdpListener>>,
    /// The sockets, watched by the runtime of whoever receives; empty before [`watch`](Incoming::watch).
    watched: Vec<(UdpSocket, Arc<UdpListener>)>,
    streams: mpsc::Receiver<NetEvent>,
    /// Whose turn is first; the streams come after the last socket.
    turn: usize,
    buffer: Box<[u8]>,
}

impl Incoming {
    pub(crate) fn new(bound: Vec<Arc<UdpListener>>, streams: mpsc::Receiver<NetEvent>) -> Incoming {
        Incoming {
            bound,
            watched: Vec::new(),
            streams,
            turn: 0,
            buffer: vec![0; DATAGRAM].into_boxed_slice(),
        }
    }

    /// Lets the current tokio runtime watch the sockets: datagrams are received from then on.
    ///
    /// # Errors
    /// The runtime cannot watch a socket.
    pub fn watch(&mut self) -> io::Result<()> {
        for listener in self.bound.drain(..) {
            let socket = UdpSocket::from_std(listener.twin()?)?;
            self.watched.push((socket, listener));
        }
        Ok(())
    }

    /// The next event; None when all of [`Transports`](crate::Transports) is gone. Nothing is lost when the future is
    /// dropped.
    pub async fn recv(&mut self) -> Option<NetEvent> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// An event that is there already. The places take turns: a flood at one does not starve the others.
    pub fn try_recv(&mut self) -> Option<NetEvent> {
        let places = self.watched.len() + 1;
        self.turn = self.turn.wrapping_add(1);
        (0..places).find_map(|step| {
            let Some((socket, listener)) = self.watched.get((self.turn + step) % places) else {
                return self.streams.try_recv().ok();
            };
            let receive = || listener.receive(&mut self.buffer);
            // An error is that nothing is there, or an ICMP error of an earlier send: the socket lives on.
            socket.try_io(Interest::READABLE, receive).ok().flatten()
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<NetEvent>> {
        let places = self.watched.len() + 1;
        self.turn = self.turn.wrapping_add(1);
        for step in 0..places {
            let Some((socket, listener)) = self.watched.get((self.turn + step) % places) else {
                match self.streams.poll_recv(cx) {
                    Poll::Pending => continue,
                    ready => return ready,
                }
            };
            let mut rest = KEEP_ALIVES;
            while rest > 0 && socket.poll_recv_ready(cx).is_ready() {
                rest -= 1;
                let receive = || listener.receive(&mut self.buffer);
                match socket.try_io(Interest::READABLE, receive) {
                    Ok(Some(event)) => return Poll::Ready(Some(event)),
                    Ok(None) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => tracing::trace!(%error, "receiving a datagram"),
                }
            }
            if rest == 0 {
                // Others first: timers are not to wait for a flood of keep-alives.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}
