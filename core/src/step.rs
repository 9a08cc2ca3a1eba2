//! Steps of a span that have no span of their own: calls of tools, reasoning, decisions; and what is needed to run it again.

use serde::Serialize;

/// A call of a tool that has no span of its own.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct ToolCall<'a> {
    /// The model's identity of the call.
    #[serde(rename = "tool_call_id")]
    pub id: &'a str,
    /// What was called.
    pub function_name: &'a str,
    /// How it went: `success`, `error`, `timeout`, `cancelled`.
    pub status: &'a str,
    /// A hash of the arguments, 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments_hash: Option<&'a str>,
    /// The class of error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_type: Option<&'a str>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<f64>,
    /// How often it was tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_count: Option<u64>,
    /// Whose interface it is, where it is not the program's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_api: Option<&'a str>,
    /// The arguments, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments_raw: Option<&'a str>,
    /// The result, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_raw: Option<&'a str>,
}

/// A step of reasoning that has no span of its own.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct ReasoningStep<'a> {
    /// Which one it is, counted from 0.
    pub step_index: u64,
    /// How many tokens it took.
    pub reasoning_tokens: u64,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<f64>,
    /// A hash of what was thought, 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<&'a str>,
}

/// A decision that has no span of its own.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct DecisionPoint<'a> {
    /// Its identity.
    #[serde(rename = "decision_id")]
    pub id: &'a str,
    /// `tool_selection`, `route_choice`, `loop_termination`, `escalation`.
    pub decision_type: &'a str,
    /// What there was to choose from.
    pub options_considered: &'a [&'a str],
    /// What was chosen.
    pub chosen_option: &'a str,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rationale: Option<&'a str>,
}

macro_rules! slots {
    ($($(#[$doc:meta])* $slot:ident = $name:literal,)*) => {
        /// One of the things that are needed to run a span again.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum ReplaySlot {
            $($(#[$doc])* $slot,)*
        }

        impl ReplaySlot {
            /// All of them.
            pub const ALL: &[ReplaySlot] = &[$(ReplaySlot::$slot),*];

            /// The name in a snapshot.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ReplaySlot::$slot => $name,)*
                }
            }
        }
    };
}

slots! {
    /// The request to the model.
    LlmRequest = "llm_request",
    /// Its answer.
    LlmResponse = "llm_response",
    /// The parts of a streamed answer.
    LlmStreamingChunks = "llm_streaming_chunks",
    /// What is known about the model.
    ModelInfo = "model_info",
    /// When the request was made.
    RequestTimestamp = "request_timestamp",
    /// The tool's name.
    ToolName = "tool_name",
    /// What the tool does.
    ToolDescription = "tool_description",
    /// What the tool was given.
    ToolInput = "tool_input",
    /// What the tool gave back.
    ToolOutput = "tool_output",
    /// Whether running it again would change anything.
    HasSideEffects = "has_side_effects",
    /// What was looked for.
    RetrievalQuery = "retrieval_query",
    /// What was found.
    RetrievedDocuments = "retrieved_documents",
    /// How well it fits.
    RetrievalScores = "retrieval_scores",
    /// Anything else about the retrieval.
    RetrievalMetadata = "retrieval_metadata",
    /// The system prompt.
    SystemPrompt = "system_prompt",
    /// The tools that there were.
    AvailableTools = "available_tools",
    /// What the agent remembered.
    AgentMemory = "agent_memory",
    /// How the agent was configured.
    AgentConfig = "agent_config",
}
