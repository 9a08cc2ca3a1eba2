//! Futures that are given up, and what that says about their spans.

use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context as Task, Poll, Waker};

use spanring::{InSpan, Span, Status, span};

use crate::flight::{Flight, Plan};

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
    let give_up = |span: &Span| {
        let mut work = Box::pin(pending::<()>().in_span(span));
        assert!(poll(work.as_mut()).is_pending());
    };
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
    assert_eq!(another, Status::Unset, "that was not the last thing that happened");
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
