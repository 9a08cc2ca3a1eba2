//! Full rings and many open spans: what is dropped is counted, and nothing is overwritten.

use std::thread;
use std::time::{Duration, Instant};

use spanring::{DropReason, Ended, Overflow, Span, span};

use crate::flight::{Flight, LONG, Plan, Value};

fn record(index: i64) -> Ended {
    let span = span("numbered").root().start();
    span.set("index", index);
    span.end()
}

#[test]
fn a_full_ring_drops_what_comes_and_keeps_what_it_has() {
    let mut flight = Flight::start(Plan { ring_bytes: 4 << 10, ..Plan::default() });
    let mut next = 0;
    // The ring wraps several times, and is full each time round at another place.
    for _ in 0..20 {
        let first = next;
        while record(next) == Ended::Recorded {
            next += 1;
        }
        assert_eq!(record(next), Ended::Dropped(DropReason::RingFull));
        assert_eq!(flight.look(), usize::try_from(next - first).unwrap());
        assert_eq!(record(next), Ended::Dropped(DropReason::RingFull), "what was seen is not yet released");
        flight.consumer.release();
    }
    let indexes: Vec<_> = flight.landed.iter().map(|landed| landed.span.get("index").cloned()).collect();
    assert_eq!(indexes, (0..next).map(|index| Some(Value::I64(index))).collect::<Vec<_>>());
    let counters = flight.counters(0);
    assert_eq!(counters.dropped_ring_full, 60);
    assert_eq!(counters.started, u64::try_from(next).unwrap() + 60);
    assert!(counters.starts_lost > 0, "the announcements of roots found no room either");
}

#[test]
fn a_blocked_end_goes_on_when_the_consumer_makes_room() {
    let mut flight =
        Flight::start(Plan { ring_bytes: 4 << 10, overflow: Overflow::Block(LONG), ..Plan::default() });
    let recording = thread::spawn(|| {
        let outcomes = (0..2_000).map(record);
        outcomes.filter(|ended| *ended == Ended::Recorded).count()
    });
    while !recording.is_finished() {
        thread::sleep(Duration::from_micros(200));
        flight.drain();
    }
    assert_eq!(recording.join().unwrap(), 2_000);
    flight.drain();
    let indexes: Vec<_> = flight.landed.iter().map(|landed| landed.span.get("index").cloned()).collect();
    assert_eq!(indexes, (0..2_000).map(|index| Some(Value::I64(index))).collect::<Vec<_>>());
    assert_eq!(flight.counters(0).dropped(), 0);
}

#[test]
fn a_blocked_end_wakes_the_consumer() {
    let flight =
        Flight::start(Plan { ring_bytes: 4 << 10, overflow: Overflow::Block(LONG), ..Plan::default() });
    flight.recorder.set_consumer_thread(thread::current());
    let recording = thread::spawn(|| (0..200).all(|index| record(index) == Ended::Recorded));
    let mut flight = flight;
    while !recording.is_finished() {
        thread::park_timeout(Duration::from_secs(1));
        flight.drain();
    }
    assert!(recording.join().unwrap());
}

#[test]
fn a_blocked_end_gives_up_after_its_timeout() {
    let timeout = Duration::from_millis(30);
    let mut flight =
        Flight::start(Plan { ring_bytes: 4 << 10, overflow: Overflow::Block(timeout), ..Plan::default() });
    let mut next = 0;
    let took = loop {
        let before = Instant::now();
        match record(next) {
            Ended::Recorded => next += 1,
            ended => {
                assert_eq!(ended, Ended::Dropped(DropReason::RingFull));
                break before.elapsed();
            }
        }
    };
    assert!(took >= timeout && took < Duration::from_secs(10), "gave up after {took:?}");
    assert_eq!(flight.counters(0).dropped_ring_full, 1);
    assert_eq!(flight.drain(), usize::try_from(next).unwrap());
    assert_eq!(record(next), Ended::Recorded);
}

#[test]
fn a_timeout_without_end_is_no_arithmetic_problem() {
    let mut flight = Flight::start(Plan {
        ring_bytes: 4 << 10,
        overflow: Overflow::Block(Duration::MAX),
        ..Plan::default()
    });
    let recording = thread::spawn(|| (0..100).all(|index| record(index) == Ended::Recorded));
    while !recording.is_finished() {
        flight.drain();
        thread::yield_now();
    }
    assert!(recording.join().unwrap());
}

#[test]
fn ten_thousand_spans_are_open_at_once_where_tables_are_ready() {
    let mut flight =
        Flight::start(Plan { ring_bytes: 8 << 20, tables: 10, in_files: true, ..Plan::default() });
    for round in 0..2 {
        let root = span("root").start();
        let spans: Vec<_> = (0..10_000)
            .map(|index| {
                let span = root.child("open").start();
                span.set("index", index);
                span
            })
            .collect();
        assert!(spans.iter().all(Span::is_recording));
        flight.counters(10_001);
        assert_eq!(flight.files().in_flight().len(), 10_001);
        for span in spans {
            assert_eq!(span.end(), Ended::Recorded);
        }
        drop(root);
        assert_eq!(flight.take().len(), 10_001, "in round {round}");
    }
    assert_eq!(flight.counters(0).dropped(), 0);
    assert_eq!(flight.files().in_flight().len(), 0);
}

#[test]
fn spans_that_find_no_cell_are_dropped_and_counted() {
    let mut flight = Flight::start(Plan { ring_bytes: 8 << 20, ..Plan::default() });
    let spans: Vec<_> = (0..10_000).map(|_| span("open").root().start()).collect();
    let without = spans.iter().filter(|span| !span.is_recording()).count();
    assert_eq!(without, 10_000 - 256);
    flight.counters(10_000);
    assert!(flight.recorder.take_starved());
    let mut dropped = 0;
    for span in spans {
        span.set("ignored", 1);
        match span.end() {
            Ended::Recorded => {}
            ended => {
                assert_eq!(ended, Ended::Dropped(DropReason::NoCell));
                dropped += 1;
            }
        }
    }
    assert_eq!(dropped, without);
    assert_eq!(flight.take().len(), 256);
    assert_eq!(flight.counters(0).dropped_no_cell, without as u64);
}

#[test]
fn a_table_that_is_added_later_helps_the_spans_after_it() {
    let flight = Flight::start(Plan::default());
    let mut spans: Vec<_> = (0..300).map(|_| span("open").start()).collect();
    assert_eq!(flight.recorder.spare_table_count(), 0);
    let table = spanring::mapping::Mapping::anonymous(spanring::table_file_len()).unwrap();
    flight.recorder.add_table(table).unwrap();
    spans.extend((0..1_000).map(|_| span("open").start()));
    assert_eq!(spans.iter().filter(|span| span.is_recording()).count(), 256 + 1_000);
    assert_eq!(flight.recorder.spare_table_count(), 0);
    drop(spans);
    flight.counters(0);
}

#[test]
fn a_span_waits_for_a_cell_where_the_policy_is_to_block() {
    let flight = Flight::start(Plan { overflow: Overflow::Block(LONG), lanes: 2, ..Plan::default() });
    let (send, receive) = std::sync::mpsc::channel();
    let starting = thread::spawn(move || {
        for _ in 0..400 {
            send.send(span("waits").root().start()).unwrap();
        }
    });
    let mut spans = Vec::new();
    while spans.len() < 256 {
        spans.push(receive.recv().unwrap());
    }
    thread::sleep(Duration::from_millis(20));
    assert!(receive.try_recv().is_err(), "the 257th waits");
    spans.clear();
    assert!(receive.into_iter().all(|span: Span| span.is_recording()));
    starting.join().unwrap();
    flight.counters(0);
}
