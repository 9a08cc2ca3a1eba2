use serde_json::{Value as Json, json};
use spanring::{Kind, SpanId, Status, TraceId, names};
use spanring_spool::{EventData, LinkData, SpanData, Value};

use super::{export_span, export_trace, items, sanitized, to_json};

fn trace_id() -> TraceId {
    TraceId::from_bytes([0x11; 16])
}

/// A span with these attributes, under another.
fn span(kind: Kind, name: &str, attributes: Vec<(&str, Value)>) -> SpanData {
    SpanData {
        trace_id: trace_id(),
        span_id: SpanId::from_bytes([0x22; 8]),
        parent_id: Some(SpanId::from_bytes([0x33; 8])),
        name: name.into(),
        kind,
        start_unix_ns: 1_795_158_239_583_705_123,
        end_unix_ns: 1_795_158_239_583_710_000,
        attributes: owned(attributes),
        ..SpanData::default()
    }
}

fn owned(attributes: Vec<(&str, Value)>) -> Vec<(String, Value)> {
    attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn json_of(value: &Value) -> Json {
    serde_json::from_str(&to_json(value)).unwrap()
}

fn item(span: &SpanData) -> Json {
    json_of(&export_span(span, None).unwrap())
}

/// The span's data and its metadata.
fn said(span: &SpanData) -> (Json, Json) {
    let mut item = item(span);
    (item["span_data"].take(), item["metadata"].take())
}

fn map(json: &str) -> Value {
    super::sanitize::tests::read(json)
}

#[test]
fn an_item_has_the_keys_of_the_sdks_in_its_order() {
    let expected = concat!(
        r#"{"object":"trace.span","id":"span_222222222222222211111111","#,
        r#""trace_id":"trace_11111111111111111111111111111111","parent_id":"span_333333333333333311111111","#,
        r#""started_at":"2026-11-20T07:03:59.583705+00:00","ended_at":"2026-11-20T07:03:59.583710+00:00","#,
        r#""span_data":{"type":"custom","name":"step","data":{"k":1}},"error":null}"#,
    );
    let span = span(Kind::Custom, "step", vec![("k", 1.into())]);
    assert_eq!(to_json(&export_span(&span, None).unwrap()), expected);
    let expected = concat!(
        r#"{"object":"trace","id":"trace_11111111111111111111111111111111","workflow_name":"Agent workflow","#,
        r#""group_id":null,"metadata":null}"#,
    );
    assert_eq!(to_json(&export_trace(&[&span], &[]).unwrap()), expected);
    assert_eq!(export_trace(&[], &[]), None);
}

#[test]
fn every_kind_of_spanrings_own_says_what_the_sdk_has_for_it() {
    let cases = [
        (
            span(
                Kind::Agent,
                "invoke_agent A",
                vec![(names::AGENT_NAME, "A".into()), (names::SESSION_ID, "s".into())],
            ),
            json!({"type": "agent", "name": "A", "handoffs": null, "tools": null, "output_type": null}),
            json!({"session.id": "s"}),
        ),
        (
            span(
                Kind::Llm,
                "chat m",
                vec![
                    (names::REQUEST_MODEL, "m".into()),
                    (names::REQUEST_TEMPERATURE, 0.5.into()),
                    (names::REQUEST_STOP_SEQUENCES, vec!["a"].into()),
                    (names::MODEL_PARAMETERS, map(r#"{"reasoning":{"effort":"low"}}"#)),
                    (names::INPUT, "Hi".into()),
                    (names::OUTPUT, map(r#"{"text":"No."}"#)),
                    (names::USAGE_INPUT_TOKENS, 12.into()),
                    (names::USAGE_OUTPUT_TOKENS, 7.into()),
                    (names::USAGE_CACHED_TOKENS, 4.into()),
                    (names::USAGE_CACHE_CREATION_TOKENS, 2.into()),
                    (names::USAGE_REASONING_TOKENS, 3.into()),
                    (names::PROVIDER_NAME, "p".into()),
                    (names::COST_TOTAL, 0.25.into()),
                ],
            ),
            json!({
                "type": "generation",
                "input": [{"role": "user", "content": "Hi"}],
                "output": [{"role": "assistant", "content": r#"{"text":"No."}"#}],
                "model": "m",
                "model_config": {"temperature": 0.5, "stop": ["a"], "reasoning": {"effort": "low"}},
                "usage": {
                    "input_tokens": 12, "output_tokens": 7,
                    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                    "output_tokens_details": {"reasoning_tokens": 3},
                },
            }),
            json!({"gen_ai.provider.name": "p", "spanring.cost.total": "0.25"}),
        ),
        (
            span(
                Kind::Tool,
                "execute_tool t",
                vec![
                    (names::TOOL_NAME, "t".into()),
                    (names::TOOL_CALL_ARGUMENTS, map(r#"{"q":"x"}"#)),
                    (names::TOOL_CALL_RESULT, vec![1, 2].into()),
                ],
            ),
            json!({"type": "function", "name": "t", "input": r#"{"q":"x"}"#, "output": "[1,2]", "mcp_data": null}),
            Json::Null,
        ),
        (
            span(
                Kind::Retrieval,
                "retrieval handbook",
                vec![
                    (names::DATA_SOURCE_ID, "handbook".into()),
                    (names::RETRIEVAL_QUERY, "ring".into()),
                    (names::RETRIEVAL_DOCUMENTS, vec!["d"].into()),
                ],
            ),
            json!({"type": "function", "name": "handbook", "input": "ring", "output": r#"["d"]"#, "mcp_data": null}),
            json!({"spanring.kind": "retrieval"}),
        ),
        (
            span(Kind::Guardrail, "pii", vec![(names::GUARDRAIL_NAME, "pii".into())]),
            json!({"type": "guardrail", "name": "pii", "triggered": false}),
            Json::Null,
        ),
        (
            span(Kind::Handoff, "handoff", vec![(names::HANDOFF_FROM, "A".into())]),
            json!({"type": "handoff", "from_agent": "A", "to_agent": null}),
            Json::Null,
        ),
        (
            span(Kind::Response, "response", vec![]),
            json!({"type": "response", "response_id": null, "usage": null}),
            Json::Null,
        ),
        (
            span(
                Kind::Transcription,
                "transcription w",
                vec![(names::REQUEST_MODEL, "w".into()), (names::INPUT, "UklG".into())],
            ),
            json!({
                "type": "transcription", "input": {"data": "UklG", "format": "pcm"}, "output": null,
                "model": "w", "model_config": null,
            }),
            Json::Null,
        ),
        (
            span(
                Kind::Speech,
                "speech s",
                vec![(names::REQUEST_MODEL, "s".into()), (names::OUTPUT, map(r#"{"other":1}"#))],
            ),
            json!({
                "type": "speech", "input": null, "output": {"data": "", "format": "pcm"},
                "model": "s", "model_config": null, "first_content_at": null,
            }),
            json!({"spanring.output": r#"{"other":1}"#}),
        ),
        (
            span(Kind::SpeechGroup, "answer", vec![]),
            json!({"type": "speech_group", "input": null}),
            json!({"spanring.name": "answer"}),
        ),
        (
            span(
                Kind::McpTools,
                "mcp_tools fs",
                vec![(names::MCP_SERVER, "fs".into()), (names::OUTPUT, vec!["read"].into())],
            ),
            json!({"type": "mcp_tools", "server": "fs", "result": ["read"]}),
            Json::Null,
        ),
        (
            span(
                Kind::Task,
                "report",
                vec![(names::USAGE_INPUT_TOKENS, 1.into()), (names::USAGE_CACHED_TOKENS, 0.into())],
            ),
            json!({
                "type": "custom", "name": "task",
                "data": {"sdk_span_type": "task", "name": "report", "usage": {"input_tokens": 1, "cached_input_tokens": 0}},
            }),
            Json::Null,
        ),
        (
            span(Kind::Turn, "turn", vec![(names::STEP_INDEX, 3.into()), (names::INPUT, "Hi".into())]),
            json!({"type": "custom", "name": "turn", "data": {"sdk_span_type": "turn", "turn": 3, "agent_name": null}}),
            json!({"spanring.input": "Hi"}),
        ),
        (
            span(Kind::Chain, "plan", vec![(names::OUTPUT, vec![1].into()), ("steps", 3.into())]),
            json!({
                "type": "custom", "name": "plan",
                "data": {"spanring.output": [1], "steps": 3, "spanring.kind": "chain"},
            }),
            Json::Null,
        ),
        (
            span(Kind::Custom, "event", vec![(names::TYPE, "agent:step".into())]),
            json!({"type": "custom", "name": "event", "data": {"spanring.type": "agent:step"}}),
            Json::Null,
        ),
        (
            span(
                Kind::Custom,
                "browse",
                vec![
                    (names::FOREIGN_SPAN_ID, "span_x".into()),
                    (names::TYPE, "browser".into()),
                    ("url", "u".into()),
                    ("type", "x".into()),
                ],
            ),
            json!({"type": "browser", "url": "u"}),
            json!({"spanring.name": "browse", "type": "x"}),
        ),
    ];
    for (span, data, metadata) in &cases {
        assert_eq!(said(span), (data.clone(), metadata.clone()), "{:?}", span.kind);
    }
}

/// Every place that a value could have, and values of every type in it: each is somewhere in the items.
#[test]
fn nothing_that_was_set_is_lost_whatever_its_key_and_type_and_the_kind_of_span() {
    let roots = [Some(SpanId::from_bytes([0x33; 8])), None];
    let stands_for_trace = SpanId::from_bytes([0x11; 8]);
    for kind in Kind::ALL {
        for parent_id in roots {
            for span_id in [SpanId::from_bytes([0x22; 8]), stands_for_trace] {
                for (key, _) in names::ALL.iter().copied().chain([("plain", names::combine("plain"))]) {
                    let text = format!("«{key}»");
                    let values = [
                        (Value::from(text.as_str()), text.as_str()),
                        (Value::U64(987_654_321), "987654"),
                        (Value::F64(-98765.25), "-98765.25"),
                        (Value::from(vec![text.as_str()]), &text),
                        (Value::from_iter([("inner", text.as_str())]), &text),
                        (Value::from_iter([("data", text.as_str())]), &text),
                        (Value::Bytes(vec![0x69, 0xb7, 0x1d]), "abcd"),
                    ];
                    for (value, mark) in values {
                        let span = SpanData { parent_id, span_id, ..span(*kind, "", vec![(key, value)]) };
                        let items = super::request(items(&[], std::slice::from_ref(&span)));
                        let json = to_json(&items);
                        assert!(json.contains(mark), "{kind:?} {key} {mark}: {json}");
                    }
                }
            }
        }
    }
}

#[test]
fn nothing_is_lost_where_everything_is_set_at_once() {
    for kind in Kind::ALL {
        let attributes = names::ALL.iter().map(|(key, _)| (*key, Value::from(format!("«{key}»")))).collect();
        let json = to_json(&export_span(&span(*kind, "«name»", attributes), None).unwrap());
        assert!(json.contains("«name»"), "{kind:?}: {json}");
        for (key, _) in names::ALL {
            assert!(json.contains(&format!("«{key}»")), "{kind:?} {key}: {json}");
        }
    }
}

#[test]
fn what_is_known_beside_attributes_is_said_too() {
    let event = EventData {
        name: "first token".into(),
        time_unix_ns: 1_000_000_000,
        attributes: owned(vec![("n", 1.into())]),
    };
    let link = LinkData {
        trace_id: TraceId::from_bytes([0x44; 16]),
        span_id: SpanId::from_bytes([0x55; 8]),
        attributes: Vec::new(),
    };
    let span = SpanData {
        events: vec![event],
        links: vec![link],
        status: Status::Cancelled,
        status_message: "no longer needed".into(),
        is_pending: true,
        cut: 2,
        ..span(Kind::Custom, "step", vec![("bytes", Value::Bytes(vec![0xff])), ("nan", f64::NAN.into())])
    };
    let expected = json!({
        "bytes": "/w==",
        "spanring.status": "cancelled",
        "spanring.status_message": "no longer needed",
        "spanring.pending": true,
        "spanring.cut": 2,
        "spanring.events": [{"name": "first token", "time": "1970-01-01T00:00:01+00:00", "attributes": {"n": 1}}],
        "spanring.links": [{
            "trace_id": "trace_44444444444444444444444444444444",
            "span_id": "span_555555555555555544444444",
        }],
    });
    let item = item(&span);
    assert_eq!((&item["span_data"]["data"], &item["error"]), (&expected, &Json::Null));
}

#[test]
fn the_last_value_of_a_key_counts_at_its_first_place_in_maps_too() {
    let twice = map(r#"{"a":1,"b":2,"a":3}"#);
    let span = span(Kind::Custom, "step", vec![("x", 1.into()), ("y", twice), ("x", 2.into())]);
    let json = to_json(&export_span(&span, None).unwrap());
    assert!(json.contains(r#""data":{"x":2,"y":{"a":3,"b":2}}"#), "{json}");
}

#[test]
fn a_failure_says_why_and_all_else_about_it() {
    let failed = |status, message: &str, interrupted, attributes| {
        let span = span(Kind::Tool, "", attributes);
        item(&SpanData { status, status_message: message.into(), interrupted, ..span })["error"].take()
    };
    assert_eq!(failed(Status::Ok, "all good", false, vec![]), Json::Null);
    assert_eq!(failed(Status::Error, "", false, vec![]), json!({"message": "error", "data": null}));
    assert_eq!(failed(Status::TimedOut, "", false, vec![]), json!({"message": "timed_out", "data": null}));
    let data = json!({"message": "no host", "data": {"tool": "t", "error.type": "io", "spanring.error.causes": ["c"]}});
    let attributes = vec![
        (names::ERROR_TYPE, "io".into()),
        (names::ERROR_DATA, map(r#"{"tool":"t"}"#)),
        (names::ERROR_CAUSES, vec!["c"].into()),
    ];
    assert_eq!(failed(Status::Error, "no host", false, attributes), data);
    let exited = json!({"message": "process_exit", "data": {"error.type": "process_exit"}});
    assert_eq!(failed(Status::Error, "", true, vec![(names::ERROR_TYPE, "process_exit".into())]), exited);
    let empty = failed(Status::Error, "x", false, vec![(names::ERROR_DATA, map("{}"))]);
    assert_eq!(empty, json!({"message": "x", "data": {}}));
    let interrupted =
        SpanData { interrupted: true, status: Status::TimedOut, ..span(Kind::Tool, "t", vec![]) };
    let expected = json!({"spanring.interrupted": "true", "spanring.status": "timed_out"});
    assert_eq!(item(&interrupted)["metadata"], expected);
}

#[test]
fn identities_of_the_sdk_are_kept_and_others_are_known_by_their_own_names() {
    let foreign = |id: &str, trace: &str, parent: &str| {
        let attributes = vec![
            (names::FOREIGN_SPAN_ID, id.into()),
            (names::FOREIGN_TRACE_ID, trace.into()),
            (names::FOREIGN_PARENT_ID, parent.into()),
        ];
        let item = item(&span(Kind::Tool, "t", attributes));
        let ids = ["id", "trace_id", "parent_id"].map(|key| item[key].as_str().unwrap().to_owned());
        (ids, item["metadata"].clone())
    };
    let kept = foreign("span_a", "trace_b", "span_c");
    assert_eq!(kept, (["span_a", "trace_b", "span_c"].map(str::to_owned), Json::Null));
    let ours = [
        "span_222222222222222211111111",
        "trace_11111111111111111111111111111111",
        "span_333333333333333311111111",
    ];
    let metadata = json!({
        "spanring.foreign.span_id": "trace_a",
        "spanring.foreign.trace_id": "trace_",
        "spanring.foreign.parent_id": "9f3c",
    });
    assert_eq!(foreign("trace_a", "trace_", "9f3c"), (ours.map(str::to_owned), metadata));
    assert_eq!(SpanId::from_foreign(ours[0]), SpanId::from_bytes([0x22; 8]));
    assert_eq!(TraceId::from_foreign(ours[1]), trace_id());
}

#[test]
fn a_root_with_its_traces_identity_is_the_trace_and_no_span() {
    let of_trace = SpanId::from_foreign("trace_b");
    let foreign = (names::FOREIGN_TRACE_ID, Value::from("trace_b"));
    let root = SpanData {
        span_id: of_trace,
        parent_id: None,
        ..span(
            Kind::Agent,
            "Joke",
            vec![foreign.clone(), (names::AGENT_NAME, "Joke".into()), ("k", 1.into())],
        )
    };
    let child = SpanData { parent_id: Some(of_trace), ..span(Kind::Tool, "t", vec![foreign]) };
    assert_eq!(export_span(&root, Some(&root)), None);
    let items: Vec<_> = items(&[], &[child, root]).iter().map(json_of).collect();
    let record = json!({
        "object": "trace", "id": "trace_b", "workflow_name": "Joke", "group_id": null, "metadata": {"k": "1"},
    });
    assert_eq!((items.len(), &items[0], &items[1]["parent_id"]), (2, &record, &Json::Null));
}

#[test]
fn each_trace_is_told_once_before_its_first_span_by_whoever_knows_most_of_it() {
    let root = |attributes| SpanData { parent_id: None, ..span(Kind::Agent, "invoke_agent A", attributes) };
    let known = vec![
        (names::AGENT_NAME, "A".into()),
        (names::GROUP_ID, "g".into()),
        (names::METADATA, map(r#"{"customer":"acme","agent_harness_id":"h"}"#)),
    ];
    let child = || span(Kind::Tool, "t", vec![(names::CONVERSATION_ID, "c".into())]);
    let other = SpanData { trace_id: TraceId::from_bytes([9; 16]), ..child() };
    let resource = owned(vec![("service.name", "shop".into())]);

    let spans = [child(), other, root(known), child()];
    let items: Vec<_> = items(&resource, &spans).iter().map(json_of).collect();
    let objects: Vec<_> = items.iter().map(|item| item["object"].as_str().unwrap()).collect();
    assert_eq!(objects, ["trace", "trace.span", "trace", "trace.span", "trace.span", "trace.span"]);
    let record = |item: &Json| ["workflow_name", "group_id", "metadata"].map(|key| item[key].clone());
    let metadata = json!({"customer": "acme", "agent_harness_id": "h"});
    assert_eq!(record(&items[0]), [json!("A"), json!("g"), metadata]);
    assert_eq!(record(&items[2]), [json!("shop"), json!("c"), Json::Null]);
    let shown = [1, 4, 5].map(|at: usize| items[at]["metadata"].clone());
    let of_child = json!({"agent_harness_id": "h", "gen_ai.conversation.id": "c"});
    assert_eq!(shown, [of_child.clone(), json!({"agent_harness_id": "h"}), of_child]);

    let named = root(vec![(names::WORKFLOW_NAME, "report".into()), (names::CONVERSATION_ID, "c".into())]);
    let items: Vec<_> = super::items(&resource, &[named]).iter().map(json_of).collect();
    assert_eq!(record(&items[0]), [json!("report"), json!("c"), Json::Null]);
    assert_eq!(items[1]["metadata"], Json::Null);
}

#[test]
fn a_spans_own_metadata_stays_as_it_is_and_what_has_no_place_goes_beside_it() {
    let metadata = map(r#"{"session.id":"mine","n":1,"agent_harness_id":"own"}"#);
    let of_root = SpanData {
        parent_id: None,
        ..span(Kind::Agent, "A", vec![(names::METADATA, map(r#"{"agent_harness_id":"h","x":"y"}"#))])
    };
    let span = span(Kind::Tool, "t", vec![(names::SESSION_ID, "s".into()), (names::METADATA, metadata)]);
    let item = export_span(&span, Some(&of_root)).unwrap();
    let raw = json!({"session.id": "mine", "n": 1, "agent_harness_id": "own", "session.id'": "s"});
    assert_eq!(json_of(&item)["metadata"], raw);
    let sent = json!({"session.id": "mine", "n": "1", "agent_harness_id": "own", "session.id'": "s"});
    assert_eq!(json_of(&sanitized(item))["metadata"], sent);
}
