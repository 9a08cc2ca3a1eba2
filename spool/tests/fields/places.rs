//! What the last column of docs/fields.md means: where something is found.

use spanring::names;
use spanring_spool::{EventData, LinkData, Resource, SpanData, Value};

/// What is read back of a call.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) span: SpanData,
    /// The span's announcement, which was read before it.
    pub(crate) announcement: SpanData,
    pub(crate) resource: Resource,
}

/// The attribute that a place begins with: the longest key, as some begin with another.
pub(crate) fn key_of(place: &str) -> Option<&'static str> {
    let is_it = |key: &&str| {
        let rest = place.strip_prefix(key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    names::ALL.iter().map(|(name, _)| *name).filter(is_it).max_by_key(|key| key.len())
}

/// Whether a place can be found in any span.
pub(crate) fn exists(place: &str) -> bool {
    let found = Found {
        span: SpanData {
            events: vec![EventData::default()],
            links: vec![LinkData::default()],
            ..SpanData::default()
        },
        announcement: SpanData::default(),
        resource: Resource::default(),
    };
    let is_attribute_of = ["Resource::attributes.", "EventData::attributes.", "LinkData::attributes."];
    key_of(place).is_some()
        || place.starts_with("Value::")
        || is_attribute_of.iter().any(|of| place.starts_with(of))
        || find(&found, place).is_some()
}

/// What is in this place.
pub(crate) fn find(found: &Found, place: &str) -> Option<Value> {
    if let Some(key) = key_of(place) {
        let value = found.span.get(key)?;
        return part(value, &place[key.len()..]);
    }
    let span = &found.span;
    let (event, link) = (span.events.last(), span.links.last());
    let (place, attribute) = match place.split_once("::attributes.") {
        Some((of, key)) => (format!("{of}::attributes"), Some(key)),
        None => (place.to_owned(), None),
    };
    let value = match &place[..] {
        "SpanData::trace_id" => span.trace_id.to_string().into(),
        "SpanData::span_id" => span.span_id.to_string().into(),
        "SpanData::parent_id" => span.parent_id.map(|id| id.to_string()).into(),
        "SpanData::name" => span.name.as_str().into(),
        "SpanData::kind" => span.kind.name().into(),
        "SpanData::status" => span.status.name().into(),
        "SpanData::status_message" => span.status_message.as_str().into(),
        "SpanData::start_unix_ns" => span.start_unix_ns.into(),
        "SpanData::end_unix_ns" => span.end_unix_ns.into(),
        "SpanData::is_pending" => span.is_pending.into(),
        "SpanData::is_open" => found.announcement.is_open.into(),
        "SpanData::attributes" => attributes(&span.attributes),
        "SpanData::events" => span.events.iter().map(|event| event.name.as_str()).collect::<Vec<_>>().into(),
        "SpanData::links" => {
            span.links.iter().map(|link| link.span_id.to_string()).collect::<Vec<_>>().into()
        }
        "EventData::name" => event?.name.as_str().into(),
        "EventData::time_unix_ns" => event?.time_unix_ns.into(),
        "EventData::attributes" => attributes(&event?.attributes),
        "LinkData::trace_id" => link?.trace_id.to_string().into(),
        "LinkData::span_id" => link?.span_id.to_string().into(),
        "LinkData::attributes" => attributes(&link?.attributes),
        "Resource::attributes" => attributes(&found.resource.attributes),
        kind => span.attributes.iter().map(|(_, value)| value).find(|value| kind_of(value) == kind)?.clone(),
    };
    match attribute {
        Some(key) => value.get(key).cloned(),
        None => Some(value),
    }
}

fn attributes(attributes: &[(String, Value)]) -> Value {
    Value::Map(attributes.to_vec())
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "Value::Null",
        Value::Bool(_) => "Value::Bool",
        Value::I64(_) => "Value::I64",
        Value::U64(_) => "Value::U64",
        Value::F64(_) => "Value::F64",
        Value::Str(_) => "Value::Str",
        Value::Bytes(_) => "Value::Bytes",
        Value::List(_) => "Value::List",
        Value::Map(_) => "Value::Map",
    }
}

/// The part of a value to which a path leads: `[]` to the last item of a list, `.key` to what a map holds.
fn part(value: &Value, path: &str) -> Option<Value> {
    if path.is_empty() {
        return Some(value.clone());
    }
    if let Some(rest) = path.strip_prefix("[]") {
        return part(value.as_list()?.last()?, rest);
    }
    let path = path.strip_prefix('.')?;
    let end = path.find(['.', '[']).unwrap_or(path.len());
    part(value.get(&path[..end])?, &path[end..])
}

/// The same with the keys of maps in order: JSON has none.
pub(crate) fn sorted(value: Value) -> Value {
    match value {
        Value::List(items) => Value::List(items.into_iter().map(sorted).collect()),
        Value::Map(pairs) => {
            let mut pairs: Vec<_> = pairs.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Map(pairs)
        }
        value => value,
    }
}
