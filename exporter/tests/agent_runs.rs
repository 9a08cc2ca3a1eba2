//! The bundled agent runs, recorded, spooled and delivered by the command: what arrives is compared with the file that they are read
//! from, span by span. The comparison is made in the file's own JSON, by which it shares nothing with the conversion into OTLP.

mod agent;
mod recorded_runs;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::mpsc;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message as _;
use serde_json::{Value as Json, json};
use spanring_exporter::otlp::ExportTraceServiceRequest;

use self::agent::{TestSpool, receiver};
use self::recorded_runs::SPANS;

/// What a spool knows of its process by itself, and says where the program said nothing else.
const OF_THE_SPOOL: [&str; 5] = [
    "process.pid",
    "service.instance.id",
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "telemetry.sdk.version",
];

#[test]
fn every_bundled_run_arrives_span_by_span_as_it_is_in_its_file() {
    let spool = TestSpool::new();
    recorded_runs::record(&spool.path());
    let (sender, requests) = mpsc::channel();
    let (_receiver, sink, _) = receiver(move |request| {
        sender.send(request.body.clone()).unwrap();
        None
    });
    let file = spool.file("spans.jsonl");
    let (status, report, complaints) = spool.export_once(&[&sink, &format!("file:{}", file.display())]);
    assert_eq!((status, complaints.as_str()), (0, ""), "{report}");

    let expected = spans_of(recorded_runs::lines());
    let decoded = requests.try_iter().map(|body| {
        let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        json!({ "resourceSpans": request.resource_spans.iter().map(resource_spans).collect::<Vec<_>>() })
    });
    assert_same(spans_of(decoded), &expected);
    let text = fs::read_to_string(&file).unwrap();
    assert_same(spans_of(text.lines().map(|line| serde_json::from_str(line).unwrap())), &expected);
}

/// A span, and what stands around it in a request.
#[derive(PartialEq, Debug)]
struct Arrived {
    resource: BTreeMap<String, Json>,
    scope: Json,
    span: Json,
}

/// The spans by their identities.
fn spans_of(requests: impl IntoIterator<Item = Json>) -> BTreeMap<String, Arrived> {
    let mut spans = BTreeMap::new();
    for request in requests {
        for resource_spans in request["resourceSpans"].as_array().unwrap() {
            let attributes = resource_spans["resource"]["attributes"].as_array().unwrap().iter();
            let resource = attributes
                .map(|pair| (pair["key"].as_str().unwrap().to_owned(), pair["value"].clone()))
                .collect::<BTreeMap<_, _>>();
            for scope_spans in resource_spans["scopeSpans"].as_array().unwrap() {
                for span in scope_spans["spans"].as_array().unwrap() {
                    let mut span = span.clone();
                    // Some of the input writes out that there are none.
                    if span["events"] == json!([]) {
                        span.as_object_mut().unwrap().remove("events");
                    }
                    let id = format!("{} {}", span["traceId"], span["spanId"]);
                    let arrived =
                        Arrived { resource: resource.clone(), scope: scope_spans["scope"].clone(), span };
                    assert!(spans.insert(id, arrived).is_none(), "a span came twice");
                }
            }
        }
    }
    spans
}

/// Compares all, but for what the spool adds to a resource.
fn assert_same(mut arrived: BTreeMap<String, Arrived>, expected: &BTreeMap<String, Arrived>) {
    assert_eq!((arrived.len(), expected.len()), (SPANS, SPANS));
    for (id, expected) in expected {
        let arrived = arrived.get_mut(id).unwrap_or_else(|| panic!("the span {id} is missing"));
        let told: BTreeSet<String> = arrived.resource.keys().cloned().collect();
        assert!(OF_THE_SPOOL.iter().all(|key| told.contains(*key)), "{told:?}");
        arrived
            .resource
            .retain(|key, _| expected.resource.contains_key(key) || !OF_THE_SPOOL.contains(&key.as_str()));
        assert_eq!(arrived, expected);
    }
}

fn resource_spans(resource_spans: &ResourceSpans) -> Json {
    let scope_spans = resource_spans.scope_spans.iter().map(|scope_spans| {
        let scope = scope_spans.scope.as_ref().unwrap();
        let mut json = json!({ "name": scope.name });
        add(&mut json, "version", json!(scope.version));
        add(&mut json, "attributes", pairs(&scope.attributes));
        json!({ "scope": json, "spans": scope_spans.spans.iter().map(span).collect::<Vec<_>>() })
    });
    json!({
        "resource": { "attributes": pairs(&resource_spans.resource.as_ref().unwrap().attributes) },
        "scopeSpans": scope_spans.collect::<Vec<_>>(),
    })
}

/// A span as the file writes it. What no span of the file has shows too, and would be a difference.
fn span(span: &Span) -> Json {
    let status = span.status.as_ref().unwrap();
    let mut told = json!({ "code": status.code });
    add(&mut told, "message", json!(status.message));
    let mut json = json!({
        "traceId": hex(&span.trace_id),
        "spanId": hex(&span.span_id),
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": span.start_time_unix_nano.to_string(),
        "endTimeUnixNano": span.end_time_unix_nano.to_string(),
        "status": told,
    });
    add(&mut json, "parentSpanId", json!(hex(&span.parent_span_id)));
    add(&mut json, "attributes", pairs(&span.attributes));
    add(&mut json, "events", span.events.iter().map(event).collect());
    add(&mut json, "links", span.links.iter().map(|link| json!(hex(&link.span_id))).collect());
    add(&mut json, "traceState", json!(span.trace_state));
    let counts =
        [span.flags, span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count];
    for (key, count) in ["flags", "droppedAttributes", "droppedEvents", "droppedLinks"].iter().zip(counts) {
        if count != 0 {
            json[key] = json!(count);
        }
    }
    json
}

fn event(event: &Event) -> Json {
    assert_eq!(event.dropped_attributes_count, 0);
    let mut json = json!({ "timeUnixNano": event.time_unix_nano.to_string(), "name": event.name });
    add(&mut json, "attributes", pairs(&event.attributes));
    json
}

/// Adds what is neither an empty text nor an empty list.
fn add(object: &mut Json, key: &str, value: Json) {
    if value != json!("") && value != json!([]) {
        object[key] = value;
    }
}

fn pairs(attributes: &[KeyValue]) -> Json {
    attributes.iter().map(|pair| json!({ "key": pair.key, "value": value(pair.value.as_ref()) })).collect()
}

/// Only what the file has: texts, integers and floating-point numbers. A spool's own resource has no others.
fn value(value: Option<&AnyValue>) -> Json {
    match value.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => json!({ "stringValue": text }),
        Some(any_value::Value::IntValue(number)) => json!({ "intValue": number.to_string() }),
        Some(any_value::Value::DoubleValue(number)) => json!({ "doubleValue": number }),
        other => panic!("no run has such a value: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
