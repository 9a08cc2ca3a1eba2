//! Moments as the five systems write them, in UTC.

/// Nanoseconds since the Unix epoch, of `2026-11-20T07:02:57.051739` and whatever says behind it that this is UTC.
pub(crate) fn unix_ns(text: &str) -> u64 {
    let (whole, rest) = text.split_at(19);
    let part = |from: usize, to: usize| whole[from..to].parse::<u64>().unwrap();
    let zone = rest.trim_start_matches(|character: char| character == '.' || character.is_ascii_digit());
    assert!(["", "Z", "+00:00", "+00:00Z"].contains(&zone), "{text} is not UTC");
    let fraction = rest[..rest.len() - zone.len()].trim_start_matches('.');
    let ns = format!("{fraction:0<9}").parse::<u64>().unwrap();
    let days = days_before(part(0, 4), part(5, 7)) + part(8, 10) - 1;
    let seconds = ((days * 24 + part(11, 13)) * 60 + part(14, 16)) * 60 + part(17, 19);
    seconds * 1_000_000_000 + ns
}

/// `2026-11-20T07:02:57.051739`, with microseconds unless they are none, as Python's `isoformat` has it.
pub(crate) fn isoformat(unix_ns: u64) -> String {
    let (seconds, micros) = (unix_ns / 1_000_000_000, unix_ns / 1_000 % 1_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let year = (1970..).take_while(|&year| days_before(year, 1) <= days).last().unwrap();
    let month = (1..=12).take_while(|&month| days_before(year, month) <= days).last().unwrap();
    let day = days - days_before(year, month) + 1;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}")
}

/// How many days there are between the epoch and a month.
fn days_before(year: u64, month: u64) -> u64 {
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    // The leap day of a leap year counts from March.
    let years = if month > 2 { year } else { year - 1 };
    (year - 1970) * 365 + leap_days(years) - leap_days(1969) + BEFORE[usize::try_from(month - 1).unwrap()]
}

/// Nanoseconds of seconds: exactly those that the shortest decimal says, of which a floating-point number holds about seven.
pub(crate) fn ns_of_seconds(seconds: f64) -> u64 {
    let text = seconds.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}{fraction:0<9}").parse().unwrap()
}

#[test]
fn moments_are_read_and_written_exactly() {
    let cases = [
        ("1970-01-01T00:00:00", 0),
        ("2000-02-29T23:59:59.000001", 951_868_799_000_001_000),
        ("2000-03-01T00:00:00", 951_868_800_000_000_000),
        ("2026-11-20T07:02:57.051739", 1_795_158_177_051_739_000),
        ("2100-12-31T00:00:00.999999", 4_133_894_400_999_999_000),
    ];
    for (text, ns) in cases {
        assert_eq!((unix_ns(text), isoformat(ns).as_str()), (ns, text));
        assert_eq!(unix_ns(&format!("{text}+00:00Z")), ns);
    }
    assert_eq!(ns_of_seconds(1_795_158_231.950289), 1_795_158_231_950_289_000);
}
