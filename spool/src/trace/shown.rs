//! How names, times and money are shown to a person.

use std::fmt;

/// Text from a span, which anybody may have written, on one line of a terminal: so many characters at most, and none that a terminal
/// obeys or that change the order of what stands around it.
pub(crate) struct Shown<'a> {
    pub(crate) text: &'a str,
    pub(crate) chars_max: usize,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        let mut chars = self.text.chars();
        for character in chars.by_ref().take(self.chars_max) {
            match is_harmless(character) {
                true => f.write_char(character)?,
                false => write!(f, "{}", character.escape_default())?,
            }
        }
        if chars.next().is_some() { f.write_char('…') } else { Ok(()) }
    }
}

/// False for control characters, for those that end a line or change its direction, and for those that show as nothing.
fn is_harmless(character: char) -> bool {
    let is_format = matches!(
        character,
        '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    );
    !character.is_control() && !is_format
}

/// How many there are of something.
pub(super) struct Count {
    pub(super) count: u64,
    pub(super) one: &'static str,
    pub(super) many: &'static str,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.count, if self.count == 1 { self.one } else { self.many })
    }
}

/// Nanoseconds in the unit that keeps them short.
pub(super) struct Duration(pub(super) u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ns @ ..1_000 => write!(f, "{ns} ns"),
            ns @ ..1_000_000 => write!(f, "{}.{} µs", ns / 1_000, ns / 100 % 10),
            ns @ ..1_000_000_000 => write!(f, "{}.{} ms", ns / 1_000_000, ns / 100_000 % 10),
            ns @ ..60_000_000_000 => write!(f, "{}.{} s", ns / 1_000_000_000, ns / 100_000_000 % 10),
            ns => match ns / 1_000_000_000 {
                s @ ..3_600 => write!(f, "{} min {:02} s", s / 60, s % 60),
                s => write!(f, "{} h {:02} min", s / 3_600, s / 60 % 60),
            },
        }
    }
}

/// An amount of money, with as many decimals as it takes: at least two, and four or three significant digits beyond.
pub(super) struct Money<'a> {
    pub(super) amount: f64,
    pub(super) currency: &'a str,
}

/// How many characters of a currency are shown.
const CURRENCY_CHARS_MAX: usize = 8;
/// How many decimals of an amount are shown.
const DECIMALS_MAX: usize = 12;
/// A larger amount is shown with an exponent.
const PLAIN_MAX: f64 = 1e15;

impl fmt::Display for Money<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.amount < 0.0 { "-" } else { "" };
        let amount = plain(self.amount.abs());
        match self.currency {
            "USD" => write!(f, "{sign}${amount}"),
            currency => {
                write!(f, "{sign}{amount} {}", Shown { text: currency, chars_max: CURRENCY_CHARS_MAX })
            }
        }
    }
}

fn plain(amount: f64) -> String {
    if amount > PLAIN_MAX {
        return format!("{amount:.4e}");
    }
    let mut decimals = 4;
    let mut least = 0.01;
    while amount < least && decimals < DECIMALS_MAX {
        decimals += 1;
        least /= 10.0;
    }
    let text = format!("{amount:.decimals$}");
    let point = text.len() - decimals;
    let end = text.trim_end_matches('0').len().max(point + 2);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let shown = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.0 µs"),
            (12_345, "12.3 µs"),
            (2_499_999, "2.4 ms"),
            (59_999_999_999, "59.9 s"),
            (60_000_000_000, "1 min 00 s"),
            (3_599_999_999_999, "59 min 59 s"),
            (7_380_000_000_000, "2 h 03 min"),
            (u64::MAX, "5124095 h 34 min"),
        ];
        for (ns, text) in shown {
            assert_eq!(Duration(ns).to_string(), text);
        }
    }

    #[test]
    fn money_keeps_the_digits_that_matter() {
        let shown = [
            (0.0, "$0.00"),
            (0.5, "$0.50"),
            (12.3456, "$12.3456"),
            (12.345_678, "$12.3457"),
            (0.0008, "$0.0008"),
            (0.000_012_345, "$0.0000123"),
            (1e-12, "$0.000000000001"),
            (1e-300, "$0.00"),
            (-1.5, "-$1.50"),
            (1e15, "$1000000000000000.00"),
            (f64::MAX, "$1.7977e308"),
        ];
        for (amount, text) in shown {
            assert_eq!(Money { amount, currency: "USD" }.to_string(), text);
        }
        assert_eq!(Money { amount: -0.25, currency: "EUR" }.to_string(), "-0.25 EUR");
        assert_eq!(Money { amount: 1.0, currency: "\u{1b}[31mbitcoins" }.to_string(), "1.00 \\u{1b}[31mbit…");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        let shown = |text| Shown { text, chars_max: 20 }.to_string();
        assert_eq!(shown("a\u{1b}[2J\r\n\tb\u{9b}\0"), "a\\u{1b}[2J\\r\\n\\tb\\u{9b}\\u{0}");
        assert_eq!(shown("\u{202e}drow\u{2028}"), "\\u{202e}drow\\u{2028}");
        assert_eq!(shown("日本語 ünï 👩‍💻"), "日本語 ünï 👩‍💻");
        assert_eq!(shown("12345678901234567890"), "12345678901234567890");
        assert_eq!(shown("123456789012345678901"), "12345678901234567890…");
    }
}
