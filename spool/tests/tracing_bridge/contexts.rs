//! Which span is under which, where both `tracing` and spanring say so.

use std::cell::RefCell;

use spanring::bridge::tracing::{context_of, layer, with_span};
use spanring::{Context, InSpan, SpanId, TraceId};
use tracing::{Instrument, info_span};
use tracing_subscriber::prelude::*;

use crate::{Place, record};

#[test]
fn the_spans_of_both_make_one_tree() {
    let recorded = record(|| {
        let run = spanring::trace("run").start();
        run.in_scope(|| {
            info_span!("request").in_scope(|| {
                let call = spanring::llm("mistral-small").start();
                call.in_scope(|| info_span!("http").in_scope(|| drop(spanring::tool("search").start())));
                drop(spanring::span("after the call").start());
            });
        });
        drop(info_span!("outside"));
    });
    let parents =
        ["run", "request", "chat mistral-small", "http", "execute_tool search", "after the call", "outside"]
            .map(|name| recorded.parent(name));
    let request = Some("request");
    assert_eq!(
        parents,
        [None, Some("run"), request, Some("chat mistral-small"), Some("http"), request, None]
    );
}

#[test]
fn a_context_is_that_of_the_span() {
    let mut contexts = Vec::new();
    let recorded = record(|| {
        let outer = info_span!("outer");
        let inner = info_span!(parent: &outer, "inner");
        inner.in_scope(|| assert_eq!(Context::current(), context_of(&inner)));
        inner.in_scope(|| assert_eq!(context_of(&tracing::Span::current()), context_of(&inner)));
        outer.in_scope(|| assert_eq!(context_of(&tracing::Span::none()), context_of(&outer)));
        assert_eq!(Context::current(), Context::NONE);
        contexts = vec![context_of(&outer), context_of(&inner)];
    });
    for (name, context) in ["outer", "inner"].into_iter().zip(contexts) {
        assert_eq!(
            (context.trace_id(), context.span_id()),
            (recorded.trace_id(name), recorded.span(name).span_id)
        );
    }
}

#[test]
fn a_span_is_made_under_one_of_another_process() {
    let remote = Context::remote(TraceId::from_bytes([7; 16]), SpanId::from_bytes([8; 8]), true);
    let recorded = record(|| {
        let request = remote.in_scope(|| info_span!("request"));
        assert_eq!(context_of(&request).trace_id(), remote.trace_id());
        request.in_scope(|| drop(info_span!("within")));
    });
    let request = recorded.span("request");
    assert_eq!((request.trace_id, request.parent_id), (remote.trace_id(), Some(remote.span_id())));
    assert_eq!(recorded.parent("within"), Some("request"));
}

#[test]
fn without_a_recorder_contexts_are_handed_on_and_nothing_else_happens() {
    let place = Place::new();
    let subscriber = tracing_subscriber::registry().with(layer());
    let remote = Context::remote(TraceId::from_bytes([7; 16]), SpanId::from_bytes([8; 8]), false);
    tracing::subscriber::with_default(subscriber, || {
        let early = info_span!("early", a = 1);
        let handed_on = remote.in_scope(|| info_span!("handed on"));
        let child = info_span!(parent: &handed_on, "child");
        assert_eq!([context_of(&handed_on), context_of(&child)], [remote; 2]);
        child.in_scope(|| assert_eq!(Context::current(), remote));
        assert!(!with_span(&early, |_| panic!("there is nothing to be changed")));
        assert_eq!(context_of(&early), Context::NONE);

        let spool = place.spool().start().unwrap();
        early.record("a", 2);
        early.in_scope(|| {
            tracing::error!("too early for it");
            drop(info_span!("late"));
        });
        drop(early);
        drop((handed_on, child));
        let recorded = place.stop(spool);
        assert_eq!(recorded.names(), ["late"]);
        assert_eq!(recorded.span("late").parent_id, None);
        drop(info_span!("too late"));
    });
}

#[test]
fn a_span_that_outlives_the_recorder_does_no_harm() {
    let place = Place::new();
    let subscriber = tracing_subscriber::registry().with(layer());
    tracing::subscriber::with_default(subscriber, || {
        let spool = place.spool().start().unwrap();
        let long = info_span!("long", a = 0);
        let report = spool.stop(crate::MINUTE);
        assert_eq!(report.ledger.in_flight, 1, "{report}");
        long.record("a", 1);
        long.in_scope(|| tracing::info!("after the recorder"));
        drop(long);
    });
    assert_eq!(Context::current(), Context::NONE);
}

#[test]
fn a_span_that_is_entered_again_within_itself_is_left_with_its_last_guard() {
    record(|| {
        let (a, b) = (info_span!("a"), info_span!("b"));
        let first = a.clone().entered();
        let within = b.clone().entered();
        let again = a.clone().entered();
        // As `tracing` has it: what is entered again changes nothing.
        assert_eq!(tracing::Span::current().id(), b.id());
        assert_eq!(Context::current(), context_of(&b));
        drop(first);
        assert_eq!(Context::current(), context_of(&b));
        drop(within);
        assert_eq!(tracing::Span::current().id(), a.id());
        assert_eq!(Context::current(), context_of(&a));
        drop(again);
        assert_eq!(Context::current(), Context::NONE);
    });
}

#[test]
fn a_guard_that_is_held_across_an_await_is_left_with_the_span_around_it() {
    record(|| {
        let task = async {
            let call = spanring::tool("search").start();
            let _held = call.enter();
            tokio::task::yield_now().await;
            assert_eq!(Context::current(), context_of(&tracing::Span::current()));
        };
        let mut task = Box::pin(task.instrument(info_span!("task")));
        let mut poll = || task.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert!(poll().is_pending());
        assert_eq!(Context::current(), Context::NONE, "nothing is left for what runs next");
        assert!(poll().is_ready());
        assert_eq!(Context::current(), Context::NONE);

        let run = spanring::trace("run").start();
        let task = async {
            let _held = info_span!("held").entered();
            tokio::task::yield_now().await;
        };
        let mut task = Box::pin(task.in_span(&run));
        let mut poll = || task.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert!(poll().is_pending());
        assert_eq!(Context::current(), Context::NONE);
        assert!(poll().is_ready());
        assert_eq!(Context::current(), Context::NONE);
    });
}

#[test]
fn spans_deeper_than_the_stack_of_contexts_are_still_under_each_other() {
    let recorded = record(|| {
        let mut guards = Vec::new();
        for depth in 0..200 {
            guards.push(info_span!("deep", otel.name = format!("deep {depth}")).entered());
        }
        while let Some(guard) = guards.pop() {
            drop(guard);
        }
        assert_eq!(Context::current(), Context::NONE);
    });
    for depth in 1..200 {
        assert_eq!(recorded.parent(&format!("deep {depth}")), Some(&format!("deep {}", depth - 1)[..]));
    }
}

#[test]
fn a_layer_that_is_replaced_leaves_nothing_current() {
    let place = Place::new();
    let spool = place.spool().start().unwrap();
    let (replaceable, handle) = tracing_subscriber::reload::Layer::new(layer());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(replaceable), || {
        let span = info_span!("span").entered();
        handle.modify(|layer| *layer = spanring::bridge::tracing::layer().with_level(false)).unwrap();
        tracing::info!("of the span still");
        assert_eq!(context_of(&span), Context::current());
        drop(span);
        assert_eq!(Context::current(), Context::NONE);
    });
    assert_eq!(place.stop(spool).span("span").events.len(), 1);
}

#[test]
fn subscribers_do_not_take_each_others_spans_for_theirs() {
    let recorded = record(|| {
        let outer = info_span!("outer").entered();
        let other = tracing_subscriber::registry().with(layer());
        let inner = tracing::subscriber::with_default(other, || {
            // Of another registry, and so perhaps of the same number.
            let inner = info_span!("inner").entered();
            assert_eq!(inner.id(), outer.id());
            inner
        });
        assert_eq!(Context::current(), context_of(&inner));
        drop(inner);
        assert_eq!(Context::current(), context_of(&outer));
        drop(outer);
        assert_eq!(Context::current(), Context::NONE);
    });
    assert_eq!(recorded.parent("inner"), Some("outer"));
}

#[test]
fn a_thread_may_fill_and_end_spans_while_it_ends() {
    struct AtTheEnd(Option<tracing::Span>);
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            if let Some(span) = self.0.take() {
                // Not entered: the registry panics on that by then.
                span.record("a", 2);
            }
        }
    }
    thread_local! {
        static AT_THE_END: RefCell<AtTheEnd> = const { RefCell::new(AtTheEnd(None)) };
    }
    let recorded = record(|| {
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let thread = std::thread::spawn(move || {
            // Made first, it is dropped last.
            AT_THE_END.with(|_| ());
            tracing::dispatcher::with_default(&dispatch, || {
                let span = info_span!("span", a = 1);
                span.in_scope(|| drop(info_span!("within")));
                AT_THE_END.set(AtTheEnd(Some(span)));
            });
        });
        thread.join().unwrap();
    });
    assert_eq!(recorded.parent("within"), Some("span"));
    assert_eq!(recorded.span("span").get("a"), Some(&spanring_spool::Value::I64(2)));
}
