//! The attributes of a span, from which fields take what they have a place for. What is left is not lost: it goes into `attributes`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use spanring_spool::{SpanData, Value};

use super::event::DEPTH_MAX;
use super::python_json::compact;

/// On which level of a payload the values of `attributes` are, and those of `events[].metadata`. The payload is level 1.
pub(super) const OF_ATTRIBUTES: usize = 3;
pub(super) const OF_METADATA: usize = 5;

/// What was said of a span, and has not gone into a field yet. Of a key that was set twice the last value counts.
pub(super) struct Said(Map<String, Json>);

impl Said {
    pub(super) fn of(span: &SpanData) -> Self {
        Said(object(&span.attributes, OF_ATTRIBUTES))
    }

    /// Takes a value away, if it reads as one that the field holds. Else it stays.
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        self.take_if(key, |_| true)
    }

    /// Takes a value away that also fits.
    pub(super) fn take_if<T: DeserializeOwned>(&mut self, key: &str, fits: impl Fn(&T) -> bool) -> Option<T> {
        let value = serde_json::from_value(self.0.get(key)?.clone()).ok().filter(fits)?;
        self.0.remove(key);
        Some(value)
    }

    /// Takes a text away that fits.
    pub(super) fn take_text(&mut self, key: &str, fits: impl Fn(&str) -> bool) -> Option<String> {
        self.take_if(key, |text: &String| fits(text))
    }

    pub(super) fn get(&self, key: &str) -> Option<&Json> {
        self.0.get(key)
    }

    pub(super) fn set(&mut self, key: &str, value: impl Into<Json>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// What is left.
    pub(super) fn rest(self) -> Option<Map<String, Json>> {
        (!self.0.is_empty()).then_some(self.0)
    }
}

/// Pairs whose values are on this level of a payload, counted from 1.
pub(super) fn object(pairs: &[(String, Value)], level: usize) -> Map<String, Json> {
    pairs.iter().map(|(key, value)| (key.clone(), json(value, level))).collect()
}

/// JSON knows no bytes, which become Base64, and no numbers that are infinite or none, which become their names. What lies deeper than SpanForge
/// reads is JSON as text.
fn json(value: &Value, level: usize) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::I64(value) => (*value).into(),
        Value::U64(value) => (*value).into(),
        Value::F64(value) if value.is_nan() => "NaN".into(),
        Value::F64(value) if value.is_infinite() => {
            (if *value > 0.0 { "Infinity" } else { "-Infinity" }).into()
        }
        Value::F64(value) => (*value).into(),
        Value::Str(value) => value.as_str().into(),
        Value::Bytes(bytes) => STANDARD.encode(bytes).into(),
        Value::List(items) if items.is_empty() => Json::Array(Vec::new()),
        Value::Map(pairs) if pairs.is_empty() => Json::Object(Map::new()),
        // It would have its values on the level below.
        Value::List(_) | Value::Map(_) if level == DEPTH_MAX => compact(&json(value, DEPTH_MAX + 1)).into(),
        Value::List(items) => items.iter().map(|item| json(item, level + 1)).collect(),
        Value::Map(pairs) => object(pairs, level + 1).into(),
    }
}
