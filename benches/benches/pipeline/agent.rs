//! The agent: records at an even rate from two threads, and says what it has recorded.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use spanring::{Ended, Kind, Span, SpanId};
use spanring_benches::Calls;
use spanring_spool::Spool;

/// As which argument this role is asked for.
pub(crate) const ROLE: &str = "--as-agent";
/// What it says first.
pub(crate) const READY: &str = "ready";

pub(crate) const SPANS_PER_SECOND: u64 = 100_000;
const THREADS: u64 = 2;
/// How long a thread sleeps before it records what has become due: some hundred spans.
const TICK: Duration = Duration::from_millis(2);
/// Room for a tenth of a second, in which a thread may get no processor, and then records all at once what was due.
const RING_LEN: usize = 4 << 20;
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it says how many there are.
const TELL_INTERVAL: Duration = Duration::from_millis(100);

/// Records for that many seconds. On standard output: [`READY`], again and again the number of spans that were recorded, and in the end that number
/// and how many were dropped.
pub(crate) fn run(spool: &Path, seconds: u64) {
    let spool =
        Spool::open(spool).service("pipeline").ring_bytes(RING_LEN).start().expect("the spool starts");
    say(READY);
    let total = SPANS_PER_SECOND * seconds;
    let recorded = AtomicU64::new(0);
    let calls = Calls::seeded(9);
    thread::scope(|scope| {
        let start = Instant::now();
        let threads: Vec<_> = (0..THREADS)
            .map(|first| {
                let (recorded, calls) = (&recorded, &calls);
                scope.spawn(move || record(first, total, start, calls, recorded))
            })
            .collect();
        while !threads.iter().all(|thread| thread.is_finished()) {
            thread::sleep(TELL_INTERVAL);
            say(&recorded.load(Ordering::Relaxed).to_string());
        }
    });
    let report = spool.stop(STOP_TIMEOUT);
    assert!(report.is_complete, "{report}");
    say(&format!("{} {}", recorded.load(Ordering::Relaxed), report.ledger.dropped.total()));
}

/// Every so manyth span, from the `first` one on, when it is due.
fn record(first: u64, total: u64, start: Instant, calls: &Calls, recorded: &AtomicU64) {
    // It is never delivered as one of the numbered ones.
    let run = spanring::span("run").root().span_id(identity(u64::MAX - 1 - first)).start();
    let mut next = first;
    while next < total {
        let due = start.elapsed().as_nanos() * u128::from(SPANS_PER_SECOND) / 1_000_000_000;
        let due = u64::try_from(due).unwrap_or(total).min(total);
        let mut count = 0;
        while next < due {
            count += u64::from(tool(&run, next, calls) == Ended::Recorded);
            next += THREADS;
        }
        recorded.fetch_add(count, Ordering::Relaxed);
        thread::sleep(TICK);
    }
}

/// A tool call that has its number as its identity.
fn tool(run: &Span, number: u64, calls: &Calls) -> Ended {
    let tool = calls.tool_values(usize::try_from(number).unwrap_or_default());
    let span = run.child("execute_tool").kind(Kind::Tool).span_id(identity(number)).start();
    span.set("tool.attempt", tool.attempt);
    span.set("tool.score", tool.score);
    span.set("tool.call_id", tool.call_id);
    span.set("tool.cached", tool.is_cached);
    span.end()
}

/// No identity is 0.
fn identity(number: u64) -> SpanId {
    SpanId::from_bytes((number + 1).to_le_bytes())
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("who started the agent listens");
}
