//! The OpenAI Agents SDK: what its requests say, from the spans.

use serde_json::{Value as Json, json};
use spanring::{Kind, SpanId, System, names};
use spanring_spool::{SpanData, Value};

use crate::json::{Object, plain_attributes, to_json};
use crate::moments::isoformat;
use crate::words::kind_name;

/// A request for each trace.
pub(crate) fn document(spans: &[SpanData], is_sanitized: bool) -> Json {
    let is_trace = |span: &SpanData| span.foreign_span_id().is_none();
    let items = |spans: &[SpanData]| {
        spans
            .iter()
            .map(|span| match is_trace(span) {
                true => trace(span),
                false => item(span, is_sanitized),
            })
            .collect::<Json>()
    };
    spans.chunk_by(|_, next| !is_trace(next)).map(|spans| json!({"body": {"data": items(spans)}})).collect()
}

fn trace(span: &SpanData) -> Json {
    json!({
        "object": "trace",
        "id": span.foreign_trace_id(),
        "workflow_name": span.workflow(),
        "group_id": span.group(),
        "metadata": span.metadata(),
    })
}

fn item(span: &SpanData, is_sanitized: bool) -> Json {
    let parent = span.foreign_parent_id().or(span.foreign_trace_id());
    assert_eq!(span.parent_id, parent.map(SpanId::from_foreign));
    Object::default()
        .with("object", "trace.span")
        .with("id", span.foreign_span_id())
        .with("trace_id", span.foreign_trace_id())
        .with("parent_id", span.foreign_parent_id())
        .with("started_at", isoformat(span.start_unix_ns) + "+00:00")
        .with("ended_at", isoformat(span.end_unix_ns) + "+00:00")
        .with("span_data", span_data(span, is_sanitized))
        .with(
            "error",
            span.error_message().map(|message| json!({"message": message, "data": span.error_data()})),
        )
        .with_some("metadata", span.metadata())
        .json()
}

fn span_data(span: &SpanData, is_sanitized: bool) -> Json {
    let typed = Object::default().with("type", kind_name(span, System::OpenAiAgents));
    let custom = |name: &str, data: Json| json!({"type": "custom", "name": name, "data": data});
    let of_model = |typed: Object| typed.with("model", span.model()).with("model_config", parameters(span));
    let sdk_type = |kind: Kind| Object::default().with("sdk_span_type", kind.name_in(System::OpenAiAgents));
    let typed = match span.kind {
        Kind::Agent => typed
            .with("name", span.agent_name())
            .with("handoffs", span.get(names::AGENT_HANDOFFS))
            .with("tools", span.get(names::AGENT_TOOLS))
            .with("output_type", span.get(names::AGENT_OUTPUT_TYPE)),
        Kind::Task => {
            let data = sdk_type(Kind::Task).with("name", &span.name).with_some("usage", usage(span, false));
            return custom("task", data.json());
        }
        Kind::Turn => {
            let data =
                sdk_type(Kind::Turn).with("turn", span.step_index()).with("agent_name", span.agent_name());
            return custom("turn", data.with_some("usage", usage(span, false)).json());
        }
        Kind::Tool => typed
            .with("name", span.tool_name())
            .with("input", span.arguments())
            .with("output", span.result())
            .with("mcp_data", span.get(names::MCP_DATA)),
        Kind::Llm => of_model(typed)
            .with("input", span.input_messages())
            .with("output", span.output_messages())
            .with_some("usage", usage(span, is_sanitized)),
        Kind::Response => {
            let usage = usage(span, false).filter(|_| !is_sanitized);
            typed.with("response_id", span.response_id()).with_some("usage", usage)
        }
        Kind::Handoff => typed.with("from_agent", span.handoff_from()).with("to_agent", span.handoff_to()),
        Kind::Guardrail => typed.with("name", span.guardrail_name()).with("triggered", span.triggered()),
        Kind::Transcription => of_model(typed).with("input", span.input()).with("output", span.output()),
        Kind::Speech => {
            let first = span.get(names::FIRST_CONTENT).and_then(Value::as_u64);
            let first = first.map(|unix_ns| isoformat(unix_ns) + "+00:00");
            of_model(typed)
                .with("input", span.input())
                .with("output", span.output())
                .with("first_content_at", first)
        }
        Kind::SpeechGroup => typed.with("input", span.input()),
        Kind::McpTools => typed.with("server", span.mcp_server()).with("result", span.result()),
        _ if span.type_name().is_none() => {
            typed.with("name", &span.name).with("data", plain_attributes(span))
        }
        _ => typed.and(&plain_attributes(span)),
    };
    typed.json()
}

fn usage(span: &SpanData, is_sanitized: bool) -> Option<Json> {
    let tokens = span.tokens()?;
    let cached_of_generation = tokens.cached.filter(|_| span.kind != Kind::Task);
    let usage = Object::default().with("input_tokens", tokens.input).with("output_tokens", tokens.output);
    let details = Object::default()
        .with_some("total_tokens", tokens.total)
        .with_some("requests", tokens.requests)
        .with_some("cached_input_tokens", tokens.cached.filter(|_| span.kind == Kind::Task))
        .with_some(
            "input_tokens_details",
            cached_of_generation.map(|cached| json!({"cached_tokens": cached})),
        );
    Some(match is_sanitized {
        true if details.is_empty() => usage.json(),
        true => usage.with("details", details.json()).json(),
        false => usage.and(&details.json()).json(),
    })
}

fn parameters(span: &SpanData) -> Option<Json> {
    let rest = span.parameters().map(to_json);
    let typed = Object::default()
        .with_some("temperature", span.temperature())
        .with_some("top_p", span.top_p())
        .with_some("max_tokens", span.max_tokens());
    match rest {
        None if typed.is_empty() => None,
        rest => Some(typed.and(&rest.unwrap_or_default()).json()),
    }
}
