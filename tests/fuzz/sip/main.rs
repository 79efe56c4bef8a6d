//! What strangers send to the SIP ports. Every input is read in three ways: as one message, as a stream cut anywhere,
//! and as a conversation with an endpoint. A broken promise is a panic, and libFuzzer keeps the input.

#![no_main]

mod conversation;
mod message;
mod stream;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    message::check(data);
    stream::check(data);
    conversation::play(data);
});
