//! Where what we record is not what the SDK exports: each row of the table in the module's documentation.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Link, Span, SpanContext, SpanKind, TraceContextExt, TraceId, Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SamplingDecision, SamplingResult, ShouldSample, SpanData, SpanProcessor,
};
use spanring::bridge::opentelemetry::SpanringProcessor;

use crate::{Both, as_upstream_exports, as_we_export, assert_same};

#[test]
fn a_key_that_is_set_twice_comes_out_once() {
    let both = Both::new();
    let tracer = both.provider.tracer("twice");
    let mut span = tracer
        .span_builder("work")
        .with_attributes([KeyValue::new("a", 1), KeyValue::new("b", 2), KeyValue::new("a", 3)])
        .start(&tracer);
    span.set_attribute(KeyValue::new("b", "last"));
    drop(span);
    let outcome = both.finish();
    let mut upstream = outcome.upstream;
    assert_eq!(upstream[0].attributes.len(), 4, "the SDK keeps them all");
    upstream[0].attributes = vec![KeyValue::new("a", 3), KeyValue::new("b", "last")];
    assert_same(&upstream, &outcome.spans);
}

#[test]
fn times_that_cannot_be_are_the_nearest_that_can() {
    let both = Both::new();
    let tracer = both.provider.tracer("times");
    let epoch = SystemTime::UNIX_EPOCH;
    let at = |seconds| epoch + Duration::from_secs(seconds);
    let mut backwards = tracer.span_builder("backwards").with_start_time(at(20)).start(&tracer);
    backwards.end_with_timestamp(at(10));
    let mut before =
        tracer.span_builder("before").with_start_time(epoch - Duration::from_secs(9)).start(&tracer);
    before.end_with_timestamp(epoch - Duration::from_secs(8));
    let mut far = tracer.span_builder("far").with_start_time(at(1)).start(&tracer);
    far.end_with_timestamp(at(u64::MAX / 1_000_000_000 + 1));
    let outcome = both.finish();
    assert!(outcome.report.is_complete);
    let [backwards, before, far] = ["backwards", "before", "far"].map(|name| outcome.span(name));
    assert_eq!((backwards.start_unix_ns, backwards.duration_ns(), backwards.cut), (20_000_000_000, 0, 1));
    assert_eq!((before.start_unix_ns, before.end_unix_ns, before.cut), (0, 0, 0));
    assert_eq!((far.start_unix_ns, far.end_unix_ns, far.cut), (1_000_000_000, u64::MAX, 0));
}

#[test]
fn what_is_too_long_is_cut_and_counted() {
    let both = Both::new();
    let tracer = both.provider.tracer("long");
    let mut span = tracer.start("n".repeat(2000));
    span.set_attribute(KeyValue::new("k".repeat(2000), "v"));
    span.set_attribute(KeyValue::new("long", "x".repeat(1 << 20)));
    drop(span);
    let outcome = both.finish();
    let [span] = &outcome.spans[..] else { panic!("one span") };
    assert_eq!(span.name, "n".repeat(904));
    assert_eq!(span.get(&"k".repeat(904)).and_then(|value| value.as_str()), Some("v"));
    let kept = span.get("long").and_then(|value| value.as_str()).map_or(0, str::len);
    assert!((200_000..1 << 18).contains(&kept), "{kept} of a quarter of a ring");
    assert!(span.cut > 0);
}

/// Says the same of every span.
#[derive(Clone, Debug)]
struct Always(SamplingDecision);

impl ShouldSample for Always {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        SamplingResult {
            decision: self.0.clone(),
            attributes: vec![KeyValue::new("of.the.sampler", true)],
            trace_state: parent
                .map(|parent| parent.span().span_context().trace_state().clone())
                .unwrap_or_default(),
        }
    }
}

#[test]
fn the_sampler_of_the_sdk_decides() {
    let unsampled_remote = SpanContext::new(
        TraceId::from(7),
        opentelemetry::trace::SpanId::from(8),
        opentelemetry::trace::TraceFlags::NOT_SAMPLED,
        true,
        Default::default(),
    );
    let context = Context::new().with_remote_span_context(unsampled_remote);
    let recorded = |sampler: Box<dyn ShouldSample>| {
        let both = Both::with(|builder| builder.with_sampler(sampler));
        let tracer = both.provider.tracer("sampled");
        tracer.in_span("root", |_| tracer.in_span("child", |_| ()));
        drop(tracer.start_with_context("under an unsampled one", &context));
        let outcome = both.finish();
        outcome.assert_same();
        outcome.spans.len()
    };
    assert_eq!(recorded(Box::new(Sampler::AlwaysOn)), 3);
    assert_eq!(recorded(Box::new(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))), 2);
    assert_eq!(recorded(Box::new(Sampler::AlwaysOff)), 0);
    assert_eq!(recorded(Box::new(Always(SamplingDecision::RecordAndSample))), 3);
    assert_eq!(recorded(Box::new(Always(SamplingDecision::RecordOnly))), 0);
    assert_eq!(recorded(Box::new(Always(SamplingDecision::Drop))), 0);
}

/// A processor around ours that changes what has ended.
#[derive(Debug)]
struct Changing {
    ours: SpanringProcessor,
    change: fn(&mut SpanData),
}

impl SpanProcessor for Changing {
    fn on_start(&self, span: &mut opentelemetry_sdk::trace::Span, context: &Context) {
        self.ours.on_start(span, context);
    }

    fn on_end(&self, mut span: SpanData) {
        (self.change)(&mut span);
        self.ours.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.ours.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.ours.shutdown_with_timeout(timeout)
    }
}

#[test]
fn what_a_processor_in_between_changes_is_recorded_as_far_as_it_can_be() {
    let change = |span: &mut SpanData| {
        span.name = "renamed".into();
        for attribute in &mut span.attributes {
            if attribute.key.as_str().ends_with("secret") {
                attribute.value = Value::from("***");
            }
        }
        span.attributes.retain(|attribute| !attribute.key.as_str().ends_with("unwanted"));
        span.events.events.clear();
        span.links.links.clear();
    };
    let both = Both::around(Changing { ours: SpanringProcessor::new(), change }, |builder| builder);
    let tracer = both.provider.tracer("changed");
    let attributes = [KeyValue::new("early.unwanted", 0), KeyValue::new("early.secret", "s3cret")];
    let mut span = tracer.span_builder("work").with_attributes(attributes).start(&tracer);
    span.set_attribute(KeyValue::new("late.secret", "s3cret"));
    span.set_attribute(KeyValue::new("late.unwanted", 1));
    span.add_event("late", vec![]);
    drop(span);
    let outcome = both.finish();
    let span = outcome.span("renamed");
    let text = |key| span.get(key).and_then(|value| value.as_str());
    assert_eq!((text("early.secret"), text("late.secret")), (Some("***"), Some("***")));
    assert!(span.get("early.unwanted").is_some(), "what is known at the start is recorded at the start");
    assert!(span.get("late.unwanted").is_none() && span.events.is_empty());
}

#[test]
fn a_span_that_outgrows_the_recorder_is_counted_there() {
    let both = Both::with(|builder| builder.with_max_attributes_per_span(3000));
    let tracer = both.provider.tracer("many");
    let mut span = tracer.start("work");
    (0..1500).for_each(|n| span.set_attribute(KeyValue::new(format!("k{n}"), n)));
    drop(span);
    let outcome = both.finish();
    let (_, _, theirs) = as_upstream_exports(&outcome.upstream).into_values().next().unwrap();
    let (_, _, ours) = as_we_export(&outcome.spans).into_values().next().unwrap();
    // What only says that some were left out is one more.
    let kept = ours.attributes.iter().filter(|attribute| attribute.key.starts_with('k')).count();
    assert!((1000..1024).contains(&kept), "{kept}");
    assert_eq!(kept + ours.dropped_attributes_count as usize, theirs.attributes.len());
}

/// Both hold the same processor.
#[derive(Clone, Debug)]
pub(crate) struct Shared(pub(crate) Arc<SpanringProcessor>);

impl SpanProcessor for Shared {
    fn on_start(&self, span: &mut opentelemetry_sdk::trace::Span, context: &Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.0.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }
}
