//! `InSpan` is for futures and streams: others who have methods of its names keep them.

#![cfg(not(loom))]

use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use spanring::prelude::*;

struct Tracer;

impl Tracer {
    fn new() -> Self {
        Tracer
    }
}

/// As OpenTelemetry's `Tracer` is: by reference, which is looked for after what takes the value.
trait Traces {
    fn in_span<T>(&self, name: &str, work: impl FnOnce() -> T) -> T;
    fn in_context(&self, name: &str) -> usize;
}

impl Traces for Tracer {
    fn in_span<T>(&self, _name: &str, work: impl FnOnce() -> T) -> T {
        work()
    }

    fn in_context(&self, name: &str) -> usize {
        name.len()
    }
}

fn of_any_future<F: Future + InSpan>(future: F, span: &Span) -> impl Future<Output = F::Output> {
    future.in_span(span)
}

#[test]
fn what_is_no_future_keeps_methods_of_the_same_names() {
    let tracer = Tracer::new();
    assert_eq!(tracer.in_span("checkout", || 7), 7);
    assert_eq!(tracer.in_context("checkout"), 8);
}

#[test]
fn a_future_of_any_type_runs_within_a_span() {
    let span = spanring::span("step").start();
    let polled = pin!(of_any_future(ready(7), &span)).poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Ready(7));
}
