//! Takes an SDP apart: which media line is our audio, which formats it lists, where it wants its packets.

use std::net::{IpAddr, SocketAddr};

use sdp_types::{Attribute, Connection, Media, Session};

use super::sdes::{self, Crypto};
use super::{Direction, Extended, Protection, SdpError};
use crate::Codec;

/// More than any phone sends; a bound for the answer, which has as many lines.
const MAX_MEDIA_LINES: usize = 32;
/// What a packet carries when the SDP does not say (RFC 3551 §4.5).
const DEFAULT_PTIME_MS: u16 = 20;
const MIN_PTIME_MS: u16 = 10;
const MAX_PTIME_MS: u16 = 60;

/// One format of an audio line that means something to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sound {
    Voice(Codec),
    /// RFC 4733, with the clock its durations count in.
    TelephoneEvent(u32),
}

/// The audio line of the other side that can be ours.
#[derive(Debug)]
pub(super) struct Audio {
    /// Which media line it is.
    pub(super) index: usize,
    /// Payload types we understand, in the order listed.
    pub(super) formats: Vec<(u8, Sound)>,
    pub(super) remote: SocketAddr,
    pub(super) remote_rtcp: SocketAddr,
    /// As the other side says it.
    pub(super) direction: Direction,
    pub(super) ptime_ms: u16,
    pub(super) transport: Transport,
    /// The keys that the other side sends with, and how.
    pub(super) crypto: Option<Crypto>,
    pub(super) extended: Extended,
}

/// The transport of a media line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// `RTP/AVP`.
    Plain,
    /// `RTP/SAVP` (RFC 3711 §12).
    Secure,
}

impl Transport {
    pub(super) fn name(self) -> &'static str {
        match self {
            Transport::Plain => "RTP/AVP",
            Transport::Secure => "RTP/SAVP",
        }
    }

    fn of(media: &Media) -> Option<Transport> {
        let mut known = [Transport::Plain, Transport::Secure].into_iter();
        let known = known.find(|t| media.proto.eq_ignore_ascii_case(t.name()));
        known.filter(|_| media.media == "audio")
    }
}

/// Parses, and refuses what could not be answered.
pub(super) fn parse(bytes: &[u8]) -> Result<Session, SdpError> {
    let session =
        Session::parse(bytes).map_err(|_| SdpError::Malformed("a line cannot be read"))?;
    if session.medias.len() > MAX_MEDIA_LINES {
        return Err(SdpError::Malformed("too many media lines"));
    }
    let echoed =
        |m: &Media| [&m.media, &m.proto, &m.fmt].map(|text| text.chars().any(char::is_control));
    if session
        .medias
        .iter()
        .flat_map(echoed)
        .any(|control| control)
    {
        return Err(SdpError::Malformed("control character in a media line"));
    }
    Ok(session)
}

/// Whether there is audio that could be ours, but all of it is switched off (RFC 3264 §8.2).
pub(super) fn is_switched_off(session: &Session) -> bool {
    let mut lines = session.medias.iter().filter(|m| Transport::of(m).is_some());
    lines.next().is_some_and(|m| m.port == 0) && lines.all(|m| m.port == 0)
}

/// The first audio line that is not switched off and is as well protected as asked: an encrypted one before a plain one.
pub(super) fn audio(session: &Session, protection: &Protection) -> Result<Audio, SdpError> {
    let mut plain = None;
    let mut trouble = SdpError::NoAudio;
    for (index, media) in session.medias.iter().enumerate() {
        let Some(transport) = Transport::of(media).filter(|_| media.port != 0) else {
            continue;
        };
        match crypto(media, transport, protection) {
            Ok(Some(crypto)) => return line(session, index, media, (transport, Some(crypto))),
            Ok(None) => plain = plain.or(Some((index, media))),
            Err(error) => trouble = error,
        }
    }
    let (index, media) = plain.ok_or(trouble)?;
    line(session, index, media, (Transport::Plain, None))
}

/// The keys on a line; `None`: it is plain, and may be.
fn crypto(
    media: &Media,
    transport: Transport,
    protection: &Protection,
) -> Result<Option<Crypto>, SdpError> {
    let mut lines = values(&media.attributes, "crypto").peekable();
    match (transport, protection) {
        (Transport::Plain, Protection::Off) => return Ok(None),
        (Transport::Secure, Protection::Off) => return Err(SdpError::Protected),
        (_, Protection::Optional(_) | Protection::Required(_)) => {}
    }
    let unnamed = lines.peek().is_none();
    match (sdes::first(lines), transport) {
        (Some(crypto), _) => Ok(Some(crypto)),
        (None, Transport::Plain) if !protection.is_required() => Ok(None),
        (None, Transport::Plain) if unnamed => Err(SdpError::Unprotected),
        (None, _) => Err(SdpError::NoCommonCipher),
    }
}

fn line(
    session: &Session,
    index: usize,
    media: &Media,
    (transport, crypto): (Transport, Option<Crypto>),
) -> Result<Audio, SdpError> {
    let connection = media.connections.first().or(session.connection.as_ref());
    let address = address(connection.ok_or(SdpError::BadAddress)?)?;
    let remote = SocketAddr::new(address, media.port);
    Ok(Audio {
        index,
        formats: formats(media),
        remote,
        remote_rtcp: rtcp(media, remote),
        direction: direction(session, media, address),
        ptime_ms: ptime(media),
        transport,
        crypto,
        extended: extended(session, media),
    })
}

fn address(connection: &Connection) -> Result<IpAddr, SdpError> {
    let text = &connection.connection_address;
    let host = text.split('/').next().unwrap_or(text);
    match host.parse::<IpAddr>() {
        Ok(address) if !address.is_multicast() => Ok(address),
        _ => Err(SdpError::BadAddress),
    }
}

fn formats(media: &Media) -> Vec<(u8, Sound)> {
    let listed = media.fmt.split_ascii_whitespace();
    listed
        .filter_map(|text| text.parse().ok().filter(|&pt: &u8| pt < 128))
        .filter_map(|pt| Some((pt, sound(media, pt)?)))
        .take(64)
        .collect()
}

fn sound(media: &Media, payload_type: u8) -> Option<Sound> {
    let map = values(&media.attributes, "rtpmap").find_map(|value| {
        let (pt, map) = value.trim().split_once(' ')?;
        (pt.parse() == Ok(payload_type)).then_some(map.trim())
    });
    let Some(map) = map else {
        // RFC 3551 §6: static types need no rtpmap.
        return Codec::from_static_pt(payload_type).map(Sound::Voice);
    };
    let mut parts = map.split('/');
    let name = parts.next()?;
    let clock: u32 = parts.next()?.trim().parse().ok()?;
    let channels: u8 = parts
        .next()
        .map_or(Some(1), |text| text.trim().parse().ok())?;
    if name.eq_ignore_ascii_case("telephone-event") {
        return Some(Sound::TelephoneEvent(clock));
    }
    let codec = Codec::from_name(name)?;
    let fits = match codec {
        Codec::Pcmu | Codec::Pcma => clock == 8_000 && channels == 1,
        // RFC 3551 §4.5.2: the clock is 8000; some write the sampling rate all the same.
        Codec::G722 => (clock == 8_000 || clock == 16_000) && channels == 1,
        // RFC 7587 §7: always opus/48000/2.
        Codec::Opus => clock == 48_000 && channels == 2,
    };
    fits.then_some(Sound::Voice(codec))
}

/// RFC 3605: `a=rtcp:port` or `a=rtcp:port IN IP4 address`; without it the next port.
fn rtcp(media: &Media, rtp: SocketAddr) -> SocketAddr {
    let next = SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1));
    let Some(value) = values(&media.attributes, "rtcp").next() else {
        return next;
    };
    let mut words = value.split_ascii_whitespace();
    let port = words
        .next()
        .and_then(|text| text.parse().ok())
        .filter(|&port| port != 0);
    let address = words.nth(2).and_then(|text| text.parse::<IpAddr>().ok());
    let address = address.filter(|a| !a.is_multicast() && a.is_ipv4() == rtp.is_ipv4());
    port.map_or(next, |port| {
        SocketAddr::new(address.unwrap_or(rtp.ip()), port)
    })
}

fn direction(session: &Session, media: &Media, address: IpAddr) -> Direction {
    // RFC 8866 §6.7: the media line's own attribute, else the session's, else sendrecv.
    let said = [&media.attributes, &session.attributes]
        .into_iter()
        .find_map(|attributes| attributes.iter().find_map(|a| named(&a.attribute)))
        .unwrap_or(Direction::SendRecv);
    if address.is_unspecified() {
        // RFC 3264 §8.4: an address of 0.0.0.0 asks that nothing be sent there.
        said.and(Direction::SendOnly)
    } else {
        said
    }
}

fn named(attribute: &str) -> Option<Direction> {
    match attribute {
        "sendrecv" => Some(Direction::SendRecv),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::RecvOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    }
}

/// RFC 3611 §5.1: `a=rtcp-xr:rcvr-rtt=all:10000 voip-metrics`, of the media line or, failing that, of the session.
fn extended(session: &Session, media: &Media) -> Extended {
    let mut found =
        values(&media.attributes, "rtcp-xr").chain(values(&session.attributes, "rtcp-xr"));
    let mut extended = Extended::default();
    for format in found.next().unwrap_or_default().split_ascii_whitespace() {
        match format.split('=').next() {
            Some("voip-metrics") => extended.voip = true,
            Some("rcvr-rtt") => extended.round_trip = true,
            Some(_) | None => {}
        }
    }
    extended
}

fn ptime(media: &Media) -> u16 {
    let number = |name| {
        let text = values(&media.attributes, name).next()?.trim();
        text.split('.')
            .next()?
            .parse::<u16>()
            .ok()
            .filter(|&ms| ms != 0)
    };
    let wish = number("ptime").unwrap_or(DEFAULT_PTIME_MS);
    let most = number("maxptime").unwrap_or(MAX_PTIME_MS);
    let ms = wish.min(most).clamp(MIN_PTIME_MS, MAX_PTIME_MS);
    ms - ms % 10
}

fn values<'a>(attributes: &'a [Attribute], name: &'a str) -> impl Iterator<Item = &'a str> {
    attributes
        .iter()
        .filter(move |a| a.attribute == name)
        .filter_map(|a| a.value.as_deref())
}
