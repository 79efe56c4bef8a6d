//! `[phones]` and `[push]` of `offhook.toml`: how registered phones are looked after and woken.

use crate::config::{Error, fault};
use serde::Deserialize;
use std::time::Duration;

/// `[phones]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Phones {
    pub ping_s: u64,
    pub nat_expires_s: u64,
    pub service_route: Vec<String>,
}

impl Default for Phones {
    fn default() -> Self {
        Self {
            ping_s: 120,
            nat_expires_s: 120,
            service_route: Vec::new(),
        }
    }
}

impl Phones {
    /// As the Switch wants it.
    pub(crate) fn settings(&self) -> switch::Phones {
        switch::Phones {
            ping: Duration::from_secs(self.ping_s),
            nat_expires: Duration::from_secs(self.nat_expires_s),
            service_route: self.service_route.clone(),
            push: None,
        }
    }

    pub(crate) fn faults(&self) -> Vec<Error> {
        let mut faults = Vec::new();
        if !matches!(self.ping_s, 0 | 30..=3_600) {
            faults.push(fault(
                "[phones] ping_s",
                "is neither 0 nor 30 to 3600 seconds",
                "120 suits most offices, 0 turns it off",
            ));
        }
        if !matches!(self.nat_expires_s, 0 | 60..=3_600) {
            faults.push(fault(
                "[phones] nat_expires_s",
                "is neither 0 nor 60 to 3600 seconds",
                "120 suits most routers, 0 grants these phones what the others get",
            ));
        }
        let wrong = |route: &&String| {
            let loose =
                |r: &sip::NameAddr| r.uri.scheme.starts_with("sip") && r.uri.params.has("lr");
            !sip::NameAddr::parse(route).is_ok_and(|r| loose(&r))
        };
        if let Some(route) = self.service_route.iter().find(wrong) {
            faults.push(fault(
                "[phones] service_route",
                format!("{route:?} is no route"),
                "write it like <sip:pbx.example.net;lr>, or leave the key away",
            ));
        }
        faults
    }
}
