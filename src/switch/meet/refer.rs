//! What a REFER asks for (RFC 3515 §2.4.2): read and held against the rules that need no call.

use super::replaces::Names;
use crate::admission::number_of;
use crate::call::emergency;
use crate::hosts;
use crate::office::Office;
use sip::{Flow, HeaderId, Message, NameAddr, Uri};

/// A REFER in order.
#[derive(Debug, Clone)]
pub(super) struct Refer {
    pub(super) wanted: Wanted,
    /// RFC 4488: its sender wants no subscription.
    pub(super) silent: bool,
    pub(super) cseq: u32,
}

/// Whom the party shall be connected with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Whoever that number reaches when the transferrer dials it.
    Number(String),
    /// Whoever is at the other end of that dialog of the transferrer's.
    Dialog(Names),
}

/// Reads `request` of a phone of an extension, which came over a flow; `Err`: the status that refuses it.
pub(super) fn read(
    office: &Office,
    request: &Message,
    from: (&str, Option<&Flow>),
) -> Result<Refer, u16> {
    let mut targets = request.headers(HeaderId::ReferTo);
    // RFC 3515 §2.4.2: exactly one.
    let (Some(target), None) = (targets.next(), targets.next()) else {
        return Err(400);
    };
    let target = NameAddr::parse(&target).map_err(|_| 400u16)?.uri;
    if !matches!(target.scheme.as_str(), "sip" | "sips" | "tel") {
        return Err(416);
    }
    let method = target.param("method");
    if method.is_some_and(|method| !method.eq_ignore_ascii_case("INVITE")) {
        return Err(403);
    }
    let silent = request.header(HeaderId::ReferSub);
    let silent = silent.is_some_and(|value| {
        let value = value.split(';').next().unwrap_or_default();
        value.trim().eq_ignore_ascii_case("false")
    });
    Ok(Refer {
        wanted: wanted(office, request, &target, from)?,
        silent,
        cseq: request.cseq().map_or(0, |(number, _)| number),
    })
}

fn wanted(
    office: &Office,
    request: &Message,
    target: &Uri,
    from: (&str, Option<&Flow>),
) -> Result<Wanted, u16> {
    // RFC 3261 §19.1.1: a URI's headers are percent-encoded. None but Replaces is for us to send.
    let replaces = target.headers.as_deref().unwrap_or_default();
    let replaces = replaces.split('&').find_map(|header| {
        let (name, value) = header.split_once('=')?;
        name.eq_ignore_ascii_case("Replaces").then_some(value)
    });
    if let Some(value) = replaces {
        let value = decoded(value).ok_or(400u16)?;
        return Names::parse(&value).map(Wanted::Dialog).ok_or(400);
    }
    if !target.host.is_empty() && !hosts::is_ours(office, &target.host, request, from) {
        // Nobody in another house is called because a phone says so.
        return Err(403);
    }
    let number = number_of(target.user.as_deref().unwrap_or_default());
    if number.is_empty() {
        return Err(404);
    }
    // Help is called by who needs it: another's address and number would mislead those who come.
    if emergency::number(office, &number).is_some() {
        return Err(403);
    }
    Ok(Wanted::Number(number))
}

/// Percent-decoding (RFC 3261 §25.1 `escaped`).
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        let names = "a%40b%3Bto-tag%3D1%3bfrom-tag%3D2";
        assert_eq!(decoded(names).as_deref(), Some("a@b;to-tag=1;from-tag=2"));
        for broken in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
    }
}
