//! Many threads at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;

use opentelemetry::trace::{Span, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use spanring::{Lifecycle, names};

use crate::Both;

const THREADS: usize = 8;
const SPANS: usize = 300;

#[test]
fn spans_that_start_on_one_thread_and_end_on_another_come_out_the_same() {
    let both = Both::with_tables(8);
    let tracer = both.provider.tracer("threads");
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel()).unzip();
    let begin = Arc::new(Barrier::new(THREADS));
    let workers: Vec<_> = receivers
        .into_iter()
        .enumerate()
        .map(|(number, receiver)| {
            let (tracer, begin, next) =
                (tracer.clone(), begin.clone(), senders[(number + 1) % THREADS].clone());
            thread::spawn(move || {
                begin.wait();
                for n in 0..SPANS {
                    let parent = tracer.start(format!("parent {n}"));
                    let context = Context::new().with_span(parent);
                    let mut child = tracer.start_with_context("child", &context);
                    child.set_attribute(KeyValue::new("n", i64::try_from(n).unwrap()));
                    next.send((context, child)).unwrap();
                    while let Ok((context, mut child)) = receiver.try_recv() {
                        child.add_event("received", vec![]);
                        context.span().update_name("renamed");
                        drop((context, child));
                    }
                }
                receiver // what is left in it ends when all are done
            })
        })
        .collect();
    let receivers: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    drop(receivers);
    let outcome = both.finish();
    outcome.assert_same();
    assert_eq!(outcome.spans.len(), THREADS * SPANS * 2);
}

#[test]
fn a_shutdown_in_the_midst_of_it_leaves_every_span_ended_or_cancelled() {
    let both = Both::new();
    let started = Arc::new(AtomicUsize::new(0));
    let is_over = Arc::new(Barrier::new(THREADS + 1));
    let workers: Vec<_> = (0..THREADS)
        .map(|_| {
            let (tracer, started, is_over) =
                (both.provider.tracer("shut down"), started.clone(), is_over.clone());
            thread::spawn(move || {
                let mut held = Vec::new();
                for n in 0..SPANS {
                    let span = tracer.start("work");
                    if n % 4 == 0 {
                        held.push(span)
                    } else {
                        drop(span)
                    }
                    started.fetch_add(1, Ordering::Relaxed);
                }
                is_over.wait();
            })
        })
        .collect();
    while started.load(Ordering::Relaxed) < THREADS * SPANS / 3 {
        thread::yield_now();
    }
    both.provider.shutdown().unwrap();
    is_over.wait();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    let outcome = both.finish();
    assert!(outcome.report.is_complete, "{}", outcome.report);
    let cancelled = outcome.spans.iter().filter(|span| span.lifecycle() == Lifecycle::Cancelled).count();
    assert!(cancelled > 0 && cancelled < outcome.spans.len());
    for span in &outcome.spans {
        assert!(span.get(names::SCOPE_NAME).is_some(), "what is known at the start is there: {span:?}");
    }
    let mut ids: Vec<_> = outcome.spans.iter().map(|span| span.span_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), outcome.spans.len(), "none is recorded twice");
}
