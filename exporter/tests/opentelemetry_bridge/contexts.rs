//! Spans of either side under spans of the other.

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Sampler;
use spanring::bridge::opentelemetry::{context_of, current_context, opentelemetry_context};

use crate::Both;

#[test]
fn spans_of_both_sides_make_one_tree() {
    let both = Both::new();
    let tracer = both.provider.tracer("tree");
    tracer.in_span("a", |_| {
        let b = spanring::span("b").parent(current_context()).start();
        let _guard = opentelemetry_context(b.context()).attach();
        tracer.in_span("c", |context| {
            spanring::span("d").parent(context_of(&context)).start().end();
        });
        b.end();
    });
    assert_eq!(current_context(), spanring::Context::NONE, "all guards are gone");
    let outcome = both.finish();
    assert!(outcome.report.is_complete, "{}", outcome.report);
    let spans = ["a", "b", "c", "d"].map(|name| outcome.span(name));
    assert_eq!(spans[0].parent_id, None);
    for [parent, child] in spans.array_windows() {
        assert_eq!((child.trace_id, child.parent_id), (parent.trace_id, Some(parent.span_id)));
    }
    let upstream = outcome.upstream.iter().find(|span| span.name == "c").unwrap();
    assert!(!upstream.parent_span_is_remote, "it is a span of this process");
}

#[test]
fn contexts_go_to_the_other_side_and_back() {
    let (trace_id, span_id) = (TraceId::from(0x0102 << 80), SpanId::from(0x0304 << 8));
    for is_sampled in [false, true] {
        for is_remote in [false, true] {
            let flags = TraceFlags::NOT_SAMPLED.with_sampled(is_sampled);
            let span = SpanContext::new(trace_id, span_id, flags, is_remote, TraceState::NONE);
            let context = context_of(&Context::new().with_remote_span_context(span.clone()));
            assert_eq!(context.trace_id().to_string(), trace_id.to_string());
            assert_eq!(context.span_id().to_string(), span_id.to_string());
            assert_eq!((context.is_sampled(), context.is_remote()), (is_sampled, is_remote));
            assert_eq!(*opentelemetry_context(context).span().span_context(), span);
        }
    }
    assert_eq!(context_of(&Context::new()), spanring::Context::NONE);
    let half = SpanContext::new(trace_id, SpanId::INVALID, TraceFlags::SAMPLED, true, TraceState::NONE);
    let half = Context::new().with_remote_span_context(half);
    assert_eq!(context_of(&half), spanring::Context::NONE);
    assert!(!opentelemetry_context(spanring::Context::NONE).span().span_context().is_valid());
}

#[test]
fn what_else_a_context_carries_stays_in_it() {
    #[derive(Debug, PartialEq)]
    struct Tenant(u32);
    let _guard = Context::current_with_value(Tenant(7)).attach();
    let context = opentelemetry_context(spanring::Context::NONE);
    assert_eq!(context.get::<Tenant>(), Some(&Tenant(7)));
}

#[test]
fn a_span_of_spanring_without_a_word_about_it_is_not_under_the_current_one_of_the_sdk() {
    let both = Both::new();
    let tracer = both.provider.tracer("apart");
    tracer.in_span("theirs", |context| {
        context.span().set_attribute(KeyValue::new("a", 1));
        spanring::span("ours").start().end();
    });
    let outcome = both.finish();
    assert_eq!(outcome.span("ours").parent_id, None);
}

#[test]
fn a_span_of_the_sdk_is_not_under_the_current_one_of_spanring() {
    let both = Both::new();
    let tracer = both.provider.tracer("apart");
    let ours = spanring::span("ours").start();
    ours.in_scope(|| drop(tracer.start("theirs")));
    drop(ours);
    let outcome = both.finish();
    assert_eq!(outcome.span("theirs").parent_id, None);
    assert_ne!(outcome.span("theirs").trace_id, outcome.span("ours").trace_id);
}

#[test]
fn the_context_of_a_span_that_is_not_sampled_says_so() {
    let both = Both::with(|builder| builder.with_sampler(Sampler::AlwaysOff));
    let tracer = both.provider.tracer("unsampled");
    tracer.in_span("theirs", |_| {
        assert!(current_context().is_valid() && !current_context().is_sampled());
    });
    assert!(both.finish().spans.is_empty());
}
