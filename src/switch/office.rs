//! What all calls share: the SIP endpoint, who is where, ports, timers and the way out.

use crate::command::Command;
use crate::config::Config;
use crate::defence::{self, Defence};
use crate::event::{CallId, QueryId};
use crate::keepalive::KeepAlive;
use crate::message::Messages;
use crate::notice::Notice;
use crate::ports::Ports;
use crate::push::Wakeups;
use crate::registrar::Registrar;
use crate::rooms::Rooms;
use crate::timers::{Timer, TimerKey, Timers};
use crate::trace::{self, Trace};
use crate::trunk::Trunks;
use crate::watch::{self, Watch};
use bytes::Bytes;
use directory::Directory;
use media::{PlayId, StreamId};
use sip::digest::{Algorithm, Nonces, ha1};
use sip::{DialogId, Flow};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who waits for an answer of the resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Query {
    /// A leg of a call, by its index.
    Leg(CallId, usize),
    Trunk(String),
}

/// Everything beside the calls themselves. A call's activities see this and one call.
pub(crate) struct Office {
    pub(crate) config: Config,
    pub(crate) now: Instant,
    pub(crate) out: VecDeque<Command>,
    pub(crate) sip: sip::Endpoint,
    pub(crate) nonces: Nonces,
    pub(crate) directory: Arc<Directory>,
    pub(crate) registrar: Registrar,
    pub(crate) keepalive: KeepAlive,
    pub(crate) wakeups: Wakeups,
    pub(crate) trunks: Trunks,
    pub(crate) watch: Watch,
    pub(crate) messages: Messages,
    pub(crate) ports: Ports,
    pub(crate) rooms: Rooms,
    pub(crate) timers: Timers,
    /// Which leg of which call a dialog belongs to.
    pub(crate) dialogs: HashMap<DialogId, (CallId, usize)>,
    /// Which leg of which call a stream belongs to.
    pub(crate) streams: HashMap<StreamId, (CallId, usize)>,
    pub(crate) queries: HashMap<QueryId, Query>,
    pub(crate) stopping: bool,
    pub(crate) defence: Defence,
    pub(crate) trace: Trace,
    /// Where the message in hand came from.
    pub(crate) hearing: Option<Flow>,
    /// See [`crate::Switch::panic_on`].
    #[cfg(debug_assertions)]
    pub(crate) panic_on: Option<String>,
    /// Proves that a Call-ID is ours.
    pub(crate) loop_key: String,
    next_query: u64,
    next_line: u64,
    next_call: u64,
    next_play: u32,
}

impl Office {
    pub(crate) fn new(config: Config) -> Self {
        let endpoint = sip::Config {
            user_agent: concat!("Offhook/", env!("CARGO_PKG_VERSION")).to_owned(),
            seed: config.seed,
            external_host: config.external_host.clone(),
            local_networks: config.local_networks.clone(),
            t1: Duration::from_millis(500),
            max_transactions: 50_000,
            max_dialogs: 20_000,
            session_expires: config.session_expires,
            min_se: config.min_se,
            ..sip::Config::default()
        };
        let seed: String = config.seed.iter().map(|b| format!("{b:02x}")).collect();
        let loop_key = ha1(Algorithm::Sha256, "loop", &seed, "");
        let mut nonce_key = config.seed;
        nonce_key.reverse();
        Self {
            now: config.origin,
            out: VecDeque::new(),
            sip: sip::Endpoint::new(endpoint),
            nonces: Nonces::new(nonce_key, Duration::from_secs(300)),
            directory: Arc::new(Directory::default()),
            registrar: Registrar::default(),
            keepalive: KeepAlive::default(),
            wakeups: Wakeups::default(),
            trunks: Trunks::default(),
            watch: Watch::default(),
            messages: Messages::default(),
            ports: Ports::new(config.rtp_port_min, config.rtp_port_max),
            rooms: Rooms::default(),
            timers: Timers::default(),
            dialogs: HashMap::new(),
            streams: HashMap::new(),
            queries: HashMap::new(),
            stopping: false,
            defence: Defence::new(&config.defence, &config.seed, config.origin),
            trace: Trace::new(config.trace, &config.seed),
            hearing: None,
            #[cfg(debug_assertions)]
            panic_on: None,
            loop_key,
            next_query: 0,
            next_line: 0,
            next_call: 0,
            next_play: 0,
            config,
        }
    }

    /// A SIP message came. What is not to be looked at is not: nobody hears of it.
    pub(crate) fn receive(&mut self, flow: Flow, bytes: Bytes) {
        let Some(sender) = defence::screen(self, &flow, &bytes) else {
            return;
        };
        self.hearing = Some(flow);
        trace::note(self, true, &flow, &bytes);
        if !self.sip.receive_from(self.now, flow, bytes, sender) {
            defence::malformed(self, &flow);
        }
    }

    /// Unix milliseconds at `at`.
    pub(crate) fn wall(&self, at: Instant) -> i64 {
        let since = at.saturating_duration_since(self.config.origin).as_millis();
        self.config.origin_unix_ms + i64::try_from(since).unwrap_or(i64::MAX)
    }

    pub(crate) fn tell(&mut self, notice: Notice) {
        watch::heard(self, &notice);
        self.out.push_back(Command::Notice(notice));
    }

    pub(crate) fn warn(&mut self, call: Option<CallId>, text: impl Into<String>) {
        self.tell(Notice::Warning {
            call,
            text: text.into(),
        });
    }

    pub(crate) fn media(&mut self, command: media::Command) {
        self.out.push_back(Command::Media(command));
    }

    pub(crate) fn arm(&mut self, after: Duration, timer: Timer) -> TimerKey {
        self.timers.arm(self.now + after, timer)
    }

    /// Asks the resolver; the answer comes back as an event for `asker`.
    pub(crate) fn resolve(&mut self, asker: Query, trunk: &directory::Trunk) {
        self.next_query += 1;
        let query = QueryId(self.next_query);
        self.queries.insert(query, asker);
        self.out.push_back(Command::Resolve {
            query,
            trunk: trunk.name.clone(),
            host: trunk.host.clone(),
            port: trunk.port,
            transport: crate::target::transport(trunk.transport),
        });
    }

    pub(crate) fn new_call_id(&mut self) -> CallId {
        self.next_call = (self.next_call + 1) & 0x7_ffff;
        CallId((self.wall(self.now).unsigned_abs() << 20) | self.next_call)
    }

    /// A number that the streams of one call have in common.
    pub(crate) fn new_line(&mut self) -> u64 {
        self.next_line += 1;
        self.next_line
    }

    /// Names a playback: never the same twice, for a leg may move to another call while something plays.
    pub(crate) fn new_play(&mut self) -> PlayId {
        self.next_play = self.next_play.wrapping_add(1);
        PlayId(self.next_play)
    }

    /// The host part of our own addresses as a peer on `flow` may know it, IPv6 in brackets.
    pub(crate) fn host_for(&self, flow: &Flow) -> String {
        match &self.config.external_host {
            Some(host) if !self.is_inside(flow) => host.clone(),
            Some(_) | None => bracketed(flow.local.ip()),
        }
    }

    /// Whether the peer on `flow` reaches us without a router between: it is told our local addresses.
    pub(crate) fn is_inside(&self, flow: &Flow) -> bool {
        let peer = flow.remote.ip().to_canonical();
        let networks = &self.config.local_networks;
        networks.iter().any(|network| network.contains(&peer))
    }
}

/// An address as a URI writes it (RFC 3261 §25.1 `IPv6reference`).
pub(crate) fn bracketed(ip: std::net::IpAddr) -> String {
    match ip {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
