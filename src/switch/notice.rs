//! What the Switch tells its watchers: the live view of the API and the log. Notices steer nothing.

use crate::event::CallId;
use directory::{Ban, Direction, LegRecord, Registration};
use serde::Serialize;
use std::time::Duration;

/// A live call as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LiveCall {
    pub call: CallId,
    pub direction: Direction,
    pub from: String,
    pub to: String,
    pub dialed: String,
    /// `ringing` or `up`.
    pub state: CallState,
    /// Unix milliseconds.
    pub started_at_ms: i64,
    pub answered_at_ms: Option<i64>,
}

/// A conference as the API shows it; times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LiveConference {
    pub name: String,
    /// Nobody else comes in but moderators.
    pub locked: bool,
    pub started_at_ms: i64,
    /// In the order in which they came.
    pub members: Vec<LiveMember>,
}

/// A party of a conference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LiveMember {
    pub call: CallId,
    pub number: String,
    pub name: String,
    pub moderator: bool,
    pub muted: bool,
    pub deaf: bool,
    /// For the moderator.
    pub waiting: bool,
    pub joined_at_ms: i64,
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    Ringing,
    Up,
}

/// How a trunk's registration at its provider stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum TrunkState {
    /// An address trunk: there is nothing to register.
    Static,
    Registering,
    Registered,
    /// The last attempt failed; `why` in words, with the status.
    Failed {
        why: String,
    },
}

/// Whether a phone is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Nobody has asked yet since the start.
    Unknown,
    /// It was heard; `rtt`: how long its last answer took.
    Reachable { rtt: Option<Duration> },
    /// It does not answer, or its connection ended; Unix milliseconds.
    Unreachable { since_ms: i64 },
}

impl Reach {
    /// How long its last answer took.
    pub fn rtt(self) -> Option<Duration> {
        match self {
            Reach::Reachable { rtt } => rtt,
            Reach::Unknown | Reach::Unreachable { .. } => None,
        }
    }
}

/// Something a watcher may want to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A call started or changed.
    Call(LiveCall),
    /// How the sound of a call goes, as was asked: its legs as they would be recorded.
    Measured {
        call: CallId,
        legs: Vec<LegRecord>,
    },
    CallEnded {
        call: CallId,
        cause: String,
    },
    /// A conference began or changed.
    Conference(LiveConference),
    ConferenceEnded {
        name: String,
    },
    Registered(Registration),
    Unregistered {
        extension: String,
        binding: String,
    },
    /// Somebody is not listened to, or only what is said in an extension's name is not believed.
    Banned(Ban),
    /// A ban is over or was lifted.
    BanLifted {
        id: String,
    },
    /// Whether a registered phone is there.
    Reach {
        extension: String,
        binding: String,
        reach: Reach,
    },
    /// A push notification to a phone was sent, or could not be.
    Push {
        extension: String,
        failure: Option<String>,
    },
    Trunk {
        name: String,
        state: TrunkState,
    },
    TrunkGone {
        name: String,
    },
    /// An emergency number was dialled.
    Emergency {
        call: CallId,
        from: String,
        number: String,
    },
    /// Odd but lived with; for the log.
    Warning {
        call: Option<CallId>,
        text: String,
    },
    /// The handling of one event panicked; the call it belonged to was torn down.
    Panicked {
        call: Option<CallId>,
        what: String,
    },
    /// After [`Event::Stop`](crate::Event::Stop): every call has ended and nothing is left to send.
    Stopped,
}
