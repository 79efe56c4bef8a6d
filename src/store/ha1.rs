//! The digests a phone's answer is checked against.

use directory::Ha1;
use md5::Md5;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// MD5 and SHA-256 of `number:realm:password` (RFC 3261 §22.4, RFC 7616 §3.4.2), in lower-case hex.
pub fn ha1(number: &str, realm: &str, password: &str) -> Ha1 {
    let text = format!("{number}:{realm}:{password}");
    Ha1 {
        md5: hex::<Md5>(text.as_bytes()),
        sha256: hex::<Sha256>(text.as_bytes()),
    }
}

/// The digest of `bytes` in lower-case hex.
pub(crate) fn hex<D: Digest>(bytes: &[u8]) -> String {
    D::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes any text");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digests_of_the_rfc_examples() {
        // RFC 2617 §3.5 gives the password; its HA1 is what both RFCs' responses are computed from.
        let ha1 = ha1("Mufasa", "testrealm@host.com", "Circle Of Life");
        assert_eq!(ha1.md5, "939e7578ed9e3c518a452acee763bce9");
        assert_eq!(ha1.sha256.len(), 64);
    }
}
