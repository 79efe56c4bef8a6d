//! Symmetric RTP: the first source of valid packets is the party, wherever its SDP says it is; then nobody else is.

use std::net::SocketAddr;

#[derive(Debug, Default)]
pub(crate) struct Latch {
    source: Option<SocketAddr>,
    foreign: u64,
}

/// What a source is to a latch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The first: the latch is locked to it.
    Locked,
    Known,
    Foreign,
}

impl Latch {
    /// Locks to `from` or compares it. To be asked only for packets that are valid in themselves.
    pub(crate) fn admit(&mut self, from: SocketAddr) -> Admission {
        match self.source {
            None => {
                self.source = Some(from);
                Admission::Locked
            }
            Some(source) if source == from => Admission::Known,
            Some(_) => {
                self.foreign += 1;
                Admission::Foreign
            }
        }
    }

    /// Counts a datagram refused for another reason than its validity.
    pub(crate) fn refuse(&mut self) {
        self.foreign += 1;
    }

    /// Whether it was locked.
    pub(crate) fn unlock(&mut self) -> bool {
        self.source.take().is_some()
    }

    pub(crate) fn source(&self) -> Option<SocketAddr> {
        self.source
    }

    pub(crate) fn foreign(&self) -> u64 {
        self.foreign
    }
}
