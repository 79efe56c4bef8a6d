//! The call record: what is remembered of a call. One call writes exactly one.

use serde::{Deserialize, Serialize};

/// Which way a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Internal,
    Inbound,
    Outbound,
}

/// How a call ended, in the words of the API (`cause`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Completed,
    Busy,
    NoAnswer,
    Cancelled,
    Rejected,
    Unavailable,
    Failed,
}

/// One party's part in a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LegRecord {
    /// `leg_…`.
    pub id: String,
    /// The extension's number, or the other party's number on a trunk.
    pub party: String,
    /// The trunk's name when the leg is on one.
    pub trunk: Option<String>,
    /// `udp`, `tcp` or `tls`.
    pub transport: String,
    /// Name as in SDP; `None` when no codec was agreed.
    pub codec: Option<String>,
    pub packets_in: u64,
    pub packets_out: u64,
    /// Per cent of the packets the party sent that did not arrive.
    pub loss_in: f64,
    /// RFC 3550 §6.4.1 interarrival jitter, milliseconds.
    pub jitter_ms: f64,
    /// From RTCP; `None` when the party sent no usable reports.
    pub rtt_ms: Option<f64>,
    /// Per cent of our packets that the party says it lost, from RTCP.
    pub loss_out: Option<f64>,
    /// How its audio was encrypted, from beginning to end: the name of the SRTP profile. `None`: it was not, or not all.
    #[serde(default)]
    pub srtp: Option<String>,
    /// Mean opinion score (ITU-T G.107, 1 to 4.5) of what the party sent, measured here; `None` when too little came.
    #[serde(default)]
    pub mos_in: Option<f64>,
    /// The same of what it heard, by its RTCP; `None` without.
    #[serde(default)]
    pub mos_out: Option<f64>,
    /// Packets of the party that came too late to be played.
    #[serde(default)]
    pub late_in: u64,
    /// The longest time without sound from the party while it spoke, milliseconds.
    #[serde(default)]
    pub longest_gap_ms: u32,
    /// Per cent of the party's packets lost within bursts and between them (RFC 3611 §4.7.2).
    #[serde(default)]
    pub burst_loss: Option<f64>,
    #[serde(default)]
    pub gap_loss: Option<f64>,
    /// What went wrong on this leg, in words.
    pub diagnosis: Option<String>,
}

/// How two parties of a call came together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The caller dialled, or the dialplan for it.
    Dialled,
    /// `by` sent one of them on to the other without asking.
    Transferred,
    /// `by` connected two whom it both had on its phone.
    Attended,
    /// `by` answered what rang elsewhere, or took a talk over.
    PickedUp,
    /// A transfer came to nothing and the party rang at `by` again, who had sent it.
    Returned,
    /// It sat in a conference, whose name stands for the second party.
    Conference,
}

/// A part of a call's journey: one party with another, or the attempt at it. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// From when on the second was sought; when nobody had to be rung, the moment they heard each other.
    pub started_at_ms: i64,
    /// When they heard each other; `None` when that never came about.
    pub answered_at_ms: Option<i64>,
    pub ended_at_ms: i64,
    /// Who was there: first the one who goes on the journey, then whom it reached or would have reached.
    pub parties: Vec<String>,
    pub how: How,
    /// Whose doing it was; `None` for what was dialled.
    pub by: Option<String>,
}

/// A call, after its end. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// `cal_…`, sortable by time.
    pub id: String,
    pub started_at_ms: i64,
    pub answered_at_ms: Option<i64>,
    pub ended_at_ms: i64,
    pub direction: Direction,
    pub from: String,
    /// Who was reached before any transfer, or would have been: an extension, a number on a trunk, or the dialled string.
    pub to: String,
    pub dialed: String,
    pub cause: Ending,
    /// The final SIP status towards the caller (200 when it was answered).
    pub sip_code: u16,
    /// From the start to the answer (or to the end, when there was none).
    pub ring_ms: i64,
    /// From the answer to the end, over all segments and what lies between them.
    pub talk_ms: i64,
    /// `session.tag(key, value)` of the dialplan.
    pub tags: Vec<(String, String)>,
    /// Why it ended, in words; for example "no codec in common: offered PCMU, allowed opus".
    pub reason: String,
    pub legs: Vec<LegRecord>,
    /// The journey, in order. A call that was only dialled has one.
    #[serde(default)]
    pub segments: Vec<Segment>,
    /// The call that took over the parties of this one.
    #[serde(default)]
    pub merged_into: Option<String>,
    /// The calls whose parties this one took over.
    #[serde(default)]
    pub continues: Vec<String>,
}
