//! XML of others: nothing that a caller, a phone or an administrator wrote can break what a watcher reads.

use std::borrow::Cow;

/// `text` as it may stand between tags and in quotes. What XML 1.0 §2.2 has no place for is left out.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    let plain = |c: char| !matches!(c, '&' | '<' | '>' | '"' | '\'') && is_char(c);
    if text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars().filter(|c| is_char(*c)) {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // In an attribute they would be read as blanks.
            '\t' | '\n' | '\r' => escaped.push(' '),
            _ => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// A SIP URI of ours: `user` may be anything a caller sent, so what a URI has no place for is escaped.
pub(super) fn uri(user: &str, host: &str) -> String {
    let mut uri = String::from("sip:");
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*()+".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    if !user.is_empty() {
        uri.push('@');
    }
    uri.push_str(host);
    uri
}

/// Whether `text` is one element named `root` (in any namespace) whose tags close as they open. No document type is
/// taken, so there are no entities but the five; attributes are only looked at for their quotes.
pub(super) fn is_sound(text: &str, root: &str) -> bool {
    let mut open: Vec<&str> = Vec::new();
    let mut seen = false;
    let mut rest = text.trim_start_matches('\u{feff}').trim();
    while let Some((before, tag)) = rest.split_once('<') {
        if open.is_empty() && !before.trim().is_empty() || !is_text(before) {
            return false;
        }
        let Some((tag, after)) = cut_tag(tag) else {
            return false;
        };
        rest = after;
        match tag {
            Tag::Skip => {}
            Tag::Close(name) => {
                if open.pop() != Some(name) {
                    return false;
                }
            }
            Tag::Open(name) | Tag::Empty(name) => {
                let local = name.rsplit(':').next().unwrap_or_default();
                if open.is_empty() && (seen || local != root) || open.len() >= 32 {
                    return false;
                }
                seen = true;
                if matches!(tag, Tag::Open(_)) {
                    open.push(name);
                }
            }
        }
    }
    seen && open.is_empty() && rest.trim().is_empty()
}

/// The value of the attribute `name` of the first element, its entities as they are.
pub(super) fn root_attribute<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = text;
    loop {
        let (_, tag) = rest.split_once('<')?;
        let (kind, after) = cut_tag(tag)?;
        rest = after;
        if matches!(kind, Tag::Open(_) | Tag::Empty(_)) {
            let tag = tag.get(..tag.len() - after.len())?;
            return attribute(tag, name);
        }
    }
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = tag.split_once(char::is_whitespace)?.1;
    loop {
        let (key, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, after) = after.get(1..)?.split_once(quote)?;
        if key.trim() == name {
            return Some(value);
        }
        rest = after;
    }
}

enum Tag<'a> {
    Open(&'a str),
    Close(&'a str),
    Empty(&'a str),
    /// A declaration or a comment.
    Skip,
}

/// The tag after a `<`, and what follows it.
fn cut_tag(text: &str) -> Option<(Tag<'_>, &str)> {
    if let Some(comment) = text.strip_prefix("!--") {
        return comment.split_once("-->").map(|(_, rest)| (Tag::Skip, rest));
    }
    if let Some(declaration) = text.strip_prefix('?') {
        return declaration
            .split_once("?>")
            .map(|(_, rest)| (Tag::Skip, rest));
    }
    let mut quote = None;
    let end = text.bytes().position(|byte| match (quote, byte) {
        (None, b'>') => true,
        (None, b'"' | b'\'') => {
            quote = Some(byte);
            false
        }
        (Some(open), _) if open == byte => {
            quote = None;
            false
        }
        _ => false,
    })?;
    let (inside, rest) = (text.get(..end)?, text.get(end + 1..)?);
    if inside.contains('<') || !is_text(inside) {
        return None;
    }
    let named = |name: &str| {
        let fine = |c: char| c.is_alphanumeric() || "_-.:".contains(c);
        !name.is_empty() && name.chars().all(fine)
    };
    if let Some(closed) = inside.strip_prefix('/') {
        let closed = closed.trim_end();
        return named(closed).then_some((Tag::Close(closed), rest));
    }
    let (inside, empty) = match inside.strip_suffix('/') {
        Some(inside) => (inside, true),
        None => (inside, false),
    };
    let first = inside.split_whitespace().next().unwrap_or_default();
    let tag = if empty {
        Tag::Empty(first)
    } else {
        Tag::Open(first)
    };
    (named(first) && inside.starts_with(first)).then_some((tag, rest))
}

/// Characters of XML, and no entity but those that need no document type.
fn is_text(text: &str) -> bool {
    let known = |after: &str| {
        let name = after.split(';').next().unwrap_or_default();
        let number = name.strip_prefix('#').is_some_and(|n| {
            n.strip_prefix('x')
                .unwrap_or(n)
                .bytes()
                .all(|b| b.is_ascii_hexdigit())
                && n.len() < 9
        });
        after.contains(';') && (number || ["amp", "lt", "gt", "quot", "apos"].contains(&name))
    };
    text.chars().all(is_char) && text.split('&').skip(1).all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_its_place() {
        assert_eq!(escape("Ann"), "Ann");
        assert_eq!(
            escape("\"></identity>\u{1}&\u{ffff}\n"),
            "&quot;&gt;&lt;/identity&gt;&amp; "
        );
        assert_eq!(uri("a b@<c>", "pbx"), "sip:a%20b%40%3Cc%3E@pbx");
        assert_eq!(uri("", "pbx"), "sip:pbx");
    }

    #[test]
    fn a_document_is_told_from_what_only_looks_like_one() {
        for good in [
            "<presence/>",
            "<?xml version='1.0'?>\n<!-- < --><p:presence a='>'>\u{e4} &amp; &#x20;<t x=\"/\"/></p:presence>\n",
            "\u{feff}<presence xmlns='x'><a><b></b></a></presence>",
        ] {
            assert!(is_sound(good, "presence"), "{good}");
        }
        for bad in [
            "",
            "presence",
            "<other/>",
            "<presence>",
            "</presence>",
            "<presence/><presence/>",
            "<presence/>x",
            "x<presence/>",
            "<presence><a></presence></a>",
            "<!DOCTYPE presence [<!ENTITY a 'b'>]><presence>&a;</presence>",
            "<presence>&a;</presence>",
            "<presence>& </presence>",
            "<presence a=\"<\"/>",
            "<presence",
            "<presence a='>",
            "< presence/>",
            "<presence>\u{1}</presence>",
        ] {
            assert!(!is_sound(bad, "presence"), "{bad}");
        }
        let deep = "<presence>".repeat(40) + &"</presence>".repeat(40);
        assert!(!is_sound(&deep, "presence"));
    }
}
