//! SIP over UDP: one socket per listen address.
//!
//! Receiving is [`Incoming`](crate::Incoming)'s work. Sending never waits: what finds the socket's buffer full is
//! dropped and counted, for SIP repeats it.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use sip::{Flow, Transport};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::settings::Dscp;
use crate::{NetEvent, pktinfo, stun};

/// Socket buffers for bursts; the kernel may grant less.
const SOCKET_BUFFER: usize = 4 << 20;

/// A bound socket.
pub(crate) struct UdpListener {
    socket: UdpSocket,
    /// As bound, with the port the system chose when 0 was asked.
    pub(crate) address: SocketAddr,
    dropped: Arc<AtomicU64>,
    /// What the kernel said last of the datagrams it dropped here; its counter wraps.
    overflow: AtomicU32,
    stun: stun::Rate,
}

impl UdpListener {
    /// Binds without blocking later.
    pub(crate) fn bind(
        address: SocketAddr,
        dscp: Dscp,
        dropped: Arc<AtomicU64>,
    ) -> io::Result<UdpListener> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        socket.set_nonblocking(true)?;
        // Buffer sizes are wishes: a container may forbid them and calls still work.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        dscp.mark(&SockRef::from(&socket), address.is_ipv6());
        pktinfo::enable(socket.as_fd(), address.is_ipv6())?;
        socket.bind(&address.into())?;
        let address = socket
            .local_addr()?
            .as_socket()
            .ok_or(io::ErrorKind::InvalidData)?;
        Ok(UdpListener {
            socket: socket.into(),
            address,
            dropped,
            overflow: AtomicU32::new(0),
            stun: stun::Rate::default(),
        })
    }

    /// Whether a datagram from `local` leaves through this socket.
    pub(crate) fn serves(&self, local: SocketAddr) -> bool {
        self.address.is_ipv4() == local.is_ipv4()
            && self.address.port() == local.port()
            && (self.address.ip().is_unspecified() || self.address.ip() == local.ip())
    }

    /// Sends at once or not at all; a full socket buffer counts as a lost datagram, which UDP may always have.
    pub(crate) fn send(&self, local: IpAddr, remote: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let source = (!local.is_unspecified()).then_some(local);
        match pktinfo::send(self.socket.as_fd(), remote, source, bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            done => done,
        }
    }

    /// The same socket, for whoever watches it.
    pub(crate) fn twin(&self) -> io::Result<UdpSocket> {
        self.socket.try_clone()
    }

    /// Takes one datagram; None when it was a keep-alive or nobody's.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; anything else is an earlier send's trouble.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<NetEvent>> {
        let datagram = pktinfo::receive(self.socket.as_fd(), buffer)?;
        // Absent, as 0, until the first drop.
        if datagram.dropped != self.overflow.load(Ordering::Relaxed) && datagram.dropped != 0 {
            let before = self.overflow.swap(datagram.dropped, Ordering::Relaxed);
            let more = datagram.dropped.wrapping_sub(before);
            let lost = self.dropped.fetch_add(more.into(), Ordering::Relaxed);
            let now = lost + u64::from(more);
            // At each doubling: a flood shall not fill the log.
            if now.ilog2() > lost.checked_ilog2().unwrap_or(0) || lost == 0 {
                tracing::warn!(lost = now, "more SIP datagrams arrive than can be handled");
            }
        }
        let bytes = buffer.get(..datagram.len).unwrap_or_default();
        Ok(self.event(datagram, bytes))
    }

    fn answer_stun(&self, local: IpAddr, from: SocketAddr, bytes: &[u8]) {
        if let Some(answer) = stun::answer(bytes, from)
            && self.stun.allows(Instant::now(), from.ip())
        {
            // One that gets lost is asked for again.
            let _ = self.send(local, from, &answer);
        }
    }

    fn event(&self, datagram: pktinfo::Datagram, bytes: &[u8]) -> Option<NetEvent> {
        let local = SocketAddr::new(
            datagram.to.unwrap_or(self.address.ip()),
            self.address.port(),
        );
        // Nobody can be answered at port 0.
        if datagram.from.port() == 0 {
            return None;
        }
        match bytes.first() {
            // RFC 5626 §3.5.1 keep-alives belong to streams, but phones send them over UDP too: the pong opens
            // the NAT in their direction.
            Some(b'\r' | b'\n') if bytes == b"\r\n\r\n" => {
                let _ = self.send(local.ip(), datagram.from, b"\r\n");
                return None;
            }
            // RFC 7983 §7: 0 to 3 is STUN. Zero octets and blanks are keep-alives of other phones.
            Some(0..=3) => {
                self.answer_stun(local.ip(), datagram.from, bytes);
                return None;
            }
            None => return None,
            Some(_) if bytes.iter().all(|b| b.is_ascii_whitespace()) => return None,
            Some(_) => {}
        }
        let flow = Flow {
            transport: Transport::Udp,
            local,
            remote: datagram.from,
            id: 0,
        };
        Some(NetEvent::Message {
            flow,
            bytes: Bytes::copy_from_slice(bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_marked() {
        for (dscp, class) in [("CS3", 24 << 2), ("AF31", 26 << 2), ("0", 0)] {
            for address in ["127.0.0.1:0", "[::1]:0"] {
                let address: SocketAddr = address.parse().unwrap();
                let dscp = dscp.parse().unwrap();
                // A machine may be without IPv6.
                let Ok(listener) = UdpListener::bind(address, dscp, Arc::default()) else {
                    assert!(address.is_ipv6(), "{address}");
                    continue;
                };
                let socket = SockRef::from(&listener.socket);
                let marked = if address.is_ipv6() {
                    socket.tclass_v6()
                } else {
                    socket.tos_v4()
                };
                assert_eq!(marked.unwrap(), class, "{address}");
            }
        }
    }
}
