//! A span as JSON, which holds all that [`SpanData`] does.
//!
//! A span is an object. What is marked with ? is left out where it is `null`, empty, `false` or 0.
//!
//! ```text
//! trace_id         32 hexadecimal digits
//! span_id          16 hexadecimal digits
//! parent_id      ? 16 hexadecimal digits
//! name             text
//! kind           ? the kind's name: "llm"; left out for "custom"
//! status         ? the status's name: "ok"; left out for "unset"
//! status_message ? text
//! start_unix_ns    a decimal number as text: JSON's numbers are floating-point numbers to many programs (JavaScript's, jq), which round
//! end_unix_ns      them above 2^53, and every time of today is above that
//! attributes     ? an object of values, in their order; where a key repeats, a list of pairs: [["key", 1], ["key", 2]]
//! events         ? a list of {"name", "time_unix_ns", "attributes"?}
//! links          ? a list of {"trace_id", "span_id", "attributes"?}
//! is_pending     ? true
//! is_open        ? true
//! interrupted    ? true
//! cut            ? a number
//! ```
//!
//! Values are what they look like, apart from what JSON has no form for:
//!
//! | value | form |
//! |---|---|
//! | null, booleans, text, lists | as in JSON |
//! | an integer up to 2^53 either way | a number without fraction or exponent: `5` |
//! | any other integer | `{"$int": "9007199254740993"}` |
//! | a finite floating-point number | a number with a fraction or an exponent: `5.0`, `1e300` |
//! | any other | `{"$f64": "NaN"}`, `{"$f64": "Infinity"}`, `{"$f64": "-Infinity"}`; the bits of a NaN that is not the usual one: `{"$f64": "0x7ff8000000000001"}` |
//! | bytes | `{"$bytes": "base64, padded"}` |
//! | a map | an object, in its order |
//! | a map that repeats a key, or has one of the keys `$int`, `$f64`, `$bytes`, `$map` | `{"$map": [["key", 1], ["key", 2]]}` |
//!
//! An integer is an integer, recorded as signed or unsigned: it is read back as signed if it fits. Nothing else changes on the way there
//! and back. Values may be nested as deep as 128 lists and maps; no spool yields any deeper than about half of that. A deeper one cannot
//! be saved, and shows as null in [`Trace::to_json`].

mod read;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};
use spanring::{Kind, Status};

use super::Trace;
use crate::{EventData, LinkData, SpanData, Value};

pub(super) use read::OTLP;
pub(super) use read::read_span;
pub(crate) use read::{Fields, attributes, number, read_value, span, text};

const INT: &str = "$int";
const F64: &str = "$f64";
const BYTES: &str = "$bytes";
const MAP: &str = "$map";
/// What serde_json makes of numbers where some crate of the program asks it for arbitrary precision: a map with this key.
const NUMBER: &str = "$serde_json::private::Number";

/// How deep lists and maps may lie within each other.
const DEPTH_MAX: usize = 128;

/// Integers up to here are numbers in JSON, above they would be rounded by programs that know floating-point numbers only.
const INT_MAX: u64 = 1 << 53;

impl Trace {
    /// All that is known about the trace as one JSON value: `trace_id`, `name`, `start_unix_ns`, `end_unix_ns`, the
    /// [summary](Self::summary), and `spans`, each in the form that [`save`](Self::save) writes. Whether attributes keep their order
    /// depends on the features of serde_json; `serde_json::to_string(&trace)` always keeps it.
    pub fn to_json(&self) -> serde_json::Value {
        // Neither a key that is no text nor a number that is none is ever written.
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl Serialize for Trace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("trace_id", &self.trace_id().to_string())?;
        members.serialize_entry("name", self.name())?;
        members.serialize_entry("start_unix_ns", &self.start_unix_ns().to_string())?;
        members.serialize_entry("end_unix_ns", &self.end_unix_ns().to_string())?;
        members.serialize_entry("summary", &self.summary())?;
        members.serialize_entry("spans", &List(self.spans()))?;
        members.end()
    }
}

/// Something in the form that stands at the head of this file.
pub(crate) struct Json<'a, T>(pub(crate) &'a T);

impl Serialize for Json<'_, SpanData> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let SpanData {
            trace_id,
            span_id,
            parent_id,
            name,
            kind,
            status,
            status_message,
            start_unix_ns,
            end_unix_ns,
            attributes,
            events,
            links,
            is_pending,
            is_open,
            interrupted,
            cut,
        } = self.0;
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("trace_id", &trace_id.to_string())?;
        members.serialize_entry("span_id", &span_id.to_string())?;
        if let Some(parent_id) = parent_id {
            members.serialize_entry("parent_id", &parent_id.to_string())?;
        }
        members.serialize_entry("name", name)?;
        if *kind != Kind::default() {
            members.serialize_entry("kind", kind.name())?;
        }
        if *status != Status::default() {
            members.serialize_entry("status", status.name())?;
        }
        if !status_message.is_empty() {
            members.serialize_entry("status_message", status_message)?;
        }
        members.serialize_entry("start_unix_ns", &start_unix_ns.to_string())?;
        members.serialize_entry("end_unix_ns", &end_unix_ns.to_string())?;
        write_attributes::<S>(&mut members, attributes)?;
        if !events.is_empty() {
            members.serialize_entry("events", &List(events))?;
        }
        if !links.is_empty() {
            members.serialize_entry("links", &List(links))?;
        }
        for (name, is_so) in [("is_pending", is_pending), ("is_open", is_open), ("interrupted", interrupted)]
        {
            if *is_so {
                members.serialize_entry(name, &true)?;
            }
        }
        if *cut > 0 {
            members.serialize_entry("cut", cut)?;
        }
        members.end()
    }
}

impl Serialize for Json<'_, EventData> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let EventData { name, time_unix_ns, attributes } = self.0;
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("name", name)?;
        members.serialize_entry("time_unix_ns", &time_unix_ns.to_string())?;
        write_attributes::<S>(&mut members, attributes)?;
        members.end()
    }
}

impl Serialize for Json<'_, LinkData> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let LinkData { trace_id, span_id, attributes } = self.0;
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("trace_id", &trace_id.to_string())?;
        members.serialize_entry("span_id", &span_id.to_string())?;
        write_attributes::<S>(&mut members, attributes)?;
        members.end()
    }
}

fn write_attributes<S: Serializer>(
    members: &mut S::SerializeMap,
    attributes: &[(String, Value)],
) -> Result<(), S::Error> {
    match attributes {
        [] => Ok(()),
        _ => members.serialize_entry("attributes", &Attributes(attributes)),
    }
}

/// Attributes, in the form that stands at the head of this file.
pub(crate) struct Attributes<'a>(pub(crate) &'a [(String, Value)]);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            pairs if repeats(pairs) => Pairs { pairs, depth: 0 }.serialize(serializer),
            pairs => Object { pairs, depth: 0 }.serialize(serializer),
        }
    }
}

/// Whether a key stands twice.
fn repeats(pairs: &[(String, Value)]) -> bool {
    let mut keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    keys.windows(2).any(|keys| keys[0] == keys[1])
}

fn is_escape(key: &str) -> bool {
    [INT, F64, BYTES, MAP, NUMBER].contains(&key)
}

/// Whether some value among these is nested deeper than can be saved.
pub(crate) fn is_too_deep(span: &SpanData) -> bool {
    let of_events = span.events.iter().map(|event| &event.attributes);
    let of_links = span.links.iter().map(|link| &link.attributes);
    of_events.chain(of_links).chain([&span.attributes]).any(|pairs| is_any_too_deep(pairs))
}

/// Whether some value of these pairs is.
pub(crate) fn is_any_too_deep(pairs: &[(String, Value)]) -> bool {
    pairs.iter().any(|(_, value)| is_deeper(value, DEPTH_MAX))
}

fn is_deeper(value: &Value, depth: usize) -> bool {
    match value {
        Value::List(_) | Value::Map(_) if depth == 0 => true,
        Value::List(values) => values.iter().any(|value| is_deeper(value, depth - 1)),
        Value::Map(pairs) => pairs.iter().any(|(_, value)| is_deeper(value, depth - 1)),
        _ => false,
    }
}

struct List<'a, T>(&'a [T]);

impl<T> Serialize for List<'_, T>
where
    for<'a> Json<'a, T>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Json))
    }
}

/// A value that lies in so many lists and maps.
struct Nested<'a> {
    value: &'a Value,
    depth: usize,
}

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let depth = self.depth + 1;
        match self.value {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::I64(value) if value.unsigned_abs() <= INT_MAX => serializer.serialize_i64(*value),
            Value::I64(value) => escaped(serializer, INT, &value.to_string()),
            Value::U64(value) if *value <= INT_MAX => serializer.serialize_u64(*value),
            Value::U64(value) => escaped(serializer, INT, &value.to_string()),
            Value::F64(value) if value.is_finite() => serializer.serialize_f64(*value),
            Value::F64(value) => escaped(serializer, F64, &no_number(*value)),
            Value::Str(value) => serializer.serialize_str(value),
            Value::Bytes(value) => escaped(serializer, BYTES, &STANDARD.encode(value)),
            Value::List(_) | Value::Map(_) if depth > DEPTH_MAX => serializer.serialize_unit(),
            Value::List(values) => serializer.collect_seq(values.iter().map(|value| Nested { value, depth })),
            Value::Map(pairs) if repeats(pairs) || pairs.iter().any(|(key, _)| is_escape(key)) => {
                escaped(serializer, MAP, &Pairs { pairs, depth })
            }
            Value::Map(pairs) => Object { pairs, depth }.serialize(serializer),
        }
    }
}

fn escaped<S: Serializer>(
    serializer: S,
    key: &str,
    value: &(impl Serialize + ?Sized),
) -> Result<S::Ok, S::Error> {
    let mut object = serializer.serialize_map(Some(1))?;
    object.serialize_entry(key, value)?;
    object.end()
}

/// The text of a floating-point number that JSON has none for.
fn no_number(value: f64) -> String {
    match value {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        value if value.to_bits() == f64::NAN.to_bits() => "NaN".to_owned(),
        value => format!("{:#018x}", value.to_bits()),
    }
}

struct Object<'a> {
    pairs: &'a [(String, Value)],
    depth: usize,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nested = |value| Nested { value, depth: self.depth };
        serializer.collect_map(self.pairs.iter().map(|(key, value)| (key, nested(value))))
    }
}

struct Pairs<'a> {
    pairs: &'a [(String, Value)],
    depth: usize,
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nested = |value| Nested { value, depth: self.depth };
        serializer.collect_seq(self.pairs.iter().map(|(key, value)| (key, nested(value))))
    }
}
