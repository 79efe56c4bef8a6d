//! How many sockets and files the program may have open. Not a bound of our own: those are `StreamLimits` and the
//! configuration's RTP ports, and they need what is asked for here.
#![expect(unsafe_code, reason = "setrlimit has no safe interface in std")]

use std::io;

/// Raises the soft limit to the hard one and returns it. Usual is 1,024, which idle connections from two dozen
/// addresses would use up, and calls take four sockets each; programs that do not use select(2) may have more.
///
/// # Errors
/// The system refused; the old limit stays.
pub fn raise_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` lives through the call, which fills it.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` lives through the call, which only reads it.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}
