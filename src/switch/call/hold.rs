//! Hold: who talks with somebody that holds hears music, for as long as that lasts.
//!
//! Holding itself is offer and answer on the holder's own leg (`offer`); the other party is never asked, its SDP stays
//! as it is. Not here: which tune it is (a prompt by its name, see `net`).

use super::{Activity, Call, Leg};
use crate::office::Office;
use media::{Command, Source};

impl Leg {
    /// Whether the party wants to hear nobody: sendonly, inactive, or no address to send to (RFC 3264 §8.4).
    pub(crate) fn holds(&self) -> bool {
        let negotiated = self.negotiated.as_ref();
        self.is_live() && negotiated.is_some_and(|n| !n.direction.sends())
    }
}

/// Starts and stops the music to fit who talks with whom and who holds. To be asked after each change of that.
pub(crate) fn tune(office: &mut Office, call: &mut Call) {
    let talking = match &call.activity {
        Activity::Talk(talk) => Some((call.subject, talk.leg)),
        _ => None,
    };
    for index in 0..call.legs.len() {
        let partner = match talking {
            Some((a, b)) if index == a => call.legs.get(b),
            Some((a, b)) if index == b => call.legs.get(a),
            _ => None,
        };
        let held = partner.is_some_and(Leg::holds);
        if let Some(leg) = call.legs.get_mut(index) {
            // Two who hold each other hear nothing.
            let wanted = held && !leg.holds();
            entertain(office, leg, wanted);
        }
    }
}

fn entertain(office: &mut Office, leg: &mut Leg, wanted: bool) {
    let stream = leg.stream;
    if !leg.open {
        leg.music = None;
    } else if !wanted && leg.music.take().is_some() {
        office.media(Command::StopPlay { stream });
    } else if wanted && leg.music.is_none() && !office.config.music_on_hold.is_empty() {
        let play = office.new_play();
        leg.music = Some(play);
        let source = Source::Prompt(office.config.music_on_hold.clone());
        office.media(Command::Play {
            stream,
            play,
            source,
            repeat: true,
        });
    }
}
