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
//!
//! Each key has a [`Class`], which says whether its values are content: what [`Capture`](crate::redaction::Capture) can turn off.

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

/// Whether values are content: what passes through the work, and not what is said about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// They say something about the work: how long, how much, whose, what went wrong.
    About,
    /// They are what passes through it: what was said to models, tools and people, and what those said.
    Content,
    /// They are maps, or lists of such, in which what stands under these keys is no content.
    Mixed(&'static [&'static str]),
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
    ($($(#[$doc:meta])* $name:ident = $key:literal $class:ident $([$($part:literal),*])? $($combine:ident)?;)*) => {
        $($(#[$doc])* pub const $name: &str = $key;)*

        /// Every name, and what several values of it come to.
        pub const ALL: &[(&str, Combine)] = &[$(($name, names!(@ $($combine)?))),*];

        /// Whether what is set under `key` is content; `None` for a key that is not listed here.
        pub fn class(key: &str) -> Option<Class> {
            match key {
                $($key => Some(names!(@ $class $([$($part),*])?)),)*
                _ => None,
            }
        }
    };
    (@) => { Combine::Last };
    (@ Merge) => { Combine::Merge };
    (@ Append) => { Combine::Append };
    (@ about) => { Class::About };
    (@ content) => { Class::Content };
    (@ mixed[$($part:literal),*]) => { Class::Mixed(&[$($part),*]) };
}

names! {
    /// What a span was given: its prompt, arguments, start payload.
    INPUT = "spanring.input" content Merge;
    /// What a span is given if it is never started explicitly.
    DEFAULT_INPUT = "spanring.input.default" content Merge;
    /// What came of a span: its completion, result, finish payload.
    OUTPUT = "spanring.output" content Merge;
    /// What the user wants to know about a span or trace later.
    METADATA = "spanring.metadata" about Merge;
    /// Words to find spans by.
    TAGS = "spanring.tags" about Append;
    /// Pairs of words to find spans by.
    LABELS = "spanring.labels" about Merge;
    /// The free name of what kind of work this is, beside the kind: `agent:llm_call`.
    TYPE = "spanring.type" about;
    /// The kind of work, for receivers that know no other place for it.
    KIND = "spanring.kind" about;
    /// When the span was to be done at the latest, in nanoseconds after its start.
    DEADLINE = "spanring.deadline_ns" about;

    /// The session of a user.
    SESSION_ID = "session.id" about;
    /// The conversation or thread.
    CONVERSATION_ID = "gen_ai.conversation.id" about;
    /// The user on whose behalf.
    USER_ID = "user.id" about;
    /// The organization on whose behalf.
    ORGANIZATION_ID = "spanring.organization.id" about;
    /// The team on whose behalf.
    TEAM_ID = "spanring.team.id" about;
    /// Who acts.
    ACTOR_ID = "spanring.actor.id" about;
    /// What links several traces.
    GROUP_ID = "spanring.group.id" about;
    /// The workflow that a trace is a run of.
    WORKFLOW_NAME = "gen_ai.workflow.name" about;
    /// The run of an agent.
    RUN_ID = "spanring.run.id" about;
    /// What another system says a run came to: steps, calls, tokens, cost. Roll-ups do not count it.
    RUN_TOTALS = "spanring.run.totals" about Merge;
    /// The span's identity in another system, verbatim.
    FOREIGN_SPAN_ID = "spanring.foreign.span_id" about;
    /// The trace's identity in another system, verbatim.
    FOREIGN_TRACE_ID = "spanring.foreign.trace_id" about;
    /// The parent's identity in another system, verbatim.
    FOREIGN_PARENT_ID = "spanring.foreign.parent_id" about;
    /// The status in another system, verbatim, where it says more than ours.
    FOREIGN_STATUS = "spanring.foreign.status" about;
    /// OpenTelemetry's span kind: `internal`, `server`, `client`, `producer`, `consumer`.
    SPAN_KIND = "spanring.span_kind" about;
    /// W3C trace state.
    TRACE_STATE = "spanring.trace_state" about;
    /// W3C trace flags, with OpenTelemetry's bits above them.
    TRACE_FLAGS = "spanring.trace_flags" about;
    /// The `traceparent` that a request came with.
    INCOMING_TRACEPARENT = "spanring.incoming_traceparent" about;
    /// The name of the library that recorded the span.
    SCOPE_NAME = "spanring.scope.name" about;
    /// The version of the library that recorded the span.
    SCOPE_VERSION = "spanring.scope.version" about;
    /// What else is known about the library that recorded the span: a map.
    SCOPE_ATTRIBUTES = "spanring.scope.attributes" about;
    /// Where it is said which names the library's attributes have.
    SCOPE_SCHEMA_URL = "spanring.scope.schema_url" about;
    /// Of a resource: where it is said which names its attributes have.
    SCHEMA_URL = "spanring.schema_url" about;
    /// How many attributes were left out because of a limit.
    DROPPED_ATTRIBUTES = "spanring.dropped.attributes" about;
    /// How many events were left out because of a limit.
    DROPPED_EVENTS = "spanring.dropped.events" about;
    /// How many links were left out because of a limit.
    DROPPED_LINKS = "spanring.dropped.links" about;

    /// The class of error.
    ERROR_TYPE = "error.type" about;
    /// The stack trace of an error.
    ERROR_STACKTRACE = "exception.stacktrace" about;
    /// The category of an error: `timeout_error`.
    ERROR_CATEGORY = "spanring.error.category" about;
    /// Anything else about an error.
    ERROR_DATA = "spanring.error.data" about Merge;
    /// What caused an error, the nearest first.
    ERROR_CAUSES = "spanring.error.causes" about Append;

    /// What is done, in OpenTelemetry's words: `chat`, `execute_tool`.
    OPERATION_NAME = "gen_ai.operation.name" about;
    /// Who provides the model.
    PROVIDER_NAME = "gen_ai.provider.name" about;
    /// The provider's name where it is none that is well known.
    CUSTOM_PROVIDER = "spanring.provider.custom" about;
    /// The model that was asked for.
    REQUEST_MODEL = "gen_ai.request.model" about;
    /// The model that answered.
    RESPONSE_MODEL = "gen_ai.response.model" about;
    /// The version of the model.
    MODEL_VERSION = "spanring.model.version" about;
    /// The temperature.
    REQUEST_TEMPERATURE = "gen_ai.request.temperature" about;
    /// The nucleus to sample from.
    REQUEST_TOP_P = "gen_ai.request.top_p" about;
    /// How many tokens to sample from; how many documents to retrieve.
    REQUEST_TOP_K = "gen_ai.request.top_k" about;
    /// How many tokens may be generated.
    REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens" about;
    /// What ends the generation.
    REQUEST_STOP_SEQUENCES = "gen_ai.request.stop_sequences" about;
    /// The seed.
    REQUEST_SEED = "gen_ai.request.seed" about;
    /// The frequency penalty.
    REQUEST_FREQUENCY_PENALTY = "gen_ai.request.frequency_penalty" about;
    /// The presence penalty.
    REQUEST_PRESENCE_PENALTY = "gen_ai.request.presence_penalty" about;
    /// How many candidates to generate.
    REQUEST_CHOICE_COUNT = "gen_ai.request.choice.count" about;
    /// Whether the answer is to be streamed.
    REQUEST_STREAM = "gen_ai.request.stream" about;
    /// Parameters of the model that have no name of their own.
    MODEL_PARAMETERS = "spanring.model.parameters" about Merge;
    /// The provider's identity of the answer.
    RESPONSE_ID = "gen_ai.response.id" about;
    /// Why the generation ended, for each candidate.
    RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons" about Append;
    /// How long the first part of the answer took, in seconds.
    RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk" about;
    /// The text of the answer.
    RESPONSE_CONTENT = "spanring.response.content" content;
    /// The instructions, apart from the messages.
    SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions" content;
    /// The messages given to the model.
    INPUT_MESSAGES = "gen_ai.input.messages" content;
    /// The messages that the model answered with.
    OUTPUT_MESSAGES = "gen_ai.output.messages" content;
    /// The messages that an agent's run began with.
    INITIAL_MESSAGES = "spanring.messages.initial" content;
    /// The messages that an agent's run ended with.
    FINAL_MESSAGES = "spanring.messages.final" content;
    /// What kind of output was asked for: `text`, `json`, `image`, `speech`.
    OUTPUT_TYPE = "gen_ai.output.type" about;

    /// Tokens of the input, cached ones included.
    USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens" about;
    /// Tokens of the output, those of reasoning included.
    USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens" about;
    /// Tokens in all, where the provider says so.
    USAGE_TOTAL_TOKENS = "spanring.usage.total_tokens" about;
    /// Tokens of the input that came from the provider's cache.
    USAGE_CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens" about;
    /// Tokens of the input that were written to the provider's cache.
    USAGE_CACHE_CREATION_TOKENS = "gen_ai.usage.cache_creation.input_tokens" about;
    /// Tokens of the output that were reasoning.
    USAGE_REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens" about;
    /// Tokens of images.
    USAGE_IMAGE_TOKENS = "spanring.usage.image_tokens" about;
    /// How many requests the usage is the sum of.
    USAGE_REQUESTS = "spanring.usage.requests" about;
    /// Anything else that a provider says about usage.
    USAGE_DETAILS = "spanring.usage.details" about Merge;

    /// What the input cost.
    COST_INPUT = "spanring.cost.input" about;
    /// What the output cost.
    COST_OUTPUT = "spanring.cost.output" about;
    /// What it cost in all.
    COST_TOTAL = "spanring.cost.total" about;
    /// What caching saved.
    COST_CACHED_DISCOUNT = "spanring.cost.cached_discount" about;
    /// What reasoning cost.
    COST_REASONING = "spanring.cost.reasoning" about;
    /// The currency, ISO 4217; US dollars where it is not said.
    COST_CURRENCY = "spanring.cost.currency" about;
    /// The date of the prices: `2026-11-20`.
    COST_PRICING_DATE = "spanring.cost.pricing_date" about;

    /// The tool's name.
    TOOL_NAME = "gen_ai.tool.name" about;
    /// What the tool does.
    TOOL_DESCRIPTION = "gen_ai.tool.description" about;
    /// `function`, `extension`, `datastore`, `retriever`.
    TOOL_TYPE = "gen_ai.tool.type" about;
    /// The model's identity of this call.
    TOOL_CALL_ID = "gen_ai.tool.call.id" about;
    /// The arguments.
    TOOL_CALL_ARGUMENTS = "gen_ai.tool.call.arguments" content;
    /// The result.
    TOOL_CALL_RESULT = "gen_ai.tool.call.result" content;
    /// The schema of the arguments.
    TOOL_SCHEMA = "spanring.tool.schema" about;
    /// How often the call was tried again.
    TOOL_RETRIES = "spanring.tool.retries" about;
    /// How long the tool itself took, in milliseconds.
    TOOL_EXECUTION_MS = "spanring.tool.execution_ms" about;
    /// Whether the tool is somebody else's.
    TOOL_EXTERNAL = "spanring.tool.external" about;
    /// The tools that a model may call.
    TOOL_DEFINITIONS = "gen_ai.tool.definitions" about;
    /// Calls of tools that have no span of their own.
    TOOL_CALLS = "spanring.tool_calls" mixed["tool_call_id", "function_name", "status", "arguments_hash", "error_type", "duration_ms", "retry_count", "external_api"] Append;
    /// The MCP server.
    MCP_SERVER = "spanring.mcp.server" about;
    /// What a call through MCP carried beside.
    MCP_DATA = "spanring.mcp.data" content Merge;

    /// What was looked for.
    RETRIEVAL_QUERY = "gen_ai.retrieval.query.text" content;
    /// What was found.
    RETRIEVAL_DOCUMENTS = "gen_ai.retrieval.documents" content;
    /// How well each document fits.
    RETRIEVAL_SCORES = "spanring.retrieval.scores" about;
    /// How many documents were found.
    RETRIEVAL_DOCUMENT_COUNT = "spanring.retrieval.document_count" about;
    /// Anything else about the retrieval.
    RETRIEVAL_METADATA = "spanring.retrieval.metadata" about Merge;
    /// Where it was looked for.
    DATA_SOURCE_ID = "gen_ai.data_source.id" about;
    /// How many dimensions an embedding has.
    EMBEDDING_DIMENSIONS = "gen_ai.embeddings.dimension.count" about;

    /// The agent's name.
    AGENT_NAME = "gen_ai.agent.name" about;
    /// The agent's identity.
    AGENT_ID = "gen_ai.agent.id" about;
    /// What the agent does.
    AGENT_DESCRIPTION = "gen_ai.agent.description" about;
    /// The agent's version.
    AGENT_VERSION = "gen_ai.agent.version" about;
    /// How the agent is configured.
    AGENT_CONFIG = "spanring.agent.config" content Merge;
    /// How often the agent went round.
    AGENT_ITERATIONS = "spanring.agent.iterations" about;
    /// The agents that it can hand over to.
    AGENT_HANDOFFS = "spanring.agent.handoffs" about;
    /// The names of its tools.
    AGENT_TOOLS = "spanring.agent.tools" about;
    /// The type of its result, as its program calls it.
    AGENT_OUTPUT_TYPE = "spanring.agent.output_type" about;
    /// Why its run ended.
    TERMINATION_REASON = "spanring.agent.termination_reason" about;
    /// The number of a step or turn.
    STEP_INDEX = "spanring.step.index" about;
    /// The name of a step.
    STEP_NAME = "spanring.step.name" about;
    /// Steps of reasoning that have no span of their own.
    REASONING_STEPS = "spanring.reasoning_steps" mixed["step_index", "reasoning_tokens", "duration_ms", "content_hash"] Append;
    /// Decisions that have no span of their own.
    DECISIONS = "spanring.decisions" mixed["decision_id", "decision_type"] Append;
    /// How good the work was: records of a name and a payload.
    QUALITY = "spanring.quality" about Append;

    /// The guardrail's name.
    GUARDRAIL_NAME = "spanring.guardrail.name" about;
    /// Whether the guardrail was triggered.
    GUARDRAIL_TRIGGERED = "spanring.guardrail.triggered" about;
    /// The agent that handed over.
    HANDOFF_FROM = "spanring.handoff.from" about;
    /// The agent that took over.
    HANDOFF_TO = "spanring.handoff.to" about;
    /// When the first audio came, in nanoseconds since the Unix epoch.
    FIRST_CONTENT = "spanring.speech.first_content_unix_ns" about;
    /// What is needed to run a span again, by slot.
    REPLAY = "spanring.replay" mixed["model_info", "request_timestamp", "tool_name", "has_side_effects", "retrieval_scores"] Merge;

    /// How a span stands, for receivers that know no other place for it: `cancelled`, `timed_out`.
    STATUS = "spanring.status" about;
    /// What was said about a status that is no error, for receivers that have a place only for what is said about errors.
    STATUS_MESSAGE = "spanring.status_message" about;
    /// That a span was made and never started, for receivers that know no other place for it.
    PENDING = "spanring.pending" about;
    /// That a span's process died before the span ended, for receivers that know no other place for it.
    INTERRUPTED = "spanring.interrupted" about;
    /// How many of a span's values were cut or left out, for receivers that know no other place for it.
    CUT = "spanring.cut" about;
    /// The spans that a span is linked to, for receivers that know no other place for them.
    LINKS = "spanring.links" about;
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
        assert_eq!(class("spanring.unknown"), None);
        assert_eq!(combine("spanring.unknown"), Combine::Last);
        assert_eq!(combine("input"), Combine::Last);
    }

    #[test]
    fn each_name_has_a_class_and_what_is_said_to_models_and_tools_is_content() {
        let content = [
            INPUT,
            DEFAULT_INPUT,
            OUTPUT,
            RESPONSE_CONTENT,
            SYSTEM_INSTRUCTIONS,
            INPUT_MESSAGES,
            OUTPUT_MESSAGES,
            INITIAL_MESSAGES,
            FINAL_MESSAGES,
            TOOL_CALL_ARGUMENTS,
            TOOL_CALL_RESULT,
            MCP_DATA,
            RETRIEVAL_QUERY,
            RETRIEVAL_DOCUMENTS,
            AGENT_CONFIG,
        ];
        let mixed = [TOOL_CALLS, REASONING_STEPS, DECISIONS, REPLAY];
        for (name, _) in ALL {
            match class(name) {
                Some(Class::Content) => assert!(content.contains(name), "{name}"),
                Some(Class::Mixed(parts)) => assert!(mixed.contains(name) && !parts.is_empty(), "{name}"),
                Some(Class::About) => assert!(!content.contains(name) && !mixed.contains(name), "{name}"),
                None => panic!("{name} has no class"),
            }
        }
    }
}
