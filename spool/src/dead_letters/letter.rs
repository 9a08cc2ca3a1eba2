//! A letter of whichever sort.

use super::{DeadLetter, DeadLetters, DeadTrace, DeadTraceSpans, LetterName};
use crate::Error;

/// What was set aside under one name.
pub enum Letter {
    /// A span.
    Span(DeadLetter),
    /// A whole trace, and its spans, which are still to be read.
    Trace(DeadTrace, DeadTraceSpans),
}

impl DeadLetters {
    /// Reads a letter, of a whole trace not its spans yet; `None` where it is there no more.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read) and [`read_trace`](Self::read_trace).
    pub fn open(&self, name: &LetterName) -> Result<Option<Letter>, Error> {
        Ok(match name.is_trace() {
            true => self.read_trace(name)?.map(|(trace, spans)| Letter::Trace(trace, spans)),
            false => self.read(name)?.map(Letter::Span),
        })
    }
}

impl Letter {
    /// The address of the sink that refused.
    pub fn sink(&self) -> &str {
        match self {
            Letter::Span(letter) => &letter.sink,
            Letter::Trace(trace, _) => &trace.sink,
        }
    }

    /// How many spans it has.
    pub fn spans(&self) -> u64 {
        match self {
            Letter::Span(_) => 1,
            Letter::Trace(trace, _) => trace.spans,
        }
    }
}
