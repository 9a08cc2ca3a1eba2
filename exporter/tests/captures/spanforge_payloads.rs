//! SpanForge: the payloads of spans, of an agent's steps and of its runs.

use serde_json::{Map, Value as Json};
use spanring::{
    Cost, DecisionPoint, ReasoningStep, Span, SpanId, SpanKind, Status, System, Tokens, ToolCall, TraceId,
};

use crate::json::{if_some, items, number, pairs, text, whole};
use crate::recording::{Life, Recording, record};
use crate::words::{Statuses, kind, say_type};

const KINDS: [SpanKind; 5] =
    [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer];

const STATUSES: Statuses =
    Statuses(&[("ok", Status::Ok), ("error", Status::Error), ("timeout", Status::TimedOut)]);

pub(crate) fn rebuild_payload(payload: &Json, event: Option<&Json>, recording: &mut Recording) {
    let id = text(payload, "span_id").or(text(payload, "root_span_id"));
    let life = Life {
        trace_id: text(payload, "trace_id").and_then(TraceId::parse).unwrap(),
        span_id: id.and_then(SpanId::parse).unwrap(),
        parent_id: text(payload, "parent_span_id").and_then(SpanId::parse),
        start_unix_ns: whole(payload, "start_time_unix_nano").unwrap(),
        end_unix_ns: whole(payload, "end_time_unix_nano"),
    };
    let say_event = |span: &Span| {
        let Some(event) = event else { return };
        if_some(text(event, "org_id"), |organization| span.organization(organization));
        pairs(&event["tags"]).for_each(|(name, value)| _ = span.label(name, value.as_str().unwrap()));
    };
    let fill = |span: &Span| {
        say_event(span);
        pairs(payload).for_each(|(key, value)| say(span, key, value));
        let totals: Map<_, _> =
            pairs(payload).filter(|(key, _)| key.starts_with("total_")).map(owned).collect();
        if !totals.is_empty() {
            span.run_totals(&totals);
        }
    };
    match (text(payload, "span_name"), text(payload, "agent_name")) {
        (Some(name), _) => {
            let kind = kind(System::SpanForge, text(payload, "operation").unwrap());
            record!(recording, life, spanring::span_named(name).kind(kind), fill);
        }
        (None, Some(agent)) => record!(recording, life, spanring::trace(agent), fill),
        (None, None) => {
            let kind = kind(System::SpanForge, text(payload, "operation").unwrap());
            let name = text(payload, "step_name").unwrap_or("step");
            record!(recording, life, spanring::span_named(name).kind(kind), fill);
        }
    }
}

fn say(span: &Span, key: &str, value: &Json) {
    let word = || value.as_str().unwrap();
    match key {
        // Of the builder, and what follows from it.
        "span_id"
        | "root_span_id"
        | "trace_id"
        | "parent_span_id"
        | "span_name"
        | "agent_name"
        | "duration_ms"
        | "start_time_unix_nano"
        | "end_time_unix_nano" => {}
        "operation" => say_type(span, System::SpanForge, word()),
        "status" => STATUSES.say(span, word()),
        "agent_run_id" => _ = span.run_id(word()),
        "span_kind" => {
            _ = span.span_kind(*KINDS.iter().find(|kind| kind.name().to_uppercase() == word()).unwrap())
        }
        "error" => _ = span.status_message(word()),
        "error_type" => _ = span.error_type(word()),
        "error_category" => _ = span.error_category(word()),
        "model" => {
            if_some(text(value, "name"), |model| span.model(model));
            if_some(text(value, "system"), |system| span.provider(system));
        }
        "temperature" => _ = span.temperature(value.as_f64().unwrap()),
        "top_p" => _ = span.top_p(value.as_f64().unwrap()),
        "max_tokens" => _ = span.max_tokens(value.as_u64().unwrap()),
        "token_usage" => _ = span.tokens(tokens(value)),
        "cost" => _ = span.cost(cost(value)),
        "step_index" => _ = span.step_index(value.as_u64().unwrap()),
        "step_name" => _ = span.step_name(word()),
        "attributes" => pairs(value).for_each(|(key, value)| _ = span.set_value_named(key, value)),
        "events" => items(value).iter().for_each(|event| say_event(span, event)),
        "tool_calls" => items(value).iter().for_each(|call| _ = span.tool_call(&tool_call(call))),
        "reasoning_steps" => items(value).iter().for_each(|step| {
            span.reasoning_step(&ReasoningStep {
                step_index: whole(step, "step_index").unwrap(),
                reasoning_tokens: whole(step, "reasoning_tokens").unwrap(),
                duration_ms: number(step, "duration_ms"),
                content_hash: text(step, "content_hash"),
            });
        }),
        "decision_points" => items(value).iter().for_each(|decision| {
            let options: Vec<_> =
                items(&decision["options_considered"]).iter().filter_map(Json::as_str).collect();
            span.decision_point(&DecisionPoint {
                id: text(decision, "decision_id").unwrap(),
                decision_type: text(decision, "decision_type").unwrap(),
                options_considered: &options,
                chosen_option: text(decision, "chosen_option").unwrap(),
                rationale: text(decision, "rationale"),
            });
        }),
        total if total.starts_with("total_") => {}
        _ => panic!("a payload has no {key}"),
    }
}

fn owned((key, value): (&str, &Json)) -> (String, Json) {
    (key.to_owned(), value.clone())
}

fn say_event(span: &Span, event: &Json) {
    span.event_at(text(event, "name").unwrap(), whole(event, "timestamp_ns").unwrap(), |said| {
        pairs(&event["metadata"]).for_each(|(key, value)| said.set_value_named(key, value));
    });
}

fn tool_call(call: &Json) -> ToolCall<'_> {
    ToolCall {
        id: text(call, "tool_call_id").unwrap(),
        function_name: text(call, "function_name").unwrap(),
        status: text(call, "status").unwrap(),
        arguments_hash: text(call, "arguments_hash"),
        error_type: text(call, "error_type"),
        duration_ms: number(call, "duration_ms"),
        retry_count: whole(call, "retry_count"),
        external_api: text(call, "external_api"),
        arguments_raw: text(call, "arguments_raw"),
        result_raw: text(call, "result_raw"),
    }
}

fn tokens(usage: &Json) -> Tokens {
    Tokens {
        input: whole(usage, "input_tokens"),
        output: whole(usage, "output_tokens"),
        total: whole(usage, "total_tokens"),
        cached: whole(usage, "cached_tokens"),
        reasoning: whole(usage, "reasoning_tokens"),
        ..Tokens::default()
    }
}

fn cost(cost: &Json) -> Cost<'_> {
    Cost {
        input: number(cost, "input_cost_usd"),
        output: number(cost, "output_cost_usd"),
        total: number(cost, "total_cost_usd"),
        ..Cost::default()
    }
}
