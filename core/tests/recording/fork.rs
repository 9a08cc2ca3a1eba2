//! A forked child neither records into its parent's memory nor keeps its lock.
#![expect(unsafe_code, reason = "fork, waitpid and _exit have no safe form")]

use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use spanring::processor::Processor;
use spanring::recorder::{self, Recorder};
use spanring::redaction::Redaction;
use spanring::{Context, Ended, Hooks, Overflow, Span, Status, span};

use crate::flight::{Flight, LONG, Plan, Value};

/// Runs `child` in a forked child, and says whether all it claimed was true.
fn holds_in_child(child: impl FnOnce()) -> bool {
    // SAFETY: the child runs what the test gives it, on its only thread, and leaves by `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let claims = catch_unwind(AssertUnwindSafe(child));
        // SAFETY: ends the process, at any time.
        unsafe { libc::_exit(if claims.is_ok() { 0 } else { 1 }) }
    }
    let mut status = 0;
    // SAFETY: `status` is an int for the call to fill.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid);
    status == 0
}

#[test]
fn what_a_child_does_with_inherited_spans_leaves_the_parent_untouched() {
    let mut flight =
        Flight::start(Plan { in_files: true, tables: 1, overflow: Overflow::Block(LONG), ..Plan::default() });
    let open = span("inherited").start();
    open.set("before", "the fork");
    let many: Vec<_> = (0..300).map(|_| span("in the table").start()).collect();
    let before = flight.files();
    let counted = flight.counters(301);

    let (mut inherited, dropped) = (Some(open), &many);
    let held = holds_in_child(|| {
        let started = Instant::now();
        let open = inherited.take().unwrap();
        open.set("number", 1);
        open.set("large", "x".repeat(100_000));
        open.set_value("packed", &vec!["y"; 10_000]);
        open.error("in the child");
        assert_eq!(open.end(), Ended::NotRecording);
        for span in dropped {
            span.event("in the child");
        }
        let fresh = span("fresh").start();
        assert!(!fresh.is_recording());
        assert_eq!(fresh.end(), Ended::NotRecording);
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "nothing waits for a consumer that is not there"
        );
    });
    assert!(held);
    assert!(flight.files() == before, "the parent's files did not change");
    assert_eq!(flight.counters(301), counted);

    let open = inherited.take().unwrap();
    open.set("after", 1);
    assert_eq!(open.end(), Ended::Recorded);
    drop(many);
    let spans = flight.take();
    assert_eq!(spans.len(), 301);
    assert_eq!(spans[0].get("before"), Some(&Value::Str("the fork".to_owned())));
    assert_eq!((spans[0].get("number"), spans[0].get("after")), (None, Some(&Value::I64(1))));
}

/// In the child the cells of the parent hold zeros, and with them the length up to which a span was filled.
#[test]
fn what_a_child_sets_on_an_inherited_span_goes_nowhere() {
    let flight = Flight::start(Plan { overflow: Overflow::Block(LONG), ..Plan::default() });
    let small = span("small").start();
    // The second of these has its cells in the opposite order, so that its last cell is the first of the file.
    let large = span("large").start();
    large.set("filling", "x".repeat(200_000));
    drop(large);
    let large = span("large").start();
    large.set("filling", "x".repeat(200_000));
    let item = span("item").start();

    let held = holds_in_child(|| {
        for span in [&small, &large] {
            span.set("a", 1).set("b", true).set("c", u64::MAX).set("d", "text").event("e");
            span.set_value("f", &[1, 2, 3]).set_named("g", 1).link(span.context()).rename("h");
            span.status_message("in the child");
            assert_eq!(
                (span.error_message(), span.kind(), span.parent_id()),
                (None, spanring::Kind::Custom, None)
            );
            span.set_status(Status::Ok);
            assert_eq!(span.status(), Status::Ok);
        }
        item.event_with("e", |event| event.set("a", 1));
    });
    assert!(held);

    item.set("after", 1);
    assert_eq!((small.end(), large.end(), item.end()), (Ended::Recorded, Ended::Recorded, Ended::Recorded));
    drop(flight);
}

#[test]
fn a_child_that_starts_or_shares_what_was_pending_leaves_the_parent_untouched() {
    let mut flight =
        Flight::start(Plan { in_files: true, overflow: Overflow::Block(LONG), ..Plan::default() });
    let root = span("root").input(&"x".repeat(3_000)).prepare();
    root.error("in the parent");
    let mut inherited = Some((root, span("dropped").prepare(), span("shared").prepare().shared()));
    let before = flight.files();
    let counted = flight.counters(3);
    let held = holds_in_child(|| {
        let (root, dropped, shared) = inherited.take().unwrap();
        assert_eq!((root.start_unix_ns(), root.error_message()), (None, None));
        let root = root.start();
        root.error(std::io::Error::other("in the child")).link(root.context());
        (0..2_000).for_each(|number| _ = root.set("number", number));
        assert_eq!(root.complete(), Ended::NotRecording);
        drop(dropped);
        assert!(shared.start());
        assert_eq!((shared.cancel(), shared.end()), (Ended::NotRecording, Ended::AlreadyEnded));
    });
    assert!(held);
    assert!(flight.files() == before, "the parent's files did not change");
    assert_eq!(flight.counters(3), counted);

    let (root, dropped, shared) = inherited.take().unwrap();
    assert_eq!(root.error_message().as_deref(), Some("in the parent"));
    assert_eq!(root.start().end(), Ended::Recorded);
    drop(dropped);
    assert_eq!(shared.complete(), Ended::Recorded);
    assert_eq!(flight.take().len(), 3);
}

/// How often something that a program has put into recording was called.
static CALLED: AtomicU64 = AtomicU64::new(0);

fn count_call() {
    CALLED.fetch_add(1, Ordering::Relaxed);
}

struct Counts;

impl Processor for Counts {
    fn on_trace_start(&self, _: &Span) {
        count_call();
    }

    fn on_start(&self, _: &Span) {
        count_call();
    }

    fn on_end(&self, _: &Span) {
        count_call();
    }

    fn on_trace_end(&self, _: &Span) {
        count_call();
    }

    fn flush(&self, _: Duration) -> bool {
        count_call();
        true
    }

    fn shut_down(&self) {
        count_call();
    }
}

/// They may hold locks that some thread of the parent had when it forked.
#[test]
fn nothing_that_a_parent_has_put_into_recording_is_called_for_spans_that_a_child_inherits() {
    let redaction = Redaction::new().texts(|_: &str, _: &str| {
        count_call();
        None
    });
    let mut flight = Flight::hooked(Hooks {
        redaction: Some(Arc::new(redaction)),
        processors: vec![Arc::new(Counts)],
        ..Hooks::default()
    });
    let mut inherited =
        Some((span("open").start(), span("pending").prepare(), span("shared").prepare().shared()));
    let recorder = flight.recorder;
    let held = holds_in_child(|| {
        let (open, pending, shared) = inherited.take().unwrap();
        CALLED.store(0, Ordering::Relaxed);
        open.set("key", "text").set_named("made at run time", 1).set_display("shown", &1);
        open.set_value("packed", &["text"]).status_message("why").error("because").rename("other");
        open.event_named("event", |event| event.set("key", "text"));
        drop(open);
        drop(pending);
        shared.start();
        shared.complete();
        recorder.flush_processors(Duration::from_secs(1));
        recorder.shut_processors_down();
        assert_eq!(CALLED.load(Ordering::Relaxed), 0);
    });
    assert!(held);
    let (open, pending, shared) = inherited.take().unwrap();
    CALLED.store(0, Ordering::Relaxed);
    open.set("key", "text");
    drop((open, pending, shared));
    assert_eq!(CALLED.load(Ordering::Relaxed), 11, "a text, and two or four calls for each span");
    assert_eq!(flight.take().len(), 3);
}

#[test]
fn a_grandchild_is_no_different() {
    let flight = Flight::start(Plan { in_files: true, ..Plan::default() });
    let open = span("inherited").start();
    let before = flight.files();
    assert!(holds_in_child(|| assert!(holds_in_child(|| {
        open.set("text", "x".repeat(2_000));
        assert!(!span("fresh").start().is_recording());
    }))));
    assert!(flight.files() == before);
}

#[test]
fn spans_of_a_recorder_that_another_has_followed_end_as_unrecorded_in_a_child_too() {
    let first = Flight::start(Plan::default());
    let of_first = span("of the first").start();
    let _second = first.follow_with(Plan::default());
    let mut of_first = Some(of_first);
    assert!(holds_in_child(|| assert_eq!(of_first.take().unwrap().end(), Ended::NotRecording)));
    assert_eq!(of_first.take().unwrap().end(), Ended::Recorded);
}

#[test]
fn the_threads_of_a_parent_go_on_while_it_forks() {
    let mut flight = Flight::start(Plan { overflow: Overflow::Block(LONG), ..Plan::default() });
    let recording = std::thread::spawn(|| {
        for index in 0..20_000 {
            let span = span("busy").start();
            span.set("index", index);
            assert_eq!(span.end(), Ended::Recorded);
        }
    });
    while !recording.is_finished() {
        assert!(holds_in_child(|| drop(span("in the child").start())));
        flight.drain();
    }
    recording.join().unwrap();
    flight.drain();
    assert_eq!(flight.landed.len(), 20_000);
    flight.counters(0);
}

static START_OWN: AtomicBool = AtomicBool::new(false);

/// What a spool does in a child: a recorder of its own.
fn start_own() {
    if START_OWN.load(Ordering::Relaxed) {
        let anonymous = |len| spanring::mapping::Mapping::anonymous(len).unwrap();
        let options = recorder::Options { ring_bytes: 1 << 16, ..recorder::Options::default() };
        let control = anonymous(spanring::control::CONTROL_FILE_LEN);
        let dictionary = anonymous(spanring::dictionary::DICTIONARY_FILE_LEN);
        let recorder = Recorder::new(options, spanring::Hooks::default(), control, dictionary).unwrap();
        recorder.add_lane(anonymous(spanring::lane_file_len(1 << 16))).unwrap();
        recorder.add_lane(anonymous(spanring::lane_file_len(1 << 16))).unwrap();
        recorder.install().unwrap();
    }
}

#[test]
fn a_child_gets_a_recorder_of_its_own_at_its_first_span() {
    let flight = Flight::start(Plan { in_files: true, ..Plan::default() });
    recorder::start_in_child(start_own);
    START_OWN.store(true, Ordering::Relaxed);
    let open = span("inherited").start();
    let _entered = open.enter();
    let before = flight.files();
    let held = holds_in_child(|| {
        assert!(!Recorder::is_any_installed());
        let own = span("in the child").start();
        assert!(Recorder::is_any_installed() && own.is_recording());
        own.set_named("key made in the child", 1);
        own.set("key that is new in the child", 1);
        assert_eq!(
            own.context().trace_id(),
            open.context().trace_id(),
            "it is still under the inherited span"
        );
        assert_ne!(own.context().span_id(), open.context().span_id());
        assert_eq!(own.end(), Ended::Recorded);
        assert!(holds_in_child(|| assert_eq!(span("in the grandchild").start().end(), Ended::Recorded)));
    });
    START_OWN.store(false, Ordering::Relaxed);
    assert!(held);
    assert!(flight.files() == before);
}

#[test]
fn a_child_goes_on_under_what_was_current_and_leaves_it_for_itself_alone() {
    let _flight = Flight::start(Plan::default());
    recorder::start_in_child(start_own);
    START_OWN.store(true, Ordering::Relaxed);
    let (run, step) = (span("run").start(), span("step").start());
    let mut entered = Some(run.enter());
    let held = step.in_scope(|| {
        holds_in_child(|| {
            let own = span("in the child").start();
            assert!(own.is_recording());
            assert_eq!(own.parent_id(), Some(step.context().span_id()));
            assert_eq!(own.context().trace_id(), step.context().trace_id());
            own.in_scope(|| assert_eq!(Context::current(), own.context()));
            entered.take();
            assert_eq!(Context::current(), step.context());
        })
    });
    assert!(held);
    assert!(holds_in_child(|| {
        assert_eq!(Context::current(), run.context());
        entered.take();
        assert_eq!(span("root").start().parent_id(), None);
    }));
    START_OWN.store(false, Ordering::Relaxed);
    assert_eq!(Context::current(), run.context());
    drop(entered);
    assert_eq!(Context::current(), Context::NONE);
}

#[test]
fn a_lock_is_closed_in_children_and_stays_open_in_the_parent() {
    let _alone = crate::flight::alone();
    let file = tempfile::tempfile().unwrap();
    let forgotten = tempfile::tempfile().unwrap();
    assert!(spanring::close_in_children(file.as_raw_fd()));
    assert!(spanring::close_in_children(forgotten.as_raw_fd()));
    spanring::forget_lock(forgotten.as_raw_fd());
    // SAFETY: asks for flags of a descriptor, whatever it is.
    let is_open = |file: &std::fs::File| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) } >= 0;
    assert!(holds_in_child(|| assert!(!is_open(&file) && is_open(&forgotten))));
    assert!(is_open(&file));
    spanring::forget_lock(file.as_raw_fd());
}
