//! A call: the journey of its subject leg, with one activity at a time and one record at the end.
//!
//! Nothing here sees two calls. Next: `answer` (the subject's own leg), `dial` (ringing others),
//! `talk` (two legs bridged), `end`.

pub(crate) mod answer;
pub(crate) mod conference;
pub(crate) mod dial;
pub(crate) mod early;
pub(crate) mod emergency;
pub(crate) mod end;
pub(crate) mod gather;
pub(crate) mod handover;
pub(crate) mod hold;
pub(crate) mod journey;
pub(crate) mod keys;
pub(crate) mod leave;
pub(crate) mod leg;
pub(crate) mod life;
pub(crate) mod measure;
pub(crate) mod offer;
pub(crate) mod originate;
pub(crate) mod play;
pub(crate) mod progress;
pub(crate) mod redirect;
pub(crate) mod script;
pub(crate) mod secrecy;
pub(crate) mod show;
pub(crate) mod supervise;
pub(crate) mod talk;
pub(crate) mod transfer;

use crate::cause::Verdict;
use crate::diversion::{Hop, MAX_FORWARDS};
use crate::event::CallId;
use crate::notice::{CallState, LiveCall, Notice};
use crate::office::Office;
use crate::registrar::gruu::Device;
use crate::timers::{Timer, TimerKey};
use crate::verb::{Entry, Outcome, SessionInfo, SuperviseMode, Supervised};
use crate::watch;
use directory::Direction;
pub(crate) use leg::{Leg, LegState, Party};
use media::StreamId;
use secrecy::Secrecy;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most legs a call may ever have: a stream's number has 8 bits for them.
pub(crate) const MAX_LEGS: usize = 250;

/// What the call does now.
#[derive(Debug)]
pub(crate) enum Activity {
    /// Between verbs.
    Idle,
    Wait,
    Play(play::Play),
    Gather(gather::Gather),
    Dial(dial::Dial),
    Talk(talk::Talk),
    Conference(conference::Conference),
    Supervise(supervise::Supervise),
    Echo,
    /// An administrator's call: the first party rings.
    Originate {
        branches: Vec<usize>,
    },
    /// The caller hears a tone that says that this was it, then the call ends with the verdict.
    Failing(Verdict),
    /// The verdict is in; the streams report.
    Ending,
}

/// Where the call's script stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// None: the host leads the call.
    Absent,
    /// Computing.
    Running,
    /// Waiting for the outcome of its verb.
    Asking,
    /// Told to end, for the call goes on without it.
    Leaving,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) line: u64,
    pub(crate) direction: Direction,
    pub(crate) session: SessionInfo,
    /// The caller's display name.
    pub(crate) from_name: String,
    /// The one phone of the called extension that was asked for (RFC 5627).
    pub(crate) device: Option<Device>,
    /// Who was reached, or would have been.
    pub(crate) to: String,
    /// As the caller dialled it, prefix and all.
    pub(crate) dialed: String,
    pub(crate) started: Instant,
    pub(crate) answered: Option<Instant>,
    pub(crate) ended: Option<Instant>,
    pub(crate) legs: Vec<Leg>,
    /// The subject's index in `legs`.
    pub(crate) subject: usize,
    pub(crate) activity: Activity,
    pub(crate) script: Script,
    pub(crate) timer: Option<TimerKey>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) verdict: Option<Verdict>,
    /// Trunks an emergency call has still to try.
    pub(crate) emergency: Option<VecDeque<String>>,
    pub(crate) journey: journey::Journey,
    /// Who forwarded the call, oldest first.
    pub(crate) diverted: Vec<Hop>,
    /// Whom the last `dial` rang in vain, and the status it ended with.
    pub(crate) tried: Option<(String, u16)>,
    /// How many hops are left of the caller's Max-Forwards.
    pub(crate) hops: u8,
    /// The script that begins when the one that runs has ended.
    pub(crate) next: Option<(Entry, SessionInfo)>,
    /// What the first party of an administrator's call listens to, in place of a script.
    pub(crate) listens: Option<(Supervised, SuperviseMode)>,
    /// The extension that sent the call on, with whose rights it goes.
    pub(crate) on_behalf: Option<String>,
    /// A party is being sent on.
    pub(crate) transfer: Option<Box<transfer::Transfer>>,
    /// The digest of what the lamps last looked at; `None`: they look again after the next event.
    pub(crate) seen: Option<u64>,
}

impl Call {
    pub(crate) fn new(
        office: &mut Office,
        id: CallId,
        direction: Direction,
        session: SessionInfo,
    ) -> Self {
        Self {
            id,
            line: office.new_line(),
            direction,
            from_name: String::new(),
            device: None,
            to: session.dialed.clone(),
            dialed: session.dialed.clone(),
            session,
            started: office.now,
            answered: None,
            ended: None,
            legs: Vec::new(),
            subject: 0,
            activity: Activity::Idle,
            script: Script::Absent,
            timer: None,
            tags: Vec::new(),
            verdict: None,
            emergency: None,
            journey: journey::Journey::new(),
            diverted: Vec::new(),
            tried: None,
            seen: None,
            hops: MAX_FORWARDS,
            next: None,
            listens: None,
            on_behalf: None,
            transfer: None,
        }
    }

    pub(crate) fn subject(&mut self) -> Option<&mut Leg> {
        self.legs.get_mut(self.subject)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.answered.is_some()
    }

    /// Takes `leg` in, with a stream of its own for life; returns its index.
    pub(crate) fn add(&mut self, office: &mut Office, mut leg: Leg) -> usize {
        let index = self.legs.len();
        leg.secrecy = Secrecy::of(&office.directory, &leg.party);
        leg.stream = StreamId((self.line << 8) | (index as u64 & 0xff));
        office.streams.insert(leg.stream, (self.id, index));
        self.legs.push(leg);
        index
    }

    /// Takes the leg that was added last away again, when nothing of it is still to come.
    pub(crate) fn take_back(&mut self, office: &mut Office, index: usize) {
        let last = index + 1 == self.legs.len();
        let spent = |leg: &mut Leg| last && !leg.is_live() && leg.port.is_none();
        if let Some(leg) = self.legs.pop_if(spent) {
            office.streams.remove(&leg.stream);
        }
    }

    /// The stream of leg `index`; that of no leg is nobody's.
    pub(crate) fn stream(&self, index: usize) -> StreamId {
        self.legs
            .get(index)
            .map_or(StreamId(u64::MAX), |leg| leg.stream)
    }

    /// Replaces the activity's timer.
    pub(crate) fn arm(&mut self, office: &mut Office, after: Duration) {
        office.timers.cancel(self.timer.take());
        self.timer = Some(office.arm(after, Timer::Activity(self.id)));
    }

    pub(crate) fn disarm(&mut self, office: &mut Office) {
        office.timers.cancel(self.timer.take());
    }

    /// Ends the activity and gives its outcome to the script, if one waits.
    pub(crate) fn finish(&mut self, office: &mut Office, outcome: Outcome) {
        self.disarm(office);
        self.activity = Activity::Idle;
        hold::tune(office, self);
        script::resume(office, self, outcome);
    }

    /// Tells the watchers how the call stands.
    pub(crate) fn announce(&self, office: &mut Office) {
        watch::touch_call(office, self);
        let state = if self.is_up() {
            CallState::Up
        } else {
            CallState::Ringing
        };
        office.tell(Notice::Call(LiveCall {
            call: self.id,
            direction: self.direction,
            from: self.session.from.clone(),
            to: self.to.clone(),
            dialed: self.dialed.clone(),
            state,
            started_at_ms: office.wall(self.started),
            answered_at_ms: self.answered.map(|at| office.wall(at)),
        }));
    }
}
