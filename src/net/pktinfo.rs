//! Datagrams together with our own address: which of our addresses one came to, and from which one goes out.
//!
//! A socket bound to 0.0.0.0 answers from whatever address the routing table likes, which a phone behind NAT never
//! sees. IP_PKTINFO and its IPv6 sister (RFC 3542 §6) are the cure; the standard library has no access to them.
#![expect(
    unsafe_code,
    reason = "recvmsg and sendmsg with ancillary data have no safe interface"
)]

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use socket2::SockAddr;

/// One datagram as the kernel handed it over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Datagram {
    pub(crate) len: usize,
    pub(crate) from: SocketAddr,
    /// The address of ours it was sent to; None when the kernel did not say.
    pub(crate) to: Option<IpAddr>,
    /// How many datagrams the kernel has dropped at this socket so far, because its buffer was full.
    pub(crate) dropped: u32,
}

/// Room for one control message of either family, aligned as `cmsghdr` wants it.
#[repr(C, align(8))]
struct Control([u8; 128]);

/// Asks the kernel to tell the destination address of every datagram, and how many it dropped.
pub(crate) fn enable(fd: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    // A wish: without it the drops are not counted.
    let _ = switch_on(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL);
    if ipv6 {
        switch_on(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    } else {
        switch_on(fd, libc::IPPROTO_IP, libc::IP_PKTINFO)
    }
}

fn switch_on(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: `on` lives through the call and its size is given.
    let done = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const on).cast(),
            size::<libc::c_int>(),
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Takes one datagram without waiting. `WouldBlock` when there is none.
pub(crate) fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Datagram> {
    let mut control = Control([0; 128]);
    let mut vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: all zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    // SAFETY: try_init gives a zeroed storage of `*len` octets; every pointer in `message` outlives the call, and the
    // kernel writes the length of the address it stored.
    let (len, from) = unsafe {
        SockAddr::try_init(|storage, length| {
            message.msg_name = storage.cast();
            message.msg_namelen = *length;
            let got = libc::recvmsg(fd.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT);
            if got < 0 {
                return Err(io::Error::last_os_error());
            }
            *length = message.msg_namelen;
            Ok(got as usize)
        })?
    };
    let from = from.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    let (to, dropped) = told(&message);
    Ok(Datagram {
        len,
        from,
        to,
        dropped,
    })
}

/// What the control messages say that the kernel just filled in: our address, and the datagrams dropped.
fn told(message: &libc::msghdr) -> (Option<IpAddr>, u32) {
    let (mut to, mut dropped) = (None, 0);
    // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR stay within msg_control; data is copied out unaligned, and only when
    // level and type say which structure it is.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(found) = header.as_ref() {
            let data = libc::CMSG_DATA(header);
            match (found.cmsg_level, found.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info: libc::in_pktinfo = ptr::read_unaligned(data.cast());
                    // ipi_spec_dst, not ipi_addr: for a broadcast the former is still one of our addresses.
                    to = Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info: libc::in6_pktinfo = ptr::read_unaligned(data.cast());
                    to = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => dropped = ptr::read_unaligned(data.cast()),
                _ => {}
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    (to, dropped)
}

/// Sends one datagram without waiting, from `source` when given and of the same family.
pub(crate) fn send(
    fd: BorrowedFd<'_>,
    to: SocketAddr,
    source: Option<IpAddr>,
    bytes: &[u8],
) -> io::Result<()> {
    let address = SockAddr::from(to);
    let mut control = Control([0; 128]);
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: all zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_name = address.as_ptr().cast_mut().cast();
    message.msg_namelen = address.len();
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    match (source, to) {
        (Some(IpAddr::V4(source)), SocketAddr::V4(_)) => {
            // SAFETY: all zero is a valid in_pktinfo.
            let mut info: libc::in_pktinfo = unsafe { mem::zeroed() };
            info.ipi_spec_dst.s_addr = u32::from_ne_bytes(source.octets());
            attach(
                &mut message,
                &mut control,
                (libc::IPPROTO_IP, libc::IP_PKTINFO),
                info,
            );
        }
        (Some(IpAddr::V6(source)), SocketAddr::V6(to)) => {
            // SAFETY: all zero is a valid in6_pktinfo.
            let mut info: libc::in6_pktinfo = unsafe { mem::zeroed() };
            info.ipi6_addr.s6_addr = source.octets();
            info.ipi6_ifindex = to.scope_id();
            attach(
                &mut message,
                &mut control,
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO),
                info,
            );
        }
        _ => {}
    }
    // SAFETY: every pointer in `message` outlives the call, and sendmsg writes through none of them.
    let sent = unsafe {
        libc::sendmsg(
            fd.as_raw_fd(),
            &raw const message,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Makes `data` the one control message of `message`.
fn attach<T>(
    message: &mut libc::msghdr,
    control: &mut Control,
    kind: (libc::c_int, libc::c_int),
    data: T,
) {
    // SAFETY: Control is aligned as cmsghdr and far larger than CMSG_SPACE of either pktinfo; CMSG_FIRSTHDR is
    // therefore not null and CMSG_DATA has room for T, which is written unaligned.
    unsafe {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size::<T>()) as _;
        if let Some(header) = libc::CMSG_FIRSTHDR(message).as_mut() {
            header.cmsg_level = kind.0;
            header.cmsg_type = kind.1;
            header.cmsg_len = libc::CMSG_LEN(size::<T>()) as _;
            ptr::write_unaligned(libc::CMSG_DATA(header).cast(), data);
        }
    }
}

fn size<T>() -> u32 {
    u32::try_from(mem::size_of::<T>()).expect("the structures here are a few octets long")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    fn round_trip(any: &str, target: &str, reply_from: &str) {
        let server = UdpSocket::bind(any).unwrap();
        let ipv6 = server.local_addr().unwrap().is_ipv6();
        enable(server.as_fd(), ipv6).unwrap();
        let client = UdpSocket::bind((target, 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        client.send_to(b"hello", (target, port)).unwrap();
        let mut buffer = [0; 64];
        let datagram = receive(server.as_fd(), &mut buffer).unwrap();
        assert_eq!(&buffer[..datagram.len], b"hello");
        assert_eq!(datagram.from, client.local_addr().unwrap());
        assert_eq!(datagram.to, Some(target.parse().unwrap()));

        let source = reply_from.parse().unwrap();
        send(server.as_fd(), datagram.from, Some(source), b"back").unwrap();
        let (len, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"back");
        assert_eq!(from, SocketAddr::new(source, port));
    }

    #[test]
    fn a_wildcard_socket_knows_and_chooses_its_address() {
        round_trip("0.0.0.0:0", "127.0.0.3", "127.0.0.5");
        round_trip("[::]:0", "::1", "::1");
    }

    #[test]
    fn nothing_to_receive_would_block() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = receive(server.as_fd(), &mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
