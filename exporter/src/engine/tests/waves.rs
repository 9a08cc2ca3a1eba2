//! Several batches at the same time, in virtual time: the clock jumps to the next moment that anybody waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proptest::prelude::*;
use spanring::SpanId;
use spanring_spool::{Cursor, Level, Spool, SpoolDir};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{ONE_AT_A_TIME, Seen, export, exporter, letters, run_on, spool};
use crate::engine::{ExportReport, Exporter, Notice, PARKED_INTERVAL, Route, SinkEnd, SinkReport};
use crate::sink::{Batch, Deliveries, Delivery, Outcome, Sink, Wave};

/// How many spans a batch has here.
const LEN: usize = 8;
const RETRY: fn() -> Outcome = || Outcome::Retry { after: None, reason: "it answered 503".into() };
const PARKED: fn() -> Outcome = || Outcome::Parked { reason: "it answered 401".into() };
const SHORT: Duration = Duration::from_millis(50);

/// What a sink saw, and what its exporter told of it, in order.
#[derive(Clone, Debug)]
enum Event {
    Began { id: String, at: Instant },
    Answered { id: String, spans: Vec<SpanId>, outcome: Outcome },
    Opened,
    Abandoned { id: String },
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Event>>>);

impl Log {
    fn push(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }

    fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    fn tell(&self, notice: &Notice) {
        match notice {
            Notice::Opened { .. } => self.push(Event::Opened),
            Notice::Abandoned { batch, .. } => self.push(Event::Abandoned { id: batch.clone() }),
            _ => {}
        }
    }

    fn begun(&self) -> Vec<String> {
        let id = |event| if let Event::Began { id, .. } = event { Some(id) } else { None };
        self.events().into_iter().filter_map(id).collect()
    }

    fn abandoned(&self) -> BTreeSet<String> {
        let id = |event| if let Event::Abandoned { id } = event { Some(id) } else { None };
        self.events().into_iter().filter_map(id).collect()
    }

    /// How often the sink took each span.
    fn taken(&self) -> BTreeMap<SpanId, usize> {
        let mut taken = BTreeMap::new();
        for event in self.events() {
            if let Event::Answered { spans, outcome: Outcome::Delivered { .. }, .. } = event {
                spans.into_iter().for_each(|span| *taken.entry(span).or_default() += 1);
            }
        }
        taken
    }

    fn most_in_flight(&self) -> usize {
        let (mut in_flight, mut most) = (0_usize, 0);
        for event in self.events() {
            match event {
                Event::Began { .. } => in_flight += 1,
                Event::Answered { .. } => in_flight -= 1,
                _ => {}
            }
            most = most.max(in_flight);
        }
        most
    }

    /// What failed is waited for with all that is on its way, and the sink is asked by one batch until it takes one.
    #[track_caller]
    fn assert_cautious(&self) {
        let (mut in_flight, mut is_failing) = (BTreeSet::new(), false);
        // Batches that were begun after the last failure.
        let mut probes = BTreeSet::new();
        for event in self.events() {
            match event {
                Event::Began { id, .. } => {
                    assert!(!is_failing || in_flight.is_empty(), "{id} is begun beside {in_flight:?}");
                    probes.insert(id.clone());
                    assert!(in_flight.insert(id), "it is on its way twice");
                }
                Event::Answered { id, outcome, .. } => {
                    in_flight.remove(&id);
                    match outcome {
                        Outcome::Delivered { .. } => is_failing &= !probes.contains(&id),
                        _ => {
                            is_failing = true;
                            probes.clear();
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

/// What becomes of a batch, and after how long; never where no time is said.
type Script = dyn Fn(Asked<'_>) -> (Option<Duration>, Outcome) + Send + Sync;

struct Asked<'a> {
    number: usize,
    spans: &'a [SpanId],
    /// How often it was sent before.
    again: usize,
}

/// Takes several batches at once.
struct Abreast {
    batches_max: usize,
    script: Arc<Script>,
    log: Log,
}

impl Abreast {
    fn new(
        batches_max: usize,
        log: &Log,
        script: impl Fn(Asked<'_>) -> (Option<Duration>, Outcome) + Send + Sync + 'static,
    ) -> Self {
        Abreast { batches_max, script: Arc::new(script), log: log.clone() }
    }

    async fn ask(&self, batch: &Batch<'_>) -> Outcome {
        let spans: Vec<_> = batch.spans.iter().map(|span| span.span_id).collect();
        let id = batch.id.to_string();
        let again = self.log.begun().iter().filter(|before| **before == id).count();
        self.log.push(Event::Began { id: id.clone(), at: Instant::now() });
        let (wait, outcome) = (self.script)(Asked { number: batch.id.number, spans: &spans, again });
        match wait {
            Some(wait) => sleep(wait).await,
            None => pending().await,
        }
        self.log.push(Event::Answered { id, spans, outcome: outcome.clone() });
        outcome
    }
}

impl Sink for Abreast {
    fn name(&self) -> &str {
        "told"
    }

    fn spans_max(&self) -> usize {
        LEN
    }

    fn batches_max(&self) -> usize {
        self.batches_max
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        Box::pin(self.ask(batch))
    }

    fn deliver_wave<'a>(&'a mut self, wave: &'a mut Wave<'_>) -> Deliveries<'a> {
        let this = &*self;
        Box::pin(wave.deliver(move |batch| async move { this.ask(&batch).await }))
    }
}

fn once(dir: &Path, sink: Abreast) -> Exporter {
    let log = sink.log.clone();
    exporter(dir, sink).on_notice(move |notice| log.tell(&notice))
}

fn follow(dir: &Path, sink: Abreast) -> Exporter {
    let log = sink.log.clone();
    Exporter::new(SpoolDir::open(dir).unwrap()).to(Box::new(sink)).on_notice(move |notice| log.tell(&notice))
}

/// Runs it until so much time has passed, or to its end; how long it took.
fn run_for(exporter: Exporter, time: Option<Duration>) -> (SinkReport, ExportReport, Duration) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let began = runtime.block_on(async { Instant::now() });
    let report = run_on(&runtime, exporter, async {
        match time {
            Some(time) => sleep(time).await,
            None => pending().await,
        }
    });
    let took = runtime.block_on(async { began.elapsed() });
    (report.sinks[0].clone(), report, took)
}

fn each_once<'a>(spans: impl IntoIterator<Item = &'a SpanId>) -> BTreeMap<SpanId, usize> {
    spans.into_iter().map(|&span| (span, 1)).collect()
}

#[test]
fn as_many_batches_are_on_their_way_as_the_sink_takes_and_each_span_comes_once() {
    for (batches_max, expected) in [(0, 1), (1, 1), (2, 2), (8, 8)] {
        let (dir, spans) = spool(50 * LEN + 3);
        let log = Log::default();
        // Answers come out of order.
        let answer = |asked: Asked<'_>| {
            (Some(SHORT * (1 + (u32::try_from(asked.number).unwrap() * 5) % 4)), Outcome::DELIVERED)
        };
        let (sink, report, took) = run_for(once(dir.path(), Abreast::new(batches_max, &log, answer)), None);
        assert!(report.is_complete(), "{report}");
        assert_eq!(log.taken(), each_once(&spans));
        assert_eq!(log.most_in_flight(), expected);
        assert_eq!((sink.requests, sink.retries, sink.delivered), (51, 0, spans.len() as u64));
        // One after the other they take the sum of their times; side by side a share of it.
        let all = SHORT * (0..51).map(|number| 1 + number * 5 % 4).sum();
        assert!(took >= all / u32::try_from(expected).unwrap(), "{took:?} of {all:?}");
        assert!(took <= all / u32::try_from(expected).unwrap() + SHORT * 16, "{took:?} of {all:?}");
    }
}

#[test]
fn what_a_wave_was_not_taken_of_comes_by_itself_and_the_worst_of_it_decides_on_the_wait() {
    let (dir, spans) = spool(20 * LEN);
    let poisoned = BTreeSet::from([spans[6 * LEN], spans[6 * LEN + 5], spans[12 * LEN + 1]]);
    let (log, bad) = (Log::default(), poisoned.clone());
    let answer = move |Asked { number, spans, again }: Asked<'_>| {
        let wait = Some(SHORT * if number == 4 { 3 } else { 1 });
        let outcome = match (number, again) {
            (3, 0) => RETRY(),
            (5, 0) => PARKED(),
            _ if spans.iter().any(|span| bad.contains(span)) => super::refused(),
            _ => Outcome::DELIVERED,
        };
        (wait, outcome)
    };
    let (sink, report, _) =
        run_for(follow(dir.path(), Abreast::new(8, &log, answer)), Some(PARKED_INTERVAL * 2));
    assert_eq!(report.recorders_removed, 1, "{report}");
    log.assert_cautious();
    let aside: BTreeSet<_> = letters(dir.path()).into_iter().map(|letter| letter.span.span_id).collect();
    assert_eq!(aside, poisoned);
    assert_eq!(log.taken(), each_once(spans.iter().filter(|span| !poisoned.contains(span))));
    assert_eq!((sink.delivered, sink.dead_lettered), (spans.len() as u64 - 3, 3));
    assert_eq!((sink.requests, sink.retries), (log.begun().len() as u64, 2));
    // They were on their way together, and what was parked was waited for once.
    let at = |wanted: &str, times: usize| {
        let began = log.events().into_iter().filter_map(|event| match event {
            Event::Began { id, at } if id.ends_with(wanted) => Some(at),
            _ => None,
        });
        began.into_iter().nth(times).unwrap()
    };
    assert_eq!(at(":3", 0), at(":5", 0));
    assert_eq!(at(":3", 0), at(":6", 0));
    let waited = at(":3", 1) - at(":3", 0);
    assert!((PARKED_INTERVAL..PARKED_INTERVAL + SHORT * 4).contains(&waited), "{waited:?}");
    assert!(at(":5", 1) - at(":3", 1) < SHORT * 2 && at(":6/2", 0) > at(":5", 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_a_sink_says_to_what_it_has_at_once_each_span_is_taken_or_set_aside_once(
        batches_max in 1_usize..10,
        batches in proptest::collection::vec((0_usize..3, 0_u32..400, any::<bool>()), 2..24),
        poisoned in proptest::collection::vec(0_usize..24 * LEN, 0..6),
    ) {
        let (dir, spans) = spool(batches.len() * LEN);
        let poisoned: BTreeSet<_> = poisoned.iter().filter_map(|at| spans.get(*at).copied()).collect();
        let (log, bad) = (Log::default(), poisoned.clone());
        let answer = move |Asked { number, spans, again }: Asked<'_>| {
            let (failures, wait_ms, has_it) = batches[number];
            let outcome = match spans.iter().any(|span| bad.contains(span)) {
                _ if again < failures && (spans.len() == LEN || has_it) => RETRY(),
                true => super::refused(),
                false => Outcome::DELIVERED,
            };
            (Some(Duration::from_millis(wait_ms.into())), outcome)
        };
        let (sink, report, _) = run_for(once(dir.path(), Abreast::new(batches_max, &log, answer)), None);
        prop_assert_eq!(&sink.end, &SinkEnd::Complete, "{}", report);
        log.assert_cautious();
        prop_assert!(log.most_in_flight() <= batches_max);
        let aside: BTreeSet<_> = letters(dir.path()).into_iter().map(|letter| letter.span.span_id).collect();
        prop_assert_eq!(&aside, &poisoned);
        prop_assert_eq!(log.taken(), each_once(spans.iter().filter(|span| !poisoned.contains(span))));
        prop_assert_eq!((sink.delivered, sink.dead_lettered), ((spans.len() - aside.len()) as u64, aside.len() as u64));
        let begun = log.begun();
        let different = begun.iter().collect::<BTreeSet<_>>().len();
        prop_assert_eq!((sink.requests, sink.retries), (begun.len() as u64, (begun.len() - different) as u64));
    }
}

#[test]
fn a_wave_that_fails_is_one_failure_and_the_sink_is_asked_by_one_batch_until_it_answers() {
    let (dir, _) = spool(40 * LEN);
    let log = Log::default();
    let answer =
        |asked: Asked<'_>| (Some(SHORT), if asked.number < 7 { Outcome::DELIVERED } else { RETRY() });
    let (sink, ..) = run_for(once(dir.path(), Abreast::new(8, &log, answer)), None);
    assert!(matches!(sink.end, SinkEnd::GaveUp { .. }), "{sink:?}");
    log.assert_cautious();
    assert_eq!(log.most_in_flight(), 8);
    let events = log.events();
    let opened = events.iter().position(|event| matches!(event, Event::Opened)).unwrap();
    let begun = |events: &[Event]| events.iter().filter(|event| matches!(event, Event::Began { .. })).count();
    // Seven that were taken, the eight of the wave, and four probes: five failures.
    assert_eq!(begun(&events[..opened]), 7 + 8 + 4);
    assert_eq!((sink.requests, sink.retries), (begun(&events) as u64, begun(&events) as u64 - 15));
    assert_eq!(sink.delivered, 7 * LEN as u64);
}

#[test]
fn a_sink_that_is_out_from_the_beginning_gets_no_wave() {
    let (dir, _) = spool(20 * LEN);
    let log = Log::default();
    let (sink, ..) = run_for(once(dir.path(), Abreast::new(8, &log, |_| (Some(SHORT), RETRY()))), None);
    assert!(matches!(sink.end, SinkEnd::GaveUp { .. }), "{sink:?}");
    assert_eq!(log.most_in_flight(), 1);
    let begun = log.begun();
    assert!(begun.len() > 5 && begun.iter().all(|id| *id == begun[0]), "{begun:?}");
}

#[test]
fn a_stop_abandons_all_that_is_on_its_way_and_counts_what_was_taken_before() {
    let deadline = Duration::from_secs(3);
    let (dir, spans) = spool(30 * LEN);
    let log = Log::default();
    let answer = |asked: Asked<'_>| ((asked.number < 10).then_some(SHORT), Outcome::DELIVERED);
    let exporter = follow(dir.path(), Abreast::new(8, &log, answer)).stop_deadline(deadline);
    let (sink, report, took) = run_for(exporter, Some(Duration::from_secs(1)));
    assert_eq!((&sink.end, sink.delivered), (&SinkEnd::Stopped, 10 * LEN as u64), "{report}");
    assert!((deadline..deadline + SHORT).contains(&(took - Duration::from_secs(1))), "{took:?}");
    let begun = log.begun();
    assert_eq!((begun.len(), sink.requests), (18, 18));
    assert_eq!(log.abandoned(), begun[10..].iter().cloned().collect());

    let again = Log::default();
    let all = |_: Asked<'_>| (Some(SHORT), Outcome::DELIVERED);
    let (_, report, _) = run_for(once(dir.path(), Abreast::new(8, &again, all)), None);
    assert!(report.is_complete(), "{report}");
    assert_eq!(again.taken(), each_once(&spans));
    assert!(again.begun().starts_with(&begun), "the batches were other ones");
}

#[test]
fn once_a_stop_is_asked_for_what_is_on_its_way_counts_and_nothing_more_is_sent() {
    let (dir, _) = spool(30 * LEN);
    let log = Log::default();
    let answer = |asked: Asked<'_>| {
        (Some(if asked.number < 7 { SHORT } else { Duration::from_secs(2) }), Outcome::DELIVERED)
    };
    let (sink, report, took) =
        run_for(follow(dir.path(), Abreast::new(8, &log, answer)), Some(Duration::from_secs(1)));
    assert_eq!((&sink.end, sink.delivered), (&SinkEnd::Stopped, 15 * LEN as u64), "{report}");
    assert!(took < Duration::from_secs(3) && log.abandoned().is_empty(), "{took:?}");
    assert_eq!((log.begun().len(), sink.requests), (15, 15));
    // The rest of its block was not, so the cursor stays before it.
    assert_eq!(has(dir.path()), 0);
}

#[test]
fn a_limited_rate_is_kept_and_reached_whatever_an_answer_takes() {
    const PER_SECOND: u32 = 100;
    let (dir, spans) = spool(100 * LEN);
    let log = Log::default();
    let answer = |_: Asked<'_>| (Some(SHORT * 10), Outcome::DELIVERED);
    let sink = Box::new(Abreast::new(8, &log, answer));
    let route = Route::to(sink).spans_per_second(NonZeroU32::new(PER_SECOND).unwrap());
    let exporter = Exporter::new(SpoolDir::open(dir.path()).unwrap()).along(route).once(SHORT * 1000);
    let (_, report, took) = run_for(exporter, None);
    assert!(report.is_complete(), "{report}");
    assert_eq!(log.taken(), each_once(&spans));
    let at = |event| if let Event::Began { at, .. } = event { Some(at) } else { None };
    let begun: Vec<_> = log.events().into_iter().filter_map(at).collect();
    for (number, at) in begun.iter().enumerate() {
        let most = f64::from(PER_SECOND) * ((*at - begun[0]).as_secs_f64() + 1.0);
        assert!(((number * LEN) as f64) <= most, "{number} batches after {:?}", *at - begun[0]);
    }
    // One after the other it would take 50 s.
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// A spool with blocks of so many batches in it.
fn spool_of_blocks(batches: &[usize]) -> (TempDir, Vec<SpanId>) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let patience = Duration::from_secs(60);
    let spool = Spool::open(dir.path()).linger(patience).rings(1, 1).tables(0, 0).start().unwrap();
    let mut spans = Vec::new();
    for batches in batches {
        for _ in 0..batches * LEN {
            let span = spanring::span("step").root().start();
            spans.push(span.context().span_id());
            assert!(matches!(span.end(), spanring::Ended::Recorded));
        }
        spool.flush(Level::Spooled, patience).unwrap();
    }
    assert!(spool.stop(patience).is_complete);
    (dir, spans)
}

/// How many spans the cursor says that the sink has.
fn has(dir: &Path) -> u64 {
    let spool = SpoolDir::open(dir).unwrap();
    let [recorder] = spool.recorders().unwrap().try_into().unwrap();
    Cursor::peek(&spool.recorder_path(&recorder), "told").map_or(0, |state| state.delivered)
}

#[test]
fn batches_of_several_blocks_are_on_their_way_at_the_same_time_and_each_span_comes_once() {
    let (dir, spans) = spool_of_blocks(&[1, 2, 1, 1, 3, 1, 1, 1, 1, 1, 1, 1, 9, 1]);
    let poisoned = BTreeSet::from([spans[3], spans[7 * LEN]]);
    let (log, bad) = (Log::default(), poisoned.clone());
    let answer = move |asked: Asked<'_>| match asked.spans.iter().any(|span| bad.contains(span)) {
        true => (Some(SHORT), super::refused()),
        false => (Some(SHORT), Outcome::DELIVERED),
    };
    let (sink, report, _) = run_for(once(dir.path(), Abreast::new(8, &log, answer)), None);
    assert_eq!((&sink.end, report.recorders_removed), (&SinkEnd::Complete, 1), "{report}");
    log.assert_cautious();
    assert!(log.most_in_flight() >= 7, "{} at once", log.most_in_flight());
    assert_eq!(log.taken(), each_once(spans.iter().filter(|span| !poisoned.contains(span))));
    assert_eq!((sink.delivered, sink.dead_lettered), (spans.len() as u64 - 2, 2));
    let letters = letters(dir.path());
    assert_eq!(letters.iter().map(|letter| letter.span.span_id).collect::<BTreeSet<_>>(), poisoned);
    let numbers: Vec<_> = letters.iter().map(|letter| letter.number).collect();
    // The second is the first span of the third batch of its block.
    assert!(numbers.contains(&3) && numbers.contains(&(2 * LEN as u64)), "{numbers:?}");
}

#[test]
fn where_a_wave_ends_before_its_end_the_blocks_that_are_done_before_all_others_do_not_come_again() {
    let (dir, spans) = spool_of_blocks(&[1, 2, 1, 2, 1, 1, 1]);
    let log = Log::default();
    let slow = spans[4 * LEN];
    // The first batch of the fourth block is never answered, while all behind it are.
    let answer = move |asked: Asked<'_>| ((asked.spans[0] != slow).then_some(SHORT), Outcome::DELIVERED);
    let exporter = follow(dir.path(), Abreast::new(8, &log, answer)).stop_deadline(SHORT);
    let (sink, ..) = run_for(exporter, Some(Duration::from_secs(1)));
    assert_eq!((&sink.end, sink.delivered), (&SinkEnd::Stopped, 8 * LEN as u64));
    assert_eq!((log.abandoned().len(), has(dir.path())), (1, 4 * LEN as u64));

    let again = Log::default();
    let all = |_: Asked<'_>| (Some(SHORT), Outcome::DELIVERED);
    let (_, report, _) = run_for(once(dir.path(), Abreast::new(8, &again, all)), None);
    assert!(report.is_complete(), "{report}");
    assert_eq!(again.taken(), each_once(&spans[4 * LEN..]));
    assert!(again.begun().iter().all(|id| log.begun().contains(id)), "the batches were other ones");
}

/// Says that it takes several batches at once, and does nothing with them.
struct Idle(Seen);

impl Sink for Idle {
    fn name(&self) -> &str {
        "idle"
    }

    fn batches_max(&self) -> usize {
        8
    }

    fn spans_max(&self) -> usize {
        LEN
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        Box::pin(async move { self.0.told(|_| Outcome::DELIVERED).deliver(batch).await })
    }

    fn deliver_wave<'a>(&'a mut self, wave: &'a mut Wave<'_>) -> Deliveries<'a> {
        // Every third is begun, and has no answer.
        Box::pin(async move {
            if self.0.requests().is_multiple_of(3) {
                wave.begin();
            }
        })
    }
}

#[test]
fn a_sink_that_does_nothing_with_a_wave_gets_its_batches_one_by_one() {
    let (dir, spans) = spool(10 * LEN);
    let seen = Seen::default();
    let report = export(dir.path(), Idle(seen.clone()));
    assert!(report.is_complete(), "{report}");
    assert_eq!(seen.taken(), each_once(&spans));
}
