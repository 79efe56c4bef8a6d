//! Asks phones whether they are there (OPTIONS, RFC 3261 §11): all of them from time to time, to know whom a call would
//! reach, and those behind NAT more often. A router forgets a UDP mapping on which nothing passes, many after 30 s, and
//! then no call reaches the phone.

use crate::notice::Reach;
use crate::office::Office;
use crate::registrar::way::Way;
use crate::registrar::{self, Binding};
use crate::timers::{Timer, TimerKey};
use sip::{Flow, OutRequest, TransactionId, Transport, Uri};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A phone: its extension and its binding.
pub(crate) type Phone = (String, String);

/// After a restart every phone is asked for the first time within this.
const SOON: Duration = Duration::from_secs(20);

/// Whom we ask, and who has not answered yet. At most one timer and one open question for each binding.
#[derive(Debug, Default)]
pub(crate) struct KeepAlive {
    timers: HashMap<Phone, TimerKey>,
    open: HashMap<TransactionId, (Phone, Instant)>,
    asked: HashSet<Phone>,
    count: u64,
}

/// The phone thinks that it is at another address than the one its REGISTER came from: over UDP, so its router may
/// forget it.
pub(crate) fn is_elsewhere(contact: &Uri, flow: &Flow) -> bool {
    let ip: Option<IpAddr> = contact.host.trim_matches(['[', ']']).parse().ok();
    let same = ip.is_some_and(|ip| ip.to_canonical() == flow.remote.ip().to_canonical());
    flow.transport == Transport::Udp && !same
}

/// An address that many networks have (RFC 1918, RFC 3927, RFC 4193).
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    }
}

/// How often the phone is asked; zero: never. Behind a proxy the mapping is the proxy's care.
fn every(office: &Office, binding: &Binding) -> Duration {
    let (nat, ping) = (office.config.nat_keepalive, office.config.phones.ping);
    let Ok(contact) = Uri::parse(&binding.kept.contact) else {
        return Duration::ZERO;
    };
    let port = contact.port.unwrap_or(5060) == binding.flow.remote.port();
    let moved = binding.flow.transport == Transport::Udp && !port;
    let behind = is_elsewhere(&contact, &binding.flow) || moved;
    let wants = [
        (behind && binding.kept.path.is_empty()).then_some(nat),
        Some(ping),
    ];
    let wants = wants.into_iter().flatten();
    wants
        .filter(|time| !time.is_zero())
        .min()
        .unwrap_or_default()
}

/// A phone registered, or did so before we started: it is asked from now on.
pub(crate) fn begin(office: &mut Office, phone: &Phone) {
    let Some(binding) = office.registrar.binding(phone) else {
        return;
    };
    let (every, unknown) = (every(office, binding), binding.reach == Reach::Unknown);
    if every.is_zero() {
        return end(office, phone);
    }
    if office.keepalive.timers.contains_key(phone) {
        return;
    }
    // All phones of an office come at once after a restart; their questions are spread from the first on. One that has
    // just registered is known to be there, and only its router may need a sign soon.
    let nat = office.config.nat_keepalive;
    let first = match unknown {
        true => share(office, phone, every.min(SOON)),
        false if every <= nat => share(office, phone, every),
        false => every * 5 / 6 + share(office, phone, every / 6),
    };
    rearm(office, phone.clone(), first);
}

/// The binding is gone.
pub(crate) fn end(office: &mut Office, phone: &Phone) {
    let timer = office.keepalive.timers.remove(phone);
    office.timers.cancel(timer);
}

/// Asks, and sets the timer for the next time.
pub(crate) fn due(office: &mut Office, phone: Phone) {
    office.keepalive.timers.remove(&phone);
    let Some(binding) = office.registrar.binding(&phone) else {
        return;
    };
    if office.stopping {
        return;
    }
    let (every, ways) = (every(office, binding), binding.ways());
    // A phone that does not answer is not asked anew while the last question is still being repeated to it. One whose
    // connection has ended and that listens nowhere cannot be asked.
    if let Some(way) = ways.into_iter().next()
        && office.keepalive.asked.insert(phone.clone())
    {
        let transaction = ask(office, way);
        let question = (phone.clone(), office.now);
        office.keepalive.open.insert(transaction, question);
    }
    // Five to six sixths of the time apart, so that phones which came together drift apart.
    let next = every * 5 / 6 + share(office, &phone, every / 6);
    rearm(office, phone, next);
}

/// The phone answered, whatever it said, or will not any more: then there is no `answer`. The binding stays in any case:
/// it ends by its own time.
pub(crate) fn response(office: &mut Office, transaction: TransactionId, answer: bool) {
    let Some((phone, asked)) = office.keepalive.open.remove(&transaction) else {
        return;
    };
    office.keepalive.asked.remove(&phone);
    let reach = if answer {
        Reach::Reachable {
            rtt: Some(office.now.duration_since(asked)),
        }
    } else {
        let since_ms = office.wall(asked);
        Reach::Unreachable { since_ms }
    };
    // What it said itself after the question counts more than the silence that followed.
    let binding = office.registrar.binding(&phone);
    let heard = binding.and_then(|b| b.heard).is_some_and(|at| at > asked);
    if answer || !heard {
        registrar::set_reach(office, &phone, reach);
    }
}

fn ask(office: &mut Office, way: Way) -> TransactionId {
    let host = office.host_for(&way.flow);
    let request = OutRequest {
        flow: way.flow,
        method: "OPTIONS".to_owned(),
        to: format!("<{}>", way.uri),
        uri: way.uri,
        from: format!("<sip:offhook@{host}>"),
        call_id: None,
        cseq: None,
        // RFC 3261 §11.1: what the answer may be written in.
        headers: vec![("Accept".to_owned(), "application/sdp".to_owned())],
        body: None,
        credentials: None,
        route: way.route,
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
