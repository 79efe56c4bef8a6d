//! Media threads go before all others: measured beside busy builds, a thread of ordinary priority loses packets by the
//! per cent, one under SCHED_FIFO none.
#![expect(unsafe_code, reason = "scheduling calls have no safe interface in std")]

use std::io;
use std::mem;
use std::sync::Once;

/// Realtime priority, below the kernel's own threads (50).
const REALTIME: libc::c_int = 10;
/// The nearest to it that ordinary scheduling has.
const NICE: libc::c_int = -11;

/// Raises the calling thread as far as the system allows; warns once when it does not at all.
pub(super) fn raise() {
    static WARNED: Once = Once::new();
    let Err(realtime) = fifo() else { return };
    let Err(nice) = nice() else { return };
    WARNED.call_once(|| {
        tracing::warn!(
            %realtime,
            %nice,
            "media threads have ordinary priority: speech will break up when this machine is busy; \
             give CAP_SYS_NICE or LimitRTPRIO=20"
        );
    });
}

fn fifo() -> io::Result<()> {
    // SAFETY: all zero is a valid sched_param; it lives through the call. 0 means the calling thread.
    let done = unsafe {
        let mut parameters: libc::sched_param = mem::zeroed();
        parameters.sched_priority = REALTIME;
        libc::sched_setscheduler(
            0,
            libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        )
    };
    check(done)
}

fn nice() -> io::Result<()> {
    // SAFETY: no pointers. On Linux, 0 means the calling thread only.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) })
}

fn check(done: libc::c_int) -> io::Result<()> {
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
