//! SIP over WebSocket (RFC 7118): browsers. `handshake.rs` is HTTP and ends when the protocol changes; what is here is
//! the connection after it: one SIP message in each WebSocket message.
//!
//! Who is connected and what waits to be written is `stream`'s: a WebSocket has a seat there like any connection.

mod counted;
mod door;
mod handshake;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use sip::{Flow, Limits};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::NetEvent;
use crate::stream::{End, Inbox, Seat, StreamLimits, Streams};
use counted::Counted;
pub use door::WebSockets;
pub(crate) use handshake::{Greeting, answer, shake_hands};

/// Octets read at once. Small, for every connection has them for life.
const READ: usize = 4096;
/// A control frame of a client without its content (RFC 6455 §5.2): header and mask.
const CONTROL: u64 = 6;

/// Runs the connection of `seat` until it ends, then frees its place and tells. `read` came behind the handshake.
pub(crate) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    read: Bytes,
    seat: Seat,
    streams: Arc<Streams>,
    events: mpsc::Sender<NetEvent>,
) {
    let Seat { flow, inbox } = seat;
    let (stream, octets) = Counted::new(stream, read.len());
    let largest = Limits::default().message;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * largest)
        .max_message_size(Some(largest))
        .max_frame_size(Some(largest));
    let socket =
        WebSocketStream::from_partially_read(stream, read.into(), Role::Server, Some(config)).await;
    let (mut sink, mut source) = socket.split();
    let now = Instant::now();
    let reader = Reader {
        flow,
        events: &events,
        streams: &streams,
        octets,
        began: now,
        last: now,
        greeted: false,
        whole: 0,
        partial_since: None,
    };
    let (mut reading, mut writing) = (
        Box::pin(reader.run(&mut source)),
        Box::pin(write_out(&mut sink, inbox, &streams.limits)),
    );
    // One task polls both, so that either end ends the other.
    let end = tokio::select! {
        end = &mut reading => end,
        end = &mut writing => end,
    };
    drop((reading, writing));
    tracing::debug!(remote = %flow.remote, transport = flow.transport.as_str(), %end, "a connection ended");
    // A polite goodbye, if the peer still listens.
    let farewell = async {
        let _ = sink.send(Message::Close(Some(goodbye(end)))).await;
        let _ = sink.close().await;
    };
    let _ = tokio::time::timeout(Duration::from_millis(200), farewell).await;
    streams.tell_end(flow.id, &events).await;
}

/// RFC 6455 §7.4.1: why we close.
fn goodbye(end: End) -> CloseFrame {
    let code = match end {
        End::TooLong => CloseCode::Size,
        End::Framing => CloseCode::Protocol,
        End::Peer => CloseCode::Normal,
        End::Partial | End::Idle | End::Stuck | End::Broken => CloseCode::Policy,
        End::Switch => CloseCode::Away,
    };
    CloseFrame {
        code,
        reason: Utf8Bytes::default(),
    }
}

/// Writes what is queued until the queue is taken away or the peer stops taking it; asks for a sign of life between.
async fn write_out<S: AsyncRead + AsyncWrite + Unpin>(
    sink: &mut futures_util::stream::SplitSink<WebSocketStream<S>, Message>,
    mut inbox: Inbox,
    limits: &StreamLimits,
) -> End {
    loop {
        // RFC 7118 §6: a ping, for browsers cannot send any of their own, and proxies close what is silent.
        let message = match tokio::time::timeout(limits.ping, inbox.pop()).await {
            Ok(Some(bytes)) => whole(bytes),
            Ok(None) => return End::Stuck,
            Err(_) => Message::Ping(Bytes::new()),
        };
        match tokio::time::timeout(limits.write, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Broken,
            Err(_) => return End::Stuck,
        }
    }
}

/// RFC 7118 §4.2: a text message where it is text; browsers' phones may only read those.
fn whole(bytes: Bytes) -> Message {
    match Utf8Bytes::try_from(bytes.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(bytes),
    }
}

struct Reader<'a> {
    flow: Flow,
    events: &'a mpsc::Sender<NetEvent>,
    streams: &'a Streams,
    /// Octets that have come in all.
    octets: counted::Octets,
    began: Instant,
    /// When a whole frame came.
    last: Instant,
    /// Whether a SIP message has come.
    greeted: bool,
    /// Octets that belonged to whole messages.
    whole: u64,
    /// Since when there is a part of a message.
    partial_since: Option<Instant>,
}

impl Reader<'_> {
    async fn run<S>(mut self, source: &mut S) -> End
    where
        S: futures_util::Stream<Item = Result<Message, Error>> + Unpin,
    {
        loop {
            let deadline = self.deadline();
            match tokio::time::timeout_at(deadline, source.next()).await {
                Ok(Some(Ok(message))) => {
                    if let Err(end) = self.take(message).await {
                        return end;
                    }
                }
                Ok(None) => return End::Peer,
                Ok(Some(Err(error))) => return why(&error),
                Err(_) if self.partial_since.is_some() || !self.greeted => return End::Partial,
                Err(_) => return End::Idle,
            }
        }
    }

    /// Whoever is there answers pings: two may get lost. The first SIP message, and the rest of one, are not waited for
    /// any longer than on other streams.
    fn deadline(&self) -> Instant {
        let limits = &self.streams.limits;
        let idle = self.last + limits.ping * 5 / 2;
        let partial = match self.partial_since {
            Some(since) => Some(since + limits.partial),
            None if !self.greeted => Some(self.began + limits.partial),
            None => None,
        };
        partial.map_or(idle, |partial| partial.min(idle))
    }

    async fn take(&mut self, message: Message) -> Result<(), End> {
        self.last = Instant::now();
        let bytes = match message {
            Message::Text(text) => Bytes::from(text),
            Message::Binary(bytes) => bytes,
            Message::Ping(content) | Message::Pong(content) => {
                self.control(content.len());
                return Ok(());
            }
            Message::Close(_) => return Err(End::Peer),
            // Only writers make those.
            Message::Frame(_) => return Ok(()),
        };
        self.whole = self.octets.so_far();
        self.partial_since = None;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            // RFC 5626 §3.5.1, which RFC 7118 §6 leaves to clients.
            if bytes == "\r\n\r\n" {
                self.streams
                    .push(self.flow, Bytes::from_static(b"\r\n"), None);
            }
            return Ok(());
        }
        self.greeted = true;
        let flow = self.flow;
        let told = self.events.send(NetEvent::Message { flow, bytes }).await;
        told.map_err(|_| End::Switch)
    }

    /// A control frame may come between the fragments of a message (RFC 6455 §5.4), and must not keep it alive: what
    /// came beside control frames is part of one that is not whole.
    fn control(&mut self, content: usize) {
        self.whole += CONTROL + content as u64;
        if self.octets.so_far() > self.whole {
            self.partial_since.get_or_insert(self.last);
        } else {
            self.partial_since = None;
        }
    }
}

fn why(error: &Error) -> End {
    match error {
        Error::Capacity(_) => End::TooLong,
        Error::Protocol(_) | Error::Utf8(_) => End::Framing,
        Error::ConnectionClosed | Error::AlreadyClosed => End::Peer,
        Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => End::Peer,
        _ => End::Broken,
    }
}
