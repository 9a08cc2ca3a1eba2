//! Random programs.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
    Tracer, TracerProvider,
};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use spanring::bridge::opentelemetry::SpanringProcessor;
use spanring_spool::{Level, SpoolBuilder};

use crate::{Both, assert_same};

/// A span, under one that started before it unless it is the first.
#[derive(Clone, Debug)]
struct Planned {
    name: Cow<'static, str>,
    parent: usize,
    kind: SpanKind,
    start: Option<u64>,
    known: Content,
    late: Content,
    renamed: Option<String>,
    status: Vec<Status>,
    duration: Option<u64>,
    /// Whether it ends before the next one starts.
    ends_early: bool,
}

type Pairs = Vec<(String, Value)>;

#[derive(Clone, Debug)]
struct Content {
    attributes: Pairs,
    events: Vec<(String, u64, Pairs)>,
    links: Vec<(SpanContext, Pairs)>,
}

fn value() -> impl Strategy<Value = Value> {
    let text = || ".{0,20}".prop_map(StringValue::from);
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        any::<u64>().prop_map(|bits| Value::F64(f64::from_bits(bits))),
        text().prop_map(Value::String),
        "x{300,2000}".prop_map(Value::from),
        vec(any::<bool>(), 0..5).prop_map(|all| Value::Array(Array::Bool(all))),
        vec(any::<i64>(), 0..5).prop_map(|all| Value::Array(Array::I64(all))),
        vec(any::<u64>().prop_map(f64::from_bits), 0..5).prop_map(|all| Value::Array(Array::F64(all))),
        vec(text(), 0..5).prop_map(|all| Value::Array(Array::String(all))),
    ]
}

fn attributes() -> impl Strategy<Value = Pairs> {
    vec((".{0,12}", value()), 0..5)
}

/// The keys made different from each other: what becomes of equal ones is told elsewhere.
fn key_values(of: &str, attributes: &[(String, Value)]) -> Vec<KeyValue> {
    let pairs = attributes.iter().enumerate();
    pairs.map(|(n, (key, value))| KeyValue::new(format!("{of}{n}{key}"), value.clone())).collect()
}

fn span_context() -> impl Strategy<Value = SpanContext> {
    let state = proptest::option::of("[a-z]{1,8}");
    (any::<u128>(), any::<u64>(), any::<u8>(), any::<bool>(), state).prop_map(
        |(trace_id, span_id, flags, is_remote, state)| {
            let state = state.map(|value| TraceState::from_key_value([("k", value)]).unwrap());
            SpanContext::new(
                TraceId::from(trace_id),
                SpanId::from(span_id),
                TraceFlags::new(flags),
                is_remote,
                state.unwrap_or_default(),
            )
        },
    )
}

fn content() -> impl Strategy<Value = Content> {
    let events = vec((".{0,20}", any::<u64>(), attributes()), 0..3);
    let links = vec((span_context(), attributes()), 0..3);
    (attributes(), events, links).prop_map(|(attributes, events, links)| Content {
        attributes,
        events,
        links,
    })
}

fn planned() -> impl Strategy<Value = Planned> {
    let name =
        prop_oneof![Just(Cow::Borrowed("literal")), Just(Cow::Borrowed("")), ".{0,20}".prop_map(Cow::Owned),];
    let kind = prop::sample::select(vec![
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ]);
    let status = prop_oneof![Just(Status::Unset), Just(Status::Ok), ".{0,20}".prop_map(Status::error),];
    let life = (
        proptest::option::of(0..u64::MAX / 2),
        proptest::option::of(0..u64::MAX / 4),
        any::<bool>(),
        any::<usize>(),
    );
    let said = (proptest::option::of(".{0,20}"), vec(status, 0..3));
    (name, kind, life, said, content(), content()).prop_map(
        |(name, kind, (start, duration, ends_early, parent), (renamed, status), known, late)| Planned {
            name,
            parent,
            kind,
            start,
            known,
            late,
            renamed,
            status,
            duration,
            ends_early,
        },
    )
}

fn at(unix_ns: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_ns)
}

fn run(both: &Both, remote: Option<SpanContext>, plan: &[Planned]) {
    let tracer = both.provider.tracer("random");
    let root = match remote {
        Some(parent) => Context::new().with_remote_span_context(parent),
        None => Context::new(),
    };
    let mut contexts: Vec<Context> = Vec::new();
    for planned in plan {
        let mut builder = tracer
            .span_builder(planned.name.clone())
            .with_kind(planned.kind.clone())
            .with_attributes(key_values("known", &planned.known.attributes))
            .with_events(
                planned
                    .known
                    .events
                    .iter()
                    .map(|(name, time, attributes)| {
                        Event::new(name.clone(), at(*time), key_values("e", attributes), 0)
                    })
                    .collect(),
            )
            .with_links(
                planned
                    .known
                    .links
                    .iter()
                    .map(|(to, attributes)| Link::new(to.clone(), key_values("l", attributes), 0))
                    .collect(),
            );
        if let Some(start) = planned.start {
            builder = builder.with_start_time(at(start));
        }
        let parent = match contexts.len() {
            0 => &root,
            count => &contexts[planned.parent % count],
        };
        let context = Context::new().with_span(builder.start_with_context(&tracer, parent));
        if planned.ends_early {
            end(&context, planned);
        }
        contexts.push(context);
    }
    for (context, planned) in contexts.iter().zip(plan).filter(|(_, planned)| !planned.ends_early) {
        end(context, planned);
    }
}

fn end(context: &Context, planned: &Planned) {
    let span = context.span();
    span.set_attributes(key_values("late", &planned.late.attributes));
    for (name, time, attributes) in &planned.late.events {
        span.add_event_with_timestamp(name.clone(), at(*time), key_values("e", attributes));
    }
    for (to, attributes) in &planned.late.links {
        span.add_link(to.clone(), key_values("l", attributes));
    }
    if let Some(name) = &planned.renamed {
        span.update_name(name.clone());
    }
    planned.status.iter().for_each(|status| span.set_status(status.clone()));
    match (planned.start, planned.duration) {
        (Some(start), Some(duration)) => span.end_with_timestamp(at(start + duration)),
        // It ends now: not before it started.
        (Some(_), None) => span.end_with_timestamp(at(u64::MAX)),
        (None, _) => span.end(),
    }
}

/// Of a parent in another process, which has the trace recorded.
fn remote() -> impl Strategy<Value = Option<SpanContext>> {
    let parent = span_context().prop_map(|context| {
        SpanContext::new(
            TraceId::from(u128::from_le_bytes(context.trace_id().to_bytes()).max(1)),
            SpanId::from(u64::from_le_bytes(context.span_id().to_bytes()).max(1)),
            context.trace_flags().with_sampled(true),
            true,
            context.trace_state().clone(),
        )
    });
    proptest::option::of(parent)
}

#[test]
fn whatever_a_program_does_comes_out_the_same() {
    // Each case waits for the drain.
    let spool = |builder: SpoolBuilder| builder.linger(Duration::from_millis(1));
    let both = Both::start(SpanringProcessor::new(), spool, |builder| builder);
    let mut runner = TestRunner::new(ProptestConfig { cases: 64, ..ProptestConfig::default() });
    runner
        .run(&(remote(), vec(planned(), 1..6)), |(remote, plan)| {
            both.upstream.reset();
            run(&both, remote, &plan);
            both.spool.flush(Level::Spooled, Duration::from_secs(30)).unwrap();
            let upstream = both.upstream.get_finished_spans().unwrap();
            let trace_id = upstream[0].span_context.trace_id().to_bytes();
            let spans = both.spool.trace(spanring::TraceId::from_bytes(trace_id)).unwrap();
            assert_same(&upstream, &spans);
            Ok(())
        })
        .unwrap();
    assert!(both.finish().report.is_complete);
}
