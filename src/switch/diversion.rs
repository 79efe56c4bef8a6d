//! Forwarding as other switches know it: Diversion (RFC 5806) and History-Info (RFC 7044), what comes of them here, and
//! the ends of endless forwarding. Who is calling is `identity.rs`.

use crate::admission::number_of;
use crate::call::{Call, Leg};
use crate::event::CallId;
use crate::office::Office;
use crate::target::user_part;
use sip::digest::{self, Algorithm};
use sip::{Flow, HeaderId, Message, NameAddr};

/// The most often a call may have been forwarded.
pub(crate) const MAX_HOPS: usize = 8;
/// RFC 3261 §8.1.1.6.
pub(crate) const MAX_FORWARDS: u8 = 70;

/// Somebody who did not take the call, oldest first in [`Call::diverted`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) number: String,
    /// RFC 5806's word.
    pub(crate) why: String,
}

/// Why somebody who answered with this status did not take the call.
pub(crate) fn why(code: u16) -> &'static str {
    match code {
        300..=399 => "deflection",
        486 | 600 => "user-busy",
        408 | 487 => "no-answer",
        480 | 404 | 410 | 604 => "unavailable",
        603 | 607 | 608 => "do-not-disturb",
        503 => "out-of-service",
        _ => "unknown",
    }
}

/// The status that RFC 7044 §10.2 (after RFC 4458 §2) has for that word.
fn cause(why: &str) -> u16 {
    match why {
        "user-busy" | "do-not-disturb" => 486,
        "no-answer" => 408,
        "deflection" => 480,
        "unavailable" | "out-of-service" => 503,
        "unconditional" => 302,
        _ => 404,
    }
}

/// Who forwarded the call before it came over a trusted trunk, oldest first. `Err`: it was forwarded too often.
pub(crate) fn read(request: &Message) -> Result<Vec<Hop>, ()> {
    let mut hops = Vec::new();
    let mut count = 0;
    // RFC 5806 §9: the topmost is the last one who forwarded.
    for value in request.values(HeaderId::Diversion).take(MAX_HOPS + 1) {
        let Ok(address) = NameAddr::parse(&value) else {
            continue;
        };
        let times = address.params.get("counter").and_then(|n| n.parse().ok());
        count += times.unwrap_or(1usize).clamp(1, 1_000);
        let reason = address.params.get("reason").unwrap_or("unknown");
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        hops.push(Hop {
            number: number_of(address.uri.user.as_deref().unwrap_or_default()),
            why: reason.chars().filter(|c| plain(*c)).take(32).collect(),
        });
    }
    hops.retain(|hop| !hop.number.is_empty());
    hops.reverse();
    let forwarded = request.values(HeaderId::HistoryInfo).take(4 * MAX_HOPS);
    let entries = forwarded.filter(|value| value.contains("cause=")).count();
    if count.max(entries) > MAX_HOPS {
        return Err(());
    }
    Ok(hops)
}

/// A `dial` of `to` begins after another that failed: a forward, unless it tries the same number another way.
/// `Err`: that was once too often.
pub(crate) fn note(call: &mut Call, to: &str) -> Result<(), ()> {
    let Some((number, code)) = call.tried.take().filter(|(number, _)| number != to) else {
        return Ok(());
    };
    if call.diverted.len() >= MAX_HOPS {
        return Err(());
    }
    let why = why(code).to_owned();
    call.diverted.push(Hop { number, why });
    Ok(())
}

/// The headers that tell `leg` over `flow` of the forwards; nothing for a call that came straight.
pub(crate) fn headers(
    office: &Office,
    call: &Call,
    leg: &Leg,
    flow: &Flow,
) -> Vec<(String, String)> {
    if call.diverted.is_empty() {
        return Vec::new();
    }
    let told: Vec<Hop> = call
        .diverted
        .iter()
        .filter_map(|hop| outside(office, leg, hop))
        .collect();
    let Some(first) = told.first() else {
        return Vec::new();
    };
    let host = office.host_for(flow);
    let uri = |number: &str| format!("sip:{}@{host}", user_part(number));
    let mut headers = Vec::new();
    for hop in told.iter().rev() {
        let value = format!("<{}>;reason={};counter=1", uri(&hop.number), hop.why);
        headers.push(("Diversion".to_owned(), value));
    }
    let mut index = "1".to_owned();
    let mut history = format!("<{}>;index={index}", reasoned(&uri(&first.number), first));
    let next = told.iter().skip(1).map(Some).chain([None]);
    for (hop, later) in told.iter().zip(next) {
        let before = index.clone();
        index.push_str(".1");
        let number = later.map_or(leg.party.number.as_str(), |later| &later.number);
        let mut target = format!("{};cause={}", uri(number), cause(&hop.why));
        if let Some(later) = later {
            target = reasoned(&target, later);
        }
        // RFC 7044 §5.1: `mp` names the entry whose target was mapped to this one.
        history.push_str(&format!(", <{target}>;index={index};mp={before}"));
    }
    headers.push(("History-Info".to_owned(), history));
    headers
}

/// RFC 7044 §10.2: why the target was left, as a Reason within its URI.
fn reasoned(uri: &str, hop: &Hop) -> String {
    format!("{uri}?Reason=SIP%3Bcause%3D{}", cause(&hop.why))
}

/// A provider is told an extension by the number that it has there. One that is not trusted learns of no other numbers:
/// they are the house's, or those of whoever called it (RFC 5806 §6).
fn outside(office: &Office, leg: &Leg, hop: &Hop) -> Option<Hop> {
    let trunk = leg.party.trunk.as_ref();
    let Some(trunk) = trunk.and_then(|name| office.directory.trunks.get(name)) else {
        return leg.party.trunk.is_none().then(|| hop.clone());
    };
    let mut numbers = trunk.numbers.iter();
    let is_it =
        |(own, extension): &(&String, &String)| **own == hop.number || **extension == hop.number;
    let number = match numbers.find(is_it) {
        Some((own, _)) => own.clone(),
        None if trunk.trust_identity => hop.number.clone(),
        None => return None,
    };
    let why = hop.why.clone();
    Some(Hop { number, why })
}

/// The Call-ID of a call of ours to a trunk: its end proves that it is ours, so that a proxy that sends it back is known.
pub(crate) fn call_id(office: &Office, call: CallId, index: usize, attempt: u64) -> String {
    let name = format!("{:x}-{index}-{attempt}", call.0);
    let mark = mark(office, &name);
    format!("{name}-{mark}")
}

/// Whether a request is one of ours that came back.
pub(crate) fn is_ours(office: &Office, request: &Message) -> bool {
    let id = request.call_id().unwrap_or_default();
    let parts = id.rsplit_once('-');
    parts.is_some_and(|(name, end)| end.len() == 24 && end == mark(office, name))
}

fn mark(office: &Office, name: &str) -> String {
    let key = office.loop_key.as_str();
    let mut mark = digest::ha1(Algorithm::Sha256, key, name, key);
    mark.truncate(24);
    mark
}
