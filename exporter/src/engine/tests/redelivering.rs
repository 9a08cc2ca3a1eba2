//! What a sink is delivered again, by the identities of batches.

use std::collections::BTreeSet;
use std::iter;
use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use spanring::SpanId;
use spanring_spool::{Cursor, CursorState, Level, Spool, SpoolDir};

use super::{ONE_AT_A_TIME, Seen, exporter, letters, refused, run, spool, without};
use crate::engine::{Redelivery, RedeliveryReport, SPANS_MAX, SinkEnd};
use crate::sink::{Outcome, Sink};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A spool with so many spans in one block, which the sink has had.
fn delivered(count: usize, seen: &Seen) -> (tempfile::TempDir, Vec<SpanId>) {
    let (dir, spans) = spool(count);
    let export = exporter(dir.path(), seen.told(|_| Outcome::DELIVERED)).grace(HOUR);
    let report = run(export, std::future::pending());
    assert!(report.is_complete() && report.segments_in_grace > 0, "{report}");
    (dir, spans)
}

fn redeliver(dir: &Path, sink: impl Sink + 'static, since: SystemTime) -> RedeliveryReport {
    let redelivery = Redelivery::new(SpoolDir::open(dir).unwrap(), since);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(redelivery.run(Box::new(sink), Duration::ZERO)).unwrap()
}

#[test]
fn batches_are_those_of_the_first_delivery_under_the_same_identities() {
    for count in [1, SPANS_MAX, SPANS_MAX + 1, 2 * SPANS_MAX + 3] {
        let seen = Seen::default();
        let (dir, spans) = delivered(count, &seen);
        let requests = seen.requests();
        assert_eq!(requests, count.div_ceil(SPANS_MAX));
        // A sink that is told fails where a batch with a known identity is another one.
        let report = redeliver(dir.path(), seen.told(|_| Outcome::DELIVERED), SystemTime::now() - HOUR);
        assert!(report.is_complete() && report.delivered == count as u64, "{report}");
        assert_eq!(seen.requests(), requests, "there are others");
        assert_eq!(seen.taken(), spans.iter().map(|&span| (span, 2)).collect());
    }
}

/// A spool with so many blocks of five spans each, and the spans of each.
fn blocks(count: usize) -> (tempfile::TempDir, Vec<Vec<SpanId>>) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).linger(HOUR).rings(1, 1).tables(0, 0).start().unwrap();
    let block = |_| {
        let spans = (0..5).map(|_| {
            let span = spanring::span("step").root().start();
            let span_id = span.context().span_id();
            assert!(matches!(span.end(), spanring::Ended::Recorded));
            span_id
        });
        let spans = spans.collect();
        spool.flush(Level::Spooled, HOUR).unwrap();
        spans
    };
    let blocks = (0..count).map(block).collect();
    assert!(spool.stop(HOUR).is_complete);
    (dir, blocks)
}

#[test]
fn what_lies_behind_the_cursor_is_left_to_the_exporter_wherever_the_cursor_stands() {
    let (dir, blocks) = blocks(4);
    let spool = SpoolDir::open(dir.path()).unwrap();
    let [recorder] = spool.recorders().unwrap().try_into().unwrap();
    let mut reader = spool.reader(&recorder).unwrap();
    let places: Vec<_> = iter::from_fn(|| reader.next_block().unwrap()).map(|block| block.position).collect();
    assert_eq!(places.len(), 4);
    let mut cursor = Cursor::open(&spool.recorder_path(&recorder), "told").unwrap();
    for had in 0..=4_usize {
        if let Some(last) = had.checked_sub(1) {
            cursor.store(CursorState { position: places[last], ..CursorState::default() }).unwrap();
        }
        let seen = Seen::default();
        let report = redeliver(dir.path(), seen.told(|_| Outcome::DELIVERED), SystemTime::UNIX_EPOCH);
        assert!(report.is_complete() && report.plan.blocks == had as u64, "{report}");
        let expected = blocks[..had].iter().flatten().map(|&span| (span, 1)).collect();
        assert_eq!(seen.taken(), expected, "{had} blocks before the cursor");
    }
}

#[test]
fn a_block_goes_as_a_whole_if_any_of_its_spans_ended_since_then() {
    let seen = Seen::default();
    let (dir, _) = delivered(20, &seen);
    let reader = &mut spanring_spool::Reader::open(dir.path()).unwrap();
    let ends: BTreeSet<u64> = reader.map(|span| span.unwrap().end_unix_ns).collect();
    let last = Duration::from_nanos(*ends.last().unwrap());
    for (since, delivered) in [(last, 20), (last + Duration::from_nanos(1), 0), (Duration::ZERO, 20)] {
        let told = Seen::default().told(|_| Outcome::DELIVERED);
        let report = redeliver(dir.path(), told, SystemTime::UNIX_EPOCH + since);
        assert_eq!((report.delivered, report.plan.blocks), (delivered, delivered.min(1)), "{report}");
    }
}

#[test]
fn a_span_that_is_refused_holds_up_no_other_and_nothing_is_set_aside() {
    for at in 0..9 {
        let (dir, spans) = delivered(9, &Seen::default());
        let (seen, poisoned) = (Seen::default(), BTreeSet::from([spans[at]]));
        let report = redeliver(dir.path(), seen.told(without(poisoned)), SystemTime::UNIX_EPOCH);
        assert_eq!((report.delivered, report.refused, &report.end), (8, 1, &SinkEnd::Complete));
        assert!(!report.is_complete(), "{report}");
        assert!(seen.taken().len() == 8 && !seen.taken().contains_key(&spans[at]));
        assert_eq!(letters(dir.path()), []);
    }
}

#[test]
fn a_sink_that_refuses_everything_is_given_up_and_the_rest_is_counted() {
    let (dir, _) = delivered(600, &Seen::default());
    let report = redeliver(dir.path(), Seen::default().told(|_| refused()), SystemTime::UNIX_EPOCH);
    let reason = "it refuses one after the other: not this one".to_owned();
    assert_eq!((report.refused, &report.end), (101, &SinkEnd::Refused { reason }));
    assert_eq!((report.plan.spans, report.delivered), (600, 0));
}
