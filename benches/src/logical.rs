//! How much a span says, whatever the format that it is stored in.

use std::hint::black_box;

use spanring_spool::{SpanRef, ValueRef};

/// The logical bytes of a span, every part of which is looked at: its trace id, span id and parent's id (32 bytes), start and
/// end (16), kind and status (2), its name and status message; for each attribute its key and its value, a number 8, a
/// truth value or nothing 1, a text or bytes their length, a list or map its length in MessagePack; for each event its name, its
/// time (8), and its attributes likewise; for each link its two ids (24) and its attributes.
pub fn logical_len(span: &SpanRef<'_>) -> u64 {
    black_box((span.trace_id(), span.span_id(), span.parent_id(), span.start_unix_ns(), span.end_unix_ns()));
    black_box((span.kind(), span.status(), span.is_pending(), span.is_interrupted(), span.cut()));
    let mut len = 32 + 16 + 2 + span.name().len() + span.status_message().len();
    len += attributes_len(span.attributes());
    for event in span.events() {
        black_box(event.time_unix_ns());
        len += event.name().len() + 8 + attributes_len(event.attributes());
    }
    for link in span.links() {
        black_box((link.trace_id(), link.span_id()));
        len += 24 + attributes_len(link.attributes());
    }
    len as u64
}

fn attributes_len<'a>(attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) -> usize {
    let len = |value| match black_box(value) {
        ValueRef::Null | ValueRef::Bool(_) => 1,
        ValueRef::I64(_) | ValueRef::U64(_) | ValueRef::F64(_) => 8,
        ValueRef::Str(text) => text.len(),
        ValueRef::Bytes(bytes) => bytes.len(),
        ValueRef::Packed(packed) => packed.as_bytes().len(),
    };
    attributes.map(|(key, value)| key.len() + len(value)).sum()
}
