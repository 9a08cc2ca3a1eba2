//! Choosing what is recorded, and who is told.

use std::sync::Arc;

use spanring::callsite::{Callsite, Filter};
use spanring::processor::Processor;
use spanring::redaction::{Capture, Redaction};
use spanring::sampling::{KindRates, Sampler};

use super::SpoolBuilder;

/// Choosing what is recorded, and who is told.
impl SpoolBuilder {
    /// Decides which traces are recorded. Unless it is said here, the variable `OTEL_TRACES_SAMPLER` says it; and unless that is
    /// there, all are but those that another process has decided against: see [`spanring::sampling`].
    pub fn sampler(mut self, sampler: impl Sampler + 'static) -> Self {
        self.hooks.sampler = Some(Arc::new(sampler));
        self
    }

    /// How many of the spans of each kind are recorded: all unless said otherwise.
    pub fn kind_rates(mut self, rates: KindRates) -> Self {
        self.hooks.kinds = Some(rates);
        self
    }

    /// Decides which callsites are enabled, beside the variable `SPANRING_FILTER`: all unless said otherwise. Of several filters, all must
    /// enable a callsite.
    pub fn filter(mut self, filter: impl Filter + 'static) -> Self {
        let filter: Arc<dyn Filter> = match self.hooks.filter.take() {
            None => Arc::new(filter),
            Some(before) => Arc::new(move |callsite: &Callsite| {
                before.is_enabled(callsite) && filter.is_enabled(callsite)
            }),
        };
        self.hooks.filter = Some(filter);
        self
    }

    /// What of the values is recorded: all of it unless said otherwise. Given twice, the last counts. Content is left out too where the
    /// variable `SPANRING_CAPTURE_CONTENT` or `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` says so: the strictest counts.
    pub fn redact(mut self, redaction: Redaction) -> Self {
        self.hooks.redaction = Some(Arc::new(redaction));
        self
    }

    /// Leaves content out as the environment says.
    pub(super) fn capture(mut self, capture: Capture) -> Self {
        if capture > Capture::Full {
            let redaction = self.hooks.redaction.take().map_or_else(Redaction::new, Arc::unwrap_or_clone);
            self.hooks.redaction = Some(Arc::new(redaction.capture(capture)));
        }
        self
    }

    /// Tells a processor of spans and traces as they start and end, on the threads that record, after those that were named before. Every
    /// span costs what its processors cost. They are flushed by [`Spool::flush`](crate::Spool::flush) and shut down when the spool stops.
    pub fn processor(mut self, processor: impl Processor + 'static) -> Self {
        self.hooks.processors.push(Arc::new(processor));
        self
    }
}
