//! Times as the API writes them.

use time::OffsetDateTime;

/// Unix milliseconds now.
pub(crate) fn now_ms() -> i64 {
    let ns = OffsetDateTime::now_utc().unix_timestamp_nanos();
    i64::try_from(ns / 1_000_000).unwrap_or(i64::MAX)
}

/// Unix milliseconds as RFC 3339 §5.6 in UTC with milliseconds, for example `2026-03-01T08:15:30.250Z`.
/// A time outside the years 0 to 9999 is written as the nearest one inside.
pub(crate) fn rfc3339(unix_ms: i64) -> String {
    const FIRST_MS: i64 = -62_167_219_200_000;
    const LAST_MS: i64 = 253_402_300_799_999;
    let ns = i128::from(unix_ms.clamp(FIRST_MS, LAST_MS)) * 1_000_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(ns)
        .expect("a time within the years 0 to 9999 can be represented");
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond()
    )
}

/// Milliseconds as seconds.
pub(crate) fn seconds(ms: i64) -> f64 {
    std::time::Duration::from_millis(ms.max(0).unsigned_abs()).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(rfc3339(1_772_352_930_250), "2026-03-01T08:15:30.250Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(i64::MIN), "0000-01-01T00:00:00.000Z");
        assert!((seconds(9800) - 9.8).abs() < f64::EPSILON);
    }
}
