//! How well a party is heard and hears us: figures per packet (`meter.rs`, `bursts.rs`), the MOS that follows from them
//! (`emodel.rs`), and what is amiss, in words (`diagnosis.rs`).
//!
//! Not here: the counting of losses and jitter itself (`rtp/stats.rs`) and the reports that carry it (`report.rs`).
//! Nothing here is alarmed by what it sees; it only tells.

mod bursts;
mod diagnosis;
mod emodel;
mod meter;

pub use bursts::Bursts;
pub use diagnosis::{Finding, Findings, findings};
pub use emodel::{Line, mos, rating};
pub(crate) use meter::Meter;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What a stream saw beside its counters, for [`findings`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Signs {
    /// How long the party was to be heard: while the direction agreed lets it send.
    pub expected_ms: u64,
    /// Where the party's SDP says its RTP is.
    pub named: Option<SocketAddr>,
    /// Reports of the party that came (SR or RR), and how many of them spoke of what we send.
    pub reports: u32,
    pub reports_of_us: u32,
    /// Packets of a payload type that was not agreed, and the last such type.
    pub strange_packets: u64,
    pub strange_type: Option<u8>,
    /// Packets of another length than the 20 ms we ask for, and the last such length.
    pub odd_ptime_packets: u64,
    pub odd_ptime_ms: u16,
    /// How often the party's SSRC changed.
    pub sources: u32,
}
