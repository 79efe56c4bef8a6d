//! Keys by SIP INFO, in both dialects that phones speak, and keys that we press ourselves.
//!
//! What a party tells goes to the media plane, which knows whether it counts and who is to be told; what is due comes back
//! from there. Not here: telephone events and tones (`media::dtmf`), and what a script makes of keys (`gather`).

use super::{Activity, Call, Leg, answer};
use crate::event::Side;
use crate::office::Office;
use crate::verb::{Outcome, Tones};
use media::Command;
use sip::{Ask, HeaderId, Message, TransactionId};
use std::collections::VecDeque;
use std::time::Duration;

/// Keys that may wait for the party to answer the one before.
const MAX_WAITING: usize = 128;
/// No body about one key is longer.
const MAX_BODY: usize = 512;
/// How long a key is down when nobody says.
const USUAL_MS: u32 = 160;

/// How a party writes keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Dialect {
    /// `application/dtmf-relay`: `Signal=5` and `Duration=160`.
    #[default]
    Relay,
    /// `application/dtmf`: the key and nothing else.
    Plain,
}

/// The keys that a party is told by INFO.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    waiting: VecDeque<(char, u32)>,
    /// The INFO that is not answered yet: two at once could overtake one another.
    asked: Option<TransactionId>,
    dialect: Dialect,
}

/// An INFO came on leg `index`.
pub(crate) fn heard(office: &mut Office, call: &mut Call, index: usize, request: &Message) {
    let Some(leg) = call.legs.get_mut(index) else {
        return;
    };
    let kind = request.header(HeaderId::ContentType).unwrap_or_default();
    let Some((dialect, key, ms)) = read(&kind, request.body()) else {
        return;
    };
    leg.keys.dialect = dialect;
    let stream = leg.stream;
    office.media(Command::Pressed { stream, key, ms });
}

/// The party of leg `index` is to be told of a key.
pub(crate) fn due(office: &mut Office, call: &mut Call, index: usize, key: (char, u32)) {
    if let Some(leg) = call.legs.get_mut(index) {
        if leg.keys.waiting.len() < MAX_WAITING {
            leg.keys.waiting.push_back(key);
        }
        tell(office, leg);
    }
}

/// The party of leg `index` answered a request of ours.
pub(crate) fn told(office: &mut Office, call: &mut Call, index: usize, asked: TransactionId) {
    let leg = call.legs.get_mut(index);
    if let Some(leg) = leg.filter(|leg| leg.keys.asked == Some(asked)) {
        leg.keys.asked = None;
        tell(office, leg);
    }
}

fn tell(office: &mut Office, leg: &mut Leg) {
    let (Some(dialog), None) = (leg.dialog, leg.keys.asked) else {
        return;
    };
    while let Some((key, ms)) = leg.keys.waiting.pop_front() {
        let (kind, body) = match leg.keys.dialect {
            Dialect::Relay => (
                "application/dtmf-relay",
                format!("Signal={key}\r\nDuration={ms}\r\n"),
            ),
            Dialect::Plain => ("application/dtmf", key.to_string()),
        };
        let ask = Ask {
            method: "INFO".to_owned(),
            headers: Vec::new(),
            body: Some((kind.to_owned(), body.into_bytes())),
        };
        leg.keys.asked = office.sip.ask(office.now, dialog, ask);
        if leg.keys.asked.is_some() {
            return;
        }
    }
}

/// The key that an INFO tells, and for how long it was down.
fn read(kind: &str, body: &[u8]) -> Option<(Dialect, char, u32)> {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let relay = kind.eq_ignore_ascii_case("application/dtmf-relay");
    if !relay && !kind.eq_ignore_ascii_case("application/dtmf") {
        return None;
    }
    let text = body.get(..body.len().min(MAX_BODY)).unwrap_or_default();
    let text = std::str::from_utf8(text).ok()?;
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let (left, right) = line.split_once('=')?;
            let named = left.trim().eq_ignore_ascii_case(name);
            named.then_some(right.trim())
        })
    };
    let ms = value("Duration").and_then(|ms| ms.parse().ok());
    // Some write the longer form under the shorter name.
    let signal = value("Signal").or_else(|| (!relay).then_some(text.trim()))?;
    let dialect = if relay {
        Dialect::Relay
    } else {
        Dialect::Plain
    };
    Some((dialect, key(signal)?, ms.unwrap_or(USUAL_MS)))
}

/// A key by its face, or from ten on by its number (RFC 4733 §3.2).
fn key(signal: &str) -> Option<char> {
    let mut letters = signal.chars();
    match (letters.next(), letters.next()) {
        (Some(key), None) => directory::is_key(key).then(|| key.to_ascii_uppercase()),
        _ => match signal.parse::<u8>() {
            Ok(number @ 10..=15) => "*#ABCD".chars().nth(usize::from(number - 10)),
            _ => None,
        },
    }
}

/// `send_dtmf`: presses keys towards the subject; the verb ends when they have been told.
pub(crate) fn start(office: &mut Office, call: &mut Call, tones: Tones) {
    if let Err(trouble) = answer::be_heard(office, call) {
        let why = format!("cannot send keys: {}", trouble.why());
        return call.finish(office, Outcome::Invalid(why));
    }
    press(office, call, call.subject, &tones);
    call.activity = Activity::Wait;
    call.arm(office, tones.lasts());
}

/// An administrator presses keys towards a party.
pub(crate) fn by_hand(to: Side, tones: Tones) -> impl FnOnce(&mut Office, &mut Call) {
    move |office, call| {
        let index = match (to, &call.activity) {
            (Side::Caller, _) => call.subject,
            (Side::Called, Activity::Talk(talk)) => talk.leg,
            (Side::Called, _) => return,
        };
        press(office, call, index, &tones);
    }
}

fn press(office: &mut Office, call: &Call, index: usize, tones: &Tones) {
    let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    office.media(Command::Press {
        stream: call.stream(index),
        keys: tones.keys.clone(),
        on_ms: ms(tones.on),
        off_ms: ms(tones.off),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_dialects_are_read() {
        let relay = "application/dtmf-relay";
        for (kind, body, expected) in [
            (relay, "Signal=5\r\nDuration=250\r\n", Some(('5', 250))),
            (relay, "Signal= #\nDuration= 100", Some(('#', 100))),
            ("Application/DTMF-Relay; x=1", "signal=*", Some(('*', 160))),
            (relay, "Signal=10\r\n", Some(('*', 160))),
            (relay, "Signal=11\r\nDuration=x", Some(('#', 160))),
            (relay, "Signal=d\r\n", Some(('D', 160))),
            (relay, "Signal=16\r\n", None),
            (relay, "5", None),
            ("application/dtmf", "7", Some(('7', 160))),
            ("application/dtmf", " 11\r\n", Some(('#', 160))),
            (
                "application/dtmf",
                "Signal=3\r\nDuration=90\r\n",
                Some(('3', 90)),
            ),
            ("application/dtmf", "", None),
            ("application/dtmf", "é", None),
            ("text/plain", "7", None),
            ("", "7", None),
        ] {
            let got = read(kind, body.as_bytes()).map(|(_, key, ms)| (key, ms));
            assert_eq!(got, expected, "{kind} {body:?}");
        }
        assert_eq!(read("application/dtmf", b"\xff"), None);
        assert_eq!(read(relay, &[b'9'; 100_000]), None);
    }
}
