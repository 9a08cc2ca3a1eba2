//! What payloads are made of: usage, models, costs, and what a span did that has no span of its own.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Tokens of a call, or of all calls of a run.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct TokenUsage {
    /// That went in.
    pub input_tokens: u64,
    /// That came out.
    pub output_tokens: u64,
    /// In all.
    pub total_tokens: u64,
    /// Of the input: what was cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
    /// Of the input: what was put into the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_creation_tokens: Option<u64>,
    /// Of the output: what was thought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// Of the input: what were images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_tokens: Option<u64>,
}

/// A model, and who runs it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Who runs it: `openai`, or `_custom`.
    pub system: String,
    /// What was asked for.
    pub name: String,
    /// What answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_model: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Who runs it, where `system` is `_custom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_system_name: Option<String>,
}

/// What a call cost, or all calls of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CostBreakdown {
    /// What went in.
    pub input_cost_usd: f64,
    /// What came out.
    pub output_cost_usd: f64,
    /// In all: input, output and reasoning less the discount, by SpanForge's own check.
    pub total_cost_usd: f64,
    /// What caching saved.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_discount_usd: f64,
    /// What was thought.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning_cost_usd: f64,
    /// The currency of all this, whatever the names say.
    #[serde(default = "dollars", skip_serializing_if = "is_dollars")]
    pub currency: String,
    /// Of which day the prices are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pricing_date: Option<String>,
}

/// Something that happened at one moment of a span.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SpanEvent {
    /// What.
    pub name: String,
    /// When, in nanoseconds since the Unix epoch.
    pub timestamp_ns: u64,
    /// What is known about it.
    #[serde(default)]
    pub metadata: Map<String, Json>,
}

/// A call of a tool that has no span of its own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ToolCall {
    /// The model's identity of the call.
    pub tool_call_id: String,
    /// The tool.
    pub function_name: String,
    /// `success`, `error`, `timeout` or `cancelled`.
    pub status: String,
    /// SHA-256 of the arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments_hash: Option<String>,
    /// The class of error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<f64>,
    /// The arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments_raw: Option<String>,
    /// The result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_raw: Option<String>,
    /// How often it was tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_count: Option<u64>,
    /// What it called outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_api: Option<String>,
}

/// A step of reasoning that has no span of its own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ReasoningStep {
    /// Which step.
    pub step_index: u64,
    /// How many tokens were thought.
    pub reasoning_tokens: u64,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<f64>,
    /// SHA-256 of what was thought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
}

/// A decision that has no span of its own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DecisionPoint {
    /// Its identity.
    pub decision_id: String,
    /// `tool_selection`, `route_choice`, `loop_termination` or `escalation`.
    pub decision_type: String,
    /// What there was to choose from.
    pub options_considered: Vec<String>,
    /// What was chosen.
    pub chosen_option: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rationale: Option<String>,
}

impl Default for CostBreakdown {
    /// Nothing, in dollars.
    fn default() -> Self {
        CostBreakdown {
            input_cost_usd: 0.0,
            output_cost_usd: 0.0,
            total_cost_usd: 0.0,
            cached_discount_usd: 0.0,
            reasoning_cost_usd: 0.0,
            currency: dollars(),
            pricing_date: None,
        }
    }
}

fn dollars() -> String {
    spanring::Cost::CURRENCY.to_owned()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

fn is_dollars(currency: &str) -> bool {
    currency == spanring::Cost::CURRENCY
}
