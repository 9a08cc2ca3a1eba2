//! Times and sizes as people write them, on the command line and in configurations: a whole number with its unit.

use std::time::Duration;

/// Reads a time: a number with the unit `ms`, `s`, `m` or `h`.
///
/// # Errors
///
/// What a time is, or what is wrong with the number. The text is not repeated.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    let (number, unit) = parts(text);
    let ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return Err("a time is a number with the unit ms, s, m or h, as in 30s"),
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(ms));
    ms.map(Duration::from_millis).ok_or("the number is missing or too large")
}

/// Reads a size in bytes: a number above 0 with the unit `KiB`, `MiB` or `GiB`.
///
/// # Errors
///
/// What a size is, or what is wrong with the number. The text is not repeated.
pub fn size(text: &str) -> Result<u64, &'static str> {
    let (number, unit) = parts(text);
    let bytes = match unit {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("a size is a number with the unit KiB, MiB or GiB, as in 100MiB"),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(bytes));
    bytes.filter(|&bytes| bytes > 0).ok_or("the number is missing, zero or too large")
}

/// The digits that it begins with, and the rest.
fn parts(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_number_and_a_unit() {
        let ms = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(ms("30s"), Ok(30_000));
        assert_eq!(ms("250ms"), Ok(250));
        assert_eq!(ms("0s"), Ok(0));
        assert_eq!(ms("2h"), Ok(7_200_000));
        for text in
            ["30", "s", "", "-1s", "1.5s", "30 s", "30d", "99999999999999999999s", "9999999999999999999h"]
        {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_size_has_a_number_and_a_unit() {
        assert_eq!(size("100MiB"), Ok(100 << 20));
        assert_eq!(size("1KiB"), Ok(1024));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        for text in ["100", "MiB", "", "0KiB", "-1MiB", "1.5MiB", "1 MiB", "1MB", "1mib", "99999999999999GiB"]
        {
            assert!(size(text).is_err(), "{text:?}");
        }
    }
}
