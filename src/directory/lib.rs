//! The office as it is configured: extensions, trunks and call records as plain data with their checks.
//!
//! It is not the office as it lives (who is registered, who is talking): that is `switch`. It reads no
//! database (`store` does) and knows nothing of SIP or sound. Next: [`Extension`], [`Trunk`], [`Directory`].

pub mod ban;
pub mod call_record;
pub mod codec;
pub mod dtmf;
pub mod extension;
pub mod message;
pub mod number;
pub mod push_token;
pub mod registration;
pub mod srtp;
pub mod subscription;
pub mod trace;
pub mod trunk;
pub mod trunk_tls;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use ban::Ban;
pub use call_record::{CallRecord, Direction, Ending, How, LegRecord, Segment};
pub use codec::Codec;
pub use dtmf::{DtmfMode, is_key};
pub use extension::{Extension, Ha1, Redirects};
pub use message::StoredMessage;
pub use registration::Registration;
use serde::{Deserialize, Serialize, Serializer};
pub use srtp::Srtp;
pub use subscription::{MessageSummary, Subscription};
pub use trace::Traced;
pub use trunk::{Reliability, Trunk, TrunkAuth, TrunkTransport};
pub use trunk_tls::{TlsKey, TlsVerify, TrunkTls};

/// One thing wrong with one field. A check returns all of them at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Invalid {
    /// The field's name as the API spells it, for example `password` or `numbers.+4930`.
    pub field: String,
    /// What is wrong and what would be right, one sentence.
    pub why: String,
}

impl Invalid {
    /// An [`Invalid`] from its two parts.
    pub fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            why: why.into(),
        }
    }
}

/// A whole snapshot of the configured office: immutable, swapped when an administrator saves.
///
/// `BTreeMap`, so that iteration is deterministic and a journal replays to the same result.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Directory {
    /// By number.
    pub extensions: BTreeMap<String, Arc<Extension>>,
    /// By name.
    pub trunks: BTreeMap<String, Arc<Trunk>>,
    /// Number called from outside → (trunk name, extension number).
    pub inbound: BTreeMap<String, Vec<(String, String)>>,
    /// Trunk names in order of creation.
    pub trunk_order: Vec<String>,
    /// The registration passwords of trunks in the clear, by trunk name: only in memory. What is written down (to a
    /// journal) has [`WITHHELD`] in their places, so that who reads it knows which trunks have one.
    #[serde(default, serialize_with = "withheld")]
    pub trunk_passwords: BTreeMap<String, String>,
}

/// Stands for a password that is not written down.
pub const WITHHELD: &str = "withheld";

fn withheld<S: Serializer>(
    passwords: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(passwords.keys().map(|name| (name, WITHHELD)))
}

impl Directory {
    /// Builds the snapshot; `trunks` in order of creation, with their passwords in the clear.
    pub fn new(extensions: Vec<Extension>, trunks: Vec<(Trunk, Option<String>)>) -> Self {
        let mut directory = Self::default();
        for extension in extensions {
            directory
                .extensions
                .insert(extension.number.clone(), Arc::new(extension));
        }
        for (trunk, password) in trunks {
            for (number, extension) in &trunk.numbers {
                let owners = directory.inbound.entry(number.clone()).or_default();
                owners.push((trunk.name.clone(), extension.clone()));
            }
            if let Some(password) = password {
                directory
                    .trunk_passwords
                    .insert(trunk.name.clone(), password);
            }
            directory.trunk_order.push(trunk.name.clone());
            directory.trunks.insert(trunk.name.clone(), Arc::new(trunk));
        }
        directory
    }

    /// The trunks that can be called, in order of creation; the first is "the first trunk" of the default dialplan.
    pub fn ways_out(&self) -> impl Iterator<Item = &String> {
        let callable = |name: &&String| self.trunks.get(*name).is_some_and(|t| !t.is_network());
        self.trunk_order.iter().filter(callable)
    }

    /// The extension that `number` reaches when it is dialled over `trunk`, if the trunk owns that number.
    pub fn inbound_extension(&self, trunk: &str, number: &str) -> Option<&str> {
        let owners = self.inbound.get(number)?;
        owners
            .iter()
            .find(|(name, _)| name == trunk)
            .map(|(_, extension)| extension.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_written_down() {
        let directory = Directory {
            trunk_passwords: BTreeMap::from([("itsp".into(), "the real one".into())]),
            ..Directory::default()
        };
        let text = serde_json::to_string(&directory).expect("it can be written");
        assert!(!text.contains("the real one"), "{text}");
        let read: Directory = serde_json::from_str(&text).expect("it can be read");
        assert_eq!(read.trunk_passwords["itsp"], WITHHELD);
    }
}
