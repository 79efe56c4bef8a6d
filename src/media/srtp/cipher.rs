//! One packet under the session keys of one direction of RTP or of RTCP (RFC 3711 §4, RFC 7714 §8 and §9).

use aes::cipher::{Array, BlockCipherEncrypt, KeyInit as _, consts::U16};
use aes::{Aes128Enc, Aes256Enc};
use hmac::{Hmac, Mac};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha1::Sha1;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::keys::{Keys, Profile};

/// Blocks of key stream made at once: the registers of a CPU with AES instructions hold as many.
const WIDE: usize = 8;

type Block = Array<u8, U16>;

/// What session keys are for. RFC 3711 §4.3.2: the labels of its encryption key; those of the authentication key and of
/// the salt follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Rtp = 0,
    Rtcp = 3,
}

/// The session keys.
pub(super) struct Cipher {
    kind: Kind,
    salt: u128,
    tag: usize,
}

enum Kind {
    Counter(Counter, Hmac<Sha1>),
    Gcm(LessSafeKey),
}

enum Counter {
    Aes128(Aes128Enc),
    Aes256(Aes256Enc),
}

/// Which packet it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) ssrc: u32,
    pub(super) index: u64,
}

impl Place {
    /// The two as RFC 3711 §4.1.1 and RFC 7714 §8.1 put them side by side.
    fn number(self) -> u128 {
        u128::from(self.ssrc) << 48 | u128::from(self.index)
    }
}

impl Cipher {
    pub(super) fn new(keys: &Keys, purpose: Purpose) -> Cipher {
        let profile = keys.profile();
        let master = Counter::new(keys.key());
        let label = purpose as u8;
        let mut key = Zeroizing::new([0; 32]);
        let key = key.get_mut(..profile.key_len()).unwrap_or_default();
        derive(&master, keys.salt(), label, key);
        let mut salt = Zeroizing::new([0; 14]);
        let salt = salt.get_mut(..profile.salt_len()).unwrap_or_default();
        derive(&master, keys.salt(), label + 2, salt);
        let kind = match profile {
            Profile::AesGcm128 | Profile::AesGcm256 => Kind::Gcm(gcm(key)),
            _counter => {
                let mut authentication = Zeroizing::new([0; 20]);
                derive(&master, keys.salt(), label + 1, authentication.as_mut());
                let mac = Hmac::new_from_slice(authentication.as_ref());
                Kind::Counter(
                    Counter::new(key),
                    mac.expect("HMAC takes keys of any length"),
                )
            }
        };
        Cipher {
            kind,
            salt: salt
                .iter()
                .fold(0, |sum, byte| sum << 8 | u128::from(*byte)),
            tag: match purpose {
                Purpose::Rtp => profile.rtp_tag(),
                Purpose::Rtcp => profile.rtcp_tag(),
            },
        }
    }

    #[cfg(test)]
    pub(super) fn of_session(kind: (&[u8], Option<&[u8]>), salt: &[u8], tag: usize) -> Cipher {
        let (key, authentication) = kind;
        Cipher {
            kind: match authentication {
                None => Kind::Gcm(gcm(key)),
                Some(secret) => {
                    let mac = Hmac::new_from_slice(secret).expect("a key");
                    Kind::Counter(Counter::new(key), mac)
                }
            },
            salt: salt
                .iter()
                .fold(0, |sum, byte| sum << 8 | u128::from(*byte)),
            tag,
        }
    }

    /// Bytes of a tag.
    pub(super) fn tag_len(&self) -> usize {
        self.tag
    }

    /// Whether the tag is the cipher's own: it comes right after the payload then, and covers `extra` beforehand.
    pub(super) fn is_gcm(&self) -> bool {
        matches!(self.kind, Kind::Gcm(_))
    }

    /// Encrypts `payload` and writes the tag over it, `head` and `extra` (the rollover counter, or the index of SRTCP).
    /// With a cipher in counter mode `extra` is only authenticated: where it goes is the caller's. `None`: no room.
    pub(super) fn seal(
        &self,
        place: Place,
        (head, payload): (&[u8], &mut [u8]),
        extra: &[u8],
        tag: &mut [u8],
    ) -> Option<()> {
        let room = tag.get_mut(..self.tag)?;
        match &self.kind {
            Kind::Counter(counter, mac) => {
                counter.apply(self.initial(place), payload);
                let whole = authenticated(mac, [head, payload, extra]);
                room.copy_from_slice(whole.get(..self.tag)?);
            }
            Kind::Gcm(key) => {
                let sealed = with_extra(head, extra, |aad| {
                    key.seal_in_place_separate_tag(self.nonce(place), aad, payload)
                })?;
                room.copy_from_slice(sealed.ok()?.as_ref().get(..self.tag)?);
            }
        }
        Some(())
    }

    /// Whether `tag` is right; then `payload` is decrypted. Where it is not, nothing in `payload` may be used.
    pub(super) fn open(
        &self,
        place: Place,
        (head, payload): (&[u8], &mut [u8]),
        extra: &[u8],
        tag: &[u8],
    ) -> bool {
        match &self.kind {
            Kind::Counter(counter, mac) => {
                let whole = authenticated(mac, [head, payload, extra]);
                let right = whole.get(..self.tag).unwrap_or_default();
                if tag.is_empty() || !bool::from(right.ct_eq(tag)) {
                    return false;
                }
                counter.apply(self.initial(place), payload);
                true
            }
            Kind::Gcm(key) => {
                let Ok(tag) = ring::aead::Tag::try_from(tag) else {
                    return false;
                };
                let opened = with_extra(head, extra, |aad| {
                    let opened =
                        key.open_in_place_separate_tag(self.nonce(place), aad, tag, payload, 0..);
                    opened.is_ok()
                });
                opened == Some(true)
            }
        }
    }

    /// RFC 3711 §4.1.1: the salt, the SSRC and the index above 16 bits that count the blocks.
    fn initial(&self, place: Place) -> u128 {
        (self.salt ^ place.number()) << 16
    }

    /// RFC 7714 §8.1, §9.1.
    fn nonce(&self, place: Place) -> Nonce {
        let whole = (self.salt ^ place.number()).to_be_bytes();
        Nonce::assume_unique_for_key(*whole.last_chunk::<NONCE_LEN>().unwrap_or(&[0; NONCE_LEN]))
    }
}

/// RFC 7714 §8.2, §9.2: what is authenticated is the header, and of SRTCP the index too.
fn with_extra<T>(head: &[u8], extra: &[u8], act: impl FnOnce(Aad<&[u8]>) -> T) -> Option<T> {
    if extra.is_empty() {
        return Some(act(Aad::from(head)));
    }
    let mut whole = [0; 12];
    let (first, rest) = whole.split_at_mut_checked(head.len())?;
    first.copy_from_slice(head);
    rest.get_mut(..extra.len())?.copy_from_slice(extra);
    let length = head.len() + extra.len();
    Some(act(Aad::from(whole.get(..length)?)))
}

fn authenticated(mac: &Hmac<Sha1>, parts: [&[u8]; 3]) -> [u8; 20] {
    let mut mac = mac.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn gcm(key: &[u8]) -> LessSafeKey {
    let algorithm = if key.len() == 16 {
        &AES_128_GCM
    } else {
        &AES_256_GCM
    };
    LessSafeKey::new(
        UnboundKey::new(algorithm, key).expect("the key is as long as the profile says"),
    )
}

/// RFC 3711 §4.3.1 and §4.3.3, RFC 6188 §3: a piece of the key stream of the master key. The key derivation rate is zero.
fn derive(master: &Counter, salt: u128, label: u8, out: &mut [u8]) {
    out.zeroize();
    master.apply((salt ^ u128::from(label) << 48) << 16, out);
}

impl Counter {
    fn new(key: &[u8]) -> Counter {
        if key.len() == 16 {
            Counter::Aes128(Aes128Enc::new_from_slice(key).expect("16 bytes"))
        } else {
            Counter::Aes256(Aes256Enc::new_from_slice(key).expect("32 bytes, as each profile has"))
        }
    }

    fn apply(&self, initial: u128, data: &mut [u8]) {
        match self {
            Counter::Aes128(aes) => stream(aes, initial, data),
            Counter::Aes256(aes) => stream(aes, initial, data),
        }
    }
}

/// RFC 3711 §4.1.1: exclusive or with the encrypted counters.
fn stream(aes: &impl BlockCipherEncrypt<BlockSize = U16>, initial: u128, data: &mut [u8]) {
    let mut counter = initial;
    for part in data.chunks_mut(16 * WIDE) {
        let mut blocks = [Block::default(); WIDE];
        let wanted = part.len().div_ceil(16);
        let blocks = blocks.get_mut(..wanted).unwrap_or_default();
        for block in &mut *blocks {
            block.0 = counter.to_be_bytes();
            counter = counter.wrapping_add(1);
        }
        aes.encrypt_blocks(blocks);
        let (whole, rest) = part.as_chunks_mut::<16>();
        for (bytes, pad) in whole.iter_mut().zip(&*blocks) {
            *bytes = (u128::from_ne_bytes(*bytes) ^ u128::from_ne_bytes(pad.0)).to_ne_bytes();
        }
        let last = blocks.last().map(|block| block.0).unwrap_or_default();
        for (byte, pad) in rest.iter_mut().zip(last) {
            *byte ^= pad;
        }
    }
}
