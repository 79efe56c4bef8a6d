//! Taking SUBSCRIBE: new ones, refreshes, and the end that a subscriber asks for. RFC 6665 §4.2.1.

use std::time::{Duration, Instant};

use super::{
    DEFAULT_EXPIRES, MAX_EXPIRES, MIN_EXPIRES, Phase, Reason, Subscription, SubscriptionId, Telling,
};
use crate::dialog;
use crate::endpoint::{ALLOW, TransactionId};
use crate::flow::Flow;
use crate::message::{HeaderId, Message, Method, Params, Uri, scan};
use crate::screen::Rejection;
use crate::transaction::{Layer, Owner, contact};

/// The time a SUBSCRIBE asks for, cut to what is granted; 0 ends or only asks once.
fn wanted(request: &Message) -> Result<u32, Rejection> {
    match request.expires() {
        None => Ok(DEFAULT_EXPIRES),
        // RFC 6665 §4.2.1.1.
        Some(1..MIN_EXPIRES) => Err(Rejection {
            status: 423,
            headers: vec![("Min-Expires", MIN_EXPIRES.to_string())],
        }),
        Some(seconds) => Ok(seconds.min(MAX_EXPIRES)),
    }
}

/// The Event of a request, its package in lower case, with the `id` that tells subscriptions apart and nothing else.
pub(super) fn event_of(request: &Message) -> String {
    let value = request.header(HeaderId::Event).unwrap_or_default();
    let end = value.find(';').unwrap_or(value.len());
    let (package, params) = value.split_at(end);
    let package = package.trim().to_ascii_lowercase();
    let params = Params::of_header(params).unwrap_or_default();
    match params.get("id").filter(|id| scan::is_token(id.as_bytes())) {
        Some(id) => format!("{package};id={id}"),
        None => package,
    }
}

impl Subscription {
    /// The notifier's half of a new SUBSCRIBE (RFC 3261 §12.1.1), not yet accepted.
    pub(super) fn new(
        layer: &mut Layer,
        request: &Message,
        flow: Flow,
    ) -> Result<Subscription, Rejection> {
        let granted = wanted(request)?;
        // RFC 6665 §3.1.1: without a Contact there is nobody to notify.
        let target = request.contact().ok_or(Rejection::new(400))?.uri_text;
        let text = |id| request.header(id).unwrap_or_default().into_owned();
        let (call_id, local_tag) = (text(HeaderId::CallId), layer.secret.token());
        let from = request.from();
        let remote_tag = from.as_ref().and_then(|f| f.tag()).unwrap_or_default();
        let uri = request.request_uri().and_then(|uri| Uri::parse(&uri).ok());
        Ok(Subscription {
            id: SubscriptionId(0),
            phase: Phase::Over,
            telling: Telling::Quiet,
            flow,
            key: dialog::key(&layer.secret, &call_id, &local_tag, remote_tag),
            call_id,
            local: format!("{};tag={local_tag}", text(HeaderId::To)),
            local_tag,
            remote: text(HeaderId::From),
            target,
            routes: request.record_routes(),
            contact_user: uri.and_then(|uri| uri.user).unwrap_or_default(),
            event: event_of(request),
            local_seq: 0,
            reserved: 0,
            remote_seq: request.cseq().map_or(0, |(number, _)| number),
            granted,
            expires: layer.wheel.now(),
            due: None,
            full: true,
            missed: 0,
        })
    }

    /// Waits for the switch, no longer than the transaction lives.
    pub(super) fn ask(&mut self, layer: &mut Layer, subscribe: TransactionId) {
        self.phase = Phase::Asked(subscribe);
        self.due = Some(layer.wheel.now() + layer.full());
    }

    /// The switch lets it in: 200, then at once a NOTIFY (RFC 6665 §4.2.1.2).
    pub(super) fn accept(&mut self, layer: &mut Layer, now: Instant, headers: &[(&str, String)]) {
        let Phase::Asked(subscribe) = self.phase else {
            return;
        };
        self.due = None;
        self.phase = Phase::Over;
        let request = layer.request(subscribe).map(|(request, _)| request.clone());
        if let Some(request) = request
            && self.agree(layer, subscribe, &request, headers)
        {
            self.phase = Phase::Active;
            self.reserve(layer);
            self.run(layer, now);
        }
    }

    pub(super) fn refuse(&mut self, layer: &mut Layer, status: u16, headers: &[(&str, String)]) {
        if let Phase::Asked(subscribe) = self.phase {
            layer.respond(subscribe, status, headers);
            self.phase = Phase::Over;
        }
    }

    /// A request inside the subscription's dialog that is no repeat.
    pub(super) fn receive(&mut self, layer: &mut Layer, request: &Message, flow: Flow) {
        if !matches!(request.method(), Method::Subscribe) {
            let allow = [("Allow", ALLOW.to_owned())];
            return layer.reject(request, flow, 405, &allow);
        }
        let number = request.cseq().map_or(0, |(number, _)| number);
        // RFC 3261 §12.2.2: a lower number than the last is out of order.
        if number < self.remote_seq {
            return layer.reject(request, flow, 500, &[]);
        }
        // RFC 6665 §4.5.1: another package or id would be another subscription, and that needs another dialog.
        if self.phase != Phase::Active || event_of(request) != self.event {
            return layer.reject(request, flow, 481, &[]);
        }
        match wanted(request) {
            Ok(seconds) => {
                self.granted = seconds;
                self.remote_seq = number;
                self.refresh(layer, request, flow);
            }
            Err(Rejection { status, headers }) => layer.reject(request, flow, status, &headers),
        }
    }

    /// RFC 6665 §4.4.1: the refresh is also how a phone says where it is by now.
    fn refresh(&mut self, layer: &mut Layer, request: &Message, flow: Flow) {
        if self.flow != flow {
            self.let_go(layer);
        }
        self.flow = flow;
        if let Some(contact) = request.contact() {
            self.target = contact.uri_text;
        }
        let subscribe = layer.open(request, flow, Owner::Nobody);
        if !self.agree(layer, subscribe, request, &[]) {
            layer.respond(subscribe, 500, &[]);
        }
        self.missed = 0;
        self.full = true;
        self.stop_pause(layer);
        self.changed(layer);
        let now = layer.wheel.now();
        self.run(layer, now);
    }

    /// Lets the time that was granted begin, and wants everything told. Without any, that is the end (§4.2.1.4, §4.4.3).
    fn run(&mut self, layer: &mut Layer, now: Instant) {
        let time = Duration::from_secs(u64::from(self.granted));
        self.expires = now + time;
        self.due = Some(self.expires).filter(|_| self.granted > 0);
        if self.granted == 0 {
            self.phase = Phase::Ending(Reason::Timeout);
        }
        self.want(layer);
    }

    /// As [`Subscription::run`] for one that was stored with `left` of its time; it is told after `wait`.
    pub(super) fn resume(&mut self, layer: &mut Layer, left: Duration, wait: Duration) {
        let now = layer.wheel.now();
        self.phase = Phase::Active;
        if !wait.is_zero() {
            self.pause(layer, wait);
        }
        self.granted = u32::try_from(left.as_secs()).unwrap_or(MAX_EXPIRES).max(1);
        self.run(layer, now);
        self.expires = now + left;
        self.due = Some(self.expires);
    }

    /// 200 with what makes or keeps the dialog; false when it cannot be written.
    fn agree(
        &self,
        layer: &mut Layer,
        subscribe: TransactionId,
        request: &Message,
        headers: &[(&str, String)],
    ) -> bool {
        let mut builder = layer
            .draft_response(request, 200, &self.local_tag)
            .header(
                "Contact",
                contact(&layer.config, self.flow, &self.contact_user),
            )
            .header("Expires", self.granted.to_string());
        // RFC 3261 §12.1.1: what makes a dialog returns the Record-Route as it came.
        for route in request.raw(HeaderId::RecordRoute) {
            builder = builder.header("Record-Route", route);
        }
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        match builder.build() {
            Ok(bytes) => {
                layer.reply(subscribe, 200, bytes);
                true
            }
            Err(_) => false,
        }
    }
}
