mod encoding;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use spanring::{Kind, SpanId, Status, TraceId, names};
use spanring_spool::{EventData, LinkData, SpanData, Value};

use super::{ExportTraceServiceRequest, request, to_json};
use crate::demo::runs::AgentRun;

fn span(attributes: Vec<(&str, Value)>) -> SpanData {
    SpanData {
        trace_id: TraceId::from_bytes([1; 16]),
        span_id: SpanId::from_bytes([2; 8]),
        name: "step".into(),
        start_unix_ns: 1,
        end_unix_ns: 2,
        attributes: owned(attributes),
        ..SpanData::default()
    }
}

fn owned(attributes: Vec<(&str, Value)>) -> Vec<(String, Value)> {
    attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn delivered(span: &SpanData) -> Span {
    request(&[], std::slice::from_ref(span)).resource_spans[0].scope_spans[0].spans[0].clone()
}

fn keys(span: &Span) -> Vec<&str> {
    span.attributes.iter().map(|attribute| attribute.key.as_str()).collect()
}

fn text(text: &str) -> Option<Any> {
    Some(Any::StringValue(text.to_owned()))
}

fn attribute(span: &Span, key: &str) -> Option<Any> {
    span.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value
}

fn in_json(span: &SpanData) -> serde_json::Value {
    let line = to_json(&request(&[], std::slice::from_ref(span)));
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    json["resourceSpans"][0]["scopeSpans"][0]["spans"][0].clone()
}

#[test]
fn real_agent_runs_come_out_as_they_went_in() {
    let input = include_str!("../../data/agent-runs.otlp.jsonl");
    for (run, line) in AgentRun::bundled().iter().zip(input.lines()) {
        let read: ExportTraceServiceRequest = serde_json::from_str(line).unwrap();
        let made = request(&run.resource, &run.spans);
        assert_eq!(made.resource_spans[0].resource, read.resource_spans[0].resource);
        let (made_scope, read_scope) =
            (&made.resource_spans[0].scope_spans[0], &read.resource_spans[0].scope_spans[0]);
        for (made, read) in made_scope.spans.iter().zip(&read_scope.spans) {
            assert_eq!(made, read);
        }
        assert_eq!(made_scope.spans.len(), read_scope.spans.len());

        let over_json: ExportTraceServiceRequest = serde_json::from_str(&to_json(&made)).unwrap();
        assert_eq!(over_json, made);
    }
}

#[test]
fn the_json_of_real_agent_runs_has_the_shape_of_the_input() {
    let input = include_str!("../../data/agent-runs.otlp.jsonl");
    for (run, line) in AgentRun::bundled().iter().zip(input.lines()) {
        let mut read: serde_json::Value = serde_json::from_str(line).unwrap();
        let made: serde_json::Value =
            serde_json::from_str(&to_json(&request(&run.resource, &run.spans))).unwrap();
        assert_eq!(made["resourceSpans"][0]["resource"], read["resourceSpans"][0]["resource"]);
        let made = &made["resourceSpans"][0]["scopeSpans"][0]["spans"];
        let read = read["resourceSpans"][0]["scopeSpans"][0]["spans"].take();
        for (made, mut read) in made.as_array().unwrap().iter().zip(read.as_array().unwrap().clone()) {
            // Some of the input writes out that there are none.
            if read["events"] == json!([]) {
                read.as_object_mut().unwrap().remove("events");
            }
            assert_eq!(*made, read);
        }
    }
}

#[test]
fn every_value_has_its_type() {
    let span = delivered(&span(vec![
        ("null", Value::Null),
        ("bool", Value::Bool(false)),
        ("i64", Value::I64(i64::MIN)),
        ("u64", Value::U64(i64::MAX.unsigned_abs())),
        ("large", Value::U64(u64::MAX)),
        ("f64", Value::F64(0.1)),
        ("bytes", Value::Bytes(vec![0, 255])),
        ("list", Value::List(vec![Value::Null, Value::I64(1)])),
    ]));
    assert_eq!(span.attributes[0].value.clone().unwrap().value, None);
    assert_eq!(attribute(&span, "bool"), Some(Any::BoolValue(false)));
    assert_eq!(attribute(&span, "i64"), Some(Any::IntValue(i64::MIN)));
    assert_eq!(attribute(&span, "u64"), Some(Any::IntValue(i64::MAX)));
    assert_eq!(attribute(&span, "large"), Some(Any::StringValue("18446744073709551615".into())));
    assert_eq!(attribute(&span, "f64"), Some(Any::DoubleValue(0.1)));
    assert_eq!(attribute(&span, "bytes"), Some(Any::BytesValue(vec![0, 255])));
    let Some(Any::ArrayValue(list)) = attribute(&span, "list") else { panic!("no list: {span:?}") };
    assert_eq!(list.values[0].value, None);
    assert_eq!(list.values[1].value, Some(Any::IntValue(1)));
}

#[test]
fn json_follows_the_letter_of_the_specification() {
    let mut span = span(vec![
        ("null", Value::Null),
        ("nan", Value::F64(f64::NAN)),
        ("infinity", Value::F64(f64::INFINITY)),
        ("minus", Value::F64(f64::NEG_INFINITY)),
        ("zero", Value::I64(0)),
        ("bytes", Value::Bytes(vec![0, 255])),
        ("empty", Value::List(Vec::new())),
        ("map", Value::Map(vec![("a".into(), Value::Bool(true))])),
    ]);
    span.parent_id = Some(SpanId::from_bytes([0xab; 8]));
    span.status = Status::Error;
    span.status_message = "no".into();
    span.events = vec![EventData { name: "e".into(), time_unix_ns: u64::MAX, attributes: Vec::new() }];
    assert_eq!(
        in_json(&span),
        json!({
            "traceId": "01010101010101010101010101010101",
            "spanId": "0202020202020202",
            "parentSpanId": "abababababababab",
            "name": "step",
            "kind": 1,
            "startTimeUnixNano": "1",
            "endTimeUnixNano": "2",
            "attributes": [
                {"key": "null", "value": {}},
                {"key": "nan", "value": {"doubleValue": "NaN"}},
                {"key": "infinity", "value": {"doubleValue": "Infinity"}},
                {"key": "minus", "value": {"doubleValue": "-Infinity"}},
                {"key": "zero", "value": {"intValue": "0"}},
                {"key": "bytes", "value": {"bytesValue": "AP8="}},
                {"key": "empty", "value": {"arrayValue": {"values": []}}},
                {"key": "map", "value": {"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": true}}]}}},
            ],
            "events": [{"timeUnixNano": "18446744073709551615", "name": "e"}],
            "status": {"message": "no", "code": 2},
        })
    );
}

#[test]
fn a_key_that_was_set_twice_has_its_last_value_at_its_first_place() {
    let few = vec![("a", Value::I64(1)), ("b", Value::I64(2)), ("a", Value::I64(3)), ("a", Value::I64(4))];
    let names = ["a", "b"].map(String::from);
    let many: Vec<(String, Value)> = (0..200).map(|n| (names[n % 2].clone(), Value::U64(n as u64))).collect();

    let few = delivered(&span(few));
    assert_eq!(keys(&few), names);
    assert_eq!(attribute(&few, "a"), Some(Any::IntValue(4)));
    let many = delivered(&SpanData { attributes: many, ..span(Vec::new()) });
    assert_eq!(keys(&many), names);
    assert_eq!(attribute(&many, "a"), Some(Any::IntValue(198)));
    assert_eq!(attribute(&many, "b"), Some(Any::IntValue(199)));
}

#[test]
fn an_interrupted_span_is_an_error_and_says_so() {
    let cut = SpanData { interrupted: true, cut: 3, ..span(vec![("spanring.cut", Value::Null)]) };
    let span = delivered(&cut);
    assert_eq!(span.status.as_ref().unwrap().code, 2);
    assert_eq!(attribute(&span, "spanring.interrupted"), Some(Any::BoolValue(true)));
    assert_eq!(attribute(&span, "spanring.cut"), Some(Any::IntValue(3)));
    assert_eq!(span.attributes.len(), 2);
}

#[test]
fn a_span_that_timed_out_is_an_error_and_one_that_was_cancelled_is_none() {
    let ended = |status, attributes| {
        delivered(&SpanData { status, status_message: "why".into(), ..span(attributes) })
    };
    let told = |span: &Span| {
        let status = span.status.clone().unwrap();
        // There is a place only for what is said about errors.
        let message = match attribute(span, "spanring.status_message") {
            Some(Any::StringValue(message)) => message,
            _ => status.message.clone(),
        };
        assert_eq!(message, "why", "it is told with every status");
        assert_eq!(status.message.is_empty(), status.code != 2);
        status.code
    };
    for (status, code) in [(Status::Unset, 0), (Status::Ok, 1)] {
        let span = ended(status, Vec::new());
        assert_eq!((told(&span), keys(&span)), (code, vec!["spanring.status_message"]));
    }
    let failed = ended(Status::Error, Vec::new());
    assert_eq!((told(&failed), keys(&failed)), (2, vec![]));
    let cancelled = ended(Status::Cancelled, Vec::new());
    assert_eq!((told(&cancelled), keys(&cancelled)), (0, vec!["spanring.status", "spanring.status_message"]));
    assert_eq!(attribute(&cancelled, "spanring.status"), text("cancelled"));

    let timed_out = ended(Status::TimedOut, Vec::new());
    assert_eq!((told(&timed_out), keys(&timed_out)), (2, vec!["spanring.status", "error.type"]));
    assert_eq!(attribute(&timed_out, "spanring.status"), text("timed_out"));
    assert_eq!(attribute(&timed_out, "error.type"), text("timeout"));
    let timed_out = ended(Status::TimedOut, vec![("error.type", Value::from("Elapsed"))]);
    assert_eq!(attribute(&timed_out, "error.type"), text("Elapsed"));

    let late = SpanData { status: Status::TimedOut, interrupted: true, ..span(Vec::new()) };
    let late = delivered(&late);
    assert_eq!(late.status.as_ref().unwrap().code, 2);
    assert_eq!(keys(&late), ["spanring.status", "error.type", "spanring.interrupted"]);
}

#[test]
fn a_span_that_never_started_says_so() {
    let never = delivered(&SpanData { is_pending: true, status: Status::Cancelled, ..span(Vec::new()) });
    assert_eq!(attribute(&never, "spanring.pending"), Some(Any::BoolValue(true)));
    assert_eq!(attribute(&never, "spanring.status"), text("cancelled"));
    assert_eq!((never.start_time_unix_nano, never.status.unwrap().code), (1, 0));
}

#[test]
fn a_kind_is_told_once_and_never_against_what_was_recorded() {
    let told = |kind, attributes| {
        let span = delivered(&SpanData { kind, ..span(attributes) });
        let count = span.attributes.len();
        (attribute(&span, "gen_ai.operation.name"), attribute(&span, "spanring.kind"), count)
    };
    let in_conventions = [
        (Kind::Agent, "invoke_agent"),
        (Kind::Llm, "chat"),
        (Kind::Tool, "execute_tool"),
        (Kind::Retrieval, "retrieval"),
        (Kind::Embedding, "embeddings"),
        (Kind::Chain, "invoke_workflow"),
    ];
    for (kind, operation) in in_conventions {
        assert_eq!(told(kind, Vec::new()), (text(operation), None, 1));
    }
    assert_eq!(told(Kind::Custom, Vec::new()), (None, None, 0));
    for &kind in Kind::ALL.iter().filter(|kind| **kind != Kind::Custom) {
        if !in_conventions.iter().any(|(other, _)| *other == kind) {
            assert_eq!(told(kind, Vec::new()), (None, text(kind.name()), 1));
        }
    }
    let named = |name| vec![("gen_ai.operation.name", Value::from(name))];
    assert_eq!(told(Kind::Llm, named("text_completion")), (text("text_completion"), None, 1));
    assert_eq!(told(Kind::Agent, named("plan")), (text("plan"), text("agent"), 2));
    assert_eq!(told(Kind::Response, named("chat")), (text("chat"), text("response"), 2));
    assert_eq!(told(Kind::Custom, named("chat")), (text("chat"), None, 1));
    assert_eq!(told(Kind::Llm, vec![("gen_ai.operation.name", Value::Null)]), (None, text("llm"), 2));
}

#[test]
fn what_is_asked_over_a_connection_is_a_client_unless_it_was_said_otherwise() {
    use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

    let clients = [
        Kind::Llm,
        Kind::Embedding,
        Kind::Retrieval,
        Kind::Response,
        Kind::McpTools,
        Kind::Speech,
        Kind::Transcription,
    ];
    for &kind in Kind::ALL {
        let expected = if clients.contains(&kind) { SpanKind::Client } else { SpanKind::Internal };
        assert_eq!(delivered(&SpanData { kind, ..span(Vec::new()) }).kind(), expected, "{kind:?}");
    }
    for (name, expected) in [
        ("internal", SpanKind::Internal),
        ("server", SpanKind::Server),
        ("client", SpanKind::Client),
        ("producer", SpanKind::Producer),
        ("consumer", SpanKind::Consumer),
    ] {
        let said = span(vec![(names::SPAN_KIND, Value::from(name))]);
        let said = delivered(&SpanData { kind: Kind::Task, ..said });
        assert_eq!((said.kind(), keys(&said)), (expected, vec!["spanring.kind"]));
    }
    for unknown in [Value::from("SERVER"), Value::from(2), Value::Null] {
        let said = delivered(&span(vec![(names::SPAN_KIND, unknown)]));
        assert_eq!((said.kind(), keys(&said)), (SpanKind::Internal, vec![names::SPAN_KIND]));
    }
}

#[test]
fn what_has_a_place_in_otlp_goes_there_and_stays_an_attribute_where_it_does_not_fit() {
    let fitting = delivered(&span(vec![
        (names::TRACE_STATE, Value::from("a=1")),
        (names::TRACE_STATE, Value::from("a=2")),
        (names::TRACE_FLAGS, Value::U64(0x301)),
        (names::DROPPED_ATTRIBUTES, Value::I64(3)),
        (names::DROPPED_EVENTS, Value::U64(4)),
        (names::DROPPED_LINKS, Value::U64(u32::MAX.into())),
        ("other", Value::Null),
    ]));
    assert_eq!((fitting.trace_state.as_str(), fitting.flags), ("a=2", 0x301));
    assert_eq!((fitting.dropped_attributes_count, fitting.dropped_events_count), (3, 4));
    assert_eq!((fitting.dropped_links_count, keys(&fitting)), (u32::MAX, vec!["other"]));

    let unfitting = vec![
        (names::TRACE_STATE, Value::from(1)),
        (names::TRACE_FLAGS, Value::I64(-1)),
        (names::DROPPED_ATTRIBUTES, Value::U64(1 << 32)),
        (names::DROPPED_EVENTS, Value::Null),
        (names::DROPPED_LINKS, Value::from("4")),
        (names::SCOPE_NAME, Value::from(true)),
        (names::SCOPE_VERSION, Value::from("without a name")),
        (names::SCOPE_SCHEMA_URL, Value::from("without a name")),
        (names::SCOPE_ATTRIBUTES, Value::from_iter([("a", Value::Null)])),
    ];
    let expected: Vec<_> = unfitting.iter().map(|(key, _)| *key).collect();
    let unfitting = delivered(&span(unfitting));
    assert_eq!(keys(&unfitting), expected);
    assert_eq!((unfitting.trace_state.as_str(), unfitting.flags), ("", 0));
}

#[test]
fn a_link_has_its_own_attributes_state_and_flags() {
    let mut linked = span(Vec::new());
    linked.links = vec![
        LinkData {
            trace_id: TraceId::from_bytes([3; 16]),
            span_id: SpanId::from_bytes([4; 8]),
            attributes: vec![],
        },
        LinkData {
            trace_id: TraceId::from_bytes([5; 16]),
            span_id: SpanId::from_bytes([6; 8]),
            attributes: owned(vec![
                (names::TRACE_STATE, Value::from("b=1")),
                (names::TRACE_FLAGS, Value::U64(1)),
                (names::DROPPED_ATTRIBUTES, Value::U64(7)),
                ("why", Value::from("retry")),
            ]),
        },
    ];
    assert_eq!(
        in_json(&linked)["links"],
        json!([
            {"traceId": "03030303030303030303030303030303", "spanId": "0404040404040404"},
            {
                "traceId": "05050505050505050505050505050505",
                "spanId": "0606060606060606",
                "traceState": "b=1",
                "attributes": [{"key": "why", "value": {"stringValue": "retry"}}],
                "droppedAttributesCount": 7,
                "flags": 1,
            },
        ])
    );
}

#[test]
fn spans_of_a_scope_stand_together_in_their_order() {
    let of_scope = |name: &str, scope: &[(&'static str, &str)]| {
        let scope = scope.iter().map(|(key, value)| (*key, Value::from(*value))).collect();
        SpanData { name: name.into(), ..span(scope) }
    };
    let library = [(names::SCOPE_NAME, "library"), (names::SCOPE_VERSION, "2.0")];
    let spans = [
        of_scope("a", &library),
        of_scope("b", &[]),
        of_scope("c", &library[..1]),
        of_scope("d", &library),
        of_scope("e", &[(names::SCOPE_NAME, "")]),
        of_scope("f", &[]),
    ];
    let scopes = request(&[], &spans).resource_spans.remove(0).scope_spans;
    let scopes: Vec<_> = scopes
        .iter()
        .map(|group| {
            let scope = group.scope.as_ref().unwrap();
            assert!(group.spans.iter().all(|span| span.attributes.is_empty()));
            let spans: String = group.spans.iter().map(|span| span.name.as_str()).collect();
            (scope.name.as_str(), scope.version.as_str(), spans)
        })
        .collect();
    assert_eq!(
        scopes,
        [
            ("library", "2.0", "ad".to_owned()),
            ("spanring", env!("CARGO_PKG_VERSION"), "bf".to_owned()),
            ("library", "", "c".to_owned()),
            ("", "", "e".to_owned()),
        ]
    );
}

/// A span that holds something in every place.
pub(crate) fn whole_span() -> SpanData {
    let attributes = || {
        owned(vec![
            (names::TRACE_STATE, Value::from("a=1,b=2")),
            (names::TRACE_FLAGS, Value::U64(u32::MAX.into())),
            (names::DROPPED_ATTRIBUTES, Value::U64(u32::MAX.into())),
            ("text", Value::from("größer 🦀 \" \n \u{0}")),
            ("map", Value::from_iter([("empty", Value::Map(vec![])), ("null", Value::Null)])),
        ])
    };
    let mut own = attributes();
    own.extend(owned(vec![
        (names::SPAN_KIND, Value::from("producer")),
        (names::DROPPED_EVENTS, Value::U64(u32::MAX.into())),
        (names::DROPPED_LINKS, Value::U64(u32::MAX.into())),
        (names::SCOPE_NAME, Value::from("library")),
        (names::SCOPE_VERSION, Value::from("2.0")),
        (names::SCOPE_SCHEMA_URL, Value::from("https://example.com/1")),
        (names::SCOPE_ATTRIBUTES, Value::from_iter([("a", Value::from(1)), ("a", Value::Null)])),
    ]));
    SpanData {
        parent_id: Some(SpanId::from_bytes([7; 8])),
        kind: Kind::Transcription,
        status: Status::TimedOut,
        status_message: "too late".into(),
        start_unix_ns: u64::MAX - 1,
        end_unix_ns: u64::MAX,
        attributes: own,
        events: vec![EventData { name: "e".into(), time_unix_ns: u64::MAX, attributes: attributes() }],
        links: vec![LinkData {
            trace_id: TraceId::from_bytes([8; 16]),
            span_id: SpanId::from_bytes([9; 8]),
            attributes: attributes(),
        }],
        is_pending: true,
        interrupted: true,
        cut: u32::MAX,
        ..span(Vec::new())
    }
}

#[test]
fn a_span_with_everything_comes_back_from_json() {
    let resource = owned(vec![("service.name", Value::from("shop")), ("process.pid", Value::I64(7))]);
    let made = request(&resource, &[whole_span(), span(Vec::new())]);
    let span = &made.resource_spans[0].scope_spans[0].spans[0];
    // No place is at its default, so none that is left out would be overlooked.
    let Span { trace_state, flags, kind, attributes, events, links, .. } = span;
    assert_eq!((trace_state.as_str(), *flags, *kind), ("a=1,b=2", u32::MAX, 4));
    assert_eq!((attributes.len(), events.len(), links.len()), (8, 1, 1));
    assert_eq!(events[0].dropped_attributes_count, u32::MAX);

    let over_json: ExportTraceServiceRequest = serde_json::from_str(&to_json(&made)).unwrap();
    assert_eq!(over_json, made);
}

#[test]
fn values_nested_too_deeply_for_receivers_arrive_as_text() {
    let mut value = Value::Map(vec![("last".into(), Value::List(vec![Value::Bytes(vec![1]), Value::Null]))]);
    for _ in 0..24 {
        value = Value::Map(vec![("m".into(), value)]);
    }
    // Reading it would fail beyond the limit.
    let read = request(&[], &[span(vec![("deep", value)])]);
    let mut value = read.resource_spans[0].scope_spans[0].spans[0].attributes[0].value.clone().unwrap();
    for _ in 0..24 {
        let Some(Any::KvlistValue(list)) = value.value else { panic!("no map: {value:?}") };
        value = list.values[0].value.clone().unwrap();
    }
    assert_eq!(value.value, Some(Any::StringValue(r#"{"last":[[1],null]}"#.into())));
}
