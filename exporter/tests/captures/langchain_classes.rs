//! prefactor_langchain: what its classes of spans say of themselves. They have neither identities nor parents.
//!
//! Their times are floating-point seconds with six decimals: exactly those microseconds are held.

use std::time::Duration;

use serde_json::{Value as Json, json};
use spanring::{Span, SpanId, Status, System, TraceId, names};
use spanring_exporter::prefactor_langchain::Class;
use spanring_spool::{SpanData, Value};

use crate::json::{items, pairs, some, text};
use crate::langchain::{say_error, tokens};
use crate::moments::ns_of_seconds;
use crate::recording::{Life, Recording, record};
use crate::words::{Statuses, kind, say_type};
use crate::{Form, any_other, file, path_of, read};

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
        // That of the class, whatever is said.
        "type" => return Some(Vec::new()),
        // Whatever failed has an error.
        "status" if value == "failed" => json!("completed"),
        "status" => return Some(vec![json!("running"), json!("completed")]),
        _ if !value.is_null() => return any_other(path, value),
        // What has an end is pending no more.
        "end_time" => return Some(Vec::new()),
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

/// The file has a span of the base class, whose type is that of an agent: only the program knows that it is none. What it records has less.
fn class(span: &SpanData) -> Class {
    match Class::of(span) {
        Class::Agent if span.get(names::INITIAL_MESSAGES).is_none() => Class::Span,
        class => class,
    }
}

fn dictionary(span: &SpanData) -> Json {
    serde_json::from_str(&class(span).to_dict(span)).unwrap()
}

const ROLE_FIRST: &str = "\"role\": \"user\",\n        \"content\": \"hi\"\n";
const CONTENT_FIRST: &str = "\"content\": \"hi\",\n        \"role\": \"user\"\n";

/// Not only the same values: the same bytes, but for the file's indentation.
#[test]
fn dictionaries_are_written_as_the_sdk_writes_them() {
    let written = read(&path_of("prefactor_langchain/to_dict.json"));
    let named: Value = serde_json::from_str(&written).unwrap();
    let (names, spans): (Vec<_>, Vec<_>) = named.as_map().unwrap().iter().cloned().unzip();
    let mut recording = Recording::start();
    rebuild(&serde_json::to_value(spans).unwrap(), &mut recording);
    let dictionaries: Vec<_> = (names.iter().zip(recording.read()))
        .map(|(name, span)| format!("\"{name}\": {}", class(&span).to_dict(&span)))
        .collect();
    // The keys of what is recorded were sorted on their way here.
    let written = written.replace(ROLE_FIRST, CONTENT_FIRST);
    let on_one_line = written.lines().map(str::trim).fold(String::new(), |all, line| {
        let space = if line.ends_with(',') { " " } else { "" };
        all + line + space
    });
    assert_eq!(format!("{{{}}}", dictionaries.join(", ")), on_one_line);
}
