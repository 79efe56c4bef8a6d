//! A sound file as samples: WAV (PCM, A-law, µ-law, float) and FLAC, by symphonia.

use std::fs::File;
use std::path::Path;

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use super::SoundError;

/// Longest sound that is loaded. Ten minutes at 48 kHz are 58 MB of samples while they are encoded.
pub(super) const LONGEST_S: usize = 600;
/// Rates outside of this are damage, not sound.
const RATES_HZ: std::ops::RangeInclusive<u32> = 4000..=192_000;

/// One channel of sound.
#[derive(Debug)]
pub(crate) struct Sound {
    pub(crate) rate_hz: u32,
    pub(crate) samples: Vec<i16>,
}

/// Decodes the whole file and mixes its channels into one.
pub(super) fn decode(file: File, path: &Path) -> Result<Sound, SoundError> {
    let stream = MediaSourceStream::new(Box::new(file), MediaSourceStreamOptions::default());
    let mut hint = Hint::new();
    if let Some(extension) = path.extension().and_then(|e| e.to_str()) {
        hint.with_extension(extension);
    }
    let mut format = symphonia::default::get_probe()
        .probe(
            &hint,
            stream,
            FormatOptions::default(),
            MetadataOptions::default(),
        )
        .map_err(damaged)?;
    let (track, mut decoder) = open(&*format)?;
    let mut sound = Sound {
        rate_hz: 0,
        samples: Vec::new(),
    };
    let mut interleaved: Vec<f32> = Vec::new();
    loop {
        let packet = match format.next_packet() {
            Ok(Some(packet)) => packet,
            // A file cut short is played as far as it goes.
            Ok(None) | Err(Error::IoError(_) | Error::ResetRequired) => break,
            Err(error) => return Err(damaged(error)),
        };
        if packet.track_id != track {
            continue;
        }
        let block = match decoder.decode(&packet) {
            Ok(block) => block,
            Err(Error::DecodeError(_) | Error::IoError(_)) => continue,
            Err(error) => return Err(damaged(error)),
        };
        let rate = block.spec().rate();
        if sound.rate_hz == 0 {
            sound.rate_hz = rate;
        }
        let channels = block.num_planes();
        if channels == 0 || rate != sound.rate_hz || !RATES_HZ.contains(&rate) {
            return Err(SoundError::Decode(format!(
                "{channels} channels at {rate} Hz"
            )));
        }
        interleaved.clear();
        block.copy_to_vec_interleaved(&mut interleaved);
        let mixed = interleaved
            .chunks_exact(channels)
            .map(|frame| to_i16(frame.iter().sum::<f32>() / channels as f32));
        sound.samples.extend(mixed);
        if sound.samples.len() > LONGEST_S * rate as usize {
            return Err(SoundError::TooLong);
        }
    }
    if sound.samples.is_empty() {
        return Err(SoundError::Decode("it holds no sound".to_owned()));
    }
    Ok(sound)
}

fn open(format: &dyn FormatReader) -> Result<(u32, Box<dyn AudioDecoder>), SoundError> {
    let none = || SoundError::Decode("it holds no sound".to_owned());
    let track = format.default_track(TrackType::Audio).ok_or_else(none)?;
    let parameters = track
        .codec_params
        .as_ref()
        .and_then(|parameters| parameters.audio())
        .ok_or_else(none)?;
    let decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(damaged)?;
    Ok((track.id, decoder))
}

fn damaged(error: Error) -> SoundError {
    SoundError::Decode(error.to_string())
}

fn to_i16(sample: f32) -> i16 {
    // `as` saturates, and makes silence of NaN.
    (sample * 32_768.0).round() as i16
}
