//! Bytes to [`Message`]. One walk over the head finds the lines and classifies their names;
//! values are not looked into. Line ends are CRLF and nothing else, because whoever reads a
//! boundary differently from a neighbour can be made to read a body as a request.

use bytes::Bytes;

use super::limits::Limits;
use super::{Field, HeaderId, Message, ParseError, Span, Start, scan};

/// Everything before the body, as offsets into the buffer it was read from.
pub(super) struct Head {
    start_line: Span,
    fields: Vec<Field>,
    /// Where the body begins.
    pub(super) end: usize,
    folded: bool,
}

/// See [`Message::parse`].
pub(super) fn message(buf: Bytes, limits: &Limits) -> Result<Message, ParseError> {
    let mut buf = without_leading_lines(buf);
    let head = head(&buf, limits)?;
    let start = start_line(&buf, head.start_line)?;
    let body_end = match content_length(&buf, &head)? {
        // RFC 3261 §18.3: on a datagram the end of the packet ends the body.
        None => buf.len(),
        Some(length) => head
            .end
            .checked_add(length)
            .filter(|end| *end <= buf.len())
            .ok_or(ParseError {
                what: "the body is shorter than its Content-Length",
                at: buf.len(),
            })?,
    };
    if body_end > limits.message {
        return Err(ParseError {
            what: "the message is too large",
            at: limits.message,
        });
    }
    buf.truncate(body_end);
    if head.folded {
        buf = unfold(&buf, head.end);
    }
    let message = Message {
        bytes: buf,
        start,
        body: Span {
            start: head.end,
            end: body_end,
        },
        fields: head.fields,
    };
    if !message.is_request() && (message.via().is_none() || message.cseq().is_none()) {
        return Err(ParseError::new("a response without a usable Via or CSeq"));
    }
    Ok(message)
}

/// See [`Message::salvage`]. Lines end at any LF here; what does not read as a header is
/// left out, and so is everything after the first empty line.
pub(super) fn salvage(buf: Bytes) -> Option<Message> {
    let limits = Limits::default();
    let buf = without_leading_lines(buf);
    let mut lines = LooseLines { buf: &buf, at: 0 };
    let start = start_line(&buf, lines.next()?).ok()?;
    let mut fields: Vec<Field> = Vec::with_capacity(16);
    for line in lines.take(limits.headers) {
        if line.end == line.start {
            break;
        }
        let bytes = buf.get(line.start..line.end)?;
        if line.end - line.start > limits.header_bytes || memchr::memchr2(b'\r', 0, bytes).is_some()
        {
            continue;
        }
        fields.extend(field(&buf, line).ok());
    }
    let message = Message {
        bytes: buf,
        start,
        fields,
        body: Span::default(),
    };
    let answerable = [
        HeaderId::Via,
        HeaderId::From,
        HeaderId::To,
        HeaderId::CallId,
        HeaderId::CSeq,
    ]
    .iter()
    .all(|id| message.raw(*id).next().is_some());
    (message.is_request() && answerable).then_some(message)
}

/// RFC 3261 §7.5: empty lines before the start line are ignored.
fn without_leading_lines(mut buf: Bytes) -> Bytes {
    let lines = buf.chunks(2).take_while(|pair| pair == b"\r\n").count();
    buf.split_off(lines * 2)
}

/// Reads the head at the beginning of `buf`, which has no leading empty lines.
pub(super) fn head(buf: &[u8], limits: &Limits) -> Result<Head, ParseError> {
    let mut fields: Vec<Field> = Vec::with_capacity(24);
    let mut folded = false;
    let start_line = line(buf, 0, limits.header_bytes)?;
    // Where the header that is being read began, and where its last line ended.
    let mut logical = Span::default();
    let mut at = start_line.end + 2;
    loop {
        let next = line(buf, at, limits.header_bytes)?;
        at = next.end + 2;
        if matches!(buf.get(next.start), Some(b' ' | b'\t')) && next.end > next.start {
            // RFC 3261 §7.3.1: a line that begins with white space continues the one before.
            if logical.end == 0 {
                return Err(ParseError {
                    what: "the start line is folded",
                    at: next.start,
                });
            }
            folded = true;
            logical.end = next.end;
            if logical.end - logical.start > limits.header_bytes {
                return Err(ParseError {
                    what: "a header is too long",
                    at: next.start,
                });
            }
            continue;
        }
        if logical.end != 0 {
            if fields.len() == limits.headers {
                return Err(ParseError {
                    what: "too many headers",
                    at: logical.start,
                });
            }
            fields.push(field(buf, logical)?);
        }
        if next.end == next.start {
            no_bare_nul(buf.get(..at).unwrap_or(buf))?;
            return Ok(Head {
                start_line,
                fields,
                end: at,
                folded,
            });
        }
        logical = next;
    }
}

/// The line that begins at `at`, without its CRLF.
fn line(buf: &[u8], at: usize, limit: usize) -> Result<Span, ParseError> {
    let rest = buf.get(at..).unwrap_or(&[]);
    let rest = rest.get(..limit + 2).unwrap_or(rest);
    let end = memchr::memchr2(b'\r', b'\n', rest).ok_or(ParseError {
        what: if rest.len() > limit {
            "a line is too long"
        } else {
            "the head does not end"
        },
        at,
    })?;
    if rest.get(end..end + 2) != Some(b"\r\n") {
        return Err(ParseError {
            what: "a line end that is not CRLF",
            at: at + end,
        });
    }
    Ok(Span {
        start: at,
        end: at + end,
    })
}

/// RFC 3261 §25.1: a NUL may stand in a quoted string after a backslash, nowhere else.
fn no_bare_nul(head: &[u8]) -> Result<(), ParseError> {
    for at in memchr::memchr_iter(0, head) {
        if at == 0 || head.get(at - 1) != Some(&b'\\') {
            return Err(ParseError {
                what: "a NUL in the head",
                at,
            });
        }
    }
    Ok(())
}

/// `Name : value`. RFC 3261 §25.1: HCOLON allows blanks before the colon, even though §7.3.1
/// advises against them.
fn field(buf: &[u8], line: Span) -> Result<Field, ParseError> {
    let bytes = buf.get(line.start..line.end).unwrap_or(&[]);
    let colon = memchr::memchr(b':', bytes).ok_or(ParseError {
        what: "a header without a colon",
        at: line.start,
    })?;
    let mut name = bytes.get(..colon).unwrap_or(&[]);
    while let [rest @ .., b' ' | b'\t'] = name {
        name = rest;
    }
    if !scan::is_token(name) {
        return Err(ParseError {
            what: "a header's name is not a token",
            at: line.start,
        });
    }
    let value = bytes.get(colon + 1..).unwrap_or(&[]);
    let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let lead = value.iter().take_while(|b| blank(b)).count();
    let start = line.start + colon + 1 + lead;
    Ok(Field {
        id: HeaderId::of(name),
        name: Span {
            start: line.start,
            end: line.start + name.len(),
        },
        value: Span {
            start,
            end: start + scan::trim(value).len(),
        },
    })
}

fn start_line(buf: &[u8], line: Span) -> Result<Start, ParseError> {
    let bytes = buf.get(line.start..line.end).unwrap_or(&[]);
    let fault = |what| ParseError {
        what,
        at: line.start,
    };
    let first = memchr::memchr(b' ', bytes).ok_or(fault("the start line has no space"))?;
    let (word, rest) = bytes.split_at(first);
    if word.len() > 4
        && word
            .get(..4)
            .is_some_and(|w| w.eq_ignore_ascii_case(b"SIP/"))
    {
        return status_line(line, word, rest).ok_or(fault("the status line"));
    }
    if !scan::is_token(word) {
        return Err(fault("the method is not a token"));
    }
    let last = memchr::memrchr(b' ', trim_end(bytes))
        .filter(|last| *last > first)
        .ok_or(fault("the request line has too few parts"))?;
    let version = bytes.get(last + 1..).unwrap_or(&[]);
    // RFC 3261 §7.1: the version is compared without regard to case. Another number is
    // answered 505 later; another protocol is not answered.
    if !version
        .get(..4)
        .is_some_and(|v| v.eq_ignore_ascii_case(b"SIP/"))
    {
        return Err(fault("the request is not SIP"));
    }
    let span = |from: usize, to: usize| Span {
        start: line.start + from,
        end: line.start + to,
    };
    Ok(Start::Request {
        method: span(0, first),
        uri: span(first + 1, last),
        version: span(last + 1, bytes.len()),
    })
}

/// `rest` begins with the space after the version.
fn status_line(line: Span, version: &[u8], rest: &[u8]) -> Option<Start> {
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return None;
    }
    let code = rest
        .get(1..4)
        .filter(|c| c.iter().all(u8::is_ascii_digit))?;
    let status: u16 = std::str::from_utf8(code).ok()?.parse().ok()?;
    // RFC 3261 §25.1: six classes; the phrase may be empty, and some leave its space out.
    if !(100..700).contains(&status) || !matches!(rest.get(4), None | Some(b' ')) {
        return None;
    }
    let start = line.start + version.len() + rest.len().min(5);
    Some(Start::Response {
        status,
        reason: Span {
            start,
            end: line.end,
        },
    })
}

fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The one rule by which a head says how long its body is, for datagrams and streams alike.
/// Anything that two readers could take differently is an error.
pub(super) fn content_length(buf: &[u8], head: &Head) -> Result<Option<usize>, ParseError> {
    let mut length = None;
    for field in head
        .fields
        .iter()
        .filter(|f| f.id == HeaderId::ContentLength)
    {
        let at = field.value.start;
        if length.is_some() {
            return Err(ParseError {
                what: "more than one Content-Length",
                at,
            });
        }
        let digits = buf.get(at..field.value.end).unwrap_or(&[]);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(ParseError {
                what: "a Content-Length that is not a number",
                at,
            });
        }
        let number = std::str::from_utf8(digits)
            .ok()
            .and_then(|d| d.parse().ok());
        length = Some(number.ok_or(ParseError {
            what: "a Content-Length too large to count",
            at,
        })?);
    }
    Ok(length)
}

/// Writes two spaces over every line end that is folding: all offsets stay what they were.
fn unfold(buf: &[u8], head_end: usize) -> Bytes {
    let mut copy = buf.to_vec();
    if let Some(head) = copy.get_mut(..head_end) {
        let ends: Vec<usize> = memchr::memmem::find_iter(head, b"\r\n").collect();
        for at in ends {
            if matches!(head.get(at + 2), Some(b' ' | b'\t'))
                && let Some(end) = head.get_mut(at..at + 2)
            {
                end.fill(b' ');
            }
        }
    }
    Bytes::from(copy)
}

/// Lines that end at LF, with or without CR.
struct LooseLines<'a> {
    buf: &'a [u8],
    at: usize,
}

impl Iterator for LooseLines<'_> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        let rest = self.buf.get(self.at..).filter(|r| !r.is_empty())?;
        let start = self.at;
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.at += end + 1;
        let cr = end > 0 && rest.get(end - 1) == Some(&b'\r');
        Some(Span {
            start,
            end: start + end - usize::from(cr),
        })
    }
}

impl Message {
    /// The same message with other bytes in place of `old`, all later offsets moved.
    pub(super) fn splice(&self, old: Span, new: &[u8]) -> Message {
        let mut bytes = Vec::with_capacity(self.bytes.len() + new.len());
        bytes.extend_from_slice(self.bytes.get(..old.start).unwrap_or(&[]));
        bytes.extend_from_slice(new);
        bytes.extend_from_slice(self.bytes.get(old.end..).unwrap_or(&[]));
        let moved = |at: usize| {
            if at >= old.end {
                at - old.end + old.start + new.len()
            } else {
                at
            }
        };
        let span = |s: Span| Span {
            start: moved(s.start),
            end: moved(s.end),
        };
        let fields = self.fields.iter().map(|f| Field {
            id: f.id,
            name: span(f.name),
            value: span(f.value),
        });
        Message {
            fields: fields.collect(),
            // The start line stands before every header.
            start: self.start,
            body: span(self.body),
            bytes: Bytes::from(bytes),
        }
    }

    /// Where the first value of that name stands: the first that is not empty, as `Message::values` has it.
    pub(super) fn first_value(&self, id: HeaderId) -> Option<Span> {
        let lines = self.fields.iter().filter(|f| f.id == id);
        lines
            .flat_map(|f| self.parts(f.value))
            .find(|part| part.start < part.end)
    }

    /// Where the values of a line stand, trimmed.
    fn parts(&self, line: Span) -> impl Iterator<Item = Span> {
        let mut next = Some(line.start);
        std::iter::from_fn(move || {
            let start = next?;
            let rest = self.bytes.get(start..line.end)?;
            let comma = scan::find_top(rest, b',');
            next = comma.map(|comma| start + comma + 1);
            let part = rest.get(..comma.unwrap_or(rest.len()))?;
            let lead = part.iter().take_while(|b| b" \t\r\n".contains(b)).count();
            Some(Span {
                start: start + lead,
                end: start + lead + scan::trim(part).len(),
            })
        })
    }

    pub(super) fn version(&self) -> &[u8] {
        match self.start {
            Start::Request { version, .. } => self.slice(version),
            Start::Response { .. } => b"SIP/2.0",
        }
    }
}
