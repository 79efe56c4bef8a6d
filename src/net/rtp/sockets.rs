//! The sockets of one worker: two a stream, in one epoll.
#![expect(
    unsafe_code,
    reason = "epoll, timerfd and disconnecting a UDP socket have no safe interface in std"
)]

use std::collections::HashMap;
use std::io;
use std::mem;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use media::{Kind, StreamId, Transmit};
use socket2::{Domain, Protocol, Socket, Type};

use crate::TRAFFIC_CLASS_RTP;

/// Events taken from epoll at once.
const EVENTS: usize = 256;

/// One ready thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    /// There are orders.
    Bell,
    /// A slot began.
    Slot,
    Packet(StreamId, Kind),
}

/// Keys in epoll that are no stream: its own numbers are made of call and leg, and stay below.
const BELL: u64 = u64::MAX;
const SLOT: u64 = u64::MAX - 1;

struct Port {
    socket: UdpSocket,
    /// The only source the kernel lets through, and where `send` goes without an address.
    connected: Option<SocketAddr>,
}

/// The sockets of one stream.
pub(super) struct Pair {
    stream: StreamId,
    rtp: Port,
    rtcp: Port,
}

pub(super) struct Sockets {
    epoll: OwnedFd,
    timer: OwnedFd,
    /// By slot of `places`, which epoll's keys are made of, so that no hash is needed to receive.
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    places: HashMap<StreamId, usize>,
    ready: Vec<libc::epoll_event>,
}

impl Pair {
    pub(super) fn stream(&self) -> StreamId {
        self.stream
    }
}

impl Sockets {
    /// An epoll that hears `bell`, with its timer stopped.
    pub(super) fn new(bell: RawFd) -> io::Result<Sockets> {
        // SAFETY: no pointers; results are checked and owned by nobody else.
        let (epoll, timer) = unsafe {
            let epoll = own(libc::epoll_create1(libc::EPOLL_CLOEXEC))?;
            let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
            (
                epoll,
                own(libc::timerfd_create(libc::CLOCK_MONOTONIC, flags))?,
            )
        };
        let sockets = Sockets {
            epoll,
            timer,
            pairs: Vec::new(),
            free: Vec::new(),
            places: HashMap::new(),
            ready: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS],
        };
        sockets.watch(bell, BELL)?;
        sockets.watch(sockets.timer.as_raw_fd(), SLOT)?;
        Ok(sockets)
    }

    /// Waits until something is ready; returns how many things are, for [`ready`](Sockets::ready).
    pub(super) fn wait(&mut self) -> usize {
        // SAFETY: the buffer has room for EVENTS events.
        let count = unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                self.ready.as_mut_ptr(),
                EVENTS as libc::c_int,
                -1,
            )
        };
        // An error here is an interruption by a signal.
        usize::try_from(count).unwrap_or_default()
    }

    /// What is ready; None for a stream that was closed since.
    pub(super) fn ready(&self, index: usize) -> Option<Ready> {
        let key = self.ready.get(index).map(|event| event.u64)?;
        match key {
            BELL => Some(Ready::Bell),
            SLOT => Some(Ready::Slot),
            key => {
                let kind = if key & 1 == 0 { Kind::Rtp } else { Kind::Rtcp };
                let place = usize::try_from(key >> 1).ok()?;
                let pair = self.pairs.get(place)?.as_ref()?;
                Some(Ready::Packet(pair.stream, kind))
            }
        }
    }

    /// Starts the timer with the first slot after `period`, or stops it.
    pub(super) fn set_timer(&self, period: Option<Duration>) {
        let nanoseconds = period.map_or(0, |period| period.subsec_nanos());
        let time = libc::timespec {
            tv_sec: 0,
            tv_nsec: nanoseconds.into(),
        };
        let setting = libc::itimerspec {
            it_interval: time,
            it_value: time,
        };
        // SAFETY: `setting` lives through the call; the old value is not asked for.
        unsafe {
            libc::timerfd_settime(
                self.timer.as_raw_fd(),
                0,
                &raw const setting,
                ptr::null_mut(),
            );
        }
    }

    /// Takes the timer's expirations, so that it is no longer ready.
    pub(super) fn take_slot(&self) {
        let mut count = [0u8; 8];
        // SAFETY: `count` has the eight octets a timerfd writes.
        unsafe {
            libc::read(
                self.timer.as_raw_fd(),
                count.as_mut_ptr().cast(),
                count.len(),
            );
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The streams that have sockets.
    pub(super) fn streams(&self) -> Vec<StreamId> {
        self.places.keys().copied().collect()
    }

    /// Binds `local` and the port above it.
    pub(super) fn open(&mut self, stream: StreamId, local: SocketAddr) -> io::Result<()> {
        self.close(stream);
        let above = local
            .port()
            .checked_add(1)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let rtp = bind(local)?;
        let rtcp = bind(SocketAddr::new(local.ip(), above))?;
        let port = |socket| Port {
            socket,
            connected: None,
        };
        self.put(Pair {
            stream,
            rtp: port(rtp),
            rtcp: port(rtcp),
        })
    }

    /// Takes in the sockets of a stream, as [`take`](Sockets::take) gave them out elsewhere.
    pub(super) fn put(&mut self, pair: Pair) -> io::Result<()> {
        let place = self.free.pop().unwrap_or_else(|| {
            self.pairs.push(None);
            self.pairs.len() - 1
        });
        let key = (place as u64) << 1;
        let watched = self
            .watch(pair.rtp.socket.as_raw_fd(), key)
            .and_then(|()| self.watch(pair.rtcp.socket.as_raw_fd(), key | 1));
        if let Err(error) = watched {
            self.free.push(place);
            return Err(error);
        }
        self.places.insert(pair.stream, place);
        if let Some(empty) = self.pairs.get_mut(place) {
            *empty = Some(pair);
        }
        Ok(())
    }

    /// Gives the sockets of a stream away, open as they are.
    pub(super) fn take(&mut self, stream: StreamId) -> Option<Pair> {
        let place = self.places.remove(&stream)?;
        self.free.push(place);
        let pair = self.pairs.get_mut(place)?.take()?;
        for port in [&pair.rtp, &pair.rtcp] {
            self.ignore(port.socket.as_raw_fd());
        }
        Some(pair)
    }

    /// Closes both sockets, which also takes them out of epoll.
    pub(super) fn close(&mut self, stream: StreamId) {
        if let Some(place) = self.places.remove(&stream) {
            if let Some(pair) = self.pairs.get_mut(place) {
                *pair = None;
            }
            self.free.push(place);
        }
    }

    /// Takes one packet; None when there is none, or an error of an earlier send was all there was.
    pub(super) fn receive(
        &mut self,
        stream: StreamId,
        kind: Kind,
        buffer: &mut [u8],
    ) -> Option<(usize, SocketAddr)> {
        // The source is asked for even when connected: what was queued before came from anybody.
        self.port(stream, kind)?.socket.recv_from(buffer).ok()
    }

    /// Lets only `remote` through to this socket, or all again.
    pub(super) fn latch(&mut self, stream: StreamId, remote: Option<SocketAddr>, kind: Kind) {
        let Some(port) = self.port(stream, kind) else {
            return;
        };
        match remote {
            // When connecting fails (no route), the socket stays open to all and `send_to` tells why.
            Some(remote) => port.connected = port.socket.connect(remote).ok().map(|()| remote),
            None if port.connected.is_some() => {
                disconnect(&port.socket);
                port.connected = None;
            }
            None => {}
        }
    }

    fn port(&mut self, stream: StreamId, kind: Kind) -> Option<&mut Port> {
        let place = *self.places.get(&stream)?;
        let pair = self.pairs.get_mut(place)?.as_mut()?;
        Some(match kind {
            Kind::Rtp => &mut pair.rtp,
            Kind::Rtcp => &mut pair.rtcp,
        })
    }

    fn ignore(&self, fd: RawFd) {
        // SAFETY: no event is read for a removal. What is not watched need not be removed: no result matters.
        unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_DEL,
                fd,
                ptr::null_mut(),
            );
        }
    }

    fn watch(&self, fd: RawFd, key: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: key,
        };
        // SAFETY: `event` lives through the call.
        let done = unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                fd,
                &raw mut event,
            )
        };
        if done == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

impl Transmit for Sockets {
    fn send(&mut self, stream: StreamId, kind: Kind, to: SocketAddr, packet: &[u8]) {
        let Some(port) = self.port(stream, kind) else {
            return;
        };
        // A packet that cannot leave now is late anyway; the receiver's report counts it as lost.
        let _ = if port.connected == Some(to) {
            port.socket.send(packet)
        } else {
            port.socket.send_to(packet, to)
        };
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking(),
        Some(Protocol::UDP),
    )?;
    // The system's own buffers, some 200 kB, hold seconds of speech. The traffic class is a wish: a container may
    // forbid it, and speech still flows.
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        let _ = socket.set_tclass_v6(TRAFFIC_CLASS_RTP);
    } else {
        let _ = socket.set_tos_v4(TRAFFIC_CLASS_RTP);
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Dissolves the association of a UDP socket. Address and port were bound explicitly, so Linux keeps them.
fn disconnect(socket: &UdpSocket) {
    // SAFETY: all zero with family AF_UNSPEC is a valid address of its size; it lives through the call.
    unsafe {
        let mut address: libc::sockaddr = mem::zeroed();
        address.sa_family = libc::AF_UNSPEC as libc::sa_family_t;
        libc::connect(
            socket.as_raw_fd(),
            &raw const address,
            mem::size_of::<libc::sockaddr>() as libc::socklen_t,
        );
    }
}

/// Takes ownership of a descriptor a call has just returned.
///
/// # Safety
/// `fd` is negative or owned by nobody else.
unsafe fn own(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as the caller promises.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    const STREAM: StreamId = StreamId(257);

    /// Sockets with one stream on a free pair of ports.
    fn opened() -> (Sockets, SocketAddr, OwnedFd) {
        // SAFETY: no pointers.
        let bell = unsafe { own(libc::eventfd(0, libc::EFD_NONBLOCK)).unwrap() };
        let mut sockets = Sockets::new(bell.as_fd().as_raw_fd()).unwrap();
        let local = super::super::worker::free_pair("127.0.0.1");
        sockets.open(STREAM, local).unwrap();
        (sockets, local, bell)
    }

    fn hear(sockets: &mut Sockets) -> Option<SocketAddr> {
        assert_eq!(sockets.wait(), 1);
        assert_eq!(sockets.ready(0), Some(Ready::Packet(STREAM, Kind::Rtp)));
        sockets
            .receive(STREAM, Kind::Rtp, &mut [0; 64])
            .map(|(_, from)| from)
    }

    #[test]
    fn a_latched_socket_hears_one_source_and_an_unlocked_one_all() {
        let (mut sockets, local, _bell) = opened();
        let friend = UdpSocket::bind("127.0.0.1:0").unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (friend_at, stranger_at) =
            (friend.local_addr().unwrap(), stranger.local_addr().unwrap());
        friend.send_to(b"one", local).unwrap();
        assert_eq!(hear(&mut sockets), Some(friend_at));

        stranger.send_to(b"before", local).unwrap();
        sockets.latch(STREAM, Some(friend_at), Kind::Rtp);
        assert_eq!(hear(&mut sockets), Some(stranger_at), "queued already");
        stranger.send_to(b"two", local).unwrap();
        friend.send_to(b"three", local).unwrap();
        assert_eq!(hear(&mut sockets), Some(friend_at));
        assert_eq!(sockets.receive(STREAM, Kind::Rtp, &mut [0; 64]), None);

        sockets.latch(STREAM, None, Kind::Rtp);
        stranger.send_to(b"four", local).unwrap();
        assert_eq!(hear(&mut sockets), Some(stranger_at));
        sockets.send(STREAM, Kind::Rtp, stranger_at, b"back");
        let mut buffer = [0; 64];
        let (len, from) = stranger.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..len], from), (&b"back"[..], local));
    }

    #[test]
    fn sound_and_reports_are_marked_to_be_forwarded_first() {
        for ip in ["127.0.0.1", "::1"] {
            let socket = bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
            let socket = socket2::SockRef::from(&socket);
            let class = if ip.contains(':') {
                socket.tclass_v6()
            } else {
                socket.tos_v4()
            };
            // RFC 3246: EF, 46, in the upper six bits.
            assert_eq!(class.unwrap(), 46 << 2);
        }
    }

    #[test]
    fn a_closed_stream_leaves_its_ports_free_and_its_events_unheard() {
        let (mut sockets, local, _bell) = opened();
        let friend = UdpSocket::bind("127.0.0.1:0").unwrap();
        friend.send_to(b"one", local).unwrap();
        assert_eq!(sockets.wait(), 1);
        sockets.close(STREAM);
        assert!(sockets.is_empty());
        assert_eq!(sockets.ready(0), None);
        sockets.open(STREAM, local).unwrap();
        let taken = sockets.open(StreamId(1), local).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }
}
