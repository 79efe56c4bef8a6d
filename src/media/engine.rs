//! The doors: commands, packets and ticks in; packets and events out.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use crate::{Command, Event, Kind, NtpTime, StreamId, Transmit};

/// The streams of one media thread. See the crate's page.
#[derive(Debug)]
pub struct Engine {
    events: VecDeque<Event>,
    latches: VecDeque<(StreamId, Option<SocketAddr>, Kind)>,
}

impl Engine {
    /// `seed` makes SSRCs, first sequence numbers and timestamps; two engines must not share it.
    pub fn new(_seed: u64) -> Engine {
        Engine {
            events: VecDeque::new(),
            latches: VecDeque::new(),
        }
    }

    /// Obeys. The only door that allocates.
    pub fn command(&mut self, _now: Instant, _wall: NtpTime, _command: Command) {}

    /// A datagram came to the RTP socket of `stream`. It is rewritten in place where that will do.
    #[expect(clippy::too_many_arguments, reason = "the facts of one datagram")]
    pub fn rtp(
        &mut self,
        _now: Instant,
        _stream: StreamId,
        _from: SocketAddr,
        _packet: &mut [u8],
        _out: &mut impl Transmit,
    ) {
    }

    /// A datagram came to the RTCP socket of `stream`.
    #[expect(clippy::too_many_arguments, reason = "the facts of one datagram")]
    pub fn rtcp(
        &mut self,
        _now: Instant,
        _wall: NtpTime,
        _stream: StreamId,
        _from: SocketAddr,
        _packet: &[u8],
        _out: &mut impl Transmit,
    ) {
    }

    /// To be called every 5 ms: playback, tones, RTCP reports, silence.
    pub fn tick(&mut self, _now: Instant, _wall: NtpTime, _out: &mut impl Transmit) {}

    /// The next event; drain until `None`.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Sockets to connect to the one source they shall hear, or (`None`) to open to all again; drain until `None`.
    pub fn latched(&mut self) -> Option<(StreamId, Option<SocketAddr>, Kind)> {
        self.latches.pop_front()
    }
}
