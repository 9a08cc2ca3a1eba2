//! Prela: what its spans say of themselves, by themselves or in its files.

use serde_json::{Value as Json, json};
use spanring::{ReplaySlot, Span, SpanId, Status, System, Tokens, TraceId};
use spanring_exporter::prela;
use spanring_spool::SpanData;

use crate::json::{if_some, items, pairs, some, text, whole};
use crate::moments::unix_ns;
use crate::recording::{Life, Recording, record};
use crate::rules::{Rule, Table};
use crate::words::{Statuses, kind, say_type};
use crate::{Form, any_other, file, lines};

/// A span of ours that has ended is not pending, so that is said in Prela's word.
const STATUSES: Statuses = Statuses(&[("success", Status::Ok), ("error", Status::Error)]);

pub(crate) const SPANS: Form = Form {
    rebuild: |capture, recording| items(capture).iter().for_each(|span| rebuild(span, recording)),
    document: |spans| spans.iter().map(document).collect(),
    rules: &[RULES],
    others,
    list: Some(""),
    captures: || vec![file("prela/to_dict.json"), lines("prela/file_export/traces-2026-11-20-001.jsonl")],
};

pub(crate) const RULES: &Table = &[
    ("**/spans/*/duration_ms", Rule::Derived("how long it is from the start to the end")),
    ("*/duration_ms", Rule::Derived("how long it is from the start to the end")),
    ("**/attributes/error.message", Rule::Derived("the message of the status")),
];

pub(crate) fn others(path: &[String], value: &Json) -> Option<Vec<Json>> {
    match path.last()?.as_str() {
        "events" => Some(vec![an_event("+00:00")]),
        // Prela's reader takes its own words only, and ours writes no others. The words for a model and for a number of documents depend
        // on the type where it is `embedding` or `llm`.
        "span_type" if value == "agent" => Some(vec![json!("custom")]),
        "span_type" => Some(vec![json!("agent")]),
        "status" => Some(["pending", "success", "error"].map(|word| json!(word)).into()),
        _ if !value.is_null() => any_other(path, value),
        "parent_span_id" => Some(vec![json!("c826fb1d-ac84-4fe8-bd1a-9a3b455bfe67")]),
        _ => Some(vec![json!("text")]),
    }
}

pub(crate) fn an_event(zone: &str) -> Json {
    json!([{"name": "said", "timestamp": format!("2026-11-20T07:04:56{zone}"), "attributes": {}}])
}

pub(crate) fn rebuild(span: &Json, recording: &mut Recording) {
    let (id, trace) = (text(span, "span_id").unwrap(), text(span, "trace_id").unwrap());
    let (name, kind_name) = (text(span, "name").unwrap(), text(span, "span_type").unwrap());
    let parent = text(span, "parent_span_id");
    let life = Life {
        trace_id: TraceId::from_foreign(trace),
        span_id: SpanId::from_foreign(id),
        parent_id: parent.map(SpanId::from_foreign),
        start_unix_ns: unix_ns(text(span, "started_at").unwrap()),
        end_unix_ns: text(span, "ended_at").map(unix_ns),
    };
    let builder = spanring::span_named(name).kind(kind(System::Prela, kind_name));
    record!(recording, life, builder, |recorded: &Span| {
        recorded.foreign_span_id(id).foreign_trace_id(trace);
        if_some(parent, |parent| recorded.foreign_parent_id(parent));
        say_type(recorded, System::Prela, kind_name);
        STATUSES.say(recorded, text(span, "status").unwrap());
        if_some(text(span, "status_message"), |message| recorded.status_message(message));
        say_attributes(recorded, &span["attributes"]);
        say_events(recorded, &span["events"]);
        for slot in ReplaySlot::ALL {
            if_some(some(&span["replay_snapshot"], slot.name()), |value| recorded.replay(*slot, value));
        }
    });
}

pub(crate) fn say_attributes(span: &Span, attributes: &Json) {
    let tokens = |key| whole(attributes, key);
    span.tokens(Tokens {
        input: tokens("llm.input_tokens"),
        output: tokens("llm.output_tokens"),
        ..Tokens::default()
    });
    for (key, value) in pairs(attributes) {
        let text = || value.as_str().unwrap();
        match key {
            // Said above, and with the status.
            "llm.input_tokens" | "llm.output_tokens" | "error.message" => span,
            "llm.vendor" => span.provider(text()),
            "llm.model" => span.model(text()),
            "llm.temperature" => span.temperature(value.as_f64().unwrap()),
            "llm.max_tokens" => span.max_tokens(value.as_u64().unwrap()),
            "tool.name" => span.tool_name(text()),
            "tool.input" => span.arguments(value),
            "error.type" => span.error_type(text()),
            "retrieval.query" => span.query(text()),
            "retrieval.top_k" => span.top_k(value.as_u64().unwrap()),
            "retrieval.scores" => span.scores(value),
            "embedding.dimensions" => span.dimensions(value.as_u64().unwrap()),
            "user_id" => span.user(text()),
            _ => span.set_value_named(key, value),
        };
    }
}

fn say_events(span: &Span, events: &Json) {
    for event in items(events) {
        let moment = unix_ns(text(event, "timestamp").unwrap());
        span.event_at(text(event, "name").unwrap(), moment, |said| {
            pairs(&event["attributes"]).for_each(|(key, value)| said.set_value_named(key, value));
        });
    }
}

fn document(span: &SpanData) -> Json {
    serde_json::from_str(&prela::Span::of(span, None).to_dict()).unwrap()
}
