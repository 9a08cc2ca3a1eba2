//! Records a span of the SDK: what is known when it starts, and the rest when it ends.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Event, Link, SpanContext, SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;

use super::contexts::{identities, span_id};
use super::turned_down::TurnedDown;
use super::value::{self, Holder};
use crate::context::Context;
use crate::span::Span;
use crate::{Kind, System, names};

/// OTLP's bits above the trace flags: that it is known whether the parent, or the linked span, is another process's, and that it is.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

const DROPPED: [&str; 3] = [names::DROPPED_ATTRIBUTES, names::DROPPED_EVENTS, names::DROPPED_LINKS];

/// A span that has started, and how much of it is recorded.
#[derive(Debug)]
pub(super) struct OpenSpan {
    span: Span,
    name: Cow<'static, str>,
    attributes: usize,
    /// Of those attributes, to see whether a processor in between has changed them.
    digest: u64,
    events: usize,
    links: usize,
    dropped: [u32; 3],
    /// Where it was decided not to record it.
    _turned_down: Option<TurnedDown>,
}

impl OpenSpan {
    /// Starts a span with all that `data` says but its end and its status.
    pub(super) fn start(data: &SpanData, parent: Context) -> OpenSpan {
        let (trace_id, own_id) = identities(&data.span_context);
        let builder = match &data.name {
            Cow::Borrowed(name) => crate::span(name),
            Cow::Owned(name) => crate::span_named(name),
        };
        let span = builder
            .kind(kind(&data.attributes))
            .parent(parent)
            .trace_id(trace_id)
            .span_id(own_id)
            .start_unix_ns(unix_ns(data.start_time))
            .start_with(|span| fill(span, data));
        let identities = (trace_id, own_id);
        let context = span.context();
        let turned_down =
            (context != Context::new(trace_id, own_id)).then(|| TurnedDown::new(identities, context));
        OpenSpan {
            span,
            name: data.name.clone(),
            attributes: data.attributes.len(),
            digest: digest(&data.attributes),
            events: data.events.len(),
            links: data.links.len(),
            dropped: dropped(data),
            _turned_down: turned_down,
        }
    }

    /// Records what is new in `data`, and ends the span.
    pub(super) fn finish(self, data: &SpanData) {
        let span = self.span;
        if span.is_recording() {
            if self.name != data.name {
                span.rename(&data.name);
            }
            for ((key, before), count) in DROPPED.into_iter().zip(self.dropped).zip(dropped(data)) {
                span.set(key, (count != before).then_some(count));
            }
            let is_as_it_was = |known: &[KeyValue]| digest(known) == self.digest;
            let new = match data.attributes.split_at_checked(self.attributes) {
                Some((known, new)) if is_as_it_was(known) => new,
                _ => &data.attributes,
            };
            value::set_all(&span, new);
            data.links.iter().skip(self.links).for_each(|link| add_link(&span, link));
            data.events.iter().skip(self.events).for_each(|event| add_event(&span, event));
            match &data.status {
                Status::Unset => {}
                Status::Ok => _ = span.set_status(crate::Status::Ok),
                Status::Error { description } => {
                    span.set_status(crate::Status::Error);
                    if !description.is_empty() {
                        span.status_message(description);
                    }
                }
            }
        }
        // Whether it was recorded is counted.
        let _ended = span.end_at_unix_ns(unix_ns(data.end_time));
    }

    /// Ends a span of which nobody will tell the end.
    pub(super) fn cancel(self) {
        self.span.status_message("open when the tracer provider was shut down");
        let _ended = self.span.cancel();
    }
}

fn fill(span: &Span, data: &SpanData) {
    span.set(names::SPAN_KIND, span_kind(&data.span_kind).name());
    span.trace_flags(flags(&data.span_context, data.parent_span_is_remote));
    span.set(names::TRACE_STATE, trace_state(&data.span_context));
    let scope = &data.instrumentation_scope;
    span.set(names::SCOPE_NAME, scope.name()).set(names::SCOPE_VERSION, scope.version());
    span.set(names::SCOPE_SCHEMA_URL, scope.schema_url());
    if scope.attributes().next().is_some() {
        span.set_value(names::SCOPE_ATTRIBUTES, &value::Pairs(scope));
    }
    for (key, count) in DROPPED.into_iter().zip(dropped(data)) {
        span.set(key, (count > 0).then_some(count));
    }
    value::set_all(span, &data.attributes);
    data.links.iter().for_each(|link| add_link(span, link));
    data.events.iter().for_each(|event| add_event(span, event));
}

fn add_link(span: &Span, link: &Link) {
    let linked = &link.span_context;
    let (trace_id, _) = identities(linked);
    span.link_with(Context::new(trace_id, span_id(linked.span_id())), |to| {
        to.set(names::TRACE_FLAGS, flags(linked, linked.is_remote()));
        to.set(names::TRACE_STATE, trace_state(linked));
        set_dropped(to, link.dropped_attributes_count);
        value::set_all(to, &link.attributes);
    });
}

fn add_event(span: &Span, event: &Event) {
    span.event_at(&event.name, unix_ns(event.timestamp), |to| {
        set_dropped(to, event.dropped_attributes_count);
        value::set_all(to, &event.attributes);
    });
}

fn set_dropped(to: &impl Holder, count: u32) {
    to.one(names::DROPPED_ATTRIBUTES, (count > 0).then_some(count));
}

/// What the span stands for, where the conventions on generative AI tell it.
fn kind(attributes: &[KeyValue]) -> Kind {
    let operation = attributes.iter().rev().find(|attribute| attribute.key.as_str() == names::OPERATION_NAME);
    operation
        .and_then(|operation| match &operation.value {
            opentelemetry::Value::String(name) => Kind::from_name_in(System::OpenTelemetry, name.as_str()),
            _ => None,
        })
        .unwrap_or_default()
}

fn span_kind(kind: &SpanKind) -> crate::SpanKind {
    match kind {
        SpanKind::Internal => crate::SpanKind::Internal,
        SpanKind::Server => crate::SpanKind::Server,
        SpanKind::Client => crate::SpanKind::Client,
        SpanKind::Producer => crate::SpanKind::Producer,
        SpanKind::Consumer => crate::SpanKind::Consumer,
    }
}

fn flags(context: &SpanContext, is_remote: bool) -> u32 {
    let is_remote = if is_remote { IS_REMOTE } else { 0 };
    u32::from(context.trace_flags().to_u8()) | HAS_IS_REMOTE | is_remote
}

fn trace_state(context: &SpanContext) -> Option<String> {
    Some(context.trace_state().header()).filter(|header| !header.is_empty())
}

fn dropped(data: &SpanData) -> [u32; 3] {
    [data.dropped_attributes_count, data.events.dropped_count, data.links.dropped_count]
}

/// Of attributes that are hashed alike, with their floating-point numbers' bits.
fn digest(attributes: &[KeyValue]) -> u64 {
    let mut hasher = DefaultHasher::new();
    attributes.hash(&mut hasher);
    hasher.finish()
}

/// Nanoseconds since the Unix epoch, as far as they go.
fn unix_ns(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
