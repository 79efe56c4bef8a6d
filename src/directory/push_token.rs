//! The tokens of push notifications in Contact URIs (RFC 8599 §4.1): whoever has one can wake the phone, or find out
//! whose it is. They are blackened wherever a URI is shown or kept for reading.

/// The parameters that are nobody else's business; `pn-provider` only says whose service it is.
const PARAMETERS: [&[u8]; 2] = [b"pn-prid=", b"pn-param="];

/// Makes an `x` of each octet of such a parameter's value, so that lengths stay. The text may be a URI or a whole message.
pub fn black_out(text: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = next(text.get(from..).unwrap_or_default()) {
        from += at;
        let rest = text.get_mut(from..).unwrap_or_default();
        for octet in rest.iter_mut().take_while(|b| !ends(**b)) {
            *octet = b'x';
            from += 1;
        }
    }
}

/// The same for a URI as text.
#[must_use]
pub fn blackened(uri: &str) -> String {
    let mut bytes = uri.as_bytes().to_vec();
    black_out(&mut bytes);
    // Whole characters become x's, each of its octets one.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where the next value begins.
fn next(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    // RFC 3261 §25.1: a URI parameter follows a semicolon; its name is of any case.
    while let Some(at) = text.get(from..)?.iter().position(|b| *b == b';') {
        from += at + 1;
        let rest = text.get(from..)?;
        for name in PARAMETERS {
            let here = rest.get(..name.len());
            if here.is_some_and(|here| here.eq_ignore_ascii_case(name)) {
                return Some(from + name.len());
            }
        }
    }
    None
}

/// RFC 3261 §25.1: no `paramchar`.
fn ends(octet: u8) -> bool {
    octet.is_ascii_whitespace() || b";?>,\"<&".contains(&octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_blackened_and_nothing_else() {
        for (uri, shown) in [
            (
                "sip:101@h;pn-provider=fcm;pn-prid=a:b;ob",
                "sip:101@h;pn-provider=fcm;pn-prid=xxx;ob",
            ),
            (
                "<sip:101@h;PN-Param=app;pn-prid=t>;expires=60",
                "<sip:101@h;PN-Param=xxx;pn-prid=x>;expires=60",
            ),
            ("sip:101@h;pn-prid=", "sip:101@h;pn-prid="),
            ("sip:101@h;pn-prid", "sip:101@h;pn-prid"),
            ("sip:101@h;pn-prid=\u{e9};x", "sip:101@h;pn-prid=xx;x"),
            ("sip:pn-prid=1@h;y=pn-prid", "sip:pn-prid=1@h;y=pn-prid"),
            ("", ""),
            (";;;", ";;;"),
        ] {
            assert_eq!(blackened(uri), shown);
        }
    }
}
