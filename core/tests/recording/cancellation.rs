//! Futures that are given up, and what that says about their spans.

use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};
use std::thread;

use spanring::sampling::KindRates;
use spanring::{Callsite, Hooks, InSpan, Kind, Span, Status, span};

use crate::flight::{Flight, Plan, Seen};

/// Polls once.
fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Task::from_waker(Waker::noop()))
}

/// The status with which the span ends that `live` is given.
fn status_after(live: impl FnOnce(Span)) -> Status {
    let mut flight = Flight::start(Plan::default());
    live(span("work").start());
    flight.take_one().status
}

#[test]
fn a_span_that_is_dropped_after_its_unfinished_future_is_cancelled() {
    let given_up = status_after(|span| {
        let mut task = Box::pin(async move {
            pending::<()>().in_span(&span).await;
        });
        assert!(poll(task.as_mut()).is_pending());
    });
    assert_eq!(given_up, Status::Cancelled);
}

#[test]
fn a_future_that_is_done_or_never_began_or_is_of_no_borrowed_span_cancels_nothing() {
    let done = status_after(|span| {
        let mut future = pin!(ready(()).in_span(&span));
        assert!(poll(future.as_mut()).is_ready());
    });
    assert_eq!(done, Status::Unset);
    assert_eq!(status_after(|span| drop(pending::<()>().in_span(&span))), Status::Unset);
    let elsewhere = status_after(|span| {
        let mut task = Box::pin(pending::<()>().in_context(span.context()));
        assert!(poll(task.as_mut()).is_pending());
        drop(task);
    });
    assert_eq!(elsewhere, Status::Unset);
}

#[test]
fn what_was_said_counts_and_so_does_work_that_goes_on_after_some_was_given_up() {
    for said in [Status::Ok, Status::Error] {
        let status = status_after(|span| {
            span.set_status(said);
            give_up(&span);
        });
        assert_eq!(status, said);
    }
    let ended = status_after(|span| {
        give_up(&span);
        span.end();
    });
    assert_eq!(ended, Status::Unset, "ended, and not dropped");
    let went_on = status_after(|span| {
        give_up(&span);
        let mut again = pin!(ready(()).in_span(&span));
        assert!(poll(again.as_mut()).is_ready());
    });
    assert_eq!(went_on, Status::Unset);
    let another = status_after(|span| {
        give_up(&span);
        give_up(&Span::disabled());
    });
    assert_eq!(another, Status::Cancelled, "of that nothing is recorded");
}

#[test]
fn each_span_knows_of_its_own_work_on_whichever_thread_it_is_given_up_and_dropped() {
    let mut flight = Flight::start(Plan::default());
    let spans: Vec<_> = ["first", "last"].into_iter().map(|name| span(name).start()).collect();
    for span in &spans {
        assert!(poll(pin!(pending::<()>().in_span(span))).is_pending());
    }
    for span in spans {
        std::thread::spawn(move || drop(span)).join().unwrap();
    }
    assert!(flight.take().iter().all(|span| span.status == Status::Cancelled));
}

#[test]
fn a_future_that_loses_a_race_against_another_of_its_span_was_not_given_up() {
    for loser_first in [false, true] {
        let raced = status_after(|span| {
            let mut loser = Box::pin(pending::<()>().in_span(&span));
            let mut winner = Box::pin(async { yield_once().await }.in_span(&span));
            assert!(poll(winner.as_mut()).is_pending());
            if loser_first {
                assert!(poll(loser.as_mut()).is_pending());
            }
            assert!(poll(winner.as_mut()).is_ready());
            drop(loser);
        });
        assert_eq!(raced, Status::Unset);
    }
    let given_up_later = status_after(|span| {
        assert!(poll(pin!(ready(()).in_span(&span))).is_ready());
        assert!(poll(pin!(pending::<()>().in_span(&span))).is_pending());
    });
    assert_eq!(given_up_later, Status::Cancelled, "what was done before was not all");
}

/// Is pending once.
async fn yield_once() {
    let mut has_yielded = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut has_yielded, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[test]
fn a_panic_fails_the_span_and_does_not_cancel_it() {
    let panicked = status_after(|span| {
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let mut work = Box::pin(async { panic!("in a poll") }.in_span(&span));
            let _done = poll(work.as_mut());
            drop(work);
            drop(span);
        }));
        assert!(unwound.is_err());
    });
    assert_eq!(panicked, Status::Error);
}

/// Begins something within the span, and gives it up.
fn give_up(span: &Span) {
    let mut work = Box::pin(pending::<()>().in_span(span));
    assert!(poll(work.as_mut()).is_pending());
}

fn statuses(spans: &[Seen]) -> Vec<(&str, Status)> {
    spans.iter().map(|span| (&*span.name, span.status)).collect()
}

#[test]
fn work_within_a_span_that_is_left_out_says_nothing_about_the_span_around_it() {
    let kinds = Some(KindRates::default().rate(Kind::Embedding, 0.0));
    let filter = |callsite: &Callsite| callsite.name() != "noise";
    let mut flight = Flight::hooked(Hooks { kinds, filter: Some(Arc::new(filter)), ..Hooks::default() });
    let left_out: [fn(&Span) -> Span; 3] = [
        |run| run.embedding("ada").start(),
        |run| run.in_scope(|| span!("noise")),
        |run| run.in_scope(Span::disabled),
    ];
    for make in left_out {
        let run = span("run").start();
        let within = make(&run);
        assert!(!within.is_recording() && within.context() == run.context());
        give_up(&within);
        drop(within);
        drop(run);
        assert_eq!(flight.take_one().status, Status::Unset);

        // Nor does work that is done there say that what was given up goes on.
        let run = span("run").start();
        let within = make(&run);
        give_up(&run);
        assert!(poll(pin!(ready(()).in_span(&within))).is_ready());
        drop(within);
        drop(run);
        assert_eq!(flight.take_one().status, Status::Cancelled);
    }
}

#[test]
fn tasks_that_are_dropped_cancel_every_span_that_they_were_within() {
    let mut flight = Flight::start(Plan::default());
    let run = span("run").start();
    let mut task = Box::pin(async {
        let outer = span("outer").start();
        async {
            let inner = span("inner").start().cancel_on_drop();
            let done = span("done").start();
            ready(()).in_span(&done).await;
            drop(done);
            pending::<()>().in_span(&inner).await;
        }
        .in_span(&outer)
        .await;
    });
    assert!(poll(task.as_mut()).is_pending());
    drop(task);
    drop(run);
    let expected = [
        ("done", Status::Unset),
        ("inner", Status::Cancelled),
        ("outer", Status::Cancelled),
        ("run", Status::Unset),
    ];
    assert_eq!(statuses(&flight.take()), expected);
}

#[test]
fn a_span_is_cancelled_whoever_holds_it_on_whichever_thread() {
    let shared = status_after(|span| {
        give_up(&span);
        drop(span.shared());
    });
    assert_eq!(shared, Status::Cancelled);
    let ended = status_after(|span| {
        give_up(&span);
        span.shared().end();
    });
    assert_eq!(ended, Status::Unset);
    let moved = status_after(|span| {
        give_up(&span);
        thread::spawn(move || drop(span)).join().unwrap();
    });
    assert_eq!(moved, Status::Cancelled);
    let mut flight = Flight::start(Plan::default());
    let pending = span("pending").prepare();
    give_up(&pending);
    drop(pending);
    assert_eq!(flight.take_one().status, Status::Cancelled);
}
