//! What spanring's own sampling, redaction and processors make of the SDK's spans, and of those that are started beside them.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider,
};
use opentelemetry::{Array, Context, KeyValue, Value};
use spanring::bridge::opentelemetry::{
    SpanringProcessor, context_of, current_context, opentelemetry_context,
};
use spanring::processor::Processor;
use spanring::redaction::{Redaction, SECRET_KEYS};
use spanring::sampling::{KindRates, Root};
use spanring::{Kind, Span};
use spanring_spool::SpoolBuilder;

use super::Both;

#[test]
fn a_trace_that_spanring_does_not_sample_is_out_in_both_worlds_and_decided_upon_once() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let sampler = move |root: &Root<'_>| {
        seen.lock().unwrap().push(root.name().into_owned());
        root.name() != "out"
    };
    let both = Both::start(SpanringProcessor::new(), |spool| spool.sampler(sampler), |builder| builder);
    let tracer = both.provider.tracer("sampled");
    for name in ["in", "out"] {
        let is_in = name == "in";
        let (handed_on, ours) = tracer.in_span(name, |context| {
            assert_eq!(current_context().is_sampled(), is_in);
            let ours = spanring::tool("ours").parent(current_context()).start();
            assert_eq!((ours.is_recording(), ours.context().is_sampled()), (is_in, is_in));
            tracer.in_span("child", |_| {
                assert_eq!(current_context().is_sampled(), is_in);
                drop(spanring::tool("deep").parent(current_context()).start());
            });
            let guard = opentelemetry_context(ours.context()).attach();
            tracer.in_span("below ours", |_| assert_eq!(current_context().is_sampled(), is_in));
            drop(guard);
            context.span().end();
            (context.clone(), ours)
        });
        // The root has ended; what is started under it still belongs to its trace.
        tracer.in_span("outside", |_| {
            let late = tracer.start_with_context("late", &handed_on);
            drop(spanring::tool("late").parent(context_of(&handed_on)).start());
            drop(late);
        });
        drop(ours);
    }
    assert_eq!(*asked.lock().unwrap(), ["in", "outside", "out", "outside"]);
    let outcome = both.finish();
    let mut names: Vec<_> = outcome.spans.iter().map(|span| &*span.name).collect();
    names.sort_unstable();
    let expected = [
        "below ours",
        "child",
        "execute_tool deep",
        "execute_tool late",
        "execute_tool ours",
        "in",
        "late",
        "outside",
        "outside",
    ];
    assert_eq!(names, expected);
    // `below ours` of the other trace is one that the SDK itself has left out.
    assert_eq!(outcome.report.ledger.sampled_out, 6);
}

#[test]
fn what_is_under_a_span_of_a_kind_that_is_left_out_is_under_what_that_is_under() {
    let rates = KindRates::default().rate(Kind::Embedding, 0.0);
    let both = Both::start(SpanringProcessor::new(), |spool| spool.kind_rates(rates), |builder| builder);
    let tracer = both.provider.tracer("kinds");
    tracer.in_span("run", |_| {
        let run = current_context();
        let middle = tracer
            .span_builder("middle")
            .with_attributes([KeyValue::new("gen_ai.operation.name", "embeddings")])
            .start(&tracer);
        let middle = Context::current_with_span(middle);
        assert_eq!(context_of(&middle), run);
        drop(tracer.start_with_context("theirs", &middle));
        drop(spanring::tool("ours").parent(context_of(&middle)).start());
        middle.span().end();
        drop(tracer.start_with_context("late", &middle));
    });
    let outcome = both.finish();
    let run = outcome.span("run").span_id;
    for name in ["theirs", "execute_tool ours", "late"] {
        assert_eq!(outcome.span(name).parent_id, Some(run), "{name}");
    }
    assert_eq!((outcome.spans.len(), outcome.report.ledger.sampled_out), (4, 1));
}

/// Is told of what is known at a span's start, and of its end.
struct Told(Arc<Mutex<Vec<String>>>);

impl Processor for Told {
    fn on_start(&self, span: &Span) {
        span.set("of the processor", "hunter2");
        self.0.lock().unwrap().push(format!("start {}", span.kind().name()));
    }

    fn on_end(&self, span: &Span) {
        self.0.lock().unwrap().push(format!("end {}", span.status().name()));
    }
}

#[test]
fn what_is_redacted_is_in_no_place_of_the_sdks_spans_and_processors_are_told_of_them_once() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let redaction = Redaction::new()
        .keys(SECRET_KEYS)
        .texts(|_: &str, text: &str| text.contains("hunter2").then(|| text.replace("hunter2", "***")));
    let seen = told.clone();
    let configure = |spool: SpoolBuilder| spool.redact(redaction).processor(Told(seen));
    let both = Both::start(SpanringProcessor::new(), configure, |builder| builder);
    let tracer = both.provider.tracer("redacted");
    let secrets = || {
        vec![
            KeyValue::new("db.password", 42),
            KeyValue::new("list", Value::Array(Array::String(vec!["a".into(), "hunter2".into()]))),
            KeyValue::new("key of hunter2", true),
            KeyValue::new("text", "say hunter2"),
            KeyValue::new("gen_ai.operation.name", "chat"),
        ]
    };
    let state = TraceState::from_key_value([("vendor", "hunter2")]).unwrap();
    let linked = SpanContext::new(TraceId::from(1), SpanId::from(2), TraceFlags::SAMPLED, false, state);
    let mut span = tracer
        .span_builder("call of hunter2".to_owned())
        .with_attributes(secrets())
        .with_links(vec![Link::new(linked.clone(), secrets(), 0)])
        .start(&tracer);
    span.add_event("event of hunter2".to_owned(), secrets());
    span.add_event_with_timestamp("later".to_owned(), SystemTime::now(), secrets());
    span.add_link(linked, secrets());
    span.set_attributes(secrets().into_iter().map(|of| KeyValue::new(format!("late.{}", of.key), of.value)));
    span.set_status(Status::error("no hunter2"));
    span.update_name("renamed to hunter2".to_owned());
    span.end();
    let outcome = both.finish();
    let span = outcome.span("renamed to ***");
    let shown = format!("{span:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let of_items = span
        .events
        .iter()
        .map(|event| &event.attributes)
        .chain(span.links.iter().map(|link| &link.attributes));
    let attributes = of_items.chain([&span.attributes]).flatten();
    let passwords = attributes.filter(|(key, _)| key.ends_with("db.password"));
    assert_eq!(passwords.filter(|(_, value)| value.as_str() == Some("[redacted]")).count(), 6);
    assert_eq!((span.kind, span.error_message()), (Kind::Llm, Some("no ***")));
    assert_eq!((span.events.len(), span.links.len()), (2, 2));
    for key in ["text", "late.text", "key of ***", "late.list", "of the processor"] {
        assert!(span.get(key).is_some(), "{key}: {shown}");
    }
    assert_eq!(*told.lock().unwrap(), ["start llm", "end error"]);
}
