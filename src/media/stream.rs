//! One leg's RTP, in and out: who may be heard, what was heard, where ours goes.
//!
//! Not here: whom the party hears (`bridge.rs`), and the numbers of what we send (`sender.rs`).

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use crate::bridge::{MAX_PACKET, Path};
use crate::dtmf::{self, Edges, Keys, Way};
use crate::latch::{Admission, Latch};
use crate::play::{Player, Said};
use crate::report::Reports;
use crate::rtp::packet::{self, HEADER_LEN, Header};
use crate::rtp::rtcp;
use crate::secure::Secure;
use crate::sender::{Load, Maker, Sender};
use crate::{
    Direction, Event, Kind, Negotiated, NtpTime, PlayId, Settings, StreamId, StreamStats, Transmit,
};

/// RFC 3551 §6: comfort noise of codecs with a clock of 8000 Hz.
const NOISE: u8 = 13;

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    settings: Settings,
    negotiated: Option<Negotiated>,
    /// The last address the party's SDP named that was no hold.
    named: Option<(SocketAddr, SocketAddr)>,
    pub(crate) path: Path,
    pub(crate) player: Option<Player>,
    pub(crate) sender: Sender,
    rtp: Latch,
    rtcp: Latch,
    reports: Reports,
    pub(crate) keys: Keys,
    /// The timestamp of the event that is being told.
    event_at: u32,
    heard_at: Instant,
    /// The last time a silence was told.
    told_at: Instant,
    secure: Option<Box<Secure>>,
    /// Datagrams that no key opened.
    sealed: u64,
}

/// A packet of the party that goes on to whoever hears it.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) header: Header,
    pub(crate) payload: Range<usize>,
    pub(crate) load: Load,
    /// Of its timestamps.
    pub(crate) clock: u32,
    /// Of its duration, when it is an event.
    pub(crate) event_clock: u32,
    /// A key's tone is in it.
    pub(crate) tone: bool,
}

/// What came of a datagram.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// The latch is locked to its source.
    pub(crate) locked: bool,
    /// What the party does with its keys, and how it tells that.
    pub(crate) edges: Edges,
    pub(crate) way: Option<Way>,
    pub(crate) heard: Option<Heard>,
}

impl Stream {
    pub(crate) fn new(now: Instant, id: StreamId, settings: Settings, seed: [u32; 4]) -> Stream {
        let [ssrc, sequence, timestamp, spread] = seed;
        Stream {
            id,
            settings,
            negotiated: None,
            named: None,
            path: Path::Nowhere,
            player: None,
            sender: Sender::new([ssrc, sequence, timestamp]),
            rtp: Latch::default(),
            rtcp: Latch::default(),
            reports: Reports::new(now, ssrc, spread),
            keys: Keys::new(settings.dtmf),
            event_at: 0,
            heard_at: now,
            told_at: now,
            secure: None,
            sealed: 0,
        }
    }

    pub(crate) fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    pub(crate) fn is_negotiated(&self) -> bool {
        self.negotiated.is_some()
    }

    /// Takes what offer and answer agreed on; which sockets are unlocked by it (RTP, RTCP).
    pub(crate) fn negotiate(&mut self, now: Instant, negotiated: Negotiated) -> (bool, bool) {
        let codec = self.negotiated.as_ref().map(|n| n.codec);
        if codec != Some(negotiated.codec) {
            self.sender.set_clock(negotiated.codec.clock_rate());
            self.sender.end_turn();
            self.reports.set_clock(negotiated.codec.clock_rate());
        }
        self.reports.negotiated(now, &negotiated);
        if !negotiated.direction.sends() {
            self.sender.end_turn();
        }
        self.heard_at = now;
        let unlocked = self.unlock_if_moved(&negotiated);
        self.secure = Secure::new(&negotiated.security, self.secure.take());
        self.keys.negotiate(&negotiated);
        self.negotiated = Some(negotiated);
        unlocked
    }

    fn unlock_if_moved(&mut self, negotiated: &Negotiated) -> (bool, bool) {
        // RFC 3264 §8.4: 0.0.0.0 is a hold; the party has not moved.
        if negotiated.remote.ip().is_unspecified() {
            return (false, false);
        }
        let named = (negotiated.remote, negotiated.remote_rtcp);
        let before = self.named.replace(named).unwrap_or(named);
        if before.0 != named.0 {
            self.keys.moved();
            (self.rtp.unlock(), self.rtcp.unlock())
        } else {
            (false, before.1 != named.1 && self.rtcp.unlock())
        }
    }

    /// Judges a datagram of the RTP socket, which is decrypted in place. What comes encrypted proves first that it is the
    /// party's: nobody else can lock the latch.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &mut [u8],
    ) -> Received {
        let mut received = Received::default();
        let Some(negotiated) = &self.negotiated else {
            return received;
        };
        let length = match &mut self.secure {
            Some(secure) => secure.open(datagram),
            None => Some(datagram.len()),
        };
        let Some(datagram) = length.and_then(|length| datagram.get(..length)) else {
            self.sealed += 1;
            return received;
        };
        let Some((header, payload)) = packet::parse(datagram) else {
            return received;
        };
        let load = load(negotiated, header.payload_type);
        if load.is_none() && self.rtp.source().is_none() {
            return received;
        }
        match self.rtp.admit(from) {
            Admission::Foreign => return received,
            Admission::Locked => received.locked = true,
            Admission::Known => {}
        }
        self.heard_at = now;
        let receives = negotiated.direction.receives();
        self.reports.rtp(now, &header, load);
        let Some(load) = load else {
            return received;
        };
        let packet = (&header, datagram.get(payload.clone()).unwrap_or_default());
        let edges = &mut received.edges;
        let (way, goes_on, tone) = match load {
            Load::Event => (Way::Event, self.keys.event(now, packet, edges), false),
            Load::Voice => (Way::Tone, true, self.keys.voice(now, packet, edges)),
            Load::Noise => (Way::Tone, true, false),
        };
        received.way = Some(way);
        let clock = self.clock();
        received.heard = (receives && goes_on).then_some(Heard {
            header,
            payload,
            load,
            clock,
            event_clock: self.keys.clock(),
            tone,
        });
        received
    }

    fn clock(&self) -> u32 {
        self.negotiated
            .as_ref()
            .map_or(8_000, |n| n.codec.clock_rate())
    }

    /// Judges a datagram of the RTCP socket; whether its latch is locked by it.
    pub(crate) fn receive_rtcp(
        &mut self,
        (now, wall): (Instant, NtpTime),
        from: SocketAddr,
        datagram: &mut [u8],
    ) -> bool {
        let Some(negotiated) = &self.negotiated else {
            return false;
        };
        let length = match &mut self.secure {
            Some(secure) => secure.open_report(datagram),
            None => Some(datagram.len()),
        };
        let Some(datagram) = length.and_then(|length| datagram.get(..length)) else {
            return false;
        };
        let Some(compound) = rtcp::parse(datagram) else {
            return false;
        };
        let host = self
            .rtp
            .source()
            .map_or(negotiated.remote_rtcp.ip(), |source| source.ip());
        if self.rtcp.source().is_none() && from.ip() != host {
            self.rtcp.refuse();
            return false;
        }
        let admission = self.rtcp.admit(from);
        if admission == Admission::Foreign {
            return false;
        }
        // A phone that mutes by sending no RTP still reports (RFC 3550 §6.2).
        self.heard_at = now;
        self.reports.rtcp(now, wall, &self.sender, compound);
        admission == Admission::Locked
    }

    /// The payload type of what we send, if it may be sent.
    pub(crate) fn payload_type(&self, load: Load) -> Option<u8> {
        let negotiated = self.negotiated.as_ref()?;
        match load {
            Load::Voice => Some(negotiated.payload_type),
            Load::Event => negotiated.dtmf.map(|dtmf| dtmf.send),
            // Nobody was offered comfort noise: a pause is one without it.
            Load::Noise => None,
        }
    }

    /// Whether the party may hear others now: it is not on hold and not listening to a playback.
    pub(crate) fn listens(&self) -> bool {
        let negotiated = self.negotiated.as_ref();
        let sends = negotiated.is_some_and(|n| n.direction.sends());
        sends && self.player.is_none() && !self.keys.speak()
    }

    /// As `listens`, for the voice of the partner: a ringback gives way to it.
    pub(crate) fn listens_to_partner(&mut self, now: Instant) -> bool {
        self.hears_keys(now) && !self.keys.speak()
    }

    /// The same for the partner's keys: one after the other.
    pub(crate) fn hears_keys(&mut self, now: Instant) -> bool {
        let negotiated = self.negotiated.as_ref();
        let sends = negotiated.is_some_and(|n| n.direction.sends());
        sends && self.player.as_mut().is_none_or(|p| p.gives_way(now))
    }

    /// Sends an RTP packet whose first bytes are room for `header`.
    pub(crate) fn transmit(
        &mut self,
        payload_type: u8,
        header: Header,
        packet: &mut [u8],
        out: &mut impl Transmit,
    ) {
        let Some(to) = self.target() else { return };
        let header = Header {
            payload_type,
            ..header
        };
        let written = packet::write(&header, packet);
        let sent = match &mut self.secure {
            Some(secure) => secure.seal(packet),
            None => Some(&*packet),
        };
        if let Some(sent) = sent {
            self.sender.count(packet.len().saturating_sub(written));
            out.send(self.id, Kind::Rtp, to, sent);
        }
    }

    fn target(&self) -> Option<SocketAddr> {
        let named = || self.negotiated.as_ref().map(|n| n.remote);
        self.rtp.source().or_else(named).filter(sendable)
    }

    fn rtcp_target(&self) -> Option<SocketAddr> {
        let negotiated = self.negotiated.as_ref()?;
        let guessed = match self.rtp.source() {
            // Behind a NAT the address in the SDP is of no use; the next port is the best guess.
            Some(source) if source.ip() != negotiated.remote.ip() => {
                SocketAddr::new(source.ip(), source.port().saturating_add(1))
            }
            Some(_) | None => negotiated.remote_rtcp,
        };
        self.rtcp.source().or(Some(guessed)).filter(sendable)
    }

    /// Tells the party of the keys that are due; one that it has to be told of by INFO, then ask again.
    pub(crate) fn tell_keys(
        &mut self,
        now: Instant,
        buffer: &mut [u8; MAX_PACKET],
        out: &mut impl Transmit,
    ) -> Option<(char, u32)> {
        if !self.keys.speaker.is_busy() {
            return None;
        }
        let way = self.keys.way_out();
        let Some((way, negotiated)) = way.zip(self.negotiated.as_ref()) else {
            self.keys.speaker.clear();
            return None;
        };
        let (codec, sends) = (negotiated.codec, negotiated.direction.sends());
        let heard_as = (way, self.keys.clock());
        loop {
            let room = buffer.get_mut(HEADER_LEN..)?;
            let (load, header, length) = match self.keys.speaker.say(now, heard_as, room) {
                dtmf::Said::NotYet => return None,
                dtmf::Said::Info { key, ms } => return Some((key, ms)),
                dtmf::Said::Pause => continue,
                dtmf::Said::Voice(length) => {
                    let ticks = codec.clock_rate() / 50;
                    let header = self.sender.own(now, Maker::Keys, ticks);
                    (Load::Voice, header, length)
                }
                dtmf::Said::Event { first, payload } => {
                    room.get_mut(..4)?.copy_from_slice(&payload);
                    if first {
                        self.event_at = self.sender.start_event(now);
                    }
                    let header = self.sender.own_event(first, self.event_at);
                    (Load::Event, header, 4)
                }
            };
            let packet = buffer.get_mut(..HEADER_LEN + length);
            let packet = packet.filter(|_| sends && length > 0);
            if let Some((packet, payload_type)) = packet.zip(self.payload_type(load)) {
                self.transmit(payload_type, header, packet, out);
            }
        }
    }

    /// Sends the frames of the playback that are due. The playback, when this was its end.
    pub(crate) fn play(
        &mut self,
        now: Instant,
        buffer: &mut [u8; MAX_PACKET],
        out: &mut impl Transmit,
    ) -> Option<PlayId> {
        if self.keys.speaker.is_busy() && self.keys.way_out() == Some(Way::Tone) {
            return None;
        }
        let negotiated = self.negotiated.as_ref()?;
        let (sends, payload_type) = (negotiated.direction.sends(), negotiated.payload_type);
        let ticks = negotiated.codec.clock_rate() / 50;
        loop {
            let player = self.player.as_mut()?;
            let id = player.id;
            match player.say(now, buffer.get_mut(HEADER_LEN..)?) {
                Said::NotYet => return None,
                Said::End => {
                    self.player = None;
                    return Some(id);
                }
                Said::Frame(length) if sends => {
                    let header = self.sender.own(now, Maker::Play(id.0), ticks);
                    let packet = buffer.get_mut(..HEADER_LEN + length).filter(|_| length > 0);
                    if let Some(packet) = packet {
                        self.transmit(payload_type, header, packet, out);
                    }
                }
                Said::Frame(_) => {}
            }
        }
    }

    /// Sends an RTCP report when one is due.
    pub(crate) fn report(
        &mut self,
        (now, wall): (Instant, NtpTime),
        buffer: &mut [u8; MAX_PACKET],
        out: &mut impl Transmit,
    ) {
        if self.negotiated.is_none() || !self.reports.due(now) {
            return;
        }
        let length = self.reports.write((now, wall), &self.sender, buffer);
        self.transmit_rtcp(length, buffer, out);
    }

    /// Tells the party that this was all, if it was told or sent anything.
    pub(crate) fn farewell(
        &mut self,
        (now, wall): (Instant, NtpTime),
        buffer: &mut [u8; MAX_PACKET],
        out: &mut impl Transmit,
    ) {
        let length = self.reports.write_bye((now, wall), &self.sender, buffer);
        self.transmit_rtcp(length, buffer, out);
    }

    fn transmit_rtcp(
        &mut self,
        length: usize,
        buffer: &mut [u8; MAX_PACKET],
        out: &mut impl Transmit,
    ) {
        let (Some(to), Some(packet @ [_, ..])) = (self.rtcp_target(), buffer.get(..length)) else {
            return;
        };
        let sent = match &mut self.secure {
            Some(secure) => secure.seal_report(packet),
            None => Some(packet),
        };
        if let Some(sent) = sent {
            out.send(self.id, Kind::Rtcp, to, sent);
        }
    }

    /// The silence to tell at `now`, if there is one: every half of the timeout, however late the look at the clock.
    pub(crate) fn silence(&mut self, now: Instant) -> Option<Event> {
        let limit = match self.negotiated.as_ref().map(|n| n.direction) {
            Some(Direction::SendRecv) | None => self.settings.timeout,
            Some(Direction::SendOnly | Direction::RecvOnly | Direction::Inactive) => {
                self.settings.hold_timeout
            }
        };
        let since = self.heard_at.max(self.told_at);
        if limit.is_zero() || now.saturating_duration_since(since) < limit / 2 {
            return None;
        }
        self.told_at = now;
        let silent = now.saturating_duration_since(self.heard_at);
        Some(Event::Silent {
            stream: self.id,
            for_ms: silent.as_millis() as u64,
        })
    }

    pub(crate) fn stats(&self, now: Instant) -> StreamStats {
        let codec = self.negotiated.as_ref().map(|n| n.codec);
        let mut stats = self.reports.stats(now, codec);
        stats.signs.named = self.named.map(|(rtp, _)| rtp);
        StreamStats {
            codec,
            packets_out: self.sender.packets(),
            remote: self.rtp.source(),
            foreign_packets: self.rtp.foreign() + self.rtcp.foreign(),
            sealed_packets: self.sealed,
            ..stats
        }
    }
}

fn load(negotiated: &Negotiated, payload_type: u8) -> Option<Load> {
    if payload_type == negotiated.receive_type {
        Some(Load::Voice)
    } else if negotiated
        .dtmf
        .is_some_and(|dtmf| dtmf.receive == payload_type)
    {
        Some(Load::Event)
    } else if payload_type == NOISE && negotiated.codec.clock_rate() == 8_000 {
        Some(Load::Noise)
    } else {
        None
    }
}

fn sendable(to: &SocketAddr) -> bool {
    !to.ip().is_unspecified() && to.port() != 0
}
