//! What a program has put into recording: who decides, who redacts, and who is told.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::callsite::Filter;
use crate::caught::caught;
use crate::control::Counter;
use crate::processor::Processor;
use crate::recorder::Recorder;
use crate::redaction::Redaction;
use crate::sampling::{KindRates, Root, Sampler};
use crate::span::Span;
use crate::thread::local;

/// What a program has put into a recorder. Without any of it, nothing is asked on the hot path.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Decides which traces are recorded: all but those that another process has decided against, where there is none.
    pub sampler: Option<Arc<dyn Sampler>>,
    /// How many of the spans of each kind are recorded; all where nothing is said.
    pub kinds: Option<KindRates>,
    /// Decides which callsites are enabled; all where there is none.
    pub filter: Option<Arc<dyn Filter>>,
    /// What of the values is recorded; all of it where nothing is said.
    pub redaction: Option<Arc<Redaction>>,
    /// Who is told of spans and traces, in this order.
    pub processors: Vec<Arc<dyn Processor>>,
}

/// Who is asked before a span starts, a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Asks(pub(crate) u8);

impl Asks {
    pub(crate) const NOBODY: Asks = Asks(0);
    const ROOTS: u8 = 1;
    const SPANS: u8 = 2;
    const NAMES: u8 = 4;

    /// Whether somebody is asked about every span.
    #[inline]
    pub(crate) fn about_spans(self) -> bool {
        self.0 & Self::SPANS != 0
    }

    /// Whether somebody is asked about names that are made at run time.
    #[inline]
    pub(crate) fn about_names(self) -> bool {
        self.0 & Self::NAMES != 0
    }
}

impl Hooks {
    /// Who is asked before a span starts.
    pub(crate) fn asks(&self) -> Asks {
        let roots = if self.sampler.is_some() { Asks::ROOTS } else { 0 };
        let spans = if self.kinds.is_some() { Asks::ROOTS | Asks::SPANS } else { 0 };
        let names = if self.redaction.is_some() { Asks::NAMES } else { 0 };
        Asks(roots | spans | names)
    }

    /// Whether anybody is told of spans.
    pub(crate) fn has_processors(&self) -> bool {
        !self.processors.is_empty()
    }

    /// Whether a trace is recorded. What a hook starts itself is not decided upon.
    pub(crate) fn is_sampled(&self, recorder: &Recorder, root: &Root<'_>) -> bool {
        let by_parent = !root.parent.is_valid() || root.parent.is_sampled();
        let Some(sampler) = &self.sampler else { return by_parent };
        call(recorder, || sampler.is_sampled(root)).unwrap_or(true)
    }

    /// Tells the processors that a span has started.
    pub(crate) fn started(&self, recorder: &Recorder, span: &Span, is_first: bool) {
        for processor in &self.processors {
            if is_first {
                call(recorder, || processor.on_trace_start(span));
            }
            call(recorder, || processor.on_start(span));
        }
    }

    /// Tells the processors that a span is about to end.
    pub(crate) fn ending(&self, recorder: &Recorder, span: &Span, is_first: bool) {
        for processor in &self.processors {
            call(recorder, || processor.on_end(span));
            if is_first {
                call(recorder, || processor.on_trace_end(span));
            }
        }
    }

    /// Has every processor finish what it has begun, within the time that they share; says whether all have.
    pub(crate) fn flush(&self, recorder: &Recorder, timeout: Duration) -> bool {
        let began = Instant::now();
        let left = || timeout.saturating_sub(began.elapsed());
        let flushed = self.processors.iter().map(|processor| call(recorder, || processor.flush(left())));
        // Each of them, even where one has not.
        flushed.filter(|flushed| *flushed != Some(true)).count() == 0
    }

    /// Tells every processor that nothing more will come.
    pub(crate) fn shut_down(&self, recorder: &Recorder) {
        for processor in &self.processors {
            call(recorder, || processor.shut_down());
        }
    }
}

/// Calls a hook; `None` where it panicked, which is counted, where this thread is within one already, and for what a forked child has
/// inherited: the hook may wait there for a lock that a thread of the parent's had.
pub(crate) fn call<T>(recorder: &Recorder, hook: impl FnOnce() -> T) -> Option<T> {
    let local = local();
    if recorder.is_forked() || !local.begin_hook() {
        return None;
    }
    let answer = caught(hook);
    local.end_hook();
    if answer.is_none() {
        recorder.control().count(Counter::HooksFailed);
    }
    answer
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("sampler", &self.sampler.is_some())
            .field("kinds", &self.kinds)
            .field("filter", &self.filter.is_some())
            .field("redaction", &self.redaction.is_some())
            .field("processors", &self.processors.len())
            .finish()
    }
}
