//! Whether a party is still there: what sends no audio is asked, and what does not answer has vanished.
//!
//! The media plane tells a silence at every half of its timeout. The first half asks, the next one judges: a phone that
//! vanishes is gone within the timeout, one that is only mute answers and stays.

use super::{Call, LegState, end, talk};
use crate::cause::{self, Verdict};
use crate::office::Office;
use std::time::Duration;

/// Neither RTP nor RTCP came on leg `index` for `for_ms`.
pub(crate) fn silent(office: &mut Office, call: &mut Call, index: usize, for_ms: u64) {
    let now = office.now;
    let leg = call.legs.get_mut(index);
    let Some(leg) = leg.filter(|leg| leg.state == LegState::Up) else {
        return;
    };
    let Some(dialog) = leg.dialog else { return };
    // What was asked in an earlier silence was answered by the sound that came after it.
    let silence = Duration::from_millis(for_ms);
    let in_vain = leg.asked.is_some_and(|at| now.duration_since(at) < silence);
    if in_vain {
        let why = format!("sent no audio for {} s and did not answer", for_ms / 1_000);
        return vanished(office, call, index, why);
    }
    leg.asked = Some(now);
    office.sip.probe(now, dialog);
}

/// The RTP port of leg `index` could not be opened: whoever holds it is left with it for a while.
pub(crate) fn unbound(office: &mut Office, call: &mut Call, index: usize) {
    let why = "its RTP port could not be opened";
    if let Some(leg) = call.legs.get_mut(index) {
        leg.diagnosis = Some(why.to_owned());
        if let Some(port) = leg.port.take() {
            office.ports.hold(office.now, port);
        }
    }
    end::end(office, call, Verdict::refused(503, why));
}

/// The party of leg `index` answered what `silent` asked.
pub(crate) fn probed(office: &mut Office, call: &mut Call, index: usize, status: u16) {
    if let Some(leg) = call.legs.get_mut(index) {
        leg.asked = None;
    }
    // RFC 3261 §12.2.1.2: its side of the dialog is gone, or what stands before it cannot reach it.
    if matches!(status, 408 | 481) {
        let why = format!("sent no audio and its side says {status}");
        vanished(office, call, index, why);
    }
}

/// Leg `index` ends as if its party had hung up; `why` is said of the party.
pub(crate) fn vanished(office: &mut Office, call: &mut Call, index: usize, why: String) {
    let Some(leg) = call.legs.get_mut(index) else {
        return;
    };
    leg.diagnosis = Some(why.clone());
    if let Some(dialog) = leg.dialog {
        let reason = cause::reason(408);
        office.sip.bye(office.now, dialog, Some(reason));
    }
    let who = if index == call.subject {
        "caller"
    } else {
        "called party"
    };
    without(office, call, index, format!("the {who} {why}"));
}

/// The call goes on without leg `index`, if it can; `why` is for the record.
pub(crate) fn without(office: &mut Office, call: &mut Call, index: usize, why: String) {
    end::drop_leg(office, call, index, None);
    if index == call.subject {
        return end::end(office, call, Verdict::completed(why));
    }
    talk::party_left(office, call, index, why);
}
