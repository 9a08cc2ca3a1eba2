//! Who is told of spans and traces as they start and end.

use std::time::Duration;

use crate::span::Span;

/// Is told of spans and traces as they start and end, on the thread that starts or ends them, which waits for it.
pub trait Processor: Send + Sync {
    /// The first span of a trace in this process has started.
    fn on_trace_start(&self, root: &Span) {
        _ = root;
    }

    /// A span has started.
    fn on_start(&self, span: &Span) {
        _ = span;
    }

    /// A span is about to end. What is set on it is still recorded.
    fn on_end(&self, span: &Span) {
        _ = span;
    }

    /// The first span of a trace in this process is about to end.
    fn on_trace_end(&self, root: &Span) {
        _ = root;
    }

    /// Finishes what was begun, for as long as the timeout says, and says whether it is all finished.
    fn flush(&self, timeout: Duration) -> bool {
        _ = timeout;
        true
    }

    /// Nothing more will come.
    fn shut_down(&self) {}
}
