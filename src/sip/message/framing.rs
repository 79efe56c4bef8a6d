//! Cuts a TCP or TLS stream into messages. Not the socket: bytes are pushed in. It reads
//! heads with the same code as [`Message::parse`](super::Message::parse), so the two cannot
//! disagree about where a message ends, and at the first doubt it gives the stream up.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use super::ParseError;
use super::limits::Limits;
use super::parse;

/// The stream cannot be cut any further: close it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    #[error("the head is malformed: {0}")]
    Head(ParseError),
    // RFC 3261 §18.3: on a stream only Content-Length can say where a message ends.
    #[error("a message on a stream has no Content-Length")]
    NoContentLength,
    #[error("a message is longer than {0} bytes")]
    TooLong(usize),
}

/// One stream's cutter. Push what was read, then take messages until there is none:
/// it holds no more than the limit and one push.
pub struct Framer {
    buf: BytesMut,
    limits: Limits,
    stage: Stage,
    pings: usize,
    oversized: Option<Bytes>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Between messages; `true` when the last thing read was a single CRLF.
    Between {
        line: bool,
    },
    /// In a head whose first `seen` bytes hold no end of it.
    Head {
        seen: usize,
    },
    /// The head is read; the message is `length` bytes in all.
    Body {
        length: usize,
    },
    Dead(FramingError),
}

/// How far it is, not what it holds: that may be credentials.
impl fmt::Debug for Framer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Framer({:?}, {} bytes)", self.stage, self.buf.len())
    }
}

impl Default for Framer {
    fn default() -> Framer {
        Framer::new(Limits::default())
    }
}

impl Framer {
    pub fn new(limits: Limits) -> Framer {
        Framer {
            buf: BytesMut::new(),
            limits,
            stage: Stage::Between { line: false },
            pings: 0,
            oversized: None,
        }
    }

    /// Appends bytes read from the stream. After an error they are dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.stage, Stage::Dead(_)) {
            self.buf.extend_from_slice(bytes);
        }
    }

    /// The next whole message; None when more bytes are needed. An error is final.
    #[expect(
        clippy::should_implement_trait,
        reason = "a failing stream is not an Iterator"
    )]
    pub fn next(&mut self) -> Result<Option<Bytes>, FramingError> {
        let result = self.step();
        if let Err(error) = result {
            self.stage = Stage::Dead(error);
            self.buf = BytesMut::new();
        }
        result
    }

    /// How many double CRLFs came since the last call: each wants one CRLF back
    /// (RFC 5626 §3.5.1).
    pub fn take_pings(&mut self) -> usize {
        std::mem::take(&mut self.pings)
    }

    /// After [`FramingError::TooLong`]: the head of the request that is too long, if it came whole. It is to be
    /// handed on as a message, so that the request is answered 513 (RFC 3261 §21.5.13) before the stream is closed.
    pub fn take_oversized(&mut self) -> Option<Bytes> {
        self.oversized.take()
    }

    /// True between messages, when closing the stream cuts nothing off.
    pub fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Between { .. }) && self.buf.is_empty()
    }

    fn step(&mut self) -> Result<Option<Bytes>, FramingError> {
        loop {
            match self.stage {
                Stage::Dead(error) => return Err(error),
                Stage::Between { line } => {
                    if !self.skip_line(line) {
                        return Ok(None);
                    }
                }
                Stage::Head { seen } => {
                    if !self.find_head(seen)? {
                        return Ok(None);
                    }
                }
                Stage::Body { length } => {
                    if self.buf.len() < length {
                        return Ok(None);
                    }
                    // Copied, so that a message kept for the length of a call does not hold
                    // the stream's whole buffer.
                    let message = Bytes::copy_from_slice(self.buf.get(..length).unwrap_or(&[]));
                    self.buf.advance(length);
                    self.stage = Stage::Between { line: false };
                    return Ok(Some(message));
                }
            }
        }
    }

    /// Takes one CRLF off the front, or finds that a head begins. False: more is needed.
    fn skip_line(&mut self, line: bool) -> bool {
        match self.buf.get(..2) {
            Some(b"\r\n") => {
                self.buf.advance(2);
                self.pings = self.pings.saturating_add(usize::from(line));
                self.stage = Stage::Between { line: !line };
                true
            }
            None if matches!(self.buf.first(), None | Some(b'\r')) => false,
            _ => {
                self.stage = Stage::Head { seen: 0 };
                true
            }
        }
    }

    /// Looks on for the empty line. False: more is needed.
    fn find_head(&mut self, seen: usize) -> Result<bool, FramingError> {
        // The end may have begun in the last three bytes already looked at, so every byte is
        // looked at a fixed number of times however the stream was split.
        let from = seen.saturating_sub(3);
        let tail = self.buf.get(from..).unwrap_or(&[]);
        let Some(at) = memchr::memmem::find(tail, b"\r\n\r\n") else {
            if self.buf.len() > self.limits.message {
                return Err(FramingError::TooLong(self.limits.message));
            }
            self.stage = Stage::Head {
                seen: self.buf.len(),
            };
            return Ok(false);
        };
        let end = from + at + 4;
        let bytes = self.buf.get(..end).unwrap_or(&[]);
        let head = parse::head(bytes, &self.limits).map_err(FramingError::Head)?;
        let body = parse::content_length(bytes, &head)
            .map_err(FramingError::Head)?
            .ok_or(FramingError::NoContentLength)?;
        let length = end.saturating_add(body);
        if length > self.limits.message {
            let head = Bytes::copy_from_slice(bytes);
            self.oversized = parse::salvage(head.clone()).map(|_| head);
            return Err(FramingError::TooLong(self.limits.message));
        }
        self.stage = Stage::Body { length };
        Ok(true)
    }
}
