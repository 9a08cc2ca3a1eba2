//! Spans that start on one thread and end on another, threads that come and go, and lanes that they share.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;

use spanring::{Ended, Overflow, Span, span};

use crate::flight::{Flight, LONG, Plan, Value};

#[test]
fn spans_that_end_on_another_thread_arrive_and_their_cells_come_home() {
    const SPANS: i64 = 20_000;
    let mut flight = Flight::start(Plan { overflow: Overflow::Block(LONG), ..Plan::default() });
    // At most 200 are open at once, so the 256 cells of one lane are enough only if each comes home.
    let (send, receive) = sync_channel::<Span>(198);
    let starter = thread::spawn(move || {
        for index in 0..SPANS {
            let span = span("moved").root().start();
            span.set("index", index);
            send.send(span).unwrap();
        }
    });
    let ender = thread::spawn(move || {
        for span in receive {
            span.set("ended by", "the other thread");
            assert_eq!(span.end(), Ended::Recorded);
        }
    });
    while !ender.is_finished() {
        flight.drain();
        thread::yield_now();
    }
    starter.join().unwrap();
    ender.join().unwrap();
    flight.drain();
    let indexes: Vec<_> = flight.landed.iter().map(|landed| landed.span.get("index").cloned()).collect();
    assert_eq!(indexes, (0..SPANS).map(|index| Some(Value::I64(index))).collect::<Vec<_>>());
    let by_other = Value::Str("the other thread".to_owned());
    assert!(flight.landed.iter().all(|landed| landed.span.get("ended by") == Some(&by_other)));
    assert_eq!(flight.counters(0).dropped(), 0);
}

#[test]
fn values_that_overflow_a_cell_on_another_thread_arrive_and_those_cells_come_home_too() {
    let mut flight = Flight::start(Plan::default());
    let (there, receive) = channel::<Span>();
    let (back, home) = channel::<Span>();
    let text = "x".repeat(10_000);
    let other = thread::spawn({
        let text = text.clone();
        move || {
            for span in receive {
                span.set("there", &text);
                back.send(span).unwrap();
            }
        }
    });
    // Each span takes 22 cells, 11 of either thread: without their return 512 cells would last 24 rounds.
    for _ in 0..500 {
        let span = span("there and back").start();
        span.set("here", &text);
        there.send(span).unwrap();
        let span = home.recv().unwrap();
        span.set("home", 1);
        assert_eq!(span.end(), Ended::Recorded);
        let seen = flight.take_one();
        assert_eq!(seen.get("here"), Some(&Value::Str(text.clone())));
        assert_eq!(seen.get("there"), Some(&Value::Str(text.clone())));
        assert_eq!((seen.get("home"), seen.left_out), (Some(&Value::I64(1)), 0));
    }
    drop(there);
    other.join().unwrap();
    assert_eq!(flight.counters(0).values_cut, 0);
}

#[test]
fn thousands_of_threads_one_after_another_share_few_lanes_and_lose_nothing() {
    let mut flight = Flight::start(Plan { lanes: 3, ..Plan::default() });
    for round in 0..3_000 {
        thread::spawn(move || {
            let span = span("brief").start();
            span.set("round", round);
            assert_eq!(span.end(), Ended::Recorded);
        })
        .join()
        .unwrap();
        if round % 100 == 0 {
            flight.drain();
        }
    }
    flight.drain();
    assert_eq!(flight.landed.len(), 3_000);
    let ids: BTreeSet<_> = flight.landed.iter().map(|landed| landed.span.span_id).collect();
    assert_eq!(ids.len(), 3_000);
    assert!(flight.landed.iter().all(|landed| landed.lane != 0), "no thread needed the shared lane");
    assert_eq!(flight.recorder.attached_count(), 0);
    flight.counters(0);
}

#[test]
fn the_ordinals_of_a_lane_have_no_gap_however_many_threads_used_it() {
    let mut flight = Flight::start(Plan { lanes: 2, ..Plan::default() });
    for _ in 0..50 {
        thread::spawn(|| (0..7).for_each(|_| drop(span("counted").start()))).join().unwrap();
    }
    flight.drain();
    let ordinals: Vec<_> =
        flight.landed.iter().filter(|landed| landed.lane == 1).map(|landed| landed.ordinal).collect();
    assert_eq!(ordinals, (1..=350).collect::<Vec<_>>());
}

#[test]
fn threads_that_find_no_free_lane_share_one() {
    let mut flight = Flight::start(Plan { lanes: 1, overflow: Overflow::Block(LONG), ..Plan::default() });
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            thread::spawn(move || {
                for index in 0..500 {
                    let span = span("shared").start();
                    span.set("long", "y".repeat(2_000));
                    span.set("index", thread * 1_000 + index);
                    assert_eq!(span.end(), Ended::Recorded);
                }
            })
        })
        .collect();
    while !threads.iter().all(|thread| thread.is_finished()) {
        flight.drain();
        thread::yield_now();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    flight.drain();
    assert_eq!(flight.landed.len(), 2_000);
    assert!(flight.landed.iter().all(|landed| landed.lane == 0));
    let indexes: BTreeSet<_> =
        flight.landed.iter().map(|landed| format!("{:?}", landed.span.get("index"))).collect();
    assert_eq!(indexes.len(), 2_000);
    assert!(flight.recorder.take_starved(), "the spool is told that lanes ran out");
    assert_eq!(flight.counters(0).dropped(), 0);
}

#[test]
fn what_a_crowded_shared_lane_turns_away_is_counted() {
    let mut flight = Flight::start(Plan { lanes: 1, ..Plan::default() });
    let threads: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(|| {
                let outcomes = (0..5_000).map(|_| span("crowd").start().end());
                outcomes.filter(|ended| *ended == Ended::Recorded).count()
            })
        })
        .collect();
    let mut drained = 0;
    while !threads.iter().all(|thread| thread.is_finished()) {
        drained += flight.drain();
    }
    let recorded: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    drained += flight.drain();
    assert_eq!(drained, recorded);
    let counters = flight.counters(0);
    assert_eq!(counters.started, 20_000);
    assert_eq!(counters.dropped(), 20_000 - recorded as u64);
}

/// Ends its span, and records another, when the thread's local storage is torn down.
struct AtTheEnd(RefCell<Option<Span>>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        if let Some(kept) = self.0.take() {
            kept.set("torn down", true);
            drop(span("last").parent(kept.context()).start());
            assert_eq!(kept.end(), Ended::Recorded);
        }
    }
}

thread_local! {
    static FIRST: AtTheEnd = const { AtTheEnd(RefCell::new(None)) };
    static SECOND: AtTheEnd = const { AtTheEnd(RefCell::new(None)) };
}

#[test]
fn spans_that_end_while_a_thread_is_torn_down_are_recorded() {
    let mut flight = Flight::start(Plan { lanes: 2, ..Plan::default() });
    for _ in 0..100 {
        thread::spawn(|| {
            // One is torn down before the recorder's own part, the other after it, whichever way round.
            FIRST.with(|_| ());
            let first = span("kept").start();
            FIRST.with(|kept| *kept.0.borrow_mut() = Some(first));
            SECOND.with(|kept| *kept.0.borrow_mut() = Some(span("kept").start()));
        })
        .join()
        .unwrap();
    }
    flight.drain();
    let count = |name: &str| flight.landed.iter().filter(|landed| landed.span.name == name).count();
    assert_eq!((count("kept"), count("last")), (200, 200));
    let lanes: BTreeSet<_> = flight.landed.iter().map(|landed| landed.lane).collect();
    assert_eq!(lanes, BTreeSet::from([0, 1]), "some came before their lane was given back, some after");
    flight.counters(0);
    assert_eq!(flight.recorder.attached_count(), 0);
}

#[test]
fn a_thread_that_exits_leaves_its_open_spans_to_those_who_hold_them() {
    let mut flight = Flight::start(Plan { lanes: 2, in_files: true, ..Plan::default() });
    let left: Vec<Span> = thread::spawn(|| {
        let spans = (0..100).map(|index| {
            let span = span("left open").start();
            span.set("index", index);
            span
        });
        spans.collect()
    })
    .join()
    .unwrap();
    // Another thread adopts the lane with the live cells in it, and fills the rest.
    thread::spawn(|| {
        let spans: Vec<_> = (0..156).map(|_| span("adopter").start()).collect();
        assert!(spans.iter().all(Span::is_recording));
        assert!(!span("one too many").start().is_recording());
    })
    .join()
    .unwrap();
    assert_eq!(flight.files().in_flight().len(), 100);
    for span in left {
        span.set("ended by", "the holder");
        assert_eq!(span.end(), Ended::Recorded);
    }
    assert_eq!(flight.take().len(), 256);
    let counters = flight.counters(0);
    assert_eq!((counters.started, counters.dropped_no_cell), (257, 1));
    // All cells came home.
    thread::spawn(|| {
        let spans: Vec<_> = (0..256).map(|_| span("again").start()).collect();
        assert!(spans.iter().all(Span::is_recording));
    })
    .join()
    .unwrap();
    flight.counters(0);
}
