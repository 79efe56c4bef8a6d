//! How a party leaves a call that it is in: by CANCEL, by BYE, by vanishing, or because it is shown out. What then becomes
//! of the call is in `end`, `talk` and `transfer`.

use super::{Call, LegState, end, life, talk, transfer};
use crate::cause::{Told, Verdict};
use crate::office::Office;

/// The party of leg `index` never acknowledged our answer.
pub(crate) fn lost(office: &mut Office, call: &mut Call, index: usize) {
    let up = (call.legs.get(index)).is_some_and(|leg| leg.state == LegState::Up);
    if up {
        let why = "never acknowledged our answer";
        return life::vanished(office, call, index, why.to_owned());
    }
    // RFC 3262 §3: what was never acknowledged is early media; the endpoint has refused the call.
    end::leg_ended(office, call, index);
    let why = "the caller never acknowledged our early media";
    end::end(office, call, Verdict::refused(504, why));
}

/// RFC 4028 §10: nobody refreshed the session of leg `index`, and the endpoint hung up.
pub(crate) fn expired(office: &mut Office, call: &mut Call, index: usize) {
    let why = "let its session timer run out";
    life::vanished(office, call, index, why.to_owned());
}

/// Keeps why the party of leg `index` is leaving.
pub(crate) fn note_reason(call: &mut Call, index: usize, reason: Option<String>) {
    if let Some(leg) = call.legs.get_mut(index) {
        leg.told = Told::of_reason(reason.as_deref());
    }
}

/// The caller gave up.
pub(crate) fn cancelled(office: &mut Office, call: &mut Call, index: usize) {
    end::leg_ended(office, call, index);
    let told = call.legs.get(index).map(|leg| leg.told).unwrap_or_default();
    let verdict = Verdict::refused(487, "cancelled by the caller").with(told);
    end::end(office, call, verdict);
}

/// The party of leg `index` hung up.
pub(crate) fn left(office: &mut Office, call: &mut Call, index: usize) {
    end::leg_ended(office, call, index);
    if transfer::waited(office, call, index) {
        return;
    }
    if call.journey.has_turned() && call.is_up() {
        return transfer::party_left(office, call, index);
    }
    if index == call.subject {
        let told = call.subject().map(|leg| leg.told).unwrap_or_default();
        let verdict = if call.is_up() {
            Verdict::completed("hung up by the caller")
        } else {
            Verdict::refused(487, "hung up by the caller before the answer")
        };
        return end::end(office, call, verdict.with(told));
    }
    talk::party_left(office, call, index, "hung up by the called party".into());
}

pub(crate) fn stopped(office: &mut Office, call: &mut Call) {
    #[cfg(debug_assertions)]
    forced(office, call);
    let verdict = if call.is_up() {
        Verdict::completed("the PBX stopped")
    } else {
        Verdict::refused(503, "the PBX stopped")
    };
    end::end(office, call, verdict);
}

/// See [`Switch::panic_on`].
#[cfg(debug_assertions)]
pub(crate) fn forced(office: &Office, call: &Call) {
    let number = office.panic_on.as_deref();
    assert!(
        number.is_none_or(|n| call.dialed == n || !call.dialed.starts_with(n)),
        "forced by the administrator"
    );
}

pub(crate) fn hang_up(office: &mut Office, call: &mut Call) {
    #[cfg(debug_assertions)]
    forced(office, call);
    let verdict = if call.is_up() {
        Verdict::completed("hung up by the administrator")
    } else {
        Verdict::refused(480, "hung up by the administrator")
    };
    end::end(office, call, verdict);
}
