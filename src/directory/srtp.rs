//! Whether audio is encrypted: the wish of an extension or of a trunk.

use serde::{Deserialize, Serialize};

/// Whether the audio between us and an extension's phones, or a trunk, is encrypted (SRTP, RFC 3711).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Srtp {
    /// Plain RTP.
    #[default]
    Off,
    /// As the other side can (RFC 8643).
    Optional,
    /// A call without it fails.
    Required,
}
