//! Calling somebody: the INVITE, its early dialogs, the first 2xx and the forks that come after. RFC 3261 §13.2.

use std::time::Duration;

use bytes::Bytes;

use super::cancel::Cancel;
use super::early::{Fork, MAX_EARLY};
use super::{Dialog, Peer, Phase, Role, Terms, change::Ours, tag_of, with_answers};
use crate::endpoint::{
    ALLOW, DialogId, Invite, Reliable, SUPPORTED, SUPPORTED_PLAIN, SipEvent, TransactionId,
};
use crate::flow::Flow;
use crate::message::{HeaderId, Message};
use crate::transaction::{self, Auth, Draft, Layer, Notice, Owner};

/// RFC 3261 §16.6 timer C: more than three minutes, begun anew by every sign of ringing (which §13.3.1.1 wants each minute).
const RING_LIMIT: Duration = Duration::from_secs(190);

/// RFC 3261 §12.2.1.1: the BYE of a fork that lost counts on from what its early dialog was sent, PRACK and UPDATE, of which
/// nothing is known by then. More than these few it never is.
const EARLY_REQUESTS: u32 = 1_000;

/// Challenges, and intervals refused as too short: more INVITEs than these would be a loop.
const MAX_TRIES: u32 = 6;

/// A call without a final answer.
pub(super) struct Calling {
    pub(super) request: Invite,
    /// None only while the first one could not be sent.
    pub(super) invite: Option<TransactionId>,
    auth: Auth,
    pub(super) cancel: Cancel,
    /// The tag of who rang last.
    pub(super) heard: String,
    pub(super) forks: Vec<Fork>,
}

impl Dialog {
    /// See [`crate::Endpoint::expect_within`].
    pub(crate) fn expect_within(&self, layer: &mut Layer, within: std::time::Duration) {
        if let Phase::Calling(calling) = &self.phase
            && let Some(invite) = calling.invite
        {
            layer.expect_within(invite, within);
        }
    }

    /// A call that is still to be sent: see [`Dialog::call`].
    pub(crate) fn calling(layer: &mut Layer, mut request: Invite) -> Dialog {
        let local_tag = layer.secret.token();
        Dialog {
            id: DialogId(0),
            role: Role::Caller,
            flow: request.flow,
            wish: 0,
            call_id: request
                .call_id
                .take()
                .unwrap_or_else(|| layer.secret.token()),
            local: format!("{};tag={local_tag}", request.from),
            local_tag,
            peer: Peer {
                remote: request.to.clone(),
                target: request.uri.clone(),
                routes: request.route.clone(),
                local_seq: 0,
                remote_seq: None,
            },
            contact_user: std::mem::take(&mut request.contact_user),
            login: request.credentials.clone(),
            ringing: None,
            unacked: None,
            early: None,
            terms: Terms::of(&layer.config, request.session_timer),
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
            phase: Phase::Calling(Box::new(Calling {
                auth: Auth::new(request.credentials.take()),
                request,
                invite: None,
                cancel: Cancel::No,
                heard: String::new(),
                forks: Vec::new(),
            })),
        }
    }

    /// Sends the INVITE, the first time or with credentials.
    pub(crate) fn call(&mut self, layer: &mut Layer) {
        let number = self.peer.next_seq();
        let contact = self.contact(layer);
        let Phase::Calling(calling) = &mut self.phase else {
            return;
        };
        let mut draft = layer.draft_within(
            self.flow,
            "INVITE",
            &calling.request.uri,
            calling.request.max_forwards,
        );
        for route in &calling.request.route {
            draft = draft.header("Route", route);
        }
        draft = draft
            .header("From", &self.local)
            .header("To", &calling.request.to)
            .header("Call-ID", &self.call_id)
            .header("CSeq", format!("{number} INVITE"))
            .header("Contact", contact)
            .header("Allow", ALLOW);
        draft = match calling.request.reliable {
            Reliable::Off => draft.header("Supported", SUPPORTED_PLAIN),
            Reliable::Supported => draft.header("Supported", SUPPORTED),
            Reliable::Required => draft
                .header("Supported", SUPPORTED)
                .header("Require", "100rel"),
        };
        draft = self.terms.ask(draft).headers(&calling.request.headers);
        draft = with_answers(draft, &calling.auth);
        if !calling.request.sdp.is_empty() {
            draft = draft.body("application/sdp", &calling.request.sdp);
        }
        match layer.start(draft, Owner::Dialog(self.id)) {
            Ok(invite) => calling.invite = Some(invite),
            Err(_) => self.give_up(layer, 500),
        }
    }

    /// The call came to nothing without an answer.
    pub(crate) fn give_up(&mut self, layer: &mut Layer, status: u16) {
        self.refused(layer, status, None);
    }

    pub(super) fn call_answered(&mut self, layer: &mut Layer, notice: Notice) {
        match notice {
            Notice::Failed { status, .. } => {
                let Phase::Calling(calling) = &self.phase else {
                    return;
                };
                // RFC 3261 §9.1: a cancelled call that stays silent counts as cancelled.
                let cancelled = !matches!(calling.cancel, Cancel::No);
                self.give_up(layer, if cancelled { 487 } else { status });
            }
            Notice::Response { response, flow, .. } => match response.status().unwrap_or(500) {
                status @ 100..=199 => self.provisional(layer, status, response, flow),
                200..=299 => self.success(layer, response, flow),
                status => self.failure(layer, status, response),
            },
        }
    }

    fn provisional(&mut self, layer: &mut Layer, status: u16, response: Message, flow: Flow) {
        self.adopt(flow);
        self.send_wanted_cancel(layer);
        let news = status == 100 || self.take_provisional(layer, &response);
        let Phase::Calling(calling) = &mut self.phase else {
            return;
        };
        let cancelling = !matches!(calling.cancel, Cancel::No);
        if let Some(timer) = self.ringing.take() {
            layer.wheel.cancel(timer);
        }
        if cancelling {
            return;
        }
        self.ringing = Some(layer.wheel.arm(
            RING_LIMIT,
            transaction::Alarm::Dialog(self.id, super::Alarm::Ringing),
        ));
        if status == 100 || !news {
            return;
        }
        if let Some(tag) = response.to().as_ref().and_then(|to| to.tag()) {
            calling.heard.clear();
            calling.heard.push_str(tag);
            if self.keys.len() < MAX_EARLY {
                self.add_key(layer, tag);
            }
        }
        layer.event(SipEvent::Ringing {
            dialog: self.id,
            status,
            response,
        });
    }

    /// RFC 3261 §13.2.2.4: the first 2xx makes the dialog; its ACK is ours to send.
    fn success(&mut self, layer: &mut Layer, response: Message, flow: Flow) {
        let Phase::Calling(calling) = std::mem::replace(&mut self.phase, Phase::Up) else {
            return;
        };
        self.adopt(flow);
        if let Some(timer) = self.ringing.take() {
            layer.wheel.cancel(timer);
        }
        let tag = tag_of(response.to());
        self.stale.append(&mut self.keys);
        self.registered = 0;
        self.add_key(layer, &tag);
        self.stale.retain(|stale| !self.keys.contains(stale));
        self.settle_forks(layer, calling.forks, &tag);
        self.peer.take_response(&response);
        self.learn(&response, &tag);
        self.take_terms(layer, &response);
        if self.said.is_empty() {
            self.said = calling.request.sdp;
        }
        let number = response.cseq().map_or(0, |(number, _)| number);
        let ack = self.ack(layer, number, &calling.auth);
        if let (Some(invite), Some(bytes)) = (calling.invite, ack) {
            layer.acknowledge(invite, &tag, (self.flow, bytes));
        }
        match calling.cancel {
            Cancel::No => {
                layer.event(SipEvent::Answered {
                    dialog: self.id,
                    response,
                });
                self.go_on(layer);
            }
            // The answer crossed our CANCEL (RFC 3261 §9.1): what stands is hung up.
            Cancel::Wanted(reason) => self.hang_up(layer, reason),
            Cancel::Sent => self.hang_up(layer, None),
        }
    }

    fn failure(&mut self, layer: &mut Layer, status: u16, response: Message) {
        if let Phase::Calling(calling) = &mut self.phase
            && matches!(calling.cancel, Cancel::No)
            && (self.peer.local_seq < MAX_TRIES && self.terms.raise(&response)
                || calling.auth.answer(
                    &mut layer.secret,
                    &response,
                    ("INVITE", &calling.request.uri),
                ))
        {
            calling.forks.clear();
            calling.heard.clear();
            self.stale.append(&mut self.keys);
            self.registered = 0;
            return self.call(layer);
        }
        self.refused(layer, status, Some(response));
    }

    fn refused(&mut self, layer: &mut Layer, status: u16, response: Option<Message>) {
        layer.event(SipEvent::Refused {
            dialog: self.id,
            status,
            response,
        });
        self.end(layer);
    }

    /// The ACK of a 2xx carries the credentials of its INVITE (RFC 3261 §13.2.2.4).
    pub(super) fn ack(&self, layer: &mut Layer, number: u32, auth: &Auth) -> Option<Bytes> {
        with_answers(self.draft_numbered(layer, ("ACK", number), None), auth)
            .builder
            .build()
            .ok()
    }

    /// A stream the INVITE made us connect is the dialog's from its first answer on.
    fn adopt(&mut self, flow: Flow) {
        if flow.transport.reliable() {
            if self.flow.is_wish() {
                self.wish = self.flow.id;
            }
            self.flow = flow;
        }
    }
}

/// RFC 3261 §13.2.2.4: a 2xx nobody waits for, of another fork or after the call ended, is acknowledged and hung up. All it
/// takes is in the response.
pub(crate) fn release_fork(
    layer: &mut Layer,
    invite: TransactionId,
    response: &Message,
    flow: Flow,
) {
    let Some((number, _)) = response.cseq() else {
        return;
    };
    let tag = tag_of(response.to());
    let ack = fork_request(layer, response, flow, ("ACK", number))
        .and_then(|ack| ack.builder.build().ok());
    if let Some(bytes) = ack {
        layer.acknowledge(invite, &tag, (flow, bytes));
    }
    if let Some(bye) = fork_request(
        layer,
        response,
        flow,
        ("BYE", number.saturating_add(EARLY_REQUESTS)),
    ) {
        // A response that no BYE can be written to is one nobody can be talking through.
        let _sent = layer.start(bye, Owner::Nobody);
    }
}

fn fork_request(
    layer: &mut Layer,
    response: &Message,
    flow: Flow,
    what: (&str, u32),
) -> Option<Draft> {
    let (method, number) = what;
    let target = response.contact().or_else(|| response.to())?.uri_text;
    let mut draft = layer.draft(flow, method, &target);
    let routes = response.record_routes();
    for route in routes.iter().rev() {
        draft = draft.header("Route", route);
    }
    Some(
        draft
            .header("From", response.raw(HeaderId::From).next()?)
            .header("To", response.raw(HeaderId::To).next()?)
            .header("Call-ID", response.raw(HeaderId::CallId).next()?)
            .header("CSeq", format!("{number} {method}")),
    )
}
