//! The payloads of events: of spans, of an agent's steps, and of its runs.
//!
//! The fields below "beyond" are not in the SDK's classes, whose readers pass them over, and SpanForge's schema allows them: without
//! them, what is said of steps and runs would be lost.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::error::EventError;
use super::parts::{CostBreakdown, DecisionPoint, ModelInfo, ReasoningStep, SpanEvent, TokenUsage, ToolCall};

/// What an event is about.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum Payload {
    /// A piece of work.
    Span(Box<SpanPayload>),
    /// A step of an agent.
    Step(Box<AgentStepPayload>),
    /// A whole run of an agent.
    Run(Box<AgentRunPayload>),
}

/// A piece of work.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SpanPayload {
    /// Its identity: 16 hexadecimal digits.
    pub span_id: String,
    /// Its trace's: 32 hexadecimal digits.
    pub trace_id: String,
    /// What it is called.
    pub span_name: String,
    /// What kind of work it is.
    pub operation: String,
    /// `CLIENT`, `SERVER`, `INTERNAL`, `CONSUMER` or `PRODUCER`.
    pub span_kind: String,
    /// `ok`, `error` or `timeout`.
    pub status: String,
    /// When it started, in nanoseconds since the Unix epoch.
    pub start_time_unix_nano: u64,
    /// When it ended, likewise.
    pub end_time_unix_nano: u64,
    /// How long it took.
    pub duration_ms: f64,
    /// Calls of tools that have no span.
    #[serde(default)]
    pub tool_calls: Vec<ToolCall>,
    /// Steps of reasoning that have no span.
    #[serde(default)]
    pub reasoning_steps: Vec<ReasoningStep>,
    /// The span that it stands under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// The run of an agent that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_run_id: Option<String>,
    /// The model that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelInfo>,
    /// Tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_usage: Option<TokenUsage>,
    /// What it cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostBreakdown>,
    /// Why the model stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The class of error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Map<String, Json>>,
    /// How the model was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// `agent_error`, `llm_error`, `tool_error`, `timeout_error` or `unknown_error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_category: Option<String>,
    /// What happened meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<SpanEvent>,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The header that the trace came in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incoming_traceparent: Option<String>,
}

/// A step of an agent.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct AgentStepPayload {
    /// The run that it belongs to.
    pub agent_run_id: String,
    /// Which step, counted from 0.
    pub step_index: u64,
    /// Its identity: 16 hexadecimal digits.
    pub span_id: String,
    /// Its trace's: 32 hexadecimal digits.
    pub trace_id: String,
    /// What kind of work it is.
    pub operation: String,
    /// Calls of tools that have no span.
    #[serde(default)]
    pub tool_calls: Vec<ToolCall>,
    /// Steps of reasoning that have no span.
    #[serde(default)]
    pub reasoning_steps: Vec<ReasoningStep>,
    /// Decisions that have no span.
    #[serde(default)]
    pub decision_points: Vec<DecisionPoint>,
    /// `ok`, `error` or `timeout`.
    pub status: String,
    /// When it started, in nanoseconds since the Unix epoch.
    pub start_time_unix_nano: u64,
    /// When it ended, likewise.
    pub end_time_unix_nano: u64,
    /// How long it took.
    pub duration_ms: f64,
    /// The span that it stands under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// The model that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelInfo>,
    /// Tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_usage: Option<TokenUsage>,
    /// What it cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostBreakdown>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The class of error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_name: Option<String>,
    /// Beyond: the category of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_category: Option<String>,
    /// Beyond: what happened meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<SpanEvent>,
    /// Beyond: anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Map<String, Json>>,
}

/// A whole run of an agent.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct AgentRunPayload {
    /// Its identity.
    pub agent_run_id: String,
    /// The agent's name.
    pub agent_name: String,
    /// Its trace's identity: 32 hexadecimal digits.
    pub trace_id: String,
    /// That of its span: 16 hexadecimal digits.
    pub root_span_id: String,
    /// How many steps.
    pub total_steps: u64,
    /// How often a model was called.
    pub total_model_calls: u64,
    /// How often a tool was called.
    pub total_tool_calls: u64,
    /// Tokens of all.
    pub total_token_usage: TokenUsage,
    /// What all cost.
    pub total_cost: CostBreakdown,
    /// `ok`, `error`, `timeout` or `max_steps_exceeded`.
    pub status: String,
    /// When it started, in nanoseconds since the Unix epoch.
    pub start_time_unix_nano: u64,
    /// When it ended, likewise.
    pub end_time_unix_nano: u64,
    /// How long it took.
    pub duration_ms: f64,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_reason: Option<String>,
    /// Beyond: what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Beyond: the class of error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// Beyond: the category of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_category: Option<String>,
    /// Beyond: what happened meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<SpanEvent>,
    /// Beyond: anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Map<String, Json>>,
}

/// The types of the events that are written.
pub(super) const COMPLETED: &str = "llm.trace.span.completed";
pub(super) const FAILED: &str = "llm.trace.span.failed";
pub(super) const STEP: &str = "llm.trace.agent.step";
pub(super) const RUN: &str = "llm.trace.agent.completed";

impl Payload {
    /// The type of an event about it. A span that timed out has completed, as SpanForge has it.
    pub fn event_type(&self) -> &'static str {
        match self {
            Payload::Span(span) if span.status == "error" => FAILED,
            Payload::Span(_) => COMPLETED,
            Payload::Step(_) => STEP,
            Payload::Run(_) => RUN,
        }
    }

    /// As JSON.
    pub fn to_dict(&self) -> Map<String, Json> {
        match serde_json::to_value(self) {
            Ok(Json::Object(pairs)) => pairs,
            _ => unreachable!("a payload is a struct with keys of text"),
        }
    }

    /// Reads the payload of an event of this type.
    ///
    /// # Errors
    ///
    /// [`EventError::Payload`] where fields are missing or have other types, or it is an event of another sort.
    pub fn from_dict(event_type: &str, pairs: &Map<String, Json>) -> Result<Self, EventError> {
        let json = Json::Object(pairs.clone());
        let read = match event_type {
            STEP => serde_json::from_value(json).map(|step| Payload::Step(Box::new(step))),
            RUN => serde_json::from_value(json).map(|run| Payload::Run(Box::new(run))),
            "llm.trace.span.started" | COMPLETED | FAILED | "llm.trace.reasoning.step" => {
                serde_json::from_value(json).map(|span| Payload::Span(Box::new(span)))
            }
            _ => return Err(EventError::Payload),
        };
        // What serde says shows values.
        read.map_err(|_| EventError::Payload)
    }
}
