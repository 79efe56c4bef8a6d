//! The registrar: who is where (RFC 3261 §10.3). Contacts are reached at the address their REGISTER came
//! from, which is the cure for NAT.

use crate::admission::{self, Answer};
use crate::command::Command;
use crate::keepalive;
use crate::message;
use crate::notice::Notice;
use crate::office::Office;
use crate::timers::{Timer, TimerKey};
use directory::Registration;
use sip::{Flow, Message, NameAddr, Uri};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The longest and shortest registration granted, and what a phone gets that asks for none. Seconds.
const MAX_EXPIRES: u32 = 3_600;
const MIN_EXPIRES: u32 = 60;
const DEFAULT_EXPIRES: u32 = 3_600;
/// The most contacts in one REGISTER.
const MAX_CONTACTS: usize = 20;

/// One phone of an extension.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) kept: Registration,
    pub(crate) flow: Flow,
    pub(crate) expires: Instant,
}

impl Binding {
    fn is_from(&self, flow: &Flow) -> bool {
        self.flow.remote == flow.remote && self.flow.transport == flow.transport
    }

    /// The address the phone itself gave, for when its connection is gone (a restart of ours, say). None where we cannot
    /// connect: over UDP there is nothing to lose, and a browser listens nowhere (RFC 7118 §5).
    pub(crate) fn fallback(&self) -> Option<Flow> {
        if !self.flow.transport.reliable() || self.flow.transport.is_websocket() {
            return None;
        }
        let uri = Uri::parse(&self.kept.contact).ok()?;
        let remote = std::net::SocketAddr::new(uri.host.parse().ok()?, uri.port.unwrap_or(5060));
        Some(Flow {
            remote,
            id: 0,
            ..self.flow
        })
    }
}

/// All bindings, by extension.
#[derive(Debug, Default)]
pub(crate) struct Registrar {
    extensions: BTreeMap<String, Vec<Binding>>,
    timer: Option<TimerKey>,
}

impl Registrar {
    pub(crate) fn bindings(&self, extension: &str) -> impl Iterator<Item = &Binding> {
        self.extensions.get(extension).into_iter().flatten()
    }

    /// Whether a phone of `extension` is registered from exactly where `flow` comes from.
    pub(crate) fn knows(&self, extension: &str, flow: &Flow) -> bool {
        self.bindings(extension).any(|b| b.is_from(flow))
    }
}

/// What one Contact asks for.
struct Wish {
    contact: NameAddr,
    seconds: u32,
}

/// A REGISTER arrived.
pub(crate) fn register(office: &mut Office, request: &Message, flow: Flow) -> Answer {
    let Some(extension) = request.to().and_then(|to| to.uri.user) else {
        return Answer::status(400);
    };
    let user = match admission::authenticate(office, request, &flow) {
        Ok(user) => user,
        Err(answer) => return answer,
    };
    // RFC 3261 §10.3 step 4: nobody registers for somebody else.
    if user != extension {
        return Answer::status(403);
    }
    let Some((cseq, _)) = request.cseq() else {
        return Answer::status(400);
    };
    let call_id = request.call_id().unwrap_or_default().into_owned();
    if request.contact_is_star() {
        // RFC 3261 §10.2.2: "*" only with Expires: 0 and alone.
        if request.expires() != Some(0) || request.values(sip::HeaderId::Contact).count() != 1 {
            return Answer::status(400);
        }
        if older(office, &extension, None, &call_id, cseq) {
            return Answer::status(500);
        }
        remove_all(office, &extension);
        return granted(office, &extension);
    }
    let wishes = match wishes(request) {
        Ok(wishes) => wishes,
        Err(answer) => return answer,
    };
    // RFC 3261 §10.3 step 7: all or nothing.
    for wish in &wishes {
        if older(
            office,
            &extension,
            Some(&binding_of(&wish.contact)),
            &call_id,
            cseq,
        ) {
            return Answer::status(500);
        }
    }
    for wish in wishes {
        let kept = Registration {
            extension: extension.clone(),
            binding: binding_of(&wish.contact),
            contact: wish.contact.uri_text.clone(),
            source: flow.remote.to_string(),
            local: flow.local.to_string(),
            transport: flow.transport.as_str().to_owned(),
            user_agent: user_agent(request),
            call_id: call_id.clone(),
            cseq,
            expires_at_ms: office.wall(office.now) + i64::from(wish.seconds) * 1_000,
            ..Registration::default()
        };
        bind(office, kept, flow, wish.seconds);
    }
    granted(office, &extension)
}

fn user_agent(request: &Message) -> String {
    let agent = request.header(sip::HeaderId::UserAgent);
    agent.unwrap_or_default().chars().take(200).collect()
}

fn wishes(request: &Message) -> Result<Vec<Wish>, Answer> {
    let contacts = request.contacts();
    if contacts.len() > MAX_CONTACTS
        || contacts.len() != request.values(sip::HeaderId::Contact).count()
    {
        return Err(Answer::status(400));
    }
    let mut wishes = Vec::new();
    for contact in contacts {
        let asked = contact
            .expires()
            .or(request.expires())
            .unwrap_or(DEFAULT_EXPIRES);
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
        wishes.push(Wish {
            contact,
            seconds: asked.min(MAX_EXPIRES),
        });
    }
    Ok(wishes)
}

/// What tells one phone from another: its `+sip.instance` (RFC 5626 §4.1), else its contact URI.
fn binding_of(contact: &NameAddr) -> String {
    match contact.params.get("+sip.instance") {
        Some(instance) if !instance.is_empty() => instance.chars().take(200).collect(),
        _ => contact.uri_text.clone(),
    }
}

/// RFC 3261 §10.3 step 7: a request of the same Call-ID with a CSeq that is not higher is out of order.
fn older(
    office: &Office,
    extension: &str,
    binding: Option<&str>,
    call_id: &str,
    cseq: u32,
) -> bool {
    office
        .registrar
        .bindings(extension)
        .filter(|b| binding.is_none_or(|wanted| b.kept.binding == wanted))
        .any(|b| b.kept.call_id == call_id && cseq <= b.kept.cseq)
}

fn bind(office: &mut Office, kept: Registration, flow: Flow, seconds: u32) {
    let limit = office
        .directory
        .extensions
        .get(&kept.extension)
        .map_or(1, |e| usize::from(e.max_contacts));
    let list = office
        .registrar
        .extensions
        .entry(kept.extension.clone())
        .or_default();
    list.retain(|b| b.kept.binding != kept.binding);
    if seconds == 0 {
        let (extension, binding) = (kept.extension, kept.binding);
        return forget(office, extension, binding);
    }
    let over = if list.len() >= limit {
        Some(list.remove(0))
    } else {
        None
    };
    let expires = office.now + Duration::from_secs(u64::from(seconds));
    list.push(Binding {
        kept: kept.clone(),
        flow,
        expires,
    });
    if let Some(oldest) = over {
        forget(office, oldest.kept.extension, oldest.kept.binding);
    }
    keepalive::begin(office, &kept, &flow);
    office
        .out
        .push_back(Command::KeepRegistration(kept.clone()));
    message::kept::registered(office, &kept.extension);
    office.tell(Notice::Registered(kept));
    rearm(office);
}

fn forget(office: &mut Office, extension: String, binding: String) {
    let phone = (extension, binding);
    keepalive::end(office, &phone);
    let (extension, binding) = phone;
    office.out.push_back(Command::DropRegistration {
        extension: extension.clone(),
        binding: binding.clone(),
    });
    office.tell(Notice::Unregistered { extension, binding });
}

fn remove_all(office: &mut Office, extension: &str) {
    for binding in office
        .registrar
        .extensions
        .remove(extension)
        .unwrap_or_default()
    {
        forget(office, binding.kept.extension, binding.kept.binding);
    }
}

/// 200 with every binding and what is left of its time (RFC 3261 §10.3 step 8).
fn granted(office: &Office, extension: &str) -> Answer {
    let contact = |b: &Binding| {
        let left = b.expires.saturating_duration_since(office.now).as_secs();
        ("Contact", format!("<{}>;expires={left}", b.kept.contact))
    };
    Answer {
        status: 200,
        headers: office.registrar.bindings(extension).map(contact).collect(),
    }
}

/// Removes what has expired and sets the timer for the next.
pub(crate) fn sweep(office: &mut Office) {
    let now = office.now;
    let mut gone = Vec::new();
    for list in office.registrar.extensions.values_mut() {
        let (dead, live) = std::mem::take(list)
            .into_iter()
            .partition(|b| b.expires <= now);
        *list = live;
        gone.extend::<Vec<Binding>>(dead);
    }
    office
        .registrar
        .extensions
        .retain(|_, list| !list.is_empty());
    for binding in gone {
        forget(office, binding.kept.extension, binding.kept.binding);
    }
    rearm(office);
}

fn rearm(office: &mut Office) {
    office.timers.cancel(office.registrar.timer.take());
    let next = office
        .registrar
        .extensions
        .values()
        .flatten()
        .map(|b| b.expires)
        .min();
    office.registrar.timer = next.map(|at| office.timers.arm(at, Timer::Registrations));
}

/// The registrations of an earlier run; those of extensions deleted since are forgotten.
pub(crate) fn restore(office: &mut Office, registrations: Vec<Registration>) {
    for kept in registrations {
        if !office.directory.extensions.contains_key(&kept.extension) {
            forget(office, kept.extension, kept.binding);
            continue;
        }
        let left = kept.expires_at_ms - office.wall(office.now);
        let flow = (|| {
            let (local, remote) = (kept.local.parse().ok()?, kept.source.parse().ok()?);
            Some(Flow {
                transport: kept.transport.parse().ok()?,
                local,
                remote,
                id: 0,
            })
        })();
        let (Some(flow), Ok(left @ 1..)) = (flow, u64::try_from(left)) else {
            continue;
        };
        let expires = office.now + Duration::from_millis(left);
        office.tell(Notice::Registered(kept.clone()));
        keepalive::begin(office, &kept, &flow);
        let list = office
            .registrar
            .extensions
            .entry(kept.extension.clone())
            .or_default();
        list.push(Binding {
            kept,
            flow,
            expires,
        });
    }
    rearm(office);
}

/// Extensions that are no longer configured lose their registrations.
pub(crate) fn directory_changed(office: &mut Office) {
    let known = std::sync::Arc::clone(&office.directory);
    let gone: Vec<String> = office
        .registrar
        .extensions
        .keys()
        .filter(|n| !known.extensions.contains_key(*n))
        .cloned()
        .collect();
    for extension in gone {
        remove_all(office, &extension);
    }
    rearm(office);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(transport: sip::Transport) -> Binding {
        let kept = Registration {
            extension: "101".to_owned(),
            binding: "b".to_owned(),
            contact: "sip:101@192.0.2.9:5070".to_owned(),
            source: "198.51.100.9:40000".to_owned(),
            local: "192.0.2.1:5060".to_owned(),
            transport: transport.to_string(),
            user_agent: String::new(),
            call_id: "c".to_owned(),
            cseq: 1,
            expires_at_ms: 0,
            ..Registration::default()
        };
        let flow = Flow {
            transport,
            local: ([192, 0, 2, 1], 5060).into(),
            remote: ([198, 51, 100, 9], 40_000).into(),
            id: 7,
        };
        let expires = std::time::Instant::now();
        Binding {
            kept,
            flow,
            expires,
        }
    }

    #[test]
    fn only_a_phone_that_listens_is_connected_to() {
        let tcp = binding(sip::Transport::Tcp).fallback().expect("an address");
        assert_eq!((tcp.remote, tcp.id), (([192, 0, 2, 9], 5070).into(), 0));
        // RFC 7118 §5: whatever a browser writes into its Contact.
        for transport in [sip::Transport::Udp, sip::Transport::Ws, sip::Transport::Wss] {
            assert_eq!(binding(transport).fallback(), None);
        }
    }
}
