//! A trunk: a line to a provider or to another switch.

use crate::extension::check_codecs;
use crate::{Codec, DtmfMode, Invalid, Srtp, TrunkTls, number};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a trunk proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrunkAuth {
    /// We register at the provider with a username and password.
    Registration,
    /// Calls are accepted from the trunk's host or network.
    Address,
}

/// The transport to reach a trunk's host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrunkTransport {
    Udp,
    Tcp,
    Tls,
    /// What the host's DNS records say (RFC 3263 §4.1).
    Auto,
}

/// Whether what we call over a trunk may or must tell its ringing reliably (RFC 3262).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reliability {
    Off,
    /// We say that we can; the provider chooses.
    #[default]
    Supported,
    /// A provider that cannot refuses the call.
    Required,
}

/// A trunk as configured. Its password lives beside it, encrypted, and is not part of this value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trunk {
    /// 1 to 32 of `a-z 0-9 _ -`; what `trunk(name, number)` names.
    pub name: String,
    /// A DNS name, an address, or for an address trunk also a network such as `192.0.2.0/24`.
    pub host: String,
    /// `None`: by DNS, else 5060 (5061 for TLS). With a port, [`TrunkTransport::Auto`] means UDP.
    pub port: Option<u16>,
    pub transport: TrunkTransport,
    pub auth: TrunkAuth,
    /// The account at the provider; required when `auth` is `registration`.
    pub username: Option<String>,
    /// In order of preference; never empty.
    pub codecs: Vec<Codec>,
    /// Number called from outside → extension number.
    pub numbers: BTreeMap<String, String>,
    /// For an address trunk over UDP: also the source port must be `port`.
    pub match_port: bool,
    #[serde(default)]
    pub tls: TrunkTls,
    /// Whether the trunk is believed who it says is calling, or who forwarded (RFC 3325 §3's trust domain), and is told
    /// the same of ours, also of callers who asked for privacy.
    #[serde(default)]
    pub trust_identity: bool,
    #[serde(default)]
    pub reliable_provisionals: Reliability,
    #[serde(default)]
    pub srtp: Srtp,
    /// How keys are told over it.
    #[serde(default)]
    pub dtmf: DtmfMode,
}

impl Trunk {
    /// Everything wrong with the fields; empty when all is well.
    pub fn check(&self) -> Vec<Invalid> {
        let mut wrong = Vec::new();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if self.name.is_empty() || self.name.len() > 32 || !self.name.bytes().all(plain) {
            wrong.push(Invalid::new("name", "must be 1 to 32 of a-z, 0-9, _ and -"));
        }
        wrong.extend(self.check_host());
        if self.port == Some(0) {
            wrong.push(Invalid::new("port", "must be 1 to 65535"));
        }
        let user = self.username.as_deref().unwrap_or_default();
        if self.auth == TrunkAuth::Registration && user.is_empty() {
            wrong.push(Invalid::new(
                "username",
                "is required when auth is \"registration\"",
            ));
        }
        if user.len() > 128 || user.chars().any(char::is_control) {
            wrong.push(Invalid::new(
                "username",
                "must be at most 128 bytes without control characters",
            ));
        }
        wrong.extend(check_codecs(&self.codecs));
        wrong.extend(self.tls.check());
        for (called, extension) in &self.numbers {
            if !number::is_dialable(called) {
                let field = format!("numbers.{called}");
                wrong.push(Invalid::new(
                    field,
                    "must be digits, * and #, with an optional leading +",
                ));
            }
            if extension.is_empty() || !extension.bytes().all(|b| b.is_ascii_digit()) {
                let field = format!("numbers.{called}");
                wrong.push(Invalid::new(field, "must lead to an extension's number"));
            }
        }
        wrong
    }

    /// Whether the host is a whole network: calls come from it, but there is nobody in particular to call.
    pub fn is_network(&self) -> bool {
        self.auth == TrunkAuth::Address
            && self.host.contains('/')
            && number::Network::parse(&self.host).is_some()
    }

    fn check_host(&self) -> Option<Invalid> {
        if self.auth == TrunkAuth::Address && number::Network::parse(&self.host).is_some() {
            return None;
        }
        if self.host.parse::<std::net::IpAddr>().is_ok() {
            return None;
        }
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && l.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let name = self.host.trim_end_matches('.');
        if name.is_empty() || name.len() > 253 || !name.split('.').all(label) {
            return Some(Invalid::new(
                "host",
                "must be a DNS name or an IP address (or a network for an address trunk)",
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trunk() -> Trunk {
        Trunk {
            name: "itsp".into(),
            host: "sip.example.net".into(),
            port: None,
            transport: TrunkTransport::Udp,
            auth: TrunkAuth::Registration,
            username: Some("490001".into()),
            codecs: vec![Codec::Pcma],
            numbers: BTreeMap::from([("+493012345600".into(), "101".into())]),
            match_port: false,
            tls: TrunkTls::default(),
            trust_identity: false,
            reliable_provisionals: Reliability::Supported,
            srtp: Srtp::Off,
            dtmf: DtmfMode::Auto,
        }
    }

    #[test]
    fn a_plain_trunk_is_right() {
        assert_eq!(trunk().check(), []);
        let network = Trunk {
            host: "192.0.2.0/24".into(),
            auth: TrunkAuth::Address,
            ..trunk()
        };
        assert_eq!(network.check(), []);
    }

    #[test]
    fn wrong_fields_are_named() {
        let wrong = Trunk {
            name: "A b".into(),
            host: "192.0.2.0/24".into(),
            username: None,
            numbers: BTreeMap::from([("x".into(), "101".into())]),
            ..trunk()
        };
        let fields: Vec<_> = wrong.check().into_iter().map(|i| i.field).collect();
        assert_eq!(fields, ["name", "host", "username", "numbers.x"]);
    }
}
