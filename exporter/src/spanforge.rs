//! Spans as SpanForge's events, payloads and traces, as SpanForge's Python SDK 1.0.4 writes them; and these read back.
//!
//! What becomes of a span:
//!
//! | spanring | SpanForge |
//! |---|---|
//! | a span of kind agent with the agent's name | an agent's run: `llm.trace.agent.completed` |
//! | a span with a step's name or number | an agent's step: `llm.trace.agent.step` |
//! | every other span | a span: `llm.trace.span.completed`, or `llm.trace.span.failed` where its status is `error` |
//! | trace, span and parent identities | the same, in envelope and payload; a trace's first span has no parent |
//! | the identity of an event | a ULID [made of the span](Event::event_id): when it ended, and a hash of trace, span and type |
//! | when it ended | `timestamp`, to the microsecond |
//! | an empty name, of a span or an event | `unnamed` |
//! | kind, or the free name of it | `operation`; where that does not tell the kind, attribute `spanring.kind` |
//! | `spanring.span_kind` | `span_kind`, in capitals; `CLIENT` where nobody said it, as in the SDK |
//! | status ok, unset | `ok` |
//! | status error, or interrupted | `error` |
//! | status cancelled | `error`, attribute `spanring.status` = `cancelled`, and `error_type` = `CancelledError` where nobody said one |
//! | status timed out | `timeout` |
//! | what was said about the status | `error`, whatever the status |
//! | foreign status `max_steps_exceeded` of a run | its `status` |
//! | run id | `agent_run_id`. Where steps and runs have none: the first half of the trace's identity, and for a run within another its span's own |
//! | model without a provider | `system` by how the model's name begins, as in the SDK |
//! | tokens, costs of which parts were not said | what makes sums right: see [`TokenUsage`], [`CostBreakdown`] |
//! | totals of a run that were said (`run_totals`) | those |
//! | else | what the spans under it come to among those that are there: see [`RunTotals`]; and attribute `spanring.run.totals.spans` = how many these are |
//! | organization, team, actor, session | envelope; the session also in a span's payload, where it has at most 256 characters, none of them white space |
//! | labels | `tags`, if there are at most 50 and none is empty. `env` is added from the resource's `deployment.environment.name` |
//! | the resource's `service.name`, `service.version` | `source` |
//! | attributes, each that has a field | that field |
//! | every other attribute | `attributes`, under its own key; of steps and runs too, whose attributes the SDK drops |
//! | links | attribute `spanring.links` |
//! | never started, interrupted, values that were cut | attributes `spanring.pending`, `spanring.interrupted`, `spanring.cut` |
//! | bytes; numbers that are infinite or none | Base64; their names |
//! | what nests deeper than the 10 levels that SpanForge reads | JSON as text |
//!
//! What has a place of its own does not stand among the attributes too. What is to go to such a place and does not fit there, as it has
//! another type, stays an attribute. An event may be longer than the 1 MiB that SpanForge reads: nothing is cut for that.

mod envelope;
mod error;
mod event;
mod parts;
mod payload;
mod python_json;
mod rollup;
mod said;
mod signing;
mod source;
mod span;
mod totals;
mod trace;
mod ulid;
mod usage;

pub use envelope::Emitter;
pub use error::EventError;
pub use event::{BYTES_MAX, DEPTH_MAX, Event, TAGS_MAX};
pub use parts::{CostBreakdown, DecisionPoint, ModelInfo, ReasoningStep, SpanEvent, TokenUsage, ToolCall};
pub use payload::{AgentRunPayload, AgentStepPayload, Payload, SpanPayload};
pub use signing::SigningKey;
pub use totals::RunTotals;
pub use trace::{saved, trace_to_json};

use spanring_spool::SpanData;

/// The payload of a span. The totals of a run that nobody said are those of `spans`, which all of its trace should be among.
pub fn payload(span: &SpanData, spans: &[SpanData]) -> Payload {
    match span::Sort::of(span) {
        span::Sort::Run => payload_with(span, &RunTotals::of(spans)),
        span::Sort::Step | span::Sort::Span => payload_with(span, &RunTotals::default()),
    }
}

/// The payload of a span. The totals of a run that nobody said are these; a run that is not among them comes to nothing.
pub fn payload_with(span: &SpanData, totals: &RunTotals) -> Payload {
    span::payload(span, said::Said::of(span), totals)
}

#[cfg(test)]
mod tests;
