//! What the peer wants changed of a session that stands: re-INVITE and UPDATE. RFC 3261 §14.2, RFC 3311 §5.2. What we
//! want changed is `change.rs`.

use super::prack::Session;
use super::{Dialog, Phase, Purpose, tag_of};
use crate::endpoint::{SipEvent, TransactionId};
use crate::message::{Builder, Message, Method};
use crate::transaction::{Layer, Owner};

/// A change the peer wants and the switch has not answered.
pub(super) struct Theirs {
    pub(super) transaction: TransactionId,
}

impl Dialog {
    /// re-INVITE or UPDATE.
    pub(super) fn reoffered(&mut self, layer: &mut Layer, request: &Message) {
        let update = matches!(request.method(), Method::Update);
        // RFC 3311 §5.1: an UPDATE without an offer only refreshes (session timers, targets).
        if update && request.body().is_empty() {
            return self.refreshed(layer, request);
        }
        let answering = self
            .theirs
            .as_ref()
            .is_some_and(|theirs| layer.request(theirs.transaction).is_some());
        // RFC 3261 §14.2, RFC 3311 §5.2: theirs unanswered is 500, ours unanswered 491.
        let first = matches!(self.phase, Phase::Incoming { .. });
        if answering || first && (!update || self.session() == Session::Offered) {
            let seconds = layer.secret.number() % 10;
            return layer.reject(
                request,
                self.flow,
                500,
                &[("Retry-After", seconds.to_string())],
            );
        }
        let glare = self.unacked.is_some() || self.ours.offers();
        let early = !matches!(self.phase, Phase::Up);
        if glare || early && (!update || !self.may_reoffer(request)) {
            return layer.reject(request, self.flow, 491, &[]);
        }
        let transaction = layer.open(request, self.flow, Owner::Dialog(self.id));
        self.theirs = Some(Theirs { transaction });
        if !update {
            layer.undecided.push((transaction, self.id));
        }
        layer.event(SipEvent::Reoffered {
            dialog: self.id,
            request: request.clone(),
        });
    }

    /// RFC 3311 §5.2, RFC 3262 §5: offer and answer of the INVITE are through, on this fork.
    fn may_reoffer(&self, request: &Message) -> bool {
        match &self.phase {
            Phase::Calling(calling) => {
                let fork = calling.fork(&tag_of(request.from()));
                fork.is_some_and(|fork| fork.settled)
            }
            _ => self.session() == Session::Settled,
        }
    }

    /// What a target refresh of the peer says of it. PRACK is none (RFC 3262 §7).
    fn refresh(&mut self, request: &Message) {
        if matches!(request.method(), Method::Prack) {
            return;
        }
        let tag = tag_of(request.from());
        self.far_mut(Some(&tag)).refresh_target(request);
        self.learn(request, &tag);
    }

    /// RFC 4028 §4: the timer runs from the first 2xx to the INVITE, and PRACK does not refresh it.
    fn give_terms(&mut self, layer: &mut Layer, builder: Builder, request: &Message) -> Builder {
        if !self.is_up() || matches!(request.method(), Method::Prack) {
            return builder;
        }
        let terms = self.terms_for(request);
        self.set_clock(layer, terms);
        match terms {
            Some(terms) => terms.write(builder),
            None => builder,
        }
    }

    fn refreshed(&mut self, layer: &mut Layer, request: &Message) {
        self.refresh(request);
        let transaction = layer.open(request, self.flow, Owner::Nobody);
        let builder = self.session_response(layer, request, 200, &[]);
        let builder = self.give_terms(layer, builder, request);
        if let Ok(bytes) = builder.build() {
            layer.reply(transaction, 200, bytes);
        }
    }

    pub(crate) fn accept_reoffer(&mut self, layer: &mut Layer, sdp: &[u8]) {
        let Some(Theirs { transaction }) = self.theirs.take() else {
            return;
        };
        let Some((request, flow)) = layer.request(transaction) else {
            return;
        };
        let request = request.clone();
        self.refresh(&request);
        let number = request.cseq().map_or(0, |(number, _)| number);
        let builder = self.session_response(layer, &request, 200, sdp);
        let builder = self.give_terms(layer, builder, &request);
        let Ok(bytes) = builder.build() else {
            return self.reply_plain(layer, transaction, 500);
        };
        layer.reply(transaction, 200, bytes.clone());
        if !sdp.is_empty() {
            self.said = sdp.to_vec();
        }
        if matches!(request.method(), Method::Invite) {
            self.await_ack(layer, Purpose::Reoffer, number, (flow, bytes));
        }
        self.go_on(layer);
    }

    pub(crate) fn refuse_reoffer(&mut self, layer: &mut Layer, status: u16) {
        if let Some(Theirs { transaction }) = self.theirs.take() {
            let status = if (300..=699).contains(&status) {
                status
            } else {
                488
            };
            self.reply_plain(layer, transaction, status);
            self.go_on(layer);
        }
    }

    /// The session ends: what the peer wanted of it is answered 487 (RFC 3261 §15.1.2).
    pub(super) fn withdraw(&mut self, layer: &mut Layer) {
        if let Some(Theirs { transaction }) = self.theirs.take() {
            self.reply_plain(layer, transaction, 487);
        }
    }
}
