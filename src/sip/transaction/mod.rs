//! Transactions: one request and its answers, repeated until they arrive. RFC 3261 §17, RFC 6026.
//!
//! The four machines are tables: state × event → state and acts. [`Layer`] (layer.rs) performs the acts, keeps the
//! tables and writes what a transaction says by itself (`write.rs`: 100, ACK of a refusal, CANCEL).
//! What a request means is not decided here but in `dialog/` and `dispatch.rs`.

mod ask;
mod auth;
mod client;
mod client_invite;
mod keys;
mod layer;
mod server;
mod server_invite;
mod strangers;
mod write;

use bytes::Bytes;

use crate::endpoint::{DialogId, TransactionId};
use crate::flow::Flow;
use crate::message::Message;
use crate::secret::Key;
use crate::subscribe::SubscriptionId;
use crate::timers::TimerId;

pub(crate) use auth::Auth;
pub(crate) use layer::{Layer, shrink};
pub(crate) use write::{Draft, contact};

/// Which machine drives a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    ClientInvite,
    Client,
    ServerInvite,
    Server,
}

/// The states of all machines; which of them occur is each machine's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    Calling,
    Trying,
    Proceeding,
    Completed,
    Confirmed,
    Accepted,
    Terminated,
}

/// What a machine reacts to. `Provisional`, `Success` and `Failure` are responses: received by a client, sent by a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Start,
    Provisional,
    Success,
    Failure,
    /// The request came again.
    Request,
    Ack,
    /// Timer A, E or G.
    Repeat,
    /// Timer B, D, F, H, I, J, K, L or M.
    End,
}

impl Event {
    fn of_status(status: u16) -> Event {
        match status {
            0..=199 => Event::Provisional,
            200..=299 => Event::Success,
            300.. => Event::Failure,
        }
    }
}

/// What a machine wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Send the kept bytes.
    Send,
    /// Replace the kept INVITE by the ACK of this refusal and send it.
    Ack,
    /// A 2xx after the first: repeat the ACK of its fork, or hand it up when the fork is new.
    Again,
    /// Hand the message up.
    Pass,
    /// Tell the owner that nobody answered.
    Report,
    Repeat(Grow),
    /// Stop repeating.
    Still,
    End(Span),
    /// No end until told otherwise.
    Endless,
    /// Drop the kept bytes.
    Forget,
}

/// How the interval of repeating goes on. Repeating never happens on a reliable transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grow {
    First,
    Double,
    DoubleToT2,
    T2,
}

/// How long until [`Event::End`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// 64·T1.
    Full,
    /// 64·T1, at once on a reliable transport.
    FullUnreliable,
    /// T4, at once on a reliable transport.
    T4Unreliable,
}

/// The next state and the acts on the way; `None` when the event means nothing there.
pub(crate) type Step = Option<(State, &'static [Act])>;

fn step(machine: Machine, state: State, event: Event) -> Step {
    match machine {
        Machine::ClientInvite => client_invite::step(state, event),
        Machine::Client => client::step(state, event),
        Machine::ServerInvite => server_invite::step(state, event),
        Machine::Server => server::step(state, event),
    }
}

/// Who hears of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Nobody,
    Dialog(DialogId),
    /// A request outside dialogs, by the id its asker knows (it outlives retries with credentials).
    Request(TransactionId),
    /// A NOTIFY.
    Subscription(SubscriptionId),
}

/// What a transaction tells its owner.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, on the stack, for one call"
)]
pub(crate) enum Notice {
    Response {
        transaction: TransactionId,
        owner: Owner,
        response: Message,
        /// Where it came from.
        flow: Flow,
    },
    /// Nobody answered (408) or the flow is dead (503).
    Failed {
        transaction: TransactionId,
        owner: Owner,
        status: u16,
    },
}

/// What a timer rings for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    Repeat(TransactionId),
    End(TransactionId),
    Dialog(DialogId, crate::dialog::Alarm),
    Subscription(crate::subscribe::Alarm),
}

/// One live transaction. After the final answer only the key and the last bytes weigh anything.
struct Transaction {
    machine: Machine,
    state: State,
    key: Key,
    merged: Option<Key>,
    flow: Flow,
    owner: Owner,
    /// What `Act::Send` sends.
    last: Bytes,
    /// Server: what to answer; dropped with the final answer.
    request: Option<Message>,
    /// INVITE client: the ACKs of the forks answered so far, by their To tag.
    acks: Vec<(String, Bytes)>,
    interval: std::time::Duration,
    repeat: Option<TimerId>,
    end: Option<TimerId>,
}
