mod arrivals;
mod in_block;
mod live;
mod outages;
mod redelivering;
mod side_by_side;
mod spawning;
mod stalling;
mod stopping;
mod traces;
mod watched;
mod waves;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use proptest::prelude::*;
use spanring::SpanId;
use spanring_spool::{Cursor, DeadLetter, LetterName, SpanData, Spool};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::sink::{Batch, Delivery, Outcome};

/// A process has one recorder at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A spool with so many spans in one block, of a process that stopped in order; and their identities, in order.
pub(crate) fn spool(count: usize) -> (TempDir, Vec<SpanId>) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let spool =
        Spool::open(dir.path()).linger(Duration::from_secs(60)).rings(1, 1).tables(0, 0).start().unwrap();
    let spans = (0..count).map(|_| {
        let span = spanring::span("step").root().start();
        let span_id = span.context().span_id();
        assert!(matches!(span.end(), spanring::Ended::Recorded));
        span_id
    });
    let spans = spans.collect();
    let stopped = spool.stop(Duration::from_secs(60));
    assert!(stopped.is_complete, "{stopped}");
    (dir, spans)
}

fn exporter(dir: &Path, sink: impl Sink + 'static) -> Exporter {
    Exporter::new(SpoolDir::open(dir).unwrap()).to(Box::new(sink)).once(Duration::from_secs(60))
}

fn run(exporter: Exporter, stop: impl Future<Output = ()>) -> ExportReport {
    run_on(&tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap(), exporter, stop)
}

fn run_on(runtime: &Runtime, exporter: Exporter, stop: impl Future<Output = ()>) -> ExportReport {
    runtime.block_on(exporter.run(stop)).unwrap()
}

fn export(dir: &Path, sink: impl Sink + 'static) -> ExportReport {
    run(exporter(dir, sink), std::future::pending())
}

fn letters(dir: &Path) -> Vec<DeadLetter> {
    let letters = SpoolDir::open(dir).unwrap().dead_letters();
    letters.names().unwrap().iter().map(|name| letters.read(name).unwrap().unwrap()).collect()
}

/// The spans of the traces that were set aside as such.
fn traces_aside(dir: &Path) -> Vec<Vec<SpanData>> {
    let letters = SpoolDir::open(dir).unwrap().dead_letters();
    let traces = letters.names().unwrap().into_iter().filter(LetterName::is_trace);
    let spans = |name| {
        let (trace, mut spans) = letters.read_trace(&name).unwrap().unwrap();
        let all: Vec<_> = std::iter::from_fn(|| spans.next_span().unwrap()).collect();
        assert_eq!(trace.spans, all.len() as u64);
        all
    };
    traces.map(spans).collect()
}

/// Answers each batch as it is told to, and remembers what it was sent and what it took.
struct Told<F> {
    answer: F,
    seen: Seen,
}

/// What a sink was sent, by the identities of batches, and how often it took each span.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<(Sent, Taken)>>);

type Sent = BTreeMap<String, Vec<SpanId>>;
type Taken = BTreeMap<SpanId, usize>;

impl<F: FnMut(&[SpanData]) -> Outcome + Send> Sink for Told<F> {
    fn name(&self) -> &str {
        "told"
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        let outcome = (self.answer)(&batch.spans);
        let spans: Vec<_> = batch.spans.iter().map(|span| span.span_id).collect();
        let mut seen = self.seen.0.lock().unwrap();
        let (sent, taken) = &mut *seen;
        let same = sent.entry(batch.id.to_string()).or_insert_with(|| spans.clone());
        assert_eq!(*same, spans, "batch {} is another one now", batch.id);
        if matches!(outcome, Outcome::Delivered { .. }) {
            spans.into_iter().for_each(|span| *taken.entry(span).or_default() += 1);
        }
        Box::pin(async { outcome })
    }
}

impl Seen {
    fn told<F: FnMut(&[SpanData]) -> Outcome + Send>(&self, answer: F) -> Told<F> {
        Told { answer, seen: self.clone() }
    }

    fn taken(&self) -> Taken {
        self.0.lock().unwrap().1.clone()
    }

    fn sent(&self) -> Vec<(String, Vec<SpanId>)> {
        self.0.lock().unwrap().0.clone().into_iter().collect()
    }

    fn requests(&self) -> usize {
        self.0.lock().unwrap().0.len()
    }
}

fn refused() -> Outcome {
    Outcome::Rejected { reason: "not this one".into() }
}

/// Refuses batches with any of these spans.
fn without(poisoned: BTreeSet<SpanId>) -> impl FnMut(&[SpanData]) -> Outcome + Send {
    move |spans| match spans.iter().any(|span| poisoned.contains(&span.span_id)) {
        true => refused(),
        false => Outcome::DELIVERED,
    }
}

#[track_caller]
fn assert_divided(dir: &Path, seen: &Seen, spans: &[SpanId], poisoned: &BTreeSet<SpanId>) {
    let aside: BTreeSet<_> = letters(dir).into_iter().map(|letter| letter.span.span_id).collect();
    assert_eq!(aside, *poisoned);
    let good: BTreeMap<_, _> =
        spans.iter().filter(|span| !poisoned.contains(*span)).map(|&span| (span, 1)).collect();
    assert_eq!(seen.taken(), good);
}

#[test]
fn a_span_that_is_refused_is_set_aside_wherever_it_stands_and_no_other_is() {
    for count in [1, 2, 3, 8, 13] {
        for at in 0..count {
            let (dir, spans) = spool(count);
            let (seen, poisoned) = (Seen::default(), BTreeSet::from([spans[at]]));
            let report = export(dir.path(), seen.told(without(poisoned.clone())));
            assert_divided(dir.path(), &seen, &spans, &poisoned);
            assert!(seen.requests() <= 1 + 2 * count.next_power_of_two().ilog2() as usize, "{at} of {count}");
            let SinkReport { delivered, dead_lettered, end, .. } = &report.sinks[0];
            assert_eq!((*delivered, *dead_lettered, end), (count as u64 - 1, 1, &SinkEnd::Complete));
            assert!(!report.is_complete() && !report.is_failure(), "{report}");
            assert_eq!(report.recorders_removed, 1);

            let [letter] = letters(dir.path()).try_into().unwrap();
            assert_eq!((letter.sink.as_str(), letter.reason.as_str()), ("told", "not this one"));
            assert_eq!((letter.number, letter.span.name.as_str()), (at as u64, "step"));
            assert!(letter.resource.get("service.name").is_some());
        }
    }
}

#[test]
fn two_spans_that_are_refused_are_set_aside_wherever_they_stand_and_no_other_is() {
    let everywhere = |count| (0..count).collect();
    let at_edges = vec![0, SPANS_MAX / 2, SPANS_MAX - 1, SPANS_MAX, SPANS_MAX + 2];
    let blocks = [(2, everywhere(2)), (3, everywhere(3)), (8, everywhere(8)), (SPANS_MAX + 3, at_edges)];
    for (count, places) in blocks {
        for (number, &first) in places.iter().enumerate() {
            for &second in &places[number + 1..] {
                let (dir, spans) = spool(count);
                let (seen, poisoned) = (Seen::default(), BTreeSet::from([spans[first], spans[second]]));
                let report = export(dir.path(), seen.told(without(poisoned.clone())));
                assert_divided(dir.path(), &seen, &spans, &poisoned);
                let SinkReport { delivered, dead_lettered, end, .. } = &report.sinks[0];
                assert_eq!((*delivered, *dead_lettered, end), (count as u64 - 2, 2, &SinkEnd::Complete));
                let numbers: BTreeSet<_> = letters(dir.path()).iter().map(|letter| letter.number).collect();
                assert_eq!(numbers, BTreeSet::from([first as u64, second as u64]));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_number_of_refused_spans_is_set_aside_through_interruptions_and_batches_stay_the_same(
        poisoned in proptest::collection::vec(any::<bool>(), 1..64),
        interrupted_after in proptest::collection::vec(1_usize..20, 0..3),
    ) {
        let (dir, spans) = spool(poisoned.len());
        let poisoned: BTreeSet<_> =
            spans.iter().zip(poisoned).filter_map(|(&span, is_so)| is_so.then_some(span)).collect();
        let seen = Seen::default();
        for requests in interrupted_after {
            let (mut answer, mut left) = (without(poisoned.clone()), requests);
            let interrupted = move |spans: &[SpanData]| {
                left = left.saturating_sub(1);
                if left == 0 { Outcome::Parked { reason: "closed".into() } } else { answer(spans) }
            };
            export(dir.path(), seen.told(interrupted));
        }
        export(dir.path(), seen.told(without(poisoned.clone())));
        let aside: BTreeSet<_> = letters(dir.path()).into_iter().map(|letter| letter.span.span_id).collect();
        prop_assert_eq!(&aside, &poisoned);
        let taken: BTreeSet<_> = seen.taken().into_keys().collect();
        let good: BTreeSet<_> = spans.iter().copied().filter(|span| !poisoned.contains(span)).collect();
        prop_assert_eq!(taken, good);
    }
}

#[test]
fn a_sink_that_refuses_large_batches_is_sent_smaller_ones() {
    for most in [1, 3, 7, 64] {
        let (dir, spans) = spool(100);
        let seen = Seen::default();
        let answer =
            move |spans: &[SpanData]| if spans.len() > most { refused() } else { Outcome::DELIVERED };
        assert!(export(dir.path(), seen.told(answer)).is_complete());
        assert_divided(dir.path(), &seen, &spans, &BTreeSet::new());
    }
}

#[test]
fn what_became_of_each_span_is_in_the_cursor() {
    let (dir, spans) = spool(20);
    let poisoned = spans[3..8].iter().copied().collect();
    // The other sink takes nothing, so that the recorder stays.
    let closed = Parked { times: usize::MAX, taken: Arc::default() };
    let exporter = exporter(dir.path(), Seen::default().told(without(poisoned))).to(Box::new(closed));
    run(exporter, std::future::pending());
    let spool = SpoolDir::open(dir.path()).unwrap();
    let [recorder] = spool.recorders().unwrap().try_into().unwrap();
    let state = Cursor::peek(&spool.recorder_path(&recorder), "told").unwrap();
    assert_eq!((state.delivered, state.dead_lettered, state.dropped), (15, 5, 0));
}

#[test]
fn a_span_that_cannot_be_set_aside_is_kept_and_so_is_all_behind_it() {
    let (dir, spans) = spool(5);
    let poisoned = BTreeSet::from([spans[2]]);
    let seen = Seen::default();
    std::fs::write(dir.path().join("dead-letters"), "in the way").unwrap();
    let report = export(dir.path(), seen.told(without(poisoned.clone())));
    let SinkEnd::Refused { reason } = &report.sinks[0].end else { panic!("{report}") };
    assert!(reason.contains("a span that it refuses (not this one) cannot be set aside: "), "{reason}");
    assert!(reason.contains("it is no directory"), "{reason}");
    assert_eq!(report.recorders_removed, 0);

    std::fs::remove_file(dir.path().join("dead-letters")).unwrap();
    let seen = Seen::default();
    export(dir.path(), seen.told(without(poisoned.clone())));
    assert_divided(dir.path(), &seen, &spans, &poisoned);
}

#[test]
fn a_sink_that_refuses_everything_is_left_alone_before_all_is_set_aside_and_goes_on_later() {
    let (dir, _) = spool(250);
    for aside in [101, 202, 250] {
        let report = export(dir.path(), Seen::default().told(|_| refused()));
        assert_eq!(letters(dir.path()).len(), aside);
        match &report.sinks[0].end {
            SinkEnd::Refused { reason } if aside < 250 => {
                assert_eq!(reason, "it refuses one after the other: not this one");
            }
            end => assert_eq!((end, aside), (&SinkEnd::Complete, 250)),
        }
    }
    // What it refuses between others that it takes is no reason.
    let (dir, spans) = spool(250);
    let bad: BTreeSet<_> =
        spans.iter().copied().enumerate().filter_map(|(at, span)| (at % 2 == 0).then_some(span)).collect();
    let seen = Seen::default();
    export(dir.path(), seen.told(without(bad.clone())));
    assert_divided(dir.path(), &seen, &spans, &bad);
}

#[test]
fn where_dead_letters_are_full_the_sink_waits_and_nothing_is_lost() {
    let (dir, spans) = spool(3);
    let aside = dir.path().join("dead-letters");
    std::fs::DirBuilder::new().mode(0o700).create(&aside).unwrap();
    let large = aside.join("0.letter");
    std::fs::File::create(&large).unwrap().set_len(spanring_spool::LETTERS_BYTES_MAX).unwrap();
    let poisoned = BTreeSet::from([spans[1]]);
    let report = export(dir.path(), Seen::default().told(without(poisoned.clone())));
    let SinkEnd::Refused { reason } = &report.sinks[0].end else { panic!("{report}") };
    assert!(reason.ends_with("is full with 1 dead letters; replay or purge some"), "{reason}");
    assert_eq!(report.recorders_removed, 0);
    std::fs::remove_file(large).unwrap();
    let seen = Seen::default();
    export(dir.path(), seen.told(without(poisoned.clone())));
    assert_divided(dir.path(), &seen, &spans, &poisoned);
}

/// Refuses everything so many times, and takes everything after that.
struct Parked {
    times: usize,
    taken: Arc<AtomicUsize>,
}

impl Sink for Parked {
    fn name(&self) -> &str {
        "parked"
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        Box::pin(async move {
            if let Some(times) = self.times.checked_sub(1) {
                self.times = times;
                return Outcome::Parked { reason: "no such key".into() };
            }
            self.taken.fetch_add(batch.spans.len(), Ordering::SeqCst);
            Outcome::DELIVERED
        })
    }
}

#[test]
fn a_sink_that_takes_nothing_is_asked_again_as_long_as_the_spool_is_followed() {
    let (dir, _) = spool(1);
    let export = |follows: bool| {
        let taken = Arc::new(AtomicUsize::new(0));
        let sink = Parked { times: 2, taken: Arc::clone(&taken) };
        let mut exporter = exporter(dir.path(), sink);
        if follows {
            exporter.mode = Mode::Follow { parked_interval: Duration::from_millis(1), intervals: INTERVALS };
        }
        run(exporter, async move {
            while taken.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    };
    let report = export(false);
    assert_eq!(report.sinks[0].end, SinkEnd::Refused { reason: "no such key".into() }, "{report}");
    assert_eq!(report.sinks[0].delivered, 0, "{report}");
    let report = export(true);
    assert_eq!((report.sinks[0].delivered, report.sinks[0].retries), (1, 2), "{report}");
    assert!(!report.is_failure(), "{report}");
}
