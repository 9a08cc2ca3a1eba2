//! A stop while a sink is at a batch, in virtual time: the clock jumps to the next moment that anybody waits for.

use std::future::pending;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use spanring_spool::{Cursor, SpoolDir};
use tokio::time::{Instant, sleep, timeout};

use super::{Seen, exporter, run, spool};
use crate::engine::{ExportReport, Exporter, Notice, SPANS_MAX, STOP_DEADLINE, SinkEnd};
use crate::sink::{Batch, Delivery, Outcome, Sink};

/// More spans than a batch has.
const SPANS: usize = SPANS_MAX + 88;
/// Longer than any deadline here.
const PATIENCE: Duration = Duration::from_secs(2 * 60 * 60);
/// How much later a timer of tokio may be ready than it was set to.
const TICK: Duration = Duration::from_millis(2);

/// Has every batch at once, and takes its time to answer.
struct Slow {
    answers_after: Option<Duration>,
    seen: Seen,
}

impl Sink for Slow {
    fn name(&self) -> &str {
        "told"
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        Box::pin(async move {
            let outcome = self.seen.told(|_| Outcome::DELIVERED).deliver(batch).await;
            match self.answers_after {
                Some(wait) => sleep(wait).await,
                None => pending().await,
            }
            outcome
        })
    }
}

/// What came of an exporter that was told to stop after a second.
struct Stopped {
    report: ExportReport,
    notices: Vec<Notice>,
    /// How long it took from there.
    took: Duration,
}

fn stop_after_a_second(exporter: Exporter) -> Stopped {
    let notices = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&notices);
    let exporter = exporter.on_notice(move |notice| told.lock().unwrap().push(notice));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (report, took) = runtime.block_on(async {
        let began = Instant::now();
        let run = exporter.run(sleep(Duration::from_secs(1)));
        let report = timeout(PATIENCE, run).await.expect("it ends").unwrap();
        (report, began.elapsed() - Duration::from_secs(1))
    });
    let notices = std::mem::take(&mut *notices.lock().unwrap());
    Stopped { report, notices, took }
}

fn slow(dir: &Path, answers_after: Option<Duration>, seen: &Seen) -> Exporter {
    Exporter::new(SpoolDir::open(dir).unwrap()).to(Box::new(Slow { answers_after, seen: seen.clone() }))
}

fn delivered(dir: &Path) -> u64 {
    let spool = SpoolDir::open(dir).unwrap();
    let [recorder] = spool.recorders().unwrap().try_into().unwrap();
    Cursor::peek(&spool.recorder_path(&recorder), "told").map_or(0, |state| state.delivered)
}

#[test]
fn a_sink_that_does_not_answer_holds_up_a_stop_for_no_longer_than_the_deadline_and_gets_its_batch_again() {
    let cases = [None, Some(0), Some(3), Some(3600)].into_iter();
    // With one batch the block would be done with it.
    for (deadline, count) in cases.flat_map(|deadline| [(deadline, SPANS), (deadline, 3)]) {
        let (dir, spans) = spool(count);
        let seen = Seen::default();
        let mut exporter = slow(dir.path(), None, &seen);
        if let Some(secs) = deadline {
            exporter = exporter.stop_deadline(Duration::from_secs(secs));
        }
        let Stopped { report, notices, took } = stop_after_a_second(exporter);
        let deadline = deadline.map_or(STOP_DEADLINE, Duration::from_secs);
        assert!((deadline..=deadline + 2 * TICK).contains(&took), "{took:?} of {deadline:?}");
        assert_eq!((report.sinks[0].delivered, &report.sinks[0].end), (0, &SinkEnd::Stopped));
        assert!(matches!(notices.as_slice(), [Notice::Abandoned { .. }]), "{notices:?}");
        assert!(!report.is_failure() && !report.is_complete());

        let again = Seen::default();
        run(super::exporter(dir.path(), again.told(|_| Outcome::DELIVERED)), pending());
        assert_eq!(again.taken().len(), spans.len());
        assert!(again.taken().values().all(|&times| times == 1));
        assert!(again.sent().starts_with(&seen.sent()), "the batch was another one");
    }
}

#[test]
fn an_answer_before_the_deadline_counts_and_nothing_is_sent_after_it() {
    let (dir, _) = spool(SPANS);
    let seen = Seen::default();
    let exporter = slow(dir.path(), Some(Duration::from_secs(5)), &seen);
    let Stopped { report, notices, took } = stop_after_a_second(exporter);
    assert!((Duration::from_secs(4)..=Duration::from_secs(4) + 2 * TICK).contains(&took), "{took:?}");
    assert_eq!((report.sinks[0].delivered, report.sinks[0].requests), (SPANS_MAX as u64, 1));
    assert!(notices.is_empty(), "{notices:?}");
    // The rest of its block was not, so the cursor stays before it.
    assert_eq!(delivered(dir.path()), 0);
}

#[test]
fn one_sink_without_an_answer_takes_nothing_from_another() {
    let (dir, _) = spool(SPANS);
    let seen = Seen::default();
    let exporter = exporter(dir.path(), Slow { answers_after: None, seen: Seen::default() });
    let exporter = exporter.to(Box::new(Quick(seen.clone())));
    let Stopped { report, .. } = stop_after_a_second(exporter);
    assert_eq!(seen.taken().len(), SPANS);
    assert_eq!(report.sinks[1].end, SinkEnd::Complete);
    let spool = SpoolDir::open(dir.path()).unwrap();
    let [recorder] = spool.recorders().unwrap().try_into().unwrap();
    let state = Cursor::peek(&spool.recorder_path(&recorder), "quick").unwrap();
    assert_eq!(state.delivered, SPANS as u64);
}

struct Quick(Seen);

impl Sink for Quick {
    fn name(&self) -> &str {
        "quick"
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        Box::pin(async move { self.0.told(|_| Outcome::DELIVERED).deliver(batch).await })
    }
}
