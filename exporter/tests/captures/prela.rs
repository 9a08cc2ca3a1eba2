//! Prela: what its spans say of themselves, by themselves or in its files.

use serde_json::{Value as Json, json};
use spanring::{ReplaySlot, Span, SpanId, Status, System, Tokens, TraceId, names};
use spanring_spool::{SpanData, Value};

use crate::json::{Object, if_some, items, object_of, pairs, some, text, whole};
use crate::moments::{isoformat, unix_ns};
use crate::recording::{Life, Recording, record};
use crate::rules::{Rule, Table};
use crate::words::{Statuses, kind, kind_name, say_type};
use crate::{Form, any_other, file, lines};

const STATUSES: Statuses =
    Statuses(&[("pending", Status::Unset), ("success", Status::Ok), ("error", Status::Error)]);

pub(crate) const SPANS: Form = Form {
    rebuild: |capture, recording| items(capture).iter().for_each(|span| rebuild(span, recording)),
    document: |spans| spans.iter().map(|span| document(span, "+00:00")).collect(),
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
        _ if !value.is_null() => any_other(path, value),
        "parent_span_id" => Some(vec![json!("c826fb1d-ac84-4fe8-bd1a-9a3b455bfe67")]),
        _ => Some(vec![json!("text")]),
    }
}

pub(crate) fn an_event(zone: &str) -> Json {
    json!([{"name": "said", "timestamp": format!("2026-11-20T07:04:56{zone}"), "attributes": {}}])
}

/// What is called otherwise here. The rest of the attributes are the program's own.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("llm.vendor", names::PROVIDER_NAME),
    ("llm.model", names::REQUEST_MODEL),
    ("llm.temperature", names::REQUEST_TEMPERATURE),
    ("llm.max_tokens", names::REQUEST_MAX_TOKENS),
    ("llm.input_tokens", names::USAGE_INPUT_TOKENS),
    ("llm.output_tokens", names::USAGE_OUTPUT_TOKENS),
    ("tool.name", names::TOOL_NAME),
    ("tool.input", names::TOOL_CALL_ARGUMENTS),
    ("error.type", names::ERROR_TYPE),
    ("retrieval.query", names::RETRIEVAL_QUERY),
    ("retrieval.top_k", names::REQUEST_TOP_K),
    ("retrieval.scores", names::RETRIEVAL_SCORES),
    ("embedding.dimensions", names::EMBEDDING_DIMENSIONS),
    ("user_id", names::USER_ID),
];

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

/// The attributes, in Prela's words.
pub(crate) fn attributes(span: &SpanData) -> Vec<(String, Value)> {
    let message = span.error_type().and(span.error_message());
    let in_its_words = |(key, value): &(String, Value)| {
        let known = ATTRIBUTES.iter().find(|(_, name)| name == key).map(|(word, _)| *word);
        let is_own = names::ALL.iter().all(|(name, _)| name != key);
        Some((known.or(is_own.then_some(key))?.to_owned(), value.clone()))
    };
    let message = message.map(|message| ("error.message".to_owned(), Value::from(message)));
    span.attributes.iter().filter_map(in_its_words).chain(message).collect()
}

pub(crate) fn document(span: &SpanData, zone: &str) -> Json {
    assert_eq!(Some(span.span_id), span.foreign_span_id().map(SpanId::from_foreign));
    assert_eq!(Some(span.trace_id), span.foreign_trace_id().map(TraceId::from_foreign));
    assert_eq!(span.parent_id, span.foreign_parent_id().map(SpanId::from_foreign));
    let moment = |unix_ns: u64| isoformat(unix_ns) + zone;
    let events = span.events.iter().map(|event| {
        json!({
            "name": event.name,
            "timestamp": moment(event.time_unix_ns),
            "attributes": object_of(&event.attributes),
        })
    });
    Object::default()
        .with("span_id", span.foreign_span_id())
        .with("trace_id", span.foreign_trace_id())
        .with("parent_span_id", span.foreign_parent_id())
        .with("name", &span.name)
        .with("span_type", kind_name(span, System::Prela))
        .with("started_at", moment(span.start_unix_ns))
        .with("ended_at", moment(span.end_unix_ns))
        .with("duration_ms", duration_ms(span))
        .with("status", STATUSES.name(span))
        .with("status_message", (!span.status_message.is_empty()).then_some(&span.status_message))
        .with("attributes", object_of(&attributes(span)))
        .with("events", events.collect::<Json>())
        .with_some("replay_snapshot", span.get(names::REPLAY))
        .json()
}

/// As Python computes it: microseconds to seconds, and those to milliseconds.
pub(crate) fn duration_ms(span: &SpanData) -> f64 {
    (span.duration_ns() / 1_000) as f64 / 1e6 * 1e3
}
