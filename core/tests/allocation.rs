//! Recording allocates nothing: between a span's start and its end the heap is not touched.
#![expect(unsafe_code, reason = "a global allocator is an unsafe trait; this one counts and passes on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde::{Serialize, Serializer};
use spanring::control::CONTROL_FILE_LEN;
use spanring::dictionary::DICTIONARY_FILE_LEN;
use spanring::mapping::Mapping;
use spanring::recorder::{Options, Recorder};
use spanring::{
    Cost, DecisionPoint, Ended, Kind, ReasoningStep, ReplaySlot, Span, Status, Tokens, ToolCall, span,
    span_named,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator as it came; counting touches a cell without destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(memory, layout, len) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    parts: &'a [&'a str],
    tokens: Option<u64>,
}

/// An error with a cause.
#[derive(Debug)]
struct Refused(std::num::ParseIntError);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// How often the heap is touched while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// A recorder that is installed for as long as this lives, alone in the process.
struct Installed {
    recorder: &'static Recorder,
    _alone: MutexGuard<'static, ()>,
}

impl Installed {
    fn new() -> Self {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let anonymous = |len| Mapping::anonymous(len).unwrap();
        let options = Options::default();
        let recorder = Recorder::new(
            options,
            spanring::Hooks::default(),
            anonymous(CONTROL_FILE_LEN),
            anonymous(DICTIONARY_FILE_LEN),
        )
        .unwrap();
        for _ in 0..2 {
            recorder.add_lane(anonymous(spanring::lane_file_len(1 << 20))).unwrap();
        }
        recorder.add_table(anonymous(spanring::table_file_len())).unwrap();
        recorder.install().unwrap();
        Installed { recorder, _alone: alone }
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        self.recorder.uninstall();
    }
}

#[test]
fn nothing_is_allocated_between_start_and_end() {
    let installed = Installed::new();
    let recorder = installed.recorder;
    let long = "x".repeat(20_000);
    let key = format!("key {}", 1);
    let message = Message { role: "user", parts: &["hello", "world"], tokens: Some(812) };
    let record = || {
        let root = span("run").kind(Kind::Agent).set("group", "g").start();
        let _entered = root.enter();
        let call = span_named(&key).start();
        call.set("i64", 1);
        call.set("f64", 1.5);
        call.set("bool", true);
        call.set("text", &key);
        call.set("long", &long);
        call.set_named(&key, 7);
        call.set_value("message", &message);
        call.set_value("large", &long.as_str());
        call.set_display("display", &format_args!("{} of {long}", 1));
        call.event_with("event", |event| event.set_value("message", &message));
        call.error("reason");
        assert_eq!(call.end(), Ended::Recorded);
        drop(root);
    };
    // The first span of a thread takes a lane; a name or key that is new is entered in the dictionary.
    let first = allocations(record);
    assert!(first <= 4, "{first} for the first span of a thread, which registers a destructor");
    assert_eq!(allocations(|| (0..10).for_each(|_| record())), 0);
    // A full ring and tables that run out change nothing.
    let mut spans = Vec::with_capacity(2_000);
    assert_eq!(
        allocations(|| {
            (0..2_000).for_each(|_| spans.push(span("many").start()));
            spans.iter().for_each(|span| _ = span.set("long", &long));
            spans.drain(..).for_each(drop);
            (0..100).for_each(|_| record_dropped());
        }),
        0
    );
    assert!(recorder.counters().dropped_ring_full > 0 && recorder.counters().dropped_no_cell > 0);
    recorder.uninstall();
    assert_eq!(allocations(record_dropped), 0);
}

fn record_dropped() {
    let span = span("dropped").start();
    span.set_value("value", &[1, 2, 3]);
    drop(span);
}

/// An agent's run with a call of a model in it, by the methods that have a type.
fn record_typed(message: &Message<'_>) -> Span {
    let run = spanring::trace("research").workflow("weekly").group("g").user("u7").metadata(message).start();
    let call = run
        .llm("gpt-4o")
        .provider("openai")
        .temperature(0.2)
        .max_tokens(100)
        .stream(true)
        .input_messages(&[message])
        .deadline(Duration::from_secs(5))
        .start();
    call.tokens(Tokens::new(812, 94).cached(600)).cost(Cost::new(0.1, 0.2).currency("EUR"));
    call.finish_reason("stop").response_content("hello").time_to_first_token(Duration::from_millis(3));
    call.tag("urgent").label("env", "test").quality("fluency", &0.5).replay(ReplaySlot::LlmRequest, message);
    call.tool_call(&ToolCall { id: "c1", function_name: "search", ..ToolCall::default() });
    call.reasoning_step(&ReasoningStep::default()).decision_point(&DecisionPoint::default());
    call.link(run.context()).link_with(run.context(), |link| link.set("why", "because"));
    call.event("first token").event_at("chunk", 5, |event| event.set("size", 17));
    assert_eq!((call.status(), call.parent_id()), (Status::Unset, Some(run.context().span_id())));
    assert_eq!(call.complete(), Ended::Recorded);
    run
}

#[test]
fn nothing_is_allocated_by_the_methods_that_have_a_type() {
    let _installed = Installed::new();
    let message = Message { role: "user", parts: &["hello", "world"], tokens: Some(812) };
    drop(record_typed(&message));
    assert_eq!(allocations(|| (0..10).for_each(|_| drop(record_typed(&message)))), 0);
}

#[cfg(feature = "macros")]
#[test]
fn nothing_is_allocated_by_functions_that_are_recorded() {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use spanring::prelude::*;

    #[span(kind = tool, args, fields(digits = text.len(), %text), err, ret, as = call)]
    fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
        call.event("here");
        text.parse()
    }

    #[span(args, err, ret = debug, as = call)]
    async fn parse_later(text: &str) -> Result<u32, std::num::ParseIntError> {
        call.event("here");
        parse(text)
    }

    fn record() {
        assert_eq!(parse("12"), Ok(12));
        assert!(parse("twelve").is_err());
        let later = pin!(parse_later("12"));
        assert_eq!(later.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(12)));
    }

    let installed = Installed::new();
    record();
    assert_eq!(allocations(|| (0..10).for_each(|_| record())), 0);
    installed.recorder.uninstall();
    assert_eq!(allocations(record), 0);
}

#[test]
fn nothing_is_allocated_by_a_result_that_is_handed_on() {
    let _installed = Installed::new();
    let refused = || Err::<u32, _>(Refused("twelve".parse::<u32>().unwrap_err()));
    let boxed: Box<dyn Error> = Box::new(refused().unwrap_err());
    let finish = || {
        assert!(span("ok").start().finish("12".parse::<u32>()).is_ok());
        assert!(span("parse").start().finish("twelve".parse::<u32>()).is_err());
        assert!(span("cause").start().finish(refused()).is_err());
        assert!(span("boxed").start().finish(Err::<(), _>(&boxed)).is_err());
        assert!(span("display").start().finish_display(refused()).is_err());
        assert_eq!(
            span("io").start().fail(std::io::Error::from(std::io::ErrorKind::NotFound)),
            Ended::Recorded
        );
        assert_eq!(span("payload").start().fail_with(&("E7", 7)), Ended::Recorded);
        assert_eq!(span("cancel").start().cancel(), Ended::Recorded);
    };
    finish();
    assert_eq!(allocations(|| (0..10).for_each(|_| finish())), 0);
}

#[test]
fn nothing_is_allocated_by_a_span_that_ends_on_another_thread() {
    const SPANS: usize = 100;
    let installed = Installed::new();
    let another = Mapping::anonymous(spanring::lane_file_len(1 << 20)).unwrap();
    installed.recorder.add_lane(another).unwrap();
    let long = "x".repeat(1_500);
    let start = |spans: &mut Vec<Span>| {
        (0..SPANS).for_each(|number| spans.push(span("moved").set("number", number as u64).start()));
    };
    let end = |spans: &mut Vec<Span>| {
        for span in spans.drain(..) {
            // Beyond its cell, so that a cell of this thread is chained to one of the other.
            span.set("there", &long).event("moved");
            assert_eq!(span.end(), Ended::Recorded);
        }
    };
    let (mut here, mut there) = (Vec::with_capacity(SPANS), Vec::with_capacity(SPANS));
    start(&mut there);
    end(&mut there);
    for round in 0..3 {
        // Those after the first take cells that have come home.
        let started = allocations(|| start(&mut here));
        let other = || {
            // Takes a lane of its own.
            start(&mut there);
            end(&mut there);
            allocations(|| end(&mut here))
        };
        let ended = thread::scope(|scope| scope.spawn(other).join().unwrap());
        assert_eq!((started, ended), (0, 0), "in round {round}");
    }
    assert_eq!(installed.recorder.counters().dropped(), 0);
}

#[test]
fn nothing_is_allocated_while_a_ring_is_filled_and_drained_many_times() {
    const LAPS: u64 = 20;
    let installed = Installed::new();
    let recorder = installed.recorder;
    let mut consumer = recorder.consumer().expect("nobody else has it");
    let message = Message { role: "user", parts: &["hello", "world"], tokens: Some(812) };
    drop(record_typed(&message));
    let tail = || recorder.tails().into_iter().max().unwrap_or(0);
    let (mut ended, mut drained) = (2, 0);
    while tail() < LAPS << 20 {
        let touched = allocations(|| {
            for _ in 0..100 {
                drop(record_typed(&message));
            }
        });
        assert_eq!(touched, 0, "at {}", tail());
        ended += 200;
        for lane in 0..3 {
            consumer.consume(lane, |record| {
                drained += u64::from(matches!(record, Ok(spanring::record::Record::Ended { .. })));
                ControlFlow::Continue(())
            });
        }
        consumer.release();
    }
    assert_eq!((drained, recorder.counters().dropped()), (ended, 0));
}

#[test]
fn nothing_is_allocated_by_a_pending_span_or_a_limit() {
    let _installed = Installed::new();
    let work = || {
        let pending = spanring::tool("search").prepare();
        pending.arguments(&["q"]);
        assert_eq!(pending.start().complete(), Ended::Recorded);
        drop(spanring::tool("search").prepare().default_input("q"));
        assert_eq!(spanring::tool("search").prepare().cancel_at_unix_ns(5), Ended::Recorded);
        let many = span("many").start();
        (0..2_000).for_each(|number| _ = many.set("number", number).event("event").link(many.context()));
        assert_eq!(many.end(), Ended::Recorded);
    };
    work();
    assert_eq!(allocations(|| (0..3).for_each(|_| work())), 0);
}

/// A value whose length is known only once it was encoded is a value like any other: iterators that filter, and structs with
/// a `#[serde(flatten)]`, are such.
#[test]
fn nothing_is_allocated_by_a_value_whose_length_is_not_known_before() {
    struct Odd;
    impl Serialize for Odd {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq((0..10).filter(|number| number % 2 == 1))
        }
    }
    #[derive(Serialize)]
    struct Flat<'a> {
        id: u32,
        #[serde(flatten)]
        message: Message<'a>,
    }
    let _installed = Installed::new();
    let flat = Flat { id: 7, message: Message { role: "user", parts: &["hello"], tokens: None } };
    let record = || {
        let span = span("unknown length").start();
        span.set_value("odd", &Odd).set_value("flat", &flat);
        assert_eq!(span.end(), Ended::Recorded);
    };
    record();
    assert_eq!(allocations(record), 0);
}
