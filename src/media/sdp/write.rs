//! Puts an SDP together: our one audio line, and a refusal for every other.

use std::fmt::Write;

use sdp_types::{Media, Session};

use super::read::Transport;
use super::{Direction, Extended, LocalMedia};
use crate::Codec;

/// One format of our audio line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Format {
    Voice(u8, Codec),
    /// Payload type and clock rate.
    TelephoneEvent(u8, u32),
}

impl Format {
    fn payload_type(self) -> u8 {
        match self {
            Format::Voice(pt, _) | Format::TelephoneEvent(pt, _) => pt,
        }
    }
}

/// What our audio line says.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) formats: &'a [Format],
    pub(super) direction: Direction,
    pub(super) transport: Transport,
    /// The lines with our keys.
    pub(super) crypto: String,
    pub(super) extended: Extended,
}

/// An SDP whose only line is our audio.
pub(super) fn offer(local: &LocalMedia, line: &Line<'_>) -> String {
    let mut text = head(local, 0, 0);
    audio_line(&mut text, local, line);
    text
}

/// An SDP that answers the lines of `offer`: the one of that number with our audio, the others with a refusal.
pub(super) fn answer(
    local: &LocalMedia,
    offer: &Session,
    ours: Option<(usize, &Line<'_>)>,
) -> String {
    // RFC 3264 §6: the answer's t= is the offer's.
    let (start, stop) = offer
        .times
        .first()
        .map_or((0, 0), |t| (t.start_time, t.stop_time));
    let mut text = head(local, start, stop);
    // RFC 3264 §6: as many media lines, in the same order.
    for (at, media) in offer.medias.iter().enumerate() {
        match ours {
            Some((index, line)) if at == index => audio_line(&mut text, local, line),
            Some(_) | None => refusal(&mut text, media),
        }
    }
    text
}

fn head(local: &LocalMedia, start: u64, stop: u64) -> String {
    let address = local.address.ip();
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    let (session, version) = (local.session, local.version);
    format!(
        "v=0\r\no=offhook {session} {version} IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt={start} {stop}\r\n"
    )
}

fn audio_line(text: &mut String, local: &LocalMedia, line: &Line<'_>) {
    let port = local.address.port();
    put(
        text,
        format_args!("m=audio {port} {}", line.transport.name()),
    );
    for format in line.formats {
        put(text, format_args!(" {}", format.payload_type()));
    }
    put(text, format_args!("\r\n"));
    for format in line.formats {
        describe(text, *format);
    }
    text.push_str(&line.crypto);
    let rtcp = port.saturating_add(1);
    put(
        text,
        format_args!(
            "a=ptime:20\r\na=rtcp:{rtcp}\r\na={}\r\n",
            line.direction.as_str()
        ),
    );
    extended_reports(text, line.extended);
}

/// RFC 3611 §5.2: of what was offered, what we know; both sides then send it.
fn extended_reports(text: &mut String, extended: Extended) {
    let known = match extended {
        Extended {
            voip: true,
            round_trip: true,
        } => "voip-metrics rcvr-rtt=all",
        Extended {
            voip: true,
            round_trip: false,
        } => "voip-metrics",
        Extended {
            voip: false,
            round_trip: true,
        } => "rcvr-rtt=all",
        Extended {
            voip: false,
            round_trip: false,
        } => return,
    };
    put(text, format_args!("a=rtcp-xr:{known}\r\n"));
}

fn describe(text: &mut String, format: Format) {
    match format {
        // RFC 7587 §7: two channels and 48000 whatever is sent.
        Format::Voice(pt, Codec::Opus) => put(
            text,
            format_args!("a=rtpmap:{pt} opus/48000/2\r\na=fmtp:{pt} useinbandfec=1\r\n"),
        ),
        Format::Voice(pt, codec) => put(
            text,
            format_args!("a=rtpmap:{pt} {}/{}\r\n", codec.name(), codec.clock_rate()),
        ),
        Format::TelephoneEvent(pt, clock) => put(
            text,
            format_args!("a=rtpmap:{pt} telephone-event/{clock}\r\na=fmtp:{pt} 0-16\r\n"),
        ),
    }
}

/// RFC 3264 §6: port 0, the offer's media type, transport and formats.
fn refusal(text: &mut String, media: &Media) {
    let format = if media.fmt.trim().is_empty() {
        "0"
    } else {
        media.fmt.trim()
    };
    put(
        text,
        format_args!("m={} 0 {} {format}\r\n", media.media, media.proto),
    );
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a String takes all");
}
