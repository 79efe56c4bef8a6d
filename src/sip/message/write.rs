//! Writing messages. Every part is looked at before it goes in: no value can add a line.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::via::Via;
use super::{HeaderId, Message, ParseError, scan, status};

/// Builds one message, headers in the order given. The first fault is kept and told by
/// [`Builder::build`].
#[derive(Clone)]
pub struct Builder {
    head: Vec<u8>,
    /// Where a tag goes into the To that was copied without one.
    tag_at: Option<usize>,
    body: Vec<u8>,
    fault: Option<&'static str>,
}

impl Builder {
    /// A request; Via, From, To, Call-ID, CSeq, Max-Forwards are the caller's to add.
    pub fn request(method: &str, uri: &str) -> Builder {
        let mut builder = Builder::with_capacity(512);
        if !scan::is_token(method.as_bytes()) {
            builder.fault = Some("the method is not a token");
        }
        if uri.is_empty() || uri.bytes().any(|b| b <= b' ' || b == 0x7f) {
            builder.fault = Some("the Request-URI holds blanks or nothing");
        }
        builder.line(&[method.as_bytes(), b" ", uri.as_bytes(), b" SIP/2.0"]);
        builder
    }

    /// A response to `request`, with `reason` or the usual phrase.
    pub fn response(status: u16, reason: Option<&str>, request: &Message) -> Builder {
        let mut builder = Builder::with_capacity(request.bytes().len().min(2048) + 256);
        let reason = reason.unwrap_or(status::reason(status));
        if !(100..700).contains(&status) {
            builder.fault = Some("the status is not 100 to 699");
        }
        if has_line_end(reason.as_bytes()) {
            builder.fault = Some("the reason phrase holds a line end");
        }
        builder.line(&[
            b"SIP/2.0 ",
            status.to_string().as_bytes(),
            b" ",
            reason.as_bytes(),
        ]);
        // RFC 3261 §8.2.6.2: these are the request's, every Via in its order.
        for id in [
            HeaderId::Via,
            HeaderId::From,
            HeaderId::To,
            HeaderId::CallId,
            HeaderId::CSeq,
        ] {
            builder.echo(id, request);
        }
        // RFC 3261 §8.2.6.1.
        if status == 100 {
            builder.echo(HeaderId::Timestamp, request);
        }
        builder
    }

    /// Gives the To copied from the request a tag when it has none.
    pub fn to_tag(mut self, tag: &str) -> Builder {
        if !scan::is_token(tag.as_bytes()) {
            self.fault = Some("the tag is not a token");
        }
        if let Some(at) = self.tag_at.take() {
            let parameter = [b";tag=", tag.as_bytes()].concat();
            self.head.splice(at..at, parameter);
        }
        self
    }

    /// Appends a header. Content-Length is the builder's own.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Builder {
        let value = value.as_ref();
        if !scan::is_token(name.as_bytes()) {
            self.fault = Some("a header's name is not a token");
        }
        if HeaderId::of(name.as_bytes()) == HeaderId::ContentLength {
            self.fault = Some("Content-Length is counted, not given");
        }
        if has_line_end(value) {
            self.fault = Some("a header's value holds a line end");
        }
        self.line(&[name.as_bytes(), b": ", value]);
        self
    }

    /// Sets the body, once, and says what it is.
    pub fn body(self, content_type: &str, body: &[u8]) -> Builder {
        let mut builder = self.header("Content-Type", content_type);
        if !builder.body.is_empty() {
            builder.fault = Some("a message has one body");
        }
        builder.body = body.to_vec();
        builder
    }

    /// The finished bytes, or the first part that must not go on the wire.
    pub fn build(mut self) -> Result<Bytes, ParseError> {
        if let Some(what) = self.fault {
            return Err(ParseError::new(what));
        }
        let length = self.body.len().to_string();
        self.line(&[b"Content-Length: ", length.as_bytes()]);
        self.line(&[]);
        self.head.append(&mut self.body);
        Ok(Bytes::from(self.head))
    }

    fn with_capacity(bytes: usize) -> Builder {
        Builder {
            head: Vec::with_capacity(bytes),
            tag_at: None,
            body: Vec::new(),
            fault: None,
        }
    }

    fn line(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.head.extend_from_slice(part);
        }
        self.head.extend_from_slice(b"\r\n");
    }

    /// Copies octets as received. They hold no line end: a parsed value never does. They may
    /// hold an escaped NUL, which goes back as it came.
    fn echo(&mut self, id: HeaderId, request: &Message) {
        for value in request.raw(id) {
            self.line(&[id.name().as_bytes(), b": ", value]);
            if id == HeaderId::To && !has_tag(request) {
                self.tag_at = Some(self.head.len() - 2);
            }
        }
    }
}

fn has_line_end(value: &[u8]) -> bool {
    value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0))
}

fn has_tag(request: &Message) -> bool {
    match request.to() {
        Some(to) => to.params.has("tag"),
        // The To of a request that is being refused as malformed.
        None => request
            .header(HeaderId::To)
            .is_some_and(|to| to.to_ascii_lowercase().contains(";tag=")),
    }
}

/// Sets received and rport of the topmost Via from the packet's source (RFC 3261 §18.2.1,
/// RFC 3581 §4). What the sender wrote there is taken out: it is ours to say. A message
/// whose Via cannot be read comes back as it was.
pub fn stamp_via(message: Message, source: SocketAddr) -> Message {
    let Some((span, via)) = message.first_value(HeaderId::Via).zip(message.via()) else {
        return message;
    };
    let address = source.ip().to_canonical();
    let rport = via.rport().is_some();
    // RFC 3581 §4: with rport, received is there even when it says what sent-by says.
    let received = rport || !sent_from(&via, address);
    if !received && !via.params.has("received") {
        return message;
    }
    let mut stamped = Vec::with_capacity(span.end - span.start + 64);
    for (i, part) in scan::split_top(message.slice(span), b';').enumerate() {
        let name = part.split(|b| *b == b'=').next().map_or(part, scan::trim);
        if i > 0 && (name.eq_ignore_ascii_case(b"received") || name.eq_ignore_ascii_case(b"rport"))
        {
            continue;
        }
        if i > 0 {
            stamped.push(b';');
        }
        stamped.extend_from_slice(part);
    }
    if received {
        stamped.extend_from_slice(format!(";received={address}").as_bytes());
    }
    if rport {
        stamped.extend_from_slice(format!(";rport={}", source.port()).as_bytes());
    }
    message.splice(span, &stamped)
}

fn sent_from(via: &Via, address: IpAddr) -> bool {
    via.host
        .parse::<IpAddr>()
        .is_ok_and(|host| host.to_canonical() == address)
}
