//! What the configuration file says and the environment over it: every key with its place, each tried by itself.

use crate::config::{Config, EXAMPLE, Error, fault};
use std::collections::BTreeMap;
use std::path::Path;
use toml::de::DeTable;
use toml::{Table, Value};

/// File and environment, not yet judged.
#[derive(Default)]
pub(crate) struct Layers {
    table: Table,
    /// `[section] key` and where it was written: `offhook.toml:7`, or the variable's name.
    places: BTreeMap<String, String>,
}

impl Layers {
    /// Reads `file`.
    ///
    /// # Errors
    /// It cannot be read, or is not TOML.
    pub(crate) fn read(file: &Path) -> Result<Layers, Error> {
        let key = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|e| {
            let hint = "give the path of an existing file to --config, or leave it away";
            fault(&key, e.to_string(), hint)
        })?;
        let no_toml = |e: toml::de::Error| {
            let hint = "the file must be TOML; see offhook.example.toml";
            fault(&key, e.to_string(), hint)
        };
        let spans = DeTable::parse(&text).map_err(no_toml)?;
        let table = text.parse().map_err(no_toml)?;
        let place = |start: usize| {
            let before = text.bytes().take(start).filter(|b| *b == b'\n');
            format!("{key}:{}", before.count() + 1)
        };
        let mut places = BTreeMap::new();
        for (section, value) in spans.get_ref() {
            let keys = value.get_ref().as_table().into_iter().flatten();
            for (name, _) in keys {
                let full = format!("[{}] {}", section.get_ref(), name.get_ref());
                places.insert(full, place(name.span().start));
            }
            let whole = format!("[{}]", section.get_ref());
            places.insert(whole, place(section.span().start));
        }
        Ok(Layers { table, places })
    }

    /// `OFFHOOK_SIP__REALM=x` sets `[sip] realm`; a list is separated by commas.
    pub(crate) fn overlay(&mut self, environment: &BTreeMap<String, String>) {
        for (name, text) in environment {
            let Some((section, key)) = name
                .strip_prefix("OFFHOOK_")
                .and_then(|rest| rest.split_once("__"))
            else {
                continue;
            };
            let (section, key) = (section.to_lowercase(), key.to_lowercase());
            let kind = Kind::of(&section, &key);
            // As `${HOST:-}` leaves it: not set.
            if text.is_empty() && kind == Kind::Optional {
                continue;
            }
            let whole = format!("[{section}]");
            let entry = self.table.entry(&section).or_insert_with(|| {
                self.places.insert(whole, name.clone());
                Value::Table(Table::new())
            });
            // A value in a section's place is the file's fault, which is told.
            if let Some(entry) = entry.as_table_mut() {
                let full = format!("[{section}] {key}");
                entry.insert(key, kind.value(text));
                self.places.insert(full, name.clone());
            }
        }
    }

    /// Whether the key was written anywhere.
    pub(crate) fn has(&self, section: &str, key: &str) -> bool {
        self.table.get(section).and_then(|s| s.get(key)).is_some()
    }

    /// Takes out what is no section or key, or of the wrong type; the rest is a [`Config`].
    pub(crate) fn take_misfits(&mut self) -> Vec<Error> {
        let mut misfits = Vec::new();
        self.table.retain(|section, value| {
            let empty = Value::Table(Table::new());
            let whole = if value.is_table() { &empty } else { &*value };
            if let Some(why) = misfit(only(section, whole.clone())) {
                let hint =
                    "a section is written [name], and its keys below it; see offhook.example.toml";
                misfits.push(fault(&format!("[{section}]"), why, hint));
                return false;
            }
            let Some(keys) = value.as_table_mut() else {
                return true;
            };
            keys.retain(|key, value| {
                let value = Value::Table(only(key, value.clone()));
                let Some(why) = misfit(only(section, value)) else {
                    return true;
                };
                let hint = match sample(section, key) {
                    Some(line) => format!("it is written like {line}"),
                    None => "every section with its keys is in offhook.example.toml".to_owned(),
                };
                misfits.push(fault(&format!("[{section}] {key}"), why, hint));
                false
            });
            true
        });
        misfits
    }

    /// What was written, as far as it fits.
    pub(crate) fn config(&self) -> Result<Config, Error> {
        let config = self.table.clone().try_into();
        config.map_err(|e: toml::de::Error| {
            let hint = "the keys and their types are in offhook.example.toml";
            fault("config", e.message().trim(), hint)
        })
    }

    /// The fault with where its keys were written.
    pub(crate) fn placed(&self, fault: Error) -> Error {
        let places: Vec<&str> = each_key(&fault.key)
            .filter_map(|key| self.places.get(&key).map(String::as_str))
            .collect();
        if places.is_empty() {
            return fault;
        }
        let key = format!("{} ({})", fault.key, places.join(", "));
        Error { key, ..fault }
    }
}

/// `[rtp] port_min, port_max` → `[rtp] port_min` and `[rtp] port_max`.
pub(crate) fn each_key(key: &str) -> impl Iterator<Item = String> {
    let (section, names) = key.split_once(' ').unwrap_or((key, ""));
    let full = move |name| format!("{section} {name}").trim_end().to_owned();
    names.split(", ").map(full)
}

fn only(name: &str, value: Value) -> Table {
    Table::from_iter([(name.to_owned(), value)])
}

/// Why a table with one section, of one key or none, is no configuration.
fn misfit(alone: Table) -> Option<String> {
    let error = alone.try_into::<Config>().err()?;
    Some(error.message().trim().to_owned())
}

/// The line of the example that shows `key`.
fn sample(section: &str, key: &str) -> Option<&'static str> {
    EXAMPLE
        .lines()
        .skip_while(|line| line.strip_prefix('[') != Some(&format!("{section}]")))
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .map(|line| line.trim_start_matches(['#', ' ']))
        .find(|line| line.split_once(" = ").is_some_and(|(name, _)| name == key))
}

/// How a variable's text is read; an unknown key is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    List,
    Number,
    Flag,
    /// Text, and none is no fault.
    Optional,
    Text,
}

impl Kind {
    fn of(section: &str, key: &str) -> Kind {
        match (section, key) {
            ("sip", "listen" | "local_networks" | "websocket_origins")
            | ("phones", "service_route")
            | ("http", "trusted_proxies")
            | ("tls", "folders")
            | ("defence", "scanners" | "allow")
            | ("dns", "servers")
            | ("emergency", "numbers") => Kind::List,
            ("defence", _)
            | ("trace", "retention_days" | "max_mb")
            | (
                "sip",
                "max_calls"
                | "connections_per_source"
                | "nat_keepalive_s"
                | "session_expires_s"
                | "min_se_s",
            )
            | ("phones", "ping_s" | "nat_expires_s")
            | ("calls", "transfer_return_s")
            | ("push", "wait_s" | "expires_s")
            | ("rtp", "port_min" | "port_max" | "timeout_s" | "hold_timeout_s") => Kind::Number,
            ("calls", "refer_outside") => Kind::Flag,
            ("sip", "external_host")
            | ("rtp", "external_address")
            | ("tls", "certificate" | "private_key")
            | ("push", "webhook" | "secret")
            | ("log", "journal") => Kind::Optional,
            ("trace", "enabled") => Kind::Flag,
            _ => Kind::Text,
        }
    }

    fn value(self, text: &str) -> Value {
        let plain = Value::String(text.to_owned());
        match self {
            Kind::List => {
                let items = text.split(',').map(str::trim);
                let items = items.filter(|item| !item.is_empty());
                Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
            }
            Kind::Number => text.parse().map_or(plain, Value::Integer),
            Kind::Flag => text.parse().map_or(plain, Value::Boolean),
            Kind::Optional | Kind::Text => plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(file: &str, environment: &[(&str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("o.toml");
        std::fs::write(&path, file).expect("written");
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        let environment = environment.iter().map(own).collect();
        let Err(faults) = Config::load(Some(&path), &environment) else {
            return Vec::new();
        };
        let short = |f: &Error| {
            f.to_string()
                .replace(&format!("{}/", dir.path().display()), "")
        };
        faults.iter().map(short).collect()
    }

    #[test]
    fn every_fault_of_a_file_is_told_with_key_and_line() {
        let file = "[sip]\nrealm = 5\nmax_calls = 0\n\n[rtp]\nport_min = \"abc\"\ntimeout_s = 1\n\n[spi]\n[http]\nlisten = [\"x\"]\n";
        let told = faults(file, &[]);
        let keys: Vec<&str> = told.iter().filter_map(|f| f.split(": ").next()).collect();
        let expected = [
            "[http] listen (o.toml:11)",
            "[rtp] port_min (o.toml:6)",
            "[sip] realm (o.toml:2)",
            "[spi] (o.toml:9)",
            "[sip] max_calls (o.toml:3)",
            "[rtp] timeout_s (o.toml:7)",
        ];
        assert_eq!(keys, expected, "{told:#?}");
        assert!(
            told[1].ends_with("it is written like port_min = 10000"),
            "{}",
            told[1]
        );
    }

    #[test]
    fn a_value_in_a_sections_place_is_told() {
        let told = faults("realm = \"x\"\nsip = 5\n", &[("OFFHOOK_SIP__REALM", "y")]);
        assert_eq!(told.len(), 2, "{told:#?}");
        assert!(
            told[0].starts_with("[realm] (o.toml:1): unknown field `realm`"),
            "{}",
            told[0]
        );
        assert!(
            told[1].starts_with("[sip] (o.toml:2): invalid type"),
            "{}",
            told[1]
        );
    }

    #[test]
    fn a_variable_is_read_by_its_key_and_named_in_its_fault() {
        for (name, text, key) in [
            ("OFFHOOK_RTP__PORT_MIN", "abc", "[rtp] port_min"),
            ("OFFHOOK_SIP__LISTEN", "127.0.0.1:5060", "[sip] listen"),
            ("OFFHOOK_HTTP__LISTEN", "localhost:8080", "[http] listen"),
            ("OFFHOOK_HTTP__NUMBERS", "1", "[http] numbers"),
            ("OFFHOOK_SPI__REALM", "x", "[spi]"),
        ] {
            let told = faults("", &[(name, text)]);
            assert_eq!(told.len(), 1, "{told:#?}");
            assert!(
                told[0].starts_with(&format!("{key} ({name}): ")),
                "{}",
                told[0]
            );
        }
        // The variable takes the place of the file's value, faulty or not.
        assert_eq!(
            faults("[sip]\nrealm = 5\n", &[("OFFHOOK_SIP__REALM", "x")]),
            [""; 0]
        );
    }

    #[test]
    fn every_key_of_the_example_can_be_a_variable() {
        let mut section = "";
        for line in EXAMPLE.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']');
            }
            let Some((key, value)) = line.trim_start_matches(['#', ' ']).split_once(" = ") else {
                continue;
            };
            let name = format!("OFFHOOK_{section}__{key}").to_uppercase();
            let text = value.trim_matches(['[', ']']).replace('"', "");
            let told = faults("", &[(&name, &text)]);
            // One file of the pair is a fault of the pair.
            assert!(
                told.is_empty() || section == "tls",
                "{name}={text}: {told:#?}"
            );
            if Kind::of(section, key) == Kind::Optional {
                assert_eq!(faults("", &[(&name, "")]), [""; 0], "{name}");
            }
        }
    }
}
