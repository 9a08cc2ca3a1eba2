//! Values as they are sent.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value as Json};
use spanring_spool::Value;

/// A value. Of a key that stands twice the last value counts.
pub(super) fn value(of: &Value) -> Json {
    match of {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::I64(number) => (*number).into(),
        Value::U64(number) => (*number).into(),
        Value::F64(number) => float(*number),
        Value::Str(text) => text.as_str().into(),
        Value::Bytes(bytes) => BASE64_STANDARD.encode(bytes).into(),
        Value::List(values) => values.iter().map(value).collect(),
        Value::Map(pairs) => Json::Object(object(pairs)),
    }
}

pub(super) fn object(pairs: &[(String, Value)]) -> Map<String, Json> {
    pairs.iter().map(|(key, of)| (key.clone(), value(of))).collect()
}

fn float(number: f64) -> Json {
    match number {
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        number if number.is_nan() => "NaN".into(),
        number => number.into(),
    }
}
