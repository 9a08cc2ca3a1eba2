//! What OpenAI's own server wants otherwise than the SDK's types have it, done as the SDK does it before it sends.
//!
//! | of a span's data | becomes |
//! |---|---|
//! | `usage` of any type but `generation` | nothing |
//! | `usage` of a generation | `input_tokens` and `output_tokens`, and all else under `details`; nothing if one of the two is no number |
//! | in a generation's input and output: an item of type `reasoning`; `reasoning`, `reasoning_content`, `thinking_blocks`, `thinking` of an assistant's message, and parts of type `thinking` and `redacted_thinking` of its content; the same within the output of an item that is a whole `response` | nothing |
//! | `input`, `output` of more than 100,000 bytes as JSON | what [fits](shortened) |
//!
//! One thing is done here that the SDK does not do: a value of `metadata` that is no text becomes its JSON. The server refuses others, and a whole request
//! for one.

mod shorten;

use spanring_spool::Value;

use self::shorten::shortened;
use super::json::to_text;
use super::object::Object;

/// No `input` or `output` is longer as JSON, in bytes.
const FIELD_LEN_MAX: usize = 100_000;

/// What of an assistant's message is its reasoning.
const REASONING: [&str; 4] = ["reasoning", "reasoning_content", "thinking_blocks", "thinking"];

/// The item as it is sent to OpenAI.
pub fn sanitized(item: Value) -> Value {
    let Value::Map(pairs) = item else { return item };
    let pairs = pairs.into_iter().map(|(key, value)| match (key.as_str(), value) {
        ("span_data", Value::Map(pairs)) => (key, span_data(pairs).into()),
        ("metadata", Value::Map(pairs)) => (key, in_words(pairs).into()),
        (_, value) => (key, value),
    });
    Value::Map(pairs.collect())
}

fn in_words(metadata: Vec<(String, Value)>) -> Object {
    Object::default().and(metadata.into_iter().map(|(key, value)| (key, to_text(value).into())))
}

fn span_data(pairs: Vec<(String, Value)>) -> Object {
    let is_generation =
        pairs.iter().any(|(key, value)| key == "type" && value.as_str() == Some("generation"));
    let mut data = Object::default();
    for (key, value) in pairs {
        let value = match key.as_str() {
            "input" | "output" if is_generation => Some(shortened(without_reasoning(value), FIELD_LEN_MAX)),
            "input" | "output" => Some(shortened(value, FIELD_LEN_MAX)),
            "usage" if is_generation => usage(value),
            "usage" => None,
            _ => Some(value),
        };
        if let Some(value) = value {
            data.set(&key, value);
        }
    }
    data
}

/// What is no map stays: that there is no usage is null.
fn usage(usage: Value) -> Option<Value> {
    let Value::Map(pairs) = usage else { return Some(usage) };
    let usage = Object::default().and(pairs);
    let count = |key| usage.get(key).filter(|value| value.as_f64().is_some_and(f64::is_finite)).cloned();
    let counts = Object::default()
        .with("input_tokens", count("input_tokens")?)
        .with("output_tokens", count("output_tokens")?);
    let details = usage.get("details").and_then(Value::as_map).unwrap_or_default().to_vec();
    let others = usage.without(|key| matches!(key, "input_tokens" | "output_tokens" | "details"));
    let others = others.into_iter().filter(|(_, value)| !value.is_null());
    let details = Object::default().and(details).and(others);
    Some(counts.with_some("details", details.some()).into())
}

/// A generation's messages without what a model thought and did not say.
fn without_reasoning(messages: Value) -> Value {
    let Value::List(items) = messages else { return messages };
    let items = of_messages(items).into_iter().map(|item| match item {
        Value::Map(pairs) if is(&pairs, "object", "response") => {
            let pairs = pairs.into_iter().map(|(key, value)| match value {
                Value::List(items) if key == "output" => (key, Value::List(of_messages(items))),
                value => (key, value),
            });
            Value::Map(pairs.collect())
        }
        item => item,
    });
    Value::List(items.collect())
}

fn of_messages(items: Vec<Value>) -> Vec<Value> {
    let kept = items.into_iter().filter(|item| !has_type(item, &["reasoning"]));
    let kept = kept.map(|item| match item {
        Value::Map(pairs) if is(&pairs, "role", "assistant") => {
            let pairs = pairs.into_iter().filter(|(key, _)| !REASONING.contains(&key.as_str()));
            let pairs = pairs.map(|(key, value)| match value {
                Value::List(mut parts) if key == "content" => {
                    parts.retain(|part| !has_type(part, &["thinking", "redacted_thinking"]));
                    (key, Value::List(parts))
                }
                value => (key, value),
            });
            Value::Map(pairs.collect())
        }
        item => item,
    });
    kept.collect()
}

fn is(pairs: &[(String, Value)], key: &str, text: &str) -> bool {
    pairs.iter().any(|(name, value)| name == key && value.as_str() == Some(text))
}

fn has_type(item: &Value, types: &[&str]) -> bool {
    item.as_map().is_some_and(|pairs| types.iter().any(|name| is(pairs, "type", name)))
}

#[cfg(test)]
pub(crate) mod tests;
