//! Everything that enters the Switch. Each event with its time can be journalled and replayed.

use crate::rooms::ConferenceAction;
use crate::verb::{ScriptEnd, SuperviseMode, Supervised, Tones, Verb};
use bytes::Bytes;
use directory::{Ban, Directory, MessageSummary, Registration, StoredMessage, Subscription};
use serde::{Deserialize, Serialize};
use sip::Flow;
use std::sync::Arc;

/// A call's number, unique over restarts and sortable by time: Unix milliseconds, 20 bits of counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CallId(pub u64);

impl std::fmt::Display for CallId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cal_{:016x}", self.0)
    }
}

impl std::str::FromStr for CallId {
    type Err = UnknownCall;

    fn from_str(text: &str) -> Result<Self, UnknownCall> {
        let digits = text
            .strip_prefix("cal_")
            .filter(|d| d.len() == 16)
            .ok_or(UnknownCall)?;
        u64::from_str_radix(digits, 16)
            .map(CallId)
            .map_err(|_| UnknownCall)
    }
}

/// The text is not the name of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a call id: it looks like cal_ and 16 hexadecimal digits")]
pub struct UnknownCall;

/// Which party of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// Whom the call belongs to: who called, as long as nobody was transferred.
    Caller,
    /// Whom it talks with.
    Called,
}

/// Names one question to the resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueryId(pub u64);

/// What happens to the Switch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Event {
    /// A whole SIP message arrived.
    Sip { flow: Flow, bytes: Bytes },
    /// A connection ended, or what was sent on it could not be.
    FlowClosed { flow: Flow },
    /// Before a connection's first message: its other side has shown the certificate of these trunks.
    Proven { flow: Flow, trunks: Vec<String> },
    /// The media plane tells something.
    Media(media::Event),
    /// The answer to [`Command::Resolve`](crate::Command::Resolve): flows to try in order, empty when the name leads nowhere.
    Resolved { query: QueryId, flows: Vec<Flow> },
    /// What came of [`Command::Push`](crate::Command::Push); `failure` in words.
    Pushed {
        extension: String,
        device: String,
        failure: Option<String>,
    },
    /// The configuration was saved.
    Directory(Arc<Directory>),
    /// The registrations that were stored when the program started.
    Restored(Vec<Registration>),
    /// The bans that were stored when the program started.
    RestoredBans(Vec<Ban>),
    /// The messages that were stored when the program started, the oldest first.
    RestoredMessages(Vec<StoredMessage>),
    /// An administrator bans somebody.
    Ban(Ban),
    /// An administrator lifts a ban.
    LiftBan { id: String },
    /// The subscriptions that were stored when the program started.
    RestoredSubscriptions(Vec<Subscription>),
    /// So many messages wait for these extensions, as was stored.
    MessageSummaries(Vec<(String, MessageSummary)>),
    /// A script asks for a verb.
    Verb { call: CallId, verb: Verb },
    /// A script ended.
    ScriptEnded { call: CallId, end: ScriptEnd },
    /// An administrator wants `from` rung and then connected with `to`. The API chose the id with [`CallId::chosen`].
    Originate {
        call: CallId,
        from: String,
        to: String,
    },
    /// An administrator asks how the sound of a call goes; [`Notice::Measured`](crate::Notice::Measured) answers soon.
    Measure { call: CallId },
    /// An administrator presses keys towards a party of a call; nothing while there is no such party.
    Press {
        call: CallId,
        to: Side,
        tones: Tones,
    },
    /// An administrator ends a call.
    HangUp { call: CallId },
    /// An administrator wants `from` rung and then to listen in on a call. The id is chosen as for `Originate`.
    Supervise {
        call: CallId,
        from: String,
        whom: Supervised,
        mode: SuperviseMode,
    },
    /// An administrator has a prompt said to all parties of a call.
    Announce { call: CallId, prompt: String },
    /// An administrator changes something in a conference.
    Conference {
        name: String,
        action: ConferenceAction,
    },
    /// The program stops: no new calls, BYE to all legs.
    Stop,
}

impl CallId {
    /// An id made outside the Switch: `unix_ms` now and 19 random bits. Bit 19 sets it apart from the Switch's own.
    pub fn chosen(unix_ms: i64, random: u32) -> CallId {
        CallId((unix_ms.unsigned_abs() << 20) | (1 << 19) | u64::from(random & 0x7_ffff))
    }
}
