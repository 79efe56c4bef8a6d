//! Names nobody can guess (tags, branches, Call-IDs) and table keys nobody can make collide, from one seed.
//! No source of randomness of its own: the same seed gives the same names, which the tests rely on.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What tables are keyed by: 128 bits of a keyed hash over length-prefixed parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(u128);

pub(crate) struct Secret {
    mac: Hmac<Sha256>,
    hashers: [DefaultHasher; 2],
    count: u64,
}

impl Secret {
    pub(crate) fn new(seed: &[u8; 32]) -> Secret {
        let mac = Hmac::<Sha256>::new_from_slice(seed).expect("HMAC takes keys of any length");
        let hasher = |which: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write(seed);
            hasher.write_u8(which);
            hasher
        };
        Secret {
            hashers: [hasher(1), hasher(2)],
            mac,
            count: 0,
        }
    }

    /// 64 fresh bits.
    pub(crate) fn number(&mut self) -> u64 {
        self.count += 1;
        self.digest(b"n", &self.count.to_be_bytes())
    }

    /// A fresh token of 16 hex digits: RFC 3261 §19.3 asks for 32 bits of randomness at least.
    pub(crate) fn token(&mut self) -> String {
        format!("{:016x}", self.number())
    }

    /// The token that always belongs to `what`: for answers made without keeping state (RFC 3261 §8.2.7).
    pub(crate) fn token_of(&self, what: &[u8]) -> String {
        format!("{:016x}", self.digest(b"t", what))
    }

    pub(crate) fn key(&self, parts: &[&[u8]]) -> Key {
        let [high, low] = self.hashers.clone().map(|mut hasher| {
            for part in parts {
                hasher.write_usize(part.len());
                hasher.write(part);
            }
            hasher.finish()
        });
        Key(u128::from(high) << 64 | u128::from(low))
    }

    fn digest(&self, kind: &[u8], what: &[u8]) -> u64 {
        let mut mac = self.mac.clone();
        mac.update(kind);
        mac.update(what);
        let bytes = mac.finalize().into_bytes();
        bytes
            .iter()
            .take(8)
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}
