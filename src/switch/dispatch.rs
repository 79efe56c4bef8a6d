//! Which event concerns whom: from the doors to the call, the registrar or the trunk.

use crate::call::{
    Activity, Call, Script, conference, dial, early, end, gather, keys, leave, life, measure,
    offer, originate, play, redirect, script, supervise, talk, transfer,
};
use crate::cause::{Told, Verdict};
use crate::command::Command;
use crate::event::{CallId, Event};
use crate::office::{Office, Query};
use crate::timers::Timer;
use crate::verb::{Outcome, ScriptEnd, SuperviseMode, Supervised, Verb};
use crate::{
    Switch, admission, defence, keepalive, meet, message, push, registrar, rooms, trace, trunk,
    watch,
};
use directory::Directory;
use sip::{DialogId, Flow, Message, Method, Output, SipEvent, TransactionId};
use std::sync::Arc;

impl Switch {
    pub(crate) fn dispatch(&mut self, event: Event) {
        let now = self.office.now;
        match event {
            Event::Sip { flow, bytes } => self.office.receive(flow, bytes),
            Event::FlowClosed { flow } => {
                self.office.trunks.proofs.closed(&flow);
                self.office.sip.flow_failed(now, flow);
                registrar::flow_closed(&mut self.office, flow);
            }
            Event::Proven { flow, trunks } => self.office.trunks.proofs.take(&flow, trunks),
            Event::Media(event) => self.media(event),
            Event::Resolved { query, flows } => match self.office.queries.remove(&query) {
                Some(Query::Leg(id, index)) => {
                    self.with(id, |office, call| {
                        dial::resolved(office, call, index, flows)
                    });
                }
                Some(Query::Trunk(name)) => trunk::resolved(&mut self.office, &name, flows),
                None => {}
            },
            Event::Directory(directory) => directory_changed(&mut self.office, directory),
            Event::Pushed {
                extension,
                device,
                failure,
            } => self.pushed(&(extension, device), failure),
            Event::Restored(registrations) => {
                for kept in &registrations {
                    let (source, extension) = (&kept.source, &kept.extension);
                    self.office.defence.expect(now, source, extension);
                }
                registrar::restore(&mut self.office, registrations);
            }
            Event::RestoredBans(bans) => defence::restore(&mut self.office, bans),
            Event::RestoredMessages(messages) => {
                message::kept::restore(&mut self.office, messages);
            }
            Event::Ban(ban) => defence::add_by_hand(&mut self.office, ban),
            Event::LiftBan { id } => defence::lift(&mut self.office, &id),
            Event::RestoredSubscriptions(stored) => {
                watch::restore(&mut self.office, &self.calls, stored);
            }
            Event::MessageSummaries(all) => watch::set_summaries(&mut self.office, all),
            Event::Verb { call, verb } => self.verb(call, verb),
            Event::ScriptEnded { call, end } => self.script_ended(call, end),
            Event::Originate { call, from, to } => self.originate(call, (from, to), None),
            Event::Supervise {
                call,
                from,
                whom,
                mode,
            } => self.originate(call, (from, String::new()), Some((whom, mode))),
            Event::Announce { call, prompt } => self.announce(call, prompt),
            Event::Conference { name, action } => rooms::act(&mut self.office, &name, action),
            Event::Measure { call } => self.with(call, measure::ask),
            Event::Press { call, to, tones } => self.with(call, keys::by_hand(to, tones)),
            Event::HangUp { call } => self.with(call, leave::hang_up),
            Event::Stop => self.stop(),
        }
        self.pump();
        self.office.hearing = None;
    }

    /// Runs `work` on a call, then takes the call away when nothing more can come of it.
    pub(crate) fn with(&mut self, id: CallId, work: impl FnOnce(&mut Office, &mut Call)) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        self.current = Some(id);
        work(&mut self.office, call);
        self.settle(id);
        self.current = None;
    }

    /// Writes the record of a call that is over.
    pub(crate) fn settle(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            conference::look(&mut self.office, call);
            supervise::look(&mut self.office, call);
            watch::look_at_call(&mut self.office, call);
        }
        if self.calls.get(&id).is_some_and(end::is_over)
            && let Some(mut call) = self.calls.remove(&id)
        {
            end::record(&mut self.office, &mut call);
        }
    }

    /// Takes a new call in, then lets it begin: if that panics, there is a call to end.
    fn adopt(&mut self, call: Call, begin: impl FnOnce(&mut Office, &mut Call)) {
        let id = call.id;
        self.calls.insert(id, call);
        self.with(id, begin);
    }

    /// Moves what the SIP endpoint has to say.
    pub(crate) fn pump(&mut self) {
        while let Some(output) = self.office.sip.poll() {
            match output {
                Output::Send { flow, bytes } => {
                    trace::note(&mut self.office, false, &flow, &bytes);
                    self.office.out.push_back(Command::Send { flow, bytes })
                }
                Output::Event(event) => self.sip(event),
            }
        }
        if self.run_errands() {
            self.pump();
        }
    }

    fn sip(&mut self, event: SipEvent) {
        match event {
            SipEvent::Incoming {
                dialog,
                request,
                flow,
            } => self.incoming(dialog, &request, flow),
            SipEvent::Unproven { request, flow } => self.unproven(&request, flow),
            SipEvent::Strayed {
                dialog,
                request,
                flow,
            } => self.strayed(dialog, &request, flow),
            SipEvent::Request {
                transaction,
                request,
                flow,
            } => self.request(transaction, &request, flow),
            SipEvent::Response {
                transaction,
                status,
                response,
            } => self.response(transaction, status, response.as_ref()),
            SipEvent::Subscription {
                subscription,
                event,
            } => watch::event(&mut self.office, &self.calls, subscription, &event),
            SipEvent::Ended { dialog } => {
                trace::ended(&mut self.office, dialog);
                self.office.dialogs.remove(&dialog);
                message::inside::forget(&mut self.office, dialog);
            }
            SipEvent::Inside {
                dialog,
                transaction,
                request,
            } => self.inside(dialog, transaction, &request),
            SipEvent::Told {
                dialog,
                transaction,
                status,
            } => self.told(dialog, (transaction, status)),
            SipEvent::Info { dialog, request } => self.leg(dialog, |office, call, index| {
                keys::heard(office, call, index, &request);
            }),
            SipEvent::Cancelled { .. }
            | SipEvent::Ringing { .. }
            | SipEvent::Answered { .. }
            | SipEvent::Refused { .. }
            | SipEvent::Reoffered { .. }
            | SipEvent::Reanswered { .. }
            | SipEvent::Refreshed { .. }
            | SipEvent::Confirmed { .. }
            | SipEvent::Pracked { .. }
            | SipEvent::Probed { .. }
            | SipEvent::HungUp { .. }
            | SipEvent::Lost { .. }
            | SipEvent::Expired { .. } => self.of_leg(event),
        }
    }

    /// The answer to a request of ours outside dialogs.
    fn response(&mut self, asked: TransactionId, status: u16, response: Option<&Message>) {
        let office = &mut self.office;
        watch::answered(office, asked, status);
        if !trunk::response(office, asked, status, response)
            && !message::response(office, asked, status)
        {
            keepalive::response(office, asked, response.is_some());
        }
    }

    /// What concerns one leg of a call.
    fn of_leg(&mut self, event: SipEvent) {
        match event {
            SipEvent::Cancelled { dialog, reason } => self.leg(dialog, |office, call, index| {
                leave::note_reason(call, index, reason);
                leave::cancelled(office, call, index);
            }),
            SipEvent::Ringing {
                dialog,
                status,
                response,
            } => {
                self.leg(dialog, |office, call, index| {
                    // The phone's tag may be another, which a lamp shows.
                    call.seen = None;
                    early::progressed(office, call, index, (status, &response));
                });
            }
            SipEvent::Answered { dialog, response } => self.leg(dialog, |office, call, index| {
                dial::answered(office, call, index, &response);
            }),
            SipEvent::Refused {
                dialog,
                status,
                response,
            } => {
                let told = response.as_ref().map(Told::of).unwrap_or_default();
                self.leg(dialog, |office, call, index| match &response {
                    Some(response) if status < 400 => {
                        redirect::redirected(office, call, index, response);
                    }
                    _ => dial::refused(office, call, index, (status, told)),
                });
            }
            SipEvent::Reoffered { dialog, request } => self.reoffered(dialog, request.body()),
            SipEvent::Confirmed { dialog, sdp } => {
                self.confirmed(dialog, &sdp.unwrap_or_default());
            }
            SipEvent::Reanswered { dialog, result } | SipEvent::Refreshed { dialog, result } => {
                self.reanswered(dialog, result.as_deref().map_err(|status| *status));
            }
            SipEvent::Pracked { dialog, sdp } => self.pracked(dialog, sdp.as_deref()),
            SipEvent::Probed { dialog, status } => self.leg(dialog, |office, call, index| {
                life::probed(office, call, index, status);
            }),
            SipEvent::HungUp { dialog, reason } => self.leg(dialog, |office, call, index| {
                leave::note_reason(call, index, reason);
                leave::left(office, call, index);
            }),
            SipEvent::Lost { dialog } => self.leg(dialog, leave::lost),
            SipEvent::Expired { dialog } => self.leg(dialog, leave::expired),
            SipEvent::Incoming { .. }
            | SipEvent::Unproven { .. }
            | SipEvent::Strayed { .. }
            | SipEvent::Request { .. }
            | SipEvent::Response { .. }
            | SipEvent::Ended { .. }
            | SipEvent::Inside { .. }
            | SipEvent::Told { .. }
            | SipEvent::Subscription { .. }
            | SipEvent::Info { .. } => {}
        }
    }

    fn reoffered(&mut self, dialog: DialogId, sdp: &[u8]) {
        if !self.office.dialogs.contains_key(&dialog) {
            return self.office.sip.refuse_reoffer(self.office.now, dialog, 481);
        }
        self.leg(dialog, |office, call, index| {
            offer::reoffered(office, call, index, sdp);
        });
    }

    fn reanswered(&mut self, dialog: DialogId, result: Result<&[u8], u16>) {
        self.leg(dialog, |office, call, index| {
            offer::reanswered(office, call, index, result);
        });
    }

    fn confirmed(&mut self, dialog: DialogId, sdp: &[u8]) {
        self.leg(dialog, |office, call, index| {
            offer::confirmed(office, call, index, sdp);
        });
    }

    /// Runs `work` on the leg of `dialog`; a dialog that belongs to no live call concerns nobody.
    pub(crate) fn leg(
        &mut self,
        dialog: DialogId,
        work: impl FnOnce(&mut Office, &mut Call, usize),
    ) {
        let Some((id, index)) = self.office.dialogs.get(&dialog).copied() else {
            return;
        };
        self.with(id, |office, call| {
            let current = call
                .legs
                .get(index)
                .is_some_and(|leg| leg.dialog == Some(dialog) && leg.is_live());
            if current {
                work(office, call, index);
            }
        });
    }

    fn pracked(&mut self, dialog: DialogId, sdp: Option<&[u8]>) {
        self.leg(dialog, |office, call, index| {
            if let Err(why) = offer::pracked(office, call, index, sdp.unwrap_or_default()) {
                end::end(office, call, Verdict::refused(488, why));
            }
        });
    }

    fn incoming(&mut self, dialog: DialogId, request: &Message, flow: Flow) {
        let calls = self.calls.len();
        self.arriving = Some(dialog);
        if meet::replaces(request) {
            self.replacing(dialog, request, flow);
            self.arriving = None;
            return trace::begin(&mut self.office, dialog);
        }
        let call = admission::invite(&mut self.office, calls, dialog, request, flow);
        trace::begin(&mut self.office, dialog);
        if let Some(call) = call {
            self.adopt(call, admission::begin);
        }
        self.arriving = None;
    }

    fn unproven(&mut self, request: &Message, flow: Flow) {
        let calls = self.calls.len();
        let office = &mut self.office;
        let answer = admission::challenge_stranger(office, calls, request, &flow);
        let told = (answer.status, answer.headers.as_slice());
        office.sip.turn_away(office.now, request, flow, told);
    }

    /// What the party of a call asks inside its dialog.
    fn inside(&mut self, dialog: DialogId, transaction: TransactionId, request: &Message) {
        if request.method() == Method::Refer {
            return self.referred(dialog, transaction, request);
        }
        let known = self.office.dialogs.contains_key(&dialog);
        if known && matches!(request.method(), Method::Message) {
            let mut live = false;
            self.leg(dialog, |office, call, index| {
                live = true;
                message::inside::relay(office, call, index, (transaction, request));
            });
            if live {
                return;
            }
        }
        let status = if known { 481 } else { 405 };
        let office = &mut self.office;
        office.sip.respond(office.now, transaction, status, &[]);
    }

    fn request(&mut self, transaction: TransactionId, request: &Message, flow: Flow) {
        if request.method() == Method::Refer {
            return self.referred_outside(transaction, request, flow);
        }
        let office = &mut self.office;
        let answer = match request.method() {
            Method::Message => match message::request(office, transaction, request, flow) {
                Some(answer) => answer,
                None => return,
            },
            Method::Register => registrar::register(office, request, flow),
            Method::Publish => watch::publish(office, request, &flow),
            // RFC 3261 §11.2: what we are able to do, without asking who wants to know. The endpoint adds Allow.
            Method::Options => admission::Answer {
                status: 200,
                headers: vec![
                    ("Accept", "application/sdp".to_owned()),
                    ("Allow-Events", watch::ALLOW_EVENTS.to_owned()),
                ],
            },
            _ => admission::Answer::status(405),
        };
        office
            .sip
            .respond(office.now, transaction, answer.status, &answer.headers);
        while let Some((id, index, device)) = push::next_awake(&mut self.office) {
            self.with(id, |office, call| push::woken(office, call, index, &device));
        }
    }

    fn pushed(&mut self, device: &push::Device, failure: Option<String>) {
        for (id, index) in push::sent(&mut self.office, device, failure) {
            self.with(id, |office, call| push::failed(office, call, index));
        }
    }

    fn media(&mut self, event: media::Event) {
        let Some((id, index)) = self.office.streams.get(&event.stream()).copied() else {
            return;
        };
        self.with(id, |office, call| stream_event(office, call, index, event));
    }

    fn verb(&mut self, id: CallId, verb: Verb) {
        if !self.calls.contains_key(&id) {
            return self.office.out.push_back(Command::Resume {
                call: id,
                outcome: Outcome::Gone,
            });
        }
        self.with(id, |office, call| script::verb(office, call, verb));
    }

    fn script_ended(&mut self, id: CallId, end: ScriptEnd) {
        self.with(id, |office, call| script::ended(office, call, end));
    }

    pub(crate) fn originate(
        &mut self,
        id: CallId,
        (from, to): (String, String),
        listens: Option<(Supervised, SuperviseMode)>,
    ) {
        if self.calls.contains_key(&id) {
            let why = "an originated call was refused: its id is another call's";
            return self.office.warn(Some(id), why);
        }
        let full = self.calls.len() >= self.office.config.max_calls;
        let mut call = originate::new(&mut self.office, id, from, to);
        call.listens = listens;
        let why = if self.office.stopping {
            "the PBX is stopping"
        } else if full {
            "too many calls are live"
        } else {
            return self.adopt(call, originate::start);
        };
        // Whoever asked for it was given the id: there is a record to find under it.
        self.adopt(call, |office, call| {
            end::end(office, call, Verdict::refused(503, why));
        });
    }

    /// Each step is guarded by itself: a panic over one call must not leave the later ones without BYE and record.
    fn stop(&mut self) {
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        for id in ids {
            self.guarded(|switch| switch.with(id, leave::stopped));
        }
        self.guarded(|switch| {
            // Not before: without calls and farewells the stop would count as complete.
            switch.office.stopping = true;
            trunk::stop(&mut switch.office);
        });
    }

    pub(crate) fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Activity(id) => self.with(id, activity_due),
            Timer::Report(id) => {
                if let Some(mut call) = self.calls.remove(&id) {
                    end::record(&mut self.office, &mut call);
                }
            }
            Timer::Transfer(id) => self.with(id, transfer::due),
            Timer::Branch(id, index) => {
                push::forget(&mut self.office, id, index);
                self.with(id, |office, call| push::overslept(office, call, index));
            }
            Timer::Trunk(name) => trunk::due(&mut self.office, &name),
            Timer::Registrations => registrar::sweep(&mut self.office),
            Timer::Bans => defence::sweep(&mut self.office),
            Timer::Publications => watch::sweep(&mut self.office),
            Timer::KeepAlive(phone) => keepalive::due(&mut self.office, phone),
            Timer::Message(id) => message::due(&mut self.office, id),
            Timer::Deliver(extension) => message::kept::deliver(&mut self.office, &extension),
            Timer::Messages => message::kept::sweep(&mut self.office),
        }
        self.pump();
    }
}

fn directory_changed(office: &mut Office, directory: Arc<Directory>) {
    let before = std::mem::replace(&mut office.directory, directory);
    registrar::directory_changed(office, &before);
    trunk::directory_changed(office);
    watch::directory_changed(office);
    message::kept::sweep(office);
}

fn stream_event(office: &mut Office, call: &mut Call, index: usize, event: media::Event) {
    match event {
        media::Event::Dtmf { digit, .. } => {
            if index == call.subject {
                gather::digit(office, call, digit);
                conference::digit(office, call, digit);
                supervise::digit(office, call, digit);
            }
        }
        media::Event::InfoDue { digit, ms, .. } => keys::due(office, call, index, (digit, ms)),
        media::Event::PlayEnded { play, finished, .. } => {
            play::ended(office, call, play, finished);
            gather::played(office, call, play);
            conference::played(office, call, play);
        }
        media::Event::Report { stats, .. } => measure::reported(office, call, index, *stats),
        media::Event::Closed { stats, .. } => end::closed(office, call, index, *stats),
        media::Event::BindFailed { .. } => life::unbound(office, call, index),
        media::Event::Silent { for_ms, .. } => life::silent(office, call, index, for_ms),
    }
}

fn activity_due(office: &mut Office, call: &mut Call) {
    call.timer = None;
    match &call.activity {
        Activity::Wait => call.finish(office, Outcome::Done),
        Activity::Gather(_) => gather::timed_out(office, call),
        Activity::Dial(_) => dial::timed_out(office, call),
        Activity::Talk(_) => {
            let why = "the longest talk that the dialplan allows was over";
            talk::other_left(office, call, why.into());
        }
        Activity::Originate { .. } => originate::timed_out(office, call),
        Activity::Failing(verdict) => {
            let verdict = verdict.clone();
            end::end(office, call, verdict);
        }
        Activity::Conference(_) => conference::timed_out(office, call),
        Activity::Idle
        | Activity::Play(_)
        | Activity::Echo
        | Activity::Supervise(_)
        | Activity::Ending => {}
    }
    debug_assert!(call.script != Script::Asking || !matches!(call.activity, Activity::Idle));
}
