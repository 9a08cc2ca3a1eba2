//! What is said about a span.

use std::time::Duration;

use serde_json::{Value as Json, json};
use spanring::{Cost, DecisionPoint, ReasoningStep, ReplaySlot, SpanKind, Tokens, ToolCall};
use spanring_spool::Value;

use super::{Call, START, object, value};

pub(super) fn all() -> Vec<Call> {
    [setters(), payloads(), usage(), steps()].into_iter().flatten().collect()
}

fn setters() -> Vec<Call> {
    setters! {
        type_name("agent:llm_call"): "spanring.type" => "agent:llm_call";
        session("s1"): "session.id" => "s1";
        conversation("c1"): "gen_ai.conversation.id" => "c1";
        user("u1"): "user.id" => "u1";
        organization("o1"): "spanring.organization.id" => "o1";
        team("t1"): "spanring.team.id" => "t1";
        actor("a1"): "spanring.actor.id" => "a1";
        group("thread_42"): "spanring.group.id" => "thread_42";
        workflow("report"): "gen_ai.workflow.name" => "report";
        run_id("f33b3d34e5a46bc6"): "spanring.run.id" => "f33b3d34e5a46bc6";
        foreign_span_id("span_a15e"): "spanring.foreign.span_id" => "span_a15e";
        foreign_trace_id("trace_3924"): "spanring.foreign.trace_id" => "trace_3924";
        foreign_parent_id("span_125e"): "spanring.foreign.parent_id" => "span_125e";
        foreign_status("max_steps_exceeded"): "spanring.foreign.status" => "max_steps_exceeded";
        span_kind(SpanKind::Client): "spanring.span_kind" => "client";
        trace_state("a=1,b=2"): "spanring.trace_state" => "a=1,b=2";
        trace_flags(0x301): "spanring.trace_flags" => 0x301_u32;
        incoming_traceparent("00-07-08-01"): "spanring.incoming_traceparent" => "00-07-08-01";
        scope("http", "0.1"): "spanring.scope.name" => "http", "spanring.scope.version" => "0.1";
        deadline(Duration::from_millis(10)): "spanring.deadline_ns" => 10_000_000_u64;
        model("gpt-4o"): "gen_ai.request.model" => "gpt-4o";
        provider("openai"): "gen_ai.provider.name" => "openai";
        custom_provider("in-house"): "spanring.provider.custom" => "in-house";
        response_model("gpt-4o-2"): "gen_ai.response.model" => "gpt-4o-2";
        model_version("2026-08"): "spanring.model.version" => "2026-08";
        operation("chat"): "gen_ai.operation.name" => "chat";
        temperature(0.2): "gen_ai.request.temperature" => 0.2;
        top_p(0.9): "gen_ai.request.top_p" => 0.9;
        top_k(3): "gen_ai.request.top_k" => 3_u64;
        max_tokens(256): "gen_ai.request.max_tokens" => 256_u64;
        seed(-7): "gen_ai.request.seed" => -7;
        frequency_penalty(0.5): "gen_ai.request.frequency_penalty" => 0.5;
        presence_penalty(-0.5): "gen_ai.request.presence_penalty" => -0.5;
        choice_count(2): "gen_ai.request.choice.count" => 2_u64;
        stream(true): "gen_ai.request.stream" => true;
        response_id("resp_01"): "gen_ai.response.id" => "resp_01";
        finish_reason("stop"): "gen_ai.response.finish_reasons" => vec!["stop"];
        output_modality("text"): "gen_ai.output.type" => "text";
        time_to_first_token(Duration::from_millis(250)): "gen_ai.response.time_to_first_chunk" => 0.25;
        tool_name("search"): "gen_ai.tool.name" => "search";
        tool_description("Looks it up"): "gen_ai.tool.description" => "Looks it up";
        tool_type("function"): "gen_ai.tool.type" => "function";
        call_id("call_1"): "gen_ai.tool.call.id" => "call_1";
        mcp_server("fs"): "spanring.mcp.server" => "fs";
        retries(2): "spanring.tool.retries" => 2_u64;
        execution_time(Duration::from_millis(12)): "spanring.tool.execution_ms" => 12.0;
        external(true): "spanring.tool.external" => true;
        query("docs"): "gen_ai.retrieval.query.text" => "docs";
        data_source("handbook"): "gen_ai.data_source.id" => "handbook";
        document_count(2): "spanring.retrieval.document_count" => 2_u64;
        dimensions(1536): "gen_ai.embeddings.dimension.count" => 1536_u64;
        agent_name("planner"): "gen_ai.agent.name" => "planner";
        agent_id("my-agent"): "gen_ai.agent.id" => "my-agent";
        agent_description("Plans"): "gen_ai.agent.description" => "Plans";
        agent_version("v1.0.0"): "gen_ai.agent.version" => "v1.0.0";
        output_type("str"): "spanring.agent.output_type" => "str";
        termination_reason("done"): "spanring.agent.termination_reason" => "done";
        iterations(2): "spanring.agent.iterations" => 2_u64;
        step_index(1): "spanring.step.index" => 1_u64;
        step_name("fetch"): "spanring.step.name" => "fetch";
        guardrail_name("pii"): "spanring.guardrail.name" => "pii";
        triggered(true): "spanring.guardrail.triggered" => true;
        handoff_from("Root"): "spanring.handoff.from" => "Root";
        handoff_to("Sub"): "spanring.handoff.to" => "Sub";
        first_content_unix_ns(START): "spanring.speech.first_content_unix_ns" => START;
        error_type("TimeoutError"): "error.type" => "TimeoutError";
        stack_trace("at line 1"): "exception.stacktrace" => "at line 1";
        error_category("timeout_error"): "spanring.error.category" => "timeout_error";
        error_cause("no route"): "spanring.error.causes" => vec!["no route"];
        tag("prod"): "spanring.tags" => vec!["prod"];
        label("env", "staging"): "spanring.labels" => Value::from_iter([("env", "staging")]);
    }
}

fn messages() -> Json {
    let call = json!({"name": "search", "args": {"q": "weather"}});
    json!([{"role": "assistant", "content": "hello", "reasoning": "secret", "tool_calls": [call]}])
}

fn payloads() -> Vec<Call> {
    setters! {
        input(&json!({"messages": ["hi"]})): "spanring.input" => value(&json!({"messages": ["hi"]})),
            "spanring.input.messages" => vec!["hi"];
        output(&json!({"messages": ["bye"], "updated_keys": ["a"]})):
            "spanring.output" => value(&json!({"messages": ["bye"], "updated_keys": ["a"]})),
            "spanring.output.messages" => vec!["bye"], "spanring.output.updated_keys" => vec!["a"];
        metadata(&json!({"agent_harness_id": "h-1"})):
            "spanring.metadata" => value(&json!({"agent_harness_id": "h-1"})),
            "spanring.metadata.agent_harness_id" => "h-1";
        audio_input("YmFzZTY0", "pcm"): "spanring.input.data" => "YmFzZTY0", "spanring.input.format" => "pcm";
        audio_output("YXVkaW8=", "pcm"): "spanring.output.data" => "YXVkaW8=", "spanring.output.format" => "pcm";
        input_messages(&messages()): "gen_ai.input.messages" => value(&messages()),
            "gen_ai.input.messages[].role" => "assistant", "gen_ai.input.messages[].content" => "hello",
            "gen_ai.input.messages[].tool_calls" => value(&messages()[0]["tool_calls"]),
            "gen_ai.input.messages[].tool_calls[].name" => "search",
            "gen_ai.input.messages[].tool_calls[].args" => value(&json!({"q": "weather"}));
        output_messages(&messages()): "gen_ai.output.messages" => value(&messages()),
            "gen_ai.output.messages[].role" => "assistant", "gen_ai.output.messages[].content" => "hello",
            "gen_ai.output.messages[].reasoning" => "secret",
            "gen_ai.output.messages[].tool_calls" => value(&messages()[0]["tool_calls"]),
            "gen_ai.output.messages[].tool_calls[].name" => "search",
            "gen_ai.output.messages[].tool_calls[].args" => value(&json!({"q": "weather"}));
        initial_messages(&messages()): "spanring.messages.initial" => value(&messages());
        final_messages(&messages()): "spanring.messages.final" => value(&messages());
        stop_sequences(&["\n"]): "gen_ai.request.stop_sequences" => vec!["\n"];
        system_instructions("Be brief"): "gen_ai.system_instructions" => "Be brief";
        response_content("hello"): "spanring.response.content" => "hello";
        handoffs(&["Sub"]): "spanring.agent.handoffs" => vec!["Sub"];
        tools(&["search"]): "spanring.agent.tools" => vec!["search"];
        scores(&[0.9, 0.5]): "spanring.retrieval.scores" => vec![0.9, 0.5];
        documents(&[json!({"id": "d1"})]): "gen_ai.retrieval.documents" => vec![value(&json!({"id": "d1"}))];
        error_data(&json!({"status_code": 429})): "spanring.error.data" => value(&json!({"status_code": 429})),
            "spanring.error.data.status_code" => 429;
        quality("accuracy", &json!({"score": 0.9})): "spanring.quality[].name" => "accuracy",
            "spanring.quality[].payload" => value(&json!({"score": 0.9}));
        parameters(&object()): "spanring.model.parameters" => value(&object());
        usage_details(&object()): "spanring.usage.details" => value(&object());
        tool_schema(&object()): "spanring.tool.schema" => value(&object());
        arguments(&object()): "gen_ai.tool.call.arguments" => value(&object());
        result(&object()): "gen_ai.tool.call.result" => value(&object());
        tool_definitions(&object()): "gen_ai.tool.definitions" => value(&object());
        mcp_data(&object()): "spanring.mcp.data" => value(&object());
        retrieval_metadata(&object()): "spanring.retrieval.metadata" => value(&object());
        agent_config(&object()): "spanring.agent.config" => value(&object());
    }
}

fn usage() -> Vec<Call> {
    setters! {
        tokens(TOKENS): "gen_ai.usage.input_tokens" => 12_u64, "gen_ai.usage.output_tokens" => 7_u64,
            "spanring.usage.total_tokens" => 19_u64, "gen_ai.usage.cache_read.input_tokens" => 3_u64,
            "gen_ai.usage.cache_creation.input_tokens" => 4_u64, "gen_ai.usage.reasoning.output_tokens" => 1_u64,
            "spanring.usage.image_tokens" => 5_u64, "spanring.usage.requests" => 2_u64;
        cost(COST): "spanring.cost.input" => 0.3, "spanring.cost.output" => 0.5, "spanring.cost.total" => 0.8,
            "spanring.cost.cached_discount" => 0.25, "spanring.cost.reasoning" => 0.125,
            "spanring.cost.currency" => "EUR", "spanring.cost.pricing_date" => "2026-11-20";
    }
    .into_iter()
    .chain(calls! {
        "Tokens::new": spanring::llm("m").tokens(Tokens::new(12, 7)).start(),
            "gen_ai.usage.input_tokens" => 12_u64, "gen_ai.usage.output_tokens" => 7_u64;
        "Tokens::total": spanring::llm("m").tokens(Tokens::default().total(19)).start(),
            "spanring.usage.total_tokens" => 19_u64;
        "Tokens::cached": spanring::llm("m").tokens(Tokens::default().cached(3)).start(),
            "gen_ai.usage.cache_read.input_tokens" => 3_u64;
        "Tokens::cache_creation": spanring::llm("m").tokens(Tokens::default().cache_creation(4)).start(),
            "gen_ai.usage.cache_creation.input_tokens" => 4_u64;
        "Tokens::reasoning": spanring::llm("m").tokens(Tokens::default().reasoning(1)).start(),
            "gen_ai.usage.reasoning.output_tokens" => 1_u64;
        "Tokens::image": spanring::llm("m").tokens(Tokens::default().image(5)).start(),
            "spanring.usage.image_tokens" => 5_u64;
        "Tokens::requests": spanring::llm("m").tokens(Tokens::default().requests(2)).start(),
            "spanring.usage.requests" => 2_u64;
        "Cost::new": spanring::llm("m").cost(Cost::new(0.3, 0.5)).start(),
            "spanring.cost.input" => 0.3, "spanring.cost.output" => 0.5;
        "Cost::of": spanring::llm("m").cost(Cost::of(0.8)).start(), "spanring.cost.total" => 0.8;
        "Cost::total": spanring::llm("m").cost(Cost::default().total(0.8)).start(), "spanring.cost.total" => 0.8;
        "Cost::cached_discount": spanring::llm("m").cost(Cost::default().cached_discount(0.25)).start(),
            "spanring.cost.cached_discount" => 0.25;
        "Cost::reasoning": spanring::llm("m").cost(Cost::default().reasoning(0.125)).start(),
            "spanring.cost.reasoning" => 0.125;
        "Cost::currency": spanring::llm("m").cost(Cost::default().currency("EUR")).start(),
            "spanring.cost.currency" => "EUR";
        "Cost::pricing_date": spanring::llm("m").cost(Cost::default().pricing_date("2026-11-20")).start(),
            "spanring.cost.pricing_date" => "2026-11-20";
    })
    .collect()
}

const TOKENS: Tokens = Tokens {
    input: Some(12),
    output: Some(7),
    total: Some(19),
    cached: Some(3),
    cache_creation: Some(4),
    reasoning: Some(1),
    image: Some(5),
    requests: Some(2),
};

const COST: Cost<'_> = Cost {
    input: Some(0.3),
    output: Some(0.5),
    total: Some(0.8),
    cached_discount: Some(0.25),
    reasoning: Some(0.125),
    currency: Some("EUR"),
    pricing_date: Some("2026-11-20"),
};

const TOOL_CALL: ToolCall<'_> = ToolCall {
    id: "tc_1",
    function_name: "search",
    status: "error",
    arguments_hash: Some("aa"),
    error_type: Some("TimeoutError"),
    duration_ms: Some(3.5),
    retry_count: Some(1),
    external_api: Some("weather"),
    arguments_raw: Some("{}"),
    result_raw: Some("[]"),
};

const REASONING_STEP: ReasoningStep<'_> =
    ReasoningStep { step_index: 1, reasoning_tokens: 40, duration_ms: Some(2.5), content_hash: Some("bb") };

const DECISION_POINT: DecisionPoint<'_> = DecisionPoint {
    id: "d1",
    decision_type: "tool_selection",
    options_considered: &["search", "ask"],
    chosen_option: "search",
    rationale: Some("faster"),
};

/// What a run came to.
fn totals() -> Json {
    json!({
        "total_steps": 3, "total_model_calls": 2, "total_tool_calls": 1,
        "total_token_usage": {
            "input_tokens": 12, "output_tokens": 7, "total_tokens": 19, "cached_tokens": 3,
            "cache_creation_tokens": 4, "reasoning_tokens": 1, "image_tokens": 5,
        },
        "total_cost": {
            "input_cost_usd": 0.3, "output_cost_usd": 0.5, "total_cost_usd": 0.8, "cached_discount_usd": 0.25,
            "reasoning_cost_usd": 0.125, "currency": "EUR", "pricing_date": "2026-11-20",
        },
    })
}

/// A map, and everything that it holds, however deep.
fn parts(place: &str, json: &Json) -> Vec<(String, Value)> {
    let inner = json
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(name, part)| parts(&format!("{place}.{name}"), part));
    std::iter::once((place.to_owned(), value(json))).chain(inner).collect()
}

/// A list of one map, and each thing that it holds.
fn item(key: &str, json: &Json) -> Vec<(String, Value)> {
    let whole = (key.to_owned(), Value::List(vec![value(json)]));
    let mut all = parts(&format!("{key}[]"), json);
    all.push(whole);
    all
}

fn steps() -> Vec<Call> {
    let tool_call = json!({
        "tool_call_id": "tc_1", "function_name": "search", "status": "error", "arguments_hash": "aa",
        "error_type": "TimeoutError", "duration_ms": 3.5, "retry_count": 1, "external_api": "weather",
        "arguments_raw": "{}", "result_raw": "[]",
    });
    let reasoning_step =
        json!({"step_index": 1, "reasoning_tokens": 40, "duration_ms": 2.5, "content_hash": "bb"});
    let decision_point = json!({
        "decision_id": "d1", "decision_type": "tool_selection", "options_considered": ["search", "ask"],
        "chosen_option": "search", "rationale": "faster",
    });
    let mut calls = setters! {
        tool_call(&TOOL_CALL): "spanring.tool_calls[].function_name" => "search";
        reasoning_step(&REASONING_STEP): "spanring.reasoning_steps[].step_index" => 1;
        decision_point(&DECISION_POINT): "spanring.decisions[].decision_id" => "d1";
        run_totals(&totals()): "spanring.run.totals" => value(&totals());
    };
    for call in &mut calls {
        call.places = match call.name {
            "tool_call" => item("spanring.tool_calls", &tool_call),
            "reasoning_step" => item("spanring.reasoning_steps", &reasoning_step),
            "run_totals" => parts("spanring.run.totals", &totals()),
            _ => item("spanring.decisions", &decision_point),
        };
    }
    for &slot in ReplaySlot::ALL {
        let place = format!("spanring.replay.{}", slot.name());
        let whole = Value::from_iter([(slot.name(), "kept")]);
        let places = vec![(&place[..], Value::from("kept")), ("spanring.replay", whole)];
        calls.push(Call::new("replay", move || spanring::span("built").replay(slot, "kept").start(), places));
    }
    calls
}
