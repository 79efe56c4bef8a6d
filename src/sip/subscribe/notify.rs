//! Sending NOTIFY: one at a time, repeated by its transaction, and what its answer means. RFC 6665 §4.2.2.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Alarm, News, Phase, Reason, Subscription, SubscriptionEvent, Telling, until};
use crate::flow::{Flow, Transport};
use crate::message::{HeaderId, Message, NameAddr, Uri};
use crate::transaction::{self, Draft, Layer, Notice, Owner, contact};

/// So many NOTIFYs in a row may reach nobody: a phone comes back from a bad cable, and its lamps are right again.
const MAX_MISSED: u8 = 3;
/// How long a subscriber that was not reached is left alone, unless it is heard of or something changes.
const PAUSE: Duration = Duration::from_secs(60);
/// The shortest Retry-After that is obeyed: `0` would have each NOTIFY follow the refusal of the one before.
const MIN_PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const MAX_PAUSE: Duration = Duration::from_secs(600);
/// How many numbers are reserved at once, and how few are left when the next are.
const RESERVE: u32 = 128;
const RESERVE_AT: u32 = 64;

impl Subscription {
    /// The subscriber is to be told how things are as soon as one NOTIFY may follow the other.
    pub(super) fn want(&mut self, layer: &mut Layer) {
        if !matches!(self.phase, Phase::Active | Phase::Ending(_)) {
            return;
        }
        match &mut self.telling {
            Telling::Quiet => self.ask_for_news(layer),
            Telling::Due => {}
            Telling::Sent { again, .. } => *again = true,
            // A final word is not worth waiting for.
            Telling::Paused(_) if matches!(self.phase, Phase::Ending(_)) => {
                self.stop_pause(layer);
                self.ask_for_news(layer);
            }
            Telling::Paused(_) => {}
        }
    }

    fn ask_for_news(&mut self, layer: &mut Layer) {
        self.telling = Telling::Due;
        let event = SubscriptionEvent::NotifyDue {
            version: self.local_seq,
            full: self.full,
            last: matches!(self.phase, Phase::Ending(_)),
        };
        layer.event(self.id.event(event));
    }

    pub(super) fn notify(&mut self, layer: &mut Layer, news: &News) {
        if self.telling != Telling::Due {
            return;
        }
        self.telling = Telling::Quiet;
        self.local_seq += 1;
        if self.local_seq + RESERVE_AT > self.reserved {
            self.reserve(layer);
        }
        let draft = self.draft(layer, news);
        match layer.start(draft, Owner::Subscription(self.id)) {
            Ok(notify) => {
                self.full = false;
                if matches!(self.phase, Phase::Ending(_)) {
                    self.phase = Phase::Leaving;
                }
                self.telling = Telling::Sent {
                    notify,
                    again: false,
                };
            }
            // What cannot be written never reaches anybody.
            Err(_) => self.over(layer),
        }
    }

    /// Takes the next numbers; they are told to be stored long before the last of them is used.
    pub(super) fn reserve(&mut self, layer: &mut Layer) {
        self.reserved = self.local_seq + RESERVE;
        self.changed(layer);
    }

    pub(super) fn changed(&self, layer: &mut Layer) {
        layer.event(self.id.event(SubscriptionEvent::Changed));
    }

    /// RFC 3261 §12.2.1.1, RFC 6665 §4.2.2. The bytes go where the subscriber was heard last, whatever the route says.
    fn draft(&self, layer: &mut Layer, news: &News) -> Draft {
        let loose = |route: &String| NameAddr::parse(route).is_ok_and(|r| r.uri.params.has("lr"));
        let mut routes = self.routes.clone();
        let mut uri = self.target.clone();
        if let Some(first) = self.routes.first().filter(|first| !loose(first))
            && let Ok(strict) = NameAddr::parse(first)
        {
            // A strict router is the Request-URI; the target goes last.
            routes.remove(0);
            routes.push(format!("<{uri}>"));
            uri = strict.uri_text;
        }
        let ours = contact(&layer.config, self.flow, &self.contact_user);
        let state = match self.phase {
            // RFC 6665 §4.1.3: "active" with what is left of its time.
            Phase::Asked(_) | Phase::Active => {
                let left = until(layer.wheel.now(), self.expires).as_secs().max(1);
                format!("active;expires={left}")
            }
            Phase::Ending(reason) => format!("terminated;reason={}", reason.as_str()),
            Phase::Leaving | Phase::Over => "terminated".to_owned(),
        };
        let mut draft = layer.draft(self.flow, "NOTIFY", &uri);
        for route in routes {
            draft = draft.header("Route", route);
        }
        draft = draft
            .header("From", &self.local)
            .header("To", &self.remote)
            .header("Call-ID", &self.call_id)
            .header("CSeq", format!("{} NOTIFY", self.local_seq))
            .header("Contact", ours)
            .header("Event", &self.event)
            .header("Subscription-State", state);
        for (name, value) in &news.headers {
            draft = draft.header(name, value);
        }
        match &news.body {
            Some((content_type, body)) => draft.body(content_type, body),
            None => draft,
        }
    }

    /// What became of a NOTIFY.
    pub(crate) fn heard(&mut self, layer: &mut Layer, notice: &Notice) {
        let (Notice::Response { transaction, .. } | Notice::Failed { transaction, .. }) = notice;
        let Telling::Sent { notify, again } = self.telling else {
            return;
        };
        if notify != *transaction {
            return;
        }
        match notice {
            Notice::Failed { status, .. } => self.missed(layer, *status),
            Notice::Response { response, .. } => match response.status().unwrap_or(500) {
                0..=199 => {}
                200..=299 => self.reached(layer, again),
                _ => self.refused(layer, response),
            },
        }
    }

    fn reached(&mut self, layer: &mut Layer, again: bool) {
        self.telling = Telling::Quiet;
        self.missed = 0;
        if self.phase == Phase::Leaving {
            self.over(layer);
        } else if again {
            self.want(layer);
        }
    }

    /// RFC 6665 §4.2.2: a refusal ends the subscription, unless it says when to try again.
    fn refused(&mut self, layer: &mut Layer, response: &Message) {
        let after = response
            .header(HeaderId::RetryAfter)
            .and_then(|value| seconds(&value));
        let goes_on = matches!(self.phase, Phase::Active | Phase::Ending(_));
        match (response.status(), after) {
            (Some(status), Some(after)) if goes_on && status != 481 && !self.misses_enough() => {
                self.missed += 1;
                self.pause(layer, after.clamp(MIN_PAUSE, MAX_PAUSE));
            }
            // RFC 3261 §12.2.2: it knows a higher number. A program that died twice before it could store one used it.
            (Some(500), None) if goes_on && !self.misses_enough() => {
                self.missed += 1;
                self.full = true;
                self.local_seq += RESERVE;
                self.reserve(layer);
                self.ask_for_news(layer);
            }
            _ => self.over(layer),
        }
    }

    /// One more NOTIFY in vain is too many.
    fn misses_enough(&self) -> bool {
        self.missed + 1 >= MAX_MISSED
    }

    /// Nobody answered (408), or the connection is gone (503). RFC 6665 §4.2.2 only advises to give up at once: a phone
    /// that missed one NOTIFY would show a wrong lamp until it refreshes.
    fn missed(&mut self, layer: &mut Layer, status: u16) {
        self.telling = Telling::Quiet;
        self.missed += 1;
        self.full = true;
        if self.missed >= MAX_MISSED || self.phase == Phase::Leaving {
            return self.over(layer);
        }
        match self.by_contact().filter(|flow| *flow != self.flow) {
            // The connection it came by is gone: perhaps it listens where its Contact says.
            Some(flow) if status == 503 => {
                self.flow = flow;
                self.ask_for_news(layer);
            }
            _ if matches!(self.phase, Phase::Ending(_)) => self.over(layer),
            _ => self.pause(layer, PAUSE),
        }
    }

    fn by_contact(&self) -> Option<Flow> {
        if !matches!(self.flow.transport, Transport::Tcp | Transport::Tls) {
            return None;
        }
        let uri = Uri::parse(&self.target).ok()?;
        let host = uri.host.trim_matches(['[', ']']).parse().ok()?;
        Some(Flow {
            remote: SocketAddr::new(host, uri.port.unwrap_or(5060)),
            id: 0,
            ..self.flow
        })
    }

    /// It is heard of from `flow` again.
    pub(super) fn found(&mut self, layer: &mut Layer, flow: Flow) {
        self.flow = flow;
        self.missed = 0;
        if matches!(self.telling, Telling::Paused(_)) {
            self.stop_pause(layer);
            self.want(layer);
        }
    }

    pub(super) fn retry(&mut self, layer: &mut Layer) {
        self.telling = Telling::Quiet;
        self.want(layer);
    }

    /// One last NOTIFY says why (RFC 6665 §4.2.2).
    pub(super) fn end(&mut self, layer: &mut Layer, reason: Reason) {
        match self.phase {
            Phase::Active => {
                self.due = None;
                self.phase = Phase::Ending(reason);
                self.full = true;
                // What was asked for before is asked for anew, as the last.
                if self.telling == Telling::Due {
                    self.telling = Telling::Quiet;
                }
                self.want(layer);
            }
            Phase::Asked(_) => self.refuse(layer, 403, &[]),
            Phase::Ending(_) | Phase::Leaving | Phase::Over => {}
        }
    }

    fn over(&mut self, layer: &mut Layer) {
        self.let_go(layer);
        self.stop_pause(layer);
        self.due = None;
        self.phase = Phase::Over;
    }

    pub(super) fn pause(&mut self, layer: &mut Layer, time: Duration) {
        self.full = true;
        let alarm = transaction::Alarm::Subscription(Alarm::Retry(self.id));
        self.telling = Telling::Paused(layer.wheel.arm(time, alarm));
    }

    pub(super) fn stop_pause(&mut self, layer: &mut Layer) {
        if let Telling::Paused(timer) = self.telling {
            layer.wheel.cancel(timer);
            self.telling = Telling::Quiet;
        }
    }

    /// Waits no longer for the answer of a NOTIFY that went where the subscriber no longer is.
    pub(super) fn let_go(&mut self, layer: &mut Layer) {
        if let Telling::Sent { notify, .. } = self.telling {
            layer.abandon(notify);
            self.telling = Telling::Quiet;
        }
    }
}

/// The seconds of a Retry-After, whose comment and parameters say nothing to a program (RFC 3261 §20.33).
fn seconds(value: &str) -> Option<Duration> {
    let end = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    value.get(..end)?.parse().ok().map(Duration::from_secs)
}
