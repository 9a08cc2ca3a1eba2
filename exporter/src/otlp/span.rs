//! One span, as a `Span` has it.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use spanring::{Kind, Status, System, names};
use spanring_spool::{EventData, LinkData, SpanData};

use super::attributes::{Attributes, Given};
use super::protobuf::{Expected, bytes, fixed_32, fixed_64, message, number, text};
use super::scope::{SPANS, Scope, Scopes};
use super::{Names, openinference};

// Fields of `Span`.
const TRACE_ID: u32 = 1;
const SPAN_ID: u32 = 2;
const TRACE_STATE: u32 = 3;
const PARENT_SPAN_ID: u32 = 4;
const NAME: u32 = 5;
const KIND: u32 = 6;
const START_TIME: u32 = 7;
const END_TIME: u32 = 8;
const ATTRIBUTES: u32 = 9;
const DROPPED_ATTRIBUTES: u32 = 10;
const EVENTS: u32 = 11;
const DROPPED_EVENTS: u32 = 12;
const LINKS: u32 = 13;
const DROPPED_LINKS: u32 = 14;
const STATUS: u32 = 15;
const FLAGS: u32 = 16;

// Fields of `Status`.
const STATUS_MESSAGE: u32 = 2;
const STATUS_CODE: u32 = 3;

// Fields of `Event`.
const EVENT_TIME: u32 = 1;
const EVENT_NAME: u32 = 2;
const EVENT_ATTRIBUTES: u32 = 3;
const EVENT_DROPPED_ATTRIBUTES: u32 = 4;

// Fields of `Link`.
const LINK_TRACE_ID: u32 = 1;
const LINK_SPAN_ID: u32 = 2;
const LINK_TRACE_STATE: u32 = 3;
const LINK_ATTRIBUTES: u32 = 4;
const LINK_DROPPED_ATTRIBUTES: u32 = 5;
const LINK_FLAGS: u32 = 6;

/// Writes a span to those of its scope.
pub(super) fn span(scopes: &mut Scopes, span: &SpanData, names: Names) {
    match names {
        Names::GenAi => {
            let mut attributes = Attributes::of(&span.attributes);
            tell_kind(&mut attributes, span.kind);
            write(scopes, span, attributes);
        }
        Names::OpenInference => {
            let renamed = openinference::attributes(span.kind, &span.attributes);
            write(scopes, span, Attributes::of(&renamed));
        }
    }
}

fn write<'a>(scopes: &mut Scopes, span: &'a SpanData, mut attributes: Attributes<'a>) {
    let kind = attributes.take(names::SPAN_KIND, span_kind).unwrap_or(default_kind(span.kind));
    let trace_state = attributes.take_text(names::TRACE_STATE).unwrap_or_default();
    let flags = attributes.take_number(names::TRACE_FLAGS);
    let dropped_attributes = attributes.take_number(names::DROPPED_ATTRIBUTES);
    let dropped_events = attributes.take_number(names::DROPPED_EVENTS);
    let dropped_links = attributes.take_number(names::DROPPED_LINKS);
    let scope = Scope::take(&mut attributes);
    tell_state(&mut attributes, span);
    let code = status(span);
    let mut status_message = span.status_message.as_str();
    // Receivers ignore it there.
    if code != StatusCode::Error && !status_message.is_empty() {
        attributes.set(names::STATUS_MESSAGE, Given::Text(status_message));
        status_message = "";
    }
    message(scopes.of(scope), SPANS, Expected::Long, |out| {
        bytes(out, TRACE_ID, &span.trace_id.to_bytes());
        bytes(out, SPAN_ID, &span.span_id.to_bytes());
        text(out, TRACE_STATE, trace_state);
        if let Some(parent) = span.parent_id {
            bytes(out, PARENT_SPAN_ID, &parent.to_bytes());
        }
        text(out, NAME, &span.name);
        number(out, KIND, kind as u32);
        time(out, START_TIME, span.start_unix_ns);
        time(out, END_TIME, span.end_unix_ns);
        attributes.write(out, ATTRIBUTES);
        number(out, DROPPED_ATTRIBUTES, dropped_attributes);
        for event in &span.events {
            message(out, EVENTS, Expected::Short, |out| write_event(out, event));
        }
        number(out, DROPPED_EVENTS, dropped_events);
        for link in &span.links {
            message(out, LINKS, Expected::Short, |out| write_link(out, link));
        }
        number(out, DROPPED_LINKS, dropped_links);
        message(out, STATUS, Expected::Short, |out| {
            text(out, STATUS_MESSAGE, status_message);
            number(out, STATUS_CODE, code as u32);
        });
        fixed_32(out, FLAGS, flags);
    });
}

fn time(out: &mut Vec<u8>, field: u32, unix_ns: u64) {
    if unix_ns != 0 {
        fixed_64(out, field, unix_ns);
    }
}

/// OpenTelemetry's kind of a span of which it was recorded.
fn span_kind(value: Given<'_>) -> Option<SpanKind> {
    Some(match value.as_str()? {
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
fn tell_kind(attributes: &mut Attributes<'_>, kind: Kind) {
    let is_in_conventions = matches!(
        kind,
        Kind::Agent | Kind::Llm | Kind::Tool | Kind::Retrieval | Kind::Embedding | Kind::Chain
    );
    let told = match attributes.get(names::OPERATION_NAME) {
        Some(said) => said.as_str().and_then(|name| Kind::from_name_in(System::OpenTelemetry, name)),
        None if is_in_conventions => {
            attributes.set(names::OPERATION_NAME, Given::Text(kind.name_in(System::OpenTelemetry)));
            Some(kind)
        }
        None => None,
    };
    if kind != Kind::Custom && told != Some(kind) {
        attributes.set(names::KIND, Given::Text(kind.name()));
    }
}

/// Adds what OTLP has no place for: how the span stands, beyond its status.
fn tell_state(attributes: &mut Attributes<'_>, span: &SpanData) {
    if let Status::Cancelled | Status::TimedOut = span.status {
        attributes.set(names::STATUS, Given::Text(span.status.name()));
    }
    if span.status == Status::TimedOut && attributes.get(names::ERROR_TYPE).is_none() {
        attributes.set(names::ERROR_TYPE, Given::Text("timeout"));
    }
    if span.is_pending {
        attributes.set(names::PENDING, Given::Bool(true));
    }
    if span.interrupted {
        attributes.set(names::INTERRUPTED, Given::Bool(true));
    }
    if span.cut > 0 {
        attributes.set(names::CUT, Given::Integer(span.cut.into()));
    }
}

fn status(span: &SpanData) -> StatusCode {
    match span.status {
        _ if span.interrupted => StatusCode::Error,
        Status::Ok => StatusCode::Ok,
        Status::Error | Status::TimedOut => StatusCode::Error,
        _ => StatusCode::Unset,
    }
}

fn write_event(out: &mut Vec<u8>, event: &EventData) {
    let mut attributes = Attributes::of(&event.attributes);
    let dropped_attributes = attributes.take_number(names::DROPPED_ATTRIBUTES);
    time(out, EVENT_TIME, event.time_unix_ns);
    text(out, EVENT_NAME, &event.name);
    attributes.write(out, EVENT_ATTRIBUTES);
    number(out, EVENT_DROPPED_ATTRIBUTES, dropped_attributes);
}

fn write_link(out: &mut Vec<u8>, link: &LinkData) {
    let mut attributes = Attributes::of(&link.attributes);
    let trace_state = attributes.take_text(names::TRACE_STATE).unwrap_or_default();
    let flags = attributes.take_number(names::TRACE_FLAGS);
    let dropped_attributes = attributes.take_number(names::DROPPED_ATTRIBUTES);
    bytes(out, LINK_TRACE_ID, &link.trace_id.to_bytes());
    bytes(out, LINK_SPAN_ID, &link.span_id.to_bytes());
    text(out, LINK_TRACE_STATE, trace_state);
    attributes.write(out, LINK_ATTRIBUTES);
    number(out, LINK_DROPPED_ATTRIBUTES, dropped_attributes);
    fixed_32(out, LINK_FLAGS, flags);
}
