//! SIP over real sockets on the loopback.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up shall fail"
)]

mod certificates;
mod house;
mod names;
mod peers;
mod plain;
mod websocket;
