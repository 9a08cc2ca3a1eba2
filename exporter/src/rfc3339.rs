//! Moments in time as RFC 3339 writes them: `2026-11-29T02:51:57.5Z`, `2026-11-29T04:51:57+02:00`.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;
/// Days from the first of March of year 0 to the Unix epoch.
const EPOCH_DAY: u64 = 719_468;
/// Days in 400 years.
const ERA: u64 = 146_097;

/// A second of UTC, as people write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Second {
    pub(crate) year: u64,
    pub(crate) month: u64,
    pub(crate) day: u64,
    pub(crate) hour: u64,
    pub(crate) minute: u64,
    pub(crate) second: u64,
}

impl Second {
    pub(crate) fn of_unix(unix_seconds: u64) -> Self {
        let (days, second) = (unix_seconds / DAY, unix_seconds % DAY);
        // Years begin in March here, so that a leap day is the last of its year, and eras of 400 years in year 0.
        let (era, day) = ((days + EPOCH_DAY) / ERA, (days + EPOCH_DAY) % ERA);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let year = era * 400 + year;
        let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
        Second { year, month, day, hour: second / 3600, minute: second / 60 % 60, second: second % 60 }
    }

    /// The opposite; `None` for what is no second since the epoch. The last second of a minute may be its 61st.
    fn to_unix(self) -> Option<u64> {
        let Second { year, month, day, hour, minute, second } = self;
        if !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (march_year, march_month) =
            if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
        let (era, of_era) = (march_year / 400, march_year % 400);
        let days = era * ERA + of_era * 365 + of_era / 4 - of_era / 100 + (153 * march_month + 2) / 5;
        let days = (days + day.checked_sub(1)?).checked_sub(EPOCH_DAY)?;
        let unix = days * DAY + hour * 3600 + minute * 60;
        // A day that the month does not have is one of the next.
        let is_there = Second::of_unix(unix) == Second { second: 0, ..self };
        is_there.then_some(unix + second)
    }
}

/// Without a zone: `2026-11-29T02:51:57`.
impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Second { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

/// The moment that a text stands for; `None` where it is none, or lies before 1970.
pub fn parse(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    let separators = [(4, "-"), (7, "-"), (10, "Tt "), (13, ":"), (16, ":")];
    if !separators.iter().all(|&(at, any)| bytes.get(at).is_some_and(|byte| any.as_bytes().contains(byte))) {
        return None;
    }
    let second = Second {
        year: digits(text.get(0..4)?)?,
        month: digits(text.get(5..7)?)?,
        day: digits(text.get(8..10)?)?,
        hour: digits(text.get(11..13)?)?,
        minute: digits(text.get(14..16)?)?,
        second: digits(text.get(17..19)?)?,
    };
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(rest) => {
            let len = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (fraction, zone) = rest.split_at(len);
            // What is finer than a nanosecond is left out.
            (digits(&format!("{fraction:0<9}")[..9]).filter(|_| len > 0)?, zone)
        }
    };
    let unix = Duration::new(second.to_unix()?, u32::try_from(fraction).ok()?);
    let moment = UNIX_EPOCH.checked_add(unix)?;
    if zone.eq_ignore_ascii_case("z") {
        return Some(moment);
    }
    let (is_east, offset) = match zone.as_bytes().first()? {
        b'+' => (true, &zone[1..]),
        b'-' => (false, &zone[1..]),
        _ => return None,
    };
    let is_offset = |(hours, minutes): &(&str, &str)| hours.len() == 2 && minutes.len() == 2;
    let (hours, minutes) = offset.split_once(':').filter(is_offset)?;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    let offset = (hours < 24 && minutes < 60).then(|| Duration::from_secs(hours * 3600 + minutes * 60))?;
    let moment = if is_east { moment.checked_sub(offset) } else { moment.checked_add(offset) }?;
    (moment >= UNIX_EPOCH).then_some(moment)
}

/// A moment, in UTC and to the millisecond. One before 1970 is the epoch.
pub fn text(moment: SystemTime) -> String {
    let unix = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:03}Z", Second::of_unix(unix.as_secs()), unix.subsec_millis())
}

/// A moment in nanoseconds since the epoch, in UTC and to the microsecond; what is left of one is cut off.
pub(crate) fn to_micros(unix_ns: u64) -> String {
    format!("{}.{:06}Z", Second::of_unix(unix_ns / 1_000_000_000), unix_ns / 1_000 % 1_000_000)
}

/// The date of a second in UTC: `2026-11-29`.
pub(crate) fn date(unix_seconds: u64) -> String {
    let Second { year, month, day, .. } = Second::of_unix(unix_seconds);
    format!("{year:04}-{month:02}-{day:02}")
}

fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix_ms(text: &str) -> Option<u128> {
        parse(text).map(|moment| moment.duration_since(UNIX_EPOCH).unwrap().as_millis())
    }

    #[test]
    fn every_day_of_five_centuries_follows_the_one_before_it() {
        let is_leap =
            |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
        let mut unix = 0;
        for year in 1970..2470 {
            let february = if is_leap(year) { 29 } else { 28 };
            for (month, len) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
                for day in 1..=len {
                    let second = Second { year, month, day, hour: 23, minute: 59, second: 59 };
                    assert_eq!(Second::of_unix(unix + DAY - 1), second);
                    assert_eq!(second.to_unix(), Some(unix + DAY - 1));
                    unix += DAY;
                }
                let beyond = Second { year, month, day: len + 1, hour: 0, minute: 0, second: 0 };
                assert_eq!(beyond.to_unix(), None, "{beyond:?}");
            }
        }
    }

    #[test]
    fn a_moment_has_many_texts() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-29T02:51:57Z", 1_795_920_717_000),
            ("2026-11-29t02:51:57.25z", 1_795_920_717_250),
            ("2026-11-29 02:51:57.2509999999999Z", 1_795_920_717_250),
            ("2026-11-29T04:51:57+02:00", 1_795_920_717_000),
            ("2026-11-28T21:21:57-05:30", 1_795_920_717_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ] {
            assert_eq!(unix_ms(text), Some(ms), "{text}");
        }
        let moment = parse("2026-11-29T04:51:57.25+02:00").unwrap();
        assert_eq!(text(moment), "2026-11-29T02:51:57.250Z");
        assert_eq!(parse(&text(moment)), Some(moment));
    }

    #[test]
    fn a_moment_is_written_to_the_microsecond() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (999, "1970-01-01T00:00:00.000000Z"),
            (951_782_399_999_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_868_799_000_001_000, "2000-02-29T23:59:59.000001Z"),
            (951_868_800_000_000_000, "2000-03-01T00:00:00.000000Z"),
            (1_795_158_297_918_635_592, "2026-11-20T07:04:57.918635Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551Z"),
        ] {
            assert_eq!(to_micros(ns), text);
            assert_eq!(date(ns / 1_000_000_000), text[..10]);
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2026-11-29",
            "2026-11-29T02:51:57",
            "2026-11-29T02:51:57.Z",
            "2026-11-29T02:51Z",
            "2026-11-29T24:00:00Z",
            "2026-11-29T02:60:00Z",
            "2026-11-29T02:51:61Z",
            "2026-13-29T02:51:57Z",
            "2026-00-29T02:51:57Z",
            "2026-11-31T02:51:57Z",
            "2026-11-00T02:51:57Z",
            "2025-02-29T02:51:57Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "0000-01-01T00:00:00Z",
            "2026-11-29T02:51:57+0200",
            "2026-11-29T02:51:57+24:00",
            "2026-11-29T02:51:57+2:000",
            "2026-11-29T02:51:57ZZ",
            "+026-11-29T02:51:57Z",
            "2026-11-29T02:51:5éZ",
            "2026-11-29T02:51:57é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
