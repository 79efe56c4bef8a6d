//! A text message that waits for its extension to come back.

use serde::{Deserialize, Serialize};

/// A SIP MESSAGE (RFC 3428) as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMessage {
    /// Grows with time.
    pub id: i64,
    /// Whose phones are to get it.
    pub extension: String,
    /// The sender's extension and name.
    pub sender: String,
    pub sender_name: String,
    /// As the sender wrote it, with its parameters.
    pub content_type: String,
    /// In the character set of `content_type`.
    pub body: Vec<u8>,
    /// Unix milliseconds.
    pub sent_at_ms: i64,
    pub expires_at_ms: i64,
}
