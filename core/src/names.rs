//! The keys of attributes that have a meaning.
//!
//! Where OpenTelemetry has a name for something, that is the name here: its semantic conventions 1.42.0, the part on generative
//! AI included, which is not stable yet. What it has no name for is under `spanring.`. Keys under `spanring.` that are not listed
//! here are reserved.
//!
//! A key is written by the method of [`Span`](crate::Span) of about the same name. Setting the key with
//! [`set`](crate::Span::set) comes to the same.
//!
//! | set more than once | |
//! |---|---|
//! | [`Combine::Last`] | the last value counts |
//! | [`Combine::Merge`] | maps are merged, not deeply: a key's last value counts. Anything else replaces what was there |
//! | [`Combine::Append`] | the values make one list, in order; a list adds its items |
//!
//! Values are combined when a span is read, and not while it is recorded. One that failed to be encoded takes nothing from those before
//! it.

/// What several values of one key come to when a span is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Combine {
    /// The last value counts.
    Last,
    /// Maps are merged, and a key's last value counts; anything else replaces what was there.
    Merge,
    /// The values make one list, in order; a list adds its items.
    Append,
}

/// The version of OpenTelemetry's semantic conventions that the names follow.
pub const CONVENTIONS: &str = "1.42.0";

/// What comes of several values of `key`.
pub fn combine(key: &str) -> Combine {
    // Most keys are none of these, and most of those that are begin so.
    if !key.starts_with("spanring.") && key != RESPONSE_FINISH_REASONS {
        return Combine::Last;
    }
    ALL.iter().find(|(name, _)| *name == key).map_or(Combine::Last, |&(_, combine)| combine)
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $key:literal $($combine:ident)?;)*) => {
        $($(#[$doc])* pub const $name: &str = $key;)*

        /// Every name, and what several values of it come to.
        pub const ALL: &[(&str, Combine)] = &[$(($name, names!(@ $($combine)?))),*];
    };
    (@) => { Combine::Last };
    (@ $combine:ident) => { Combine::$combine };
}

names! {
    /// What a span was given: its prompt, arguments, start payload.
    INPUT = "spanring.input" Merge;
    /// What a span is given if it is never started explicitly.
    DEFAULT_INPUT = "spanring.input.default" Merge;
    /// What came of a span: its completion, result, finish payload.
    OUTPUT = "spanring.output" Merge;
    /// What the user wants to know about a span or trace later.
    METADATA = "spanring.metadata" Merge;
    /// Words to find spans by.
    TAGS = "spanring.tags" Append;
    /// Pairs of words to find spans by.
    LABELS = "spanring.labels" Merge;
    /// The free name of what kind of work this is, beside the kind: `agent:llm_call`.
    TYPE = "spanring.type";
    /// The kind of work, for receivers that know no other place for it.
    KIND = "spanring.kind";
    /// When the span was to be done at the latest, in nanoseconds after its start.
    DEADLINE = "spanring.deadline_ns";

    /// The session of a user.
    SESSION_ID = "session.id";
    /// The conversation or thread.
    CONVERSATION_ID = "gen_ai.conversation.id";
    /// The user on whose behalf.
    USER_ID = "user.id";
    /// The organization on whose behalf.
    ORGANIZATION_ID = "spanring.organization.id";
    /// The team on whose behalf.
    TEAM_ID = "spanring.team.id";
    /// Who acts.
    ACTOR_ID = "spanring.actor.id";
    /// What links several traces.
    GROUP_ID = "spanring.group.id";
    /// The workflow that a trace is a run of.
    WORKFLOW_NAME = "gen_ai.workflow.name";
    /// The run of an agent.
    RUN_ID = "spanring.run.id";
    /// What another system says a run came to: steps, calls, tokens, cost. Roll-ups do not count it.
    RUN_TOTALS = "spanring.run.totals" Merge;
    /// The span's identity in another system, verbatim.
    FOREIGN_SPAN_ID = "spanring.foreign.span_id";
    /// The trace's identity in another system, verbatim.
    FOREIGN_TRACE_ID = "spanring.foreign.trace_id";
    /// The parent's identity in another system, verbatim.
    FOREIGN_PARENT_ID = "spanring.foreign.parent_id";
    /// The status in another system, verbatim, where it says more than ours.
    FOREIGN_STATUS = "spanring.foreign.status";
    /// OpenTelemetry's span kind: `internal`, `server`, `client`, `producer`, `consumer`.
    SPAN_KIND = "spanring.span_kind";
    /// W3C trace state.
    TRACE_STATE = "spanring.trace_state";
    /// W3C trace flags, with OpenTelemetry's bits above them.
    TRACE_FLAGS = "spanring.trace_flags";
    /// The `traceparent` that a request came with.
    INCOMING_TRACEPARENT = "spanring.incoming_traceparent";
    /// The name of the library that recorded the span.
    SCOPE_NAME = "spanring.scope.name";
    /// The version of the library that recorded the span.
    SCOPE_VERSION = "spanring.scope.version";
    /// How many attributes were left out because of a limit.
    DROPPED_ATTRIBUTES = "spanring.dropped.attributes";
    /// How many events were left out because of a limit.
    DROPPED_EVENTS = "spanring.dropped.events";
    /// How many links were left out because of a limit.
    DROPPED_LINKS = "spanring.dropped.links";

    /// The class of error.
    ERROR_TYPE = "error.type";
    /// The stack trace of an error.
    ERROR_STACKTRACE = "exception.stacktrace";
    /// The category of an error: `timeout_error`.
    ERROR_CATEGORY = "spanring.error.category";
    /// Anything else about an error.
    ERROR_DATA = "spanring.error.data" Merge;
    /// What caused an error, the nearest first.
    ERROR_CAUSES = "spanring.error.causes" Append;

    /// What is done, in OpenTelemetry's words: `chat`, `execute_tool`.
    OPERATION_NAME = "gen_ai.operation.name";
    /// Who provides the model.
    PROVIDER_NAME = "gen_ai.provider.name";
    /// The provider's name where it is none that is well known.
    CUSTOM_PROVIDER = "spanring.provider.custom";
    /// The model that was asked for.
    REQUEST_MODEL = "gen_ai.request.model";
    /// The model that answered.
    RESPONSE_MODEL = "gen_ai.response.model";
    /// The version of the model.
    MODEL_VERSION = "spanring.model.version";
    /// The temperature.
    REQUEST_TEMPERATURE = "gen_ai.request.temperature";
    /// The nucleus to sample from.
    REQUEST_TOP_P = "gen_ai.request.top_p";
    /// How many tokens to sample from; how many documents to retrieve.
    REQUEST_TOP_K = "gen_ai.request.top_k";
    /// How many tokens may be generated.
    REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens";
    /// What ends the generation.
    REQUEST_STOP_SEQUENCES = "gen_ai.request.stop_sequences";
    /// The seed.
    REQUEST_SEED = "gen_ai.request.seed";
    /// The frequency penalty.
    REQUEST_FREQUENCY_PENALTY = "gen_ai.request.frequency_penalty";
    /// The presence penalty.
    REQUEST_PRESENCE_PENALTY = "gen_ai.request.presence_penalty";
    /// How many candidates to generate.
    REQUEST_CHOICE_COUNT = "gen_ai.request.choice.count";
    /// Whether the answer is to be streamed.
    REQUEST_STREAM = "gen_ai.request.stream";
    /// Parameters of the model that have no name of their own.
    MODEL_PARAMETERS = "spanring.model.parameters" Merge;
    /// The provider's identity of the answer.
    RESPONSE_ID = "gen_ai.response.id";
    /// Why the generation ended, for each candidate.
    RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons" Append;
    /// How long the first part of the answer took, in seconds.
    RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk";
    /// The text of the answer.
    RESPONSE_CONTENT = "spanring.response.content";
    /// The instructions, apart from the messages.
    SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions";
    /// The messages given to the model.
    INPUT_MESSAGES = "gen_ai.input.messages";
    /// The messages that the model answered with.
    OUTPUT_MESSAGES = "gen_ai.output.messages";
    /// The messages that an agent's run began with.
    INITIAL_MESSAGES = "spanring.messages.initial";
    /// The messages that an agent's run ended with.
    FINAL_MESSAGES = "spanring.messages.final";
    /// What kind of output was asked for: `text`, `json`, `image`, `speech`.
    OUTPUT_TYPE = "gen_ai.output.type";

    /// Tokens of the input, cached ones included.
    USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens";
    /// Tokens of the output, those of reasoning included.
    USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens";
    /// Tokens in all, where the provider says so.
    USAGE_TOTAL_TOKENS = "spanring.usage.total_tokens";
    /// Tokens of the input that came from the provider's cache.
    USAGE_CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens";
    /// Tokens of the input that were written to the provider's cache.
    USAGE_CACHE_CREATION_TOKENS = "gen_ai.usage.cache_creation.input_tokens";
    /// Tokens of the output that were reasoning.
    USAGE_REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens";
    /// Tokens of images.
    USAGE_IMAGE_TOKENS = "spanring.usage.image_tokens";
    /// How many requests the usage is the sum of.
    USAGE_REQUESTS = "spanring.usage.requests";
    /// Anything else that a provider says about usage.
    USAGE_DETAILS = "spanring.usage.details" Merge;

    /// What the input cost.
    COST_INPUT = "spanring.cost.input";
    /// What the output cost.
    COST_OUTPUT = "spanring.cost.output";
    /// What it cost in all.
    COST_TOTAL = "spanring.cost.total";
    /// What caching saved.
    COST_CACHED_DISCOUNT = "spanring.cost.cached_discount";
    /// What reasoning cost.
    COST_REASONING = "spanring.cost.reasoning";
    /// The currency, ISO 4217; US dollars where it is not said.
    COST_CURRENCY = "spanring.cost.currency";
    /// The date of the prices: `2026-11-20`.
    COST_PRICING_DATE = "spanring.cost.pricing_date";

    /// The tool's name.
    TOOL_NAME = "gen_ai.tool.name";
    /// What the tool does.
    TOOL_DESCRIPTION = "gen_ai.tool.description";
    /// `function`, `extension`, `datastore`, `retriever`.
    TOOL_TYPE = "gen_ai.tool.type";
    /// The model's identity of this call.
    TOOL_CALL_ID = "gen_ai.tool.call.id";
    /// The arguments.
    TOOL_CALL_ARGUMENTS = "gen_ai.tool.call.arguments";
    /// The result.
    TOOL_CALL_RESULT = "gen_ai.tool.call.result";
    /// The schema of the arguments.
    TOOL_SCHEMA = "spanring.tool.schema";
    /// How often the call was tried again.
    TOOL_RETRIES = "spanring.tool.retries";
    /// How long the tool itself took, in milliseconds.
    TOOL_EXECUTION_MS = "spanring.tool.execution_ms";
    /// Whether the tool is somebody else's.
    TOOL_EXTERNAL = "spanring.tool.external";
    /// The tools that a model may call.
    TOOL_DEFINITIONS = "gen_ai.tool.definitions";
    /// Calls of tools that have no span of their own.
    TOOL_CALLS = "spanring.tool_calls" Append;
    /// The MCP server.
    MCP_SERVER = "spanring.mcp.server";
    /// What a call through MCP carried beside.
    MCP_DATA = "spanring.mcp.data" Merge;

    /// What was looked for.
    RETRIEVAL_QUERY = "gen_ai.retrieval.query.text";
    /// What was found.
    RETRIEVAL_DOCUMENTS = "gen_ai.retrieval.documents";
    /// How well each document fits.
    RETRIEVAL_SCORES = "spanring.retrieval.scores";
    /// How many documents were found.
    RETRIEVAL_DOCUMENT_COUNT = "spanring.retrieval.document_count";
    /// Anything else about the retrieval.
    RETRIEVAL_METADATA = "spanring.retrieval.metadata" Merge;
    /// Where it was looked for.
    DATA_SOURCE_ID = "gen_ai.data_source.id";
    /// How many dimensions an embedding has.
    EMBEDDING_DIMENSIONS = "gen_ai.embeddings.dimension.count";

    /// The agent's name.
    AGENT_NAME = "gen_ai.agent.name";
    /// The agent's identity.
    AGENT_ID = "gen_ai.agent.id";
    /// What the agent does.
    AGENT_DESCRIPTION = "gen_ai.agent.description";
    /// The agent's version.
    AGENT_VERSION = "gen_ai.agent.version";
    /// How the agent is configured.
    AGENT_CONFIG = "spanring.agent.config" Merge;
    /// How often the agent went round.
    AGENT_ITERATIONS = "spanring.agent.iterations";
    /// The agents that it can hand over to.
    AGENT_HANDOFFS = "spanring.agent.handoffs";
    /// The names of its tools.
    AGENT_TOOLS = "spanring.agent.tools";
    /// The type of its result, as its program calls it.
    AGENT_OUTPUT_TYPE = "spanring.agent.output_type";
    /// Why its run ended.
    TERMINATION_REASON = "spanring.agent.termination_reason";
    /// The number of a step or turn.
    STEP_INDEX = "spanring.step.index";
    /// The name of a step.
    STEP_NAME = "spanring.step.name";
    /// Steps of reasoning that have no span of their own.
    REASONING_STEPS = "spanring.reasoning_steps" Append;
    /// Decisions that have no span of their own.
    DECISIONS = "spanring.decisions" Append;
    /// How good the work was: records of a name and a payload.
    QUALITY = "spanring.quality" Append;

    /// The guardrail's name.
    GUARDRAIL_NAME = "spanring.guardrail.name";
    /// Whether the guardrail was triggered.
    GUARDRAIL_TRIGGERED = "spanring.guardrail.triggered";
    /// The agent that handed over.
    HANDOFF_FROM = "spanring.handoff.from";
    /// The agent that took over.
    HANDOFF_TO = "spanring.handoff.to";
    /// When the first audio came, in nanoseconds since the Unix epoch.
    FIRST_CONTENT = "spanring.speech.first_content_unix_ns";
    /// What is needed to run a span again, by slot.
    REPLAY = "spanring.replay" Merge;

    /// How a span stands, for receivers that know no other place for it: `cancelled`, `timed_out`.
    STATUS = "spanring.status";
    /// What was said about a status that is no error, for receivers that have a place only for what is said about errors.
    STATUS_MESSAGE = "spanring.status_message";
    /// That a span was made and never started, for receivers that know no other place for it.
    PENDING = "spanring.pending";
    /// That a span's process died before the span ended, for receivers that know no other place for it.
    INTERRUPTED = "spanring.interrupted";
    /// How many of a span's values were cut or left out, for receivers that know no other place for it.
    CUT = "spanring.cut";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_stands_twice_and_each_keeps_its_rule() {
        let names: HashSet<_> = ALL.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), ALL.len());
        for (name, rule) in ALL {
            assert_eq!(combine(name), *rule, "{name}");
            assert!(name.len() <= 112, "{name} would be written out in every span");
        }
        assert_eq!(combine("spanring.unknown"), Combine::Last);
        assert_eq!(combine("input"), Combine::Last);
    }
}
