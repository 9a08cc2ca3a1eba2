//! What a program has put into recording: who decides, who redacts, and who is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::callsite::Filter;
use crate::processor::Processor;
use crate::recorder::Recorder;
use crate::redaction::Redaction;
use crate::sampling::{KindRates, Sampler};

/// What a program has put into a recorder. Without any of it, nothing is asked on the hot path.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Hooks {
    /// Decides which traces are recorded: all, but those that another process has decided against, where there is none.
    pub sampler: Option<Arc<dyn Sampler>>,
    /// How many of the spans of each kind are recorded.
    pub kinds: Option<Arc<KindRates>>,
    /// Decides which callsites are enabled; all where there is none.
    pub filter: Option<Arc<dyn Filter>>,
    /// What of the values is recorded.
    pub redaction: Option<Arc<Redaction>>,
    /// Who is told of spans and traces, in this order.
    pub processors: Vec<Arc<dyn Processor>>,
}

impl Hooks {
    pub(crate) fn flush(&self, _recorder: &Recorder, _timeout: Duration) -> bool {
        true
    }

    pub(crate) fn shut_down(&self, _recorder: &Recorder) {}
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("sampler", &self.sampler.is_some())
            .field("kinds", &self.kinds.is_some())
            .field("filter", &self.filter.is_some())
            .field("redaction", &self.redaction.is_some())
            .field("processors", &self.processors.len())
            .finish()
    }
}
