//! Spans that several threads hold: one of them ends it, whoever that is.

use std::process::Command;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use spanring::{Ended, Lifecycle, SharedSpan, Status, span};

use crate::flight::{Flight, Plan, Value, alone};

#[test]
fn what_comes_too_late_does_nothing_and_is_counted() {
    let mut flight = Flight::start(Plan::default());
    let shared = span("late").prepare().shared();
    assert!(shared.start());
    assert!(!shared.start(), "it was started");
    assert!(shared.with(|span| _ = span.set("in time", 1)));
    assert_eq!(shared.complete(), Ended::Recorded);
    assert_eq!(flight.counters(0).misused, 1);

    assert!(!shared.start(), "it has ended");
    assert!(!shared.with(|_| unreachable!("nobody asks what to change after the end")));
    let late = [
        shared.end(),
        shared.complete(),
        shared.complete_with(&1),
        shared.cancel(),
        shared.fail("late"),
        shared.fail_with(&1),
        shared.clone().end(),
    ];
    assert!(late.iter().all(|ended| *ended == Ended::AlreadyEnded));
    assert_eq!(shared.finish(Ok::<_, &str>(1)), Ok(1));
    assert_eq!(shared.finish(Err::<(), _>("late")), Err("late"));
    drop(shared);
    let seen = flight.take_one();
    assert_eq!((seen.status, seen.message.as_ref(), seen.keys()), (Status::Ok, None, vec!["in time"]));
    assert_eq!(flight.counters(0).misused, 1 + 1 + 1 + 7 + 2);
}

/// Not a test of its own: see [`what_comes_too_late_is_warned_about_once_a_sort`].
#[test]
#[ignore = "another test runs it as a program of its own"]
fn a_program_that_is_too_late() {
    let _flight = Flight::start(Plan::default());
    for _ in 0..3 {
        let shared = span("late").start().shared();
        shared.start();
        assert_eq!(shared.end(), Ended::Recorded);
        assert_eq!(shared.end(), Ended::AlreadyEnded);
        shared.with(|_| ());
        drop(spanring::trace("").start());
    }
}

#[test]
fn what_comes_too_late_is_warned_about_once_a_sort() {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--exact", "shared::a_program_that_is_too_late", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    let warnings: Vec<_> = errors.lines().filter(|line| line.starts_with("spanring: ")).collect();
    for what in ["started twice", "ended twice", "changed after its end", "without a name"] {
        let about = warnings.iter().filter(|warning| warning.contains(what)).count();
        assert_eq!(about, 1, "{what}: {errors}");
    }
    assert_eq!(warnings.len(), 4, "{errors}");
}

#[test]
fn of_all_who_end_a_span_at_once_exactly_one_does() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 200;
    let mut flight = Flight::start(Plan { lanes: THREADS + 2, ..Plan::default() });
    let spans: Vec<SharedSpan> = (0..ROUNDS).map(|_| span("contended").root().prepare().shared()).collect();
    let barrier = Barrier::new(THREADS);
    let counts = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (spans, barrier) = (&spans, &barrier);
                scope.spawn(move || {
                    let (mut starts, mut ends) = (0, 0);
                    for shared in spans {
                        barrier.wait();
                        starts += usize::from(shared.start());
                        shared.with(|span| _ = span.set("thread", thread));
                        let ended = match thread % 4 {
                            0 => shared.complete(),
                            1 => shared.cancel(),
                            2 => shared.fail("on purpose"),
                            _ => shared.end(),
                        };
                        match ended {
                            Ended::Recorded => ends += 1,
                            other => assert_eq!(other, Ended::AlreadyEnded),
                        }
                    }
                    (starts, ends)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let sum = |count: fn(&(usize, usize)) -> usize| counts.iter().map(count).sum::<usize>();
    assert_eq!((sum(|count| count.0), sum(|count| count.1)), (ROUNDS, ROUNDS));
    let seen = flight.take();
    assert_eq!(seen.len(), ROUNDS);
    assert!(seen.iter().all(|seen| seen.started.is_some_and(|(_, by_drop)| !by_drop)));
    // Of each round one start and one end was in time, and as many changes as arrived.
    let changes: usize =
        seen.iter().map(|seen| seen.keys().iter().filter(|key| **key == "thread").count()).sum();
    let calls = 3 * THREADS * ROUNDS;
    assert_eq!(flight.counters(0).misused, (calls - 2 * ROUNDS - changes) as u64);
}

#[test]
fn a_panic_while_it_is_changed_leaves_it_usable() {
    let mut flight = Flight::start(Plan::default());
    let shared = span("survives").start().shared();
    let clone = shared.clone();
    let panicked = thread::spawn(move || {
        clone.with(|span| {
            span.set("before", 1);
            std::panic::resume_unwind(Box::new("on purpose"));
        });
    })
    .join();
    assert!(panicked.is_err());
    assert!(shared.is_recording() && shared.with(|span| _ = span.set("after", 2)));
    assert_eq!(shared.complete(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!((seen.status, seen.keys()), (Status::Ok, vec!["before", "after"]));
    assert_eq!(flight.counters(0).misused, 0);
}

#[test]
fn a_failure_that_panics_ends_it_all_the_same() {
    struct Lends;
    impl AsRef<dyn std::error::Error> for Lends {
        fn as_ref(&self) -> &(dyn std::error::Error + 'static) {
            std::panic::resume_unwind(Box::new("on purpose"))
        }
    }
    let mut flight = Flight::start(Plan::default());
    let shared = span("fails").start().shared();
    assert_eq!(shared.fail(Lends), Ended::Recorded);
    assert_eq!((shared.status(), shared.lifecycle()), (Status::Error, Lifecycle::Failed));
    assert_eq!(shared.end(), Ended::AlreadyEnded);
    assert_eq!(flight.take_one().status, Status::Error);
}

#[test]
fn the_last_handle_that_is_dropped_ends_it() {
    let mut flight = Flight::start(Plan::default());
    let active = span("active").start().shared();
    let pending = span("pending").prepare().default_input("q").shared();
    let clones = (active.clone(), pending.clone());
    drop((active, pending));
    assert_eq!((flight.take().len(), flight.counters(2).misused), (0, 0));
    thread::spawn(move || drop(clones)).join().unwrap();
    let [active, pending] = &flight.take()[..] else { panic!("both have ended") };
    assert_eq!((active.status, active.is_pending), (Status::Unset, false));
    assert_eq!(pending.started.map(|(_, by_drop)| by_drop), Some(true));
    assert_eq!(pending.get("spanring.input.default"), Some(&Value::packed("q")));
    assert_eq!(flight.counters(0).misused, 0);
}

#[test]
fn a_pending_one_is_started_by_its_end_and_not_by_being_given_up() {
    let mut flight = Flight::start(Plan::default());
    let pending = || span("pending").root().prepare().default_input("q").shared();
    assert_eq!(pending().complete(), Ended::Recorded);
    assert_eq!(pending().complete_with(&7), Ended::Recorded);
    assert_eq!(pending().end(), Ended::Recorded);
    assert_eq!(pending().fail("reason"), Ended::Recorded);
    assert_eq!(pending().fail_with(&7), Ended::Recorded);
    assert_eq!(pending().finish(Err::<(), _>("reason")), Err("reason"));
    assert_eq!(pending().cancel(), Ended::Recorded);
    let seen: Vec<_> = flight
        .take()
        .into_iter()
        .map(|seen| (seen.status, seen.started.map(|(_, by_drop)| by_drop)))
        .collect();
    let error = (Status::Error, Some(false));
    let expected = [
        (Status::Ok, Some(false)),
        (Status::Ok, Some(false)),
        (Status::Unset, Some(false)),
        error,
        error,
        error,
        (Status::Cancelled, None),
    ];
    assert_eq!(seen, expected);
    assert_eq!(flight.announced.len(), 6, "what never started is not announced");
}

#[test]
fn its_state_can_be_asked_for_before_and_after_its_end() {
    let flight = Flight::start(Plan::default());
    let shared = span("asked").start_unix_ns(1_000).prepare().shared();
    assert_eq!((shared.lifecycle(), shared.status()), (Lifecycle::Pending, Status::Unset));
    assert_eq!((shared.start_unix_ns(), shared.end_unix_ns()), (None, None));
    assert!(shared.is_recording() && shared.start());
    assert_eq!((shared.lifecycle(), shared.end_unix_ns()), (Lifecycle::Active, None));
    shared.with(|span| _ = span.error("so far"));
    assert_eq!((shared.status(), shared.error_message().as_deref()), (Status::Error, Some("so far")));
    let context = shared.context();
    assert_eq!(shared.fail("in the end"), Ended::Recorded);
    assert_eq!((shared.lifecycle(), shared.status()), (Lifecycle::Failed, Status::Error));
    assert_eq!((shared.error_message().as_deref(), shared.context()), (Some("in the end"), context));
    assert!(!shared.is_recording() && shared.end_unix_ns().is_some());
    drop(flight);

    let _alone = alone();
    let off = span("off").start().shared();
    assert!(!off.is_recording() && off.with(|span| assert!(!span.is_recording())));
    assert_eq!((off.end(), off.end()), (Ended::NotRecording, Ended::AlreadyEnded));
}

/// When it was made is not when it started.
#[test]
fn one_that_was_given_up_before_it_started_has_no_start() {
    let _flight = Flight::start(Plan::default());
    let shared = span("given up").start_unix_ns(1_000).prepare().shared();
    assert_eq!(shared.start_unix_ns(), None);
    assert_eq!(shared.cancel(), Ended::Recorded);
    assert_eq!(shared.lifecycle(), Lifecycle::Cancelled);
    assert_eq!(shared.start_unix_ns(), None);
}

#[test]
fn a_shared_span_that_ended_after_its_deadline_has_timed_out() {
    let _flight = Flight::start(Plan::default());
    let long_ago = spanring::clock::unix_ns() - 1_000_000_000;
    let late = || span("late").start_unix_ns(long_ago).deadline(Duration::from_millis(1)).start().shared();
    let [complete, failed, cancelled] = [late(), late(), late()];
    complete.complete();
    failed.fail("reason");
    cancelled.cancel();
    let ends = [&complete, &failed, &cancelled].map(|span| (span.status(), span.lifecycle()));
    assert_eq!(
        ends,
        [
            (Status::TimedOut, Lifecycle::TimedOut),
            (Status::Error, Lifecycle::Failed),
            (Status::Cancelled, Lifecycle::Cancelled)
        ]
    );
}

#[test]
fn a_result_whose_error_can_only_be_displayed_ends_a_shared_span_too() {
    struct Shown;
    impl std::fmt::Display for Shown {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("shown")
        }
    }
    let mut flight = Flight::start(Plan::default());
    let shared = span("shown").start().shared();
    assert!(shared.finish_display(Err::<(), _>(Shown)).is_err());
    assert_eq!((shared.status(), shared.error_message().as_deref()), (Status::Error, Some("shown")));
    assert_eq!(flight.take_one().message.as_deref(), Some("shown"));
}
