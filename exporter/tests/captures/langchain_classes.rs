//! prefactor_langchain: what its classes of spans say of themselves. They have neither identities nor parents.
//!
//! Their times are floating-point seconds with six decimals: exactly those microseconds are held.

use serde_json::{Value as Json, json};
use spanring::{Span, SpanId, Status, System, TraceId};
use spanring_spool::SpanData;
use std::time::Duration;

use crate::json::{Object, items, pairs, some, text};
use crate::langchain::{error, say_error, tokens, usage};
use crate::moments::{ns_of_seconds, seconds_of_ns};
use crate::recording::{Life, Recording, record};
use crate::words::{Statuses, kind, kind_name, say_type};
use crate::{Form, any_other, file};

/// A span that is under way is called pending.
const STATUSES: Statuses =
    Statuses(&[("pending", Status::Unset), ("completed", Status::Ok), ("failed", Status::Error)]);

pub(crate) const DICTIONARIES: Form = Form {
    rebuild,
    document: |spans| spans.iter().map(dictionary).collect(),
    rules: &[],
    others,
    // What the file calls each is the scenario's own.
    list: Some(""),
    captures: || {
        vec![
            file("prefactor_langchain/to_dict.json")
                .map(|named| pairs(&named).map(|(_, span)| span.clone()).collect()),
        ]
    },
};

fn others(path: &[String], value: &Json) -> Option<Vec<Json>> {
    let other = match path.last()?.as_str() {
        _ if !value.is_null() => return any_other(path, value),
        "end_time" => json!(1_795_158_240.5),
        "outputs" | "tool_schema" => json!({"type": "object"}),
        "temperature" | "top_p" | "execution_time_ms" => json!(0.5),
        "max_tokens" => json!(256),
        _ => json!("text"),
    };
    Some(vec![other])
}

fn rebuild(capture: &Json, recording: &mut Recording) {
    for (at, span) in items(capture).iter().enumerate() {
        let seconds = |key| some(span, key).and_then(Json::as_f64).map(ns_of_seconds);
        let life = Life {
            trace_id: TraceId::from_foreign("to_dict"),
            span_id: SpanId::from_foreign(&at.to_string()),
            parent_id: None,
            start_unix_ns: seconds("start_time").unwrap(),
            end_unix_ns: seconds("end_time"),
        };
        let (name, class) = (text(span, "name").unwrap(), text(span, "type").unwrap());
        let kind = kind(System::Langchain, class);
        let fill = |recorded: &Span| fill(recorded, span);
        match (text(span, "agent_name"), text(span, "model_name"), text(span, "tool_name")) {
            (Some(agent), ..) => {
                record!(recording, life, spanring::agent(agent).named(name).kind(kind), fill)
            }
            (_, Some(model), _) => {
                record!(recording, life, spanring::llm(model).named(name).kind(kind), fill)
            }
            (.., Some(tool)) => record!(recording, life, spanring::tool(tool).named(name).kind(kind), fill),
            _ => record!(recording, life, spanring::span_named(name).kind(kind), fill),
        }
    }
}

fn fill(span: &Span, dictionary: &Json) {
    for (key, value) in pairs(dictionary).filter(|(_, value)| !value.is_null()) {
        let text = || value.as_str().unwrap();
        let number = || value.as_f64().unwrap();
        match key {
            // Of the builder.
            "name" | "start_time" | "end_time" | "agent_name" | "model_name" | "tool_name" => span,
            "type" => {
                say_type(span, System::Langchain, text());
                span
            }
            "status" => {
                STATUSES.say(span, text());
                span
            }
            "inputs" => span.input(value),
            "outputs" => span.output(value),
            "metadata" => span.metadata(value),
            "tags" => items(value).iter().fold(span, |span, tag| span.tag(tag.as_str().unwrap())),
            "error" => say_error(span, value),
            "agent_config" => span.agent_config(value),
            "initial_messages" => span.initial_messages(value),
            "final_messages" => span.final_messages(value),
            "iteration_count" => span.iterations(value.as_u64().unwrap()),
            "provider" => span.provider(text()),
            "temperature" => span.temperature(number()),
            "max_tokens" => span.max_tokens(value.as_u64().unwrap()),
            "top_p" => span.top_p(number()),
            "stop_sequences" => span.stop_sequences(value),
            "messages" => span.input_messages(value),
            "response_content" => span.response_content(value),
            "token_usage" => span.tokens(tokens(value)),
            "tool_schema" => span.tool_schema(value),
            "arguments" => span.arguments(value),
            "execution_time_ms" => span.execution_time(Duration::from_secs_f64(number() / 1e3)),
            "tool_type" => span.tool_type(text()),
            "retriever_metadata" => span.retrieval_metadata(value),
            _ => panic!("a span has no {key}"),
        };
    }
}

fn dictionary(span: &SpanData) -> Json {
    use spanring::names::*;
    let base = Object::default()
        .with("name", &span.name)
        .with("type", kind_name(span, System::Langchain))
        .with("start_time", seconds_of_ns(span.start_unix_ns))
        .with("end_time", (!span.is_open).then(|| seconds_of_ns(span.end_unix_ns)))
        .with("status", STATUSES.name(span))
        .with("inputs", span.input())
        .with("outputs", span.output())
        .with("metadata", span.metadata())
        .with("tags", span.tags())
        .with_some("error", error(span));
    // Each class has lists or maps that are there when they are empty too.
    let class = if span.get(INITIAL_MESSAGES).is_some() {
        base.with("agent_name", span.agent_name())
            .with("agent_config", span.get(AGENT_CONFIG))
            .with("initial_messages", span.get(INITIAL_MESSAGES))
            .with("final_messages", span.get(FINAL_MESSAGES))
            .with("iteration_count", span.iterations())
    } else if span.input_messages().is_some() {
        base.with("model_name", span.model())
            .with("provider", span.provider())
            .with("temperature", span.temperature())
            .with("max_tokens", span.max_tokens())
            .with("top_p", span.top_p())
            .with("stop_sequences", span.get(REQUEST_STOP_SEQUENCES))
            .with("messages", span.input_messages())
            .with("response_content", span.response_content())
            .with_some("token_usage", usage(span))
    } else if span.arguments().is_some() {
        base.with("tool_name", span.tool_name())
            .with("tool_schema", span.get(TOOL_SCHEMA))
            .with("arguments", span.arguments())
            .with("execution_time_ms", span.get(TOOL_EXECUTION_MS))
            .with("tool_type", span.get(TOOL_TYPE))
            .with_some("retriever_metadata", span.get(RETRIEVAL_METADATA))
    } else {
        base
    };
    class.json()
}
