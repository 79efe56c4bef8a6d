//! The Rhai dialplan: loads the scripts of a folder, checks them before they serve, and runs one per call.
//!
//! It decides nothing about calls: a script asks its verbs of the Switch as [`switch::Event::Verb`] and sleeps,
//! as a coroutine with a stack of its own, until the [`switch::Outcome`] comes. It plays no sound and sees no SIP.
//!
//! Next: `program` (files → one checked program), `lint` (what compiles and still is wrong), `verbs` (what a
//! script may ask), `script` (one running script), `runner` (the script threads), `dialplan` (load and replace).

mod conference;
mod dialplan;
mod engine;
mod folder;
mod limits;
mod line;
mod lint;
mod meter;
mod options;
mod program;
#[cfg(test)]
mod rehearsal;
mod runner;
mod script;
mod source;
mod spelling;
mod unpack;
mod verbs;
mod watch;
mod weight;

pub use dialplan::{Dialplan, Standing};
pub use limits::Limits;
pub use runner::Runner;
pub use source::ScriptError;
pub use unpack::unpack;
pub use watch::{Watch, watch};
