//! Programs that look for PBXs to break into tell their names.

use memchr::memchr;

/// No User-Agent of use is longer; the rest is not looked at.
const LONGEST: usize = 128;

/// Whether the User-Agent of `message` holds one of `names`, which are in lower case.
pub(crate) fn is_named(message: &[u8], names: &[String]) -> bool {
    if names.is_empty() {
        return false;
    }
    let mut rest = message;
    while let Some(end) = memchr(b'\n', rest) {
        let (line, more) = rest.split_at(end + 1);
        rest = more;
        if matches!(line, b"\r\n" | b"\n") {
            return false;
        }
        if let Some(value) = user_agent(line) {
            let value = value.get(..LONGEST).unwrap_or(value).to_ascii_lowercase();
            let holds = |name: &String| {
                value
                    .windows(name.len())
                    .any(|part| part == name.as_bytes())
            };
            return names.iter().filter(|name| !name.is_empty()).any(holds);
        }
    }
    false
}

/// The nonce that a message says it answers, not yet believed.
pub(crate) fn nonce(message: &[u8]) -> Option<&str> {
    let name = b"nonce=\"";
    let mut quotes = memchr::memchr_iter(b'"', message);
    // Also behind `cnonce`, which is none of ours then.
    let end = quotes.find_map(|at| {
        let text = message.get(..=at)?;
        let nonce = text.ends_with(name) && !text.ends_with(b"cnonce=\"");
        nonce.then_some(at + 1)
    })?;
    let rest = message.get(end..)?;
    let value = rest.get(..memchr(b'"', rest)?)?;
    std::str::from_utf8(value).ok()
}

fn user_agent(line: &[u8]) -> Option<&[u8]> {
    let name = b"user-agent";
    let (start, value) = line.split_at_checked(name.len())?;
    let fits =
        start.eq_ignore_ascii_case(name) && matches!(value.first(), Some(b':' | b' ' | b'\t'));
    fits.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_its_header_only() {
        let names = ["friendly-scanner".to_owned(), "sipcli".to_owned()];
        let says = |text: &str| is_named(text.as_bytes(), &names);
        assert!(says(
            "OPTIONS sip:x SIP/2.0\r\nUser-Agent: friendly-scanner\r\n\r\n"
        ));
        assert!(says(
            "OPTIONS sip:x SIP/2.0\r\nVia: x\r\nUSER-AGENT : SIPcli/1.8\r\n\r\n"
        ));
        assert!(!says(
            "OPTIONS sip:sipcli SIP/2.0\r\nUser-Agent: Phone 1\r\n\r\n"
        ));
        assert!(!says("OPTIONS sip:x SIP/2.0\r\n\r\nUser-Agent: sipcli\r\n"));
        assert!(!says("User-Agent"));
        assert!(!is_named(b"User-Agent: sipcli\r\n", &[]));
        assert!(!is_named(b"User-Agent: sipcli\r\n", &[String::new()]));
    }

    #[test]
    fn a_nonce_is_found_and_no_other_value() {
        assert_eq!(
            nonce(b"Authorization: Digest cnonce=\"c\", nonce=\"ab\", x=\"\""),
            Some("ab")
        );
        for text in [
            "",
            "nonce",
            "nonce=\"",
            "nonce=\"ab",
            "cnonce=\"c\"",
            "\"nonce=ab\"",
        ] {
            assert_eq!(nonce(text.as_bytes()), None, "{text}");
        }
    }
}
