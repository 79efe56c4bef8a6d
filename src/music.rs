//! `[media]` of the configuration: what is played to whom. Not the rest of it: see `config`.

use crate::config::{Error, fault};
use serde::Deserialize;
use std::path::{Component, Path};

/// `[media]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Media {
    /// A sound under `sounds/`, or a folder of them; empty: no music.
    pub music_on_hold: String,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            music_on_hold: "music-on-hold".into(),
        }
    }
}

impl Media {
    pub(crate) fn fault(&self) -> Option<Error> {
        let music = Path::new(&self.music_on_hold);
        let plain = |part| matches!(part, Component::Normal(_));
        (!music.components().all(plain)).then(|| {
            fault(
                "[media] music_on_hold",
                "leads out of the sounds folder",
                "a name under sounds/ in the data directory, for example music-on-hold; empty for none",
            )
        })
    }
}
