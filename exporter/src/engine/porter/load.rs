//! What is delivered, and where each span of it stands.

use spanring_spool::{Position, RecorderId, Resource, SpanData};

use super::super::batching::{Cut, Part};
use crate::sink::{Batch, BatchId, LiveSpan, Process, Spans, Trace};

/// Spans on their way, and where each stands.
pub(in crate::engine) struct Load<'a> {
    pub(in crate::engine) recorder: &'a RecorderId,
    pub(in crate::engine) resource: &'a Resource,
    pub(in crate::engine) spans: Spans<'a>,
    /// What was announced of them, where the sink wants that.
    pub(in crate::engine) starts: &'a [SpanData],
    pub(in crate::engine) places: Places<'a>,
    /// The batches that they are divided into.
    pub(in crate::engine) cuts: &'a [Cut],
}

/// Where spans stand.
pub(in crate::engine) enum Places<'a> {
    /// They are those of one block.
    Block(Position),
    /// Each for itself.
    Each(&'a [SpanPlace]),
}

/// Where a span stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::engine) struct SpanPlace {
    pub(in crate::engine) recorder: RecorderId,
    /// Behind its block.
    pub(in crate::engine) block: Position,
    /// Which of the block's spans it is, counted from 0.
    pub(in crate::engine) number: usize,
}

/// What is sent at once.
pub(super) enum Parcel<'a, 'b> {
    /// A batch, and the one that comes next, if that is known.
    Batch(&'a Batch<'b>, Option<&'a Batch<'b>>),
    Trace(&'a mut Trace<'b>),
    /// That the end of a span was lost.
    Lost(&'a LiveSpan<'b>),
    /// That a process is over: nothing, to be acknowledged.
    Over(&'a Process<'b>),
}

impl Parcel<'_, '_> {
    pub(super) fn id(&self) -> BatchId<'_> {
        match self {
            Parcel::Batch(batch, _) => batch.id,
            Parcel::Trace(trace) => trace.id,
            Parcel::Lost(LiveSpan { recorder, .. }) | Parcel::Over(Process { recorder, .. }) => {
                BatchId { recorder, block: Position::default(), number: 0, part: BatchId::WHOLE }
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Parcel::Batch(batch, _) => batch.spans.len(),
            Parcel::Trace(trace) => trace.len,
            Parcel::Lost(_) | Parcel::Over(_) => 0,
        }
    }
}

impl<'a> Load<'a> {
    /// Its batches, where it is the load of this number.
    pub(super) fn wholes(&'a self, number: usize) -> impl Iterator<Item = Part<'a>> {
        let Load { resource, mut spans, starts, .. } = *self;
        let mut first = 0;
        self.cuts.iter().enumerate().map(move |(batch, cut)| {
            let these;
            (these, spans) = spans.split_at(cut.len);
            let batch = Batch { id: self.id(batch, first), resource, spans: these, starts };
            let part = Part { batch, first, bytes: cut.bytes, load: number };
            first += cut.len;
            part
        })
    }

    /// The identity of the batch of this number, which begins with the span of that one.
    pub(super) fn id(&self, number: usize, first: usize) -> BatchId<'_> {
        let part = BatchId::WHOLE;
        match self.places {
            Places::Block(block) => BatchId { recorder: self.recorder, block, number, part },
            Places::Each(places) => {
                let SpanPlace { recorder, block, number } = &places[first];
                BatchId { recorder, block: *block, number: *number, part }
            }
        }
    }

    /// Where the span of this number stands.
    pub(super) fn place(&self, number: usize) -> SpanPlace {
        match self.places {
            Places::Block(block) => SpanPlace { recorder: self.recorder.clone(), block, number },
            Places::Each(places) => places[number].clone(),
        }
    }
}
