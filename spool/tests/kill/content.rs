//! What a span holds, as a function of its index: the agent records it, and the judge expects it.

use spanring::{Kind, Span};
use spanring_spool::Value;

pub(crate) const NAMES: [&str; 5] = ["plan", "call model", "search files", "edit", "run tests"];
const KEYS: [&str; 8] = [
    "gen_ai.request.model",
    "count",
    "ratio",
    "done",
    "text",
    "raw",
    "tool.arguments",
    "gen_ai.usage.input_tokens",
];
const LARGE_LEN: usize = 100_000;

/// The attributes of the span with this index, in order.
pub(crate) fn attributes(index: u64) -> Vec<(String, Value)> {
    let count = index % 9;
    let mut attributes: Vec<_> = (0..count).map(|at| (key(index, at), value(index, at))).collect();
    if is_large(index) {
        attributes.push(("large".to_owned(), Value::Str(large(index))));
    }
    attributes
}

/// Whether the last attribute is one of 100 KB.
pub(crate) fn is_large(index: u64) -> bool {
    index % 61 == 7
}

pub(crate) fn has_event(index: u64) -> bool {
    index.is_multiple_of(5)
}

pub(crate) fn has_failed(index: u64) -> bool {
    index.is_multiple_of(6)
}

pub(crate) fn name(index: u64) -> String {
    if index % 4 == 3 { format!("step {index}") } else { static_name(index).to_owned() }
}

pub(crate) fn static_name(index: u64) -> &'static str {
    NAMES[usize::try_from(index % 5).expect("below 5")]
}

pub(crate) fn kind(index: u64) -> Kind {
    Kind::ALL[usize::try_from(index % 7).expect("below 7")]
}

fn key(index: u64, at: u64) -> String {
    // One key in nine is made at run time.
    if at == 3 { format!("key {index}") } else { KEYS[usize::try_from(at % 8).expect("below 8")].to_owned() }
}

fn value(index: u64, at: u64) -> Value {
    match (index + at) % 8 {
        0 => Value::I64(-i64::try_from(index).expect("small")),
        1 => Value::U64(index << 20),
        2 => Value::F64(index as f64 / 7.0),
        3 => Value::Bool(index.is_multiple_of(2)),
        4 => Value::Str(format!("größe {index}")),
        5 => Value::Bytes(index.to_le_bytes().repeat(3)),
        6 => Value::List(vec![
            Value::I64(i64::try_from(index).expect("small")),
            Value::Str("ü".repeat(usize::try_from(index % 40).expect("small"))),
            Value::Null,
        ]),
        _ => Value::Str("x".repeat(usize::try_from(index % 300).expect("small"))),
    }
}

fn large(index: u64) -> String {
    let line = format!("{index}: größer als ein Kilobyte; ");
    line.repeat(LARGE_LEN / line.len())
}

/// Sets one attribute through the API that fits its type.
pub(crate) fn set(span: &Span, key: &str, value: &Value) {
    let known = KEYS.iter().find(|known| **known == key);
    _ = match (value, known) {
        (Value::I64(value), Some(key)) => span.set(key, *value),
        (Value::U64(value), Some(key)) => span.set(key, *value),
        (Value::F64(value), Some(key)) => span.set(key, *value),
        (Value::Bool(value), Some(key)) => span.set(key, *value),
        (Value::Str(value), Some(key)) => span.set(key, value),
        (Value::Bytes(value), Some(key)) => span.set(key, value),
        (value, Some(key)) => span.set_value(key, value),
        (Value::I64(value), None) => span.set_named(key, *value),
        (Value::U64(value), None) => span.set_named(key, *value),
        (Value::F64(value), None) => span.set_named(key, *value),
        (Value::Bool(value), None) => span.set_named(key, *value),
        (Value::Str(value), None) => span.set_named(key, value),
        (Value::Bytes(value), None) => span.set_named(key, value),
        (value, None) => span.set_value_named(key, value),
    };
}
