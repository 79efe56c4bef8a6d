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
    pub(crate) fn settings(&self, push: &Push) -> switch::Phones {
        switch::Phones {
            ping: Duration::from_secs(self.ping_s),
            nat_expires: Duration::from_secs(self.nat_expires_s),
            service_route: self.service_route.clone(),
            push: push.settings(),
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

/// `[push]`.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Push {
    pub webhook: Option<String>,
    pub secret: Option<String>,
    pub wait_s: u64,
    pub expires_s: u64,
}

/// Without the secret.
impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push")
            .field("webhook", &self.webhook)
            .finish_non_exhaustive()
    }
}

impl Default for Push {
    fn default() -> Self {
        Self {
            webhook: None,
            secret: None,
            wait_s: 15,
            expires_s: 604_800,
        }
    }
}

impl Push {
    fn settings(&self) -> Option<switch::Push> {
        self.webhook.as_ref().map(|_| switch::Push {
            wait: Duration::from_secs(self.wait_s),
            expires: Duration::from_secs(self.expires_s),
        })
    }

    pub(crate) fn faults(&self) -> Vec<Error> {
        let mut faults = Vec::new();
        let web = |url: &&String| url.starts_with("https://") || url.starts_with("http://");
        if let Some(url) = self.webhook.as_ref().filter(|url| !web(url)) {
            faults.push(fault(
                "[push] webhook",
                format!("{url:?} is no URL"),
                "write it like https://push.example.net/offhook, or leave the key away",
            ));
        }
        if !(1..=60).contains(&self.wait_s) {
            faults.push(fault(
                "[push] wait_s",
                "is not 1 to 60 seconds",
                "15 suits most phones",
            ));
        }
        if !(3_600..=2_592_000).contains(&self.expires_s) {
            faults.push(fault(
                "[push] expires_s",
                "is not 3600 to 2592000 seconds",
                "604800, a week, suits most phones",
            ));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(faults: Vec<Error>) -> Vec<String> {
        faults.into_iter().map(|f| f.key).collect()
    }

    #[test]
    fn the_defaults_are_right_and_every_fault_is_told() {
        assert_eq!(keys(Phones::default().faults()), [""; 0]);
        assert_eq!(keys(Push::default().faults()), [""; 0]);
        let phones = Phones {
            ping_s: 10,
            nat_expires_s: 10,
            service_route: vec!["<sip:pbx.example.net;lr>".into(), "sip:pbx".into()],
        };
        let wrong = [
            "[phones] ping_s",
            "[phones] nat_expires_s",
            "[phones] service_route",
        ];
        assert_eq!(keys(phones.faults()), wrong);
        let push = Push {
            webhook: Some("push.example.net".into()),
            secret: None,
            wait_s: 0,
            expires_s: 60,
        };
        let wrong = ["[push] webhook", "[push] wait_s", "[push] expires_s"];
        assert_eq!(keys(push.faults()), wrong);
    }

    #[test]
    fn the_secret_is_not_shown() {
        let push = Push {
            secret: Some("hidden".into()),
            ..Push::default()
        };
        assert!(!format!("{push:?}").contains("hidden"));
    }
}
