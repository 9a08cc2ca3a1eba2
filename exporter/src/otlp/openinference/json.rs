//! Values as JSON texts, and back, where nothing is lost on the way.

use serde::de::IgnoredAny;
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
        Value::Str(text) if text.trim_start().starts_with('[') => match serde_json::from_str(text) {
            Ok(Value::List(values)) => values.iter().all(is_as_written).then_some(values),
            _ => None,
        },
        _ => None,
    }
}

/// Whether numbers that were read are those that were written.
fn is_as_written(value: &Value) -> bool {
    match value {
        Value::F64(number) => number.abs() < EXACT_MAX,
        Value::List(values) => values.iter().all(is_as_written),
        Value::Map(pairs) => pairs.iter().all(|(_, value)| is_as_written(value)),
        _ => true,
    }
}
