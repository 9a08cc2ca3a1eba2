//! Traces that are delivered once they are over.

mod notes;
mod overview;
mod redelivering;
mod restarts;
mod rules;

use std::time::SystemTime;

use spanring::{Context, Overflow, Span, Status, TraceId};
use spanring_spool::{CursorState, Level, Position, RecorderId, Resource};

use super::*;
use crate::engine::Keep;
use crate::engine::porter::{Counts, Porter};
use crate::engine::traces::Traces;
use crate::sink::{Needs, Overview, Process, Trace, TraceSpans};

const MINUTE: Duration = Duration::from_secs(60);

/// What was recorded: the spans of each trace, and the parent of each.
type Recorded = BTreeMap<TraceId, BTreeMap<SpanId, Option<SpanId>>>;

/// Records, in a spool whose blocks end where `record` flushes.
fn recorded(record: impl FnOnce(&Spool, &mut Recorded)) -> (TempDir, Recorded) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path())
        .linger(MINUTE)
        .rings(1, 1)
        .ring_bytes(8 << 20)
        // Thousands are open at once.
        .tables(8, 64)
        .overflow(Overflow::Block(MINUTE))
        .start()
        .unwrap();
    let mut recorded = Recorded::new();
    record(&spool, &mut recorded);
    let stopped = spool.stop(MINUTE);
    assert!(stopped.is_complete, "{stopped}");
    assert_eq!(stopped.ledger.dropped.total(), 0, "{stopped}");
    (dir, recorded)
}

fn start(recorded: &mut Recorded, parent: Option<Context>) -> Span {
    let builder = spanring::span("step");
    let span = match parent {
        None => builder.root().start(),
        Some(parent) => builder.parent(parent).start(),
    };
    let (context, parent) = (span.context(), parent.map(|parent| parent.span_id()));
    recorded.entry(context.trace_id()).or_default().insert(context.span_id(), parent);
    span
}

fn cut(spool: &Spool) {
    spool.flush(Level::Spooled, MINUTE).unwrap();
}

/// So many traces of so many levels, whose spans end in turn, a level of all in each block: children before parents.
fn interleaved(count: usize, levels: usize) -> (TempDir, Recorded) {
    recorded(|spool, recorded| {
        let mut open =
            vec![Vec::new(); count].into_iter().map(|_: Vec<()>| Vec::<Span>::new()).collect::<Vec<_>>();
        for _ in 0..levels {
            for spans in &mut open {
                let parent = spans.last().map(Span::context);
                spans.push(start(recorded, parent));
            }
        }
        for _ in 0..levels {
            open.iter_mut().for_each(|spans| drop(spans.pop()));
            cut(spool);
        }
    })
}

/// A sink that is delivered traces, or parents first, and takes them as it is told to.
struct ByTrace<F> {
    needs: Needs,
    answer: F,
    /// What it says when it is told that a process is over.
    over: Box<dyn FnMut() -> Outcome + Send>,
    seen: Arc<Mutex<Handed>>,
}

/// What a sink was handed.
#[derive(Default)]
struct Handed {
    /// What it took, in order: each batch or trace by itself.
    taken: Vec<Vec<SpanData>>,
    /// By the identities that it was sent under.
    sent: Sent,
    /// The processes that it was told are over, and whether they died.
    over: Vec<(RecorderId, bool)>,
    /// The processes that it was told to forget.
    forgotten: Vec<RecorderId>,
    /// The most spans that it was shown at once.
    most_at_once: usize,
    /// The spans of the last overview, in order.
    shown: Vec<(TraceId, SpanId)>,
}

impl Handed {
    /// Takes a span that goes on with the trace of the one before, or begins another.
    fn take_on(&mut self, span: SpanData) {
        match self.taken.last_mut() {
            Some(trace) if trace[0].trace_id == span.trace_id => trace.push(span),
            _ => self.taken.push(vec![span]),
        }
    }
}

impl<F: FnMut(usize) -> Outcome + Send> ByTrace<F> {
    fn new(needs: Needs, answer: F) -> (Self, Arc<Mutex<Handed>>) {
        let seen = Arc::<Mutex<Handed>>::default();
        (ByTrace { needs, answer, over: Box::new(|| Outcome::DELIVERED), seen: Arc::clone(&seen) }, seen)
    }

    fn note(&mut self, id: String, spans: Vec<SpanData>) -> Delivery<'static> {
        let outcome = (self.answer)(spans.len());
        let mut seen = self.seen.lock().unwrap();
        let ids: Vec<_> = spans.iter().map(|span| span.span_id).collect();
        assert_eq!(*seen.sent.entry(id).or_insert_with(|| ids.clone()), ids, "it is another one now");
        if matches!(outcome, Outcome::Delivered { .. }) {
            match self.needs {
                // A batch has several traces, or a part of one.
                Needs::Overview => spans.into_iter().for_each(|span| seen.take_on(span)),
                _ => seen.taken.push(spans),
            }
        }
        Box::pin(async { outcome })
    }
}

impl<F: FnMut(usize) -> Outcome + Send> Sink for ByTrace<F> {
    fn name(&self) -> &str {
        "by trace"
    }

    fn needs(&self) -> Needs {
        self.needs
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        assert_ne!(self.needs, Needs::Traces);
        if self.needs == Needs::Overview {
            let shown = &self.seen.lock().unwrap().shown;
            let spans: Vec<_> = batch.spans.iter().map(|span| (span.trace_id, span.span_id)).collect();
            assert!(shown.windows(spans.len()).any(|shown| shown == spans), "not as they were shown");
        }
        self.note(batch.id.to_string(), batch.spans.to_vec())
    }

    fn overview<'a>(&'a mut self, spans: &'a mut dyn TraceSpans) -> Overview<'a> {
        assert_eq!(self.needs, Needs::Overview);
        let mut seen = self.seen.lock().unwrap();
        for _ in 0..2 {
            spans.rewind();
            seen.shown.clear();
            // What cannot be read is not delivered either.
            while let Ok(Some(chunk)) = spans.next() {
                seen.shown.extend(chunk.iter().map(|span| (span.trace_id, span.span_id)));
                seen.most_at_once = seen.most_at_once.max(chunk.len());
            }
        }
        Box::pin(async {})
    }

    fn process_over<'a>(&'a mut self, process: &'a Process<'a>) -> Delivery<'a> {
        self.seen.lock().unwrap().over.push((process.recorder.clone(), process.has_died));
        let outcome = (self.over)();
        Box::pin(async { outcome })
    }

    fn forget(&mut self, recorder: &RecorderId) {
        self.seen.lock().unwrap().forgotten.push(recorder.clone());
    }

    fn deliver_trace<'a>(&'a mut self, trace: &'a mut Trace<'_>) -> Delivery<'a> {
        assert_eq!(self.needs, Needs::Traces);
        let mut spans = Vec::new();
        // Twice, as a sink reads it that needs something of all before it can write the first.
        for _ in 0..2 {
            trace.spans.rewind();
            spans.clear();
            while let Some(chunk) = trace.spans.next().unwrap() {
                spans.extend_from_slice(chunk);
                let mut seen = self.seen.lock().unwrap();
                seen.most_at_once = seen.most_at_once.max(chunk.len());
            }
        }
        assert_eq!(spans.len(), trace.len);
        assert!(spans.iter().all(|span| span.trace_id == trace.trace_id));
        self.note(trace.id.to_string(), spans)
    }
}

#[test]
fn a_sink_is_told_that_a_process_is_over_once_it_has_all_of_it_and_may_ask_to_be_told_again() {
    let (dir, _) = interleaved(3, 2);
    let recorder = SpoolDir::open(dir.path()).unwrap().recorders().unwrap().remove(0);
    let mut told = 0;
    let (mut sink, seen) = ByTrace::new(Needs::ParentsFirst, takes);
    sink.over = Box::new(move || {
        told += 1;
        if told < 3 { Outcome::Retry { after: None, reason: "not yet".into() } } else { Outcome::DELIVERED }
    });
    let report = export_along(dir.path(), Route::to(Box::new(sink)));
    assert!(report.is_complete() && report.recorders_removed == 1, "{report}");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.taken.iter().flatten().count(), 6);
    assert_eq!(seen.over, vec![(recorder, false); 3]);
}

#[test]
fn a_sink_that_refuses_to_know_that_a_process_is_over_holds_up_nothing() {
    let (dir, _) = interleaved(1, 1);
    let (mut sink, _) = ByTrace::new(Needs::Traces, takes);
    sink.over = Box::new(refused);
    let report = export_along(dir.path(), Route::to(Box::new(sink)));
    assert!(report.is_complete() && report.recorders_removed == 1, "{report}");
}

fn takes(_: usize) -> Outcome {
    Outcome::DELIVERED
}

fn export_along(dir: &Path, route: Route) -> ExportReport {
    run(Exporter::new(SpoolDir::open(dir).unwrap()).along(route).once(MINUTE), std::future::pending())
}

fn whole(recorded: &Recorded, spans: &[SpanData]) -> bool {
    let ids: BTreeSet<_> = spans.iter().map(|span| span.span_id).collect();
    ids.len() == spans.len() && recorded[&spans[0].trace_id].keys().copied().collect::<BTreeSet<_>>() == ids
}

#[track_caller]
fn assert_parents_first(recorded: &Recorded, taken: &[Vec<SpanData>]) {
    let mut known = BTreeSet::new();
    for span in taken.iter().flatten() {
        assert!(span.parent_id.is_none_or(|parent| known.contains(&parent)), "a child is before its parent");
        assert!(known.insert(span.span_id), "a span comes twice");
    }
    let all: BTreeSet<_> = recorded.values().flat_map(BTreeMap::keys).copied().collect();
    assert_eq!(known, all);
}

#[test]
fn every_trace_arrives_whole_and_once_however_its_spans_are_spread_over_blocks() {
    for (count, levels) in [(1, 1), (1, 5), (40, 6), (700, 8)] {
        let (dir, recorded) = interleaved(count, levels);
        for needs in [Needs::Traces, Needs::Overview] {
            let copy = copy(dir.path());
            let (sink, seen) = ByTrace::new(needs, takes);
            let report = export_along(copy.path(), Route::to(Box::new(sink)));
            assert!(report.is_complete(), "{report}");
            assert_eq!((report.sinks[0].delivered, report.recorders_removed), ((count * levels) as u64, 1));
            let seen = seen.lock().unwrap();
            assert_eq!(seen.taken.len(), count);
            assert!(seen.taken.iter().all(|spans| whole(&recorded, spans)));
        }
    }
}

#[test]
fn no_child_arrives_before_its_parent_however_deep_it_is() {
    for (count, levels) in [(1, 1), (1, 30), (40, 6), (700, 8)] {
        let (dir, recorded) = interleaved(count, levels);
        let (sink, seen) = ByTrace::new(Needs::ParentsFirst, takes);
        let report = export_along(dir.path(), Route::to(Box::new(sink)));
        assert!(report.is_complete(), "{report}");
        assert_parents_first(&recorded, &seen.lock().unwrap().taken);
    }
}

/// A trace of 10,001 spans in 20 blocks.
fn large() -> (TempDir, Recorded) {
    recorded(|spool, recorded| {
        let root = start(recorded, None);
        for _ in 0..20 {
            let branch = start(recorded, Some(root.context()));
            for _ in 0..499 {
                drop(start(recorded, Some(branch.context())));
            }
            drop(branch);
            cut(spool);
        }
    })
}

#[test]
fn a_trace_that_is_larger_than_what_is_held_at_once_is_read_block_by_block() {
    let (dir, recorded) = large();
    for needs in [Needs::ParentsFirst, Needs::Overview, Needs::Traces] {
        let copy = copy(dir.path());
        let (sink, seen) = ByTrace::new(needs, takes);
        let report = export_along(copy.path(), Route::to(Box::new(sink)));
        assert_eq!(report.sinks[0].delivered, 10_001, "{report}");
        let seen = seen.lock().unwrap();
        match needs {
            Needs::Traces => assert!(whole(&recorded, &seen.taken[0]) && seen.most_at_once < 1_000),
            Needs::Overview => {
                assert!(whole(&recorded, &seen.taken[0]) && seen.most_at_once < 1_000);
                assert_eq!(seen.shown.len(), 10_001);
                let taken = seen.taken[0].iter().map(|span| (span.trace_id, span.span_id));
                assert!(taken.eq(seen.shown.iter().copied()), "another order");
            }
            _ => assert_parents_first(&recorded, &seen.taken),
        }
    }
}

#[test]
fn what_is_sent_does_not_depend_on_whether_blocks_share_a_place() {
    let never = usize::MAX;
    // Of the last one, pieces that were over after ten blocks were delivered, or are yet to be, and hold places.
    for (dir, over_at, spans) in
        [(large().0, never, 10_001), (interleaved(8, 20).0, never, 160), (interleaved(8, 20).0, 10, 80)]
    {
        for needs in [Needs::Spans, Needs::ParentsFirst, Needs::Overview, Needs::Traces] {
            let [alone, shared] = [usize::MAX / 2, 4].map(|places| {
                let spool = SpoolDir::open(dir.path()).unwrap();
                let recorders = spool.recorders().unwrap();
                let mut reader = spool.reader(&recorders[0]).unwrap();
                reader.set_dead();
                let mut traces = Traces::at(recorders[0].created_unix_ns(), 0).with_places(places, 1);
                let mut before = Position::default();
                let mut read = 0;
                while let Some(block) = reader.next_block().unwrap() {
                    if read == over_at {
                        let over = traces.take_all();
                        traces.done(&over[..4]);
                    }
                    assert!(traces.read(0, before, &block, 0).is_empty(), "two seconds have not passed");
                    (before, read) = (block.position, read + 1);
                }
                let mut over = traces.take_all();
                let blocks = 0..=traces.newest().unwrap();
                let found: BTreeSet<_> = blocks.clone().map(|number| traces.place(number)).collect();
                assert_eq!(found.len() < blocks.count(), places == 4, "{found:?}");
                let (sink, seen) = ByTrace::new(needs, takes);
                let (_, stop) = watch::channel(false);
                let terms = Terms {
                    spool,
                    letters: None,
                    mode: Mode::Once { deadline: MINUTE },
                    status: crate::engine::Status::default(),
                    notices: Notices(Arc::new(drop)),
                    stop,
                    stop_deadline: MINUTE,
                };
                let mut porter = Porter::new(0, Box::new(sink), None, terms);
                let (resource, mut counts) = (Resource::default(), Counts::new());
                let delivering =
                    porter.deliver_over(&recorders, &traces, &resource, &mut over, None, &mut counts);
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(delivering).unwrap().unwrap();
                assert_eq!(counts[&0].delivered, spans);
                std::mem::take(&mut seen.lock().unwrap().sent)
            });
            assert_eq!(alone, shared, "{needs:?}");
        }
    }
}

/// A copy of a spool whose recorders are over.
fn copy(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg(dir.join(".")).arg(copy.path()).status();
    assert!(copied.unwrap().success());
    copy
}

/// Traces of which the first is open to the end, so that nothing before it can be passed over.
fn held_up() -> (TempDir, Recorded) {
    recorded(|spool, recorded| {
        let first = start(recorded, None);
        for _ in 0..6 {
            let spans: Vec<_> = (0..3).map(|_| start(recorded, None)).collect();
            for root in &spans {
                drop(start(recorded, Some(root.context())));
            }
            cut(spool);
            drop(spans);
            drop(start(recorded, Some(first.context())));
            cut(spool);
            // Far enough behind that the traces before are over.
            let now = SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            let later = u64::try_from(now.as_nanos()).unwrap() + 3_000_000_000;
            assert_eq!(start(recorded, None).end_at_unix_ns(later), spanring::Ended::Recorded);
            cut(spool);
        }
    })
}

/// What takes so many deliveries, and no more.
fn takes_only(enough: usize) -> impl FnMut(usize) -> Outcome + Send {
    let mut taken = 0;
    move |_: usize| {
        taken += 1;
        match taken <= enough {
            true => Outcome::DELIVERED,
            false => Outcome::Parked { reason: "no more".into() },
        }
    }
}

/// Damages some bytes of a segment from this place on.
fn damage(spool: &SpoolDir, recorder: &RecorderId, place: Position) {
    use std::os::unix::fs::FileExt as _;
    let prefix = format!("{:018}.", place.segment);
    let mut entries = std::fs::read_dir(spool.recorder_path(recorder)).unwrap().map(|entry| entry.unwrap());
    let segment = entries.find(|entry| entry.file_name().to_str().unwrap().starts_with(&prefix)).unwrap();
    let file = std::fs::File::options().write(true).open(segment.path()).unwrap();
    file.write_all_at(&[0xa5; 16], place.offset).unwrap();
}

#[test]
fn a_refused_trace_is_set_aside_as_a_whole_and_the_others_go_on() {
    let (dir, recorded) = interleaved(5, 4);
    let mut asked = 0;
    let answer = move |_: usize| {
        asked += 1;
        if asked == 3 { refused() } else { Outcome::DELIVERED }
    };
    let (sink, seen) = ByTrace::new(Needs::Traces, answer);
    let report = export_along(dir.path(), Route::to(Box::new(sink)));
    let SinkReport { delivered, dead_lettered, end, .. } = &report.sinks[0];
    assert_eq!((*delivered, *dead_lettered, end), (16, 4, &SinkEnd::Complete), "{report}");
    assert_eq!(report.recorders_removed, 1);
    let [aside] = traces_aside(dir.path()).try_into().unwrap();
    assert!(whole(&recorded, &aside));
    assert!(seen.lock().unwrap().taken.iter().all(|spans| whole(&recorded, spans)));
}

#[test]
fn an_open_trace_is_waited_for_while_others_go_on_and_nothing_of_it_is_removed() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).linger(MINUTE).start().unwrap();
    let mut recorded = Recorded::new();
    let first = start(&mut recorded, None);
    drop(start(&mut recorded, Some(first.context())));
    let other = start(&mut recorded, None);
    drop(start(&mut recorded, Some(other.context())));
    drop(other);
    cut(&spool);
    let (sink, seen) = ByTrace::new(Needs::Traces, takes);
    let report = export_along(dir.path(), Route::to(Box::new(sink)));
    assert_eq!((report.sinks[0].delivered, report.segments_removed), (2, 0), "{report}");
    let state =
        Cursor::peek(&SpoolDir::open(dir.path()).unwrap().recorder_path(spool.id()), "by trace").unwrap();
    assert!(state.position < state.ahead && state.delivered == 2, "{state:?}");

    // It is over now. The other one does not come again.
    drop(first);
    assert!(spool.stop(MINUTE).is_complete);
    let (sink, later) = ByTrace::new(Needs::Traces, takes);
    let report = export_along(dir.path(), Route::to(Box::new(sink)));
    assert_eq!((report.sinks[0].delivered, report.recorders_removed), (2, 1), "{report}");
    for seen in [seen, later] {
        let seen = seen.lock().unwrap();
        assert!(seen.taken.len() == 1 && whole(&recorded, &seen.taken[0]));
    }
}

#[test]
fn what_has_ended_and_waits_for_its_trace_is_seen_to_wait() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let recording = Spool::open(dir.path()).linger(MINUTE).start().unwrap();
    let mut recorded = Recorded::new();
    let root = start(&mut recorded, None);
    drop(start(&mut recorded, Some(root.context())));
    cut(&recording);
    let spool = SpoolDir::open(dir.path()).unwrap();
    let block = spool.reader(recording.id()).unwrap().next_block().unwrap().unwrap();
    let child = block.spans[0].end_unix_ns;

    let (sink, _) = ByTrace::new(Needs::Traces, takes);
    let mut exporter = Exporter::new(spool).to(Box::new(sink));
    let status = exporter.status();
    let backlog = || status.now().sinks.first().map(|sink| sink.backlog);
    let watched = async {
        while backlog().is_none_or(|backlog| backlog.open_traces == 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Through idle rounds, and looks.
        for _ in 0..150 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert_eq!(backlog().unwrap().oldest_unix_ns, child);
        }
        drop(root);
        cut(&recording);
        while backlog() != Some(Default::default()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let report = run(exporter, watched);
    assert_eq!(report.sinks[0].delivered, 2, "{report}");
}

#[test]
fn a_quiet_recorder_is_delivered_what_seems_over_after_two_seconds_and_once() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).linger(MINUTE).start().unwrap();
    let mut recorded = Recorded::new();
    let first = start(&mut recorded, None);
    drop(start(&mut recorded, None));
    cut(&spool);
    for round in 0..2 {
        // In virtual time: two seconds pass at once where nobody has anything to do.
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (sink, seen) = ByTrace::new(Needs::Traces, takes);
        let exporter = Exporter::new(SpoolDir::open(dir.path()).unwrap()).to(Box::new(sink));
        let report = run_on(&runtime, exporter, async { tokio::time::sleep(MINUTE).await });
        assert_eq!(report.sinks[0].delivered, [1, 0][round], "{report}");
        assert_eq!(seen.lock().unwrap().taken.len(), [1, 0][round]);
    }
    drop(first);
    assert!(spool.stop(MINUTE).is_complete);
    let (sink, _) = ByTrace::new(Needs::Traces, takes);
    assert_eq!(export_along(dir.path(), Route::to(Box::new(sink))).sinks[0].delivered, 1);
}

#[test]
fn what_is_damaged_while_its_trace_is_waited_for_is_counted_and_told() {
    for needs in [Needs::Spans, Needs::ParentsFirst, Needs::Overview, Needs::Traces] {
        // A block for each level; the last has the roots.
        let (dir, _) = interleaved(4, 3);
        let spool = SpoolDir::open(dir.path()).unwrap();
        let recorder = spool.recorders().unwrap().remove(0);
        let mut reader = spool.reader(&recorder).unwrap();
        let mut places = Vec::new();
        while let Some(block) = reader.next_block().unwrap() {
            if !block.spans.is_empty() {
                places.push(block.position);
            }
        }
        let [.., second, last] = places.as_slice() else { panic!("{places:?}") };
        assert_eq!(second.segment, last.segment);
        // All blocks were read when the first spans are sent; the roots' is damaged then.
        let place = Position { offset: second.offset + 200, ..*second };
        let (damaged, recorder_damaged) = (spool.clone(), recorder.clone());
        let damaged = move || damage(&damaged, &recorder_damaged, place);
        let mut is_first = true;
        let answer = move |_: usize| {
            if std::mem::take(&mut is_first) {
                damaged();
            }
            Outcome::DELIVERED
        };
        let (sink, _) = ByTrace::new(needs, answer);
        let troubles = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&troubles);
        let route = Route::to(Box::new(sink)).keep(Keep::errors_and_share(1.0));
        let exporter = Exporter::new(spool.clone()).along(route).once(MINUTE).on_notice(move |notice| {
            told.lock().unwrap().push(notice.to_string());
        });
        // Somebody else keeps the recorder, so that its cursor can be looked at.
        let (other, _) = ByTrace::new(Needs::Spans, |_| Outcome::Parked { reason: "no".into() });
        let report = run(exporter.to(Box::new(Renamed(other))), std::future::pending());
        let state = Cursor::peek(&spool.recorder_path(&recorder), "by trace").unwrap();
        assert_eq!(state.delivered + state.dropped, 12, "{needs:?}: {report}");
        let told = troubles.lock().unwrap();
        let is_told =
            told.iter().any(|notice| notice.contains("were damaged while their traces were waited for"));
        assert_eq!(is_told, state.dropped > 0, "{told:?}");
        // Traces that are small are gathered before the first is sent.
        assert_eq!(state.dropped, if needs == Needs::Spans { 4 } else { 0 }, "{needs:?}: {report}");
    }
}

/// A sink under another name.
struct Renamed<S>(S);

impl<S: Sink> Sink for Renamed<S> {
    fn name(&self) -> &str {
        "renamed"
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        self.0.deliver(batch)
    }
}
