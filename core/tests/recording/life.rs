//! A span's life: pending, active, and over in one of the ways that there are.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use spanring::record::Time;
use spanring::{DropReason, Ended, Pending, Span, Status, span};

use crate::flight::{Flight, Plan, Value, alone};

const DEFAULT_INPUT: &str = "spanring.input.default";

/// Panics without the words on standard error.
fn panic_quietly() {
    resume_unwind(Box::new("on purpose"));
}

fn ticks(time: Time) -> u64 {
    match time {
        Time::Ticks(ticks) => ticks,
        Time::UnixNs(ns) => panic!("{ns} is no reading of the recorder's clock"),
    }
}

#[test]
fn a_pending_span_has_not_started_before_it_is_told_to() {
    let mut flight = Flight::start(Plan { in_files: true, ..Plan::default() });
    let pending = span("waits").set("early", 1).prepare();
    pending.set("prepared", true);
    let seen = flight.files().in_flight().remove(&pending.context().span_id()).unwrap();
    assert_eq!((seen.is_pending, seen.started, seen.keys()), (true, None, vec!["early", "prepared"]));
    let open = pending.start();
    open.set("late", 2);
    assert_eq!(open.complete(), Ended::Recorded);

    let seen = flight.take_one();
    assert_eq!((seen.is_pending, seen.status), (true, Status::Ok));
    assert_eq!(seen.keys(), ["early", "prepared", "late"]);
    let (started, by_drop) = seen.started.unwrap();
    assert!(ticks(started) >= ticks(seen.start) && !by_drop);
    flight.counters(0);
}

#[test]
fn a_pending_span_starts_at_the_moment_that_is_given() {
    let mut flight = Flight::start(Plan::default());
    for moment in [0, 5_000, u64::MAX] {
        let open = span("imported").start_unix_ns(3_000).prepare().start_at_unix_ns(moment);
        assert_eq!(open.end_at_unix_ns(moment), Ended::Recorded);
        let seen = flight.take_one();
        assert_eq!(seen.start, Time::UnixNs(3_000));
        assert_eq!(seen.started, Some((Time::UnixNs(moment), false)));
    }
}

#[test]
fn a_pending_span_that_is_dropped_starts_and_completes_at_once_with_its_default_input() {
    let mut flight = Flight::start(Plan::default());
    drop(span("without").prepare());
    drop(span("with").prepare().default_input(&["q"]));
    drop(span("twice").prepare().default_input(&1).default_input(&None::<u8>));
    let spans = flight.take();
    assert!(spans.iter().all(|seen| seen.is_pending && seen.status == Status::Unset));
    assert!(spans.iter().all(|seen| seen.started.is_some_and(|(_, by_drop)| by_drop)));
    assert_eq!(spans[0].attributes, []);
    assert_eq!(spans[1].get(DEFAULT_INPUT), Some(&Value::packed(&["q"])));
    assert_eq!(spans[2].get(DEFAULT_INPUT), Some(&Value::packed(&None::<u8>)));
    flight.counters(0);
}

#[test]
fn a_pending_span_that_is_given_up_never_started() {
    let mut flight = Flight::start(Plan::default());
    assert_eq!(span("given up").prepare().default_input("q").cancel(), Ended::Recorded);
    assert_eq!(span("given up").prepare().cancel_at_unix_ns(7), Ended::Recorded);
    flight.drain();
    let [now, then] = [&flight.landed[0], &flight.landed[1]];
    for seen in [&now.span, &then.span] {
        assert_eq!((seen.is_pending, seen.started, seen.status), (true, None, Status::Cancelled));
    }
    assert!(ticks(now.end) >= ticks(now.span.start));
    assert_eq!(then.end, Time::UnixNs(7));
    flight.counters(0);
}

#[test]
fn a_pending_root_is_announced_as_it_starts_and_not_before() {
    for live in [false, true] {
        let mut flight = Flight::start(Plan { live, ..Plan::default() });
        let root = span("root").set("early", 1).prepare();
        let child = root.child("child").prepare();
        let dropped = span("dropped").root().prepare();
        let given_up = span("given up").root().prepare();
        flight.drain();
        assert_eq!(flight.announced, [], "live: {live}");

        let child = child.start();
        let root = root.start();
        drop(dropped);
        assert_eq!(given_up.cancel(), Ended::Recorded);
        flight.drain();
        let names: Vec<_> = flight.announced.iter().map(|seen| seen.name.as_str()).collect();
        let expected: &[_] = if live { &["child", "root", "dropped"] } else { &["root", "dropped"] };
        assert_eq!(names, expected);
        assert!(flight.announced.iter().all(|seen| seen.is_pending && seen.started.is_some()));
        let announced = flight.announced.iter().find(|seen| seen.name == "root").unwrap();
        assert_eq!(announced.get("early"), Some(&Value::I64(1)));
        drop((child, root));
        assert_eq!(flight.take().len(), 4);
        assert_eq!(flight.counters(0).starts_lost, 0);
    }
}

#[test]
fn others_are_started_under_a_span_that_has_not_started() {
    let mut flight = Flight::start(Plan::default());
    let plan = span("plan").prepare();
    {
        let _entered = plan.enter();
        drop(span("entered").start());
    }
    drop(plan.child("child").start());
    drop(plan.tool("tool").prepare());
    let context = plan.context();
    assert_eq!(plan.start().context(), context);
    let spans = flight.take();
    assert_eq!(spans.len(), 4);
    for seen in &spans[..3] {
        assert_eq!((seen.trace_id, seen.parent_id), (context.trace_id(), context.span_id()));
    }
}

/// A span that was pending is told apart from one that never started by an entry of 16 bytes. It must not be a matter of room
/// whether that is there: the span would be read as one that never started, with an end and an outcome.
#[test]
fn a_pending_span_that_took_all_its_room_starts_all_the_same() {
    let mut flight = Flight::start(Plan { ring_bytes: 4 << 10, ..Plan::default() });
    let prompt = "x".repeat(10_000);
    let started = span("started").input(&prompt).prepare().start();
    assert_eq!(started.complete(), Ended::Recorded);
    drop(span("dropped").prepare().default_input(&prompt));
    let spans = flight.take();
    assert!(spans.iter().all(|seen| seen.attributes[0].cut && seen.is_pending));
    assert_eq!(spans[0].started.map(|(_, by_drop)| by_drop), Some(false));
    assert_eq!(spans[1].started.map(|(_, by_drop)| by_drop), Some(true));
}

#[test]
fn a_pending_span_moves_between_threads() {
    let mut flight = Flight::start(Plan::default());
    let (send, receive) = channel::<Pending>();
    let other = thread::spawn(move || {
        let mut ended = Vec::new();
        for (index, pending) in receive.iter().enumerate() {
            match index % 3 {
                0 => ended.push(pending.start().complete()),
                1 => ended.push(pending.cancel()),
                _ => drop(pending),
            }
        }
        ended
    });
    for _ in 0..150 {
        send.send(span("sent").root().prepare()).unwrap();
    }
    drop(send);
    assert!(other.join().unwrap().iter().all(|ended| *ended == Ended::Recorded));
    let spans = flight.take();
    let count = |status, started| {
        spans
            .iter()
            .filter(|seen| (seen.status, seen.started.map(|(_, by_drop)| by_drop)) == (status, started))
            .count()
    };
    assert_eq!(count(Status::Ok, Some(false)), 50);
    assert_eq!(count(Status::Cancelled, None), 50);
    assert_eq!(count(Status::Unset, Some(true)), 50);
    flight.counters(0);
}

#[test]
fn a_pending_span_that_is_dropped_while_its_thread_is_torn_down_is_recorded() {
    thread_local! {
        static KEPT: std::cell::RefCell<Vec<Pending>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let mut flight = Flight::start(Plan { lanes: 2, ..Plan::default() });
    for round in 0..100 {
        thread::spawn(move || {
            // Which of the two is torn down first differs from round to round.
            if round % 2 == 0 {
                KEPT.with(|_| ());
            }
            let pending = span("kept").prepare().default_input(&round);
            KEPT.with(|kept| kept.borrow_mut().push(pending));
        })
        .join()
        .unwrap();
    }
    let spans = flight.take();
    assert_eq!(spans.len(), 100);
    assert!(spans.iter().all(|seen| seen.started.is_some_and(|(_, by_drop)| by_drop)));
    assert_eq!(flight.announced.len(), 100);
    assert_eq!(flight.counters(0).starts_lost, 0);
}

#[test]
fn a_pending_span_without_a_recorder_or_a_cell_does_nothing() {
    let alone = alone();
    let pending = span("off").prepare().default_input("q");
    assert!(!pending.is_recording());
    assert_eq!(pending.start().complete(), Ended::NotRecording);
    assert_eq!(span("off").prepare().cancel(), Ended::NotRecording);
    drop(span("off").prepare());

    let flight = Flight::start_with(alone, Plan { lanes: 0, ..Plan::default() });
    drop(span("nowhere").prepare());
    assert_eq!(span("nowhere").prepare().start().end(), Ended::Dropped(DropReason::NoLane));
    assert_eq!(span("nowhere").prepare().cancel(), Ended::Dropped(DropReason::NoLane));
    assert_eq!(flight.counters(0).dropped_no_lane, 3);
}

#[test]
fn each_way_to_end_says_how_it_went() {
    let mut flight = Flight::start(Plan::default());
    let mut seen = |name: &str, end: &dyn Fn(Span) -> Ended| {
        assert_eq!(end(span("work").start()), Ended::Recorded, "{name}");
        flight.take_one()
    };
    assert_eq!(seen("end", &Span::end).status, Status::Unset);
    assert_eq!(seen("complete", &Span::complete).status, Status::Ok);
    assert_eq!(seen("cancel", &Span::cancel).status, Status::Cancelled);
    let completed = seen("complete with", &|span| span.complete_with(&["done"]));
    assert_eq!(completed.status, Status::Ok);
    assert_eq!(completed.get("spanring.output"), Some(&Value::packed(&["done"])));
    let failed = seen("fail", &|span| span.fail("no such file"));
    assert_eq!((failed.status, failed.message.as_deref()), (Status::Error, Some("no such file")));
    let failed = seen("fail with", &|span| span.fail_with(&("E7", 7)));
    assert_eq!((failed.status, failed.message.as_ref()), (Status::Error, None));
    assert_eq!(failed.get("spanring.output"), Some(&Value::packed(&("E7", 7))));
    let timed_out = seen("a status", &|span| {
        span.set_status(Status::TimedOut);
        span.end()
    });
    assert_eq!(timed_out.status, Status::TimedOut);
    let overruled = seen("complete after an error", &|span| {
        span.error("once");
        span.complete()
    });
    assert_eq!((overruled.status, overruled.message.as_deref()), (Status::Ok, Some("once")));
}

#[test]
fn a_result_is_handed_on_and_says_how_it_went() {
    let mut flight = Flight::start(Plan::default());
    let number = span("parse").start().finish("12".parse::<u32>());
    assert_eq!((number, flight.take_one().status), (Ok(12), Status::Ok));
    let number = span("parse").start().finish("twelve".parse::<u32>());
    let seen = flight.take_one();
    assert!(number.is_err());
    assert_eq!((seen.status, seen.message), (Status::Error, number.map_err(|error| error.to_string()).err()));

    let shown = span("display").start().finish_display(Ok::<_, Shown>("fine"));
    assert_eq!((shown, flight.take_one().status), (Ok("fine"), Status::Ok));
    let shown = span("display").start().finish_display(Err::<(), _>(Shown));
    let seen = flight.take_one();
    assert_eq!((shown, seen.status, seen.message.as_deref()), (Err(Shown), Status::Error, Some("shown")));
    let Some(Value::Str(name)) = seen.get("error.type") else { panic!("{seen:?}") };
    assert!(name.ends_with("Shown"));
}

/// Has nothing but a `Display`.
#[derive(PartialEq, Eq, Debug)]
struct Shown;

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("shown")
    }
}

#[test]
fn a_span_that_is_dropped_completes_unless_a_panic_unwinds() {
    let mut flight = Flight::start(Plan::default());
    drop(span("dropped").start());
    let seen = flight.take_one();
    assert_eq!((seen.status, seen.message, seen.attributes), (Status::Unset, None, vec![]));

    let panicked = catch_unwind(|| {
        let _span = span("unwound").start();
        panic_quietly();
    });
    let seen = flight.take_one();
    assert!(panicked.is_err());
    assert_eq!((seen.status, seen.message.as_deref()), (Status::Error, Some("dropped by a panic")));
    assert_eq!(seen.get("error.type"), Some(&Value::text("panic")));

    let panicked = catch_unwind(|| {
        let _pending = span("unwound").prepare().default_input("q");
        panic_quietly();
    });
    let seen = flight.take_one();
    assert!(panicked.is_err());
    assert_eq!((seen.status, seen.started.map(|(_, by_drop)| by_drop)), (Status::Error, Some(true)));
    flight.counters(0);
}

#[test]
fn what_was_said_before_a_panic_stays() {
    let mut flight = Flight::start(Plan::default());
    for status in [Status::Ok, Status::Error, Status::Cancelled, Status::TimedOut] {
        let panicked = catch_unwind(|| {
            let span = span("said").start();
            span.set_status(status);
            panic_quietly();
        });
        let seen = flight.take_one();
        assert!(panicked.is_err());
        assert_eq!((seen.status, seen.message, seen.attributes), (status, None, vec![]));
    }
}

#[test]
fn what_ends_by_a_call_while_a_panic_unwinds_ends_as_the_call_says() {
    struct Ends(Option<Span>);
    impl Drop for Ends {
        fn drop(&mut self) {
            let own = span("of the cleanup").start();
            assert_eq!(own.complete(), Ended::Recorded);
            assert_eq!(self.0.take().unwrap().end(), Ended::Recorded);
            assert!(span("of the cleanup").start().finish(Ok::<_, &str>(())).is_ok());
            // A panic within a panic that is caught again.
            let nested = catch_unwind(|| {
                let _inner = span("inner").start();
                panic_quietly();
            });
            assert!(nested.is_err());
        }
    }
    let mut flight = Flight::start(Plan::default());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ends = Ends(Some(span("ended").start()));
        panic_quietly();
    }));
    assert!(panicked.is_err());
    let ends: Vec<_> = flight.take().into_iter().map(|seen| (seen.name, seen.status)).collect();
    let expected = [
        ("of the cleanup", Status::Ok),
        ("ended", Status::Unset),
        ("of the cleanup", Status::Ok),
        ("inner", Status::Error),
    ];
    assert_eq!(ends, expected.map(|(name, status)| (name.to_owned(), status)));
    assert!(!thread::panicking());
    drop(span("afterwards").start());
    assert_eq!(flight.take_one().status, Status::Unset);
}

#[test]
fn a_deadline_is_recorded_and_the_last_one_counts() {
    let mut flight = Flight::start(Plan::default());
    let mut deadline = |set: &dyn Fn() -> Span| {
        assert_eq!(set().end(), Ended::Recorded);
        flight.take_one().deadline_ns
    };
    assert_eq!(deadline(&|| span("none").start()), None);
    assert_eq!(deadline(&|| span("now").deadline(Duration::ZERO).start()), Some(0));
    assert_eq!(deadline(&|| span("built").deadline(Duration::from_millis(5)).start()), Some(5_000_000));
    let last = deadline(&|| {
        let span = span("twice").deadline(Duration::from_secs(9)).start();
        span.deadline(Duration::from_nanos(1)).deadline(Duration::MAX);
        span
    });
    assert_eq!(last, Some(u64::MAX), "what no number of nanoseconds can say never passes");
    assert_eq!(deadline(&|| span("pending").deadline(Duration::from_nanos(3)).prepare().start()), Some(3));
}
