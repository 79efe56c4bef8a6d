//! Who is joined with whom on the media plane, party by party.

use super::World;
use super::phone::Phone;
use media::{Command, StreamId};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// As the media plane would keep it.
#[derive(Debug, Default)]
pub(crate) struct Joins(BTreeMap<StreamId, StreamId>);

impl Joins {
    pub(crate) fn obeys(&mut self, command: &Command) {
        match command {
            Command::Join { a, b } => {
                self.part(*a);
                self.part(*b);
                self.0.extend([(*a, *b), (*b, *a)]);
            }
            Command::Part { stream }
            | Command::Echo { stream }
            | Command::Enter { stream, .. }
            | Command::Close { stream } => {
                self.part(*stream);
            }
            Command::Open { .. }
            | Command::Negotiated { .. }
            | Command::Play { .. }
            | Command::Seat { .. }
            | Command::Announce { .. }
            | Command::Report { .. }
            | Command::StopPlay { .. }
            | Command::Press { .. }
            | Command::Pressed { .. } => {}
        }
    }

    fn part(&mut self, stream: StreamId) {
        if let Some(partner) = self.0.remove(&stream) {
            self.0.remove(&partner);
        }
    }
}

impl World {
    /// What the Switch wants next; joins and tones are noted.
    pub(super) fn polled(&mut self) -> Option<switch::Command> {
        let command = self.switch.poll()?;
        if let switch::Command::Media(wanted) = &command {
            self.joins.obeys(wanted);
            if let Command::Play {
                source: media::Source::Tone(tone),
                ..
            } = wanted
            {
                self.tones.push(*tone);
            }
        }
        Some(command)
    }

    /// A phone's line: `101`, or its second one, `101'`, which dials and does not ring.
    pub(crate) fn line(&mut self, name: &str) -> &mut Phone {
        let Some(number) = name.strip_suffix('\'') else {
            return self.phone(name);
        };
        let low = number.bytes().last().unwrap_or_default();
        let address = SocketAddr::from(([10, 0, 77, low], 5060));
        self.phones
            .entry(address)
            .or_insert_with(|| Phone::new(number, address))
    }

    /// Two phones are in calls and hear each other.
    pub(crate) fn talks(&mut self, a: &str, b: &str) -> bool {
        let mut stream = |number: &str| {
            let port = self.line(number).told_port();
            let mut streams = self.streams.iter();
            let found = streams.find(|(_, local)| local.port() == port);
            found.map(|(stream, _)| *stream)
        };
        match (stream(a), stream(b)) {
            (Some(a), Some(b)) => self.joins.0.get(&a) == Some(&b),
            _ => false,
        }
    }
}
