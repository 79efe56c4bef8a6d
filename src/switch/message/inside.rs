//! MESSAGE inside a call: to the other party's phone, in its own dialog.

use super::{acceptable, busy, content_type};
use crate::admission::Answer;
use crate::call::{Activity, Call, LegState};
use crate::office::Office;
use sip::{Ask, DialogId, Message, TransactionId};

/// Messages whose answer is awaited.
const MAX_RELAYED: usize = 2_000;

/// The party of leg `index` sends one.
pub(crate) fn relay(
    office: &mut Office,
    call: &Call,
    index: usize,
    (transaction, request): (TransactionId, &Message),
) {
    if let Err(answer) = pass(office, call, index, (transaction, request)) {
        office
            .sip
            .respond(office.now, transaction, answer.status, &answer.headers);
    }
}

fn pass(
    office: &mut Office,
    call: &Call,
    index: usize,
    (transaction, request): (TransactionId, &Message),
) -> Result<(), Answer> {
    let outside = |leg: Option<&crate::call::Leg>| leg.is_some_and(|leg| leg.party.trunk.is_some());
    if outside(call.legs.get(index)) {
        return Err(Answer::status(403));
    }
    acceptable(request)?;
    let other = match &call.activity {
        Activity::Talk(talk) if index == call.subject => talk.leg,
        Activity::Talk(talk) if index == talk.leg => call.subject,
        _ => return Err(Answer::status(480)),
    };
    let leg = call.legs.get(other);
    if outside(leg) {
        return Err(Answer::status(403));
    }
    let up = leg.filter(|leg| leg.state == LegState::Up);
    let dialog = up.and_then(|leg| leg.dialog).ok_or(Answer::status(480))?;
    if office.messages.relayed.len() >= MAX_RELAYED {
        return Err(busy());
    }
    let kind = content_type(request);
    let ask = Ask {
        method: "MESSAGE".to_owned(),
        headers: Vec::new(),
        body: (!kind.is_empty()).then(|| (kind, request.body().to_vec())),
    };
    let asked = office.sip.ask(office.now, dialog, ask).ok_or_else(busy)?;
    office.messages.relayed.insert((dialog, asked), transaction);
    Ok(())
}

/// A phone answered what it was asked in its dialog; nothing when that was no message.
pub(crate) fn told(office: &mut Office, dialog: DialogId, transaction: TransactionId, status: u16) {
    let Some(asker) = office.messages.relayed.remove(&(dialog, transaction)) else {
        return;
    };
    let status = match status {
        200..=299 => 200,
        400..=699 => status,
        _ => 500,
    };
    office.sip.respond(office.now, asker, status, &[]);
}

/// The dialog is over: nobody in it will answer.
pub(crate) fn forget(office: &mut Office, dialog: DialogId) {
    if office.messages.relayed.is_empty() {
        return;
    }
    let all = (dialog, TransactionId(0))..=(dialog, TransactionId(u64::MAX));
    let gone = office.messages.relayed.extract_if(all, |_, _| true);
    let askers: Vec<TransactionId> = gone.map(|(_, asker)| asker).collect();
    for asker in askers {
        office.sip.respond(office.now, asker, 480, &[]);
    }
}
