//! The verbs of rooms: `conference` and `supervise`.

use crate::line::{Answer, Session, mistake};
use crate::options::{self, CONFERENCE_OPTIONS, Options, SUPERVISE_OPTIONS};
use crate::spelling;
use crate::verbs::{begin, unfit};
use rhai::{Dynamic, FuncRegistration, Map, Module, NativeCallContext as Context};
use switch::{ConferenceOptions, Outcome, SuperviseMode, Verb};

/// The longest name of a conference, in characters.
const MAX_NAME: usize = 64;
const MAX_PIN: usize = 16;
const MAX_PARTIES: i64 = 1_000;

/// Adds the verbs.
pub(crate) fn register(module: &mut Module) {
    FuncRegistration::new("conference").set_into_module(module, conference);
    FuncRegistration::new("conference").set_into_module(
        module,
        |context: Context, session: &mut Session, room: Dynamic| -> Answer<Map> {
            conference(context, session, room, Map::new().into())
        },
    );
    FuncRegistration::new("supervise").set_into_module(module, supervise);
    FuncRegistration::new("supervise").set_into_module(
        module,
        |context: Context, session: &mut Session, whom: Dynamic| -> Answer<Map> {
            supervise(context, session, whom, Map::new().into())
        },
    );
}

fn conference(
    context: Context,
    session: &mut Session,
    room: Dynamic,
    options: Dynamic,
) -> Answer<Map> {
    begin(&context, session, "conference");
    let room = options::text("conference: the name", &room)?;
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if room.is_empty() || room.chars().count() > MAX_NAME || !room.chars().all(plain) {
        let why = format!("is 1 to {MAX_NAME} letters, digits, `-`, `_` and `.`, not {room:?}");
        return Err(mistake(format!("conference: the name {why}")));
    }
    let options = read(&options)?;
    told("conference", session, Verb::Conference { room, options })
}

fn supervise(
    context: Context,
    session: &mut Session,
    whom: Dynamic,
    options: Dynamic,
) -> Answer<Map> {
    begin(&context, session, "supervise");
    let whom = options::text("supervise: the extension", &whom)?;
    let options = Options::read("supervise", &options, &SUPERVISE_OPTIONS)?;
    let mode = options.with("mode", mode)?.unwrap_or(SuperviseMode::Spy);
    told("supervise", session, Verb::Supervise { whom, mode })
}

/// What comes of it, as a script sees it.
fn told(name: &str, session: &Session, verb: Verb) -> Answer<Map> {
    match session.0.ask(verb)? {
        Outcome::Conferred { status, time } => Ok(Map::from([
            ("status".into(), status.word().into()),
            ("secs".into(), time.as_secs_f64().into()),
        ])),
        other => Err(unfit(name, &other)),
    }
}

fn read(value: &Dynamic) -> Answer<ConferenceOptions> {
    let options = Options::read("conference", value, &CONFERENCE_OPTIONS)?;
    let flag = |name| options.with(name, options::flag);
    let usual = ConferenceOptions::default();
    Ok(ConferenceOptions {
        pin: options.with("pin", pin)?.unwrap_or_default(),
        moderator_pin: options.with("moderator_pin", pin)?.unwrap_or_default(),
        moderator: flag("moderator")?.unwrap_or_default(),
        wait: flag("wait_for_moderator")?.unwrap_or_default(),
        end_with_moderator: flag("end_with_moderator")?.unwrap_or_default(),
        muted: flag("muted")?.unwrap_or_default(),
        tones: flag("tones")?.unwrap_or(usual.tones),
        max: options.with("max", parties)?.unwrap_or(usual.max),
        leave: options.with("leave", options::finish)?.flatten(),
    })
}

fn pin(what: &str, value: &Dynamic) -> Answer<String> {
    let pin = options::text(what, value)?;
    if pin.len() > MAX_PIN || !pin.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(mistake(format!("{what} is at most {MAX_PIN} digits")));
    }
    Ok(pin)
}

fn parties(what: &str, value: &Dynamic) -> Answer<u16> {
    let number = value.as_int().ok();
    number
        .filter(|number| (1..=MAX_PARTIES).contains(number))
        .and_then(|number| u16::try_from(number).ok())
        .ok_or_else(|| mistake(format!("{what} is 1 to {MAX_PARTIES} parties, not {value}")))
}

fn mode(what: &str, value: &Dynamic) -> Answer<SuperviseMode> {
    let word = options::text(what, value)?;
    match word.as_str() {
        "spy" => Ok(SuperviseMode::Spy),
        "whisper" => Ok(SuperviseMode::Whisper),
        "barge" => Ok(SuperviseMode::Barge),
        _ => {
            let hint = spelling::hint(&word, ["spy", "whisper", "barge"]);
            Err(mistake(format!(
                "{what} is \"spy\", \"whisper\" or \"barge\", not {word:?}{hint}"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::rehearsal::{fine, run, why};
    use std::time::Duration;
    use switch::{ConferenceOptions, ConferenceStatus, Outcome, ScriptEnd, SuperviseMode, Verb};

    fn left(verb: &Verb) -> Outcome {
        match verb {
            Verb::Conference { .. } | Verb::Supervise { .. } => Outcome::Conferred {
                status: ConferenceStatus::Left,
                time: Duration::from_millis(1_500),
            },
            other => fine(other),
        }
    }

    #[test]
    fn options_arrive_as_written_and_outcomes_return() {
        let text = r##"fn internal(session) {
            let r = session.conference("team.1", #{ pin: 12, moderator_pin: "99", moderator: false, wait_for_moderator: true,
                end_with_moderator: true, muted: true, tones: false, max: 9, leave: "*" });
            session.tag("how", `${r.status} ${r.secs}`);
            session.conference(800);
            session.supervise(102);
            session.supervise("102", #{ mode: "whisper" });
        }"##;
        let (verbs, end) = run(text, left);
        assert_eq!(end, ScriptEnd::Finished);
        let options = ConferenceOptions {
            pin: "12".into(),
            moderator_pin: "99".into(),
            moderator: false,
            wait: true,
            end_with_moderator: true,
            muted: true,
            tones: false,
            max: 9,
            leave: Some('*'),
        };
        let conference = |room: &str, options| Verb::Conference {
            room: room.into(),
            options,
        };
        let supervise = |mode| Verb::Supervise {
            whom: "102".into(),
            mode,
        };
        let wanted = [
            conference("team.1", options),
            Verb::Tag {
                key: "how".into(),
                value: "left 1.5".into(),
            },
            conference("800", ConferenceOptions::default()),
            supervise(SuperviseMode::Spy),
            supervise(SuperviseMode::Whisper),
        ];
        assert_eq!(verbs, wanted);
    }

    #[test]
    fn mistakes_are_told_in_words() {
        for (body, wanted) in [
            ("session.conference(\"a b\")", "1 to 64 letters"),
            (
                "session.conference(\"a\", #{ pin: \"12a\" })",
                "at most 16 digits",
            ),
            (
                "session.conference(\"a\", #{ max: 0 })",
                "1 to 1000 parties, not 0",
            ),
            (
                "session.supervise(1, #{ mode: \"bark\" })",
                "\"barge\", not \"bark\"",
            ),
        ] {
            let (_, end) = run(&format!("fn internal(session) {{ {body} }}"), left);
            let why = why(end);
            assert!(why.contains(wanted), "{body}: {why}");
        }
    }
}
