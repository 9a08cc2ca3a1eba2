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
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    formatted(out, format_args!("\\u{unit:04x}"));
                }
            }
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

/// As `repr` writes it: the shortest digits that are read as this number again, and with an exponent only where it is small or large.
pub(crate) fn float(out: &mut String, number: f64) {
    if !number.is_finite() {
        let name = match number {
            f64::INFINITY => "Infinity",
            f64::NEG_INFINITY => "-Infinity",
            _ => "NaN",
        };
        return text(out, name);
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i16>().unwrap_or_default() {
        -4..16 => formatted(out, format_args!("{number:?}")),
        exponent @ ..0 => formatted(out, format_args!("{digits}e-{:02}", exponent.unsigned_abs())),
        exponent => formatted(out, format_args!("{digits}e+{exponent:02}")),
    }
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
            (1e-5, "1e-05"),
            (-2.5e-10, "-2.5e-10"),
            (123_456_789.125, "123456789.125"),
            (1e15, "1000000000000000.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.5e16, "1.5e+16"),
            (1e22, "1e+22"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ];
        for (number, text) in cases {
            assert_eq!(json_of(&Value::F64(number)), text);
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
