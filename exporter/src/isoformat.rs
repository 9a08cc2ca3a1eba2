//! Moments as Python's `isoformat` writes them in UTC: `2026-11-20T07:02:57.051739+00:00`.

use std::time::UNIX_EPOCH;

use crate::rfc3339::{self, Second};

/// What says that a moment is in UTC.
pub(crate) const ZONE: &str = "+00:00";

/// The moment, without its zone: with microseconds unless they are none.
pub(crate) fn isoformat(unix_us: u64) -> String {
    let second = Second::of_unix(unix_us / 1_000_000);
    match unix_us % 1_000_000 {
        0 => second.to_string(),
        us => format!("{second}.{us:06}"),
    }
}

/// The moment with its zone.
pub(crate) fn in_utc(unix_us: u64) -> String {
    isoformat(unix_us) + ZONE
}

/// The opposite of [`isoformat`], of exactly what it writes, with the zone behind it or with what Prela's requests have there.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let moment = text.strip_suffix('Z').unwrap_or(text).strip_suffix(ZONE)?;
    let unix = rfc3339::parse(&format!("{moment}Z"))?.duration_since(UNIX_EPOCH).ok()?;
    let unix_us = u64::try_from(unix.as_micros()).ok()?;
    // What is written otherwise is none.
    (isoformat(unix_us) == moment).then_some(unix_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_as_python_writes_it_and_is_read_again() {
        let cases = [
            (0, "1970-01-01T00:00:00"),
            (1, "1970-01-01T00:00:00.000001"),
            (951_868_799_000_001, "2000-02-29T23:59:59.000001"),
            (951_868_800_000_000, "2000-03-01T00:00:00"),
            (1_795_158_177_051_739, "2026-11-20T07:02:57.051739"),
            (4_133_894_400_999_999, "2100-12-31T00:00:00.999999"),
            (u64::MAX / 1000, "2554-07-21T23:34:33.709551"),
        ];
        for (unix_us, text) in cases {
            assert_eq!(isoformat(unix_us), text);
            assert_eq!(parse(&in_utc(unix_us)), Some(unix_us));
            assert_eq!(parse(&format!("{text}+00:00Z")), Some(unix_us));
        }
        for day in 0..200_000 {
            let unix_us = day * 86_400_000_000;
            assert_eq!(parse(&in_utc(unix_us)), Some(unix_us));
        }
    }

    #[test]
    fn what_is_written_otherwise_is_no_moment() {
        for text in [
            "",
            "+00:00",
            "2026-11-20",
            "2026-11-20T07:02:57",
            "2026-11-20T07:02:57Z",
            "2026-11-20T07:02:57+01:00",
            "2026-11-20 07:02:57+00:00",
            "2026-11-20T07:02:57.05+00:00",
            "2026-11-20T07:02:57.000000+00:00",
            "2026-11-20T07:02:57.0517390+00:00",
            "2026-02-29T07:02:57+00:00",
            "2026-13-01T07:02:57+00:00",
            "2026-00-10T07:02:57+00:00",
            "2026-11-20T24:00:00+00:00",
            "2026-11-20T07:60:00+00:00",
            "1969-12-31T23:59:59+00:00",
            "+026-11-20T07:02:57+00:00",
            "2026-11-20T07:02:5é+00:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
