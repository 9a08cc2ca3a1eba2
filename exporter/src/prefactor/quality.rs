//! Records of how good the work of an instance was, of those that its spans have.

use serde_json::{Value as Json, json};
use spanring::names;
use spanring_spool::{SpanData, Value};

use super::json::value;
use super::{Contents, Instance};

/// The bodies that record what a span says of quality, in its order. Each replaces an earlier one of the same name, and a null takes that back.
///
/// What is no record with a name has none, and neither has one in which something is [sensitive](super::Sensitive), as no encoding of that is
/// known there. Like all others they are in the `metadata` of the span.
pub fn quality(span: &SpanData, instance: &Instance, contents: &Contents) -> Vec<Json> {
    let body = |(at, record): (usize, &Value)| {
        let name = record.get("name").and_then(Value::as_str)?;
        let payload = record.get("payload").map_or(Json::Null, value);
        if contents.sensitive.is_in(names::QUALITY, &value(record)) {
            return None;
        }
        Some(json!({"name": name, "payload": payload, "idempotency_key": instance.key_of_quality(span, at)}))
    };
    span.quality().iter().enumerate().filter_map(body).collect()
}
