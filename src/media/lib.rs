//! Being built.
pub mod codec;
pub mod rtp;
