//! A span as an item.

use spanring::names;
use spanring_spool::{SpanData, Value};

use super::identity;
use super::json::{plain_pairs, to_text};
use super::object::Object;
use super::reading::{Reading, failed};
use super::span_data::{Form, form};
use crate::isoformat;

/// What a span shows of its trace's metadata.
const HARNESS: &str = "agent_harness_id";

/// The span as the SDK exports it; `None` for one that stands for its trace. `root` is the root of its trace, where it is known.
pub fn export_span(span: &SpanData, root: Option<&SpanData>) -> Option<Value> {
    if identity::stands_for_trace(span) {
        return None;
    }
    let mut reading = Reading::new(span);
    reading.take_identities();
    let is_root = root.is_some_and(|root| std::ptr::eq(root, span));
    if is_root {
        take_what_its_trace_says(&mut reading);
    }
    let error = error(&mut reading);
    let metadata = metadata(&mut reading, root, is_root);
    let (span_data, rest) = match form(&mut reading) {
        Form::Of(data, subject) => (data, reading.rest(&[&subject])),
        Form::Own(name) => {
            let subject = name.clone();
            let is_ours = |key: &str| key == "type" || names::ALL.iter().any(|(name, _)| *name == key);
            let own = plain_pairs(&span.attributes).without(is_ours);
            let rest = reading.rest(&[&subject]).without(|key| own.has(key));
            (Object::default().with("type", name).and(own), rest)
        }
        Form::Custom => {
            let data = reading.rest(&[&span.name]);
            let custom = Object::default().with("type", "custom").with("name", span.name.as_str());
            (custom.with("data", data), Object::default())
        }
    };
    let item = Object::default()
        .with("object", "trace.span")
        .with("id", identity::of_span(span))
        .with("trace_id", identity::of_trace(span))
        .with("parent_id", identity::of_parent(span))
        .with("started_at", isoformat::in_utc(span.start_unix_ns / 1_000))
        .with("ended_at", isoformat::in_utc(span.end_unix_ns / 1_000))
        .with("span_data", span_data)
        .with("error", error)
        .with_some("metadata", with_rest(metadata, rest).some());
    Some(item.into())
}

/// What the record of its trace shows of a root.
pub(super) fn take_what_its_trace_says(reading: &mut Reading<'_>) -> Option<Object> {
    reading.text(names::WORKFLOW_NAME);
    if reading.text(names::GROUP_ID).is_none() {
        reading.text(names::CONVERSATION_ID);
    }
    reading.map(names::METADATA)
}

/// Metadata and what has no place, which is text there: the receiver takes no other values in metadata.
pub(super) fn with_rest(mut metadata: Object, rest: Object) -> Object {
    for (key, value) in rest {
        metadata.set_beside(&key, to_text(value));
    }
    metadata
}

fn error(reading: &mut Reading<'_>) -> Option<Object> {
    let span = reading.span;
    if !failed(span) {
        return None;
    }
    let message = match span.status_message.as_str() {
        "" => span.error_type().unwrap_or(span.status.name()),
        message => message,
    };
    let data = reading.map(names::ERROR_DATA);
    let about = [
        names::ERROR_DATA,
        names::ERROR_TYPE,
        names::ERROR_STACKTRACE,
        names::ERROR_CATEGORY,
        names::ERROR_CAUSES,
    ];
    let mut more = Object::default();
    for key in about {
        if let Some(value) = reading.value(key).filter(|value| !value.is_null()) {
            more.set(key, value);
        }
    }
    let data = match data {
        Some(data) => Some(data.and(more)),
        None => more.some(),
    };
    Some(Object::default().with("message", message).with("data", data))
}

/// What the user wants to know of the span. That of a root is its trace's.
fn metadata(reading: &mut Reading<'_>, root: Option<&SpanData>, is_root: bool) -> Object {
    let own = if is_root { None } else { reading.map(names::METADATA) }.unwrap_or_default();
    if own.has(HARNESS) {
        return own;
    }
    let of_trace = root.and_then(|root| Some(plain_pairs(root.metadata()?.as_map()?)));
    let harness = of_trace.and_then(|metadata| metadata.get(HARNESS).cloned());
    Object::default().with_some(HARNESS, harness).and(own)
}
