//! `[defence]` and `[trace]`: their keys, defaults and faults.

use crate::config::{Error, fault};
use directory::number::Network;
use serde::Deserialize;
use std::time::Duration;
use switch::DefenceConfig;

/// `[defence]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Defence {
    pub strangers_per_s: u32,
    pub known_per_s: u32,
    pub wrong_tries: u32,
    pub ban_s: u64,
    pub longest_ban_s: u64,
    pub scanners: Vec<String>,
    pub allow: Vec<String>,
}

impl Default for Defence {
    fn default() -> Self {
        let DefenceConfig {
            strangers_per_s,
            known_per_s,
            wrong_tries,
            ban_s,
            longest_ban_s,
            scanners,
            allow,
        } = DefenceConfig::default();
        Self {
            strangers_per_s,
            known_per_s,
            wrong_tries,
            ban_s,
            longest_ban_s,
            scanners,
            allow,
        }
    }
}

impl Defence {
    pub(crate) fn settings(&self) -> DefenceConfig {
        let own = self.clone();
        DefenceConfig {
            strangers_per_s: own.strangers_per_s,
            known_per_s: own.known_per_s,
            wrong_tries: own.wrong_tries,
            ban_s: own.ban_s,
            longest_ban_s: own.longest_ban_s,
            scanners: own.scanners,
            allow: own.allow,
        }
    }

    pub(crate) fn faults(&self) -> Vec<Error> {
        let mut faults = Vec::new();
        if self.strangers_per_s == 0 || self.known_per_s < self.strangers_per_s {
            faults.push(fault(
                "[defence] strangers_per_s, known_per_s",
                "leave nobody a message, or strangers more than the office's own phones",
                "strangers_per_s at least 1 and known_per_s at least that; 20 and 2000 suit most offices",
            ));
        }
        if self.wrong_tries < 3 {
            faults.push(fault(
                "[defence] wrong_tries",
                "is under 3: who mistypes a password is banned",
                "10 suits most offices",
            ));
        }
        if self.longest_ban_s < self.ban_s || self.longest_ban_s > 31_536_000 {
            faults.push(fault(
                "[defence] ban_s, longest_ban_s",
                "the longest ban is shorter than the first, or longer than a year",
                "600 and 604800 suit most offices; ban_s = 0 bans nobody",
            ));
        }
        if self.scanners.iter().any(|name| name.trim().len() < 3) {
            faults.push(fault(
                "[defence] scanners",
                "holds a name of less than three characters, which many phones' names hold too",
                "a part of the User-Agent of programs to be ignored, for example sipvicious",
            ));
        }
        if let Some(wrong) = self.allow.iter().find(|n| Network::parse(n).is_none()) {
            faults.push(fault(
                "[defence] allow",
                format!("{wrong:?} is no address and no network"),
                "for example 192.0.2.0/24 or 2001:db8::1",
            ));
        }
        faults
    }
}

/// `[http] trusted_proxies`.
pub(crate) fn proxy_faults(proxies: &[String]) -> impl Iterator<Item = Error> {
    let wrong = proxies.iter().filter(|text| Network::parse(text).is_none());
    wrong.map(|text| {
        let why = format!("{text:?} is no address and no network");
        let mend = "for example [\"127.0.0.1\", \"10.0.0.0/8\"]";
        fault("[http] trusted_proxies", why, mend)
    })
}

/// `[trace]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trace {
    pub enabled: bool,
    pub retention_days: u64,
    pub max_mb: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            enabled: true,
            retention_days: 7,
            max_mb: 500,
        }
    }
}

impl Trace {
    pub(crate) fn limits(&self) -> store::TraceLimits {
        store::TraceLimits {
            retention: Duration::from_secs(self.retention_days * 24 * 3_600),
            bytes: self.max_mb << 20,
        }
    }

    pub(crate) fn faults(&self) -> Vec<Error> {
        let mut faults = Vec::new();
        if !(1..=3_650).contains(&self.retention_days) {
            faults.push(fault(
                "[trace] retention_days",
                "is not 1 to 3650",
                "7 suits most offices; enabled = false keeps nothing",
            ));
        }
        if !(1..=1_000_000).contains(&self.max_mb) {
            faults.push(fault(
                "[trace] max_mb",
                "is not 1 to 1000000",
                "500 holds about 30000 calls",
            ));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_without_fault_and_each_fault_is_told() {
        assert!(Defence::default().faults().is_empty());
        let wrong = Defence {
            strangers_per_s: 0,
            wrong_tries: 1,
            ban_s: 9,
            longest_ban_s: 8,
            scanners: vec!["x".into()],
            allow: vec!["example.net".into()],
            ..Defence::default()
        };
        let faults = wrong.faults();
        let keys: Vec<&str> = faults.iter().map(|f| f.key.as_str()).collect();
        let expected = [
            "[defence] strangers_per_s, known_per_s",
            "[defence] wrong_tries",
            "[defence] ban_s, longest_ban_s",
            "[defence] scanners",
            "[defence] allow",
        ];
        assert_eq!(keys, expected);
        assert!(Trace::default().faults().is_empty());
        let wrong = Trace {
            retention_days: 0,
            max_mb: 0,
            ..Trace::default()
        };
        assert_eq!(wrong.faults().len(), 2);
    }
}
