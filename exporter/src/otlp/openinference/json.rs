//! Values as JSON texts, and back, where nothing is lost on the way.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use spanring_spool::Value;

/// A number that is read as a double and is larger may have been an integer whose last digits a double does not hold.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The JSON of a value, if that can be told from any other value's.
pub(super) fn text(value: &Value) -> Option<String> {
    is_exact(value).then(|| serde_json::to_string(value).ok())?
}

/// Whether JSON has such values.
pub(super) fn is_exact(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::I64(_) | Value::U64(_) | Value::Str(_) => true,
        Value::F64(number) => number.is_finite(),
        Value::Bytes(_) => false,
        Value::List(values) => values.iter().all(is_exact),
        Value::Map(pairs) => pairs.iter().all(|(_, value)| is_exact(value)),
    }
}

/// Whether a text is the JSON of an object or a list.
pub(super) fn is_structure(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The list that a value is, or the JSON of.
pub(super) fn list(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::List(values) => Some(values.clone()),
        Value::Str(text) if text.trim_start().starts_with('[') => {
            match serde_json::from_str::<Parsed>(text) {
                Ok(Parsed(Value::List(values))) => Some(values),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A value as it was in JSON, its keys in their order.
struct Parsed(Value);

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor).map(Parsed)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::I64(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::U64(value), Value::I64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        if value.abs() < EXACT_MAX { Ok(Value::F64(value)) } else { Err(E::custom("too large to be exact")) }
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Str(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Parsed(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some((key, Parsed(value))) = entries.next_entry()? {
            pairs.push((key, value));
        }
        Ok(Value::Map(pairs))
    }
}
