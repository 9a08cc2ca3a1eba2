//! One thing that is said about a span: how it is recorded, and which attributes it comes to.

use std::time::Duration;

use proptest::prelude::*;
use spanring::{Cost, DecisionPoint, ReasoningStep, ReplaySlot, Span, SpanKind, Tokens, ToolCall, names};
use spanring_spool::Value;

use crate::values::{encoded, number, signed, text, unsigned, value};

/// Methods of the same type, each with the attribute that it sets.
macro_rules! methods {
    ($($table:ident: $type:ty { $($method:ident $name:ident,)* })*) => {
        $(const $table: &[(&str, fn(&Span, $type))] = &[$((names::$name, |span, value| _ = span.$method(value)),)*];)*
    };
}

methods! {
    TEXTS: &str {
        type_name TYPE, session SESSION_ID, conversation CONVERSATION_ID, user USER_ID,
        organization ORGANIZATION_ID, team TEAM_ID, actor ACTOR_ID, group GROUP_ID, workflow WORKFLOW_NAME,
        run_id RUN_ID, foreign_span_id FOREIGN_SPAN_ID, foreign_trace_id FOREIGN_TRACE_ID,
        foreign_parent_id FOREIGN_PARENT_ID, foreign_status FOREIGN_STATUS, trace_state TRACE_STATE,
        incoming_traceparent INCOMING_TRACEPARENT, model REQUEST_MODEL, provider PROVIDER_NAME,
        custom_provider CUSTOM_PROVIDER, response_model RESPONSE_MODEL, model_version MODEL_VERSION,
        operation OPERATION_NAME, response_id RESPONSE_ID, finish_reason RESPONSE_FINISH_REASONS,
        output_modality OUTPUT_TYPE, tool_name TOOL_NAME, tool_description TOOL_DESCRIPTION, tool_type TOOL_TYPE,
        call_id TOOL_CALL_ID, mcp_server MCP_SERVER, query RETRIEVAL_QUERY, data_source DATA_SOURCE_ID,
        agent_name AGENT_NAME, agent_id AGENT_ID, agent_description AGENT_DESCRIPTION,
        agent_version AGENT_VERSION, output_type AGENT_OUTPUT_TYPE, termination_reason TERMINATION_REASON,
        step_name STEP_NAME, guardrail_name GUARDRAIL_NAME, handoff_from HANDOFF_FROM, handoff_to HANDOFF_TO,
        error_type ERROR_TYPE, stack_trace ERROR_STACKTRACE, error_category ERROR_CATEGORY,
        error_cause ERROR_CAUSES, tag TAGS,
    }
    COUNTS: u64 {
        top_k REQUEST_TOP_K, max_tokens REQUEST_MAX_TOKENS, choice_count REQUEST_CHOICE_COUNT,
        retries TOOL_RETRIES, document_count RETRIEVAL_DOCUMENT_COUNT, dimensions EMBEDDING_DIMENSIONS,
        iterations AGENT_ITERATIONS, step_index STEP_INDEX, first_content_unix_ns FIRST_CONTENT,
    }
    NUMBERS: f64 {
        temperature REQUEST_TEMPERATURE, top_p REQUEST_TOP_P, frequency_penalty REQUEST_FREQUENCY_PENALTY,
        presence_penalty REQUEST_PRESENCE_PENALTY,
    }
    FLAGS: bool { stream REQUEST_STREAM, external TOOL_EXTERNAL, triggered GUARDRAIL_TRIGGERED, }
    VALUES: &Value {
        input INPUT, output OUTPUT, metadata METADATA, stop_sequences REQUEST_STOP_SEQUENCES,
        parameters MODEL_PARAMETERS, response_content RESPONSE_CONTENT, system_instructions SYSTEM_INSTRUCTIONS,
        input_messages INPUT_MESSAGES, output_messages OUTPUT_MESSAGES, initial_messages INITIAL_MESSAGES,
        final_messages FINAL_MESSAGES, usage_details USAGE_DETAILS, tool_schema TOOL_SCHEMA,
        arguments TOOL_CALL_ARGUMENTS, result TOOL_CALL_RESULT, tool_definitions TOOL_DEFINITIONS,
        mcp_data MCP_DATA, documents RETRIEVAL_DOCUMENTS, scores RETRIEVAL_SCORES,
        retrieval_metadata RETRIEVAL_METADATA, agent_config AGENT_CONFIG, handoffs AGENT_HANDOFFS,
        tools AGENT_TOOLS, error_data ERROR_DATA, run_totals RUN_TOTALS,
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Field {
    Text(usize, String),
    Count(usize, u64),
    Number(usize, f64),
    Flag(usize, bool),
    Value(usize, Value),
    Seed(i64),
    TraceFlags(u32),
    SpanKind(SpanKind),
    Scope(String, String),
    Label(String, String),
    Deadline(Duration),
    TimeToFirstToken(Duration),
    ExecutionTime(Duration),
    Tokens(Tokens),
    Cost([Option<f64>; 5], [Option<String>; 2]),
    ToolCall([String; 3], [Option<String>; 5], Option<f64>, Option<u64>),
    ReasoningStep(u64, u64, Option<f64>, Option<String>),
    DecisionPoint([String; 3], Vec<String>, Option<String>),
    Quality(String, Value),
    Replay(ReplaySlot, Value),
    AudioInput(String, String),
    AudioOutput(String, String),
}

pub(crate) fn field() -> BoxedStrategy<Field> {
    let text_or_not = || prop::option::of(text());
    let number_or_not = || prop::option::of(number());
    let unsigned_or_not = || prop::option::of(unsigned());
    let kinds =
        [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer];
    let duration = || unsigned().prop_map(Duration::from_nanos);
    prop_oneof![
        8 => (0..TEXTS.len(), text()).prop_map(|(at, text)| Field::Text(at, text)),
        8 => (0..VALUES.len(), value()).prop_map(|(at, value)| Field::Value(at, value)),
        4 => (0..3_usize, value()).prop_map(|(at, value)| Field::Value(at, value)),
        2 => (0..COUNTS.len(), unsigned()).prop_map(|(at, count)| Field::Count(at, count)),
        2 => (0..NUMBERS.len(), number()).prop_map(|(at, number)| Field::Number(at, number)),
        1 => (0..FLAGS.len(), any::<bool>()).prop_map(|(at, flag)| Field::Flag(at, flag)),
        6 => prop_oneof![
            signed().prop_map(Field::Seed),
            any::<u32>().prop_map(Field::TraceFlags),
            prop::sample::select(kinds.to_vec()).prop_map(Field::SpanKind),
            (text(), text()).prop_map(|(name, version)| Field::Scope(name, version)),
            ("[ab]", text()).prop_map(|(name, word)| Field::Label(name, word)),
            duration().prop_map(Field::Deadline),
            duration().prop_map(Field::TimeToFirstToken),
            duration().prop_map(Field::ExecutionTime),
            prop::array::uniform8(unsigned_or_not()).prop_map(|tokens| Field::Tokens(self::tokens(tokens))),
        ],
        6 => prop_oneof![
            (prop::array::uniform5(number_or_not()), prop::array::uniform2(text_or_not()))
                .prop_map(|(amounts, texts)| Field::Cost(amounts, texts)),
            (prop::array::uniform3(text()), prop::array::uniform5(text_or_not()), number_or_not(), unsigned_or_not())
                .prop_map(|(told, texts, ms, retries)| Field::ToolCall(told, texts, ms, retries)),
            (unsigned(), unsigned(), number_or_not(), text_or_not())
                .prop_map(|(index, tokens, ms, hash)| Field::ReasoningStep(index, tokens, ms, hash)),
            (prop::array::uniform3(text()), prop::collection::vec(text(), 0..4), text_or_not())
                .prop_map(|(told, options, rationale)| Field::DecisionPoint(told, options, rationale)),
            (text(), value()).prop_map(|(name, payload)| Field::Quality(name, payload)),
            (prop::sample::select(ReplaySlot::ALL), value()).prop_map(|(slot, value)| Field::Replay(slot, value)),
            (text(), text()).prop_map(|(data, format)| Field::AudioInput(data, format)),
            (text(), text()).prop_map(|(data, format)| Field::AudioOutput(data, format)),
        ],
    ].boxed()
}

fn tokens(
    [input, output, total, cached, cache_creation, reasoning, image, requests]: [Option<u64>; 8],
) -> Tokens {
    Tokens { input, output, total, cached, cache_creation, reasoning, image, requests }
}

impl Field {
    pub(crate) fn record(&self, span: &Span) {
        match self {
            Field::Text(at, text) => TEXTS[*at].1(span, text),
            Field::Count(at, count) => COUNTS[*at].1(span, *count),
            Field::Number(at, number) => NUMBERS[*at].1(span, *number),
            Field::Flag(at, flag) => FLAGS[*at].1(span, *flag),
            Field::Value(at, value) => VALUES[*at].1(span, value),
            Field::Seed(seed) => _ = span.seed(*seed),
            Field::TraceFlags(flags) => _ = span.trace_flags(*flags),
            Field::SpanKind(kind) => _ = span.span_kind(*kind),
            Field::Scope(name, version) => _ = span.scope(name, version),
            Field::Label(name, word) => _ = span.label(name, word),
            Field::Deadline(deadline) => _ = span.deadline(*deadline),
            Field::TimeToFirstToken(time) => _ = span.time_to_first_token(*time),
            Field::ExecutionTime(time) => _ = span.execution_time(*time),
            Field::Tokens(tokens) => _ = span.tokens(*tokens),
            Field::Cost([input, output, total, cached_discount, reasoning], [currency, pricing_date]) => {
                let (currency, pricing_date) = (currency.as_deref(), pricing_date.as_deref());
                let (input, output, total) = (*input, *output, *total);
                let (cached_discount, reasoning) = (*cached_discount, *reasoning);
                span.cost(Cost { input, output, total, cached_discount, reasoning, currency, pricing_date });
            }
            Field::ToolCall([id, function_name, status], texts, duration_ms, retry_count) => {
                let [arguments_hash, error_type, external_api, arguments_raw, result_raw] =
                    texts.each_ref().map(Option::as_deref);
                let (duration_ms, retry_count) = (*duration_ms, *retry_count);
                span.tool_call(&ToolCall {
                    id,
                    function_name,
                    status,
                    arguments_hash,
                    error_type,
                    duration_ms,
                    retry_count,
                    external_api,
                    arguments_raw,
                    result_raw,
                });
            }
            Field::ReasoningStep(step_index, reasoning_tokens, duration_ms, content_hash) => {
                let (step_index, reasoning_tokens) = (*step_index, *reasoning_tokens);
                let (duration_ms, content_hash) = (*duration_ms, content_hash.as_deref());
                span.reasoning_step(&ReasoningStep {
                    step_index,
                    reasoning_tokens,
                    duration_ms,
                    content_hash,
                });
            }
            Field::DecisionPoint([id, decision_type, chosen_option], options, rationale) => {
                let options: Vec<&str> = options.iter().map(|option| &option[..]).collect();
                let (options_considered, rationale) = (&options[..], rationale.as_deref());
                let decision =
                    DecisionPoint { id, decision_type, options_considered, chosen_option, rationale };
                span.decision_point(&decision);
            }
            Field::Quality(name, payload) => _ = span.quality(name, payload),
            Field::Replay(slot, value) => _ = span.replay(*slot, value),
            Field::AudioInput(data, format) => _ = span.audio_input(data, format),
            Field::AudioOutput(data, format) => _ = span.audio_output(data, format),
        }
    }

    /// What it says, key by key.
    pub(crate) fn said(&self) -> Vec<(&'static str, Value)> {
        let one = |key, value: Value| vec![(key, value)];
        match self {
            Field::Text(at, text) => one(TEXTS[*at].0, text.as_str().into()),
            Field::Count(at, count) => one(COUNTS[*at].0, Value::U64(*count)),
            Field::Number(at, number) => one(NUMBERS[*at].0, Value::F64(*number)),
            Field::Flag(at, flag) => one(FLAGS[*at].0, Value::Bool(*flag)),
            Field::Value(at, value) => one(VALUES[*at].0, encoded(value)),
            Field::Seed(seed) => one(names::REQUEST_SEED, Value::I64(*seed)),
            Field::TraceFlags(flags) => one(names::TRACE_FLAGS, Value::U64((*flags).into())),
            Field::SpanKind(kind) => one(names::SPAN_KIND, kind.name().into()),
            Field::Scope(name, version) => {
                vec![
                    (names::SCOPE_NAME, name.as_str().into()),
                    (names::SCOPE_VERSION, version.as_str().into()),
                ]
            }
            Field::Label(name, word) => one(names::LABELS, map([(name, word.as_str().into())])),
            Field::Deadline(deadline) => one(names::DEADLINE, nanos(deadline).into()),
            Field::TimeToFirstToken(time) => {
                one(names::RESPONSE_TIME_TO_FIRST_CHUNK, time.as_secs_f64().into())
            }
            Field::ExecutionTime(time) => one(names::TOOL_EXECUTION_MS, (time.as_secs_f64() * 1e3).into()),
            Field::Tokens(tokens) => said([
                (names::USAGE_INPUT_TOKENS, tokens.input.map(Value::U64)),
                (names::USAGE_OUTPUT_TOKENS, tokens.output.map(Value::U64)),
                (names::USAGE_TOTAL_TOKENS, tokens.total.map(Value::U64)),
                (names::USAGE_CACHED_TOKENS, tokens.cached.map(Value::U64)),
                (names::USAGE_CACHE_CREATION_TOKENS, tokens.cache_creation.map(Value::U64)),
                (names::USAGE_REASONING_TOKENS, tokens.reasoning.map(Value::U64)),
                (names::USAGE_IMAGE_TOKENS, tokens.image.map(Value::U64)),
                (names::USAGE_REQUESTS, tokens.requests.map(Value::U64)),
            ]),
            Field::Cost([input, output, total, discount, reasoning], [currency, date]) => said([
                (names::COST_INPUT, input.map(Value::F64)),
                (names::COST_OUTPUT, output.map(Value::F64)),
                (names::COST_TOTAL, total.map(Value::F64)),
                (names::COST_CACHED_DISCOUNT, discount.map(Value::F64)),
                (names::COST_REASONING, reasoning.map(Value::F64)),
                (names::COST_CURRENCY, currency.clone().map(Value::Str)),
                (names::COST_PRICING_DATE, date.clone().map(Value::Str)),
            ]),
            Field::ToolCall([id, function, status], texts, ms, retries) => {
                let [hash, error, api, arguments, result] = texts.clone().map(|text| text.map(Value::Str));
                let pairs = said([
                    ("tool_call_id", Some(id.as_str().into())),
                    ("function_name", Some(function.as_str().into())),
                    ("status", Some(status.as_str().into())),
                    ("arguments_hash", hash),
                    ("error_type", error),
                    ("duration_ms", ms.map(Value::F64)),
                    ("retry_count", retries.map(Value::U64)),
                    ("external_api", api),
                    ("arguments_raw", arguments),
                    ("result_raw", result),
                ]);
                one(names::TOOL_CALLS, map(pairs))
            }
            Field::ReasoningStep(index, tokens, ms, hash) => {
                let pairs = said([
                    ("step_index", Some(Value::U64(*index))),
                    ("reasoning_tokens", Some(Value::U64(*tokens))),
                    ("duration_ms", ms.map(Value::F64)),
                    ("content_hash", hash.clone().map(Value::Str)),
                ]);
                one(names::REASONING_STEPS, map(pairs))
            }
            Field::DecisionPoint([id, kind, chosen], options, rationale) => {
                let pairs = said([
                    ("decision_id", Some(id.as_str().into())),
                    ("decision_type", Some(kind.as_str().into())),
                    ("options_considered", Some(options.clone().into())),
                    ("chosen_option", Some(chosen.as_str().into())),
                    ("rationale", rationale.clone().map(Value::Str)),
                ]);
                one(names::DECISIONS, map(pairs))
            }
            Field::Quality(name, payload) => {
                one(names::QUALITY, map([("name", name.as_str().into()), ("payload", payload.clone())]))
            }
            Field::Replay(slot, value) => one(names::REPLAY, map([(slot.name(), value.clone())])),
            Field::AudioInput(data, format) => one(names::INPUT, audio(data, format)),
            Field::AudioOutput(data, format) => one(names::OUTPUT, audio(data, format)),
        }
    }
}

fn nanos(duration: &Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn audio(data: &str, format: &str) -> Value {
    map([("data", data.into()), ("format", format.into())])
}

/// A map that was encoded.
fn map<K: AsRef<str>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Value {
    Value::Map(pairs.into_iter().map(|(key, value)| (key.as_ref().to_owned(), encoded(&value))).collect())
}

/// What was said, without what was not.
fn said<const N: usize>(pairs: [(&'static str, Option<Value>); N]) -> Vec<(&'static str, Value)> {
    pairs.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}
