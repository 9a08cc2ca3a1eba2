//! OTLP/JSON: protobuf's JSON mapping, with the deviations that the OTLP specification names.
//!
//! 64-bit integers are strings, enumerations numbers, ids hexadecimal, bytes base64, NaN and the infinities the
//! strings `"NaN"`, `"Infinity"`, `"-Infinity"`. What has its default value is left out. `opentelemetry-proto` can
//! write JSON too, but writes NaN and the infinities as null, which is no double.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::ExportTraceServiceRequest;

/// The request as JSON on one line, without a line break.
pub fn to_json(request: &ExportTraceServiceRequest) -> String {
    // Writing to memory cannot fail, and every key is text.
    serde_json::to_string(&Json(request)).unwrap_or_default()
}

/// A message that is to be written as OTLP/JSON.
struct Json<'a, T>(&'a T);

/// Starts an object, since lengths matter only to formats that store them.
fn object<S: Serializer>(serializer: S) -> Result<S::SerializeMap, S::Error> {
    serializer.serialize_map(None)
}

/// The members of an object that say more than the default.
trait Members: SerializeMap {
    fn text(&mut self, key: &'static str, value: &str) -> Result<(), Self::Error> {
        if value.is_empty() { Ok(()) } else { self.serialize_entry(key, value) }
    }

    fn number(&mut self, key: &'static str, value: u32) -> Result<(), Self::Error> {
        if value == 0 { Ok(()) } else { self.serialize_entry(key, &value) }
    }

    fn id(&mut self, key: &'static str, bytes: &[u8]) -> Result<(), Self::Error> {
        if bytes.is_empty() { Ok(()) } else { self.serialize_entry(key, &Hex(bytes)) }
    }

    fn list<T>(&mut self, key: &'static str, values: &[T]) -> Result<(), Self::Error>
    where
        for<'a> Json<'a, T>: Serialize,
    {
        if values.is_empty() { Ok(()) } else { self.serialize_entry(key, &List(values)) }
    }

    fn message<T>(&mut self, key: &'static str, value: &Option<T>) -> Result<(), Self::Error>
    where
        for<'a> Json<'a, T>: Serialize,
    {
        value.as_ref().map_or(Ok(()), |value| self.serialize_entry(key, &Json(value)))
    }
}

impl<M: SerializeMap> Members for M {}

impl Serialize for Json<'_, ExportTraceServiceRequest> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = object(serializer)?;
        members.list("resourceSpans", &self.0.resource_spans)?;
        members.end()
    }
}

impl Serialize for Json<'_, ResourceSpans> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = object(serializer)?;
        members.message("resource", &self.0.resource)?;
        members.list("scopeSpans", &self.0.scope_spans)?;
        members.text("schemaUrl", &self.0.schema_url)?;
        members.end()
    }
}

impl Serialize for Json<'_, Resource> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = object(serializer)?;
        members.list("attributes", &self.0.attributes)?;
        members.number("droppedAttributesCount", self.0.dropped_attributes_count)?;
        members.end()
    }
}

impl Serialize for Json<'_, ScopeSpans> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = object(serializer)?;
        members.message("scope", &self.0.scope)?;
        members.list("spans", &self.0.spans)?;
        members.text("schemaUrl", &self.0.schema_url)?;
        members.end()
    }
}

impl Serialize for Json<'_, InstrumentationScope> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = object(serializer)?;
        members.text("name", &self.0.name)?;
        members.text("version", &self.0.version)?;
        members.list("attributes", &self.0.attributes)?;
        members.number("droppedAttributesCount", self.0.dropped_attributes_count)?;
        members.end()
    }
}

impl Serialize for Json<'_, Span> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let span = self.0;
        let mut members = object(serializer)?;
        members.id("traceId", &span.trace_id)?;
        members.id("spanId", &span.span_id)?;
        members.text("traceState", &span.trace_state)?;
        members.id("parentSpanId", &span.parent_span_id)?;
        members.number("flags", span.flags)?;
        members.text("name", &span.name)?;
        members.serialize_entry("kind", &span.kind)?;
        members.serialize_entry("startTimeUnixNano", &span.start_time_unix_nano.to_string())?;
        members.serialize_entry("endTimeUnixNano", &span.end_time_unix_nano.to_string())?;
        members.list("attributes", &span.attributes)?;
        members.number("droppedAttributesCount", span.dropped_attributes_count)?;
        members.list("events", &span.events)?;
        members.number("droppedEventsCount", span.dropped_events_count)?;
        members.list("links", &span.links)?;
        members.number("droppedLinksCount", span.dropped_links_count)?;
        members.message("status", &span.status)?;
        members.end()
    }
}

impl Serialize for Json<'_, Event> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = object(serializer)?;
        members.serialize_entry("timeUnixNano", &self.0.time_unix_nano.to_string())?;
        members.text("name", &self.0.name)?;
        members.list("attributes", &self.0.attributes)?;
        members.number("droppedAttributesCount", self.0.dropped_attributes_count)?;
        members.end()
    }
}

impl Serialize for Json<'_, Link> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let link = self.0;
        let mut members = object(serializer)?;
        members.id("traceId", &link.trace_id)?;
        members.id("spanId", &link.span_id)?;
        members.text("traceState", &link.trace_state)?;
        members.list("attributes", &link.attributes)?;
        members.number("droppedAttributesCount", link.dropped_attributes_count)?;
        members.number("flags", link.flags)?;
        members.end()
    }
}

impl Serialize for Json<'_, Status> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = object(serializer)?;
        members.text("message", &self.0.message)?;
        members.serialize_entry("code", &self.0.code)?;
        members.end()
    }
}

impl Serialize for Json<'_, KeyValue> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = object(serializer)?;
        members.serialize_entry("key", &self.0.key)?;
        members.message("value", &self.0.value)?;
        members.end()
    }
}

/// The one member that is set stays, default or not: `{"intValue":"0"}` is 0, and `{}` is nothing.
impl Serialize for Json<'_, AnyValue> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = object(serializer)?;
        match &self.0.value {
            None => {}
            Some(any_value::Value::StringValue(value)) => members.serialize_entry("stringValue", value)?,
            Some(any_value::Value::BoolValue(value)) => members.serialize_entry("boolValue", value)?,
            Some(any_value::Value::IntValue(value)) => {
                members.serialize_entry("intValue", &value.to_string())?;
            }
            Some(any_value::Value::DoubleValue(value)) => {
                members.serialize_entry("doubleValue", &Double(*value))?;
            }
            Some(any_value::Value::ArrayValue(array)) => {
                members.serialize_entry("arrayValue", &Values(&array.values))?;
            }
            Some(any_value::Value::KvlistValue(list)) => {
                members.serialize_entry("kvlistValue", &Values(&list.values))?;
            }
            Some(any_value::Value::BytesValue(bytes)) => {
                members.serialize_entry("bytesValue", &STANDARD.encode(bytes))?;
            }
            // An index into a table that only profiles have.
            Some(any_value::Value::StringValueStrindex(index)) => {
                members.serialize_entry("stringValueStrindex", index)?;
            }
        }
        members.end()
    }
}

/// `{"values":[…]}`, written out even when it is empty: some readers demand the member.
struct Values<'a, T>(&'a [T]);

impl<T> Serialize for Values<'_, T>
where
    for<'a> Json<'a, T>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = object(serializer)?;
        members.serialize_entry("values", &List(self.0))?;
        members.end()
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

struct Double(f64);

impl Serialize for Double {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_nan() => serializer.serialize_str("NaN"),
            f64::INFINITY => serializer.serialize_str("Infinity"),
            f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            value => serializer.serialize_f64(value),
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: [char; 16] =
            ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        serializer.serialize_str(&self.0.iter().flat_map(digits).collect::<String>())
    }
}
