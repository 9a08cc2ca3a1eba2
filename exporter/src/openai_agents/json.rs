//! Values as JSON has them.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use spanring_spool::Value;

use super::object::Object;

/// The document on one line, without spaces.
pub fn to_json(document: &Value) -> String {
    // Writing to memory cannot fail, and every key is text.
    serde_json::to_string(document).unwrap_or_default()
}

/// How long a value or a key is as JSON, in bytes.
pub(super) fn json_len(value: &(impl Serialize + ?Sized)) -> usize {
    let mut counter = Counter(0);
    // Counting cannot fail either.
    serde_json::to_writer(&mut counter, value).map_or(usize::MAX, |()| counter.0)
}

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The value as JSON can say it: without NaN and infinities, bytes as base64, each key of a map once.
pub(super) fn plain(value: &Value) -> Option<Value> {
    Some(match value {
        Value::F64(number) if !number.is_finite() => return None,
        Value::Bytes(bytes) => Value::Str(STANDARD.encode(bytes)),
        Value::List(values) => Value::List(values.iter().filter_map(plain).collect()),
        Value::Map(pairs) => plain_pairs(pairs).into(),
        other => other.clone(),
    })
}

/// The same of pairs.
pub(super) fn plain_pairs(pairs: &[(String, Value)]) -> Object {
    let pairs = pairs.iter().filter_map(|(key, value)| Some((key.clone(), plain(value)?)));
    Object::default().and(pairs)
}

/// The value as text: text is itself, all else its JSON.
pub(super) fn to_text(value: Value) -> String {
    match value {
        Value::Str(text) => text,
        value => to_json(&value),
    }
}
