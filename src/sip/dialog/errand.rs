//! What only passes through a dialog: REFER, MESSAGE, SUBSCRIBE and NOTIFY of the peer, and requests of ours that change
//! nothing here. RFC 3261 §12.2. What they mean is for who is told (`switch`).

use super::{Dialog, Phase, with_answers, with_headers};
use crate::endpoint::{ALLOW, Ask, SipEvent, TransactionId};
use crate::message::Message;
use crate::transaction::{Auth, Layer, Notice, Owner};

/// Requests of one dialog that may wait for an answer at once.
const MAX_ERRANDS: usize = 16;

/// A request of ours on its way.
pub(super) struct Errand {
    /// What the asker knows it by: the first transaction. A challenge makes another.
    id: TransactionId,
    transaction: TransactionId,
    ask: Box<Ask>,
    auth: Auth,
    whose: Whose,
}

/// Who wants a request of ours, and which fork it goes to while there are several.
enum Whose {
    Switch { tag: Option<String> },
    Prack { tag: Option<String> },
}

impl Whose {
    fn tag(&self) -> Option<&str> {
        let (Whose::Switch { tag } | Whose::Prack { tag }) = self;
        tag.as_deref()
    }
}

impl Dialog {
    /// A request of the peer that somebody else answers.
    pub(super) fn inside(&mut self, layer: &mut Layer, request: &Message) {
        self.questions
            .retain(|asked| layer.request(*asked).is_some());
        if self.questions.len() >= MAX_ERRANDS {
            let later = [("Retry-After", "10".to_owned())];
            return layer.reject(request, self.flow, 503, &later);
        }
        let transaction = layer.open(request, self.flow, Owner::Dialog(self.id));
        self.questions.push(transaction);
        layer.event(SipEvent::Inside {
            dialog: self.id,
            transaction,
            request: request.clone(),
        });
    }

    /// RFC 3261 §15.1.2: what was asked in a dialog that ends is answered all the same.
    pub(super) fn leave_questions(&mut self, layer: &mut Layer) {
        for asked in std::mem::take(&mut self.questions) {
            self.respond(layer, asked, 487, &[]);
        }
    }

    /// Answers what came [`Dialog::inside`].
    pub(crate) fn respond(
        &mut self,
        layer: &mut Layer,
        transaction: TransactionId,
        status: u16,
        headers: &[(&str, String)],
    ) {
        let Some((request, _)) = layer.request(transaction) else {
            return;
        };
        let mut builder = self.response(layer, request, status);
        if (200..300).contains(&status) {
            // RFC 3261 §12.1.1: what may begin a dialog usage says where its requests go.
            builder = builder.header("Contact", self.contact(layer));
        }
        if status == 405 {
            builder = builder.header("Allow", ALLOW);
        }
        if let Ok(bytes) = with_headers(builder, headers) {
            layer.reply(transaction, status, bytes);
        }
    }

    pub(crate) fn ask(&mut self, layer: &mut Layer, ask: Ask) -> Option<TransactionId> {
        let (stands, tag) = match &self.phase {
            Phase::Up | Phase::Incoming { .. } => (true, None),
            Phase::Calling(calling) => {
                let tag = calling.forks.last().map(|fork| fork.tag.clone());
                (tag.is_some(), tag)
            }
            Phase::Closing(_) | Phase::Over => (false, None),
        };
        // These have doors of their own.
        let own = matches!(
            ask.method.as_str(),
            "INVITE" | "ACK" | "CANCEL" | "BYE" | "UPDATE" | "PRACK"
        );
        if !stands || own || self.errands.len() >= MAX_ERRANDS || !has_room(layer) {
            return None;
        }
        self.begin_errand(layer, ask, Whose::Switch { tag })
    }

    /// Whether a reliable response may be acknowledged: one that is not comes again.
    pub(super) fn has_room_for_prack(&self, layer: &Layer) -> bool {
        self.errands.len() < 2 * MAX_ERRANDS && has_room(layer)
    }

    /// Acknowledges a reliable response of the fork of `tag`. What is answered to that tells nobody anything.
    pub(super) fn prack(&mut self, layer: &mut Layer, prack: Ask, tag: String) {
        self.begin_errand(layer, prack, Whose::Prack { tag: Some(tag) });
    }

    fn begin_errand(&mut self, layer: &mut Layer, ask: Ask, whose: Whose) -> Option<TransactionId> {
        let errand = Errand {
            id: TransactionId(0),
            transaction: TransactionId(0),
            ask: Box::new(ask),
            auth: Auth::new(self.login.clone()),
            whose,
        };
        let transaction = self.send_errand(layer, &errand)?;
        self.errands.push(Errand {
            id: transaction,
            transaction,
            ..errand
        });
        Some(transaction)
    }

    fn send_errand(&mut self, layer: &mut Layer, errand: &Errand) -> Option<TransactionId> {
        let ask = &errand.ask;
        let mut draft = self.draft(layer, &ask.method, errand.whose.tag());
        // RFC 3262 §7.3: PRACK refreshes no target.
        if matches!(errand.whose, Whose::Switch { .. }) {
            draft = draft.header("Contact", self.contact(layer));
        }
        draft = with_answers(draft.headers(&ask.headers), &errand.auth);
        if let Some((content_type, body)) = &ask.body {
            draft = draft.body(content_type, body);
        }
        layer.start(draft, Owner::Dialog(self.id)).ok()
    }

    /// The fork of `tag` answered the call: no other one is asked anything more.
    pub(super) fn leave_errands(&mut self, layer: &mut Layer, tag: &str) {
        for mut errand in std::mem::take(&mut self.errands) {
            if errand.whose.tag().is_none_or(|of| of == tag) {
                let (Whose::Switch { tag } | Whose::Prack { tag }) = &mut errand.whose;
                *tag = None;
                self.errands.push(errand);
                continue;
            }
            layer.abandon(errand.transaction);
            self.told(layer, &errand, 481);
        }
    }

    fn told(&self, layer: &mut Layer, errand: &Errand, status: u16) {
        if matches!(errand.whose, Whose::Switch { .. }) {
            layer.event(SipEvent::Told {
                dialog: self.id,
                transaction: errand.id,
                status,
            });
        }
    }

    pub(super) fn is_errand(&self, transaction: TransactionId) -> bool {
        let of = |errand: &Errand| errand.transaction == transaction;
        self.errands.iter().any(of)
    }

    /// RFC 3261 §12.2.1.2: what 408 and 481 mean for the dialog is for who asked to say.
    pub(super) fn errand_answered(&mut self, layer: &mut Layer, notice: Notice) {
        let (transaction, status) = match &notice {
            Notice::Response {
                transaction,
                response,
                ..
            } => (*transaction, response.status().unwrap_or(500)),
            Notice::Failed {
                transaction,
                status,
                ..
            } => (*transaction, *status),
        };
        let of = |errand: &Errand| errand.transaction == transaction;
        let at = self.errands.iter().position(of);
        let Some(at) = at.filter(|_| status >= 200) else {
            return;
        };
        let mut errand = self.errands.swap_remove(at);
        if let Notice::Response { response, .. } = &notice
            && errand.auth.answer(
                &mut layer.secret,
                response,
                (&errand.ask.method, &self.far(errand.whose.tag()).target),
            )
            && let Some(again) = self.send_errand(layer, &errand)
        {
            errand.transaction = again;
            return self.errands.push(errand);
        }
        self.told(layer, &errand, status);
    }

    pub(super) fn forget_errands(&mut self, layer: &mut Layer) {
        for errand in self.errands.drain(..) {
            layer.abandon(errand.transaction);
        }
    }
}

/// What goes on inside dialogs may take as many transactions again as begin them, and no more.
fn has_room(layer: &Layer) -> bool {
    layer.len() / 2 < layer.config.max_transactions
}
