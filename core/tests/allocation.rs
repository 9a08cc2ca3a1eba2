//! Recording allocates nothing: between a span's start and its end the heap is not touched.
#![expect(unsafe_code, reason = "a global allocator is an unsafe trait; this one counts and passes on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use serde::Serialize;
use spanring::control::CONTROL_FILE_LEN;
use spanring::dictionary::DICTIONARY_FILE_LEN;
use spanring::mapping::Mapping;
use spanring::recorder::{Options, Recorder};
use spanring::{Ended, Kind, Overflow, span, span_named};

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

/// How often the heap is touched while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn nothing_is_allocated_between_start_and_end() {
    let anonymous = |len| Mapping::anonymous(len).unwrap();
    let options = Options { ring_bytes: 1 << 20, overflow: Overflow::Drop, live: false };
    let recorder =
        Recorder::new(options, anonymous(CONTROL_FILE_LEN), anonymous(DICTIONARY_FILE_LEN)).unwrap();
    for _ in 0..2 {
        recorder.add_lane(anonymous(spanring::lane_file_len(1 << 20))).unwrap();
    }
    recorder.add_table(anonymous(spanring::table_file_len())).unwrap();
    recorder.install().unwrap();

    let long = "x".repeat(20_000);
    let key = format!("key {}", 1);
    let message = Message { role: "user", parts: &["hello", "world"], tokens: Some(812) };
    let record = || {
        let root = span("run").kind(Kind::Agent).start_with(|span| span.set("group", "g"));
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
        call.event_with("event", |event| event.set_value("message", &message));
        call.fail("reason");
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
            spans.iter().for_each(|span| span.set("long", &long));
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
