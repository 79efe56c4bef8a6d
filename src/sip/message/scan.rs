//! Small looks at bytes that every reader of header values shares: tokens, quoted strings,
//! and splitting where a separator is not inside quotes or angle brackets.

/// RFC 3261 §25.1 `token`.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is_token_byte(b))
}

pub(crate) fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b)
}

/// Trims spaces, tabs and the line ends of folding from both ends.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Where `separator` first stands outside quoted strings and `<…>`.
/// An unclosed quote or bracket hides everything after it.
pub(crate) fn find_top(bytes: &[u8], separator: u8) -> Option<usize> {
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        match b {
            _ if b == separator => return Some(at),
            b'"' => at = quoted_end(bytes, at)?,
            // A URI cannot hold a quote or '>' unescaped, so the first '>' closes it.
            b'<' => at += memchr::memchr(b'>', bytes.get(at..)?)? + 1,
            _ => at += 1,
        }
    }
    None
}

/// The index after the closing quote of the quoted string that opens at `at`.
pub(crate) fn quoted_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The parts of `bytes` between top-level separators, trimmed; at least one part.
pub(crate) fn split_top(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let all = rest?;
        let (part, more) = match find_top(all, separator) {
            Some(at) => (all.get(..at)?, all.get(at + 1..)),
            None => (all, None),
        };
        rest = more;
        Some(trim(part))
    })
}

/// Takes the quotes and backslashes off a quoted string that fills `text`. None when it
/// is not one quoted string.
pub(crate) fn unquote(text: &str) -> Option<String> {
    if !text.starts_with('"') || quoted_end(text.as_bytes(), 0)? != text.len() {
        return None;
    }
    let inner = text.get(1..text.len() - 1)?;
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next()? } else { c });
    }
    Some(plain)
}

/// Writes `text` as a quoted string (RFC 3261 §25.1).
pub(crate) fn write_quoted(f: &mut impl std::fmt::Write, text: &str) -> std::fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}

/// A number of digits only. A value too large for `u32` becomes the largest one: for a
/// time that means "as long as you let me" (RFC 3261 §20.19).
pub(crate) fn delta_seconds(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        split_top(text.as_bytes(), b',')
            .map(|p| std::str::from_utf8(p).unwrap())
            .collect()
    }

    #[test]
    fn commas_in_quotes_and_brackets_do_not_split() {
        assert_eq!(
            split(r#""Doe, \"J, x" <sip:a,b@c>;q=1 , <sip:d@e>"#),
            [r#""Doe, \"J, x" <sip:a,b@c>;q=1"#, "<sip:d@e>"]
        );
        assert_eq!(split(""), [""]);
        assert_eq!(split("a,,b"), ["a", "", "b"]);
        assert_eq!(split("\"open, a"), ["\"open, a"]);
        assert_eq!(split("<open, a"), ["<open, a"]);
        assert_eq!(split("\"\\"), ["\"\\"]);
    }

    #[test]
    fn quoted_strings_round_trip() {
        let mut text = String::new();
        write_quoted(&mut text, "J \\\"").unwrap();
        assert_eq!(unquote(&text).as_deref(), Some("J \\\""));
        assert_eq!(unquote("\"a\"b\""), None);
        assert_eq!(unquote("\"a\\\""), None);
        assert_eq!(unquote("\""), None);
    }

    #[test]
    fn seconds_saturate() {
        assert_eq!(delta_seconds("3600"), Some(3600));
        assert_eq!(delta_seconds("99999999999999"), Some(u32::MAX));
        assert_eq!(delta_seconds("-1"), None);
        assert_eq!(delta_seconds(""), None);
    }
}
