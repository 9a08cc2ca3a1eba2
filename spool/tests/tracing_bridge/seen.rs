//! The same program under two layers, and what each saw of it in the same terms.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry::trace::{SpanKind, Status as OtelStatus, TracerProvider};
use opentelemetry::{KeyValue, SpanId, Value as OtelValue};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use spanring::{Status, names};
use spanring_spool::{SpanData, Value};
use tracing::Dispatch;
use tracing_subscriber::prelude::*;

use crate::{Place, Recorded};

type Attributes = BTreeMap<String, String>;

/// A span in the terms that both have. Spans are known by their names, which differ within a program.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    parent: Option<String>,
    /// Of whoever shares the trace: the name of its root.
    root: String,
    kind: String,
    status: &'static str,
    message: String,
    attributes: Attributes,
    events: Vec<(String, Attributes)>,
    links: Vec<String>,
}

/// Runs a program under both layers and compares what they saw. What this layer saw is returned.
pub(crate) fn compare(program: impl FnOnce(&Dispatch)) -> Recorded {
    let place = Place::new();
    let spool = place.spool().start().unwrap();
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let theirs = tracing_opentelemetry::layer().with_tracer(provider.tracer("test")).with_level(true);
    let ours = spanring::bridge::tracing::layer().with_timings(true);
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(theirs).with(ours));
    tracing::dispatcher::with_default(&dispatch, || program(&dispatch));
    drop(dispatch);

    let recorded = place.stop(spool);
    provider.force_flush().unwrap();
    let theirs = of_theirs(&exporter.get_finished_spans().unwrap());
    let ours = of_ours(&recorded.spans);
    let names = |seen: &BTreeMap<String, Seen>| seen.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&ours), names(&theirs));
    assert!(!ours.is_empty());
    for (name, theirs) in &theirs {
        assert_same(name, &ours[name], theirs);
    }
    for span in &recorded.spans {
        let parent = recorded.spans.iter().find(|parent| Some(parent.span_id) == span.parent_id);
        assert!(parent.is_none_or(|parent| parent.start_unix_ns <= span.start_unix_ns), "{}", span.name);
    }
    recorded
}

fn assert_same(name: &str, ours: &Seen, theirs: &Seen) {
    assert_eq!(
        (&ours.parent, &ours.root, &ours.kind),
        (&theirs.parent, &theirs.root, &theirs.kind),
        "{name}"
    );
    assert_eq!((ours.status, &ours.links), (theirs.status, &theirs.links), "{name}");
    assert!(theirs.message.is_empty() || ours.message == theirs.message, "{name}: {ours:?} {theirs:?}");
    assert_includes(name, &ours.attributes, &theirs.attributes);
    assert_eq!(ours.events.len(), theirs.events.len(), "{name}: {ours:?} {theirs:?}");
    for (ours, theirs) in ours.events.iter().zip(&theirs.events) {
        assert_eq!(ours.0, theirs.0, "{name}");
        assert_includes(&format!("{name}, {}", ours.0), &ours.1, &theirs.1);
    }
}

/// Ours has all that theirs has, with the same values; but for the times, whose values differ by what lies between two calls, and
/// errors, of which other keys tell.
fn assert_includes(place: &str, ours: &Attributes, theirs: &Attributes) {
    for (key, value) in theirs {
        let value = match &key[..] {
            "busy_ns" | "idle_ns" => {
                assert!(ours[key].parse::<u64>().is_ok(), "{place}: {key}");
                continue;
            }
            "exception.stacktrace" => match &value[..] {
                "" => continue,
                causes => (names::ERROR_CAUSES, causes),
            },
            chain if chain.ends_with(".chain") => continue,
            key => (key, &value[..]),
        };
        assert_eq!(ours.get(value.0).map(String::as_str), Some(value.1), "{place}: {}: {ours:?}", value.0);
    }
}

fn of_ours(spans: &[SpanData]) -> BTreeMap<String, Seen> {
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| (span.span_id.to_bytes(), span)).collect();
    let seen = spans.iter().map(|span| {
        let parent = |span: &SpanData| by_id.get(&span.parent_id?.to_bytes()).copied();
        let root = std::iter::successors(Some(span), |span| parent(span)).last().unwrap();
        assert_eq!(root.trace_id, span.trace_id);
        let mut attributes = ours(&span.attributes);
        let kind = attributes.remove(names::SPAN_KIND).unwrap_or("internal".to_owned());
        let status = match span.status {
            Status::Unset => "unset",
            Status::Ok => "ok",
            _ => "error",
        };
        let message = span.error_message().unwrap_or_default().to_owned();
        if !message.is_empty() {
            attributes.entry("exception.message".to_owned()).or_insert_with(|| message.clone());
        }
        let seen = Seen {
            parent: parent(span).map(|parent| parent.name.clone()),
            root: root.name.clone(),
            kind,
            status,
            message,
            attributes,
            events: span.events.iter().map(|event| (event.name.clone(), ours(&event.attributes))).collect(),
            links: span.links.iter().map(|link| by_id[&link.span_id.to_bytes()].name.clone()).collect(),
        };
        (span.name.clone(), seen)
    });
    let seen: BTreeMap<_, _> = seen.collect();
    assert_eq!(seen.len(), spans.len(), "names are told apart");
    seen
}

fn ours(attributes: &[(String, Value)]) -> Attributes {
    attributes.iter().map(|(key, value)| (key.clone(), plain(value))).collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::Str(value) => value.clone(),
        Value::Bytes(bytes) => {
            format!("[{}]", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "))
        }
        Value::List(values) => values.iter().map(plain).collect::<Vec<_>>().join("; "),
        other => panic!("{other:?}"),
    }
}

fn of_theirs(spans: &[opentelemetry_sdk::trace::SpanData]) -> BTreeMap<String, Seen> {
    let by_id: BTreeMap<_, _> =
        spans.iter().map(|span| (span.span_context.span_id().to_bytes(), span)).collect();
    let seen = spans.iter().map(|span| {
        let parent = |span: &opentelemetry_sdk::trace::SpanData| {
            (span.parent_span_id != SpanId::INVALID).then(|| by_id[&span.parent_span_id.to_bytes()])
        };
        let root = std::iter::successors(Some(span), |span| parent(span)).last().unwrap();
        let kind = match span.span_kind {
            SpanKind::Internal => "internal",
            SpanKind::Server => "server",
            SpanKind::Client => "client",
            SpanKind::Producer => "producer",
            SpanKind::Consumer => "consumer",
        };
        let (status, message) = match &span.status {
            OtelStatus::Unset => ("unset", ""),
            OtelStatus::Ok => ("ok", ""),
            OtelStatus::Error { description } => ("error", &description[..]),
        };
        let event = |event: &opentelemetry::trace::Event| (event.name.to_string(), theirs(&event.attributes));
        let seen = Seen {
            parent: parent(span).map(|parent| parent.name.to_string()),
            root: root.name.to_string(),
            kind: kind.to_owned(),
            status,
            message: message.to_owned(),
            attributes: theirs(&span.attributes),
            events: span.events.iter().map(event).collect(),
            links: span
                .links
                .iter()
                .map(|link| by_id[&link.span_context.span_id().to_bytes()].name.to_string())
                .collect(),
        };
        (span.name.to_string(), seen)
    });
    seen.collect()
}

fn theirs(attributes: &[KeyValue]) -> Attributes {
    let plain = |value: &OtelValue| match value {
        OtelValue::Array(opentelemetry::Array::String(texts)) => {
            texts.iter().map(|text| text.as_str().to_owned()).collect::<Vec<_>>().join("; ")
        }
        value => value.as_str().into_owned(),
    };
    attributes.iter().map(|pair| (pair.key.to_string(), plain(&pair.value))).collect()
}
