//! Prela: a trace in one request, in its own form and as OTLP.

use serde_json::{Value as Json, json};
use spanring::{Span, SpanId, SpanKind, Status, TraceId, names};
use spanring_exporter::prela::{self, TraceSummary, TraceWriter};
use spanring_spool::{SpanData, Value};

use crate::json::{Object, if_some, items, pairs, text};
use crate::prela::{RULES, an_event, others, rebuild, say_attributes};
use crate::recording::{Life, Recording, record};
use crate::rules::{HTTP, Rule, Table};
use crate::words::Statuses;
use crate::{Form, any_other, file};

pub(crate) const TRACES: Form = Form {
    rebuild: |capture, recording| {
        items(&capture["body"]["spans"]).iter().for_each(|span| rebuild(span, recording))
    },
    document: trace,
    rules: &[OF_TRACE, RULES, HTTP],
    others: |path, value| match path.last()?.as_str() {
        "events" => Some(vec![an_event("+00:00Z")]),
        _ => others(path, value),
    },
    list: Some("/body/spans"),
    captures: || {
        vec![file("prela/http/001_POST_v1_traces.json"), file("prela/http_gzip/001_POST_v1_traces.json")]
    },
};

pub(crate) const OTLP: Form = Form {
    rebuild: rebuild_otlp,
    document: otlp,
    rules: &[OF_OTLP, RULES, HTTP],
    others: |path, value| match (path.last()?.as_str(), value) {
        ("events", _) => {
            Some(vec![json!([{"name": "said", "timeUnixNano": "1795158295620402945", "attributes": {}}])])
        }
        ("attributes", _) => Some(vec![json!({"other": {"boolValue": true}})]),
        ("kind", _) => Some([1, 2, 3, 4, 5].map(|kind| json!(kind)).into()),
        ("code", _) => Some([0, 1, 2].map(|code| json!(code)).into()),
        ("intValue", Json::String(text)) if text == "True" => Some(vec![json!("False")]),
        ("intValue", Json::String(text)) if text == "False" => Some(vec![json!("True")]),
        _ => any_other(path, value),
    },
    list: Some("/body/resourceSpans/0/scopeSpans/0/spans"),
    captures: || vec![file("prela/otlp/001_POST_v1_traces.json").map(with_keys)],
};

const OF_TRACE: &Table = &[
    ("body/trace_id", Rule::Derived("that of the spans")),
    ("body/service_name", Rule::Derived("that of the spans")),
    ("body/started_at", Rule::Derived("the first start")),
    ("body/completed_at", Rule::Derived("the end of the span that started last")),
    ("body/duration_ms", Rule::Derived("the sum of the spans'")),
    ("body/status", Rule::Derived("an error where a span is one")),
];

const OF_OTLP: &Table = &[("body/resourceSpans/*/scopeSpans/*/scope", Rule::Transport("the same for all"))];

fn trace(spans: &[SpanData]) -> Json {
    let spans = spans.iter().map(|span| prela::Span::of(span, None));
    let summary = TraceSummary::of(spans.clone()).unwrap();
    let mut body = TraceWriter::begin(Vec::new(), &summary).unwrap();
    spans.for_each(|span| body.span(&span).unwrap());
    let body: Json = serde_json::from_slice(&body.end().unwrap()).unwrap();
    json!({ "body": body })
}

/// Attributes as objects, and not as lists of keys and values whose order means nothing.
pub(crate) fn with_keys(json: Json) -> Json {
    match json {
        Json::Array(list) if list.iter().any(|item| item.get("key").is_some()) => {
            let pairs =
                list.iter().map(|item| (text(item, "key").unwrap().to_owned(), item["value"].clone()));
            Json::Object(pairs.collect())
        }
        Json::Array(list) => list.into_iter().map(with_keys).collect(),
        Json::Object(pairs) => pairs
            .into_iter()
            .map(|(key, value)| match value {
                Json::Array(list) if key == "attributes" && list.is_empty() => (key, json!({})),
                value => (key, with_keys(value)),
            })
            .collect(),
        other => other,
    }
}

const CODES: Statuses = Statuses(&[("0", Status::Unset), ("1", Status::Ok), ("2", Status::Error)]);

const KINDS: [SpanKind; 5] =
    [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer];

fn rebuild_otlp(capture: &Json, recording: &mut Recording) {
    for resource in items(&capture["body"]["resourceSpans"]) {
        let of_resource = plain(&resource["resource"]["attributes"]);
        for span in items(&resource["scopeSpans"][0]["spans"]) {
            rebuild_otlp_span(span, &of_resource, recording);
        }
    }
}

fn rebuild_otlp_span(span: &Json, of_resource: &Json, recording: &mut Recording) {
    let of = |key| text(span, key).unwrap();
    let life = Life {
        trace_id: TraceId::parse(of("traceId")).unwrap(),
        span_id: SpanId::parse(of("spanId")).unwrap(),
        parent_id: text(span, "parentSpanId").and_then(SpanId::parse),
        start_unix_ns: of("startTimeUnixNano").parse().unwrap(),
        end_unix_ns: of("endTimeUnixNano").parse().ok(),
    };
    record!(recording, life, spanring::span_named(of("name")), |recorded: &Span| {
        let kind = KINDS.iter().zip(1..).find(|(_, number)| span["kind"] == *number).unwrap().0;
        recorded.span_kind(*kind);
        CODES.say(recorded, &span["status"]["code"].to_string());
        if_some(text(&span["status"], "message"), |message| recorded.status_message(message));
        // In every other form of Prela the name of the service is an attribute of each span.
        say_attributes(recorded, of_resource);
        say_attributes(recorded, &plain(&span["attributes"]));
        for event in items(&span["events"]) {
            let moment = text(event, "timeUnixNano").unwrap().parse().unwrap();
            recorded.event_at(text(event, "name").unwrap(), moment, |said| {
                pairs(&plain(&event["attributes"])).for_each(|(key, value)| said.set_value_named(key, value));
            });
        }
    });
}

/// What the values of attributes are.
fn plain(attributes: &Json) -> Json {
    fn value_of(any: &Json) -> Json {
        let (form, value) = pairs(any).next().unwrap();
        match (form, value) {
            ("intValue", Json::String(text)) => match text.as_str() {
                // Booleans in lists are written so.
                "True" => json!(true),
                "False" => json!(false),
                number => json!(number.parse::<i64>().unwrap()),
            },
            ("arrayValue", list) => items(&list["values"]).iter().map(value_of).collect(),
            (_, value) => value.clone(),
        }
    }
    Json::Object(pairs(attributes).map(|(key, any)| (key.to_owned(), value_of(any))).collect())
}

fn any_values(attributes: &[(String, Value)]) -> Json {
    fn any_value(value: &Value, is_in_list: bool) -> Json {
        match value {
            Value::Bool(value) if is_in_list => json!({"intValue": if *value { "True" } else { "False" }}),
            Value::Bool(value) => json!({ "boolValue": value }),
            Value::I64(value) => json!({"intValue": value.to_string()}),
            Value::U64(value) => json!({"intValue": value.to_string()}),
            Value::F64(value) => json!({ "doubleValue": value }),
            Value::List(values) => {
                let values = values.iter().map(|value| any_value(value, true));
                json!({"arrayValue": {"values": values.collect::<Json>()}})
            }
            other => json!({"stringValue": other}),
        }
    }
    attributes.iter().map(|(key, value)| (key.clone(), any_value(value, false))).collect()
}

/// The attributes in Prela's words, without those that say what Prela's OTLP has other places for.
fn attributes(span: &SpanData) -> Vec<(String, Value)> {
    let mut attributes = prela::Span::of(span, None).attributes;
    attributes.retain(|(key, _)| !key.starts_with("spanring."));
    attributes
}

fn otlp(spans: &[SpanData]) -> Json {
    let is_of_resource = |attribute: &(String, Value)| attribute.0 == "service.name";
    let documents = spans.iter().map(|span| {
        let of_span = attributes(span).into_iter().filter(|attribute| !is_of_resource(attribute));
        let events = span.events.iter().map(|event| {
            json!({
                "timeUnixNano": event.time_unix_ns.to_string(),
                "name": event.name,
                "attributes": any_values(&event.attributes),
            })
        });
        let kind = span.get(names::SPAN_KIND).and_then(Value::as_str);
        let (_, kind) = KINDS.iter().zip(1..).find(|(known, _)| Some(known.name()) == kind).unwrap();
        let status = Object::default()
            .with("code", CODES.name(span).parse::<u64>().unwrap())
            .with_some("message", (!span.status_message.is_empty()).then_some(&span.status_message));
        Object::default()
            .with("traceId", span.trace_id.to_string())
            .with("spanId", span.span_id.to_string())
            .with_some("parentSpanId", span.parent_id.map(|id| id.to_string()))
            .with("name", &span.name)
            .with("kind", kind)
            .with("startTimeUnixNano", span.start_unix_ns.to_string())
            .with("endTimeUnixNano", span.end_unix_ns.to_string())
            .with("attributes", any_values(&of_span.collect::<Vec<_>>()))
            .with("events", events.collect::<Json>())
            .with("status", status.json())
            .json()
    });
    let of_resource: Vec<_> = attributes(&spans[0]).into_iter().filter(is_of_resource).collect();
    let scope = json!({"spans": documents.collect::<Json>()});
    let resource = json!({"resource": {"attributes": any_values(&of_resource)}, "scopeSpans": [scope]});
    json!({"body": {"resourceSpans": [resource]}})
}
