//! A program exported by the SDK's own OTLP exporter, and recorded by our processor and delivered by the command: the requests that
//! arrive are equal.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::mpsc::{self, Receiver as Requests};
use std::thread;
use std::time::Duration;

use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
    Tracer, TracerProvider,
};
use opentelemetry::{Array, Context, InstrumentationScope, KeyValue, Value};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use prost::Message;
use spanring::bridge::opentelemetry::{SpanringProcessor, resource_attributes};
use spanring_exporter::demo::receiver::{Answer, Receiver};
use spanring_exporter::otlp::ExportTraceServiceRequest;

use crate::Both;

/// More than a batch has, of the SDK's and of ours.
const STEPS: i64 = 1200;

/// What a spool says of its process by itself, beyond the resource that it was handed.
const OF_THE_SPOOL: [&str; 2] = ["process.pid", "service.instance.id"];

#[test]
fn the_command_sends_what_the_exporter_of_the_sdk_sends() {
    // The SDK's client has TLS compiled in without a provider of cryptography, and wants one even where it has no use for it.
    let provider = rustls::crypto::ring::default_provider();
    assert!(provider.install_default().is_ok(), "no other test installs one");
    let (of_sdk, to_sdk) = receiver();
    let (of_command, to_command) = receiver();
    let resource = resource();
    let sdk_exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("http://{}/v1/traces", of_sdk.address()))
        .build()
        .unwrap();
    let queue =
        BatchConfigBuilder::default().with_max_queue_size(1 << 14).with_max_export_batch_size(512).build();
    let batches = BatchSpanProcessor::builder(sdk_exporter).with_batch_config(queue).build();
    let both = Both::start(
        SpanringProcessor::new(),
        |spool| resource_attributes(&resource).fold(spool, |spool, (key, value)| spool.attribute(key, value)),
        |builder| builder.with_resource(resource.clone()).with_span_processor(batches),
    );
    run(&both.provider);
    // The SDK waits for five seconds, and goes on.
    assert!((0..12).any(|_| both.provider.force_flush().is_ok()), "the SDK sends its spans");
    let report = both.spool.stop(Duration::from_secs(30));
    assert!(report.is_complete, "{report}");
    let exported = Command::new(env!("CARGO_BIN_EXE_spanring"))
        .args(["export", "--once", "--to", &format!("otlp+http://{}", of_command.address()), "--spool"])
        .arg(both.dir.path().join("spool"))
        .output()
        .unwrap();
    assert!(exported.status.success(), "{exported:?}");

    let theirs = normalised(&to_sdk, &[]);
    let ours = normalised(&to_command, &OF_THE_SPOOL);
    let spans = theirs.iter().flat_map(|resource| &resource.scope_spans).map(|scope| scope.spans.len());
    assert_eq!(spans.sum::<usize>(), usize::try_from(STEPS).unwrap() + 8);
    assert_eq!(ours.len(), theirs.len(), "as many resources");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours.scope_spans.len(), theirs.scope_spans.len(), "as many scopes");
        for (ours, theirs) in ours.scope_spans.iter().zip(&theirs.scope_spans) {
            for (ours, theirs) in ours.spans.iter().zip(&theirs.spans) {
                // As bytes: a NaN is the same as itself then.
                assert!(
                    ours.encode_to_vec() == theirs.encode_to_vec(),
                    "ours: {ours:#?}\ntheirs: {theirs:#?}"
                );
            }
        }
        // Their resources, and how many there are of everything.
        assert!(
            ours.encode_to_vec() == theirs.encode_to_vec(),
            "ours: {:#?}\ntheirs: {:#?}",
            ours.resource,
            theirs.resource
        );
    }
}

/// All that the API of the SDK can say.
fn run(provider: &SdkTracerProvider) {
    let shop = provider.tracer("shop");
    let versioned = InstrumentationScope::builder("shop.store")
        .with_version("1.2.3")
        .with_schema_url("https://example.com/scope/1")
        .with_attributes(pairs())
        .build();
    let store = provider.tracer_with_scope(versioned);

    let remote = SpanContext::new(
        TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
        SpanId::from(0xb7ad_6b71_6920_3331),
        TraceFlags::SAMPLED,
        true,
        TraceState::from_key_value([("vendor", "1"), ("other", "a:b")]).unwrap(),
    );
    let came = Context::new().with_remote_span_context(remote.clone());
    let serve = shop.span_builder("serve").with_kind(SpanKind::Server).start_with_context(&shop, &came);
    let serve = came.with_span(serve);
    for kind in [SpanKind::Client, SpanKind::Producer, SpanKind::Consumer, SpanKind::Internal] {
        let mut span = store
            .span_builder("ask")
            .with_kind(kind)
            .with_attributes(pairs())
            .start_with_context(&store, &serve);
        span.add_event("answered", pairs());
        span.add_link(remote.clone(), pairs());
        span.set_status(Status::Ok);
    }

    let links = vec![Link::new(serve.span().span_context().clone(), pairs(), 0)];
    let mut failing = shop.span_builder("fail").with_links(links).start_with_context(&shop, &serve);
    failing.record_error(&std::io::Error::other("no such host"));
    failing.set_attributes(pairs());
    failing.set_status(Status::error("no answer"));
    failing.end();
    let mut silent = shop.start_with_context("fail without a word", &Context::new());
    silent.set_status(Status::error(""));
    silent.update_name("renamed");
    silent.end();

    thread::scope(|scope| {
        for half in 0..2 {
            let (tracer, serve) = (store.clone(), serve.clone());
            scope.spawn(move || {
                for number in 0..STEPS / 2 {
                    let mut step = tracer.start_with_context(format!("step {half}"), &serve);
                    step.set_attribute(KeyValue::new("number", number));
                }
            });
        }
    });
    serve.span().set_attribute(KeyValue::new("http.response.status_code", 502));
    serve.span().end();
    shop.in_span("plain", |_| ());
}

/// Values of every type.
fn pairs() -> Vec<KeyValue> {
    let texts = Array::String(vec!["".into(), "a".into(), "ü".into()]);
    vec![
        KeyValue::new("true", true),
        KeyValue::new("false", false),
        KeyValue::new("least", i64::MIN),
        KeyValue::new("zero", 0),
        KeyValue::new("half", 0.5),
        KeyValue::new("minus nothing", -0.0),
        KeyValue::new("nan", f64::NAN),
        KeyValue::new("empty", ""),
        KeyValue::new("text", "ü\0\u{10ffff}"),
        KeyValue::new("made", "made".to_owned()),
        KeyValue::new("truths", Value::Array(Array::Bool(vec![true, false]))),
        KeyValue::new("numbers", Value::Array(Array::I64(vec![i64::MIN, 0, i64::MAX]))),
        KeyValue::new("fractions", Value::Array(Array::F64(vec![-0.0, 0.1, f64::INFINITY]))),
        KeyValue::new("texts", Value::Array(texts)),
        KeyValue::new("none", Value::Array(Array::I64(vec![]))),
    ]
}

/// The SDK's own resource, and more.
fn resource() -> Resource {
    Resource::builder()
        .with_service_name("shop")
        .with_schema_url(pairs(), "https://example.com/resource/1")
        .build()
}

fn receiver() -> (Receiver, Requests<Vec<u8>>) {
    let (sender, requests) = mpsc::channel();
    let receiver = Receiver::start(move |request| {
        sender.send(request.body).unwrap();
        Answer::status(200)
    });
    (receiver.unwrap(), requests)
}

/// All requests as one, without what may differ between two exporters:
///
/// * which spans are in a request together, and in which order: each side has its own batches, and the SDK collects ends where we
///   collect rings. So there is one group for each resource and scope, and spans stand in the order of their identities.
/// * the order of a resource's attributes: the SDK keeps them in a hash map.
/// * `without` these attributes of the resource, which only the spool knows.
fn normalised(requests: &Requests<Vec<u8>>, without: &[&str]) -> Vec<ResourceSpans> {
    let mut resources = BTreeMap::<Vec<u8>, (ResourceSpans, BTreeMap<Vec<u8>, ScopeSpans>)>::new();
    for body in requests.try_iter() {
        let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        for mut resource_spans in request.resource_spans {
            let groups = std::mem::take(&mut resource_spans.scope_spans);
            let attributes = &mut resource_spans.resource.as_mut().unwrap().attributes;
            attributes.sort_by(|one, other| one.key.cmp(&other.key));
            let before = attributes.len();
            attributes.retain(|attribute| !without.contains(&attribute.key.as_str()));
            assert_eq!(before - attributes.len(), without.len(), "the spool says what it knows");
            let key = resource_spans.encode_to_vec();
            let (_, scopes) = resources.entry(key).or_insert_with(|| (resource_spans, BTreeMap::new()));
            for mut group in groups {
                let mut spans = std::mem::take(&mut group.spans);
                scopes.entry(group.encode_to_vec()).or_insert(group).spans.append(&mut spans);
            }
        }
    }
    let resources = resources.into_values().map(|(mut resource, scopes)| {
        resource.scope_spans = scopes.into_values().collect();
        for group in &mut resource.scope_spans {
            group.spans.sort_by(|one, other| one.span_id.cmp(&other.span_id));
        }
        resource
    });
    resources.collect()
}
