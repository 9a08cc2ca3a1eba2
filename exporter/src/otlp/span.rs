//! One span.

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use spanring::{Kind, System, names};
use spanring_spool::{EventData, LinkData, SpanData};

use super::{Names, openinference, value};

pub(super) fn span(span: &SpanData, names: Names) -> Span {
    let mut attributes = match names {
        Names::GenAi => value::attributes(&span.attributes),
        Names::OpenInference => value::attributes(&openinference::attributes(span.kind, &span.attributes)),
    };
    let kind = value::take(&mut attributes, names::SPAN_KIND, span_kind).unwrap_or(default_kind(span.kind));
    let trace_state = value::take_text(&mut attributes, names::TRACE_STATE).unwrap_or_default();
    let mut count = |key| value::take_number(&mut attributes, key).unwrap_or(0);
    let flags = count(names::TRACE_FLAGS);
    let dropped_attributes_count = count(names::DROPPED_ATTRIBUTES);
    let dropped_events_count = count(names::DROPPED_EVENTS);
    let dropped_links_count = count(names::DROPPED_LINKS);
    if names == Names::GenAi {
        tell_kind(&mut attributes, span.kind);
    }
    tell_state(&mut attributes, span);
    let code = status(span);
    let mut message = span.status_message.clone();
    // Receivers ignore it there.
    if code != StatusCode::Error && !message.is_empty() {
        let message = any_value::Value::StringValue(std::mem::take(&mut message));
        value::set(&mut attributes, names::STATUS_MESSAGE, message);
    }
    Span {
        trace_id: span.trace_id.to_bytes().to_vec(),
        span_id: span.span_id.to_bytes().to_vec(),
        trace_state,
        parent_span_id: span.parent_id.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
        flags,
        name: span.name.clone(),
        kind: kind.into(),
        start_time_unix_nano: span.start_unix_ns,
        end_time_unix_nano: span.end_unix_ns,
        attributes,
        dropped_attributes_count,
        events: span.events.iter().map(event).collect(),
        dropped_events_count,
        links: span.links.iter().map(link).collect(),
        dropped_links_count,
        status: Some(Status { message, code: code.into() }),
    }
}

/// OpenTelemetry's kind of a span of which it was recorded.
fn span_kind(value: &any_value::Value) -> Option<SpanKind> {
    let any_value::Value::StringValue(name) = value else { return None };
    Some(match name.as_str() {
        "internal" => SpanKind::Internal,
        "server" => SpanKind::Server,
        "client" => SpanKind::Client,
        "producer" => SpanKind::Producer,
        "consumer" => SpanKind::Consumer,
        _ => return None,
    })
}

/// OpenTelemetry's kind of a span of which nobody said it.
fn default_kind(kind: Kind) -> SpanKind {
    match kind {
        Kind::Llm
        | Kind::Embedding
        | Kind::Retrieval
        | Kind::Response
        | Kind::McpTools
        | Kind::Speech
        | Kind::Transcription => SpanKind::Client,
        _ => SpanKind::Internal,
    }
}

/// Adds what tells the kind of work, as far as the attributes do not tell it.
fn tell_kind(attributes: &mut Vec<KeyValue>, kind: Kind) {
    let is_in_conventions = matches!(
        kind,
        Kind::Agent | Kind::Llm | Kind::Tool | Kind::Retrieval | Kind::Embedding | Kind::Chain
    );
    let told = match value::get(attributes, names::OPERATION_NAME) {
        Some(Some(any_value::Value::StringValue(name))) => Kind::from_name_in(System::OpenTelemetry, name),
        Some(_) => None,
        None if is_in_conventions => {
            let name = kind.name_in(System::OpenTelemetry).to_owned();
            value::set(attributes, names::OPERATION_NAME, any_value::Value::StringValue(name));
            Some(kind)
        }
        None => None,
    };
    if kind != Kind::Custom && told != Some(kind) {
        value::set(attributes, names::KIND, any_value::Value::StringValue(kind.name().to_owned()));
    }
}

/// Adds what OTLP has no place for: how the span stands, beyond its status.
fn tell_state(attributes: &mut Vec<KeyValue>, span: &SpanData) {
    let text = |text: &str| any_value::Value::StringValue(text.to_owned());
    if let spanring::Status::Cancelled | spanring::Status::TimedOut = span.status {
        value::set(attributes, names::STATUS, text(span.status.name()));
    }
    if span.status == spanring::Status::TimedOut && value::get(attributes, names::ERROR_TYPE).is_none() {
        value::set(attributes, names::ERROR_TYPE, text("timeout"));
    }
    if span.is_pending {
        value::set(attributes, names::PENDING, any_value::Value::BoolValue(true));
    }
    if span.interrupted {
        value::set(attributes, names::INTERRUPTED, any_value::Value::BoolValue(true));
    }
    if span.cut > 0 {
        value::set(attributes, names::CUT, any_value::Value::IntValue(span.cut.into()));
    }
}

fn status(span: &SpanData) -> StatusCode {
    match span.status {
        _ if span.interrupted => StatusCode::Error,
        spanring::Status::Ok => StatusCode::Ok,
        spanring::Status::Error | spanring::Status::TimedOut => StatusCode::Error,
        _ => StatusCode::Unset,
    }
}

fn event(event: &EventData) -> Event {
    let mut attributes = value::attributes(&event.attributes);
    let dropped_attributes_count =
        value::take_number(&mut attributes, names::DROPPED_ATTRIBUTES).unwrap_or(0);
    Event {
        time_unix_nano: event.time_unix_ns,
        name: event.name.clone(),
        attributes,
        dropped_attributes_count,
    }
}

fn link(link: &LinkData) -> Link {
    let mut attributes = value::attributes(&link.attributes);
    let trace_state = value::take_text(&mut attributes, names::TRACE_STATE).unwrap_or_default();
    let flags = value::take_number(&mut attributes, names::TRACE_FLAGS).unwrap_or(0);
    let dropped_attributes_count =
        value::take_number(&mut attributes, names::DROPPED_ATTRIBUTES).unwrap_or(0);
    Link {
        trace_id: link.trace_id.to_bytes().to_vec(),
        span_id: link.span_id.to_bytes().to_vec(),
        trace_state,
        attributes,
        dropped_attributes_count,
        flags,
    }
}
