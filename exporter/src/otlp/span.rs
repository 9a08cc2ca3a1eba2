//! One span, as a `Span` has it.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use spanring::{Kind, SpanId, Status, System, TraceId, names};
use spanring_spool::{EventRef, LinkRef, SpanData, SpanRef, ValueRef};

use super::attributes::{Attributes, Given, Pair};
use super::protobuf::{DELIMITED, Expected, Few, bytes, fixed_32, fixed_64, message, number, text};
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

/// What a span is, but for its attributes, events and links.
struct Told<'a> {
    trace_id: TraceId,
    span_id: SpanId,
    parent_id: Option<SpanId>,
    name: &'a str,
    kind: Kind,
    status: Status,
    status_message: &'a str,
    start_unix_ns: u64,
    end_unix_ns: u64,
    is_pending: bool,
    is_interrupted: bool,
    cut: u32,
}

/// An event, by its name and its time.
type Event<'a> = (&'a str, u64, Attributes<'a>);
/// A link, by what it is to.
type Link<'a> = (TraceId, SpanId, Attributes<'a>);

impl<'a> Told<'a> {
    fn of(span: &'a SpanData) -> Self {
        Told {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_id: span.parent_id,
            name: &span.name,
            kind: span.kind,
            status: span.status,
            status_message: &span.status_message,
            start_unix_ns: span.start_unix_ns,
            end_unix_ns: span.end_unix_ns,
            is_pending: span.is_pending,
            is_interrupted: span.interrupted,
            cut: span.cut,
        }
    }

    fn of_row(span: SpanRef<'a>) -> Self {
        Told {
            trace_id: span.trace_id(),
            span_id: span.span_id(),
            parent_id: span.parent_id(),
            name: span.name(),
            kind: span.kind(),
            status: span.status(),
            status_message: span.status_message(),
            start_unix_ns: span.start_unix_ns(),
            end_unix_ns: span.end_unix_ns(),
            is_pending: span.is_pending(),
            is_interrupted: span.is_interrupted(),
            cut: span.cut(),
        }
    }
}

/// Writes a span to those of its scope.
pub(super) fn span(scopes: &mut Scopes, span: &SpanData, names: Names) {
    let renamed;
    let attributes = match names {
        Names::GenAi => {
            let mut attributes = Attributes::of(&span.attributes);
            tell_kind(&mut attributes, span.kind);
            attributes
        }
        Names::OpenInference => {
            renamed = openinference::attributes(span.kind, &span.attributes);
            Attributes::of(&renamed)
        }
    };
    let events = span.events.iter();
    let events =
        events.map(|event| (event.name.as_str(), event.time_unix_ns, Attributes::of(&event.attributes)));
    let links = span.links.iter().map(|link| (link.trace_id, link.span_id, Attributes::of(&link.attributes)));
    drop(write(scopes, Told::of(span), attributes, events, links));
}

/// Writes a span that lies in a block, under [OpenTelemetry's names](Names::GenAi): the same as of a copy of it. `room` is memory that is used for
/// one span after the other.
pub(super) fn row<'a>(scopes: &mut Scopes, span: SpanRef<'a>, room: &mut Vec<Pair<'a>>) {
    if !span.is_flat() {
        return self::span(scopes, &span.to_data(), Names::GenAi);
    }
    let told = Told::of_row(span);
    let mut attributes = Attributes::of_flat(std::mem::take(room), span.attributes());
    tell_kind(&mut attributes, told.kind);
    let event = |event: EventRef<'a>| {
        (event.name(), event.time_unix_ns(), Attributes::of_flat(Vec::new(), event.attributes()))
    };
    let link = |link: LinkRef<'a>| {
        (link.trace_id(), link.span_id(), Attributes::of_flat(Vec::new(), link.attributes()))
    };
    *room = write(scopes, told, attributes, span.events().map(event), span.links().map(link)).into_room();
}

fn write<'a>(
    scopes: &mut Scopes,
    span: Told<'a>,
    mut attributes: Attributes<'a>,
    events: impl Iterator<Item = Event<'a>>,
    links: impl Iterator<Item = Link<'a>>,
) -> Attributes<'a> {
    let kind = attributes.take(names::SPAN_KIND, span_kind).unwrap_or(default_kind(span.kind));
    let trace_state = attributes.take_text(names::TRACE_STATE).unwrap_or_default();
    let flags = attributes.take_number(names::TRACE_FLAGS);
    let dropped_attributes = attributes.take_number(names::DROPPED_ATTRIBUTES);
    let dropped_events = attributes.take_number(names::DROPPED_EVENTS);
    let dropped_links = attributes.take_number(names::DROPPED_LINKS);
    let scope = Scope::take(&mut attributes);
    tell_state(&mut attributes, &span);
    let code = status(&span);
    let mut status_message = span.status_message;
    // Receivers ignore it there.
    if code != StatusCode::Error && !status_message.is_empty() {
        attributes.set(names::STATUS_MESSAGE, Given::text(status_message));
        status_message = "";
    }
    message(scopes.of(scope), SPANS, Expected::Long, |out| {
        let mut ids = Few::new();
        ids.tag(TRACE_ID, DELIMITED);
        ids.varint(16);
        ids.array(span.trace_id.to_bytes());
        ids.tag(SPAN_ID, DELIMITED);
        ids.varint(8);
        ids.array(span.span_id.to_bytes());
        ids.write(out);
        text(out, TRACE_STATE, trace_state);
        if let Some(parent) = span.parent_id {
            bytes(out, PARENT_SPAN_ID, &parent.to_bytes());
        }
        text(out, NAME, span.name);
        number(out, KIND, kind as u32);
        time(out, START_TIME, span.start_unix_ns);
        time(out, END_TIME, span.end_unix_ns);
        attributes.write(out, ATTRIBUTES);
        number(out, DROPPED_ATTRIBUTES, dropped_attributes);
        for event in events {
            message(out, EVENTS, Expected::Short, |out| write_event(out, event));
        }
        number(out, DROPPED_EVENTS, dropped_events);
        for link in links {
            message(out, LINKS, Expected::Short, |out| write_link(out, link));
        }
        number(out, DROPPED_LINKS, dropped_links);
        message(out, STATUS, Expected::Short, |out| {
            text(out, STATUS_MESSAGE, status_message);
            number(out, STATUS_CODE, code as u32);
        });
        fixed_32(out, FLAGS, flags);
    });
    attributes
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
            attributes.set(names::OPERATION_NAME, Given::text(kind.name_in(System::OpenTelemetry)));
            Some(kind)
        }
        None => None,
    };
    if kind != Kind::Custom && told != Some(kind) {
        attributes.set(names::KIND, Given::text(kind.name()));
    }
}

/// Adds what OTLP has no place for: how the span stands, beyond its status.
fn tell_state(attributes: &mut Attributes<'_>, span: &Told<'_>) {
    if let Status::Cancelled | Status::TimedOut = span.status {
        attributes.set(names::STATUS, Given::text(span.status.name()));
    }
    if span.status == Status::TimedOut && attributes.get(names::ERROR_TYPE).is_none() {
        attributes.set(names::ERROR_TYPE, Given::text("timeout"));
    }
    if span.is_pending {
        attributes.set(names::PENDING, Given::Plain(ValueRef::Bool(true)));
    }
    if span.is_interrupted {
        attributes.set(names::INTERRUPTED, Given::Plain(ValueRef::Bool(true)));
    }
    if span.cut > 0 {
        attributes.set(names::CUT, Given::Plain(ValueRef::I64(span.cut.into())));
    }
}

fn status(span: &Told<'_>) -> StatusCode {
    match span.status {
        _ if span.is_interrupted => StatusCode::Error,
        Status::Ok => StatusCode::Ok,
        Status::Error | Status::TimedOut => StatusCode::Error,
        _ => StatusCode::Unset,
    }
}

fn write_event(out: &mut Vec<u8>, (name, time_unix_ns, mut attributes): Event<'_>) {
    let dropped_attributes = attributes.take_number(names::DROPPED_ATTRIBUTES);
    time(out, EVENT_TIME, time_unix_ns);
    text(out, EVENT_NAME, name);
    attributes.write(out, EVENT_ATTRIBUTES);
    number(out, EVENT_DROPPED_ATTRIBUTES, dropped_attributes);
}

fn write_link(out: &mut Vec<u8>, (trace_id, span_id, mut attributes): Link<'_>) {
    let trace_state = attributes.take_text(names::TRACE_STATE).unwrap_or_default();
    let flags = attributes.take_number(names::TRACE_FLAGS);
    let dropped_attributes = attributes.take_number(names::DROPPED_ATTRIBUTES);
    bytes(out, LINK_TRACE_ID, &trace_id.to_bytes());
    bytes(out, LINK_SPAN_ID, &span_id.to_bytes());
    text(out, LINK_TRACE_STATE, trace_state);
    attributes.write(out, LINK_ATTRIBUTES);
    number(out, LINK_DROPPED_ATTRIBUTES, dropped_attributes);
    fixed_32(out, LINK_FLAGS, flags);
}
