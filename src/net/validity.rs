//! Until when a certificate is good, read from its DER. Whether it is good otherwise is rustls's business.

use time::{Date, Month, PrimitiveDateTime, Time};

/// ASN.1 tags (X.690 §8.1.2).
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// `notAfter` of a certificate, Unix milliseconds; `None` when this is no certificate.
pub(crate) fn not_after_ms(der: &[u8]) -> Option<i64> {
    // RFC 5280 §4.1: Certificate { TBSCertificate { version, serial, algorithm, issuer, validity, … }, … }
    let (certificate, _) = field(der, SEQUENCE)?;
    let (mut rest, _) = field(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    for _serial_algorithm_issuer in 0..3 {
        rest = element(rest)?.2;
    }
    let (validity, _) = field(rest, SEQUENCE)?;
    let (_, _, end) = element(validity)?;
    let (tag, text, _) = element(end)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    // RFC 5280 §4.1.2.5.1: two digits from 50 on are of the 20th century.
    let (year, rest) = match tag {
        UTC_TIME => match number(text, 0, 2)? {
            year @ 50.. => (1900 + year, 2),
            year => (2000 + year, 2),
        },
        GENERALIZED_TIME => (number(text, 0, 4)?, 4),
        _ => return None,
    };
    let part = |place: usize| number(text, rest + 2 * place, 2)?.try_into().ok();
    let month = Month::try_from(part(0)?).ok()?;
    let date = Date::from_calendar_date(year, month, part(1)?).ok()?;
    let time = Time::from_hms(part(2)?, part(3)?, part(4)?).ok()?;
    let at = PrimitiveDateTime::new(date, time).assume_utc();
    at.unix_timestamp().checked_mul(1_000)
}

fn number(text: &str, start: usize, length: usize) -> Option<i32> {
    text.get(start..start + length)?.parse().ok()
}

/// The content of the first element, which must have this tag, and what follows it.
fn field(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(der)?;
    (tag == wanted).then_some((content, rest))
}

/// Tag and content of the first element (X.690 §8.1.3: short and long lengths), and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn made(year: i32) -> Vec<u8> {
        let pair = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["pbx.example".into()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(year, 2, 28);
        params.self_signed(&pair).expect("made").der().to_vec()
    }

    /// Both ways of writing a time: until 2049 and from 2050 on.
    #[test]
    fn the_end_is_read() {
        assert_eq!(not_after_ms(&made(2030)), Some(1_898_467_200_000));
        assert_eq!(not_after_ms(&made(2055)), Some(2_687_385_600_000));
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let whole = made(2030);
        for length in 0..whole.len() {
            assert_eq!(not_after_ms(whole.get(..length).expect("a part")), None);
        }
        assert_eq!(not_after_ms(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
