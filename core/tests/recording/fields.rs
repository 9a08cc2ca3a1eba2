//! What has a type: each method, on a span and on its builder, writes what it says under the key that it says.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Serialize, Serializer};
use spanring::{
    Context, Cost, DecisionPoint, DropReason, Ended, Kind, ReasoningStep, ReplaySlot, Span, SpanKind, Tokens,
    ToolCall, names, span,
};

use crate::flight::{Flight, Plan, Seen, Value, alone};

/// A method, what it does to a builder and to a span, and what is to come of it.
struct Row {
    method: &'static str,
    built: fn() -> Span,
    set: fn(&Span),
    expected: Vec<(&'static str, Value)>,
}

macro_rules! rows {
    ($($method:ident($($argument:expr),* $(,)?) => $($key:literal: $value:expr),+;)*) => {
        vec![$(Row {
            method: stringify!($method),
            built: || span("built").$method($($argument),*).start(),
            set: |span| _ = span.$method($($argument),*),
            expected: vec![$(($key, $value)),+],
        }),*]
    };
}

fn text(text: &str) -> Value {
    Value::text(text)
}

fn packed<T: Serialize + ?Sized>(value: &T) -> Value {
    Value::packed(value)
}

/// A map of text.
fn map<const N: usize>(entries: [(&str, &str); N]) -> Value {
    packed(&BTreeMap::from(entries))
}

/// A value with a structure, for whatever takes any.
#[derive(Serialize)]
struct Any {
    role: &'static str,
    parts: [Option<u8>; 2],
}

const ANY: &Any = &Any { role: "user", parts: [Some(1), None] };

fn identity() -> Vec<Row> {
    rows! {
        type_name("agent:llm_call") => "spanring.type": text("agent:llm_call");
        session("s") => "session.id": text("s");
        conversation("c") => "gen_ai.conversation.id": text("c");
        user("u") => "user.id": text("u");
        organization("o") => "spanring.organization.id": text("o");
        team("t") => "spanring.team.id": text("t");
        actor("a") => "spanring.actor.id": text("a");
        group("g") => "spanring.group.id": text("g");
        workflow("w") => "gen_ai.workflow.name": text("w");
        run_id("r") => "spanring.run.id": text("r");
        foreign_span_id("span_x") => "spanring.foreign.span_id": text("span_x");
        foreign_trace_id("trace_x") => "spanring.foreign.trace_id": text("trace_x");
        foreign_parent_id("span_y") => "spanring.foreign.parent_id": text("span_y");
        foreign_status("max_steps_exceeded") => "spanring.foreign.status": text("max_steps_exceeded");
        span_kind(SpanKind::Client) => "spanring.span_kind": text("client");
        trace_state("k=v") => "spanring.trace_state": text("k=v");
        trace_flags(0x101) => "spanring.trace_flags": Value::U64(0x101);
        incoming_traceparent("00-…") => "spanring.incoming_traceparent": text("00-…");
        scope("library", "1.2") =>
            "spanring.scope.name": text("library"), "spanring.scope.version": text("1.2");
    }
}

fn payload() -> Vec<Row> {
    rows! {
        input(ANY) => "spanring.input": packed(ANY);
        output("text") => "spanring.output": packed("text");
        metadata(&()) => "spanring.metadata": packed(&());
        tag("urgent") => "spanring.tags": text("urgent");
        label("env", "staging") => "spanring.labels": map([("env", "staging")]);
        audio_input("UklG", "wav") => "spanring.input": map([("data", "UklG"), ("format", "wav")]);
        audio_output("UklG", "pcm") => "spanring.output": map([("data", "UklG"), ("format", "pcm")]);
        first_content_unix_ns(u64::MAX) => "spanring.speech.first_content_unix_ns": Value::U64(u64::MAX);
        error_type("TimeoutError") => "error.type": text("TimeoutError");
        stack_trace("at main") => "exception.stacktrace": text("at main");
        error_category("timeout_error") => "spanring.error.category": text("timeout_error");
        error_cause("reset") => "spanring.error.causes": text("reset");
        error_data(ANY) => "spanring.error.data": packed(ANY);
        set("scalar", -1) => "scalar": Value::I64(-1);
        set("some", Some(true)) => "some": Value::Bool(true);
        set_named("named", 1.5) => "named": Value::F64(1.5);
        set_value("value", ANY) => "value": packed(ANY);
        set_value_named("named value", ANY) => "named value": packed(ANY);
    }
}

fn model() -> Vec<Row> {
    rows! {
        model("gpt-4o") => "gen_ai.request.model": text("gpt-4o");
        provider("openai") => "gen_ai.provider.name": text("openai");
        custom_provider("mine") => "spanring.provider.custom": text("mine");
        response_model("gpt-4o-2024") => "gen_ai.response.model": text("gpt-4o-2024");
        model_version("7") => "spanring.model.version": text("7");
        operation("text_completion") => "gen_ai.operation.name": text("text_completion");
        temperature(0.2) => "gen_ai.request.temperature": Value::F64(0.2);
        top_p(f64::INFINITY) => "gen_ai.request.top_p": Value::F64(f64::INFINITY);
        top_k(40) => "gen_ai.request.top_k": Value::U64(40);
        max_tokens(100) => "gen_ai.request.max_tokens": Value::U64(100);
        stop_sequences(&["a", "b"]) => "gen_ai.request.stop_sequences": packed(&["a", "b"]);
        seed(-3) => "gen_ai.request.seed": Value::I64(-3);
        frequency_penalty(-0.0) => "gen_ai.request.frequency_penalty": Value::F64(-0.0);
        presence_penalty(1.0) => "gen_ai.request.presence_penalty": Value::F64(1.0);
        choice_count(2) => "gen_ai.request.choice.count": Value::U64(2);
        stream(true) => "gen_ai.request.stream": Value::Bool(true);
        parameters(ANY) => "spanring.model.parameters": packed(ANY);
        output_modality("json") => "gen_ai.output.type": text("json");
        response_id("resp_1") => "gen_ai.response.id": text("resp_1");
        finish_reason("stop") => "gen_ai.response.finish_reasons": text("stop");
        time_to_first_token(Duration::from_millis(250)) =>
            "gen_ai.response.time_to_first_chunk": Value::F64(0.25);
        system_instructions("be kind") => "gen_ai.system_instructions": packed("be kind");
        input_messages(&[("user", "hi")]) => "gen_ai.input.messages": packed(&[("user", "hi")]);
        output_messages(ANY) => "gen_ai.output.messages": packed(ANY);
        response_content("hello") => "spanring.response.content": packed("hello");
        initial_messages(ANY) => "spanring.messages.initial": packed(ANY);
        final_messages(ANY) => "spanring.messages.final": packed(ANY);
        tokens(Tokens::new(8, 7).total(6).cached(5).cache_creation(4).reasoning(3).image(2).requests(1)) =>
            "gen_ai.usage.input_tokens": Value::U64(8),
            "gen_ai.usage.output_tokens": Value::U64(7),
            "spanring.usage.total_tokens": Value::U64(6),
            "gen_ai.usage.cache_read.input_tokens": Value::U64(5),
            "gen_ai.usage.cache_creation.input_tokens": Value::U64(4),
            "gen_ai.usage.reasoning.output_tokens": Value::U64(3),
            "spanring.usage.image_tokens": Value::U64(2),
            "spanring.usage.requests": Value::U64(1);
        tokens(Tokens { output: Some(0), ..Tokens::default() }) => "gen_ai.usage.output_tokens": Value::U64(0);
        usage_details(ANY) => "spanring.usage.details": packed(ANY);
        cost(Cost::new(1.0, 2.0).total(3.0).cached_discount(0.5).reasoning(0.25).currency("EUR").pricing_date("2026-11-20")) =>
            "spanring.cost.input": Value::F64(1.0),
            "spanring.cost.output": Value::F64(2.0),
            "spanring.cost.total": Value::F64(3.0),
            "spanring.cost.cached_discount": Value::F64(0.5),
            "spanring.cost.reasoning": Value::F64(0.25),
            "spanring.cost.currency": text("EUR"),
            "spanring.cost.pricing_date": text("2026-11-20");
        cost(Cost::of(0.0)) => "spanring.cost.total": Value::F64(0.0);
    }
}

const CALL: &ToolCall<'_> = &ToolCall {
    id: "call_1",
    function_name: "search",
    status: "success",
    arguments_hash: None,
    error_type: None,
    duration_ms: Some(1.5),
    retry_count: None,
    external_api: None,
    arguments_raw: None,
    result_raw: None,
};

fn tool() -> Vec<Row> {
    rows! {
        tool_name("search") => "gen_ai.tool.name": text("search");
        tool_description("finds") => "gen_ai.tool.description": text("finds");
        tool_type("function") => "gen_ai.tool.type": text("function");
        tool_schema(ANY) => "spanring.tool.schema": packed(ANY);
        call_id("call_1") => "gen_ai.tool.call.id": text("call_1");
        arguments(ANY) => "gen_ai.tool.call.arguments": packed(ANY);
        result(ANY) => "gen_ai.tool.call.result": packed(ANY);
        retries(2) => "spanring.tool.retries": Value::U64(2);
        execution_time(Duration::from_micros(1_500)) => "spanring.tool.execution_ms": Value::F64(1.5);
        external(false) => "spanring.tool.external": Value::Bool(false);
        tool_definitions(ANY) => "gen_ai.tool.definitions": packed(ANY);
        tool_call(CALL) => "spanring.tool_calls": packed(CALL);
        mcp_server("fs") => "spanring.mcp.server": text("fs");
        mcp_data(ANY) => "spanring.mcp.data": packed(ANY);
        query("why?") => "gen_ai.retrieval.query.text": text("why?");
        data_source("handbook") => "gen_ai.data_source.id": text("handbook");
        documents(ANY) => "gen_ai.retrieval.documents": packed(ANY);
        scores(&[0.5, f64::NEG_INFINITY]) => "spanring.retrieval.scores": packed(&[0.5, f64::NEG_INFINITY]);
        document_count(3) => "spanring.retrieval.document_count": Value::U64(3);
        retrieval_metadata(ANY) => "spanring.retrieval.metadata": packed(ANY);
        dimensions(1_536) => "gen_ai.embeddings.dimension.count": Value::U64(1_536);
    }
}

const STEP: &ReasoningStep<'_> =
    &ReasoningStep { step_index: 1, reasoning_tokens: 40, duration_ms: None, content_hash: None };
const DECISION: &DecisionPoint<'_> = &DecisionPoint {
    id: "d1",
    decision_type: "route_choice",
    options_considered: &["a", "b"],
    chosen_option: "a",
    rationale: Some("first"),
};

fn agent() -> Vec<Row> {
    rows! {
        agent_name("planner") => "gen_ai.agent.name": text("planner");
        agent_id("a1") => "gen_ai.agent.id": text("a1");
        agent_description("plans") => "gen_ai.agent.description": text("plans");
        agent_version("2") => "gen_ai.agent.version": text("2");
        agent_config(ANY) => "spanring.agent.config": packed(ANY);
        iterations(4) => "spanring.agent.iterations": Value::U64(4);
        handoffs(&["writer"]) => "spanring.agent.handoffs": packed(&["writer"]);
        tools(&["search"]) => "spanring.agent.tools": packed(&["search"]);
        output_type("Report") => "spanring.agent.output_type": text("Report");
        termination_reason("done") => "spanring.agent.termination_reason": text("done");
        quality("fluency", "good") =>
            "spanring.quality": map([("name", "fluency"), ("payload", "good")]);
        run_totals(ANY) => "spanring.run.totals": packed(ANY);
        step_index(5) => "spanring.step.index": Value::U64(5);
        step_name("plan") => "spanring.step.name": text("plan");
        reasoning_step(STEP) => "spanring.reasoning_steps": packed(STEP);
        decision_point(DECISION) => "spanring.decisions": packed(DECISION);
        guardrail_name("pii") => "spanring.guardrail.name": text("pii");
        triggered(true) => "spanring.guardrail.triggered": Value::Bool(true);
        handoff_from("a") => "spanring.handoff.from": text("a");
        handoff_to("b") => "spanring.handoff.to": text("b");
        replay(ReplaySlot::ToolInput, "in") => "spanring.replay": map([("tool_input", "in")]);
    }
}

fn rows() -> Vec<Row> {
    [identity(), payload(), model(), tool(), agent()].into_iter().flatten().collect()
}

fn attributes(seen: &Seen) -> Vec<(&str, Value)> {
    assert!(seen.attributes.iter().all(|attribute| !attribute.cut));
    seen.attributes.iter().map(|attribute| (attribute.key.as_str(), attribute.value.clone())).collect()
}

#[test]
fn each_method_writes_what_it_says_on_a_span_and_on_its_builder() {
    let mut flight = Flight::start(Plan::default());
    for Row { method, built, set, expected } in rows() {
        assert_eq!(built().end(), Ended::Recorded);
        let later = span("set").start();
        set(&later);
        assert_eq!(later.end(), Ended::Recorded);
        let [built, later] = &flight.take()[..] else { panic!("{method}: both have ended") };
        assert_eq!(attributes(built), expected, "{method} of a builder");
        assert_eq!(attributes(later), expected, "{method} of a span");
        assert_eq!((built.kind, built.status), (Kind::Custom, spanring::Status::Unset));
    }
    flight.counters(0);
}

#[test]
fn every_name_is_written_by_a_method() {
    let rows = rows();
    let mut written: BTreeSet<_> = rows.iter().flat_map(|row| &row.expected).map(|(key, _)| *key).collect();
    // A default input is a pending span's; the counts of what a limit left out are the span's own.
    written.extend([
        names::DEFAULT_INPUT,
        names::DROPPED_ATTRIBUTES,
        names::DROPPED_EVENTS,
        names::DROPPED_LINKS,
    ]);
    // What the OpenTelemetry SDK says of scopes and resources.
    written.extend([names::SCOPE_ATTRIBUTES, names::SCOPE_SCHEMA_URL, names::SCHEMA_URL]);
    // What receivers are told that have no other place for it.
    written.extend([
        names::KIND,
        names::DEADLINE,
        names::STATUS,
        names::STATUS_MESSAGE,
        names::PENDING,
        names::INTERRUPTED,
        names::CUT,
        names::LINKS,
    ]);
    let missing: Vec<_> =
        names::ALL.iter().map(|(name, _)| *name).filter(|name| !written.contains(name)).collect();
    assert_eq!(missing, [""; 0]);
}

/// A constructor, as a function and as a method of a span, and what is to come of it.
struct Made {
    free: fn() -> Span,
    child: fn(&Span) -> Span,
    kind: Kind,
    name: &'static str,
    expected: Vec<(&'static str, Value)>,
}

macro_rules! made {
    ($($make:ident($($argument:expr),*) = $kind:ident, $name:literal $(, $key:literal: $value:expr)*;)*) => {
        vec![$(Made {
            free: || spanring::$make($($argument),*).start(),
            child: |span| span.$make($($argument),*).start(),
            kind: Kind::$kind,
            name: $name,
            expected: vec![$(($key, $value)),*],
        }),*]
    };
}

fn made() -> Vec<Made> {
    made! {
        agent("planner") = Agent, "invoke_agent planner", "gen_ai.agent.name": text("planner");
        llm("gpt-4o") = Llm, "chat gpt-4o", "gen_ai.request.model": text("gpt-4o");
        tool("search") = Tool, "execute_tool search", "gen_ai.tool.name": text("search");
        retrieval("handbook") = Retrieval, "retrieval handbook", "gen_ai.data_source.id": text("handbook");
        embedding("small") = Embedding, "embeddings small", "gen_ai.request.model": text("small");
        chain("steps") = Chain, "steps";
        guardrail("pii") = Guardrail, "pii", "spanring.guardrail.name": text("pii");
        handoff("a", "b") = Handoff, "handoff", "spanring.handoff.from": text("a"), "spanring.handoff.to": text("b");
        reasoning("thinks") = Reasoning, "thinks";
        decision("chooses") = Decision, "chooses";
        response("resp_1") = Response, "response", "gen_ai.response.id": text("resp_1");
        mcp_tools("fs") = McpTools, "mcp_tools fs", "spanring.mcp.server": text("fs");
        speech("tts-1") = Speech, "speech tts-1", "gen_ai.request.model": text("tts-1");
        transcription("whisper-1") = Transcription, "transcription whisper-1", "gen_ai.request.model": text("whisper-1");
        speech_group("group") = SpeechGroup, "group";
        task("report") = Task, "report";
        turn(3) = Turn, "turn", "spanring.step.index": Value::U64(3);
    }
}

#[test]
fn each_constructor_says_what_the_span_stands_for_and_where_it_belongs() {
    let mut flight = Flight::start(Plan::default());
    let mut kinds = BTreeSet::from([Kind::Custom as u8]);
    let current = span("current").start();
    let parent = span("parent").root().start();
    let _entered = current.enter();
    for Made { free, child, kind, name, expected } in made() {
        drop((free(), child(&parent)));
        for (seen, context) in flight.take().iter().zip([current.context(), parent.context()]) {
            assert_eq!((seen.name.as_str(), seen.kind, attributes(seen)), (name, kind, expected.clone()));
            assert_eq!((seen.trace_id, seen.parent_id), (context.trace_id(), context.span_id()), "{name}");
        }
        kinds.insert(kind as u8);
    }
    assert_eq!(kinds.len(), Kind::ALL.len(), "every kind has a constructor");

    drop((parent.child("child").start(), parent.child_named("named").start()));
    for (seen, name) in flight.take().iter().zip(["child", "named"]) {
        assert_eq!(
            (seen.name.as_str(), seen.kind, seen.parent_id),
            (name, Kind::Custom, parent.context().span_id())
        );
    }
}

#[test]
fn what_a_constructor_says_can_be_said_otherwise() {
    let mut flight = Flight::start(Plan::default());
    let call = spanring::llm("gpt-4o").named("ask").kind(Kind::Task).model("gpt-5").start();
    assert_eq!(call.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!((seen.name.as_str(), seen.kind), ("ask", Kind::Task));
    let model = |name| ("gen_ai.request.model", text(name));
    assert_eq!(attributes(&seen), [model("gpt-4o"), model("gpt-5")], "the last counts");
}

#[test]
fn what_is_not_known_yet_is_empty_at_the_start_and_said_later() {
    let mut flight = Flight::start(Plan::default());
    let handoff = spanring::handoff("a", "").start();
    handoff.handoff_to("b");
    let response = handoff.response("").start();
    response.response_id("resp_1").rename("answered");
    drop(response);
    drop(handoff);
    let [response, handoff] = &flight.take()[..] else { panic!("both have ended") };
    assert_eq!(
        attributes(handoff),
        [("spanring.handoff.from", text("a")), ("spanring.handoff.to", text("b"))]
    );
    assert_eq!(attributes(response), [("gen_ai.response.id", text("resp_1"))]);
    assert_eq!((handoff.name.as_str(), response.name.as_str()), ("handoff", "answered"));
    for kind in SpanKind::ALL {
        assert_eq!(SpanKind::from_name(kind.name()), Some(kind));
    }
    assert_eq!(SpanKind::from_name("?"), None);
}

#[test]
fn a_trace_is_the_root_of_one_and_has_a_name() {
    let mut flight = Flight::start(Plan::default());
    let other = span("other").start();
    let _entered = other.enter();
    let run = spanring::trace("research").group("g").start();
    let nested = run.agent("writer").start();
    assert_eq!(nested.context().trace_id(), run.context().trace_id());
    drop((nested, run));
    let [nested, run] = &flight.take()[..] else { panic!("both have ended") };
    assert_eq!((run.name.as_str(), run.kind, run.parent_id.is_valid()), ("research", Kind::Agent, false));
    assert_ne!(run.trace_id, other.context().trace_id());
    assert_eq!(attributes(run), [("gen_ai.agent.name", text("research")), ("spanring.group.id", text("g"))]);
    assert_eq!((nested.parent_id, nested.trace_id), (run.span_id, run.trace_id));
    assert_eq!(flight.counters(1).misused, 0);

    drop(spanring::trace("").start());
    let unnamed = flight.take_one();
    assert_eq!((unnamed.name.as_str(), unnamed.parent_id.is_valid()), ("unnamed", false));
    assert_eq!(attributes(&unnamed), [("gen_ai.agent.name", text("unnamed"))]);
    assert_eq!(flight.counters(1).misused, 1);
}

/// Counts how often it is asked what it is.
struct Counts<'a>(&'a Cell<u32>);

impl Serialize for Counts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.set(self.0.get() + 1);
        serializer.serialize_unit()
    }
}

#[test]
fn a_builder_encodes_nothing_before_its_span_starts_and_nothing_at_all_where_it_is_not_recorded() {
    let asked = Cell::new(0);
    let counts = Counts(&asked);
    let quality = || spanring::llm("gpt-4o").input(&counts).set_value("value", &counts).quality("q", &counts);
    let alone = alone();
    let not_called = |_: &Span| unreachable!("nobody asks what to set");
    assert_eq!(quality().start().end(), Ended::NotRecording);
    assert_eq!(quality().start_with(not_called).end(), Ended::NotRecording);
    drop(quality().prepare().default_input(&counts));
    assert_eq!(asked.get(), 0, "no recorder");

    let flight = Flight::start_with(alone, Plan { lanes: 0, ..Plan::default() });
    assert_eq!(quality().start_with(not_called).end(), Ended::Dropped(DropReason::NoLane));
    drop(quality().prepare().default_input(&counts));
    assert_eq!(asked.get(), 0, "no room for the span");

    let mut flight = flight.follow_with(Plan::default());
    let builder = quality();
    assert!(format!("{builder:?}").contains("gpt-4o"));
    drop(builder);
    assert_eq!((asked.get(), flight.counters(0).started), (0, 0), "it was never started");
    let builder = quality().parent(Context::NONE);
    assert_eq!(asked.get(), 0);
    drop(builder.start());
    assert_eq!(asked.get(), 3);
    drop(quality().prepare());
    assert_eq!(asked.get(), 6);
    let keys = ["gen_ai.request.model", "spanring.input", "value", "spanring.quality"];
    assert!(flight.take().iter().all(|seen| seen.keys() == keys), "in the order in which they were set");
}
