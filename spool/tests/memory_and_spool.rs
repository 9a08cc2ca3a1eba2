//! Recording into memory beside a spool: they see the same, and a process has one of them at a time.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use spanring::{Context, SpanId, Tokens, TraceId};
use spanring_spool::memory::{MemoryError, MemoryRecorder};
use spanring_spool::{Error, Reader, SpanData, Spool};

const MINUTE: Duration = Duration::from_secs(60);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// An agent that uses a bit of everything, in an order that is always the same.
fn agent() {
    let run = spanring::trace("research").user("u7").group("thread_42").start();
    let call = run.llm("gpt-4o").provider("openai").temperature(0.2).start();
    call.event("first token");
    call.input(
        &json!({"question": "which?", "empty": "", "null": null, "list": [1, -2, 2.5, {"deep": [[]]}]}),
    );
    call.tokens(Tokens::new(812, 94).cached(600)).output("The one in the tree.");
    call.complete();
    run.tool("read_file").arguments(&json!({"path": "notes.txt"})).start().fail("no such file");
    run.child("given up").prepare().cancel();
    drop(run.child("late").deadline(Duration::ZERO).start());
    let late = run.child("prepared").prepare();
    late.start().link(run.context());
    drop(run.child("dropped").prepare().default_input(&json!({"by": "default"})));
    let remote = Context::remote(TraceId::from_bytes([7; 16]), SpanId::from_bytes([7; 8]), true);
    std::thread::scope(|scope| {
        scope.spawn(|| drop(spanring::span("elsewhere").parent(remote).start()));
    });
    let large = run.child("large").start();
    large.set_value("blob", &"x".repeat(2 << 20));
    large.set_named(&"made at run time ".repeat(3), 1);
    drop(large);
    let given = run.child("given").start_unix_ns(1_000).start();
    given.end_at_unix_ns(500);
    drop(run);
}

/// The spans by name, without times, and identities by the names of those who have them.
fn normal(spans: impl IntoIterator<Item = SpanData>) -> Vec<SpanData> {
    let mut spans: Vec<SpanData> = spans.into_iter().collect();
    spans.sort_by(|a, b| a.name.cmp(&b.name));
    let numbers: HashMap<SpanId, u64> =
        (1..).zip(&spans).map(|(number, span)| (span.span_id, number)).collect();
    let number = |id: SpanId| SpanId::from_bytes(numbers.get(&id).copied().unwrap_or(u64::MAX).to_le_bytes());
    for span in &mut spans {
        span.trace_id = TraceId::from_bytes([u8::from(span.name == "elsewhere") + 1; 16]);
        span.span_id = number(span.span_id);
        span.parent_id = span.parent_id.map(number);
        (span.start_unix_ns, span.end_unix_ns) = (0, 0);
        span.events.iter_mut().for_each(|event| event.time_unix_ns = 0);
        for link in &mut span.links {
            (link.trace_id, link.span_id) = (TraceId::from_bytes([1; 16]), number(link.span_id));
        }
    }
    spans
}

fn spooled(path: &Path) -> Vec<SpanData> {
    let spool = Spool::open(path).start().unwrap();
    agent();
    assert!(spool.stop(MINUTE).ledger.balances());
    Reader::open(path).unwrap().map(Result::unwrap).collect()
}

#[test]
fn what_is_recorded_into_memory_is_what_a_spool_holds() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let recorder = MemoryRecorder::start().unwrap();
    agent();
    let recorded = normal(recorder.stop());
    let spooled = normal(spooled(&dir.path().join("spool")));
    assert_eq!(recorded.len(), 10);
    for (recorded, spooled) in recorded.iter().zip(&spooled) {
        assert_eq!(recorded, spooled);
    }
    assert_eq!(recorded.len(), spooled.len());
    assert!(recorded.iter().any(|span| span.cut > 0), "what is cut there is cut here");
}

#[test]
fn a_process_has_a_spool_or_a_recorder_in_memory() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let recorder = MemoryRecorder::start().unwrap();
    let error = Spool::open(dir.path().join("refused")).start().unwrap_err();
    assert!(matches!(error, Error::AlreadySpooling { .. }), "{error}");
    drop(spanring::span("into memory").start());
    assert_eq!(recorder.stop().tree(), "into memory\n");

    let spool = Spool::open(dir.path().join("spool")).start().unwrap();
    for _ in 0..100 {
        let error = MemoryRecorder::start().unwrap_err();
        assert!(matches!(error, MemoryError::AlreadyRecording), "{error}");
    }
    drop(spanring::span("to disk").start());
    let report = spool.stop(MINUTE);
    assert_eq!(report.ledger.spooled, 1, "{report}");
    assert_eq!(MemoryRecorder::start().unwrap().tree(), "");
}
