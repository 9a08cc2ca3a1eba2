//! Values as JSON that Python's `json.dumps` writes, byte for byte. Two things it cannot write, or nobody but Python can read, and they are texts
//! here: bytes are base64, and what is no number or infinite is `NaN`, `Infinity` or `-Infinity`.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use spanring_spool::Value;

/// An object that is being written.
pub(crate) struct Object<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Object { out, is_empty: true }
    }

    /// Where the value of the next key is to be written.
    pub(crate) fn key(&mut self, key: &str) -> &mut String {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push_str(", ");
        }
        text(self.out, key);
        self.out.push_str(": ");
        self.out
    }

    pub(crate) fn end(self) {
        self.out.push('}');
    }
}

pub(crate) fn list<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        write(out, item);
    }
    out.push(']');
}

pub(crate) fn value(out: &mut String, value_of: &Value) {
    match value_of {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::I64(number) => formatted(out, number),
        Value::U64(number) => formatted(out, number),
        Value::F64(number) => float(out, *number),
        Value::Str(string) => text(out, string),
        Value::Bytes(bytes) => text(out, &BASE64_STANDARD.encode(bytes)),
        Value::List(values) => list(out, values, value),
        Value::Map(pairs) => map(out, pairs),
    }
}

/// An object, each key once: the last value at the first place.
pub(crate) fn map(out: &mut String, pairs: &[(String, Value)]) {
    let mut once: Vec<(&str, &Value)> = Vec::with_capacity(pairs.len());
    let mut places = HashMap::with_capacity(pairs.len());
    for (key, value) in pairs {
        let place = *places.entry(key.as_str()).or_insert(once.len());
        match once.get_mut(place) {
            Some(earlier) => earlier.1 = value,
            None => once.push((key, value)),
        }
    }
    let mut object = Object::begin(out);
    for (key, value_of) in once {
        value(object.key(key), value_of);
    }
    object.end();
}

pub(crate) fn text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(character),
            _ => out.push_str(&escaped(character)),
        }
    }
    out.push('"');
}

pub(crate) fn optional_text(out: &mut String, text_of: Option<&str>) {
    match text_of {
        Some(text_of) => text(out, text_of),
        None => out.push_str("null"),
    }
}

/// As [`repr`] writes it where it is finite.
pub(crate) fn float(out: &mut String, number: f64) {
    match number {
        f64::INFINITY => text(out, "Infinity"),
        f64::NEG_INFINITY => text(out, "-Infinity"),
        number if number.is_nan() => text(out, "NaN"),
        number => out.push_str(&repr(number)),
    }
}

/// A finite number as Python's `repr` has it: the fewest digits that are read as this number again, with an exponent below 1e-4 and from 1e16 on.
pub(crate) fn repr(number: f64) -> String {
    let shortest = format!("{number:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        // Rust writes all digits here, and as few.
        _ => format!("{number:?}"),
    }
}

/// A character that is no printable ASCII: as UTF-16, in two halves beyond the first plane.
pub(crate) fn escaped(character: char) -> String {
    character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

fn formatted(out: &mut String, what: impl std::fmt::Display) {
    write!(out, "{what}").expect("a string takes what is written to it");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python's `json.dumps` wrote.
    #[test]
    fn numbers_are_written_as_python_writes_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1.0 / 3.0, "0.3333333333333333"),
            (1e-4, "0.0001"),
            (9.999e-5, "9.999e-05"),
            (0.000_099_999, "9.9999e-05"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (-2.5e-10, "-2.5e-10"),
            (0.00328, "0.00328"),
            (123_456_789.125, "123456789.125"),
            (1_795_158_297.974_081_5, "1795158297.9740815"),
            (1e15, "1000000000000000.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.5e16, "1.5e+16"),
            (1.234_567_890_123_456_8e16, "1.2345678901234568e+16"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (1e22, "1e+22"),
            (-1e100, "-1e+100"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ];
        for (number, text) in cases {
            assert_eq!(json_of(&Value::F64(number)), text);
            assert!(!number.is_finite() || text.parse() == Ok(number), "{text}");
        }
        let integers = [Value::I64(i64::MIN), Value::U64(u64::MAX)].map(|value| json_of(&value));
        assert_eq!(integers, ["-9223372036854775808", "18446744073709551615"]);
    }

    /// What Python's `json.dumps` wrote.
    #[test]
    fn texts_are_written_as_python_writes_them() {
        let text = "a\"b\\c\n\r\t\u{8}\u{c}\0\u{1f}\u{7f} é € 😀 / \u{2028}";
        let written = r#""a\"b\\c\n\r\t\b\f\u0000\u001f\u007f \u00e9 \u20ac \ud83d\ude00 / \u2028""#;
        assert_eq!(json_of(&text.into()), written);
        let map =
            Value::from_iter([("a", Value::from(1)), ("b", vec![true, false].into()), ("a", Value::Null)]);
        assert_eq!(json_of(&map), r#"{"a": null, "b": [true, false]}"#);
        assert_eq!(json_of(&Value::Bytes(b"\x00\xffbytes".to_vec())), r#""AP9ieXRlcw==""#);
        let empty = Value::List(vec![Value::List(Vec::new()), Value::Map(Vec::new())]);
        assert_eq!(json_of(&empty), "[[], {}]");
    }

    fn json_of(value_of: &Value) -> String {
        let mut out = String::new();
        value(&mut out, value_of);
        out
    }
}
