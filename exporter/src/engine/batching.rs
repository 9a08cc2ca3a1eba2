//! How a block's spans are divided into batches, and a batch that a sink refuses into parts.
//!
//! Where a batch ends depends on the block and on how many spans the sink takes at once, which never changes, and on nothing else, such as what
//! was delivered before. So a batch that is sent again after a restart is the same batch. A part is a half of what was refused, so that it depends on the
//! answers besides.

use spanring_spool::{Attributes, EventData, SpanData, SpanRef, Value, ValueRef};

use crate::sink::{Batch, BatchId, Spans};

/// No batch has more spans.
pub const SPANS_MAX: usize = 512;
/// No batch of more than one span is estimated at more bytes, as protobuf and before compression. Under
/// [OpenInference's names](crate::otlp::Names::OpenInference) it may come to more, as lists are flattened; where it ends is the same under either.
pub const BYTES_MAX: usize = 4 * 1024 * 1024;

/// One of the batches that spans are divided into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cut {
    /// How many spans it has; at least one.
    pub(super) len: usize,
    /// At how many bytes it is estimated.
    pub(super) bytes: usize,
}

/// The batches of a block for a sink that takes so many spans at once, in order.
pub(super) fn cuts(spans: Spans<'_>, spans_max: usize) -> Vec<Cut> {
    match spans.in_block() {
        Some(rows) => cuts_of(rows.iter().map(row_len), spans_max),
        None => cuts_of(spans.iter().map(span_len), spans_max),
    }
}

/// Those of spans that are estimated at so many bytes.
fn cuts_of(lens: impl Iterator<Item = usize>, spans_max: usize) -> Vec<Cut> {
    let spans_max = spans_max.clamp(1, SPANS_MAX);
    let mut cuts: Vec<Cut> = Vec::new();
    for bytes in lens {
        match cuts.last_mut() {
            Some(cut) if cut.len < spans_max && cut.bytes + bytes <= BYTES_MAX => {
                (cut.len, cut.bytes) = (cut.len + 1, cut.bytes + bytes);
            }
            // A span that is larger than a batch by itself goes alone.
            _ => cuts.push(Cut { len: 1, bytes }),
        }
    }
    cuts
}

/// A batch, or what is left of one after the sink refused the whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) batch: Batch<'a>,
    /// Which of the block's spans is its first, counted from 0.
    pub(super) first: usize,
    /// At how many bytes the whole is estimated.
    pub(super) bytes: usize,
    /// Which of the loads that are delivered together it is of.
    pub(super) load: usize,
}

impl<'a> Part<'a> {
    /// Its halves, in order, unless it is a single span.
    pub(super) fn halves(&self) -> Option<[Part<'a>; 2]> {
        let Part { batch, first, .. } = *self;
        let half = batch.spans.len() / 2;
        let part = |spans, first, part| {
            let id = BatchId { part, ..batch.id };
            Part { batch: Batch { spans, id, ..batch }, first, ..*self }
        };
        let (left, right) = batch.spans.split_at(half);
        let number = batch.id.part;
        (half > 0).then(|| [part(left, first, 2 * number), part(right, first + half, 2 * number + 1)])
    }
}

/// At most how many bytes protobuf's tag and length take before a field.
const FRAME_LEN: usize = 6;
/// At most how many bytes the fields of fixed size take, with the attributes that spanring adds and a scope of its own.
const SPAN_FIXED_LEN: usize = 384;
const EVENT_FIXED_LEN: usize = 32;
const LINK_FIXED_LEN: usize = 64;
const NUMBER_LEN: usize = 20;

/// At most how many bytes a span takes in a request.
pub(super) fn span_len(span: &SpanData) -> usize {
    let events: usize = span.events.iter().map(event_len).sum();
    let links: usize = span.links.iter().map(|link| LINK_FIXED_LEN + pairs_len(&link.attributes)).sum();
    let texts = span.name.len() + span.status_message.len();
    SPAN_FIXED_LEN + texts + pairs_len(&span.attributes) + events + links
}

/// The same of a span that lies in a block.
pub(super) fn row_len(span: &SpanRef<'_>) -> usize {
    if !span.is_flat() {
        return span_len(&span.to_data());
    }
    let event = |name: &str, pairs| EVENT_FIXED_LEN + name.len() + flat_pairs_len(pairs);
    let events: usize = span.events().map(|of| event(of.name(), of.attributes())).sum();
    let links: usize = span.links().map(|link| LINK_FIXED_LEN + flat_pairs_len(link.attributes())).sum();
    let texts = span.name().len() + span.status_message().len();
    SPAN_FIXED_LEN + texts + flat_pairs_len(span.attributes()) + events + links
}

fn event_len(event: &EventData) -> usize {
    EVENT_FIXED_LEN + event.name.len() + pairs_len(&event.attributes)
}

fn pairs_len(pairs: &[(String, Value)]) -> usize {
    pairs.iter().map(|(key, value)| 3 * FRAME_LEN + key.len() + value_len(value)).sum()
}

fn flat_pairs_len(pairs: Attributes<'_>) -> usize {
    pairs.map(|(key, value)| 3 * FRAME_LEN + key.len() + flat_value_len(value)).sum()
}

fn flat_value_len(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Str(text) => FRAME_LEN + text.len(),
        ValueRef::Bytes(bytes) => FRAME_LEN + bytes.len(),
        ValueRef::Packed(packed) => value_len(&packed.to_value()),
        _ => FRAME_LEN + NUMBER_LEN,
    }
}

fn value_len(value: &Value) -> usize {
    FRAME_LEN
        + match value {
            Value::Null | Value::Bool(_) | Value::I64(_) | Value::U64(_) | Value::F64(_) => NUMBER_LEN,
            Value::Str(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(values) => values.iter().map(|value| FRAME_LEN + value_len(value)).sum(),
            Value::Map(pairs) => pairs_len(pairs),
        }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::demo::runs::AgentRun;
    use crate::otlp;
    use crate::sink::tests::span;

    fn lens(spans: &[SpanData]) -> Vec<usize> {
        cuts(spans.into(), usize::MAX).iter().map(|cut| cut.len).collect()
    }

    fn of_len(len: usize) -> SpanData {
        SpanData { attributes: vec![("text".into(), Value::Str("x".repeat(len)))], ..span(1) }
    }

    #[test]
    fn batches_are_bounded_by_count_and_by_bytes_and_lose_no_span() {
        assert_eq!(lens(&[]), [0; 0]);
        assert_eq!(lens(&vec![span(1); 1025]), [512, 512, 1]);
        assert_eq!(lens(&vec![of_len(1_000_000); 9]), [4, 4, 1]);
        let mixed = [span(1), of_len(BYTES_MAX), of_len(2 * BYTES_MAX), span(2), span(3)];
        assert_eq!(lens(&mixed), [1, 1, 1, 2]);
        let bytes: Vec<_> = cuts((&mixed).into(), usize::MAX).iter().map(|cut| cut.bytes).collect();
        let of = |at: &[usize]| at.iter().map(|at| span_len(&mixed[*at])).sum::<usize>();
        assert_eq!(bytes, [of(&[0]), of(&[1]), of(&[2]), of(&[3, 4])]);
    }

    #[test]
    fn a_sink_that_takes_fewer_spans_at_once_gets_batches_of_as_many() {
        let spans = vec![span(1); 300];
        for (spans_max, expected) in [(128, vec![128, 128, 44]), (299, vec![299, 1]), (0, vec![1; 300])] {
            let lens: Vec<_> = cuts((&spans).into(), spans_max).iter().map(|cut| cut.len).collect();
            assert_eq!(lens, expected, "{spans_max}");
        }
    }

    #[test]
    fn the_estimate_is_never_below_the_request() {
        let mut all = Vec::new();
        for run in AgentRun::bundled() {
            for span in run.spans {
                let span =
                    SpanData { interrupted: true, cut: u32::MAX, kind: spanring::Kind::Embedding, ..span };
                all.push(span);
            }
        }
        let map = Value::Map(vec![
            ("k".into(), Value::U64(u64::MAX)),
            ("l".into(), Value::List(vec![Value::Null; 9])),
        ]);
        all.push(SpanData { attributes: vec![("map".into(), map)], ..span(1) });
        all.push(otlp::tests::whole_span());
        all.push(SpanData {
            attributes: Vec::new(),
            kind: spanring::Kind::Agent,
            ..otlp::tests::whole_span()
        });
        for span in all {
            let empty = otlp::request(&[], &[]).encoded_len();
            let request = otlp::request(&[], std::slice::from_ref(&span));
            assert!(request.encoded_len() - empty <= span_len(&span), "{span:?}");
        }
    }
}
