//! What is secret in a SIP message is blackened before it is kept: each octet of it becomes an `x`, so that lengths stay.

/// Header parameters that help to log in as somebody else.
const PARAMETERS: [&str; 5] = ["response", "nonce", "cnonce", "nextnonce", "rspauth"];

/// The message with its secrets blackened.
pub(crate) fn masked(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    let mut body = false;
    let mut proof = false;
    let mut private = message.trim_ascii_start().starts_with(b"MESSAGE ");
    for line in message.split_inclusive(|b| *b == b'\n') {
        let start = out.len();
        out.extend_from_slice(line);
        let kept = out.get_mut(start..).unwrap_or_default();
        if body && private {
            black_out(kept);
            continue;
        }
        if body {
            black_out_body(kept);
            continue;
        }
        if matches!(line, b"\r\n" | b"\n") {
            body = true;
            continue;
        }
        // RFC 3261 §7.3.1: a line that begins with a blank continues the one before.
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            proof = is_proof(line);
            private |= is_letter(line);
        }
        if proof {
            for name in PARAMETERS {
                black_out_parameter(kept, name);
            }
        }
    }
    // In Contact, in the Request-URI that comes of it, and in what is told of registrations (RFC 3680).
    directory::push_token::black_out(&mut out);
    out
}

/// Whether the header on `line` has one of `names`.
fn is_named(line: &[u8], names: &[&str]) -> bool {
    let name = line.split(|b| matches!(b, b':' | b' ' | b'\t')).next();
    let name = name.unwrap_or_default();
    names
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether `text` begins with `start`, in whatever case.
fn begins(text: &[u8], start: &str) -> bool {
    let begin = text.get(..start.len());
    begin.is_some_and(|begin| begin.eq_ignore_ascii_case(start.as_bytes()))
}

/// Whether the header says that the body is what somebody wrote to somebody (RFC 3428 §9, RFC 3862), or keys that were
/// pressed, in whatever form.
fn is_letter(line: &[u8]) -> bool {
    if !is_named(line, &["content-type", "c"]) {
        return false;
    }
    let value = line.split(|b| *b == b':').nth(1).unwrap_or_default();
    let value = value.trim_ascii();
    let kinds = ["text/", "message/cpim", "application/dtmf"];
    kinds.iter().any(|kind| begins(value, kind))
}

fn is_proof(line: &[u8]) -> bool {
    const NAMES: [&str; 6] = [
        "authorization",
        "proxy-authorization",
        "www-authenticate",
        "proxy-authenticate",
        "authentication-info",
        "proxy-authentication-info",
    ];
    is_named(line, &NAMES)
}

/// The keys of the media (RFC 4568 `a=crypto`, RFC 4566 §5.12 `k=`, RFC 8839 `a=ice-pwd`), and digits that were typed.
fn black_out_body(line: &mut [u8]) {
    let secret = if begins(line, "a=crypto:") {
        find(&line.to_ascii_lowercase(), b"inline:").map(|at| at + 7)
    } else if begins(line, "k=") {
        Some(2)
    } else if begins(line, "a=ice-pwd:") {
        Some(10)
    } else if begins(line, "signal") {
        find(line, b"=").map(|at| at + 1)
    } else if line.iter().all(|b| b"0123456789*#ABCDabcd\r\n".contains(b)) {
        // The whole body of application/dtmf.
        Some(0)
    } else {
        None
    };
    let Some(secret) = secret else {
        return;
    };
    black_out(line.get_mut(secret..).unwrap_or_default());
}

fn black_out(octets: &mut [u8]) {
    for octet in octets {
        if !octet.is_ascii_whitespace() {
            *octet = b'x';
        }
    }
}

/// The values of the parameter `name`, quoted or not, wherever it stands alone.
fn black_out_parameter(line: &mut [u8], name: &str) {
    let lower = line.to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = lower
        .get(from..)
        .and_then(|rest| find(rest, name.as_bytes()))
    {
        let start = from + at;
        from = start + name.len();
        let before = start.checked_sub(1).and_then(|at| lower.get(at));
        if !matches!(before, Some(b' ' | b',' | b'\t')) {
            continue;
        }
        let rest = lower.get(from..).unwrap_or_default();
        let blank = rest
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count();
        if rest.get(blank) != Some(&b'=') {
            continue;
        }
        let value = from + blank + 1;
        let rest = lower.get(value..).unwrap_or_default();
        let blank = rest
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count();
        let quoted = rest.get(blank) == Some(&b'"');
        let value = value + blank + usize::from(quoted);
        for octet in line.iter_mut().skip(value) {
            match octet {
                b'"' => break,
                b',' | b' ' | b'\t' | b'\r' | b'\n' if !quoted => break,
                _ => *octet = b'x',
            }
        }
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(text: &str) -> String {
        let masked = masked(text.as_bytes());
        assert_eq!(masked.len(), text.len());
        String::from_utf8(masked).expect("text")
    }

    #[test]
    fn proofs_are_blackened_and_nothing_else_of_a_header() {
        let text = "REGISTER sip:x SIP/2.0\r\nAuthorization: Digest username=\"101\", realm=\"r, nonce=1\", nonce=\"abc\",\r\n \
                    response = \"d,ef\", cnonce=\"q\",nc=00000001\r\nSubject: nonce=\"abc\"\r\n\r\n";
        let expected = "REGISTER sip:x SIP/2.0\r\nAuthorization: Digest username=\"101\", realm=\"r, nonce=x\", nonce=\"xxx\",\r\n \
                        response = \"xxxx\", cnonce=\"x\",nc=00000001\r\nSubject: nonce=\"abc\"\r\n\r\n";
        assert_eq!(says(text), expected);
        let challenge = "SIP/2.0 401 x\r\nWWW-Authenticate: Digest nonce=abc, realm=\"r\"\r\n\r\n";
        assert!(says(challenge).contains("Digest nonce=xxx, realm=\"r\"\r\n"));
    }

    #[test]
    fn push_tokens_are_blackened_wherever_they_stand() {
        let uri = "sip:101@192.0.2.1;pn-provider=fcm;pn-prid=token";
        let text = format!(
            "INVITE {uri} SIP/2.0\r\nContact: <{uri};pn-param=app>;expires=9\r\n\r\n<uri>{uri}</uri>"
        );
        let expected = text.replace("token", "xxxxx").replace("=app", "=xxx");
        assert_eq!(says(&text), expected);
    }

    #[test]
    fn keys_and_digits_are_blackened_in_bodies() {
        for (line, kept) in [
            (
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNf|2^20",
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:xxxxxxxxx",
            ),
            ("k=clear:secret", "k=xxxxxxxxxxxx"),
            ("a=ice-pwd:abc", "a=ice-pwd:xxx"),
            ("Signal=5", "Signal=x"),
            ("Signal= 5", "Signal= x"),
            ("1234#", "xxxxx"),
            ("a=rtpmap:0 PCMU/8000", "a=rtpmap:0 PCMU/8000"),
            ("m=audio 4000 RTP/AVP 0", "m=audio 4000 RTP/AVP 0"),
        ] {
            let text = format!("INFO sip:x SIP/2.0\r\n\r\n{line}\r\n");
            assert_eq!(says(&text), format!("INFO sip:x SIP/2.0\r\n\r\n{kept}\r\n"));
        }
    }

    #[test]
    fn what_people_write_is_blackened() {
        for head in [
            "MESSAGE sip:101@pbx SIP/2.0\r\nContent-Type: application/pidf+xml",
            "INFO sip:101@pbx SIP/2.0\r\nCONTENT-TYPE : text/plain;charset=UTF-8",
            "INFO sip:101@pbx SIP/2.0\r\nc:message/CPIM",
            "SIP/2.0 488 No\r\nc: text/html",
        ] {
            let told = says(&format!("{head}\r\n\r\nsee you\r\n\r\nat 5"));
            assert_eq!(told, format!("{head}\r\n\r\nxxx xxx\r\n\r\nxx x"));
        }
        let fragment =
            "NOTIFY sip:x SIP/2.0\r\nContent-Type: message/sipfrag\r\n\r\nSIP/2.0 200 OK";
        assert_eq!(says(fragment), fragment);
    }

    #[test]
    fn keys_are_blackened_in_whatever_form() {
        for (kind, body, kept) in [
            ("application/dtmf", " 5 ", " x "),
            (
                "Application/DTMF-relay",
                "Signal : 5\r\nDuration=9",
                "xxxxxx x x\r\nxxxxxxxxxx",
            ),
        ] {
            let head = format!("INFO sip:x SIP/2.0\r\nContent-Type: {kind}\r\n\r\n");
            assert_eq!(says(&format!("{head}{body}")), format!("{head}{kept}"));
        }
    }

    #[test]
    fn nonsense_is_kept_as_it_is() {
        for text in [
            "",
            "\r\n",
            "Authorization",
            "Authorization: response=",
            "\0\u{ff}",
        ] {
            let _same_length = says(text);
        }
    }
}
