//! Self-defence below the transactions: how much who may send, who has done too much wrong, who is not listened to.
//!
//! It looks at addresses and at most one header; what a message says is not its business. An address on a datagram
//! can be a lie, so what cannot be proven silences for moments only, and nothing an address does harms a phone that
//! logged in from there or a trunk. Next: `judge.rs` (faults and what follows), then a file for each thing remembered.

mod bans;
mod judge;
mod known;
mod scanner;
mod source;
mod table;

use crate::office::Office;
use crate::timers::TimerKey;
use bans::Bans;
use directory::number::Network;
pub(crate) use judge::{
    Look, add_by_hand, challenged, disproved, lift, look, malformed, proved, restore, sweep,
};
use known::Known;
use serde::{Deserialize, Serialize};
use sip::{Flow, Sender};
use source::Source;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use table::{Rate, Table, micros};

/// `[defence]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DefenceConfig {
    /// Messages a second from an address that nobody logged in from of late.
    pub strangers_per_s: u32,
    /// The same from a phone that is known, a trunk, or an allowed network.
    pub known_per_s: u32,
    /// So many wrong passwords or unknown names at once, and a source is banned; one is forgotten in each such part of
    /// ten minutes.
    pub wrong_tries: u32,
    /// Seconds; each further ban is twice as long. 0: nobody is banned.
    pub ban_s: u64,
    pub longest_ban_s: u64,
    /// Parts of User-Agents that are never answered.
    pub scanners: Vec<String>,
    /// Addresses and networks that are never banned.
    pub allow: Vec<String>,
}

impl Default for DefenceConfig {
    fn default() -> Self {
        let scanners = [
            "friendly-scanner",
            "sipvicious",
            "sipcli",
            "pplsip",
            "vaxsipuseragent",
            "sundayddr",
            "sipscan",
            "smap",
            "iwar",
            "sip-scan",
            "siparmyknife",
            "test agent",
        ];
        Self {
            strangers_per_s: 20,
            known_per_s: 2_000,
            wrong_tries: 10,
            ban_s: 600,
            longest_ban_s: 604_800,
            scanners: scanners.map(str::to_owned).to_vec(),
            allow: Vec::new(),
        }
    }
}

/// How long at its measure a source may have saved up to send at once.
const STRANGERS_BURST: Duration = Duration::from_secs(5);
const KNOWN_BURST: Duration = Duration::from_secs(2);
/// A flow whose address was silenced may still ask to be challenged, once in so long.
const ASKING: Rate = Rate::one_in(Duration::from_secs(4), Duration::ZERO);
/// All strangers together have this many times the measure of one: addresses can be invented.
const ALL_STRANGERS: u32 = 50;

/// What is remembered of who sends.
pub(crate) struct Defence {
    settings: DefenceConfig,
    allow: Vec<Network>,
    origin: Instant,
    stranger: Rate,
    known_rate: Rate,
    strangers: Rate,
    /// Of all strangers together, as in a table's entry.
    strangers_due: u64,
    sources: Table,
    /// What is done wrong in an extension's name from where others are known.
    pairs: Table,
    known: Known,
    bans: Bans,
    timer: Option<TimerKey>,
    bans_made: u32,
}

impl Defence {
    pub(crate) fn new(settings: &DefenceConfig, seed: &[u8; 32], origin: Instant) -> Defence {
        let mut settings = settings.clone();
        for name in &mut settings.scanners {
            name.make_ascii_lowercase();
        }
        let all = settings.strangers_per_s.saturating_mul(ALL_STRANGERS);
        Defence {
            allow: settings
                .allow
                .iter()
                .filter_map(|n| Network::parse(n))
                .collect(),
            origin,
            stranger: Rate::of(settings.strangers_per_s, STRANGERS_BURST),
            known_rate: Rate::of(settings.known_per_s, KNOWN_BURST),
            strangers: Rate::of(all, STRANGERS_BURST),
            strangers_due: 0,
            sources: Table::new(seed),
            pairs: Table::new(seed),
            known: Known::default(),
            bans: Bans::default(),
            timer: None,
            bans_made: 0,
            settings,
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(address))
    }

    /// Microseconds since the origin, at least 1.
    fn clock(&self, now: Instant) -> u64 {
        1 + micros(now.saturating_duration_since(self.origin))
    }
}

/// Who sent `bytes`, as far as one can tell; `None`: it is not to be looked at, nor answered. Runs for every message
/// before anything is read of it.
pub(crate) fn screen(office: &mut Office, flow: &Flow, bytes: &[u8]) -> Option<Sender> {
    let (now, address) = (office.now, flow.remote.ip());
    let source = Source::of(address);
    let allowed = office.defence.allows(address);
    let phone = office.defence.known.has_flow(now, flow.remote);
    let known = allowed || phone || office.defence.known.has_source(now, source);
    if !allowed && is_banned(office, source, address, known) {
        judge::hang_up(office, flow);
        return None;
    }
    let trunk = office.trunks.is_at(flow);
    let defence = &mut office.defence;
    let clock = defence.clock(now);
    // Each phone has a measure of its own: who sends in the name of its address does not use it up.
    let key = if phone || trunk {
        of_flow(source.key(), flow.remote.port())
    } else {
        source.key()
    };
    let rate = if known || trunk {
        defence.known_rate
    } else {
        defence.stranger
    };
    let entry = defence.sources.entry(key, clock);
    if !entry.take(rate, clock) {
        return None;
    }
    if trunk {
        return Some(Sender::Trusted);
    }
    if allowed || phone {
        return Some(Sender::Phone);
    }
    // Whoever writes the address of phones into datagrams is not to have their places.
    if known {
        return Some(Sender::Neighbour);
    }
    if entry.is_silenced(clock) && !is_sincere(office, flow, bytes) {
        return None;
    }
    let defence = &mut office.defence;
    if !defence.strangers.take(&mut defence.strangers_due, clock) {
        return None;
    }
    if scanner::is_named(bytes, &defence.settings.scanners) {
        judge::scanned(office, flow);
        return None;
    }
    Some(Sender::Stranger)
}

/// What was banned by itself is heard all the same when somebody is known there since, or it is a trunk's.
fn is_banned(office: &Office, source: Source, address: IpAddr, known: bool) -> bool {
    let defence = &office.defence;
    if defence.bans.is_empty() {
        return false;
    }
    let ban = defence.bans.of(source, address, office.wall(office.now));
    ban.is_some_and(|ban| ban.by_hand || !known && !office.trunks.has_address(address))
}

/// Whether a message is looked at though others silenced its address, which may be a lie of theirs: who has a connection,
/// or answers a challenge that was sent there, is no lie; who wants to log in is challenged now and then.
fn is_sincere(office: &mut Office, flow: &Flow, bytes: &[u8]) -> bool {
    let sent = |nonce| office.nonces.was_sent_to(office.now, nonce, flow.remote);
    if flow.transport.reliable() || scanner::nonce(bytes).is_some_and(sent) {
        return true;
    }
    let defence = &mut office.defence;
    let clock = defence.clock(office.now);
    let key = of_flow(Source::of(flow.remote.ip()).key(), flow.remote.port());
    // Not what its messages are counted under once it is known.
    bytes.starts_with(b"REGISTER ") && defence.sources.entry(!key, clock).take(ASKING, clock)
}

/// What one flow is counted under, of a source or of what it says in a name: no such thing's own key, but by a chance of
/// one in 2⁶⁴.
fn of_flow(whole: u64, port: u16) -> u64 {
    whole.rotate_left(23) ^ (u64::from(port) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
