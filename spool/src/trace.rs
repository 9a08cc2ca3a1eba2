//! A trace, read back: its spans as a tree, what they used and cost, how long they took.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use spanring_spool::{Colour, PriceTable, SpoolDir, Trace};
//!
//! let spool = SpoolDir::open("/var/spool/agent")?;
//! let prices = PriceTable::load("prices.toml")?;
//! for mut trace in Trace::in_spool(&spool, None)?.traces {
//!     trace.price(&prices);
//!     trace.print_tree(&mut std::io::stderr(), Colour::auto(&std::io::stderr()))?;
//!     eprintln!("{}", trace.summary());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! All figures are computed on reading: see [`Figures`] for how the figures of spans add up. Nothing here recurses along parents, so
//! a trace may be as deep as it has spans.

mod colour;
mod critical_path;
mod figures;
mod forest;
pub(crate) mod json;
mod ndjson;
mod price;
mod print;
mod replace;
pub(crate) mod shown;
mod spooled;
mod summary;
#[cfg(test)]
pub(crate) mod tests;
mod tree;

use std::collections::{HashMap, HashSet};

use spanring::{Lifecycle, SpanId, Status, TraceId};

use crate::SpanData;

pub use colour::Colour;
pub use figures::Figures;
pub use ndjson::TraceError;
pub use price::{PriceError, PriceFault, PriceTable, Priced};
pub use spooled::SpooledTraces;
pub use summary::{PathStep, Summary};
pub use tree::{Node, Place, Tree};

/// The spans of one trace, at least one, in the order in which they started.
///
/// Of a span that was announced when it started, and is there itself, the announcement is left out. Spans of the same identity
/// are kept otherwise: whatever they are, none is lost.
#[derive(Clone, PartialEq, Debug)]
pub struct Trace {
    trace_id: TraceId,
    spans: Vec<SpanData>,
}

impl Trace {
    /// The trace with this identity, out of spans of any: a [`Reader`](crate::Reader)'s, for example. `None` where no span
    /// belongs to it. For announcements of spans that are still open see [`in_spool`](Self::in_spool).
    ///
    /// # Errors
    ///
    /// The first error among the spans.
    pub fn read<E>(
        spans: impl IntoIterator<Item = Result<SpanData, E>>,
        trace_id: TraceId,
    ) -> Result<Option<Trace>, E> {
        let mut of_trace = Vec::new();
        for span in spans {
            let span = span?;
            if span.trace_id == trace_id {
                of_trace.push(span);
            }
        }
        Ok(Trace::new(trace_id, of_trace))
    }

    /// All traces that these spans belong to, in the order in which the traces started.
    pub fn collect(spans: impl IntoIterator<Item = SpanData>) -> Vec<Trace> {
        let mut places = HashMap::new();
        let mut traces: Vec<(TraceId, Vec<SpanData>)> = Vec::new();
        for span in spans {
            let place = *places.entry(span.trace_id).or_insert(traces.len());
            if place == traces.len() {
                traces.push((span.trace_id, Vec::new()));
            }
            traces[place].1.push(span);
        }
        let traces = traces.into_iter().filter_map(|(trace_id, spans)| Trace::new(trace_id, spans));
        let mut traces: Vec<Trace> = traces.collect();
        traces.sort_by_key(Trace::start_unix_ns);
        traces
    }

    /// `None` for no spans. All of them belong to the trace.
    fn new(trace_id: TraceId, mut spans: Vec<SpanData>) -> Option<Trace> {
        let mut known: HashSet<SpanId> =
            spans.iter().filter(|span| !span.is_open).map(|span| span.span_id).collect();
        spans.retain(|span| !span.is_open || known.insert(span.span_id));
        spans.sort_by_key(|span| span.start_unix_ns);
        (!spans.is_empty()).then_some(Trace { trace_id, spans })
    }

    /// Its identity.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The name of its first root; where the root is missing, that of the first span whose parent is not there.
    pub fn name(&self) -> &str {
        let first_root = self.spans.iter().find(|span| span.parent_id.is_none());
        match first_root {
            Some(root) => &root.name,
            None => self.tree().nodes().first().map_or("", |node| &node.span.name),
        }
    }

    /// Its spans, in the order in which they started.
    pub fn spans(&self) -> &[SpanData] {
        &self.spans
    }

    /// Its spans, in the order in which they started.
    pub fn into_spans(self) -> Vec<SpanData> {
        self.spans
    }

    /// When its first span started, in nanoseconds since the Unix epoch. Where none started, when the first was made.
    pub fn start_unix_ns(&self) -> u64 {
        let first = self.spans.iter().find(|span| !never_started(span)).or(self.spans.first());
        first.map_or(0, |span| span.start_unix_ns)
    }

    /// When its last span ended, likewise. A span that is still open counts with its start, and one that never started not at
    /// all.
    pub fn end_unix_ns(&self) -> u64 {
        let started = self.spans.iter().filter(|span| !never_started(span));
        started.map(|span| span.end_unix_ns).max().unwrap_or_else(|| self.start_unix_ns())
    }

    /// Its spans as a tree, with the figures of each and of each with its descendants.
    pub fn tree(&self) -> Tree<'_> {
        Tree::new(&self.spans)
    }

    /// What its spans come to.
    pub fn summary(&self) -> Summary {
        Summary::of(self)
    }

    /// Says which open spans have timed out at `now`, in nanoseconds since the Unix epoch: those whose deadline has passed.
    pub fn time_out_at(&mut self, now_unix_ns: u64) {
        for span in self.spans.iter_mut().filter(|span| span.is_open) {
            if span.lifecycle_at(now_unix_ns) == Lifecycle::TimedOut {
                span.status = Status::TimedOut;
            }
        }
    }
}

/// Whether it was pending to the end. Such a span did nothing, and took nothing.
fn never_started(span: &SpanData) -> bool {
    span.is_pending && !span.is_open
}
