//! How a span is made, what happens to it, and how it ends.

use std::error::Error;
use std::fmt;
use std::num::ParseIntError;

use serde_json::json;
use spanring::{Context, Kind, Pending, Span, SpanId, Status, TraceId, names};
use spanring_spool::Value;

use super::{Call, START, object, value};

const TRACE: TraceId = TraceId::from_bytes([7; 16]);
const SPAN: SpanId = SpanId::from_bytes([8; 8]);
const PARENT: Context = Context::new(TRACE, SpanId::from_bytes([9; 8]));
const END: u64 = START + 13_380;

pub(super) fn all() -> Vec<Call> {
    let all = [constructors(), builder(), attributes(), events_and_links(), later(), ends(), resource()];
    all.into_iter().flatten().collect()
}

/// Functions that are methods of the span too.
macro_rules! constructors {
    ($($name:ident($($argument:expr),*): $($place:literal => $expected:expr),+;)*) => {
        vec![$(
            Call::new(
                stringify!($name),
                || spanring::$name($($argument),*).start(),
                vec![$(($place, Value::from($expected))),+],
            ),
            Call::new(
                stringify!($name),
                || spanring::span("parent").start().$name($($argument),*).start(),
                vec![$(($place, Value::from($expected))),+],
            ),
        )*]
    };
}

fn constructors() -> Vec<Call> {
    let mut calls = constructors! {
        agent("planner"): "SpanData::kind" => "agent", "gen_ai.agent.name" => "planner",
            "SpanData::name" => "invoke_agent planner";
        llm("gpt-4o"): "SpanData::kind" => "llm", "gen_ai.request.model" => "gpt-4o", "SpanData::name" => "chat gpt-4o";
        tool("search"): "SpanData::kind" => "tool", "gen_ai.tool.name" => "search",
            "SpanData::name" => "execute_tool search";
        retrieval("handbook"): "SpanData::kind" => "retrieval", "gen_ai.data_source.id" => "handbook",
            "SpanData::name" => "retrieval handbook";
        embedding("small"): "SpanData::kind" => "embedding", "gen_ai.request.model" => "small",
            "SpanData::name" => "embeddings small";
        chain("fetch"): "SpanData::kind" => "chain", "SpanData::name" => "fetch";
        guardrail("pii"): "SpanData::kind" => "guardrail", "spanring.guardrail.name" => "pii",
            "SpanData::name" => "pii";
        handoff("Root", "Sub"): "SpanData::kind" => "handoff", "spanring.handoff.from" => "Root",
            "spanring.handoff.to" => "Sub", "SpanData::name" => "handoff";
        reasoning("think"): "SpanData::kind" => "reasoning", "SpanData::name" => "think";
        decision("route"): "SpanData::kind" => "decision", "SpanData::name" => "route";
        response("resp_01"): "SpanData::kind" => "response", "gen_ai.response.id" => "resp_01",
            "SpanData::name" => "response";
        mcp_tools("fs"): "SpanData::kind" => "mcp_tools", "spanring.mcp.server" => "fs",
            "SpanData::name" => "mcp_tools fs";
        speech("tts-1"): "SpanData::kind" => "speech", "gen_ai.request.model" => "tts-1",
            "SpanData::name" => "speech tts-1";
        transcription("whisper-1"): "SpanData::kind" => "transcription", "gen_ai.request.model" => "whisper-1",
            "SpanData::name" => "transcription whisper-1";
        speech_group("answer"): "SpanData::kind" => "speech_group", "SpanData::name" => "answer";
        task("report"): "SpanData::kind" => "task", "SpanData::name" => "report";
        turn(3): "SpanData::kind" => "turn", "spanring.step.index" => 3_u64, "SpanData::name" => "turn";
    };
    calls.extend::<Vec<Call>>(calls! {
        "trace": spanring::trace("researcher").start(), "SpanData::kind" => "agent", "SpanData::name" => "researcher",
            "gen_ai.agent.name" => "researcher", "SpanData::parent_id" => Value::Null;
        "span": spanring::span("plan").start(), "SpanData::kind" => "custom", "SpanData::name" => "plan";
        "span_named": spanring::span_named("plan 7").start(), "SpanData::kind" => "custom",
            "SpanData::name" => "plan 7";
        "child": parent().child("plan").start(), "SpanData::kind" => "custom",
            "SpanData::parent_id" => PARENT.span_id().to_string();
        "child_named": parent().child_named("plan 7").start(), "SpanData::kind" => "custom",
            "SpanData::parent_id" => PARENT.span_id().to_string();
    });
    calls
}

/// A span with a known identity, beside others of the same.
fn parent() -> Span {
    spanring::span("parent").trace_id(PARENT.trace_id()).span_id(PARENT.span_id()).start()
}

fn builder() -> Vec<Call> {
    calls! {
        "named": spanring::llm("gpt-4o").named("first try").start(), "SpanData::name" => "first try";
        "kind": spanring::span("x").kind(Kind::Retrieval).start(), "SpanData::kind" => "retrieval";
        "parent": spanring::span("x").parent(PARENT).start(),
            "SpanData::parent_id" => PARENT.span_id().to_string(), "SpanData::trace_id" => TRACE.to_string();
        "root": spanring::span("x").parent(PARENT).root().start(), "SpanData::parent_id" => Value::Null;
        "trace_id": spanring::span("x").trace_id(TRACE).start(), "SpanData::trace_id" => TRACE.to_string();
        "span_id": spanring::span("x").span_id(SPAN).start(), "SpanData::span_id" => SPAN.to_string();
        "start_unix_ns": spanring::span("x").start_unix_ns(START).start(), "SpanData::start_unix_ns" => START;
        "start_with": spanring::span("x").start_with(|span| _ = span.set("customer.tier", "gold")),
            "SpanData::attributes" => gold();
        "start": spanring::span("x").start(), "SpanData::is_open" => true;
    }
}

fn gold() -> Value {
    Value::from_iter([("customer.tier", "gold")])
}

/// The attributes of a span that has just this one.
fn attributes() -> Vec<Call> {
    let only = |value| Value::from_iter([("customer", value)]);
    let mut calls = setters! {
        set("customer.tier", "gold"): "SpanData::attributes" => gold(), "Value::Str" => "gold";
        set("customer.is_new", true): "Value::Bool" => true;
        set("customer.balance", -3_i64): "Value::I64" => -3;
        set("customer.score", 0.5): "Value::F64" => 0.5;
        set("customer.raw", &[0_u8, 0xff][..]): "Value::Bytes" => Value::Bytes(vec![0, 0xff]);
        set(names::DROPPED_ATTRIBUTES, 1_u32): "spanring.dropped.attributes" => 1_u32;
        set(names::DROPPED_EVENTS, 2_u32): "spanring.dropped.events" => 2_u32;
        set(names::DROPPED_LINKS, 3_u32): "spanring.dropped.links" => 3_u32;
        set(names::SCOPE_SCHEMA_URL, "https://example.com/1"): "spanring.scope.schema_url" => "https://example.com/1";
        set_value(names::SCOPE_ATTRIBUTES, &object()): "spanring.scope.attributes" => value(&object());
        set_named("customer.tier", "gold"): "SpanData::attributes" => gold();
        set_value("customer", &["gold", "new"]): "SpanData::attributes" => only(Value::from(vec!["gold", "new"])),
            "Value::List" => vec!["gold", "new"];
        set_value("customer", &object()): "SpanData::attributes" => only(value(&object())), "Value::Map" => value(&object());
        set_value_named("customer", &object()): "SpanData::attributes" => only(value(&object()));
    };
    calls.extend::<Vec<Call>>(calls! {
        "set_display": with(|span| _ = span.set_display("customer.tier", &"gold")), "SpanData::attributes" => gold();
    });
    calls
}

/// A span after `change`.
fn with(change: impl FnOnce(&Span)) -> Span {
    let span = spanring::span("started").start();
    change(&span);
    span
}

fn events_and_links() -> Vec<Call> {
    let known = || {
        Value::from_iter([("customer.tier", Value::from("gold")), (names::DROPPED_ATTRIBUTES, 4_u32.into())])
    };
    let linked = || {
        Value::from_iter([
            (names::TRACE_STATE, Value::from("a=1")),
            (names::TRACE_FLAGS, 1_u32.into()),
            (names::DROPPED_ATTRIBUTES, 4_u32.into()),
        ])
    };
    calls! {
        "event": with(|span| _ = span.event("cache.hit")), "SpanData::events" => vec!["cache.hit"],
            "EventData::name" => "cache.hit";
        "event_with": with(|span| _ = span.event_with("cache.hit", |event| {
            event.set("customer.tier", "gold");
            event.set(names::DROPPED_ATTRIBUTES, 4_u32);
        })), "SpanData::events" => vec!["cache.hit"], "EventData::name" => "cache.hit",
            "EventData::attributes" => known(), "EventData::attributes.spanring.dropped.attributes" => 4_u32;
        "event_at": with(|span| _ = span.event_at("cache.hit", START, |event| event.set("customer.tier", "gold"))),
            "SpanData::events" => vec!["cache.hit"], "EventData::name" => "cache.hit",
            "EventData::time_unix_ns" => START, "EventData::attributes" => gold();
        "link": with(|span| _ = span.link(PARENT)), "SpanData::links" => vec![PARENT.span_id().to_string()],
            "LinkData::trace_id" => TRACE.to_string(), "LinkData::span_id" => PARENT.span_id().to_string();
        "link_with": with(|span| _ = span.link_with(PARENT, |link| {
            link.set(names::TRACE_STATE, "a=1");
            link.set(names::TRACE_FLAGS, 1_u32);
            link.set(names::DROPPED_ATTRIBUTES, 4_u32);
        })), "SpanData::links" => vec![PARENT.span_id().to_string()], "LinkData::trace_id" => TRACE.to_string(),
            "LinkData::span_id" => PARENT.span_id().to_string(), "LinkData::attributes" => linked(),
            "LinkData::attributes.spanring.trace_state" => "a=1", "LinkData::attributes.spanring.trace_flags" => 1_u32,
            "LinkData::attributes.spanring.dropped.attributes" => 4_u32;
    }
}

/// An error with a cause.
#[derive(Debug)]
struct BadReply(ParseIntError);

impl fmt::Display for BadReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reply is no number")
    }
}

impl Error for BadReply {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

fn bad_reply() -> BadReply {
    BadReply("?".parse::<i32>().unwrap_err())
}

fn later() -> Vec<Call> {
    calls! {
        "error": with(|span| _ = span.error(bad_reply())), "SpanData::status" => "error",
            "SpanData::status_message" => "the reply is no number", "error.type" => std::any::type_name::<BadReply>(),
            "spanring.error.causes" => vec!["invalid digit found in string"];
        "set_status": with(|span| _ = span.set_status(Status::TimedOut)), "SpanData::status" => "timed_out";
        "rename": with(|span| _ = span.rename("plan again")), "SpanData::name" => "plan again";
        "status_message": with(|span| _ = span.status_message("all good")), "SpanData::status_message" => "all good";
    }
}

/// Ways to end a span.
macro_rules! ends {
    ($($name:literal: $make:expr, |$span:ident| $end:expr, $($place:literal => $expected:expr),+;)*) => {
        vec![$(Call {
            name: $name,
            record: Box::new(|| {
                let $span = $make;
                let id = $span.context().span_id();
                let _ended = $end;
                id
            }),
            places: vec![$(($place.to_owned(), Value::from($expected))),+],
        }),*]
    };
}

fn started() -> Span {
    spanring::span("started").start()
}

fn pending() -> Pending {
    spanring::span("pending").prepare()
}

fn ends() -> Vec<Call> {
    ends! {
        "end": started(), |span| span.end(), "SpanData::status" => "unset";
        "complete": started(), |span| span.complete(), "SpanData::status" => "ok";
        "fail": started(), |span| span.fail(bad_reply()), "SpanData::status" => "error",
            "SpanData::status_message" => "the reply is no number", "error.type" => std::any::type_name::<BadReply>(),
            "spanring.error.causes" => vec!["invalid digit found in string"];
        "complete_with": started(), |span| span.complete_with(&json!({"a": 1})), "SpanData::status" => "ok",
            "spanring.output" => value(&json!({"a": 1}));
        "fail_with": started(), |span| span.fail_with(&json!({"error": "x"})), "SpanData::status" => "error",
            "spanring.output" => value(&json!({"error": "x"}));
        "cancel": started(), |span| span.cancel(), "SpanData::status" => "cancelled";
        "finish": started(), |span| span.finish("1".parse::<i32>()), "SpanData::status" => "ok";
        "finish": started(), |span| span.finish(Err::<(), _>(bad_reply())), "SpanData::status" => "error";
        "finish_display": started(), |span| span.finish_display(Err::<(), _>("no")), "SpanData::status" => "error";
        "end_at_unix_ns": spanring::span("x").start_unix_ns(START).start(), |span| span.end_at_unix_ns(END),
            "SpanData::end_unix_ns" => END;
        "prepare": pending(), |span| span.cancel(), "SpanData::is_pending" => true;
        "cancel": pending(), |span| span.cancel(), "SpanData::status" => "cancelled";
        "default_input": pending().default_input(&json!({"q": "x"})), |span| span,
            "spanring.input" => value(&json!({"q": "x"}));
        "start": pending(), |span| span.start(), "SpanData::is_pending" => false;
        "start_at_unix_ns": spanring::span("x").start_unix_ns(START - 1).prepare(), |span| span.start_at_unix_ns(START),
            "SpanData::start_unix_ns" => START;
        "cancel_at_unix_ns": spanring::span("x").start_unix_ns(START).prepare(), |span| span.cancel_at_unix_ns(END),
            "SpanData::end_unix_ns" => END;
    }
}

fn resource() -> Vec<Call> {
    calls! {
        "SpoolBuilder::service": spanring::span("x").start(), "Resource::attributes.service.name" => "shop";
        "SpoolBuilder::service_version": spanring::span("x").start(),
            "Resource::attributes.service.version" => "1.2.3";
        "SpoolBuilder::environment": spanring::span("x").start(),
            "Resource::attributes.deployment.environment.name" => "staging";
        "SpoolBuilder::attribute": spanring::span("x").start(), "Resource::attributes.host.name" => "a1";
    }
}
