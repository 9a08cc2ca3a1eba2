use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;
use spanring::{Kind, SpanId, Status, TraceId};
use spanring_spool::{EventData, SpanData, Value};

use super::{ExportTraceServiceRequest, request, to_json};
use crate::demo::runs::AgentRun;

fn span(attributes: Vec<(&str, Value)>) -> SpanData {
    SpanData {
        trace_id: TraceId::from_bytes([1; 16]),
        span_id: SpanId::from_bytes([2; 8]),
        parent_id: None,
        name: "step".into(),
        kind: Kind::Custom,
        status: Status::Unset,
        status_message: String::new(),
        start_unix_ns: 1,
        end_unix_ns: 2,
        attributes: attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        events: Vec::new(),
        interrupted: false,
        cut: 0,
    }
}

fn delivered(span: &SpanData) -> Span {
    request(&[], std::slice::from_ref(span)).resource_spans[0].scope_spans[0].spans[0].clone()
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
        let over_protobuf = ExportTraceServiceRequest::decode(made.encode_to_vec().as_slice()).unwrap();
        assert_eq!(over_protobuf, made);
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

    let keys = |span: &Span| span.attributes.iter().map(|a| a.key.clone()).collect::<Vec<_>>();
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
fn a_kind_is_told_once_and_never_against_what_was_recorded() {
    let llm = delivered(&SpanData { kind: Kind::Llm, ..span(Vec::new()) });
    assert_eq!(llm.kind, 3);
    assert_eq!(attribute(&llm, "spanring.kind"), Some(Any::StringValue("llm".into())));
    let named = span(vec![("gen_ai.operation.name", Value::Str("plan".into()))]);
    let named = delivered(&SpanData { kind: Kind::Agent, ..named });
    assert_eq!((named.kind, named.attributes.len()), (1, 1));
    assert_eq!(attribute(&named, "gen_ai.operation.name"), Some(Any::StringValue("plan".into())));
    assert!(delivered(&span(Vec::new())).attributes.is_empty());
}

#[test]
fn values_nested_too_deeply_for_receivers_arrive_as_text() {
    let mut value = Value::Map(vec![("last".into(), Value::List(vec![Value::Bytes(vec![1]), Value::Null]))]);
    for _ in 0..24 {
        value = Value::Map(vec![("m".into(), value)]);
    }
    let made = request(&[], &[span(vec![("deep", value)])]);
    let read = ExportTraceServiceRequest::decode(made.encode_to_vec().as_slice()).expect("within the limit");
    let mut value = read.resource_spans[0].scope_spans[0].spans[0].attributes[0].value.clone().unwrap();
    for _ in 0..24 {
        let Some(Any::KvlistValue(list)) = value.value else { panic!("no map: {value:?}") };
        value = list.values[0].value.clone().unwrap();
    }
    assert_eq!(value.value, Some(Any::StringValue(r#"{"last":[[1],null]}"#.into())));
}
