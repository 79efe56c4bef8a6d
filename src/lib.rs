//! Offhook's wiring: the only place that knows every room of the house.
//!
//! `config` reads `offhook.toml`, `check` judges it with the dialplan and the database, `run` starts all and
//! keeps the one loop around the Switch, `journal` records that loop and runs it again. The rooms are the
//! crates beside these files: `sip`, `media` and `directory` are the vocabulary, `switch` is the PBX,
//! `dialplan`, `store`, `api` and `net` are its edges.

pub mod check;
pub mod config;
pub mod journal;
pub mod run;
mod shift;
mod start;
