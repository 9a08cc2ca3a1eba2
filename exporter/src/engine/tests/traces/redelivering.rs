//! Traces that are delivered again.

use std::time::UNIX_EPOCH;

use super::*;
use crate::engine::{Redelivery, RedeliveryReport};

const BY_TRACE: [Needs; 3] = [Needs::Traces, Needs::ParentsFirst, Needs::Overview];

fn redeliver(dir: &Path, sink: impl Sink + 'static, since: SystemTime) -> RedeliveryReport {
    let needs = sink.needs();
    let redelivery = || Redelivery::new(SpoolDir::open(dir).unwrap(), since);
    let plan = redelivery().plan(sink.name(), needs).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let report = runtime.block_on(redelivery().run(Box::new(sink), Duration::ZERO)).unwrap();
    assert_eq!(report.plan, plan, "a dry run says something else");
    report
}

fn export_with_grace(dir: &Path, sink: impl Sink + 'static) -> ExportReport {
    let exporter = Exporter::new(SpoolDir::open(dir).unwrap()).to(Box::new(sink)).once(MINUTE).grace(MINUTE);
    run(exporter, std::future::pending())
}

fn all(recorded: &Recorded) -> BTreeSet<SpanId> {
    recorded.values().flat_map(BTreeMap::keys).copied().collect()
}

/// The spans that were taken; fails where one was twice.
#[track_caller]
fn taken(seen: &Mutex<Handed>) -> BTreeSet<SpanId> {
    let seen = seen.lock().unwrap();
    let spans: Vec<_> = seen.taken.iter().flatten().map(|span| span.span_id).collect();
    let taken: BTreeSet<_> = spans.iter().copied().collect();
    assert_eq!(taken.len(), spans.len(), "a span comes twice");
    taken
}

#[test]
fn traces_are_those_of_the_first_delivery_under_the_same_identities_and_the_process_is_over_again() {
    for (dir, recorded) in [interleaved(1, 1), interleaved(40, 6), interleaved(700, 8), held_up()] {
        for needs in BY_TRACE {
            let copy = copy(dir.path());
            let (sink, first) = ByTrace::new(needs, takes);
            assert!(export_with_grace(copy.path(), sink).is_complete());
            let (sink, again) = ByTrace::new(needs, takes);
            let report = redeliver(copy.path(), sink, UNIX_EPOCH);
            assert!(report.is_complete(), "{report}");
            assert_eq!(report.plan.traces, Some(recorded.len() as u64), "{report}");
            assert_eq!(report.delivered, all(&recorded).len() as u64, "{report}");
            let (first, again) = (first.lock().unwrap(), again.lock().unwrap());
            assert_eq!(first.sent, again.sent);
            assert_eq!(first.taken, again.taken);
            assert_eq!((&first.over, first.over.len()), (&again.over, 1));
            assert_eq!(
                again.forgotten,
                [again.over[0].0.clone()],
                "a redelivery keeps nothing of what it is done with"
            );
        }
    }
}

#[test]
fn what_is_redelivered_is_what_the_next_exporter_does_not_deliver_wherever_the_last_one_ended() {
    let (dir, recorded) = held_up();
    for needs in BY_TRACE {
        let mut sizes = BTreeSet::new();
        for enough in 0..=recorded.len() {
            let copy = copy(dir.path());
            let (sink, _) = ByTrace::new(needs, takes_only(enough));
            export_with_grace(copy.path(), sink);
            let (sink, again) = ByTrace::new(needs, takes);
            let report = redeliver(copy.path(), sink, UNIX_EPOCH);
            assert!(report.is_complete(), "{report}");
            let (sink, next) = ByTrace::new(needs, takes);
            assert!(export_with_grace(copy.path(), sink).is_complete());
            let (again, next) = (taken(&again), taken(&next));
            assert!(again.is_disjoint(&next), "{needs:?} after {enough}: {:?}", again.intersection(&next));
            assert_eq!(again.union(&next).copied().collect::<BTreeSet<_>>(), all(&recorded));
            sizes.insert(again.len());
        }
        assert!(sizes.contains(&0) && sizes.contains(&all(&recorded).len()) && sizes.len() > 5, "{sizes:?}");
    }
}

#[test]
fn a_piece_that_was_delivered_goes_again_and_what_came_of_its_trace_since_does_not() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for needs in BY_TRACE {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).linger(MINUTE).live(true).start().unwrap();
        let mut recorded = Recorded::new();
        let first = start(&mut recorded, None);
        let context = first.context();
        drop(first);
        cut(&spool);
        let (sink, delivered) = ByTrace::new(needs, takes);
        export_with_grace(dir.path(), sink);
        // So soon that by the rows it is of the same trace.
        let late = start(&mut recorded, Some(context));
        drop(start(&mut recorded, Some(late.context())));
        cut(&spool);
        let (sink, undelivered) = ByTrace::new(needs, takes);
        export_with_grace(dir.path(), sink);
        assert_eq!((taken(&delivered).len(), taken(&undelivered).len()), (1, 0));

        let (sink, again) = ByTrace::new(needs, takes);
        let report = redeliver(dir.path(), sink, UNIX_EPOCH);
        assert!(report.is_complete() && report.plan.traces == Some(1), "{report}");
        assert_eq!(taken(&again), taken(&delivered));
        assert_eq!(again.lock().unwrap().sent, delivered.lock().unwrap().sent);
        assert_eq!(again.lock().unwrap().over, [], "it is not over");

        drop(late);
        assert!(spool.stop(MINUTE).is_complete);
        let (sink, next) = ByTrace::new(needs, takes);
        assert!(export_with_grace(dir.path(), sink).is_complete());
        assert_eq!(taken(&next).len(), 2);
        let (sink, again) = ByTrace::new(needs, takes);
        let report = redeliver(dir.path(), sink, UNIX_EPOCH);
        assert!(report.is_complete() && taken(&again) == all(&recorded), "{report}");
        assert_eq!((report.plan.traces, again.lock().unwrap().over.len()), (Some(1), 1), "as one");
    }
}

#[test]
fn a_trace_goes_as_a_whole_if_any_of_its_spans_ended_since_then() {
    let (dir, recorded) = interleaved(5, 4);
    let (sink, seen) = ByTrace::new(Needs::Traces, takes);
    export_with_grace(dir.path(), sink);
    let mut ends: Vec<u64> = seen
        .lock()
        .unwrap()
        .taken
        .iter()
        .map(|spans| spans.iter().map(|span| span.end_unix_ns).max().unwrap())
        .collect();
    ends.sort_unstable();
    for (at, end) in ends.iter().enumerate() {
        for (nanosecond, left_out) in [(0, at), (1, at + 1)] {
            let (sink, again) = ByTrace::new(Needs::Traces, takes);
            let since = UNIX_EPOCH + Duration::from_nanos(end + nanosecond);
            let report = redeliver(dir.path(), sink, since);
            let again = again.lock().unwrap();
            assert_eq!(again.taken.len(), 5 - left_out, "{report}");
            assert!(again.taken.iter().all(|spans| whole(&recorded, spans)));
            assert_eq!(again.over.len(), usize::from(left_out < 5), "where nothing goes, nothing is told");
        }
    }
}

#[test]
fn a_refused_trace_is_counted_and_told_and_holds_up_no_other() {
    for needs in [Needs::Traces, Needs::ParentsFirst] {
        let (dir, _) = interleaved(5, 4);
        let (sink, _) = ByTrace::new(needs, takes);
        export_with_grace(dir.path(), sink);
        let mut asked = 0;
        // A span of a batch is found by halves.
        let last = if needs == Needs::Traces { 3 } else { 5 };
        let answer = move |_: usize| {
            asked += 1;
            if (3..=last).contains(&asked) { refused() } else { Outcome::DELIVERED }
        };
        let (sink, again) = ByTrace::new(needs, answer);
        let report = redeliver(dir.path(), sink, UNIX_EPOCH);
        let refused = if needs == Needs::Traces { 4 } else { 1 };
        assert_eq!(
            (report.delivered, report.refused, &report.end),
            (20 - refused, refused, &SinkEnd::Complete)
        );
        assert!(!report.is_complete(), "{report}");
        assert_eq!(taken(&again).len() as u64, 20 - refused);
        assert_eq!(letters(dir.path()), []);
    }
}

#[test]
fn a_new_sink_gets_the_traces_of_what_any_has_had() {
    let (dir, recorded) = interleaved(40, 6);
    export_with_grace(dir.path(), Seen::default().told(|_| Outcome::DELIVERED));
    for needs in BY_TRACE {
        let (sink, again) = ByTrace::new(needs, takes);
        let report = redeliver(dir.path(), sink, UNIX_EPOCH);
        assert!(report.is_complete() && report.plan.traces == Some(40), "{report}");
        assert_eq!(taken(&again), all(&recorded));
        assert_eq!(again.lock().unwrap().over.len(), 1);
    }
}

#[test]
fn what_cannot_be_read_in_the_middle_is_told_and_the_rest_goes() {
    for needs in BY_TRACE {
        let (dir, recorded) = interleaved(5, 4);
        let (sink, _) = ByTrace::new(needs, takes);
        export_with_grace(dir.path(), sink);
        let spool = SpoolDir::open(dir.path()).unwrap();
        let recorder = spool.recorders().unwrap().remove(0);
        let mut reader = spool.reader(&recorder).unwrap();
        let first = reader.next_block().unwrap().unwrap().position;
        damage(&spool, &recorder, Position { offset: first.offset - 20, ..first });
        let (sink, again) = ByTrace::new(needs, takes);
        let report = redeliver(dir.path(), sink, UNIX_EPOCH);
        assert_eq!(report.plan.skipped.len(), 1, "{report}");
        let (again, all) = (taken(&again), all(&recorded));
        assert!(!again.is_empty() && again.len() < all.len(), "{} of {}", again.len(), all.len());
    }
}

#[test]
fn a_sink_that_refuses_everything_is_given_up_and_the_rest_is_counted() {
    let (dir, recorded) = interleaved(300, 2);
    let (sink, _) = ByTrace::new(Needs::Traces, takes);
    export_with_grace(dir.path(), sink);
    let (sink, again) = ByTrace::new(Needs::Traces, |_| refused());
    let report = redeliver(dir.path(), sink, UNIX_EPOCH);
    let reason = "it refuses one after the other: not this one".to_owned();
    assert_eq!((report.refused, &report.end), (202, &SinkEnd::Refused { reason }));
    let (traces, spans) = (recorded.len() as u64, all(&recorded).len() as u64);
    assert_eq!((report.plan.traces, report.plan.spans, report.delivered), (Some(traces), spans, 0));
    assert_eq!(again.lock().unwrap().over, [], "not all of it was sent");
}

/// Pairs of traces that begin in other processes, so that none is known to be open: each of two spans a second apart, with one of the other between them,
/// in blocks of their own.
fn parted(pairs: u64) -> (TempDir, Recorded) {
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    let mut random = now | 1;
    recorded(|spool, recorded| {
        for (pair, row) in (0..pairs).flat_map(|pair| (0..4).map(move |row| (pair, row))) {
            let trace = 2 * pair + row % 2 + 1;
            let remote = format!("00-{trace:032x}-{trace:016x}-01");
            let remote = Context::extract(&std::collections::HashMap::from([("traceparent", remote)]));
            let span = start(recorded, Some(remote));
            let text = std::iter::repeat_with(|| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                format!("{random:016x}")
            });
            span.set("text", text.take(4_000).collect::<String>());
            let end = now + pair * 3_000_000_000_000 + row * 500_000_000;
            assert_eq!(span.end_at_unix_ns(end), spanring::Ended::Recorded);
            cut(spool);
        }
    })
}

#[test]
fn what_the_spool_still_holds_of_a_long_past_is_the_same_traces() {
    let (dir, recorded) = parted(40);
    for needs in BY_TRACE {
        let copy = copy(dir.path());
        let (sink, first) = ByTrace::new(needs, takes);
        export_with_grace(copy.path(), sink);
        let spool = SpoolDir::open(copy.path()).unwrap();
        let recorder = spool.recorder_path(&spool.recorders().unwrap()[0]);
        let entries = std::fs::read_dir(recorder).unwrap().map(|entry| entry.unwrap().path());
        let mut segments: Vec<_> =
            entries.filter(|path| path.extension().is_some_and(|end| end == "segment")).collect();
        segments.sort();
        assert!(segments.len() > 4, "{segments:?}");
        for segment in &segments[..3] {
            std::fs::remove_file(segment).unwrap();
        }
        let (sink, again) = ByTrace::new(needs, takes);
        let report = redeliver(copy.path(), sink, UNIX_EPOCH);
        assert!(report.is_complete() && report.plan.skipped.is_empty(), "{report}");
        let (first, again) = (first.lock().unwrap(), again.lock().unwrap());
        assert!(first.taken.iter().all(|spans| whole(&recorded, spans)));
        // The first two may have lost their first spans with the segments.
        let (rest, cut): (Vec<_>, Vec<_>) =
            again.taken.iter().cloned().partition(|spans| whole(&recorded, spans));
        assert!(cut.len() <= 2 && (10..80).contains(&rest.len()), "{} and {}", cut.len(), rest.len());
        assert!(first.taken.ends_with(&rest), "not the same traces");
    }
}
