//! Who hears whom, and how a packet heard becomes a packet said: relayed as it is, or transcoded the moment it arrives.
//!
//! Not here: rooms of three and more, which need a clock and jitter buffers.

use std::time::Instant;

use crate::dtmf::Way;
use crate::room::Place;
use crate::rtp::dtmf::Event;
use crate::rtp::packet::HEADER_LEN;
use crate::sender::{Load, Maker};
use crate::stream::{Heard, Stream};
use crate::transcoder::{Step, Transcoder};
use crate::{Codec, Negotiated, Transmit};

/// Bytes of the longest packet we make.
pub(crate) const MAX_PACKET: usize = 1_500;

/// Where what a stream hears goes.
#[derive(Debug)]
pub(crate) enum Path {
    Nowhere,
    /// Back to the party itself.
    Echo,
    /// To the stream with this key in the engine's table.
    Partner(usize, Route),
    /// Into a room.
    Room(Place),
}

/// How it gets there.
#[derive(Debug)]
pub(crate) enum Route {
    /// One side has not negotiated yet.
    Mute,
    Relay,
    Transcode(Box<Transcoder>),
}

impl Path {
    pub(crate) fn partner(&self) -> Option<usize> {
        match self {
            Path::Partner(key, _) => Some(*key),
            Path::Nowhere | Path::Echo | Path::Room(_) => None,
        }
    }
}

impl Route {
    /// How to get from one side to the other; `before` is kept when it does that already.
    pub(crate) fn between(
        from: Option<&Negotiated>,
        to: Option<&Negotiated>,
        before: Route,
    ) -> Route {
        let (Some(from), Some(to)) = (from, to) else {
            return Route::Mute;
        };
        if from.codec == to.codec {
            return Route::Relay;
        }
        let wanted = (from.codec, to.codec, frame_ms(to));
        match before {
            Route::Transcode(coder) if coder.makes(wanted) => Route::Transcode(coder),
            Route::Mute | Route::Relay | Route::Transcode(_) => Transcoder::new(wanted)
                .map_or(Route::Mute, |coder| Route::Transcode(Box::new(coder))),
        }
    }
}

/// The length of the packets the party gets.
pub(crate) fn frame_ms(to: &Negotiated) -> u32 {
    match to.codec {
        // Opus is at its best, and libopus without a remainder, at 20 ms.
        Codec::Opus => 20,
        Codec::Pcmu | Codec::Pcma | Codec::G722 => u32::from(to.ptime_ms.clamp(10, 60)),
    }
}

/// Sends what was heard on to `to`, rewritten in place: header, payload type, numbers.
pub(crate) fn relay(
    now: Instant,
    heard: &Heard,
    packet: &mut [u8],
    to: &mut Stream,
    out: &mut impl Transmit,
) {
    let payload_type = to.payload_type(heard.load).filter(|_| !is_told(heard, to));
    let Some(payload_type) = payload_type else {
        to.sender.swallow(&heard.header, heard.clock);
        return;
    };
    rescale(heard, packet, to);
    let Some(header) = to.sender.heard(now, &heard.header, heard.clock, heard.load) else {
        return;
    };
    // CSRCs and extensions of the source go: our header ends where its payload begins.
    let start = heard.payload.start.saturating_sub(HEADER_LEN);
    let Some(packet) = packet.get_mut(start..heard.payload.end) else {
        return;
    };
    to.transmit(payload_type, header, packet, out);
}

/// Whether a key's tone in the voice is told to the party in another way.
fn is_told(heard: &Heard, to: &Stream) -> bool {
    heard.tone && matches!(to.keys.way_out(), Some(Way::Event | Way::Info))
}

/// RFC 4733 §2.3.5: an event's duration counts in its own clock, which may be another on the other side.
fn rescale(heard: &Heard, packet: &mut [u8], to: &Stream) {
    let (from, to) = (heard.event_clock, to.keys.clock());
    if heard.load != Load::Event || from == to {
        return;
    }
    let payload = packet.get_mut(heard.payload.clone()).unwrap_or_default();
    if let Some(event) = Event::parse(payload)
        && let Some(place) = payload.first_chunk_mut()
    {
        let ticks = u64::from(event.duration) * u64::from(to) / u64::from(from.max(1));
        let duration = u16::try_from(ticks).unwrap_or(u16::MAX);
        *place = Event { duration, ..event }.write();
    }
}

/// Sends a telephone event to a stream of another codec.
pub(crate) fn relay_event(
    now: Instant,
    (heard, packet): (&Heard, &mut [u8]),
    coder: &mut Transcoder,
    to: &mut Stream,
    out: &mut impl Transmit,
) {
    coder.pass_over(&heard.header);
    let Some(payload_type) = to.payload_type(Load::Event) else {
        to.sender.swallow(&heard.header, heard.clock);
        return;
    };
    rescale(heard, packet, to);
    let header = if to.sender.maps(&heard.header) {
        to.sender
            .heard(now, &heard.header, heard.clock, Load::Event)
    } else {
        Some(to.sender.inserted_event(now, &heard.header))
    };
    let start = heard.payload.start.saturating_sub(HEADER_LEN);
    if let (Some(header), Some(packet)) = (header, packet.get_mut(start..heard.payload.end)) {
        to.transmit(payload_type, header, packet, out);
    }
}

/// Sends what was heard on to `to` in its codec: frame for frame when the lengths agree, else cut anew.
pub(crate) fn transcode(
    now: Instant,
    (heard, payload): (&Heard, &[u8]),
    coder: &mut Transcoder,
    to: &mut Stream,
    (transmit, buffer): (&mut impl Transmit, &mut [u8; MAX_PACKET]),
) {
    let Some(payload_type) = to.payload_type(Load::Voice) else {
        return;
    };
    if is_told(heard, to) {
        to.sender.swallow(&heard.header, heard.clock);
        return coder.pass_over(&heard.header);
    }
    let maker = Maker::Reframed(heard.header.ssrc);
    match coder.follow(&heard.header) {
        Step::Next => {}
        // A frame passed on one for one may be late: it has its own number.
        Step::Late if coder.is_empty() => {}
        Step::Late => return,
        Step::Gap { ticks, packets } => to.sender.lose(maker, ticks, packets),
        Step::Restart => to.sender.end_turn_of(maker),
    }
    let one_for_one = coder.take(&heard.header, payload);
    if one_for_one {
        let header = to
            .sender
            .heard(now, &heard.header, heard.clock, Load::Voice);
        let length = coder.frame(buffer.get_mut(HEADER_LEN..).unwrap_or_default());
        if let (Some(header), Some(length @ 1..)) = (header, length)
            && let Some(packet) = buffer.get_mut(..HEADER_LEN + length)
        {
            to.transmit(payload_type, header, packet, transmit);
        }
        return;
    }
    while let Some(length) = coder.frame(buffer.get_mut(HEADER_LEN..).unwrap_or_default()) {
        let header = to.sender.own(now, maker, coder.ticks());
        let packet = buffer.get_mut(..HEADER_LEN + length);
        // A frame the encoder could not make is a pause.
        if let Some(packet) = packet.filter(|_| length > 0) {
            to.transmit(payload_type, header, packet, transmit);
        }
    }
}
