//! What a script may ask: the methods and fields of `session`, and the free functions beside them.

use crate::line::{Answer, Level, Session, mistake};
use crate::{conference, options, spelling};
use rhai::{Array, Dynamic, FuncRegistration, Map, Module, NativeCallContext as Context, Shared};
use std::sync::OnceLock;
use switch::{DialOptions, Entry, Outcome, SessionInfo, TargetSpec, Verb};

/// The fields of `session`.
pub(crate) const FIELDS: [&str; 12] = [
    "from",
    "dialed",
    "did",
    "user",
    "trunk",
    "caller_id",
    "id",
    "did_extension",
    "first_trunk",
    "private",
    "diverted_from",
    "diverted_why",
];

const LEVELS: [&str; 3] = ["debug", "info", "warn"];
pub(crate) const SLEEP: &str = "`sleep` would hold up every other call; use session.wait(seconds)";
const MAX_TAG_KEY: usize = 64;
const MAX_TAG_VALUE: usize = 1024;

/// Whom `dial` rings, made by `ext` or `trunk`.
#[derive(Debug, Clone)]
pub(crate) struct Target(pub(crate) TargetSpec);

/// All of it, shared by every engine.
pub(crate) fn module() -> Shared<Module> {
    static MODULE: OnceLock<Shared<Module>> = OnceLock::new();
    MODULE.get_or_init(|| build().into()).clone()
}

fn build() -> Module {
    let mut module = Module::new();
    module
        .set_custom_type::<Session>("Session")
        .set_custom_type::<Target>("Target");
    plain_verbs(&mut module);
    blocking_verbs(&mut module);
    conference::register(&mut module);
    notes(&mut module);
    fields(&mut module);
    free(&mut module);
    module
}

fn plain_verbs(module: &mut Module) {
    let plain: [(&'static str, Verb); 5] = [
        ("answer", Verb::Answer),
        ("ringing", Verb::Ringing),
        ("progress", Verb::Progress),
        ("hangup", Verb::Hangup),
        ("echo", Verb::Echo),
    ];
    for (name, verb) in plain {
        let ask = move |context: Context, session: &mut Session| -> Answer<()> {
            begin(&context, session, name);
            done(session, verb.clone())
        };
        FuncRegistration::new(name).set_into_module(module, ask);
    }
    FuncRegistration::new("reject").set_into_module(module, reject);
    FuncRegistration::new("wait").set_into_module(module, wait);
}

fn blocking_verbs(module: &mut Module) {
    FuncRegistration::new("play").set_into_module(module, play);
    FuncRegistration::new("gather").set_into_module(module, gather);
    FuncRegistration::new("gather").set_into_module(
        module,
        |context: Context, session: &mut Session| -> Answer<Map> {
            gather(context, session, Map::new().into())
        },
    );
    FuncRegistration::new("send_dtmf").set_into_module(module, send_dtmf);
    FuncRegistration::new("send_dtmf").set_into_module(
        module,
        |context: Context, session: &mut Session, keys: Dynamic| -> Answer<()> {
            send_dtmf(context, session, keys, Map::new().into())
        },
    );
    FuncRegistration::new("dial").set_into_module(module, dial);
    FuncRegistration::new("dial").set_into_module(
        module,
        |context: Context, session: &mut Session, targets: Dynamic| -> Answer<Map> {
            dial(context, session, targets, Map::new().into())
        },
    );
}

fn notes(module: &mut Module) {
    FuncRegistration::new("tag").set_into_module(module, tag);
    FuncRegistration::new("log").set_into_module(module, log);
}

fn fields(module: &mut Module) {
    type Field = fn(&SessionInfo) -> &String;
    let read_only: [(&str, Field); 10] = [
        ("from", |info| &info.from),
        ("dialed", |info| &info.dialed),
        ("did", |info| &info.did),
        ("user", |info| &info.user),
        ("trunk", |info| &info.trunk),
        ("id", |info| &info.id),
        ("did_extension", |info| &info.did_extension),
        ("first_trunk", |info| &info.first_trunk),
        ("diverted_from", |info| &info.diverted_from),
        ("diverted_why", |info| &info.diverted_why),
    ];
    for (name, field) in read_only {
        let get = move |session: &mut Session| -> String { field(&session.0.info).clone() };
        FuncRegistration::new_getter(name).set_into_module(module, get);
        cannot_set(module, name);
    }
    FuncRegistration::new_getter("private")
        .set_into_module(module, |session: &mut Session| session.0.info.private);
    cannot_set(module, "private");
    FuncRegistration::new_getter("caller_id")
        .set_into_module(module, |session: &mut Session| -> String {
            session.0.caller_id()
        });
    FuncRegistration::new_setter("caller_id").set_into_module(
        module,
        |session: &mut Session, number: Dynamic| -> Answer<()> {
            session
                .0
                .set_caller_id(options::caller_id("session.caller_id", &number)?);
            Ok(())
        },
    );
}

fn cannot_set(module: &mut Module, name: &'static str) {
    let set = move |_: &mut Session, _: Dynamic| -> Answer<()> {
        Err(mistake(format!(
            "session.{name} cannot be set; only session.caller_id can"
        )))
    };
    FuncRegistration::new_setter(name).set_into_module(module, set);
}

fn free(module: &mut Module) {
    FuncRegistration::new("ext").set_into_module(module, |number: Dynamic| -> Answer<Target> {
        Ok(Target(TargetSpec::Extension(options::text(
            "ext: the number",
            &number,
        )?)))
    });
    FuncRegistration::new("trunk").set_into_module(
        module,
        |name: Dynamic, number: Dynamic| -> Answer<Target> {
            let name = options::text("trunk: the name", &name)?;
            Ok(Target(TargetSpec::Trunk {
                name,
                number: options::text("trunk: the number", &number)?,
            }))
        },
    );
    // Rhai's own would sleep through every budget. Only the very same types shadow it.
    FuncRegistration::new("sleep")
        .set_into_module(module, |_: i64| -> Answer<()> { Err(mistake(SLEEP)) });
    FuncRegistration::new("sleep")
        .set_into_module(module, |_: f64| -> Answer<()> { Err(mistake(SLEEP)) });
}

/// Notes which verb is at work, and where.
pub(crate) fn begin(context: &Context, session: &Session, name: &'static str) {
    session.0.begin(name, context.call_position());
}

/// Asks a verb that has nothing to tell.
fn done(session: &Session, verb: Verb) -> Answer<()> {
    session.0.ask(verb).map(|_| ())
}

fn wait(context: Context, session: &mut Session, time: Dynamic) -> Answer<()> {
    begin(&context, session, "wait");
    let time = options::seconds("wait: the time", &time)?;
    done(session, Verb::Wait { time })
}

fn reject(context: Context, session: &mut Session, code: Dynamic) -> Answer<()> {
    begin(&context, session, "reject");
    let code = code
        .as_int()
        .ok()
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| (400..=699).contains(code))
        .ok_or_else(|| {
            mistake(format!(
                "reject: the code is a SIP status from 400 to 699, not {code}"
            ))
        })?;
    done(session, Verb::Reject { code })
}

fn play(context: Context, session: &mut Session, prompts: Dynamic) -> Answer<bool> {
    begin(&context, session, "play");
    let prompts = options::prompts("play: the prompt", &prompts)?;
    match session.0.ask(Verb::Play { prompts })? {
        Outcome::Played { finished } => Ok(finished),
        other => Err(unfit("play", &other)),
    }
}

fn gather(context: Context, session: &mut Session, options: Dynamic) -> Answer<Map> {
    begin(&context, session, "gather");
    match session.0.ask(Verb::Gather(options::gather(&options)?))? {
        Outcome::Gathered { digits, timed_out } => Ok(Map::from([
            ("digits".into(), digits.into()),
            ("timed_out".into(), timed_out.into()),
        ])),
        other => Err(unfit("gather", &other)),
    }
}

fn send_dtmf(
    context: Context,
    session: &mut Session,
    keys: Dynamic,
    options: Dynamic,
) -> Answer<()> {
    begin(&context, session, "send_dtmf");
    done(session, Verb::SendDtmf(options::tones(&keys, &options)?))
}

fn dial(
    context: Context,
    session: &mut Session,
    targets: Dynamic,
    options: Dynamic,
) -> Answer<Map> {
    begin(&context, session, "dial");
    let targets = options::targets(&targets)?;
    let options: DialOptions = options::dial(&options)?;
    // A caller from outside who reaches a trunk calls at the office's cost.
    if session.0.entry == Entry::Inbound
        && targets
            .iter()
            .any(|t| matches!(t, TargetSpec::Trunk { .. }))
    {
        let why = "a call from outside is not sent back outside (hairpin protection)";
        return Err(mistake(format!(
            "dial: trunk(…) is not available in `inbound`: {why}"
        )));
    }
    let caller_id = session.0.caller_id();
    match session.0.ask(Verb::Dial {
        targets,
        options,
        caller_id,
    })? {
        Outcome::Dialed(dialed) => Ok(Map::from([
            (
                "answered".into(),
                (dialed.status == switch::DialStatus::Answered).into(),
            ),
            ("status".into(), dialed.status.word().into()),
            ("sip_code".into(), i64::from(dialed.sip_code).into()),
            ("final".into(), dialed.is_final.into()),
            (
                "q850".into(),
                dialed.q850.map_or(Dynamic::UNIT, |q| i64::from(q).into()),
            ),
            ("by".into(), dialed.by.into()),
            ("ring_secs".into(), dialed.ring.as_secs_f64().into()),
            ("talk_secs".into(), dialed.talk.as_secs_f64().into()),
        ])),
        other => Err(unfit("dial", &other)),
    }
}

fn tag(context: Context, session: &mut Session, key: Dynamic, value: Dynamic) -> Answer<()> {
    begin(&context, session, "tag");
    let key = options::text("tag: the key", &key)?;
    if key.is_empty() || key.len() > MAX_TAG_KEY {
        return Err(mistake(format!(
            "tag: the key is 1 to {MAX_TAG_KEY} bytes, not {}",
            key.len()
        )));
    }
    let value = words(&value);
    if value.len() > MAX_TAG_VALUE {
        return Err(mistake(format!(
            "tag: the value is at most {MAX_TAG_VALUE} bytes, not {}",
            value.len()
        )));
    }
    done(session, Verb::Tag { key, value })
}

fn log(context: Context, session: &mut Session, level: Dynamic, text: Dynamic) -> Answer<()> {
    begin(&context, session, "log");
    let name = options::text("log: the level", &level)?;
    let level = match name.as_str() {
        "debug" => Level::Debug,
        "info" => Level::Info,
        "warn" => Level::Warn,
        _ => {
            let hint = spelling::hint(&name, LEVELS);
            return Err(mistake(format!(
                "log: no level {name:?}; there are debug, info and warn{hint}"
            )));
        }
    };
    session.0.log(level, &words(&text));
    Ok(())
}

/// A value in words, as `print` shows it; an array or map only by its size, because showing it may nest deeply.
fn words(value: &Dynamic) -> String {
    match (
        value.clone().try_cast::<Array>(),
        value.clone().try_cast::<Map>(),
    ) {
        (Some(array), _) => format!("[{} elements]", array.len()),
        (_, Some(map)) => format!("#{{{} entries}}", map.len()),
        _ => value.to_string(),
    }
}

/// The Switch broke its word; the script is told, the call goes on.
pub(crate) fn unfit(verb: &str, outcome: &Outcome) -> Box<rhai::EvalAltResult> {
    mistake(format!(
        "{verb}: the switch answered with something else: {outcome:?}"
    ))
}
