//! Which cipher, and the master key and salt it begins with (RFC 3711 §4.3).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

use crate::StreamId;

/// Bytes of the longest master key with its salt: AES-256 in counter mode.
const MAX_MATERIAL: usize = 46;

/// How packets are encrypted and authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    AesCm128Sha1_80,
    AesCm128Sha1_32,
    AesCm256Sha1_80,
    AesCm256Sha1_32,
    AesGcm128,
    AesGcm256,
}

impl Profile {
    pub const ALL: [Profile; 6] = [
        Profile::AesGcm256,
        Profile::AesGcm128,
        Profile::AesCm256Sha1_80,
        Profile::AesCm256Sha1_32,
        Profile::AesCm128Sha1_80,
        Profile::AesCm128Sha1_32,
    ];

    /// The name in `a=crypto` (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14.2).
    pub fn name(self) -> &'static str {
        match self {
            Profile::AesCm128Sha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Profile::AesCm128Sha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Profile::AesCm256Sha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Profile::AesCm256Sha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Profile::AesGcm128 => "AEAD_AES_128_GCM",
            Profile::AesGcm256 => "AEAD_AES_256_GCM",
        }
    }

    /// The profile of that name, in whatever case.
    pub fn from_name(name: &str) -> Option<Profile> {
        let mut all = Profile::ALL.into_iter();
        all.find(|profile| profile.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of the master key.
    pub fn key_len(self) -> usize {
        match self {
            Profile::AesCm128Sha1_80 | Profile::AesCm128Sha1_32 | Profile::AesGcm128 => 16,
            Profile::AesCm256Sha1_80 | Profile::AesCm256Sha1_32 | Profile::AesGcm256 => 32,
        }
    }

    /// Bytes of the master salt.
    pub fn salt_len(self) -> usize {
        if self.is_gcm() { 12 } else { 14 }
    }

    pub(super) fn is_gcm(self) -> bool {
        matches!(self, Profile::AesGcm128 | Profile::AesGcm256)
    }

    /// Bytes of the tag of an RTP packet.
    pub(super) fn rtp_tag(self) -> usize {
        match self {
            Profile::AesCm128Sha1_80 | Profile::AesCm256Sha1_80 => 10,
            Profile::AesCm128Sha1_32 | Profile::AesCm256Sha1_32 => 4,
            Profile::AesGcm128 | Profile::AesGcm256 => 16,
        }
    }

    /// Bytes of the tag of an RTCP packet: RFC 4568 §6.2 shortens only that of RTP.
    pub(super) fn rtcp_tag(self) -> usize {
        if self.is_gcm() { 16 } else { 10 }
    }
}

/// A master key with its salt. They are shown nowhere and wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    profile: Profile,
    material: [u8; MAX_MATERIAL],
}

impl Keys {
    /// `material` is the key, then the salt; `None` when it has not the length of the profile.
    pub fn new(profile: Profile, material: &[u8]) -> Option<Keys> {
        let mut keys = Keys {
            profile,
            material: [0; MAX_MATERIAL],
        };
        if material.len() != profile.key_len() + profile.salt_len() {
            return None;
        }
        let room = keys.material.get_mut(..material.len())?;
        room.copy_from_slice(material);
        Some(keys)
    }

    /// Those of `seed` for `profile`: always the same, and of each profile others, so that a change of profile never
    /// encrypts two packets with one stream of key.
    pub fn of(seed: &KeySeed, profile: Profile) -> Keys {
        let mut material = [0; MAX_MATERIAL];
        for (part, room) in material.chunks_mut(32).enumerate() {
            let mut mac = seed.mac();
            mac.update(profile.name().as_bytes());
            mac.update(&[part as u8]);
            let mut bytes = mac.finalize().into_bytes();
            for (to, from) in room.iter_mut().zip(&bytes) {
                *to = *from;
            }
            bytes.zeroize();
        }
        let length = profile.key_len() + profile.salt_len();
        material.iter_mut().skip(length).for_each(|b| *b = 0);
        Keys { profile, material }
    }

    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The key, then the salt. What is made of it must not be logged.
    pub fn material(&self) -> &[u8] {
        let length = self.profile.key_len() + self.profile.salt_len();
        self.material.get(..length).unwrap_or_default()
    }

    pub(super) fn key(&self) -> &[u8] {
        self.material
            .get(..self.profile.key_len())
            .unwrap_or_default()
    }

    /// The salt as a number of 112 bits. RFC 7714 §11: one of 96 bits is filled up with zeros at its end.
    pub(super) fn salt(&self) -> u128 {
        let salt = self.material().iter().skip(self.profile.key_len());
        let salt = salt.chain(&[0; 14]).take(14);
        salt.fold(0, |sum, byte| sum << 8 | u128::from(*byte))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.profile.name())
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.material.zeroize();
    }
}

/// What the keys of one leg are made from. Shown nowhere and wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySeed([u8; 32]);

impl KeySeed {
    /// The seed of `stream` for its offer number `generation`; nobody without `secret` can tell it.
    pub fn of(secret: &[u8; 32], stream: StreamId, generation: u32) -> KeySeed {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        mac.update(b"srtp");
        mac.update(&stream.0.to_be_bytes());
        mac.update(&generation.to_be_bytes());
        KeySeed(mac.finalize().into_bytes().into())
    }

    fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0).expect("HMAC takes keys of any length")
    }
}

impl fmt::Debug for KeySeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySeed(…)")
    }
}

impl Drop for KeySeed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
