//! Where two calls meet, or a call and a newcomer: the only place that sees several. What a REFER or a Replaces asks is
//! read and judged here; what it means for one call is in `call/transfer`.
//!
//! All is anchored here: no REFER is ever passed on to a phone or a trunk.
//! Next: `refer` (what is asked), `replaces` (which dialog is meant), `attended`, `pickup`, `outside`, `supervise`.

mod attended;
mod outside;
mod pickup;
mod refer;
mod replaces;
mod supervise;

use crate::Switch;
use crate::call::progress::Progress;
use crate::call::transfer::{self, Order};
use crate::call::{Activity, Call, LegState, keys};
use crate::event::CallId;
use crate::office::Office;
use refer::{Refer, Wanted};
use sip::{DialogId, Flow, HeaderId, Message, TransactionId};

/// Where a REFER came in.
struct Referrer {
    call: CallId,
    leg: usize,
    dialog: DialogId,
    transaction: TransactionId,
}

impl Switch {
    /// A REFER inside the dialog of a call.
    pub(crate) fn referred(
        &mut self,
        dialog: DialogId,
        transaction: TransactionId,
        request: &Message,
    ) {
        let place = self.office.dialogs.get(&dialog).copied();
        let live = place.and_then(|(call, leg)| {
            let found = self.calls.get(&call)?.legs.get(leg)?;
            (found.is_live() && found.dialog == Some(dialog)).then_some((call, leg))
        });
        let Some((call, leg)) = live else {
            return self.reply(transaction, 481);
        };
        let from = Referrer {
            call,
            leg,
            dialog,
            transaction,
        };
        self.current = Some(call);
        if let Err(status) = self.refer(&from, request) {
            self.reply(transaction, status);
        }
        self.settle(call);
        self.current = None;
    }

    /// The answer to a NOTIFY.
    pub(crate) fn told(&mut self, dialog: DialogId, (transaction, status): (TransactionId, u16)) {
        self.leg(dialog, |office, call, index| {
            transfer::told(office, call, transaction, status);
            keys::told(office, call, index, transaction);
        });
        crate::message::inside::told(&mut self.office, dialog, transaction, status);
    }

    /// `Err`: what the REFER is refused with.
    fn refer(&mut self, from: &Referrer, request: &Message) -> Result<(), u16> {
        let Some(call) = self.calls.get(&from.call) else {
            return Err(481);
        };
        let leg = call.legs.get(from.leg).ok_or(481u16)?;
        let sender = (leg.party.number.as_str(), leg.flow.as_ref());
        let refer = refer::read(&self.office, request, sender)?;
        let by = may_refer(call, from.leg)?;
        match refer.wanted.clone() {
            Wanted::Number(target) => self.blind(from, &refer, (by, target)),
            Wanted::Dialog(names) => self.attended(from, &refer, (by, names)),
        }
    }

    /// RFC 5589 §6: the transferrer does not ask the target first.
    fn blind(
        &mut self,
        from: &Referrer,
        refer: &Refer,
        (by, target): (String, String),
    ) -> Result<(), u16> {
        let referrer = from.leg;
        let progress = self.accept(from, refer);
        self.with(from.call, |office, call| {
            let order = Order {
                referrer,
                by,
                target,
                progress,
            };
            transfer::begin(office, call, order);
        });
        Ok(())
    }

    /// 202, and the subscription that comes of it.
    fn accept(&mut self, from: &Referrer, refer: &Refer) -> Option<Progress> {
        let now = self.office.now;
        if refer.silent {
            // RFC 4488 §4: we say that there is no subscription.
            let headers = [("Refer-Sub", "false".to_owned())];
            self.office
                .sip
                .respond(now, from.transaction, 202, &headers);
            return None;
        }
        self.office.sip.respond(now, from.transaction, 202, &[]);
        let leg = self.calls.get_mut(&from.call);
        let leg = leg.and_then(|call| call.legs.get_mut(from.leg))?;
        // RFC 3515 §2.4.6: every further REFER of a dialog must be named.
        let id = leg.refers.then_some(refer.cseq);
        leg.refers = true;
        Some(Progress::new(from.dialog, id))
    }

    fn reply(&mut self, transaction: TransactionId, status: u16) {
        let office = &mut self.office;
        office.sip.respond(office.now, transaction, status, &[]);
    }
}

/// Who the transferrer on leg `index` is; `Err`: why it may not transfer.
fn may_refer(call: &Call, index: usize) -> Result<String, u16> {
    let Some(leg) = call.legs.get(index) else {
        return Err(481);
    };
    // A provider could send our party anywhere at our cost; one in need is not sent anywhere.
    if leg.party.trunk.is_some() || call.emergency.is_some() {
        return Err(403);
    }
    // RFC 3261 §21.4.27: one at a time, whoever of the two asks.
    if call.is_in_transfer() {
        return Err(491);
    }
    // Who talks to a script has nobody to send on, and who is not answered yet neither.
    if leg.state != LegState::Up || partner(call, index).is_none() {
        return Err(603);
    }
    if call.journey.has_room() {
        Ok(leg.party.number.clone())
    } else {
        Err(503)
    }
}

/// The leg that talks with leg `index`.
fn partner(call: &Call, index: usize) -> Option<usize> {
    match &call.activity {
        Activity::Talk(talk) if index == call.subject => Some(talk.leg),
        Activity::Talk(talk) if index == talk.leg => Some(call.subject),
        _ => None,
    }
}

/// Whether an INVITE wants to take somebody's place.
pub(crate) fn replaces(request: &Message) -> bool {
    request.header(HeaderId::Replaces).is_some()
}

/// The extension that a request which is no trunk's proves to come from, or what to answer instead.
fn extension(
    office: &mut Office,
    request: &Message,
    flow: &Flow,
) -> Result<String, crate::admission::Answer> {
    let user = request.from().and_then(|from| from.uri.user);
    let trunk = office.trunks.of_source(&office.directory, flow);
    if trunk.is_some() && !office.registrar.knows(&user.unwrap_or_default(), flow) {
        return Err(crate::admission::Answer::status(403));
    }
    crate::admission::authenticate(office, request, flow)
}
