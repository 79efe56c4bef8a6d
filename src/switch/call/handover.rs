//! A leg moves from one call to another: its dialog and its stream stay what they are.
//!
//! Why it moves is decided in `meet`.

use super::{Call, Leg, LegState};
use crate::event::CallId;
use crate::office::Office;

impl Call {
    /// Gives leg `index` away to the call `to`; what stays in its place is for the record.
    pub(crate) fn release(&mut self, index: usize, to: CallId) -> Option<Leg> {
        let leg = self.legs.get_mut(index)?;
        let mut left = Leg::new(leg.party.clone(), Vec::new());
        left.state = LegState::Ended;
        left.flow = leg.flow;
        left.secrecy = leg.secrecy;
        left.negotiated.clone_from(&leg.negotiated);
        left.diagnosis = Some(format!("went on in {to}"));
        Some(std::mem::replace(leg, left))
    }

    /// Takes in a leg that another call gave away; returns its index.
    pub(crate) fn adopt(&mut self, office: &mut Office, leg: Leg) -> usize {
        let index = self.legs.len();
        office.streams.insert(leg.stream, (self.id, index));
        if let Some(dialog) = leg.dialog {
            office.dialogs.insert(dialog, (self.id, index));
        }
        self.legs.push(leg);
        index
    }
}
