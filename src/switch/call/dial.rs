//! `dial`: rings one or many parties at once; the first to answer wins, the others are cancelled.

use super::early::{self, Progress, Sound};
use super::{
    Activity, Call, Leg, LegState, MAX_LEGS, Script, answer, emergency, end, hold, journey,
    originate, secrecy, talk, transfer,
};
use crate::cause::{self, Told, Verdict};
use crate::diversion;
use crate::identity::{self, Identity};
use crate::office::{Office, Query};
use crate::push;
use crate::registrar::way::Way;
use crate::target::{self, Branch};
use crate::trunk;
use crate::verb::{DialOptions, Dialed, Outcome, TargetSpec};
use directory::Reliability;
use sip::{DialogId, Flow, Invite, Message, Reliable, SessionTimer};
use std::time::{Duration, Instant};

/// How long a phone that may not be there has for its first sign.
const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(crate) struct Dial {
    /// Indices of the legs that are still ringing or being looked up.
    pub(crate) branches: Vec<usize>,
    pub(crate) options: DialOptions,
    pub(crate) since: Instant,
    /// The best final status so far; 0: none.
    pub(crate) best: u16,
    /// What the party that gave it told beside.
    pub(crate) told: Told,
    /// The number shown to the called party.
    pub(crate) caller_id: String,
    /// The leg that answered.
    pub(crate) answered: Option<usize>,
    pub(crate) progress: Progress,
    /// What the caller hears of it.
    pub(crate) sound: Sound,
}

/// Starts the verb.
pub(crate) fn start(
    office: &mut Office,
    call: &mut Call,
    targets: Vec<TargetSpec>,
    options: DialOptions,
    caller_id: String,
) {
    let caller_id = options.caller_id.clone().unwrap_or(caller_id);
    let mut dial = Dial {
        branches: Vec::new(),
        since: office.now,
        best: 0,
        told: Told::default(),
        caller_id,
        answered: None,
        progress: Progress::Nothing,
        sound: Sound::Nothing,
        options,
    };
    let mut branches = Vec::new();
    let mut nobody = Verdict::of_status(480);
    for spec in &targets {
        match target::branches(office, call, spec) {
            Ok(found) => branches.extend(found),
            Err(why) if cause::better(dial.best, why.sip_code) != dial.best => {
                dial.best = why.sip_code;
                nobody = why;
            }
            Err(_) => {}
        }
    }
    if let Some(TargetSpec::Extension(number) | TargetSpec::Trunk { number, .. }) = targets.first()
    {
        call.to.clone_from(number);
        if diversion::note(call, number).is_err() {
            branches.clear();
            nobody = Verdict::refused(483, "the call was forwarded too often");
        }
    }
    let timeout = dial.options.timeout;
    journey::dialling(office, call);
    call.activity = Activity::Dial(dial);
    if branches.is_empty() {
        return give_up(office, call, nobody);
    }
    call.arm(office, timeout);
    for branch in branches {
        add(office, call, branch);
    }
    check(office, call);
}

/// Adds a leg for `branch`: rings it at once, or looks its address up first.
pub(crate) fn add(office: &mut Office, call: &mut Call, branch: Branch) {
    if call.legs.len() >= MAX_LEGS {
        return;
    }
    let trunk = branch.party.trunk.as_ref();
    let trunk = trunk.and_then(|name| office.directory.trunks.get(name).cloned());
    let mut leg = Leg::new(branch.party, branch.codecs);
    leg.doubtful = branch.doubtful;
    let index = call.add(office, leg);
    if let Activity::Dial(Dial { branches, .. }) | Activity::Originate { branches } =
        &mut call.activity
    {
        branches.push(index);
    }
    if let Some(device) = branch.asleep {
        return push::wake(office, call, index, device);
    }
    if branch.ways.is_empty() {
        return match trunk {
            Some(trunk) => office.resolve(Query::Leg(call.id, index), &trunk),
            None => refused(office, call, index, (503, Told::default())),
        };
    }
    ring(office, call, index, branch.ways);
}

/// Rings leg `index` by the first of `ways`, the others when that fails.
pub(crate) fn ring(office: &mut Office, call: &mut Call, index: usize, mut ways: Vec<Way>) {
    if let Some(leg) = call.legs.get_mut(index).filter(|_| !ways.is_empty()) {
        let first = ways.remove(0);
        leg.alternatives = ways;
        invite(office, call, index, first);
    }
}

/// The resolver answered for leg `index`.
pub(crate) fn resolved(office: &mut Office, call: &mut Call, index: usize, flows: Vec<Flow>) {
    let Some(leg) = call
        .legs
        .get_mut(index)
        .filter(|leg| leg.state == LegState::Resolving)
    else {
        return;
    };
    if flows.is_empty() {
        leg.diagnosis = Some("its host name leads nowhere".to_owned());
        return refused(office, call, index, (503, Told::default()));
    }
    let way = |flow| Way {
        flow,
        uri: String::new(),
        route: Vec::new(),
    };
    ring(office, call, index, flows.into_iter().map(way).collect());
}

/// Sends the INVITE of leg `index`.
fn invite(office: &mut Office, call: &mut Call, index: usize, way: Way) {
    let flow = way.flow;
    let caller = caller(call);
    let prefer = call
        .legs
        .get(call.subject)
        .and_then(|leg| leg.negotiated.as_ref())
        .map(|n| n.codec);
    let Some(leg) = call.legs.get_mut(index) else {
        return;
    };
    leg.flow = Some(flow);
    (leg.uri, leg.route) = (way.uri, way.route);
    leg.state = LegState::Ringing;
    leg.negotiated = None;
    leg.forks.clear();
    leg.secrecy.renew();
    put_first(leg, prefer);
    let local = match leg.local(office) {
        Ok(local) => local,
        Err(trouble) => {
            leg.diagnosis = Some(trouble.why());
            return refused(office, call, index, (trouble.code(), Told::default()));
        }
    };
    leg.open(office);
    let uri = target::request_uri(office, leg, &flow);
    let mut shown = identity::shown(office, leg, &flow, &caller);
    let trunk = leg.party.trunk.as_ref();
    let trunk = trunk.and_then(|name| office.directory.trunks.get(name).cloned());
    let version = trunk.is_some().then_some(leg.version);
    let call_id = version.map(|version| diversion::call_id(office, call.id, index, version));
    let Some(leg) = call.legs.get(index) else {
        return;
    };
    let forwards = diversion::headers(office, call, leg, &flow);
    shown.headers.extend(forwards);
    let by = transfer::referred_by(office, call, leg, &flow);
    shown.headers.extend(by);
    let invite = Invite {
        flow,
        to: format!("<{uri}>"),
        uri,
        from: shown.from,
        contact_user: shown.contact_user,
        sdp: media::sdp::offer(&local),
        reliable: reliable(trunk.as_deref()),
        session_timer: SessionTimer::Default,
        headers: shown.headers,
        credentials: target::login(office, leg),
        call_id,
        route: leg.route.clone(),
        max_forwards: call.hops,
    };
    let dialog = office.sip.invite(office.now, invite);
    keep(office, call, index, dialog);
}

/// The INVITE is on its way.
fn keep(office: &mut Office, call: &mut Call, index: usize, dialog: DialogId) {
    office.dialogs.insert(dialog, (call.id, index));
    crate::trace::begin(office, dialog);
    if let Some(leg) = call.legs.get_mut(index) {
        leg.dialog = Some(dialog);
        expect(office, leg, dialog);
    }
}

/// Another way is better than a long wait; and who may not be there is not waited for long.
fn expect(office: &mut Office, leg: &Leg, dialog: DialogId) {
    let patience = match leg.party.trunk {
        Some(_) => trunk::FAILOVER,
        None => PATIENCE,
    };
    if leg.doubtful || !leg.alternatives.is_empty() {
        office.sip.expect_within(office.now, dialog, patience);
    }
}

/// The caller's codec is offered first, so that nothing need be transcoded.
fn put_first(leg: &mut Leg, codec: Option<media::Codec>) {
    if let Some(codec) = codec
        && let Some(at) = leg.codecs.iter().position(|c| *c == codec)
    {
        let codec = leg.codecs.remove(at);
        leg.codecs.insert(0, codec);
    }
}

/// Who is said to call.
pub(crate) fn caller(call: &Call) -> Identity {
    let (number, private) = match &call.activity {
        Activity::Dial(dial) => (&dial.caller_id, dial.options.privacy),
        _ => (&call.session.dialed, Some(false)),
    };
    Identity {
        name: call.from_name.clone(),
        number: number.clone(),
        private: private.unwrap_or(call.session.private),
    }
}

/// Whether it rings reliably over there (RFC 3262 §4).
fn reliable(trunk: Option<&directory::Trunk>) -> Reliable {
    match trunk.map(|trunk| trunk.reliable_provisionals) {
        None | Some(Reliability::Supported) => Reliable::Supported,
        Some(Reliability::Off) => Reliable::Off,
        Some(Reliability::Required) => Reliable::Required,
    }
}

/// Leg `index` answered: it wins, unless its SDP is unusable.
pub(crate) fn answered(office: &mut Office, call: &mut Call, index: usize, response: &Message) {
    if let Err(why) = early::agree(office, call, index, response) {
        let dialog = call.legs.get_mut(index).and_then(|leg| {
            leg.diagnosis = Some(why);
            leg.dialog
        });
        if let Some(dialog) = dialog {
            office.sip.bye(office.now, dialog, Some(cause::reason(488)));
        }
        return refused(office, call, index, (488, Told::default()));
    }
    if let Some(leg) = call.legs.get_mut(index) {
        leg.up(office.now);
        identity::note(office, leg, response);
        leg.forks.clear();
    }
    if matches!(call.activity, Activity::Originate { .. }) {
        return originate::answered(office, call, index);
    }
    won(office, call, index);
}

/// The party of leg `index`, which is up, is the one the subject talks with.
pub(crate) fn won(office: &mut Office, call: &mut Call, index: usize) {
    let Activity::Dial(dial) = &mut call.activity else {
        return end::drop_leg(office, call, index, None);
    };
    dial.branches.retain(|branch| *branch != index);
    dial.answered = Some(index);
    let ring = office.now.duration_since(dial.since);
    let limit = dial.options.max_duration;
    // Whoever this one sends it on to shall not know either.
    call.session.private |= dial.options.privacy == Some(true);
    end::cancel_branches(office, call, Some(cause::ELSEWHERE));
    if let Some(leg) = call.legs.get(index) {
        call.to.clone_from(&leg.party.number);
    }
    let codec = call
        .legs
        .get(index)
        .and_then(|leg| leg.negotiated.as_ref())
        .map(|n| n.codec);
    if let Err(trouble) = answer::answer(office, call, codec) {
        return end::end(
            office,
            call,
            Verdict::refused(trouble.code(), trouble.why()),
        );
    }
    talk::start(office, call, index, ring, limit);
}

/// Leg `index` ended before its answer with `code`, and with what its party told beside.
pub(crate) fn refused(
    office: &mut Office,
    call: &mut Call,
    index: usize,
    (code, told): (u16, Told),
) {
    let dial_ended = match &call.activity {
        Activity::Dial(dial) if dial.branches.contains(&index) => true,
        Activity::Originate { branches } if branches.contains(&index) => false,
        _ => return end::leg_ended(office, call, index),
    };
    // RFC 3263 §4.3: 503 and no answer at all are reasons to try the next address; RFC 5626 §5.3: a dead flow is one too.
    if matches!(code, 408 | 430 | 503) && next_way(office, call, index) {
        return;
    }
    let (code, told) = match call.legs.get_mut(index) {
        Some(leg) if leg.doubtful && code == 408 => {
            leg.diagnosis = Some("its phone gave no sign".to_owned());
            (480, Told::absent())
        }
        Some(leg) => {
            secrecy::refused(leg, code);
            (code, told)
        }
        None => (code, told),
    };
    end::leg_ended(office, call, index);
    if let Activity::Dial(Dial { branches, .. }) | Activity::Originate { branches } =
        &mut call.activity
    {
        branches.retain(|branch| *branch != index);
    }
    if dial_ended {
        if let Activity::Dial(dial) = &mut call.activity {
            let best = cause::better(dial.best, code);
            if best != dial.best {
                (dial.best, dial.told) = (best, told);
            }
        }
        if code >= 600 {
            silence(office, call, index);
        }
        check(office, call);
    } else {
        originate::refused(office, call, code);
    }
}

/// A 6xx speaks for the party, not for one of its phones (RFC 3261 §21.6, §16.7 step 5): the others stop ringing.
fn silence(office: &mut Office, call: &mut Call, index: usize) {
    let Some(party) = call.legs.get(index).map(|leg| leg.party.clone()) else {
        return;
    };
    let Activity::Dial(dial) = &mut call.activity else {
        return;
    };
    let legs = &call.legs;
    let same = |branch: &mut usize| legs.get(*branch).is_some_and(|leg| leg.party == party);
    let others: Vec<usize> = dial.branches.extract_if(.., same).collect();
    for other in others {
        end::drop_leg(office, call, other, None);
    }
}

/// Tries the next way to leg `index`, if it has one.
fn next_way(office: &mut Office, call: &mut Call, index: usize) -> bool {
    let full = call.legs.len() >= MAX_LEGS;
    let Some(leg) = call.legs.get_mut(index) else {
        return false;
    };
    let own = leg.local_ip();
    let here = |way: &Way| !full || way.flow.local.ip() == own;
    let Some(at) = leg.alternatives.iter().position(here) else {
        return false;
    };
    let way = leg.alternatives.remove(at);
    let old = leg.dialog.take();
    if let Some(old) = old {
        office.dialogs.remove(&old);
    }
    let index = if way.flow.local.ip() == own {
        index
    } else {
        elsewhere(office, call, index)
    };
    invite(office, call, index, way);
    true
}

/// A leg's sound has one local address for life: where the next way begins at another address of ours (of the other IP
/// version, or on another network), another leg takes the place of leg `index`.
fn elsewhere(office: &mut Office, call: &mut Call, index: usize) -> usize {
    let Some(old) = call.legs.get_mut(index) else {
        return index;
    };
    let mut leg = Leg::new(old.party.clone(), old.codecs.clone());
    leg.doubtful = old.doubtful;
    leg.alternatives = std::mem::take(&mut old.alternatives);
    end::leg_ended(office, call, index);
    let new = call.add(office, leg);
    if let Activity::Dial(Dial { branches, .. }) | Activity::Originate { branches } =
        &mut call.activity
    {
        let mut branches = branches.iter_mut();
        if let Some(branch) = branches.find(|branch| **branch == index) {
            *branch = new;
        }
    }
    early::sound(office, call);
    new
}

/// When nobody rings any more, the verb ends with the best status.
pub(super) fn check(office: &mut Office, call: &mut Call) {
    let Activity::Dial(dial) = &call.activity else {
        return;
    };
    if dial.branches.is_empty() {
        let code = if dial.best == 0 { 480 } else { dial.best };
        let told = dial.told;
        let why = hint(call, code);
        let ending = cause::ending_with(code, told);
        return give_up(
            office,
            call,
            Verdict {
                ending,
                ..why.with(told)
            },
        );
    }
    early::sound(office, call);
}

/// It rang long enough.
pub(crate) fn timed_out(office: &mut Office, call: &mut Call) {
    end::cancel_branches(office, call, None);
    let why = hint(call, 408);
    give_up(office, call, why);
}

/// Nobody answered; `why` is kept for the record.
fn give_up(office: &mut Office, call: &mut Call, why: Verdict) {
    let Activity::Dial(dial) = &call.activity else {
        return;
    };
    let ring = office.now.duration_since(dial.since);
    early::silence(office, call);
    let (code, told) = (why.sip_code, why.told);
    let meant = cause::meant(code, told);
    call.verdict = Some(why);
    call.tried = Some((call.to.clone(), code));
    let outcome = Dialed {
        status: cause::status_of(meant),
        sip_code: code,
        is_final: cause::is_final(meant),
        q850: told.q850,
        by: String::new(),
        ring,
        talk: Duration::ZERO,
    };
    if call.emergency.is_some() {
        return emergency::next(office, call, code);
    }
    if transfer::not_taken_back(office, call, code) {
        return;
    }
    call.finish(office, Outcome::Dialed(outcome));
}

/// Why a party could not be reached, for the record.
fn hint(call: &Call, code: u16) -> Verdict {
    let diagnosis = call.legs.iter().rev().find_map(|leg| leg.diagnosis.clone());
    match diagnosis {
        Some(why) => Verdict::refused(code, format!("{}: {why}", cause::phrase(code))),
        None => Verdict::of_status(code),
    }
}

/// The call gives up dialling because its script failed.
pub(crate) fn abandon(office: &mut Office, call: &mut Call) {
    end::cancel_branches(office, call, None);
    if let Activity::Talk(talk) = &call.activity {
        let leg = talk.leg;
        end::drop_leg(office, call, leg, None);
    }
    call.disarm(office);
    call.activity = Activity::Idle;
    hold::tune(office, call);
    debug_assert!(call.script == Script::Absent);
}
