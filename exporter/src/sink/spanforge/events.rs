//! The events of batches, in which runs have the totals of their traces.

use spanring_spool::{SpanData, Value};

use super::SpanForgeOptions;
use crate::sink::{Batch, TraceSpans};
use crate::spanforge::{Emitter, Event, RunTotals};

#[derive(Clone, Debug)]
pub(super) struct Events {
    pub(super) options: SpanForgeOptions,
    /// Of the runs in the traces that are delivered now.
    totals: RunTotals,
}

impl Events {
    pub(super) fn new(options: &SpanForgeOptions) -> Self {
        Events { options: options.clone(), totals: RunTotals::default() }
    }

    /// Adds up what the runs of these traces come to.
    pub(super) async fn overview(&mut self, spans: &mut dyn TraceSpans) {
        // Of what cannot be read nothing is delivered.
        self.totals = RunTotals::read(spans).await.unwrap_or_default();
    }

    pub(super) fn known_of(&self, span: &SpanData) -> Vec<(String, Value)> {
        self.totals.kept_of(span)
    }

    pub(super) fn recall(&mut self, span: &SpanData, known: &[(String, Value)]) {
        self.totals = RunTotals::kept(span, known);
    }

    /// The events of a batch, signed as a chain of their own where there is a key.
    pub(super) fn of(&self, batch: &Batch<'_>) -> Vec<Event> {
        let mut events = self.unsigned(batch);
        if let Some(key) = &self.options.signing_key {
            key.chain(&mut events);
        }
        events
    }

    /// The events of a batch.
    pub(super) fn unsigned(&self, batch: &Batch<'_>) -> Vec<Event> {
        let emitter = Emitter::of(batch.resource)
            .or_in(self.options.environment.as_deref())
            .or_for(self.options.organization.as_deref());
        match self.totals.covers(&batch.spans) {
            true => emitter.events_with(&batch.spans, &self.totals),
            // Nobody has shown the trace.
            false => emitter.events(&batch.spans),
        }
    }
}
