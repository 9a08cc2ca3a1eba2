//! Who is told of spans and traces as they start and end.

use std::time::Duration;

use crate::span::Span;

/// Is told of spans and traces as they start and end: to keep statistics, to set what every span is to have, to raise an alarm.
///
/// A processor is called on the thread that starts or ends the span, and that waits for it: every span costs what the processor
/// costs. Delivering spans is not its business: that is the exporter's, in another process. Several are called in the order in which
/// they were given. If one panics, that is counted, and neither the others nor the program notice. Spans that a processor starts itself
/// are recorded, and no processor is told of them.
///
/// Spans that are not recorded, because of sampling or for lack of room, are not told of; those that a killed process leaves
/// behind have started and never end.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use spanring::processor::Processor;
/// use spanring::{Kind, Span, Status};
///
/// #[derive(Default)]
/// struct Failures(AtomicU64);
///
/// impl Processor for Failures {
///     fn on_start(&self, span: &Span) {
///         span.set("host.zone", "eu-1b");
///     }
///
///     fn on_end(&self, span: &Span) {
///         if span.status() == Status::Error {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait Processor: Send + Sync {
    /// The first span of a trace in this process has started: a root, or one under a span of another process. Its `on_start` follows.
    fn on_trace_start(&self, first: &Span) {
        _ = first;
    }

    /// A span has started, and carries what its builder has set. One that is pending is told of when it starts.
    fn on_start(&self, span: &Span) {
        _ = span;
    }

    /// A span is about to end, at the moment that is being recorded or a little later. What is set on it is still recorded.
    fn on_end(&self, span: &Span) {
        _ = span;
    }

    /// The first span of a trace in this process is about to end; its `on_end` came before. Others of the trace may still be open.
    fn on_trace_end(&self, first: &Span) {
        _ = first;
    }

    /// Finishes what was begun, for at most as long as the timeout says, and says whether it is all finished.
    fn flush(&self, timeout: Duration) -> bool {
        _ = timeout;
        true
    }

    /// Recording has stopped. Spans that were open may still end.
    fn shut_down(&self) {}
}
