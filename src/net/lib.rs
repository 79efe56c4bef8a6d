//! Sockets and clocks: everything of Offhook that touches the network or the disk for a call.
//!
//! *What it is*: [`Transports`] carries SIP over UDP, TCP, TLS and WebSocket; [`Media`] runs the threads that carry RTP and
//! feed `media::Engine`; `files` turns sound files into clips; [`tls`] makes and loads certificates.
//!
//! *What it is not*: it understands neither a SIP message (only where a message ends, by `sip::Framer`) nor an RTP
//! packet (only whose it is). It decides nothing about calls; what fails is told upwards as an event.
//!
//! *Where next*: `transports.rs` is the door for SIP, `rtp/mod.rs` the door for media.

mod certificates;
mod descriptors;
mod dns;
mod files;
mod incoming;
mod listen;
mod peers;
mod pinned;
mod pktinfo;
mod route;
mod rtp;
mod settings;
mod size;
mod stream;
mod stun;
pub mod tls;
mod transports;
mod udp;
mod validity;
mod webhook;
mod websocket;

use bytes::Bytes;
use sip::Flow;

pub use certificates::{CertificateState, Certificates, Pair};
pub use descriptors::raise_limit;
pub use incoming::Incoming;
pub use listen::{BindError, Listen, ListenError};
pub use peers::{Peers, TlsPeer, Verify};
pub use rtp::Media;
pub use settings::{Dscp, Settings, UnknownDscp};
pub use stream::StreamLimits;
pub use transports::Transports;
pub use webhook::{Webhook, WebhookError};
pub use websocket::WebSockets;

/// What the network tells the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetEvent {
    /// One whole SIP message: a datagram, or one framed piece of a stream.
    Message { flow: Flow, bytes: Bytes },
    /// A stream ended, or what was asked to be sent over `flow` could not be sent. A stream opened for a flow with
    /// id 0 is reported under that flow too, so that whoever asked recognises it.
    FlowClosed(Flow),
    /// Before a connection's first message: its other side has shown the certificate of these trunks.
    Proven { flow: Flow, trunks: Vec<String> },
}

/// DSCP EF (46): telephony, RFC 4594 §2.3.
const TRAFFIC_CLASS_RTP: u32 = 46 << 2;
