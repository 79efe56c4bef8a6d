//! One table of causes: SIP status ↔ Q.850 ↔ the words of records and scripts. Reading a peer's Reason, writing ours.

use crate::verb::DialStatus;
use directory::Ending;
use sip::{HeaderId, Message};

/// The phone that did not answer shows no missed call (RFC 3326 §2).
pub(crate) const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// Most values of Reason headers that are read.
const MAX_REASONS: usize = 8;
/// A peer's Retry-After is believed up to an hour.
const MAX_RETRY_S: u32 = 3_600;

/// How a call ended, towards its caller: record, SIP status and log derive from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) ending: Ending,
    /// The final SIP status of the caller's leg; 200 when it was answered.
    pub(crate) sip_code: u16,
    /// In words, for the record.
    pub(crate) why: String,
    pub(crate) told: Told,
}

/// What a peer told beside its status: numbers only, for its words may name its own network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Its Q.850 cause.
    pub(crate) q850: Option<u8>,
    /// Its SIP cause (a CANCEL's 200: completed elsewhere).
    pub(crate) sip: Option<u16>,
    /// When to come back, seconds.
    pub(crate) retry_after: Option<u32>,
    /// The code of its Warning (RFC 3261 §20.43).
    pub(crate) warning: Option<u16>,
}

impl Verdict {
    /// The verdict on a call refused with `sip_code`.
    pub(crate) fn refused(sip_code: u16, why: impl Into<String>) -> Self {
        Self {
            ending: ending_of(sip_code),
            sip_code,
            why: why.into(),
            told: Told::default(),
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
            told: Told::default(),
        }
    }

    /// The same, with what the peer told of it.
    pub(crate) fn with(mut self, told: Told) -> Self {
        self.told = told;
        if let Some(cause) = told.q850.filter(|cause| *cause != 16) {
            self.why = format!("{} (Q.850 {cause}: {})", self.why, words(cause));
        }
        if let Some(warning) = told.warning {
            self.why = format!("{} (warning {warning}: {})", self.why, warned(warning));
        }
        self
    }

    /// The headers of the final answer that says so to the caller.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let code = self.sip_code;
        // RFC 6432: a response has the Q.850 cause; its SIP one is the status itself.
        let cause = self.told.q850.unwrap_or_else(|| q850_of(code));
        let mut headers = vec![("Reason", q850(cause))];
        // RFC 3261 §20.33. A provider's 503 is not passed on: a phone would call nobody at all until then (§21.5.4).
        if let Some(seconds) = self.told.retry_after
            && matches!(code, 404 | 480 | 486 | 600 | 603)
        {
            headers.push(("Retry-After", seconds.to_string()));
        }
        if matches!(code, 488 | 606) {
            let warning = self.told.warning.unwrap_or(305);
            let text = format!("{warning} offhook \"{}\"", warned(warning));
            headers.push(("Warning", text));
        }
        headers
    }
}

impl Told {
    /// Of a phone that was not there to be rung (Q.850 20).
    pub(crate) fn absent() -> Told {
        Told {
            q850: Some(20),
            ..Told::default()
        }
    }

    /// What a BYE, a CANCEL or a final answer tells.
    pub(crate) fn of(message: &Message) -> Told {
        let mut told = message
            .headers(HeaderId::Reason)
            .take(MAX_REASONS)
            .fold(Told::default(), |told, value| told.and(&value));
        told.retry_after = message
            .header(HeaderId::RetryAfter)
            .as_deref()
            .map(|value| value.split([';', '(', ' ']).next().unwrap_or_default())
            .and_then(|seconds| seconds.parse().ok())
            .map(|seconds: u32| seconds.min(MAX_RETRY_S));
        told.warning = message
            .header(HeaderId::Warning)
            .as_deref()
            .and_then(|value| value.get(..3)?.parse().ok())
            .filter(|code| (300..=399).contains(code));
        told
    }

    /// The same of the values of Reason headers alone.
    pub(crate) fn of_reason(value: Option<&str>) -> Told {
        Told::default().and(value.unwrap_or_default())
    }

    /// RFC 3326 §2: `protocol;cause=number;text="words"`, several with commas between.
    fn and(mut self, value: &str) -> Told {
        for reason in values(value).take(MAX_REASONS) {
            let mut parts = reason.split(';').map(str::trim);
            let protocol = parts.next().unwrap_or_default();
            let cause = parts.find_map(|part| {
                let (name, number) = part.split_once('=')?;
                name.trim().eq_ignore_ascii_case("cause").then_some(number)
            });
            let cause: Option<u16> = cause.and_then(|cause| cause.trim().parse().ok());
            if protocol.eq_ignore_ascii_case("Q.850") {
                let cause = cause.and_then(|cause| u8::try_from(cause).ok());
                self.q850 = self
                    .q850
                    .or(cause.filter(|cause| (1..=127).contains(cause)));
            } else if protocol.eq_ignore_ascii_case("SIP") {
                self.sip = self.sip.or(cause.filter(|c| (100..=699).contains(c)));
            }
        }
        self
    }

    /// The Reason of our CANCEL when the peer's said this; none when it said nothing.
    pub(crate) fn reason(&self) -> Option<String> {
        let sip = self.sip.map(|code| match code {
            200 => ELSEWHERE.to_owned(),
            code => sip_reason(code),
        });
        let q850 = self.q850.map(q850);
        match (sip, q850) {
            (Some(sip), Some(q850)) => Some(format!("{sip}, {q850}")),
            (sip, q850) => sip.or(q850),
        }
    }
}

/// The values of a header, apart at the commas that stand in no quotes.
fn values(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        if escaped {
            escaped = false;
        } else {
            escaped = quoted && c == '\\';
            quoted ^= c == '"';
        }
        c == ',' && !quoted
    })
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

/// How a call ended that its party refused with `code`, and with what it told beside.
pub(crate) fn ending_with(code: u16, told: Told) -> Ending {
    match (code, told.q850) {
        (480, Some(20)) => Ending::Unavailable,
        _ => ending_of(meant(code, told)),
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

/// Whether another trunk cannot help: the number itself is the trouble, or who owns it.
pub(crate) fn is_final(code: u16) -> bool {
    matches!(code, 404 | 484 | 486 | 600 | 603 | 604 | 607 | 608)
}

/// What a status means whose sender told a Q.850 cause: gateways wrap the network's own word into a general one.
pub(crate) fn meant(code: u16, told: Told) -> u16 {
    match told.q850 {
        Some(18..=20) if code == 480 => code,
        Some(cause) if matches!(code, 480 | 500..=599) => status_of_q850(cause).unwrap_or(code),
        _ => code,
    }
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

/// The Reason of a BYE that ends a call because of `code` (RFC 3326): both protocols, but for a normal end.
pub(crate) fn reason(code: u16) -> String {
    match code {
        200..=299 => q850(16),
        code => format!("{}, {}", sip_reason(code), q850(q850_of(code))),
    }
}

fn sip_reason(code: u16) -> String {
    format!("SIP;cause={code};text=\"{}\"", sip::status::reason(code))
}

/// A Reason value of one Q.850 cause.
pub(crate) fn q850(cause: u8) -> String {
    format!("Q.850;cause={cause};text=\"{}\"", words(cause))
}

/// RFC 3398 §8.2.6.1, and what came after it.
fn q850_of(code: u16) -> u8 {
    match code {
        200..=299 | 487 => 16,
        404 | 485 | 604 => 1,
        486 | 600 => 17,
        480 => 18,
        401..=403 | 407 | 433 | 603 | 607 | 608 => 21,
        410 => 22,
        482 | 483 => 25,
        484 => 28,
        502 => 38,
        405 => 63,
        488 | 606 => 65,
        406 | 415 | 501 => 79,
        408 | 504 => 102,
        413 | 414 | 416 | 420..=429 | 505 | 513 => 127,
        _ => 41,
    }
}

/// RFC 3398 §7.2.4.1. `None`: the cause says no more than the status beside it.
fn status_of_q850(cause: u8) -> Option<u16> {
    Some(match cause {
        1..=3 | 26 => 404,
        17 => 486,
        18 => 408,
        19 | 20 => 480,
        21 | 55 | 57 | 87 => 403,
        22 | 23 => 410,
        28 => 484,
        65 | 70 => 488,
        _ => return None,
    })
}

/// Q.850 §2.2's words.
fn words(cause: u8) -> &'static str {
    match cause {
        1 => "Unallocated number",
        2 => "No route to network",
        3 => "No route to destination",
        16 => "Normal call clearing",
        17 => "User busy",
        18 => "No user responding",
        19 => "No answer from user",
        20 => "Subscriber absent",
        21 => "Call rejected",
        22 => "Number changed",
        25 => "Exchange routing error",
        26 => "Non-selected user clearing",
        27 => "Destination out of order",
        28 => "Invalid number format",
        29 => "Facility rejected",
        31 => "Normal, unspecified",
        34 => "No circuit available",
        38 => "Network out of order",
        41 => "Temporary failure",
        42 => "Switching equipment congestion",
        44 => "Requested circuit not available",
        47 => "Resource unavailable",
        50 => "Facility not subscribed",
        55 | 57 | 58 => "Not allowed",
        63 => "Service or option not available",
        65 | 70 => "Bearer capability not implemented",
        79 => "Service not implemented",
        87 => "Not a member of the group",
        88 => "Incompatible destination",
        102 => "Recovery on timer expiry",
        111 => "Protocol error",
        127 => "Interworking",
        _ => "Other",
    }
}

/// RFC 3261 §20.43's words.
fn warned(code: u16) -> &'static str {
    match code {
        300 => "Incompatible network protocol",
        301 => "Incompatible network address formats",
        302 => "Incompatible transport protocol",
        303 => "Incompatible bandwidth units",
        304 => "Media type not available",
        305 => "Incompatible media format",
        306 => "Attribute not understood",
        307 => "Session description parameter not understood",
        330 => "Multicast not available",
        331 => "Unicast not available",
        370 => "Insufficient bandwidth",
        _ => "Miscellaneous warning",
    }
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

    #[test]
    fn a_reason_is_read_however_it_is_written() {
        let of = |text: &str| Told::of_reason(Some(text));
        let told = of(
            "SIP ;cause=200 ;text=\"Call, completed; elsewhere\", q.850; text=\"a\\\"b\";Cause = 17",
        );
        assert_eq!((told.sip, told.q850), (Some(200), Some(17)));
        assert_eq!(
            told.reason().expect("both"),
            format!("{ELSEWHERE}, {}", q850(17))
        );
        for bad in [
            "",
            "Q.850",
            "Q.850;cause=",
            "Q.850;cause=0",
            "Q.850;cause=300",
            "SIP;cause=99",
            ";;,,;=",
        ] {
            assert_eq!(of(bad), Told::default(), "{bad}");
        }
        assert_eq!(of("X;cause=1").reason(), None);
    }

    #[test]
    fn the_table_agrees_with_itself() {
        for code in 300..700 {
            let cause = q850_of(code);
            assert_ne!(words(cause), "Other", "{code} {cause}");
            let told = Told {
                q850: Some(cause),
                ..Told::default()
            };
            // What we say ourselves is understood by ourselves.
            assert_eq!(
                status_of(meant(code, told)),
                status_of(code),
                "{code} {cause}"
            );
        }
        let busy = Told {
            q850: Some(17),
            ..Told::default()
        };
        assert_eq!((meant(503, busy), meant(404, busy)), (486, 404));
    }
}
