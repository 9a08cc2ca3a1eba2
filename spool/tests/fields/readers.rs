//! What `SpanData` has a method for: the call that records it, and how it is read.

use spanring::ReplaySlot;
use spanring_spool::{SpanData, Value};

/// A call, the place where its value is found, and the method that reads it.
type Reader = (&'static str, &'static str, fn(&SpanData) -> Value);

macro_rules! readers {
    ($($call:ident $place:literal |$span:ident| $read:expr;)*) => {
        &[$((stringify!($call), $place, |$span| Value::from($read))),*]
    };
}

pub(crate) const ALL: &[Reader] = readers! {
    input "spanring.input" |span| span.input().cloned();
    output "spanring.output" |span| span.output().cloned();
    metadata "spanring.metadata" |span| span.metadata().cloned();
    tag "spanring.tags" |span| span.tags();
    label "spanring.labels" |span| Value::from_iter(span.labels());
    type_name "spanring.type" |span| span.type_name();
    session "session.id" |span| span.session();
    conversation "gen_ai.conversation.id" |span| span.conversation();
    user "user.id" |span| span.user();
    organization "spanring.organization.id" |span| span.organization();
    team "spanring.team.id" |span| span.team();
    actor "spanring.actor.id" |span| span.actor();
    group "spanring.group.id" |span| span.group();
    workflow "gen_ai.workflow.name" |span| span.workflow();
    run_id "spanring.run.id" |span| span.run_id();
    foreign_span_id "spanring.foreign.span_id" |span| span.foreign_span_id();
    foreign_trace_id "spanring.foreign.trace_id" |span| span.foreign_trace_id();
    foreign_parent_id "spanring.foreign.parent_id" |span| span.foreign_parent_id();
    foreign_status "spanring.foreign.status" |span| span.foreign_status();
    trace_state "spanring.trace_state" |span| span.trace_state();
    link_with "LinkData::attributes.spanring.trace_state" |span| span.links[0].trace_state();
    model "gen_ai.request.model" |span| span.model();
    response_model "gen_ai.response.model" |span| span.response_model();
    model_version "spanring.model.version" |span| span.model_version();
    provider "gen_ai.provider.name" |span| span.provider();
    operation "gen_ai.operation.name" |span| span.operation();
    temperature "gen_ai.request.temperature" |span| span.temperature();
    top_p "gen_ai.request.top_p" |span| span.top_p();
    top_k "gen_ai.request.top_k" |span| span.top_k();
    max_tokens "gen_ai.request.max_tokens" |span| span.max_tokens();
    stop_sequences "gen_ai.request.stop_sequences" |span| span.stop_sequences();
    parameters "spanring.model.parameters" |span| span.parameters().cloned();
    response_id "gen_ai.response.id" |span| span.response_id();
    finish_reason "gen_ai.response.finish_reasons" |span| span.finish_reasons();
    response_content "spanring.response.content" |span| span.response_content().cloned();
    system_instructions "gen_ai.system_instructions" |span| span.system_instructions().cloned();
    input_messages "gen_ai.input.messages" |span| span.input_messages().cloned();
    output_messages "gen_ai.output.messages" |span| span.output_messages().cloned();
    tokens "gen_ai.usage.input_tokens" |span| span.tokens().unwrap().input;
    tokens "gen_ai.usage.output_tokens" |span| span.tokens().unwrap().output;
    tokens "spanring.usage.total_tokens" |span| span.tokens().unwrap().total;
    tokens "gen_ai.usage.cache_read.input_tokens" |span| span.tokens().unwrap().cached;
    tokens "gen_ai.usage.cache_creation.input_tokens" |span| span.tokens().unwrap().cache_creation;
    tokens "gen_ai.usage.reasoning.output_tokens" |span| span.tokens().unwrap().reasoning;
    tokens "spanring.usage.image_tokens" |span| span.tokens().unwrap().image;
    tokens "spanring.usage.requests" |span| span.tokens().unwrap().requests;
    usage_details "spanring.usage.details" |span| span.usage_details().cloned();
    cost "spanring.cost.input" |span| span.cost().unwrap().input;
    cost "spanring.cost.output" |span| span.cost().unwrap().output;
    cost "spanring.cost.total" |span| span.cost().unwrap().total;
    cost "spanring.cost.cached_discount" |span| span.cost().unwrap().cached_discount;
    cost "spanring.cost.reasoning" |span| span.cost().unwrap().reasoning;
    cost "spanring.cost.currency" |span| span.cost().unwrap().currency;
    cost "spanring.cost.pricing_date" |span| span.cost().unwrap().pricing_date;
    tool_name "gen_ai.tool.name" |span| span.tool_name();
    call_id "gen_ai.tool.call.id" |span| span.call_id();
    arguments "gen_ai.tool.call.arguments" |span| span.arguments().cloned();
    result "gen_ai.tool.call.result" |span| span.result().cloned();
    mcp_server "spanring.mcp.server" |span| span.mcp_server();
    tool_call "spanring.tool_calls" |span| span.tool_calls().to_vec();
    query "gen_ai.retrieval.query.text" |span| span.query();
    data_source "gen_ai.data_source.id" |span| span.data_source();
    documents "gen_ai.retrieval.documents" |span| span.documents().cloned();
    document_count "spanring.retrieval.document_count" |span| span.document_count();
    scores "spanring.retrieval.scores" |span| span.scores().cloned();
    dimensions "gen_ai.embeddings.dimension.count" |span| span.dimensions();
    agent_name "gen_ai.agent.name" |span| span.agent_name();
    agent_id "gen_ai.agent.id" |span| span.agent_id();
    iterations "spanring.agent.iterations" |span| span.iterations();
    run_totals "spanring.run.totals" |span| span.run_totals().cloned();
    termination_reason "spanring.agent.termination_reason" |span| span.termination_reason();
    step_index "spanring.step.index" |span| span.step_index();
    step_name "spanring.step.name" |span| span.step_name();
    reasoning_step "spanring.reasoning_steps" |span| span.reasoning_steps().to_vec();
    decision_point "spanring.decisions" |span| span.decision_points().to_vec();
    quality "spanring.quality[].name" |span| span.quality()[0].get("name").cloned();
    guardrail_name "spanring.guardrail.name" |span| span.guardrail_name();
    triggered "spanring.guardrail.triggered" |span| span.triggered();
    handoff_from "spanring.handoff.from" |span| span.handoff_from();
    handoff_to "spanring.handoff.to" |span| span.handoff_to();
    replay "spanring.replay.llm_request" |span| span.replay(ReplaySlot::LlmRequest).cloned();
    replay "spanring.replay.agent_config" |span| span.replay(ReplaySlot::AgentConfig).cloned();
    fail "SpanData::status_message" |span| span.error_message();
    error_type "error.type" |span| span.error_type();
    stack_trace "exception.stacktrace" |span| span.stack_trace();
    error_category "spanring.error.category" |span| span.error_category();
    error_data "spanring.error.data" |span| span.error_data().cloned();
    error_cause "spanring.error.causes" |span| span.error_causes();
};
