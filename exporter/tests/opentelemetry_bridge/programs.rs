//! What programs do with a tracer, each as the SDK documents it.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    Event, FutureExt, Link, Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags,
    TraceId, TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Array, Context, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use spanring::{Kind, Lifecycle};

use crate::Both;

fn remote(is_sampled: bool) -> SpanContext {
    SpanContext::new(
        TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
        SpanId::from(0xb7ad_6b71_6920_3331),
        TraceFlags::NOT_SAMPLED.with_sampled(is_sampled),
        true,
        TraceState::from_key_value([("vendor", "1"), ("other", "a:b")]).unwrap(),
    )
}

fn at(nanoseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}

#[test]
fn a_span_with_attributes_comes_out_the_same() {
    let both = Both::new();
    let tracer = both.provider.tracer("basic");
    tracer.in_span("operation", |context| {
        let span = context.span();
        span.add_event("Nice operation!", vec![KeyValue::new("bogons", 100)]);
        span.set_attribute(KeyValue::new("another.key", "yes"));
    });
    both.finish().assert_same();
}

#[test]
fn spans_within_each_other_keep_their_parents() {
    let both = Both::new();
    let tracer = both.provider.tracer("nested");
    tracer.in_span("outer", |context| {
        tracer.in_span("inner", |_| tracer.in_span("innermost", |_| ()));
        let explicit = tracer.start_with_context("explicit", &context);
        let root = tracer.start_with_context("root", &Context::new());
        drop((explicit, root));
    });
    let outcome = both.finish();
    outcome.assert_same();
    let outer = outcome.span("outer").span_id;
    assert_eq!(outcome.span("inner").parent_id, Some(outer));
    assert_eq!(outcome.span("innermost").parent_id, Some(outcome.span("inner").span_id));
    assert_eq!(outcome.span("explicit").parent_id, Some(outer));
    assert_eq!(outcome.span("root").parent_id, None);
}

#[tokio::test]
async fn futures_keep_their_spans_while_they_take_turns() {
    let both = Both::new();
    let tracer = both.provider.tracer("async");
    let run = tracer.start("run");
    let context = Context::current_with_span(run);
    let work = |name: &'static str| {
        let tracer = tracer.clone();
        async move {
            let span = tracer.start(name);
            let context = Context::current_with_span(span);
            async {
                tokio::task::yield_now().await;
                Context::current().span().add_event("half way", vec![KeyValue::new("task", name)]);
                tracer.in_span(format!("within {name}"), |_| ());
                tokio::task::yield_now().await;
            }
            .with_context(context)
            .await;
        }
    };
    tokio::join!(work("a").with_context(context.clone()), work("b").with_context(context.clone()));
    drop(context);
    let outcome = both.finish();
    outcome.assert_same();
    for name in ["a", "b"] {
        let span = outcome.span(name);
        assert_eq!(span.parent_id, Some(outcome.span("run").span_id));
        assert_eq!(outcome.span(&format!("within {name}")).parent_id, Some(span.span_id));
    }
}

#[test]
fn a_server_goes_on_with_the_trace_of_its_client() {
    let both = Both::new();
    let tracer = both.provider.tracer("http");
    let propagator = TraceContextPropagator::new();
    let mut headers = HashMap::new();

    let client = tracer
        .span_builder("GET /")
        .with_kind(SpanKind::Client)
        .start_with_context(&tracer, &Context::new().with_remote_span_context(remote(true)));
    let client = Context::new().with_span(client);
    propagator.inject_context(&client, &mut headers);

    let came = propagator.extract(&headers);
    let mut server =
        tracer.span_builder("serve").with_kind(SpanKind::Server).start_with_context(&tracer, &came);
    server.set_attribute(KeyValue::new("http.response.status_code", 200));
    server.end();
    drop(client);

    let outcome = both.finish();
    outcome.assert_same();
    let [client, server] = ["GET /", "serve"].map(|name| outcome.span(name));
    assert_eq!((server.trace_id, server.parent_id), (client.trace_id, Some(client.span_id)));
    assert_eq!(client.trace_state(), Some("vendor=1,other=a:b"));
}

#[test]
fn every_kind_of_span_comes_out_as_it_is() {
    let both = Both::new();
    let tracer = both.provider.tracer("kinds");
    for kind in
        [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer]
    {
        for operation in ["", "chat", "execute_tool", "invoke_agent", "unheard_of"] {
            let attributes = vec![KeyValue::new("gen_ai.operation.name", operation)];
            drop(
                tracer
                    .span_builder("work")
                    .with_kind(kind.clone())
                    .with_attributes(attributes)
                    .start(&tracer),
            );
        }
        drop(tracer.span_builder("work").with_kind(kind).start(&tracer));
    }
    let outcome = both.finish();
    outcome.assert_same();
    let count = |kind| outcome.spans.iter().filter(|span| span.kind == kind).count();
    let counts = [Kind::Llm, Kind::Tool, Kind::Agent, Kind::Custom].map(count);
    assert_eq!(counts, [5, 5, 5, 15], "an operation that is known is a kind too");
}

#[test]
fn errors_and_results_come_out_as_they_are() {
    let both = Both::new();
    let tracer = both.provider.tracer("errors");
    let error = std::io::Error::other("no such host");
    let statuses: [&[Status]; 6] = [
        &[],
        &[Status::Ok],
        &[Status::error("no")],
        &[Status::error("")],
        &[Status::error("no"), Status::Ok, Status::error("final")],
        &[Status::error("a"), Status::error("b"), Status::Unset],
    ];
    for all in statuses {
        let mut span = tracer.start("work");
        span.record_error(&error);
        all.iter().for_each(|status| span.set_status(status.clone()));
    }
    let outcome = both.finish();
    outcome.assert_same();
    let failed = outcome.spans.iter().filter(|span| span.lifecycle() == Lifecycle::Failed);
    assert_eq!(failed.count(), 3);
}

#[test]
fn links_come_out_with_all_that_is_said_about_them() {
    let both = Both::new();
    let tracer = both.provider.tracer("links");
    let earlier = tracer.start("earlier").span_context().clone();
    let known = vec![
        Link::new(remote(false), vec![KeyValue::new("reason", "retry of")], 3),
        Link::with_context(earlier.clone()),
    ];
    let mut span = tracer.span_builder("again").with_links(known).start(&tracer);
    span.add_link(remote(true), vec![KeyValue::new("n", 1), KeyValue::new("m", 2.5)]);
    span.add_link(earlier, vec![]);
    drop(span);
    let outcome = both.finish();
    outcome.assert_same();
    assert_eq!(outcome.span("again").links.len(), 4);
}

#[test]
fn events_keep_their_moments() {
    let both = Both::new();
    let tracer = both.provider.tracer("events");
    let known = vec![Event::new("queued", at(1_700_000_000_000_000_001), vec![KeyValue::new("n", 1)], 7)];
    let mut span = tracer.span_builder("work").with_events(known).with_start_time(at(5)).start(&tracer);
    span.add_event_with_timestamp("first", at(0), vec![]);
    span.add_event_with_timestamp("second", at(u64::MAX), vec![KeyValue::new("m", true)]);
    span.add_event("now", vec![]);
    span.end_with_timestamp(at(1_700_000_000_250_000_001));
    let outcome = both.finish();
    outcome.assert_same();
    assert_eq!(outcome.span("work").events.len(), 4);
    assert_eq!(outcome.span("work").duration_ns(), 1_700_000_000_249_999_996);
}

#[test]
fn a_span_has_its_last_name() {
    let both = Both::new();
    let tracer = both.provider.tracer("names");
    let mut span = tracer.start("GET");
    span.update_name("GET /{id}");
    span.update_name(format!("GET /{}", "users"));
    drop(span);
    let mut same = tracer.start("same");
    same.update_name("other");
    same.update_name("same".to_owned());
    drop(same);
    let mut none = tracer.start("gone");
    none.update_name("");
    drop(none);
    let outcome = both.finish();
    outcome.assert_same();
    assert_eq!(outcome.span("GET /users").name, "GET /users");
}

#[test]
fn what_the_limits_of_the_sdk_drop_is_counted() {
    let both = Both::with(|builder| {
        builder
            .with_max_attributes_per_span(2)
            .with_max_events_per_span(2)
            .with_max_links_per_span(2)
            .with_max_attributes_per_event(1)
            .with_max_attributes_per_link(1)
    });
    let tracer = both.provider.tracer("limits");
    let pairs = |count: i64| (0..count).map(|n| KeyValue::new(format!("k{n}"), n)).collect::<Vec<_>>();
    for (early, late) in [(0, 0), (1, 1), (1, 4), (2, 0), (4, 0), (4, 3)] {
        let links = (0..early).map(|n| Link::new(remote(true), pairs(n), 0)).collect::<Vec<_>>();
        let events = (0..early).map(|n| Event::new("early", at(1), pairs(n), 0)).collect::<Vec<_>>();
        let mut span = tracer
            .span_builder("work")
            .with_attributes(pairs(early))
            .with_links(links)
            .with_events(events)
            .start(&tracer);
        for n in 0..late {
            span.set_attribute(KeyValue::new(format!("late{n}"), n));
            span.add_event("late", pairs(n));
            span.add_link(remote(false), pairs(n));
        }
    }
    both.finish().assert_same();
}

#[test]
fn scopes_stay_with_their_spans() {
    let both = Both::new();
    let plain = both.provider.tracer("plain");
    let versioned = || InstrumentationScope::builder("versioned").with_version("1.2.3");
    let told = versioned().with_schema_url("https://example.com/1").build();
    let known = versioned().with_attributes([KeyValue::new("a", 1), KeyValue::new("b", "c")]).build();
    let other = versioned().with_attributes([KeyValue::new("a", 2)]).build();
    let [versioned, told, known, other] =
        [versioned().build(), told, known, other].map(|scope| both.provider.tracer_with_scope(scope));
    let nameless = both.provider.tracer("");
    for _ in 0..2 {
        drop((plain.start("a"), versioned.start("b"), nameless.start("c")));
        drop((told.start("d"), known.start("e"), other.start("f")));
    }
    both.finish().assert_same();
}

#[test]
fn values_of_every_type_come_out_as_they_are() {
    let texts =
        |all: &[&'static str]| Array::String(all.iter().map(|text| StringValue::from(*text)).collect());
    let values = [
        Value::Bool(true),
        Value::Bool(false),
        Value::I64(i64::MIN),
        Value::I64(i64::MAX),
        Value::I64(0),
        Value::F64(f64::NAN),
        Value::F64(-f64::NAN),
        Value::F64(f64::INFINITY),
        Value::F64(f64::NEG_INFINITY),
        Value::F64(-0.0),
        Value::F64(f64::MIN_POSITIVE / 2.0),
        Value::from(""),
        Value::from("ü\0\u{10ffff}"),
        Value::from("owned".to_owned()),
        Value::Array(Array::Bool(vec![])),
        Value::Array(Array::Bool(vec![true, false])),
        Value::Array(Array::I64(vec![])),
        Value::Array(Array::I64(vec![i64::MIN, -1, 0, 1, 127, 128, 255, 256, 65_536, i64::MAX])),
        Value::Array(Array::F64(vec![])),
        Value::Array(Array::F64(vec![f64::NAN, -0.0, 1.0, f64::MAX, f64::INFINITY])),
        Value::Array(texts(&[])),
        Value::Array(texts(&["", "a", "ü"])),
    ];
    let pairs = || values.iter().enumerate().map(|(n, value)| KeyValue::new(format!("k{n}"), value.clone()));
    let both = Both::new();
    let tracer = both.provider.tracer("values");
    let mut span = tracer.span_builder("early").with_attributes(pairs()).start(&tracer);
    span.add_event("event", pairs().collect());
    span.add_link(remote(true), pairs().collect());
    drop(span);
    let mut span = tracer.start("late");
    span.set_attributes(pairs());
    drop(span);
    let outcome = both.finish();
    outcome.assert_same();
    for name in ["early", "late"] {
        // With NaN among them, and others: none of them twice.
        let count = outcome.span(name).attributes.iter().filter(|(key, _)| key.starts_with('k')).count();
        assert_eq!(count, values.len(), "{name}");
    }
}
