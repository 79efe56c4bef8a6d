//! SIP as values: messages, transactions, dialogs, digest. Bytes and the time go in; bytes,
//! deadlines and events come out. Not here: sockets, clocks, threads, SDP, and what a call is.
//!
//! Where next: `message/` reads and writes one message; `digest` proves who sent it;
//! `transaction/` repeats and absorbs repeats; `dialog/` keeps two parties in step;
//! `subscribe/` tells who subscribed; `endpoint` holds the four doors over them. `flow` says where bytes came from.
//!
//! The way in: `Framer` cuts a stream (a datagram is already cut), `Message::parse` reads,
//! `stamp_via` notes the source, `check_request` refuses. A request that does not parse may
//! still be answered 400: `Message::salvage` reads as much as the answer needs.

#![cfg_attr(
    test,
    expect(
        clippy::disallowed_methods,
        reason = "virtual time begins at some time"
    )
)]

mod arena;
mod dialog;
pub mod digest;
mod dispatch;
pub mod endpoint;
pub mod flow;
pub mod message;
mod screen;
mod secret;
mod subscribe;
mod timers;
mod transaction;

pub use endpoint::{
    Ask, Config, DialogAlias, DialogId, DialogNames, Endpoint, Invite, Login, OutRequest, Output,
    Reliable, Sender, SessionTimer, SipEvent, TransactionId,
};
pub use flow::{Flow, Transport};
pub use message::{
    Builder, Framer, FramingError, HeaderId, Limits, Message, Method, NameAddr, Params, ParseError,
    Refusal, Uri, Via, check_request, stamp_via, status,
};
pub use subscribe::{KeptSubscription, News, Reason, SubscriptionEvent, SubscriptionId};
