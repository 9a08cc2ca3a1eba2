//! Spans of tasks on a real runtime: whatever moves, is cancelled or panics, each span is under the one that its program means, and
//! no worker keeps a current span.
//!
//! A span's name is its path, `run 7/turn 1/call`: it should be under the one whose path is that without its last part.

#[path = "recording/flight.rs"]
#[expect(dead_code, reason = "of the recorder under test, only what lands is of interest here")]
mod flight;

use std::collections::HashMap;
use std::future::{Future, pending, ready};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use spanring::{Context, InSpan, Span, SpanId, Status, span_named};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet, spawn_blocking, yield_now};
use tokio::time::timeout;

use crate::flight::{Flight, Plan, Seen};

const WORKERS: usize = 4;

/// Starts a span under the current one, which should be the one whose path this goes on.
fn begin(path: &str) -> Span {
    span_named(path).start()
}

fn parent_of(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

/// Starts a span as it is dropped.
struct AtDrop(String);

impl Drop for AtDrop {
    fn drop(&mut self) {
        drop(begin(&self.0));
    }
}

/// The recorder, and the spans that are landed, all where they belong.
struct Checked(Vec<Seen>);

impl Checked {
    fn of(mut flight: Flight) -> Self {
        let spans = flight.take();
        assert_eq!(flight.counters(0).dropped(), 0);
        assert_eq!(flight.counters(0).guards_out_of_order, 0);
        let by_path: HashMap<_, _> = spans.iter().map(|span| (span.name.as_str(), span)).collect();
        assert_eq!(by_path.len(), spans.len(), "no path is recorded twice");
        for span in &spans {
            match parent_of(&span.name) {
                None => assert_eq!(span.parent_id, SpanId::INVALID, "{}", span.name),
                Some(path) => {
                    let parent = by_path[path];
                    let (trace_id, parent_id) = (parent.trace_id, parent.span_id);
                    assert_eq!((span.trace_id, span.parent_id), (trace_id, parent_id), "{}", span.name);
                }
            }
        }
        Checked(spans)
    }

    /// How many paths end so.
    fn count(&self, last: &str) -> usize {
        self.0.iter().filter(|span| span.name.ends_with(last)).count()
    }
}

fn flight() -> Flight {
    Flight::start(Plan { ring_bytes: 1 << 22, lanes: 24, tables: 24, ..Plan::default() })
}

/// Runs a program as a task on several workers, and sees to it that none of the runtime's threads has a current span when it
/// parks or ends.
fn on_workers(program: impl Future<Output = ()> + Send + 'static) -> Checked {
    let flight = flight();
    let (left_current, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (at_park, at_stop, stopped) =
        (Arc::clone(&left_current), Arc::clone(&left_current), Arc::clone(&ended));
    let look = |count: &AtomicUsize| {
        if Context::current() != Context::NONE {
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    let runtime: Runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(8)
        .enable_time()
        .on_thread_park(move || look(&at_park))
        .on_thread_stop(move || {
            look(&at_stop);
            stopped.fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();
    runtime.block_on(runtime.spawn(program)).unwrap();
    drop(runtime);
    assert_eq!(left_current.load(Ordering::Relaxed), 0, "a span was left current on a thread");
    assert!(ended.load(Ordering::Relaxed) >= WORKERS);
    Checked::of(flight)
}

/// A turn with two others under it, down to a depth, with calls in between. Each holds its span across awaits.
fn turn(path: String, depth: usize) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let span = begin(&path);
        span.set("before", depth);
        async {
            yield_now().await;
            drop(begin(&format!("{path}/call")));
            yield_now().await;
            if depth > 0 {
                turn(format!("{path}/left"), depth - 1).await;
                turn(format!("{path}/right"), depth - 1).await;
            }
            drop(begin(&format!("{path}/last")));
        }
        .in_span(&span)
        .await;
        span.set("between", depth);
        yield_now().await;
        span.set("after", depth);
        span.complete();
    })
}

#[test]
fn thousands_of_tasks_that_move_between_workers_keep_their_trees() {
    let spans = on_workers(async {
        let mut tasks = JoinSet::new();
        for number in 0..2_000 {
            tasks.spawn(turn(format!("run {number}"), 2));
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
    assert_eq!(spans.count("/call"), 2_000 * 7);
    assert_eq!(spans.0.len(), 2_000 * 7 * 3);
    let keys = |span: &Seen| span.keys() == ["before", "between", "after"];
    assert_eq!(spans.0.iter().filter(|span| keys(span)).count(), 2_000 * 7);
}

#[test]
fn tasks_and_blocking_calls_that_a_task_spawns_are_under_its_span() {
    let spans = on_workers(async {
        for number in 0..100 {
            let run = begin(&format!("run {number}"));
            let mut tasks = JoinSet::new();
            for child in 0..5 {
                tasks.spawn(turn(format!("run {number}/{child}"), 1).in_context(run.context()));
                let path = format!("run {number}/blocking {child}");
                tasks.spawn_blocking(run.context().wrap(move || drop(begin(&path))));
                drop(begin(&format!("alone {number} {child}")));
            }
            // What is current goes along where it is asked for.
            async {
                let path = format!("run {number}/current");
                let current = Context::current().wrap(move || drop(begin(&path)));
                spawn_blocking(current).await.unwrap();
                tokio::spawn(async move { drop(begin(&format!("not current {number}"))) }).await.unwrap();
            }
            .in_span(&run)
            .await;
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
        }
    });
    assert_eq!(spans.0.len(), 100 * (1 + 5 * (9 + 1 + 1) + 2));
}

#[test]
fn joined_futures_are_each_within_their_own_span() {
    let spans = on_workers(async {
        for number in 0..200 {
            let path = format!("run {number}");
            let run = begin(&path);
            async {
                let own = |name: &str| {
                    let path = format!("{path}/{name}");
                    async move {
                        let span = begin(&path);
                        async {
                            yield_now().await;
                            drop(begin(&format!("{path}/call")));
                        }
                        .in_span(&span)
                        .await;
                    }
                };
                let bare = async {
                    yield_now().await;
                    drop(begin(&format!("{path}/bare")));
                };
                tokio::join!(own("a"), turn(format!("{path}/b"), 1), bare, own("c"));
                drop(begin(&format!("{path}/joined")));
            }
            .in_span(&run)
            .await;
            assert_eq!(Context::current(), Context::NONE);
        }
    });
    assert_eq!(spans.0.len(), 200 * (1 + 2 + 9 + 1 + 2 + 1));
}

#[test]
fn what_loses_a_select_or_times_out_is_dropped_within_its_span() {
    let spans = on_workers(async {
        for number in 0..200 {
            let path = format!("run {number}");
            let run = begin(&path);
            let never = |name: &str| {
                let path = format!("{path}/{name}");
                async move {
                    let span = begin(&path);
                    async {
                        let _local = AtDrop(format!("{path}/dropped"));
                        drop(begin(&format!("{path}/call")));
                        pending::<()>().await;
                    }
                    .in_span(&span)
                    .await;
                }
            };
            async {
                tokio::select! {
                    biased;
                    () = never("loser") => unreachable!("it never ends"),
                    () = turn(format!("{path}/winner"), 0) => {}
                }
                drop(begin(&format!("{path}/selected")));
                timeout(Duration::ZERO, never("late")).await.unwrap_err();
                drop(begin(&format!("{path}/timed out")));
            }
            .in_span(&run)
            .await;
        }
    });
    assert_eq!(spans.count("/dropped"), 400);
    assert_eq!(spans.0.len(), 200 * (1 + 3 + 3 + 1 + 3 + 1));
}

#[test]
fn tasks_that_are_aborted_end_their_spans_where_they_belong() {
    let spans = on_workers(async {
        let root = begin("run");
        let mut tasks = JoinSet::new();
        let mut begun = Vec::new();
        for number in 0..500 {
            let (tell, told) = oneshot::channel();
            begun.push(told);
            let path = format!("run/{number}");
            let task = async move {
                let span = begin(&path);
                async {
                    let _local = AtDrop(format!("{path}/dropped"));
                    tell.send(()).unwrap();
                    pending::<()>().await;
                }
                .in_span(&span)
                .await;
            };
            tasks.spawn(task.in_context(root.context()));
        }
        for told in begun {
            told.await.unwrap();
        }
        tasks.abort_all();
        while let Some(done) = tasks.join_next().await {
            assert!(done.unwrap_err().is_cancelled());
        }
    });
    assert_eq!(spans.0.len(), 1 + 2 * 500);
}

#[test]
fn a_panic_leaves_its_worker_without_a_current_span() {
    let spans = on_workers(async {
        let mut tasks = JoinSet::new();
        for number in 0..500 {
            let path = format!("run {number}");
            tasks.spawn(async move {
                let span = begin(&path);
                async {
                    let _local = AtDrop(format!("{path}/dropped"));
                    yield_now().await;
                    let call = begin(&format!("{path}/call"));
                    // Unwinds as a panic does, but is not printed.
                    call.in_scope(|| resume_unwind(Box::new("planned")))
                }
                .in_span(&span)
                .await
            });
        }
        while let Some(done) = tasks.join_next().await {
            assert!(done.unwrap_err().is_panic());
            assert_eq!(Context::current(), Context::NONE);
        }
    });
    assert_eq!(spans.0.len(), 500 * 3);
    assert!(spans.0.iter().all(|span| span.status == Status::Error));
}

#[test]
fn tasks_that_stay_on_one_thread_are_under_their_spans_too() {
    let flight = flight();
    let runtime = Builder::new_current_thread().build().unwrap();
    let tasks = LocalSet::new();
    for number in 0..200 {
        let path = Rc::new(format!("run {number}"));
        tasks.spawn_local(async move {
            let span = begin(&path);
            let child = Rc::clone(&path);
            let other = tokio::task::spawn_local(
                async move {
                    yield_now().await;
                    drop(begin(&format!("{child}/other")));
                }
                .in_context(span.context()),
            );
            async {
                turn(format!("{path}/turn"), 1).await;
                other.await.unwrap();
            }
            .in_span(&span)
            .await;
        });
    }
    runtime.block_on(tasks);
    assert_eq!(Context::current(), Context::NONE);
    assert_eq!(Checked::of(flight).0.len(), 200 * (1 + 1 + 9));
}

#[test]
fn a_pool_that_calls_functions_again_and_again_has_each_call_in_its_scope() {
    const CALLS: usize = 300;
    let flight = flight();
    let runs: Vec<_> = (0..10).map(|number| begin(&format!("run {number}"))).collect();
    let contexts: Vec<_> = runs.iter().map(Span::context).collect();
    let call = |index: usize| {
        let run = index % contexts.len();
        contexts[run].in_scope(|| {
            let step = begin(&format!("run {run}/{index}"));
            step.in_scope(|| drop(begin(&format!("run {run}/{index}/inner"))));
        });
        assert_eq!(Context::current(), Context::NONE);
    };
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    match next.fetch_add(1, Ordering::Relaxed) {
                        index if index < CALLS => call(index),
                        _ => break,
                    }
                }
            });
        }
    });
    drop(runs);
    assert_eq!(Checked::of(flight).0.len(), 10 + 2 * CALLS);
}

#[test]
fn functions_that_are_called_on_other_threads_take_their_span_along() {
    let flight = flight();
    let (send, jobs) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
    let pool = thread::spawn(move || {
        for job in jobs {
            job();
            assert_eq!(Context::current(), Context::NONE);
        }
    });
    let runs: Vec<_> = (0..100).map(|number| begin(&format!("run {number}"))).collect();
    for (number, run) in runs.iter().enumerate() {
        let job = move || drop(begin(&format!("run {number}/job")));
        send.send(Box::new(run.context().wrap(job))).unwrap();
    }
    drop(send);
    pool.join().unwrap();
    drop(runs);
    assert_eq!(Checked::of(flight).0.len(), 200);
}

#[cfg(feature = "stream")]
#[test]
fn what_a_stream_makes_is_within_its_span_whoever_polls_it() {
    use futures_core::Stream;
    use std::future::poll_fn;
    use std::task::{self, Poll};

    /// Starts a span for each item, and is pending before it.
    struct Chunks {
        path: String,
        left: usize,
        is_due: bool,
        _at_drop: AtDrop,
    }

    impl Stream for Chunks {
        type Item = usize;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<usize>> {
            self.is_due = !self.is_due;
            if self.is_due {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
            self.left = left;
            drop(begin(&format!("{}/chunk {left}", self.path)));
            Poll::Ready(Some(left))
        }
    }

    let spans = on_workers(async {
        let mut tasks = JoinSet::new();
        for number in 0..200 {
            tasks.spawn(async move {
                let path = format!("run {number}");
                let call = begin(&path);
                let at_drop = AtDrop(format!("{path}/dropped"));
                let chunks = Chunks { path: path.clone(), left: 10, is_due: false, _at_drop: at_drop };
                let mut chunks = Box::pin(chunks.in_span(&call));
                // Some are read to their end, and some are given up.
                for _ in 0..=number % 12 {
                    let chunk = poll_fn(|cx| chunks.as_mut().poll_next(cx)).await;
                    drop(begin(&format!("outside {number} {chunk:?}")));
                    if chunk.is_none() {
                        break;
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
    assert_eq!(spans.count("/dropped"), 200);
}

#[test]
fn futures_that_hold_spans_across_awaits_can_be_sent() {
    fn assert_send<T: Send>(_: &T) {}

    async fn attributes_between_awaits() {
        let call = spanring::llm("mistral-small").start();
        call.set("before", 1);
        ready(()).await;
        call.set("after", 2).event("first token");
        call.tokens(spanring::Tokens::new(812, 94));
        ready(()).await;
        call.complete();
    }
    async fn within_a_span_of_its_own() -> Result<(), std::io::Error> {
        let call = spanring::tool("search").start();
        let found = async { Ok(()) }.in_span(&call).await;
        let again = async { ready(()).await }.in_context(call.context());
        again.await;
        call.finish(found)
    }
    async fn borrows_a_span(run: Context) {
        let pending = spanring::span("pending").parent(run).prepare();
        ready(()).await;
        let span = pending.start();
        span.in_scope(|| drop(begin("inner")));
        attributes_between_awaits().in_span(&span).await;
        within_a_span_of_its_own().in_span(&span).await.unwrap();
    }
    assert_send(&attributes_between_awaits());
    assert_send(&within_a_span_of_its_own());
    assert_send(&borrows_a_span(Context::NONE));
    assert_send(&borrows_a_span(Context::NONE).in_context(Context::NONE));
}
