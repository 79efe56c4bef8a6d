//! Digest authentication (RFC 8760, RFC 7616), both sides. Not a password store: the server
//! side works on HA1, and who the user is and whether the digest's `uri` is the request's is
//! the caller's to compare. MD5 and SHA-256 with `qop=auth`; `-sess` and `auth-int` are not
//! offered and not answered.
//!
//! Server: send [`challenges`] with a nonce from [`Nonces::issue`]; read [`Credentials`];
//! [`verify`]; then [`Nonces::accept`]. Client: [`Challenge::parse`], [`authorize`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::message::scan;

/// A hash function, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    /// As in the `algorithm` parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    fn named(name: &str) -> Option<Algorithm> {
        [Algorithm::Md5, Algorithm::Sha256]
            .into_iter()
            .find(|a| a.as_str().eq_ignore_ascii_case(name))
    }

    /// The lower-case hexadecimal hash of the parts joined by colons.
    fn hash(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        match self {
            Algorithm::Md5 => hex(&Md5::digest(text)),
            Algorithm::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

/// H(user:realm:password) in hexadecimal: what a store keeps instead of the password
/// (RFC 7616 §3.4.2).
pub fn ha1(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> String {
    algorithm.hash(&[user, realm, password])
}

/// What a nonce in a request is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceState {
    /// Ours, in time, and this count was not seen before.
    Fresh,
    /// Ours, but too old or no longer remembered: challenge again with `stale=true`.
    Stale,
    /// We never issued it.
    Unknown,
    /// This nonce came with this count before.
    Replayed,
}

/// Issues nonces and knows them again. A nonce carries its own time and a MAC, so issuing
/// one costs no memory; only nonces that were used are remembered, and of those a bounded
/// number.
pub struct Nonces {
    key: [u8; 32],
    lifetime: Duration,
    /// The instant that the times in nonces count from.
    origin: Option<Instant>,
    issued: u64,
    /// By serial number, which is also by age.
    seen: BTreeMap<u64, Seen>,
    capacity: usize,
    /// Serial numbers up to here are forgotten and therefore stale.
    forgotten: u64,
}

/// Counts seen of one nonce: the highest, and a bit for each of the 64 from it downwards.
struct Seen {
    issued_ms: u64,
    highest: u32,
    window: u64,
}

const MAX_SEEN: usize = 65_536;
const MAC_BYTES: usize = 8;
/// Time and serial number.
const BODY_BYTES: usize = 16;
/// The body, a mark of whom it was sent to, and a MAC of both.
const NONCE_BYTES: usize = BODY_BYTES + 2 * MAC_BYTES;

impl Nonces {
    /// `key` must be secret and random, new at each start of the program.
    pub fn new(key: [u8; 32], lifetime: Duration) -> Nonces {
        Nonces {
            key,
            lifetime,
            origin: None,
            issued: 0,
            seen: BTreeMap::new(),
            capacity: MAX_SEEN,
            forgotten: 0,
        }
    }

    /// A nonce that was never issued before, for whoever is at `to`. From elsewhere it is as good, for phones move
    /// between challenge and answer; it only proves nothing about the address then.
    pub fn issue(&mut self, now: Instant, to: SocketAddr) -> String {
        self.issued += 1;
        let origin = *self.origin.get_or_insert(now);
        let ms = millis(now.saturating_duration_since(origin));
        let mut nonce = [ms.to_be_bytes(), self.issued.to_be_bytes()].concat();
        let mark = self.mac(&[&nonce, &octets(to)]);
        nonce.extend_from_slice(&mark);
        let mac = self.mac(&[&nonce]);
        nonce.extend_from_slice(&mac);
        hex(&nonce)
    }

    /// Whether whoever says `nonce` can read what is sent to `at`: it was sent there, and not too long ago.
    pub fn was_sent_to(&self, now: Instant, nonce: &str, at: SocketAddr) -> bool {
        let (Some(bytes), Some(origin)) = (unhex(nonce), self.origin) else {
            return false;
        };
        let Some((issued_ms, _)) = self.open(nonce) else {
            return false;
        };
        let age = millis(now.saturating_duration_since(origin)).saturating_sub(issued_ms);
        let (body, rest) = bytes.split_at(BODY_BYTES);
        let (mark, _) = rest.split_at(MAC_BYTES);
        age <= millis(self.lifetime) && bool::from(self.mac(&[body, &octets(at)]).ct_eq(mark))
    }

    /// Judges a nonce and its count. Ask only after [`verify`] said yes: then nobody without
    /// a password can fill the memory, and `stale` is told only to those who know the
    /// password (RFC 7616 §3.3). Without qop there is no count: pass 1.
    pub fn accept(&mut self, now: Instant, nonce: &str, nc: u32) -> NonceState {
        let Some((issued_ms, serial)) = self.open(nonce) else {
            return NonceState::Unknown;
        };
        let Some(origin) = self.origin else {
            return NonceState::Unknown;
        };
        let now_ms = millis(now.saturating_duration_since(origin));
        let oldest_ms = now_ms.saturating_sub(millis(self.lifetime));
        while self
            .seen
            .first_key_value()
            .is_some_and(|(_, s)| s.issued_ms < oldest_ms)
        {
            self.forget_oldest();
        }
        if issued_ms < oldest_ms || serial <= self.forgotten {
            return NonceState::Stale;
        }
        if !self.seen.contains_key(&serial) && self.seen.len() >= self.capacity {
            // Were `serial` older than all that is remembered, the oldest leaving would
            // make it forgotten too; then it is the one to go.
            if self
                .seen
                .first_key_value()
                .is_some_and(|(oldest, _)| serial < *oldest)
            {
                return NonceState::Stale;
            }
            self.forget_oldest();
        }
        // RFC 7616 §3.4: the count begins at 1.
        if nc == 0 {
            return NonceState::Replayed;
        }
        let seen = self.seen.entry(serial).or_insert(Seen {
            issued_ms,
            highest: 0,
            window: 0,
        });
        if seen.count(nc) {
            NonceState::Fresh
        } else {
            NonceState::Replayed
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((serial, _)) = self.seen.pop_first() {
            self.forgotten = self.forgotten.max(serial);
        }
    }

    /// Time and serial number of a nonce of ours.
    fn open(&self, nonce: &str) -> Option<(u64, u64)> {
        let bytes = unhex(nonce)?;
        let (body, mac) = bytes.split_at(NONCE_BYTES - MAC_BYTES);
        if !bool::from(self.mac(&[body]).ct_eq(mac)) {
            return None;
        }
        let (ms, serial) = body.split_at_checked(BODY_BYTES)?.0.split_at_checked(8)?;
        let number = |b: &[u8]| b.try_into().ok().map(u64::from_be_bytes);
        Some((number(ms)?, number(serial)?))
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        let full = mac.finalize().into_bytes();
        let mut short = [0; MAC_BYTES];
        for (to, from) in short.iter_mut().zip(full.iter()) {
            *to = *from;
        }
        short
    }
}

impl Seen {
    /// Notes a count; false when it was noted before or is too far behind to tell.
    fn count(&mut self, nc: u32) -> bool {
        if nc > self.highest {
            let shift = nc - self.highest;
            self.window = self.window.checked_shl(shift).unwrap_or(0) | 1;
            self.highest = nc;
            return true;
        }
        let Some(bit) = 1u64.checked_shl(self.highest - nc) else {
            return false;
        };
        let fresh = self.window & bit == 0;
        self.window |= bit;
        fresh
    }
}

/// The values of two WWW-Authenticate or Proxy-Authenticate headers, the stronger first as
/// RFC 8760 §2.3 asks. `realm` holds no quote and no backslash.
pub fn challenges(realm: &str, nonce: &str, stale: bool) -> [String; 2] {
    [Algorithm::Sha256, Algorithm::Md5].map(|algorithm| {
        let stale = if stale { ", stale=true" } else { "" };
        let algorithm = algorithm.as_str();
        format!(
            r#"Digest realm="{realm}", nonce="{nonce}", algorithm={algorithm}, qop="auth"{stale}"#
        )
    })
}

/// What an Authorization or Proxy-Authorization header says. Quoted texts stand without
/// their quotes and otherwise as the sender hashed them, escapes included.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub realm: String,
    pub nonce: String,
    /// The octets that were hashed: never rewritten.
    pub uri: String,
    pub response: String,
    pub algorithm: Algorithm,
    pub cnonce: Option<String>,
    pub nc: Option<u32>,
    pub qop: Option<String>,
    nc_text: String,
}

impl Credentials {
    /// None for another scheme, an algorithm we do not know, or a part that is missing.
    pub fn parse(value: &str) -> Option<Credentials> {
        let fields = Fields::parse(value)?;
        let text = |name| fields.get(name).map(str::to_owned);
        let qop = text("qop");
        let nc_text = text("nc").unwrap_or_default();
        let nc = match nc_text.as_str() {
            "" => None,
            digits => Some(count(digits)?),
        };
        let cnonce = text("cnonce");
        // RFC 7616 §3.4: with qop, count and client nonce must be there.
        if qop.is_some() && (nc.is_none() || cnonce.is_none()) {
            return None;
        }
        Some(Credentials {
            username: text("username")?,
            realm: text("realm")?,
            nonce: text("nonce")?,
            uri: text("uri")?,
            response: text("response")?,
            algorithm: fields
                .get("algorithm")
                .map_or(Some(Algorithm::Md5), Algorithm::named)?,
            cnonce,
            nc,
            qop,
            nc_text,
        })
    }
}

/// Whether the sender knew the password behind `ha1`, which is of `c.algorithm` and in
/// lower-case hexadecimal. Takes the same time for every wrong response.
pub fn verify(c: &Credentials, method: &str, ha1: &str) -> bool {
    let proof = match c.qop.as_deref() {
        None => None,
        Some(qop) if qop.eq_ignore_ascii_case("auth") => Some(Proof {
            nc: &c.nc_text,
            cnonce: c.cnonce.as_deref().unwrap_or(""),
            qop,
        }),
        Some(_) => return false,
    };
    let expected = response(c.algorithm, ha1, &c.nonce, proof, [method, &c.uri]);
    let given = c.response.to_ascii_lowercase();
    bool::from(expected.as_bytes().ct_eq(given.as_bytes()))
}

/// A server's demand, from a WWW-Authenticate or Proxy-Authenticate header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    pub realm: String,
    pub nonce: String,
    pub opaque: Option<String>,
    /// None when not named, which means MD5.
    pub algorithm: Option<Algorithm>,
    pub stale: bool,
    pub qop: Option<String>,
}

impl Challenge {
    /// None for another scheme or an algorithm we do not know.
    pub fn parse(value: &str) -> Option<Challenge> {
        let fields = Fields::parse(value)?;
        let text = |name| fields.get(name).map(str::to_owned);
        let algorithm = match fields.get("algorithm") {
            None => None,
            Some(name) => Some(Algorithm::named(name)?),
        };
        Some(Challenge {
            realm: text("realm")?,
            nonce: text("nonce")?,
            opaque: text("opaque"),
            algorithm,
            stale: fields
                .get("stale")
                .is_some_and(|s| s.eq_ignore_ascii_case("true")),
            qop: text("qop"),
        })
    }

    fn strength(&self) -> Algorithm {
        self.algorithm.unwrap_or(Algorithm::Md5)
    }

    /// Whether `qop=auth` may be used; None when the server wants something else only.
    fn with_auth(&self) -> Option<bool> {
        match &self.qop {
            None => Some(false),
            Some(list) => {
                let auth = list
                    .split(',')
                    .any(|q| q.trim().eq_ignore_ascii_case("auth"));
                auth.then_some(true)
            }
        }
    }
}

/// The Authorization or Proxy-Authorization value that answers the strongest challenge we
/// can; None when there is none, or when a text cannot stand between quotes. `nc` counts
/// the uses of the challenge's nonce from 1.
#[expect(
    clippy::too_many_arguments,
    reason = "each is one input of the hash; a struct would only rename them"
)]
pub fn authorize(
    challenge: &[Challenge],
    user: &str,
    pass: &str,
    method: &str,
    uri: &str,
    cnonce: &str,
    nc: u32,
) -> Option<String> {
    let usable = challenge.iter().filter_map(|c| Some((c, c.with_auth()?)));
    // Of equals the first: the server put its favourite there.
    let (c, auth) = usable.rev().max_by_key(|(c, _)| c.strength())?;
    let quotable = |t: &&str| !t.contains(|c: char| c == '"' || c == '\\' || c.is_control());
    if ![user, uri, cnonce].iter().all(quotable) {
        return None;
    }
    let secret = ha1(c.strength(), user, &c.realm, pass);
    let nc = format!("{nc:08x}");
    let proof = auth.then_some(Proof {
        nc: &nc,
        cnonce,
        qop: "auth",
    });
    let response = response(c.strength(), &secret, &c.nonce, proof, [method, uri]);
    let mut value = format!(
        r#"Digest username="{user}", realm="{}", nonce="{}", uri="{uri}", response="{response}""#,
        c.realm, c.nonce
    );
    if let Some(algorithm) = c.algorithm {
        value += ", algorithm=";
        value += algorithm.as_str();
    }
    if auth {
        value += &format!(r#", qop=auth, nc={nc}, cnonce="{cnonce}""#);
    }
    if let Some(opaque) = &c.opaque {
        value += &format!(r#", opaque="{opaque}""#);
    }
    Some(value)
}

/// What `qop=auth` adds to the hash.
struct Proof<'a> {
    nc: &'a str,
    cnonce: &'a str,
    qop: &'a str,
}

/// RFC 7616 §3.4.1; without qop as RFC 2069 had it.
fn response(
    algorithm: Algorithm,
    ha1: &str,
    nonce: &str,
    proof: Option<Proof<'_>>,
    request: [&str; 2],
) -> String {
    let ha2 = algorithm.hash(&request);
    match proof {
        Some(p) => algorithm.hash(&[ha1, nonce, p.nc, p.cnonce, p.qop, &ha2]),
        None => algorithm.hash(&[ha1, nonce, &ha2]),
    }
}

/// The comma-separated `name=value` of a Digest header.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    fn parse(value: &'a str) -> Option<Fields<'a>> {
        let (scheme, list) = value.trim().split_once([' ', '\t'])?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut fields = Vec::with_capacity(12);
        for part in scan::split_top(list.as_bytes(), b',').filter(|p| !p.is_empty()) {
            let (name, value) = std::str::from_utf8(part).ok()?.split_once('=')?;
            let (name, value) = (name.trim_end(), value.trim_start());
            if !scan::is_token(name.as_bytes()) {
                return None;
            }
            fields.push((name, plain(value)?));
        }
        Some(Fields(fields))
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }
}

/// What a value says, escapes left in. RFC 3261 §25.1 `auth-param`: a token or one quoted string. Some leave the quotes
/// away; whatever can stand between quotes is then taken too.
fn plain(value: &str) -> Option<&str> {
    if !value.starts_with('"') {
        return (!value.contains(['"', '\\'])).then_some(value);
    }
    let whole = scan::quoted_end(value.as_bytes(), 0) == Some(value.len());
    whole
        .then(|| value.strip_prefix('"')?.strip_suffix('"'))
        .flatten()
}

/// RFC 7616 §3.4 `nc-value`: hexadecimal, eight digits; fewer are taken too.
fn count(digits: &str) -> Option<u32> {
    let all = digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    all.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        write!(text, "{b:02x}").expect("writing to a String does not fail");
    }
    text
}

/// The bytes of a nonce; lower case only, so that a nonce has one spelling.
/// An address and its port.
fn octets(at: SocketAddr) -> [u8; 18] {
    let ip = match at.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut octets = [0; 18];
    let bytes = ip.octets().into_iter().chain(at.port().to_be_bytes());
    for (to, from) in octets.iter_mut().zip(bytes) {
        *to = from;
    }
    octets
}

fn unhex(text: &str) -> Option<[u8; NONCE_BYTES]> {
    let mut bytes = [0; NONCE_BYTES];
    if text.len() != NONCE_BYTES * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        let digit = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn a_nonce_tells_whether_it_was_sent_there() {
        let now = Instant::now();
        let mut nonces = Nonces::new([7; 32], HOUR);
        let nonce = nonces.issue(now, at(5060));
        assert!(nonces.was_sent_to(now, &nonce, at(5060)));
        assert!(nonces.was_sent_to(now, &nonce, "[::ffff:192.0.2.1]:5060".parse().unwrap()));
        for elsewhere in [at(5061), ([192, 0, 2, 2], 5060).into()] {
            assert!(!nonces.was_sent_to(now, &nonce, elsewhere));
        }
        assert!(!nonces.was_sent_to(now + 2 * HOUR, &nonce, at(5060)));
        assert!(!nonces.was_sent_to(now, &"0".repeat(64), at(5060)));
        // Who has moved meanwhile is let in all the same.
        assert_eq!(nonces.accept(now, &nonce, 1), NonceState::Fresh);
    }

    #[test]
    fn a_quote_within_a_value_is_no_value() {
        for realm in [r#"a"b""#, r#""a"b""#, r#"""a""#, r#"a\"#, r#"""#, r#""a\""#] {
            let challenge = format!(r#"Digest realm={realm}, nonce="n""#);
            assert_eq!(Challenge::parse(&challenge), None, "{realm}");
        }
        for realm in [r#""""#, r#""a \" b""#, "a.b", "pbx@[::1]"] {
            let challenge = format!(r#"Digest realm={realm}, nonce=n"#);
            let challenge = Challenge::parse(&challenge).expect("a challenge");
            let proof = authorize(&[challenge], "u", "p", "INVITE", "sip:a", "c", 1);
            let proof = proof.expect("an answer");
            assert!(Credentials::parse(&proof).is_some(), "{proof}");
        }
    }

    fn fields_of(value: &str) -> Credentials {
        Credentials::parse(value).expect("these credentials are well formed")
    }

    #[test]
    fn the_example_of_rfc_2617_section_3_5() {
        let c = fields_of(concat!(
            r#"Digest username="Mufasa", realm="testrealm@host.com", "#,
            r#"nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, nc=00000001, "#,
            r#"cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1", opaque="5ccc""#
        ));
        let ha1 = ha1(
            Algorithm::Md5,
            "Mufasa",
            "testrealm@host.com",
            "Circle Of Life",
        );
        assert_eq!(ha1, "939e7578ed9e3c518a452acee763bce9");
        assert!(verify(&c, "GET", &ha1));
        assert!(!verify(&c, "PUT", &ha1));
        assert!(!verify(
            &Credentials {
                uri: "/".into(),
                ..c.clone()
            },
            "GET",
            &ha1
        ));
        assert!(!verify(
            &Credentials {
                qop: Some("auth-int".into()),
                ..c
            },
            "GET",
            &ha1
        ));
    }

    /// The same request without qop; the value is the one RFC 2069's errata give.
    #[test]
    fn the_form_without_qop() {
        let ha1 = ha1(
            Algorithm::Md5,
            "Mufasa",
            "testrealm@host.com",
            "CircleOfLife",
        );
        let c = fields_of(concat!(
            r#"Digest username="Mufasa",realm="testrealm@host.com","#,
            r#"nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",uri="/dir/index.html","#,
            r#"response="1949323746FE6A43EF61F9606E7FEBEA""#
        ));
        assert_eq!((c.nc, c.algorithm), (None, Algorithm::Md5));
        assert!(verify(&c, "GET", &ha1));
    }

    #[test]
    fn both_examples_of_rfc_7616_section_3_9_1() {
        for (name, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let challenge = Challenge::parse(&format!(
                r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={name},
                   nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
                   opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#
            ))
            .unwrap();
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let value = authorize(
                &[challenge],
                "Mufasa",
                "Circle of Life",
                "GET",
                "/dir/index.html",
                cnonce,
                1,
            )
            .unwrap();
            assert!(
                value.contains(&format!(r#"response="{response}""#)),
                "{value}"
            );
            assert!(value.contains("opaque=\"FQhe") && value.contains("nc=00000001"));
            let c = fields_of(&value);
            let ha1 = ha1(
                c.algorithm,
                "Mufasa",
                "http-auth@example.org",
                "Circle of Life",
            );
            assert!(verify(&c, "GET", &ha1));
        }
    }

    #[test]
    fn the_client_takes_the_strongest_challenge_it_knows() {
        let offer = challenges("office", "n", true);
        assert!(offer[0].contains("SHA-256") && offer[1].contains("algorithm=MD5"));
        let mut parsed: Vec<Challenge> = offer.iter().filter_map(|c| Challenge::parse(c)).collect();
        assert!(parsed.iter().all(|c| c.stale));
        parsed.reverse();
        let value = authorize(
            &parsed,
            "101",
            "pw",
            "REGISTER",
            "sip:x;transport=TCP",
            "c",
            16,
        )
        .unwrap();
        let c = fields_of(&value);
        assert_eq!(
            (c.algorithm, c.nc, c.uri.as_str()),
            (Algorithm::Sha256, Some(16), "sip:x;transport=TCP")
        );
        assert!(verify(
            &c,
            "REGISTER",
            &ha1(Algorithm::Sha256, "101", "office", "pw")
        ));

        assert_eq!(
            Challenge::parse(r#"Digest realm="r", nonce="n", algorithm=SHA-512-256"#),
            None
        );
        assert_eq!(Challenge::parse(r#"Basic realm="r""#), None);
        let only_int = Challenge::parse(r#"Digest realm="r", nonce="n", qop="auth-int""#).unwrap();
        assert_eq!(
            authorize(&[only_int], "u", "p", "INVITE", "sip:x", "c", 1),
            None
        );
        assert_eq!(
            authorize(&parsed, "a\"b", "p", "INVITE", "sip:x", "c", 1),
            None
        );
        assert_eq!(authorize(&[], "u", "p", "INVITE", "sip:x", "c", 1), None);
    }

    #[test]
    fn malformed_credentials_are_nobody() {
        for bad in [
            "",
            "Digest",
            "Digest ",
            "Basic dTpw",
            r#"Digest username="u", realm="r", nonce="n", uri="x""#,
            r#"Digest username="u, realm="r", nonce="n", uri="x", response="y""#,
            r#"Digest username="u", realm="r", nonce="n", uri="x", response="y", algorithm=MD5-sess"#,
            r#"Digest username="u", realm="r", nonce="n", uri="x", response="y", qop=auth, nc=1"#,
            r#"Digest username="u", realm="r", nonce="n", uri="x", response="y", nc=000000001"#,
            r#"Digest username="u", realm="r", nonce="n", uri="x", response="y", nc=+1"#,
        ] {
            assert!(Credentials::parse(bad).is_none(), "{bad}");
        }
        let c = fields_of(
            r#"DIGEST Username = "u", realm="a,b", nonce="n", uri="<x", response="", nc=0000000a"#,
        );
        assert_eq!((c.realm.as_str(), c.nc), ("a,b", Some(10)));
        assert!(!verify(&c, "INVITE", ""));
    }

    #[test]
    fn a_nonce_lives_its_time_and_each_count_once() {
        let start = Instant::now();
        let mut nonces = Nonces::new([7; 32], HOUR);
        let (a, b) = (nonces.issue(start, at(1)), nonces.issue(start, at(1)));
        assert_ne!(a, b);
        for (nc, state) in [
            (1, NonceState::Fresh),
            (1, NonceState::Replayed),
            (5, NonceState::Fresh),
            (3, NonceState::Fresh),
            (3, NonceState::Replayed),
            (0, NonceState::Replayed),
            (1000, NonceState::Fresh),
            (2, NonceState::Replayed),
            (936, NonceState::Replayed),
            (937, NonceState::Fresh),
            (u32::MAX, NonceState::Fresh),
        ] {
            assert_eq!(nonces.accept(start, &a, nc), state, "{nc}");
        }
        assert_eq!(nonces.accept(start + HOUR, &b, 1), NonceState::Fresh);
        let late = start + HOUR + Duration::from_millis(1);
        assert_eq!(nonces.accept(late, &b, 2), NonceState::Stale);
        assert!(nonces.seen.is_empty());
    }

    #[test]
    fn an_invented_nonce_is_known_as_such() {
        let now = Instant::now();
        let mut nonces = Nonces::new([7; 32], HOUR);
        assert_eq!(nonces.accept(now, "00", 1), NonceState::Unknown);
        let real = nonces.issue(now, at(1));
        let theirs = Nonces::new([8; 32], HOUR).issue(now, at(1));
        let mut moved = real.clone().into_bytes();
        moved[0] ^= 1;
        let moved = String::from_utf8(moved).unwrap();
        for bad in [
            "",
            "00",
            &theirs,
            &moved,
            &real.to_uppercase(),
            &real[1..],
            &"é".repeat(32),
        ] {
            assert_eq!(nonces.accept(now, bad, 1), NonceState::Unknown, "{bad}");
        }
        assert_eq!(nonces.accept(now, &real, 1), NonceState::Fresh);
        // After a restart the key is another one.
        assert_eq!(
            Nonces::new([9; 32], HOUR).accept(now, &real, 2),
            NonceState::Unknown
        );
    }

    #[test]
    fn a_full_table_forgets_the_oldest_and_never_takes_it_again() {
        let now = Instant::now();
        let mut nonces = Nonces::new([7; 32], HOUR);
        nonces.capacity = 3;
        let issued: Vec<String> = (0..10).map(|_| nonces.issue(now, at(1))).collect();
        for nonce in &issued {
            assert_eq!(nonces.accept(now, nonce, 1), NonceState::Fresh);
            assert!(nonces.seen.len() <= 3);
        }
        for nonce in issued.iter().take(7) {
            assert_eq!(nonces.accept(now, nonce, 1), NonceState::Stale);
        }
        for nc in 1..5 {
            for nonce in issued.iter().skip(7) {
                let state = if nc == 1 {
                    NonceState::Replayed
                } else {
                    NonceState::Fresh
                };
                assert_eq!(nonces.accept(now, nonce, nc), state);
            }
        }
    }
}
