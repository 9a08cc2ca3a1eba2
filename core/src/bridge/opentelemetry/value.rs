//! Attributes of the SDK, on a span, an event or a link.

use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
use serde::{Serialize, Serializer};

use crate::attribute::Attribute;
use crate::item::{Event, Link};
use crate::span::Span;

/// What attributes can be set on.
pub(super) trait Holder {
    fn one(&self, key: &str, value: impl Attribute);
    fn list<T: Serialize + ?Sized>(&self, key: &str, values: &T);
}

macro_rules! holders {
    ($($type:ty),*) => {$(
        impl Holder for $type {
            fn one(&self, key: &str, value: impl Attribute) {
                self.set_named(key, value);
            }

            fn list<T: Serialize + ?Sized>(&self, key: &str, values: &T) {
                self.set_value_named(key, values);
            }
        }
    )*};
}

holders!(Span, Event<'_>, Link<'_>);

pub(super) fn set_all(to: &impl Holder, attributes: &[KeyValue]) {
    attributes.iter().for_each(|attribute| set(to, attribute.key.as_str(), &attribute.value));
}

fn set(to: &impl Holder, key: &str, value: &Value) {
    match value {
        Value::Bool(value) => to.one(key, *value),
        Value::I64(value) => to.one(key, *value),
        Value::F64(value) => to.one(key, *value),
        Value::String(value) => to.one(key, value.as_str()),
        Value::Array(Array::Bool(values)) => to.list(key, values),
        Value::Array(Array::I64(values)) => to.list(key, values),
        Value::Array(Array::F64(values)) => to.list(key, values),
        Value::Array(Array::String(values)) => to.list(key, &Texts(values)),
        // What a later SDK may have.
        other => to.one(key, &*other.as_str()),
    }
}

/// The attributes of a scope, as a map.
pub(super) struct Pairs<'a>(pub(super) &'a InstrumentationScope);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.attributes().map(|pair| (pair.key.as_str(), One(&pair.value))))
    }
}

struct One<'a>(&'a Value);

impl Serialize for One<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Bool(value) => value.serialize(serializer),
            Value::I64(value) => value.serialize(serializer),
            Value::F64(value) => value.serialize(serializer),
            Value::Array(Array::Bool(values)) => values.serialize(serializer),
            Value::Array(Array::I64(values)) => values.serialize(serializer),
            Value::Array(Array::F64(values)) => values.serialize(serializer),
            Value::Array(Array::String(values)) => Texts(values).serialize(serializer),
            // Text, and what a later SDK may have.
            other => other.as_str().serialize(serializer),
        }
    }
}

struct Texts<'a>(&'a [StringValue]);

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(StringValue::as_str))
    }
}
