//! UDP in batches, with the kernel's time of arrival, and a clock that wakes at a given moment.

use std::io;
use std::mem;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr;

/// Packets read or sent with one system call.
pub const BATCH: usize = 64;
/// The longest packet of any codec here.
pub const PACKET: usize = 512;
/// Ports per thread: enough that none fills while we look at another.
pub const PORTS: usize = 8;
/// What a socket may hold unread, bytes.
const ROOM: libc::c_int = 8 << 20;

/// The sockets that stand for phones: calls share them, the server's ports tell them apart.
pub struct Ports {
    pub of_thread: Vec<Vec<UdpSocket>>,
    rtcp: UdpSocket,
}

impl Ports {
    pub fn open(threads: usize) -> io::Result<Ports> {
        let threads = (0..threads).map(|_| (0..PORTS).map(|_| open()).collect());
        Ok(Ports {
            of_thread: threads.collect::<io::Result<_>>()?,
            rtcp: open()?,
        })
    }

    /// The ports of the two parties of a call.
    pub fn of_call(&self, number: usize) -> [u16; 2] {
        [0, 1].map(|side| {
            let (thread, port) = place(number, side, self.of_thread.len());
            self.of_thread[thread][port]
                .local_addr()
                .map_or(0, |a| a.port())
        })
    }

    /// Where all RTCP goes. Nobody reads it.
    pub fn rtcp(&self) -> u16 {
        self.rtcp.local_addr().map_or(0, |address| address.port())
    }
}

/// The thread and the port of one party.
pub fn place(call: usize, side: usize, threads: usize) -> (usize, usize) {
    (call % threads, (call / threads * 2 + side) % PORTS)
}

fn open() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;
    for (option, value) in [
        (libc::SO_RCVBUFFORCE, ROOM),
        (libc::SO_SNDBUFFORCE, ROOM),
        (libc::SO_TIMESTAMPNS, 1),
    ] {
        // SAFETY: `value` lives through the call. Without the privilege the buffers stay as they are.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const value).cast(),
                mem::size_of::<libc::c_int>() as libc::socklen_t,
            );
        }
    }
    Ok(socket)
}

/// A packet to send: from which bytes, to which port.
pub struct Outgoing {
    pub length: usize,
    pub port: u16,
}

/// Room for a batch either way.
pub struct Batch {
    pub bytes: Vec<[u8; PACKET]>,
    addresses: Vec<libc::sockaddr_in>,
    parts: Vec<libc::iovec>,
    controls: Vec<[u64; 8]>,
    heads: Vec<libc::mmsghdr>,
}

/// One packet that came.
pub struct Came {
    pub length: usize,
    pub port: u16,
    /// Wall time at which the kernel got it.
    pub at_ns: u64,
}

impl Batch {
    pub fn new() -> Batch {
        // SAFETY: all zero is a valid address, part and head.
        let (address, part, head) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        Batch {
            bytes: vec![[0; PACKET]; BATCH],
            addresses: vec![address; BATCH],
            parts: vec![part; BATCH],
            controls: vec![[0; 8]; BATCH],
            heads: vec![head; BATCH],
        }
    }

    fn prepare(&mut self, count: usize, lengths: impl Fn(usize) -> usize, control: bool) {
        for n in 0..count {
            self.parts[n] = libc::iovec {
                iov_base: self.bytes[n].as_mut_ptr().cast(),
                iov_len: lengths(n),
            };
            let head = &mut self.heads[n].msg_hdr;
            head.msg_name = (&raw mut self.addresses[n]).cast();
            head.msg_namelen = mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;
            head.msg_iov = &raw mut self.parts[n];
            head.msg_iovlen = 1;
            head.msg_control = if control {
                self.controls[n].as_mut_ptr().cast()
            } else {
                ptr::null_mut()
            };
            head.msg_controllen = if control {
                mem::size_of::<[u64; 8]>()
            } else {
                0
            };
        }
    }

    /// Sends what lies in `bytes`.
    pub fn send(&mut self, socket: &UdpSocket, what: &[Outgoing]) {
        for (address, packet) in self.addresses.iter_mut().zip(what) {
            address.sin_family = libc::AF_INET as libc::sa_family_t;
            address.sin_port = packet.port.to_be();
            address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        }
        self.prepare(what.len(), |n| what[n].length, false);
        // SAFETY: the heads point into self, which lives through the call. What cannot be sent counts as lost.
        unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.heads.as_mut_ptr(),
                what.len() as libc::c_uint,
                0,
            );
        }
    }

    /// Takes what has come, at most a batch.
    pub fn receive(&mut self, socket: &UdpSocket) -> usize {
        self.prepare(BATCH, |_| PACKET, true);
        // SAFETY: as above; no timeout is given.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.heads.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        usize::try_from(count).unwrap_or_default()
    }

    pub fn came(&self, n: usize) -> Came {
        let head = &self.heads[n];
        let mut at_ns = 0;
        // SAFETY: the kernel filled head and control of this packet; the macros walk within msg_controllen.
        unsafe {
            let control = libc::CMSG_FIRSTHDR(&raw const head.msg_hdr);
            if !control.is_null() && (*control).cmsg_type == libc::SCM_TIMESTAMPNS {
                let time: libc::timespec = ptr::read_unaligned(libc::CMSG_DATA(control).cast());
                at_ns = nanoseconds(time);
            }
        }
        Came {
            length: head.msg_len as usize,
            port: u16::from_be(self.addresses[n].sin_port),
            at_ns,
        }
    }
}

fn nanoseconds(time: libc::timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Wall time, as the kernel stamps packets with.
pub fn wall_ns() -> u64 {
    clock(libc::CLOCK_REALTIME)
}

pub fn steady_ns() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

fn clock(which: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` lives through the call.
    unsafe { libc::clock_gettime(which, &raw mut time) };
    nanoseconds(time)
}

/// Sleeps until this moment of the steady clock.
pub fn sleep_until(at_ns: u64) {
    let time = libc::timespec {
        tv_sec: (at_ns / 1_000_000_000) as i64,
        tv_nsec: (at_ns % 1_000_000_000) as i64,
    };
    // SAFETY: `time` lives through the call.
    unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &raw const time,
            ptr::null_mut(),
        )
    };
}

/// Realtime priority below that of a server's media threads; whether it was granted.
pub fn raise() -> bool {
    // SAFETY: all zero is a valid sched_param; 0 is the calling thread. Without slack timers are exact.
    unsafe {
        let mut parameters: libc::sched_param = mem::zeroed();
        parameters.sched_priority = 5;
        libc::prctl(libc::PR_SET_TIMERSLACK, 1);
        libc::sched_setscheduler(
            0,
            libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        ) == 0
    }
}
