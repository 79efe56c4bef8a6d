//! Session timers: a session that nobody refreshes in time is over. RFC 4028, both refreshers. What refreshes it is any
//! re-INVITE or UPDATE (`change.rs`, `modify.rs`); here is what they say of the timer, and when one is due.

use std::time::Duration;

use super::{Alarm, Dialog, Phase};
use crate::endpoint::{Config, SessionTimer, SipEvent};
use crate::message::{Builder, HeaderId, Message, scan};
use crate::timers::TimerId;
use crate::transaction::{self, Draft, Layer};

/// RFC 4028 §4: no interval is shorter, and none that does not say so allows less.
pub(crate) const LEAST: u32 = 90;

/// What somebody asks for against §4 is kept as well, but not every second.
const BRISK: u32 = 20;

/// No interval is longer: 24 days, beyond which some count negative seconds.
const MOST: u32 = 2_000_000;

/// What we want of the timer, in seconds.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// 0: we ask for none, but keep what others ask for.
    expires: u32,
    min: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refresher {
    We,
    They,
}

/// What the alarm is for.
#[derive(Clone, Copy)]
enum Due {
    /// RFC 4028 §7.2: a refresh after half of the interval …
    Refresh,
    /// … and once more after three quarters.
    Again,
    /// §10: the end of the session.
    End,
}

/// The timer of a session that has one.
pub(super) struct Clock {
    interval: u32,
    refresher: Refresher,
    due: Due,
    timer: TimerId,
}

/// What both sides keep to.
#[derive(Clone, Copy)]
pub(super) struct Agreed {
    interval: u32,
    refresher: Refresher,
}

impl Agreed {
    /// Into our 2xx. RFC 4028 §9: who refreshes has to understand it.
    pub(super) fn write(self, builder: Builder) -> Builder {
        let interval = self.interval;
        match self.refresher {
            Refresher::They => builder
                .header("Require", "timer")
                .header("Session-Expires", format!("{interval};refresher=uac")),
            Refresher::We => builder.header("Session-Expires", format!("{interval};refresher=uas")),
        }
    }
}

/// The header's value: seconds, and who refreshes if it says so.
struct SessionExpires {
    seconds: u32,
    uac: Option<bool>,
}

impl Terms {
    pub(super) fn of(config: &Config, wanted: SessionTimer) -> Terms {
        let expires = match wanted {
            SessionTimer::Default => seconds(config.session_expires),
            SessionTimer::Off => 0,
            SessionTimer::Every(interval) => seconds(interval),
        };
        let min = seconds(config.min_se).max(LEAST);
        Terms {
            expires: if expires == 0 { 0 } else { expires.max(min) },
            min,
        }
    }

    /// RFC 4028 §7.3: the peer, or somebody between, refused our interval as too short. Whether it is worth another try.
    pub(super) fn raise(&mut self, response: &Message) -> bool {
        let min = min_se(response).filter(|min| *min > self.expires && *min <= MOST);
        let Some(min) = min.filter(|_| response.status() == Some(422)) else {
            return false;
        };
        (self.expires, self.min) = (min, min);
        true
    }

    /// What the first INVITE says. RFC 4028 §7.1: it leaves open who refreshes.
    pub(super) fn ask(self, draft: Draft) -> Draft {
        if self.expires == 0 {
            return draft;
        }
        self.floor(draft.header("Session-Expires", self.expires.to_string()))
    }

    fn floor(self, draft: Draft) -> Draft {
        if self.min <= LEAST {
            return draft;
        }
        draft.header("Min-SE", self.min.to_string())
    }
}

impl Dialog {
    /// What a re-INVITE or UPDATE of ours says. RFC 4028 §7.4: the refresher is named, and stays who it was.
    pub(super) fn ask_refresh(&self, draft: Draft) -> Draft {
        let Some(clock) = self.clock.as_ref().filter(|_| self.is_up()) else {
            return draft;
        };
        let refresher = match clock.refresher {
            Refresher::We => "uac",
            Refresher::They => "uas",
        };
        let value = format!(
            "{};refresher={refresher}",
            clock.interval.max(self.terms.min)
        );
        self.terms.floor(draft.header("Session-Expires", value))
    }

    /// The peer's 2xx to a request of ours. RFC 4028 §7.2: without Session-Expires the session does not expire.
    pub(super) fn take_terms(&mut self, layer: &mut Layer, response: &Message) {
        let terms = SessionExpires::of(response).map(|said| Agreed {
            interval: said.seconds,
            refresher: match said.uac {
                Some(false) => Refresher::They,
                Some(true) | None => Refresher::We,
            },
        });
        self.set_clock(layer, terms);
    }

    /// What our 2xx to a request of the peer shall say of the timer. RFC 4028 §9.
    pub(super) fn terms_for(&self, request: &Message) -> Option<Agreed> {
        let knows =
            has_timer(request, HeaderId::Supported) || has_timer(request, HeaderId::Require);
        self.agreed(request, knows)
    }

    /// RFC 4028 §9 table 2: seconds, and who refreshes.
    fn agreed(&self, request: &Message, supported: bool) -> Option<Agreed> {
        let asked = SessionExpires::of(request);
        let floor = min_se(request).unwrap_or(LEAST).min(MOST);
        let ours = self.terms.expires;
        let Some(asked) = asked else {
            // A peer that knows no timers is left in peace; one that does gets ours.
            let current = self.clock.as_ref();
            let refresher = current.map_or(Refresher::We, |clock| clock.refresher);
            return (supported && ours > 0).then(|| Agreed {
                interval: ours.max(floor),
                refresher,
            });
        };
        let refresher = match asked.uac {
            // Somebody between us wants the timer: the UAC could not keep it.
            _ if !supported => Refresher::We,
            Some(false) => Refresher::We,
            Some(true) => Refresher::They,
            None => self
                .clock
                .as_ref()
                .map_or(Refresher::They, |clock| clock.refresher),
        };
        // The interval may be lowered, not below what the request allows.
        let lowered = match ours {
            0 => asked.seconds,
            ours => asked.seconds.min(ours.max(floor)),
        };
        Some(Agreed {
            // What is said is what is kept.
            interval: lowered.clamp(BRISK, MOST),
            refresher,
        })
    }

    /// RFC 4028 §7.4: somebody refused our refresh as too often.
    pub(super) fn raise_interval(&mut self, response: &Message) -> bool {
        let Some(clock) = self
            .clock
            .as_mut()
            .filter(|_| response.status() == Some(422))
        else {
            return false;
        };
        self.terms.expires = clock.interval;
        let raised = self.terms.raise(response);
        clock.interval = self.terms.expires;
        raised
    }

    /// Starts the timer anew, or none.
    pub(super) fn set_clock(&mut self, layer: &mut Layer, terms: Option<Agreed>) {
        self.stop_clock(layer);
        let Some(Agreed {
            interval,
            refresher,
        }) = terms
        else {
            return;
        };
        let interval = interval.clamp(BRISK, MOST);
        let (due, after) = match refresher {
            Refresher::We => (Due::Refresh, interval / 2),
            // RFC 4028 §10: slightly before the session expires.
            Refresher::They => (Due::End, interval - (interval / 3).min(32)),
        };
        self.clock = Some(Clock {
            interval,
            refresher,
            due,
            timer: self.arm_clock(layer, after),
        });
    }

    fn arm_clock(&self, layer: &mut Layer, seconds: u32) -> TimerId {
        let alarm = transaction::Alarm::Dialog(self.id, Alarm::Session);
        layer.wheel.arm(Duration::from_secs(seconds.into()), alarm)
    }

    pub(super) fn stop_clock(&mut self, layer: &mut Layer) {
        if let Some(clock) = self.clock.take() {
            layer.wheel.cancel(clock.timer);
        }
    }

    pub(super) fn clock_alarm(&mut self, layer: &mut Layer) {
        let Some(mut clock) = self.clock.take() else {
            return;
        };
        let quarter = clock.interval / 4;
        clock.due = match clock.due {
            Due::Refresh => Due::Again,
            Due::Again => Due::End,
            Due::End => return self.expire(layer),
        };
        clock.timer = self.arm_clock(layer, quarter);
        self.clock = Some(clock);
        self.freshen(layer);
    }

    /// RFC 4028 §10: nobody refreshed the session.
    fn expire(&mut self, layer: &mut Layer) {
        layer.event(SipEvent::Expired { dialog: self.id });
        let reason = "SIP;cause=408;text=\"Session expired\"";
        self.hang_up(layer, Some(reason.to_owned()));
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up)
    }
}

impl SessionExpires {
    fn of(message: &Message) -> Option<SessionExpires> {
        let value = message.header(HeaderId::SessionExpires)?;
        let mut parts = value.split(';').map(str::trim);
        let seconds = scan::delta_seconds(parts.next()?)?;
        let refresher = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let named = name.trim().eq_ignore_ascii_case("refresher");
            named.then(|| value.trim().eq_ignore_ascii_case("uac"))
        });
        Some(SessionExpires {
            seconds,
            uac: refresher,
        })
    }
}

/// RFC 4028 §9: what an interval shorter than our minimum is refused with, 422. Who knows no timers could make nothing of it.
pub(crate) fn too_short(request: &Message, config: &Config) -> Option<u32> {
    let min = seconds(config.min_se).max(LEAST);
    let asked = SessionExpires::of(request)?;
    (asked.seconds < min && has_timer(request, HeaderId::Supported)).then_some(min)
}

fn has_timer(message: &Message, id: HeaderId) -> bool {
    let mut tags = message.values(id);
    tags.any(|tag| tag.eq_ignore_ascii_case("timer"))
}

fn min_se(message: &Message) -> Option<u32> {
    let value = message.header(HeaderId::MinSe)?;
    scan::delta_seconds(value.split(';').next()?.trim())
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).map_or(MOST, |seconds| seconds.min(MOST))
}
