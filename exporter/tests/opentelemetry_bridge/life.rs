//! Spools and providers that come and go, flushes, and spans that nobody ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::trace::{Span, SpanId, TraceContextExt, TraceId, Tracer, TracerProvider};
use opentelemetry::{Array, Context, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{IdGenerator, InMemorySpanExporter, SdkTracerProvider, SpanProcessor};
use spanring::bridge::opentelemetry::{SpanringProcessor, resource_attributes};
use spanring::{Lifecycle, Status};
use spanring_spool::{Spool, SpoolDir};

use crate::differences::Shared;
use crate::{Both, alone, assert_same, read};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn without_a_spool_nothing_happens() {
    let _alone = alone();
    let provider = SdkTracerProvider::builder().with_span_processor(SpanringProcessor::new()).build();
    let tracer = provider.tracer("nowhere");
    tracer.in_span("work", |context| context.span().set_attribute(KeyValue::new("a", 1)));
    provider.force_flush().unwrap();
    provider.shutdown().unwrap();
}

#[test]
fn a_span_that_started_before_the_spool_is_recorded_as_a_whole_when_it_ends() {
    let _alone = alone();
    let upstream = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(SpanringProcessor::new())
        .with_simple_exporter(upstream.clone())
        .build();
    let tracer = provider.tracer("early");
    drop(tracer.start("lost"));
    let parent = tracer.span_builder("parent").with_attributes([KeyValue::new("a", 1)]).start(&tracer);
    let context = Context::new().with_span(parent);
    upstream.reset();

    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let spool = Spool::open(dir.path().join("spool")).start().unwrap();
    drop(tracer.start_with_context("child", &context));
    context.span().set_attribute(KeyValue::new("b", 2));
    drop(context);
    assert!(spool.stop(LONG).is_complete);
    drop(tracer.start("after the spool"));

    let spans = read(dir.path());
    assert_same(&upstream.get_finished_spans().unwrap()[..2], &spans);
}

#[test]
fn a_span_that_is_open_when_the_provider_is_shut_down_is_cancelled() {
    let both = Both::new();
    let tracer = both.provider.tracer("open");
    drop(tracer.start("ended"));
    let open = tracer.span_builder("open").with_attributes([KeyValue::new("a", 1)]).start(&tracer);
    both.provider.shutdown().unwrap();
    drop(open); // the SDK tells nobody
    drop(tracer.start("too late"));
    let outcome = both.finish();
    assert!(outcome.report.is_complete, "{}", outcome.report);
    assert_eq!(
        (outcome.spans.len(), outcome.upstream.len()),
        (2, 0),
        "the exporter forgets when it is shut down"
    );
    let span = outcome.span("open");
    assert_eq!((span.lifecycle(), span.status), (Lifecycle::Cancelled, Status::Cancelled));
    assert!(span.get("a").is_some() && span.status_message.contains("shut down"));
    assert_eq!(outcome.span("ended").lifecycle(), Lifecycle::Complete);
}

#[test]
fn a_processor_that_is_shut_down_records_no_start_and_no_end() {
    let ours = Arc::new(SpanringProcessor::new());
    let both = Both::around(Shared(ours.clone()), |builder| builder);
    let tracer = both.provider.tracer("after");
    let open = tracer.start("open");
    assert!(ours.shutdown().is_ok());
    drop((open, tracer.start("after")));
    assert!(matches!(ours.shutdown(), Err(OTelSdkError::AlreadyShutdown)));
    assert!(matches!(ours.force_flush(), Err(OTelSdkError::AlreadyShutdown)));
    let outcome = both.finish();
    assert_eq!(outcome.upstream.len(), 2, "the SDK itself goes on");
    assert_eq!(outcome.spans.len(), 1);
    assert_eq!(outcome.span("open").status, Status::Cancelled);
}

/// A processor around ours that keeps the ends to itself, and the shutdown.
#[derive(Debug)]
struct StartsOnly(SpanringProcessor);

impl SpanProcessor for StartsOnly {
    fn on_start(&self, span: &mut opentelemetry_sdk::trace::Span, context: &Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, _: opentelemetry_sdk::trace::SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[test]
fn a_processor_that_is_dropped_cancels_what_is_open() {
    let both = Both::around(StartsOnly(SpanringProcessor::new()), |builder| builder);
    drop(both.provider.tracer("dropped").start("open"));
    let Both { provider, spool, dir, _alone, upstream } = both;
    assert_eq!((spool.ledger().in_flight, upstream.get_finished_spans().unwrap().len()), (1, 1));
    drop(provider);
    assert!(spool.stop(LONG).is_complete);
    assert_eq!(read(dir.path())[0].status, Status::Cancelled);
}

#[test]
fn flushes_are_handed_on_with_the_time_that_they_may_take() {
    let called = Arc::new(Mutex::new(Vec::new()));
    let (note, fails) = (called.clone(), Arc::new(AtomicU64::new(0)));
    let answer = fails.clone();
    let processor = SpanringProcessor::new().flush_with(move |timeout| {
        note.lock().unwrap().push(timeout.as_secs());
        answer.load(Ordering::Relaxed) == 0
    });
    processor.force_flush().unwrap();
    fails.store(1, Ordering::Relaxed);
    assert!(matches!(processor.force_flush(), Err(OTelSdkError::Timeout(time)) if time.as_secs() == 5));
    let shut_down = processor.shutdown_with_timeout(Duration::from_secs(9));
    assert!(matches!(shut_down, Err(OTelSdkError::Timeout(time)) if time.as_secs() == 9));
    assert!(matches!(processor.shutdown(), Err(OTelSdkError::AlreadyShutdown)));
    assert_eq!(*called.lock().unwrap(), [5, 5, 9]);
}

/// Spans whose identities all end alike.
#[derive(Debug)]
struct EndingAlike(AtomicU64);

impl IdGenerator for EndingAlike {
    fn new_trace_id(&self) -> TraceId {
        TraceId::from(1)
    }

    fn new_span_id(&self) -> SpanId {
        SpanId::from(self.0.fetch_add(1, Ordering::Relaxed) << 8 | 1)
    }
}

#[test]
fn a_span_for_which_there_is_no_room_is_recorded_when_it_ends() {
    let _alone = alone();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let spool = Spool::open(dir.path().join("spool")).ring_bytes(4 << 20).tables(8, 8).start().unwrap();
    let upstream = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_id_generator(EndingAlike(AtomicU64::new(1)))
        .with_span_processor(SpanringProcessor::new())
        .with_simple_exporter(upstream.clone())
        .build();
    let tracer = provider.tracer("many");
    let spans: Vec<_> = (0..3000).map(|_| tracer.start("work")).collect();
    assert_eq!(spool.ledger().in_flight, 2048);
    for mut span in spans {
        span.set_attribute(KeyValue::new("a", 1));
    }
    let report = spool.stop(LONG);
    assert!(report.is_complete, "{report}");
    assert_same(&upstream.get_finished_spans().unwrap(), &read(dir.path()));
}

#[test]
fn a_resource_is_handed_to_the_spool() {
    let _alone = alone();
    let resource = Resource::builder_empty()
        .with_service_name("shop")
        .with_attributes([
            KeyValue::new("b", true),
            KeyValue::new("i", i64::MIN),
            KeyValue::new("f", 0.5),
            KeyValue::new("bools", Value::Array(Array::Bool(vec![true, false]))),
            KeyValue::new("ints", Value::Array(Array::I64(vec![1, -1]))),
            KeyValue::new("floats", Value::Array(Array::F64(vec![]))),
            KeyValue::new("texts", Value::Array(Array::String(vec!["a".into(), "b".into()]))),
        ])
        .build();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("spool");
    let mut builder = Spool::open(&path);
    for (key, value) in resource_attributes(&resource) {
        builder = builder.attribute(key, value);
    }
    let spool = builder.start().unwrap();
    let id = spool.id().clone();
    assert!(spool.stop(LONG).is_complete);
    let stored = SpoolDir::open(&path).unwrap().resource(&id).unwrap();
    let json = |key: &str| serde_json::to_value(stored.get(key)).unwrap();
    assert_eq!(json("service.name"), "shop");
    assert_eq!((json("b"), json("i"), json("f")), (true.into(), i64::MIN.into(), 0.5.into()));
    assert_eq!(json("bools"), serde_json::json!([true, false]));
    assert_eq!(json("ints"), serde_json::json!([1, -1]));
    assert_eq!(json("floats"), serde_json::json!([]));
    assert_eq!(json("texts"), serde_json::json!(["a", "b"]));
}
