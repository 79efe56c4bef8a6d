//! Reading what a script hands to a verb, and telling it in words what is wrong with it.

use crate::line::{Answer, mistake};
use crate::spelling;
use crate::verbs::Target;
use rhai::{Array, Dynamic, Map};
use std::time::Duration;
use switch::{DialOptions, GatherOptions, TargetSpec, Tones};

pub(crate) const DIAL_OPTIONS: [&str; 4] = ["timeout", "caller_id", "max_duration", "privacy"];
pub(crate) const GATHER_OPTIONS: [&str; 7] = [
    "prompt",
    "min",
    "max",
    "timeout",
    "interdigit",
    "finish",
    "barge",
];

pub(crate) const CONFERENCE_OPTIONS: [&str; 9] = [
    "pin",
    "moderator_pin",
    "moderator",
    "wait_for_moderator",
    "end_with_moderator",
    "muted",
    "tones",
    "max",
    "leave",
];
pub(crate) const SUPERVISE_OPTIONS: [&str; 1] = ["mode"];
pub(crate) const SEND_DTMF_OPTIONS: [&str; 2] = ["duration", "pause"];

const MAX_SECONDS: f64 = 86_400.0;
const MAX_PROMPTS: usize = 64;
const MAX_TARGETS: usize = 32;
const MAX_DIGITS: i64 = 64;

/// A length of time in seconds, from 0 to a day.
pub(crate) fn seconds(what: &str, value: &Dynamic) -> Answer<Duration> {
    let number = value
        .as_float()
        .or_else(|_| value.as_int().map(|n| n as f64))
        .map_err(|kind| {
            mistake(format!(
                "{what} is a number of seconds, not {}",
                article(kind)
            ))
        })?;
    if !(0.0..=MAX_SECONDS).contains(&number) {
        return Err(mistake(format!(
            "{what} is 0 to {MAX_SECONDS} seconds, not {number}"
        )));
    }
    Ok(Duration::from_secs_f64(number))
}

/// A text; a whole number will do, `()` will not.
pub(crate) fn text(what: &str, value: &Dynamic) -> Answer<String> {
    match (value.clone().into_string(), value.as_int()) {
        (Ok(text), _) => Ok(text),
        (_, Ok(number)) => Ok(number.to_string()),
        (Err(kind), _) => Err(mistake(format!("{what} is a text, not {}", article(kind)))),
    }
}

/// A prompt's name or an array of them.
pub(crate) fn prompts(what: &str, value: &Dynamic) -> Answer<Vec<String>> {
    let names: Vec<String> = match value.clone().try_cast::<Array>() {
        Some(names) => names
            .iter()
            .map(|name| prompt(what, name))
            .collect::<Answer<_>>()?,
        None => vec![prompt(what, value)?],
    };
    if names.len() > MAX_PROMPTS {
        return Err(mistake(format!(
            "{what}: at most {MAX_PROMPTS} prompts, not {}",
            names.len()
        )));
    }
    Ok(names)
}

fn prompt(what: &str, value: &Dynamic) -> Answer<String> {
    let kind = value.type_name();
    let name = value.clone().into_string().map_err(|_| {
        mistake(format!(
            "{what} is a prompt's name or an array of them, not {}",
            article(kind)
        ))
    })?;
    // A prompt is a file under sounds/: its name must not lead anywhere else.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/');
    let whole = !name.is_empty() && name.len() <= 128 && name.chars().all(plain);
    if !whole || name.split('/').any(str::is_empty) {
        let why = "is not the name of a prompt: a file under sounds/ without its extension";
        return Err(mistake(format!("{what}: {name:?} {why}")));
    }
    Ok(name)
}

/// Whom `dial` shall ring.
pub(crate) fn targets(value: &Dynamic) -> Answer<Vec<TargetSpec>> {
    let list = value
        .clone()
        .try_cast::<Array>()
        .unwrap_or_else(|| vec![value.clone()]);
    if list.is_empty() || list.len() > MAX_TARGETS {
        return Err(mistake(format!(
            "dial: 1 to {MAX_TARGETS} targets, not {}",
            list.len()
        )));
    }
    list.iter()
        .map(|one| match one.clone().try_cast::<Target>() {
            Some(target) => Ok(target.0),
            None => Err(mistake(format!(
                "dial: a target is ext(number) or trunk(name, number), not {}",
                article(one.type_name())
            ))),
        })
        .collect()
}

/// Options of `dial`.
pub(crate) fn dial(value: &Dynamic) -> Answer<DialOptions> {
    let options = Options::read("dial", value, &DIAL_OPTIONS)?;
    Ok(DialOptions {
        timeout: options
            .with("timeout", seconds)?
            .unwrap_or(Duration::from_secs(30)),
        caller_id: options.with("caller_id", caller_id)?,
        max_duration: options.with("max_duration", seconds)?,
        privacy: options.with("privacy", flag)?,
    })
}

/// Options of `gather`.
pub(crate) fn gather(value: &Dynamic) -> Answer<GatherOptions> {
    let options = Options::read("gather", value, &GATHER_OPTIONS)?;
    let min = options.with("min", digits)?;
    let max = options.with("max", digits)?.unwrap_or(32).max(1);
    let min = min.unwrap_or(1);
    if min > max {
        return Err(mistake(format!(
            "gather: `min` is {min} and `max` is {max}"
        )));
    }
    Ok(GatherOptions {
        prompts: options.with("prompt", prompts)?.unwrap_or_default(),
        min,
        max,
        timeout: options
            .with("timeout", seconds)?
            .unwrap_or(Duration::from_secs(5)),
        interdigit: options
            .with("interdigit", seconds)?
            .unwrap_or(Duration::from_secs(3)),
        finish: options.with("finish", finish)?.unwrap_or(Some('#')),
        barge: options.with("barge", flag)?.unwrap_or(true),
    })
}

/// What `send_dtmf` presses.
pub(crate) fn tones(keys: &Dynamic, options: &Dynamic) -> Answer<Tones> {
    let options = Options::read("send_dtmf", options, &SEND_DTMF_OPTIONS)?;
    let keys = text("send_dtmf: the keys", keys)?;
    if !Tones::are_keys(&keys) {
        // What they are is not told: it may be a secret.
        let most = Tones::MOST;
        let why = format!("send_dtmf: the keys are 1 to {most} of 0-9, *, # and A-D");
        return Err(mistake(why));
    }
    let usual = Duration::from_millis(100);
    Ok(Tones {
        keys,
        on: options.with("duration", key_length)?.unwrap_or(usual),
        off: options.with("pause", key_length)?.unwrap_or(usual),
    })
}

/// How long a key is down, or silent.
fn key_length(what: &str, value: &Dynamic) -> Answer<Duration> {
    let length = seconds(what, value)?;
    if !(0.04..=5.0).contains(&length.as_secs_f64()) {
        return Err(mistake(format!("{what} is 0.04 to 5 seconds")));
    }
    Ok(length)
}

/// A number shown to the called party.
pub(crate) fn caller_id(what: &str, value: &Dynamic) -> Answer<String> {
    let number = text(what, value)?;
    if number.chars().count() > 128 || number.chars().any(char::is_control) {
        return Err(mistake(format!(
            "{what} is at most 128 characters and no control characters"
        )));
    }
    Ok(number)
}

fn digits(what: &str, value: &Dynamic) -> Answer<u8> {
    let number = value.as_int().map_err(|kind| {
        mistake(format!(
            "{what} is a whole number of digits, not {}",
            article(kind)
        ))
    })?;
    u8::try_from(number)
        .ok()
        .filter(|_| number <= MAX_DIGITS)
        .ok_or_else(|| mistake(format!("{what} is 0 to {MAX_DIGITS} digits, not {number}")))
}

/// One key of a phone; an empty text for none.
pub(crate) fn finish(what: &str, value: &Dynamic) -> Answer<Option<char>> {
    let text = match value.as_char() {
        Ok(key) => key.to_string(),
        Err(_) => text(what, value)?,
    };
    let mut keys = text.chars();
    match (keys.next(), keys.next()) {
        (None, _) => Ok(None),
        (Some(key), None) if key.is_ascii_digit() || matches!(key, '*' | '#' | 'A'..='D') => {
            Ok(Some(key))
        }
        _ => Err(mistake(format!(
            "{what} is one key (0-9 * # A-D) or \"\" for none, not {text:?}"
        ))),
    }
}

pub(crate) fn flag(what: &str, value: &Dynamic) -> Answer<bool> {
    value
        .as_bool()
        .map_err(|kind| mistake(format!("{what} is true or false, not {}", article(kind))))
}

/// A type's name as a script's author knows it.
fn article(kind: &str) -> String {
    match kind {
        "string" => "a text".into(),
        "i64" => "a whole number".into(),
        "f64" => "a number".into(),
        "()" => "nothing ()".into(),
        "bool" => "true or false".into(),
        "array" => "an array".into(),
        "map" => "a map #{…}".into(),
        other => other.rsplit("::").next().unwrap_or(other).into(),
    }
}

/// The `#{…}` of a verb, every name in it known.
pub(crate) struct Options {
    verb: &'static str,
    map: Map,
}

impl Options {
    pub(crate) fn read(verb: &'static str, value: &Dynamic, known: &[&str]) -> Answer<Self> {
        let map = value.clone().try_cast::<Map>().ok_or_else(|| {
            mistake(format!(
                "{verb}: options are a map #{{…}}, not {}",
                article(value.type_name())
            ))
        })?;
        match map.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(mistake(unknown(verb, name, known))),
            None => Ok(Self { verb, map }),
        }
    }

    /// The option `name` read by `read`; absent and `()` are `None`.
    pub(crate) fn with<T>(
        &self,
        name: &str,
        read: impl Fn(&str, &Dynamic) -> Answer<T>,
    ) -> Answer<Option<T>> {
        match self.map.get(name) {
            Some(value) if !value.is_unit() => {
                read(&format!("{}: `{name}`", self.verb), value).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// Says that a verb has no such option.
pub(crate) fn unknown(verb: &str, name: &str, known: &[&str]) -> String {
    let hint = spelling::hint(name, known.iter().copied());
    if hint.is_empty() {
        format!(
            "{verb}: unknown option `{name}`; there are {}",
            known.join(", ")
        )
    } else {
        format!("{verb}: unknown option `{name}`{hint}")
    }
}
