//! Attended transfer (RFC 5589 §7): a transferrer with two calls connects the two other parties and leaves.
//!
//! The call that is asked to replace the transferrer takes over the other one's party; the first call ends there, and the
//! records name each other. While the target still rings, the party takes the transferrer's place and hears it ring.

use super::refer::Refer;
use super::replaces::Names;
use super::{Referrer, partner};
use crate::Switch;
use crate::call::progress::Progress;
use crate::call::transfer::{self, Order};
use crate::call::{Activity, Call, LegState, MAX_LEGS, early, end, hold, journey, show, talk};
use crate::cause::Verdict;
use crate::event::CallId;
use crate::identity::Identity;
use crate::office::Office;
use directory::How;
use std::time::Duration;

/// Where the transferrer's other dialog is.
struct Consulted {
    call: CallId,
    leg: usize,
}

/// Those who went over to the consulted call, by their legs there.
struct Guests {
    party: usize,
    transferrer: usize,
    /// As which the party is known.
    identity: Identity,
    from: CallId,
}

impl Switch {
    /// The REFER names another dialog of the transferrer's. What is wrong with that is told in the first NOTIFY: both
    /// calls go on as they were.
    pub(super) fn attended(
        &mut self,
        from: &Referrer,
        refer: &Refer,
        (by, names): (String, Names),
    ) -> Result<(), u16> {
        let found = self.consulted(from, &names, &by);
        if let (Err(status), true) = (&found, refer.silent) {
            // 481 to the REFER itself would be about its own dialog.
            return Err(if *status == 481 { 603 } else { *status });
        }
        let mut progress = self.accept(from, refer);
        match found {
            Ok(consulted) => self.merge(from, &consulted, (by, progress)),
            Err(status) => {
                if let Some(progress) = &mut progress {
                    progress.tell(&mut self.office, status);
                }
            }
        }
        Ok(())
    }

    /// The leg to be replaced; `Err`: why it cannot be.
    fn consulted(&self, from: &Referrer, names: &Names, by: &str) -> Result<Consulted, u16> {
        // RFC 3891 §3: no such dialog, or one that has just ended.
        let dialog = names.dialog(&self.office).ok_or(481u16)?;
        let place = self.office.dialogs.get(&dialog).ok_or(603u16)?;
        let (id, index) = *place;
        let call = self.calls.get(&id).ok_or(603u16)?;
        let leg = call.legs.get(index).ok_or(603u16)?;
        if !leg.is_live() || leg.dialog != Some(dialog) {
            return Err(603);
        }
        // Only between one's own calls.
        if leg.party.number != by || leg.party.trunk.is_some() || call.emergency.is_some() {
            return Err(403);
        }
        if call.is_in_transfer() {
            return Err(491);
        }
        let rings = index == call.subject && matches!(call.activity, Activity::Dial(_));
        let talks = leg.state == LegState::Up && partner(call, index).is_some();
        let room = call.legs.len() + 2 <= MAX_LEGS && call.journey.has_room();
        if id == from.call || !(rings || talks) || !room {
            return Err(603);
        }
        Ok(Consulted {
            call: id,
            leg: index,
        })
    }

    /// The party leaves its call for the consulted one, and the transferrer's leg goes with it until its phone knows.
    fn merge(
        &mut self,
        from: &Referrer,
        to: &Consulted,
        (by, progress): (String, Option<Progress>),
    ) {
        // Should what follows panic, both calls end, and each has its record.
        self.meeting = Some(to.call);
        match (self.hand_over(from, to.call), progress) {
            (Some(guests), progress) => {
                self.meeting = Some(from.call);
                self.with(to.call, |office, call| {
                    receive(office, call, to.leg, (guests, by, progress));
                });
            }
            // RFC 3515 §2.4.4: who was told 202 hears what came of it.
            (None, Some(mut progress)) => progress.tell(&mut self.office, 603),
            (None, None) => {}
        }
        self.meeting = None;
    }

    /// Both legs go over, and the call they leave is at its end.
    fn hand_over(&mut self, from: &Referrer, to: CallId) -> Option<Guests> {
        let office = &mut self.office;
        let call = self.calls.get_mut(&from.call)?;
        let index = partner(call, from.leg)?;
        show::keep(office, call, index);
        let identity = show::who(office, call, index)?;
        let party = call.release(index, to)?;
        let transferrer = call.release(from.leg, to)?;
        // Nothing may come between: a leg that is in no call is nobody's to hang up.
        let target = self.calls.get_mut(&to)?;
        let guests = Guests {
            party: target.adopt(office, party),
            transferrer: target.adopt(office, transferrer),
            identity,
            from: from.call,
        };
        let call = self.calls.get_mut(&from.call)?;
        call.journey.merged_into = Some(to);
        let why = format!("attended transfer: went on in {to}");
        end::end(office, call, Verdict::completed(why));
        Some(guests)
    }
}

/// The guests take their places; whoever was on leg `index` leaves.
fn receive(
    office: &mut Office,
    call: &mut Call,
    index: usize,
    (guests, by, progress): (Guests, String, Option<Progress>),
) {
    #[cfg(debug_assertions)]
    crate::call::leave::forced(office, call);
    journey::turn(office, call, How::Attended, &by);
    call.journey.continues.push(guests.from);
    show::keep(office, call, call.subject);
    let party = guests.party;
    let number = call.legs.get(party).map(|leg| leg.party.number.clone());
    let number = number.unwrap_or_default();
    let order = Order {
        referrer: guests.transferrer,
        target: call.to.clone(),
        by,
        progress,
    };
    if index == call.subject {
        call.session.from.clone_from(&number);
        call.from_name = guests.identity.name;
        call.session.private = guests.identity.private;
    } else {
        call.to = number;
    }
    if partner(call, index).is_some() {
        replace(office, call, index, party);
        end::drop_leg(office, call, index, None);
        talk::rejoin(office, call);
        show::each_other(office, call);
        transfer::farewell(office, call, order);
    } else {
        call.subject = party;
        call.answered.get_or_insert(office.now);
        end::drop_leg(office, call, index, Some(487));
        if let Activity::Dial(dial) = &mut call.activity {
            // It hears nothing of it yet.
            dial.sound = early::Sound::Nothing;
        }
        hold::tune(office, call);
        early::sound(office, call);
        transfer::adopted(office, call, order);
    }
    call.announce(office);
}

/// In the talk, leg `new` takes the place of leg `old`.
pub(super) fn replace(office: &Office, call: &mut Call, old: usize, new: usize) {
    let Activity::Talk(talk) = &mut call.activity else {
        return;
    };
    talk.since = office.now;
    talk.ring = Duration::ZERO;
    if talk.leg == old {
        talk.leg = new;
    } else {
        call.subject = new;
    }
    // What the one was allowed is not prolonged by the other.
    let until = call.legs.get(old).and_then(|leg| leg.until);
    if let (Some(leg), Some(until)) = (call.legs.get_mut(new), until) {
        leg.until = Some(leg.until.map_or(until, |own| own.min(until)));
    }
}
