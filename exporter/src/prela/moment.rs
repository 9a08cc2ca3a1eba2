//! Moments as Python's `isoformat` writes them in UTC: `2026-11-20T07:02:57.051739+00:00`.

const DAY_US: u64 = 86_400 * 1_000_000;

/// What says that a moment is in UTC.
pub(super) const ZONE: &str = "+00:00";

/// The moment, without its zone: with microseconds unless they are none.
pub(super) fn isoformat(unix_us: u64) -> String {
    let second = unix_us % DAY_US / 1_000_000;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = format!("{}T{hour:02}:{minute:02}:{second:02}", date(unix_us / 1_000_000));
    match unix_us % 1_000_000 {
        0 => {}
        us => text.push_str(&format!(".{us:06}")),
    }
    text
}

/// The opposite of [`isoformat`], of exactly what it writes, with the zone behind it or with what Prela's requests have there.
pub(super) fn parse(text: &str) -> Option<u64> {
    let moment = text.strip_suffix('Z').unwrap_or(text).strip_suffix(ZONE)?;
    let number = |from, len| moment.get(from..from + len)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let us = if moment.len() > 19 { number(20, 6)? } else { 0 };
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let unix_us = seconds * 1_000_000 + us;
    // Whatever is written otherwise, such as the 31st of February.
    (isoformat(unix_us) == moment).then_some(unix_us)
}

/// The date of a second in UTC: `2026-11-20`.
pub(crate) fn date(unix_seconds: u64) -> String {
    let days = unix_seconds / 86_400;
    // Years begin in March here, so that a leap day is the last of its year, and eras of 400 years in year 0.
    let (era, day) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) =
        if month < 10 { (era * 400 + year, month + 3) } else { (era * 400 + year + 1, month - 9) };
    format!("{year:04}-{month:02}-{day:02}")
}

/// How many days there are between the epoch and a date since then.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year) = (year / 400, year % 400);
    era * 146_097 + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1 - 719_468
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
            assert_eq!(parse(&format!("{text}+00:00")), Some(unix_us));
            assert_eq!(parse(&format!("{text}+00:00Z")), Some(unix_us));
        }
        for day in 0..200_000 {
            let unix_us = day * DAY_US;
            assert_eq!(parse(&(isoformat(unix_us) + ZONE)), Some(unix_us));
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
