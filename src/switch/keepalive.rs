//! Keeps the way to phones behind NAT open: a router forgets a UDP mapping on which nothing passes, many after 30 s,
//! and then no call reaches the phone. So we ask it something from time to time (OPTIONS, RFC 3261 §11).

use crate::office::Office;
use crate::timers::{Timer, TimerKey};
use directory::Registration;
use sip::{Flow, OutRequest, TransactionId, Transport, Uri};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// A phone: its extension and its binding.
pub(crate) type Phone = (String, String);

/// Whom we ask, and who has not answered yet. At most one timer and one open question for each binding.
#[derive(Debug, Default)]
pub(crate) struct KeepAlive {
    timers: HashMap<Phone, TimerKey>,
    open: HashMap<TransactionId, Phone>,
    asked: HashSet<Phone>,
    count: u64,
}

/// The phone's REGISTER came over UDP and from elsewhere than where it thinks it is.
fn is_behind_nat(contact: &str, flow: &Flow) -> bool {
    let Ok(uri) = Uri::parse(contact) else {
        return false;
    };
    let ip: Option<std::net::IpAddr> = uri.host.trim_matches(['[', ']']).parse().ok();
    let same = ip.is_some_and(|ip| ip.to_canonical() == flow.remote.ip().to_canonical())
        && uri.port.unwrap_or(5060) == flow.remote.port();
    flow.transport == Transport::Udp && !same
}

/// A phone registered, or did so before we started: it is asked from now on.
pub(crate) fn begin(office: &mut Office, kept: &Registration, flow: &Flow) {
    let phone = (kept.extension.clone(), kept.binding.clone());
    let every = office.config.nat_keepalive;
    if every.is_zero() || !is_behind_nat(&kept.contact, flow) {
        return end(office, &phone);
    }
    if !office.keepalive.timers.contains_key(&phone) {
        // All phones of an office come at once after a restart; their questions are spread from the first on.
        let first = share(office, &phone, every);
        rearm(office, phone, first);
    }
}

/// The binding is gone.
pub(crate) fn end(office: &mut Office, phone: &Phone) {
    let timer = office.keepalive.timers.remove(phone);
    office.timers.cancel(timer);
}

/// Asks, and sets the timer for the next time.
pub(crate) fn due(office: &mut Office, phone: Phone) {
    office.keepalive.timers.remove(&phone);
    let found = office
        .registrar
        .bindings(&phone.0)
        .find(|b| b.kept.binding == phone.1)
        .map(|b| (b.kept.contact.clone(), b.flow));
    let Some((contact, flow)) = found else {
        return;
    };
    if office.stopping {
        return;
    }
    // A phone that does not answer is not asked anew while the last question is still being repeated to it.
    if office.keepalive.asked.insert(phone.clone()) {
        let transaction = ask(office, contact, flow);
        office.keepalive.open.insert(transaction, phone.clone());
    }
    // Five to six sixths of the time apart, so that phones which came together drift apart.
    let every = office.config.nat_keepalive;
    let next = every * 5 / 6 + share(office, &phone, every / 6);
    rearm(office, phone, next);
}

/// The phone answered, whatever it said, or will not any more. The binding stays: it ends by its own time.
pub(crate) fn response(office: &mut Office, transaction: TransactionId) {
    if let Some(phone) = office.keepalive.open.remove(&transaction) {
        office.keepalive.asked.remove(&phone);
    }
}

fn ask(office: &mut Office, contact: String, flow: Flow) -> TransactionId {
    let host = office.host_for(&flow);
    let request = OutRequest {
        flow,
        method: "OPTIONS".to_owned(),
        to: format!("<{contact}>"),
        uri: contact,
        from: format!("<sip:offhook@{host}>"),
        call_id: None,
        cseq: None,
        // RFC 3261 §11.1: what the answer may be written in.
        headers: vec![("Accept".to_owned(), "application/sdp".to_owned())],
        body: None,
        credentials: None,
        route: Vec::new(),
    };
    office.sip.request(office.now, request)
}

fn rearm(office: &mut Office, phone: Phone, after: Duration) {
    let key = office.arm(after, Timer::KeepAlive(phone.clone()));
    office.keepalive.timers.insert(phone, key);
}

/// Some part of `whole`, another each time, the same when a journal is run again.
fn share(office: &mut Office, phone: &Phone, whole: Duration) -> Duration {
    office.keepalive.count += 1;
    let mut hasher = DefaultHasher::new();
    (phone, office.keepalive.count).hash(&mut hasher);
    whole * u32::try_from(hasher.finish() % 1_000).unwrap_or(0) / 1_000
}
