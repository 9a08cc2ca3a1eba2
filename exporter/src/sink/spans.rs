//! The spans of a batch, wherever they are.
//!
//! Most sinks make of a span what it has, and want it on its own. OTLP's write each value out as it stands in the block, and a copy of it in between
//! costs as much as all the rest. So a batch of a block has its spans where they lie, and a copy is made once somebody asks for it.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::OnceLock;

use spanring::{SpanId, TraceId};
use spanring_spool::{BlockRef, SpanData, SpanRef};

/// Spans that are delivered together, in their order: a slice of [`SpanData`].
#[derive(Clone, Copy)]
pub struct Spans<'a>(Place<'a>);

/// Where they are.
#[derive(Clone, Copy)]
enum Place<'a> {
    OfTheirOwn(&'a [SpanData]),
    InBlock { block: &'a BlockSpans<'a>, from: usize, to: usize },
}

/// The spans of a block where they lie, and once they were asked for, copies of them.
pub(crate) struct BlockSpans<'a> {
    rows: Vec<SpanRef<'a>>,
    copies: OnceLock<Vec<SpanData>>,
}

impl<'a> BlockSpans<'a> {
    /// Those that ended or were interrupted.
    pub(crate) fn of(block: &'a BlockRef<'_>) -> Self {
        let mut rows = Vec::with_capacity(block.rows_len());
        rows.extend(block.spans());
        BlockSpans { rows, copies: OnceLock::new() }
    }

    /// All of them.
    pub(crate) fn all(&self) -> Spans<'_> {
        Spans(Place::InBlock { block: self, from: 0, to: self.rows.len() })
    }
}

impl<'a> Spans<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self.0 {
            Place::OfTheirOwn(spans) => spans.len(),
            Place::InBlock { from, to, .. } => to - from,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each on its own. Where they lie in a block, those of the whole block are copied the first time.
    pub fn as_slice(&self) -> &'a [SpanData] {
        match self.0 {
            Place::OfTheirOwn(spans) => spans,
            Place::InBlock { block, from, to } => {
                let copies = block.copies.get_or_init(|| block.rows.iter().map(SpanRef::to_data).collect());
                &copies[from..to]
            }
        }
    }

    /// As they lie in a block, if they do.
    pub(crate) fn in_block(&self) -> Option<&'a [SpanRef<'a>]> {
        match self.0 {
            Place::OfTheirOwn(_) => None,
            Place::InBlock { block, from, to } => Some(&block.rows[from..to]),
        }
    }

    /// Who they are, in their order.
    pub(crate) fn identities(&self) -> impl Iterator<Item = (TraceId, SpanId)> {
        let (rows, copies) = match self.in_block() {
            Some(rows) => (rows, &[][..]),
            None => (&[][..], self.as_slice()),
        };
        let of_rows = rows.iter().map(|span| (span.trace_id(), span.span_id()));
        of_rows.chain(copies.iter().map(|span| (span.trace_id, span.span_id)))
    }

    /// The first `at` of them, and the others.
    pub(crate) fn split_at(&self, at: usize) -> (Spans<'a>, Spans<'a>) {
        (self.range(0..at), self.range(at..self.len()))
    }

    fn range(&self, range: Range<usize>) -> Spans<'a> {
        assert!(range.start <= range.end && range.end <= self.len(), "{range:?} of {} spans", self.len());
        Spans(match self.0 {
            Place::OfTheirOwn(spans) => Place::OfTheirOwn(&spans[range]),
            Place::InBlock { block, from, .. } => {
                Place::InBlock { block, from: from + range.start, to: from + range.end }
            }
        })
    }
}

impl Deref for Spans<'_> {
    type Target = [SpanData];

    fn deref(&self) -> &[SpanData] {
        self.as_slice()
    }
}

impl<'a, S: AsRef<[SpanData]> + ?Sized> From<&'a S> for Spans<'a> {
    fn from(spans: &'a S) -> Self {
        Spans(Place::OfTheirOwn(spans.as_ref()))
    }
}

impl fmt::Debug for Spans<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.in_block() {
            Some(rows) => rows.fmt(f),
            None => self.as_slice().fmt(f),
        }
    }
}
