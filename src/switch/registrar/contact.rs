//! What a phone says of itself in a REGISTER: each Contact, and what the phone supports.

use crate::admission::Answer;
use crate::keepalive;
use crate::office::Office;
use crate::push;
use sip::{Flow, HeaderId, Message, NameAddr, Uri};

/// The longest and shortest registration granted, and what a phone gets that asks for none. Seconds.
const MAX_EXPIRES: u32 = 3_600;
const MIN_EXPIRES: u32 = 60;
const DEFAULT_EXPIRES: u32 = 3_600;
/// The most contacts in one REGISTER.
const MAX_CONTACTS: usize = 20;
/// The most proxies between a phone and us, and the longest name of one.
const MAX_PATH: usize = 10;
const MAX_ROUTE: usize = 300;

/// What one Contact asks for.
pub(super) struct Wish {
    pub(super) contact: NameAddr,
    pub(super) seconds: u32,
    /// `+sip.instance`, which tells one phone from another (RFC 5626 §4.1); empty: it has none.
    pub(super) instance: String,
    /// RFC 5626 §4.2; 0: none.
    pub(super) reg_id: u32,
}

impl Wish {
    /// RFC 5626 §6: instance and reg-id; RFC 5627 §5.1: the instance; else the contact URI.
    pub(super) fn binding(&self) -> String {
        match (self.instance.as_str(), self.reg_id) {
            ("", _) => self.contact.uri_text.clone(),
            (instance, 0) => instance.to_owned(),
            (instance, reg_id) => format!("{instance};reg-id={reg_id}"),
        }
    }
}

/// What a REGISTER says beside its Contacts.
pub(super) struct Manner {
    pub(super) outbound: bool,
    pub(super) gruu: bool,
    /// RFC 3327: the proxies to the phone, the first of them first.
    pub(super) path: Vec<String>,
}

/// How the phone wants to be reached; `Err`: what to answer instead.
pub(super) fn manner(request: &Message) -> Result<Manner, Answer> {
    let tags = |id| request.values(id).collect::<Vec<_>>();
    let (supported, required) = (tags(HeaderId::Supported), tags(HeaderId::Require));
    let speaks = |wanted: &str| {
        let mut all = supported.iter().chain(&required);
        all.any(|tag| tag.eq_ignore_ascii_case(wanted))
    };
    let path: Vec<String> = request
        .values(HeaderId::Path)
        .map(|route| route.into_owned())
        .collect();
    let proxy = |route: &String| {
        let sip = |address: NameAddr| address.uri.scheme.starts_with("sip");
        route.len() <= MAX_ROUTE && NameAddr::parse(route).is_ok_and(sip)
    };
    let bad = |route: &String| !proxy(route);
    if path.len() > MAX_PATH || path.iter().any(bad) {
        return Err(Answer::status(400));
    }
    // RFC 3327 §5.3: a phone that does not know of Path cannot say whether it wants proxies in its way.
    if !path.is_empty() && !speaks("path") {
        return Err(Answer {
            status: 420,
            headers: vec![("Unsupported", "path".to_owned())],
        });
    }
    Ok(Manner {
        outbound: speaks("outbound"),
        gruu: speaks("gruu"),
        path,
    })
}

/// RFC 5626 §6: whether the first hop keeps flows. We do; an edge proxy says so in the Path it puts in first, which
/// comes last.
pub(super) fn first_hop_keeps_flows(request: &Message, manner: &Manner) -> bool {
    let direct = request.values(HeaderId::Via).count() <= 1;
    let edge = manner.path.last();
    direct || edge.is_some_and(|p| NameAddr::parse(p).is_ok_and(|p| p.uri.params.has("ob")))
}

/// What every Contact asks for and gets; `Err`: what to answer instead.
pub(super) fn wishes(
    office: &Office,
    request: &Message,
    flow: &Flow,
    manner: &Manner,
) -> Result<Vec<Wish>, Answer> {
    let contacts = request.contacts();
    if contacts.len() > MAX_CONTACTS || contacts.len() != request.values(HeaderId::Contact).count()
    {
        return Err(Answer::status(400));
    }
    let mut wishes = Vec::new();
    for contact in contacts {
        let asked = contact.expires().or(request.expires());
        let asked = asked.unwrap_or(DEFAULT_EXPIRES);
        // RFC 3261 §10.3 step 7 / §21.4.17.
        if (1..MIN_EXPIRES).contains(&asked) {
            let header = ("Min-Expires", MIN_EXPIRES.to_string());
            return Err(Answer {
                status: 423,
                headers: vec![header],
            });
        }
        if !matches!(contact.uri.scheme.as_str(), "sip" | "sips") || contact.uri_text.len() > 1_000
        {
            return Err(Answer::status(400));
        }
        let instance = contact.params.get("+sip.instance").unwrap_or_default();
        let instance: String = instance.chars().take(200).collect();
        // RFC 5626 §6: without an instance, or from a phone that does not know of flows, reg-id means nothing.
        let flows = manner.outbound && !instance.is_empty();
        let reg_id = contact.params.get("reg-id").filter(|_| flows);
        let reg_id = reg_id.and_then(|id| id.parse().ok()).unwrap_or(0);
        wishes.push(Wish {
            seconds: asked.min(longest(office, &contact.uri, flow, manner)),
            contact,
            instance,
            reg_id: if reg_id > i32::MAX as u32 { 0 } else { reg_id },
        });
    }
    Ok(wishes)
}

/// The longest registration of a phone, seconds. One that is woken by push notifications cannot renew while it sleeps;
/// one behind NAT is lost when its router begins anew, until it registers again.
fn longest(office: &Office, contact: &Uri, flow: &Flow, manner: &Manner) -> u32 {
    let phones = &office.config.phones;
    let woken = phones.push.filter(|_| push::Address::of(contact).is_some());
    let nat = phones.nat_expires;
    let short = !nat.is_zero() && manner.path.is_empty() && keepalive::is_elsewhere(contact, flow);
    match woken {
        Some(push) => seconds(push.expires),
        None if short => seconds(nat).clamp(MIN_EXPIRES, MAX_EXPIRES),
        None => MAX_EXPIRES,
    }
}

fn seconds(time: std::time::Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
