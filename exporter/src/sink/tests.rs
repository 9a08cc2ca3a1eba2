//! What the tests of the sinks share: a block of spans.

use std::time::Duration;

use spanring::{Kind, SpanId, Status, TraceId};
use spanring_spool::{Position, RecorderId, Resource, SpanData};

use super::{Batch, BatchId, Outcome};

pub(crate) struct Spans {
    recorder: RecorderId,
    resource: Resource,
    pub(crate) spans: Vec<SpanData>,
}

impl Spans {
    pub(crate) fn new(count: u8) -> Self {
        let recorder = RecorderId::from_parts(1, 2);
        Spans { recorder, resource: Resource::named("shop"), spans: (1..=count).map(span).collect() }
    }

    pub(crate) fn batch(&self) -> Batch<'_> {
        let block = Position { segment: 1, offset: 0x1000, next_sequence: 1 };
        let id = BatchId { recorder: &self.recorder, block, number: 0, part: BatchId::WHOLE };
        Batch { id, resource: &self.resource, spans: (&self.spans).into(), starts: &[] }
    }
}

pub(crate) fn span(number: u8) -> SpanData {
    SpanData {
        trace_id: TraceId::from_bytes([1; 16]),
        span_id: SpanId::from_bytes([number; 8]),
        name: format!("step {number}"),
        kind: Kind::Tool,
        status: Status::Ok,
        start_unix_ns: 1,
        end_unix_ns: 2,
        ..SpanData::default()
    }
}

#[test]
fn the_identity_of_a_batch_fits_an_idempotency_key() {
    let recorder = RecorderId::from_parts(u64::MAX, u64::MAX).recovery();
    let block = Position { segment: 0xff_ffff_ffff, offset: 1 << 24, next_sequence: 0 };
    let id = BatchId { recorder: &recorder, block, number: 0xfff, part: 0x3ff }.to_string();
    assert!(id.len() <= 64, "{id} is {} characters long", id.len());
}

#[test]
fn the_worst_of_several_failures_counts_and_the_longest_wait() {
    let rejected = || Outcome::Rejected { reason: "rejected".to_owned() };
    let parked = || Outcome::Parked { reason: "parked".to_owned() };
    let retry =
        |seconds| Outcome::Retry { after: Some(Duration::from_secs(seconds)), reason: "retry".to_owned() };
    for (one, other, expected) in [
        (rejected(), rejected(), rejected()),
        (rejected(), retry(1), retry(1)),
        (retry(1), parked(), parked()),
        (rejected(), parked(), parked()),
        (retry(1), retry(2), retry(2)),
        (Outcome::Retry { after: None, reason: "retry".to_owned() }, retry(2), retry(2)),
    ] {
        assert_eq!(one.clone().worse(other.clone()), expected);
        assert_eq!(other.worse(one), expected);
    }
}
