//! JSON as Python's `json.dumps` writes it.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use spanring_spool::Value;

/// An object that is being written.
pub(super) struct Object<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Object { out, is_empty: true }
    }

    /// Where the value of the next key is to be written.
    pub(super) fn key(&mut self, key: &str) -> &mut String {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push_str(", ");
        }
        text(self.out, key);
        self.out.push_str(": ");
        self.out
    }

    pub(super) fn end(self) {
        self.out.push('}');
    }
}

pub(super) fn list<T>(
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

pub(super) fn value(out: &mut String, value_of: &Value) {
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
pub(super) fn map(out: &mut String, pairs: &[(String, Value)]) {
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

pub(super) fn text(out: &mut String, text: &str) {
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

pub(super) fn optional_text(out: &mut String, text_of: Option<&str>) {
    match text_of {
        Some(text_of) => text(out, text_of),
        None => out.push_str("null"),
    }
}

/// As `repr` writes it: the shortest digits that are read as this number again, and with an exponent only where it is small or large.
pub(super) fn float(out: &mut String, number: f64) {
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
