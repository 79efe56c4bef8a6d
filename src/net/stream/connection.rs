//! One connection: its octets framed into messages, its queue written out, its end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sip::{Flow, Framer, Limits};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Inbox, Origin, Seat, StreamLimits, Streams};
use crate::NetEvent;
use crate::settings::Dscp;

/// Octets read at once.
const READ: usize = 16 * 1024;

/// Why a connection ended; for the log only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum End {
    #[error("the peer closed it")]
    Peer,
    #[error("it broke")]
    Broken,
    #[error("nothing came for too long")]
    Idle,
    #[error("a message was not completed in time")]
    Partial,
    #[error("the peer sent what is no SIP message")]
    Framing,
    #[error("the peer sent a message that is too long")]
    TooLong,
    #[error("the peer did not take what was written")]
    Stuck,
    #[error("the switch is gone")]
    Switch,
}

/// How long the rest of a message that is too long is thrown away. Its sender may not listen before it has sent all,
/// and closing on what lies unread would reset the connection and take the answer with it.
const LINGER: Duration = Duration::from_secs(2);

/// Options every connection has; failing to set them costs nothing but comfort.
pub(crate) fn prepare(stream: &TcpStream, dscp: Dscp) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(20));
    let _ = socket.set_tcp_keepalive(&keepalive);
    let ipv6 = stream.local_addr().is_ok_and(|local| local.is_ipv6());
    dscp.mark(&socket, ipv6);
}

/// Runs a connection until it ends, then frees its place and tells.
pub(super) async fn run<S: AsyncRead + AsyncWrite>(
    stream: S,
    seat: Seat,
    origin: Origin,
    streams: Arc<Streams>,
    events: mpsc::Sender<NetEvent>,
) {
    let Seat { flow, inbox } = seat;
    let (read, write) = tokio::io::split(stream);
    let reader = Reader {
        flow,
        events: &events,
        streams: &streams,
        framer: Framer::new(Limits::default()),
        partial_since: None,
        last: Instant::now(),
        greeted: origin != Origin::Accepted,
    };
    // One task polls both, so that either end ends the other. Boxed: these futures are large and long-lived.
    let (mut read, mut write) = (Box::pin(read), Box::pin(write));
    let end = tokio::select! {
        end = reader.run(&mut read) => end,
        end = write_out(&mut write, inbox, &streams.limits) => end,
    };
    tracing::debug!(remote = %flow.remote, transport = flow.transport.as_str(), %end, "a connection ended");
    // A polite goodbye (TLS close_notify), if the peer still listens.
    let _ = tokio::time::timeout(Duration::from_millis(200), write.shutdown()).await;
    streams.tell_end(flow.id, &events).await;
}

/// Writes what is queued until the queue is taken away or the peer stops taking it.
async fn write_out(
    stream: &mut (impl AsyncWrite + Unpin),
    mut inbox: Inbox,
    limits: &StreamLimits,
) -> End {
    while let Some(bytes) = inbox.pop().await {
        let write = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        match tokio::time::timeout(limits.write, write).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Broken,
            Err(_) => return End::Stuck,
        }
    }
    End::Stuck
}

struct Reader<'a> {
    flow: Flow,
    events: &'a mpsc::Sender<NetEvent>,
    streams: &'a Streams,
    framer: Framer,
    /// When the first octet of the message being received came.
    partial_since: Option<Instant>,
    /// When anything came.
    last: Instant,
    /// Whether a whole message has come, or we made the connection.
    greeted: bool,
}

impl Reader<'_> {
    async fn run(mut self, stream: &mut (impl AsyncRead + Unpin)) -> End {
        let mut buffer = vec![0; READ];
        let began = self.last;
        loop {
            let limits = &self.streams.limits;
            let idle = self.last + limits.idle;
            let partial = match self.partial_since {
                Some(since) => Some(since + limits.partial),
                None if !self.greeted => Some(began + limits.partial),
                None => None,
            };
            let deadline = partial.map_or(idle, |partial| partial.min(idle));
            let got = match tokio::time::timeout_at(deadline, stream.read(&mut buffer)).await {
                Ok(Ok(0)) => return End::Peer,
                Ok(Ok(got)) => got,
                Ok(Err(_)) => return End::Broken,
                Err(_) if partial == Some(deadline) => return End::Partial,
                Err(_) => return End::Idle,
            };
            self.last = Instant::now();
            let read = buffer.get(..got).unwrap_or_default();
            if let Err(end) = self.take(read).await {
                if end == End::TooLong {
                    let mut rest = tokio::io::sink();
                    let _ = tokio::time::timeout(LINGER, tokio::io::copy(stream, &mut rest)).await;
                }
                return end;
            }
        }
    }

    /// Frames what was read and hands the messages up. Waiting for the switch here is the back-pressure TCP is for.
    async fn take(&mut self, read: &[u8]) -> Result<(), End> {
        self.framer.push(read);
        loop {
            match self.framer.next() {
                Ok(Some(bytes)) => {
                    self.greeted = true;
                    self.partial_since = None;
                    let message = NetEvent::Message {
                        flow: self.flow,
                        bytes,
                    };
                    self.events.send(message).await.map_err(|_| End::Switch)?;
                }
                Ok(None) => break,
                Err(_) => return Err(self.refuse().await),
            }
        }
        if self.framer.is_idle() {
            self.partial_since = None;
        } else {
            self.partial_since.get_or_insert(self.last);
        }
        // RFC 5626 §3.5.1: a double CRLF is answered by a single one. One answer for many that came at once is
        // enough to show that we live, and gives nobody a queue to fill.
        if self.framer.take_pings() > 0 {
            self.streams
                .push(self.flow, Bytes::from_static(b"\r\n"), None);
        }
        Ok(())
    }
    /// The stream cannot be cut any further. A request that is too long is handed up without its body: who can answer
    /// it says so (RFC 3261 §21.5.13), and then it ends all the same.
    async fn refuse(&mut self) -> End {
        let Some(bytes) = self.framer.take_oversized() else {
            return End::Framing;
        };
        let flow = self.flow;
        match self.events.send(NetEvent::Message { flow, bytes }).await {
            Ok(()) => End::TooLong,
            Err(_) => End::Switch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_marked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let stream = TcpStream::connect(at).await.unwrap();
        prepare(&stream, Dscp::default());
        assert_eq!(SockRef::from(&stream).tos_v4().unwrap(), 24 << 2);
        assert!(stream.nodelay().unwrap());
    }
}
