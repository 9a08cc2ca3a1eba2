//! Attributes and their values.

use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value};
use spanring_spool::Value;

/// How many lists and maps may lie within each other. A map within a map is three messages deeper, and
/// protobuf readers stop at 100.
const DEPTH_MAX: usize = 24;

/// Up to how many attributes a repeated key is looked for by comparing each with each.
const COMPARED_MAX: usize = 24;

/// The attributes, each key once: the last value at the first place.
pub(super) fn attributes(pairs: &[(String, Value)]) -> Vec<KeyValue> {
    key_values(pairs, 0)
}

/// Sets one attribute, in place of what was set under its key before.
pub(super) fn set(attributes: &mut Vec<KeyValue>, key: &str, value: any_value::Value) {
    let value = Some(AnyValue { value: Some(value) });
    match attributes.iter_mut().find(|attribute| attribute.key == key) {
        Some(attribute) => attribute.value = value,
        None => attributes.push(KeyValue { key: key.to_owned(), value, ..Default::default() }),
    }
}

/// The value of an attribute; `None` where there is none, and `Some(None)` for null.
pub(super) fn get<'a>(attributes: &'a [KeyValue], key: &str) -> Option<Option<&'a any_value::Value>> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(attribute.value.as_ref().and_then(|value| value.value.as_ref()))
}

/// Takes an attribute out, of which `read` makes something. If it does not, the attribute stays.
pub(super) fn take<T>(
    attributes: &mut Vec<KeyValue>,
    key: &str,
    read: impl FnOnce(&any_value::Value) -> Option<T>,
) -> Option<T> {
    let place = attributes.iter().position(|attribute| attribute.key == key)?;
    let taken = read(attributes[place].value.as_ref()?.value.as_ref()?)?;
    attributes.remove(place);
    Some(taken)
}

/// Takes out an attribute that is a text.
pub(super) fn take_text(attributes: &mut Vec<KeyValue>, key: &str) -> Option<String> {
    take(attributes, key, |value| match value {
        any_value::Value::StringValue(text) => Some(text.clone()),
        _ => None,
    })
}

/// Takes out an attribute that is a number of 32 bits.
pub(super) fn take_number(attributes: &mut Vec<KeyValue>, key: &str) -> Option<u32> {
    take(attributes, key, |value| match value {
        any_value::Value::IntValue(number) => u32::try_from(*number).ok(),
        _ => None,
    })
}

fn key_values(pairs: &[(String, Value)], depth: usize) -> Vec<KeyValue> {
    let mut key_values: Vec<KeyValue> = Vec::with_capacity(pairs.len());
    let mut places = HashMap::new();
    for (key, value) in pairs {
        let value = Some(any_value(value, depth));
        let place = if pairs.len() <= COMPARED_MAX {
            key_values.iter().position(|earlier| earlier.key == *key)
        } else {
            places.insert(key.as_str(), key_values.len()).inspect(|&place| {
                places.insert(key, place);
            })
        };
        match place {
            Some(place) => key_values[place].value = value,
            None => key_values.push(KeyValue { key: key.clone(), value, ..Default::default() }),
        }
    }
    key_values
}

fn any_value(value: &Value, depth: usize) -> AnyValue {
    let value = match value {
        Value::Null => None,
        Value::Bool(value) => Some(any_value::Value::BoolValue(*value)),
        Value::I64(value) => Some(any_value::Value::IntValue(*value)),
        Value::U64(value) => Some(match i64::try_from(*value) {
            Ok(value) => any_value::Value::IntValue(value),
            Err(_) => any_value::Value::StringValue(value.to_string()),
        }),
        Value::F64(value) => Some(any_value::Value::DoubleValue(*value)),
        Value::Str(value) => Some(any_value::Value::StringValue(value.clone())),
        Value::Bytes(value) => Some(any_value::Value::BytesValue(value.clone())),
        Value::List(_) | Value::Map(_) if depth == DEPTH_MAX => {
            // A value with text keys is written to memory without errors.
            Some(any_value::Value::StringValue(serde_json::to_string(value).unwrap_or_default()))
        }
        Value::List(values) => Some(any_value::Value::ArrayValue(ArrayValue {
            values: values.iter().map(|value| any_value(value, depth + 1)).collect(),
        })),
        Value::Map(pairs) => {
            Some(any_value::Value::KvlistValue(KeyValueList { values: key_values(pairs, depth + 1) }))
        }
    };
    AnyValue { value }
}
