//! Being called: ringing, the 2xx and its ACK, refusing. RFC 3261 §13.3.

use std::time::Duration;

use bytes::Bytes;

use super::{Alarm, Dialog, Peer, Phase, Role, Terms, change::Ours, tag_of, with_headers};
use crate::endpoint::{DialogId, SessionTimer, SipEvent, TransactionId};
use crate::flow::Flow;
use crate::message::{Builder, HeaderId, Message, ParseError, Uri};
use crate::timers::TimerId;
use crate::transaction::{self, Layer};

/// RFC 3261 §13.3.1.1: a provisional response at least every minute keeps proxies from cancelling.
const RING_AGAIN: Duration = Duration::from_secs(59);

/// What a response to the INVITE says.
pub(super) struct Say<'a> {
    pub(super) status: u16,
    pub(super) sdp: &'a [u8],
    pub(super) headers: &'a [(&'a str, String)],
    /// Its number when it is reliable.
    pub(super) rseq: Option<u32>,
}

/// What an unacknowledged 2xx answered.
pub(super) enum Purpose {
    Call,
    /// The call, and we want to hang up as soon as we may (RFC 3261 §15).
    CallThenBye(Option<String>),
    Reoffer,
}

/// A 2xx of ours that waits for its ACK (RFC 3261 §13.3.1.4).
pub(super) struct Unacked {
    pub(super) purpose: Purpose,
    number: u32,
    flow: Flow,
    bytes: Bytes,
    interval: Duration,
    repeat: TimerId,
    give_up: TimerId,
}

impl Unacked {
    pub(super) fn stop(self, layer: &mut Layer) {
        layer.wheel.cancel(self.repeat);
        layer.wheel.cancel(self.give_up);
    }
}

impl Dialog {
    /// The callee's half of a new INVITE (RFC 3261 §12.1.1). Its transaction is set by [`Dialog::take_invite`].
    pub(crate) fn incoming(layer: &mut Layer, request: &Message, flow: Flow) -> Dialog {
        let local_tag = layer.secret.token();
        let from = request.from();
        let target = request
            .contact()
            .or_else(|| from.clone())
            .map_or_else(String::new, |address| address.uri_text);
        let uri = request.request_uri().and_then(|uri| Uri::parse(&uri).ok());
        let mut dialog = Dialog {
            id: DialogId(0),
            role: Role::Callee,
            phase: Phase::Over,
            flow,
            wish: 0,
            call_id: request.call_id().unwrap_or_default().into_owned(),
            local: format!(
                "{};tag={local_tag}",
                request.header(HeaderId::To).unwrap_or_default()
            ),
            local_tag,
            peer: Peer {
                remote: request
                    .header(HeaderId::From)
                    .unwrap_or_default()
                    .into_owned(),
                target,
                routes: request.record_routes(),
                local_seq: 0,
                remote_seq: request.cseq().map(|(number, _)| number),
            },
            contact_user: uri.and_then(|uri| uri.user).unwrap_or_default(),
            login: None,
            ringing: None,
            unacked: None,
            early: None,
            terms: Terms::of(&layer.config, SessionTimer::Default),
            clock: None,
            ours: Ours::Idle,
            theirs: None,
            next: None,
            updates: false,
            said: Vec::new(),
            probe: None,
            errands: Vec::new(),
            questions: Vec::new(),
            keys: Vec::new(),
            registered: 0,
            stale: Vec::new(),
        };
        let tag = tag_of(from);
        dialog.learn(request, &tag);
        dialog.offer_reliability(layer, request);
        dialog.add_key(layer, &tag);
        dialog
    }

    pub(crate) fn take_invite(&mut self, layer: &mut Layer, invite: TransactionId) {
        self.phase = Phase::Incoming { invite };
        layer.undecided.push((invite, self.id));
    }

    pub(crate) fn ring(
        &mut self,
        layer: &mut Layer,
        status: u16,
        sdp: &[u8],
        headers: &[(&str, String)],
    ) {
        let Phase::Incoming { invite } = self.phase else {
            return;
        };
        let status = if (101..=199).contains(&status) {
            status
        } else {
            180
        };
        if self.rings_reliably(layer, (status, sdp, headers)) {
            return;
        }
        let say = Say {
            status,
            sdp,
            headers,
            rseq: None,
        };
        if let Some(Ok(bytes)) = self.build_session(layer, invite, say) {
            layer.reply(invite, status, bytes);
            self.watch_ringing(layer);
        }
    }

    pub(crate) fn answer(&mut self, layer: &mut Layer, sdp: &[u8], headers: &[(&str, String)]) {
        let Phase::Incoming { invite } = self.phase else {
            return;
        };
        let Some((request, flow)) = layer.request(invite) else {
            return;
        };
        let number = request.cseq().map_or(0, |(number, _)| number);
        let Some(sdp) = self.hold_answer(sdp, headers) else {
            return;
        };
        let say = Say {
            status: 200,
            sdp,
            headers,
            rseq: None,
        };
        match self.build_session(layer, invite, say) {
            Some(Ok(bytes)) => {
                if let Some(timer) = self.ringing.take() {
                    layer.wheel.cancel(timer);
                }
                self.still_ringing(layer);
                self.phase = Phase::Up;
                if !sdp.is_empty() {
                    self.said = sdp.to_vec();
                }
                layer.reply(invite, 200, bytes.clone());
                self.await_ack(layer, Purpose::Call, number, (flow, bytes));
            }
            _ => self.refuse(layer, 500, &[]),
        }
    }

    pub(crate) fn refuse(&mut self, layer: &mut Layer, status: u16, headers: &[(&str, String)]) {
        let Phase::Incoming { invite } = self.phase else {
            return self.bye(layer, None);
        };
        let status = if (300..=699).contains(&status) {
            status
        } else {
            500
        };
        let Some((request, _)) = layer.request(invite) else {
            return self.end(layer);
        };
        // A header that cannot be written must not leave the caller unanswered.
        if let Ok(bytes) = with_headers(self.response(layer, request, status), headers) {
            layer.reply(invite, status, bytes);
        }
        self.end(layer);
    }

    /// An ACK inside the dialog.
    pub(crate) fn acknowledged(&mut self, layer: &mut Layer, request: &Message) {
        let number = request.cseq().map(|(number, _)| number);
        let Some(unacked) = self
            .unacked
            .take_if(|unacked| Some(unacked.number) == number)
        else {
            return; // a repeat, or the ACK of a refused re-INVITE
        };
        self.early = None;
        let body = request.body();
        let sdp = (!body.is_empty()).then(|| Bytes::copy_from_slice(body));
        let confirmed = SipEvent::Confirmed {
            dialog: self.id,
            sdp: sdp.clone(),
        };
        match &unacked.purpose {
            Purpose::Call => layer.event(confirmed),
            Purpose::Reoffer if sdp.is_some() => layer.event(confirmed),
            Purpose::Reoffer => {}
            Purpose::CallThenBye(reason) => self.hang_up(layer, reason.clone()),
        }
        unacked.stop(layer);
        self.go_on(layer);
    }

    pub(super) fn await_ack(
        &mut self,
        layer: &mut Layer,
        purpose: Purpose,
        number: u32,
        sent: (Flow, Bytes),
    ) {
        let interval = layer.config.t1;
        let alarm = |alarm| transaction::Alarm::Dialog(self.id, alarm);
        let repeat = layer.wheel.arm(interval, alarm(Alarm::Repeat));
        let give_up = layer.wheel.arm(layer.full(), alarm(Alarm::GiveUp));
        let previous = self.unacked.replace(Unacked {
            purpose,
            number,
            flow: sent.0,
            bytes: sent.1,
            interval,
            repeat,
            give_up,
        });
        if let Some(previous) = previous {
            previous.stop(layer);
        }
    }

    /// RFC 3261 §13.3.1.4: the 2xx is repeated end to end, over reliable transports as well.
    pub(super) fn repeat_answer(&mut self, layer: &mut Layer) {
        let alarm = transaction::Alarm::Dialog(self.id, Alarm::Repeat);
        if let Some(unacked) = &mut self.unacked {
            layer.send(unacked.flow, unacked.bytes.clone());
            unacked.interval = (unacked.interval * 2).min(layer.t2());
            unacked.repeat = layer.wheel.arm(unacked.interval, alarm);
        }
    }

    /// 64·T1 without an ACK: the session is over and is hung up.
    pub(super) fn lose(&mut self, layer: &mut Layer) {
        let Some(unacked) = self.unacked.take() else {
            return;
        };
        let reason = match &unacked.purpose {
            Purpose::CallThenBye(reason) => reason.clone(),
            Purpose::Call | Purpose::Reoffer => {
                layer.event(SipEvent::Lost { dialog: self.id });
                None
            }
        };
        unacked.stop(layer);
        self.hang_up(layer, reason);
    }

    /// The minute passed for what we ring, or three minutes for what we call.
    pub(super) fn ringing_alarm(&mut self, layer: &mut Layer) {
        match self.phase {
            Phase::Incoming { invite } => {
                if !self.reminds_reliably(layer) {
                    layer.remind(invite);
                    self.watch_ringing(layer);
                }
            }
            Phase::Calling(_) => self.cancel(layer, None),
            Phase::Up | Phase::Closing(_) | Phase::Over => {}
        }
    }

    pub(super) fn watch_ringing(&mut self, layer: &mut Layer) {
        if let Some(timer) = self.ringing.take() {
            layer.wheel.cancel(timer);
        }
        let alarm = transaction::Alarm::Dialog(self.id, Alarm::Ringing);
        self.ringing = Some(layer.wheel.arm(RING_AGAIN, alarm));
    }

    pub(super) fn build_session(
        &mut self,
        layer: &mut Layer,
        invite: TransactionId,
        say: Say<'_>,
    ) -> Option<Result<Bytes, ParseError>> {
        let headers = say.headers;
        let wanted = self.take_wanted();
        let (request, _) = layer.request(invite)?;
        let builder = self.session_response(layer, request, say.status, say.sdp);
        let mut builder = echo_routes(builder, request);
        if say.status == 200 {
            let terms = self.terms_for(request);
            if let Some(terms) = terms {
                builder = terms.write(builder);
            }
            self.set_clock(layer, terms);
        }
        if let Some(rseq) = say.rseq {
            builder = builder
                .header("Require", "100rel")
                .header("RSeq", rseq.to_string());
        }
        if wanted.is_empty() {
            return Some(with_headers(builder, headers));
        }
        let given = |name: &str| {
            headers
                .iter()
                .any(|(new, _)| new.eq_ignore_ascii_case(name))
        };
        let earlier = wanted.iter().filter(|(name, _)| !given(name));
        let earlier = earlier.map(|(name, value)| (name.as_str(), value.clone()));
        let all: Vec<_> = earlier.chain(headers.iter().cloned()).collect();
        Some(with_headers(builder, &all))
    }
}

/// RFC 3261 §12.1.1: what makes a dialog returns the Record-Route as it came.
fn echo_routes(mut builder: Builder, request: &Message) -> Builder {
    for route in request.raw(HeaderId::RecordRoute) {
        builder = builder.header("Record-Route", route);
    }
    builder
}
