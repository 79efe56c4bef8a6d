//! Subscriptions, from the side that notifies: RFC 6665 §4.2. Each is a dialog of its own.
//!
//! A subscription holds no state of what is watched. It says when a NOTIFY is due ([`SubscriptionEvent::NotifyDue`]) and sends
//! what it is then given, so that nothing stale ever waits in a queue: one NOTIFY is on its way at a time, and what
//! changes meanwhile is told by the next. Who does what: `answer.rs` takes SUBSCRIBE, `notify.rs` sends NOTIFY,
//! `table.rs` finds and limits, `kept.rs` carries subscriptions over a restart, `doors.rs` is what the user calls.
//! Not here: who may watch whom, packages and their bodies (`switch`), subscribing to others.

mod answer;
mod doors;
mod kept;
mod notify;
mod table;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::endpoint::{SipEvent, TransactionId};
use crate::flow::Flow;
use crate::message::Message;
use crate::secret::Key;
use crate::timers::TimerId;

pub use kept::KeptSubscription;
pub(crate) use table::Subscriptions;

/// What a subscriber gets that asks for no time, and the most and least that is granted. Seconds.
const DEFAULT_EXPIRES: u32 = 3_600;
const MAX_EXPIRES: u32 = 3_600;
/// RFC 6665 §4.2.1.1: only what is shorter than an hour may be called too short.
const MIN_EXPIRES: u32 = 60;

/// One subscription of somebody with us. Never reused while the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubscriptionId(pub u64);

impl SubscriptionId {
    fn event(self, event: SubscriptionEvent) -> SipEvent {
        SipEvent::Subscription {
            subscription: self,
            event,
        }
    }
}

/// What happens to a subscription.
#[derive(Debug, Clone)]
pub enum SubscriptionEvent {
    /// A new SUBSCRIBE, its Expires looked at: `accept_subscription` or `refuse_subscription` it.
    Asked { request: Box<Message>, flow: Flow },
    /// The subscriber is to be told how things are: `notify` it. `version` counts up with every NOTIFY, over restarts
    /// too; `full`: all of it, not only what changed; `last`: nothing follows.
    NotifyDue {
        version: u32,
        full: bool,
        last: bool,
    },
    /// It is as it was not before: store it (`subscription`).
    Changed,
    /// It is over and its id dead.
    Ended,
}

/// Why a subscription is ended (RFC 6665 §4.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// Subscribe again at once.
    Deactivated,
    /// Do not subscribe again.
    Rejected,
    /// Its time is over, or the subscriber said so.
    Timeout,
    /// What was watched is no more.
    NoResource,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Reason::Deactivated => "deactivated",
            Reason::Rejected => "rejected",
            Reason::Timeout => "timeout",
            Reason::NoResource => "noresource",
        }
    }
}

/// What a NOTIFY carries beside its dialog's own.
#[derive(Debug, Clone, Default)]
pub struct News {
    pub headers: Vec<(&'static str, String)>,
    /// Content type and bytes.
    pub body: Option<(String, Vec<u8>)>,
}

/// What a timer of subscriptions rings for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// The earliest of all expires. One timer for all: each that waits long would be looked at every turn of the wheel.
    Expired,
    Retry(SubscriptionId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not yet accepted; the SUBSCRIBE to answer.
    Asked(TransactionId),
    Active,
    /// The next NOTIFY is the last.
    Ending(Reason),
    /// The last was sent.
    Leaving,
    Over,
}

/// Where the NOTIFYs of a subscription stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    /// The subscriber knows all.
    Quiet,
    /// Its user was told that one is due.
    Due,
    /// On its way; whether another is wanted after it.
    Sent { notify: TransactionId, again: bool },
    /// The subscriber was not reached, or wants to be left alone for a while.
    Paused(TimerId),
}

pub(crate) struct Subscription {
    id: SubscriptionId,
    phase: Phase,
    telling: Telling,
    flow: Flow,
    call_id: String,
    local_tag: String,
    /// From of our NOTIFYs, tag included.
    local: String,
    /// To of our NOTIFYs, tag included.
    remote: String,
    /// RFC 3261 §12.1: the remote target, a URI.
    target: String,
    routes: Vec<String>,
    contact_user: String,
    /// The Event value, with its `id` when there is one (RFC 6665 §4.5.2).
    event: String,
    local_seq: u32,
    /// The highest number the stored form allows for: no number is used twice, whenever the program ends.
    reserved: u32,
    remote_seq: u32,
    granted: u32,
    expires: Instant,
    /// When it is ended, by the table.
    due: Option<Instant>,
    /// Everything is to be told, not only what changed.
    full: bool,
    /// NOTIFYs that reached nobody, one after the other.
    missed: u8,
    key: Key,
}

/// What is left until `then`.
fn until(now: Instant, then: Instant) -> Duration {
    then.saturating_duration_since(now)
}
