//! One SIP message as spans over the bytes it came in, its headers read on demand, and the
//! builder that writes new ones. Not a transaction or a dialog: nothing here remembers
//! another message. Start with [`Message::parse`] (`parse.rs`) and [`Builder`] (`write.rs`);
//! streams are cut into messages by [`Framer`] (`framing.rs`); `check.rs` says which
//! requests are refused before anybody looks at them.

mod address;
mod check;
mod framing;
mod headers;
mod limits;
mod method;
mod params;
mod parse;
pub(crate) mod scan;
pub mod status;
mod uri;
mod via;
mod write;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

pub use address::NameAddr;
pub use check::{Refusal, check_request};
pub use framing::{Framer, FramingError};
pub use headers::HeaderId;
pub use limits::Limits;
pub use method::Method;
pub use params::Params;
pub use uri::Uri;
pub use via::Via;
pub use write::{Builder, stamp_via};

/// Why bytes are not the thing they were read as. `at` is a byte offset where it is known
/// and 0 where it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} (at byte {at})")]
pub struct ParseError {
    pub what: &'static str,
    pub at: usize,
}

impl ParseError {
    pub(crate) const fn new(what: &'static str) -> ParseError {
        ParseError { what, at: 0 }
    }
}

/// A request or a response. Cloning shares the bytes and copies a short list of offsets.
#[derive(Clone)]
pub struct Message {
    bytes: Bytes,
    start: Start,
    fields: Vec<Field>,
    body: Span,
}

/// The start line. Spans are offsets into the message's bytes.
#[derive(Clone, Copy)]
enum Start {
    /// `version` reaches to the end of the line.
    Request {
        method: Span,
        uri: Span,
        version: Span,
    },
    Response {
        status: u16,
        reason: Span,
    },
}

#[derive(Clone, Copy)]
struct Field {
    id: HeaderId,
    name: Span,
    /// Trimmed, unfolded.
    value: Span,
}

#[derive(Clone, Copy, Default)]
struct Span {
    start: usize,
    end: usize,
}

impl Message {
    /// Reads one complete message: a datagram, or what [`Framer`] cut out of a stream.
    /// Octets beyond Content-Length are dropped, too few are an error (RFC 3261 §18.3).
    /// Folded lines are joined, so a value never holds a line end. What the headers mean is
    /// not looked at: see [`check_request`]. A response that no transaction could be found
    /// for (no Via, no CSeq) is refused right here, since nobody answers it.
    pub fn parse(buf: Bytes) -> Result<Message, ParseError> {
        parse::message(buf, &Limits::default())
    }

    /// [`Message::parse`] within other limits.
    pub fn parse_within(buf: Bytes, limits: &Limits) -> Result<Message, ParseError> {
        parse::message(buf, limits)
    }

    /// What can be read of a request that [`Message::parse`] refused: enough to write a 400
    /// with `Builder::response`, never enough to act on. It has no body. None when even a
    /// response could not find its way.
    pub fn salvage(buf: Bytes) -> Option<Message> {
        parse::salvage(buf)
    }

    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// 100..=699; None for a request.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Response { status, .. } => Some(status),
            Start::Request { .. } => None,
        }
    }

    /// The reason phrase as received; empty for a request.
    pub fn reason(&self) -> Cow<'_, str> {
        match self.start {
            Start::Response { reason, .. } => self.text(reason),
            Start::Request { .. } => Cow::Borrowed(""),
        }
    }

    /// A request's method; a response's CSeq method.
    pub fn method(&self) -> Method<'_> {
        match self.start {
            Start::Request { method, .. } => {
                std::str::from_utf8(self.slice(method)).unwrap_or("").into()
            }
            Start::Response { .. } => self.cseq().map_or(Method::Other(""), |(_, m)| m),
        }
    }

    /// The Request-URI as received; None for a response.
    pub fn request_uri(&self) -> Option<Cow<'_, str>> {
        match self.start {
            Start::Request { uri, .. } => Some(self.text(uri)),
            Start::Response { .. } => None,
        }
    }

    /// The value of the first line of that name, trimmed; octets that are not UTF-8 become
    /// U+FFFD.
    pub fn header(&self, id: HeaderId) -> Option<Cow<'_, str>> {
        self.headers(id).next()
    }

    /// The value of every line of that name, in order.
    pub fn headers(&self, id: HeaderId) -> impl Iterator<Item = Cow<'_, str>> {
        self.raw(id).map(String::from_utf8_lossy)
    }

    /// Every line of that name split at commas outside quotes and `<>`; empty values are
    /// left out. Not for Date, Authorization and other fields whose commas mean nothing.
    pub fn values(&self, id: HeaderId) -> impl Iterator<Item = Cow<'_, str>> {
        self.raw(id)
            .flat_map(|line| scan::split_top(line, b','))
            .filter(|value| !value.is_empty())
            .map(String::from_utf8_lossy)
    }

    /// The bytes of every line's value as received, trimmed and unfolded: for echoing.
    pub fn raw(&self, id: HeaderId) -> impl Iterator<Item = &[u8]> {
        self.fields
            .iter()
            .filter(move |f| f.id == id)
            .map(|f| self.slice(f.value))
    }

    /// Like [`Message::header`] for a field of any name, long or compact, in any case.
    pub fn header_named(&self, name: &str) -> Option<Cow<'_, str>> {
        let id = HeaderId::of(name.as_bytes());
        if id != HeaderId::Other {
            return self.header(id);
        }
        self.fields
            .iter()
            .find(|f| self.slice(f.name).eq_ignore_ascii_case(name.as_bytes()))
            .map(|f| self.text(f.value))
    }

    pub fn body(&self) -> &[u8] {
        self.slice(self.body)
    }

    /// The whole message, folded lines joined by spaces.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The topmost Via. This and the readers below give None for absent and malformed.
    pub fn via(&self) -> Option<Via> {
        Via::parse(&self.values(HeaderId::Via).next()?).ok()
    }

    pub fn from(&self) -> Option<NameAddr> {
        NameAddr::parse(&self.header(HeaderId::From)?).ok()
    }

    pub fn to(&self) -> Option<NameAddr> {
        NameAddr::parse(&self.header(HeaderId::To)?).ok()
    }

    /// Every Contact that can be read, in order.
    pub fn contacts(&self) -> Vec<NameAddr> {
        self.values(HeaderId::Contact)
            .filter_map(|c| NameAddr::parse(&c).ok())
            .collect()
    }

    pub fn contact(&self) -> Option<NameAddr> {
        NameAddr::parse(&self.values(HeaderId::Contact).next()?).ok()
    }

    /// `Contact: *`: remove all bindings (RFC 3261 §10.2.2).
    pub fn contact_is_star(&self) -> bool {
        self.raw(HeaderId::Contact).any(|value| value == b"*")
    }

    /// Number and method; the number is below 2^31 (RFC 3261 §8.1.1.5).
    pub fn cseq(&self) -> Option<(u32, Method<'_>)> {
        let value = std::str::from_utf8(self.raw(HeaderId::CSeq).next()?).ok()?;
        let (number, method) = value.split_once([' ', '\t'])?;
        let method = method.trim_start();
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        let number: u32 = number.parse().ok().filter(|n| digits && *n < 1 << 31)?;
        scan::is_token(method.as_bytes()).then(|| (number, method.into()))
    }

    pub fn call_id(&self) -> Option<Cow<'_, str>> {
        self.header(HeaderId::CallId).filter(|id| !id.is_empty())
    }

    pub fn max_forwards(&self) -> Option<u8> {
        let hops = scan::delta_seconds(&self.header(HeaderId::MaxForwards)?)?;
        u8::try_from(hops).ok()
    }

    /// The Expires header in seconds; one too large for 32 bits is `u32::MAX`.
    pub fn expires(&self) -> Option<u32> {
        scan::delta_seconds(&self.header(HeaderId::Expires)?)
    }

    /// `type/subtype` in lower case, without parameters.
    pub fn content_type(&self) -> Option<Cow<'_, str>> {
        let value = self.header(HeaderId::ContentType)?;
        let end = value.find(';').unwrap_or(value.len());
        let mut plain = value.get(..end)?.to_ascii_lowercase();
        plain.retain(|c| c != ' ' && c != '\t');
        Some(Cow::Owned(plain))
    }

    /// The Record-Route values in the order received.
    pub fn record_routes(&self) -> Vec<String> {
        self.values(HeaderId::RecordRoute)
            .map(Cow::into_owned)
            .collect()
    }

    fn slice(&self, span: Span) -> &[u8] {
        self.bytes.get(span.start..span.end).unwrap_or(&[])
    }

    fn text(&self, span: Span) -> Cow<'_, str> {
        String::from_utf8_lossy(self.slice(span))
    }
}

/// The start line only: headers hold credentials and bodies hold keys.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.start {
            Start::Request { method, uri, .. } => {
                write!(f, "{} {}", self.text(method), self.text(uri))
            }
            Start::Response { status, .. } => {
                write!(f, "{status} {} to {}", self.reason(), self.method())
            }
        }
    }
}
