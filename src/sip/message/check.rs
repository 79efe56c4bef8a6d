//! What can be held against a request from its own text alone (RFC 3261 §8.2, §16.3).
//! Not here: Require, authentication, merged requests, dialogs.

use super::via::Via;
use super::{HeaderId, Message, Method, NameAddr, Uri, scan};

/// The status to refuse a request with, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {why}")]
pub struct Refusal {
    pub status: u16,
    pub why: &'static str,
}

const fn bad(why: &'static str) -> Refusal {
    Refusal { status: 400, why }
}

/// Looks a request over before anything acts on it: 400 for what is malformed, missing or
/// there twice, 505 for another version, 416 for a Request-URI scheme we do not speak, and,
/// after all else, 483 for a request out of dialog that may go no further (the caller lets
/// an OPTIONS or REGISTER meant for us pass). Responses pass: `Message::parse` judged them.
pub fn check_request(m: &Message) -> Result<(), Refusal> {
    if !m.is_request() {
        return Ok(());
    }
    version(m)?;
    single_headers(m)?;
    vias(m)?;
    let Some((_, method)) = m.cseq() else {
        return Err(bad("the CSeq is malformed"));
    };
    // RFC 3261 §8.1.1.5: the CSeq's method is the request's.
    if method != m.method() {
        return Err(bad("the CSeq names another method"));
    }
    addresses(m)?;
    request_uri(m)?;
    max_forwards(m)
}

/// RFC 3261 §7.1: one space between the parts and none at the end; §21.5.6 another version.
fn version(m: &Message) -> Result<(), Refusal> {
    let version = m.version();
    if version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Ok(());
    }
    let number = version.get(4..).unwrap_or(&[]);
    let other = number.iter().all(|b| b.is_ascii_digit() || *b == b'.') && !number.is_empty();
    if other {
        Err(Refusal {
            status: 505,
            why: "not SIP/2.0",
        })
    } else {
        Err(bad("the request line does not end after its version"))
    }
}

/// RFC 3261 §8.1.1: From, To, Call-ID, CSeq are there, once; others at most once (§7.3.1).
fn single_headers(m: &Message) -> Result<(), Refusal> {
    const MUST: [HeaderId; 4] = [
        HeaderId::From,
        HeaderId::To,
        HeaderId::CallId,
        HeaderId::CSeq,
    ];
    const MAY: [HeaderId; 8] = [
        HeaderId::MaxForwards,
        HeaderId::ContentLength,
        HeaderId::ContentType,
        HeaderId::Expires,
        HeaderId::ReferTo,
        HeaderId::ReferredBy,
        HeaderId::Replaces,
        HeaderId::Event,
    ];
    for id in MUST {
        let mut lines = m.raw(id);
        match lines.next() {
            None | Some(b"") => return Err(bad("a mandatory header is missing")),
            Some(_) if lines.next().is_some() => {
                return Err(bad("a mandatory header is there twice"));
            }
            Some(_) => {}
        }
    }
    if MAY.iter().any(|id| m.raw(*id).nth(1).is_some()) {
        return Err(bad("a header is there twice that may be there once"));
    }
    // RFC 3261 §25.1 `callid` has no white space.
    if m.raw(HeaderId::CallId)
        .any(|id| id.iter().any(|b| *b <= b' '))
    {
        return Err(bad("the Call-ID is malformed"));
    }
    Ok(())
}

fn vias(m: &Message) -> Result<(), Refusal> {
    let mut top = true;
    for value in m
        .raw(HeaderId::Via)
        .flat_map(|line| scan::split_top(line, b','))
    {
        let via =
            Via::parse(&String::from_utf8_lossy(value)).map_err(|_| bad("a Via is malformed"))?;
        // RFC 3261 §8.1.1.7: what follows the cookie makes the branch unique.
        if top
            && via
                .branch()
                .is_some_and(|b| b.eq_ignore_ascii_case("z9hG4bK"))
        {
            return Err(bad("the branch is a cookie only"));
        }
        top = false;
    }
    if top {
        Err(bad("there is no Via"))
    } else {
        Ok(())
    }
}

fn addresses(m: &Message) -> Result<(), Refusal> {
    // RFC 3261 §8.2.6.2: a From without a tag is legal, from RFC 2543 on.
    if m.from().is_none() {
        return Err(bad("the From is malformed"));
    }
    if m.to().is_none() {
        return Err(bad("the To is malformed"));
    }
    if m.contact_is_star() {
        // RFC 3261 §10.3 item 6: the star stands alone.
        let alone = m.raw(HeaderId::Contact).nth(1).is_none();
        return if alone {
            Ok(())
        } else {
            Err(bad("a Contact beside *"))
        };
    }
    for value in m
        .raw(HeaderId::Contact)
        .flat_map(|line| scan::split_top(line, b','))
    {
        if NameAddr::parse(&String::from_utf8_lossy(value)).is_err() {
            return Err(bad("a Contact is malformed"));
        }
    }
    Ok(())
}

fn request_uri(m: &Message) -> Result<(), Refusal> {
    let text = m.request_uri().unwrap_or_default();
    let uri = Uri::parse(&text).map_err(|_| bad("the Request-URI is malformed"))?;
    // RFC 3261 §8.2.2.1.
    if !matches!(uri.scheme.as_str(), "sip" | "sips" | "tel") {
        return Err(Refusal {
            status: 416,
            why: "a Request-URI of another scheme",
        });
    }
    // RFC 3261 §19.1.1 table 1: headers are not allowed in a Request-URI.
    if uri.headers.is_some() {
        return Err(bad("the Request-URI holds headers"));
    }
    Ok(())
}

/// RFC 3261 §16.3 item 3. A request without the header passes, as RFC 2543 wrote them.
fn max_forwards(m: &Message) -> Result<(), Refusal> {
    if m.raw(HeaderId::MaxForwards).next().is_none() {
        return Ok(());
    }
    let in_dialog = m.to().is_some_and(|to| to.tag().is_some());
    match m.max_forwards() {
        None => Err(bad("the Max-Forwards is malformed")),
        // An ACK is never answered and a CANCEL goes where its INVITE went.
        Some(0) if !in_dialog && !matches!(m.method(), Method::Ack | Method::Cancel) => {
            Err(Refusal {
                status: 483,
                why: "no hops left",
            })
        }
        Some(_) => Ok(()),
    }
}
