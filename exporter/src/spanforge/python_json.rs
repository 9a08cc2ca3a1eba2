//! JSON as Python's `json` module writes it, byte for byte: checksums are made of it.
//!
//! | | here | elsewhere in this crate |
//! |---|---|---|
//! | numbers with a fraction | `1e-07`, `1e+16`, `0.0001` | `1e-7`, `1e16`, `0.0001` |
//! | separators, unless compact | `, ` and `: ` | `,` and `:` |
//! | what is not ASCII, unless compact | `\u00fc`, in two halves beyond the first plane | as it is |
//!
//! Keys are in the order of their code points where they come from a [`serde_json::Map`], as `sort_keys` has them.

use std::io;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// As `json.dumps(…, separators=(",", ":"), ensure_ascii=False)`.
pub(super) fn compact(json: &impl Serialize) -> String {
    written(json, Python { is_compact: true })
}

/// As `json.dumps(…)`.
pub(super) fn spaced(json: &impl Serialize) -> String {
    written(json, Python { is_compact: false })
}

fn written(json: &impl Serialize, form: Python) -> String {
    let mut bytes = Vec::new();
    json.serialize(&mut Serializer::with_formatter(&mut bytes, form))
        .expect("documents have keys of text, and memory takes all bytes");
    String::from_utf8(bytes).expect("of text, text is made")
}

struct Python {
    is_compact: bool,
}

impl Python {
    fn separate<W: ?Sized + io::Write>(&self, writer: &mut W, is_first: bool) -> io::Result<()> {
        match (is_first, self.is_compact) {
            (true, _) => Ok(()),
            (false, true) => writer.write_all(b","),
            (false, false) => writer.write_all(b", "),
        }
    }
}

impl Formatter for Python {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(number(value).as_bytes())
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        self.separate(writer, is_first)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        self.separate(writer, is_first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(if self.is_compact { b":" } else { b": " })
    }

    /// Text without what all JSON escapes.
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let is_escaped = |character: char| !self.is_compact && !(' '..='~').contains(&character);
        let mut rest = fragment;
        while let Some(at) = rest.find(is_escaped) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut characters = from.chars();
            let character = characters.next().unwrap_or_default();
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// A finite number as `repr` has it: the fewest digits that stand for it, with an exponent below 1e-4 and from 1e16 on.
fn number(value: f64) -> String {
    let shortest = format!("{value:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        // Rust writes all digits here, and as few.
        _ => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What CPython 3.11 says.
    #[test]
    fn numbers_are_written_as_python_writes_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (0.00328, "0.00328"),
            (0.0001, "0.0001"),
            (0.000_099_999, "9.9999e-05"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.234_567_890_123_456_8e16, "1.2345678901234568e+16"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (1e22, "1e+22"),
            (-1e100, "-1e+100"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1_795_158_297.974_081_5, "1795158297.9740815"),
        ];
        for (value, text) in cases {
            assert_eq!((compact(&value), spaced(&value)), (text.to_owned(), text.to_owned()));
            assert_eq!(text.parse(), Ok(value));
        }
    }

    #[test]
    fn both_forms_are_those_of_python() {
        let json = json!({"b": [1, 2.5, null, true], "a": {}, "ü": "é\u{1d11e}\u{7f}\n\"/\u{1}", "c": []});
        let expected =
            "{\"a\":{},\"b\":[1,2.5,null,true],\"c\":[],\"ü\":\"é\u{1d11e}\u{7f}\\n\\\"/\\u0001\"}";
        assert_eq!(compact(&json), expected);
        let expected = r#"{"a": {}, "b": [1, 2.5, null, true], "c": [], "\u00fc": "\u00e9\ud834\udd1e\u007f\n\"/\u0001"}"#;
        assert_eq!(spaced(&json), expected);
    }
}
