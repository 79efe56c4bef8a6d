//! A request inside a call's dialog from elsewhere than its party was: a phone whose address changed, or somebody who
//! overheard what the dialog is called. A phone that is registered there or proves who it is goes on from there.
//! Not asked: BYE, for who can prove nothing any more must still be able to hang up.

use crate::Switch;
use crate::admission::{self, Answer};
use sip::{DialogId, Flow, Message};

impl Switch {
    /// The request has had no effect until here.
    pub(crate) fn strayed(&mut self, dialog: DialogId, request: &Message, flow: Flow) {
        let answer = self.may_go_on(dialog, request, &flow);
        let office = &mut self.office;
        match answer {
            Ok(()) => office.sip.let_in(office.now, dialog, request, flow),
            Err(answer) => {
                let told = (answer.status, answer.headers.as_slice());
                office.sip.turn_away(office.now, request, flow, told);
            }
        }
    }

    fn may_go_on(
        &mut self,
        dialog: DialogId,
        request: &Message,
        flow: &Flow,
    ) -> Result<(), Answer> {
        let place = self.office.dialogs.get(&dialog);
        let leg = place.and_then(|(call, leg)| self.calls.get(call)?.legs.get(*leg));
        let party = leg
            .map(|leg| leg.party.clone())
            .ok_or(Answer::status(481))?;
        // A provider speaks from many addresses, has no password with us, and no lamp shows its dialogs.
        if party.trunk.is_some() || self.office.registrar.knows(&party.number, flow) {
            return Ok(());
        }
        // RFC 3261 §22.2: a request inside a dialog may be challenged as any other.
        match admission::authenticate(&mut self.office, request, flow) {
            Ok(number) if number == party.number => Ok(()),
            Ok(_) => Err(Answer::status(403)),
            Err(answer) => Err(answer),
        }
    }
}
