//! What is recorded, and by whom it is seen.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use spanring::processor::Processor;
use spanring::recorder::Limits;
use spanring::redaction::Redaction;
use spanring::sampling::Root;
use spanring::{Callsite, Ended, Hooks, Span, Status};
use spanring_spool::memory::{MemoryError, MemoryRecorder, Spans};

use super::{complaint, start};

fn names(spans: &Spans) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

#[test]
fn a_thousand_recorders_one_after_another_see_their_own_spans_only() {
    for number in 0..1_000_u32 {
        let recorder = start();
        let span = spanring::span!("numbered", number = number);
        assert_eq!(span.end(), Ended::Recorded);
        let spans = recorder.spans();
        assert_eq!(spans.len(), 1, "{number}: {}", spans.tree());
        spans.one("numbered").assert_attribute("number", number);
        let ledger = recorder.ledger();
        assert_eq!((ledger.started, ledger.ended, ledger.spooled), (1, 1, 1), "{ledger}");
        assert!(ledger.balances(), "{ledger}");
    }
}

/// Counts what it is told, and leaves a mark.
struct Told(Arc<AtomicUsize>, &'static str);

impl Processor for Told {
    fn on_start(&self, span: &Span) {
        self.0.fetch_add(1, Ordering::Relaxed);
        span.set("told", self.1);
    }

    fn on_end(&self, _: &Span) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn shut_down(&self) {
        self.0.fetch_add(100, Ordering::Relaxed);
    }
}

#[test]
fn each_recorder_has_its_own_hooks_and_a_span_that_outlives_one_tells_those_that_it_started_with() {
    let told: [Arc<AtomicUsize>; 2] = Default::default();
    let hooks = |told: &Arc<AtomicUsize>, name| Hooks {
        processors: vec![Arc::new(Told(told.clone(), name))],
        ..Hooks::default()
    };
    let counted = || told.each_ref().map(|told| told.load(Ordering::Relaxed));
    let first = MemoryRecorder::builder().hooks(hooks(&told[0], "first")).start().unwrap();
    let outlives = spanring::span("outlives").start();
    first.spans().one("outlives").assert_attribute("told", "first");
    drop(first);
    assert_eq!(counted(), [101, 0]);

    let redaction = Redaction::new().key("told");
    let second = Hooks {
        sampler: Some(Arc::new(|root: &Root<'_>| root.name() != "out")),
        redaction: Some(Arc::new(redaction)),
        ..hooks(&told[1], "second")
    };
    let second = MemoryRecorder::builder().hooks(second).start().unwrap();
    drop(spanring::span("out").start());
    drop(spanring::span("in").start());
    drop(outlives);
    let spans = second.spans();
    assert_eq!(names(&spans), ["in"]);
    spans.one("in").assert_attribute("told", "[redacted]");
    let ledger = second.ledger();
    assert_eq!((ledger.started, ledger.sampled_out, ledger.redacted), (1, 1, 1));
    drop(second);
    assert_eq!(counted(), [102, 102]);

    let third = start();
    drop(spanring::span("out").start());
    drop(spanring::span("in").set("told", "nobody").start());
    assert_eq!(names(&third.spans()), ["out", "in"]);
    third.spans().one("in").assert_attribute("told", "nobody");
    let ledger = third.ledger();
    assert_eq!((ledger.started, ledger.sampled_out, ledger.redacted), (2, 0, 0));
    drop(third);
    assert_eq!(counted(), [102, 102]);
}

#[test]
fn a_thousand_recorders_with_hooks_of_their_own_ask_those() {
    for number in 0..1_000 {
        let asked = Arc::new(AtomicUsize::new(0));
        let (count, enables) = (asked.clone(), number % 2 == 0);
        let filter = move |_: &Callsite| {
            count.fetch_add(1, Ordering::Relaxed);
            enables
        };
        let hooks = Hooks { filter: Some(Arc::new(filter)), ..Hooks::default() };
        let recorder = MemoryRecorder::builder().hooks(hooks).start().unwrap();
        drop(spanring::span!("filtered"));
        assert_eq!(recorder.spans().len(), usize::from(enables), "{number}");
        assert!(asked.load(Ordering::Relaxed) > 0, "{number}");
    }
    let recorder = start();
    drop(spanring::span!("filtered"));
    recorder.assert_tree("filtered");
}

#[test]
fn recorders_of_several_threads_wait_for_each_other() {
    let tests = (0..8_u32).map(|thread| {
        thread::spawn(move || {
            for round in 0..20 {
                let recorder = start();
                let run = spanring::trace("run").start();
                for _ in 0..5 {
                    drop(spanring::span!("work", thread = thread, round = round));
                }
                drop(run);
                let spans = recorder.stop();
                assert_eq!(spans.len(), 6, "{}", spans.tree());
                for work in spans.named("work") {
                    work.assert_attribute("thread", thread).assert_attribute("round", round);
                }
            }
        })
    });
    for test in tests.collect::<Vec<_>>() {
        test.join().unwrap();
    }
}

#[test]
fn a_test_that_fails_does_not_keep_the_next_from_recording() {
    let message = complaint(|| {
        let recorder = start();
        let _open = spanring::span("open").start();
        recorder.assert_no_open_spans();
    });
    assert_eq!(message, "still open: open; recorded is\nopen open\n");
    assert_eq!(start().spans().len(), 0);
}

#[test]
fn a_second_one_on_the_same_thread_is_an_error_and_no_deadlock() {
    let recorder = start();
    let error = MemoryRecorder::start().unwrap_err();
    assert!(matches!(error, MemoryError::OnThisThread), "{error}");
    assert_eq!(error.to_string(), "this thread has a MemoryRecorder already, which must be dropped first");
    drop(spanring::span("goes on").start());
    recorder.assert_tree("goes on");
    drop(recorder);
    assert_eq!(start().tree(), "");
}

#[test]
fn a_recorder_may_be_looked_at_and_dropped_on_another_thread() {
    let recorder = start();
    drop(spanring::span("before").start());
    thread::scope(|scope| {
        scope.spawn(|| recorder.assert_tree("before"));
    });
    thread::spawn(move || drop(recorder)).join().unwrap();
    assert_eq!(start().tree(), "");
}

#[test]
fn spans_of_an_earlier_recorder_end_in_no_later_one() {
    let first = start();
    let left_open = spanring::span("left open").start();
    assert_eq!(first.stop().tree(), "left open open\n");
    // While it is open, and once it has ended, and those rings are used again.
    for round in 0..3 {
        let recorder = start();
        drop(spanring::span("own").start());
        recorder.assert_tree("own");
        let ledger = recorder.ledger();
        assert_eq!((ledger.started, ledger.in_flight), (1, 0), "{round}: {ledger}");
    }
    let recorder = start();
    drop(left_open);
    assert_eq!(recorder.tree(), "");
    drop(recorder);
    for round in 0..3 {
        let recorder = start();
        assert_eq!((recorder.tree().as_str(), recorder.ledger().started), ("", 0), "{round}");
    }
}

#[test]
fn recorders_whose_spans_stay_open_leave_room_for_more() {
    let mut open = Vec::new();
    for _ in 0..20 {
        let _recorder = start();
        open.push(spanring::span("stays open").start());
    }
    drop(open);
    for _ in 0..200 {
        let recorder = start();
        drop(spanring::span("own").start());
        recorder.assert_tree("own");
    }
}

#[test]
fn threads_that_outlive_recorders_record_into_each() {
    let (ask, asked) = mpsc::channel::<u32>();
    let (answer, answered) = mpsc::channel();
    let worker = thread::spawn(move || {
        for number in asked {
            drop(spanring::span!("worker", number = number));
            answer.send(()).unwrap();
        }
    });
    for number in 0..300 {
        let recorder = start();
        ask.send(number).unwrap();
        answered.recv().unwrap();
        recorder.spans().one("worker").assert_attribute("number", number);
    }
    drop(ask);
    worker.join().unwrap();
}

#[test]
fn threads_that_never_record_again_leave_room_for_more() {
    let mut left = Vec::new();
    for number in 0..200 {
        let recorder = start();
        let (end, ended) = mpsc::channel::<()>();
        let (done, recorded) = mpsc::channel();
        let server = thread::spawn(move || {
            drop(spanring::span!("server", number = number));
            done.send(()).unwrap();
            ended.recv().unwrap_err();
        });
        recorded.recv().unwrap();
        recorder.spans().one("server").assert_attribute("number", number);
        left.push((server, end));
    }
    for (server, end) in left {
        drop(end);
        server.join().unwrap();
    }
}

#[test]
fn all_of_many_threads_record_at_the_same_time() {
    let recorder = start();
    let together = Barrier::new(64);
    let run = spanring::trace("run").start();
    let context = run.context();
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let span = spanring::span("at once").parent(context).start();
                together.wait();
                drop(span);
                together.wait();
            });
        }
    });
    drop(run);
    let spans = recorder.spans();
    assert_eq!(spans.one("run").children().len(), 64);
}

#[test]
fn spans_stand_in_the_order_in_which_they_started() {
    let recorder = start();
    let _run = spanring::trace("run").start();
    let (z, a) = (spanring::span("z").start(), spanring::span("a").start());
    recorder.spans(); // what is looked at earlier is no earlier
    thread::scope(|scope| {
        scope.spawn(|| drop(spanring::span("m").start()));
    });
    drop((a, z));
    assert_eq!(names(&recorder.spans()), ["run", "z", "a", "m"]);
}

#[test]
fn spans_are_open_until_they_end() {
    let recorder = start();
    let run = spanring::trace("run").start();
    let call = run.llm("gpt-4o").start();
    recorder.assert_tree("run (agent) open\n  chat gpt-4o (llm) open");
    assert_eq!(recorder.spans().open().len(), 2);
    recorder.spans().one("chat gpt-4o").assert_attribute("gen_ai.request.model", "gpt-4o");
    call.complete();
    recorder.assert_tree("run (agent) open\n  chat gpt-4o (llm) ok");
    run.cancel();
    recorder.assert_tree("run (agent) cancelled\n  chat gpt-4o (llm) ok");
    recorder.assert_no_open_spans();
    assert_eq!(recorder.traces().len(), 1);
}

#[test]
fn a_pending_span_shows_when_it_starts_or_is_given_up() {
    let recorder = start();
    let (first, second) = (spanring::span("first").prepare(), spanring::span("second").prepare());
    assert_eq!(recorder.tree(), "");
    let message = complaint(|| recorder.assert_no_open_spans());
    assert_eq!(message, "2 spans have not ended that are pending, or found no room when they started");
    let first = first.start();
    second.cancel();
    recorder.spans().in_any_order().assert_tree("first open\nsecond cancelled, never started");
    drop(first);
    recorder.assert_no_open_spans();
}

#[test]
fn what_is_recorded_after_a_stop_is_nowhere() {
    let recorder = start();
    drop(spanring::span("before").start());
    let spans = recorder.stop();
    assert_eq!(spanring::span("after").start().end(), Ended::NotRecording);
    assert_eq!((names(&spans), start().tree().as_str()), (vec!["before"], ""));
}

#[test]
fn a_ring_that_overflows_between_two_looks_fails_loudly() {
    let recorder = MemoryRecorder::builder().ring_bytes(4 << 10).start().unwrap();
    while spanring::span("many").start().end() == Ended::Recorded {}
    for look in [
        &(|| drop(recorder.spans())) as &dyn Fn(),
        &|| drop(recorder.tree()),
        &|| drop(recorder.traces()),
        &|| recorder.assert_tree("..."),
        &|| recorder.assert_no_open_spans(),
    ] {
        let message = complaint(look);
        assert!(message.starts_with("spans were lost, so nothing can be said about those"), "{message}");
        assert!(message.contains("ring full: 1"), "{message}");
        assert!(message.contains("4096 bytes between two looks"), "{message}");
    }
    let ledger = recorder.ledger();
    assert_eq!(ledger.dropped.ring_full, 1, "{ledger}");
    assert!(ledger.balances() && ledger.unspooled() == 0, "{ledger}");
    drop(recorder);
    // The loss is that of one recorder, and of no later one that uses its rings again.
    let recorder = MemoryRecorder::builder().ring_bytes(4 << 10).start().unwrap();
    recorder.assert_tree("");
    assert_eq!(recorder.ledger().dropped.total(), 0);
}

#[test]
fn looking_in_between_makes_room() {
    let recorder = MemoryRecorder::builder().ring_bytes(4 << 10).start().unwrap();
    for _ in 0..1_000 {
        assert_eq!(spanring::span("many").start().end(), Ended::Recorded);
        recorder.ledger();
    }
    assert_eq!(recorder.spans().len(), 1_000);
}

#[test]
fn too_many_open_spans_fail_loudly_and_many_are_fine() {
    let recorder = MemoryRecorder::builder().ring_bytes(16 << 20).start().unwrap();
    let open: Vec<_> = (0..8_000).map(|_| spanring::span("open").start()).collect();
    assert_eq!(recorder.spans().open().len(), 8_000);
    let more: Vec<_> = (0..8_000).map(|_| spanring::span("open").start()).collect();
    assert_eq!(recorder.spans().open().len(), 16_000);
    let beyond: Vec<_> = (0..10_000).map(|_| spanring::span("open").start()).collect();
    // What found no room counts when it ends.
    drop(beyond);
    let message = complaint(|| recorder.spans());
    assert!(message.contains("no cell: "), "{message}");
    assert!(message.contains("about 8192 spans can be opened between two looks"), "{message}");
    drop((open, more));
}

#[test]
fn threads_without_a_ring_fail_loudly_where_they_are_in_each_others_way() {
    let recorder = MemoryRecorder::builder().threads(0).start().unwrap();
    let together = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                together.wait();
                for _ in 0..200 {
                    drop(spanring::span("shared").start());
                }
            });
        }
    });
    let ledger = recorder.ledger();
    // Whether any two meet is up to the machine, and whether at a span's end or only at its start; what is lost shows, or nothing is.
    match (ledger.dropped.no_lane, ledger.starts_lost) {
        (0, 0) => assert_eq!(recorder.spans().len(), 1_600),
        (0, _) => assert!(complaint(|| recorder.spans()).contains("announcements lost: ")),
        _ => assert!(
            complaint(|| recorder.spans()).contains("0 threads can record at the same time: set `threads`")
        ),
    }
}

#[test]
fn limits_are_those_that_are_asked_for() {
    let cut = |recorder: MemoryRecorder| {
        let span = spanring::span("cut").start();
        span.set("text", "0123456789");
        drop(span);
        let spans = recorder.stop();
        let span = spans.one("cut");
        (span.get("text").unwrap().as_str().unwrap().to_owned(), span.cut)
    };
    let limits = Limits { value_bytes: 4, ..Limits::default() };
    assert_eq!(cut(MemoryRecorder::builder().limits(limits).start().unwrap()), ("0123".to_owned(), 1));
    assert_eq!(cut(start()), ("0123456789".to_owned(), 0));
}

#[test]
fn a_setup_that_cannot_be_is_an_error_and_the_next_one_starts() {
    for ring_bytes in [0, 4095, 5000, 2 << 30] {
        let error = MemoryRecorder::builder().ring_bytes(ring_bytes).start().unwrap_err();
        assert!(matches!(error, MemoryError::RingLength), "{error}");
    }
    let error = MemoryRecorder::builder().ring_bytes(4 << 10).threads(2_000).start().unwrap_err();
    assert!(matches!(error, MemoryError::TooMany), "{error}");
    let error = MemoryRecorder::builder().threads(usize::MAX).start().unwrap_err();
    assert!(matches!(error, MemoryError::TooMany), "{error}");
    assert_eq!(start().tree(), "");
}

#[test]
fn the_spans_of_one_trace_are_told_from_those_of_others() {
    let recorder = start();
    let run = spanring::trace("mine").start();
    run.tool("search").start().fail("no such host");
    let trace_id = run.context().trace_id();
    drop((run, spanring::trace("another's").start()));
    assert_eq!(recorder.spans().len(), 3);
    recorder.spans().of_trace(trace_id).assert_tree("mine\n  execute_tool search error: no such host");
    recorder.spans().one("execute_tool search").assert_status(Status::Error);
}
