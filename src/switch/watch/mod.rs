//! Who watches what in the office: busy lamps, presence, message waiting, registrations. RFC 6665 and its packages.
//!
//! A change marks what it touches; at the end of the turn those who watch it are told how things are then. Nothing that
//! could become stale is kept: a body is written at the moment it is sent, from the calls that live.
//! Who does what: `subscribe.rs` lets subscribers in, `turn.rs` finds whom a change concerns, `due.rs` says what a
//! NOTIFY carries; `dialogs.rs`, `presence.rs`, `summary.rs`, `reg.rs`, `list.rs` write it; `publish.rs` takes what
//! phones publish, `phones.rs` hears of them; `kept.rs` stores. How subscriptions are kept alive and notified is `sip::subscribe`.

mod dialogs;
mod due;
mod kept;
mod list;
mod phones;
mod presence;
mod publish;
mod reg;
mod subscribe;
mod summary;
mod turn;
mod view;
mod xml;

use crate::call::Call;
use crate::event::CallId;
use crate::office::Office;
use crate::timers::TimerKey;
use directory::MessageSummary;
use sip::{SubscriptionEvent, SubscriptionId, TransactionId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(crate) use kept::restore;
pub(crate) use phones::heard;
pub(crate) use publish::{publish, sweep};
pub(crate) use summary::{answered, set_summaries};
pub(crate) use turn::{directory_changed, look_at_call, touch_call};
use view::LegView;

/// The most subscriptions of one extension's phones.
const MAX_OF_EXTENSION: usize = 300;

/// What may be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Package {
    Dialog,
    Presence,
    MessageSummary,
    Reg,
}

/// RFC 6665 §8.2.1.
pub(crate) const ALLOW_EVENTS: &str = "dialog, presence, message-summary, reg";

impl Package {
    /// Of an Event value, whatever follows the name.
    fn of(event: &str) -> Option<Package> {
        let name = event.split(';').next().unwrap_or_default().trim();
        Package::ALL
            .into_iter()
            .find(|package| package.name().eq_ignore_ascii_case(name))
    }

    const ALL: [Package; 4] = [
        Package::Dialog,
        Package::Presence,
        Package::MessageSummary,
        Package::Reg,
    ];

    fn name(self) -> &'static str {
        match self {
            Package::Dialog => "dialog",
            Package::Presence => "presence",
            Package::MessageSummary => "message-summary",
            Package::Reg => "reg",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Package::Dialog => "application/dialog-info+xml",
            Package::Presence => "application/pidf+xml",
            Package::MessageSummary => "application/simple-message-summary",
            Package::Reg => "application/reginfo+xml",
        }
    }

    fn shows(self, topic: Topic) -> bool {
        match self {
            Package::Dialog => topic == Topic::Calls,
            Package::Presence => topic != Topic::Messages,
            Package::MessageSummary => topic == Topic::Messages,
            Package::Reg => topic == Topic::Phones,
        }
    }
}

/// What of an extension has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    Calls,
    /// Where it is registered.
    Phones,
    Published,
    Messages,
}

/// Whom a subscriber watches.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Watched {
    Extension(String),
    /// Everybody on the list of this extension (RFC 4662).
    ListOf(String),
}

/// One subscription.
#[derive(Debug)]
struct Watcher {
    /// The extension that subscribed, and what it proved that with.
    by: String,
    password: String,
    watched: Watched,
    /// The extensions that this is, set when it is let in.
    members: Vec<String>,
    package: Package,
    /// The host in the URIs it is told.
    host: String,
    /// The dialogs it was told last, by the extension: those that ended since are told once more.
    told: BTreeMap<String, Vec<LegView>>,
    /// Of a list: who changed since.
    changed: BTreeSet<String>,
    /// The name it is stored by.
    stored: Option<String>,
}

/// What is watched of one extension.
#[derive(Debug, Default)]
struct Lamp {
    watchers: Vec<SubscriptionId>,
    /// The calls it may be in; some may have ended or gone on without it.
    calls: BTreeSet<CallId>,
    /// What was seen last.
    seen: Vec<LegView>,
}

/// All who watch, and all that is watched.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    watchers: BTreeMap<SubscriptionId, Watcher>,
    lamps: HashMap<String, Lamp>,
    /// The subscriptions of each extension.
    of: HashMap<String, Vec<SubscriptionId>>,
    changed: BTreeSet<(String, Topic)>,
    summaries: HashMap<String, MessageSummary>,
    /// What phones that did not subscribe were told last, by extension and binding.
    pushed: BTreeMap<(String, String), MessageSummary>,
    push: BTreeSet<String>,
    /// NOTIFYs outside subscriptions that are on their way, and to whom.
    pushes: HashMap<TransactionId, (String, String)>,
    publications: publish::Publications,
    timer: Option<TimerKey>,
}

impl Watch {
    /// Something of `number` changed; nothing happens when nobody watches it.
    pub(crate) fn touch(&mut self, number: &str, topic: Topic) {
        if self.lamps.contains_key(number) {
            self.changed.insert((number.to_owned(), topic));
        }
    }

    /// Whether somebody is to be told something at the end of this turn.
    pub(crate) fn is_settled(&self) -> bool {
        self.changed.is_empty() && self.push.is_empty()
    }
}

/// Something about one subscription.
pub(crate) fn event(
    office: &mut Office,
    calls: &BTreeMap<CallId, Call>,
    id: SubscriptionId,
    event: &SubscriptionEvent,
) {
    match event {
        SubscriptionEvent::Asked { request, flow } => {
            subscribe::asked(office, calls, id, request, *flow);
        }
        SubscriptionEvent::NotifyDue {
            version,
            full,
            last: _,
        } => due::due(office, calls, id, (*version, *full)),
        SubscriptionEvent::Changed => kept::keep(office, id),
        SubscriptionEvent::Ended => turn::leave(office, id),
    }
}
