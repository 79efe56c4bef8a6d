//! Everything the Switch wants done. Commands have no replies; what comes of one returns as an event.

use crate::event::{CallId, QueryId};
use crate::notice::Notice;
use crate::push::Note;
use crate::verb::{Entry, Outcome, SessionInfo};
use bytes::Bytes;
use directory::{Ban, CallRecord, Registration, StoredMessage, Subscription, Traced};
use sip::{Flow, Transport};

/// What the edges shall do.
#[derive(Debug, Clone)]
pub enum Command {
    /// Send a SIP message.
    Send { flow: Flow, bytes: Bytes },
    /// Close a connection: its peer is banned.
    Close { flow: Flow },
    /// Find the flows to a trunk's `host` (RFC 3263); [`Event::Resolved`](crate::Event::Resolved) answers.
    Resolve {
        query: QueryId,
        trunk: String,
        host: String,
        port: Option<u16>,
        /// `None`: what the host's records say.
        transport: Option<Transport>,
    },
    /// For the media plane.
    Media(media::Command),
    /// Start the dialplan for a call.
    StartScript {
        call: CallId,
        entry: Entry,
        session: Box<SessionInfo>,
    },
    /// The outcome of the verb that the call's script asked for.
    Resume { call: CallId, outcome: Outcome },
    /// The caller has gone: end the script at its current or next verb, even when it runs between verbs.
    StopScript { call: CallId },
    /// Write a call record.
    Record(Box<CallRecord>),
    /// Keep a registration (replaces the one with the same extension and binding).
    KeepRegistration(Box<Registration>),
    /// Forget a registration.
    DropRegistration { extension: String, binding: String },
    /// A SIP message of a call, for the trace.
    Trace(Traced),
    /// Keep a ban (replaces the one with the same id).
    KeepBan(Ban),
    /// Forget a ban.
    DropBan { id: String },
    /// Keep a subscription (replaces the one of the same id).
    KeepSubscription(Box<Subscription>),
    /// Forget a subscription.
    DropSubscription { id: String },
    /// Keep a text message (a new id each).
    KeepMessage(Box<StoredMessage>),
    /// Forget a message: it is delivered, or has expired.
    DropMessage { id: i64 },
    /// Wake a phone; [`Event::Pushed`](crate::Event::Pushed) answers.
    Push(Box<Note>),
    /// Tell whoever watches.
    Notice(Notice),
}
