//! What a script asks of its call, and what comes of it. The script is one more remote party.

use crate::event::CallId;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The entry point a call's script starts at: its trust zone, never chosen by SIP data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// An authenticated extension dialled something in the house.
    Internal,
    /// A call came in on a trunk.
    Inbound,
    /// An authenticated extension dialled the outbound prefix (already stripped from `dialed`).
    Outbound,
}

impl Entry {
    /// The script function's name.
    pub fn name(self) -> &'static str {
        match self {
            Entry::Internal => "internal",
            Entry::Inbound => "inbound",
            Entry::Outbound => "outbound",
        }
    }
}

/// The fields of a script's `session`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// `cal_…`.
    pub id: String,
    /// The caller's number.
    pub from: String,
    /// The dialled string, prefix stripped for `outbound`.
    pub dialed: String,
    /// The number called from outside; empty unless `inbound`.
    pub did: String,
    /// The authenticated extension; empty for `inbound`.
    pub user: String,
    /// The trunk the call came in on; empty unless `inbound`.
    pub trunk: String,
    /// The number shown to whom we ring next; a script may set it.
    pub caller_id: String,
    /// The extension that the configuration gives the called number; empty unless `inbound` and configured.
    pub did_extension: String,
    /// The first trunk's name; empty when there is none.
    pub first_trunk: String,
    /// The caller wants nobody to know who it is who need not.
    #[serde(default)]
    pub private: bool,
    /// Who forwarded the call before it came here, the last one; empty when nobody did or the trunk is not trusted.
    #[serde(default)]
    pub diverted_from: String,
    /// RFC 5806's word for why, such as `user-busy`; empty as above.
    #[serde(default)]
    pub diverted_why: String,
}

/// Whom `dial` shall ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetSpec {
    /// Every registered phone of an extension.
    Extension(String),
    /// A number over a trunk.
    Trunk { name: String, number: String },
}

/// Options of `dial`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialOptions {
    /// How long it may ring.
    pub timeout: Duration,
    /// The number shown to the called party; `None`: the session's caller id.
    pub caller_id: Option<String>,
    /// The longest the two may talk; `None`: no limit.
    pub max_duration: Option<Duration>,
    /// Whether the called party is not told who calls; `None`: as the caller wants it.
    #[serde(default)]
    pub privacy: Option<bool>,
}

/// Options of `gather`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatherOptions {
    /// Played first; a digit interrupts them when `barge`.
    pub prompts: Vec<String>,
    pub min: u8,
    pub max: u8,
    /// For the first digit, after the prompts.
    pub timeout: Duration,
    /// Between digits.
    pub interdigit: Duration,
    /// Ends the input and is not part of it.
    pub finish: Option<char>,
    pub barge: bool,
}

/// Options of `conference`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConferenceOptions {
    /// Who gives it comes in; empty: anybody does.
    pub pin: String,
    /// Who gives it is a moderator; empty: nobody becomes one by a PIN.
    pub moderator_pin: String,
    pub moderator: bool,
    /// It hears music, and nobody hears it, until a moderator is there.
    pub wait: bool,
    /// It has to go when the last moderator goes.
    pub end_with_moderator: bool,
    pub muted: bool,
    /// The others hear a sound when it comes and goes.
    pub tones: bool,
    /// The most parties; who comes after them is refused.
    pub max: u16,
    /// The key by which it leaves.
    pub leave: Option<char>,
}

impl Default for ConferenceOptions {
    fn default() -> Self {
        ConferenceOptions {
            pin: String::new(),
            moderator_pin: String::new(),
            moderator: false,
            wait: false,
            end_with_moderator: false,
            muted: false,
            tones: true,
            max: 500,
            leave: None,
        }
    }
}

impl ConferenceOptions {
    /// Whether `digits` are a whole PIN, and not the beginning of a longer one.
    pub(crate) fn is_pin(&self, digits: &str) -> bool {
        let pins = [&self.pin, &self.moderator_pin];
        pins.iter().any(|pin| *pin == digits)
            && !pins
                .iter()
                .any(|pin| pin.len() > digits.len() && pin.starts_with(digits))
    }
}

/// How a party's time in a room ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConferenceStatus {
    /// By its own key.
    Left,
    Kicked,
    /// The moderator went, an administrator ended it, or the talk that was listened to is over.
    Ended,
    Locked,
    Full,
    WrongPin,
    /// There is no talk to listen to.
    NoTalk,
}

impl ConferenceStatus {
    /// The word a script compares with.
    pub fn word(self) -> &'static str {
        match self {
            ConferenceStatus::Left => "left",
            ConferenceStatus::Kicked => "kicked",
            ConferenceStatus::Ended => "ended",
            ConferenceStatus::Locked => "locked",
            ConferenceStatus::Full => "full",
            ConferenceStatus::WrongPin => "wrong_pin",
            ConferenceStatus::NoTalk => "no_talk",
        }
    }
}

/// What the two who are listened to hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuperviseMode {
    /// Nothing.
    Spy,
    /// The one listened to hears the supervisor, the other does not.
    Whisper,
    /// Both hear the supervisor.
    Barge,
}

/// Whose talk is listened to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Supervised {
    Extension(String),
    /// `party`: whom a whisper reaches; `None`: the extension of the two.
    Call {
        call: CallId,
        party: Option<String>,
    },
}

/// Keys to press.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tones {
    /// `0`-`9`, `*`, `#`, `A`-`D`, at most [`Tones::MOST`].
    pub keys: String,
    /// How long each is down, 40 ms to 5 s, and how long it is silent after it.
    pub on: Duration,
    pub off: Duration,
}

impl Tones {
    pub const MOST: usize = 64;

    /// Whether `text` is keys and not too many of them.
    pub fn are_keys(text: &str) -> bool {
        (1..=Self::MOST).contains(&text.len()) && text.chars().all(directory::is_key)
    }

    /// How long it takes to press them all.
    pub fn lasts(&self) -> Duration {
        let keys = u32::try_from(self.keys.len().min(Self::MOST)).unwrap_or(0);
        (self.on + self.off) * keys
    }
}

/// What is pressed may be somebody's secret.
impl std::fmt::Debug for Tones {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tones({} keys)", self.keys.len())
    }
}

/// A request of a script. `caller_id` is the session's current one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verb {
    Answer,
    /// 180 to the caller.
    Ringing,
    /// 183 with our ringback tone to the caller.
    Progress,
    /// Ends an unanswered call with this final status (400 to 699); an answered one with BYE.
    Reject {
        code: u16,
    },
    Hangup,
    Wait {
        time: Duration,
    },
    /// Files under `sounds/`, without extension, one after the other.
    Play {
        prompts: Vec<String>,
    },
    Gather(GatherOptions),
    SendDtmf(Tones),
    Dial {
        targets: Vec<TargetSpec>,
        options: DialOptions,
        caller_id: String,
    },
    /// The caller hears itself until it hangs up.
    Echo,
    /// The caller sits in the room of that name until it leaves or has to.
    Conference {
        room: String,
        options: ConferenceOptions,
    },
    /// The caller listens in on the talk of the extension `whom`.
    Supervise {
        whom: String,
        mode: SuperviseMode,
    },
    Tag {
        key: String,
        value: String,
    },
}

/// How a `dial` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DialStatus {
    Answered,
    Busy,
    NoAnswer,
    Rejected,
    Unavailable,
    Congestion,
    Failed,
}

impl DialStatus {
    /// The word a script compares with.
    pub fn word(self) -> &'static str {
        match self {
            DialStatus::Answered => "answered",
            DialStatus::Busy => "busy",
            DialStatus::NoAnswer => "no_answer",
            DialStatus::Rejected => "rejected",
            DialStatus::Unavailable => "unavailable",
            DialStatus::Congestion => "congestion",
            DialStatus::Failed => "failed",
        }
    }
}

/// What `dial` returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialed {
    pub status: DialStatus,
    /// The best final SIP status of the parties rung; 200 when answered.
    pub sip_code: u16,
    /// Another trunk will not help: 404, 484, 486, 600, 603, 604, 607, 608, or a Q.850 cause that says the same.
    pub is_final: bool,
    /// The Q.850 cause (1 to 127) that the party whose status this is told, if it did.
    pub q850: Option<u8>,
    /// Who answered, or empty.
    pub by: String,
    pub ring: Duration,
    pub talk: Duration,
}

/// What comes of a verb: its return value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Nothing to tell.
    Done,
    /// `finished` is false when a prompt could not be played.
    Played {
        finished: bool,
    },
    Gathered {
        digits: String,
        timed_out: bool,
    },
    Dialed(Dialed),
    /// It was in a room for so long.
    Conferred {
        status: ConferenceStatus,
        time: Duration,
    },
    /// The script made a mistake (an unknown extension, a code out of range): thrown at the verb's line.
    Invalid(String),
    /// The caller has gone, or the call was ended: the script ends here and cannot catch it.
    Gone,
}

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScriptEnd {
    /// Its function returned.
    Finished,
    /// It ended because of [`Outcome::Gone`].
    Stopped,
    /// It failed: an error, a limit, a missing entry point. Logged where it happened.
    Failed { why: String },
    /// The script threads are full: the caller gets 503.
    Overloaded,
}
