//! A whole trace out of the dead letters, as a sink is handed it.

use std::io;

use spanring_spool::{DeadTraceSpans, Error, SpanData};

use crate::error::with_causes;
use crate::sink::TraceSpans;

/// The spans of a trace in a letter, some at a time.
pub(super) struct LetterSpans {
    spans: DeadTraceSpans,
    /// How many at most at a time.
    at_once: usize,
    chunk: Vec<SpanData>,
    has_failed: bool,
}

impl LetterSpans {
    /// These, at most so many at a time.
    pub(super) fn new(spans: DeadTraceSpans, at_once: usize) -> Self {
        LetterSpans { spans, at_once, chunk: Vec::new(), has_failed: false }
    }

    fn failed(&mut self, error: &Error) -> io::Error {
        self.has_failed = true;
        io::Error::other(with_causes(error))
    }
}

impl TraceSpans for LetterSpans {
    fn rewind(&mut self) {
        // What is read next says so.
        self.has_failed |= self.spans.rewind().is_err();
    }

    fn next(&mut self) -> io::Result<Option<&[SpanData]>> {
        self.chunk = self.spans.next_chunk(self.at_once).map_err(|error| self.failed(&error))?;
        Ok((!self.chunk.is_empty()).then_some(&self.chunk[..]))
    }

    fn has_failed(&self) -> bool {
        self.has_failed
    }
}
