//! Rebuilds the crate when the embedded dialplan or sounds change, so that a new binary carries them.

fn main() {
    println!("cargo::rerun-if-changed=../../dialplan");
    println!("cargo::rerun-if-changed=../../sounds");
}
