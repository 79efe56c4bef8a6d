//! Somebody listens in on a talk, or something is said into it: the two who talk sit in a room for so long.

use super::Switch;
use crate::call::conference;
use crate::call::{Activity, Call, LegState, supervise, talk};
use crate::event::CallId;
use crate::office::Office;
use crate::rooms::talks::{self, Watcher};
use crate::rooms::{self, Errand};
use crate::verb::{ConferenceStatus, Supervised};
use media::StreamId;

impl Switch {
    /// Does what rooms want of calls, until nothing is left. Whether there was anything.
    pub(crate) fn run_errands(&mut self) -> bool {
        let mut any = false;
        while let Some(errand) = self.office.rooms.next() {
            any = true;
            let id = conference::errand_of(&errand);
            match errand {
                Errand::Dismiss(_, why) => {
                    self.with(id, |office, call| conference::dismissed(office, call, why));
                }
                Errand::Alone(_) => self.with(id, talk::rejoin),
                Errand::Attend(_) => self.attend(id),
            }
        }
        any
    }

    /// The call `id` wants to listen in.
    fn attend(&mut self, id: CallId) {
        let Some(Activity::Supervise(wanted)) = self.calls.get(&id).map(|call| &call.activity)
        else {
            return;
        };
        let (whom, mode) = (wanted.whom.clone(), wanted.mode);
        let Some((target, whom)) = self.talk_of(&whom, id) else {
            return self.with(id, |office, call| {
                supervise::over(office, call, ConferenceStatus::NoTalk);
            });
        };
        self.with(target, open);
        self.with(id, |office, call| {
            let watcher = Watcher {
                call: call.id,
                stream: call.stream(call.subject),
                mode,
                whom,
            };
            talks::attend(office, target, watcher);
            if let Activity::Supervise(supervise) = &mut call.activity {
                supervise.since = Some(office.now);
            }
        });
    }

    /// The talk of a party, and its stream; `by` is the call that asks.
    fn talk_of(&self, whom: &Supervised, by: CallId) -> Option<(CallId, StreamId)> {
        match whom {
            Supervised::Extension(number) => {
                let mut calls = self.calls.values().filter(|call| call.id != by);
                calls.find_map(|call| Some((call.id, self.party(call, Some(number))?)))
            }
            Supervised::Call { call, party } => {
                let call = self.calls.get(call)?;
                Some((call.id, self.party(call, party.as_ref())?))
            }
        }
    }

    /// The stream of the party `number`, or of the extension that one would rather whisper to, when it talks.
    fn party(&self, call: &Call, number: Option<&String>) -> Option<StreamId> {
        let Activity::Talk(talk) = &call.activity else {
            return None;
        };
        // Nobody listens to an emergency.
        if call.emergency.is_some() || !self.office.rooms.talks.has_place(call.id) {
            return None;
        }
        let legs = [talk.leg, call.subject].map(|index| call.legs.get(index));
        let mut legs = legs.into_iter().flatten();
        let found = match number {
            Some(number) => legs.find(|leg| leg.party.number == *number),
            None => {
                let first = call.legs.get(talk.leg);
                legs.find(|leg| leg.party.trunk.is_none()).or(first)
            }
        };
        found
            .filter(|leg| leg.state == LegState::Up)
            .map(|leg| leg.stream)
    }

    /// An administrator has something said to the parties of a call.
    pub(crate) fn announce(&mut self, id: CallId, prompt: String) {
        self.with(id, |office, call| {
            if call.confers() {
                rooms::announce(office, call.stream(call.subject), prompt);
            } else if matches!(call.activity, Activity::Talk(_)) {
                open(office, call);
                let play = rooms::announce(office, call.stream(call.subject), prompt);
                talks::say(office, call.id, play);
            } else {
                let why = "an announcement found nobody who talks";
                office.warn(Some(call.id), why);
            }
        });
    }
}

/// The two of a talk hear each other in a room.
fn open(office: &mut Office, call: &mut Call) {
    if matches!(call.activity, Activity::Talk(_)) && talks::open(office, call.id) {
        talk::rejoin(office, call);
    }
}
