//! Ringing that is sure to arrive: reliable provisional responses of ours and their PRACKs. RFC 3262 §3, §5.
//! What we acknowledge ourselves is `early.rs`.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::accept::Say;
use super::change::{borrowed, owned};
use super::{Alarm, Dialog, Phase, modify::Theirs};
use crate::endpoint::SipEvent;
use crate::message::{HeaderId, Message};
use crate::timers::TimerId;
use crate::transaction::{self, Layer, Owner};

/// Provisional responses that may wait for the PRACK of the one before.
const MAX_QUEUE: usize = 4;

/// A response as the switch wants it.
struct Wanted {
    status: u16,
    sdp: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Wanted {
    fn plain(status: u16) -> Wanted {
        Wanted {
            status,
            sdp: Vec::new(),
            headers: Vec::new(),
        }
    }
}

/// How far offer and answer have come before the 2xx (RFC 3262 §5, RFC 6337 §2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Session {
    /// The INVITE offered, nothing reliable answered yet.
    Offered,
    /// The INVITE offered nothing, neither did we.
    Open,
    /// Our offer went in a reliable response; its PRACK brings the answer.
    Asked,
    /// Offer and answer are through: either side may offer anew.
    Settled,
}

/// One response that waits for its PRACK.
struct Unpracked {
    has_sdp: bool,
    bytes: Bytes,
    interval: Duration,
    repeat: TimerId,
    give_up: TimerId,
}

/// What is kept of a call whose caller takes reliable responses, until it is answered and acknowledged.
pub(super) struct Early {
    /// Of the INVITE, for RAck.
    number: u32,
    /// The caller takes nothing else.
    required: bool,
    /// The last RSeq given out, and the status it went with; 0: nothing reliable was said.
    rseq: u32,
    last: u16,
    pub(super) session: Session,
    /// A PRACK came: the caller knows the early dialog.
    pub(super) known: bool,
    unpracked: Option<Unpracked>,
    queue: VecDeque<Wanted>,
    /// RFC 3262 §5: the 2xx waits for the PRACK of a response with SDP.
    answer: Option<Wanted>,
}

impl Dialog {
    /// Whether the caller's INVITE takes reliable responses, and we give them.
    pub(super) fn offer_reliability(&mut self, layer: &mut Layer, request: &Message) {
        if !layer.config.reliable_provisionals {
            return;
        }
        let has = |id| {
            let mut tags = request.values(id);
            tags.any(|tag| tag.eq_ignore_ascii_case("100rel"))
        };
        let required = has(HeaderId::Require);
        if !required && !has(HeaderId::Supported) {
            return;
        }
        self.early = Some(Box::new(Early {
            number: request.cseq().map_or(0, |(number, _)| number),
            required,
            // RFC 3262 §3: anywhere in 1 to 2³¹ - 1, with room to count.
            rseq: (layer.secret.number() & 0x3fff_ffff) as u32,
            last: 0,
            session: match request.body() {
                [] => Session::Open,
                _ => Session::Offered,
            },
            known: false,
            unpracked: None,
            queue: VecDeque::new(),
            answer: None,
        }));
    }

    pub(crate) fn takes_reliable(&self) -> bool {
        self.early.is_some()
    }

    /// Whether ringing as wanted (status, SDP, headers) is done here.
    pub(super) fn rings_reliably(
        &mut self,
        layer: &mut Layer,
        wanted: (u16, &[u8], &[(&str, String)]),
    ) -> bool {
        let (status, sdp, headers) = wanted;
        let Some(early) = &mut self.early else {
            return false;
        };
        // RFC 3262 §5: the first reliable response to an INVITE without an offer has to have one.
        if early.session == Session::Open && sdp.is_empty() {
            return early.required;
        }
        // What was said and is sure to arrive is not said again.
        let known = early.last == status && sdp.is_empty() && headers.is_empty();
        if early.answer.is_some() || known && self.next.is_none() {
            return true;
        }
        let wanted = Wanted {
            status,
            sdp: sdp.to_vec(),
            headers: owned(headers).collect(),
        };
        // RFC 3262 §3: the next one waits until the one before is acknowledged.
        if early.unpracked.is_some() {
            early.queue(wanted);
        } else {
            self.send_reliably(layer, wanted);
        }
        true
    }

    /// The minute's reminder is a response of its own: a repeat would be absorbed (RFC 3262 §4).
    pub(super) fn reminds_reliably(&mut self, layer: &mut Layer) -> bool {
        match &self.early {
            Some(early) if early.last != 0 => {
                match early.unpracked {
                    // It is repeated anyway.
                    Some(_) => self.watch_ringing(layer),
                    None => self.send_reliably(layer, Wanted::plain(early.last)),
                }
                true
            }
            _ => false,
        }
    }

    fn send_reliably(&mut self, layer: &mut Layer, wanted: Wanted) {
        let (Phase::Incoming { invite }, Some(early)) = (&self.phase, &mut self.early) else {
            return;
        };
        let invite = *invite;
        // What was settled stays settled: more SDP would be an offer nobody may make here (RFC 6337 §2.2).
        let sdp = match early.session {
            Session::Offered | Session::Open => wanted.sdp,
            Session::Asked | Session::Settled => Vec::new(),
        };
        early.rseq += 1;
        early.last = wanted.status;
        let rseq = early.rseq;
        let headers: Vec<_> = borrowed(&wanted.headers).collect();
        let say = Say {
            status: wanted.status,
            sdp: &sdp,
            headers: &headers,
            rseq: Some(rseq),
        };
        let Some(Ok(bytes)) = self.build_session(layer, invite, say) else {
            return;
        };
        let interval = layer.config.t1;
        let alarm = |alarm| transaction::Alarm::Dialog(self.id, alarm);
        let unpracked = Unpracked {
            has_sdp: !sdp.is_empty(),
            bytes: bytes.clone(),
            interval,
            repeat: layer.wheel.arm(interval, alarm(Alarm::RepeatRinging)),
            give_up: layer.wheel.arm(layer.full(), alarm(Alarm::GiveUpRinging)),
        };
        if let Some(early) = &mut self.early {
            if early.session == Session::Open {
                early.session = Session::Asked;
            }
            early.unpracked = Some(unpracked);
        }
        if !sdp.is_empty() {
            self.said = sdp;
        }
        layer.reply(invite, wanted.status, bytes);
        self.watch_ringing(layer);
    }

    /// RFC 3262 §3: repeated end to end after T1, doubling, over reliable transports as well.
    pub(super) fn repeat_ringing(&mut self, layer: &mut Layer) {
        let Phase::Incoming { invite } = self.phase else {
            return;
        };
        let alarm = transaction::Alarm::Dialog(self.id, Alarm::RepeatRinging);
        let unpracked = self.early.as_mut().and_then(|r| r.unpracked.as_mut());
        if let (Some(unpracked), Some((_, flow))) = (unpracked, layer.request(invite)) {
            layer.send(flow, unpracked.bytes.clone());
            unpracked.interval *= 2;
            unpracked.repeat = layer.wheel.arm(unpracked.interval, alarm);
        }
    }

    /// RFC 3262 §3: 64·T1 without a PRACK, and the INVITE is refused 5xx.
    pub(super) fn lose_ringing(&mut self, layer: &mut Layer) {
        layer.event(SipEvent::Lost { dialog: self.id });
        self.refuse(layer, 504, &[]);
    }

    /// A PRACK of the caller.
    pub(super) fn pracked(&mut self, layer: &mut Layer, request: &Message) {
        let Some((rseq, number)) = rack(request) else {
            return layer.reject(request, self.flow, 400, &[]);
        };
        let meant = |r: &&mut Box<Early>| r.number == number && r.rseq == rseq;
        let early = self.early.as_mut().filter(meant);
        // RFC 3262 §3: one that matches nothing that waits is answered 481.
        let Some(early) = early else {
            return layer.reject(request, self.flow, 481, &[]);
        };
        let Some(unpracked) = early.unpracked.take() else {
            return layer.reject(request, self.flow, 481, &[]);
        };
        early.known = true;
        let before = early.session;
        if unpracked.has_sdp {
            early.session = Session::Settled;
        }
        let settled = early.session == Session::Settled;
        unpracked.stop(layer);
        match (before, request.body().is_empty()) {
            (Session::Asked, _) => {
                self.agree(layer, request);
                self.tell_pracked(layer, request);
            }
            (_, true) => self.agree(layer, request),
            // RFC 3262 §5: an offer in PRACK is answered in its 2xx.
            (_, false) if settled && self.theirs.is_none() => {
                let transaction = layer.open(request, self.flow, Owner::Dialog(self.id));
                self.theirs = Some(Theirs { transaction });
                layer.event(SipEvent::Reoffered {
                    dialog: self.id,
                    request: request.clone(),
                });
            }
            (_, false) => {
                let transaction = layer.open(request, self.flow, Owner::Nobody);
                self.reply_plain(layer, transaction, 488);
            }
        }
        self.go_on(layer);
    }

    fn tell_pracked(&mut self, layer: &mut Layer, request: &Message) {
        let body = request.body();
        layer.event(SipEvent::Pracked {
            dialog: self.id,
            sdp: (!body.is_empty()).then(|| Bytes::copy_from_slice(body)),
        });
    }

    /// How far offer and answer of the INVITE have come; once it is answered they are through.
    pub(super) fn session(&self) -> Session {
        match (&self.phase, &self.early) {
            (Phase::Incoming { .. }, Some(early)) => early.session,
            (Phase::Incoming { .. }, None) => Session::Offered,
            _ => Session::Settled,
        }
    }

    /// Whether the caller is sure to know the early dialog.
    pub(super) fn is_known_early(&self) -> bool {
        self.early.as_ref().is_some_and(|early| early.known)
    }

    /// What waited for a PRACK goes, one by one, and in the end the 2xx.
    pub(super) fn ring_on(&mut self, layer: &mut Layer) {
        let blocked = self.theirs.is_some() || self.ours.offers();
        let Some(early) = &mut self.early else {
            return;
        };
        if early.unpracked.is_some() || blocked {
            return;
        }
        if let Some(answer) = early.answer.take() {
            let headers: Vec<_> = borrowed(&answer.headers).collect();
            return self.answer(layer, &answer.sdp, &headers);
        }
        if let Some(next) = early.queue.pop_front() {
            self.send_reliably(layer, next);
        }
    }

    /// Whether the 2xx has to wait, and is kept if so. What it may still say of SDP comes back otherwise.
    pub(super) fn hold_answer<'a>(
        &mut self,
        sdp: &'a [u8],
        headers: &[(&str, String)],
    ) -> Option<&'a [u8]> {
        let blocked = self.theirs.is_some() || self.ours.offers();
        let Some(early) = &mut self.early else {
            return Some(sdp);
        };
        let waits = |unpracked: &Unpracked| unpracked.has_sdp;
        if blocked || early.unpracked.as_ref().is_some_and(waits) {
            early.answer = Some(Wanted {
                status: 200,
                sdp: sdp.to_vec(),
                headers: owned(headers).collect(),
            });
            return None;
        }
        // RFC 3261 §13.2.1: after offer and answer no response to the INVITE has any SDP.
        let over = early.session == Session::Settled;
        Some(if over { &[] } else { sdp })
    }

    /// A final response is there: nothing provisional is repeated, but a late PRACK is still known (RFC 3262 §3).
    pub(super) fn still_ringing(&mut self, layer: &mut Layer) {
        if let Some(early) = &mut self.early {
            early.queue.clear();
            early.answer = None;
            if let Some(unpracked) = &early.unpracked {
                layer.wheel.cancel(unpracked.repeat);
                layer.wheel.cancel(unpracked.give_up);
            }
        }
    }

    pub(super) fn forget_ringing(&mut self, layer: &mut Layer) {
        self.still_ringing(layer);
        self.early = None;
    }
}

impl Early {
    fn queue(&mut self, wanted: Wanted) {
        if self.queue.len() < MAX_QUEUE {
            self.queue.push_back(wanted);
        } else if let Some(last) = self.queue.back_mut().filter(|_| !wanted.sdp.is_empty()) {
            *last = wanted;
        }
    }
}

impl Unpracked {
    fn stop(self, layer: &mut Layer) {
        layer.wheel.cancel(self.repeat);
        layer.wheel.cancel(self.give_up);
    }
}

/// RFC 3262 §7.2: RSeq and CSeq number of what is acknowledged, an INVITE always.
fn rack(request: &Message) -> Option<(u32, u32)> {
    let value = request.header(HeaderId::RAck)?;
    let mut parts = value.split_ascii_whitespace();
    let rseq = parts.next()?.parse().ok()?;
    let number = parts.next()?.parse().ok()?;
    let whole = parts.next() == Some("INVITE") && parts.next().is_none();
    whole.then_some((rseq, number))
}
