//! The `Retry-After` header of HTTP: seconds, or a date. Some servers say `Retry-After-Ms` beside it, which is finer.

use std::time::{Duration, SystemTime};

/// No receiver makes us wait longer than this at once, in seconds.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(3600);

/// How long the header asks to wait from `now` on, at most an hour. A header that is neither says nothing, and a date
/// that has passed asks for no wait.
pub(super) fn wait(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    let wait = if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than fit are more than the limit.
        Duration::from_secs(header.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(header).ok()?;
        date.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(WAIT_MAX))
}

/// How long `Retry-After-Ms` asks to wait, at most an hour: milliseconds, perhaps with a fraction. A header that is no such number says
/// nothing.
pub(super) fn wait_ms(header: &str) -> Option<Duration> {
    let ms = header.trim().parse::<f64>().ok().filter(|ms| ms.is_finite() && *ms >= 0.0)?;
    Some(Duration::try_from_secs_f64(ms / 1000.0).unwrap_or(WAIT_MAX).min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_waits_of_at_most_an_hour() {
        // 1994-11-06 08:49:00, which the dates below exceed by 37 s.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_740);
        let cases = [
            ("0", Some(0)),
            (" 17 ", Some(17)),
            ("3599", Some(3599)),
            ("3600", Some(3600)),
            ("3601", Some(3600)),
            ("007", Some(7)),
            ("18446744073709551615", Some(3600)),
            ("18446744073709551616", Some(3600)),
            ("99999999999999999999999999", Some(3600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(37)),
            ("Sun Nov  6 08:49:37 1994", Some(37)),
            ("Sun, 06 Nov 1994 09:49:01 GMT", Some(3600)),
            ("Sat, 06 Nov 2094 08:49:37 GMT", Some(3600)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(3600)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 99 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("soon", None),
            ("-1", None),
            ("+5", None),
            ("1.5", None),
            ("1e3", None),
            ("5 s", None),
            ("5, 6", None),
            ("", None),
            (" ", None),
        ];
        for (header, seconds) in cases {
            assert_eq!(wait(header, now), seconds.map(Duration::from_secs), "{header:?}");
        }
    }

    #[test]
    fn milliseconds_are_waits_of_at_most_an_hour() {
        let cases = [
            ("0", Some(0.0)),
            (" 250 ", Some(0.25)),
            ("1.5", Some(0.0015)),
            ("3600000", Some(3600.0)),
            ("3600001", Some(3600.0)),
            ("1e300", Some(3600.0)),
            ("-1", None),
            ("nan", None),
            ("inf", None),
            ("soon", None),
            ("", None),
        ];
        for (header, seconds) in cases {
            assert_eq!(wait_ms(header), seconds.map(Duration::from_secs_f64), "{header:?}");
        }
    }
}
