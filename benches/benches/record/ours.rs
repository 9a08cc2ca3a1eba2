//! spanring, with the spool's threads running as in an application.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use spanring::recorder::Recorder;
use spanring::{Ended, Span, span};
use spanring_benches::{Bed, Calls};

use crate::place;
use crate::ways::{Recording, Session, Work};

/// Spans in a spool, counted by its ledger.
pub(crate) struct Spooled {
    bed: Mutex<Bed>,
    runs_ended: AtomicU64,
}

struct Run<'a> {
    run: Option<Span>,
    runs_ended: &'a AtomicU64,
}

impl Spooled {
    pub(crate) fn new() -> Self {
        Spooled { bed: Mutex::new(Bed::new(place(), |spool| spool)), runs_ended: AtomicU64::new(0) }
    }
}

impl Recording for Spooled {
    fn session(&self) -> Box<dyn Session + '_> {
        let run = Some(spanring::span("run").root().start());
        Box::new(Run { run, runs_ended: &self.runs_ended })
    }

    fn arrived(&self, _: u64) -> u64 {
        let runs = self.runs_ended.swap(0, Ordering::Relaxed);
        let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        bed.settled() - runs
    }
}

impl Session for Run<'_> {
    fn record(&mut self, work: Work, calls: &Calls, count: usize) {
        let Some(run) = &self.run else { return };
        let mut last = Ended::Recorded;
        match work {
            Work::Child => (0..count).for_each(|_| last = calls.step(run)),
            Work::FourAttributes => (0..count).for_each(|number| last = calls.tool(run, number)),
            Work::Llm => (0..count).for_each(|number| last = calls.model(run, number)),
        }
        black_box(last);
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        drop(self.run.take());
        self.runs_ended.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn off(count: u64) {
    assert!(!Recorder::is_any_installed());
    let run = spanring::span("run").start();
    for _ in 0..count {
        black_box(black_box(&run).child("step").start().end());
    }
}

/// With the macro, which asks its callsite first.
pub(crate) fn callsite_off(count: u64) {
    assert!(!Recorder::is_any_installed());
    for _ in 0..count {
        black_box(span!("step", number = black_box(1)).end());
    }
}
