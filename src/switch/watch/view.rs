//! What a call is to one of its parties: the view that a lamp shows.

use crate::call::{Activity, Call, Leg, LegState, early};
use crate::event::CallId;
use crate::identity::{self, Identity};
use crate::office::Office;
use media::StreamId;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// How far a party is in its call (RFC 4235 §3.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Trying,
    Early,
    Confirmed,
}

/// One party's side of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LegView {
    /// Names it for its life, whatever call it is in.
    pub(super) stream: StreamId,
    pub(super) progress: Progress,
    /// The party called; else it was called.
    pub(super) initiator: bool,
    /// How the dialog between the party's phone and us may be called: its own names are for the two of us.
    pub(super) call_id: String,
    pub(super) our_tag: String,
    pub(super) phone_tag: Option<String>,
    /// With whom: a number, at times a name.
    pub(super) other: String,
    pub(super) other_name: String,
    /// The party put the other on hold.
    pub(super) holds: bool,
}

/// What extension `number` does in `among`, by stream.
pub(super) fn of(
    office: &Office,
    calls: &BTreeMap<CallId, Call>,
    among: &BTreeSet<CallId>,
    number: &str,
) -> Vec<LegView> {
    let live = among.iter().filter_map(|id| calls.get(id));
    let mut views: Vec<LegView> = live
        .flat_map(|call| {
            let of_number = |(_, leg): &(usize, &Leg)| is_of(leg, number);
            let legs = call.legs.iter().enumerate().filter(of_number);
            legs.filter_map(|(index, leg)| call.view(office, index, leg))
        })
        .collect();
    views.sort_by_key(|view| view.stream);
    views
}

/// Whether a leg's party is that extension.
pub(super) fn is_of(leg: &Leg, number: &str) -> bool {
    leg.party.trunk.is_none() && leg.party.number == number
}

/// Differs when what a lamp shows of the call may differ, but for the phones' tags.
pub(super) fn digest(call: &Call) -> u64 {
    let mut hasher = DefaultHasher::new();
    let activity = match &call.activity {
        Activity::Dial(dial) => usize::from(dial.progress != early::Progress::Nothing),
        Activity::Talk(talk) => 2 + talk.leg,
        _ => usize::MAX,
    };
    (activity, call.subject, call.session.private).hash(&mut hasher);
    (&call.to, &call.session.from, &call.from_name).hash(&mut hasher);
    for leg in &call.legs {
        (leg.state, leg.dialog, leg.stream.0, leg.holds()).hash(&mut hasher);
        let asserted = leg.asserted.as_ref();
        let asserted = asserted.map(|who| (&who.number, &who.name, who.private));
        asserted.hash(&mut hasher);
    }
    hasher.finish()
}

impl Call {
    /// How leg `index` stands, unless it is over or its phone has not been asked yet.
    fn view(&self, office: &Office, index: usize, leg: &Leg) -> Option<LegView> {
        let rings = matches!(&self.activity, Activity::Dial(dial) if dial.progress != early::Progress::Nothing);
        let names = office.sip.alias(leg.dialog?)?;
        let progress = match leg.state {
            LegState::Up => Progress::Confirmed,
            LegState::Early => Progress::Early,
            LegState::Ringing if leg.incoming && rings => Progress::Early,
            // A phone that rings has said so: there is a tag of it.
            LegState::Ringing if !leg.incoming && names.remote_tag.is_some() => Progress::Early,
            LegState::Ringing => Progress::Trying,
            LegState::Resolving | LegState::Ended => return None,
        };
        let other = self.other(office, index);
        Some(LegView {
            stream: leg.stream,
            progress,
            initiator: leg.incoming,
            call_id: names.call_id,
            our_tag: names.local_tag,
            phone_tag: names.remote_tag,
            other: other.number,
            other_name: other.name,
            holds: leg.holds(),
        })
    }

    /// With whom leg `index` talks, or would; who wants to be unknown is.
    fn other(&self, office: &Office, index: usize) -> Identity {
        let other = match &self.activity {
            _ if index != self.subject => Some(self.subject),
            Activity::Talk(talk) => Some(talk.leg),
            _ => None,
        };
        let mut identity = match other.and_then(|other| self.legs.get(other)) {
            Some(leg) => identity::of_party(office, leg),
            None => named(office, &self.to),
        };
        if index != self.subject && identity.number == self.session.from {
            identity.private |= self.session.private;
            identity.name.clone_from(&self.from_name);
        }
        if identity.private {
            identity.number = "anonymous".to_owned();
            identity.name = String::new();
        }
        identity
    }
}

fn named(office: &Office, number: &str) -> Identity {
    let known = office.directory.extensions.get(number);
    Identity {
        name: known.map(|e| e.name.clone()).unwrap_or_default(),
        number: number.to_owned(),
        private: false,
    }
}
