//! Moments as the SDK writes them.

/// `2026-11-20T07:03:59.583705+00:00`, with microseconds unless they are none, as Python's `isoformat` has it.
pub(super) fn isoformat(unix_ns: u64) -> String {
    let (seconds, micros) = (unix_ns / 1_000_000_000, unix_ns / 1_000 % 1_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that a leap day is the last of its year, and eras of 400 years in year 0.
    let (era, day) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) =
        if month < 10 { (era * 400 + year, month + 3) } else { (era * 400 + year + 1, month - 9) };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}+00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_the_form_of_pythons() {
        let cases = [
            (0, "1970-01-01T00:00:00+00:00"),
            (999, "1970-01-01T00:00:00+00:00"),
            (951_868_799_000_001_999, "2000-02-29T23:59:59.000001+00:00"),
            (951_868_800_000_000_000, "2000-03-01T00:00:00+00:00"),
            (1_795_158_177_051_739_000, "2026-11-20T07:02:57.051739+00:00"),
            (4_133_894_400_999_999_000, "2100-12-31T00:00:00.999999+00:00"),
            (u64::MAX, "2554-07-21T23:34:33.709551+00:00"),
        ];
        for (unix_ns, text) in cases {
            assert_eq!(isoformat(unix_ns), text);
        }
    }
}
