//! `offhook.toml` → [`Config`]: every key checked at start, every fault told with its key and the way to mend it.

use crate::calls::Calls;
use crate::layers::{Layers, each_key};
use crate::music::Media;
use crate::phones::{Phones, Push};
use crate::reach::{clash, is_host, is_reachable};
use crate::safety::{self, Defence, Trace};
pub use crate::wire::Dns;
use directory::number::Network;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The commented example: every key with its default.
pub const EXAMPLE: &str = include_str!("offhook.example.toml");

/// Loopback, and what RFC 1918, RFC 3927, RFC 4193 and RFC 4291 §2.5.6 keep off the internet.
const LOCAL_NETWORKS: [&str; 8] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "::1",
    "fc00::/7",
    "fe80::/10",
];

/// A fault in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}\n  hint: {hint}")]
pub struct Error {
    /// `[section] key` with the place where it was written, or the file.
    pub key: String,
    pub why: String,
    pub hint: String,
}

pub(crate) fn fault(key: &str, why: impl Into<String>, hint: impl Into<String>) -> Error {
    Error {
        key: key.to_owned(),
        why: why.into(),
        hint: hint.into(),
    }
}

/// The checked configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub struct Config {
    pub data: Data,
    pub database: Database,
    pub sip: Sip,
    pub phones: Phones,
    pub push: Push,
    pub tls: Tls,
    pub dns: Dns,
    pub rtp: Rtp,
    pub media: Media,
    pub http: Http,
    pub dialplan: Dialplan,
    pub emergency: Emergency,
    pub calls: Calls,
    pub defence: Defence,
    pub trace: Trace,
    pub log: Log,
}

/// `[data]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    pub dir: PathBuf,
}

/// `[database]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// Empty: SQLite in the data directory.
    pub url: String,
}

/// `[sip]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sip {
    pub listen: Vec<String>,
    pub external_host: Option<String>,
    pub local_networks: Vec<String>,
    pub realm: String,
    pub max_calls: usize,
    pub nat_keepalive_s: u64,
    pub session_expires_s: u64,
    pub min_se_s: u64,
    /// Read with [`net::Dscp`].
    pub dscp: String,
    pub connections_per_source: usize,
    pub websocket_origins: Vec<String>,
}

/// `[tls]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    pub certificate: Option<PathBuf>,
    pub private_key: Option<PathBuf>,
    /// Each with `fullchain.pem` and `privkey.pem`.
    pub folders: Vec<PathBuf>,
}

/// `[rtp]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rtp {
    pub port_min: u16,
    pub port_max: u16,
    pub external_address: Option<IpAddr>,
    pub timeout_s: u64,
    pub hold_timeout_s: u64,
}

/// `[http]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    pub listen: SocketAddr,
    pub trusted_proxies: Vec<String>,
}

/// `[dialplan]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dialplan {
    pub outbound_prefix: String,
}

/// `[emergency]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Emergency {
    pub numbers: Vec<String>,
}

/// `[log]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
    /// Where every event of the Switch is journalled for `offhook replay`; none: not at all.
    pub journal: Option<PathBuf>,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("./data"),
        }
    }
}

impl Default for Sip {
    fn default() -> Self {
        let listen = ["udp", "tcp"]
            .iter()
            .flat_map(|t| [format!("{t}://0.0.0.0:5060"), format!("{t}://[::]:5060")]);
        let tls = [
            "tls://0.0.0.0:5061",
            "tls://[::]:5061",
            "wss://0.0.0.0:8089",
            "wss://[::]:8089",
        ]
        .map(str::to_owned);
        Self {
            listen: listen.chain(tls).collect(),
            external_host: None,
            local_networks: LOCAL_NETWORKS.map(str::to_owned).to_vec(),
            realm: "offhook".into(),
            max_calls: 2_000,
            nat_keepalive_s: 30,
            session_expires_s: 1_800,
            min_se_s: 90,
            dscp: "CS3".into(),
            connections_per_source: 64,
            websocket_origins: Vec::new(),
        }
    }
}

impl Sip {
    /// RFC 4028 §4: nobody has to take less than 90 seconds.
    fn timer_faults(&self) -> Option<Error> {
        let (expires, min) = (self.session_expires_s, self.min_se_s);
        if !(90..=3_600).contains(&min) {
            let hint = "90 suits everybody, and 600 spares messages";
            return Some(fault("[sip] min_se_s", "is not 90 to 3600 seconds", hint));
        }
        let why = "is neither 0 nor min_se_s to 86400 seconds";
        let hint = "1800 suits most offices, 0 leaves it to the others";
        let fits = expires == 0 || (min..=86_400).contains(&expires);
        (!fits).then(|| fault("[sip] session_expires_s", why, hint))
    }

    /// For a machine whose kernel has no IPv6.
    fn leave_out_ipv6(&mut self) {
        self.listen.retain(|listen| !listen.contains("://["));
    }
}

impl Default for Rtp {
    fn default() -> Self {
        Self {
            port_min: 10_000,
            port_max: 19_999,
            external_address: None,
            timeout_s: 30,
            hold_timeout_s: 3_600,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            trusted_proxies: Vec::new(),
        }
    }
}

impl Default for Dialplan {
    fn default() -> Self {
        Self {
            outbound_prefix: "9".into(),
        }
    }
}

impl Default for Emergency {
    fn default() -> Self {
        Self {
            numbers: ["112", "911", "999"].map(str::to_owned).to_vec(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Text,
            journal: None,
        }
    }
}

impl Config {
    /// Reads `file` (when given), lays `environment` over it and checks the whole.
    ///
    /// # Errors
    /// Every fault found, each with a hint.
    pub fn load(
        file: Option<&Path>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Config, Vec<Error>> {
        let mut layers = match file {
            Some(path) => Layers::read(path).map_err(|e| vec![e])?,
            None => Layers::default(),
        };
        layers.overlay(environment);
        let mut faults = layers.take_misfits();
        let mut config = layers.config().map_err(|e| vec![e])?;
        // A list that was written is taken at its word; the default is to work on every machine.
        if !layers.has("sip", "listen") && UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_err() {
            config.sip.leave_out_ipv6();
        }
        // What did not fit has its default now, which is not to be judged against the rest.
        let taken: Vec<String> = faults.iter().map(|f| f.key.clone()).collect();
        let judged = |f: &Error| !each_key(&f.key).any(|key| taken.contains(&key));
        faults.extend(config.faults().into_iter().filter(judged));
        if faults.is_empty() {
            return Ok(config);
        }
        Err(faults.into_iter().map(|f| layers.placed(f)).collect())
    }

    /// `[sip] external_host` as a URI writes it: IPv6 in brackets (RFC 3261 §25.1 `IPv6reference`).
    pub(crate) fn external_host(&self) -> Option<String> {
        let host = self.sip.external_host.as_ref()?;
        Some(match host.parse::<Ipv6Addr>() {
            Ok(ip) => format!("[{ip}]"),
            Err(_) => host.clone(),
        })
    }

    /// `[sip] local_networks`.
    pub(crate) fn local_networks(&self) -> Vec<RangeInclusive<IpAddr>> {
        let networks = self.sip.local_networks.iter();
        networks
            .filter_map(|text| Network::parse(text))
            .map(|network| network.range())
            .collect()
    }

    /// The database's URL, with the default filled in.
    pub fn database_url(&self) -> String {
        if self.database.url.is_empty() {
            return format!("sqlite:{}", self.data.dir.join("offhook.db").display());
        }
        self.database.url.clone()
    }

    /// The listeners.
    pub fn listeners(&self) -> Vec<net::Listen> {
        self.sip
            .listen
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect()
    }

    fn faults(&self) -> Vec<Error> {
        let mut faults = self.listen_faults();
        faults.extend(self.sip_faults());
        faults.extend(self.phones.faults());
        faults.extend(self.push.faults());
        faults.extend(self.rtp_faults());
        faults.extend(self.media.fault());
        faults.extend(self.path_faults());
        faults.extend(self.other_faults());
        faults.extend(self.calls.faults());
        faults.extend(self.defence.faults());
        faults.extend(safety::proxy_faults(&self.http.trusted_proxies));
        faults.extend(self.trace.faults());
        faults
    }

    fn listen_faults(&self) -> Vec<Error> {
        let mut faults = Vec::new();
        let mut streams = Vec::new();
        let mut datagrams = Vec::new();
        for text in &self.sip.listen {
            let Ok(listen) = text.parse::<net::Listen>() else {
                let hint = "write udp://, tcp://, tls://, ws:// or wss:// and address:port, for example udp://0.0.0.0:5060 or tcp://[::]:5060";
                let why = format!("{text:?} is no listener");
                faults.push(fault("[sip] listen", why, hint));
                continue;
            };
            let others = match listen.transport {
                sip::Transport::Udp => &mut datagrams,
                sip::Transport::Tcp
                | sip::Transport::Tls
                | sip::Transport::Ws
                | sip::Transport::Wss => &mut streams,
            };
            let same = |(_, other): &&(&String, SocketAddr)| clash(*other, listen.address);
            if let Some((other, _)) = others.iter().find(same) {
                let why = format!("{text:?} and {other:?} cannot share a port");
                let hint = "leave one of them out, or give each a port of its own";
                faults.push(fault("[sip] listen", why, hint));
            }
            others.push((text, listen.address));
        }
        if self.sip.listen.is_empty() {
            let hint = "name at least one listener, for example udp://0.0.0.0:5060";
            faults.push(fault("[sip] listen", "is empty", hint));
        }
        let http = self.http.listen;
        if let Some((text, _)) = streams.iter().find(|(_, other)| clash(*other, http)) {
            let why = format!("{http} cannot share a port with {text:?} of [sip] listen");
            faults.push(fault("[http] listen", why, "give it a port of its own"));
        }
        faults
    }

    fn sip_faults(&self) -> Vec<Error> {
        let mut faults = Vec::new();
        let realm = &self.sip.realm;
        if realm.is_empty() || realm.contains(['"', '\\']) || realm.contains(char::is_control) {
            faults.push(fault(
                "[sip] realm",
                "must be text without quotes, backslashes and control characters",
                "leave it away for the default, offhook",
            ));
        }
        if let Some(host) = self.sip.external_host.as_deref().filter(|h| !is_host(h)) {
            faults.push(fault(
                "[sip] external_host",
                format!("{host:?} is neither a host name nor an address that others can reach"),
                "write it without a port, for example pbx.example.net or 192.0.2.1, or leave the key away",
            ));
        }
        let networks = &self.sip.local_networks;
        if let Some(text) = networks.iter().find(|text| Network::parse(text).is_none()) {
            faults.push(fault(
                "[sip] local_networks",
                format!("{text:?} is no network"),
                "write networks like 192.168.0.0/16, or leave the key away",
            ));
        }
        if self.sip.max_calls == 0 {
            faults.push(fault(
                "[sip] max_calls",
                "is 0: every call would be refused",
                "2000 suits most offices",
            ));
        }
        faults.extend(self.sip.timer_faults());
        if !matches!(self.sip.nat_keepalive_s, 0 | 10..=300) {
            faults.push(fault(
                "[sip] nat_keepalive_s",
                "is neither 0 nor 10 to 300 seconds",
                "30 suits most routers, 0 turns it off",
            ));
        }
        faults.extend(crate::wire::faults(self));
        let prefix = &self.dialplan.outbound_prefix;
        if !prefix.is_empty() && !directory::number::is_dialable(prefix) {
            faults.push(fault(
                "[dialplan] outbound_prefix",
                format!("{prefix:?} cannot be dialled"),
                "digits, * and #, for example 9; empty for none",
            ));
        }
        faults
    }

    fn rtp_faults(&self) -> Vec<Error> {
        let mut faults = Vec::new();
        let rtp = &self.rtp;
        if rtp.port_min < 1024 || rtp.port_max <= rtp.port_min.saturating_add(1) {
            let hint = "port_min at least 1024 and port_max at least two above it, for example 10000 and 19999";
            faults.push(fault(
                "[rtp] port_min, port_max",
                "leave no room for a call",
                hint,
            ));
        }
        if rtp.timeout_s < 5 {
            faults.push(fault(
                "[rtp] timeout_s",
                "is under 5 seconds",
                "30 suits most offices",
            ));
        }
        if rtp.hold_timeout_s != 0 && rtp.hold_timeout_s < rtp.timeout_s {
            faults.push(fault(
                "[rtp] hold_timeout_s, timeout_s",
                "who is on hold, and may be silent, would be given up sooner than who talks",
                "hold_timeout_s at least timeout_s, or 0 for never; 3600 suits most offices",
            ));
        }
        if let Some(ip) = rtp.external_address.filter(|ip| !is_reachable(*ip)) {
            faults.push(fault(
                "[rtp] external_address",
                format!("{ip} is no address that others can reach"),
                "the address that the internet sees, for example 192.0.2.1, or leave the key away",
            ));
        }
        faults
    }

    fn path_faults(&self) -> Vec<Error> {
        let file = "name a file, or leave the key away";
        let paths = [
            (
                "[data] dir",
                Some(&self.data.dir),
                "name a folder, for example ./data",
            ),
            ("[tls] certificate", self.tls.certificate.as_ref(), file),
            ("[tls] private_key", self.tls.private_key.as_ref(), file),
            ("[log] journal", self.log.journal.as_ref(), file),
        ];
        let folders = self.tls.folders.iter();
        let folders = folders.map(|f| {
            (
                "[tls] folders",
                Some(f),
                "name folders, or leave the key away",
            )
        });
        let empty = |path: Option<&PathBuf>| path.is_some_and(|path| path.as_os_str().is_empty());
        let empty = paths
            .into_iter()
            .chain(folders)
            .filter(|(_, path, _)| empty(*path));
        empty
            .map(|(key, _, hint)| fault(key, "is empty", hint))
            .collect()
    }

    fn other_faults(&self) -> Vec<Error> {
        let mut faults = Vec::new();
        let url = &self.database.url;
        if !(url.is_empty()
            || ["sqlite:", "postgres://", "postgresql://"]
                .iter()
                .any(|s| url.starts_with(s)))
        {
            faults.push(fault(
                "[database] url",
                "is neither SQLite nor PostgreSQL",
                "write sqlite:PATH or postgres://user:password@host/database",
            ));
        }
        if self.tls.certificate.is_some() != self.tls.private_key.is_some() {
            faults.push(fault(
                "[tls] certificate, private_key",
                "go together",
                "give both, or neither for a self-signed pair",
            ));
        }
        if !["error", "warn", "info", "debug", "trace"].contains(&self.log.level.as_str()) {
            faults.push(fault(
                "[log] level",
                format!("{:?} is no level", self.log.level),
                "error, warn, info, debug or trace",
            ));
        }
        if self
            .emergency
            .numbers
            .iter()
            .any(|n| !directory::number::is_dialable(n))
        {
            faults.push(fault(
                "[emergency] numbers",
                "holds something that cannot be dialled",
                "digits only, for example 112",
            ));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn no_file_at_all_is_a_working_configuration() {
        let config = Config::load(None, &BTreeMap::new()).expect("the defaults are right");
        assert_eq!(config.listeners().len(), 8);
        assert_eq!(config.database_url(), "sqlite:./data/offhook.db");
    }

    #[test]
    fn without_ipv6_the_ipv4_listeners_remain() {
        let mut sip = Sip::default();
        sip.leave_out_ipv6();
        assert_eq!(
            sip.listen,
            [
                "udp://0.0.0.0:5060",
                "tcp://0.0.0.0:5060",
                "tls://0.0.0.0:5061",
                "wss://0.0.0.0:8089"
            ]
        );
    }

    #[test]
    fn the_example_says_the_defaults() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("offhook.toml");
        let live: String = EXAMPLE
            .lines()
            .map(|l| {
                l.strip_prefix("# ")
                    .filter(|l| l.contains(" = "))
                    .unwrap_or(l)
            })
            .map(|l| format!("{l}\n"))
            .collect();
        std::fs::write(&path, live).expect("written");
        let config =
            Config::load(Some(&path), &BTreeMap::new()).expect("every commented key is a key");
        assert_eq!(config.sip.realm, Config::default().sip.realm);
        assert_eq!(config.sip.listen, Config::default().sip.listen);
    }

    #[test]
    fn the_environment_overrides_with_lists_and_numbers() {
        let env = environment(&[
            (
                "OFFHOOK_SIP__LISTEN",
                "udp://127.0.0.1:6060, tcp://[::1]:6060",
            ),
            ("OFFHOOK_RTP__PORT_MIN", "20000"),
            ("OFFHOOK_RTP__PORT_MAX", "20100"),
            ("OFFHOOK_HTTP__LISTEN", "127.0.0.1:9090"),
            ("OFFHOOK_DIALPLAN__OUTBOUND_PREFIX", "0"),
        ]);
        let config = Config::load(None, &env).expect("right");
        assert_eq!(config.listeners().len(), 2);
        assert_eq!(config.rtp.port_min, 20_000);
        assert_eq!(config.http.listen.port(), 9090);
        assert_eq!(config.dialplan.outbound_prefix, "0");
    }

    #[test]
    fn every_fault_has_a_hint() {
        let env = environment(&[
            ("OFFHOOK_SIP__LISTEN", "5060"),
            ("OFFHOOK_RTP__PORT_MIN", "5"),
            ("OFFHOOK_LOG__LEVEL", "loud"),
        ]);
        let faults = Config::load(None, &env).expect_err("wrong");
        assert_eq!(faults.len(), 3);
        assert!(faults.iter().all(|f| !f.hint.is_empty()));
        let unknown = Config::load(None, &environment(&[("OFFHOOK_SIP__RELM", "x")]))
            .expect_err("unknown key");
        assert!(
            unknown.iter().any(|f| f.why.contains("relm")),
            "{unknown:?}"
        );
    }

    fn faulty_keys(pairs: &[(&str, &str)]) -> Vec<String> {
        let faults = Config::load(None, &environment(pairs)).err();
        let keys = faults.into_iter().flatten().map(|f| f.key);
        keys.map(|key| key.split(" (").next().unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn session_timers_have_bounds() {
        for (name, text, key) in [
            ("SIP__SESSION_EXPIRES_S", "60", "[sip] session_expires_s"),
            ("SIP__MIN_SE_S", "89", "[sip] min_se_s"),
            ("SIP__MIN_SE_S", "3601", "[sip] min_se_s"),
        ] {
            let faults = faulty_keys(&[(&format!("OFFHOOK_{name}"), text)]);
            assert_eq!(faults, [key], "{name}={text}");
        }
        for off in [
            ("OFFHOOK_SIP__SESSION_EXPIRES_S", "0"),
            ("OFFHOOK_SIP__MIN_SE_S", "600"),
        ] {
            assert!(faulty_keys(&[off]).is_empty(), "{off:?}");
        }
    }

    #[test]
    fn what_would_start_but_not_work_is_a_fault() {
        for (name, text, key) in [
            ("SIP__EXTERNAL_HOST", "a b;c", "[sip] external_host"),
            ("SIP__EXTERNAL_HOST", "pbx:5060", "[sip] external_host"),
            ("SIP__EXTERNAL_HOST", "192.0.2.300", "[sip] external_host"),
            ("SIP__EXTERNAL_HOST", "[192.0.2.1]", "[sip] external_host"),
            ("SIP__EXTERNAL_HOST", "0.0.0.0", "[sip] external_host"),
            ("SIP__LOCAL_NETWORKS", "10.0.0.0/33", "[sip] local_networks"),
            ("SIP__MAX_CALLS", "0", "[sip] max_calls"),
            ("SIP__NAT_KEEPALIVE_S", "5", "[sip] nat_keepalive_s"),
            ("SIP__REALM", "off\u{7}hook", "[sip] realm"),
            (
                "DIALPLAN__OUTBOUND_PREFIX",
                "x y",
                "[dialplan] outbound_prefix",
            ),
            (
                "RTP__HOLD_TIMEOUT_S",
                "1",
                "[rtp] hold_timeout_s, timeout_s",
            ),
            ("RTP__EXTERNAL_ADDRESS", "0.0.0.0", "[rtp] external_address"),
            ("MEDIA__MUSIC_ON_HOLD", "../x", "[media] music_on_hold"),
            ("DATA__DIR", "", "[data] dir"),
            (
                "SIP__LISTEN",
                "udp://127.0.0.1:7000,udp://127.0.0.1:7000",
                "[sip] listen",
            ),
            (
                "SIP__LISTEN",
                "tcp://0.0.0.0:7000,tls://127.0.0.1:7000",
                "[sip] listen",
            ),
            ("SIP__LISTEN", "tcp://127.0.0.1:8080", "[http] listen"),
        ] {
            let name = format!("OFFHOOK_{name}");
            assert_eq!(faulty_keys(&[(&name, text)]), [key], "{name}={text}");
        }
        for (name, text) in [
            ("SIP__EXTERNAL_HOST", "pbx-1.example.net."),
            ("SIP__EXTERNAL_HOST", "192.0.2.1"),
            ("SIP__EXTERNAL_HOST", "[2001:db8::1]"),
            ("SIP__EXTERNAL_HOST", ""),
            ("LOG__JOURNAL", ""),
            ("DIALPLAN__OUTBOUND_PREFIX", ""),
            ("RTP__HOLD_TIMEOUT_S", "0"),
            ("SIP__LISTEN", "udp://127.0.0.1:0,udp://127.0.0.1:0"),
            (
                "SIP__LISTEN",
                "udp://0.0.0.0:7000,tcp://0.0.0.0:7000,udp://[::]:7000",
            ),
        ] {
            let name = format!("OFFHOOK_{name}");
            assert_eq!(faulty_keys(&[(&name, text)]), [""; 0], "{name}={text}");
        }
    }

    #[test]
    fn what_the_edge_of_sip_cannot_use_is_a_fault() {
        for (name, text, key) in [
            ("SIP__DSCP", "64", "[sip] dscp"),
            (
                "SIP__CONNECTIONS_PER_SOURCE",
                "0",
                "[sip] connections_per_source",
            ),
            (
                "SIP__CONNECTIONS_PER_SOURCE",
                "4097",
                "[sip] connections_per_source",
            ),
            ("SIP__CONNECTIONS_PER_SOURCE", "4096", ""),
            (
                "SIP__WEBSOCKET_ORIGINS",
                "phones.example",
                "[sip] websocket_origins",
            ),
            ("TLS__FOLDERS", ",", ""),
            ("DNS__SERVERS", "192.0.2.53, [::1]:5353, 2001:db8::1", ""),
            ("DNS__SERVERS", "dns.example", "[dns] servers"),
        ] {
            let name = format!("OFFHOOK_{name}");
            assert_eq!(faulty_keys(&[(&name, text)]).concat(), key, "{name}={text}");
        }
    }

    #[test]
    fn an_ipv6_host_is_told_in_brackets() {
        let env = environment(&[("OFFHOOK_SIP__EXTERNAL_HOST", "2001:DB8::1")]);
        let config = Config::load(None, &env).expect("right");
        assert_eq!(config.external_host().as_deref(), Some("[2001:db8::1]"));
    }

    #[test]
    fn an_empty_path_in_a_file_is_a_fault() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("offhook.toml");
        std::fs::write(&path, "[log]\njournal = \"\"\n").expect("written");
        let faults = Config::load(Some(&path), &BTreeMap::new()).expect_err("wrong");
        assert_eq!(
            faults[0].key,
            format!("[log] journal ({}:2)", path.display())
        );
    }
}
