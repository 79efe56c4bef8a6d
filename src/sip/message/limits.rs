//! How large a message may be. Not how many: `net` limits rates, `endpoint` limits tables.

/// What a peer may make us hold and look through for one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole message, body included. 65,535 is what a UDP packet can hold.
    pub message: usize,
    /// Header lines of a message, folded lines counted once.
    pub headers: usize,
    /// Bytes of one header line with its continuations, or of the start line.
    pub header_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message: 65_535,
            headers: 256,
            header_bytes: 16_384,
        }
    }
}
