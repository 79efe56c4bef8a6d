//! One table of causes: SIP status ↔ Q.850 ↔ the words of records and scripts.

use crate::verb::DialStatus;
use directory::Ending;

/// How a call ended, towards its caller: record, SIP status and log derive from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) ending: Ending,
    /// The final SIP status of the caller's leg; 200 when it was answered.
    pub(crate) sip_code: u16,
    /// In words, for the record.
    pub(crate) why: String,
}

impl Verdict {
    /// The verdict on a call refused with `sip_code`.
    pub(crate) fn refused(sip_code: u16, why: impl Into<String>) -> Self {
        Self {
            ending: ending_of(sip_code),
            sip_code,
            why: why.into(),
        }
    }

    /// The verdict of a status that says all there is to say.
    pub(crate) fn of_status(sip_code: u16) -> Self {
        Self::refused(sip_code, phrase(sip_code))
    }

    /// The verdict on a call that was answered and then hung up.
    pub(crate) fn completed(why: impl Into<String>) -> Self {
        Self {
            ending: Ending::Completed,
            sip_code: 200,
            why: why.into(),
        }
    }
}

/// A status as people know it: `486 Busy Here`.
pub(crate) fn phrase(code: u16) -> String {
    format!("{code} {}", sip::status::reason(code))
}

/// The record's word for a final status.
pub(crate) fn ending_of(code: u16) -> Ending {
    match code {
        200..=299 => Ending::Completed,
        486 | 600 => Ending::Busy,
        408 | 480 => Ending::NoAnswer,
        487 => Ending::Cancelled,
        401 | 403 | 407 | 433 | 603 | 607 | 608 => Ending::Rejected,
        404 | 410 | 484 | 604 => Ending::Unavailable,
        _ => Ending::Failed,
    }
}

/// The script's word for what became of the parties a `dial` rang.
pub(crate) fn status_of(code: u16) -> DialStatus {
    match code {
        200..=299 => DialStatus::Answered,
        486 | 600 => DialStatus::Busy,
        408 | 487 => DialStatus::NoAnswer,
        401 | 403 | 407 | 433 | 603 | 607 | 608 => DialStatus::Rejected,
        404 | 410 | 480 | 484 | 604 => DialStatus::Unavailable,
        503 => DialStatus::Congestion,
        _ => DialStatus::Failed,
    }
}

/// Whether another trunk cannot help: the number itself is the trouble.
pub(crate) fn is_final(code: u16) -> bool {
    matches!(code, 404 | 484 | 486 | 600 | 603)
}

/// The better of two final statuses to report of a fork (RFC 3261 §16.7 step 6, in the spirit of: 6xx, then what says most).
pub(crate) fn better(a: u16, b: u16) -> u16 {
    let rank = |code: u16| match code {
        0 => 9,
        600..=699 => 0,
        486 => 1,
        403 | 404 | 484 | 488 => 2,
        400..=407 | 409..=479 | 482..=499 => 3,
        480 => 4,
        408 => 5,
        503 => 6,
        _ => 7,
    };
    if rank(b) < rank(a) { b } else { a }
}

/// The Reason header value for a SIP status (RFC 3326), with the Q.850 cause where RFC 3398 §7.2.4.1 names one.
pub(crate) fn reason(code: u16) -> String {
    let q850 = match code {
        200 => 16,
        404 | 410 | 484 | 604 => 1,
        486 | 600 => 17,
        408 => 102,
        480 => 18,
        403 | 603 => 21,
        488 => 65,
        503 => 34,
        _ => 41,
    };
    format!("Q.850;cause={q850}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_beats_silence_and_decline_beats_all() {
        assert_eq!(better(408, 486), 486);
        assert_eq!(better(486, 603), 603);
        assert_eq!(better(0, 503), 503);
        assert_eq!(better(486, 480), 486);
    }
}
