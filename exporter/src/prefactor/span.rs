//! The requests of a span.

use serde_json::{Map, Value as Json, json};
use spanring::{Status, names};
use spanring_spool::SpanData;

use super::live::finish_key;
use super::payload::add_metadata;
use super::{Contents, Form, Instance, Payloads};
use crate::rfc3339::to_micros;

/// How a span or an instance ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpanStatus {
    /// Well.
    Complete,
    /// It failed.
    Failed,
    /// It was given up.
    Cancelled,
}

impl SpanStatus {
    const ALL: [SpanStatus; 3] = [SpanStatus::Complete, SpanStatus::Failed, SpanStatus::Cancelled];

    /// How a span ended.
    pub fn of(span: &SpanData) -> Self {
        let said = || Self::ALL.into_iter().find(|status| span.foreign_status() == Some(status.word()));
        if span.interrupted {
            return SpanStatus::Failed;
        }
        said().unwrap_or(match span.status {
            Status::Error | Status::TimedOut => SpanStatus::Failed,
            Status::Cancelled => SpanStatus::Cancelled,
            _ => SpanStatus::Complete,
        })
    }

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            SpanStatus::Complete => "complete",
            SpanStatus::Failed => "failed",
            SpanStatus::Cancelled => "cancelled",
        }
    }
}

/// The body that creates a span of an instance that has this identity there, under a parent that has that one; finished, unless it never started.
pub fn create(
    span: &SpanData,
    instance_id: &str,
    parent_id: Option<&str>,
    instance: &Instance,
    contents: &Contents,
) -> Json {
    let Payloads { mut payload, result } = Payloads::of(span, Form::of(span), contents);
    let schema = instance.type_of(span);
    add_metadata(&mut payload, facts(span, parent_id, schema));
    let mut details = json!({
        "agent_instance_id": instance_id,
        "schema_name": schema,
        "payload": payload,
        "parent_span_id": parent_id,
    });
    match span.is_pending {
        true => details["status"] = "pending".into(),
        false => {
            details["status"] = SpanStatus::of(span).word().into();
            details["started_at"] = to_micros(span.start_unix_ns).into();
            details["finished_at"] = to_micros(span.end_unix_ns).into();
            if let Some(result) = result {
                details["result_payload"] = Json::Object(result);
            }
        }
    }
    if let Some(details) = details.as_object_mut() {
        contents.sensitive.mark(span, details);
    }
    json!({"details": details, "idempotency_key": instance.key_of(span)})
}

/// The body that finishes a span that never started.
pub fn cancel(span: &SpanData, instance: &Instance) -> Json {
    json!({"status": SpanStatus::Cancelled.word(), "idempotency_key": finish_key(span, instance)})
}

/// What a span is beyond its payloads, and has no place in a request, where it goes under this schema.
pub(super) fn facts(span: &SpanData, parent_id: Option<&str>, schema: &str) -> Map<String, Json> {
    let mut facts = Map::new();
    let mut tell = |key: &str, value: Json| drop(facts.insert(key.to_owned(), value));
    tell("name", span.name.as_str().into());
    tell("trace_id", span.trace_id.to_string().into());
    tell("span_id", span.span_id.to_string().into());
    if let (Some(parent), None) = (span.parent_id, parent_id) {
        tell("parent_id", parent.to_string().into());
    }
    for (key, said) in [
        (names::FOREIGN_SPAN_ID, span.foreign_span_id()),
        (names::FOREIGN_TRACE_ID, span.foreign_trace_id()),
        (names::FOREIGN_PARENT_ID, span.foreign_parent_id()),
        (names::FOREIGN_STATUS, span.foreign_status().filter(|said| *said != SpanStatus::of(span).word())),
        (names::TYPE, span.type_name().filter(|said| *said != schema)),
    ] {
        if let Some(said) = said {
            tell(key, said.into());
        }
    }
    if span.kind.name_in(spanring::System::Prefactor) != schema {
        tell(names::KIND, span.kind.name().into());
    }
    if span.status == Status::TimedOut {
        tell(names::STATUS, span.status.name().into());
    }
    if !span.status_message.is_empty() && span.error_message().is_none() {
        tell("status_message", span.status_message.as_str().into());
    }
    if span.interrupted {
        tell(names::INTERRUPTED, true.into());
    }
    if span.cut > 0 {
        tell(names::CUT, span.cut.into());
    }
    facts
}
