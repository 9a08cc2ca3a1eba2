//! The OpenAI Agents SDK: a record of each trace, and spans whose data has a form for each type.
//!
//! A trace has no times of its own: its span lasts as long as its spans together. Spans without a parent stand under it.

use serde_json::{Map, Value as Json, json};
use spanring::{Kind, Span, SpanId, System, Tokens, TraceId};
use spanring_exporter::openai_agents;
use spanring_spool::SpanData;

use crate::json::{if_some, items, pairs, some, text, to_json, whole};
use crate::moments::unix_ns;
use crate::recording::{Life, Recording, record};
use crate::rules::{HTTP, Rule, Table};
use crate::words::kind;
use crate::{Form, any_other, folder};

pub(crate) const RAW: Form = Form {
    rebuild,
    document: |spans| document(spans, false),
    rules: &[RULES, HTTP],
    others,
    list: None,
    captures: || vec![folder("openai_agents/raw")],
};

/// What is sent to OpenAI itself: usage has another form there, and only generations have one.
pub(crate) const SANITIZED: Form = Form {
    document: |spans| document(spans, true),
    others: |path, value| match value.as_str() {
        // Of another type nothing would be left of its usage.
        Some("generation") => Some(Vec::new()),
        _ => others(path, value),
    },
    captures: || vec![folder("openai_agents/sanitize")],
    ..RAW
};

const RULES: &Table = &[("*/body/data/*/object", Rule::Derived("whether it is the record of a trace"))];

/// A request for each trace, with the record of it that the SDK sends once.
fn document(spans: &[SpanData], is_sanitized: bool) -> Json {
    let is_root = |span: &SpanData| span.parent_id.is_none();
    let item = |span: &SpanData| match is_root(span) {
        true => openai_agents::export_trace(&[span], &[]),
        false => openai_agents::export_span(span, None),
    };
    let request = |spans: &[SpanData]| {
        let items = spans.iter().map(|span| item(span).unwrap());
        let items = items.map(|item| if is_sanitized { openai_agents::sanitized(item) } else { item });
        json!({"body": to_json(&openai_agents::request(items.collect()))})
    };
    spans.chunk_by(|_, next| !is_root(next)).map(request).collect()
}

fn others(path: &[String], value: &Json) -> Option<Vec<Json>> {
    let other = match path.last()?.as_str() {
        _ if !value.is_null() => return any_other(path, value),
        "handoffs" | "tools" => json!(["search"]),
        "error" => json!({"message": "tool timed out", "data": null}),
        "metadata" | "mcp_data" => json!({"server": "vector"}),
        "model_config" => json!({"temperature": 0.5, "top_k": 3}),
        _ => json!("span_0123456789abcdef01234567"),
    };
    Some(vec![other])
}

pub(crate) fn rebuild(capture: &Json, recording: &mut Recording) {
    for request in items(capture) {
        let (traces, spans): (Vec<_>, Vec<_>) =
            items(&request["body"]["data"]).iter().partition(|item| item["object"] == "trace");
        traces.iter().for_each(|trace| rebuild_trace(trace, &spans, recording));
        spans.iter().for_each(|span| rebuild_span(span, recording));
    }
}

fn rebuild_trace(record: &Json, spans: &[&Json], recording: &mut Recording) {
    let moments = |key| spans.iter().map(move |span| unix_ns(text(span, key).unwrap()));
    let (id, workflow) = (text(record, "id").unwrap(), text(record, "workflow_name").unwrap());
    let life = Life {
        trace_id: TraceId::from_foreign(id),
        span_id: SpanId::from_foreign(id),
        parent_id: None,
        start_unix_ns: moments("started_at").min().unwrap(),
        end_unix_ns: moments("ended_at").max(),
    };
    record!(
        recording,
        life,
        spanring::trace(workflow).workflow(workflow).foreign_trace_id(id),
        |span: &Span| {
            if_some(text(record, "group_id"), |group| span.group(group));
            if_some(some(record, "metadata"), |metadata| span.metadata(metadata));
        }
    );
}

fn rebuild_span(item: &Json, recording: &mut Recording) {
    let (id, trace) = (text(item, "id").unwrap(), text(item, "trace_id").unwrap());
    let life = Life {
        trace_id: TraceId::from_foreign(trace),
        span_id: SpanId::from_foreign(id),
        parent_id: Some(SpanId::from_foreign(text(item, "parent_id").unwrap_or(trace))),
        start_unix_ns: unix_ns(text(item, "started_at").unwrap()),
        end_unix_ns: text(item, "ended_at").map(unix_ns),
    };
    let data = &item["span_data"];
    let of = |key| text(data, key).unwrap();
    let about = |span: &Span| {
        span.foreign_span_id(id).foreign_trace_id(trace);
        if_some(text(item, "parent_id"), |parent| span.foreign_parent_id(parent));
        if_some(some(item, "metadata"), |metadata| span.metadata(metadata));
        if let Some(error) = some(item, "error") {
            span.error(text(error, "message").unwrap());
            if_some(some(error, "data"), |data| span.error_data(data));
        }
    };
    let about_model = |span: &Span| {
        about(span);
        if_some(some(data, "usage"), |usage| say_usage(span, usage));
        if_some(some(data, "model_config"), |config| say_parameters(span, config));
    };
    let audio = |key| (text(&data[key], "data").unwrap(), text(&data[key], "format").unwrap());
    // Tasks and turns are custom spans on the wire.
    let sdk_type = text(&data["data"], "sdk_span_type")
        .filter(|sdk_type| (*sdk_type, "custom") == (of("name"), of("type")));
    match kind(System::OpenAiAgents, sdk_type.unwrap_or(of("type"))) {
        Kind::Agent => record!(recording, life, spanring::agent(of("name")), |span: &Span| {
            about(span);
            if_some(some(data, "handoffs"), |handoffs| span.handoffs(handoffs));
            if_some(some(data, "tools"), |tools| span.tools(tools));
            if_some(text(data, "output_type"), |output_type| span.output_type(output_type));
        }),
        Kind::Task => {
            record!(recording, life, spanring::task(text(&data["data"], "name").unwrap()), |span: &Span| {
                about(span);
                if_some(some(&data["data"], "usage"), |usage| say_usage(span, usage));
            })
        }
        Kind::Turn => {
            record!(recording, life, spanring::turn(whole(&data["data"], "turn").unwrap()), |span: &Span| {
                about(span);
                if_some(text(&data["data"], "agent_name"), |agent| span.agent_name(agent));
                if_some(some(&data["data"], "usage"), |usage| say_usage(span, usage));
            })
        }
        Kind::Tool => record!(recording, life, spanring::tool(of("name")), |span: &Span| {
            about(span);
            if_some(some(data, "input"), |input| span.arguments(input));
            if_some(some(data, "output"), |output| span.result(output));
            if_some(some(data, "mcp_data"), |data| span.mcp_data(data));
        }),
        Kind::Llm => record!(recording, life, spanring::llm(of("model")), |span: &Span| {
            about_model(span);
            if_some(some(data, "input"), |input| span.input_messages(input));
            if_some(some(data, "output"), |output| span.output_messages(output));
        }),
        Kind::Response => record!(recording, life, spanring::response(of("response_id")), about_model),
        Kind::Handoff => record!(recording, life, spanring::handoff(of("from_agent"), of("to_agent")), about),
        Kind::Guardrail => record!(recording, life, spanring::guardrail(of("name")), |span: &Span| {
            about(span);
            span.triggered(data["triggered"].as_bool().unwrap());
        }),
        Kind::Transcription => {
            record!(recording, life, spanring::transcription(of("model")), |span: &Span| {
                about_model(span);
                let (audio, format) = audio("input");
                span.audio_input(audio, format);
                if_some(some(data, "output"), |output| span.output(output));
            })
        }
        Kind::Speech => record!(recording, life, spanring::speech(of("model")), |span: &Span| {
            about_model(span);
            if_some(some(data, "input"), |input| span.input(input));
            let (audio, format) = audio("output");
            span.audio_output(audio, format);
            if_some(text(data, "first_content_at"), |at| span.first_content_unix_ns(unix_ns(at)));
        }),
        Kind::SpeechGroup => {
            record!(recording, life, spanring::speech_group("speech_group"), |span: &Span| {
                about(span);
                if_some(some(data, "input"), |input| span.input(input));
            })
        }
        Kind::McpTools => record!(recording, life, spanring::mcp_tools(of("server")), |span: &Span| {
            about(span);
            if_some(some(data, "result"), |result| span.result(result));
        }),
        _ if of("type") == "custom" => {
            record!(recording, life, spanring::span_named(of("name")), |span: &Span| {
                about(span);
                pairs(&data["data"]).for_each(|(key, value)| _ = span.set_value_named(key, value));
            })
        }
        _ => {
            record!(recording, life, spanring::span_named(of("type")).type_name(of("type")), |span: &Span| {
                about(span);
                let others = pairs(data).filter(|(key, _)| *key != "type");
                others.for_each(|(key, value)| _ = span.set_value_named(key, value));
            })
        }
    }
}

fn say_usage(span: &Span, usage: &Json) {
    // Sanitized usage has most of it one level deeper.
    let details = some(usage, "details").unwrap_or(usage);
    span.tokens(Tokens {
        input: whole(usage, "input_tokens"),
        output: whole(usage, "output_tokens"),
        total: whole(details, "total_tokens"),
        requests: whole(details, "requests"),
        cached: whole(&details["input_tokens_details"], "cached_tokens")
            .or(whole(usage, "cached_input_tokens")),
        ..Tokens::default()
    });
}

fn say_parameters(span: &Span, config: &Json) {
    let mut rest = Map::new();
    for (key, value) in pairs(config) {
        match (key, value.as_f64(), value.as_u64()) {
            ("temperature", Some(temperature), _) => _ = span.temperature(temperature),
            ("top_p", Some(top_p), _) => _ = span.top_p(top_p),
            ("max_tokens", _, Some(max_tokens)) => _ = span.max_tokens(max_tokens),
            _ => _ = rest.insert(key.to_owned(), value.clone()),
        }
    }
    if !rest.is_empty() || config.as_object().is_some_and(Map::is_empty) {
        span.parameters(&rest);
    }
}
