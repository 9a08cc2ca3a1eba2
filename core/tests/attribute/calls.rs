//! What a call leaves: a span with the right name, kind and place, and nothing where nobody looks.

use std::cell::Cell;
use std::sync::Arc;

use spanring::control::CONTROL_FILE_LEN;
use spanring::dictionary::DICTIONARY_FILE_LEN;
use spanring::mapping::Mapping;
use spanring::prelude::*;
use spanring::recorder::{Options, Recorder};
use spanring::{Hooks, Status, names};

use crate::flight::{Flight, Plan, Value, alone};
use crate::tree;

#[span]
fn outer(depth: u32) -> u32 {
    if depth == 0 {
        return inner();
    }
    outer(depth - 1) + 1
}

#[span(name = "the innermost")]
fn inner() -> u32 {
    drop(spanring::span("by hand").start());
    40
}

#[test]
fn calls_are_spans_under_those_that_they_are_made_in() {
    let mut flight = Flight::start(Plan::default());
    assert_eq!(outer(2), 42);
    assert!(!Context::current().is_valid());
    let spans = flight.take();
    assert_eq!(tree(&spans), "outer\n  outer\n    outer\n      the innermost\n        by hand\n");
    assert!(spans.iter().all(|span| span.status == Status::Unset && span.kind == Kind::Custom));
    assert!(spans.iter().all(|span| span.attributes.is_empty()));
    flight.counters(0);
}

macro_rules! kinds {
    ($($kind:ident: $by_hand:expr,)*) => {
        #[test]
        fn each_kind_records_what_its_constructor_does_of_a_function_of_this_name() {
            $(
                mod $kind {
                    use spanring::prelude::*;

                    #[span(kind = $kind)]
                    pub(super) fn search() {}

                    #[span(kind = $kind, name = "read page")]
                    pub(super) fn named() {}
                }
            )*
            let mut flight = Flight::start(Plan::default());
            let mut kinds = 0;
            $(
                kinds += 1;
                $kind::search();
                $kind::named();
                let by_hand: fn(&'static str) -> Span = $by_hand;
                drop(by_hand("search"));
                drop(by_hand("read page"));
                let [search, named, search_by_hand, named_by_hand] = flight.take().try_into().unwrap();
                for (span, by_hand) in [(search, search_by_hand), (named, named_by_hand)] {
                    assert_eq!(span.kind, Kind::from_name(stringify!($kind)).unwrap());
                    assert_eq!((&span.name, span.kind), (&by_hand.name, by_hand.kind));
                    assert_eq!(span.attributes, by_hand.attributes);
                }
            )*
            assert_eq!(kinds, Kind::ALL.len());
        }
    };
}

// Whose constructors want a model, a source, an identity or a number, and no name of what is done, get none of these.
kinds! {
    custom: |name| spanring::span(name).start(),
    agent: |name| spanring::agent(name).start(),
    llm: |name| spanring::span(name).kind(Kind::Llm).start(),
    tool: |name| spanring::tool(name).start(),
    retrieval: |name| spanring::span(name).kind(Kind::Retrieval).start(),
    embedding: |name| spanring::span(name).kind(Kind::Embedding).start(),
    chain: |name| spanring::chain(name).start(),
    guardrail: |name| spanring::guardrail(name).start(),
    handoff: |name| spanring::span(name).kind(Kind::Handoff).start(),
    reasoning: |name| spanring::reasoning(name).start(),
    decision: |name| spanring::decision(name).start(),
    response: |name| spanring::span(name).kind(Kind::Response).start(),
    mcp_tools: |name| spanring::span(name).kind(Kind::McpTools).start(),
    speech: |name| spanring::span(name).kind(Kind::Speech).start(),
    transcription: |name| spanring::span(name).kind(Kind::Transcription).start(),
    speech_group: |name| spanring::speech_group(name).start(),
    task: |name| spanring::task(name).start(),
    turn: |name| spanring::span(name).kind(Kind::Turn).start(),
}

struct Agent {
    run: Span,
}

impl Agent {
    #[span(parent = self.run)]
    fn of_a_field(&self) {}

    #[span(parent = run)]
    fn of_an_argument(run: &Span) {
        _ = run.is_recording();
    }

    #[span(parent = self.run.context())]
    fn of_a_context(&self) {}

    #[span(root)]
    fn of_none() {}

    #[span]
    fn of_the_current() {}
}

#[test]
fn a_span_is_under_what_is_said_or_under_the_current_one() {
    let mut flight = Flight::start(Plan::default());
    let agent = Agent { run: spanring::span("run").start() };
    spanring::span("current").start().in_scope(|| {
        agent.of_a_field();
        Agent::of_an_argument(&agent.run);
        agent.of_a_context();
        Agent::of_none();
        Agent::of_the_current();
    });
    drop(agent);
    let tree = tree(&flight.take());
    assert_eq!(
        tree,
        "of_none\ncurrent\n  of_the_current\nrun\n  of_a_field\n  of_an_argument\n  of_a_context\n"
    );
}

#[span(as = call)]
fn bound(text: &str) -> usize {
    call.set("characters", text.len());
    helper(call);
    let set_later = || call.event("done");
    set_later();
    text.len()
}

fn helper(span: &Span) {
    drop(span.child("helper").start());
}

#[test]
fn the_body_can_have_a_name_for_its_span() {
    let mut flight = Flight::start(Plan::default());
    assert_eq!(bound("four"), 4);
    let spans = flight.take();
    assert_eq!(tree(&spans), "bound\n  helper\n");
    let bound = &spans[1];
    assert_eq!(bound.get("characters"), Some(&Value::U64(4)));
    assert_eq!(bound.events[0].name, "done");
}

#[test]
fn where_nothing_is_recorded_the_body_runs_all_the_same_and_no_value_is_evaluated() {
    thread_local!(static EVALUATED: Cell<u32> = const { Cell::new(0) });

    fn evaluated<T>(value: T) -> T {
        EVALUATED.set(EVALUATED.get() + 1);
        value
    }

    #[span(fields(n = evaluated(1)), parent = evaluated(Context::NONE), as = call)]
    fn work(n: u32) -> (u32, Context, bool) {
        (n, Context::current(), call.is_recording())
    }

    let alone = alone();
    let outside = spanring::span("outside").start();
    outside.in_scope(|| {
        assert_eq!(work(7), (7, Context::current(), false));
    });
    assert_eq!(EVALUATED.get(), 0);

    let mut flight = Flight::start_with(alone, Plan::default());
    assert!(work(7).2);
    assert_eq!(EVALUATED.get(), 2);
    assert_eq!(flight.take_one().get("n"), Some(&Value::I64(1)));
}

#[test]
fn a_filter_is_told_where_a_function_is_and_can_disable_it() {
    const LINE: u32 = line!() + 3;

    #[span(kind = tool)]
    fn disabled() -> (Context, u32) {
        enabled()
    }

    #[span]
    fn enabled() -> (Context, u32) {
        (Context::current(), 1)
    }

    let _alone = alone();
    let (sender, asked) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let filter = move |callsite: &spanring::Callsite| {
        let place = format!("{}:{}", callsite.target(), callsite.line());
        sender.lock().unwrap().send((callsite.name(), callsite.kind(), place, callsite.file())).unwrap();
        callsite.kind() != Kind::Tool
    };
    let hooks = Hooks { filter: Some(Arc::new(filter)), ..Hooks::default() };
    let anonymous = |len| Mapping::anonymous(len).unwrap();
    let (control, dictionary) = (anonymous(CONTROL_FILE_LEN), anonymous(DICTIONARY_FILE_LEN));
    let recorder = Recorder::new(Options::default(), hooks, control, dictionary).unwrap();
    recorder.add_lane(anonymous(spanring::lane_file_len(Options::default().ring_bytes))).unwrap();
    recorder.install().unwrap();

    let run = spanring::span("run").start();
    let called = [(); 3].map(|()| run.in_scope(disabled));
    let started = recorder.counters().started;
    recorder.uninstall();
    assert_eq!(started, 4);
    assert!(called.iter().all(|(inner, one)| inner.trace_id() == run.context().trace_id() && *one == 1));
    let target = module_path!();
    assert_eq!(
        asked.try_iter().collect::<Vec<_>>(),
        [
            ("execute_tool disabled", Kind::Tool, format!("{target}:{LINE}"), file!()),
            ("enabled", Kind::Custom, format!("{target}:{}", LINE + 5), file!()),
        ]
    );
}

#[test]
fn a_call_that_panics_has_failed_and_takes_its_span_from_the_thread() {
    #[span(err, ret)]
    fn breaks(n: u32) -> Result<u32, String> {
        assert!(n != 3, "three");
        Ok(n)
    }

    let mut flight = Flight::start(Plan::default());
    assert_eq!(breaks(2), Ok(2));
    std::panic::catch_unwind(|| breaks(3)).unwrap_err();
    assert!(!Context::current().is_valid());
    let [well, broken] = flight.take().try_into().unwrap();
    assert_eq!(well.status, Status::Ok);
    assert_eq!(broken.status, Status::Error);
    assert_eq!(broken.get(names::ERROR_TYPE), Some(&Value::text("panic")));
    assert_eq!(broken.get(names::OUTPUT), None);
}

#[test]
fn the_names_of_the_expansion_are_not_seen_by_the_body() {
    const CALLSITE: u32 = 1;

    #[span(fields(sum = call + context + result + span + callsite), ret)]
    fn names(call: u32, context: u32, result: u32, span: u32, callsite: u32) -> u32 {
        call + context + result + span + callsite + CALLSITE
    }

    let mut flight = Flight::start(Plan::default());
    assert_eq!(names(1, 2, 3, 4, 5), 16);
    let span = flight.take_one();
    assert_eq!(span.get("sum"), Some(&Value::U64(15)));
    assert_eq!(span.get(names::OUTPUT), Some(&Value::packed(&16)));
}

/// Explicit imports do not hide what a prelude has under the same name but for another use.
mod of_the_same_name {
    use spanring::prelude::*;
    use spanring::span;

    #[span(as = call)]
    pub(super) fn all_three() {
        drop(span("by function").parent(call.context()).start());
        drop(span!("by macro", n = 1));
    }
}

#[test]
fn the_attribute_the_macro_and_the_function_are_used_side_by_side() {
    let mut flight = Flight::start(Plan::default());
    of_the_same_name::all_three();
    assert_eq!(tree(&flight.take()), "all_three\n  by function\n  by macro\n");
}
