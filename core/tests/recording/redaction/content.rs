//! Without content, what passes through the work is left out, and what is said about it stays.

use std::cell::Cell;

use serde::{Serialize, Serializer};
use spanring::names::{self, Class};
use spanring::redaction::{Capture, Redaction};
use spanring::{Cost, DecisionPoint, Ended, ReasoningStep, ReplaySlot, Tokens, ToolCall, llm, span};

use super::plan;
use crate::flight::{Flight, Value};

/// Counts how often it is encoded.
struct Counted<'a>(&'a Cell<u32>);

impl Serialize for Counted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.set(self.0.get() + 1);
        serializer.serialize_str("content")
    }
}

fn no_content() -> Redaction {
    Redaction::new().capture(Capture::NoContent)
}

#[test]
fn content_is_neither_recorded_nor_encoded_and_all_else_is() {
    let mut flight = Flight::start(plan(no_content().content_key("my.notes")));
    let encoded = Cell::new(0);
    let content = Counted(&encoded);
    let call = llm("gpt-4o").input(&content).provider("openai").session("s1").start();
    call.system_instructions(&content).input_messages(&content).output_messages(&content).output(&content);
    call.response_content(&content).initial_messages(&content).final_messages(&content);
    call.arguments(&content).result(&content).documents(&content).query("content").mcp_data(&content);
    call.audio_input("content", "pcm").agent_config(&content);
    call.set("gen_ai.prompt.0.content", "content").set("my.notes", 7).set_named("input.value", "content");
    call.tokens(Tokens::new(12, 7)).cost(Cost::of(0.5)).finish_reason("stop").tag("t").label("a", "b");
    call.metadata(&("kept", 1)).tool_name("search").call_id("c1").error_type("TimeoutError");
    call.status_message("what went wrong");
    call.event_with("event", |event| {
        event.set("gen_ai.input.messages", "content");
        event.set("kept", 1);
    });
    assert_eq!(call.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!(encoded.get(), 0);
    assert_eq!(
        seen.keys(),
        [
            names::REQUEST_MODEL,
            names::PROVIDER_NAME,
            names::SESSION_ID,
            names::USAGE_INPUT_TOKENS,
            names::USAGE_OUTPUT_TOKENS,
            names::COST_TOTAL,
            names::RESPONSE_FINISH_REASONS,
            names::TAGS,
            names::LABELS,
            names::METADATA,
            names::TOOL_NAME,
            names::TOOL_CALL_ID,
            names::ERROR_TYPE,
        ]
    );
    assert_eq!((&*seen.name, seen.message.as_deref()), ("chat gpt-4o", Some("what went wrong")));
    assert_eq!(seen.events[0].attributes.len(), 1);
    assert_eq!(flight.counters(0).redacted, 19);
}

#[test]
fn whatever_the_type_each_name_is_recorded_as_its_class_says() {
    for capture in [Capture::Full, Capture::NoContent] {
        let mut flight = Flight::start(plan(Redaction::new().capture(capture)));
        for (name, _) in names::ALL {
            let span = span("span").start();
            span.set(name, "content")
                .set(name, 1)
                .set_value(name, "content")
                .set_value_named(name, &[("k", "content")]);
            span.set_named(name, true).set_display(name, &"content").set(name, &b"content"[..]);
            span.event_with("event", |event| event.set(name, "content"));
            span.link_with(span.context(), |link| link.set_value(name, &1));
            assert_eq!(span.end(), Ended::Recorded);
            let seen = flight.take_one();
            let [event, link] = [&seen.events[0].attributes, &seen.links[0].attributes];
            let count = (seen.attributes.len(), event.len(), link.len());
            match names::class(name) {
                Some(Class::Content) if capture == Capture::NoContent => {
                    assert_eq!(count, (0, 0, 0), "{name}")
                }
                Some(Class::Mixed(_)) if capture == Capture::NoContent => {
                    assert_eq!(
                        (count, seen.get(name)),
                        ((1, 0, 0), Some(&Value::packed(&[[(); 0]]))),
                        "{name}"
                    );
                }
                _ => assert_eq!(count, (7, 1, 1), "{name}"),
            }
        }
    }
}

#[test]
fn of_what_is_partly_content_the_rest_is_recorded() {
    let mut flight = Flight::start(plan(no_content()));
    let span = span("parts").start();
    let call = ToolCall {
        id: "c1",
        function_name: "search",
        status: "success",
        duration_ms: Some(1.5),
        arguments_raw: Some("content"),
        result_raw: Some("content"),
        ..ToolCall::default()
    };
    span.tool_call(&call);
    let step = ReasoningStep { step_index: 1, reasoning_tokens: 40, ..ReasoningStep::default() };
    span.reasoning_step(&step);
    span.decision_point(&DecisionPoint {
        id: "d1",
        decision_type: "route_choice",
        rationale: Some("content"),
        ..Default::default()
    });
    span.replay(ReplaySlot::ToolName, "search").replay(ReplaySlot::SystemPrompt, "content");
    span.set_value(names::TOOL_CALLS, &[call]);
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    let kept = ToolCall { arguments_raw: None, result_raw: None, ..call };
    assert_eq!(
        seen.attributes.iter().map(|of| (&*of.key, of.value.clone())).collect::<Vec<_>>(),
        [
            (names::TOOL_CALLS, Value::packed(&kept)),
            (names::REASONING_STEPS, Value::packed(&step)),
            (
                names::DECISIONS,
                Value::packed(&serde_json::json!({"decision_id": "d1", "decision_type": "route_choice"}))
            ),
            (names::REPLAY, Value::packed(&serde_json::json!({"tool_name": "search"}))),
            (names::REPLAY, Value::packed(&serde_json::json!({}))),
            (names::TOOL_CALLS, Value::packed(&[kept])),
        ]
    );
    assert_eq!(flight.counters(0).redacted, 2 + 3 + 1 + 2);
}

#[test]
fn the_strictest_level_counts_in_whatever_order_it_is_said() {
    for capture in [
        no_content().capture(Capture::Full),
        Redaction::new().capture(Capture::Full).capture(Capture::NoContent),
    ] {
        let mut flight = Flight::start(plan(capture));
        let span = span("span").start();
        span.input("content");
        assert_eq!(span.end(), Ended::Recorded);
        assert!(flight.take_one().attributes.is_empty());
    }
}
