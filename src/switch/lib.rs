//! The office as it lives: calls, legs, registrations, and who may reach whom. A pure machine with four doors.
//!
//! It is not the office as configured (`directory`), and it owns no socket, clock, database or script:
//! those are the edges. Next: [`Event`] (everything in), [`Command`] (everything out), [`Notice`] (everything told).

mod command;
mod event;
mod notice;
mod verb;

pub use command::Command;
pub use event::{CallId, Event, QueryId, UnknownCall};
pub use notice::{CallState, LiveCall, Notice, TrunkState};
pub use verb::{
    DialOptions, DialStatus, Dialed, Entry, GatherOptions, Outcome, ScriptEnd, SessionInfo, TargetSpec, Verb,
};
