//! One span, as a payload.

use serde_json::{Value as Json, json};
use spanring::{Kind, SpanKind, Status, System, names};
use spanring_spool::{LinkData, SpanData};

use super::parts::SpanEvent;
use super::payload::{AgentRunPayload, AgentStepPayload, Payload, SpanPayload};
use super::said::{OF_ATTRIBUTES, OF_METADATA, Said, object};
use super::totals::{RunTotals, Totals};
use super::usage::{cost, model, token_usage};

/// Under which key of the attributes links are, which SpanForge has no place for.
const LINKS: &str = "spanring.links";
/// SpanForge knows its users and sessions by at most so many characters.
const ID_LEN_MAX: usize = 256;

/// What SpanForge has a payload for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sort {
    Span,
    Step,
    Run,
}

impl Sort {
    /// A step is what was said to be one; a run is the span of an agent that has a name.
    pub(super) fn of(span: &SpanData) -> Self {
        if span.step_name().is_some() || span.step_index().is_some() {
            Sort::Step
        } else if span.kind == Kind::Agent && span.agent_name().is_some_and(|name| !name.is_empty()) {
            Sort::Run
        } else {
            Sort::Span
        }
    }
}

/// The payload of a span of which `said` was said. The totals of a run that nobody said are among these.
pub(super) fn payload(span: &SpanData, said: Said, totals: &RunTotals) -> Payload {
    match Sort::of(span) {
        Sort::Span => Payload::Span(Box::new(of_span(span, said))),
        Sort::Step => Payload::Step(Box::new(of_step(span, said))),
        Sort::Run => Payload::Run(Box::new(of_run(span, said, totals))),
    }
}

fn of_span(span: &SpanData, mut said: Said) -> SpanPayload {
    let is_id =
        |id: &str| (1..=ID_LEN_MAX).contains(&id.chars().count()) && !id.contains(char::is_whitespace);
    let payload = SpanPayload {
        span_id: span.span_id.to_string(),
        trace_id: span.trace_id.to_string(),
        span_name: named(&span.name),
        operation: operation(span, &mut said),
        span_kind: said
            .take_text(names::SPAN_KIND, is_span_kind)
            .map_or_else(|| "CLIENT".to_owned(), |name| name.to_uppercase()),
        status: status(span).to_owned(),
        start_time_unix_nano: span.start_unix_ns,
        end_time_unix_nano: span.end_unix_ns,
        duration_ms: duration_ms(span),
        tool_calls: said.take(names::TOOL_CALLS).unwrap_or_default(),
        reasoning_steps: said.take(names::REASONING_STEPS).unwrap_or_default(),
        parent_span_id: span.parent_id.map(|id| id.to_string()),
        agent_run_id: said.take_text(names::RUN_ID, is_some),
        model: model(&mut said),
        token_usage: token_usage(&mut said),
        cost: cost(&mut said),
        finish_reason: finish_reason(&mut said),
        error: error(span),
        error_type: error_type(span, &mut said),
        temperature: said.take(names::REQUEST_TEMPERATURE),
        top_p: said.take(names::REQUEST_TOP_P),
        max_tokens: said.take(names::REQUEST_MAX_TOKENS),
        error_category: said.take(names::ERROR_CATEGORY),
        events: events(span),
        session_id: said.take_text(names::SESSION_ID, is_id),
        user_id: said.take_text(names::USER_ID, is_id),
        incoming_traceparent: said.take(names::INCOMING_TRACEPARENT),
        attributes: None,
    };
    tell_state(span, &mut said);
    SpanPayload { attributes: said.rest(), ..payload }
}

fn of_step(span: &SpanData, mut said: Said) -> AgentStepPayload {
    let step_name = said.take_text(names::STEP_NAME, is_some).unwrap_or_else(|| named(&span.name));
    let payload = AgentStepPayload {
        agent_run_id: said.take_text(names::RUN_ID, is_some).unwrap_or_else(|| run_of_trace(span)),
        step_index: said.take(names::STEP_INDEX).unwrap_or_default(),
        span_id: span.span_id.to_string(),
        trace_id: span.trace_id.to_string(),
        operation: operation(span, &mut said),
        tool_calls: said.take(names::TOOL_CALLS).unwrap_or_default(),
        reasoning_steps: said.take(names::REASONING_STEPS).unwrap_or_default(),
        decision_points: said.take(names::DECISIONS).unwrap_or_default(),
        status: status(span).to_owned(),
        start_time_unix_nano: span.start_unix_ns,
        end_time_unix_nano: span.end_unix_ns,
        duration_ms: duration_ms(span),
        parent_span_id: span.parent_id.map(|id| id.to_string()),
        model: model(&mut said),
        token_usage: token_usage(&mut said),
        cost: cost(&mut said),
        error: error(span),
        error_type: error_type(span, &mut said),
        step_name: Some(step_name),
        error_category: said.take(names::ERROR_CATEGORY),
        events: events(span),
        attributes: None,
    };
    tell_state(span, &mut said);
    AgentStepPayload { attributes: said.rest(), ..payload }
}

fn of_run(span: &SpanData, mut said: Said, runs: &RunTotals) -> AgentRunPayload {
    let own = || if span.parent_id.is_none() { run_of_trace(span) } else { span.span_id.to_string() };
    let totals = Totals::of(span, &mut said, runs);
    let has_run_out = said.take_text(names::FOREIGN_STATUS, |status| status == "max_steps_exceeded");
    let payload = AgentRunPayload {
        agent_run_id: said.take_text(names::RUN_ID, is_some).unwrap_or_else(own),
        agent_name: said.take(names::AGENT_NAME).unwrap_or_default(),
        trace_id: span.trace_id.to_string(),
        root_span_id: span.span_id.to_string(),
        total_steps: totals.total_steps,
        total_model_calls: totals.total_model_calls,
        total_tool_calls: totals.total_tool_calls,
        total_token_usage: totals.total_token_usage,
        total_cost: totals.total_cost,
        status: has_run_out.unwrap_or_else(|| status(span).to_owned()),
        start_time_unix_nano: span.start_unix_ns,
        end_time_unix_nano: span.end_unix_ns,
        duration_ms: duration_ms(span),
        termination_reason: said.take(names::TERMINATION_REASON),
        error: error(span),
        error_type: error_type(span, &mut said),
        error_category: said.take(names::ERROR_CATEGORY),
        events: events(span),
        attributes: None,
    };
    tell_state(span, &mut said);
    AgentRunPayload { attributes: said.rest(), ..payload }
}

/// The run that all of a trace belongs to of which nothing else was said.
fn run_of_trace(span: &SpanData) -> String {
    span.trace_id.to_string()[..16].to_owned()
}

/// SpanForge has no empty names.
fn named(name: &str) -> String {
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}

fn is_some(text: &str) -> bool {
    !text.is_empty()
}

fn is_span_kind(name: &str) -> bool {
    let kinds =
        [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer];
    kinds.iter().any(|kind| kind.name() == name)
}

/// What SpanForge calls the kind, or its free name. A kind that this does not tell stays said.
fn operation(span: &SpanData, said: &mut Said) -> String {
    let free = said.take_text(names::TYPE, is_some);
    let operation = free.unwrap_or_else(|| span.kind.name_in(System::SpanForge).to_owned());
    if span.kind != Kind::Custom && Kind::from_name_in(System::SpanForge, &operation) != Some(span.kind) {
        said.set(names::KIND, span.kind.name());
    }
    operation
}

/// SpanForge has no word for what was given up: its SDK lets the exception end the span, as an error.
fn status(span: &SpanData) -> &'static str {
    match span.status {
        Status::TimedOut => "timeout",
        Status::Error | Status::Cancelled => "error",
        _ if span.interrupted => "error",
        _ => "ok",
    }
}

#[expect(clippy::cast_precision_loss, reason = "of 104 days and more in nanoseconds, some are lost")]
fn duration_ms(span: &SpanData) -> f64 {
    span.duration_ns() as f64 / 1e6
}

fn error(span: &SpanData) -> Option<String> {
    (!span.status_message.is_empty()).then(|| span.status_message.clone())
}

fn error_type(span: &SpanData, said: &mut Said) -> Option<String> {
    let cancelled = || (span.status == Status::Cancelled).then(|| "CancelledError".to_owned());
    said.take(names::ERROR_TYPE).or_else(cancelled)
}

/// The only reason; the first of several, which all stay said.
fn finish_reason(said: &mut Said) -> Option<String> {
    match said.get(names::RESPONSE_FINISH_REASONS)?.as_array()?.as_slice() {
        [Json::String(_)] => said.take::<[String; 1]>(names::RESPONSE_FINISH_REASONS).map(|[reason]| reason),
        [first, ..] => first.as_str().map(str::to_owned),
        [] => None,
    }
}

fn events(span: &SpanData) -> Vec<SpanEvent> {
    let event = |event: &spanring_spool::EventData| SpanEvent {
        name: named(&event.name),
        timestamp_ns: event.time_unix_ns,
        metadata: object(&event.attributes, OF_METADATA),
    };
    span.events.iter().map(event).collect()
}

/// Says what SpanForge has no place for.
fn tell_state(span: &SpanData, said: &mut Said) {
    if span.status == Status::Cancelled {
        said.set(names::STATUS, span.status.name());
    }
    if span.is_pending {
        said.set(names::PENDING, true);
    }
    if span.interrupted {
        said.set(names::INTERRUPTED, true);
    }
    if span.cut > 0 {
        said.set(names::CUT, span.cut);
    }
    if !span.links.is_empty() {
        said.set(LINKS, span.links.iter().map(link).collect::<Json>());
    }
}

fn link(link: &LinkData) -> Json {
    // The list is where values of attributes are, a link below that, and its attributes below that.
    let attributes = object(&link.attributes, OF_ATTRIBUTES + 3);
    json!({
        "trace_id": link.trace_id.to_string(),
        "span_id": link.span_id.to_string(),
        "attributes": attributes,
    })
}
