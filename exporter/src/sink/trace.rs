//! Whole traces.

use std::fmt;
use std::io;

use spanring::TraceId;
use spanring_spool::{Resource, SpanData};

use super::BatchId;

/// A trace that is over, or as much of it as one process recorded. It may have more spans than there is memory for.
pub struct Trace<'a> {
    /// Which delivery it is, as for a batch: the same whenever the trace is sent again.
    pub id: BatchId<'a>,
    /// Its identity.
    pub trace_id: TraceId,
    /// What the recording process was.
    pub resource: &'a Resource,
    /// How many spans it has; at least one.
    pub len: usize,
    /// Its spans.
    pub spans: &'a mut dyn TraceSpans,
}

/// The spans of a trace, or of several one after the other, some at a time, in the order in which they ended or were interrupted.
pub trait TraceSpans: Send {
    /// Begins anew with the first.
    fn rewind(&mut self);

    /// The next ones; `None` behind the last.
    ///
    /// # Errors
    ///
    /// Where they cannot be read any more.
    fn next(&mut self) -> io::Result<Option<&[SpanData]>>;

    /// Whether [`next`](Self::next) has failed. Then what the sink said is not about the trace.
    fn has_failed(&self) -> bool {
        false
    }
}

impl fmt::Debug for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trace { id, trace_id, len, .. } = self;
        f.debug_struct("Trace")
            .field("id", id)
            .field("trace_id", trace_id)
            .field("len", len)
            .finish_non_exhaustive()
    }
}
