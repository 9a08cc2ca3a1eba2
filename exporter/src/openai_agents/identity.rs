//! Identities in the SDK's form.

use spanring::{SpanId, TraceId, names};
use spanring_spool::SpanData;

pub(super) const TRACE: &str = "trace_";
pub(super) const SPAN: &str = "span_";

/// The foreign identity under `key`, if it is one of the SDK's.
pub(super) fn foreign<'a>(span: &'a SpanData, key: &str, prefix: &str) -> Option<&'a str> {
    span.get(key)?.as_str().filter(|id| id.len() > prefix.len() && id.starts_with(prefix))
}

/// The trace of a span.
pub(super) fn of_trace(span: &SpanData) -> String {
    match foreign(span, names::FOREIGN_TRACE_ID, TRACE) {
        Some(id) => id.to_owned(),
        None => format!("{TRACE}{}", span.trace_id),
    }
}

/// The span itself.
pub(super) fn of_span(span: &SpanData) -> String {
    match foreign(span, names::FOREIGN_SPAN_ID, SPAN) {
        Some(id) => id.to_owned(),
        None => derived(span.trace_id, span.span_id),
    }
}

/// The span that it is under; none for one that is right under its trace.
pub(super) fn of_parent(span: &SpanData) -> Option<String> {
    if let Some(id) = foreign(span, names::FOREIGN_PARENT_ID, SPAN) {
        return Some(id.to_owned());
    }
    let parent = span.parent_id.filter(|&parent| parent != that_stands_for_trace(span))?;
    Some(derived(span.trace_id, parent))
}

/// 24 digits, of which [`SpanId::from_foreign`] reads the 16 that were ours.
pub(super) fn derived(trace: TraceId, span: SpanId) -> String {
    let trace = trace.to_string();
    let (first, _) = trace.split_at(8);
    format!("{SPAN}{span}{first}")
}

/// Whether the span is no span in the SDK's eyes, but the trace itself.
pub(super) fn stands_for_trace(span: &SpanData) -> bool {
    span.parent_id.is_none() && span.span_id == that_stands_for_trace(span)
}

fn that_stands_for_trace(span: &SpanData) -> SpanId {
    SpanId::from_foreign(&of_trace(span))
}
