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
}
