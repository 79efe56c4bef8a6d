//! A ban: whom the office does not listen to, why and how long. Kept over restarts.

use serde::{Deserialize, Serialize};

/// How long after its end a ban is remembered, milliseconds: who comes back until then is banned for longer.
pub const MEMORY_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// One ban. Addresses are text so that this crate knows nothing of sockets; `switch` parses them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// `ban_` and 16 hexadecimal digits, sortable by time.
    pub id: String,
    /// An address or a network, for example `192.0.2.7` or `2001:db8::/64`.
    pub network: String,
    /// Only what is said in this extension's name is not believed; `None`: nothing from there is heard.
    pub extension: Option<String>,
    /// In words.
    pub reason: String,
    /// An administrator's: it grows by nothing, and holds for known phones too.
    pub by_hand: bool,
    /// The how-manieth of this source, from 1; 0 for an administrator's.
    pub times: u32,
    /// Unix time, milliseconds.
    pub since_ms: i64,
    /// Unix time, milliseconds; `None`: until it is lifted.
    pub until_ms: Option<i64>,
}

impl Ban {
    /// An id from Unix milliseconds and 20 bits that tell apart what began in the same one.
    pub fn id_of(unix_ms: i64, low: u32) -> String {
        format!(
            "ban_{:016x}",
            (unix_ms.unsigned_abs() << 20) | u64::from(low & 0xf_ffff)
        )
    }

    /// Whether it holds at `now_ms`, Unix milliseconds.
    pub fn holds(&self, now_ms: i64) -> bool {
        self.until_ms.is_none_or(|until| now_ms < until)
    }

    /// Whether it is worth remembering at `now_ms`, Unix milliseconds.
    pub fn is_remembered(&self, now_ms: i64) -> bool {
        let memory = if self.by_hand || self.times == 0 {
            0
        } else {
            MEMORY_MS
        };
        self.until_ms
            .is_none_or(|until| now_ms < until.saturating_add(memory))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_is_remembered_longer_than_it_holds() {
        let ban = Ban {
            id: Ban::id_of(1, 2),
            network: "192.0.2.7".into(),
            extension: None,
            reason: String::new(),
            by_hand: false,
            times: 1,
            since_ms: 1,
            until_ms: Some(10),
        };
        assert_eq!(ban.id, "ban_0000000000100002");
        assert!(ban.holds(9) && !ban.holds(10));
        assert!(ban.is_remembered(10) && !ban.is_remembered(10 + MEMORY_MS));
        let by_hand = Ban {
            by_hand: true,
            ..ban
        };
        assert!(!by_hand.is_remembered(10));
        let endless = Ban {
            until_ms: None,
            ..by_hand
        };
        assert!(endless.holds(i64::MAX) && endless.is_remembered(i64::MAX));
    }
}
