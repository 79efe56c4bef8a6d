//! RTP and RTCP as values (RFC 3550), and the telephone events of RFC 4733.
//!
//! Not here: sockets, clocks, who talks to whom (`stream`, `bridge`). Nothing here allocates, and nothing a peer sends
//! makes it panic. Next: `packet` reads and writes headers, `rtcp` the reports with `xr`, `stats` keeps what a report says,
//! `dtmf` the digits.

pub mod dtmf;
pub mod packet;
pub mod rtcp;
pub mod stats;
pub mod xr;
