//! What has no field in a dictionary.

use std::collections::HashSet;

use spanring::{Kind, Status, System, names};
use spanring_spool::{EventData, LinkData, SpanData, Value};

use super::unplaced::Unplaced;

/// The metadata of a span that is written as one of this type: what it said itself, then all else that found no place, the message of its status
/// among it.
pub(super) fn of(
    span: &SpanData,
    type_name: &str,
    message: Option<&str>,
    mut unplaced: Unplaced<'_>,
) -> Vec<(String, Value)> {
    if span.type_name() == Some(type_name) {
        unplaced.take(names::TYPE);
    }
    let mut metadata = match unplaced.take_if(names::METADATA, |said| said.as_map().is_some()) {
        Some(Value::Map(said)) => said,
        _ => Vec::new(),
    };
    let mut taken: HashSet<String> = metadata.iter().map(|(key, _)| key.clone()).collect();
    let mut tell = |key: &str, value: Value| {
        let mut key = key.to_owned();
        while !taken.insert(key.clone()) {
            key.push('\'');
        }
        metadata.push((key, value));
    };
    unplaced.rest().for_each(|(key, value)| tell(key, value.clone()));
    if span.kind != Kind::Custom && Kind::from_name_in(System::Langchain, type_name) != Some(span.kind) {
        tell(names::KIND, span.kind.name().into());
    }
    if let Status::Cancelled | Status::TimedOut = span.status {
        tell(names::STATUS, span.status.name().into());
    }
    if let Some(message) = message.filter(|message| !message.is_empty()) {
        tell(names::STATUS_MESSAGE, message.into());
    }
    if span.interrupted {
        tell(names::INTERRUPTED, true.into());
    }
    if span.cut > 0 {
        tell(names::CUT, span.cut.into());
    }
    if !span.events.is_empty() {
        tell("spanring.events", Value::List(span.events.iter().map(event).collect()));
    }
    if !span.links.is_empty() {
        tell(names::LINKS, Value::List(span.links.iter().map(link).collect()));
    }
    metadata
}

fn event(event: &EventData) -> Value {
    Value::from_iter([
        ("name", Value::from(event.name.as_str())),
        ("time", super::seconds(event.time_unix_ns).into()),
        ("attributes", Value::Map(event.attributes.clone())),
    ])
}

fn link(link: &LinkData) -> Value {
    Value::from_iter([
        ("trace_id", Value::from(link.trace_id.to_string())),
        ("span_id", Value::from(link.span_id.to_string())),
        ("attributes", Value::Map(link.attributes.clone())),
    ])
}
