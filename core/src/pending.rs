//! A span that has an identity and has not started.

use std::ops::Deref;

use serde::Serialize;

use crate::span::{Ended, Span};
use crate::{SharedSpan, Status, names};

/// A span that was [prepared](crate::SpanBuilder::prepare) and has not started. It can be filled, and others can be started under it.
///
/// Dropped, it starts and completes at once, with its [default input](Pending::default_input).
///
/// ```
/// let plan = spanring::span("plan").type_name("agent:plan").prepare();
/// let work = plan.start();
/// work.output(&["done"]);
/// work.complete();
///
/// let not_needed = spanring::tool("search").prepare();
/// not_needed.cancel();
/// ```
#[must_use = "a pending span that is dropped starts and completes at once"]
#[derive(Debug)]
pub struct Pending {
    /// Does nothing any more once it was taken out.
    span: Span,
}

impl Pending {
    pub(crate) fn new(span: Span) -> Self {
        Pending { span }
    }

    /// What the span is given if it is dropped without having been started. If it is started or cancelled, this does not count.
    pub fn default_input<T: Serialize + ?Sized>(self, value: &T) -> Self {
        self.span.set_value(names::DEFAULT_INPUT, value);
        self
    }

    /// Starts the span.
    pub fn start(mut self) -> Span {
        let span = self.take();
        span.start_pending(None, false);
        span
    }

    /// Starts the span at this moment, in nanoseconds since the Unix epoch, and not now.
    pub fn start_at_unix_ns(mut self, start_unix_ns: u64) -> Span {
        let span = self.take();
        span.start_pending(Some(start_unix_ns), false);
        span
    }

    /// Gives the span up: it ends as cancelled, without ever having started.
    pub fn cancel(mut self) -> Ended {
        self.take().cancel()
    }

    /// Gives the span up at this moment, in nanoseconds since the Unix epoch, and not now.
    pub fn cancel_at_unix_ns(mut self, end_unix_ns: u64) -> Ended {
        let span = self.take();
        span.set_status(Status::Cancelled);
        span.end_at_unix_ns(end_unix_ns)
    }

    /// A handle that can be cloned and sent to several threads.
    pub fn shared(self) -> SharedSpan {
        SharedSpan::pending(self)
    }

    /// The span, which nobody has started.
    pub(crate) fn into_unstarted(mut self) -> Span {
        self.take()
    }

    fn take(&mut self) -> Span {
        let context = self.span.context();
        std::mem::replace(&mut self.span, Span::off(context))
    }
}

impl Deref for Pending {
    type Target = Span;

    fn deref(&self) -> &Span {
        &self.span
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let span = self.take();
        span.start_pending(None, true);
    }
}
