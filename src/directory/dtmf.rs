//! How the keys of a phone are told, as configured; and which keys there are.

use serde::{Deserialize, Serialize};

/// How an extension's phones or a trunk tell keys and are told them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtmfMode {
    /// Telephone events where the other side negotiates them, else tones in the voice; SIP INFO is understood, too.
    #[default]
    Auto,
    /// Telephone events (RFC 4733) only.
    Rfc4733,
    /// SIP INFO only.
    Info,
    /// Tones in the voice only.
    Inband,
}

/// Whether there is such a key on a phone: `0`-`9`, `*`, `#` and `A`-`D` in either case.
pub fn is_key(key: char) -> bool {
    key.is_ascii_digit() || matches!(key, '*' | '#' | 'A'..='D' | 'a'..='d')
}
