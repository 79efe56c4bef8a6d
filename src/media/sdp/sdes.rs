//! `a=crypto`: the keys of SRTP in the SDP (RFC 4568), also beside plain RTP (RFC 8643).

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::srtp::{KeySeed, Keys, Profile};

/// Some leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Lines of one media line that are looked at.
const MAX_LINES: usize = 16;

/// Whether and how our audio may be encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Protection {
    /// Plain RTP only.
    #[default]
    Off,
    /// As the party can: we offer plain RTP with keys beside it (RFC 8643).
    Optional(Offered),
    /// SRTP only.
    Required(Offered),
}

/// What our keys are made of, and what of it an offer lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    pub seed: KeySeed,
    /// Best first; an offer of the party may name any other that we know.
    pub profiles: &'static [Profile],
}

/// How the audio is encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Security {
    #[default]
    Plain,
    /// With keys from the SDP (RFC 4568).
    Sdes(Box<Pair>),
}

/// The keys of both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// What we send with.
    pub ours: Keys,
    pub theirs: Keys,
    /// Bytes of the master key identifier in what the party sends.
    pub mki: u8,
}

impl Security {
    /// The profile, when there is one.
    pub fn profile(&self) -> Option<Profile> {
        match self {
            Security::Plain => None,
            Security::Sdes(pair) => Some(pair.ours.profile()),
        }
    }
}

impl Protection {
    pub(super) fn offered(&self) -> Option<&Offered> {
        match self {
            Protection::Off => None,
            Protection::Optional(offered) | Protection::Required(offered) => Some(offered),
        }
    }

    pub(super) fn is_required(&self) -> bool {
        matches!(self, Protection::Required(_))
    }
}

impl Offered {
    /// The profiles of an offer with their tags and our keys.
    fn lines(&self) -> impl Iterator<Item = (u32, Keys)> {
        let keys = self.profiles.iter().map(|p| Keys::of(&self.seed, *p));
        (1..).zip(keys)
    }

    /// The lines of our offer.
    pub(super) fn write(&self) -> String {
        self.lines().map(|(tag, keys)| write(tag, &keys)).collect()
    }

    /// What an answer took of our offer (RFC 4568 §5.1.3: the same tag with the same profile).
    pub(super) fn taken(&self, crypto: &Crypto) -> Option<Security> {
        let mut lines = self.lines();
        let (_, ours) = lines.find(|(tag, _)| *tag == crypto.tag)?;
        (ours.profile() == crypto.keys.profile()).then(|| crypto.with(ours))
    }

    /// What we take of an offer, and the line that says so.
    pub(super) fn take(&self, crypto: &Crypto) -> (Security, String) {
        let ours = Keys::of(&self.seed, crypto.keys.profile());
        let line = write(crypto.tag, &ours);
        (crypto.with(ours), line)
    }
}

/// A line of the party that we can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Crypto {
    tag: u32,
    keys: Keys,
    mki: u8,
}

impl Crypto {
    fn with(&self, ours: Keys) -> Security {
        Security::Sdes(Box::new(Pair {
            ours,
            theirs: self.keys.clone(),
            mki: self.mki,
        }))
    }
}

fn write(tag: u32, keys: &Keys) -> String {
    let key = BASE64.encode(keys.material());
    let profile = keys.profile().name();
    format!("a=crypto:{tag} {profile} inline:{key}\r\n")
}

/// The first line of use: RFC 4568 §5.1.2 has them in the order of the party's preference.
pub(super) fn first<'a>(values: impl Iterator<Item = &'a str>) -> Option<Crypto> {
    values.take(MAX_LINES).find_map(read)
}

/// RFC 4568 §9.1: `tag suite key-params [session-params]`.
fn read(value: &str) -> Option<Crypto> {
    let mut words = value.split_ascii_whitespace();
    let tag = words.next()?;
    if tag.len() > 9 || !tag.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let tag = tag.parse().ok()?;
    let profile = Profile::from_name(words.next()?)?;
    let (keys, mki) = inline(profile, words.next()?)?;
    words.all(is_harmless).then_some(Crypto { tag, keys, mki })
}

/// `inline:key-and-salt|lifetime|mki:length`. Of several keys the first is used.
fn inline(profile: Profile, text: &str) -> Option<(Keys, u8)> {
    let first = text.split(';').next()?;
    let (method, info) = first.split_once(':')?;
    if !method.eq_ignore_ascii_case("inline") {
        return None;
    }
    let mut parts = info.split('|');
    let material = Zeroizing::new(BASE64.decode(parts.next()?).ok()?);
    // RFC 4568 §6.1: the key and salt must be as long as the profile has them.
    let keys = Keys::new(profile, &material)?;
    let mut mki = 0;
    for part in parts {
        match part.split_once(':') {
            Some((_, length)) => mki = length.parse().ok().filter(|l| (1..=128).contains(l))?,
            None if is_lifetime(part) => {}
            None => return None,
        }
    }
    Some((keys, mki))
}

/// RFC 4568 §6.1: a count of packets, or a power of two; at most 2^48.
fn is_lifetime(text: &str) -> bool {
    match text.strip_prefix("2^") {
        Some(power) => power.parse().is_ok_and(|power: u8| power <= 48),
        None => text
            .parse()
            .is_ok_and(|count: u64| (1..=1 << 48).contains(&count)),
    }
}

/// RFC 4568 §6.3: what would weaken or change the packets is not accepted; the rest is of no consequence here.
fn is_harmless(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    match name {
        "WSH" => true,
        "KDR" => value == "0",
        // RFC 4568 §6.3.7: what begins with a dash may be ignored by whoever does not know it.
        other => other.starts_with('-'),
    }
}
