//! Contexts of either side as those of the other.

use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};

use super::turned_down;
use crate::context::Context;
use crate::{SpanId, TraceId};

/// The span that is current in OpenTelemetry on this thread, to start spanring's under it; [`Context::NONE`] outside of all.
///
/// ```
/// use spanring::bridge::opentelemetry::current_context;
///
/// let call = spanring::llm("mistral-small").parent(current_context()).start();
/// ```
pub fn current_context() -> Context {
    opentelemetry::Context::map_current(context_of)
}

/// The span that is active in a context of OpenTelemetry, to start spanring's under it; [`Context::NONE`] where there is none. Under a
/// span that is not sampled nothing is recorded; under one that spanring's own sampling leaves out, what it asks for.
pub fn context_of(context: &opentelemetry::Context) -> Context {
    let span = context.span();
    let span = span.span_context();
    let (trace_id, span_id) = identities(span);
    if !span.is_valid() {
        Context::NONE
    } else if let Some(context) = turned_down::context_of(&(trace_id, span_id)) {
        context
    } else if span.is_remote() {
        Context::remote(trace_id, span_id, span.is_sampled())
    } else {
        Context::new(trace_id, span_id).sampled(span.is_sampled())
    }
}

/// The current context of OpenTelemetry, and whatever it carries, with a span of spanring as the active one: what a tracer starts in it is under that span. In
/// [`Context::NONE`] it starts roots.
///
/// What is set through the context's own `span()` is not recorded: set it on the [`Span`](crate::Span).
///
/// ```
/// use spanring::bridge::opentelemetry::opentelemetry_context;
///
/// let run = spanring::trace("research").start();
/// let _guard = opentelemetry_context(run.context()).attach();
/// ```
pub fn opentelemetry_context(context: Context) -> opentelemetry::Context {
    let flags = TraceFlags::NOT_SAMPLED.with_sampled(context.is_sampled());
    let span = SpanContext::new(
        opentelemetry::trace::TraceId::from_bytes(context.trace_id().to_bytes()),
        opentelemetry::trace::SpanId::from_bytes(context.span_id().to_bytes()),
        flags,
        context.is_remote(),
        TraceState::NONE,
    );
    opentelemetry::Context::map_current(|current| current.with_remote_span_context(span))
}

/// Who a span is.
pub(super) fn identities(context: &SpanContext) -> (TraceId, SpanId) {
    (TraceId::from_bytes(context.trace_id().to_bytes()), span_id(context.span_id()))
}

pub(super) fn span_id(id: opentelemetry::trace::SpanId) -> SpanId {
    SpanId::from_bytes(id.to_bytes())
}
