//! Phones that sleep: a push notification wakes them, they register, then they are rung (RFC 8599). The notification is
//! sent by an edge through the office's webhook; here is who has to be woken, who waits, and how often at most.
//!
//! A branch that waits has a leg without a dialog and a timer; the timer always fires, so that nobody waits for ever.

use crate::call::{Call, LegState, dial};
use crate::cause::Told;
use crate::command::Command;
use crate::event::CallId;
use crate::identity::Identity;
use crate::notice::{Notice, Reach};
use crate::office::Office;
use crate::registrar::{Binding, Link, way};
use crate::timers::Timer;
use serde::{Deserialize, Serialize};
use sip::{Message, Uri};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// A phone: its extension and its `Registration::device`.
pub(crate) type Device = (String, String);

/// The most notifications one phone is sent in a minute.
const MOST: usize = 6;
const MINUTE: Duration = Duration::from_secs(60);
/// A UDP phone that was heard so short a time ago is awake.
const AWAKE: Duration = Duration::from_secs(40);
/// The longest of the three parameters that is taken.
const LONGEST: usize = 700;

/// Where a phone's notifications go: the parameters of its Contact URI as it wrote them (RFC 8599 §4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// `pn-provider`: whose service, such as `apns` or `fcm`.
    pub provider: String,
    /// `pn-param`: what that service wants to know beside; may be empty.
    pub param: String,
    /// `pn-prid`: the phone.
    pub prid: String,
}

impl Address {
    pub(crate) fn of(contact: &Uri) -> Option<Address> {
        let text = |name| contact.param(name).unwrap_or_default().to_owned();
        let address = Address {
            provider: text("pn-provider"),
            param: text("pn-param"),
            prid: text("pn-prid"),
        };
        let fits = |text: &String| text.len() <= LONGEST;
        let all = [&address.provider, &address.param, &address.prid];
        let whole = !address.provider.is_empty() && !address.prid.is_empty();
        (whole && all.into_iter().all(fits)).then_some(address)
    }

    fn of_binding(binding: &Binding) -> Option<Address> {
        Address::of(&Uri::parse(&binding.kept.contact).ok()?)
    }
}

/// A notification to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    pub extension: String,
    /// The phone: what [`crate::Event::Pushed`] names.
    pub device: String,
    pub address: Address,
    pub call: CallId,
    /// Who calls, as the INVITE will show it; empty when the caller wants to be unknown.
    pub from: String,
    pub from_name: String,
}

/// Who waits for which phone, and who was sent what lately.
#[derive(Debug, Default)]
pub(crate) struct Wakeups {
    waiting: BTreeMap<Device, Vec<(CallId, usize)>>,
    /// What was sent within the last minute.
    sent: BTreeMap<Device, VecDeque<Instant>>,
    /// Branches whose phone has registered, to be rung.
    awake: Vec<(CallId, usize, Device)>,
}

/// Whether the phone has to be woken before it rings on this binding.
pub(crate) fn is_asleep(office: &Office, binding: &Binding) -> bool {
    if office.config.phones.push.is_none() || Address::of_binding(binding).is_none() {
        return false;
    }
    if binding.link == Link::Gone || matches!(binding.reach, Reach::Unreachable { .. }) {
        return true;
    }
    // A connection that stands shows that the phone's program runs; over UDP only what it said lately does.
    let lately = |at: Instant| office.now.duration_since(at) <= AWAKE;
    !binding.flow.transport.reliable() && !binding.heard.is_some_and(lately)
}

/// RFC 8599 §5.3: tells a phone that asks for it that its notifications are sent.
pub(crate) fn capabilities(office: &Office, request: &Message) -> Option<(&'static str, String)> {
    office.config.phones.push?;
    let contacts = request.contacts();
    let provider = contacts.iter().find_map(|c| c.uri.param("pn-provider"))?;
    let token = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let plain = !provider.is_empty() && provider.bytes().all(token) && provider.len() <= 50;
    plain.then(|| ("Feature-Caps", format!("*;+sip.pns=\"{provider}\"")))
}

/// Wakes the phone of leg `index`, which is rung when it has registered.
pub(crate) fn wake(office: &mut Office, call: &mut Call, index: usize, device: Device) {
    let (now, id) = (office.now, call.id);
    let bindings = office.registrar.bindings(&device.0);
    let newest = bindings.filter(|b| b.kept.device() == device.1).last();
    let address = newest.and_then(Address::of_binding);
    let (Some(address), Some(push)) = (address, office.config.phones.push) else {
        return give_up(office, call, index, "its phone cannot be woken");
    };
    office.arm(push.wait, Timer::Branch(id, index));
    let wakeups = &mut office.wakeups;
    let waiting = wakeups.waiting.entry(device.clone()).or_default();
    waiting.push((id, index));
    wakeups.sent.retain(|_, sent| {
        sent.retain(|at| now.duration_since(*at) < MINUTE);
        !sent.is_empty()
    });
    let sent = wakeups.sent.entry(device.clone()).or_default();
    if sent.len() >= MOST {
        let (extension, _) = device;
        let text = format!(
            "a phone of {extension} was sent {MOST} push notifications in a minute: no more for now"
        );
        return office.warn(Some(id), text);
    }
    sent.push_back(now);
    let (extension, device) = device;
    let mut caller = dial::caller(call);
    if caller.private {
        // A lock screen tells no more than the INVITE will.
        caller = Identity::default();
    }
    office.out.push_back(Command::Push(Box::new(Note {
        extension,
        device,
        address,
        call: id,
        from: caller.number,
        from_name: caller.name,
    })));
}

/// A phone has registered: whoever waits for it is rung in the next [`next_awake`].
pub(crate) fn registered(office: &mut Office, device: &Device) {
    let waiting = office.wakeups.waiting.remove(device);
    let branches = waiting.into_iter().flatten();
    let awake = branches.map(|(call, index)| (call, index, device.clone()));
    office.wakeups.awake.extend(awake);
}

/// A branch whose phone has registered.
pub(crate) fn next_awake(office: &mut Office) -> Option<(CallId, usize, Device)> {
    office.wakeups.awake.pop()
}

/// The phone of leg `index` is awake.
pub(crate) fn woken(
    office: &mut Office,
    call: &mut Call,
    index: usize,
    (extension, device): &Device,
) {
    if !waits(call, index) {
        return;
    }
    let phones = way::phones(office, extension);
    match phones.into_iter().find(|phone| phone.device.1 == *device) {
        Some(phone) => dial::ring(office, call, index, phone.ways),
        None => give_up(office, call, index, "its phone registered and left"),
    }
}

/// What came of a notification. The branches that waited in vain.
pub(crate) fn sent(
    office: &mut Office,
    device: &Device,
    failure: Option<String>,
) -> Vec<(CallId, usize)> {
    office.tell(Notice::Push {
        extension: device.0.clone(),
        failure: failure.clone(),
    });
    let waiting = failure.and_then(|_| office.wakeups.waiting.remove(device));
    waiting.unwrap_or_default()
}

/// The notification of leg `index` could not be sent.
pub(crate) fn failed(office: &mut Office, call: &mut Call, index: usize) {
    give_up(
        office,
        call,
        index,
        "its phone sleeps, and the push notification failed",
    );
}

/// Leg `index` has waited long enough.
pub(crate) fn overslept(office: &mut Office, call: &mut Call, index: usize) {
    give_up(office, call, index, "its phone sleeps and did not wake up");
}

/// Nobody waits for leg `index` any more.
pub(crate) fn forget(office: &mut Office, call: CallId, index: usize) {
    office.wakeups.waiting.retain(|_, waiting| {
        waiting.retain(|branch| *branch != (call, index));
        !waiting.is_empty()
    });
}

/// RFC 8599 §5.6: the phone is temporarily unavailable.
fn give_up(office: &mut Office, call: &mut Call, index: usize, why: &str) {
    if !waits(call, index) {
        return;
    }
    if let Some(leg) = call.legs.get_mut(index) {
        leg.diagnosis = Some(why.to_owned());
    }
    dial::refused(office, call, index, (480, Told::absent()));
}

fn waits(call: &Call, index: usize) -> bool {
    let leg = call.legs.get(index);
    leg.is_some_and(|leg| leg.state == LegState::Resolving && leg.dialog.is_none())
}
