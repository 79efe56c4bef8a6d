//! Who hears what, as the media plane would make it of the commands it is given.

use media::{Command, Negotiated, PlayId, Source, StreamId, StreamStats};
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Sound {
    negotiated: BTreeMap<StreamId, Negotiated>,
    partner: BTreeMap<StreamId, StreamId>,
    /// What is played, and whether it has no end.
    played: BTreeMap<StreamId, (String, bool)>,
    pub(crate) rooms: super::sound_rooms::Rooms,
    /// How streams go, when they are asked or closed; well and silently where nothing is said here.
    pub(crate) figures: BTreeMap<StreamId, StreamStats>,
    /// How streams tell keys.
    pub(crate) modes: BTreeMap<StreamId, media::DtmfMode>,
    /// The keys that were pressed, by whomever.
    pub(crate) keys: Vec<Command>,
    /// The last playback.
    pub(crate) last: Option<(StreamId, PlayId)>,
}

impl Sound {
    pub(crate) fn follows(&mut self, command: &switch::Command) {
        if let switch::Command::Media(command) = command {
            self.obeys(command);
        }
    }

    pub(crate) fn obeys(&mut self, command: &Command) {
        self.rooms.obeys(command);
        match command {
            Command::Report { .. } => {}
            Command::Open {
                stream, settings, ..
            } => {
                self.modes.insert(*stream, settings.dtmf);
            }
            Command::Press { .. } | Command::Pressed { .. } => self.keys.push(command.clone()),
            Command::Negotiated { stream, negotiated } => {
                self.negotiated.insert(*stream, negotiated.clone());
            }
            Command::Join { a, b } => {
                for stream in [a, b] {
                    if self.played.get(stream).is_some_and(|(_, endless)| *endless) {
                        self.played.remove(stream);
                    }
                    self.part(*stream);
                }
                self.partner.extend([(*a, *b), (*b, *a)]);
            }
            Command::Play {
                stream,
                play,
                source,
                repeat,
            } => {
                self.last = Some((*stream, *play));
                let name = match source {
                    Source::Prompt(name) => name.clone(),
                    Source::Tone(tone) => format!("{tone:?}"),
                    Source::Clip(_) => "a clip".to_owned(),
                };
                self.played.insert(*stream, (name, *repeat));
            }
            Command::StopPlay { stream } => {
                self.played.remove(stream);
            }
            Command::Seat { .. } | Command::Announce { .. } => {}
            Command::Enter { stream, .. } => {
                if self.played.get(stream).is_some_and(|(_, endless)| *endless) {
                    self.played.remove(stream);
                }
                self.part(*stream);
            }
            Command::Part { stream } | Command::Echo { stream } => self.part(*stream),
            Command::Close { stream } => {
                self.part(*stream);
                self.negotiated.remove(stream);
                self.played.remove(stream);
            }
        }
    }

    fn part(&mut self, stream: StreamId) {
        if let Some(partner) = self.partner.remove(&stream) {
            self.partner.remove(&partner);
        }
    }

    pub(crate) fn negotiated(&self, stream: StreamId) -> &Negotiated {
        &self.negotiated[&stream]
    }

    /// What the party of `stream` hears: a prompt's or tone's name, `talk`, or nothing. What a ringback gives way to is
    /// named behind it.
    pub(crate) fn heard(&self, stream: StreamId) -> String {
        let sends = |s: StreamId| self.negotiated.get(&s).map(|n| n.direction);
        if !sends(stream).is_some_and(|d| d.sends()) {
            return String::new();
        }
        let partner = self.partner.get(&stream).and_then(|p| sends(*p));
        let talk = partner.is_some_and(|d| d.receives());
        match self.played.get(&stream) {
            Some((name, _)) if name == "Ringback" && talk => "Ringback or talk".to_owned(),
            Some((name, _)) => name.clone(),
            None if talk => "talk".to_owned(),
            None => String::new(),
        }
    }
}
