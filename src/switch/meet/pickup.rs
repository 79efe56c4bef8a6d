//! An INVITE with Replaces (RFC 3891 §3): a phone answers what rings elsewhere, or takes over a talk of its extension.
//!
//! The newcomer becomes a leg of the call it names: there is no call of its own, and no record but that call's.

use super::attended::replace;
use super::replaces::Names;
use super::{extension, partner};
use crate::Switch;
use crate::admission::Answer;
use crate::call::secrecy::Secrecy;
use crate::call::{Activity, Call, Leg, LegState, MAX_LEGS, Party};
use crate::call::{answer, dial, end, journey, show, talk};
use crate::event::CallId;
use crate::office::Office;
use crate::target;
use directory::How;
use sip::{DialogId, Flow, HeaderId, Message};

/// What the newcomer may do.
enum Place {
    /// A phone that rings in a `dial`: it is answered instead.
    Ringing(CallId, usize),
    /// A party of a talk: it is replaced.
    Talking(CallId, usize),
}

impl Switch {
    /// An INVITE that names a dialog to take the place of.
    pub(crate) fn replacing(&mut self, dialog: DialogId, request: &Message, flow: Flow) {
        let done = self.take_place(dialog, request, flow);
        if let Err(Answer { status, headers }) = done {
            let office = &mut self.office;
            office.sip.refuse(office.now, dialog, status, &headers);
        }
    }

    fn take_place(
        &mut self,
        dialog: DialogId,
        request: &Message,
        flow: Flow,
    ) -> Result<(), Answer> {
        if self.office.stopping {
            let headers = vec![("Retry-After", "10".to_owned())];
            return Err(Answer {
                status: 503,
                headers,
            });
        }
        let number = extension(&mut self.office, request, &flow)?;
        let mut values = request.headers(HeaderId::Replaces);
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Answer::status(400));
        };
        let names = Names::parse(&value).ok_or(Answer::status(400))?;
        let place = self.place(&names, &number).map_err(Answer::status)?;
        let newcomer = newcomer(&self.office, number, request, (dialog, flow));
        let (Place::Ringing(id, index) | Place::Talking(id, index)) = place;
        self.current = Some(id);
        let Some(call) = self.calls.get_mut(&id) else {
            return Err(Answer::status(481));
        };
        let office = &mut self.office;
        let taken = match place {
            Place::Ringing(..) => pick_up(office, call, index, newcomer),
            Place::Talking(..) => take_over(office, call, index, newcomer),
        };
        self.settle(id);
        self.current = None;
        taken.map_err(Answer::status)
    }

    /// Whose place that is; `Err`: the status that says why nobody's.
    fn place(&self, names: &Names, number: &str) -> Result<Place, u16> {
        // RFC 3891 §3: 481 for a dialog that nobody knows, 603 for one that has just ended.
        let dialog = names.dialog(&self.office).ok_or(481u16)?;
        let (id, index) = *self.office.dialogs.get(&dialog).ok_or(603u16)?;
        let call = self.calls.get(&id).ok_or(603u16)?;
        let leg = call.legs.get(index).ok_or(603u16)?;
        if !leg.is_live() || leg.dialog != Some(dialog) {
            return Err(603);
        }
        if leg.party.trunk.is_some() || call.emergency.is_some() {
            return Err(403);
        }
        if call.legs.len() >= MAX_LEGS || !call.journey.has_room() {
            return Err(503);
        }
        if leg.state != LegState::Up {
            // RFC 3891 §3: an early dialog is replaced only by the side that began it, and that is us.
            let rings = matches!(&call.activity, Activity::Dial(d) if d.branches.contains(&index));
            return match rings {
                true => Ok(Place::Ringing(id, index)),
                false => Err(481),
            };
        }
        // RFC 3891 §3: it was answered meanwhile.
        if names.early_only {
            return Err(486);
        }
        // Whoever watches a lamp can name the dialog; a talk is none the less taken over only by its own extension.
        if leg.party.number != number {
            return Err(403);
        }
        if partner(call, index).is_none() || call.is_in_transfer() {
            return Err(603);
        }
        Ok(Place::Talking(id, index))
    }
}

fn newcomer(
    office: &Office,
    number: String,
    request: &Message,
    (dialog, flow): (DialogId, Flow),
) -> Leg {
    let extension = office.directory.extensions.get(&number);
    let codecs = extension.map(|e| target::codecs(&e.codecs));
    let party = Party {
        number,
        trunk: None,
    };
    let secrecy = Secrecy::of(&office.directory, &party);
    let mut leg = Leg::new(party, codecs.unwrap_or_default());
    leg.secrecy = secrecy;
    leg.dialog = Some(dialog);
    leg.flow = Some(flow);
    leg.incoming = true;
    leg.state = LegState::Ringing;
    leg.offered = request.body().to_vec();
    leg
}

/// The newcomer answers the call instead of the phones that ring, of which leg `index` is one.
fn pick_up(office: &mut Office, call: &mut Call, index: usize, newcomer: Leg) -> Result<(), u16> {
    let new = settle(office, call, call.subject, newcomer)?;
    debug_assert!(call.legs.get(index).is_some_and(Leg::is_live));
    let by = number(call, new);
    journey::turn(office, call, How::PickedUp, &by);
    dial::won(office, call, new);
    Ok(())
}

/// The newcomer goes on with the talk of leg `index`, whose phone is hung up.
fn take_over(office: &mut Office, call: &mut Call, index: usize, newcomer: Leg) -> Result<(), u16> {
    let other = partner(call, index).ok_or(603u16)?;
    let new = settle(office, call, other, newcomer)?;
    let by = number(call, new);
    journey::turn(office, call, How::PickedUp, &by);
    replace(office, call, index, new);
    end::drop_leg(office, call, index, None);
    talk::rejoin(office, call);
    call.announce(office);
    Ok(())
}

/// Answers the newcomer, who will talk with leg `with`; nothing has changed when that cannot be. Its index.
fn settle(office: &mut Office, call: &mut Call, with: usize, newcomer: Leg) -> Result<usize, u16> {
    let codec = call.legs.get(with).and_then(|leg| leg.negotiated.as_ref());
    let codec = codec.map(|n| n.codec);
    answer::check(&newcomer).map_err(|trouble| trouble.code())?;
    let dialog = newcomer.dialog;
    let index = call.add(office, newcomer);
    if let Some(dialog) = dialog {
        office.dialogs.insert(dialog, (call.id, index));
    }
    let told = show::headers(office, call, index, with);
    match answer::accept(office, call, index, (codec, &told)) {
        Ok(()) => Ok(index),
        Err(trouble) => {
            end::leg_ended(office, call, index);
            // It never was in the call, and takes no place of those who will be.
            call.take_back(office, index);
            Err(trouble.code())
        }
    }
}

fn number(call: &Call, index: usize) -> String {
    let leg = call.legs.get(index);
    leg.map_or_else(String::new, |leg| leg.party.number.clone())
}
