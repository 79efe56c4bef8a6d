//! Decodes the voice of one party, only to listen for the tones of keys.
//!
//! Not here: whether anybody asks for it (`stream.rs`: only where the party told of no better way).

use super::detector::{Detector, Found};
use super::{Edge, Edges};
use crate::Codec;
use crate::codec::{CodecError, Decoder, MAX_FRAME};
use crate::rtp::packet::Header;

/// Packets lost in a row over which a tone goes on.
const MAX_LOST: u16 = 3;
/// Longer payloads are no voice of ours.
const MAX_PAYLOAD: usize = 1_500;

#[derive(Debug)]
pub(crate) struct Listener {
    codec: Codec,
    decoder: Decoder,
    detector: Detector,
    pcm: Box<[i16]>,
    /// SSRC and sequence number of the newest packet, and its samples.
    newest: Option<(u32, u16, usize)>,
}

impl Listener {
    /// Allocates.
    pub(crate) fn new(codec: Codec) -> Result<Listener, CodecError> {
        Ok(Listener {
            codec,
            decoder: Decoder::new(codec, rate_hz(codec))?,
            detector: Detector::new(),
            pcm: vec![0; MAX_FRAME].into(),
            newest: None,
        })
    }

    pub(crate) fn hears(&self, codec: Codec) -> bool {
        self.codec == codec
    }

    /// Whether the voice is a key's tone, or seems to become one.
    pub(crate) fn suspects(&self) -> bool {
        self.detector.suspects()
    }

    /// Takes a packet of voice; what the party presses goes to `edges`.
    pub(crate) fn take(&mut self, header: &Header, payload: &[u8], edges: &mut Edges) {
        if payload.len() > MAX_PAYLOAD {
            return;
        }
        if let Some((ssrc, sequence, samples)) = self.newest
            && ssrc == header.ssrc
        {
            let ahead = header.sequence.wrapping_sub(sequence) as i16;
            if ahead <= 0 && ahead > -100 {
                return;
            }
            self.bridge(ahead, samples, edges);
        }
        let samples = self.decoder.decode(payload, &mut self.pcm);
        self.newest = Some((header.ssrc, header.sequence, samples));
        self.listen(samples, edges);
        if self.detector.is_down() {
            edges.push(Edge::Held);
        }
    }

    /// Invents what was lost, so that a tone is neither cut short nor cut in two.
    fn bridge(&mut self, ahead: i16, samples: usize, edges: &mut Edges) {
        let lost = ahead.unsigned_abs().saturating_sub(1);
        if ahead > 0 && lost <= MAX_LOST && self.detector.suspects() {
            for _ in 0..lost {
                let made = self.decoder.conceal(&mut self.pcm, samples);
                self.listen(made, edges);
            }
        }
    }

    fn listen(&mut self, samples: usize, edges: &mut Edges) {
        let samples = self.pcm.len().min(samples);
        let Some(pcm) = self.pcm.get_mut(..samples) else {
            return;
        };
        let length = if rate_hz(self.codec) == 16_000 {
            halve(pcm)
        } else {
            pcm.len()
        };
        let sound = pcm.get(..length).unwrap_or_default();
        self.detector.hear(sound, |found| match found {
            Found::Down(key) => edges.push(Edge::Down(key)),
            Found::Up(ms) => edges.push(Edge::Up(ms)),
        });
    }
}

/// Keys need no more than 8 kHz, but G.722 is made of bands of 16 kHz.
fn rate_hz(codec: Codec) -> u32 {
    match codec {
        Codec::Pcmu | Codec::Pcma | Codec::Opus => 8_000,
        Codec::G722 => 16_000,
    }
}

/// Two samples become one, in place; the tones of keys lie far below where that folds. The new length.
fn halve(pcm: &mut [i16]) -> usize {
    let half = pcm.len() / 2;
    for i in 0..half {
        let pair = pcm.get(2 * i..2 * i + 2).unwrap_or_default();
        let sum: i32 = pair.iter().map(|&s| i32::from(s)).sum();
        if let Some(slot) = pcm.get_mut(i) {
            *slot = (sum / 2) as i16;
        }
    }
    half
}
