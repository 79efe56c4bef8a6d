//! One media thread: waits, receives, obeys, ticks, tells. It allocates only when obeying.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use media::{Command, Engine, Event, Kind, NtpTime, StreamId};
use tokio::sync::mpsc::Sender;

use super::lane::{Order, Orders};
use super::outlet::Outlet;
use super::passage::{Entrance, Exit};
use super::priority;
use super::sockets::{Ready, Sockets};

/// How often the engine is ticked while it has streams.
const SLOT: Duration = Duration::from_millis(5);
/// The largest datagram taken; longer ones are cut, and their RTP is then none that speech has.
const PACKET: usize = 4096;

pub(super) struct Worker {
    orders: Orders,
    sockets: Sockets,
    engine: Engine,
    outlet: Outlet,
    buffer: Box<[u8; PACKET]>,
    ticking: bool,
    /// A stream that comes from another worker; later orders wait for it.
    arriving: Option<Entrance>,
}

impl Worker {
    /// Starts the thread. It ends when the desk is gone.
    pub(super) fn start(number: usize, orders: Orders, events: Sender<Event>) -> io::Result<()> {
        let mut worker = Worker {
            sockets: Sockets::new(orders.fd())?,
            orders,
            engine: Engine::new(seed()),
            outlet: Outlet::new(events),
            buffer: Box::new([0; PACKET]),
            ticking: false,
            arriving: None,
        };
        thread::Builder::new()
            .name(format!("media-{number}"))
            .spawn(move || {
                priority::raise();
                worker.run();
            })?;
        Ok(())
    }

    fn run(&mut self) {
        while !self.orders.is_over() {
            let turn = panic::catch_unwind(AssertUnwindSafe(|| self.turn()));
            if turn.is_err() {
                self.start_over();
            }
        }
    }

    /// Everything that is ready, once. Packets before orders, so that a socket is not closed under its packet.
    fn turn(&mut self) {
        let count = self.sockets.wait();
        let (now, wall) = (Instant::now(), wall());
        let (mut bell, mut slot) = (false, false);
        for index in 0..count {
            match self.sockets.ready(index) {
                Some(Ready::Bell) => bell = true,
                Some(Ready::Slot) => slot = true,
                Some(Ready::Packet(stream, kind)) => self.packet((now, wall), stream, kind),
                None => {}
            }
        }
        if bell || self.arriving.is_some() {
            self.obey(now, wall);
        }
        if slot {
            self.sockets.take_slot();
            self.engine.tick(now, wall, &mut self.sockets);
        }
        self.tell();
        // The timer also runs while events wait for room in the switch's queue, and while a stream is on its way here.
        let waiting = self.arriving.is_some();
        let wanted = !self.outlet.flush() || !self.sockets.is_empty() || waiting;
        if wanted != self.ticking {
            self.sockets.set_timer(wanted.then_some(SLOT));
            self.ticking = wanted;
        }
    }

    fn packet(&mut self, (now, wall): (Instant, NtpTime), stream: StreamId, kind: Kind) {
        let Some((len, from)) = self
            .sockets
            .receive(stream, kind, self.buffer.as_mut_slice())
        else {
            return;
        };
        let Some(packet) = self.buffer.get_mut(..len) else {
            return;
        };
        match kind {
            Kind::Rtp => self
                .engine
                .rtp(now, stream, from, packet, &mut self.sockets),
            Kind::Rtcp => {
                self.engine
                    .rtcp(now, wall, stream, from, packet, &mut self.sockets);
            }
        }
        while let Some((stream, remote, kind)) = self.engine.latched() {
            self.sockets.latch(stream, remote, kind);
        }
    }

    fn obey(&mut self, now: Instant, wall: NtpTime) {
        self.orders.silence();
        while self.has_arrived()
            && let Some(order) = self.orders.take()
        {
            match order {
                Order::Engine(command) => self.command(now, wall, command),
                Order::Leave(stream, exit) => self.leave(stream, exit),
                Order::Arrive(entrance) => self.arriving = Some(entrance),
                Order::Tell(event) => {
                    // Events of earlier orders come first.
                    self.tell();
                    self.outlet.tell(event);
                }
            }
        }
    }

    /// Whether no stream is awaited any more.
    fn has_arrived(&mut self) -> bool {
        let Some(entrance) = &self.arriving else {
            return true;
        };
        let Ok(laid) = entrance.take() else {
            return false;
        };
        self.arriving = None;
        if let Some((stream, pair)) = laid {
            let id = pair.stream();
            match self.sockets.put(pair) {
                Ok(()) => self.engine.adopt(stream),
                Err(error) => {
                    tracing::warn!(%error, "the sockets of a stream could not be moved");
                    self.outlet.tell(Event::BindFailed { stream: id });
                }
            }
        }
        true
    }

    fn leave(&mut self, stream: StreamId, exit: Exit) {
        // Its events so far are told before the other worker tells any.
        self.tell();
        let moving = self.engine.release(stream);
        let pair = self.sockets.take(stream);
        exit.leave(moving.zip(pair));
    }

    fn command(&mut self, now: Instant, wall: NtpTime, command: Command) {
        if let Command::Open { stream, local, .. } = command
            && let Err(error) = self.sockets.open(stream, local)
        {
            tracing::warn!(%local, %error, "RTP ports could not be bound");
            return self.outlet.tell(Event::BindFailed { stream });
        }
        if let Command::Close { stream } = command {
            self.engine.farewell(now, wall, stream, &mut self.sockets);
        }
        self.engine.command(now, wall, command);
        while let Some((stream, remote, kind)) = self.engine.latched() {
            self.sockets.latch(stream, remote, kind);
        }
    }

    fn tell(&mut self) {
        while let Some(event) = self.engine.poll() {
            if let Event::Closed { stream, .. } = event {
                self.sockets.close(stream);
            }
            self.outlet.tell(event);
        }
    }

    /// After a panic, which is our fault: the calls of this worker are over, those to come are not. `BindFailed` is
    /// what makes the switch end a call whose sockets are gone; `Close` is then answered as ever.
    fn start_over(&mut self) {
        tracing::error!(
            "a media thread failed: its calls are silent and will be ended; please report this"
        );
        self.engine = Engine::new(seed());
        for stream in self.sockets.streams() {
            self.sockets.close(stream);
            self.outlet.tell(Event::BindFailed { stream });
        }
    }
}

/// Wall time as RTCP carries it.
fn wall() -> NtpTime {
    /// From 1900 to 1970 (RFC 868).
    const EPOCH: u64 = 2_208_988_800;
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    NtpTime((since.as_secs().wrapping_add(EPOCH) << 32) | fraction)
}

/// Different for each engine and each start: SSRCs are drawn from it.
fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| RandomState::new().build_hasher().finish())
}

/// An even port of `ip` that is free together with the next one, for tests.
#[cfg(test)]
pub(super) fn free_pair(ip: &str) -> std::net::SocketAddr {
    use std::net::UdpSocket;
    loop {
        let first = UdpSocket::bind((ip, 0)).unwrap();
        let local = first.local_addr().unwrap();
        if local.port().is_multiple_of(2) && UdpSocket::bind((ip, local.port() + 1)).is_ok() {
            return local;
        }
    }
}
