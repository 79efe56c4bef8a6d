//! Offhook's wiring: the only place that knows every room of the house.
//!
//! `layers` reads `offhook.toml` and the environment, `config` and `phones` judge what they say, `check` adds the dialplan and
//! the database, `push` sends for sleeping phones, `run` starts all and keeps the one loop around the Switch, `journal` records that loop and runs it
//! again. The rooms are the crates beside these files: `sip`, `media` and `directory` are the vocabulary, `switch` is
//! the PBX, `dialplan`, `store`, `api` and `net` are its edges.

mod browsers;
mod calls;
pub mod check;
pub mod config;
pub mod journal;
mod layers;
mod music;
mod phones;
mod provider;
mod push;
mod reach;
pub mod run;
pub mod safety;
mod shift;
mod start;
mod wire;
