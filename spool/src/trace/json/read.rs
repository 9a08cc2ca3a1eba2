//! Reading a span from JSON that anybody may have written. What is wrong is said without showing what stands there.

use std::cell::Cell;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use spanring::{Kind, SpanId, Status, TraceId};

use super::super::shown::Shown;
use super::{BYTES, DEPTH_MAX, F64, MAP, NUMBER, is_escape, is_too_deep};
use crate::{EventData, LinkData, SpanData, Value};

/// How deep lists and objects may lie within each other in the text: three for each of a value's, and those around.
const TEXT_DEPTH_MAX: usize = 3 * DEPTH_MAX + 8;
/// How many values a span may have, those within others included: as many as a block.
const ITEMS_MAX: usize = 8 << 20;

/// What is wrong with OTLP/JSON.
pub(in super::super) const OTLP: &str = "it is OTLP/JSON; a file of traces holds a span a line, as `spanring trace --save` and `Trace::save` write them";
const WHOLE_TRACE: &str = "it is a whole trace, as `--json` prints it; a file of traces holds a span a line, as `--save` writes them";
const SUMMARY: &str = "it is a summary, as `--json --summary` prints it; a file of traces holds a span a line, as `--save` writes them";

/// Reads a span from the text of one object.
pub(in super::super) fn read_span(text: &[u8]) -> Result<SpanData, String> {
    span(read_value(text)?)
}

/// Reads what an object holds, with its escapes; see [`Fields`].
pub(crate) fn read_value(text: &[u8]) -> Result<Value, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    // The depth is limited by `Plain`.
    deserializer.disable_recursion_limit();
    let items = Cell::new(ITEMS_MAX);
    let value = Plain { depth: 0, items: &items }.deserialize(&mut deserializer);
    value.and_then(|value| deserializer.end().map(|()| value)).map_err(|error| {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = error.to_string();
        format!("column {}: {}", error.column(), text.strip_suffix(&place).unwrap_or(&text))
    })
}

pub(crate) fn span(value: Value) -> Result<SpanData, String> {
    let mut fields = Fields::of(value, "the span")?;
    for (key, told) in [("resourceSpans", OTLP), ("summary", WHOLE_TRACE), ("critical_path", SUMMARY)] {
        if fields.members.iter().any(|(name, _)| name == key) {
            return Err(told.to_owned());
        }
    }
    let span = SpanData {
        trace_id: fields.required("trace_id", trace_id)?,
        span_id: fields.required("span_id", span_id)?,
        parent_id: fields.optional("parent_id", span_id)?,
        name: fields.required("name", text)?,
        kind: fields.optional("kind", kind)?.unwrap_or_default(),
        status: fields.optional("status", status)?.unwrap_or_default(),
        status_message: fields.optional("status_message", text)?.unwrap_or_default(),
        start_unix_ns: fields.required("start_unix_ns", number)?,
        end_unix_ns: fields.required("end_unix_ns", number)?,
        attributes: fields.optional("attributes", attributes)?.unwrap_or_default(),
        events: fields.optional("events", |value| list(value, event))?.unwrap_or_default(),
        links: fields.optional("links", |value| list(value, link))?.unwrap_or_default(),
        is_pending: fields.optional("is_pending", boolean)?.unwrap_or_default(),
        is_open: fields.optional("is_open", boolean)?.unwrap_or_default(),
        interrupted: fields.optional("interrupted", boolean)?.unwrap_or_default(),
        cut: fields.optional("cut", small_number)?.unwrap_or_default(),
    };
    fields.end()?;
    match is_too_deep(&span) {
        true => Err(format!("a value is nested deeper than {DEPTH_MAX} lists and maps")),
        false => Ok(span),
    }
}

fn event(value: Value) -> Result<EventData, String> {
    let mut fields = Fields::of(value, "an event")?;
    let event = EventData {
        name: fields.required("name", text)?,
        time_unix_ns: fields.required("time_unix_ns", number)?,
        attributes: fields.optional("attributes", attributes)?.unwrap_or_default(),
    };
    fields.end()?;
    Ok(event)
}

fn link(value: Value) -> Result<LinkData, String> {
    let mut fields = Fields::of(value, "a link")?;
    let link = LinkData {
        trace_id: fields.required("trace_id", trace_id)?,
        span_id: fields.required("span_id", span_id)?,
        attributes: fields.optional("attributes", attributes)?.unwrap_or_default(),
    };
    fields.end()?;
    Ok(link)
}

/// The members of an object that have not been read yet.
pub(crate) struct Fields {
    of: &'static str,
    members: Vec<(String, Value)>,
}

impl Fields {
    pub(crate) fn of(value: Value, of: &'static str) -> Result<Self, String> {
        match value {
            Value::Map(members) => Ok(Fields { of, members }),
            _ => Err(format!("{of} is no object")),
        }
    }

    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> Result<T, String> {
        self.optional(name, read)?.ok_or_else(|| format!("{} has no `{name}`", self.of))
    }

    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        let Some(at) = self.members.iter().position(|(key, _)| key == name) else { return Ok(None) };
        let (_, value) = self.members.remove(at);
        read(value).map(Some).map_err(|reason| format!("`{name}` {reason}"))
    }

    pub(crate) fn end(&self) -> Result<(), String> {
        let Some((key, _)) = self.members.first() else { return Ok(()) };
        let key = Shown { text: key, chars_max: 40 };
        Err(format!("{} has a member `{key}` that is unknown, or stands twice", self.of))
    }
}

pub(crate) fn text(value: Value) -> Result<String, String> {
    match value {
        Value::Str(text) => Ok(text),
        _ => Err("is no text".to_owned()),
    }
}

fn boolean(value: Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "is neither true nor false".to_owned())
}

/// A decimal number as text, or as a number.
pub(crate) fn number(value: Value) -> Result<u64, String> {
    let number = match &value {
        Value::Str(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        value => value.as_u64(),
    };
    number.ok_or_else(|| "is no decimal number of 64 bits".to_owned())
}

fn small_number(value: Value) -> Result<u32, String> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| "is no whole number of 32 bits".to_owned())
}

fn trace_id(value: Value) -> Result<TraceId, String> {
    value.as_str().and_then(TraceId::parse).ok_or_else(|| "is not 32 hexadecimal digits".to_owned())
}

fn span_id(value: Value) -> Result<SpanId, String> {
    value.as_str().and_then(SpanId::parse).ok_or_else(|| "is not 16 hexadecimal digits".to_owned())
}

fn kind(value: Value) -> Result<Kind, String> {
    value.as_str().and_then(Kind::from_name).ok_or_else(|| "names no kind".to_owned())
}

fn status(value: Value) -> Result<Status, String> {
    value.as_str().and_then(Status::from_name).ok_or_else(|| "names no status".to_owned())
}

fn list<T>(value: Value, read: impl Fn(Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    let Value::List(values) = value else { return Err("is no list".to_owned()) };
    let read_at = |(at, value)| read(value).map_err(|reason| format!("at {at}: {reason}"));
    values.into_iter().enumerate().map(read_at).collect()
}

pub(crate) fn attributes(value: Value) -> Result<Vec<(String, Value)>, String> {
    match value {
        Value::Map(pairs) => pairs.into_iter().map(|(key, value)| Ok((key, unescaped(value)?))).collect(),
        value => pairs(value),
    }
}

fn pairs(value: Value) -> Result<Vec<(String, Value)>, String> {
    let no_pairs = || "is no list of pairs of a text and a value".to_owned();
    let Value::List(pairs) = value else { return Err(no_pairs()) };
    let pair = |pair: Value| {
        let Value::List(parts) = pair else { return Err(no_pairs()) };
        match <[Value; 2]>::try_from(parts) {
            Ok([Value::Str(key), value]) => Ok((key, unescaped(value)?)),
            _ => Err(no_pairs()),
        }
    };
    pairs.into_iter().map(pair).collect()
}

/// The value that this one stands for. Recursive, and safe to be: nothing here is deeper than [`TEXT_DEPTH_MAX`].
fn unescaped(value: Value) -> Result<Value, String> {
    match value {
        Value::List(values) => Ok(Value::List(values.into_iter().map(unescaped).collect::<Result<_, _>>()?)),
        Value::Map(mut members) => {
            let escape = match members.first() {
                Some((key, _)) if is_escape(key) => members.remove(0),
                _ => {
                    let member = |(key, value)| Ok((key, unescaped(value)?));
                    return Ok(Value::Map(members.into_iter().map(member).collect::<Result<_, String>>()?));
                }
            };
            match members.is_empty() {
                true => unescape(&escape.0, escape.1).map_err(|reason| format!("`{}` {reason}", escape.0)),
                false => Err(format!("`{}` has members beside it", escape.0)),
            }
        }
        value => Ok(value),
    }
}

fn unescape(escape: &str, value: Value) -> Result<Value, String> {
    if escape == MAP {
        return pairs(value).map(Value::Map);
    }
    let text = text(value)?;
    let value = match escape {
        BYTES => STANDARD.decode(text).ok().map(Value::Bytes),
        F64 => match text.as_str() {
            "NaN" => Some(Value::F64(f64::NAN)),
            "Infinity" => Some(Value::F64(f64::INFINITY)),
            "-Infinity" => Some(Value::F64(f64::NEG_INFINITY)),
            bits => bits
                .strip_prefix("0x")
                .and_then(|bits| u64::from_str_radix(bits, 16).ok())
                .map(|bits| Value::F64(f64::from_bits(bits))),
        },
        _ => integer(&text),
    };
    value.ok_or_else(|| "holds nothing that belongs there".to_owned())
}

fn integer(text: &str) -> Option<Value> {
    text.parse().map(Value::I64).or_else(|_| text.parse().map(Value::U64)).ok()
}

/// JSON as it stands there: with the order of members, and with those that repeat a key.
#[derive(Clone, Copy)]
struct Plain<'a> {
    depth: usize,
    /// How many values there may still be.
    items: &'a Cell<usize>,
}

impl Plain<'_> {
    fn within<E: de::Error>(self) -> Result<Self, E> {
        match self.depth {
            TEXT_DEPTH_MAX => {
                Err(E::custom(format_args!("more than {TEXT_DEPTH_MAX} lists and objects in each other")))
            }
            depth => Ok(Plain { depth: depth + 1, ..self }),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Plain<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.items.get().checked_sub(1) {
            Some(items) => self.items.set(items),
            None => return Err(de::Error::custom(format_args!("more than {ITEMS_MAX} values"))),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Plain<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::I64(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::U64(value), Value::I64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::F64(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Str(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Str(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let within = self.within()?;
        let mut values = Vec::new();
        while let Some(value) = elements.next_element_seed(within)? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let within = self.within()?;
        let mut pairs: Vec<(String, Value)> = Vec::new();
        while let Some(key) = members.next_key()? {
            pairs.push((key, members.next_value_seed(within)?));
        }
        if let [(key, Value::Str(text))] = pairs.as_slice()
            && key == NUMBER
            && let Some(number) = integer(text).or_else(|| text.parse().ok().map(Value::F64))
        {
            return Ok(number);
        }
        Ok(Value::Map(pairs))
    }
}
