//! An extension: a number in the office that phones register for.

use crate::number::Network;
use crate::{Codec, DtmfMode, Invalid, Srtp};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The two digests of `user:realm:password` that a phone's answer is checked against (RFC 3261 §22.4,
/// RFC 7616 §3.4.2), in lower-case hex. The password itself is not kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ha1 {
    pub md5: String,
    pub sha256: String,
}

impl std::fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ha1(…)")
    }
}

/// What becomes of a call that a phone answers with another address (3xx).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Redirects {
    /// It goes there, with the rights of the phone's extension and no others.
    #[default]
    Follow,
    /// It counts as refused.
    Refuse,
}

/// An extension as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// 1 to 15 digits; also the SIP user name.
    pub number: String,
    /// Shown to the called party; may be empty.
    pub name: String,
    pub ha1: Ha1,
    /// In order of preference; never empty.
    pub codecs: Vec<Codec>,
    /// How many phones may be registered at once, 1 to 50.
    pub max_contacts: u16,
    /// Whether the administrator insisted on a weak password.
    pub allow_weak_password: bool,
    #[serde(default)]
    pub redirects: Redirects,
    /// The networks it may register and call from, such as `192.0.2.0/24`, at most 50; empty: anywhere.
    #[serde(default)]
    pub allowed_networks: Vec<String>,
    /// Its phones are told of waiting messages also when they did not subscribe.
    #[serde(default)]
    pub push_message_summary: bool,
    /// The extensions that its phones watch with one subscription, in the order of their lamps.
    #[serde(default)]
    pub watch_list: Vec<String>,
    #[serde(default)]
    pub srtp: Srtp,
    /// How its phones tell keys.
    #[serde(default)]
    pub dtmf: DtmfMode,
}

impl Extension {
    /// Everything wrong with the fields; empty when all is well.
    pub fn check(&self) -> Vec<Invalid> {
        let mut wrong = Vec::new();
        let digits = self.number.bytes().all(|b| b.is_ascii_digit());
        if self.number.is_empty() || self.number.len() > 15 || !digits {
            wrong.push(Invalid::new("number", "must be 1 to 15 digits"));
        }
        if self.name.chars().count() > 100 || self.name.chars().any(char::is_control) {
            wrong.push(Invalid::new(
                "name",
                "must be at most 100 characters, none of them control characters",
            ));
        }
        wrong.extend(check_codecs(&self.codecs));
        if !(1..=50).contains(&self.max_contacts) {
            wrong.push(Invalid::new("max_contacts", "must be 1 to 50"));
        }
        wrong.extend(self.check_networks());
        wrong.extend(check_watch_list(&self.watch_list));
        wrong
    }

    /// Whether a phone of it may be at `address`.
    pub fn allows(&self, address: IpAddr) -> bool {
        let holds = |text: &String| Network::parse(text).is_some_and(|n| n.contains(address));
        self.allowed_networks.is_empty() || self.allowed_networks.iter().any(holds)
    }

    fn check_networks(&self) -> Option<Invalid> {
        let networks = &self.allowed_networks;
        let bad = networks.iter().find(|text| Network::parse(text).is_none());
        let why = match bad {
            Some(text) => format!("{text:?} is no network; write 192.0.2.0/24 or 2001:db8::/32"),
            None if networks.len() > 50 => "must be at most 50 networks".to_owned(),
            None => return None,
        };
        Some(Invalid::new("allowed_networks", why))
    }
}

/// What is wrong with a new password of extension `number`, if anything.
pub fn check_password(number: &str, password: &str, allow_weak: bool) -> Option<Invalid> {
    let why = if password.is_empty() {
        "must not be empty"
    } else if password.len() > 128 || password.chars().any(char::is_control) {
        "must be at most 128 bytes without control characters"
    } else if allow_weak {
        return None;
    } else if password == number {
        "must not be the extension's own number; set allow_weak_password to insist"
    } else if password.chars().count() < 12 {
        "must have at least 12 characters; set allow_weak_password to insist"
    } else {
        return None;
    };
    Some(Invalid::new("password", why))
}

/// The most numbers on a watch list: all of them have to fit into one message.
pub const MAX_WATCH_LIST: usize = 60;

fn check_watch_list(list: &[String]) -> Option<Invalid> {
    let is_number =
        |n: &String| (1..=15).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit());
    let twice = (list.iter().enumerate()).any(|(i, n)| list.iter().skip(i + 1).any(|m| m == n));
    let why = if list.len() > MAX_WATCH_LIST {
        "must name at most 60 extensions"
    } else if !list.iter().all(is_number) {
        "must be a list of extension numbers"
    } else if twice {
        "names an extension twice"
    } else {
        return None;
    };
    Some(Invalid::new("watch_list", why))
}

pub(crate) fn check_codecs(codecs: &[Codec]) -> Option<Invalid> {
    if codecs.is_empty() {
        return Some(Invalid::new(
            "codecs",
            "must name at least one of PCMU, PCMA, G722, opus",
        ));
    }
    let twice = codecs
        .iter()
        .enumerate()
        .any(|(i, codec)| codecs.iter().skip(i + 1).any(|c| c == codec));
    twice.then(|| Invalid::new("codecs", "names a codec twice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let extension = Extension {
            number: "1o1".into(),
            name: "a\nb".into(),
            ha1: Ha1 {
                md5: String::new(),
                sha256: String::new(),
            },
            codecs: vec![Codec::Pcmu, Codec::Pcmu],
            max_contacts: 0,
            allow_weak_password: false,
            redirects: Redirects::Follow,
            allowed_networks: vec!["192.0.2.0/24".into(), "office".into()],
            push_message_summary: false,
            watch_list: vec!["102".into(), "102".into()],
            srtp: Srtp::Off,
            dtmf: DtmfMode::Auto,
        };
        let fields: Vec<_> = extension.check().into_iter().map(|i| i.field).collect();
        let all = [
            "number",
            "name",
            "codecs",
            "max_contacts",
            "allowed_networks",
            "watch_list",
        ];
        assert_eq!(fields, all);
    }

    #[test]
    fn weak_passwords_are_refused_unless_insisted_on() {
        assert!(check_password("123456789012", "123456789012", false).is_some());
        assert!(check_password("101", "short", false).is_some());
        assert!(check_password("101", "short", true).is_none());
        assert!(check_password("101", "", true).is_some());
        assert!(check_password("101", "long enough, I think", false).is_none());
    }
}
