//! The registrar: who is where (RFC 3261 §10.3). Contacts are reached at the address their REGISTER came
//! from, which is the cure for NAT.
//!
//! Here: the table of bindings and how they come and go. Next: `register` (a REGISTER and its answer), `contact` (what
//! a phone says of itself), `way` (how a phone is reached), `gruu` (names of single phones).

mod contact;
pub(crate) mod gruu;
mod register;
pub(crate) mod way;

use crate::command::Command;
use crate::keepalive;
use crate::message;
use crate::notice::{Notice, Reach};
use crate::office::Office;
use crate::push;
use crate::timers::{Timer, TimerKey};
use directory::{Directory, Registration};
pub(crate) use register::register;
use sip::Flow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most flows of one phone (RFC 5626 §6 leaves the number to us); with one more the oldest goes.
const MAX_FLOWS: usize = 4;

/// Whether requests can still be sent over a binding's flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Open,
    /// Its connection ended, with us or before our restart.
    Gone,
}

/// One way to one phone of an extension.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) kept: Registration,
    pub(crate) flow: Flow,
    pub(crate) link: Link,
    pub(crate) reach: Reach,
    /// When it was last heard: a REGISTER, or an answer.
    pub(crate) heard: Option<Instant>,
    pub(crate) expires: Instant,
}

impl Binding {
    fn is_from(&self, flow: &Flow) -> bool {
        self.flow.remote == flow.remote && self.flow.transport == flow.transport
    }
}

/// All bindings, by extension; of each the longest unheard of first.
#[derive(Debug, Default)]
pub(crate) struct Registrar {
    extensions: BTreeMap<String, Vec<Binding>>,
    timer: Option<TimerKey>,
    /// How many secrets were made.
    secrets: u64,
}

impl Registrar {
    pub(crate) fn bindings(&self, extension: &str) -> impl Iterator<Item = &Binding> {
        self.extensions.get(extension).into_iter().flatten()
    }

    pub(crate) fn binding(&self, phone: &keepalive::Phone) -> Option<&Binding> {
        let mut bindings = self.bindings(&phone.0);
        bindings.find(|b| b.kept.binding == phone.1)
    }

    fn binding_mut(&mut self, phone: &keepalive::Phone) -> Option<&mut Binding> {
        let mut bindings = self.extensions.get_mut(&phone.0).into_iter().flatten();
        bindings.find(|b| b.kept.binding == phone.1)
    }

    /// Whether a phone of `extension` is registered from exactly where `flow` comes from.
    pub(crate) fn knows(&self, extension: &str, flow: &Flow) -> bool {
        self.bindings(extension).any(|b| b.is_from(flow))
    }
}

/// Takes a binding in, in place of an earlier state of the same one. Whoever is too many by it goes.
fn bind(office: &mut Office, kept: Registration, flow: Flow, left: Duration) {
    let extension = office.directory.extensions.get(&kept.extension);
    let limit = extension.map_or(1, |e| usize::from(e.max_contacts));
    let (now, phone) = (office.now, (kept.extension.clone(), kept.binding.clone()));
    let before = office.registrar.binding(&phone).map(|b| b.reach);
    let reach = Reach::Reachable {
        rtt: before.and_then(|reach| reach.rtt()),
    };
    let extensions = &mut office.registrar.extensions;
    let list = extensions.entry(kept.extension.clone()).or_default();
    list.retain(|b| b.kept.binding != kept.binding);
    let over = make_room(list, kept.device(), limit);
    list.push(Binding {
        kept: kept.clone(),
        flow,
        link: Link::Open,
        reach,
        heard: Some(now),
        expires: now + left,
    });
    for gone in over {
        forget(office, gone.kept.extension, gone.kept.binding);
    }
    let device = (kept.extension.clone(), kept.device().to_owned());
    office
        .out
        .push_back(Command::KeepRegistration(Box::new(kept.clone())));
    message::kept::registered(office, &kept.extension);
    office.tell(Notice::Registered(kept));
    tell_reach(office, &phone, reach);
    keepalive::begin(office, &phone);
    push::registered(office, &device);
    office.defence.granted(now, flow.remote, left);
    rearm(office);
}

/// Takes out whom a new flow of `device` leaves no room: its own oldest flow, or the phones whose last REGISTER is
/// longest ago.
fn make_room(list: &mut Vec<Binding>, device: &str, limit: usize) -> Vec<Binding> {
    let mut over = Vec::new();
    let own = |b: &Binding| b.kept.device() == device;
    if list.iter().filter(|b| own(b)).count() >= MAX_FLOWS
        && let Some(oldest) = list.iter().position(own)
    {
        over.push(list.remove(oldest));
    }
    loop {
        let others = devices(list).into_iter().filter(|other| other != device);
        let others: Vec<String> = others.collect();
        let Some(oldest) = others.first().filter(|_| others.len() >= limit.max(1)) else {
            return over;
        };
        over.extend(list.extract_if(.., |b| b.kept.device() == oldest));
    }
}

/// The phones of a list, by the age of their newest flow, the oldest first.
fn devices(list: &[Binding]) -> Vec<String> {
    let mut devices: Vec<String> = Vec::new();
    for binding in list.iter().rev() {
        let device = binding.kept.device();
        if !devices.iter().any(|known| known == device) {
            devices.push(device.to_owned());
        }
    }
    devices.reverse();
    devices
}

/// As [`devices`], of an extension.
fn devices_of(office: &Office, extension: &str) -> Vec<String> {
    let list = office.registrar.extensions.get(extension);
    devices(list.map_or(&[], Vec::as_slice))
}

/// The binding is gone: nothing is kept of it anywhere.
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
    remove_if(office, extension, |_| true);
}

fn remove_if(office: &mut Office, extension: &str, gone: impl Fn(&Binding) -> bool) {
    let Some(list) = office.registrar.extensions.get_mut(extension) else {
        return;
    };
    let out: Vec<Binding> = list.extract_if(.., |b| gone(b)).collect();
    if list.is_empty() {
        office.registrar.extensions.remove(extension);
    }
    for binding in out {
        forget(office, binding.kept.extension, binding.kept.binding);
    }
}

/// Removes what has expired and sets the timer for the next.
pub(crate) fn sweep(office: &mut Office) {
    let now = office.now;
    let lists = office.registrar.extensions.values();
    let expired = |list: &&Vec<Binding>| list.iter().any(|b| b.expires <= now);
    let gone: Vec<String> = lists
        .filter(expired)
        .filter_map(|list| Some(list.first()?.kept.extension.clone()))
        .collect();
    for extension in gone {
        remove_if(office, &extension, |b| b.expires <= now);
    }
    rearm(office);
}

fn rearm(office: &mut Office) {
    office.timers.cancel(office.registrar.timer.take());
    let all = office.registrar.extensions.values().flatten();
    let next = all.map(|b| b.expires).min();
    office.registrar.timer = next.map(|at| office.timers.arm(at, Timer::Registrations));
}

/// The registrations of an earlier run, the longest unheard of first; those of extensions deleted since are forgotten.
/// Whether the phones are still there is asked soon.
pub(crate) fn restore(office: &mut Office, registrations: Vec<Registration>) {
    for kept in registrations {
        if !office.directory.extensions.contains_key(&kept.extension) {
            forget(office, kept.extension, kept.binding);
            continue;
        }
        let left = u64::try_from(kept.expires_at_ms - office.wall(office.now));
        let (Some(flow), Ok(left @ 1..)) = (flow_of(&kept), left) else {
            continue;
        };
        let phone = (kept.extension.clone(), kept.binding.clone());
        let link = if flow.transport.reliable() {
            Link::Gone
        } else {
            Link::Open
        };
        office.tell(Notice::Registered(kept.clone()));
        let extensions = &mut office.registrar.extensions;
        extensions
            .entry(phone.0.clone())
            .or_default()
            .push(Binding {
                kept,
                flow,
                link,
                reach: Reach::Unknown,
                heard: None,
                expires: office.now + Duration::from_millis(left),
            });
        keepalive::begin(office, &phone);
    }
    rearm(office);
}

/// Where a stored binding was reached; of a connection only its ends are known.
fn flow_of(kept: &Registration) -> Option<Flow> {
    Some(Flow {
        transport: kept.transport.parse().ok()?,
        local: kept.local.parse().ok()?,
        remote: kept.source.parse().ok()?,
        id: 0,
    })
}

/// Phones of extensions that are gone lose their registrations; so do those whose password is another one now, who are
/// outside the networks that are now allowed, or too many.
pub(crate) fn directory_changed(office: &mut Office, before: &Directory) {
    let after = Arc::clone(&office.directory);
    let names: Vec<String> = office.registrar.extensions.keys().cloned().collect();
    for name in names {
        let (old, new) = (before.extensions.get(&name), after.extensions.get(&name));
        let Some(new) = new.filter(|new| old.is_none_or(|old| old.ha1 == new.ha1)) else {
            remove_all(office, &name);
            continue;
        };
        let devices = devices_of(office, &name);
        let over = devices.len().saturating_sub(usize::from(new.max_contacts));
        let over = devices.get(..over).unwrap_or_default();
        remove_if(office, &name, |b| {
            let outside = !new.allows(b.flow.remote.ip().to_canonical());
            outside || over.iter().any(|device| device == b.kept.device())
        });
    }
    rearm(office);
}

/// A connection ended: whoever was reached by it cannot be.
pub(crate) fn flow_closed(office: &mut Office, flow: Flow) {
    // Over UDP there is no connection, and what could not be sent now may be sent next.
    if !flow.transport.reliable() {
        return;
    }
    let since_ms = office.wall(office.now);
    let mut lost = Vec::new();
    for binding in office.registrar.extensions.values_mut().flatten() {
        if binding.flow == flow {
            binding.link = Link::Gone;
            lost.push((binding.kept.extension.clone(), binding.kept.binding.clone()));
        }
    }
    for phone in lost {
        set_reach(office, &phone, Reach::Unreachable { since_ms });
    }
}

/// The phone was heard, or was not.
pub(crate) fn set_reach(office: &mut Office, phone: &keepalive::Phone, reach: Reach) {
    let now = office.now;
    let Some(binding) = office.registrar.binding_mut(phone) else {
        return;
    };
    let reach = match (binding.reach, reach) {
        // It has been away since it was first missed.
        (known @ Reach::Unreachable { .. }, Reach::Unreachable { .. }) => known,
        (_, reach) => reach,
    };
    if matches!(reach, Reach::Reachable { .. }) {
        binding.heard = Some(now);
    }
    if binding.reach != reach {
        binding.reach = reach;
        tell_reach(office, phone, reach);
    }
}

fn tell_reach(office: &mut Office, (extension, binding): &keepalive::Phone, reach: Reach) {
    office.tell(Notice::Reach {
        extension: extension.clone(),
        binding: binding.clone(),
        reach,
    });
}
