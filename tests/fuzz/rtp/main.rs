//! What strangers send to the media ports: packets and payloads one by one, and streams of an engine in virtual time.

#![no_main]

mod packet;
mod streams;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    packet::check(data);
    streams::play(data);
});
