//! RTP, SDP and sound as values.
//!
//! One [`Engine`] per media thread holds the streams of its calls: it is handed packets, commands and the time, and
//! hands back packets to send and events. It owns no socket, reads no clock and allocates only in
//! [`Engine::command`], so a stream is tested with byte slices and a virtual clock.
//!
//! What it is *not*: it binds no port and resolves no file name (the `net` crate does), and it knows nothing of calls
//! (the `switch` crate does). SDP never crosses from leg to leg: each leg negotiates with us alone, see [`sdp`].
//!
//! Where next: [`engine`](Engine) for the doors, `stream.rs` for one leg's RTP with `latch.rs`, `sender.rs` and
//! `report.rs`, `bridge.rs` for who hears whom with `transcoder.rs`, `room` for three and more with `jitter.rs`,
//! `play.rs` and `tone.rs` for what we say ourselves, [`dtmf`] for the keys of phones,
//! [`codec`] and [`rtp`] for the sound and the packets, `secure.rs` and [`srtp`] for their encryption.
//! [`quality`] for how well it all went.

#![cfg_attr(
    test,
    expect(
        clippy::disallowed_methods,
        reason = "virtual time begins at some time"
    )
)]

mod bridge;
pub mod codec;
mod command;
pub mod dtmf;
mod engine;
mod event;
mod jitter;
mod latch;
mod play;
pub mod quality;
mod report;
mod room;
pub mod rtp;
pub mod sdp;
mod secure;
mod sender;
pub mod srtp;
mod stream;
mod tone;
mod transcoder;

pub use codec::Codec;
pub use command::{
    Clip, Command, Kind, NtpTime, PlayId, Settings, Source, StreamId, Tone, Transmit,
};
pub use dtmf::DtmfMode;
pub use engine::{Engine, Moving};
pub use event::{Event, StreamStats};
pub use room::{ANNOUNCEMENT_CODEC, Audience, RoomId, Seat};
pub use sdp::{Direction, Dtmf, Extended, LocalMedia, Negotiated, Protection, SdpError, Security};
