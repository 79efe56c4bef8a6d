//! `offhook.toml` → [`Config`]: every key checked at start, every fault told with its key and the way to mend it.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

/// The commented example: every key with its default.
pub const EXAMPLE: &str = include_str!("offhook.example.toml");

/// A fault in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}\n  hint: {hint}")]
pub struct Error {
    /// `[section] key`, or the file.
    pub key: String,
    pub why: String,
    pub hint: String,
}

fn fault(key: &str, why: impl Into<String>, hint: impl Into<String>) -> Error {
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
    pub tls: Tls,
    pub rtp: Rtp,
    pub http: Http,
    pub dialplan: Dialplan,
    pub emergency: Emergency,
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
    pub realm: String,
    pub max_calls: usize,
}

/// `[tls]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    pub certificate: Option<PathBuf>,
    pub private_key: Option<PathBuf>,
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
        let tls = ["tls://0.0.0.0:5061", "tls://[::]:5061"].map(str::to_owned);
        Self {
            listen: listen.chain(tls).collect(),
            external_host: None,
            realm: "offhook".into(),
            max_calls: 2_000,
        }
    }
}

impl Sip {
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
        let mut table = match file {
            Some(path) => read(path).map_err(|e| vec![e])?,
            None => toml::Table::new(),
        };
        overlay(&mut table, environment)?;
        let listen_given = table
            .get("sip")
            .is_some_and(|sip| sip.get("listen").is_some());
        let mut config: Config =
            toml::Value::Table(table)
                .try_into()
                .map_err(|e: toml::de::Error| {
                    vec![fault(
                        "config",
                        e.message().trim(),
                        "the keys and their types are in offhook.example.toml",
                    )]
                })?;
        // A list that was written is taken at its word; the default is to work on every machine.
        if !listen_given && UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_err() {
            config.sip.leave_out_ipv6();
        }
        let faults = config.faults();
        if faults.is_empty() {
            Ok(config)
        } else {
            Err(faults)
        }
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
        let mut faults = self.network_faults();
        faults.extend(self.other_faults());
        faults
    }

    fn network_faults(&self) -> Vec<Error> {
        let mut faults = Vec::new();
        for text in &self.sip.listen {
            if text.parse::<net::Listen>().is_err() {
                let hint = "write udp://, tcp:// or tls:// and address:port, for example udp://0.0.0.0:5060 or tcp://[::]:5060";
                faults.push(fault(
                    "[sip] listen",
                    format!("{text:?} is no listener"),
                    hint,
                ));
            }
        }
        if self.sip.listen.is_empty() {
            faults.push(fault(
                "[sip] listen",
                "is empty",
                "name at least one listener, for example udp://0.0.0.0:5060",
            ));
        }
        if self.sip.realm.is_empty() || self.sip.realm.contains(['"', '\\', '\r', '\n']) {
            faults.push(fault(
                "[sip] realm",
                "must be text without quotes",
                "leave it away for the default, offhook",
            ));
        }
        if self.rtp.port_min < 1024 || self.rtp.port_max <= self.rtp.port_min.saturating_add(1) {
            let hint = "port_min at least 1024 and port_max at least two above it, for example 10000 and 19999";
            faults.push(fault(
                "[rtp] port_min, port_max",
                "leave no room for a call",
                hint,
            ));
        }
        if self.rtp.timeout_s < 5 {
            faults.push(fault(
                "[rtp] timeout_s",
                "is under 5 seconds",
                "30 suits most offices",
            ));
        }
        faults
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
                "[tls]",
                "certificate and private_key go together",
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

fn read(path: &Path) -> Result<toml::Table, Error> {
    let key = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| {
        fault(
            &key,
            e.to_string(),
            "give the path of an existing file to --config, or leave it away",
        )
    })?;
    text.parse().map_err(|e: toml::de::Error| {
        fault(
            &key,
            e.to_string(),
            "the file must be TOML; see offhook.example.toml",
        )
    })
}

/// `OFFHOOK_SIP__REALM=x` sets `[sip] realm`; a list is separated by commas.
fn overlay(
    table: &mut toml::Table,
    environment: &BTreeMap<String, String>,
) -> Result<(), Vec<Error>> {
    for (name, text) in environment {
        let Some((section, key)) = name
            .strip_prefix("OFFHOOK_")
            .and_then(|rest| rest.split_once("__"))
        else {
            continue;
        };
        let (section, key) = (section.to_lowercase(), key.to_lowercase());
        let entry = table
            .entry(section)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
        let Some(entry) = entry.as_table_mut() else {
            return Err(vec![fault(
                name,
                "the file has a value where a section belongs",
                "mend the file first",
            )]);
        };
        entry.insert(key.clone(), value(&key, text));
    }
    Ok(())
}

fn value(key: &str, text: &str) -> toml::Value {
    if matches!(key, "listen" | "numbers") && text.parse::<SocketAddr>().is_err() {
        let items = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        return toml::Value::Array(
            items
                .map(|item| toml::Value::String(item.to_owned()))
                .collect(),
        );
    }
    let number = matches!(
        key,
        "port_min" | "port_max" | "timeout_s" | "hold_timeout_s" | "max_calls"
    );
    match text.parse::<i64>() {
        Ok(parsed) if number => toml::Value::Integer(parsed),
        Ok(_) | Err(_) => toml::Value::String(text.to_owned()),
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
        assert_eq!(config.listeners().len(), 6);
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
                "tls://0.0.0.0:5061"
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
}
