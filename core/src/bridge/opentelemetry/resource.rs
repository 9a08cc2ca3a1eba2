//! The resource of a tracer provider.

use opentelemetry::{Array, Value};
use opentelemetry_sdk::Resource;

use crate::names;

/// What a resource says, its schema URL too, for a spool to say it too: each pair goes to `SpoolBuilder::attribute`, and `V` is what that takes.
///
/// With the SDK's default resource that includes `telemetry.sdk.*`, which then names the SDK as what has recorded.
pub fn resource_attributes<V>(resource: &Resource) -> impl Iterator<Item = (&str, V)>
where
    V: From<bool> + From<i64> + From<f64> + From<String> + From<Vec<V>>,
{
    let schema_url = resource.schema_url().filter(|url| !url.is_empty());
    let schema_url = schema_url.map(|url| (names::SCHEMA_URL, V::from(url.to_owned())));
    resource.iter().map(|(key, value)| (key.as_str(), converted(value))).chain(schema_url)
}

fn converted<V>(value: &Value) -> V
where
    V: From<bool> + From<i64> + From<f64> + From<String> + From<Vec<V>>,
{
    fn list<V: From<T> + From<Vec<V>>, T: Clone>(values: &[T]) -> V {
        V::from(values.iter().cloned().map(V::from).collect::<Vec<V>>())
    }
    match value {
        Value::Bool(value) => V::from(*value),
        Value::I64(value) => V::from(*value),
        Value::F64(value) => V::from(*value),
        Value::Array(Array::Bool(values)) => list(values),
        Value::Array(Array::I64(values)) => list(values),
        Value::Array(Array::F64(values)) => list(values),
        Value::Array(Array::String(values)) => {
            V::from(values.iter().map(|value| V::from(value.as_str().to_owned())).collect::<Vec<V>>())
        }
        // Text, and what a later SDK may have.
        other => V::from(other.as_str().into_owned()),
    }
}
