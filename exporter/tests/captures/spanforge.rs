//! SpanForge: the payloads of spans, of an agent's steps and of its runs, and the events and traces that carry them.

use std::slice;

use serde_json::{Value as Json, json};
use spanring::{Span, SpanId, TraceId};
use spanring_exporter::spanforge::{Emitter, Event, SigningKey, saved, trace_to_json};
use spanring_spool::SpanData;

use crate::json::{items, number, pairs, text, whole};
use crate::moments::ns_of_seconds;
use crate::recording::{Life, Recording, record};
use crate::rules::{Rule, Table};
use crate::spanforge_payloads::rebuild_payload;
use crate::{Form, any_other, file, lines, path_of, read};

pub(crate) const EVENTS: Form = Form {
    rebuild: |capture, recording| items(capture).iter().for_each(|event| rebuild_event(event, recording)),
    document: |spans| spans.iter().map(event).collect(),
    rules: &[OF_EVENT],
    others,
    list: Some(""),
    captures: || vec![lines("spanforge/events.jsonl"), lines("spanforge/events_signed.jsonl")],
};

pub(crate) const PAYLOADS: Form = Form {
    rebuild: |capture, recording| {
        items(capture).iter().for_each(|payload| rebuild_payload(payload, None, recording))
    },
    document: |spans| saved(spans).lines().map(|line| serde_json::from_str::<Json>(line).unwrap()).collect(),
    rules: &[OF_PAYLOAD],
    others,
    list: Some(""),
    captures: || vec![lines("spanforge/trace_save.ndjson")],
};

pub(crate) const TRACES: Form = Form {
    rebuild: rebuild_trace,
    document: |spans| {
        let (run, spans) = spans.split_first().unwrap();
        serde_json::from_str(&trace_to_json(run, spans)).unwrap()
    },
    rules: &[OF_PAYLOAD],
    others,
    list: Some("/spans"),
    captures: || vec![file("spanforge/trace_to_json.json"), file("spanforge/trace_child_to_json.json")],
};

pub(crate) const OF_EVENT: &Table = &[
    ("**/payload/duration_ms", Rule::Derived("how long it is from the start to the end")),
    ("**/payload", Rule::Held),
    ("**/event_id", Rule::Transport("made for the event")),
    ("**/timestamp", Rule::Transport("when the event was sent")),
    ("**/schema_version", Rule::Transport("of the event")),
    ("**/source", Rule::Transport("configuration: the service and its version")),
    ("**/checksum", Rule::Transport("made of the event")),
    ("**/signature", Rule::Transport("made of the event, with the receiver's key")),
    ("**/prev_id", Rule::Transport("the event before")),
    ("**/event_type", Rule::Derived("follows from the sort of payload and its status")),
    ("**/trace_id", Rule::Derived("that of the payload")),
    ("**/span_id", Rule::Derived("that of the payload")),
    ("**/parent_span_id", Rule::Derived("that of the payload")),
];

const OF_PAYLOAD: &Table = &[
    ("*/duration_ms", Rule::Derived("how long it is from the start to the end")),
    ("spans/*/duration_ms", Rule::Derived("how long it is from the start to the end")),
];

/// What a payload says of how it went.
const STATUSES: [&str; 3] = ["ok", "error", "timeout"];

pub(crate) fn others(path: &[String], value: &Json) -> Option<Vec<Json>> {
    match (path.last()?.as_str(), value) {
        ("status", _) if !path.iter().any(|name| name == "tool_calls") => {
            Some(STATUSES.iter().filter(|status| *value != **status).map(|status| json!(status)).collect())
        }
        ("span_kind", _) => Some(vec![json!("SERVER"), json!("INTERNAL")]),
        ("tool_calls", Json::Array(_)) => Some(vec![json!([{
            "tool_call_id": "tc_9", "function_name": "search", "status": "success", "external_api": "maps",
            "arguments_raw": "{}", "result_raw": "[]"
        }])]),
        ("reasoning_steps", Json::Array(_)) => Some(vec![json!([{"step_index": 3, "reasoning_tokens": 9}])]),
        ("decision_points", Json::Array(_)) => Some(vec![json!([{
            "decision_id": "d9", "decision_type": "escalation", "options_considered": [], "chosen_option": ""
        }])]),
        _ => any_other(path, value),
    }
}

pub(crate) fn rebuild_event(event: &Json, recording: &mut Recording) {
    rebuild_payload(&event["payload"], Some(event), recording);
}

fn rebuild_trace(capture: &Json, recording: &mut Recording) {
    let id = text(capture, "trace_id").unwrap();
    let life = Life {
        trace_id: TraceId::parse(id).unwrap(),
        span_id: SpanId::from_foreign(id),
        parent_id: None,
        start_unix_ns: ns_of_seconds(number(capture, "start_time").unwrap()),
        // A trace says no end. It is over when its spans are.
        end_unix_ns: items(&capture["spans"])
            .iter()
            .filter_map(|span| whole(span, "end_time_unix_nano"))
            .max(),
    };
    record!(recording, life, spanring::trace(text(capture, "agent_name").unwrap()), |span: &Span| {
        pairs(&capture["attributes"]).for_each(|(key, value)| _ = span.set_value_named(key, value));
    });
    items(&capture["spans"]).iter().for_each(|payload| rebuild_payload(payload, None, recording));
}

/// The event of a span that is sent by itself.
pub(crate) fn event(span: &SpanData) -> Json {
    Emitter::default().events(slice::from_ref(span))[0].to_dict()
}

fn captured_lines() -> Vec<String> {
    let read = |name| read(&path_of(name)).lines().map(str::to_owned).collect::<Vec<_>>();
    [read("spanforge/events.jsonl"), read("spanforge/events_signed.jsonl")].concat()
}

#[test]
fn every_event_is_read_and_written_again_byte_for_byte() {
    for line in captured_lines() {
        let event = Event::from_json(&line).unwrap();
        assert_eq!(event.to_json(), line);
        assert_eq!(event.unknown_fields.len(), 0);
        let payload = event.read_payload().unwrap();
        assert_eq!(payload.to_dict(), event.payload, "{line}");
        assert_eq!(payload.event_type(), event.event_type);
        assert!(
            event
                .checksum
                .is_none_or(|checksum| checksum == Event::from_json(&line).unwrap().payload_checksum())
        );
    }
}

/// Signed by SpanForge's SDK with this key, one after the other.
#[test]
fn signatures_are_those_of_the_sdk() {
    let signatures = [
        "0a5b7b18fdef56da7d519667783b1922791a2d1bcbdf25c127bfde04b8b8c028",
        "33aada467e2ad1f3e1da411ecb6d2aefaf6be5faff938051a88631f07d1156e2",
        "e409bcaaffd1b48f8edbb74486b91dd151d18298cb033f9d2ef02ed73603c469",
    ];
    let lines = captured_lines();
    let mut events: Vec<_> = lines[..3].iter().map(|line| Event::from_json(line).unwrap()).collect();
    SigningKey::new("kéy").unwrap().chain(&mut events);
    for (event, signature) in events.iter().zip(signatures) {
        assert_eq!(event.signature, Some(format!("hmac-sha256:{signature}")));
    }
}

#[test]
fn a_saved_trace_is_that_of_the_sdk_byte_for_byte() {
    let text = read(&path_of("spanforge/trace_save.ndjson"));
    let mut recording = Recording::start();
    for line in text.lines() {
        rebuild_payload(&serde_json::from_str(line).unwrap(), None, &mut recording);
    }
    assert_eq!(saved(&recording.read()), text);
}
