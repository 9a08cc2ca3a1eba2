//! Documented outcomes of what is unusual: many threads, many open spans, large spans, and spools used out of turn.

use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use spanring::{DropReason, Ended, Kind, Overflow, Status};
use spanring_spool::{
    Cursor, CursorState, Error, Level, Life, SpanData, Spool, SpoolBuilder, SpoolDir, Value,
};

const MINUTE: Duration = Duration::from_secs(60);

/// A process has one recorder at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Place {
    dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Place {
    fn new() -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Place { dir: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(), _turn: turn }
    }

    fn spool(&self) -> SpoolBuilder {
        Spool::open(self.dir.path().join("spool")).service("outcomes")
    }

    /// All spans, in the order of recorders and sequence.
    fn read(&self) -> Vec<SpanData> {
        let spool = SpoolDir::open(self.dir.path().join("spool")).unwrap();
        let mut spans = Vec::new();
        for id in spool.recorders().unwrap() {
            let mut reader = spool.reader(&id).unwrap();
            while let Some(block) = reader.next_block().unwrap() {
                spans.extend(block.spans);
            }
            assert!(!reader.skipped().is_damage(), "{}", reader.skipped());
        }
        spans
    }
}

/// Everything is in segments, and every span is accounted for.
fn stop(spool: Spool) -> spanring_spool::Ledger {
    let report = spool.stop(MINUTE);
    assert!(report.ledger.balances(), "{report}");
    assert_eq!(report.ledger.unspooled(), 0, "{report}");
    report.ledger
}

#[test]
fn ten_thousand_threads_one_after_another_leave_no_trace_and_lose_nothing() {
    let place = Place::new();
    let spool = place.spool().ring_bytes(64 << 10).overflow(Overflow::Block(MINUTE)).start().unwrap();
    let memory = || {
        let path = place.dir.path().join("spool").join(spool.id().as_str());
        let names =
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("lane-")).count()
    };
    let lanes_at_start = memory();
    for number in 0..10_000_u32 {
        let worker = move || {
            let span = spanring::span!("short life", number = number);
            assert_eq!(span.end(), Ended::Recorded);
        };
        thread::spawn(worker).join().unwrap();
    }
    assert!(memory() <= lanes_at_start + 1, "threads give their rings back");
    let ledger = stop(spool);
    assert_eq!((ledger.started, ledger.spooled, ledger.dropped.total()), (10_000, 10_000, 0), "{ledger}");
    let mut numbers: Vec<_> = place.read().into_iter().map(|span| span.attributes[0].1.clone()).collect();
    numbers.sort_by_key(|value| if let Value::U64(number) = value { *number } else { u64::MAX });
    assert!((0..10_000_u64).map(Value::U64).eq(numbers));
}

#[test]
fn ten_thousand_spans_are_open_at_once_on_one_thread() {
    let place = Place::new();
    let spool = place.spool().tables(10, 64).overflow(Overflow::Block(MINUTE)).start().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let root = spanring::span("root").kind(Kind::Agent).start();
            let open: Vec<_> = (0..10_000_u32)
                .map(|number| {
                    let span = root.child("open").start();
                    span.set("number", number);
                    span
                })
                .collect();
            assert_eq!(spool.ledger().in_flight, 10_001);
            for span in open {
                assert_eq!(span.end(), Ended::Recorded);
            }
        });
    });
    let ledger = stop(spool);
    assert_eq!((ledger.spooled, ledger.dropped.total()), (10_001, 0), "{ledger}");
    assert_eq!(place.read().len(), 10_001);
}

#[test]
fn spans_beyond_the_prepared_tables_are_dropped_and_counted() {
    let place = Place::new();
    let spool = place.spool().tables(0, 0).start().unwrap();
    let outcomes: Vec<_> = thread::spawn(|| {
        let open: Vec<_> = (0..300).map(|_| spanring::span("open").start()).collect();
        open.into_iter().map(spanring::Span::end).collect()
    })
    .join()
    .unwrap();
    let dropped = outcomes.iter().filter(|outcome| **outcome == Ended::Dropped(DropReason::NoCell)).count();
    assert_eq!(dropped, 300 - 256);
    let ledger = stop(spool);
    assert_eq!((ledger.spooled, ledger.dropped.no_cell), (256, 44), "{ledger}");
}

#[test]
fn a_span_of_a_mebibyte_comes_back_whole_from_a_ring_of_eight() {
    let place = Place::new();
    let spool =
        place.spool().ring_bytes(8 << 20).tables(4, 16).overflow(Overflow::Block(MINUTE)).start().unwrap();
    let text = "größer ".repeat((1 << 20) / 8);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..5_u32 {
                let span = spanring::span!("large", number = number);
                span.set("text", &text);
                span.set("after", true);
                assert_eq!(span.end(), Ended::Recorded);
            }
        });
    });
    let ledger = stop(spool);
    assert_eq!((ledger.spooled, ledger.values_cut), (5, 0), "{ledger}");
    for span in place.read() {
        assert!(span.attributes[1] == ("text".to_owned(), Value::Str(text.clone())));
        assert_eq!(span.attributes[2], ("after".to_owned(), Value::Bool(true)));
        assert_eq!(span.cut, 0);
    }
}

#[test]
fn a_value_larger_than_the_ring_is_cut_between_two_characters_marked_and_counted() {
    let place = Place::new();
    let spool = place.spool().ring_bytes(16 << 10).start().unwrap();
    let text = "größer ".repeat(100_000);
    let outcome = thread::scope(|scope| {
        let recording = scope.spawn(|| {
            let span = spanring::span!("too large", before = 1);
            span.set("text", &text);
            span.set("after", 2);
            span.set_status(Status::Ok);
            span.end()
        });
        recording.join().unwrap()
    });
    assert_eq!(outcome, Ended::Recorded);
    let ledger = stop(spool);
    assert_eq!((ledger.values_cut, ledger.values_left_out), (1, 1), "{ledger}");
    let spans = place.read();
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(span.cut, 2);
    assert_eq!(span.status, Status::Ok);
    let [(_, before), (_, Value::Str(kept))] = &span.attributes[..] else { panic!("{span:?}") };
    assert_eq!(*before, Value::I64(1));
    assert!(text.starts_with(kept.as_str()) && (3_500..4_096).contains(&kept.len()), "{} bytes", kept.len());
}

#[test]
fn a_second_spool_in_one_process_is_an_error_that_names_it() {
    let place = Place::new();
    let spool = place.spool().start().unwrap();
    let other = place.dir.path().join("other");
    match Spool::open(&other).start() {
        Err(error @ Error::AlreadySpooling { .. }) => {
            assert_eq!(
                error.to_string(),
                format!("cannot spool to {}: this process spools already", other.display())
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(!other.exists(), "nothing was made");
    stop(spool);
    stop(place.spool().start().unwrap());
}

#[test]
fn spans_that_are_open_at_the_stop_can_still_end_and_keep_the_recorder_alive() {
    let place = Place::new();
    let spool = place.spool().start().unwrap();
    let id = spool.id().clone();
    let open = spanring::span!("open", key = "value");
    let report = spool.stop(MINUTE);
    assert!(!report.is_complete, "{report}");
    assert_eq!(report.ledger.in_flight, 1);
    let dir = SpoolDir::open(place.dir.path().join("spool")).unwrap();
    assert_eq!(dir.life(&id).unwrap(), Life::Alive, "its rings are needed until the process ends");
    assert!(matches!(dir.recover(&id), Err(Error::StillAlive { .. })));
    assert_eq!(open.end(), Ended::Recorded);
    // And what starts now is not recorded.
    assert_eq!(spanring::span("late").start().end(), Ended::NotRecording);
}

#[test]
fn a_trace_is_read_back_in_the_same_process() {
    let place = Place::new();
    let spool = place.spool().start().unwrap();
    let root = spanring::span("run").kind(Kind::Agent).start();
    let other = spanring::span("other").root().start();
    root.child("call").kind(Kind::Llm).start().set("gen_ai.request.model", "m");
    assert_eq!(other.end(), Ended::Recorded);
    let trace = root.context().trace_id();
    assert_eq!(root.end(), Ended::Recorded);
    spool.flush(Level::Spooled, MINUTE).unwrap();
    let names: Vec<_> = spool.trace(trace).unwrap().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["call", "run"]);
    assert!(matches!(spool.flush(Level::Delivered, MINUTE), Err(Error::NoSinkNamed)));
    drop(spool);
}

#[test]
fn a_ring_of_an_impossible_length_is_refused() {
    let place = Place::new();
    for ring_bytes in [0, 1, 4095, 5000, (1 << 30) + 1, 2 << 30] {
        let error = place.spool().ring_bytes(ring_bytes).start().unwrap_err();
        let text = error.to_string();
        assert!(text.contains("a ring's length must be a power of two from 4 KiB to 1 GiB"), "{text}");
    }
    stop(place.spool().ring_bytes(4096).start().unwrap());
}

#[test]
fn a_timeout_that_no_clock_can_hold_is_just_long() {
    let place = Place::new();
    let spool = place.spool().start().unwrap();
    let worker = || assert_eq!(spanring::span("work").start().end(), Ended::Recorded);
    thread::spawn(worker).join().unwrap();
    for level in [Level::Recorded, Level::Spooled, Level::Durable] {
        spool.flush(level, Duration::MAX).unwrap();
    }
    assert!(spool.stop(Duration::MAX).is_complete);
}

#[test]
fn a_reader_that_waits_at_a_prepared_segment_follows_when_a_longer_one_takes_its_place() {
    let place = Place::new();
    let spool = place
        .spool()
        .ring_bytes(8 << 20)
        .tables(4, 16)
        .overflow(Overflow::Block(MINUTE))
        .linger(Duration::from_millis(1))
        .start()
        .unwrap();
    let dir = SpoolDir::open(place.dir.path().join("spool")).unwrap();
    let mut reader = dir.reader(spool.id()).unwrap();
    assert!(reader.next_block().unwrap().is_none(), "the first segment is prepared, and empty");
    // A text that cannot be compressed, and is longer than the first segments.
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from_u32(u32::try_from(state >> 44).unwrap() + 0x1_0000).unwrap_or('x')
    };
    let text: String = (0..400_000).map(|_| noise()).collect();
    let mut found = 0;
    for number in 0..4_u32 {
        thread::scope(|scope| {
            scope.spawn(|| {
                let span = spanring::span!("large", number = number);
                span.set("text", &text);
                assert_eq!(span.end(), Ended::Recorded);
            });
        });
        spool.flush(Level::Spooled, MINUTE).unwrap();
        while let Some(block) = reader.next_block().unwrap() {
            found += block.spans.len();
        }
    }
    stop(spool);
    reader.set_dead();
    while let Some(block) = reader.next_block().unwrap() {
        found += block.spans.len();
    }
    assert_eq!(found, 4, "{}", reader.skipped());
    assert!(!reader.skipped().is_damage(), "{}", reader.skipped());
}

#[test]
fn delivered_is_reached_when_the_named_sink_has_acknowledged_all() {
    let place = Place::new();
    let sink = "file:/var/log/spans.jsonl";
    let spool = place.spool().delivered_by(sink).start().unwrap();
    let worker = || assert_eq!(spanring::span("work").start().end(), Ended::Recorded);
    thread::spawn(worker).join().unwrap();
    let short = Duration::from_millis(30);
    assert!(matches!(spool.flush(Level::Delivered, short), Err(Error::TimedOut { .. })));

    let dir = SpoolDir::open(place.dir.path().join("spool")).unwrap();
    let mut reader = dir.reader(spool.id()).unwrap();
    let block = reader.next_block().unwrap().expect("the flush has spooled it");
    let acknowledge = |name: &str| {
        let mut cursor = Cursor::open(&dir.recorder_path(spool.id()), name).unwrap();
        let state =
            CursorState { position: block.position, ahead: block.position, delivered: 1, ..cursor.state() };
        cursor.store(state).unwrap();
    };
    acknowledge("otlp+http://localhost:4318");
    assert!(spool.flush(Level::Delivered, short).is_err(), "another sink's word does not count");
    acknowledge(sink);
    spool.flush(Level::Delivered, MINUTE).unwrap();
    stop(spool);
}
