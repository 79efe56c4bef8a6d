//! A party is sent on: it stays in its call and becomes its subject, its transferrer steps back, and the dialplan seeks
//! the target as if the transferrer had dialled it. What is not taken goes back to the transferrer.
//!
//! Nothing here sees two calls: that is `meet`, which also decides who may transfer whom.

use super::progress::{Heard, Progress};
use super::{
    Activity, Call, Leg, LegState, Script, dial, early, end, hold, journey, script, show, talk,
};
use crate::cause::{self, Verdict};
use crate::identity;
use crate::office::Office;
use crate::timers::{Timer, TimerKey};
use crate::verb::{DialOptions, Entry, SessionInfo, TargetSpec};
use directory::How;
use sip::{Flow, TransactionId};
use std::time::Duration;

/// How long the transferrer is rung when nobody took what it sent on.
const TAKE_BACK: Duration = Duration::from_secs(30);

/// Who waited and hangs up within this time did so before it could know that its party is back: its BYE crossed our word,
/// or its phone hangs up by itself when a transfer is over, whatever came of it.
const REFLEX: Duration = Duration::from_secs(1);

/// What came of a REFER and is not over.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// The transferrer: an extension.
    by: String,
    /// What it wanted rung, for the record's words.
    target: String,
    stage: Stage,
    /// The transferrer's leg, which hears nobody; it may have hung up.
    referrer: usize,
    progress: Option<Progress>,
    timer: Option<TimerKey>,
}

/// How far a transfer is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// The script that led the call until now is on its way out; then `entry` starts.
    Clearing(Entry),
    /// The target is sought.
    Sought,
    /// The transferrer is rung, for nobody took what it sent on: why.
    Returning(String),
    /// Somebody took it; the transferrer's phone has still to know.
    Taken,
    /// Nobody took it, for this reason, and the two talk again; the transferrer's phone has still to know, or its user.
    Back(String),
}

/// A transfer as it was asked for and found in order.
#[derive(Debug)]
pub(crate) struct Order {
    /// The leg of the transferrer.
    pub(crate) referrer: usize,
    pub(crate) by: String,
    pub(crate) target: String,
    /// `None`: the transferrer's phone does not want to be told (RFC 4488).
    pub(crate) progress: Option<Progress>,
}

impl Transfer {
    fn tell(&mut self, office: &mut Office, status: u16) {
        if let Some(progress) = &mut self.progress {
            progress.tell(office, status);
        }
    }
}

impl Call {
    /// A party of it is being sent on, and where that ends is open.
    pub(crate) fn is_in_transfer(&self) -> bool {
        self.sent_by().is_some()
    }

    /// Who sent the party on that is not taken yet: shown to the target (RFC 3892).
    pub(crate) fn sent_by(&self) -> Option<&str> {
        let transfer = self.transfer.as_ref()?;
        let open = !matches!(transfer.stage, Stage::Taken | Stage::Back(_));
        open.then_some(transfer.by.as_str())
    }
}

/// RFC 3892: the target learns who sent the call to it, in the house only.
pub(crate) fn referred_by(
    office: &Office,
    call: &Call,
    leg: &Leg,
    flow: &Flow,
) -> Option<(String, String)> {
    let by = call.sent_by().filter(|_| leg.party.trunk.is_none())?;
    let by = identity::name_addr("", by, &office.host_for(flow));
    Some(("Referred-By".to_owned(), by))
}

/// Sends the party that talks with the transferrer on to `order.target`.
pub(crate) fn begin(office: &mut Office, call: &mut Call, order: Order) {
    let Activity::Talk(talk) = &call.activity else {
        return;
    };
    let party = if order.referrer == call.subject {
        talk.leg
    } else {
        call.subject
    };
    journey::turn(office, call, How::Transferred, &order.by);
    let stream = call.stream(order.referrer);
    office.media(media::Command::Part { stream });
    call.disarm(office);
    call.activity = Activity::Idle;
    call.verdict = None;
    hold::tune(office, call);
    call.subject = party;
    // Nobody forwarded this one.
    (call.tried, call.diverted) = (None, Vec::new());
    call.on_behalf = None;
    show::keep(office, call, party);
    let entry = assume(office, call, &order);
    call.to.clone_from(&order.target);
    put(office, call, order, Stage::Clearing(entry));
    watch(office, call);
    call.announce(office);
    script::leave(office, call);
    clear(office, call);
}

/// The call's script has ended: if that was to make room for another, it starts.
pub(crate) fn clear(office: &mut Office, call: &mut Call) {
    let Some(transfer) = &mut call.transfer else {
        return;
    };
    if let (&Stage::Clearing(entry), Script::Absent) = (&transfer.stage, call.script) {
        transfer.stage = Stage::Sought;
        script::start(office, call, entry);
    }
}

/// A transferrer put a party in its own place while the target rang: the party is the subject, and the call as it is.
pub(crate) fn adopted(office: &mut Office, call: &mut Call, order: Order) {
    put(office, call, order, Stage::Sought);
    watch(office, call);
    if matches!(&call.activity, Activity::Dial(dial) if dial.progress == early::Progress::Rings) {
        ringing(office, call);
    }
}

/// The party is where its transferrer wanted it, whose phone has only to be told.
pub(crate) fn farewell(office: &mut Office, call: &mut Call, order: Order) {
    put(office, call, order, Stage::Sought);
    done(office, call);
}

fn put(office: &mut Office, call: &mut Call, order: Order, stage: Stage) {
    // One whose phone is still being told that it is done.
    release(office, call);
    call.transfer = Some(Box::new(Transfer {
        by: order.by,
        target: order.target,
        stage,
        referrer: order.referrer,
        progress: order.progress,
        timer: None,
    }));
}

/// The transferrer hears that its wish is looked after; without an answer in time the party comes back.
fn watch(office: &mut Office, call: &mut Call) {
    let patience = office.config.calls.transfer_return;
    let timer = (!patience.is_zero()).then(|| office.arm(patience, Timer::Transfer(call.id)));
    if let Some(transfer) = &mut call.transfer {
        transfer.timer = timer;
        transfer.tell(office, 100);
    }
}

/// The session becomes the transferrer's: the target is dialled with its rights, at the entry point that the host's rule
/// says. Inside the house the target sees who is sent to it; a provider is shown only numbers that are ours.
fn assume(office: &Office, call: &mut Call, order: &Order) -> Entry {
    let party = call.legs.get(call.subject);
    let party = party.map_or_else(String::new, |leg| leg.party.number.clone());
    let who = |index| show::who(office, call, index).unwrap_or_default();
    let prefix = office.config.outbound_prefix.as_str();
    let outside = order.target.strip_prefix(prefix);
    let outside = outside.filter(|rest| !prefix.is_empty() && !rest.is_empty());
    let (entry, dialed, shown) = match outside {
        Some(rest) => (Entry::Outbound, rest, who(order.referrer)),
        None => (Entry::Internal, order.target.as_str(), who(call.subject)),
    };
    call.from_name = shown.name;
    call.session = SessionInfo {
        id: call.id.to_string(),
        caller_id: shown.number,
        private: shown.private,
        dialed: dialed.to_owned(),
        did: String::new(),
        user: order.by.clone(),
        trunk: String::new(),
        did_extension: String::new(),
        first_trunk: office
            .directory
            .ways_out()
            .next()
            .cloned()
            .unwrap_or_default(),
        from: party,
        diverted_from: String::new(),
        diverted_why: String::new(),
    };
    entry
}

/// The target rings.
pub(crate) fn ringing(office: &mut Office, call: &mut Call) {
    let transfer = call.transfer.as_mut();
    if let Some(transfer) = transfer.filter(|transfer| transfer.stage == Stage::Sought) {
        transfer.tell(office, 180);
    }
}

/// The party is connected: with whoever answered, or with a script that took the call itself.
pub(crate) fn connected(office: &mut Office, call: &mut Call) {
    if call.is_in_transfer() {
        if call.journey.continues.is_empty() {
            show::subject(office, call);
        } else {
            // The target was rung with the transferrer's name.
            show::each_other(office, call);
        }
        journey::taken(office, call);
        done(office, call);
    }
}

fn done(office: &mut Office, call: &mut Call) {
    let Some(transfer) = call.transfer.as_mut() else {
        return;
    };
    transfer.stage = Stage::Taken;
    office.timers.cancel(transfer.timer.take());
    transfer.tell(office, 200);
    if transfer.progress.as_ref().is_none_or(Progress::is_over) {
        release(office, call);
    }
}

/// The transferrer's phone answered a NOTIFY.
pub(crate) fn told(office: &mut Office, call: &mut Call, transaction: TransactionId, status: u16) {
    let Some(transfer) = &mut call.transfer else {
        return;
    };
    let Some(progress) = &mut transfer.progress else {
        return;
    };
    if progress.told(office, transaction, status) == Heard::Nothing {
        return;
    }
    match transfer.stage {
        Stage::Taken => release(office, call),
        Stage::Back(_) => settle(call),
        Stage::Clearing(_) | Stage::Sought | Stage::Returning(_) => {}
    }
}

/// The transfer is all over: the transferrer's leg is hung up, if its phone has not done so.
fn release(office: &mut Office, call: &mut Call) {
    let Some(mut transfer) = call.transfer.take() else {
        return;
    };
    office.timers.cancel(transfer.timer.take());
    if !matches!(transfer.stage, Stage::Back(_)) {
        end::drop_leg(office, call, transfer.referrer, None);
    }
}

/// The two talk again: that is all over when the transferrer's phone knows, and its user may be taken to.
fn settle(call: &mut Call) {
    let told = |t: &&mut Box<Transfer>| t.progress.as_ref().is_none_or(Progress::is_over);
    let knows = |t: &&mut Box<Transfer>| t.timer.is_none() && matches!(t.stage, Stage::Back(_));
    if call.transfer.as_mut().filter(told).filter(knows).is_some() {
        call.transfer = None;
    }
}

/// Whether the party of leg `index`, who left, was a transferrer that only waited for the end: then the call goes on.
pub(crate) fn waited(office: &mut Office, call: &mut Call, index: usize) -> bool {
    let Some(transfer) = call.transfer.as_mut().filter(|t| t.referrer == index) else {
        return false;
    };
    transfer.progress = None;
    match &transfer.stage {
        Stage::Clearing(_) | Stage::Sought | Stage::Returning(_) => true,
        Stage::Taken => {
            call.transfer = None;
            true
        }
        Stage::Back(why) => {
            let (why, by, timer) = (why.clone(), transfer.by.clone(), transfer.timer.take());
            if timer.is_none() {
                call.transfer = None;
                return false;
            }
            office.timers.cancel(timer);
            transfer.stage = Stage::Returning(why);
            call.disarm(office);
            hold::tune(office, call);
            ring_back(office, call, by);
            true
        }
    }
}

/// The party of leg `index` left a call in which who was caller and who was called no longer says who is there.
pub(crate) fn party_left(office: &mut Office, call: &mut Call, index: usize) {
    let Some(leg) = call.legs.get(index) else {
        return;
    };
    let (told, why) = (leg.told, format!("hung up by {}", leg.party.number));
    if index == call.subject {
        return end::end(office, call, Verdict::completed(why).with(told));
    }
    talk::party_left(office, call, index, why);
}

/// The target took too long; or the transferrer, who waited, did not hang up.
pub(crate) fn due(office: &mut Office, call: &mut Call) {
    if let Some(transfer) = &mut call.transfer {
        transfer.timer = None;
    }
    settle(call);
    fail(office, call, 408);
}

/// Nobody took the party: `code` says why. `false`: it is not being sent on, so what happens to it is not decided here.
pub(crate) fn fail(office: &mut Office, call: &mut Call, code: u16) -> bool {
    let Some(transfer) = &mut call.transfer else {
        return false;
    };
    match transfer.stage {
        Stage::Clearing(_) | Stage::Sought => {}
        Stage::Returning(_) | Stage::Taken | Stage::Back(_) => return false,
    }
    let (by, referrer) = (transfer.by.clone(), transfer.referrer);
    let said = cause::phrase(code);
    let why = format!("the transfer to {} by {by} failed: {said}", transfer.target);
    office.timers.cancel(transfer.timer.take());
    transfer.tell(office, code);
    transfer.stage = Stage::Returning(why.clone());
    call.next = None;
    script::leave(office, call);
    end::cancel_branches(office, call, None);
    early::silence(office, call);
    call.disarm(office);
    let waits = call.legs.get(referrer).map(|leg| leg.state) == Some(LegState::Up);
    if waits {
        reconnect(office, call, referrer, why);
    } else if office.config.calls.transfer_return.is_zero() {
        end::after_tone(office, call, code, Verdict::completed(why));
    } else {
        ring_back(office, call, by);
    }
    true
}

/// The transferrer is still there: the two talk again.
fn reconnect(office: &mut Office, call: &mut Call, referrer: usize, why: String) {
    let Some(transfer) = &mut call.transfer else {
        return;
    };
    transfer.stage = Stage::Back(why);
    let by = transfer.by.clone();
    let rings_again = !office.config.calls.transfer_return.is_zero();
    transfer.timer = rings_again.then(|| office.arm(REFLEX, Timer::Transfer(call.id)));
    journey::turn(office, call, How::Returned, &by);
    call.to = by;
    settle(call);
    talk::start(office, call, referrer, Duration::ZERO, None);
}

/// The transferrer's phones ring, and show who comes back.
fn ring_back(office: &mut Office, call: &mut Call, by: String) {
    journey::turn(office, call, How::Returned, &by);
    let options = DialOptions {
        timeout: TAKE_BACK,
        caller_id: None,
        max_duration: None,
        privacy: None,
    };
    // So far it may have been the transferrer, for a provider.
    let party = show::who(office, call, call.subject).unwrap_or_default();
    (call.from_name, call.session.private) = (party.name, party.private);
    call.tried = None;
    let targets = vec![TargetSpec::Extension(by)];
    dial::start(office, call, targets, options, party.number);
}

/// The transferrer does not answer either. `false`: that is not what was dialled.
pub(crate) fn not_taken_back(office: &mut Office, call: &mut Call, code: u16) -> bool {
    let Some(transfer) = &call.transfer else {
        return false;
    };
    let Stage::Returning(why) = &transfer.stage else {
        return false;
    };
    let said = cause::phrase(code);
    let why = format!("{why}; {} did not take the call back: {said}", transfer.by);
    end::after_tone(office, call, code, Verdict::completed(why));
    true
}

/// The call ends: a transferrer that still waits is told so before its leg is hung up.
pub(crate) fn over(office: &mut Office, call: &mut Call) {
    let Some(mut transfer) = call.transfer.take() else {
        return;
    };
    office.timers.cancel(transfer.timer.take());
    match transfer.stage {
        Stage::Clearing(_) | Stage::Sought => {
            if let Some(progress) = &mut transfer.progress {
                progress.last_word(office, 487);
            }
        }
        Stage::Returning(_) | Stage::Taken | Stage::Back(_) => {}
    }
}
