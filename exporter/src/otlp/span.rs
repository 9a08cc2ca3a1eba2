//! One span.

use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use spanring::Kind;
use spanring_spool::{EventData, SpanData};

use super::value;

/// The attribute by which OpenTelemetry tells what kind of work of a model or agent a span stands for.
const OPERATION_NAME: &str = "gen_ai.operation.name";

pub(super) fn span(span: &SpanData) -> Span {
    let mut attributes = value::attributes(&span.attributes);
    let says_its_kind = attributes.iter().any(|attribute| attribute.key == OPERATION_NAME);
    if span.kind != Kind::Custom && !says_its_kind {
        let name = span.kind.name().to_owned();
        value::set(&mut attributes, "spanring.kind", any_value::Value::StringValue(name));
    }
    if span.interrupted {
        value::set(&mut attributes, "spanring.interrupted", any_value::Value::BoolValue(true));
    }
    if span.cut > 0 {
        value::set(&mut attributes, "spanring.cut", any_value::Value::IntValue(span.cut.into()));
    }
    Span {
        trace_id: span.trace_id.to_bytes().to_vec(),
        span_id: span.span_id.to_bytes().to_vec(),
        parent_span_id: span.parent_id.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
        name: span.name.clone(),
        kind: kind(span.kind).into(),
        start_time_unix_nano: span.start_unix_ns,
        end_time_unix_nano: span.end_unix_ns,
        attributes,
        events: span.events.iter().map(event).collect(),
        status: Some(Status { message: span.status_message.clone(), code: status(span).into() }),
        ..Default::default()
    }
}

/// Models are asked over a connection: the caller's side of a call is CLIENT, as in OpenTelemetry's GenAI conventions.
fn kind(kind: Kind) -> SpanKind {
    match kind {
        Kind::Llm | Kind::Embedding => SpanKind::Client,
        _ => SpanKind::Internal,
    }
}

fn status(span: &SpanData) -> StatusCode {
    match span.status {
        _ if span.interrupted => StatusCode::Error,
        spanring::Status::Unset => StatusCode::Unset,
        spanring::Status::Ok => StatusCode::Ok,
        spanring::Status::Error => StatusCode::Error,
    }
}

fn event(event: &EventData) -> Event {
    Event {
        time_unix_nano: event.time_unix_ns,
        name: event.name.clone(),
        attributes: value::attributes(&event.attributes),
        dropped_attributes_count: 0,
    }
}
