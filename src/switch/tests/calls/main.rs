//! Stories of calls in virtual time, told by phones that write their own SIP.

mod admission;
mod basic;
mod causes;
mod defence;
mod directory;
mod early;
mod early_media;
mod emergency;
mod forwarding;
mod hiding;
mod hold;
mod identity;
mod keepalive;
mod leaving;
mod life;
mod message;
mod networks;
mod orders;
mod originate;
#[cfg(debug_assertions)]
mod panic;
mod pickup;
mod redirect;
mod reliable;
mod renegotiation;
mod replaces;
mod storm;
mod trace;
mod transfer;
mod trunks;
mod watch;
mod watch_messages;
mod watch_presence;
mod world;
